# This file is part of ra_pipe.
#
# Use of this source code is governed by a 3-clause BSD-style
# license that can be found in the LICENSE file.

"""Centroids and shapes of sources: adaptive second moments."""

from __future__ import annotations

__all__ = ("Shapes", "determinant_radius", "ellipticity", "measure_shapes")

import dataclasses

import numba
import numpy as np
import numpy.typing as npt

from ._pixels import UNUSABLE

_MAX_ITERATIONS = 60
_TOLERANCE = 1e-4
_WINDOW_SIGMAS = 4.0
_MAX_WINDOW = 40
_MIN_EIGENVALUE = 0.1
_COLLAPSED = 0.25
_MAX_SHIFT = 4.0


@dataclasses.dataclass(frozen=True, eq=False)
class Shapes:
    """Adaptive moments of ``n`` sources; NaN where they did not converge."""

    x: npt.NDArray[np.float64]
    """Column of the centroid, 0-based pixel centres."""

    y: npt.NDArray[np.float64]
    """Row of the centroid, 0-based pixel centres."""

    x_err: npt.NDArray[np.float64]
    """Standard error of ``x`` in pixels, from the variance."""

    y_err: npt.NDArray[np.float64]
    """Standard error of ``y`` in pixels, from the variance."""

    ixx: npt.NDArray[np.float64]
    """Second moment along x, in square pixels."""

    iyy: npt.NDArray[np.float64]
    """Second moment along y, in square pixels."""

    ixy: npt.NDArray[np.float64]
    """Mixed second moment, in square pixels."""

    signal_to_noise: npt.NDArray[np.float64]
    """Flux within the matched Gaussian over its error."""

    peak: npt.NDArray[np.float64]
    """Largest pixel within 2 pixels of the centroid."""

    n_bad: npt.NDArray[np.int64]
    """Number of unusable or doubtful pixels within two and a half standard
    deviations (and at least 2 pixels), those beyond the image included."""

    converged: npt.NDArray[np.bool_]
    """Whether the moments converged."""

    @property
    def radius(self) -> npt.NDArray[np.float64]:
        """Determinant radius in pixels."""
        return determinant_radius(self.ixx, self.iyy, self.ixy)


def determinant_radius(ixx: npt.ArrayLike, iyy: npt.ArrayLike, ixy: npt.ArrayLike) -> npt.NDArray[np.float64]:
    """Fourth root of the determinant of the second moments.

    Parameters
    ----------
    ixx, iyy, ixy
        Second moments in square pixels, of one shape.

    Returns
    -------
    radius
        Array of that shape, in pixels; the standard deviation of a round
        Gaussian.
    """
    determinant = np.multiply(ixx, iyy) - np.square(ixy)
    return np.asarray(np.sqrt(np.sqrt(np.maximum(determinant, 0.0))), dtype=np.float64)


