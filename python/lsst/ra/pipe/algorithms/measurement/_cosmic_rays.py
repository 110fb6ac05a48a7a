# This file is part of ra_pipe.
#
# Use of this source code is governed by a 3-clause BSD-style
# license that can be found in the LICENSE file.

"""Cosmic rays: what is sharper than a star can be."""

from __future__ import annotations

__all__ = ("CosmicRays", "find_cosmic_rays")

import dataclasses
import math

import numba
import numpy as np
import numpy.typing as npt

# As in the Alert Production's ``meas_algorithms.findCosmicRays``: a pixel
# stands so many standard deviations above the sky, ...
_SIGNIFICANCE = 6.0
# ... and above any pair of opposite neighbours, so many standard deviations
# of either and this share of the PSF's own contrast aside.
_ALLOWANCE = 2.5
_SHARPNESS = 0.6
# Neighbours of such pixels need less.
_GROWTH_SIGNIFICANCE = 3.0
_GROWTH_ALLOWANCE = 0.5
_GROWTH_ROUNDS = 4
# More than this share of the pixels are not cosmic rays, but a wrong PSF.
_MAX_SHARE = 0.01


@dataclasses.dataclass(frozen=True, eq=False)
class CosmicRays:
    """Pixels that cosmic rays hit."""

    rows: npt.NDArray[np.int64]
    """``(n,)`` rows of the pixels."""

    columns: npt.NDArray[np.int64]
    """``(n,)`` columns of the pixels."""

    values: npt.NDArray[np.float32]
    """``(n,)`` what the pixels would be without: the median of the sound
    pixels around them."""

    n_rays: int
    """Number of connected groups of such pixels; -1 if there were too many
    to be cosmic rays, and none is reported."""

    @classmethod
    def none(cls, n_rays: int = 0) -> CosmicRays:
        """Report no pixel.

        Parameters
        ----------
        n_rays
            0, or -1 if they could not be told.

        Returns
        -------
        cosmic_rays
            No pixels.
        """
        nothing = np.empty(0, dtype=np.int64)
        return cls(nothing, nothing, np.empty(0, dtype=np.float32), n_rays)


def find_cosmic_rays(
    image: npt.NDArray[np.float32],
    *,
    variance: npt.NDArray[np.float32],
    bad: npt.NDArray[np.uint8],
    sky: npt.NDArray[np.float32],
    sigma: float,
) -> CosmicRays:
    """Find pixels that stand out more sharply than the centre of a star.

    The method of the Sloan survey's photometric pipeline, which the Science
    Pipelines use: a star spreads its light over the neighbours of its peak by
    a known share, a cosmic ray does not.

    Parameters
    ----------
    image
        Pixels of shape ``(ny, nx)``, sky included.
    variance
        Their variance, of the same shape.
    bad
        ``(ny, nx)`` array, non-zero where a pixel is not considered.
    sky
        ``(cells_y, cells_x)`` level of the sky on a grid over the image.
    sigma
        Standard deviation of the PSF in pixels.

    Returns
    -------
    cosmic_rays
        The pixels, none in the outermost two rows and columns.
    """
    shares = math.exp(-0.5 / sigma**2), math.exp(-1.0 / sigma**2)
    rows, columns, n_rays, is_hit = _find(image, variance, bad, sky, shares[0], shares[1])
    if n_rays < 0:
        return CosmicRays.none(-1)
    return CosmicRays(rows, columns, _fill(image, bad, is_hit, rows, columns), n_rays)


@numba.njit(cache=True, nogil=True)
def _is_sharp(
    image: np.ndarray,
    variance: np.ndarray,
    is_hit: np.ndarray,
    j: int,
    i: int,
    level: float,
    straight: float,
    diagonal: float,
    allowance: float,
) -> bool:  # pragma: no cover
    """Compare a pixel with its four pairs of opposite neighbours.

    Of a pair that holds a pixel known to be hit the other one counts.
    """
    height = image[j, i] - level - allowance * np.sqrt(max(variance[j, i], 0.0))
    for pair in range(4):
        b, a = (0, 1, 1, 1)[pair], (1, 0, 1, -1)[pair]
        total, square, count = 0.0, 0.0, 0
        if not is_hit[j + b, i + a]:
            total, square, count = image[j + b, i + a] - level, variance[j + b, i + a], 1
        if not is_hit[j - b, i - a]:
            total += image[j - b, i - a] - level
            square += variance[j - b, i - a]
            count += 1
        share = straight if pair < 2 else diagonal
        if count and height * share * _SHARPNESS > (total + allowance * np.sqrt(max(square, 0.0))) / count:
            return True
    return False


