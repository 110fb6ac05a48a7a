# This file is part of ra_pipe.
#
# Use of this source code is governed by a 3-clause BSD-style
# license that can be found in the LICENSE file.

"""Names, units and meanings of the metrics of calibration exposures."""

from __future__ import annotations

__all__ = (
    "AMPLIFIER_METRICS",
    "CALIBRATION_METRICS",
    "AmplifierMetricDefinition",
    "CalibrationKind",
    "summarize_amplifiers",
)

import dataclasses
import enum
from collections.abc import Mapping
from types import MappingProxyType

import numpy as np
import numpy.typing as npt

from ..focal_plane import summarize
from ..measurement import MetricDefinition


class CalibrationKind(enum.StrEnum):
    """What a calibration exposure is for."""

    BIAS = "bias"
    DARK = "dark"
    FLAT = "flat"


_ALL = frozenset(CalibrationKind)
_BIAS = frozenset({CalibrationKind.BIAS})
_DARK = frozenset({CalibrationKind.DARK})
_FLAT = frozenset({CalibrationKind.FLAT})
_WITHOUT_LIGHT = _BIAS | _DARK


@dataclasses.dataclass(frozen=True)
class AmplifierMetricDefinition(MetricDefinition):
    """What a metric of an amplifier is."""

    kinds: frozenset[CalibrationKind] = _ALL
    """Kinds of exposure that have it; for others it is NaN, -1 or empty."""


def _define(
    name: str,
    kind: type[float] | type[int] | type[str],
    unit: str,
    description: str,
    kinds: frozenset[CalibrationKind] = _ALL,
) -> AmplifierMetricDefinition:
    return AmplifierMetricDefinition(name, kind, unit, description, kinds)


AMPLIFIER_METRICS: Mapping[str, AmplifierMetricDefinition] = MappingProxyType(
    {
        metric.name: metric
        for metric in (
            _define("detector", int, "", "Detector number."),
            _define("detector_name", str, "", "Full name of the detector."),
            _define("amplifier", str, "", "Name of the amplifier."),
            _define("gain_electron_per_adu", float, "electron/adu", "Gain that ISR applied, the PTC's."),
            _define("ptc_read_noise_electron", float, "electron", "Read noise of the PTC."),
            _define("bias_level_adu", float, "adu", "Median level of the serial overscan, as read out."),
            _define(
                "overscan_drift_adu",
                float,
                "adu",
                "Median serial overscan level of the last tenth of the rows read minus that of the first.",
            ),
            _define(
                "overscan_scatter_adu",
                float,
                "adu",
                "Clipped standard deviation of the rows' serial overscan levels.",
            ),
            _define(
                "read_noise_electron",
                float,
                "electron",
                "Noise of a pixel of the serial overscan as read out; includes the rounding of counts "
                "(0.3 adu).",
            ),
            _define("read_noise_ratio", float, "", "That over the PTC's."),
            _define("level_electron", float, "electron", "Clipped mean of the image after ISR."),
            _define(
                "pixel_noise_electron",
                float,
                "electron",
                "Noise of a pixel of the image, without what pixels of a row or of a column share.",
            ),
            _define(
                "structure_electron",
                float,
                "electron",
                "Standard deviation of the image's means over blocks of 32 pixels, less the pixel noise: "
                "what the master bias does not describe, and gradients of the dark current.",
                _WITHOUT_LIGHT,
            ),
            _define(
                "row_structure_electron",
                float,
                "electron",
                "The same over rows; the noise of the overscan's levels is a part of it.",
                _WITHOUT_LIGHT,
            ),
            _define(
                "column_structure_electron",
                float,
                "electron",
                "The same over columns; the noise of the overscan's levels is a part of it.",
                _WITHOUT_LIGHT,
            ),
            _define(
                "dark_current_electron_per_second",
                float,
                "electron/s",
                "Clipped mean of the image over the dark time.",
                _DARK,
            ),
            _define(
                "flat_level_electron", float, "electron", "Clipped mean of the image before the flat.", _FLAT
            ),
            _define(
                "flat_nonuniformity",
                float,
                "",
                "Standard deviation of means over blocks of 32 pixels before the flat, over their level, "
                "less the pixel noise.",
                _FLAT,
            ),
            _define(
                "flat_residual_nonuniformity",
                float,
                "",
                "The same after the flat: what changed since the master flat.",
                _FLAT,
            ),
            _define(
                "gain_ratio",
                float,
                "",
                "Gain from the noise of the light over the PTC's gain; at high signal the brighter-fatter "
                "effect makes it too large.",
                _FLAT,
            ),
            _define("gain_ratio_error", float, "", "Its standard deviation from photon noise.", _FLAT),
            _define("n_good_pixels", int, "", "Pixels that the metrics use; none in a bad amplifier."),
            _define("n_bad_pixels", int, "", "Pixels with the mask plane BAD: known defects."),
            _define("n_saturated_pixels", int, "", "Pixels with the mask plane SAT.", _FLAT),
            _define(
                "n_hot_pixels",
                int,
                "",
                "Pixels with a high dark current that are not known as defects and are no cosmic rays.",
                _DARK,
            ),
            _define("n_cosmic_ray_pixels", int, "", "Bright pixels with shared charge.", _DARK),
            _define(
                "n_low_pixels",
                int,
                "",
                "Pixels with a low response after the flat that are not known as defects.",
                _FLAT,
            ),
        )
    }
)
"""Every column of ``rapid_amplifier_metrics`` by name."""

