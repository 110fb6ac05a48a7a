# This file is part of ra_pipe.
#
# Use of this source code is governed by a 3-clause BSD-style
# license that can be found in the LICENSE file.

"""Values for masked pixels, from those beside them in their row."""

from __future__ import annotations

__all__ = ("interpolate_rows", "interpolation_weights")

import functools
from collections.abc import Callable
from typing import Any

import numba
import numpy as np
import numpy.typing as npt

from ._mask_pixels import any_bit

# Runs longer than this are as if they were of this length at their ends, and
# constant between.
_LONGEST = 15

# Pixels at the end of a long run that depend on the distance to it.
_TRANSITION = 6


def interpolation_weights(n: int, distances: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
    """Weights of good pixels for each pixel of a run of bad ones.

    Parameters
    ----------
    n
        Number of bad pixels, at positions 0 to n - 1.
    distances
        Positions of good pixels.

    Returns
    -------
    weights
        Weights of shape ``(n, len(distances))``; each row adds up to one.

    Notes
    -----
    The best linear unbiased prediction of a noiseless image whose structure is
    a Gaussian PSF with a standard deviation of one pixel, so that the covariance at distance
    d is exp(-d^2 / 4): Lupton et al. 2001, ASP Conf. Ser. 238, 269 (SDSS Photo);
    Rybicki & Press 1992, ApJ 398, 169.
    """
    m = distances.size
    system = np.ones((m + 1, m + 1))
    system[:m, :m] = np.exp(-((distances[:, np.newaxis] - distances[np.newaxis, :]) ** 2) / 4.0)
    system[m, m] = 0.0
    right = np.ones((m + 1, n))
    right[:m] = np.exp(-((distances[:, np.newaxis] - np.arange(n)[np.newaxis, :]) ** 2) / 4.0)
    return np.linalg.solve(system, right)[:m].T


@functools.cache
def _weight_table() -> npt.NDArray[np.float32]:
    """Weights by good pixels on the left and the right, run length and position."""
    table = np.zeros((3, 3, _LONGEST + 1, _LONGEST, 4), np.float32)
    for left in range(3):
        for right in range(3):
            if left + right == 0:
                continue
            for n in range(1, _LONGEST + 1):
                positions = np.array([-2, -1, n, n + 1])
                used = np.array([left == 2, left >= 1, right >= 1, right == 2])
                table[left, right, n, :n, used] = interpolation_weights(n, positions[used]).T
    return table


def interpolate_rows(
    image: npt.NDArray[np.float32],
    *,
    variance: npt.NDArray[np.float32],
    mask: npt.NDArray[np.uint16],
    bits: int,
    interpolated_bit: int,
    fallback: Callable[[], float],
) -> None:
    """Replace the values of masked pixels, in place.

    Parameters
    ----------
    image
        Image of shape ``(ny, nx)``.
    variance
        Variance of the same shape, treated like the image.
    mask
        Mask of the same shape.
    bits
        Bits of the pixels to replace.
    interpolated_bit
        Bit to set for them.
    fallback
        Function that returns the value for pixels more than six from a good
        one, at the ends of a row; called only when there are such.

    Notes
    -----
    A run of bad pixels is interpolated from up to two good ones on either side.
    """
    value = fallback() if _needs_fallback(mask, np.uint16(bits)) else 0.0
    _interpolate(
        image,
        variance,
        mask,
        np.uint16(bits),
        np.uint16(interpolated_bit),
        np.float32(value),
        _weight_table(),
    )


@numba.njit(cache=True, error_model="numpy")
def _run_at(flags, start, bits):  # type: ignore[no-untyped-def]
    """First and one past the last pixel of the next run of bad pixels."""
    n = flags.size
    first = start
    while first < n and not flags[first] & bits:
        first += 1
    last = first
    while last < n and flags[last] & bits:
        last += 1
    return first, last


@numba.njit(cache=True, error_model="numpy")
def _needs_fallback(mask, bits):  # type: ignore[no-untyped-def]
    """Tell whether a long run touches the end of a row."""
    for y in range(mask.shape[0]):
        flags = mask[y]
        n = flags.size
        if n <= _TRANSITION:
            continue
        left, right = True, True
        for x in range(_TRANSITION + 1):
            left = left and (flags[x] & bits) != 0
            right = right and (flags[n - 1 - x] & bits) != 0
        if left or right:
            return True
    return False


@numba.njit(cache=True, error_model="numpy")
def _interpolate(image, variance, mask, bits, interpolated_bit, fallback, table):  # type: ignore[no-untyped-def]
    """Interpolate row by row."""
    width = mask.shape[1]
    for y in range(mask.shape[0]):
        flags = mask[y]
        if not any_bit(flags, bits):
            continue
        previous_end = -2
        first, last = _run_at(flags, 0, bits)
        while first < width:
            next_first, next_last = _run_at(flags, last, bits)
            left = min(first, 2)
            if previous_end == first - 1:
                left = 1
            right = min(width - last, 2)
            if next_first == last + 1 and next_first < width:
                right = 1
            _fill_run(image[y], first, last, left, right, fallback, table)
            _fill_run(variance[y], first, last, left, right, fallback, table)
            for x in range(first, last):
                flags[x] |= interpolated_bit
            previous_end = last
            first, last = next_first, next_last


@numba.njit(cache=True, error_model="numpy")
def _fill_run(row, first, last, left, right, fallback, table):  # type: ignore[no-untyped-def]
    """Fill one run of bad pixels from the given numbers of good neighbours."""
    width = row.size
    if last - first > _TRANSITION:
        # Far from any good pixel; those nearer go over to the fallback.
        if first == 0 and last == width:
            row[:] = fallback
            return
        if first == 0:
            row[: last - _TRANSITION] = fallback
            first = last - _TRANSITION
            left = min(first, 2)
        elif last == width:
            row[first + _TRANSITION :] = fallback
            last = first + _TRANSITION
            right = min(width - last, 2)
    if left + right == 0:
        row[first:last] = fallback
        return
    n = last - first
    zero = np.float32(0.0)
    far_left = row[first - 2] if left == 2 else zero
    near_left = row[first - 1] if left >= 1 else zero
    near_right = row[last] if right >= 1 else zero
    far_right = row[last + 1] if right == 2 else zero
    weights = table[left, right, min(n, _LONGEST)]
    nearest = near_left if right == 0 else near_right
    if left >= 1 and right >= 1:
        nearest = np.float32(0.5) * (near_left + near_right)
    for i in range(n):
        p = i
        if n > _LONGEST:
            p = _LONGEST // 2
            if i < _TRANSITION:
                p = i
            elif i >= n - _TRANSITION:
                p = _LONGEST - (n - i)
        w = weights[p]
        value = w[0] * far_left + w[1] * near_left + w[2] * near_right + w[3] * far_right
        row[first + i] = value if np.isfinite(value) else nearest
