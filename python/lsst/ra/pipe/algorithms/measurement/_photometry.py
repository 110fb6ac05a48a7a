# This file is part of ra_pipe.
#
# Use of this source code is governed by a 3-clause BSD-style
# license that can be found in the LICENSE file.

"""Fluxes of sources in circular apertures."""

from __future__ import annotations

__all__ = ("APERTURE_RADII", "CALIBRATION_RADIUS", "AperturePhotometry", "measure_apertures")

import dataclasses

import numba
import numpy as np
import numpy.typing as npt

from ._pixels import UNUSABLE

APERTURE_RADII = (3.0, 6.0, 9.0, 12.0, 17.0)
"""Radii in pixels; a subset of those that the Alert Production measures."""

CALIBRATION_RADIUS = 12.0
"""Radius in pixels of the aperture to which zero points refer, as the Alert
Production's do."""

# Half the diagonal of a pixel.
_DIAGONAL = 0.70711


@dataclasses.dataclass(frozen=True, eq=False)
class AperturePhotometry:
    """Aperture fluxes of ``n`` sources, in the unit of the image."""

    radii: tuple[float, ...]
    """Radii in pixels."""

    flux: npt.NDArray[np.float64]
    """``(n_radii, n)`` sums over the apertures."""

    flux_err: npt.NDArray[np.float64]
    """``(n_radii, n)`` standard errors, from the variance."""

    is_truncated: npt.NDArray[np.bool_]
    """``(n_radii, n)`` whether the aperture leaves the image or holds
    unusable pixels."""


def measure_apertures(
    image: npt.NDArray[np.float32],
    *,
    variance: npt.NDArray[np.float32],
    bad: npt.NDArray[np.uint8],
    x: npt.NDArray[np.float64],
    y: npt.NDArray[np.float64],
    radii: tuple[float, ...] = APERTURE_RADII,
    required_radius: float = CALIBRATION_RADIUS,
    wanted: npt.NDArray[np.bool_] | None = None,
) -> AperturePhotometry:
    """Sum pixels in concentric circles, in one pass over them.

    A pixel on the edge counts with the share of it that lies inside. The
    share is that of the tangent's half-plane, moved by the mean sagitta of
    the arc: a star's flux in 3 pixels is right to 4 in 10000, in 6 and more
    to better than 1 in 100000.

    Unusable pixels count as the mean of the usable ones in the aperture, what
    lies beyond the image as zero; such apertures are marked.

    Parameters
    ----------
    image
        Background-subtracted pixels of shape ``(ny, nx)``.
    variance
        Their variance, of the same shape.
    bad
        ``(ny, nx)`` array that `survey_pixels` made.
    x, y
        ``(n,)`` positions, 0-based pixel centres.
    radii
        Increasing radii in pixels, at least 1.5 apart.
    required_radius
        Largest radius in which all sources are measured.
    wanted
        ``(n,)`` sources to measure in larger apertures as well. All if not
        given.

    Returns
    -------
    photometry
        Fluxes and errors; NaN where a position is, or the aperture is not
        wanted.

    Raises
    ------
    ValueError
        Raised if the radii are not increasing by at least 1.5.
    """
    steps = np.diff(np.array((0.0, *radii)))
    if not (steps >= 1.5).all():
        raise ValueError(f"Aperture radii must increase in steps of at least 1.5 pixels; got {radii}.")
    flux = np.full((len(radii), x.size), np.nan)
    square = np.full_like(flux, np.nan)
    is_truncated = np.ones(flux.shape, dtype=bool)
    everywhere = np.full(x.size, len(radii))
    if wanted is not None:
        everywhere[~wanted] = sum(radius <= required_radius for radius in radii)
    _sum_apertures(image, variance, bad, x, y, np.array(radii), everywhere, flux, square, is_truncated)
    return AperturePhotometry(radii, flux, np.sqrt(square), is_truncated)


@numba.njit(cache=True, nogil=True)
def _inner_share(dx: float, dy: float, distance: float, radius: float) -> float:  # pragma: no cover
    """Share of a unit square at an offset that lies within a circle."""
    depth = radius - distance - 1.0 / (24.0 * radius)
    wide, narrow = 0.5 * abs(dx) / distance, 0.5 * abs(dy) / distance
    if wide < narrow:
        wide, narrow = narrow, wide
    size = abs(depth)
    if size >= wide + narrow:
        share = 1.0
    elif size <= wide - narrow:
        share = 0.5 + size / (2.0 * wide)
    else:
        share = 1.0 - (wide + narrow - size) ** 2 / (8.0 * wide * narrow)
    return share if depth > 0.0 else 1.0 - share


@numba.njit(cache=True, nogil=True)
def _sum_apertures(
    image: np.ndarray,
    variance: np.ndarray,
    bad: np.ndarray,
    x: np.ndarray,
    y: np.ndarray,
    radii: np.ndarray,
    n_wanted: np.ndarray,
    flux: np.ndarray,
    square: np.ndarray,
    is_truncated: np.ndarray,
) -> None:  # pragma: no cover
    """Sum the rings between the circles, then the rings inside each circle."""
    ny, nx = image.shape
    ring, ring_square = np.empty(radii.size + 1), np.empty(radii.size + 1)
    ring_area, ring_lost = np.empty(radii.size + 1), np.empty(radii.size + 1)
    ring_flag = np.empty(radii.size + 1, dtype=np.bool_)
    for n in range(x.size):
        n_radii = n_wanted[n]
        if n_radii == 0 or not (np.isfinite(x[n]) and np.isfinite(y[n])):
            continue
        outer = (radii[n_radii - 1] + _DIAGONAL) ** 2
        half = int(radii[n_radii - 1] + 1.5)
        ring[:], ring_square[:], ring_flag[:] = 0.0, 0.0, False
        ring_area[:], ring_lost[:] = 0.0, 0.0
        middle = int(np.floor(y[n] + 0.5))
        for j in range(middle - half, middle + half + 1):
            dy = j - y[n]
            rest = outer - dy * dy
            if rest <= 0.0:
                continue
            reach = np.sqrt(rest)
            for i in range(int(np.ceil(x[n] - reach)), int(np.floor(x[n] + reach)) + 1):
                dx = i - x[n]
                distance = np.sqrt(dx * dx + dy * dy)
                k = 0
                while k < n_radii - 1 and distance >= radii[k] + _DIAGONAL:
                    k += 1
                share = 1.0
                if distance > radii[k] - _DIAGONAL:
                    share = _inner_share(dx, dy, distance, radii[k])
                inside = 0 <= i < nx and 0 <= j < ny
                if not inside or bad[j, i] & UNUSABLE != 0:
                    ring_flag[k] |= share > 0.0
                    ring_flag[k + 1] |= share < 1.0
                    ring_lost[k] += share * inside
                    ring_lost[k + 1] += (1.0 - share) * inside
                    continue
                ring_area[k] += share
                ring_area[k + 1] += 1.0 - share
                ring[k] += share * image[j, i]
                ring_square[k] += share * variance[j, i]
                ring[k + 1] += (1.0 - share) * image[j, i]
                ring_square[k + 1] += (1.0 - share) * variance[j, i]
        total, total_square, area, lost, flag = 0.0, 0.0, 0.0, 0.0, False
        for k in range(n_radii):
            total += ring[k]
            total_square += ring_square[k]
            area += ring_area[k]
            lost += ring_lost[k]
            flag |= ring_flag[k]
            filled = (area + lost) / area if area > 0.0 else np.nan
            flux[k, n], square[k, n], is_truncated[k, n] = filled * total, filled * total_square, flag
