# This file is part of ra_pipe.
#
# Use of this source code is governed by a 3-clause BSD-style
# license that can be found in the LICENSE file.

"""From raw counts of the amplifiers to one image of the detector."""

from __future__ import annotations

__all__ = (
    "AmplifierSteps",
    "all_saturated",
    "assemble",
    "sample_rows",
    "values_after_crosstalk",
)

from collections.abc import Sequence
from typing import Any, NamedTuple

import numba
import numpy as np
import numpy.typing as npt

from ._crosstalk import CrosstalkTerms, crosstalk_rows
from ._deferred_charge import DeferredChargeTerms, defer_rows, deferred_charge_work
from ._layout import AmplifierLayout
from ._linearity import LinearityTerms, linearize

# Rows of which one is used for levels that need no more.
_SAMPLE_STRIDE = 16

# Rows that are worked on together: more would not stay in the cache.
_BLOCK = 8


class AmplifierSteps(NamedTuple):
    """What is done to the values of each amplifier, in this order."""

    levels: npt.NDArray[np.float32]
    """Level (adu) to subtract from each row, ``(n_amplifiers, raw_ny)``."""

    saturation: npt.NDArray[np.float32]
    """Smallest saturated value (adu), ``(n_amplifiers,)``; NaN for none."""

    suspect: npt.NDArray[np.float32]
    """Smallest suspect value (adu), ``(n_amplifiers,)``; NaN for none."""

    gains: npt.NDArray[np.float32]
    """Factors to multiply the values with (electron/adu), ``(n_amplifiers,)``."""

    crosstalk: CrosstalkTerms
    """Crosstalk to subtract."""

    crosstalk_backgrounds: npt.NDArray[np.float32]
    """Usual crosstalk of each amplifier, in the image's unit."""

    crosstalk_threshold: npt.NDArray[np.float32]
    """Smallest deviation from the usual crosstalk that is flagged, or, if
    ``flag_sources``, the smallest value whose targets are flagged."""

    flag_sources: bool
    """Whether the source's value decides on the flag."""

    columns: npt.NDArray[np.float32]
    """Level to subtract from each column, ``(n_amplifiers, nx)``."""

    linearity: LinearityTerms
    """Correction of the response."""

    deferred_charge: DeferredChargeTerms
    """Correction of charge that arrives late."""


def assemble(
    raws: Sequence[npt.NDArray[Any]],
    *,
    layout: AmplifierLayout,
    steps: AmplifierSteps,
    image: npt.NDArray[np.float32],
    mask: npt.NDArray[np.uint16],
    saturated_bit: int,
    suspect_bit: int,
    crosstalk_bit: int,
) -> None:
    """Correct the amplifiers' values and put them in their place.

    Parameters
    ----------
    raws
        Raw counts (adu) of each amplifier, of the layout's ``raw_shape``.
    layout
        Geometry of the amplifiers.
    steps
        What to do to the values.
    image
        Image of shape ``(ny, nx)`` to write to.
    mask
        Mask of shape ``(ny, nx)``, to which bits are added.
    saturated_bit, suspect_bit, crosstalk_bit
        Bits of the mask.

    Notes
    -----
    One pass: a few rows of all amplifiers stay in the cache through all steps.
    """
    bits = (np.uint16(saturated_bit), np.uint16(suspect_bit), np.uint16(crosstalk_bit))
    places = (layout.out_y0, layout.out_x0, layout.flip_y, layout.flip_x)
    _assemble(tuple(raws), layout.data_shape, layout.data_x0, steps, places, bits, image, mask)


def values_after_crosstalk(
    raws: Sequence[npt.NDArray[Any]],
    *,
    layout: AmplifierLayout,
    steps: AmplifierSteps,
    rows: tuple[int, int],
) -> npt.NDArray[np.float32]:
    """Correct some rows as far as crosstalk.

    Parameters
    ----------
    raws
        Raw counts (adu) of each amplifier.
    layout
        Geometry of the amplifiers.
    steps
        What to do to the values; steps after crosstalk do not matter.
    rows
        First row and the one after the last.

    Returns
    -------
    values
        Values of shape ``(n_amplifiers, n_rows, nx)``, in the image's unit.
    """
    nx, x0 = layout.data_shape[1], layout.data_x0
    return np.asarray(_rows_after_crosstalk(tuple(raws), nx, x0, rows, 1, steps)[0])


