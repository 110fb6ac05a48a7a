# This file is part of ra_pipe.
#
# Use of this source code is governed by a 3-clause BSD-style
# license that can be found in the LICENSE file.

"""Loops over pairs of sources and references."""

from __future__ import annotations

__all__ = ("SourceGrid", "close_pairs", "mutual_neighbours", "vote")

import dataclasses

import numba
import numpy as np
import numpy.typing as npt

_EXCLUSION = 3


@numba.njit(cache=True, nogil=True)
def _close_pairs(
    x: np.ndarray, y: np.ndarray, ref_x: np.ndarray, ref_y: np.ndarray, limit: float
) -> np.ndarray:  # pragma: no cover
    first = np.searchsorted(ref_x, x - limit)
    last = np.searchsorted(ref_x, x + limit)
    n_pairs = 0
    for i in range(x.size):
        for j in range(first[i], last[i]):
            if abs(ref_y[j] - y[i]) <= limit:
                n_pairs += 1
    pairs = np.empty((n_pairs, 4), dtype=np.float32)
    k = 0
    for i in range(x.size):
        for j in range(first[i], last[i]):
            dy = ref_y[j] - y[i]
            if abs(dy) <= limit:
                pairs[k, 0] = ref_x[j] - x[i]
                pairs[k, 1] = dy
                pairs[k, 2] = x[i]
                pairs[k, 3] = y[i]
                k += 1
    return pairs


def close_pairs(
    x: npt.NDArray[np.float64],
    y: npt.NDArray[np.float64],
    ref_x: npt.NDArray[np.float64],
    ref_y: npt.NDArray[np.float64],
    *,
    limit: float,
) -> npt.NDArray[np.float32]:
    """List the pairs of sources and references that may belong together.

    Parameters
    ----------
    x, y
        ``(n,)`` positions of sources.
    ref_x, ref_y
        ``(m,)`` positions of references.
    limit
        Largest difference in x and in y.

    Returns
    -------
    pairs
        ``(n_pairs, 4)`` differences in x and y, reference minus source, and
        the source's x and y.
    """
    order = np.argsort(ref_x)
    return _close_pairs(x, y, ref_x[order], ref_y[order], limit)


@numba.njit(cache=True, nogil=True)
def _vote(
    pairs: np.ndarray, angles: np.ndarray, limit: float, size: float, n_peaks: int
) -> np.ndarray:  # pragma: no cover
    n_bins = int(np.ceil(2.0 * limit / size))
    found = np.zeros((angles.size * n_peaks, 4), dtype=np.float64)
    votes = np.empty((n_bins, n_bins), dtype=np.int32)
    for k in range(angles.size):
        sine, cosine = np.float32(np.sin(angles[k])), np.float32(np.cos(angles[k]) - 1.0)
        votes[:] = 0
        scale, offset = np.float32(1.0 / size), np.float32(limit)
        for p in range(pairs.shape[0]):
            x, y = pairs[p, 2], pairs[p, 3]
            dx = (pairs[p, 0] - (cosine * x - sine * y) + offset) * scale
            dy = (pairs[p, 1] - (sine * x + cosine * y) + offset) * scale
            if dx >= 0.0 and dy >= 0.0 and dx < n_bins and dy < n_bins:
                votes[int(dy), int(dx)] += 1
        # Blocks of 2 x 2 bins, so that no peak is cut in two.
        for j in range(n_bins - 1):
            for i in range(n_bins - 1):
                votes[j, i] += votes[j, i + 1] + votes[j + 1, i] + votes[j + 1, i + 1]
        for n in range(n_peaks):
            best, best_j, best_i = 0, -1, -1
            for j in range(n_bins - 1):
                for i in range(n_bins - 1):
                    if votes[j, i] > best:
                        best, best_j, best_i = votes[j, i], j, i
            if best_j < 0:
                break
            row = k * n_peaks + n
            found[row, 0] = best
            found[row, 1] = (best_i + 1) * size - limit
            found[row, 2] = (best_j + 1) * size - limit
            found[row, 3] = angles[k]
            for j in range(max(0, best_j - _EXCLUSION), min(n_bins, best_j + _EXCLUSION + 1)):
                for i in range(max(0, best_i - _EXCLUSION), min(n_bins, best_i + _EXCLUSION + 1)):
                    votes[j, i] = 0
    return found


