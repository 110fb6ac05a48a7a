# This file is part of ra_pipe.
#
# Use of this source code is governed by a 3-clause BSD-style
# license that can be found in the LICENSE file.

"""The metrics that rules may be on, by name."""

from __future__ import annotations

__all__ = ("DETECTOR_TABLE_METRICS", "EXPOSURE_METRICS", "suggest_names")

import difflib
from collections.abc import Iterable, Iterator, Mapping
from types import MappingProxyType

from ...algorithms.amplifiers import AMPLIFIER_METRICS, CALIBRATION_METRICS
from ...algorithms.measurement import DETECTOR_METRICS, MetricDefinition

STATISTICS: Mapping[str, str] = MappingProxyType(
    {
        "median": "Median over the detectors.",
        "scatter": "Robust standard deviation over the detectors.",
        "min": "Smallest value of the detectors.",
        "max": "Largest value of the detectors.",
    }
)
"""Statistics over an exposure's detectors, by the end of their names."""

_FACTS = (
    "exposure_time_second",
    "begin_mjd_tai",
    "airmass",
    "altitude_degree",
    "azimuth_degree",
    "boresight_ra_degree",
    "boresight_dec_degree",
    "rotation_degree",
)

_PLACES = tuple(
    MetricDefinition(name, float, unit, description)
    for name, unit, description in (
        ("focal_plane_x_mm", "mm", "Focal plane x of the detector's centre."),
        ("focal_plane_y_mm", "mm", "Focal plane y of the detector's centre."),
        ("field_angle_x_degree", "deg", "Field angle x of the detector's centre."),
        ("field_angle_y_degree", "deg", "Field angle y of the detector's centre."),
        ("focal_plane_e1", "", "Median e1 of the stars in the frame of the focal plane."),
        ("focal_plane_e2", "", "Median e2 of the stars in the frame of the focal plane."),
    )
)

_SUMMARY = tuple(
    MetricDefinition(name, kind, unit, description)
    for name, kind, unit, description in (
        ("n_detectors", int, "", "Detectors that are here."),
        ("n_detectors_expected", int, "", "Detectors that the exposure should have."),
        ("n_detectors_missing", int, "", "Detectors that are not here."),
        ("n_detectors_with_psf", int, "", "Detectors on which the PSF was measured."),
        ("n_detectors_with_astrometry", int, "", "Detectors on which the pointing was fitted."),
        ("n_detectors_with_photometry", int, "", "Detectors on which the zero point was measured."),
        ("boresight_offset_ra_arcsec", float, "arcsec", "Fitted minus nominal boresight, times cos dec."),
        ("boresight_offset_dec_arcsec", float, "arcsec", "Fitted minus nominal boresight, in declination."),
        ("boresight_rotation_degree", float, "deg", "Fitted minus nominal rotation of the camera."),
        ("boresight_offset_scatter_arcsec", float, "arcsec", "Scatter of the detectors about these."),
        ("n_detectors_boresight", int, "", "Detectors that these are fitted to."),
        ("psf_e_common", float, "", "Ellipticity that all detectors share."),
        ("psf_e_common_angle_degree", float, "deg", "Its direction in the focal plane."),
        ("psf_e_radial", float, "", "Ellipticity that grows towards the edge, along the radius."),
        ("psf_e_cross", float, "", "The same at 45 degrees to the radius."),
    )
)

DETECTOR_TABLE_METRICS: Mapping[str, MetricDefinition] = MappingProxyType(
    {**DETECTOR_METRICS, **{metric.name: metric for metric in _PLACES}}
)
"""Columns of ``rapid_exposure_detectors`` by name."""


def _exposure_metrics() -> Iterator[MetricDefinition]:
    yield from (DETECTOR_METRICS[name] for name in _FACTS)
    yield from _SUMMARY
    for metric in DETECTOR_TABLE_METRICS.values():
        if metric.type is str:
            continue
        for statistic, text in STATISTICS.items():
            yield MetricDefinition(f"{metric.name}_{statistic}", float, metric.unit, text)
        per_degree = f"{metric.unit}/deg" if metric.unit else "1/deg"
        for axis in "xy":
            text = "Slope over the focal plane."
            yield MetricDefinition(f"{metric.name}_gradient_{axis}_per_degree", float, per_degree, text)
        text = "Robust standard deviation about a plane over the focal plane."
        yield MetricDefinition(f"{metric.name}_residual_scatter", float, metric.unit, text)
    for metric in CALIBRATION_METRICS.values():
        if metric.type is not str:
            yield metric
    for metric in AMPLIFIER_METRICS.values():
        if metric.type is float:
            text = "Robust standard deviation over the amplifiers."
            yield MetricDefinition(f"{metric.name}_scatter", float, metric.unit, text)


EXPOSURE_METRICS: Mapping[str, MetricDefinition] = MappingProxyType(
    {metric.name: metric for metric in _exposure_metrics() if metric.type is not str}
)
"""Numbers of ``rapid_exposure_summary`` and ``rapid_calibration_summary`` by
name, with ``<metric>_<statistic>`` for every metric of a detector: those that
the summary does not have are taken from the table of its detectors."""


def suggest_names(name: str, known: Iterable[str]) -> str:
    """Say which names are like one that does not exist.

    Parameters
    ----------
    name
        What was written.
    known
        The names that exist.

    Returns
    -------
    text
        Up to three names, with commas; empty if none is similar.
    """
    names = list(known)
    same = [one for one in names if one in {f"{name}_{statistic}" for statistic in STATISTICS}]
    return ", ".join(same[:3] or difflib.get_close_matches(name, names, n=3, cutoff=0.6))
