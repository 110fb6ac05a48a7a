# This file is part of ra_pipe.
#
# Use of this source code is governed by a 3-clause BSD-style
# license that can be found in the LICENSE file.

"""Bias level of every row or column, from the overscan pixels beside it."""

from __future__ import annotations

__all__ = ("OVERSCAN_METHODS", "OverscanFit", "OverscanSettings", "fit_overscan", "saturated_overscan")

import dataclasses
import functools

import numba
import numpy as np
import numpy.typing as npt
import scipy.ndimage
import scipy.signal

from ._statistics import clipped_statistics, quantiles

OVERSCAN_METHODS = frozenset({"MEDIAN_PER_ROW", "MEAN_PER_ROW", "MEDIAN", "MEAN", "MEANCLIP"})
"""Names of the implemented methods of `fit_overscan`."""

# Pixels on either side of lines without a value that give them one.
_N_NEIGHBORS = 5


@dataclasses.dataclass(frozen=True, kw_only=True)
class OverscanSettings:
    """How to measure the overscan; the names are explained in the config."""

    method: str = "MEDIAN_PER_ROW"
    """One of `OVERSCAN_METHODS`; a row stands for a line of pixels."""

    leading: int = 3
    """Pixels to ignore at the beginning of each line."""

    trailing: int = 3
    """Pixels to ignore at the end of each line."""

    n_sigma: float = 3.0
    """Rejection threshold within a line, in robust standard deviations."""

    max_deviation: float = 1000.0
    """Largest deviation from the median of all pixels, in their unit."""

    absolute_deviation: bool = True
    """Whether pixels below the median are rejected as those above."""

    grow_lines: int = 0
    """Lines on either side of a rejected line that are rejected with it."""

    smoothing_kernel: int = 0
    """Odd number of lines of the median filter that shows outliers; 0 is none."""

    smoothing_threshold: float = np.inf
    """Smallest positive outlier from the smoothed lines, in the pixels' unit."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class OverscanFit:
    """Levels of the overscan, in the unit of its pixels."""

    levels: npt.NDArray[np.float32]
    """Level to subtract from each line, of shape ``(n_lines,)``."""

    mean: float
    """Mean level."""

    median: float
    """Median level."""

    stdev: float
    """Clipped standard deviation of the levels."""

    residual_mean: float
    """Mean of the pixels less their levels."""

    residual_median: float
    """Median of the pixels less their levels."""

    residual_stdev: float
    """Clipped standard deviation of the pixels less their levels."""


def fit_overscan(
    pixels: npt.NDArray[np.float32],
    *,
    settings: OverscanSettings,
    masked: npt.NDArray[np.bool_] | None = None,
) -> OverscanFit:
    """Measure the level of each line of overscan pixels.

    Parameters
    ----------
    pixels
        Overscan pixels of shape ``(n_lines, n_pixels)``: one line a row for
        the serial overscan, one a column for the parallel overscan.
    settings
        Method and thresholds.
    masked
        Pixels to ignore, of the same shape.

    Returns
    -------
    fit
        Levels and statistics.  Without any usable pixel, the levels are zero.

    Raises
    ------
    ValueError
        Raised if no pixel is left without the leading and trailing ones.

    Notes
    -----
    Pixels far from the median of all are ignored; so are, within a line, those
    more than ``n_sigma`` robust standard deviations (0.74 of the interquartile
    range) from the line's median.  A noise that is more than twice the usual
    one counts as the usual.  A line without a usable pixel gets the median of
    the five lines on either side.  The residuals' statistics are those of all
    pixels that are not masked, leading and trailing ones included.
    """
    used = slice(settings.leading, pixels.shape[1] - settings.trailing)
    inner = pixels[:, used]
    if inner.shape[1] < 1:
        raise ValueError(
            f"An overscan of {pixels.shape[1]} pixels has none left without {settings.leading} leading"
            f" and {settings.trailing} trailing ones."
        )
    unusable = np.zeros(pixels.shape, np.bool_) if masked is None else masked.copy()
    ignored = unusable[:, used]
    per_line = settings.method.endswith("_PER_ROW")
    if ignored.all():
        levels = np.zeros(pixels.shape[0])
    else:
        ordered = np.ascontiguousarray(inner.T)
        _sort_network(ordered, _comparators(inner.shape[1]))
        quartiles = _line_quartiles(ordered)
        _reject_outliers(inner, ignored, quartiles[1], settings)
        if per_line:
            levels = _line_levels(inner, ignored, ordered, quartiles, settings)
        else:
            levels = np.full(pixels.shape[0], _single_level(inner[~ignored], settings.method))
    of_levels = clipped_statistics(levels, n_sigma=settings.n_sigma)
    levels32 = levels.astype(np.float32)
    residuals = pixels - levels32[:, np.newaxis]
    if unusable.any():
        residuals = residuals[~unusable]
    of_residuals = clipped_statistics(residuals, n_sigma=settings.n_sigma)
    return OverscanFit(
        levels=levels32,
        mean=of_levels.mean,
        median=of_levels.median,
        stdev=of_levels.clipped_stdev if per_line else 0.0,
        residual_mean=of_residuals.mean,
        residual_median=of_residuals.median,
        residual_stdev=of_residuals.clipped_stdev,
    )


def saturated_overscan(
    pixels: npt.NDArray[np.float32], *, threshold: float, grow: int
) -> npt.NDArray[np.bool_]:
    """Find the overscan pixels that saturation spilled into.

    Parameters
    ----------
    pixels
        Overscan pixels of shape ``(ny, nx)``.
    threshold
        Smallest value of a spilled pixel, in the pixels' unit.
    grow
        Distance, along rows plus along columns, by which to grow the result.

    Returns
    -------
    saturated
        Boolean array of the same shape.
    """
    saturated: npt.NDArray[np.bool_] = pixels >= threshold
    if grow > 0 and saturated.any():
        saturated = scipy.ndimage.binary_dilation(saturated, iterations=grow)
    return saturated


def _reject_outliers(
    pixels: npt.NDArray[np.float32],
    ignored: npt.NDArray[np.bool_],
    medians: npt.NDArray[np.float64],
    settings: OverscanSettings,
) -> None:
    """Add to the ignored pixels those far from the median, and outlying lines."""
    limit = settings.max_deviation
    bad_lines = np.zeros(pixels.shape[0], np.bool_)
    # No pixel can be far from the median when all are close to each other.
    if not pixels.max() - pixels.min() <= limit:
        middle = np.float32(quantiles(pixels[~ignored], (0.5,))[0])
        deviation = pixels - middle
        if settings.absolute_deviation:
            deviation = np.abs(deviation)
        far = (deviation > limit) & ~ignored
        ignored |= far
        bad_lines |= far.all(axis=1)
    if settings.smoothing_kernel > 0:
        bad_lines |= _outlying_lines(medians, settings)
    if bad_lines.any():
        if settings.grow_lines > 0:
            bad_lines = scipy.ndimage.binary_dilation(bad_lines, iterations=settings.grow_lines)
        ignored[bad_lines] = True


def _outlying_lines(medians: npt.NDArray[np.float64], settings: OverscanSettings) -> npt.NDArray[np.bool_]:
    """Find lines that are brighter than their neighbours."""
    kernel = settings.smoothing_kernel
    excess = medians - scipy.signal.medfilt(medians, kernel_size=kernel)
    outlying: npt.NDArray[np.bool_] = excess >= settings.smoothing_threshold
    # The filter sees zeros beyond the ends.
    outlying[:kernel] = outlying[-kernel:] = False
    return outlying


def _single_level(values: npt.NDArray[np.float32], method: str) -> float:
    """Return one level for all lines."""
    statistics = clipped_statistics(values)
    match method:
        case "MEDIAN":
            return statistics.median
        case "MEAN":
            return statistics.mean
        case "MEANCLIP":
            return statistics.clipped_mean
    raise ValueError(f"Unknown overscan method {method!r}; expected one of {sorted(OVERSCAN_METHODS)}.")


def _line_levels(
    pixels: npt.NDArray[np.float32],
    ignored: npt.NDArray[np.bool_],
    ordered: npt.NDArray[np.float32],
    quartiles: npt.NDArray[np.float64],
    settings: OverscanSettings,
) -> npt.NDArray[np.float64]:
    """Return the level of each line."""
    stdev = 0.74 * (quartiles[2] - quartiles[0])
    usual = np.median(stdev)
    half_width = settings.n_sigma * np.where(stdev > 2.0 * usual, usual, stdev)
    levels: npt.NDArray[np.float64] = _levels_of_sorted(
        ordered, quartiles[1], half_width, settings.method == "MEAN_PER_ROW"
    )
    special = ignored.any(axis=1) | ~np.isfinite(quartiles[1])
    for line in np.nonzero(special)[0]:
        values = pixels[line].astype(np.float64)
        keep = ~ignored[line] & (np.abs(values - quartiles[1, line]) <= half_width[line])
        if not keep.any():
            levels[line] = np.nan
        elif settings.method == "MEAN_PER_ROW":
            levels[line] = values[keep].mean()
        else:
            levels[line] = np.median(values[keep])
    _fill_gaps(levels)
    return levels


def _fill_gaps(levels: npt.NDArray[np.float64]) -> None:
    """Give lines without a level the median of their neighbours'."""
    missing = ~np.isfinite(levels)
    if not missing.any():
        return
    default = np.median(levels[~missing]) if not missing.all() else 0.0
    edges = np.flatnonzero(np.diff(np.concatenate(([False], missing, [False])).astype(np.int8)))
    for start, stop in edges.reshape(-1, 2):
        neighbors = []
        if start > _N_NEIGHBORS:
            neighbors.append(levels[start - _N_NEIGHBORS : start])
        if stop < levels.size - _N_NEIGHBORS:
            neighbors.append(levels[stop : stop + _N_NEIGHBORS])
        values = np.concatenate(neighbors) if neighbors else np.empty(0)
        values = values[np.isfinite(values)]
        levels[start:stop] = np.median(values) if values.size else default


