# This file is part of ra_pipe.
#
# Use of this source code is governed by a 3-clause BSD-style
# license that can be found in the LICENSE file.

"""Names, units and meanings of the metrics of one detector."""

from __future__ import annotations

__all__ = ("DETECTOR_METRICS", "MASK_FRACTION_PLANES", "MetricDefinition", "undefined_metrics")

import dataclasses
from collections.abc import Iterable, Mapping
from types import MappingProxyType


@dataclasses.dataclass(frozen=True)
class MetricDefinition:
    """What a metric is."""

    name: str
    """Key in ``rapid_detector_metrics``; ends in the unit where it has one."""

    type: type[float] | type[int] | type[str]
    """Type of the value. A float is NaN where it could not be measured, an
    integer is -1, a string is empty."""

    unit: str
    """Unit as astropy spells it; empty for none."""

    description: str
    """One sentence."""


MASK_FRACTION_PLANES = (
    "BAD",
    "SAT",
    "INTRP",
    "CR",
    "EDGE",
    "DETECTED",
    "SUSPECT",
    "NO_DATA",
    "VIGNETTED",
    "STREAK",
    "CROSSTALK",
    "ITL_DIP",
    "UNMASKEDNAN",
)
"""Mask planes whose fraction is a metric."""

_EXPOSURE = (
    MetricDefinition("instrument", str, "", "Name of the instrument."),
    MetricDefinition("exposure", int, "", "Exposure number."),
    MetricDefinition("visit", int, "", "Visit number."),
    MetricDefinition("detector", int, "", "Detector number."),
    MetricDefinition("detector_name", str, "", "Full name of the detector."),
    MetricDefinition("day_obs", int, "", "Day of observation (UTC - 12 h) as YYYYMMDD."),
    MetricDefinition("seq_num", int, "", "Number of the exposure within its day."),
    MetricDefinition("physical_filter", str, "", "Name of the filter."),
    MetricDefinition("band", str, "", "Short name of the passband."),
    MetricDefinition("observation_type", str, "", "Kind of exposure, such as science."),
    MetricDefinition("observation_reason", str, "", "Why it was taken."),
    MetricDefinition("science_program", str, "", "Programme it belongs to."),
    MetricDefinition("target", str, "", "Object or field."),
    MetricDefinition("exposure_time_second", float, "s", "Time that the shutter was open."),
    MetricDefinition("begin_mjd_tai", float, "d", "Start of the exposure, modified Julian date, TAI."),
    MetricDefinition("airmass", float, "", "Airmass of the boresight."),
    MetricDefinition("altitude_degree", float, "deg", "Altitude of the boresight at the start."),
    MetricDefinition(
        "zenith_distance_degree", float, "deg", "Distance of the detector's centre from the zenith."
    ),
    MetricDefinition("azimuth_degree", float, "deg", "Azimuth of the boresight at the start."),
    MetricDefinition("boresight_ra_degree", float, "deg", "Right ascension of the boresight, ICRS."),
    MetricDefinition("boresight_dec_degree", float, "deg", "Declination of the boresight, ICRS."),
    MetricDefinition("rotation_degree", float, "deg", "Rotation angle of the camera on the sky."),
)

_SKY = (
    MetricDefinition("sky_electron", float, "electron", "Median of the sky model over the detector."),
    MetricDefinition("sky_noise_electron", float, "electron", "Median standard deviation of a sky pixel."),
    MetricDefinition(
        "sky_variance_electron2", float, "electron2", "Mean of the variance plane over pixels of sky."
    ),
    MetricDefinition("sky_gradient", float, "", "Largest minus smallest sky model value over the median."),
)

