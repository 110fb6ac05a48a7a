# This file is part of ra_pipe.
#
# Use of this source code is governed by a 3-clause BSD-style
# license that can be found in the LICENSE file.

"""Structure of an image beyond the noise of its pixels."""

from __future__ import annotations

__all__ = ("ImageStructure", "measure_structure")

import dataclasses
import math

import numpy as np
import numpy.typing as npt

from ..isr import clipped_statistics

_N_SIGMA = 5.0
_LEAST_FRACTION = 0.5
_LEAST_MEANS = 8


@dataclasses.dataclass(frozen=True, kw_only=True)
class ImageStructure:
    """Standard deviations of means over parts of an image, less what the
    pixel noise adds to them, in the image's unit; NaN if there are too few.
    """

    blocks: float
    """That of means over square blocks."""

    rows: float
    """That of means over rows."""

    columns: float
    """That of means over columns."""


def measure_structure(
    image: npt.NDArray[np.float32], *, good: npt.NDArray[np.bool_], noise: float, block: int = 32
) -> ImageStructure:
    """Measure the structure of an amplifier's image.

    Parameters
    ----------
    image
        Pixels of shape ``(ny, nx)``.
    good
        Which pixels to use, of the same shape; leave out hot pixels and
        cosmic rays, as means are not robust.
    noise
        Standard deviation of the noise of one pixel.
    block
        Side of the blocks (pixel).

    Returns
    -------
    structure
        The structure by block, row and column.

    Notes
    -----
    The variance of the means, those beyond 5 standard deviations left out,
    minus ``noise**2 * mean(1 / n)`` for means of ``n`` pixels; zero if that
    is negative.  Means with less than half of their pixels do not count.
    """
    values = np.where(good, image, np.float32(0.0))
    ny, nx = (size // block * block for size in image.shape)
    shape = (ny // block, block, nx // block, block)
    sums = values[:ny, :nx].reshape(shape).sum(axis=(1, 3), dtype=np.float64)
    counts = good[:ny, :nx].reshape(shape).sum(axis=(1, 3))
    return ImageStructure(
        blocks=_excess(sums, counts, noise=noise, size=block * block),
        rows=_excess(
            values.sum(axis=1, dtype=np.float64), good.sum(axis=1), noise=noise, size=image.shape[1]
        ),
        columns=_excess(
            values.sum(axis=0, dtype=np.float64), good.sum(axis=0), noise=noise, size=image.shape[0]
        ),
    )


def _excess(
    sums: npt.NDArray[np.float64], counts: npt.NDArray[np.int64], *, noise: float, size: int
) -> float:
    """Return the scatter of means beyond that of their pixels' noise."""
    enough = counts >= _LEAST_FRACTION * size
    if np.count_nonzero(enough) < _LEAST_MEANS:
        return math.nan
    counts = counts[enough]
    means = sums[enough] / counts
    # Single precision would not do for small differences of large means.
    middle = float(np.median(means))
    scatter = clipped_statistics(means - middle, n_sigma=_N_SIGMA).clipped_stdev
    return math.sqrt(max(scatter**2 - noise**2 * float(np.mean(1.0 / counts)), 0.0))
