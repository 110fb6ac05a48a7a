# This file is part of ra_pipe.
#
# Use of this source code is governed by a 3-clause BSD-style
# license that can be found in the LICENSE file.

"""Random numbers that undo the rounding of counts to integers."""

from __future__ import annotations

__all__ = ("DITHER_OFFSETS", "MersenneTwister", "dithered_amplifiers")

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

import numba
import numpy as np
import numpy.typing as npt

from ._layout import AmplifierLayout

DITHER_OFFSETS: Mapping[str, float] = MappingProxyType({"POSITIVE": 0.0, "NEGATIVE": -1.0, "SYMMETRIC": -0.5})
"""Smallest number (adu) that each mode of dithering adds; the range is 1 adu."""

_N = 624
_M = 397


class MersenneTwister:
    """Uniform numbers equal to those of `numpy.random.RandomState`.

    The Science Pipelines dither counts with that generator, so equal pixels
    need equal numbers; this one makes them several times faster.  The numbers
    have 27 of numpy's 53 bits.

    Parameters
    ----------
    seed
        Seed, of which the lower 32 bits are used.

    Notes
    -----
    Matsumoto & Nishimura 1998, ACM Transactions on Modeling and Computer
    Simulation 8, 3 (MT19937).
    """

    def __init__(self, seed: int) -> None:
        key = np.random.RandomState(seed & 0xFFFFFFFF).get_state(legacy=False)["state"]["key"]
        self._state: npt.NDArray[np.uint32] = key.astype(np.uint32)
        self._block: npt.NDArray[np.float32] = np.empty(_N // 2, np.float32)
        self._used = _N // 2

    def fill(self, out: npt.NDArray[np.float32], offset: float = 0.0) -> None:
        """Write the next numbers of the sequence.

        Parameters
        ----------
        out
            Array of one dimension to fill with numbers of [0, 1) + offset.
        offset
            Number to add to each.
        """
        self._used = _fill(self._state, self._block, self._used, out, np.float32(offset))

    def dither(
        self,
        raws: Sequence[npt.NDArray[Any]],
        places: tuple[npt.NDArray[Any], npt.NDArray[Any], npt.NDArray[Any]],
        offset: float,
        members: npt.NDArray[Any],
        out: npt.NDArray[np.float32],
    ) -> None:
        """Add the next numbers to amplifiers that lie side by side.

        Parameters
        ----------
        raws
            Raw counts (adu) of each amplifier.
        places
            Column in the mosaic, and whether rows and columns are reversed.
        offset
            Number to add to each.
        members
            Index of each amplifier in the result.
        out
            Array of shape ``(n_amplifiers, *raw_shape)`` to write to.
        """
        state, block, shift = self._state, self._block, np.float32(offset)
        self._used = _dither(state, block, self._used, tuple(raws), places, shift, members, out)


@numba.njit(cache=True, error_model="numpy")
def _next_block(state, block):  # type: ignore[no-untyped-def]
    """Advance the state and make the next 312 numbers."""
    upper, lower = np.uint32(0x80000000), np.uint32(0x7FFFFFFF)
    magic, one = np.uint32(0x9908B0DF), np.uint32(1)
    for k in range(_N - _M):
        y = (state[k] & upper) | (state[k + 1] & lower)
        state[k] = state[k + _M] ^ (y >> one) ^ ((y & one) * magic)
    for k in range(_N - _M, _N - 1):
        y = (state[k] & upper) | (state[k + 1] & lower)
        state[k] = state[k + _M - _N] ^ (y >> one) ^ ((y & one) * magic)
    y = (state[_N - 1] & upper) | (state[0] & lower)
    state[_N - 1] = state[_M - 1] ^ (y >> one) ^ ((y & one) * magic)
    scale = np.float32(1.0 / 134217728.0)
    for k in range(_N // 2):
        # A number has 27 bits of one word, then 26 of the next; those are
        # beyond what a float32 count resolves.
        y = state[2 * k]
        y ^= y >> np.uint32(11)
        y ^= (y << np.uint32(7)) & np.uint32(0x9D2C5680)
        y ^= (y << np.uint32(15)) & np.uint32(0xEFC60000)
        y ^= y >> np.uint32(18)
        block[k] = np.float32(np.int32(y >> np.uint32(5))) * scale


@numba.njit(cache=True, error_model="numpy")
def _fill(state, block, used, out, offset):  # type: ignore[no-untyped-def]
    """Fill ``out`` from blocks; return how much of the last block is used."""
    done = 0
    while done < out.size:
        if used == block.size:
            _next_block(state, block)
            used = 0
        n = min(out.size - done, block.size - used)
        for k in range(n):
            out[done + k] = block[used + k] + offset
        done += n
        used += n
    return used


def dithered_amplifiers(
    raws: Sequence[npt.NDArray[Any]],
    *,
    layout: AmplifierLayout,
    mode: str,
    seed: int,
    out: npt.NDArray[np.float32] | None = None,
) -> npt.NDArray[np.float32]:
    """Add uniform random numbers to integer counts.

    Parameters
    ----------
    raws
        Raw counts (adu) of each amplifier, of the layout's ``raw_shape``.
    layout
        Geometry of the amplifiers.
    mode
        A key of `DITHER_OFFSETS`.
    seed
        Identifier of exposure and detector; its lower 32 bits are used.
    out
        Array of shape ``(n_amplifiers, *raw_shape)`` to write to.

    Returns
    -------
    dithered
        Counts (adu) of shape ``(n_amplifiers, *raw_shape)``.

    Notes
    -----
    The numbers follow the rows of the raw mosaic, where amplifiers are in
    their place and orientation on the detector, prescan and overscan included.
    """
    if out is None:
        out = np.empty((len(layout), *layout.raw_shape), np.float32)
    generator = MersenneTwister(seed)
    columns = np.round(layout.out_x0 / layout.data_shape[1]).astype(np.int64)
    rows = np.round(layout.out_y0 / layout.data_shape[0]).astype(np.int64)
    for row in np.unique(rows):
        members = np.flatnonzero(rows == row)
        places = (columns[members], layout.flip_y[members], layout.flip_x[members])
        generator.dither([raws[int(i)] for i in members], places, DITHER_OFFSETS[mode], members, out)
    return out


@numba.njit(cache=True, error_model="numpy")
def _dither(state, block, used, raws, places, offset, members, out):  # type: ignore[no-untyped-def]
    """Add numbers row by row of the mosaic, so that they stay in the cache."""
    columns, flip_y, flip_x = places
    ny, nx = raws[0].shape
    numbers = np.empty((columns.max() + 1) * nx, np.float32)
    for row in range(ny):
        used = _fill(state, block, used, numbers, offset)
        for i in range(len(raws)):
            y = ny - 1 - row if flip_y[i] else row
            raw, result = raws[i][y], out[members[i], y]
            source = numbers[columns[i] * nx : (columns[i] + 1) * nx]
            if flip_x[i]:
                for x in range(nx):
                    result[x] = np.float32(raw[x]) + source[nx - 1 - x]
            else:
                for x in range(nx):
                    result[x] = np.float32(raw[x]) + source[x]
    return used
