# This file is part of ra_pipe.
#
# Use of this source code is governed by a 3-clause BSD-style
# license that can be found in the LICENSE file.

from __future__ import annotations

__all__ = ("check_binned_shape", "read_binned_images")

from typing import Protocol

from lsst.images import Image
from lsst.images.cameras import Detector
from lsst.pipe.base import InputQuantizedConnection, QuantumContext


class BinningConfig(Protocol):
    """Settings of a task that reads images in blocks of two sizes."""

    binning: int
    fineBinning: int
    maxFineDetectors: int


def read_binned_images(
    butlerQC: QuantumContext, inputRefs: InputQuantizedConnection, *, config: BinningConfig
) -> tuple[dict[int, Image], int]:
    """Read the binned images of an exposure: the finer ones if they are few.

    Parameters
    ----------
    butlerQC
        Access to the datasets of the quantum.
    inputRefs
        References with the deferred connections ``images`` and
        ``fineImages``.
    config
        Settings of the task.

    Returns
    -------
    images
        Binned images by detector id.
    binning
        Side of their pixels in pixels of the detector.
    """
    is_fine = len(inputRefs.fineImages) <= config.maxFineDetectors
    refs = inputRefs.fineImages if is_fine else inputRefs.images
    images = {int(ref.dataId["detector"]): butlerQC.get(ref).get() for ref in refs}
    return images, config.fineBinning if is_fine else config.binning


def check_binned_shape(image: Image, *, detector: Detector, binning: int) -> None:
    """Check that an image is that of a detector in blocks of pixels.

    Parameters
    ----------
    image
        Binned image; a part of a block at the upper edges may be there or
        not.
    detector
        Geometry of the detector.
    binning
        Side of a block in pixels.

    Raises
    ------
    ValueError
        Raised if the shapes do not agree.
    """
    for size, pixels in zip(image.array.shape, detector.bbox.shape, strict=True):
        if size not in (pixels // binning, -(-pixels // binning)):
            raise ValueError(
                f"Detector {detector.name} ({detector.id}): a binned image of shape {image.array.shape} does"
                f" not come from {tuple(detector.bbox.shape)} pixels in blocks of {binning} (config field"
                " binning)."
            )
