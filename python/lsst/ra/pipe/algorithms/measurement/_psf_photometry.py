# This file is part of ra_pipe.
#
# Use of this source code is governed by a 3-clause BSD-style
# license that can be found in the LICENSE file.

"""Fluxes of point sources, by fitting the PSF."""

from __future__ import annotations

__all__ = ("PsfPhotometry", "measure_psf_fluxes")

import dataclasses
import math

import numba
import numpy as np
import numpy.typing as npt

from ._pixels import UNUSABLE
from ._psf_model import PsfModel
from ._shapes import determinant_radius

_RADIUS_IN_SIGMAS = 3.5
_LANCZOS = 3


@dataclasses.dataclass(frozen=True, eq=False)
class PsfPhotometry:
    """PSF fluxes of ``n`` sources, in the unit of the image."""

    flux: npt.NDArray[np.float64]
    """``(n,)`` amplitude of the PSF; NaN where too few pixels are usable."""

    flux_err: npt.NDArray[np.float64]
    """``(n,)`` its standard error, from the variance."""


def measure_psf_fluxes(
    image: npt.NDArray[np.float32],
    *,
    variance: npt.NDArray[np.float32],
    bad: npt.NDArray[np.uint8],
    x: npt.NDArray[np.float64],
    y: npt.NDArray[np.float64],
    model: PsfModel,
) -> PsfPhotometry:
    """Fit the PSF's amplitude to the core of each source, its place fixed.

    All pixels count alike, as in the Science Pipelines' PSF flux, since
    weights by the variance would make bright stars' fluxes depend on their
    brightness.

    Parameters
    ----------
    image
        Background-subtracted pixels of shape ``(ny, nx)``.
    variance
        Their variance, of the same shape.
    bad
        ``(ny, nx)`` array that `survey_pixels` made; unusable pixels are left
        out.
    x, y
        ``(n,)`` positions, 0-based pixel centres.
    model
        The PSF.

    Returns
    -------
    photometry
        Fluxes and errors.
    """
    centre = model.moments_at(0.5 * (model.shape[1] - 1), 0.5 * (model.shape[0] - 1))
    radius = min(_RADIUS_IN_SIGMAS * float(determinant_radius(*centre)), model.half - _LANCZOS - 1.0)
    flux, square = _fit_amplitudes(
        image, variance, bad, x, y, model.terms(x, y), model.coefficients, max(radius, 2.0)
    )
    return PsfPhotometry(flux, np.sqrt(square))


@numba.njit(cache=True, nogil=True)
def _lanczos(distance: float) -> float:  # pragma: no cover
    if distance == 0.0:
        return 1.0
    if abs(distance) >= _LANCZOS:
        return 0.0
    angle = math.pi * distance
    return _LANCZOS * math.sin(angle) * math.sin(angle / _LANCZOS) / (angle * angle)


@numba.njit(cache=True, nogil=True, fastmath={"contract", "reassoc"})
def _fit_amplitudes(
    image: np.ndarray,
    variance: np.ndarray,
    bad: np.ndarray,
    x: np.ndarray,
    y: np.ndarray,
    terms: np.ndarray,
    coefficients: np.ndarray,
    radius: float,
) -> tuple[np.ndarray, np.ndarray]:  # pragma: no cover
    ny, nx = image.shape
    n_terms, size, _ = coefficients.shape
    middle = size // 2
    reach = math.ceil(radius)
    outer = reach + _LANCZOS
    width, wide = 2 * reach + 1, 2 * outer + 1
    flux, square = np.full(x.size, np.nan), np.full(x.size, np.nan)
    stamp, shifted = np.empty((wide, wide)), np.empty((wide, width))
    taps_x, taps_y = np.empty(2 * _LANCZOS + 1), np.empty(2 * _LANCZOS + 1)
    for n in range(x.size):
        if not (np.isfinite(x[n]) and np.isfinite(y[n])):
            continue
        column, row = math.floor(x[n] + 0.5), math.floor(y[n] + 0.5)
        shift_x, shift_y = x[n] - column, y[n] - row
        stamp[:] = 0.0
        for t in range(n_terms):
            factor = terms[n, t]
            for b in range(wide):
                for a in range(wide):
                    stamp[b, a] += factor * coefficients[t, middle + b - outer, middle + a - outer]
        for k in range(-_LANCZOS, _LANCZOS + 1):
            taps_x[k + _LANCZOS] = _lanczos(k + shift_x)
            taps_y[k + _LANCZOS] = _lanczos(k + shift_y)
        taps_x /= taps_x.sum()
        taps_y /= taps_y.sum()
        for b in range(wide):
            for a in range(width):
                total = 0.0
                for k in range(2 * _LANCZOS + 1):
                    total += taps_x[k] * stamp[b, a + k]
                shifted[b, a] = total
        top, bottom, noise, every = 0.0, 0.0, 0.0, 0.0
        for b in range(width):
            for a in range(width):
                j, i = row + b - reach, column + a - reach
                if (j - y[n]) ** 2 + (i - x[n]) ** 2 > radius * radius:
                    continue
                value = 0.0
                for k in range(2 * _LANCZOS + 1):
                    value += taps_y[k] * shifted[b + k, a]
                every += value * value
                if j < 0 or j >= ny or i < 0 or i >= nx or bad[j, i] & UNUSABLE != 0:
                    continue
                top += value * image[j, i]
                bottom += value * value
                noise += value * value * variance[j, i]
        if bottom > 0.5 * every:
            flux[n], square[n] = top / bottom, noise / (bottom * bottom)
    return flux, square