@functools.cache
def _comparators(n: int) -> npt.NDArray[np.int64]:
    """List the exchanges that sort n values, whatever they are.

    Notes
    -----
    Batcher's odd-even merge sort (Batcher 1968, AFIPS Spring Joint Computing
    Conference, 307), without the exchanges beyond n.
    """
    size = 1 << max(n - 1, 1).bit_length()
    pairs = []
    block = 1
    while block < size:
        step = block
        while step >= 1:
            for j in range(step % block, size - step, 2 * step):
                for i in range(min(step, size - j - step)):
                    a, b = i + j, i + j + step
                    if a // (2 * block) == b // (2 * block) and b < n:
                        pairs.append((a, b))
            step //= 2
        block *= 2
    return np.array(pairs, np.int64).reshape(-1, 2)


@numba.njit(cache=True, error_model="numpy")
def _sort_network(columns, pairs):  # type: ignore[no-untyped-def]
    """Sort along the first axis, many columns at once."""
    width = 128
    for start in range(0, columns.shape[1], width):
        stop = min(start + width, columns.shape[1])
        for k in range(pairs.shape[0]):
            first, second = columns[pairs[k, 0]][start:stop], columns[pairs[k, 1]][start:stop]
            for i in range(first.size):
                a, b = first[i], second[i]
                first[i] = a if a < b else b
                second[i] = b if a < b else a


