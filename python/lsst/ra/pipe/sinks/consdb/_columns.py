# This file is part of ra_pipe.
#
# Use of this source code is governed by a 3-clause BSD-style
# license that can be found in the LICENSE file.

"""What each column of the quicklook tables is filled from."""

from __future__ import annotations

__all__ = (
    "QUICKLOOK_TABLES",
    "Aggregate",
    "Computed",
    "Key",
    "Measured",
    "Source",
    "Statistic",
    "Unknown",
    "describe_source",
    "quicklook_sources",
    "same_unit",
)

import dataclasses
import enum
import math
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import astropy.units as u
import numpy as np

from ...algorithms.measurement import DETECTOR_METRICS

QUICKLOOK_TABLES = (
    "ccdexposure_quicklook",
    "ccdvisit1_quicklook",
    "exposure_quicklook",
    "visit1_quicklook",
)
"""The tables that Rapid Analysis fills; the others have facts of the images."""

_FWHM_OVER_SIGMA = 2.0 * math.sqrt(2.0 * math.log(2.0))

_SCHEMA_UNITS: Mapping[str, str] = {
    "count": "electron",
    "count**2": "electron2",
    "nJy/count": "nJy / electron",
    "arcsec/pixel": "arcsec",
}
"""What units of the schema files stand for.  Post-ISR pixels are in electron,
as the columns' UCDs say, too; and the side of a pixel is an angle."""


class Statistic(enum.StrEnum):
    """How the values of the detectors become one of the exposure."""

    MINIMUM = "min"
    MAXIMUM = "max"
    MEDIAN = "median"
    MEAN = "mean"
    TOTAL = "total"
    ONLY = "only"
    """The value of the only detector that there is."""


@dataclasses.dataclass(frozen=True)
class Key:
    """A column that says which image it is."""


@dataclasses.dataclass(frozen=True)
class Unknown:
    """A column that FirstLook cannot know: it stays NULL."""

    reason: str
    """Why, as a phrase."""


@dataclasses.dataclass(frozen=True)
class Measured:
    """A column that has a metric of one detector."""

    metric: str
    """Key in ``rapid_detector_metrics``."""

    unit: str = ""
    """Unit of the column, as astropy spells it; empty for none."""

    per_pixel_scale: bool = False
    """Whether a full width in arcsec becomes the sigma of a Gaussian of that
    width in pixels: over 2.355 and over ``pixel_scale_arcsec``."""

    def value(self, metrics: Mapping[str, Any]) -> float:
        """Take the value from the metrics of a detector.

        Parameters
        ----------
        metrics
            Metrics by name.

        Returns
        -------
        value
            In the unit of the column; NaN if it is not known.
        """
        value = number(metrics, self.metric)
        if self.per_pixel_scale:
            return value / (_FWHM_OVER_SIGMA * number(metrics, "pixel_scale_arcsec"))
        return value * _unit_factor(DETECTOR_METRICS[self.metric].unit, self.unit)


@dataclasses.dataclass(frozen=True)
class Aggregate:
    """A column that has a statistic of a metric over the detectors."""

    measured: Measured
    """What is taken from each detector."""

    statistic: Statistic
    """What becomes of these values."""

    @property
    def unit(self) -> str:
        """Unit of the column, as astropy spells it (`str`)."""
        return self.measured.unit

    def value(self, detectors: Sequence[Mapping[str, Any]]) -> float:
        """Compute the statistic.

        Parameters
        ----------
        detectors
            Metrics of each detector, by name.

        Returns
        -------
        value
            Statistic of the detectors where the metric is known; NaN if it is
            known nowhere.
        """
        values = np.array([self.measured.value(metrics) for metrics in detectors])
        values = values[np.isfinite(values)]
        return float(_STATISTICS[self.statistic](values)) if values.size else math.nan


@dataclasses.dataclass(frozen=True)
class Computed:
    """A column that is computed from the detectors in a way of its own."""

    function: Callable[[Sequence[Mapping[str, Any]], int], float]
    """Takes the metrics of each detector, and the number of the detector in
    the middle of the focal plane."""

    unit: str
    """Unit of the column, as astropy spells it."""

    metrics: tuple[str, ...]
    """Names of the metrics that it takes."""


Source = Key | Unknown | Measured | Aggregate | Computed
"""Where the value of a column comes from."""

_STATISTICS: Mapping[Statistic, Callable[..., Any]] = {
    Statistic.MINIMUM: np.min,
    Statistic.MAXIMUM: np.max,
    Statistic.MEDIAN: np.median,
    Statistic.MEAN: np.mean,
    Statistic.TOTAL: np.sum,
    Statistic.ONLY: lambda values: values[0],
}

_KEYS = frozenset(
    {"day_obs", "seq_num", "detector", "exposure_id", "visit_id", "ccdexposure_id", "ccdvisit_id"}
)

_POST_ISR_MEDIAN = Measured("post_isr_median_electron", "electron")

