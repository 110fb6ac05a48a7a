# This file is part of ra_pipe.
#
# Use of this source code is governed by a 3-clause BSD-style
# license that can be found in the LICENSE file.

from __future__ import annotations

__all__ = ("RobustStatistics", "summarize")

import dataclasses
import math

import numpy as np
import numpy.typing as npt

_MAD_TO_SIGMA = 1.4826


@dataclasses.dataclass(frozen=True)
class RobustStatistics:
    """Statistics of the finite ones of some values."""

    count: int
    """Number of finite values."""

    median: float
    """Their median; NaN if there is none."""

    scatter: float
    """1.4826 times the median absolute deviation: the standard deviation of a
    normal distribution. NaN if there are fewer than two values."""

    minimum: float
    """The smallest; NaN if there is none."""

    maximum: float
    """The largest; NaN if there is none."""

    argmin: int
    """Index of the smallest; -1 if there is none."""

    argmax: int
    """Index of the largest; -1 if there is none."""


def summarize(values: npt.NDArray[np.float64]) -> RobustStatistics:
    """Find median, scatter and extremes of what is finite.

    Parameters
    ----------
    values
        ``(n,)`` values in any unit; NaN and infinities do not count.

    Returns
    -------
    statistics
        The statistics, in the unit of the values.
    """
    index = np.flatnonzero(np.isfinite(values))
    if index.size == 0:
        return RobustStatistics(0, math.nan, math.nan, math.nan, math.nan, -1, -1)
    finite = values[index]
    median = float(np.median(finite))
    scatter = _MAD_TO_SIGMA * float(np.median(np.abs(finite - median))) if index.size > 1 else math.nan
    low, high = int(index[np.argmin(finite)]), int(index[np.argmax(finite)])
    return RobustStatistics(
        int(index.size), median, scatter, float(values[low]), float(values[high]), low, high
    )
