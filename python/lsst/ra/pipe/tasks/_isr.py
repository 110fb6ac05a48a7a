# This file is part of ra_pipe.
#
# Use of this source code is governed by a 3-clause BSD-style
# license that can be found in the LICENSE file.

"""Remove the instrument's signature from one raw image."""

from __future__ import annotations

__all__ = ("BadCalibrationError", "FirstLookIsrConfig", "FirstLookIsrConnections", "FirstLookIsrTask")

import math
import time
from collections.abc import Mapping
from typing import Any, ClassVar

import astropy.units as u
import numpy as np
import numpy.typing as npt

from lsst.images import Image, Mask, MaskedImage, SkyProjection
from lsst.images.cameras import Detector
from lsst.pipe.base import (
    InputQuantizedConnection,
    OutputQuantizedConnection,
    PipelineTask,
    QuantumContext,
    Struct,
    UnprocessableDataError,
)

from ..algorithms import MASK_SCHEMA, packed_mask, plane_bits
from ..algorithms.isr import (
    AmplifierLayout,
    DetrendCalibrations,
    LayoutError,
    NoiseModel,
    assemble,
    bin_image,
    clipped_statistics,
    count_bits,
    detrend,
    grow_bits,
    interpolate_rows,
    median,
    set_masked,
)
from ..camera import MissingPointingError, RawImage, initial_sky_projection
from ..camera.calibrations import ArrayStore, Defects
from ._isr_amplifiers import AmplifierStage
from ._isr_calibrations import (
    BadCalibrationError,
    CalibrationImages,
    IsrCalibrations,
    check_calibrations,
    check_values,
    compare_camera_state,
    prepare_images,
)
from ._isr_config import FirstLookIsrConfig, FirstLookIsrConnections
from ._isr_masks import mask_bleeds, mask_defects

_IMAGES = ("bias", "dark", "flat")

# Rows of which one is used for levels that need no more.
_SAMPLE_STRIDE = 64