_MEASURED: Mapping[str, Measured] = {
    "s_ra": Measured("center_ra_degree", "deg"),
    "s_dec": Measured("center_dec_degree", "deg"),
    "zenith_distance": Measured("zenith_distance_degree", "deg"),
    "photometric_calib": Measured("photometric_calib_nanojansky", "nJy / electron"),
    "zero_point": Measured("zero_point_mag", "mag"),
    "stats_mag_lim": Measured("magnitude_limit_mag", "mag"),
    "psf_sigma": Measured("psf_sigma_pixel", "pix"),
    "psf_area": Measured("psf_area_pixel2", "pix2"),
    "psf_ixx": Measured("psf_ixx_pixel2", "pix2"),
    "psf_iyy": Measured("psf_iyy_pixel2", "pix2"),
    "psf_ixy": Measured("psf_ixy_pixel2", "pix2"),
    # The description says sigma, and its readers multiply by 2.355 and the
    # pixel scale to get the seeing.
    "seeing_zenith_500nm": Measured("seeing_zenith_500nm_arcsec", "pix", per_pixel_scale=True),
    "sky_bg": Measured("sky_electron", "electron"),
    "sky_noise": Measured("sky_noise_electron", "electron"),
    "mean_var": Measured("sky_variance_electron2", "electron2"),
    "pixel_scale": Measured("pixel_scale_arcsec", "arcsec"),
    "astrom_offset_mean": Measured("astrometry_offset_mean_arcsec", "arcsec"),
    "astrom_offset_std": Measured("astrometry_offset_std_arcsec", "arcsec"),
    "eff_time": Measured("effective_time_second", "s"),
    "eff_time_psf_sigma_scale": Measured("effective_time_psf_scale"),
    "eff_time_sky_bg_scale": Measured("effective_time_sky_scale"),
    "eff_time_zero_point_scale": Measured("effective_time_zero_point_scale"),
    "n_psf_star": Measured("n_psf_stars"),
    "low_snr_source_count": Measured("n_low_snr_sources"),
    "high_snr_source_count": Measured("n_high_snr_sources"),
    "coma_1": Measured("psf_coma_1"),
    "coma_2": Measured("psf_coma_2"),
    "trefoil_1": Measured("psf_trefoil_1"),
    "trefoil_2": Measured("psf_trefoil_2"),
    "kurtosis": Measured("psf_kurtosis"),
    "e4_1": Measured("psf_e4_1"),
    "e4_2": Measured("psf_e4_2"),
    "psf_star_delta_e1_median": Measured("psf_star_delta_e1_median"),
    "psf_star_delta_e2_median": Measured("psf_star_delta_e2_median"),
    "psf_star_delta_e1_scatter": Measured("psf_star_delta_e1_scatter"),
    "psf_star_delta_e2_scatter": Measured("psf_star_delta_e2_scatter"),
    "psf_star_delta_size_median": Measured("psf_star_delta_size_median_pixel", "pix"),
    "psf_star_delta_size_scatter": Measured("psf_star_delta_size_scatter_pixel", "pix"),
    "psf_star_scaled_delta_size_scatter": Measured("psf_star_scaled_delta_size_scatter"),
    "psf_trace_radius_delta": Measured("psf_trace_radius_delta_pixel", "pix"),
    "psf_ap_flux_delta": Measured("psf_ap_flux_delta"),
    "psf_ap_corr_sigma_scaled_delta": Measured("psf_ap_corr_sigma_scaled_delta"),
    "max_dist_to_nearest_psf": Measured("max_dist_to_nearest_psf_pixel", "pix"),
}
"""Columns of ``ccdvisit1_quicklook``; with a suffix, or where there is one
detector without, they are columns of ``visit1_quicklook``, too."""

_UNKNOWN: tuple[tuple[str, str], ...] = (
    (r"z\d+", "Zernike coefficients come from the wavefront sensors' pairs of donuts (AOS)"),
    ("aos_fwhm|donut_blur_fwhm", "comes from the fits to the wavefront sensors' donuts (AOS)"),
    ("guider_.*", "comes from the guiders' stamps, which are no images of the Butler's raws"),
    ("ringss_seeing", "comes from a seeing monitor of another telescope"),
    ("physical_rotator_angle", "comes from the rotator's telemetry (EFD)"),
    ("mount_.*", "comes from the mount's and the hexapods' telemetry (EFD)"),
)
"""Patterns of the columns that FirstLook cannot know, with the reason."""


def same_unit(schema_unit: str, unit: str) -> bool:
    """Tell whether a column's unit in the schema file is that of its values.

    Parameters
    ----------
    schema_unit
        Unit of the schema file.
    unit
        Unit of a `Source`.

    Returns
    -------
    same
        Whether they are the same.
    """
    if schema_unit == "count" and not unit:
        # A number of things.
        return True
    return bool(u.Unit(_SCHEMA_UNITS.get(schema_unit, schema_unit)) == u.Unit(unit))


