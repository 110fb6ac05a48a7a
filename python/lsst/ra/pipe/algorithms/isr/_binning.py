# This file is part of ra_pipe.
#
# Use of this source code is governed by a 3-clause BSD-style
# license that can be found in the LICENSE file.

"""Binned images, for pictures."""

from __future__ import annotations

__all__ = ("bin_image",)

import numba
import numpy as np
import numpy.typing as npt


def bin_image(image: npt.NDArray[np.float32], factor: int) -> npt.NDArray[np.float32]:
    """Average square blocks of pixels.

    Parameters
    ----------
    image
        Image of shape ``(ny, nx)``.
    factor
        Side of a block (pixel).

    Returns
    -------
    binned
        Means of the blocks' finite pixels, of shape ``(ny // factor, nx // factor)``;
        NaN for a block without any.  Rows and columns that do not fill a block are left out.

    Raises
    ------
    ValueError
        Raised if the factor is not positive or larger than the image.
    """
    if not 0 < factor <= min(image.shape):
        raise ValueError(f"Cannot bin an image of shape {image.shape} by {factor}.")
    return np.asarray(_bin(np.ascontiguousarray(image, np.float32), factor))


@numba.njit(cache=True, error_model="numpy")
def _bin(image, factor):  # type: ignore[no-untyped-def]
    """Add up rows of a block, then columns."""
    ny, nx = image.shape[0] // factor, image.shape[1] // factor
    binned = np.empty((ny, nx), np.float32)
    total = np.empty(nx * factor, np.float32)
    count = np.empty(nx * factor, np.float32)
    zero, one = np.float32(0.0), np.float32(1.0)
    for y in range(ny):
        total[:] = zero
        count[:] = zero
        for row in range(y * factor, (y + 1) * factor):
            values = image[row]
            for x in range(total.size):
                finite = abs(values[x]) <= np.float32(3.4028235e38)
                total[x] += values[x] if finite else zero
                count[x] += one if finite else zero
        for x in range(nx):
            n = 0.0
            value = 0.0
            for k in range(x * factor, (x + 1) * factor):
                value += total[k]
                n += count[k]
            binned[y, x] = value / n if n > 0 else np.nan
    return binned