_PSF = (
    MetricDefinition(
        "psf_fwhm_arcsec",
        float,
        "arcsec",
        "Geometric-mean full width at half maximum of the Moffat profile fitted to the stacked stars, "
        "before integration over the pixel.",
    ),
    MetricDefinition("psf_fwhm_pixel", float, "pix", "The same in pixels."),
    MetricDefinition("psf_moffat_beta", float, "", "Exponent of that profile; 4.77 is close to Kolmogorov."),
    MetricDefinition(
        "psf_profile_chi", float, "", "Root mean square residual of that fit over its error, about 1."
    ),
    MetricDefinition(
        "psf_sigma_pixel",
        float,
        "pix",
        "Determinant radius of the PSF model's adaptive moments at the centre, pixel integration included.",
    ),
    MetricDefinition(
        "psf_sigma_scatter_pixel", float, "pix", "Robust scatter of the stars' determinant radius."
    ),
    MetricDefinition("psf_ixx_pixel2", float, "pix2", "Second moment xx of the PSF model at the centre."),
    MetricDefinition("psf_iyy_pixel2", float, "pix2", "Second moment yy of the PSF model at the centre."),
    MetricDefinition("psf_ixy_pixel2", float, "pix2", "Second moment xy of the PSF model at the centre."),
    MetricDefinition(
        "psf_e1",
        float,
        "",
        "(ixx - iyy) / (ixx + iyy) of the PSF model at the centre, frame of the pixels.",
    ),
    MetricDefinition(
        "psf_e2", float, "", "2 ixy / (ixx + iyy) of the PSF model at the centre, frame of the pixels."
    ),
    MetricDefinition("psf_e", float, "", "Median of the stars' total ellipticity."),
    MetricDefinition("psf_e1_scatter", float, "", "Robust scatter of e1 among stars."),
    MetricDefinition("psf_e2_scatter", float, "", "Robust scatter of e2 among stars."),
    MetricDefinition("psf_area_pixel2", float, "pix2", "Effective area of the PSF model at the centre."),
    MetricDefinition("psf_status", str, "", "'ok', or why there is no PSF."),
    MetricDefinition(
        "psf_star_delta_e1_median", float, "", "Median e1 of the PSF stars minus that of the PSF model."
    ),
    MetricDefinition(
        "psf_star_delta_e2_median", float, "", "Median e2 of the PSF stars minus that of the PSF model."
    ),
    MetricDefinition("psf_star_delta_e1_scatter", float, "", "Robust scatter of that difference of e1."),
    MetricDefinition("psf_star_delta_e2_scatter", float, "", "Robust scatter of that difference of e2."),
    MetricDefinition(
        "psf_star_delta_size_median_pixel",
        float,
        "pix",
        "Median trace radius of the PSF stars minus that of the PSF model.",
    ),
    MetricDefinition(
        "psf_star_delta_size_scatter_pixel", float, "pix", "Robust standard deviation of that size."
    ),
    MetricDefinition(
        "psf_star_scaled_delta_size_scatter", float, "", "The same over the median trace radius of the stars."
    ),
    MetricDefinition(
        "psf_trace_radius_delta_pixel",
        float,
        "pix",
        "Largest minus smallest trace radius of the PSF model over the detector.",
    ),
    MetricDefinition(
        "psf_ap_flux_delta",
        float,
        "",
        "Largest minus smallest share of the PSF model within 3 psf_sigma_pixel, over the detector.",
    ),
    MetricDefinition(
        "psf_ap_corr_sigma_scaled_delta",
        float,
        "",
        "Largest minus smallest aperture correction of the PSF flux over the detector, over psf_sigma_pixel.",
    ),
    MetricDefinition(
        "max_dist_to_nearest_psf_pixel", float, "pix", "Largest distance of a usable pixel from a PSF star."
    ),
    *(
        MetricDefinition(f"psf_{name}", float, "", f"Median of the PSF stars' moments {moments}.")
        for name, moments in (
            ("coma_1", "M30 + M12"),
            ("coma_2", "M21 + M03"),
            ("trefoil_1", "M30 - 3 M12"),
            ("trefoil_2", "3 M21 - M03"),
            ("kurtosis", "M40 + 2 M22 + M04"),
            ("e4_1", "M40 - M04"),
            ("e4_2", "2 (M31 + M13)"),
        )
    ),
    MetricDefinition(
        "seeing_zenith_500nm_arcsec",
        float,
        "arcsec",
        "Full width at half maximum as it would be at the zenith and at 500 nm.",
    ),
)

_SOURCES = (
    MetricDefinition("n_sources", int, "", "Sources detected and measured."),
    MetricDefinition("n_psf_stars", int, "", "Stars used for the PSF."),
    MetricDefinition("n_saturated_sources", int, "", "Sources with a saturated pixel."),
    MetricDefinition("n_extended_sources", int, "", "Sources wider than a star."),
    MetricDefinition(
        "n_sharp_sources", int, "", "Sources too concentrated for a star: cosmic rays, hot pixels."
    ),
    MetricDefinition("n_saturated_pixels", int, "", "Pixels with the mask plane SAT."),
    MetricDefinition("aperture_correction_ap12_ap17", float, "", "Median ratio of the PSF stars' fluxes."),
    MetricDefinition("n_cosmic_rays", int, "", "Cosmic rays found and masked."),
    MetricDefinition("n_low_snr_sources", int, "", "Sources with a signal-to-noise ratio above 5."),
    MetricDefinition("n_high_snr_sources", int, "", "Sources with a signal-to-noise ratio above 20."),
    MetricDefinition(
        "post_isr_median_electron", float, "electron", "Median pixel of the detrended image, sky included."
    ),
)

