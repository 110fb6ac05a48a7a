# This file is part of ra_pipe.
#
# Use of this source code is governed by a 3-clause BSD-style
# license that can be found in the LICENSE file.

"""What calibrateImage reports about an image besides its pixels."""

from __future__ import annotations

__all__ = (
    "DetectorPlacement",
    "compute_metrics",
    "compute_summary_stats",
    "locate_detector",
    "sky_positions",
)

import dataclasses
import math

import astropy.units as u
import numpy as np
import numpy.typing as npt
from astro_metadata_translator import ObservationInfo

from lsst.images import Box, DetectorFrame, Mask, ObservationSummaryStats, SkyProjection

from ..algorithms.measurement import MASK_FRACTION_PLANES, DetectorMeasurement, count_planes


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


def compute_summary_stats(
    measurement: DetectorMeasurement, placement: DetectorPlacement, obs_info: ObservationInfo
) -> ObservationSummaryStats:
    """Fill the Science Pipelines' summary statistics as far as they go.

    Parameters
    ----------
    measurement
        What was measured, in electron.
    placement
        Where the detector lies.
    obs_info
        What the header says about the observation.

    Returns
    -------
    summary_stats
        Statistics; those that need photometric or astrometric calibration
        stay NaN.
    """
    psf = measurement.psf
    altitude = obs_info.altaz_begin.alt.deg if obs_info.altaz_begin is not None else math.nan
    time = obs_info.exposure_time.to_value(u.s) if obs_info.exposure_time is not None else math.nan
    ra, dec = zip(*placement.corners, strict=True)
    return ObservationSummaryStats(
        psfSigma=psf.sigma,
        psfArea=psf.area,
        psfIxx=psf.ixx,
        psfIyy=psf.iyy,
        psfIxy=psf.ixy,
        ra=placement.center[0],
        dec=placement.center[1],
        pixelScale=placement.pixel_scale,
        zenithDistance=90.0 - float(altitude),
        expTime=float(time),
        skyBg=measurement.background.level,
        skyNoise=measurement.background.noise,
        meanVar=measurement.sky_variance,
        raCorners=ra,
        decCorners=dec,
        nPsfStar=psf.n_stars,
        starEMedian=psf.e_median,
    )


def compute_metrics(
    measurement: DetectorMeasurement, placement: DetectorPlacement, mask: Mask
) -> dict[str, float | int | str]:
    """Collect the metrics that need the pixels.

    Parameters
    ----------
    measurement
        What was measured, in electron.
    placement
        Where the detector lies.
    mask
        Mask of the image, sources included.

    Returns
    -------
    metrics
        By the names of `~lsst.ra.pipe.algorithms.measurement.DETECTOR_METRICS`.
    """
    return {
        **_measurement_metrics(measurement, placement.pixel_scale),
        **_placement_metrics(placement),
        **_mask_metrics(mask),
    }


def _measurement_metrics(
    measurement: DetectorMeasurement, pixel_scale: float
) -> dict[str, float | int | str]:
    """Metrics of sky, PSF and sources."""
    psf, selection = measurement.psf, measurement.selection
    fluxes = measurement.photometry.flux[-2:, selection.is_psf_star]
    correction = float(np.median(fluxes[1] / fluxes[0])) if fluxes.size else math.nan
    return {
        "sky_electron": measurement.background.level,
        "sky_noise_electron": measurement.background.noise,
        "sky_variance_electron2": measurement.sky_variance,
        "sky_gradient": measurement.background.gradient,
        "psf_fwhm_arcsec": psf.profile.fwhm * pixel_scale,
        "psf_fwhm_pixel": psf.profile.fwhm,
        "psf_moffat_beta": psf.profile.beta,
        "psf_profile_chi": psf.profile.residual,
        "psf_sigma_pixel": psf.sigma,
        "psf_sigma_scatter_pixel": psf.sigma_scatter,
        "psf_ixx_pixel2": psf.ixx,
        "psf_iyy_pixel2": psf.iyy,
        "psf_ixy_pixel2": psf.ixy,
        "psf_e1": psf.e1,
        "psf_e2": psf.e2,
        "psf_e": psf.e_median,
        "psf_e1_scatter": psf.e1_scatter,
        "psf_e2_scatter": psf.e2_scatter,
        "psf_area_pixel2": psf.area,
        "psf_status": measurement.psf_status,
        "n_sources": len(measurement.detections),
        "n_psf_stars": psf.n_stars,
        "n_saturated_sources": int(np.count_nonzero(measurement.is_saturated)),
        "n_extended_sources": int(np.count_nonzero(selection.is_extended)),
        "n_sharp_sources": int(np.count_nonzero(measurement.is_sharp)),
        "aperture_correction_ap12_ap17": correction,
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