def _line_quartiles(ordered: npt.NDArray[np.float32]) -> npt.NDArray[np.float64]:
    """Quartiles of sorted columns, interpolated linearly."""
    quartiles = np.empty((3, ordered.shape[1]))
    for i, fraction in enumerate((0.25, 0.5, 0.75)):
        rank = fraction * (ordered.shape[0] - 1)
        lower = int(rank)
        upper = min(lower + 1, ordered.shape[0] - 1)
        below = ordered[lower].astype(np.float64)
        quartiles[i] = below + (rank - lower) * (ordered[upper] - below)
    return quartiles


@numba.njit(cache=True, error_model="numpy")
def _levels_of_sorted(ordered, middles, half_widths, use_mean):  # type: ignore[no-untyped-def]
    """Median or mean of the values of each sorted column near its middle."""
    n, n_lines = ordered.shape
    levels = np.empty(n_lines)
    for line in range(n_lines):
        first, last = 0, n - 1
        while first <= last and middles[line] - ordered[first, line] > half_widths[line]:
            first += 1
        while last >= first and ordered[last, line] - middles[line] > half_widths[line]:
            last -= 1
        if last < first:
            levels[line] = np.nan
        elif use_mean:
            total = 0.0
            for k in range(first, last + 1):
                total += ordered[k, line]
            levels[line] = total / (last + 1 - first)
        else:
            a = (first + last) // 2
            b = (first + last + 1) // 2
            levels[line] = 0.5 * (np.float64(ordered[a, line]) + np.float64(ordered[b, line]))
    return levels