_ASTROMETRY = (
    MetricDefinition("astrometry_status", str, "", "'ok', or why there is no astrometric fit."),
    MetricDefinition("n_references", int, "", "Stars of the reference catalogue on the detector."),
    MetricDefinition("n_astrometry_stars", int, "", "Stars used in the astrometric fit."),
    MetricDefinition(
        "astrometry_offset_mean_arcsec", float, "arcsec", "Mean distance of the matched stars after the fit."
    ),
    MetricDefinition("astrometry_offset_std_arcsec", float, "arcsec", "Standard deviation of that distance."),
    MetricDefinition(
        "pointing_offset_ra_arcsec",
        float,
        "arcsec",
        "Fitted minus header position of the detector's centre, along right ascension, on the sky.",
    ),
    MetricDefinition("pointing_offset_dec_arcsec", float, "arcsec", "The same along declination."),
    MetricDefinition(
        "pointing_rotation_degree", float, "deg", "Fitted minus header position angle, north through east."
    ),
)

_PHOTOMETRY = (
    MetricDefinition("photometry_status", str, "", "'ok', or why there is no zero point."),
    MetricDefinition("n_photometry_stars", int, "", "Stars used for the zero point."),
    MetricDefinition(
        "zero_point_mag",
        float,
        "mag",
        "AB magnitude of 1 electron in the whole exposure, in the calibration aperture: 12 pixels radius, 35"
        " for LATISS.",
    ),
    MetricDefinition("zero_point_err_mag", float, "mag", "Standard error of the zero point."),
    MetricDefinition("zero_point_scatter_mag", float, "mag", "Robust scatter of the stars about it."),
    MetricDefinition("photometric_calib_nanojansky", float, "nJy / electron", "The same as a flux."),
    MetricDefinition(
        "magnitude_limit_mag", float, "mag", "AB magnitude of a point source of signal-to-noise ratio 5."
    ),
    MetricDefinition(
        "effective_time_second", float, "s", "Exposure time of the same depth in fiducial conditions."
    ),
    MetricDefinition("effective_time_psf_scale", float, "", "Factor of the PSF in the effective time."),
    MetricDefinition("effective_time_sky_scale", float, "", "Factor of the sky in the effective time."),
    MetricDefinition(
        "effective_time_zero_point_scale", float, "", "Factor of the zero point in the effective time."
    ),
)

_GEOMETRY = (
    MetricDefinition("pixel_scale_arcsec", float, "arcsec", "Side of a pixel at the detector's centre."),
    MetricDefinition("center_ra_degree", float, "deg", "Right ascension of the detector's centre, ICRS."),
    MetricDefinition("center_dec_degree", float, "deg", "Declination of the detector's centre, ICRS."),
    *(
        MetricDefinition(
            f"corner_{corner}_{axis}_degree", float, "deg", f"{label} of the {place} pixel corner, ICRS."
        )
        for corner, place in enumerate(
            ("lower left", "lower right", "upper right", "upper left"),
        )
        for axis, label in (("ra", "Right ascension"), ("dec", "Declination"))
    ),
)

_MASKS = tuple(
    MetricDefinition(
        f"mask_fraction_{plane.lower()}", float, "", f"Fraction of the pixels with the mask plane {plane}."
    )
    for plane in MASK_FRACTION_PLANES
)

DETECTOR_METRICS: Mapping[str, MetricDefinition] = MappingProxyType(
    {
        metric.name: metric
        for metric in (
            *_EXPOSURE,
            *_SKY,
            *_PSF,
            *_SOURCES,
            *_ASTROMETRY,
            *_PHOTOMETRY,
            *_GEOMETRY,
            *_MASKS,
        )
    }
)
"""Every metric of ``rapid_detector_metrics`` by name: the one place where they
are defined."""


def undefined_metrics(names: Iterable[str]) -> list[str]:
    """List the names that no definition has.

    Parameters
    ----------
    names
        Names of metrics.

    Returns
    -------
    undefined
        Those that are not in `DETECTOR_METRICS`, in their order.
    """
    return [name for name in names if name not in DETECTOR_METRICS]
