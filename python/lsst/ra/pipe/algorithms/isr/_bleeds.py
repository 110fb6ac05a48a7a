# This file is part of ra_pipe.
#
# Use of this source code is governed by a 3-clause BSD-style
# license that can be found in the LICENSE file.

"""Masks for what very bright stars do to E2V and ITL detectors."""

from __future__ import annotations

__all__ = (
    "ItlDipSettings",
    "mask_e2v_edge_bleeds",
    "mask_itl_dips",
    "mask_itl_edge_bleed",
    "mask_itl_saturation_sag",
    "widen_saturation_trails",
)

import dataclasses
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from ._footprints import Footprint, find_footprints
from ._layout import AmplifierLayout
from ._statistics import median

# Rows at an edge of an ITL detector that an edge bleed may cover; rows that
# tell its strength, and rows and columns that tell its width.
_ITL_BLEED_ROWS = 200
_ITL_STRENGTH_ROWS, _ITL_STRENGTH_COLUMNS = 50, 5
_ITL_WIDTH_ROWS, _ITL_WIDTH_COLUMNS = 100, 250

# Fraction of the saturation level above which a pixel counts to the width.
_ITL_WIDTH_FRACTION = 0.45

# Pixels to add on either side of a saturated run, by its length, and for
# longer ones.
_TRAIL_GROWTH = {6: 1, 7: 1, 8: 3, 9: 3}
_TRAIL_GROWTH_LONG = 4


@dataclasses.dataclass(frozen=True, kw_only=True)
class ItlDipSettings:
    """Model of the dark column trail of a bright star on an ITL detector."""

    min_height: int = 50
    """Rows that a saturated column must have to count."""

    min_width: int = 15
    """Saturated columns that a star must have."""

    max_width: int = 50
    """Largest number of columns that counts."""

    width_scale: float = 1.5
    """Width of the trail per saturated column."""

    background_fraction: float = 0.0
    """Depth of the trail per background and saturated column; 0 is no trail."""

    min_noise_fraction: float = 0.5
    """Smallest depth per background noise that is masked."""

    max_columns: int = 500
    """Largest number of columns that are masked; with more, none is."""


def mask_e2v_edge_bleeds(
    mask: npt.NDArray[np.uint16],
    *,
    layout: AmplifierLayout,
    bit: int,
    min_area: int,
    max_area: int,
    height: int,
) -> list[str]:
    """Mask the edge of E2V amplifiers that a saturated star's bleed reaches.

    Parameters
    ----------
    mask
        Mask of shape ``(ny, nx)``, to which bits are added.
    layout
        Geometry of the amplifiers.
    bit
        Bit of saturated pixels.
    min_area, max_area
        Saturated area (pixel) of such a star: the smallest, and the smallest
        that is too large.
    height
        Rows to mask, over the amplifier's width.

    Returns
    -------
    amplifiers
        Names of the amplifiers, once for each star.
    """
    masked = []
    for footprint in _of_area(find_footprints(mask, bit=bit), min_area, max_area):
        y, x = (int(c) for c in footprint.centroid)
        index = _amplifier_at(layout, y, x)
        if layout.names[index].startswith("C0") and footprint.y_range[0] == 0:
            rows, columns = layout.assembled_slices(index)
            mask[rows, columns][:height] |= np.uint16(bit)
            masked.append(layout.names[index])
    return masked


def mask_itl_dips(
    mask: npt.NDArray[np.uint16],
    *,
    image: npt.NDArray[np.float32],
    settings: ItlDipSettings,
    saturated_bit: int,
    bits: int,
) -> list[tuple[int, int]]:
    """Mask the dark column trails of saturated stars.

    Parameters
    ----------
    mask
        Mask of shape ``(ny, nx)``, to which bits are added.
    image
        Image of the same shape (electron), before bias subtraction.
    settings
        Model of the trails.
    saturated_bit
        Bit of saturated pixels.
    bits
        Bits to set.

    Returns
    -------
    columns
        First column and the one after the last of each trail.
    """
    if settings.background_fraction == 0.0:
        return []
    footprints = find_footprints(mask, bit=saturated_bit, min_height=settings.min_height)
    if not footprints:
        return []
    # The level of a sixteenth of the rows decides as well as that of all.
    background = median(image[::16])
    trails = []
    for footprint in footprints:
        heights = footprint.as_array().sum(axis=0)
        width = int((heights > settings.min_height).sum())
        if width < settings.min_width:
            continue
        width = min(width, settings.max_width)
        depth = settings.background_fraction * background * width
        if not depth >= settings.min_noise_fraction * np.sqrt(max(background, 0.0)):
            continue
        half = settings.width_scale * width / 2.0
        first = max(int(footprint.centroid[1] - half), 0)
        last = min(int(footprint.centroid[1] + half), mask.shape[1] - 1)
        trails.append((first, last + 1))
    if sum(stop - start for start, stop in trails) > settings.max_columns:
        return []
    for start, stop in trails:
        mask[:, start:stop] |= np.uint16(bits)
    return trails


def mask_itl_saturation_sag(mask: npt.NDArray[np.uint16], *, footprint: Footprint, bit: int) -> None:
    """Mask the whole of the columns through a saturated star.

    Parameters
    ----------
    mask
        Mask of shape ``(ny, nx)``, to which bits are added.
    footprint
        Saturated pixels of the star.
    bit
        Bit to set in columns that are saturated over a fifth of its height.
    """
    heights = footprint.as_array().sum(axis=0)
    y0, y1 = footprint.y_range
    columns = np.flatnonzero(heights > (y1 - y0) / 5.0) + footprint.x_range[0]
    mask[:, columns] |= np.uint16(bit)


