# This file is part of ra_pipe.
#
# Use of this source code is governed by a 3-clause BSD-style
# license that can be found in the LICENSE file.

"""What calibrateImage reports about an image besides its pixels."""

from __future__ import annotations

__all__ = (
    "CalibrationSummary",
    "DetectorPlacement",
    "locate_detector",
    "sky_positions",
    "summarize_calibration",
)

import dataclasses
import math

import astropy.units as u
import erfa
import numpy as np
import numpy.typing as npt
from astro_metadata_translator import ObservationInfo
from astropy.stats import gaussian_sigma_to_fwhm

from lsst.images import Box, DetectorFrame, Mask, MaskedImage, ObservationSummaryStats, SkyProjection
from lsst.images.cameras import Detector

from ..algorithms.calibration import (
    DEPTH_FIDUCIALS,
    EFFECTIVE_WAVELENGTHS,
    Depth,
    compute_depth,
    nanojansky_per_electron,
    seeing_at_zenith,
)
from ..algorithms.measurement import (
    HIGHER_MOMENTS,
    MASK_FRACTION_PLANES,
    DetectorMeasurement,
    PsfModelStatistics,
    count_planes,
    describe_psf_model,
)
from ._reference_calibration import ReferenceCalibration

_FAR_FROM_STARS_PLANES = ("BAD", "CR", "EDGE", "INTRP", "NO_DATA", "SAT", "SUSPECT")
"""Pixels with these planes do not count as far from a PSF star, as in the
Alert Production."""

_LOW_SNR, _HIGH_SNR = 5.0, 20.0
_MEDIAN_STEP = 5


@dataclasses.dataclass(frozen=True)
class DetectorPlacement:
    """Where the image of a detector lies on the sky."""

    center: tuple[float, float]
    """ICRS right ascension and declination of its centre, in degrees."""

    corners: tuple[tuple[float, float], ...]
    """The same of the outer corners of its corner pixels: lower left, then
    counter-clockwise, as in the Science Pipelines' summary statistics."""

    pixel_scale: float
    """Side of a pixel in its centre, in arcsec."""


