# This file is part of ra_pipe.
#
# Use of this source code is governed by a 3-clause BSD-style
# license that can be found in the LICENSE file.

"""Passes over whole images, each reading its input once."""

from __future__ import annotations

__all__ = (
    "DOUBTFUL",
    "SATURATED",
    "UNUSABLE",
    "PixelSurvey",
    "PlaneBits",
    "count_planes",
    "dilate",
    "set_plane",
    "survey_pixels",
)

import dataclasses

import numba
import numpy as np
import numpy.typing as npt

DOUBTFUL = 1
"""A pixel with a plausible value that was not measured well: interpolated,
saturated, hit by a cosmic ray. Good enough to find and sum a source, not to
measure sky or PSF."""

UNUSABLE = 2
"""A pixel whose value means nothing."""


SATURATED = 4
"""A saturated pixel."""

_EIGHT = 8


@dataclasses.dataclass(frozen=True)
class PlaneBits:
    """Bits of mask planes by what they mean for a measurement.

    Each is an ``(n_bytes,)`` array, as `lsst.images.MaskSchema.bitmask` gives
    it.
    """

    unusable: npt.NDArray[np.uint8]
    """Planes of pixels without a meaningful value."""

    doubtful: npt.NDArray[np.uint8]
    """Planes of pixels that may be summed, but not used for sky and PSF."""

    saturated: npt.NDArray[np.uint8]
    """Planes of saturated pixels."""

    def tabulate(self) -> npt.NDArray[np.uint8]:
        """Translate the values of mask bytes.

        Returns
        -------
        tables
            ``(n_bytes, 256)`` sum of `DOUBTFUL`, `UNUSABLE` and `SATURATED`
            that a value of each byte stands for.
        """
        values = np.arange(256, dtype=np.uint8)
        tables = np.zeros((self.unusable.size, 256), dtype=np.uint8)
        for meaning, bits in (
            (DOUBTFUL, self.doubtful),
            (UNUSABLE, self.unusable),
            (SATURATED, self.saturated),
        ):
            tables |= np.where((values & bits[:, np.newaxis]) != 0, meaning, 0).astype(np.uint8)
        return tables


@dataclasses.dataclass(frozen=True, eq=False)
class PixelSurvey:
    """What one pass over image, variance and mask tells of the pixels."""

    bad: npt.NDArray[np.uint8]
    """``(ny, nx)`` array: 0, or the sum of `UNUSABLE` (a plane of that class,
    or the image or its variance is not finite) and `DOUBTFUL`."""

    mean: npt.NDArray[np.float32]
    """``(ceil(ny / factor), ceil(nx / factor))`` mean of the usable pixels of
    each block; 0 where fewer than half are."""

    flags: npt.NDArray[np.uint8]
    """Array of that shape: `DOUBTFUL` and `SATURATED` where any pixel of the
    block is, `UNUSABLE` where more than half of them are."""

    factor: int
    """Side of a block in pixels."""


