# This file is part of ra_pipe.
#
# Use of this source code is governed by a 3-clause BSD-style
# license that can be found in the LICENSE file.

"""Detection of sources on a binned image, smoothed like the PSF."""

from __future__ import annotations

__all__ = ("Detections", "detect_sources", "find_peaks")

import dataclasses
import math

import numba
import numpy as np
import numpy.typing as npt
import sep

from ._pixels import UNUSABLE

_MIN_PIXELS = 2
# Blocks are doubled until the smoothing kernel is narrower than this.
_WIDE_KERNEL = 1.6
_KERNEL_SIGMAS = 2.5
# Where more of the image is above the threshold, deblending takes minutes.
_FILLED = 0.4
# Width of the kernel in units of the PSF's. The signal-to-noise ratio of a
# star is 2 r / (1 + r^2) of the best, here 0.94; but stars 2 sigma apart are
# still two, where with r = 1 they would be one.
_KERNEL_RATIO = 0.7
_BLOCK_SIGMA = 0.4
# A star whose centre is nearer to the edge may as well lie beyond it.
_EDGE_SIGMAS = 1.0
_DEBLEND_LEVELS = 32
# Relative to the whole blend: SourceExtractor's 0.005 leaves long chains of
# stars in one piece.
_DEBLEND_CONTRAST = 0.0005
_PIXEL_STACK = 2_000_000
_SUB_OBJECTS = 8192


