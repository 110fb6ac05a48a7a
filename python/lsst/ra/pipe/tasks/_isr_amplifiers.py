# This file is part of ra_pipe.
#
# Use of this source code is governed by a 3-clause BSD-style
# license that can be found in the LICENSE file.

"""The steps of ISR before assembly: what to do to each amplifier."""

from __future__ import annotations

__all__ = ("AmplifierStage",)

import logging
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from lsst.images.cameras import Detector
from lsst.pipe.base import UnprocessableDataError

from ..algorithms.isr import (
    AmplifierLayout,
    AmplifierSteps,
    CrosstalkTerms,
    DeferredChargeTerms,
    LinearityTerms,
    OverscanFit,
    OverscanSettings,
    all_saturated,
    dithered_amplifiers,
    fit_overscan,
    median,
    quantiles,
    sample_rows,
    saturated_overscan,
    values_after_crosstalk,
)
from ..camera.calibrations import SerialTrap, TrapType
from ._isr_calibrations import IsrCalibrations, covered_amplifiers
from ._isr_config import FirstLookIsrConfig

# What a bad amplifier may have.
_NO_TRAP = SerialTrap(size=0.0, emission_time=1.0, pixel=0, type=TrapType.LINEAR, coefficients=np.zeros(1))

type Log = logging.Logger | logging.LoggerAdapter[Any]