class FirstLookIsrTask(PipelineTask):
    """Remove the instrument's signature from one raw image.

    Parameters
    ----------
    **kwargs
        Forwarded to `lsst.pipe.base.PipelineTask`.

    Notes
    -----
    Pixels, variances and masks are those of ``lsst.ip.isr.IsrTaskLSST`` with
    the same settings; the metadata keywords begin with ``LSST ISR`` as there.
    """

    inputs_read_only: ClassVar[bool] = True
    ConfigClass: ClassVar[Any] = FirstLookIsrConfig
    _DefaultName: ClassVar[str] = "isr"
    config: FirstLookIsrConfig
    calibration_store: ArrayStore | None = None
    """Where bias, dark and flat are kept between quanta, in the form that the
    kernel wants; without one they are read for each quantum."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        # The last images in the form that the kernel wants, with those that
        # they come from, for callers of run.
        self._prepared: tuple[tuple[Any, ...], DetrendCalibrations] | None = None
        self._checked: tuple[Any, ...] = ()
        self._workspace: npt.NDArray[np.float32] | None = None
        self._steps_seconds: dict[str, float] = {}
        self._step_started = 0.0

    def runQuantum(
        self,
        butlerQC: QuantumContext,
        inputRefs: InputQuantizedConnection,
        outputRefs: OutputQuantizedConnection,
    ) -> None:
        """Read the datasets, run, and write the results.

        Parameters
        ----------
        butlerQC
            Access to the datasets.
        inputRefs
            References of the inputs.
        outputRefs
            References of the outputs.

        Raises
        ------
        BadCalibrationError
            Raised if a calibration cannot be read or used, with its data ID.
        """
        refs: dict[str, Any] = {name: getattr(inputRefs, name) for name in inputRefs.keys()}  # noqa: SIM118
        raw: RawImage = butlerQC.get(refs.pop("ccdExposure"))
        stored = {name: refs[name] for name in _IMAGES if name in refs and self.calibration_store is not None}
        inputs = {name: _read(butlerQC, name, ref) for name, ref in refs.items() if name not in stored}
        provenance: dict[str, Any] = {}
        for name, ref in refs.items():
            provenance |= {
                f"LSST CALIB RUN {name.upper()}": ref.run,
                f"LSST CALIB UUID {name.upper()}": str(ref.id),
            }
        try:
            images = self._get_images(butlerQC, stored, raw.detector) if stored else None
            outputs = self.run(ccdExposure=raw, images=images, **inputs)
        except BadCalibrationError as error:
            dataset = str(refs.get(error.connection, ""))
            raise BadCalibrationError(error.connection, error.problem, dataset=dataset) from error
        if self.config.doHeaderProvenance:
            outputs.outputExposure.metadata.update(provenance)
        butlerQC.put(outputs, outputRefs)

    def _get_images(
        self, butlerQC: QuantumContext, refs: Mapping[str, Any], detector: Detector
    ) -> CalibrationImages:
        """Take bias, dark and flat from the store; read them if need be."""
        assert self.calibration_store is not None, "The caller has looked."
        settings = (self.config.doApplyGains, self.config.flatScalingType, self.config.flatUserScale)
        parts = []
        for name, ref in refs.items():

            def make(name: str = name, ref: Any = ref) -> Mapping[str, npt.NDArray[Any]]:
                image = IsrCalibrations(**{name: _read(butlerQC, name, ref)})
                check_values(image, config=self.config, detector=detector)
                return prepare_images(image, config=self.config).to_arrays()

            arrays = self.calibration_store.get_or_make(f"{name} {ref.id} {settings}", make)
            parts.append(CalibrationImages.from_arrays(arrays))
        mask: Any = None
        if sum(part.arrays.mask.size > 0 for part in parts) > 1:
            key = f"mask {' '.join(str(ref.id) for ref in refs.values())} {settings}"
            mask = self.calibration_store.get_or_make(
                key, lambda: {"mask": CalibrationImages.unite_masks(parts)}
            )["mask"]
        return CalibrationImages.merge(parts, mask=mask)

    def run(
        self,
        *,
        ccdExposure: RawImage,
        bias: MaskedImage | None = None,
        dark: MaskedImage | None = None,
        flat: MaskedImage | None = None,
        ptc: Any = None,
        defects: Defects | None = None,
        linearizer: Any = None,
        crosstalk: Any = None,
        deferredChargeCalib: Any = None,
        images: CalibrationImages | None = None,
        dither_seed: int | None = None,
    ) -> Struct:
        """Remove the instrument's signature from one raw image.

        Parameters
        ----------
        ccdExposure
            Raw image.
        bias
            Bias of the assembled detector (electron).
        dark
            Dark of the assembled detector (electron), of one second unless its
            metadata have a DARKTIME.
        flat
            Flat of the assembled detector.
        ptc
            Gains, noise and turn-offs
            (`lsst.ra.pipe.camera.calibrations.PhotonTransferCurve`).
        defects
            Defects.
        linearizer
            Correction of the response.
        crosstalk
            Crosstalk between the amplifiers.
        deferredChargeCalib
            Serial deferred charge.
        images
            Bias, dark and flat in place of those above, prepared before.
        dither_seed
            Identifier of exposure and detector, from which random numbers
            follow; that of the raw image by default.

        Returns
        -------
        result
            Struct with ``exposure`` and ``outputExposure``, the image with mask and
            variance (electron, or adu without gains), placed on the sky where
            the header has a pointing; ``preInterpExposure``, the same before
            interpolation, or None; ``outputBin1Exposure`` and
            ``outputBin2Exposure``, binned images, or None.

        Raises
        ------
        BadCalibrationError
            Raised if a calibration is missing or does not fit.
        UnprocessableDataError
            Raised if all amplifiers are bad, the detector is off, or the raw
            image's geometry is not that of its detector.
        """
        calibrations = IsrCalibrations(
            bias=bias,
            dark=dark,
            flat=flat,
            ptc=ptc,
            defects=defects,
            linearizer=linearizer,
            crosstalk=crosstalk,
            deferredChargeCalib=deferredChargeCalib,
            images=images,
        )
        detector = ccdExposure.detector
        self._steps_seconds, self._step_started = {}, time.perf_counter()
        self._check(calibrations, ccdExposure)
        self._check_voltage(ccdExposure)
        metadata: dict[str, Any] = {"LSST ISR BOOTSTRAP": False, "LSST ISR GAINCORRECTION APPLIED": False}
        try:
            layout = AmplifierLayout.from_detector(detector)
            raws = layout.ordered(ccdExposure.amplifiers)
        except LayoutError as error:
            raise UnprocessableDataError(f"Detector {detector.name}: {error}") from error
        stage = AmplifierStage(
            raws,
            layout=layout,
            detector=detector,
            config=self.config,
            calibrations=calibrations,
            metadata=metadata,
            log=self.log,
            workspace=self._get_workspace(layout),
        )
        seed = ccdExposure.obs_info.detector_exposure_id if dither_seed is None else dither_seed
        steps = stage.run(seed or 0)
        self._note("overscan")
        exposure = self._new_exposure(ccdExposure, detector)
        image, packed = exposure.image.array, packed_mask(exposure.mask)
        assemble(
            stage.raws,
            layout=layout,
            steps=steps,
            image=image,
            mask=packed,
            saturated_bit=plane_bits("SAT"),
            suspect_bit=plane_bits(self.config.suspectMaskName),
            crosstalk_bit=plane_bits(self.config.crosstalk.crosstalkMaskPlane),
        )
        self._mark_bad_amplifiers(stage, image, packed)
        self._note("assemble")
        mask_bleeds(stage, detector=detector, image=image, mask=packed, config=self.config, log=self.log)
        mask_defects(defects, layout=layout, detector=detector, mask=packed, config=self.config)
        self._note("mask")
        self._detrend(exposure, stage, calibrations, ccdExposure, packed)
        self._note("detrend")
        before = exposure.copy() if self.config.doSaveInterpPixels else None
        self._interpolate(exposure, packed)
        self._note("interpolate")
        self._measure(layout, image, packed, metadata)
        self._note("statistics")
        exposure.metadata.update({key: _plain(value) for key, value in metadata.items()})
        bins = self._bin(exposure)
        self._note("bin")
        return Struct(
            exposure=exposure,
            outputExposure=exposure,
            preInterpExposure=before,
            outputBin1Exposure=bins[0],
            outputBin2Exposure=bins[1],
        )

    @property
    def step_seconds(self) -> Mapping[str, float]:
        """Seconds that each part of the last run took."""
        return self._steps_seconds

    def _note(self, step: str) -> None:
        """Note how long a part of the run took."""
        now = time.perf_counter()
        self._steps_seconds[step] = now - self._step_started
        self._step_started = now

    def _check(self, calibrations: IsrCalibrations, raw: RawImage) -> None:
        """Refuse calibrations that do not fit; the same ones are checked once."""
        checked = (raw.detector.name, *calibrations.items().values())
        if len(checked) != len(self._checked) or any(
            a is not b for a, b in zip(checked, self._checked, strict=True)
        ):
            self._checked = ()
            check_calibrations(calibrations, config=self.config, detector=raw.detector)
            self._checked = checked
        compare_camera_state(calibrations, config=self.config, header=raw.header, log=self.log)

    def _get_workspace(self, layout: AmplifierLayout) -> npt.NDArray[np.float32]:
        """Return memory for dithered counts; new memory costs more than the dithering."""
        shape = (len(layout), *layout.raw_shape)
        if self._workspace is None or self._workspace.shape != shape:
            self._workspace = np.empty(shape, np.float32)
        return self._workspace

    def _check_voltage(self, raw: RawImage) -> None:
        """Stop if the back-side bias voltage is off."""
        if not self.config.doCheckUnprocessableData or self.config.bssVoltageMinimum <= 0.0:
            return
        voltage = raw.header.get(self.config.bssVoltageKeyword)
        switch = raw.header.get(self.config.hvBiasKeyword)
        if not isinstance(voltage, int | float) or not math.isfinite(voltage) or switch is None:
            self.log.warning(
                "The header has no back-side bias voltage (%s, %s).",
                self.config.bssVoltageKeyword,
                self.config.hvBiasKeyword,
            )
        elif voltage < self.config.bssVoltageMinimum or switch == "OFF":
            raise UnprocessableDataError(
                f"Detector {raw.detector.name} is off: {self.config.bssVoltageKeyword} is {voltage} V,"
                f" expected at least {self.config.bssVoltageMinimum} V, and"
                f" {self.config.hvBiasKeyword} is {switch}."
            )

    def _new_exposure(self, raw: RawImage, detector: Detector) -> MaskedImage:
        """Make an image to fill, placed on the sky if the header says where."""
        projection: SkyProjection[Any] | None = None
        try:
            projection = initial_sky_projection(detector, raw.obs_info)
        except MissingPointingError as error:
            if self.config.expectWcs:
                self.log.warning("No sky position: %s", error)
        unit = u.electron if self.config.doApplyGains else u.adu
        bbox = detector.bbox
        return MaskedImage(
            Image(np.empty(bbox.shape, np.float32), bbox=bbox, unit=unit, sky_projection=projection),
            mask=Mask(0, schema=MASK_SCHEMA, bbox=bbox),
            variance=Image(np.empty(bbox.shape, np.float32), bbox=bbox, unit=unit**2),
        )

    def _mark_bad_amplifiers(
        self, stage: AmplifierStage, image: npt.NDArray[np.float32], mask: npt.NDArray[np.uint16]
    ) -> None:
        """Mask bad amplifiers; those without a gain have no value."""
        for i in np.flatnonzero(stage.bad):
            slices = stage.layout.assembled_slices(int(i))
            mask[slices] |= np.uint16(plane_bits("BAD"))
            if not np.isfinite(stage.factors[i]):
                image[slices] = np.nan

    def _detrend(
        self,
        exposure: MaskedImage,
        stage: AmplifierStage,
        calibrations: IsrCalibrations,
        raw: RawImage,
        mask: npt.NDArray[np.uint16],
    ) -> None:
        """Apply bias, dark, variance and flat."""
        config = self.config
        dark_time = 0.0
        if config.doDark:
            dark_time = self._dark_time(raw)
        prepared = self._prepare(calibrations)
        ones = np.ones(len(stage.layout))
        noise = NoiseModel(
            gains=(ones if config.doApplyGains else stage.gains).astype(np.float32),
            read_noise=stage.noise.astype(np.float32),
        )
        n_nan = detrend(
            exposure.image.array,
            variance=exposure.variance.array,
            mask=mask,
            layout=stage.layout,
            calibrations=prepared,
            noise=noise,
            dark_time=dark_time,
            model_variance=config.doVariance,
            nan_bit=plane_bits("UNMASKEDNAN") if config.doNanMasking else 0,
            negative_bit=(
                plane_bits(config.negativeVarianceMaskName)
                if config.doVariance and config.maskNegativeVariance
                else 0
            ),
        )
        if n_nan:
            self.log.warning("%d values or variances are not finite.", n_nan)
        self.metadata["NUMNANS"] = n_nan
        no_data = plane_bits("NO_DATA")
        if prepared.mask.size and config.doFlat:
            set_masked(exposure.image.array, mask=mask, bits=no_data, without=0, value=0.0)
            value = config.noDataVariance
            set_masked(exposure.variance.array, mask=mask, bits=no_data, without=0, value=value)
        stage.metadata |= {
            "LSST ISR BIAS APPLIED": config.doBias,
            "LSST ISR DARK APPLIED": config.doDark,
            "LSST ISR FLAT APPLIED": config.doFlat,
            "LSST ISR DEFECTS APPLIED": config.doDefect,
            "LSST ISR BF APPLIED": False,
        }
        if (flat := calibrations.metadata().get("flat")) is not None:
            source = flat.get("FLATSRC", "UNKNOWN")
            stage.metadata["LSST ISR FLAT SOURCE"] = source

    def _dark_time(self, raw: RawImage) -> float:
        """Return the dark time of an exposure in seconds."""
        dark_time = raw.obs_info.dark_time
        if dark_time is None or not math.isfinite(dark_time.to_value(u.s)):
            raise UnprocessableDataError(
                f"Exposure {raw.obs_info.exposure_id} of detector {raw.detector.name} has no dark time; it is"
                " needed to scale the dark."
            )
        return float(dark_time.to_value(u.s))

    def _prepare(self, calibrations: IsrCalibrations) -> DetrendCalibrations:
        """Return images in the form that the kernel wants, made once."""
        if calibrations.images is not None:
            return calibrations.images.arrays
        sources = (calibrations.bias, calibrations.dark, calibrations.flat)
        if self._prepared is not None:
            known, prepared = self._prepared
            if all(a is b for a, b in zip(known, sources, strict=True)):
                return prepared
        self._prepared = None
        prepared = prepare_images(calibrations, config=self.config).arrays
        self._prepared = (sources, prepared)
        return prepared

    def _interpolate(self, exposure: MaskedImage, mask: npt.NDArray[np.uint16]) -> None:
        """Set bad regions to the median, and interpolate masked pixels."""
        config, image = self.config, exposure.image.array
        planes = list(config.maskListToInterpolate)
        # Bad pixels that are interpolated need no other value before.
        if config.doSetBadRegions and not (config.doInterpolate and "BAD" in planes):
            bad = plane_bits("BAD")
            value = median(image[(mask & np.uint16(bad)) == 0])
            set_masked(image, mask=mask, bits=bad, without=plane_bits("INTRP"), value=value)
        if config.doInterpolate:
            if "SAT" in planes:
                grow_bits(mask, bit=plane_bits("SAT"), radius=config.growSaturationFootprintSize)
            interpolate_rows(
                image,
                variance=exposure.variance.array,
                mask=mask,
                bits=plane_bits(*planes),
                interpolated_bit=plane_bits("INTRP"),
                fallback=lambda: clipped_statistics(image[::_SAMPLE_STRIDE]).clipped_mean,
            )

    def _measure(
        self,
        layout: AmplifierLayout,
        image: npt.NDArray[np.float32],
        mask: npt.NDArray[np.uint16],
        metadata: dict[str, Any],
    ) -> None:
        """Write statistics of each amplifier into the metadata."""
        if not self.config.doStandardStatistics:
            return
        planes = ("SAT", "BAD", "SUSPECT")
        counts = count_bits(mask, layout=layout, bits=[plane_bits(plane) for plane in planes])
        for index, name in enumerate(layout.names):
            slices = layout.assembled_slices(index)
            for plane, count in zip(planes, counts[index].tolist(), strict=True):
                metadata[f"LSST ISR MASK {plane} {name}"] = count
            statistics = clipped_statistics(image[slices])
            level = metadata.get(f"LSST ISR OVERSCAN SERIAL MEDIAN {name}", math.nan)
            metadata |= {
                f"LSST ISR FINAL MEAN {name}": statistics.mean,
                f"LSST ISR FINAL MEDIAN {name}": statistics.median,
                f"LSST ISR FINAL STDEV {name}": statistics.clipped_stdev,
                f"LSST ISR LEVEL {name}": statistics.median - level,
            }

    def _bin(self, exposure: MaskedImage) -> tuple[Image | None, Image | None]:
        """Make the binned images."""
        if not self.config.doBinnedExposures:
            return None, None
        first, second = (
            Image(bin_image(exposure.image.array, factor), unit=exposure.unit)
            for factor in (self.config.binFactor1, self.config.binFactor2)
        )
        return first, second


def _plain(value: Any) -> Any:
    """Return a value that metadata can hold."""
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    return value


def _read(butlerQC: QuantumContext, name: str, ref: Any) -> Any:
    """Read a calibration; a file that cannot be read is a bad calibration."""
    try:
        return butlerQC.get(ref)
    except (ValueError, OSError) as error:
        raise BadCalibrationError(name, f"it cannot be read: {error}", dataset=str(ref)) from error
