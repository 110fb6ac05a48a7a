# This file is part of ra_pipe.
#
# Use of this source code is governed by a 3-clause BSD-style
# license that can be found in the LICENSE file.

from __future__ import annotations

__all__ = ("LowLatencyImageFormatter",)

from typing import Any

from lsst.daf.butler import DatasetProvenance
from lsst.images.fits import FitsCompressionAlgorithm, FitsCompressionOptions
from lsst.images.formatters import GenericFormatter
from lsst.images.serialization import ButlerInfo
from lsst.resources import ResourcePath

from ._fits_file import write_fits

_RICE = FitsCompressionOptions(algorithm=FitsCompressionAlgorithm.RICE_1)


class LowLatencyImageFormatter(GenericFormatter):
    """Write images of lsst.images without compressing image and variance.

    Notes
    -----
    Observers wait for these files.  A CCD of 4k x 4k takes one core 0.1 s and
    132 MB; with lsst.images' default, lossless gzip, 4 s and 100 MB; with its
    recipe ``lossy16``, 3 s and 29 MB.  A recipe cannot ask for no compression.
    The files are read by lsst.images like any others.
    """

    def write_local_file(self, in_memory_dataset: Any, uri: ResourcePath) -> None:
        """Write a file.

        Parameters
        ----------
        in_memory_dataset
            Image of lsst.images.
        uri
            Where to.
        """
        if "recipe" in self.write_parameters or self.get_write_extension() != ".fits":
            super().write_local_file(in_memory_dataset, uri)
            return
        provenance = self.butler_provenance
        write_fits(
            in_memory_dataset,
            uri.ospath,
            compression_options={"image": None, "mask": _RICE, "variance": None},
            update_header=self._update_header,
            butler_info=ButlerInfo(
                dataset=self.dataset_ref.to_simple(),
                provenance=provenance if provenance is not None else DatasetProvenance(),
            ),
        )
