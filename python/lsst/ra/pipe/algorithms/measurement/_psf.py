# This file is part of ra_pipe.
#
# Use of this source code is governed by a 3-clause BSD-style
# license that can be found in the LICENSE file.

"""Size and profile of the point-spread function."""

from __future__ import annotations

__all__ = ("PsfMeasurement", "fit_profile", "measure_psf")

import dataclasses
import math

import numba
import numpy as np
import numpy.typing as npt
import scipy.optimize

from ._moffat import MoffatProfile, evaluate_moffat
from ._robust import robust_scatter
from ._shapes import Shapes, determinant_radius, ellipticity

_GAUSSIAN_FWHM = 2.0 * math.sqrt(2.0 * math.log(2.0))
_BINS = 57
_RADIUS_IN_SIGMAS = 7.0
_MAX_RADIUS = 34
_FLUX_RADIUS_IN_SIGMAS = 2.5
_BETA_RANGE = (1.5, 30.0)
# Weak prior on the exponent: it decides only where a handful of faint stars
# leaves the wings undetermined.
_BETA_PRIOR, _BETA_PRIOR_WIDTH = 3.5, 0.4
# Errors of a stacked profile beyond noise: its variation over the detector,
# relative to the value, and how far real profiles are from Moffat's, relative
# to the peak. The second keeps the wings from deciding the width of the core.
_VARIATION = 0.01
_MISMATCH = 0.005
_MIN_STACK = 10
_STACK_CONTRAST = 0.3


@dataclasses.dataclass(frozen=True)
class PsfMeasurement:
    """The PSF of one detector; NaN where it could not be measured."""

    n_stars: int = 0
    """Number of stars used."""

    profile: MoffatProfile = dataclasses.field(
        default_factory=lambda: MoffatProfile(math.nan, math.nan, math.nan, math.nan, math.nan)
    )
    """Profile fitted to the stacked stars."""

    sigma: float = math.nan
    """Median determinant radius of the adaptive moments, in pixels. Pixel
    integration is part of it, as in the Science Pipelines' ``psfSigma``."""

    e1: float = math.nan
    """Median ellipticity of the adaptive moments, component 1."""

    e2: float = math.nan
    """Median ellipticity of the adaptive moments, component 2."""

    e_median: float = math.nan
    """Median of the stars' total ellipticity."""

    sigma_scatter: float = math.nan
    """Robust scatter of the stars' determinant radius, in pixels."""

    e1_scatter: float = math.nan
    """Robust scatter of the stars' ``e1``."""

    e2_scatter: float = math.nan
    """Robust scatter of the stars' ``e2``."""


