# This file is part of ra_pipe.
#
# Use of this source code is governed by a 3-clause BSD-style
# license that can be found in the LICENSE file.

from __future__ import annotations

__all__ = ("check_binned_shape",)

from lsst.images import Image
from lsst.images.cameras import Detector


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