_EXPOSURE = (
    MetricDefinition("instrument", str, "", "Name of the instrument."),
    MetricDefinition("exposure", int, "", "Exposure number."),
    MetricDefinition("detector", int, "", "Detector number."),
    MetricDefinition("detector_name", str, "", "Full name of the detector."),
    MetricDefinition("day_obs", int, "", "Day of observation (UTC - 12 h) as YYYYMMDD."),
    MetricDefinition("seq_num", int, "", "Number of the exposure within its day."),
    MetricDefinition("physical_filter", str, "", "Name of the filter."),
    MetricDefinition("observation_type", str, "", "Kind of exposure, as its header says."),
    MetricDefinition("observation_reason", str, "", "Why it was taken."),
    MetricDefinition("science_program", str, "", "Programme it belongs to."),
    MetricDefinition("target", str, "", "Object or field."),
    MetricDefinition("exposure_time_second", float, "s", "Time that the shutter was open."),
    MetricDefinition("dark_time_second", float, "s", "Time during which dark current was collected."),
    MetricDefinition("begin_mjd_tai", float, "d", "Start of the exposure, modified Julian date, TAI."),
    MetricDefinition("calibration_kind", str, "", "Kind of exposure that the pipeline took it for."),
    MetricDefinition("n_amplifiers", int, "", "Amplifiers of the detector."),
    MetricDefinition("n_bad_amplifiers", int, "", "Amplifiers without a good pixel."),
)

_STATISTICS = {"median": "Median", "min": "Smallest value", "max": "Largest value"}


def _summary_definitions(metric: AmplifierMetricDefinition) -> tuple[MetricDefinition, ...]:
    """Define what a detector has of a metric of its amplifiers."""
    if metric.type is int:
        return (MetricDefinition(metric.name, int, "", f"Sum over the amplifiers. {metric.description}"),)
    return tuple(
        MetricDefinition(
            f"{metric.name}_{name}", float, metric.unit, f"{text} over the amplifiers. {metric.description}"
        )
        for name, text in _STATISTICS.items()
    )


_SUMMARIZED = tuple(
    metric
    for metric in AMPLIFIER_METRICS.values()
    if metric.type is float or (metric.type is int and metric.name.startswith("n_"))
)

CALIBRATION_METRICS: Mapping[str, MetricDefinition] = MappingProxyType(
    {
        definition.name: definition
        for definition in (
            *_EXPOSURE,
            *(definition for metric in _SUMMARIZED for definition in _summary_definitions(metric)),
        )
    }
)
"""Every metric of ``rapid_calibration_metrics`` by name."""


def summarize_amplifiers(columns: Mapping[str, npt.NDArray[np.generic]]) -> dict[str, float | int]:
    """Summarise a detector from the metrics of its amplifiers.

    Parameters
    ----------
    columns
        Values of each metric of `AMPLIFIER_METRICS`, each ``(n_amplifiers,)``;
        what is not known is NaN or -1.

    Returns
    -------
    metrics
        Medians and extremes of the known values, sums of counts (-1 if none
        is known), and numbers of amplifiers, by the names of
        `CALIBRATION_METRICS`.

    Raises
    ------
    KeyError
        Raised if a metric is missing.
    """
    metrics: dict[str, float | int] = {
        "n_amplifiers": int(columns["n_good_pixels"].size),
        "n_bad_amplifiers": int(np.count_nonzero(columns["n_good_pixels"] == 0)),
    }
    for metric in _SUMMARIZED:
        values = np.asarray(columns[metric.name])
        if metric.type is int:
            known = values[values >= 0]
            metrics[metric.name] = int(known.sum()) if known.size else -1
            continue
        statistics = summarize(values.astype(np.float64))
        for name, value in zip(
            _STATISTICS, (statistics.median, statistics.minimum, statistics.maximum), strict=True
        ):
            metrics[f"{metric.name}_{name}"] = value
    return metrics