def vote(
    pairs: npt.NDArray[np.float32],
    *,
    angles: npt.NDArray[np.float64],
    limit: float,
    size: float,
    n_peaks: int,
) -> npt.NDArray[np.float64]:
    """Count the pairs that agree on a shift, for each of some rotations.

    Parameters
    ----------
    pairs
        What `close_pairs` found.
    angles
        ``(k,)`` rotations about the origin to try, in radian from x to y.
    limit
        Largest shift in x and in y.
    size
        Side of a bin of the histogram of shifts; pairs agree within two.
    n_peaks
        Report so many peaks for each rotation, apart from one another.

    Returns
    -------
    peaks
        ``(k * n_peaks, 4)`` array of votes, shift in x and y, and angle;
        no votes where there were fewer peaks.
    """
    return _vote(pairs, angles, limit, size, n_peaks)


@dataclasses.dataclass(frozen=True, eq=False)
class SourceGrid:
    """Sources sorted into square cells, to find neighbours quickly."""

    x: npt.NDArray[np.float64]
    """``(n,)`` positions in x."""

    y: npt.NDArray[np.float64]
    """``(n,)`` positions in y."""

    order: npt.NDArray[np.int64]
    """``(n,)`` indices of the sources, cell by cell."""

    start: npt.NDArray[np.int64]
    """``(n_cells + 1,)`` where each cell begins in ``order``."""

    n_columns: int
    """Cells in a row."""

    cell: float
    """Side of a cell, the largest radius of a search."""

    @classmethod
    def build(cls, x: npt.NDArray[np.float64], y: npt.NDArray[np.float64], *, radius: float) -> SourceGrid:
        """Sort sources into cells.

        Parameters
        ----------
        x, y
            ``(n,)`` finite positions; at least one.
        radius
            Largest radius of a search, in the same unit.

        Returns
        -------
        grid
            The sorted sources.
        """
        # About one cell for each source, as empty ones cost as well.
        cell = max(radius, float(np.sqrt(np.ptp(x) * np.ptp(y) / x.size)))
        column = ((x - x.min()) / cell).astype(np.int64) + 1
        row = ((y - y.min()) / cell).astype(np.int64) + 1
        n_columns, n_rows = int(column.max()) + 2, int(row.max()) + 2
        number = row * n_columns + column
        counts = np.bincount(number, minlength=n_columns * n_rows)
        start = np.concatenate([[0], np.cumsum(counts)])
        return cls(x, y, np.argsort(number, kind="stable"), start, n_columns, cell)


@numba.njit(cache=True, nogil=True)
def _mutual_neighbours(
    x: np.ndarray,
    y: np.ndarray,
    order: np.ndarray,
    start: np.ndarray,
    n_columns: int,
    cell: float,
    ref_x: np.ndarray,
    ref_y: np.ndarray,
    radius: float,
) -> np.ndarray:  # pragma: no cover
    n_rows = (start.size - 1) // n_columns
    x0, y0 = x.min() - cell, y.min() - cell
    nearest = np.full(ref_x.size, -1, dtype=np.int64)
    of_source = np.full(x.size, -1, dtype=np.int64)
    closest = np.full(x.size, radius * radius, dtype=np.float64)
    for k in range(ref_x.size):
        column, row = int(np.floor((ref_x[k] - x0) / cell)), int(np.floor((ref_y[k] - y0) / cell))
        if column < 0 or row < 0 or column >= n_columns or row >= n_rows:
            continue
        best = radius * radius
        for j in range(max(row - 1, 0), min(row + 2, n_rows)):
            left = j * n_columns + max(column - 1, 0)
            right = j * n_columns + min(column + 2, n_columns)
            for m in range(start[left], start[right]):
                i = order[m]
                distance = (x[i] - ref_x[k]) ** 2 + (y[i] - ref_y[k]) ** 2
                if distance < best:
                    best = distance
                    nearest[k] = i
                if distance < closest[i]:
                    closest[i] = distance
                    of_source[i] = k
    for k in range(ref_x.size):
        if nearest[k] >= 0 and of_source[nearest[k]] != k:
            nearest[k] = -1
    return nearest


def mutual_neighbours(
    grid: SourceGrid, ref_x: npt.NDArray[np.float64], ref_y: npt.NDArray[np.float64], *, radius: float
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Pair sources and references that are each other's nearest.

    Parameters
    ----------
    grid
        The sources.
    ref_x, ref_y
        ``(m,)`` positions of references.
    radius
        Largest distance of a pair; at most the side of the grid's cells.

    Returns
    -------
    source, reference
        ``(n_pairs,)`` indices.
    """
    if radius > grid.cell:
        raise ValueError(f"The radius {radius} is larger than the cells of the grid, {grid.cell}.")
    nearest = _mutual_neighbours(
        grid.x, grid.y, grid.order, grid.start, grid.n_columns, grid.cell, ref_x, ref_y, radius
    )
    reference = np.flatnonzero(nearest >= 0)
    return nearest[reference], reference