def measure_psf(
    image: npt.NDArray[np.float32],
    *,
    variance: npt.NDArray[np.float32],
    bad: npt.NDArray[np.uint8],
    shapes: Shapes,
    is_psf_star: npt.NDArray[np.bool_],
    max_stack: int = 60,
) -> PsfMeasurement:
    """Measure size, shape and profile of the PSF from selected stars.

    Two conventions stand side by side. Moments (``sigma``, ``e1``, ``e2``)
    are medians over the stars of the adaptive moments. The full width at half
    maximum is that of a Moffat profile with free exponent, *before*
    integration over the pixel, fitted to the stacked stars. The stack is an
    effective PSF (Anderson & King 2000, PASP 112, 1360): every pixel of every
    star is a sample of one pixel-integrated profile at its own offset from
    the star's centroid, so nothing is resampled. Medians in bins of offset
    resist neighbours and cosmic rays. The width of a Kolmogorov profile comes
    out 1.7 per cent too small, as its core is not quite a Moffat's.

    Parameters
    ----------
    image
        Background-subtracted pixels of shape ``(ny, nx)``.
    variance
        Their variance, of the same shape.
    bad
        ``(ny, nx)`` array that `survey_pixels` made; only pixels with 0
        are used.
    shapes
        Adaptive moments of ``n`` sources.
    is_psf_star
        ``(n,)`` which of them are stars to use.
    max_stack
        Stack at most so many stars, the most significant.

    Returns
    -------
    measurement
        All NaN with ``n_stars`` 0 if no star was given; the profile alone is
        NaN if its fit failed.
    """
    n_stars = int(np.count_nonzero(is_psf_star))
    if n_stars == 0:
        return PsfMeasurement()
    ixx, iyy, ixy = shapes.ixx[is_psf_star], shapes.iyy[is_psf_star], shapes.ixy[is_psf_star]
    radius = determinant_radius(ixx, iyy, ixy)
    e1, e2 = ellipticity(ixx, iyy, ixy)
    sigma = float(np.median(radius))
    stars = _stars_to_stack(shapes.signal_to_noise, is_psf_star, max_stack)
    stack = _stack(image, variance, bad, shapes.x[stars], shapes.y[stars], sigma)
    profile = fit_profile(stack, sigma=sigma, e1=float(np.median(e1)), e2=float(np.median(e2)))
    return PsfMeasurement(
        n_stars=n_stars,
        profile=profile,
        sigma=sigma,
        e1=float(np.median(e1)),
        e2=float(np.median(e2)),
        e_median=float(np.median(np.hypot(e1, e2))),
        sigma_scatter=robust_scatter(radius),
        e1_scatter=robust_scatter(e1),
        e2_scatter=robust_scatter(e2),
    )