@dataclasses.dataclass(frozen=True, eq=False)
class Detections:
    """Sources found in an image, brightest first."""

    x: npt.NDArray[np.float64]
    """``(n,)`` columns of the peaks, 0-based pixels of the image."""

    y: npt.NDArray[np.float64]
    """``(n,)`` rows of the peaks, 0-based pixels of the image."""

    size: npt.NDArray[np.float64]
    """``(n,)`` geometric-mean rms radius above the threshold, in pixels."""

    elongation: npt.NDArray[np.float64]
    """``(n,)`` ratio of the rms radii along the major and the minor axis."""

    peak_offset: npt.NDArray[np.float64]
    """``(n,)`` distance of the peak from the centroid, in rms radii."""

    is_blended: npt.NDArray[np.bool_]
    """``(n,)`` whether the source was split from a neighbour."""

    label: npt.NDArray[np.int64]
    """``(n,)`` label of the source in ``footprints``."""

    footprints: npt.NDArray[np.int32]
    """``(ceil(ny / factor), ceil(nx / factor))`` label of the source that a
    binned pixel belongs to, 0 for none."""

    factor: int
    """Side of a binned pixel in pixels of the image."""

    def __len__(self) -> int:
        return self.x.size

    def footprints_with(self, flags: npt.NDArray[np.uint8], *, bits: int) -> npt.NDArray[np.bool_]:
        """Tell which sources have a block of pixels with some flag.

        Parameters
        ----------
        flags
            Flags of blocks of pixels, as `PixelSurvey` has them: of shape
            ``footprints.shape``, or an integer multiple of it.
        bits
            Sum of the flags that count.

        Returns
        -------
        hit
            ``(n,)`` array, `True` where the footprint has such a block.
        """
        n_labels = int(self.footprints.max(initial=0)) + 1
        step = -(-flags.shape[0] // self.footprints.shape[0])
        return _labels_with_bits(flags, bits, self.footprints, step, n_labels)[self.label]


def find_peaks(
    image: npt.NDArray[np.float32],
    *,
    flags: npt.NDArray[np.uint8],
    noise: float,
    threshold: float = 20.0,
    max_peaks: int = 150,
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Find the brightest pixels that stand above all of their 24 neighbours.

    A quick look for stars, before the size of a star is known.

    Parameters
    ----------
    image
        Background-subtracted elements of shape ``(my, mx)``.
    flags
        Array of that shape; where it is not zero there is no peak.
    noise
        Standard deviation of an element.
    threshold
        Least height in units of ``noise``.
    max_peaks
        Return at most so many, the highest.

    Returns
    -------
    x, y
        ``(n,)`` columns and rows of the peaks, highest first.
    """
    found = _local_maxima(image, flags, float(threshold * noise))
    order = np.argsort(-image[found[:, 0], found[:, 1]], kind="stable")[:max_peaks]
    rows, columns = found[order].T.astype(np.float64)
    return columns, rows


def detect_sources(
    image: npt.NDArray[np.float32],
    *,
    flags: npt.NDArray[np.uint8],
    noise: npt.NDArray[np.float64],
    factor: int,
    sigma: float = 2.0,
    threshold: float = 5.0,
    max_sources: int | None = None,
) -> Detections:
    """Find sources with SourceExtractor's algorithm on a smoothed image.

    The binned image is divided by the sky noise, smoothed with a Gaussian a
    little narrower than the PSF and cut at a multiple of the smoothed image's
    noise: for a faint star that is nearly the most sensitive filter. What
    lies within a standard deviation of the PSF of the edges is left out. The
    seeing of a
    ground-based telescope is wider than the blocks, and positions are refined
    on full pixels afterwards. Where stars are many blocks wide the blocks are
    doubled, which is faster and changes nothing.

    Parameters
    ----------
    image
        Background-subtracted means of blocks of pixels, of shape
        ``(my, mx)``.
    flags
        Flags of the blocks; what is unusable is left out.
    noise
        ``(cells_y, cells_x)`` standard deviation of a block's mean on a grid
        over the image.
    factor
        Side of a block in pixels.
    sigma
        Standard deviation of the PSF in pixels.
    threshold
        Detection threshold in units of the noise of the smoothed image, that
        is the least signal-to-noise ratio of a star.
    max_sources
        Keep at most so many sources, the brightest; `None` for all.

    Returns
    -------
    detections
        The sources, brightest first; empty if there is none.
    """
    signal = _signal_to_noise(image, flags, noise)
    ny, nx = (n * factor for n in signal.shape)
    width = _KERNEL_RATIO * sigma
    while width / factor > _WIDE_KERNEL and min(signal.shape) > 1:
        signal = _double_blocks(signal)
        factor *= 2
    # The blocks are pixels that widen the PSF.
    kernel = _gaussian_kernel(math.hypot(width / factor, _BLOCK_SIGMA))
    smoothed = _smooth(signal, kernel)
    absolute = threshold * float(np.sum(np.square(kernel, dtype=np.float64)))
    objects, footprints = _extract(smoothed, threshold=absolute)
    # The peak: the centroid of a blend may lie between its stars.
    x, y = (objects[f"{axis}peak"] * factor + (factor - 1) / 2.0 for axis in "xy")
    margin = _EDGE_SIGMAS * sigma
    inside = (x > margin) & (x < nx - 1 - margin) & (y > margin) & (y < ny - 1 - margin)
    order = np.argsort(-objects["flux"], kind="stable")
    order = order[inside[order]][:max_sources]
    objects = objects[order]
    blended = (objects["flag"] & (sep.OBJ_MERGED | sep.OBJ_TRUNC)) != 0
    return Detections(
        x=x[order],
        y=y[order],
        size=np.sqrt(np.maximum(objects["a"] * objects["b"], 0.1)) * factor,
        elongation=objects["a"] / np.maximum(objects["b"], 0.1),
        peak_offset=np.hypot(objects["xpeak"] - objects["x"], objects["ypeak"] - objects["y"])
        / np.sqrt(np.maximum(objects["a"] * objects["b"], 0.1)),
        is_blended=blended,
        label=order + 1,
        footprints=footprints,
        factor=factor,
    )


def _gaussian_kernel(sigma: float) -> npt.NDArray[np.float32]:
    """Unit-sum Gaussian along one axis."""
    half = max(1, round(_KERNEL_SIGMAS * sigma))
    profile = np.exp(-0.5 * (np.arange(-half, half + 1) / sigma) ** 2)
    return np.asarray(profile / profile.sum(), dtype=np.float32)


def _extract(
    smoothed: npt.NDArray[np.float32], *, threshold: float
) -> tuple[npt.NDArray[np.void], npt.NDArray[np.int32]]:
    """Run sep, without deblending where a field is too rich for it."""
    sep.set_extract_pixstack(max(_PIXEL_STACK, smoothed.size))
    sep.set_sub_object_limit(_SUB_OBJECTS)

    def extract(levels: int, contrast: float) -> tuple[npt.NDArray[np.void], npt.NDArray[np.int32]]:
        objects, footprints = sep.extract(
            smoothed,
            threshold,
            minarea=_MIN_PIXELS,
            filter_kernel=None,
            deblend_nthresh=levels,
            deblend_cont=contrast,
            segmentation_map=True,
        )
        return objects, footprints

    if np.count_nonzero(smoothed > threshold) > _FILLED * smoothed.size:
        return extract(1, 1.0)
    try:
        return extract(_DEBLEND_LEVELS, _DEBLEND_CONTRAST)
    except Exception as error:  # sep raises nothing more specific
        if "deblending overflow" not in str(error):
            raise
        return extract(1, 1.0)


@numba.njit(cache=True, nogil=True)
def _signal_to_noise(
    image: np.ndarray, flags: np.ndarray, noise: np.ndarray
) -> np.ndarray:  # pragma: no cover
    my, mx = image.shape
    cells_y, cells_x = noise.shape
    signal = np.empty((my, mx), dtype=np.float32)
    weight = np.empty(mx, dtype=np.float32)
    cell_of = np.arange(mx) * cells_x // mx
    for j in range(my):
        cell = j * cells_y // my
        for i in range(mx):
            weight[i] = 1.0 / noise[cell, cell_of[i]]
        for i in range(mx):
            usable = (flags[j, i] & np.uint8(UNUSABLE)) == 0
            signal[j, i] = image[j, i] * weight[i] if usable else np.float32(0)
    return signal


@numba.njit(cache=True, nogil=True)
def _double_blocks(signal: np.ndarray) -> np.ndarray:  # pragma: no cover
    """Combine 2 x 2 blocks; a row or column that is left over repeats."""
    my, mx = (signal.shape[0] + 1) // 2, (signal.shape[1] + 1) // 2
    doubled = np.empty((my, mx), dtype=np.float32)
    for j in range(my):
        upper = min(2 * j + 1, signal.shape[0] - 1)
        for i in range(mx):
            right = min(2 * i + 1, signal.shape[1] - 1)
            total = signal[2 * j, 2 * i] + signal[2 * j, right] + signal[upper, 2 * i] + signal[upper, right]
            doubled[j, i] = np.float32(0.5) * total
    return doubled


@numba.njit(cache=True, nogil=True, fastmath={"contract", "reassoc"})
def _smooth(signal: np.ndarray, kernel: np.ndarray) -> np.ndarray:  # pragma: no cover
    """Convolve with a kernel along both axes; zero beyond the edges."""
    my, mx = signal.shape
    half = kernel.size // 2
    smoothed = np.empty((my, mx), dtype=np.float32)
    row = np.zeros(mx + 2 * half, dtype=np.float32)
    for j in range(my):
        row[:] = 0
        for k in range(max(-half, -j), min(half, my - 1 - j) + 1):
            factor = kernel[k + half]
            for i in range(mx):
                row[i + half] += factor * signal[j + k, i]
        out = smoothed[j]
        out[:] = 0
        for k in range(2 * half + 1):
            factor = kernel[k]
            for i in range(mx):
                out[i] += factor * row[i + k]
    return smoothed


@numba.njit(cache=True, nogil=True)
def _local_maxima(image: np.ndarray, flags: np.ndarray, threshold: float) -> np.ndarray:  # pragma: no cover
    my, mx = image.shape
    found = np.empty((my * mx // 9 + 1, 2), dtype=np.int64)
    count = 0
    for j in range(2, my - 2):
        for i in range(2, mx - 2):
            value = image[j, i]
            if value > threshold and flags[j, i] == 0:
                highest = True
                for b in range(-2, 3):
                    for a in range(-2, 3):
                        neighbour = image[j + b, i + a]
                        if neighbour > value or (neighbour == value and (b < 0 or (b == 0 and a < 0))):
                            highest = False
                if highest:
                    found[count, 0], found[count, 1] = j, i
                    count += 1
    return found[:count]


@numba.njit(cache=True, nogil=True)
def _labels_with_bits(
    flags: np.ndarray, bits: int, labels: np.ndarray, step: int, n_labels: int
) -> np.ndarray:  # pragma: no cover
    hit = np.zeros(n_labels, dtype=np.bool_)
    for j in range(flags.shape[0]):
        for i in range(flags.shape[1]):
            if flags[j, i] & bits != 0:
                hit[labels[j // step, i // step]] = True
    hit[0] = False
    return hit
