# This file is part of ra_pipe.
#
# Use of this source code is governed by a 3-clause BSD-style
# license that can be found in the LICENSE file.

"""Measure the amplifiers of one detector in a bias, dark or flat exposure."""

from __future__ import annotations

__all__ = ("AmplifierMetricsConfig", "AmplifierMetricsConnections", "AmplifierMetricsTask")

import math
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
from astropy.table import Column, Table

from lsst.images import MaskedImage
from lsst.pex.config import ChoiceField, ListField, RangeField
from lsst.pipe.base import (
    InputQuantizedConnection,
    OutputQuantizedConnection,
    PipelineTask,
    PipelineTaskConfig,
    PipelineTaskConnections,
    QuantumContext,
    Struct,
    UnprocessableDataError,
)
from lsst.pipe.base.connectionTypes import Input, Output, PrerequisiteInput

from ..algorithms import MASK_SCHEMA, packed_mask, plane_bits
from ..algorithms.amplifiers import (
    AMPLIFIER_METRICS,
    CALIBRATION_METRICS,
    CalibrationKind,
    count_hot_pixels,
    count_low_pixels,
    measure_noise,
    measure_photon_transfer,
    measure_structure,
    overscan_drift,
    summarize_amplifiers,
)
from ..algorithms.isr import AmplifierLayout, LayoutError, OverscanSettings, clipped_statistics, fit_overscan
from ..camera import RawImage
from ._metric_values import as_metric, exposure_facts

# Pixels without structure of their own differ from the others by less.
_N_SIGMA = 5.0

type Pixels = npt.NDArray[np.float32]


class AmplifierMetricsConnections(
    PipelineTaskConnections, dimensions=("instrument", "exposure", "detector"), defaultTemplates={}
):
    """Datasets of `AmplifierMetricsTask`.

    Parameters
    ----------
    config
        Configuration; only flats need the master flat.
    """

    image = Input(
        doc="Image without instrument signature (electron), with what ISR measured in its metadata.",
        name="post_isr_image",
        storageClass="MaskedImageV2",
        dimensions=("instrument", "exposure", "detector"),
    )
    raw = Input(
        doc="Raw image: its serial overscan is followed along the rows.",
        name="raw",
        storageClass="RapidRaw",
        dimensions=("instrument", "exposure", "detector"),
    )
    flat = PrerequisiteInput(
        doc="Flat that the image was divided by.",
        name="flat",
        storageClass="MaskedImageV2",
        dimensions=("instrument", "detector", "physical_filter"),
        isCalibration=True,
    )
    amplifiers = Output(
        doc="Metrics, one row an amplifier; lsst.ra.pipe.algorithms.amplifiers.AMPLIFIER_METRICS says what "
        "they are.",
        name="rapid_amplifier_metrics",
        storageClass="ArrowAstropy",
        dimensions=("instrument", "exposure", "detector"),
    )
    metrics = Output(
        doc="Metrics of the detector by name; lsst.ra.pipe.algorithms.amplifiers.CALIBRATION_METRICS says "
        "what they are.",
        name="rapid_calibration_metrics",
        storageClass="StructuredDataDict",
        dimensions=("instrument", "exposure", "detector"),
    )

    def __init__(self, *, config: Any = None) -> None:
        super().__init__(config=config)
        if config is not None and config.kind != CalibrationKind.FLAT:
            del self.flat


class AmplifierMetricsConfig(PipelineTaskConfig, pipelineConnections=AmplifierMetricsConnections):
    """Configuration of `AmplifierMetricsTask`."""

    kind = ChoiceField[str](
        dtype=str,
        doc="What the exposure is for, which says what can be measured.",
        default=CalibrationKind.BIAS.value,
        allowed={
            CalibrationKind.BIAS.value: "Bias, with the master bias subtracted.",
            CalibrationKind.DARK.value: "Dark, with the master bias subtracted and the master dark not.",
            CalibrationKind.FLAT.value: "Flat, divided by the master flat.",
        },
        optional=False,
    )
    badMaskPlanes = ListField[str](
        dtype=str,
        default=["BAD", "SAT", "INTRP", "CR", "NO_DATA", "UNMASKEDNAN"],
        itemCheck=lambda plane: plane in MASK_SCHEMA.names,
        doc="Mask planes of pixels that are not used.",
    )
    hotPixelThreshold = RangeField(
        dtype=float,
        default=5.0,
        min=0.0,
        inclusiveMin=False,
        doc="Dark current from which a pixel is hot, if it is also 5 times the noise (electron/s).",
    )
    lowPixelFraction = RangeField(
        dtype=float,
        default=0.8,
        min=0.0,
        max=1.0,
        doc="Fraction of the amplifier's level below which a pixel of a flattened flat is a low one.",
    )
    blockSize = RangeField(
        dtype=int, default=32, min=2, doc="Side of the blocks whose means show structure (pixel)."
    )


