# This file is part of ra_pipe.
#
# Use of this source code is governed by a 3-clause BSD-style
# license that can be found in the LICENSE file.

"""How the bias level changes during readout."""

from __future__ import annotations

__all__ = ("overscan_drift",)

import math

import numpy as np
import numpy.typing as npt


def overscan_drift(levels: npt.NDArray[np.floating], *, fraction: float = 0.1) -> float:
    """Measure how much the overscan level changes from first to last row.

    Parameters
    ----------
    levels
        Level of each row in the order of readout, ``(n_rows,)``.
    fraction
        Fraction of the rows to use at either end.

    Returns
    -------
    drift
        Median of the last rows minus that of the first ones, in the unit of
        the levels; NaN if there are no finite levels.

    Raises
    ------
    ValueError
        Raised if the fraction is not between 0 and 0.5.
    """
    if not 0.0 < fraction <= 0.5:
        raise ValueError(f"The fraction of rows must be above 0 and at most 0.5; got {fraction}.")
    n = max(1, round(fraction * levels.size))
    first, last = levels[:n], levels[-n:]
    first, last = first[np.isfinite(first)], last[np.isfinite(last)]
    if first.size == 0 or last.size == 0:
        return math.nan
    return float(np.median(last) - np.median(first))
