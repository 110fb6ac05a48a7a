# This file is part of ra_pipe.
#
# Use of this source code is governed by a 3-clause BSD-style
# license that can be found in the LICENSE file.

"""Fast writing of the FITS files that lsst.images reads."""

from __future__ import annotations

__all__ = ("write_fits",)

import dataclasses
import functools
import io
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import astropy.io.fits
import numpy as np
import numpy.typing as npt
import pydantic

from lsst.images import Mask, MaskSerializationModel
from lsst.images.fits import (
    FitsCompressionAlgorithm,
    FitsCompressionOptions,
    FitsOutputArchive,
    suppress_fits_card_warnings,
)
from lsst.images.fits._output_archive import _HDUBytes, _set_creation_date
from lsst.images.serialization import (
    ArrayReferenceModel,
    ButlerInfo,
    NumberType,
    OutputArchive,
    is_integer,
    no_header_updates,
)

from ..algorithms.compression import compress_rice, iter_big_endian, pack_planes

_BLOCK = 2880
"""Bytes of which FITS counts whole multiples."""

_CARD = 80
"""Characters of a card of a header."""

_AS_IT_IS = "not compressed"
"""Name in the archive's options."""

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

    def start(self, update_header: Callable[[astropy.io.fits.Header], None]) -> None:
        """Complete the primary header."""
        update_header(self._primary_hdu.header)
        _set_creation_date(self._primary_hdu.header)

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

    def write(self, path: str) -> None:
        """Write all HDUs, the index last, and tell the primary header where
        to find it.
        """
        with open(path, "xb", buffering=0) as file:
            written = [
                _append(file, _compress_rows(hdu) if number in self._to_compress else _encode(hdu))
                for number, hdu in enumerate(self._hdu_list)
            ]
            index = _append(file, _encode(self._make_index_table(written)))
            header = self._primary_hdu.header
            header["INDXADDR"], header["INDXSIZE"] = index.bytes.header_address, index.bytes.size
            header["JSONADDR"], header["JSONSIZE"] = written[-1].bytes.header_address, written[-1].bytes.size
            file.seek(0)
            _write_all(file, _text(header))


@dataclasses.dataclass(frozen=True)
class _EncodedHdu:
    """An HDU as it goes into the file."""

    header: Mapping[str, Any]
    """What the index needs of the header, and perhaps more."""

    text: bytes
    """The whole header."""

    data: Iterable[bytes | memoryview] = ()
    """The data, without what fills the last block."""


@dataclasses.dataclass(frozen=True)
class _WrittenHdu:
    """Where an HDU is in the file, in the form that `FitsOutputArchive` asks
    for to make its index.
    """

    header: Mapping[str, Any]
    bytes: _HDUBytes

    def fileinfo(self) -> dict[str, int]:
        return {
            "hdrLoc": self.bytes.header_address,
            "datLoc": self.bytes.data_address,
            "datSpan": self.bytes.data_size,
        }


def _append(file: io.FileIO, hdu: _EncodedHdu) -> _WrittenHdu:
    """Write one HDU."""
    address = file.tell()
    _write_all(file, hdu.text)
    data_address = file.tell()
    for part in hdu.data:
        _write_all(file, part)
    _write_all(file, bytes((data_address - file.tell()) % _BLOCK))
    return _WrittenHdu(hdu.header, _HDUBytes(address, data_address, file.tell() - data_address))


def _write_all(file: io.FileIO, part: bytes | memoryview) -> None:
    """Write, however many calls it takes."""
    rest = memoryview(part)
    while rest:
        rest = rest[file.write(rest) :]


def _text(header: astropy.io.fits.Header) -> bytes:
    """Return a header as it stands in a file."""
    text: str = header.tostring()
    return text.encode("ascii")