class AmplifierMetricsTask(PipelineTask):
    """Measure the amplifiers of one detector in a calibration exposure.

    What ISR has measured is taken from the image's metadata.
    """

    ConfigClass: ClassVar[type[AmplifierMetricsConfig]] = AmplifierMetricsConfig
    config: AmplifierMetricsConfig
    _DefaultName: ClassVar[str] = "amplifierMetrics"

    inputs_read_only: ClassVar[bool] = True
    """The inputs are not changed (`bool`)."""

    def runQuantum(
        self,
        butlerQC: QuantumContext,
        inputRefs: InputQuantizedConnection,
        outputRefs: OutputQuantizedConnection,
    ) -> None:
        """Read the inputs, run, write.

        Parameters
        ----------
        butlerQC
            Access to the datasets of this quantum.
        inputRefs, outputRefs
            References to them.
        """
        inputs = butlerQC.get(inputRefs)
        butlerQC.put(self.run(**inputs), outputRefs)

    def run(self, *, image: MaskedImage, raw: RawImage, flat: MaskedImage | None = None) -> Struct:
        """Measure the amplifiers of one detector.

        Parameters
        ----------
        image
            Image after ISR (electron), assembled, with ISR's metadata.
        raw
            The raw image.
        flat
            What the image was divided by; needed for flats only.

        Returns
        -------
        result
            Struct with ``amplifiers`` (`astropy.table.Table`) and ``metrics``
            (`dict`).

        Raises
        ------
        lsst.pipe.base.UnprocessableDataError
            Raised if the raw's geometry is not that of its detector, or a
            dark exposure has no dark time.
        ValueError
            Raised if ISR did not do what the kind of exposure needs.
        """
        kind = CalibrationKind(self.config.kind)
        self._check_isr(image, kind)
        if kind is CalibrationKind.FLAT and flat is None:
            raise ValueError(f"Detector {raw.detector.name}: a flat is measured with the master flat.")
        if raw.obs_info.observation_type != kind.value:
            self.log.warning(
                "Exposure %s has the type %r, but is measured as a %s.",
                raw.obs_info.exposure_id,
                raw.obs_info.observation_type,
                kind.value,
            )
        try:
            layout = AmplifierLayout.from_detector(raw.detector)
            counts = layout.ordered(raw.amplifiers)
        except LayoutError as error:
            raise UnprocessableDataError(f"Detector {raw.detector.name}: {error}") from error
        good = (packed_mask(image.mask) & np.uint16(plane_bits(*self.config.badMaskPlanes))) == 0
        rows = []
        for index, name in enumerate(layout.names):
            row = {
                "detector": raw.detector.id,
                "detector_name": raw.detector.name,
                "amplifier": name,
                **_from_isr(image.metadata, name),
            }
            row |= _measure_overscan(counts[index], layout, row)
            row |= self._measure_image(
                image, flat, good=good, place=layout.assembled_slices(index), raw=raw, row=row
            )
            rows.append(_complete(row, kind))
        table = make_amplifier_table({name: [row[name] for row in rows] for name in AMPLIFIER_METRICS})
        return Struct(amplifiers=table, metrics=_summarize(table, raw, kind))

    def _measure_image(
        self,
        image: MaskedImage,
        flat: MaskedImage | None,
        *,
        good: npt.NDArray[np.bool_],
        place: tuple[slice, slice],
        raw: RawImage,
        row: Mapping[str, Any],
    ) -> dict[str, float]:
        """Measure the pixels of one amplifier as its kind of exposure wants."""
        pixels, usable = image.image.array[place], good[place]
        match CalibrationKind(self.config.kind):
            case CalibrationKind.BIAS:
                return self._measure_without_light(pixels, good=usable)
            case CalibrationKind.DARK:
                return self._measure_dark(pixels, good=usable, dark_time=_dark_time(raw))
        assert flat is not None, "Checked before."
        return self._measure_flat(
            pixels,
            good=usable,
            flat=flat.image.array[place],
            flat_variance=flat.variance.array[place],
            read_noise=row["read_noise_electron"],
        )

    def _check_isr(self, image: MaskedImage, kind: CalibrationKind) -> None:
        """Check that ISR was configured for this kind of exposure."""
        expected: dict[str, Any] = {
            "LSST ISR UNITS": "electron",
            "LSST ISR BIAS APPLIED": True,
            "LSST ISR FLAT APPLIED": kind is CalibrationKind.FLAT,
        }
        if kind is CalibrationKind.DARK:
            expected["LSST ISR DARK APPLIED"] = False
        for key, value in expected.items():
            if (found := image.metadata.get(key)) != value:
                raise ValueError(f"A {kind.value} is measured with {key} = {value}; ISR wrote {found}.")

    def _measure_without_light(self, image: Pixels, *, good: npt.NDArray[np.bool_]) -> dict[str, float]:
        """Measure level, noise and structure about a constant."""
        measured = measure_noise(image, good=good)
        near = good & (np.abs(image - np.float32(measured.level)) < np.float32(_N_SIGMA * measured.noise))
        structure = measure_structure(image, good=near, noise=measured.noise, block=self.config.blockSize)
        return {
            "level_electron": measured.level,
            "pixel_noise_electron": measured.noise,
            "structure_electron": structure.blocks,
            "row_structure_electron": structure.rows,
            "column_structure_electron": structure.columns,
            "n_good_pixels": measured.n_pixels,
        }

    def _measure_dark(
        self, image: Pixels, *, good: npt.NDArray[np.bool_], dark_time: float
    ) -> dict[str, float]:
        """Measure dark current and hot pixels."""
        row = self._measure_without_light(image, good=good)
        row["dark_current_electron_per_second"] = row["level_electron"] / dark_time
        noise = row["pixel_noise_electron"]
        if math.isfinite(noise):
            threshold = max(self.config.hotPixelThreshold * dark_time, _N_SIGMA * noise)
            hot = count_hot_pixels(
                image - np.float32(row["level_electron"]), good=good, threshold=threshold, noise=noise
            )
            row |= {"n_hot_pixels": hot.n_hot, "n_cosmic_ray_pixels": hot.n_cosmic_ray}
        return row

    def _measure_flat(
        self,
        image: Pixels,
        *,
        good: npt.NDArray[np.bool_],
        flat: Pixels,
        flat_variance: Pixels,
        read_noise: float,
    ) -> dict[str, float]:
        """Measure level, uniformity and gain."""
        measured = measure_noise(image, good=good)
        row: dict[str, float] = {
            "level_electron": measured.level,
            "pixel_noise_electron": measured.noise,
            "n_good_pixels": measured.n_pixels,
        }
        if not measured.level > 0.0:
            return row
        level, fraction = measured.level, self.config.lowPixelFraction
        row["n_low_pixels"] = count_low_pixels(image, good=good, level=level, fraction=fraction)
        # What is not low, nor as high.
        near = good & (np.abs(image - np.float32(level)) < np.float32((1.0 - fraction) * level))
        if not near.any():
            return row
        light = image * flat
        before = clipped_statistics(light[near]).clipped_mean
        noise, block = measured.noise, self.config.blockSize
        of_light = measure_structure(light, good=near, noise=noise * before / level, block=block)
        of_ratio = measure_structure(image, good=near, noise=noise, block=block)
        transfer = measure_photon_transfer(
            image, flat=flat, flat_variance=flat_variance, good=near, read_noise=read_noise
        )
        return row | {
            "flat_level_electron": before,
            "flat_nonuniformity": of_light.blocks / before,
            "flat_residual_nonuniformity": of_ratio.blocks / level,
            "gain_ratio": transfer.gain_ratio,
            "gain_ratio_error": transfer.gain_ratio_error,
        }


