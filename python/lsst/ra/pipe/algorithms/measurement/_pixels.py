# This file is part of ra_pipe.
#
# Use of this source code is governed by a 3-clause BSD-style
# license that can be found in the LICENSE file.

"""Passes over whole images, each reading its input once."""

from __future__ import annotations

__all__ = (
    "DOUBTFUL",
    "UNUSABLE",
    "bin_signal_to_noise",
    "count_planes",
    "dilate",
    "find_bad_pixels",
    "set_plane",
)

import numba
import numpy as np
import numpy.typing as npt

DOUBTFUL = 1
"""A pixel with a plausible value that was not measured well: interpolated,
saturated, hit by a cosmic ray. Good enough to find and sum a source, not to
measure sky or PSF."""

UNUSABLE = 2
"""A pixel whose value means nothing."""

_EIGHT = 8


@numba.njit(cache=True, nogil=True)
def _find_bad_pixels(
    image: np.ndarray, variance: np.ndarray, mask: np.ndarray, unusable: np.ndarray, doubtful: np.ndarray
) -> np.ndarray:  # pragma: no cover
    ny, nx, depth = mask.shape
    bad = np.empty((ny, nx), dtype=np.uint8)
    for y in range(ny):
        for x in range(nx):
            useless = not (np.isfinite(image[y, x]) and np.isfinite(variance[y, x]))
            doubt = False
            for k in range(depth):
                useless |= (mask[y, x, k] & unusable[k]) != 0
                doubt |= (mask[y, x, k] & doubtful[k]) != 0
            bad[y, x] = UNUSABLE * useless + DOUBTFUL * doubt
    return bad


def find_bad_pixels(
    image: npt.NDArray[np.float32],
    *,
    variance: npt.NDArray[np.float32],
    mask: npt.NDArray[np.uint8],
    unusable: npt.NDArray[np.uint8],
    doubtful: npt.NDArray[np.uint8],
) -> npt.NDArray[np.uint8]:
    """Classify the pixels by how far a measurement may rely on them.

    Parameters
    ----------
    image
        Pixels of shape ``(ny, nx)``.
    variance
        Their variance, of the same shape.
    mask
        Packed mask of shape ``(ny, nx, n_bytes)``, as `lsst.images.Mask`
        holds it.
    unusable, doubtful
        ``(n_bytes,)`` bits of the planes of either class, as
        `lsst.images.MaskSchema.bitmask` gives them.

    Returns
    -------
    bad
        ``(ny, nx)`` array: 0, or the sum of `UNUSABLE` (a plane of the first
        class, or the image or its variance is not finite) and `DOUBTFUL` (a
        plane of the second).
    """
    return _find_bad_pixels(image, variance, mask, unusable, doubtful)


@numba.njit(cache=True, nogil=True)
def _byte_histogram(mask: np.ndarray) -> np.ndarray:  # pragma: no cover
    ny, nx, depth = mask.shape
    histogram = np.zeros((depth, 256), dtype=np.int64)
    for y in range(ny):
        for x in range(nx):
            for k in range(depth):
                histogram[k, mask[y, x, k]] += 1
    return histogram


def count_planes(mask: npt.NDArray[np.uint8]) -> npt.NDArray[np.int64]:
    """Count the pixels set in every bit of a packed mask, in one pass.

    Parameters
    ----------
    mask
        Packed mask of shape ``(ny, nx, n_bytes)``.

    Returns
    -------
    counts
        ``(n_bytes, 8)`` number of pixels with bit ``[byte, bit]`` set.
    """
    histogram = _byte_histogram(mask)
    values = np.arange(256)
    is_set = (values[:, np.newaxis] >> np.arange(_EIGHT)) & 1
    return histogram @ is_set  # type: ignore[no-any-return]


