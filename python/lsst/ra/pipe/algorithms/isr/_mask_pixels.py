# This file is part of ra_pipe.
#
# Use of this source code is governed by a 3-clause BSD-style
# license that can be found in the LICENSE file.

"""Work on the pixels of a packed mask that have a bit."""

from __future__ import annotations

__all__ = ("count_bits", "grow_bits", "set_masked")

from collections.abc import Sequence

import numba
import numpy as np
import numpy.typing as npt

from ._layout import AmplifierLayout


def count_bits(
    mask: npt.NDArray[np.uint16], *, layout: AmplifierLayout, bits: Sequence[int]
) -> npt.NDArray[np.int64]:
    """Count the masked pixels of each amplifier.

    Parameters
    ----------
    mask
        Mask of the assembled detector, of shape ``(ny, nx)``.
    layout
        Geometry of the amplifiers.
    bits
        Bits to count.

    Returns
    -------
    counts
        Number of pixels with each of the bits, of shape
        ``(n_amplifiers, len(bits))``.
    """
    places = (layout.out_y0, layout.out_x0)
    return np.asarray(_count_bits(mask, layout.data_shape, places, np.array(bits, np.uint16)))


def grow_bits(mask: npt.NDArray[np.uint16], *, bit: int, radius: int) -> None:
    """Set a bit also near the pixels that have it, in place.

    Parameters
    ----------
    mask
        Mask of shape ``(ny, nx)``.
    bit
        Bit to grow.
    radius
        Distance, along rows plus along columns (pixel).
    """
    if radius > 0:
        ys, xs = _positions(mask, np.uint16(bit))
        _set_around(mask, ys, xs, np.uint16(bit), radius)


def set_masked(
    image: npt.NDArray[np.float32],
    *,
    mask: npt.NDArray[np.uint16],
    bits: int,
    without: int,
    value: float,
) -> int:
    """Set masked pixels to one value, in place.

    Parameters
    ----------
    image
        Image of shape ``(ny, nx)``.
    mask
        Mask of the same shape.
    bits
        Pixels with any of these bits are set,
    without
        unless they have any of these.
    value
        Value, in the image's unit.

    Returns
    -------
    n_set
        Number of pixels that were set.
    """
    return int(_set_masked(image, mask, np.uint16(bits), np.uint16(without), np.float32(value)))


@numba.njit(cache=True, error_model="numpy")
def any_bit(row, bits):  # type: ignore[no-untyped-def]
    """Tell whether any pixel of a row has any of the bits."""
    union = np.uint16(0)
    for x in range(row.size):
        union |= row[x]
    return (union & bits) != 0


@numba.njit(cache=True, error_model="numpy")
def _count_bits(mask, shape, places, bits):  # type: ignore[no-untyped-def]
    """Count in the rows that have any."""
    out_y0, out_x0 = places
    height, width = shape
    counts = np.zeros((out_y0.size, bits.size), np.int64)
    for a in range(out_y0.size):
        for y in range(out_y0[a], out_y0[a] + height):
            flags = mask[y][out_x0[a] : out_x0[a] + width]
            union = np.uint16(0)
            for x in range(flags.size):
                union |= flags[x]
            for i in range(bits.size):
                if union & bits[i]:
                    for x in range(flags.size):
                        counts[a, i] += (flags[x] & bits[i]) != 0
    return counts


@numba.njit(cache=True, error_model="numpy")
def _set_masked(image, mask, bits, without, value):  # type: ignore[no-untyped-def]
    """Set pixels row by row."""
    n = 0
    for y in range(mask.shape[0]):
        flags = mask[y]
        if any_bit(flags, bits):
            for x in range(flags.size):
                if flags[x] & bits and not flags[x] & without:
                    image[y, x] = value
                    n += 1
    return n


@numba.njit(cache=True, error_model="numpy")
def _positions(mask, bit):  # type: ignore[no-untyped-def]
    """Positions of the pixels that have a bit."""
    ys = [np.int32(0) for _ in range(0)]
    xs = [np.int32(0) for _ in range(0)]
    for y in range(mask.shape[0]):
        flags = mask[y]
        if any_bit(flags, bit):
            for x in range(flags.size):
                if flags[x] & bit:
                    ys.append(np.int32(y))
                    xs.append(np.int32(x))
    return np.array(ys, dtype=np.int32), np.array(xs, dtype=np.int32)


@numba.njit(cache=True, error_model="numpy")
def _set_around(mask, ys, xs, bit, radius):  # type: ignore[no-untyped-def]
    """Set a bit in a diamond around each position."""
    ny, nx = mask.shape
    for i in range(ys.size):
        y, x = np.int64(ys[i]), np.int64(xs[i])
        for dy in range(max(-radius, -y), min(radius, ny - 1 - y) + 1):
            reach = radius - abs(dy)
            for column in range(max(x - reach, 0), min(x + reach, nx - 1) + 1):
                mask[y + dy, column] |= bit