def survey_pixels(
    image: npt.NDArray[np.float32],
    *,
    variance: npt.NDArray[np.float32],
    mask: npt.NDArray[np.uint8],
    bits: PlaneBits,
    factor: int = 2,
) -> PixelSurvey:
    """Classify the pixels by how far a measurement may rely on them, and bin.

    Parameters
    ----------
    image
        Pixels of shape ``(ny, nx)``.
    variance
        Their variance, of the same shape.
    mask
        Packed mask of shape ``(ny, nx, n_bytes)``, as `lsst.images.Mask`
        holds it; contiguous.
    bits
        Meaning of the mask planes.
    factor
        Side of the blocks of pixels that are averaged.

    Returns
    -------
    survey
        The pixels' classes, and the binned image.
    """
    ny, nx, _ = mask.shape
    my, mx = -(-ny // factor), -(-nx // factor)
    survey = PixelSurvey(
        bad=np.empty((ny, nx), dtype=np.uint8),
        mean=np.empty((my, mx), dtype=np.float32),
        flags=np.empty((my, mx), dtype=np.uint8),
        factor=factor,
    )
    tables = bits.tabulate()
    care = np.array([sum(1 << bit for bit in range(_EIGHT) if table[1 << bit]) for table in tables])
    _survey(
        image,
        variance,
        mask,
        _as_words(mask),
        np.tile(care.astype(np.uint8), _EIGHT).view(np.uint64),
        tables,
        factor,
        survey.bad,
        survey.mean,
        survey.flags,
    )
    return survey


def _as_words(mask: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint64]:
    """View the rows of a packed mask as words of 8 bytes, as far as they
    allow: ``(ny, 0)`` unless the number of columns is a multiple of 8.
    """
    ny, nx, depth = mask.shape
    if nx % _EIGHT:
        return np.empty((ny, 0), dtype=np.uint64)
    return mask.reshape(ny, nx * depth).view(np.uint64)


@numba.njit(cache=True, nogil=True)
def _survey(
    image: np.ndarray,
    variance: np.ndarray,
    mask: np.ndarray,
    words: np.ndarray,
    care: np.ndarray,
    tables: np.ndarray,
    factor: int,
    bad: np.ndarray,
    mean: np.ndarray,
    flags: np.ndarray,
) -> None:  # pragma: no cover
    ny, nx, depth = mask.shape
    my, mx = mean.shape
    total = np.empty(mx * factor, dtype=np.float32)
    count = np.empty(mx * factor, dtype=np.uint8)
    seen = np.empty(mx * factor, dtype=np.uint8)
    row = np.empty(nx, dtype=np.uint8)
    in_words = 8 * (words.shape[1] // depth)
    for j in range(my):
        total[:], count[:], seen[:] = 0, 0, 0
        for y in range(j * factor, min((j + 1) * factor, ny)):
            for x in range(nx):
                sum_of_both = image[y, x] + variance[y, x]
                # Not zero if it is NaN or infinite.
                row[x] = np.uint8(0) if sum_of_both - sum_of_both == 0 else np.uint8(UNUSABLE)
            for first in range(0, in_words, 8):
                hit = np.uint64(0)
                for k in range(depth):
                    hit |= words[y, (first // 8) * depth + k] & care[k]
                if hit != 0:
                    _translate(row, mask[y], tables, first, first + 8)
            _translate(row, mask[y], tables, in_words, nx)
            for x in range(nx):
                flag = row[x]
                bad[y, x] = flag & np.uint8(DOUBTFUL | UNUSABLE)
                good = (flag & np.uint8(UNUSABLE)) == 0
                total[x] += image[y, x] if good else np.float32(0)
                count[x] += np.uint8(good)
                seen[x] |= flag & np.uint8(DOUBTFUL | SATURATED)
        for i in range(mx):
            block, n_good, flag = np.float32(0), 0, np.uint8(0)
            for x in range(i * factor, (i + 1) * factor):
                block += total[x]
                n_good += count[x]
                flag |= seen[x]
            if 2 * n_good >= factor * factor:
                mean[j, i] = block / n_good
            else:
                mean[j, i] = 0
                flag |= np.uint8(UNUSABLE)
            flags[j, i] = flag


@numba.njit(cache=True, nogil=True)
def _translate(
    row: np.ndarray, mask_row: np.ndarray, tables: np.ndarray, first: int, end: int
) -> None:  # pragma: no cover
    for x in range(first, end):
        flag = row[x]
        for k in range(tables.shape[0]):
            flag |= tables[k, mask_row[x, k]]
        row[x] = flag


@numba.njit(cache=True, nogil=True)
def _byte_histogram(mask: np.ndarray, words: np.ndarray) -> np.ndarray:  # pragma: no cover
    ny, nx, depth = mask.shape
    histogram = np.zeros((depth, 256), dtype=np.int64)
    in_words = 8 * (words.shape[1] // depth)
    for y in range(ny):
        for first in range(0, in_words, 8):
            hit = np.uint64(0)
            for k in range(depth):
                hit |= words[y, (first // 8) * depth + k]
            if hit != 0:
                for x in range(first, first + 8):
                    for k in range(depth):
                        histogram[k, mask[y, x, k]] += 1
        for x in range(in_words, nx):
            for k in range(depth):
                histogram[k, mask[y, x, k]] += 1
    return histogram


def count_planes(mask: npt.NDArray[np.uint8]) -> npt.NDArray[np.int64]:
    """Count the pixels set in every bit of a packed mask, in one pass.

    Parameters
    ----------
    mask
        Packed mask of shape ``(ny, nx, n_bytes)``, contiguous.

    Returns
    -------
    counts
        ``(n_bytes, 8)`` number of pixels with bit ``[byte, bit]`` set.
    """
    histogram = _byte_histogram(mask, _as_words(mask))
    values = np.arange(256)
    is_set = (values[:, np.newaxis] >> np.arange(_EIGHT)) & 1
    return histogram @ is_set  # type: ignore[no-any-return]


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
    for j in range(flags.shape[0]):
        for i in range(flags.shape[1]):
            if flags[j, i] != 0:
                for y in range(j * factor, min((j + 1) * factor, ny)):
                    for x in range(i * factor, min((i + 1) * factor, nx)):
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
