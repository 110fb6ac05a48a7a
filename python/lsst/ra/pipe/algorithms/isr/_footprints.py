# This file is part of ra_pipe.
#
# Use of this source code is governed by a 3-clause BSD-style
# license that can be found in the LICENSE file.

"""Connected regions of masked pixels."""

from __future__ import annotations

__all__ = ("Footprint", "find_footprints")

import dataclasses

import numba
import numpy as np
import numpy.typing as npt


@dataclasses.dataclass(frozen=True, kw_only=True)
class Footprint:
    """Pixels that touch each other, also by their corners."""

    rows: npt.NDArray[np.int64]
    """Row of each run of pixels."""

    starts: npt.NDArray[np.int64]
    """First column of each run."""

    stops: npt.NDArray[np.int64]
    """Column after the last of each run."""

    @property
    def area(self) -> int:
        """Number of pixels."""
        return int((self.stops - self.starts).sum())

    @property
    def y_range(self) -> tuple[int, int]:
        """First row and the one after the last."""
        return int(self.rows.min()), int(self.rows.max()) + 1

    @property
    def x_range(self) -> tuple[int, int]:
        """First column and the one after the last."""
        return int(self.starts.min()), int(self.stops.max())

    @property
    def centroid(self) -> tuple[float, float]:
        """Mean row and column of the pixels."""
        sizes = self.stops - self.starts
        y = float((self.rows * sizes).sum()) / self.area
        x = float((0.5 * (self.starts + self.stops - 1) * sizes).sum()) / self.area
        return y, x

    def as_array(self) -> npt.NDArray[np.bool_]:
        """Draw the footprint.

        Returns
        -------
        array
            Boolean array of the shape of the bounding box.
        """
        (y0, y1), (x0, x1) = self.y_range, self.x_range
        array = np.zeros((y1 - y0, x1 - x0), np.bool_)
        for y, start, stop in zip(self.rows - y0, self.starts - x0, self.stops - x0, strict=True):
            array[y, start:stop] = True
        return array


def find_footprints(mask: npt.NDArray[np.uint16], *, bit: int, min_height: int = 1) -> list[Footprint]:
    """Find the connected regions of pixels that have a bit.

    Parameters
    ----------
    mask
        Mask of shape ``(ny, nx)``.
    bit
        Bit of the pixels.
    min_height
        Smallest number of rows of the regions to return.

    Returns
    -------
    footprints
        Regions in the order of their first pixel.
    """
    rows, starts, stops = _find_runs(mask, np.uint16(bit))
    if rows.size == 0:
        return []
    labels = _label_runs(rows, starts, stops)
    order = np.argsort(labels, kind="stable")
    bounds = np.flatnonzero(np.diff(labels[order])) + 1
    footprints = []
    for members in np.split(order, bounds):
        if rows[members[-1]] - rows[members[0]] + 1 >= min_height:
            footprints.append(Footprint(rows=rows[members], starts=starts[members], stops=stops[members]))
    return footprints


@numba.njit(cache=True, error_model="numpy")
def _find_runs(mask, bit):  # type: ignore[no-untyped-def]
    """Find runs of pixels with a bit, row by row."""
    rows = [0 for _ in range(0)]
    starts = [0 for _ in range(0)]
    stops = [0 for _ in range(0)]
    for y in range(mask.shape[0]):
        flags = mask[y]
        union = np.uint16(0)
        for x in range(flags.size):
            union |= flags[x]
        if not union & bit:
            continue
        inside = False
        for x in range(flags.size):
            if flags[x] & bit:
                if not inside:
                    rows.append(y)
                    starts.append(x)
                    inside = True
            elif inside:
                stops.append(x)
                inside = False
        if inside:
            stops.append(flags.size)
    return np.array(rows), np.array(starts), np.array(stops)


@numba.njit(cache=True, error_model="numpy")
def _root(parents, i):  # type: ignore[no-untyped-def]
    """First run of the region that a run belongs to."""
    while parents[i] != i:
        parents[i] = parents[parents[i]]
        i = parents[i]
    return i


@numba.njit(cache=True, error_model="numpy")
def _label_runs(rows, starts, stops):  # type: ignore[no-untyped-def]
    """Return the number of the first run of each run's region."""
    n = rows.size
    parents = np.arange(n)
    above = 0
    for i in range(n):
        while rows[above] < rows[i] - 1:
            above += 1
        # A run above that ends left of this one may touch none further right.
        while rows[above] == rows[i] - 1 and stops[above] < starts[i]:
            above += 1
        j = above
        while j < i and rows[j] == rows[i] - 1 and starts[j] <= stops[i]:
            a, b = _root(parents, i), _root(parents, j)
            parents[max(a, b)] = min(a, b)
            j += 1
    labels = np.empty(n, np.int64)
    for i in range(n):
        labels[i] = _root(parents, i)
    return labels