def _encode(hdu: Any) -> _EncodedHdu:
    """Take an HDU apart into what astropy would write."""
    if isinstance(hdu, astropy.io.fits.PrimaryHDU):
        return _EncodedHdu(hdu.header, _text(hdu.header))
    # A compressed image is an image as well.
    if isinstance(hdu, astropy.io.fits.ImageHDU) and not isinstance(hdu, astropy.io.fits.CompImageHDU):
        data = hdu.data
        if data.dtype in (np.dtype(np.float32), np.dtype(np.int32)):
            return _EncodedHdu(hdu.header, _text(hdu.header), iter_big_endian(np.ascontiguousarray(data)))
    buffer = io.BytesIO()
    astropy.io.fits.HDUList([astropy.io.fits.PrimaryHDU(), hdu]).writeto(buffer)
    buffer.seek(_BLOCK)
    header = astropy.io.fits.Header.fromfile(buffer)
    view, end = buffer.getbuffer(), buffer.tell()
    return _EncodedHdu(header, bytes(view[_BLOCK:end]), [view[end:]])


def _compress_rows(hdu: astropy.io.fits.ImageHDU) -> _EncodedHdu:
    """Compress an image of integers by rows, as `astropy.io.fits.CompImageHDU`
    does.
    """
    compressed, lengths = compress_rice(hdu.data)
    table = np.zeros((len(lengths), 2), ">i4")
    table[:, 0] = lengths
    table[1:, 1] = np.cumsum(lengths[:-1])
    ny, nx = hdu.data.shape
    cards = [
        _card("XTENSION", "BINTABLE", "binary table extension"),
        _card("BITPIX", 8, "array data type"),
        _card("NAXIS", 2, "number of array dimensions"),
        _card("NAXIS1", 8, "width of table in bytes"),
        _card("NAXIS2", ny, "number of rows in table"),
        _card("PCOUNT", compressed.size, "number of group parameters"),
        _card("GCOUNT", 1, "number of groups"),
        _card("TFIELDS", 1, "number of fields in each row"),
        _card("TTYPE1", "COMPRESSED_DATA"),
        _card("TFORM1", f"1PB({lengths.max()})"),
        _card("ZIMAGE", True, "extension contains compressed image"),
        _card("ZTENSION", "IMAGE", "Image extension"),
        _card("ZBITPIX", 32, "array data type"),
        _card("ZNAXIS", 2, "number of array dimensions"),
        _card("ZNAXIS1", nx),
        _card("ZNAXIS2", ny),
        _card("ZPCOUNT", 0, "number of parameters"),
        _card("ZGCOUNT", 1, "number of groups"),
        _card("ZTILE1", nx, "size of tiles to be compressed"),
        _card("ZTILE2", 1, "size of tiles to be compressed"),
        _card("ZCMPTYPE", "RICE_1", "compression algorithm"),
        _card("ZNAME1", "BLOCKSIZE", "compression block size"),
        _card("ZVAL1", 32, "pixels per block"),
        _card("ZNAME2", "BYTEPIX", "bytes per pixel (1, 2, 4, or 8)"),
        _card("ZVAL2", 4, "bytes per pixel (1, 2, 4, or 8)"),
        _card("EXTNAME", hdu.name, "name of this binary table extension"),
    ]
    # What the image's header has after its structure and its name.
    others = hdu.header.tostring(endcard=False, padding=False)[_CARD * (hdu.header.index("EXTNAME") + 1) :]
    text = "".join(cards) + others + "END".ljust(_CARD)
    version = hdu.header.get("EXTVER", 1)
    header = {"XTENSION": "BINTABLE", "EXTNAME": hdu.name, "EXTVER": version, "ZIMAGE": True}
    data = (table.tobytes(), memoryview(compressed))
    return _EncodedHdu(header, text.ljust(-(-len(text) // _BLOCK) * _BLOCK).encode("ascii"), data)


def _card(keyword: str, value: str | int, comment: str = "") -> str:
    """Format a card of a header, in FITS' fixed format."""
    if isinstance(value, str):
        text = f"{_quote(value):20s}" if comment else _quote(value)
    else:
        text = f"{'T' if value is True else value:>20}"
    return (f"{keyword:8s}= {text}" + (f" / {comment}" if comment else "")).ljust(_CARD)


def _quote(value: str) -> str:
    return f"'{value:8s}'"


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
