# This file is part of ra_pipe.
#
# Use of this source code is governed by a 3-clause BSD-style
# license that can be found in the LICENSE file.

"""Fast writing of the FITS files that lsst.images reads."""

from __future__ import annotations

__all__ = ("write_fits",)

import functools
from collections.abc import Callable, Mapping
from typing import Any

import astropy.io.fits
import numpy as np
import numpy.typing as npt
import pydantic

from lsst.images import Mask, MaskSerializationModel, Transform, TransformSerializationModel
from lsst.images.fits import (
    FitsCompressionAlgorithm,
    FitsCompressionOptions,
    FitsOutputArchive,
    suppress_fits_card_warnings,
)
from lsst.images.serialization import (
    ArchiveTree,
    ArrayReferenceModel,
    ButlerInfo,
    NumberType,
    OutputArchive,
    is_integer,
    no_header_updates,
)

from ..algorithms.compression import pack_planes
from ._direct_file import DirectFile
from ._fits_hdu import (
    append,
    compress_rows,
    creation_date,
    encode,
    encode_index,
    encode_json,
    text_of,
    write_all,
)

_AS_IT_IS = "not compressed"
"""Name in the archive's options."""

_NAMED: Any = TransformSerializationModel
_KEPT = [_NAMED[parameter] for parameter in Transform.serialize.__type_params__]
"""Classes that lsst.images names when it writes.  Pydantic makes them anew, in
10 ms, if nobody has kept them."""

_RICE = FitsCompressionOptions(algorithm=FitsCompressionAlgorithm.RICE_1)


def write_fits(
    obj: Any,
    path: str,
    *,
    compression_options: Mapping[str, FitsCompressionOptions | None],
    update_header: Callable[[astropy.io.fits.Header], None],
    butler_info: ButlerInfo | None = None,
) -> None:
    """Write an object of lsst.images to a FITS file.

    Parameters
    ----------
    obj
        Object with a ``serialize`` method.
    path
        File to write; must not exist.
    compression_options
        How to compress arrays, by name; `None` for not at all.
    update_header
        Called with the primary header.
    butler_info
        What the file says of its dataset.

    Raises
    ------
    FileExistsError
        Raised if there is such a file.

    Notes
    -----
    The file is the one that `lsst.images.fits.write` writes.  What takes its
    time is done in other ways: each array is passed over once, the planes of a
    mask together, and addresses are noted rather than read back.
    """
    with suppress_fits_card_warnings():
        archive = _Archive(compression_options, getattr(obj, "_opaque_metadata", None))
        archive.start(update_header)
        archive.add_tree(archive.serialize_root(obj, None, butler_info))
        archive.write(path)


class _Archive(FitsOutputArchive):
    """Collects HDUs as its base does, and writes them itself.

    Parameters
    ----------
    compression_options
        How to compress arrays, by name.
    opaque_metadata
        What the object carries along from the file it was read from.
    """

    def __init__(
        self, compression_options: Mapping[str, FitsCompressionOptions | None], opaque_metadata: Any
    ) -> None:
        super().__init__(astropy.io.fits.HDUList(), {**compression_options, _AS_IT_IS: None}, opaque_metadata)
        self._to_compress: set[int] = set()
        self._documents: list[bytes] = []

    def start(self, update_header: Callable[[astropy.io.fits.Header], None]) -> None:
        """Complete the primary header."""
        update_header(self._primary_hdu.header)
        _set_date(self._primary_hdu.header)

    def serialize_direct[T: pydantic.BaseModel | None](
        self, name: str, serializer: Callable[[OutputArchive[Any]], T]
    ) -> T:
        # Mask.serialize copies its planes one by one.
        if isinstance(serializer, functools.partial) and serializer.keywords == {"save_projection": False}:
            mask = getattr(serializer.func, "__self__", None)
            if type(mask) is Mask and mask.array.dtype == np.uint8:
                serializer = functools.partial(_serialize_mask, mask)  # type: ignore[assignment]
        return super().serialize_direct(name, serializer)

    def add_array(
        self,
        array: npt.NDArray[Any],
        *,
        name: str | None = None,
        update_header: Callable[[astropy.io.fits.Header], None] = no_header_updates,
        tile_shape: tuple[int, ...] | None = None,
        options_name: str | None = None,
    ) -> ArrayReferenceModel:
        options = self._compression_options.get(options_name or name or "", FitsCompressionOptions.DEFAULT)
        by_rows = (
            options == _RICE and tile_shape is None and array.ndim == 2 and array.dtype == np.dtype(np.int32)
        )
        result = super().add_array(
            array,
            name=name,
            update_header=update_header,
            tile_shape=tile_shape,
            options_name=_AS_IT_IS if by_rows else options_name,
        )
        if by_rows and isinstance(self._hdu_list[-1], astropy.io.fits.ImageHDU):
            self._to_compress.add(len(self._hdu_list) - 1)
        return result

    def add_tree(self, tree: ArchiveTree) -> None:
        self._primary_hdu.header.set("DATAMODL", tree.schema_url, "Schema URL.")
        self._documents = [tree.model_dump_json().encode(), *self._pointer_targets]

    def write(self, path: str) -> None:
        """Write all HDUs, the index last, and tell the primary header where
        to find it.
        """
        with DirectFile(path) as file:
            written = [
                append(file, compress_rows(hdu) if number in self._to_compress else encode(hdu))
                for number, hdu in enumerate(self._hdu_list)
            ]
            written.append(append(file, encode_json(self._documents)))
            index = append(file, encode_index(written))
            header = self._primary_hdu.header
            header["INDXADDR"], header["INDXSIZE"] = index.address, index.end - index.address
            header["JSONADDR"], header["JSONSIZE"] = written[-1].address, index.address - written[-1].address
        with open(path, "r+b", buffering=0) as start:
            write_all(start, text_of(header))


def _set_date(header: astropy.io.fits.Header) -> None:
    """Note the time in a header."""
    header.set("DATE", creation_date(), "UTC date this HDU was written.")


def _serialize_mask(mask: Mask, archive: OutputArchive[Any]) -> MaskSerializationModel[Any]:
    """Do what `lsst.images.Mask.serialize` does, all planes at once."""
    data = [
        Mask(
            _gather_planes(mask, schema)[..., np.newaxis],
            schema=schema,
            bbox=mask.bbox,
            sky_projection=mask.sky_projection,
        )._serialize_2d(archive)
        for schema in mask.schema.split(np.int32)
    ]
    dtype = NumberType.from_numpy(mask.schema.dtype)
    assert is_integer(dtype), "A mask has integers."
    return MaskSerializationModel.model_construct(
        data=data,
        yx0=list(mask.bbox.start),
        planes=list(mask.schema),
        dtype=dtype,
        sky_projection=None,
        metadata=mask._metadata,
    )


def _gather_planes(mask: Mask, schema: Any) -> npt.NDArray[np.int32]:
    """Return the planes of a schema, as it wants them."""
    planes = [plane.name for plane in schema if plane is not None]
    bits = [mask.schema.bit(name) for name in planes]
    return pack_planes(
        mask.array,
        sources=np.array([(bit.index, int(bit.mask).bit_length() - 1) for bit in bits]).reshape(-1, 2),
        targets=np.array([int(schema.bit(name).mask).bit_length() - 1 for name in planes], int),
    )