def sample_rows(
    raws: Sequence[npt.NDArray[Any]], *, layout: AmplifierLayout, steps: AmplifierSteps
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """Correct every 16th row as far as crosstalk.

    Parameters
    ----------
    raws
        Raw counts (adu) of each amplifier.
    layout
        Geometry of the amplifiers.
    steps
        What to do to the values; steps after crosstalk do not matter.

    Returns
    -------
    values
        Values of shape ``(n_amplifiers, n_rows, nx)``, in the image's unit.
    crosstalk
        Crosstalk that was subtracted, of the same shape.  The error of its
        median is some 0.5 % of its scatter.
    """
    rows = (0, layout.data_shape[0])
    nx, x0 = layout.data_shape[1], layout.data_x0
    values, crosstalk = _rows_after_crosstalk(tuple(raws), nx, x0, rows, _SAMPLE_STRIDE, steps)
    return values, crosstalk


def all_saturated(
    raw: npt.NDArray[Any], *, layout: AmplifierLayout, levels: npt.NDArray[np.float32], limit: float
) -> bool:
    """Tell whether all data pixels of an amplifier reach a limit.

    Parameters
    ----------
    raw
        Raw counts (adu).
    layout
        Geometry of the amplifiers.
    levels
        Level (adu) of each row.
    limit
        Limit (adu) above the level; NaN is never reached.

    Returns
    -------
    all_saturated
        Whether there is no smaller value.
    """
    ny, nx = layout.data_shape
    data = raw[:ny, layout.data_x0 : layout.data_x0 + nx]
    return bool(_all_reach(data, levels, np.float32(limit)))


@numba.njit(cache=True, error_model="numpy")
def _all_reach(data, levels, limit):  # type: ignore[no-untyped-def]
    """Look for a value below a limit, and stop at the first one."""
    for y in range(data.shape[0]):
        for x in range(data.shape[1]):
            if not np.float32(data[y, x]) - levels[y] >= limit:
                return False
    return True


@numba.njit(cache=True, error_model="numpy")
def _any_reaches(values, limit):  # type: ignore[no-untyped-def]
    """Tell whether any value reaches a limit."""
    found = np.int32(0)
    for x in range(values.size):
        found |= np.int32(values[x] >= limit)
    return found != 0


@numba.njit(cache=True, error_model="numpy")
def _load_row(raw, level, saturation, suspect, gain, out):  # type: ignore[no-untyped-def]
    """Subtract the level, apply the gain; tell whether a limit is reached."""
    limit = np.float32(np.inf)
    limit = saturation if saturation < limit else limit
    limit = suspect if suspect < limit else limit
    reached = np.int32(0)
    for x in range(out.size):
        value = np.float32(raw[x]) - level
        reached |= np.int32(value >= limit)
        out[x] = value * gain
    return reached != 0 and limit < np.inf


@numba.njit(cache=True, error_model="numpy")
def _flag_row(raw, level, limit, bit, row, flip):  # type: ignore[no-untyped-def]
    """Set a bit where a limit is reached."""
    n = raw.size
    for x in range(n):
        if np.float32(raw[x]) - level >= limit:
            row[n - 1 - x if flip else x] |= bit


@numba.njit(cache=True, error_model="numpy")
def _rows_after_crosstalk(raws, nx, x0, limits, stride, steps):  # type: ignore[no-untyped-def]
    """Correct some rows as far as crosstalk; return them and the crosstalk."""
    n = len(raws)
    first, last = limits
    n_rows = (last - first + stride - 1) // stride
    values = np.empty((n, n_rows, nx), np.float32)
    crosstalk = np.zeros((n, n_rows, nx), np.float32)
    rows = np.empty((n, nx), np.float32)
    subtrahend = np.zeros((n, nx), np.float32)
    nan = np.float32(np.nan)
    for i in range(n_rows):
        y = first + i * stride
        for a in range(n):
            _load_row(raws[a][y, x0 : x0 + nx], steps.levels[a, y], nan, nan, steps.gains[a], rows[a])
        if steps.crosstalk.enabled:
            crosstalk_rows(rows, steps.crosstalk, subtrahend)
            crosstalk[:, i] = subtrahend
        for a in range(n):
            for x in range(nx):
                values[a, i, x] = rows[a, x] - subtrahend[a, x]
    return values, crosstalk


@numba.njit(cache=True, error_model="numpy")
def _flag_crosstalk(rows, bright, subtrahend, steps, target, bit, row, flip):  # type: ignore[no-untyped-def]
    """Flag pixels whose crosstalk is noticeable."""
    n = subtrahend.size
    if steps.flag_sources:
        for source in range(rows.shape[0]):
            if steps.crosstalk.linear[target, source] != 0.0 and bright[source]:
                threshold, values = steps.crosstalk_threshold[source], rows[source]
                for x in range(n):
                    if values[x] >= threshold:
                        row[n - 1 - x if flip else x] |= bit
    else:
        background, threshold = steps.crosstalk_backgrounds[target], steps.crosstalk_threshold[target]
        found = np.int32(0)
        for x in range(n):
            found |= np.int32(abs(subtrahend[x] - background) >= threshold)
        if found != 0:
            for x in range(n):
                if abs(subtrahend[x] - background) >= threshold:
                    row[n - 1 - x if flip else x] |= bit


@numba.njit(cache=True, error_model="numpy")
def _assemble(raws, data_shape, x0, steps, places, bits, image, mask):  # type: ignore[no-untyped-def]
    """Correct and assemble, some rows at a time."""
    n = len(raws)
    ny, nx = data_shape
    rows = np.empty((_BLOCK, n, nx), np.float32)
    subtrahend = np.zeros((_BLOCK, n, nx), np.float32)
    corrected = np.empty((_BLOCK, nx), np.float32)
    work = deferred_charge_work(steps.deferred_charge, nx)
    for first in range(0, ny, _BLOCK):
        n_rows = min(_BLOCK, ny - first)
        for a in range(n):
            _load_rows(raws[a], x0, first, n_rows, steps, a, ny, places, bits, rows, mask)
        if steps.crosstalk.enabled:
            for i in range(n_rows):
                crosstalk_rows(rows[i], steps.crosstalk, subtrahend[i])
            _flag_rows(rows, subtrahend, steps, first, n_rows, ny, places, bits[2], mask)
        for a in range(n):
            _subtract_rows(rows, subtrahend, steps.columns[a], a, n_rows, corrected)
            linearize(corrected[:n_rows].reshape(-1), steps.linearity, a)
            defer_rows(corrected[:n_rows], steps.deferred_charge, a, work)
            _write_rows(corrected, a, first, n_rows, ny, places, image)


@numba.njit(cache=True, error_model="numpy")
def _load_rows(raw, x0, first, n_rows, steps, a, ny, places, bits, rows, mask):  # type: ignore[no-untyped-def]
    """Load rows of an amplifier, and flag saturated and suspect pixels."""
    out_y0, out_x0, flip_y, flip_x = places
    nx = rows.shape[2]
    levels, saturation, suspect, gain = steps.levels[a], steps.saturation[a], steps.suspect[a], steps.gains[a]
    for i in range(n_rows):
        y = first + i
        values = raw[y][x0 : x0 + nx]
        if _load_row(values, levels[y], saturation, suspect, gain, rows[i, a]):
            row = mask[out_y0[a] + (ny - 1 - y if flip_y[a] else y)][out_x0[a] : out_x0[a] + nx]
            _flag_row(values, levels[y], saturation, bits[0], row, flip_x[a])
            _flag_row(values, levels[y], suspect, bits[1], row, flip_x[a])


@numba.njit(cache=True, error_model="numpy")
def _flag_rows(rows, subtrahend, steps, first, n_rows, ny, places, bit, mask):  # type: ignore[no-untyped-def]
    """Flag noticeable crosstalk."""
    out_y0, out_x0, flip_y, flip_x = places
    n, nx = rows.shape[1:]
    bright = np.zeros(n, np.bool_)
    for i in range(n_rows):
        y = first + i
        if steps.flag_sources:
            for a in range(n):
                bright[a] = _any_reaches(rows[i, a], steps.crosstalk_threshold[a])
        for a in range(n):
            row = mask[out_y0[a] + (ny - 1 - y if flip_y[a] else y)][out_x0[a] : out_x0[a] + nx]
            _flag_crosstalk(rows[i], bright, subtrahend[i, a], steps, a, bit, row, flip_x[a])


@numba.njit(cache=True, error_model="numpy")
def _subtract_rows(rows, subtrahend, columns, a, n_rows, out):  # type: ignore[no-untyped-def]
    """Subtract crosstalk and the level of each column."""
    for i in range(n_rows):
        values, crosstalk, result = rows[i, a], subtrahend[i, a], out[i]
        for x in range(values.size):
            result[x] = values[x] - crosstalk[x] - columns[x]


@numba.njit(cache=True, error_model="numpy")
def _write_rows(rows, a, first, n_rows, ny, places, image):  # type: ignore[no-untyped-def]
    """Write rows where they belong."""
    out_y0, out_x0, flip_y, flip_x = places
    n = rows.shape[1]
    for i in range(n_rows):
        y = first + i
        out = image[out_y0[a] + (ny - 1 - y if flip_y[a] else y)][out_x0[a] : out_x0[a] + n]
        values = rows[i]
        if flip_x[a]:
            for x in range(n):
                out[x] = values[n - 1 - x]
        else:
            for x in range(n):
                out[x] = values[x]
