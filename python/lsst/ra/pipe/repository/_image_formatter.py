# This file is part of ra_pipe.
#
# Use of this source code is governed by a 3-clause BSD-style
# license that can be found in the LICENSE file.

from __future__ import annotations

__all__ = ("LowLatencyImageFormatter",)

from lsst.images.fits import FitsCompressionAlgorithm, FitsCompressionOptions
from lsst.images.formatters import GenericFormatter


class LowLatencyImageFormatter(GenericFormatter):
    """Write images of lsst.images without compressing image and variance.

    Notes
    -----
    Observers wait for these files.  Written by one core, a CCD of 4k x 4k
    takes 0.7 s and 132 MB; with lsst.images' default, lossless gzip, 4 s and
    100 MB; with its recipe ``lossy16``, 3 s and 29 MB.  A recipe cannot ask
    for no compression.  The files are read by lsst.images like any others.
    """

    def _get_compression_options(self) -> dict[str, FitsCompressionOptions]:
        if "recipe" in self.write_parameters:
            return super()._get_compression_options()
        rice = FitsCompressionOptions(algorithm=FitsCompressionAlgorithm.RICE_1)
        return {"image": None, "mask": rice, "variance": None}  # type: ignore[dict-item]