def ellipticity(
    ixx: npt.ArrayLike, iyy: npt.ArrayLike, ixy: npt.ArrayLike
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Distortion ``(a^2 - b^2) / (a^2 + b^2)`` in two components.

    Parameters
    ----------
    ixx, iyy, ixy
        Second moments in square pixels, of one shape.

    Returns
    -------
    e1, e2
        ``(ixx - iyy) / (ixx + iyy)`` and ``2 ixy / (ixx + iyy)``, in the
        frame of the pixels.
    """
    trace = np.add(ixx, iyy)
    return np.subtract(ixx, iyy) / trace, 2.0 * np.asarray(ixy) / trace


def measure_shapes(
    image: npt.NDArray[np.float32],
    *,
    variance: npt.NDArray[np.float32],
    bad: npt.NDArray[np.uint8],
    x: npt.NDArray[np.float64],
    y: npt.NDArray[np.float64],
    start_sigma: float = 2.0,
) -> Shapes:
    """Measure the adaptive moments of sources.

    A Gaussian weight is matched to each source: at the fixed point its
    second moments are twice the weighted ones (Bernstein & Jarvis 2002, AJ
    123, 583; Hirata & Seljak 2003, MNRAS 343, 459). It is the definition that
    ``base_SdssShape`` uses, pixel integration included, so sizes and shapes
    compare with the Science Pipelines'.

    Parameters
    ----------
    image
        Background-subtracted pixels of shape ``(ny, nx)``.
    variance
        Variance of the pixels, of the same shape.
    bad
        ``(ny, nx)`` array that `survey_pixels` made; unusable pixels are
        left out, doubtful ones are counted in ``n_bad`` all the same.
    x, y
        ``(n,)`` first guesses of the centroids, 0-based pixel centres.
    start_sigma
        Standard deviation of the first weight in pixels.

    Returns
    -------
    shapes
        Measurements of the ``n`` sources.
    """
    table = _adaptive_moments(image, variance, bad, x, y, start_sigma)
    converged = table[:, 9] > 0
    table[~converged, 2:7] = np.nan
    return Shapes(
        x=table[:, 0],
        y=table[:, 1],
        x_err=table[:, 2],
        y_err=table[:, 3],
        ixx=table[:, 4],
        iyy=table[:, 5],
        ixy=table[:, 6],
        signal_to_noise=table[:, 7],
        peak=table[:, 10],
        n_bad=table[:, 8].astype(np.int64),
        converged=converged,
    )


@numba.njit(cache=True, nogil=True)
def _rows_of_ellipse(cy: float, wyy: float, ny: int) -> tuple[int, int]:  # pragma: no cover
    """First row and one past the last that the weight's ellipse meets."""
    reach = min(_WINDOW_SIGMAS * np.sqrt(wyy), _MAX_WINDOW)
    return max(int(np.ceil(cy - reach)), 0), min(int(np.floor(cy + reach)) + 1, ny)


@numba.njit(cache=True, nogil=True)
def _row_of_ellipse(
    dy: float, cx: float, axx: float, axy: float, ayy: float, nx: int
) -> tuple[int, int]:  # pragma: no cover
    """First column and one past the last of a row within the ellipse."""
    slope = axy / axx
    rest = _WINDOW_SIGMAS * _WINDOW_SIGMAS - (ayy - axy * slope) * dy * dy
    if rest <= 0.0:
        return 0, 0
    reach = min(np.sqrt(rest / axx), _MAX_WINDOW)
    middle = cx - slope * dy
    return max(int(np.ceil(middle - reach)), 0), min(int(np.floor(middle + reach)) + 1, nx)


@numba.njit(cache=True, nogil=True, fastmath={"contract"})
def _weighted_sums(
    image: np.ndarray,
    bad: np.ndarray,
    cx: float,
    cy: float,
    wxx: float,
    wyy: float,
    wxy: float,
    sums: np.ndarray,
) -> None:  # pragma: no cover
    """Sum w I (1, dx, dy, dx^2, dy^2, dx dy) into ``sums``.

    Along a row the Gaussian weight follows from the one before by two
    multiplications, without an exponential function.
    """
    sums[:] = 0.0
    determinant = wxx * wyy - wxy * wxy
    axx, ayy, axy = wyy / determinant, wxx / determinant, -wxy / determinant
    bend = np.exp(-axx)
    y0, y1 = _rows_of_ellipse(cy, wyy, image.shape[0])
    for j in range(y0, y1):
        dy = j - cy
        x0, x1 = _row_of_ellipse(dy, cx, axx, axy, ayy, image.shape[1])
        if x1 <= x0:
            continue
        dx = x0 - cx
        weight = np.exp(-0.5 * (axx * dx * dx + ayy * dy * dy + 2.0 * axy * dx * dy))
        ratio = np.exp(-0.5 * axx * (2.0 * dx + 1.0) - axy * dy)
        s0, s1, s2 = 0.0, 0.0, 0.0
        for i in range(x0, x1):
            if bad[j, i] & UNUSABLE == 0:
                value = weight * image[j, i]
                s0 += value
                s1 += value * dx
                s2 += value * dx * dx
            weight *= ratio
            ratio *= bend
            dx += 1.0
        sums[0] += s0
        sums[1] += s1
        sums[2] += s0 * dy
        sums[3] += s2
        sums[4] += s0 * dy * dy
        sums[5] += s1 * dy


@numba.njit(cache=True, nogil=True)
def _errors(
    variance: np.ndarray, bad: np.ndarray, cx: float, cy: float, wxx: float, wyy: float, wxy: float
) -> tuple[float, float, float]:  # pragma: no cover
    """Variance of the sums of w I, w I dx and w I dy."""
    sums = np.empty(6)
    # The square of a Gaussian is a Gaussian of half its moments.
    _weighted_sums(variance, bad, cx, cy, 0.5 * wxx, 0.5 * wyy, 0.5 * wxy, sums)
    return sums[0], sums[3], sums[4]


@numba.njit(cache=True, nogil=True)
def _surroundings(
    image: np.ndarray, bad: np.ndarray, cx: float, cy: float, radius: float
) -> tuple[int, float]:  # pragma: no cover
    """Count bad pixels in a circle; find the peak near its centre."""
    ny, nx = image.shape
    half = int(np.ceil(radius))
    middle_x, middle_y = int(np.floor(cx + 0.5)), int(np.floor(cy + 0.5))
    n_bad, peak = 0, -np.inf
    for j in range(middle_y - half, middle_y + half + 1):
        for i in range(middle_x - half, middle_x + half + 1):
            if (i - cx) ** 2 + (j - cy) ** 2 > radius * radius:
                continue
            if j < 0 or j >= ny or i < 0 or i >= nx:
                n_bad += 1
                continue
            n_bad += bad[j, i] != 0
            if abs(i - middle_x) <= 2 and abs(j - middle_y) <= 2 and image[j, i] > peak:
                peak = image[j, i]
    return n_bad, peak


@numba.njit(cache=True, nogil=True)
def _adaptive_moments(
    image: np.ndarray, variance: np.ndarray, bad: np.ndarray, x: np.ndarray, y: np.ndarray, start: float
) -> np.ndarray:  # pragma: no cover
    table = np.full((x.size, 11), np.nan)
    sums = np.zeros(6)
    largest = (_MAX_WINDOW / _WINDOW_SIGMAS) ** 2
    for n in range(x.size):
        cx, cy = x[n], y[n]
        wxx, wyy, wxy = start * start, start * start, 0.0
        converged = False
        for _ in range(_MAX_ITERATIONS):
            _weighted_sums(image, bad, cx, cy, wxx, wyy, wxy, sums)
            if not sums[0] > 0.0:
                break
            sx, sy = sums[1] / sums[0], sums[2] / sums[0]
            mxx = sums[3] / sums[0] - sx * sx
            myy = sums[4] / sums[0] - sy * sy
            mxy = sums[5] / sums[0] - sx * sy
            # The matched Gaussian: C = (M^-1 - W^-1)^-1.
            dm, dw = mxx * myy - mxy * mxy, wxx * wyy - wxy * wxy
            if not (mxx > 0.0 and myy > 0.0 and dm > 0.0):
                # Narrower than a pixel, or all noise: come closer.
                if dw < _COLLAPSED:
                    converged = True
                    break
                wxx = wyy = max(0.5 * np.sqrt(dw), _MIN_EIGENVALUE)
                wxy = 0.0
                continue
            bxx, byy, bxy = myy / dm - wyy / dw, mxx / dm - wxx / dw, -mxy / dm + wxy / dw
            db = bxx * byy - bxy * bxy
            if not (db > 0.0 and bxx > 0.0):
                # Wider than any matched Gaussian: widen the weight.
                bxx, byy, bxy, db = 0.5 / wxx, 0.5 / wyy, 0.0, 0.25 / (wxx * wyy)
            nxx, nyy, nxy = byy / db, bxx / db, -bxy / db
            nxx, nyy = max(nxx, _MIN_EIGENVALUE), max(nyy, _MIN_EIGENVALUE)
            if nxx * nyy - nxy * nxy <= _MIN_EIGENVALUE * _MIN_EIGENVALUE:
                nxy = 0.0
            change = (abs(nxx - wxx) + abs(nyy - wyy) + abs(nxy - wxy)) / (wxx + wyy)
            shift_x, shift_y = 2.0 * sx, 2.0 * sy
            cx, cy, wxx, wyy, wxy = cx + shift_x, cy + shift_y, nxx, nyy, nxy
            if not (wxx < largest and wyy < largest):
                break
            if (cx - x[n]) ** 2 + (cy - y[n]) ** 2 > _MAX_SHIFT * _MAX_SHIFT:
                break
            if change < _TOLERANCE and abs(shift_x) + abs(shift_y) < 10.0 * _TOLERANCE:
                converged = True
                break
        table[n, 9] = converged
        if not converged:
            cx, cy, wxx, wyy, wxy = x[n], y[n], start * start, start * start, 0.0
            _weighted_sums(image, bad, cx, cy, wxx, wyy, wxy, sums)
        flux, along_x, along_y = _errors(variance, bad, cx, cy, wxx, wyy, wxy)
        table[n, 0], table[n, 1] = cx, cy
        if sums[0] > 0.0:
            table[n, 2], table[n, 3] = 2.0 * np.sqrt(along_x) / sums[0], 2.0 * np.sqrt(along_y) / sums[0]
        table[n, 4], table[n, 5], table[n, 6] = wxx, wyy, wxy
        table[n, 7] = sums[0] / np.sqrt(flux) if flux > 0.0 else np.nan
        radius = max(2.5 * (wxx * wyy - wxy * wxy) ** 0.25, 2.0)
        table[n, 8], table[n, 10] = _surroundings(image, bad, cx, cy, radius)
    return table