def quicklook_sources(tables: Mapping[str, Sequence[str]]) -> dict[str, dict[str, Source]]:
    """Tell where each column of the quicklook tables comes from.

    Parameters
    ----------
    tables
        Names of the columns, by table.

    Returns
    -------
    sources
        By table and column.  A column of which nothing is known here, of a
        newer schema perhaps, is in none.
    """
    sources = {}
    for table in QUICKLOOK_TABLES:
        found = {column: _source(table, column) for column in tables[table]}
        sources[table] = {column: source for column, source in found.items() if source is not None}
    return sources


def describe_source(source: Source | None) -> str:
    """Say where the value of a column comes from, or why it has none.

    Parameters
    ----------
    source
        Source of the column; `None` if the column is not known.

    Returns
    -------
    description
        A phrase.
    """
    match source:
        case None:
            return "NULL: this column is new in the schema"
        case Key():
            return "key"
        case Unknown(reason):
            return f"NULL: {reason}"
        case Computed(metrics=metrics):
            return f"computed from {', '.join(metrics)}"
        case Aggregate(measured, statistic):
            return f"{statistic} of {describe_source(measured)}"
        case Measured(metric, unit):
            return metric + (f", as {unit}" if unit and source.per_pixel_scale else "")


def number(metrics: Mapping[str, Any], name: str) -> float:
    """Return a metric as a number; NaN if it is not known.

    Parameters
    ----------
    metrics
        Metrics by name.
    name
        Name of the metric.
    """
    value = metrics.get(name)
    if value is None or (DETECTOR_METRICS[name].type is int and value == -1):
        return math.nan
    return float(value)


def _source(table: str, column: str) -> Source | None:
    if column in _KEYS:
        return Key()
    for pattern, reason in _UNKNOWN:
        if re.fullmatch(pattern, column):
            return Unknown(reason)
    if table.startswith("ccd"):
        return _POST_ISR_MEDIAN if column == "postisr_pixel_median" else _MEASURED.get(column)
    if column in _COMPUTED:
        return _COMPUTED[column]
    measured = {"postisr_pixel_median": _POST_ISR_MEDIAN, **_MEASURED}
    if column in measured:
        return Aggregate(measured[column], Statistic.ONLY)
    base, _, suffix = column.rpartition("_")
    if base in measured and suffix in set(Statistic):
        return Aggregate(measured[base], Statistic(suffix))
    return None


def _unit_factor(source: str, target: str) -> float:
    return float(u.Unit(source).to(u.Unit(target))) if source != target else 1.0


def _count(detectors: Sequence[Mapping[str, Any]], middle: int) -> float:
    return len(detectors)


def _fitted(name: str) -> Callable[[Sequence[Mapping[str, Any]], int], float]:
    """Return a function that takes a metric of the detector in the middle, if
    its astrometry was fitted.
    """

    def take(detectors: Sequence[Mapping[str, Any]], middle: int) -> float:
        metrics = _fitted_middle(detectors, middle)
        return math.nan if metrics is None else number(metrics, name)

    return take


def _fitted_rotation(detectors: Sequence[Mapping[str, Any]], middle: int) -> float:
    """Return the position angle, from north over east, of the y axis of the
    detector in the middle: the sky rotation angle.
    """
    metrics = _fitted_middle(detectors, middle)
    if metrics is None:
        return math.nan
    ra, dec = (
        np.radians([number(metrics, f"{place}_{axis}_degree") for place in _PLACES]) for axis in ("ra", "dec")
    )
    # Tangent plane at the centre, the first place.
    east = np.cos(dec) * np.sin(ra - ra[0])
    north = np.sin(dec) * np.cos(dec[0]) - np.cos(dec) * np.sin(dec[0]) * np.cos(ra - ra[0])
    depth = np.sin(dec) * np.sin(dec[0]) + np.cos(dec) * np.cos(dec[0]) * np.cos(ra - ra[0])
    _, lower_left, lower_right, upper_right, upper_left = (east + 1j * north) / depth
    along_y = upper_left + upper_right - lower_left - lower_right
    return math.degrees(math.atan2(along_y.real, along_y.imag)) % 360.0


def _fitted_middle(detectors: Sequence[Mapping[str, Any]], middle: int) -> Mapping[str, Any] | None:
    for metrics in detectors:
        if metrics.get("detector") == middle and metrics.get("astrometry_status") == "ok":
            return metrics
    return None


_PLACES = ("center", "corner_0", "corner_1", "corner_2", "corner_3")
"""Of a detector, of which there are positions on the sky."""

_COMPUTED: Mapping[str, Computed] = {
    "n_inputs": Computed(_count, "", ("detector",)),
    "astrom_ra": Computed(_fitted("center_ra_degree"), "deg", ("center_ra_degree", "astrometry_status")),
    "astrom_dec": Computed(_fitted("center_dec_degree"), "deg", ("center_dec_degree", "astrometry_status")),
    "astrom_sky_rotation": Computed(
        _fitted_rotation,
        "deg",
        (*(f"{place}_{axis}_degree" for place in _PLACES for axis in ("ra", "dec")), "astrometry_status"),
    ),
}
