# This file is part of ra_pipe.
#
# Use of this source code is governed by a 3-clause BSD-style
# license that can be found in the LICENSE file.
"""Plain definitions of the ISR kernels, and small detectors to try them on."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import scipy.interpolate
from lsst.ra.pipe.algorithms.isr import (
    AmplifierLayout,
    AmplifierSteps,
    CrosstalkTerms,
    DeferredChargeTerms,
    LinearityTerms,
)

type Floats = npt.NDArray[np.float64]


def small_layout(*, ny: int = 20, nx: int = 24, prescan: int = 3) -> AmplifierLayout:
    """Four amplifiers in two rows, each read out from another corner."""
    return AmplifierLayout(
        names=("C10", "C11", "C01", "C00"),
        raw_shape=(ny + 9, prescan + nx + 11),
        data_x0=prescan,
        data_shape=(ny, nx),
        serial_overscan=(prescan + nx, prescan + nx + 11),
        parallel_overscan=(ny, ny + 9),
        shape=(2 * ny, 2 * nx),
        out_x0=np.array([0, nx, nx, 0]),
        out_y0=np.array([ny, ny, 0, 0]),
        flip_x=np.array([True, False, True, False]),
        flip_y=np.array([True, True, False, False]),
    )


def no_steps(layout: AmplifierLayout, **steps: Any) -> AmplifierSteps:
    """Steps that change nothing, except the given ones."""
    n, nx = len(layout), layout.data_shape[1]
    empty = AmplifierSteps(
        levels=np.zeros((n, layout.raw_shape[0]), np.float32),
        saturation=np.full(n, np.nan, np.float32),
        suspect=np.full(n, np.nan, np.float32),
        gains=np.ones(n, np.float32),
        crosstalk=CrosstalkTerms.none(n),
        crosstalk_backgrounds=np.zeros(n, np.float32),
        crosstalk_threshold=np.full(n, np.inf, np.float32),
        flag_sources=False,
        columns=np.zeros((n, nx), np.float32),
        linearity=LinearityTerms.none(n),
        deferred_charge=DeferredChargeTerms.none(n),
    )
    return empty._replace(**steps)


def assembled(layout: AmplifierLayout, data: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Put data sections, as read out, in their place."""
    image = np.zeros(layout.shape, data.dtype)
    for a, values in enumerate(data):
        turned = values[:: -1 if layout.flip_y[a] else 1, :: -1 if layout.flip_x[a] else 1]
        image[layout.assembled_slices(a)] = turned
    return image


def mosaic(layout: AmplifierLayout, raws: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Put raw arrays, prescan and overscan included, in their place."""
    ny, nx = layout.raw_shape
    image = np.zeros((2 * ny, 2 * nx), raws.dtype)
    for a, values in enumerate(raws):
        turned = values[:: -1 if layout.flip_y[a] else 1, :: -1 if layout.flip_x[a] else 1]
        y, x = int(layout.out_y0[a] > 0) * ny, int(layout.out_x0[a] > 0) * nx
        image[y : y + ny, x : x + nx] = turned
    return image


def clipped_statistics(values: npt.NDArray[Any], n_sigma: float = 3.0) -> tuple[float, float, float, float]:
    """Mean, median, and mean and standard deviation after three clippings."""
    finite = values[np.isfinite(values)].astype(np.float64)
    lower, center, upper = np.quantile(finite, (0.25, 0.5, 0.75))
    middle, width = center, n_sigma * 0.741301109252802 * (upper - lower)
    for _ in range(3):
        kept = finite[np.abs(finite - center) <= width]
        center, stdev = kept.mean(), kept.std(ddof=1)
        width = n_sigma * stdev
    return float(finite.mean()), float(middle), float(center), float(stdev)


def overscan_levels(pixels: npt.NDArray[Any], n_sigma: float = 3.0) -> Floats:
    """Median of each line without its outliers."""
    lower, middle, upper = np.percentile(pixels.astype(np.float64), (25, 50, 75), axis=1)
    stdev = 0.74 * (upper - lower)
    stdev = np.where(stdev > 2 * np.median(stdev), np.median(stdev), stdev)
    near = np.abs(pixels - middle[:, np.newaxis]) <= n_sigma * stdev[:, np.newaxis]
    return np.array(
        [np.median(line[keep]) for line, keep in zip(pixels.astype(np.float64), near, strict=True)]
    )


def crosstalk(values: npt.NDArray[Any], linear: npt.NDArray[Any], quadratic: npt.NDArray[Any]) -> Floats:
    """What amplifiers of shape (n, ...) cause in each other; [target, source]."""
    found: Floats = np.einsum("ts,s...->t...", linear, values) + np.einsum(
        "ts,s...->t...", quadratic, values**2
    )
    return found


def spline_corrected(values: npt.NDArray[Any], nodes: Floats, corrections: Floats) -> Floats:
    """Values less an Akima spline of them."""
    spline = scipy.interpolate.Akima1DInterpolator(nodes, corrections)
    return np.asarray(values - spline(np.clip(values, nodes[0], nodes[-1] - 0.1)))


def drift_corrected(row: Floats, *, scale: float, decay_time: float, n_offset: int) -> Floats:
    """Snyder et al. 2021, equation 10, pixel by pixel."""
    out = row.copy()
    for x in range(row.size):
        drifts = [scale * max(row[x - j], 0.0) * np.exp(-j / decay_time) for j in range(min(n_offset, x + 1))]
        out[x] -= max(drifts)
    return out


def trap_corrected(
    row: Floats, *, capture: Any, emission_time: float, cti: float, n_trap: int, empty: float = 0.0
) -> Floats:
    """Snyder et al. 2021, equation 13, pixel by pixel."""
    out, decay = row.copy(), np.exp(-1.0 / emission_time)
    captured = np.array([capture(max(value, 0.0)) for value in row])
    for x in range(row.size):
        held = [captured[x - 1 - j] * decay**j for j in range(n_trap) if x - 1 - j >= 0]
        occupancy = max(held) if x > 0 else empty
        loss = max(captured[x] - occupancy * decay, 0.0)
        out[x] -= (1.0 - cti) * (occupancy * (1.0 - decay) - loss)
    return out