def _number(metadata: Mapping[str, Any], key: str) -> float:
    """Return a number from ISR's metadata, which has text for NaN."""
    return float(metadata.get(key, math.nan))


def _from_isr(metadata: Mapping[str, Any], name: str) -> dict[str, float]:
    """Take what ISR measured of an amplifier; NaN for what it did not."""
    gain, noise = (_number(metadata, f"LSST ISR {what} {name}") for what in ("GAIN", "READNOISE"))
    key = "LSST ISR OVERSCAN"
    return {
        "gain_electron_per_adu": gain,
        "ptc_read_noise_electron": noise,
        "bias_level_adu": _number(metadata, f"{key} SERIAL MEDIAN {name}"),
        "overscan_scatter_adu": _number(metadata, f"{key} SERIAL STDEV {name}"),
        "n_bad_pixels": int(metadata.get(f"LSST ISR MASK BAD {name}", -1)),
        "n_saturated_pixels": int(metadata.get(f"LSST ISR MASK SAT {name}", -1)),
    }


def _measure_overscan(
    counts: npt.NDArray[Any], layout: AmplifierLayout, from_isr: Mapping[str, Any]
) -> dict[str, float]:
    """Follow the serial overscan along the rows with data, and measure its noise.

    ISR's own noise is that of all overscan pixels: the first ones have charge
    that a flat left behind.
    """
    settings = OverscanSettings()
    first, last = layout.serial_overscan
    pixels = counts[: layout.data_shape[0], first:last].astype(np.float32)
    drift = overscan_drift(fit_overscan(pixels, settings=settings).levels)
    pixels = pixels[:, settings.leading : pixels.shape[1] - settings.trailing]
    noise = measure_noise(pixels, good=np.ones(pixels.shape, np.bool_)).noise
    noise *= from_isr["gain_electron_per_adu"]
    expected = from_isr["ptc_read_noise_electron"]
    return {
        "overscan_drift_adu": drift,
        "read_noise_electron": noise,
        "read_noise_ratio": noise / expected if expected > 0.0 else math.nan,
    }


