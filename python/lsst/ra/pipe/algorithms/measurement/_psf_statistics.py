# This file is part of ra_pipe.
#
# Use of this source code is governed by a 3-clause BSD-style
# license that can be found in the LICENSE file.

"""How the PSF model is, and how well it describes the stars."""

from __future__ import annotations

__all__ = ("PsfModelStatistics", "describe_psf_model")

import dataclasses
import math

import numpy as np
import numpy.typing as npt
from scipy.spatial import cKDTree

from ._measure import DetectorMeasurement
from ._psf_model import PsfModel
from ._robust import robust_scatter
from ._shapes import determinant_radius, ellipticity

_MIN_APERTURE = 2.0
_APERTURE_IN_SIGMAS = 3.0


@dataclasses.dataclass(frozen=True)
class PsfModelStatistics:
    """The PSF model at the detector's centre, its variation and its errors.

    The definitions are those of the Science Pipelines'
    ``ComputeExposureSummaryStatsTask``. Lengths are in pixels, all values NaN
    without a model.
    """

    sigma: float = math.nan
    """Determinant radius of the model's adaptive moments at the centre."""

    ixx: float = math.nan
    """Second moment along x there."""

    iyy: float = math.nan
    """Second moment along y there."""

    ixy: float = math.nan
    """Mixed second moment there."""

    area: float = math.nan
    """Effective area ``1 / sum(psf^2)`` there."""

    delta_e1_median: float = math.nan
    """Median e1 of the PSF stars minus that of the model at their places."""

    delta_e2_median: float = math.nan
    """The same of e2."""

    delta_e1_scatter: float = math.nan
    """Robust standard deviation of that difference of e1."""

    delta_e2_scatter: float = math.nan
    """The same of e2."""

    delta_size_median: float = math.nan
    """Median trace radius of the PSF stars minus that of the model."""

    delta_size_scatter: float = math.nan
    """Robust standard deviation of that difference."""

    scaled_delta_size_scatter: float = math.nan
    """The same over the median trace radius of the stars."""

    trace_radius_delta: float = math.nan
    """Largest minus smallest trace radius of the model over the detector."""

    ap_flux_delta: float = math.nan
    """Largest minus smallest share of the model's light within three standard
    deviations, over the detector."""

    ap_corr_sigma_scaled_delta: float = math.nan
    """Largest minus smallest aperture correction over the detector, over
    ``sigma``."""

    max_distance: float = math.nan
    """Largest distance of a good pixel from the nearest PSF star."""

    star_unnormalized_e_median: float = math.nan
    """Median of ``sqrt((ixx - iyy)^2 + (2 ixy)^2)`` of the PSF stars."""


def describe_psf_model(
    measurement: DetectorMeasurement,
    *,
    far_from_stars: tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]],
) -> PsfModelStatistics:
    """Compare the PSF model with the stars, and over the detector.

    Parameters
    ----------
    measurement
        What was measured.
    far_from_stars
        Columns and rows of the pixels whose distance from the nearest PSF
        star counts.

    Returns
    -------
    statistics
        The statistics; NaN without a model.
    """
    model = measurement.psf_model
    if model is None:
        return PsfModelStatistics()
    ny, nx = model.shape
    centre = (0.5 * (nx - 1), 0.5 * (ny - 1))
    ixx, iyy, ixy = (float(moment) for moment in model.moments_at(*centre))
    sigma = float(determinant_radius(ixx, iyy, ixy))
    trace_radius = np.sqrt(0.5 * model.moments_at(*model.grid())[:, :2].sum(axis=1))
    correction = measurement.aperture_correction
    corrections = correction.at(*model.grid()) / sigma if correction is not None else np.array([np.nan])
    return PsfModelStatistics(
        sigma=sigma,
        ixx=ixx,
        iyy=iyy,
        ixy=ixy,
        area=float(1.0 / np.sum(model.image_at(*centre) ** 2)),
        trace_radius_delta=float(np.ptp(trace_radius)),
        ap_flux_delta=_aperture_flux_delta(model, max(_APERTURE_IN_SIGMAS * sigma, _MIN_APERTURE)),
        ap_corr_sigma_scaled_delta=float(np.ptp(corrections)),
        max_distance=_max_distance(measurement, far_from_stars),
        **_star_residuals(measurement, model),
    )


def _star_residuals(measurement: DetectorMeasurement, model: PsfModel) -> dict[str, float]:
    """Compare the moments of the PSF stars with the model's."""
    stars = measurement.selection.is_psf_star
    shapes = measurement.shapes
    star = np.stack([shapes.ixx[stars], shapes.iyy[stars], shapes.ixy[stars]])
    psf = model.moments_at(shapes.x[stars], shapes.y[stars]).T
    size, psf_size = (np.sqrt(0.5 * (moments[0] + moments[1])) for moments in (star, psf))
    (e1, e2), (psf_e1, psf_e2) = ellipticity(*star), ellipticity(*psf)
    scatter = robust_scatter(size - psf_size)
    return {
        "delta_e1_median": float(np.median(e1 - psf_e1)),
        "delta_e2_median": float(np.median(e2 - psf_e2)),
        "delta_e1_scatter": robust_scatter(e1 - psf_e1),
        "delta_e2_scatter": robust_scatter(e2 - psf_e2),
        "delta_size_median": float(np.median(size - psf_size)),
        "delta_size_scatter": scatter,
        "scaled_delta_size_scatter": scatter / float(np.median(size)),
        "star_unnormalized_e_median": float(np.median(np.hypot(star[0] - star[1], 2.0 * star[2]))),
    }


def _aperture_flux_delta(model: PsfModel, radius: float) -> float:
    """Range of the model's light within a circle, over the detector."""
    offset = np.arange(-model.half, model.half + 1)
    inside = np.hypot(*np.meshgrid(offset, offset)) <= radius
    # The sum over a circle is a polynomial as each pixel is.
    shares = model.terms(*model.grid()) @ model.coefficients[:, inside].sum(axis=1)
    return float(np.ptp(shares))


def _max_distance(
    measurement: DetectorMeasurement, pixels: tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]
) -> float:
    """Distance from the PSF stars of the pixel that is farthest from them."""
    stars, shapes = measurement.selection.is_psf_star, measurement.shapes
    if not pixels[0].size:
        return math.nan
    tree = cKDTree(np.column_stack([shapes.x[stars], shapes.y[stars]]))
    distance, _ = tree.query(np.column_stack(pixels))
    return float(distance.max())