def sky_positions(
    projection: SkyProjection[DetectorFrame], x: npt.NDArray[np.float64], y: npt.NDArray[np.float64]
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Transform positions to the sky, none included (which AST refuses).

    Parameters
    ----------
    projection
        Sky projection of the detector.
    x, y
        ``(n,)`` positions in its pixels.

    Returns
    -------
    ra, dec
        ``(n,)`` ICRS positions in degrees.
    """
    if not x.size:
        return x, y
    sky = projection.pixel_to_sky(x=x, y=y)
    return sky.ra.deg, sky.dec.deg


def locate_detector(projection: SkyProjection[DetectorFrame], bbox: Box) -> DetectorPlacement:
    """Compute sky positions of the centre and the corners of a box.

    Parameters
    ----------
    projection
        Sky projection of the detector.
    bbox
        Box in its pixels.

    Returns
    -------
    placement
        Where the box lies.
    """
    left, right = bbox.x.min - 0.5, bbox.x.max + 0.5
    bottom, top = bbox.y.min - 0.5, bbox.y.max + 0.5
    x0, y0 = 0.5 * (left + right), 0.5 * (bottom + top)
    x = np.array([x0, left, right, right, left, x0 + 0.5, x0 - 0.5, x0, x0])
    y = np.array([y0, bottom, bottom, top, top, y0, y0, y0 + 0.5, y0 - 0.5])
    sky = projection.pixel_to_sky(x=x, y=y)
    ra, dec = sky.ra.deg, sky.dec.deg
    cosine = math.cos(math.radians(dec[0]))

    def step(first: int, second: int) -> tuple[float, float]:
        delta = (ra[first] - ra[second] + 180.0) % 360.0 - 180.0
        return delta * cosine, dec[first] - dec[second]

    (ax, ay), (bx, by) = step(5, 6), step(7, 8)
    return DetectorPlacement(
        center=(float(ra[0]), float(dec[0])),
        corners=tuple((float(ra[k]), float(dec[k])) for k in range(1, 5)),
        pixel_scale=3600.0 * math.sqrt(abs(ax * by - ay * bx)),
    )


@dataclasses.dataclass(frozen=True, eq=False)
class CalibrationSummary:
    """Everything that describes an image in a number, under two names."""

    measurement: DetectorMeasurement
    """What was measured, in electron."""

    calibration: ReferenceCalibration
    """What the reference catalogue told."""

    placement: DetectorPlacement
    """Where the detector lies."""

    psf: PsfModelStatistics
    """The PSF model and how well it describes the stars."""

    depth: Depth
    """How deep the image is."""

    exposure_time: float
    """Exposure time in seconds."""

    zenith_distance: float
    """Zenith distance of the detector's centre in degrees."""

    seeing: float
    """Width of a Gaussian of the PSF's sigma at the zenith and at 500 nm, in
    arcsec, as RubinTV has it."""

    image_median: float
    """Median pixel before the sky was subtracted, in electron."""

    area: float
    """Area of the image in square degrees."""

    def stats(self) -> ObservationSummaryStats:
        """Fill the Science Pipelines' summary statistics.

        Returns
        -------
        summary_stats
            Statistics; NaN where something could not be measured.
        """
        measurement, astrometry = self.measurement, self.calibration.astrometry
        psf, depth = self.psf, self.depth
        ra, dec = zip(*self.placement.corners, strict=True)
        moments = dict(zip(HIGHER_MOMENTS, measurement.higher_moments.tolist(), strict=True))
        return ObservationSummaryStats(
            psfSigma=psf.sigma,
            psfArea=psf.area,
            psfIxx=psf.ixx,
            psfIyy=psf.iyy,
            psfIxy=psf.ixy,
            ra=self.placement.center[0],
            dec=self.placement.center[1],
            pixelScale=self.placement.pixel_scale,
            zenithDistance=self.zenith_distance,
            expTime=self.exposure_time,
            zeroPoint=self.calibration.zero_point.zero_point,
            skyBg=measurement.background.level,
            skyNoise=measurement.sky_noise,
            meanVar=measurement.sky_variance,
            raCorners=ra,
            decCorners=dec,
            refCatSourceDensity=astrometry.n_references / self.area,
            astromOffsetMean=astrometry.offset_mean,
            astromOffsetStd=astrometry.offset_std,
            nPsfStar=measurement.psf.n_stars,
            psfStarDeltaE1Median=psf.delta_e1_median,
            psfStarDeltaE2Median=psf.delta_e2_median,
            psfStarDeltaE1Scatter=psf.delta_e1_scatter,
            psfStarDeltaE2Scatter=psf.delta_e2_scatter,
            psfStarDeltaSizeMedian=psf.delta_size_median,
            psfStarDeltaSizeScatter=psf.delta_size_scatter,
            psfStarScaledDeltaSizeScatter=psf.scaled_delta_size_scatter,
            psfTraceRadiusDelta=psf.trace_radius_delta,
            psfApFluxDelta=psf.ap_flux_delta,
            psfApCorrSigmaScaledDelta=psf.ap_corr_sigma_scaled_delta,
            maxDistToNearestPsf=psf.max_distance,
            starEMedian=measurement.psf.e_median,
            starUnNormalizedEMedian=psf.star_unnormalized_e_median,
            starComa1Median=moments["coma_1"],
            starComa2Median=moments["coma_2"],
            starTrefoil1Median=moments["trefoil_1"],
            starTrefoil2Median=moments["trefoil_2"],
            starKurtosisMedian=moments["kurtosis"],
            starE41Median=moments["e4_1"],
            starE42Median=moments["e4_2"],
            effTime=depth.effective_time,
            effTimePsfSigmaScale=depth.psf_scale,
            effTimeSkyBgScale=depth.sky_scale,
            effTimeZeroPointScale=depth.zero_point_scale,
            magLim=depth.magnitude_limit,
        )

    def metrics(self, mask: Mask) -> dict[str, float | int | str]:
        """Collect the metrics that need the pixels or the references.

        Parameters
        ----------
        mask
            Mask of the image, sources included.

        Returns
        -------
        metrics
            By the names of `~lsst.ra.pipe.algorithms.measurement.DETECTOR_METRICS`.
        """
        return {
            **_sky_metrics(self.measurement),
            "post_isr_median_electron": self.image_median,
            **self._psf_metrics(),
            **_source_metrics(self.measurement),
            **self._calibration_metrics(),
            "zenith_distance_degree": self.zenith_distance,
            **_placement_metrics(self.placement),
            **_mask_metrics(mask),
        }

    def _psf_metrics(self) -> dict[str, float | int | str]:
        """Metrics of the PSF."""
        stars, model, scale = self.measurement.psf, self.psf, self.placement.pixel_scale
        trace = model.ixx + model.iyy
        return {
            "psf_fwhm_arcsec": stars.profile.fwhm * scale,
            "psf_fwhm_pixel": stars.profile.fwhm,
            "psf_moffat_beta": stars.profile.beta,
            "psf_profile_chi": stars.profile.residual,
            "psf_sigma_pixel": model.sigma,
            "psf_sigma_scatter_pixel": stars.sigma_scatter,
            "psf_ixx_pixel2": model.ixx,
            "psf_iyy_pixel2": model.iyy,
            "psf_ixy_pixel2": model.ixy,
            "psf_e1": (model.ixx - model.iyy) / trace,
            "psf_e2": 2.0 * model.ixy / trace,
            "psf_e": stars.e_median,
            "psf_e1_scatter": stars.e1_scatter,
            "psf_e2_scatter": stars.e2_scatter,
            "psf_area_pixel2": model.area,
            "psf_status": self.measurement.psf_status,
            "psf_star_delta_e1_median": model.delta_e1_median,
            "psf_star_delta_e2_median": model.delta_e2_median,
            "psf_star_delta_e1_scatter": model.delta_e1_scatter,
            "psf_star_delta_e2_scatter": model.delta_e2_scatter,
            "psf_star_delta_size_median_pixel": model.delta_size_median,
            "psf_star_delta_size_scatter_pixel": model.delta_size_scatter,
            "psf_star_scaled_delta_size_scatter": model.scaled_delta_size_scatter,
            "psf_trace_radius_delta_pixel": model.trace_radius_delta,
            "psf_ap_flux_delta": model.ap_flux_delta,
            "psf_ap_corr_sigma_scaled_delta": model.ap_corr_sigma_scaled_delta,
            "max_dist_to_nearest_psf_pixel": model.max_distance,
            "seeing_zenith_500nm_arcsec": self.seeing,
            **{
                f"psf_{name}": value
                for name, value in zip(HIGHER_MOMENTS, self.measurement.higher_moments.tolist(), strict=True)
            },
        }

    def _calibration_metrics(self) -> dict[str, float | int | str]:
        """Metrics of astrometry, photometry and depth."""
        astrometry, zero_point = self.calibration.astrometry, self.calibration.zero_point
        return {
            "astrometry_status": self.calibration.astrometry_status,
            "n_references": astrometry.n_references,
            "n_astrometry_stars": astrometry.n_used,
            "astrometry_offset_mean_arcsec": astrometry.offset_mean,
            "astrometry_offset_std_arcsec": astrometry.offset_std,
            "pointing_offset_ra_arcsec": astrometry.shift_ra,
            "pointing_offset_dec_arcsec": astrometry.shift_dec,
            "pointing_rotation_degree": astrometry.rotation,
            "photometry_status": self.calibration.photometry_status,
            "n_photometry_stars": zero_point.n_used,
            "zero_point_mag": zero_point.zero_point,
            "zero_point_err_mag": zero_point.error,
            "zero_point_scatter_mag": zero_point.scatter,
            "photometric_calib_nanojansky": nanojansky_per_electron(zero_point.zero_point),
            "magnitude_limit_mag": self.depth.magnitude_limit,
            "effective_time_second": self.depth.effective_time,
            "effective_time_psf_scale": self.depth.psf_scale,
            "effective_time_sky_scale": self.depth.sky_scale,
            "effective_time_zero_point_scale": self.depth.zero_point_scale,
        }


def summarize_calibration(
    measurement: DetectorMeasurement,
    calibration: ReferenceCalibration,
    *,
    image: MaskedImage,
    obs_info: ObservationInfo,
    detector: Detector,
    band: str,
) -> CalibrationSummary:
    """Derive what follows from the measurements of an image.

    Parameters
    ----------
    measurement
        What was measured, in electron.
    calibration
        What the reference catalogue told.
    image
        Detrended image, sky included.
    obs_info
        What the header says about the observation.
    detector
        Geometry of the detector.
    band
        Short name of the passband.

    Returns
    -------
    summary
        The summary.
    """
    placement = locate_detector(calibration.projection, image.bbox)
    psf = describe_psf_model(measurement, far_from_stars=_sample_good_pixels(image.mask))
    time = obs_info.exposure_time.to_value(u.s) if obs_info.exposure_time is not None else math.nan
    zenith_distance = _zenith_distance(placement, obs_info)
    return CalibrationSummary(
        measurement=measurement,
        calibration=calibration,
        placement=placement,
        psf=psf,
        depth=compute_depth(
            zero_point=calibration.zero_point.zero_point,
            psf_sigma=psf.sigma,
            psf_area=psf.area,
            sky=measurement.background.level,
            read_noise=_read_noise(measurement),
            exposure_time=float(time),
            fiducials=DEPTH_FIDUCIALS.get(detector.instrument, {}).get(band),
        ),
        exposure_time=float(time),
        zenith_distance=zenith_distance,
        seeing=seeing_at_zenith(
            gaussian_sigma_to_fwhm * psf.sigma * placement.pixel_scale,
            zenith_distance=zenith_distance,
            wavelength=EFFECTIVE_WAVELENGTHS.get(detector.instrument, {}).get(band, math.nan),
        ),
        image_median=_median_pixel(image),
        area=image.bbox.area * (placement.pixel_scale / 3600.0) ** 2,
    )


def _read_noise(measurement: DetectorMeasurement) -> float:
    """Read noise in electron: what the variance of the sky's pixels has
    beyond the sky itself.
    """
    return math.sqrt(max(measurement.sky_variance - measurement.background.level, 0.0))


def _median_pixel(image: MaskedImage) -> float:
    """Median of a sample of the pixels."""
    sample = image.image.array[::_MEDIAN_STEP, ::_MEDIAN_STEP]
    sample = sample[np.isfinite(sample)]
    return float(np.median(sample)) if sample.size else math.nan


def _sample_good_pixels(
    mask: Mask, *, step: int = 96
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Columns and rows of a grid of pixels, without those that are masked."""
    start = step // 2
    planes = [plane for plane in _FAR_FROM_STARS_PLANES if plane in mask.schema.names]
    hit = (mask.array[start::step, start::step] & mask.schema.bitmask(*planes)).any(axis=2)
    rows, columns = np.nonzero(~hit)
    return (start + step * columns).astype(np.float64), (start + step * rows).astype(np.float64)


def _zenith_distance(placement: DetectorPlacement, obs_info: ObservationInfo) -> float:
    """Zenith distance of the detector's centre at the start, in degrees.

    The header has that of the boresight; what the detector differs by
    follows from the hour angles of both.
    """
    altaz, boresight = obs_info.altaz_begin, obs_info.tracking_radec
    if altaz is None or boresight is None or obs_info.location is None or obs_info.datetime_begin is None:
        return math.nan
    latitude, longitude = obs_info.location.lat.rad, obs_info.location.lon.rad
    begin = obs_info.datetime_begin.utc
    # The Earth's rotation angle, with UTC for UT1, is good enough for a
    # difference.
    local = longitude + erfa.era00(begin.jd1, begin.jd2)

    def altitude(ra: float, dec: float) -> float:
        hour_angle = local - math.radians(ra)
        sine = math.sin(latitude) * math.sin(math.radians(dec))
        sine += math.cos(latitude) * math.cos(math.radians(dec)) * math.cos(hour_angle)
        return math.degrees(math.asin(min(max(sine, -1.0), 1.0)))

    pointing = boresight.icrs
    difference = altitude(*placement.center) - altitude(float(pointing.ra.deg), float(pointing.dec.deg))
    return 90.0 - float(altaz.alt.deg) - difference


def _sky_metrics(measurement: DetectorMeasurement) -> dict[str, float | int | str]:
    """Metrics of the sky."""
    return {
        "sky_electron": measurement.background.level,
        "sky_noise_electron": measurement.sky_noise,
        "sky_variance_electron2": measurement.sky_variance,
        "sky_gradient": measurement.background.gradient,
    }


def _source_metrics(measurement: DetectorMeasurement) -> dict[str, float | int | str]:
    """Metrics of the sources."""
    selection, significance = measurement.selection, measurement.shapes.signal_to_noise
    inner, outer = (measurement.photometry.radii.index(radius) for radius in (12.0, 17.0))
    fluxes = measurement.photometry.flux[:, selection.is_psf_star]
    ratio = fluxes[outer] / fluxes[inner]
    ratio = ratio[np.isfinite(ratio)]
    return {
        "n_sources": len(measurement.detections),
        "n_psf_stars": measurement.psf.n_stars,
        "n_saturated_sources": int(np.count_nonzero(measurement.is_saturated)),
        "n_extended_sources": int(np.count_nonzero(selection.is_extended)),
        "n_sharp_sources": int(np.count_nonzero(measurement.is_sharp)),
        "n_low_snr_sources": int(np.count_nonzero(significance > _LOW_SNR)),
        "n_high_snr_sources": int(np.count_nonzero(significance > _HIGH_SNR)),
        "n_cosmic_rays": measurement.cosmic_rays.n_rays,
        "aperture_correction_ap12_ap17": float(np.median(ratio)) if ratio.size else math.nan,
    }


def _placement_metrics(placement: DetectorPlacement) -> dict[str, float | int | str]:
    """Metrics of where the detector lies."""
    metrics: dict[str, float | int | str] = {
        "pixel_scale_arcsec": placement.pixel_scale,
        "center_ra_degree": placement.center[0],
        "center_dec_degree": placement.center[1],
    }
    for corner, (ra, dec) in enumerate(placement.corners):
        metrics[f"corner_{corner}_ra_degree"] = ra
        metrics[f"corner_{corner}_dec_degree"] = dec
    return metrics


def _mask_metrics(mask: Mask) -> dict[str, float | int | str]:
    """Fraction of the pixels in each mask plane."""
    counts = count_planes(np.ascontiguousarray(mask.array))
    n_pixels = mask.bbox.area
    by_plane: dict[str, int] = {}
    for plane in mask.schema.names:
        bit = mask.schema.bit(plane)
        by_plane[plane] = int(counts[bit.index, int(bit.mask).bit_length() - 1])
    metrics: dict[str, float | int | str] = {"n_saturated_pixels": by_plane.get("SAT", -1)}
    for plane in MASK_FRACTION_PLANES:
        metrics[f"mask_fraction_{plane.lower()}"] = (
            by_plane[plane] / n_pixels if plane in by_plane else math.nan
        )
    return metrics