def _dark_time(raw: RawImage) -> float:
    """Return the dark time of an exposure in seconds."""
    time = exposure_facts(raw.obs_info)["dark_time_second"]
    if not isinstance(time, float) or not time > 0.0:
        raise UnprocessableDataError(
            f"Exposure {raw.obs_info.exposure_id} of detector {raw.detector.name} has the dark time {time}; a"
            " dark current needs a positive one."
        )
    return time


def _summarize(table: Table, raw: RawImage, kind: CalibrationKind) -> dict[str, float | int | str]:
    """Summarise a detector, and say what the exposure is."""
    values: dict[str, Any] = {
        **exposure_facts(raw.obs_info),
        **summarize_amplifiers({name: np.asarray(table[name]) for name in table.colnames}),
        "instrument": raw.detector.instrument,
        "detector": raw.detector.id,
        "detector_name": raw.detector.name,
        "calibration_kind": kind.value,
    }
    return {
        name: as_metric(name, values.get(name), definition.type)
        for name, definition in CALIBRATION_METRICS.items()
    }


def _complete(row: Mapping[str, Any], kind: CalibrationKind) -> dict[str, float | int | str]:
    """Give a row all metrics, those that its kind of exposure lacks unknown."""
    return {
        name: as_metric(name, row.get(name) if kind in definition.kinds else None, definition.type)
        for name, definition in AMPLIFIER_METRICS.items()
    }


def make_amplifier_table(columns: Mapping[str, Sequence[Any] | npt.NDArray[Any]]) -> Table:
    """Make a table of amplifiers, with units and descriptions.

    Parameters
    ----------
    columns
        Values of each metric of ``AMPLIFIER_METRICS``, each
        ``(n_amplifiers,)``.

    Returns
    -------
    table
        One row an amplifier.
    """
    dtypes: dict[type, Any] = {float: np.float64, int: np.int64, str: str}
    return Table(
        [
            Column(
                np.asarray(columns[name], dtype=dtypes[definition.type]),
                name=name,
                unit=definition.unit or None,
                description=definition.description,
            )
            for name, definition in AMPLIFIER_METRICS.items()
        ]
    )