@numba.njit(cache=True, nogil=True)
def _bin_signal_to_noise(
    image: np.ndarray, bad: np.ndarray, noise: np.ndarray, factor: int
) -> tuple[np.ndarray, np.ndarray]:  # pragma: no cover
    ny, nx = image.shape
    my, mx = (ny + factor - 1) // factor, (nx + factor - 1) // factor
    cells_y, cells_x = noise.shape
    signal = np.zeros((my, mx), dtype=np.float32)
    masked = np.ones((my, mx), dtype=np.uint8)
    for j in range(my):
        y1 = min((j + 1) * factor, ny)
        cy = min(j * factor * cells_y // ny, cells_y - 1)
        for i in range(mx):
            x1 = min((i + 1) * factor, nx)
            total, count = 0.0, 0
            for y in range(j * factor, y1):
                for x in range(i * factor, x1):
                    if bad[y, x] & UNUSABLE == 0:
                        total += image[y, x]
                        count += 1
            if 2 * count >= factor * factor:
                cx = min(i * factor * cells_x // nx, cells_x - 1)
                signal[j, i] = total / (noise[cy, cx] * np.sqrt(count))
                masked[j, i] = 0
    return signal, masked


def bin_signal_to_noise(
    image: npt.NDArray[np.float32],
    *,
    bad: npt.NDArray[np.uint8],
    noise: npt.NDArray[np.float64],
    factor: int,
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.uint8]]:
    """Sum blocks of pixels and express them in units of the sky noise.

    Parameters
    ----------
    image
        Background-subtracted pixels of shape ``(ny, nx)``.
    bad
        ``(ny, nx)`` array that `find_bad_pixels` made; unusable pixels are
        left out.
    noise
        ``(cells_y, cells_x)`` sky noise of a pixel, on a regular grid that
        covers the image, in the unit of ``image``.
    factor
        Side of a block in pixels.

    Returns
    -------
    signal
        ``(ceil(ny / factor), ceil(nx / factor))`` sums over the noise of the
        same number of pixels.
    masked
        Array of the same shape, 1 where fewer than half of the block's
        pixels are usable.
    """
    return _bin_signal_to_noise(image, bad, noise, factor)


@numba.njit(cache=True, nogil=True)
def _dilate(flags: np.ndarray, radius: int) -> np.ndarray:  # pragma: no cover
    ny, nx = flags.shape
    rows = np.zeros((ny, nx), dtype=np.uint8)
    for y in range(ny):
        last = -radius - 1
        for x in range(nx + radius):
            if x < nx and flags[y, x] != 0:
                last = x
            centre = x - radius
            if centre >= 0 and last >= centre - radius:
                rows[y, centre] = 1
    grown = np.zeros((ny, nx), dtype=np.uint8)
    last_row = np.full(nx, -radius - 1, dtype=np.int64)
    for y in range(ny + radius):
        centre = y - radius
        for x in range(nx):
            if y < ny and rows[y, x] != 0:
                last_row[x] = y
            if centre >= 0 and last_row[x] >= centre - radius:
                grown[centre, x] = 1
    return grown


def dilate(flags: npt.NDArray[np.integer], *, radius: int) -> npt.NDArray[np.uint8]:
    """Grow the non-zero pixels of an image by a square.

    Parameters
    ----------
    flags
        ``(ny, nx)`` array, non-zero where set.
    radius
        Half side of the square in pixels; 0 changes nothing.

    Returns
    -------
    grown
        ``(ny, nx)`` array, 1 within ``radius`` rows and columns of a set
        pixel.
    """
    return _dilate(flags, radius)


@numba.njit(cache=True, nogil=True)
def _set_plane(
    mask: np.ndarray, flags: np.ndarray, factor: int, byte: int, bit: int
) -> None:  # pragma: no cover
    ny, nx, _ = mask.shape
    for y in range(ny):
        for x in range(nx):
            if flags[y // factor, x // factor] != 0:
                mask[y, x, byte] |= np.uint8(bit)


def set_plane(
    mask: npt.NDArray[np.uint8], *, flags: npt.NDArray[np.integer], factor: int, byte: int, bit: int
) -> None:
    """Set one bit of a packed mask wherever a binned image is non-zero.

    Parameters
    ----------
    mask
        Packed mask of shape ``(ny, nx, n_bytes)``, changed in place.
    flags
        ``(ceil(ny / factor), ceil(nx / factor))`` array, non-zero where set.
    factor
        Side of a block of ``flags`` in pixels of ``mask``.
    byte, bit
        Index of the byte and value of the bit in it.
    """
    _set_plane(mask, flags, factor, byte, bit)
