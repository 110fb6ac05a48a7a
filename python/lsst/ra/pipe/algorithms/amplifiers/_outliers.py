# This file is part of ra_pipe.
#
# Use of this source code is governed by a 3-clause BSD-style
# license that can be found in the LICENSE file.

"""Pixels that differ from the others and that no mask knows yet."""

from __future__ import annotations

__all__ = ("HotPixels", "count_hot_pixels", "count_low_pixels")

import dataclasses

import numba
import numpy as np
import numpy.typing as npt

_N_SIGMA = 5.0
# Diffusion gives the next column more than this of a cosmic ray's charge.
_SHARED = 0.05


@dataclasses.dataclass(frozen=True, kw_only=True)
class HotPixels:
    """Numbers of bright pixels."""

    n_hot: int
    """Those whose charge is in one column: hot pixels and columns."""

    n_cosmic_ray: int
    """Those whose charge is shared with a neighbouring column, as that of a
    particle is."""


def count_hot_pixels(
    image: npt.NDArray[np.float32], *, good: npt.NDArray[np.bool_], threshold: float, noise: float
) -> HotPixels:
    """Count bright pixels, hot ones and those of cosmic rays apart.

    Parameters
    ----------
    image
        Pixels of shape ``(ny, nx)`` about zero.
    good
        Which pixels to use, of the same shape.
    threshold
        Smallest value of a bright pixel, in the image's unit.
    noise
        Standard deviation of the noise of one pixel, likewise.

    Returns
    -------
    pixels
        Their numbers.

    Notes
    -----
    A hot pixel is a step in one column.  Charge that a particle leaves in the
    silicon diffuses: if one of the six neighbours in the adjacent columns has
    more than 5 % of a pixel's value, and more than 5 times the noise, the
    pixel is a cosmic ray's.
    """
    n_hot, n_cosmic_ray = _count_bright(image, good, np.float32(threshold), np.float32(_N_SIGMA * noise))
    return HotPixels(n_hot=int(n_hot), n_cosmic_ray=int(n_cosmic_ray))


def count_low_pixels(
    image: npt.NDArray[np.float32], *, good: npt.NDArray[np.bool_], level: float, fraction: float = 0.8
) -> int:
    """Count pixels of a flattened flat that respond too little.

    Parameters
    ----------
    image
        Flattened pixels of shape ``(ny, nx)``.
    good
        Which pixels to use, of the same shape.
    level
        Usual value of a pixel, in the image's unit.
    fraction
        Pixels below this fraction of the level count.

    Returns
    -------
    count
        Their number.
    """
    return int(np.count_nonzero(good & (image < np.float32(fraction * level))))


@numba.njit(cache=True)
def _count_bright(image, good, threshold, least):  # type: ignore[no-untyped-def]
    """Count the bright pixels with and without bright neighbours beside."""
    ny, nx = image.shape
    n_hot = 0
    n_cosmic_ray = 0
    for y in range(ny):
        for x in range(nx):
            value = image[y, x]
            if not (value > threshold and good[y, x]):
                continue
            limit = max(least, np.float32(_SHARED) * value)
            shared = False
            for j in range(max(y - 1, 0), min(y + 2, ny)):
                for i in (x - 1, x + 1):
                    if 0 <= i < nx and good[j, i] and image[j, i] > limit:
                        shared = True
            if shared:
                n_cosmic_ray += 1
            else:
                n_hot += 1
    return n_hot, n_cosmic_ray
