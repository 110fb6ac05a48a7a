# This file is part of ra_pipe.
#
# Use of this source code is governed by a 3-clause BSD-style
# license that can be found in the LICENSE file.

from __future__ import annotations

__all__ = ("pack_planes",)

import numba
import numpy as np
import numpy.typing as npt


def pack_planes(
    mask: npt.NDArray[np.uint8], *, sources: npt.NDArray[np.int64], targets: npt.NDArray[np.int64]
) -> npt.NDArray[np.int32]:
    """Gather bits of a mask of several bytes a pixel into one integer a pixel.

    Parameters
    ----------
    mask
        Mask of shape ``(ny, nx, n_bytes)``.
    sources
        ``(n, 2)`` byte and bit to take, for each plane.
    targets
        ``(n,)`` bit, below 32, to set.

    Returns
    -------
    packed
        Mask of shape ``(ny, nx)``.
    """
    mask = np.ascontiguousarray(mask)
    n_bytes = mask.shape[2]
    if n_bytes == 2 and np.array_equal(8 * sources[:, 0] + sources[:, 1], targets):
        packed = np.empty(mask.shape[:2], np.int32)
        _widen(mask.view("<u2").view(np.uint16)[..., 0], np.int32((1 << targets).sum()), packed)
        return packed
    table = np.zeros((n_bytes, 256), np.uint32)
    values = np.arange(256)
    for (byte, bit), target in zip(sources.tolist(), targets.tolist(), strict=True):
        table[byte] |= (((values >> bit) & 1) << target).astype(np.uint32)
    packed = np.empty(mask.shape[:2], np.int32)
    _pack(mask, table, packed.view(np.uint32))
    return packed


@numba.njit(cache=True)
def _pack(mask, table, packed):  # type: ignore[no-untyped-def]
    """Look up what each byte stands for."""
    ny, nx, n_bytes = mask.shape
    for y in range(ny):
        for x in range(nx):
            value = table[0, mask[y, x, 0]]
            for byte in range(1, n_bytes):
                value |= table[byte, mask[y, x, byte]]
            packed[y, x] = value


@numba.njit(cache=True)
def _widen(mask, known, packed):  # type: ignore[no-untyped-def]
    """Copy the bits that have a meaning."""
    for y in range(mask.shape[0]):
        for x in range(mask.shape[1]):
            packed[y, x] = np.int32(mask[y, x]) & known