def fit_profile(stack: npt.NDArray[np.float64], *, sigma: float, e1: float, e2: float) -> MoffatProfile:
    """Fit a pixel-integrated elliptical Moffat profile to a stack.

    Parameters
    ----------
    stack
        ``(n, 4)`` offsets dx, dy from the centre in pixels, the value over
        the flux, and the value's standard error.
    sigma
        First guess of the standard deviation in pixels.
    e1, e2
        First guess of the ellipticity.

    Returns
    -------
    profile
        The fit; NaN throughout if it did not converge or there are too few
        values.
    """
    failed = MoffatProfile(math.nan, math.nan, math.nan, math.nan, math.nan)
    if len(stack) < 20:
        return failed
    dx, dy, value, error = np.ascontiguousarray(stack.T)
    weight = 1.0 / np.sqrt(error**2 + (_VARIATION * value) ** 2 + (_MISMATCH * value.max()) ** 2)
    pedestal, target = weight, weight * value

    def residuals(parameters: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        model = weight * evaluate_moffat(dx, dy, *parameters)
        # Amplitude and pedestal are linear: solve for them in closed form.
        design = np.column_stack([model, pedestal])
        solution = np.linalg.solve(design.T @ design, design.T @ target)
        prior = math.log(parameters[5] / _BETA_PRIOR) / _BETA_PRIOR_WIDTH
        return np.append(target - design @ solution, prior)

    start = [0.0, 0.0, 0.87 * _GAUSSIAN_FWHM * sigma, np.clip(e1, -0.6, 0.6), np.clip(e2, -0.6, 0.6), 3.5]
    lower = [-1.5, -1.5, 0.3, -0.7, -0.7, _BETA_RANGE[0]]
    upper = [1.5, 1.5, 40.0, 0.7, 0.7, _BETA_RANGE[1]]
    start[2] = min(max(start[2], lower[2] + 0.1), upper[2] - 0.1)
    scale = [0.1, 0.1, 1.0, 0.05, 0.05, 1.0]
    try:
        result = scipy.optimize.least_squares(
            residuals, start, bounds=(lower, upper), x_scale=scale, xtol=1e-6, ftol=1e-7
        )
    except np.linalg.LinAlgError:
        return failed
    if not result.success:
        return failed
    _, _, fwhm, e1, e2, beta = (float(parameter) for parameter in result.x)
    chi_square = float(np.mean(np.square(result.fun)))
    return MoffatProfile(fwhm, e1, e2, beta, math.sqrt(chi_square))


def _stars_to_stack(
    signal_to_noise: npt.NDArray[np.float64], is_psf_star: npt.NDArray[np.bool_], max_stack: int
) -> npt.NDArray[np.int64]:
    """Take the most significant stars, without the much fainter ones."""
    stars = np.flatnonzero(is_psf_star)
    stars = stars[np.argsort(-signal_to_noise[stars], kind="stable")][:max_stack]
    significance = signal_to_noise[stars]
    typical = np.median(significance[:_MIN_STACK])
    enough = max(_MIN_STACK, int(np.count_nonzero(significance >= _STACK_CONTRAST * typical)))
    return stars[:enough]


def _stack(
    image: npt.NDArray[np.float32],
    variance: npt.NDArray[np.float32],
    bad: npt.NDArray[np.uint8],
    x: npt.NDArray[np.float64],
    y: npt.NDArray[np.float64],
    sigma: float,
) -> npt.NDArray[np.float64]:
    """Medians, in bins of offset, of the stars' normalised pixels.

    Returns an ``(n, 4)`` array: mean offset of the samples in a bin, their
    median and its standard error.
    """
    radius = min(_RADIUS_IN_SIGMAS * sigma, float(_MAX_RADIUS))
    samples = _collect(image, variance, bad, x, y, radius, _FLUX_RADIUS_IN_SIGMAS * sigma)
    if not samples.size:
        return np.empty((0, 4))
    cell = np.floor((samples[:, :2] + radius) * (_BINS / (2.0 * radius))).astype(np.int64)
    index = np.clip(cell, 0, _BINS - 1) @ np.array([1, _BINS])
    order = np.lexsort((samples[:, 2], index))
    index, samples = index[order], samples[order]
    _, first, count = np.unique(index, return_index=True, return_counts=True)
    mean = np.add.reduceat(samples[:, :2], first, axis=0) / count[:, np.newaxis]
    median = 0.5 * (samples[first + (count - 1) // 2, 2] + samples[first + count // 2, 2])
    # Large-sample error of the median of values with unequal errors.
    error = np.sqrt(0.5 * np.pi * count) / np.add.reduceat(1.0 / samples[:, 3], first)
    return np.column_stack([mean, median, error])


@numba.njit(cache=True, nogil=True)
def _collect(
    image: np.ndarray,
    variance: np.ndarray,
    bad: np.ndarray,
    x: np.ndarray,
    y: np.ndarray,
    radius: float,
    flux_radius: float,
) -> np.ndarray:  # pragma: no cover
    """Offset, value and error of the stars' pixels, over their core flux."""
    ny, nx = image.shape
    half = int(np.ceil(radius))
    samples = np.empty((x.size * (2 * half + 1) ** 2, 4))
    total = 0
    for n in range(x.size):
        middle_x, middle_y = int(np.floor(x[n] + 0.5)), int(np.floor(y[n] + 0.5))
        begin, flux = total, 0.0
        for j in range(max(middle_y - half, 0), min(middle_y + half + 1, ny)):
            for i in range(max(middle_x - half, 0), min(middle_x + half + 1, nx)):
                dx, dy = i - x[n], j - y[n]
                distance = np.sqrt(dx * dx + dy * dy)
                if distance > radius or bad[j, i] != 0 or not variance[j, i] > 0.0:
                    continue
                # Soft edge of a pixel's width: no jumps with the sub-pixel phase.
                flux += image[j, i] * min(max(flux_radius - distance + 0.5, 0.0), 1.0)
                samples[total, 0], samples[total, 1] = dx, dy
                samples[total, 2], samples[total, 3] = image[j, i], np.sqrt(variance[j, i])
                total += 1
        if flux > 0.0:
            samples[begin:total, 2:] /= flux
        else:
            total = begin
    return samples[:total]
