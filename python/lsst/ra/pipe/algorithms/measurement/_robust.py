# This file is part of ra_pipe.
#
# Use of this source code is governed by a 3-clause BSD-style
# license that can be found in the LICENSE file.

"""Scatter that outliers do not change."""

from __future__ import annotations

__all__ = ("MAD_TO_SIGMA", "robust_scatter")

import numpy as np
import numpy.typing as npt

MAD_TO_SIGMA = 1.4826
"""Standard deviation of normally distributed values over their median absolute
deviation."""


def robust_scatter(values: npt.NDArray[np.float64]) -> float:
    """Scale the median absolute deviation to a standard deviation.

    Parameters
    ----------
    values
        ``(n,)`` values, at least one.

    Returns
    -------
    scatter
        Standard deviation, if they are normally distributed.
    """
    return float(MAD_TO_SIGMA * np.median(np.abs(values - np.median(values))))