class AmplifierStage:
    """Levels, limits, gains and corrections of the amplifiers of one raw image.

    Parameters
    ----------
    raws
        Raw counts (adu) of each amplifier, in the layout's order.
    layout
        Geometry of the amplifiers.
    detector
        Detector of the raw image.
    config
        Settings of the task.
    calibrations
        Calibrations, checked.
    metadata
        Where to write what was measured, with the keywords of the Science Pipelines.
    log
        Logger.
    workspace
        Array of shape ``(n_amplifiers, *raw_shape)`` for dithered counts.
    """

    def __init__(
        self,
        raws: Sequence[npt.NDArray[Any]],
        *,
        layout: AmplifierLayout,
        detector: Detector,
        config: FirstLookIsrConfig,
        calibrations: IsrCalibrations,
        metadata: dict[str, Any],
        log: Log,
        workspace: npt.NDArray[np.float32] | None = None,
    ) -> None:
        self.raws = list(raws)
        self._workspace = workspace
        self.layout = layout
        self.config = config
        self.metadata = metadata
        self._detector = detector
        self._calibrations = calibrations
        self._log = log
        self._overscan = config.overscanCamera.for_detector(detector)
        self._amp_configs = [self._overscan.for_amplifier(name) for name in layout.names]
        ptc = calibrations.ptc
        assert ptc is not None
        self.gains = np.array([ptc.gain[name] for name in layout.names])
        self.noise = np.array([ptc.noise[name] for name in layout.names])
        self._turnoff = np.array([ptc.ptc_turnoff[name] for name in layout.names])
        for i, amp_config in enumerate(self._amp_configs):
            if np.isfinite(amp_config.gain):
                log.warning("Amplifier %s: the config's gain is %.3f.", layout.names[i], amp_config.gain)
                self.gains[i] = amp_config.gain
        self.bad = self._find_bad()
        n, nx = len(layout), layout.data_shape[1]
        self.factors = self.gains if config.doApplyGains else np.ones(n)
        self._saturation = np.full(n, np.nan)
        self._suspect = np.full(n, np.nan)
        self._levels = np.zeros((n, layout.raw_shape[0]), np.float32)
        self._columns = np.zeros((n, nx), np.float32)
        self._backgrounds = np.zeros(n, np.float32)
        self._crosstalk_threshold = np.full(n, np.inf, np.float32)
        self._crosstalk = CrosstalkTerms.none(n)

    def run(self, dither_seed: int) -> AmplifierSteps:
        """Measure what depends on the raw image.

        Parameters
        ----------
        dither_seed
            Identifier of exposure and detector.

        Returns
        -------
        steps
            What to do to the values of each amplifier.

        Raises
        ------
        UnprocessableDataError
            Raised if all amplifiers are bad and the config says to stop.
        """
        self._stop_if_all_bad()
        if self._overscan.integerDitherMode != "NONE":
            mode = self._overscan.integerDitherMode
            self.raws = list(dithered_amplifiers(self.raws, layout=self.layout, mode=mode, seed=dither_seed))
        self._fit_serial_overscan()
        self._set_limits()
        self._stop_if_all_bad()
        self._record_gains()
        self._prepare_crosstalk()
        self._check_states()
        self._stop_if_all_bad()
        self._fit_parallel_overscan()
        return self._steps(finished=True)

    def _find_bad(self) -> npt.NDArray[np.bool_]:
        """Find amplifiers that are covered by a defect or have no gain."""
        names = self.layout.names
        covered: frozenset[str] = frozenset()
        if self._calibrations.defects is not None:
            covered = covered_amplifiers(self._calibrations.defects, self._detector)
        bad = np.array([name in covered for name in names])
        for name in sorted(covered):
            self._log.warning("Amplifier %s is bad: a defect covers it.", name)
        if self.config.doApplyGains:
            for i in np.flatnonzero(~np.isfinite(self.gains)):
                self._log.warning("Amplifier %s is bad: its gain is %s.", names[i], self.gains[i])
            bad |= ~np.isfinite(self.gains)
        return bad

    def _stop_if_all_bad(self) -> None:
        """Stop if no amplifier is good."""
        if self.bad.all() and self.config.doCheckUnprocessableData:
            raise UnprocessableDataError(f"All amplifiers of detector {self._detector.name} are bad.")

    def _fit_serial_overscan(self) -> None:
        """Measure the level of each row."""
        first, last = self.layout.serial_overscan
        for i, amp_config in enumerate(self._amp_configs):
            if self.bad[i] or not amp_config.doSerialOverscan:
                continue
            pixels = self.raws[i][:, first:last].astype(np.float32)
            fit = self._fit("SERIAL", i, pixels, amp_config.serialOverscanConfig.settings())
            self._levels[i] = fit.levels
        self.metadata["LSST ISR OVERSCAN SERIAL UNITS"] = "adu"

    def _fit(
        self,
        mode: str,
        index: int,
        pixels: npt.NDArray[np.float32],
        settings: OverscanSettings,
        masked: npt.NDArray[np.bool_] | None = None,
    ) -> OverscanFit:
        """Measure an overscan and write its statistics to the metadata."""
        fit = fit_overscan(pixels, settings=settings, masked=masked)
        name, key = self.layout.names[index], "LSST ISR OVERSCAN"
        self.metadata |= {
            f"{key} {mode} MEAN {name}": fit.mean,
            f"{key} {mode} MEDIAN {name}": fit.median,
            f"{key} {mode} STDEV {name}": fit.stdev,
            f"{key} RESIDUAL {mode} MEAN {name}": fit.residual_mean,
            f"{key} RESIDUAL {mode} MEDIAN {name}": fit.residual_median,
            f"{key} RESIDUAL {mode} STDEV {name}": fit.residual_stdev,
        }
        return fit

    def _set_limits(self) -> None:
        """Find the saturation and suspect levels, and fully saturated amplifiers."""
        config = self.config
        for i, (name, amp_config) in enumerate(zip(self.layout.names, self._amp_configs, strict=True)):
            if self.bad[i]:
                continue
            if config.doSaturation:
                level = self._limit(i, config.defaultSaturationSource, amp_config.saturation, "saturation")
                self._saturation[i] = level
                self.metadata[f"LSST ISR SATURATION LEVEL {name}"] = level * self.factors[i]
            if config.doSuspect:
                level = self._limit(i, config.defaultSuspectSource, amp_config.suspectLevel, "suspect_level")
                self._suspect[i] = level
                self.metadata[f"LSST ISR SUSPECT LEVEL {name}"] = level * self.factors[i]
            limit = np.fmin(self._saturation[i], self._suspect[i])
            if all_saturated(self.raws[i], layout=self.layout, levels=self._levels[i], limit=limit):
                self._log.warning("Amplifier %s is bad: it is completely saturated.", name)
                self.bad[i] = True

    def _limit(self, index: int, source: str, override: float, attribute: str) -> float:
        """Return a level (adu) of an amplifier."""
        if np.isfinite(override):
            return float(override)
        if source == "PTCTURNOFF":
            return float(self._turnoff[index])
        nominal = self._detector.amplifiers[index].nominal_calibrations
        if source == "CAMERAMODEL" and nominal is not None:
            return float(getattr(nominal, attribute))
        return float("inf")

    def _record_gains(self) -> None:
        """Write gains, noise and turn-offs to the metadata."""
        self.metadata |= {
            "LSST ISR UNITS": "electron" if self.config.doApplyGains else "adu",
            "LSST ISR READNOISE UNITS": "electron",
            "LSST ISR PTCTURNOFF UNITS": "electron",
            "LSST ISR GAIN SOURCE": self.config.useGainsFrom,
        }
        for i, name in enumerate(self.layout.names):
            self.metadata |= {
                f"LSST ISR GAIN {name}": float(self.gains[i]),
                f"LSST ISR READNOISE {name}": float(self.noise[i]),
                f"LSST ISR PTCTURNOFF {name}": float(self._turnoff[i] * self.gains[i]),
            }

    def _prepare_crosstalk(self) -> None:
        """Prepare the crosstalk terms and what is a noticeable crosstalk."""
        calibration = self._calibrations.crosstalk
        self.metadata["LSST ISR CROSSTALK APPLIED"] = self.config.doCrosstalk
        if not self.config.doCrosstalk or calibration is None:
            return
        unit = "electron" if self.config.doApplyGains else "adu"
        scale = np.ones(len(self.layout))
        if calibration.units != unit:
            scale = self.gains if unit == "electron" else 1.0 / self.gains
        quadratic = calibration.quadratic if self.config.crosstalk.doQuadraticCrosstalkCorrection else None
        # The Science Pipelines apply element [source, target] of the matrices.
        self._crosstalk = CrosstalkTerms.build(
            calibration.coefficients.T,
            None if quadratic is None else quadratic.T,
            valid=None if calibration.valid is None else calibration.valid.T,
            bad=self.bad,
            unit_scale=scale,
        )
        sample, crosstalk = sample_rows(self.raws, layout=self.layout, steps=self._steps())
        threshold = self.config.crosstalk.minPixelToMask * scale
        if self.config.crosstalk.doSubtrahendMasking:
            self._backgrounds = np.array([median(values) for values in crosstalk], np.float32)
        else:
            threshold = threshold + self._raw_median(sample)
        self._crosstalk_threshold = threshold.astype(np.float32)

    def _raw_median(self, values: npt.NDArray[np.float32]) -> float:
        """Return the median of the whole raw array, less its overscan's levels.

        The overscan lies below the data and the prescan, which keeps its
        level, above; so it is a quantile of the data.
        """
        layout = self.layout
        ny, nx = layout.data_shape
        raw_ny, raw_nx = layout.raw_shape
        low = (layout.serial_overscan[1] - layout.serial_overscan[0]) * raw_ny + (raw_ny - ny) * nx
        fraction = (0.5 * raw_ny * raw_nx - low) / (ny * nx)
        return float(quantiles(values[~self.bad], (float(np.clip(fraction, 0.0, 1.0)),))[0])

    def _check_states(self) -> None:
        """Find amplifiers with another level or noise than they should have."""
        config, ptc = self.config, self._calibrations.ptc
        assert ptc is not None
        check_level = np.isfinite(config.serialOverscanMedianShiftSigmaThreshold)
        check_noise = np.isfinite(config.ampNoiseThreshold)
        for i, name in enumerate(self.layout.names):
            if check_level:
                expected, sigma = ptc.overscan_median[name], ptc.overscan_median_sigma[name]
                found = self.metadata.get(f"LSST ISR OVERSCAN SERIAL MEDIAN {name}", expected)
                pull = abs(found - expected) / sigma
                if pull > config.serialOverscanMedianShiftSigmaThreshold:
                    self._log.warning("Amplifier %s is bad: its overscan is off by %.2f sigma.", name, pull)
                    self.bad[i] = True
            if check_noise:
                measured = self.metadata.get(f"LSST ISR OVERSCAN RESIDUAL SERIAL STDEV {name}", np.nan)
                noise = np.fmax(self.noise[i], measured * self.gains[i])
                if noise > config.ampNoiseThreshold:
                    self._log.warning("Amplifier %s is bad: its noise is %.2f electron.", name, noise)
                    self.bad[i] = True
        self.metadata["LSST ISR OVERSCANLEVEL CHECKED"] = bool(check_level)
        self.metadata["LSST ISR NOISE CHECKED"] = bool(check_noise)

    def _fit_parallel_overscan(self) -> None:
        """Measure the level of each column."""
        wanted = [
            not bad and c.doParallelOverscan for bad, c in zip(self.bad, self._amp_configs, strict=True)
        ]
        if not any(wanted):
            return
        overscan = values_after_crosstalk(
            self.raws, layout=self.layout, steps=self._steps(), rows=self.layout.parallel_overscan
        )
        for i in np.flatnonzero(wanted).tolist():
            config = self._amp_configs[i].parallelOverscanConfig
            if self._is_flooded(i, overscan[i], config):
                continue
            masked = None
            if config.doParallelOverscanSaturation:
                level = config.parallelOverscanSaturationLevel
                if self.config.doSaturation:
                    level = self._saturation[i] * config.parallelOverscanSaturationLevelAdjustmentFactor
                saturated = saturated_overscan(
                    overscan[i], threshold=level * self.factors[i], grow=config.parallelOverscanMaskGrowSize
                )
                masked = np.ascontiguousarray(saturated.T)
            pixels = np.ascontiguousarray(overscan[i].T)
            fit = self._fit("PARALLEL", i, pixels, config.settings(float(self.factors[i])), masked)
            self._columns[i] = fit.levels
        self.metadata["LSST ISR OVERSCAN PARALLEL UNITS"] = self.metadata["LSST ISR UNITS"]

    def _is_flooded(self, index: int, overscan: npt.NDArray[np.float32], config: Any) -> bool:
        """Tell whether an overscan has too much of the image's signal."""
        name = self.layout.names[index]
        used = overscan[config.leadingToSkip : overscan.shape[0] - config.trailingToSkip]
        level = float(np.median(used))
        if not level > config.parallelOverscanFraction * config.parallelOverscanImageThreshold:
            return False
        ny, nx = self.layout.data_shape
        x0 = self.layout.data_x0
        data = self.raws[index][:ny, x0 : x0 + nx].astype(np.float32) - self._levels[index, :ny, np.newaxis]
        image_level = float(np.median(data)) * self.factors[index]
        flooded = (
            image_level > config.parallelOverscanImageThreshold
            and level / image_level > config.parallelOverscanFraction
        )
        if flooded:
            self._log.warning(
                "Amplifier %s: the parallel overscan (%.1f) is too close to the image (%.1f).",
                name,
                level,
                image_level,
            )
        return bool(flooded)

    def _steps(self, finished: bool = False) -> AmplifierSteps:
        """Put together what is known; corrections of the response only at the end."""
        n = len(self.layout)
        # A gain that is not finite would spread to other amplifiers.
        factors = np.where(np.isfinite(self.factors), self.factors, 0.0)
        return AmplifierSteps(
            levels=self._levels,
            saturation=self._saturation.astype(np.float32),
            suspect=self._suspect.astype(np.float32),
            gains=factors.astype(np.float32),
            crosstalk=self._crosstalk,
            crosstalk_backgrounds=self._backgrounds,
            crosstalk_threshold=self._crosstalk_threshold,
            flag_sources=not self.config.crosstalk.doSubtrahendMasking,
            columns=self._columns,
            linearity=self._linearity() if finished else LinearityTerms.none(n),
            deferred_charge=self._deferred_charge() if finished else DeferredChargeTerms.none(n),
        )

    def _linearity(self) -> LinearityTerms:
        """Prepare the correction of the response."""
        linearizer, names = self._calibrations.linearizer, self.layout.names
        self.metadata["LSST ISR LINEARIZER APPLIED"] = self.config.doLinearize
        if not self.config.doLinearize or linearizer is None:
            return LinearityTerms.none(len(names))
        convert = self.config.doApplyGains and linearizer.units == "adu"
        return LinearityTerms.build(
            [str(linearizer.types[name]) for name in names],
            [linearizer.coefficients[name] for name in names],
            table=linearizer.table,
            gains=self.gains if convert else None,
        )

    def _deferred_charge(self) -> DeferredChargeTerms:
        """Prepare the correction of deferred charge."""
        calibration, names = self._calibrations.deferredChargeCalib, self.layout.names
        self.metadata["LSST ISR CTI APPLIED"] = self.config.doDeferredCharge
        if not self.config.doDeferredCharge or calibration is None:
            return DeferredChargeTerms.none(len(names))
        traps = [calibration.serial_traps.get(name, _NO_TRAP) for name in names]
        return DeferredChargeTerms.build(
            drift_scale=np.array([calibration.drift_scale[name] for name in names]),
            decay_time=np.array([calibration.decay_time[name] for name in names]),
            global_cti=np.array([calibration.global_cti[name] for name in names]),
            trap_kind=[str(trap.type) for trap in traps],
            trap_size=np.array([trap.size for trap in traps]),
            trap_emission=np.array([trap.emission_time for trap in traps]),
            trap_coefficients=[trap.coefficients for trap in traps],
            n_offset=self.config.deferredChargeCorrection.nPixelOffsetCorrection,
            n_trap=self.config.deferredChargeCorrection.nPixelTrapCorrection,
        )