@numba.njit(cache=True, nogil=True)
def _touches_bad(bad: np.ndarray, j: int, i: int) -> bool:  # pragma: no cover
    for b in range(-1, 2):
        for a in range(-1, 2):
            if bad[j + b, i + a] != 0:
                return True
    return False


@numba.njit(cache=True, nogil=True)
def _find(
    image: np.ndarray,
    variance: np.ndarray,
    bad: np.ndarray,
    sky: np.ndarray,
    straight: float,
    diagonal: float,
) -> tuple[np.ndarray, np.ndarray, int, np.ndarray]:  # pragma: no cover
    ny, nx = image.shape
    cells_y, cells_x = sky.shape
    limit = int(_MAX_SHARE * ny * nx) + 1
    rows, columns = np.empty(limit, dtype=np.int64), np.empty(limit, dtype=np.int64)
    group = np.zeros((ny, nx), dtype=np.bool_)
    level = np.empty(nx, dtype=np.float32)
    cell_of = np.arange(nx) * cells_x // nx
    stands_out = np.zeros(-(-nx // 8) * 8, dtype=np.uint8)
    words = stands_out.view(np.uint64)
    limit_square = np.float32(_SIGNIFICANCE**2)
    count = 0
    for j in range(2, ny - 2):
        for i in range(nx):
            level[i] = sky[j * cells_y // ny, cell_of[i]]
        for i in range(2, nx - 2):
            height = image[j, i] - level[i]
            stands_out[i] = np.uint8(height > 0) & np.uint8(height * height > limit_square * variance[j, i])
        for word in range(words.size):
            if words[word] == 0:
                continue
            for i in range(8 * word, 8 * word + 8):
                if stands_out[i] == 0 or _touches_bad(bad, j, i):
                    continue
                if _is_sharp(image, variance, group, j, i, level[i], straight, diagonal, _ALLOWANCE):
                    if count == limit:
                        return rows, columns, -1, group
                    rows[count], columns[count], count = j, i, count + 1
    for n in range(count):
        group[rows[n], columns[n]] = True
    n_rays = 0
    for n in range(count):
        j, i = rows[n], columns[n]
        # In the order of the scan: the first of a group has none before it.
        if not (group[j - 1, i - 1] or group[j - 1, i] or group[j - 1, i + 1] or group[j, i - 1]):
            n_rays += 1
    first = 0
    for _ in range(_GROWTH_ROUNDS):
        last = count
        for n in range(first, last):
            for b in range(-1, 2):
                for a in range(-1, 2):
                    j, i = rows[n] + b, columns[n] + a
                    if j < 2 or j >= ny - 2 or i < 2 or i >= nx - 2 or group[j, i] or bad[j, i] != 0:
                        continue
                    local = sky[j * cells_y // ny, i * cells_x // nx]
                    height = image[j, i] - local
                    if height <= 0.0 or height * height <= _GROWTH_SIGNIFICANCE**2 * variance[j, i]:
                        continue
                    if _is_sharp(image, variance, group, j, i, local, straight, diagonal, _GROWTH_ALLOWANCE):
                        if count == limit:
                            return rows, columns, -1, group
                        rows[count], columns[count], count = j, i, count + 1
                        group[j, i] = True
        first = last
    return rows[:count], columns[:count], n_rays, group


@numba.njit(cache=True, nogil=True)
def _fill(
    image: np.ndarray, bad: np.ndarray, is_hit: np.ndarray, rows: np.ndarray, columns: np.ndarray
) -> np.ndarray:  # pragma: no cover
    """Median of the sound pixels in the 5 x 5 around each pixel."""
    values = np.empty(rows.size, dtype=np.float32)
    around = np.empty(25, dtype=np.float32)
    for n in range(rows.size):
        count = 0
        for j in range(rows[n] - 2, rows[n] + 3):
            for i in range(columns[n] - 2, columns[n] + 3):
                if bad[j, i] == 0 and not is_hit[j, i]:
                    around[count] = image[j, i]
                    count += 1
        values[n] = np.median(around[:count]) if count else image[rows[n], columns[n]]
    return values
