# This file is part of ra_pipe.
#
# Use of this source code is governed by a 3-clause BSD-style
# license that can be found in the LICENSE file.

from __future__ import annotations

__all__ = ("iter_big_endian",)

from collections.abc import Iterator

import numba
import numpy as np
import numpy.typing as npt

_CHUNK = 1 << 17
"""Values in a chunk: few enough that they stay in the processor's cache."""


def iter_big_endian(array: npt.NDArray[np.generic]) -> Iterator[memoryview]:
    """Pass over an array's values in the byte order of FITS.

    Parameters
    ----------
    array
        Contiguous array of four-byte values in native byte order.

    Yields
    ------
    chunk
        Bytes of the next values, most significant first.  The next chunk
        overwrites them.

    Raises
    ------
    ValueError
        Raised if the array is of another kind.
    """
    if array.dtype.itemsize != 4 or not array.dtype.isnative or not array.flags.c_contiguous:
        raise ValueError(
            f"Expected a contiguous array of four-byte values in native order; got {array.dtype} of shape"
            f" {array.shape}, contiguous: {array.flags.c_contiguous}."
        )
    values = array.reshape(-1).view(np.uint32)
    buffer = np.empty(min(_CHUNK, values.size), np.uint32)
    for start in range(0, values.size, _CHUNK):
        chunk = values[start : start + _CHUNK]
        _swap(chunk, buffer)
        yield memoryview(buffer[: chunk.size]).cast("B")


@numba.njit(cache=True)
def _swap(values, swapped):  # type: ignore[no-untyped-def]
    """Reverse the bytes of each value."""
    for i in range(values.size):
        value = values[i]
        swapped[i] = (
            (value << np.uint32(24))
            | ((value & np.uint32(0xFF00)) << np.uint32(8))
            | ((value >> np.uint32(8)) & np.uint32(0xFF00))
            | (value >> np.uint32(24))
        )
