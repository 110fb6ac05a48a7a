# This file is part of ra_pipe.
#
# Use of this source code is governed by a 3-clause BSD-style
# license that can be found in the LICENSE file.

"""Order statistics and clipped moments of many pixels."""

from __future__ import annotations

__all__ = ("ClippedStatistics", "clipped_statistics", "median", "quantiles")

from typing import Any, NamedTuple

import numba
import numpy as np
import numpy.typing as npt

# Standard deviation of a normal distribution with interquartile range 1.
_IQR_TO_STDEV = 0.741301109252802

_N_SAMPLE = 2048

_N_BINS = 2048


class ClippedStatistics(NamedTuple):
    """Statistics of finite values, in their unit."""

    mean: float
    """Mean of all."""

    median: float
    """Median of all."""

    clipped_mean: float
    """Mean after clipping."""

    clipped_stdev: float
    """Unbiased standard deviation after clipping."""


def quantiles(values: npt.NDArray[Any], fractions: tuple[float, ...]) -> npt.NDArray[np.float64]:
    """Find exact quantiles of finite float32 values, without sorting them all.

    Parameters
    ----------
    values
        Values of any shape; those that are not finite do not count.
    fractions
        Fractions of the values that lie below the quantiles, ascending.

    Returns
    -------
    quantiles
        Quantiles, interpolated linearly between adjacent values; NaN if
        there is no finite value.

    Notes
    -----
    A histogram, with its range from a sample, tells which narrow bin holds
    each quantile; a second pass collects the values of those bins, which are
    then sorted.
    """
    flat = np.ascontiguousarray(values, np.float32).reshape(-1)
    sample = flat[:: max(flat.size // _N_SAMPLE, 1) | 1]
    sample = sample[np.isfinite(sample)]
    if sample.size < 64:
        return _sorted_quantiles(flat, fractions)
    low, high = np.partition(sample, (sample.size // 100, -1 - sample.size // 100))[
        [sample.size // 100, -1 - sample.size // 100]
    ]
    if not high > low:
        return _sorted_quantiles(flat, fractions)
    scale = np.float32((_N_BINS - 2) / (high - low))
    histogram = _histogram(flat, low, scale)[:_N_BINS]
    cumulative = np.cumsum(histogram)
    if cumulative[-1] == 0 or not np.isfinite(scale):
        return _sorted_quantiles(flat, fractions)
    ranks = np.array(fractions) * (cumulative[-1] - 1)
    lower = np.searchsorted(cumulative, np.floor(ranks), side="right")
    upper = np.searchsorted(cumulative, np.ceil(ranks), side="right")
    wanted = np.zeros(_N_BINS + 1, np.bool_)
    wanted[lower] = wanted[upper] = True
    if histogram[wanted[:_N_BINS]].sum() > flat.size // 4:
        return _sorted_quantiles(flat, fractions)
    kept = np.sort(_collect(flat, low, scale, wanted, int(histogram[wanted[:_N_BINS]].sum())))
    # Ranks among the collected values: those of other bins do not count.
    first = np.cumsum(np.where(wanted[:_N_BINS], 0, histogram))
    whole = np.floor(ranks).astype(np.int64)
    below = kept[whole - first[lower]].astype(np.float64)
    above = kept[np.ceil(ranks).astype(np.int64) - first[upper]].astype(np.float64)
    return np.asarray(below + (ranks - whole) * (above - below))


def _sorted_quantiles(flat: npt.NDArray[Any], fractions: tuple[float, ...]) -> npt.NDArray[np.float64]:
    """Find quantiles of any distribution, more slowly."""
    finite = flat[np.isfinite(flat)]
    if finite.size == 0:
        return np.full(len(fractions), np.nan)
    return np.asarray(np.quantile(finite.astype(np.float64), fractions))


@numba.njit(cache=True, error_model="numpy")
def _bin_numbers(part, low, scale, out):  # type: ignore[no-untyped-def]
    """Bin of each value: the ends hold what is outside, one more what is not finite."""
    last = np.float32(_N_BINS - 1)
    for i in range(part.size):
        value = part[i]
        position = min(max((value - low) * scale + np.float32(1.0), np.float32(0.0)), last)
        finite = abs(value) <= np.float32(3.4028235e38)
        out[i] = np.int32(position if finite else np.float32(_N_BINS))


@numba.njit(cache=True, error_model="numpy")
def _histogram(flat, low, scale):  # type: ignore[no-untyped-def]
    """Histogram of values; the last bin counts those that are not finite."""
    chunk = 1024
    # Neighbours often share a bin, and so go to different copies.
    copies = np.zeros((4, _N_BINS + 1), np.int64)
    numbers = np.empty(chunk, np.int32)
    for start in range(0, flat.size, chunk):
        part = flat[start : start + chunk]
        _bin_numbers(part, low, scale, numbers)
        whole = part.size - part.size % 4
        for i in range(0, whole, 4):
            copies[0, numbers[i]] += 1
            copies[1, numbers[i + 1]] += 1
            copies[2, numbers[i + 2]] += 1
            copies[3, numbers[i + 3]] += 1
        for i in range(whole, part.size):
            copies[0, numbers[i]] += 1
    return copies.sum(axis=0)


@numba.njit(cache=True, error_model="numpy")
def _collect(flat, low, scale, wanted, n_wanted):  # type: ignore[no-untyped-def]
    """Copy the values of some bins."""
    chunk = 1024
    kept = np.empty(n_wanted, np.float32)
    numbers = np.empty(chunk, np.int32)
    n = 0
    for start in range(0, flat.size, chunk):
        part = flat[start : start + chunk]
        _bin_numbers(part, low, scale, numbers)
        for i in range(part.size):
            if wanted[numbers[i]]:
                kept[n] = part[i]
                n += 1
    return kept[:n]


def median(values: npt.NDArray[Any]) -> float:
    """Find the median of finite values.

    Parameters
    ----------
    values
        Values of any shape.

    Returns
    -------
    median
        The median; NaN if there is no finite value.
    """
    return float(quantiles(values, (0.5,))[0])


def clipped_statistics(
    values: npt.NDArray[Any], *, n_sigma: float = 3.0, n_iterations: int = 3
) -> ClippedStatistics:
    """Measure mean, median and sigma-clipped moments of finite values.

    Parameters
    ----------
    values
        Values of any shape; those that are not finite do not count.
    n_sigma
        Half-width of the clipping range, in standard deviations.
    n_iterations
        Number of clippings.

    Returns
    -------
    statistics
        The statistics, in the values' unit; NaN if there is no finite value.

    Notes
    -----
    The first range is around the median, with a standard deviation from the
    interquartile range; the next ones use the clipped mean and standard
    deviation.  This is the definition of the Science Pipelines.
    """
    flat = np.ascontiguousarray(values, np.float32).reshape(-1)
    lower, middle, upper = quantiles(flat, (0.25, 0.5, 0.75))
    if not np.isfinite(middle):
        return ClippedStatistics(np.nan, np.nan, np.nan, np.nan)
    _, mean, _ = _moments(flat, middle, np.inf)
    center, half_width = middle, n_sigma * _IQR_TO_STDEV * (upper - lower)
    variance = np.nan
    for _ in range(n_iterations):
        _, center, variance = _moments(flat, center, half_width)
        half_width = n_sigma * np.sqrt(max(variance, 0.0))
    return ClippedStatistics(float(mean), float(middle), float(center), float(np.sqrt(max(variance, 0.0))))


@numba.njit(cache=True, error_model="numpy", fastmath={"reassoc", "contract", "nsz"})
def _moments(flat, center, half_width):  # type: ignore[no-untyped-def]
    """Count, mean and unbiased variance of the values near a center."""
    limit = np.float32(min(half_width, 3.0e38))
    middle = np.float32(center)
    lanes = 64
    counts, sums, squares = np.zeros((3, lanes), np.float32)
    count: Any = 0.0
    total: Any = 0.0
    total_square: Any = 0.0
    for start in range(0, flat.size, 16 * lanes):
        part = flat[start : start + 16 * lanes]
        counts[:] = sums[:] = squares[:] = 0.0
        for first in range(0, part.size, lanes):
            values = part[first : first + lanes]
            for i in range(values.size):
                delta = values[i] - middle
                inside = abs(delta) <= limit
                delta = delta if inside else np.float32(0.0)
                counts[i] += np.float32(1.0) if inside else np.float32(0.0)
                sums[i] += delta
                squares[i] += delta * delta
        count += counts.sum()
        total += sums.sum()
        total_square += squares.sum()
    if count == 0:
        return 0.0, np.nan, np.nan
    shift = total / count
    variance = (total_square / count - shift * shift) * count / (count - 1.0)
    return count, np.float64(middle) + shift, variance
