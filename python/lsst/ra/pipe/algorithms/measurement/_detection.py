# This file is part of ra_pipe.
#
# Use of this source code is governed by a 3-clause BSD-style
# license that can be found in the LICENSE file.

"""Detection of sources on a binned, smoothed signal-to-noise image."""

from __future__ import annotations

__all__ = ("Detections", "detect_sources")

import dataclasses

import numba
import numpy as np
import numpy.typing as npt
import sep

from ._pixels import bin_signal_to_noise

_MIN_PIXELS = 2
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
    """``(n,)`` columns of the centroids, 0-based pixels of the image."""

    y: npt.NDArray[np.float64]
    """``(n,)`` rows of the centroids, 0-based pixels of the image."""

    size: npt.NDArray[np.float64]
    """``(n,)`` geometric-mean rms radius above the threshold, in pixels."""

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

    def footprints_with(
        self, mask: npt.NDArray[np.uint8], *, bits: npt.NDArray[np.uint8]
    ) -> npt.NDArray[np.bool_]:
        """Tell which sources have a pixel with one of some mask planes.

        Parameters
        ----------
        mask
            Packed mask of shape ``(ny, nx, n_bytes)``.
        bits
            ``(n_bytes,)`` bits of the planes.

        Returns
        -------
        hit
            ``(n,)`` array, `True` where the footprint has such a pixel.
        """
        n_labels = int(self.footprints.max(initial=0)) + 1
        hit = _labels_with_bits(mask, bits, self.footprints, self.factor, n_labels)
        return hit[self.label]


def detect_sources(
    image: npt.NDArray[np.float32],
    *,
    bad: npt.NDArray[np.uint8],
    noise: npt.NDArray[np.float64],
    threshold: float = 8.0,
    factor: int = 2,
    smoothing: float = 1.0,
    max_sources: int | None = None,
) -> Detections:
    """Find sources with SourceExtractor's algorithm on a binned image.

    The image is summed in blocks and divided by the sky noise, smoothed with
    a Gaussian and cut at a multiple of the smoothed image's noise. Binning by
    2 costs nothing at the seeing of a ground-based telescope (a stellar
    profile is wider than the block) and is four times as fast; positions are
    refined on full pixels afterwards.

    Parameters
    ----------
    image
        Background-subtracted pixels of shape ``(ny, nx)``.
    bad
        ``(ny, nx)`` array that `find_bad_pixels` made; unusable pixels are
        left out.
    noise
        ``(cells_y, cells_x)`` sky noise of a pixel on a grid over the image.
    threshold
        Detection threshold in units of the noise of the smoothed image.
    factor
        Side of a block in pixels.
    smoothing
        Standard deviation of the smoothing Gaussian, in blocks.
    max_sources
        Keep at most so many sources, the brightest; `None` for all.

    Returns
    -------
    detections
        The sources, brightest first; empty if there is none.
    """
    signal, masked = bin_signal_to_noise(image, bad=bad, noise=noise, factor=factor)
    kernel = _gaussian_kernel(smoothing)
    absolute = threshold * float(np.sqrt(np.sum(np.square(kernel, dtype=np.float64))))
    objects, footprints = _extract(signal, masked=masked, kernel=kernel, threshold=absolute)
    order = np.argsort(-objects["flux"], kind="stable")[:max_sources]
    objects = objects[order]
    blended = (objects["flag"] & (sep.OBJ_MERGED | sep.OBJ_TRUNC)) != 0
    return Detections(
        x=objects["x"] * factor + (factor - 1) / 2.0,
        y=objects["y"] * factor + (factor - 1) / 2.0,
        size=np.sqrt(np.maximum(objects["a"] * objects["b"], 0.1)) * factor,
        is_blended=blended,
        label=order + 1,
        footprints=footprints,
        factor=factor,
    )


def _gaussian_kernel(sigma: float) -> npt.NDArray[np.float32]:
    """Unit-sum Gaussian on a square of about 5 standard deviations."""
    half = max(1, round(2.0 * sigma))
    profile = np.exp(-0.5 * (np.arange(-half, half + 1) / sigma) ** 2)
    kernel = np.outer(profile, profile)
    return np.ascontiguousarray(kernel / kernel.sum(), dtype=np.float32)


def _extract(
    signal: npt.NDArray[np.float32],
    *,
    masked: npt.NDArray[np.uint8],
    kernel: npt.NDArray[np.float32],
    threshold: float,
) -> tuple[npt.NDArray[np.void], npt.NDArray[np.int32]]:
    """Run sep, without deblending where a field is too rich for it."""
    sep.set_extract_pixstack(max(_PIXEL_STACK, signal.size))
    sep.set_sub_object_limit(_SUB_OBJECTS)

    def extract(levels: int, contrast: float) -> tuple[npt.NDArray[np.void], npt.NDArray[np.int32]]:
        objects, footprints = sep.extract(
            signal,
            threshold,
            mask=masked,
            minarea=_MIN_PIXELS,
            filter_kernel=kernel,
            filter_type="conv",
            deblend_nthresh=levels,
            deblend_cont=contrast,
            segmentation_map=True,
        )
        return objects, footprints

    try:
        return extract(_DEBLEND_LEVELS, _DEBLEND_CONTRAST)
    except Exception as error:  # sep raises nothing more specific
        if "deblending overflow" not in str(error):
            raise
        return extract(1, 1.0)


@numba.njit(cache=True, nogil=True)
def _labels_with_bits(
    mask: np.ndarray, bits: np.ndarray, labels: np.ndarray, factor: int, n_labels: int
) -> np.ndarray:  # pragma: no cover
    hit = np.zeros(n_labels, dtype=np.bool_)
    ny, nx, depth = mask.shape
    for y in range(ny):
        for x in range(nx):
            label = labels[y // factor, x // factor]
            if label != 0 and not hit[label]:
                for k in range(depth):
                    if (mask[y, x, k] & bits[k]) != 0:
                        hit[label] = True
    return hit