def mask_itl_edge_bleed(
    mask: npt.NDArray[np.uint16],
    *,
    image: npt.NDArray[np.float32],
    layout: AmplifierLayout,
    footprint: Footprint,
    bit: int,
    saturation: float,
    threshold: float,
    decay: float,
    min_area: int,
    max_area: int,
) -> list[str]:
    """Mask the bleed of a saturated star along the edges of an ITL detector.

    Parameters
    ----------
    mask
        Mask of shape ``(ny, nx)``, to which bits are added.
    image
        Image of the same shape (electron), before bias subtraction.
    layout
        Geometry of the amplifiers.
    footprint
        Saturated pixels of one star, or of two that touch.
    bit
        Bit to set.
    saturation
        Saturation level (electron).
    threshold
        Level above the amplifier's median (electron) at which there is a bleed.
    decay
        Decay of the bleed's width with the distance from the edge (1/pixel).
    min_area, max_area
        Limits of the saturated area (pixel) of each of two stars that touch.

    Returns
    -------
    amplifiers
        Names of the amplifiers with a bleed.
    """
    drawn = footprint.as_array()
    (y0, _), (x0, _) = footprint.y_range, footprint.x_range
    y, x = footprint.centroid
    across = drawn[int(y) - y0]
    edges = np.flatnonzero(np.diff(np.concatenate(([False], across, [False])).astype(np.int8)))
    starts, stops = edges[::2], edges[1::2]
    found = []
    if starts.size > 2:
        return []
    cores: list[tuple[float, int]] = []
    if starts.size == 2:
        divide = int((starts[1] + stops[0]) / 2)
        for first, part in ((0, drawn[:, :divide]), (divide, drawn[:, divide:])):
            if min_area < part.sum() < max_area:
                column = x0 + first + int(np.argmax(part.sum(axis=0)))
                cores.append((column, int(part[_core_row(part)].sum())))
    else:
        cores.append((x, int(across.sum())))
    for center, width in cores:
        found += _mask_core(mask, image, layout, center, width, bit, saturation, threshold, decay)
    return found


def _core_row(part: npt.NDArray[np.bool_]) -> int:
    """Return the widest row, away from the ends where the bleed may be."""
    margin = 0 if part.shape[0] <= 200 else 100
    return margin + int(np.argmax(part[margin : part.shape[0] - margin].sum(axis=1)))


def _mask_core(
    mask: npt.NDArray[np.uint16],
    image: npt.NDArray[np.float32],
    layout: AmplifierLayout,
    x: float,
    width: int,
    bit: int,
    saturation: float,
    threshold: float,
    decay: float,
) -> list[str]:
    """Mask the bleeds at both edges of the detector for one star."""
    found = []
    column, nx = int(x), mask.shape[1]
    for index, name in enumerate(layout.names):
        rows, columns = layout.assembled_slices(index)
        if not columns.start <= x < columns.stop:
            continue
        # The Science Pipelines look at the lower edge for the amplifiers C1x;
        # both edges are looked at in any case.
        if name.startswith("C1"):
            edge, flags = image[:_ITL_BLEED_ROWS], mask[:_ITL_BLEED_ROWS]
        else:
            edge, flags = image[-_ITL_BLEED_ROWS:][::-1], mask[-_ITL_BLEED_ROWS:][::-1]
        near = slice(max(column - _ITL_STRENGTH_COLUMNS, 0), min(column + _ITL_STRENGTH_COLUMNS, nx))
        strength = np.median(edge[:_ITL_STRENGTH_ROWS, near])
        if not strength > median(image[rows, columns]) + threshold:
            continue
        found.append(name)
        wide = slice(max(column - _ITL_WIDTH_COLUMNS, 0), min(column + _ITL_WIDTH_COLUMNS, nx))
        bright = edge[:_ITL_WIDTH_ROWS, wide] > _ITL_WIDTH_FRACTION * saturation
        widest = int(bright.sum(axis=1).max())
        for y in range(edge.shape[0]):
            half = int((widest * np.exp(-decay * y) + width) / 2.0)
            flags[y, max(column - half, 0) : min(column + half, nx)] |= np.uint16(bit)
    return found


def widen_saturation_trails(mask: npt.NDArray[np.uint16], *, bit: int) -> None:
    """Widen saturated runs by an amount that depends on their length.

    Parameters
    ----------
    mask
        Mask of shape ``(ny, nx)``, to which bits are added.
    bit
        Bit of saturated pixels.
    """
    for footprint in find_footprints(mask, bit=bit):
        for y, start, stop in zip(footprint.rows, footprint.starts, footprint.stops, strict=True):
            length = int(stop - start)
            extra = _TRAIL_GROWTH.get(length, _TRAIL_GROWTH_LONG if length > max(_TRAIL_GROWTH) else 0)
            mask[y, max(start - extra, 0) : stop + extra] |= np.uint16(bit)


def _of_area(footprints: Sequence[Footprint], min_area: int, max_area: int) -> list[Footprint]:
    """Select footprints by area."""
    return [f for f in footprints if min_area <= f.area < max_area]


def _amplifier_at(layout: AmplifierLayout, y: int, x: int) -> int:
    """Return the amplifier that has a pixel of the assembled detector."""
    for index in range(len(layout)):
        rows, columns = layout.assembled_slices(index)
        if rows.start <= y < rows.stop and columns.start <= x < columns.stop:
            return index
    raise ValueError(f"No amplifier has pixel (y, x) = ({y}, {x}).")
