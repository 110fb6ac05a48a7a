# This file is part of ra_pipe.
#
# Use of this source code is governed by a 3-clause BSD-style
# license that can be found in the LICENSE file.

"""Pixel noise of an image, whatever its large-scale structure."""

from __future__ import annotations

__all__ = ("NoiseMeasurement", "measure_noise")

import dataclasses
import math

import numpy as np
import numpy.typing as npt

from ..isr import clipped_statistics

# Wide enough not to narrow a normal distribution, narrow enough for cosmic rays.
_N_SIGMA = 5.0
_LEAST_DIFFERENCES = 100


@dataclasses.dataclass(frozen=True, kw_only=True)
class NoiseMeasurement:
    """Level and noise of the good pixels, in the image's unit."""

    level: float
    """Clipped mean; NaN if there are too few pixels."""

    noise: float
    """Standard deviation of the noise of one pixel; NaN likewise."""

    n_pixels: int
    """Number of good pixels."""


def measure_noise(
    image: npt.NDArray[np.float32], *, good: npt.NDArray[np.bool_], separation: int = 4
) -> NoiseMeasurement:
    """Measure the level and the pixel noise of an amplifier's image.

    Parameters
    ----------
    image
        Pixels of shape ``(ny, nx)``.
    good
        Which pixels to use, of the same shape.
    separation
        Columns between the two pixels of a pair.

    Returns
    -------
    measurement
        Level and noise.

    Notes
    -----
    The noise is half the standard deviation of double differences: of two
    pixels in a row, a few columns apart, and of the two above them.  So
    neither gradients count, nor what all pixels of a row or of a column share.
    Differences beyond 5 standard deviations, those of hot pixels and cosmic
    rays, are left out.  Pixels that are apart by a few columns do not share
    the charge of a cosmic ray.
    """
    n_pixels = int(np.count_nonzero(good))
    even = image.shape[0] // 2 * 2
    pairs = good[:even, separation:] & good[:even, :-separation]
    pairs = pairs[0::2] & pairs[1::2]
    if np.count_nonzero(pairs) < _LEAST_DIFFERENCES:
        return NoiseMeasurement(level=math.nan, noise=math.nan, n_pixels=n_pixels)
    along_rows = image[:even, separation:] - image[:even, :-separation]
    differences = (along_rows[1::2] - along_rows[0::2])[pairs]
    noise = 0.5 * clipped_statistics(differences, n_sigma=_N_SIGMA).clipped_stdev
    level = clipped_statistics(image[good]).clipped_mean
    return NoiseMeasurement(level=level, noise=noise, n_pixels=n_pixels)
