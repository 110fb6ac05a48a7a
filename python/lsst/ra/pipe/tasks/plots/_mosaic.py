# This file is part of ra_pipe.
#
# Use of this source code is governed by a 3-clause BSD-style
# license that can be found in the LICENSE file.

"""Binned images of the detectors put together to one of the focal plane."""

from __future__ import annotations

__all__ = ("Mosaic", "make_mosaic")

import dataclasses
import math
import warnings
from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from ...camera import Camera


@dataclasses.dataclass(frozen=True, eq=False)
class Mosaic:
    """An image of a part of the focal plane."""

    image: npt.NDArray[np.float32]
    """``(ny, nx)`` pixels, the first one at the lower left; NaN between
    the detectors and where there are no data."""

    window: tuple[float, float, float, float]
    """Left, right, lower and upper edge in the focal plane, mm."""


def make_mosaic(
    images: Mapping[int, npt.NDArray[np.floating]],
    *,
    binning: int,
    camera: Camera,
    window: tuple[float, float, float, float],
    max_size: int = 900,
) -> Mosaic:
    """Put binned images at their places in the focal plane.

    Parameters
    ----------
    images
        Binned image of shape ``(ny, nx)`` of each detector, by detector id.
    binning
        Side of a binned pixel in pixels of the detectors.
    camera
        Camera with the positions of the detectors, which are turned by
        multiples of 90 degrees.
    window
        Left, right, lower and upper edge of the mosaic, mm.
    max_size
        Bin further until the mosaic has no more columns and rows than this.

    Returns
    -------
    mosaic
        The mosaic. Its pixels are square; a detector is placed to the nearest
        of them.

    Raises
    ------
    ValueError
        Raised if the window is empty.
    """
    left, right, low, high = window
    if not (right > left and high > low):
        raise ValueError(f"The window of a mosaic must not be empty: {window}.")
    pixel = binning * min(facts.pixel_size for facts in camera.facts.values())
    factor = max(1, math.ceil(max(right - left, high - low) / (pixel * max_size)))
    cell = pixel * factor
    canvas = np.full(
        (math.ceil((high - low) / cell), math.ceil((right - left) / cell)), np.nan, dtype=np.float32
    )
    for detector, image in images.items():
        tile = rebin(image, factor)
        turns = round(camera.facts[detector].yaw / 90.0) % 4
        corners = _corners(camera.detector_polygon(detector), tile.shape, cell)
        x, y = corners.min(axis=0)
        _place(canvas, np.rot90(tile, -turns), x=round((x - left) / cell), y=round((y - low) / cell))
    ny, nx = canvas.shape
    return Mosaic(canvas, (left, left + nx * cell, low, low + ny * cell))


def _corners(
    polygon: npt.NDArray[np.float64], shape: tuple[int, ...], cell: float
) -> npt.NDArray[np.float64]:
    """Return the corners of a tile that begins in the first corner of a
    detector, mm.
    """
    along_x = (polygon[1] - polygon[0]) / np.hypot(*(polygon[1] - polygon[0]))
    along_y = (polygon[3] - polygon[0]) / np.hypot(*(polygon[3] - polygon[0]))
    steps = [along_x * i * shape[1] * cell + along_y * j * shape[0] * cell for i in (0, 1) for j in (0, 1)]
    return np.asarray(polygon[0] + np.array(steps))


def rebin(image: npt.NDArray[np.floating], factor: int) -> npt.NDArray[np.float32]:
    """Average an image in blocks.

    Parameters
    ----------
    image
        Pixels of shape ``(ny, nx)``.
    factor
        Side of a block.

    Returns
    -------
    binned
        ``(ceil(ny / factor), ceil(nx / factor))`` means of the finite pixels of
        each block; NaN where there is none.
    """
    if factor == 1:
        return np.asarray(image, dtype=np.float32)
    ny, nx = (-(-size // factor) for size in image.shape)
    padded = np.full((ny * factor, nx * factor), np.nan, dtype=np.float32)
    padded[: image.shape[0], : image.shape[1]] = image
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Mean of empty slice")
        return np.asarray(np.nanmean(padded.reshape(ny, factor, nx, factor), axis=(1, 3)))


def _place(canvas: npt.NDArray[np.float32], tile: npt.NDArray[np.float32], *, x: int, y: int) -> None:
    """Copy a tile to a place on the canvas, without what lies beyond it."""
    x0, y0 = max(x, 0), max(y, 0)
    x1, y1 = min(x + tile.shape[1], canvas.shape[1]), min(y + tile.shape[0], canvas.shape[0])
    if x1 > x0 and y1 > y0:
        part = tile[y0 - y : y1 - y, x0 - x : x1 - x]
        target = canvas[y0:y1, x0:x1]
        target[:] = np.where(np.isfinite(part), part, target)
