# This file is part of ra_pipe.
#
# Use of this source code is governed by a 3-clause BSD-style
# license that can be found in the LICENSE file.

"""HDUs as bytes, without astropy where that costs time."""

from __future__ import annotations

__all__ = (
    "EncodedHdu",
    "WrittenHdu",
    "append",
    "compress_rows",
    "creation_date",
    "encode",
    "encode_index",
    "encode_json",
    "text_of",
    "write_all",
)

import dataclasses
import datetime
import io
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import astropy.io.fits
import numpy as np

from ..algorithms.compression import compress_rice, iter_big_endian
from ._direct_file import DirectFile

_BLOCK = 2880
"""Bytes of which FITS counts whole multiples."""

_CARD = 80
"""Characters of a card of a header."""


@dataclasses.dataclass(frozen=True)
class EncodedHdu:
    """An HDU as it goes into the file."""

    header: Mapping[str, Any]
    """What the index needs of the header, and perhaps more."""

    text: bytes
    """The whole header."""

    data: Iterable[bytes | memoryview] = ()
    """The data, without what fills the last block."""


@dataclasses.dataclass(frozen=True)
class WrittenHdu:
    """Where an HDU is in the file."""

    header: Mapping[str, Any]
    address: int
    data_address: int
    end: int


def append(file: DirectFile, hdu: EncodedHdu) -> WrittenHdu:
    """Write one HDU."""
    address = file.tell()
    write_all(file, hdu.text)
    data_address = file.tell()
    for part in hdu.data:
        write_all(file, part)
    write_all(file, bytes((data_address - file.tell()) % _BLOCK))
    return WrittenHdu(hdu.header, address, data_address, file.tell())


def write_all(file: io.FileIO | DirectFile, part: bytes | memoryview) -> None:
    """Write, however many calls it takes."""
    rest = memoryview(part)
    while rest:
        rest = rest[file.write(rest) :]


def text_of(header: astropy.io.fits.Header) -> bytes:
    """Return a header as it stands in a file."""
    text: str = header.tostring()
    return text.encode("ascii")


def encode(hdu: Any) -> EncodedHdu:
    """Take an HDU apart into what astropy would write."""
    if isinstance(hdu, astropy.io.fits.PrimaryHDU):
        return EncodedHdu(hdu.header, text_of(hdu.header))
    # A compressed image is an image as well.
    if isinstance(hdu, astropy.io.fits.ImageHDU) and not isinstance(hdu, astropy.io.fits.CompImageHDU):
        data = hdu.data
        if data.dtype in (np.dtype(np.float32), np.dtype(np.int32)):
            return EncodedHdu(hdu.header, text_of(hdu.header), iter_big_endian(np.ascontiguousarray(data)))
    buffer = io.BytesIO()
    astropy.io.fits.HDUList([astropy.io.fits.PrimaryHDU(), hdu]).writeto(buffer)
    buffer.seek(_BLOCK)
    header = astropy.io.fits.Header.fromfile(buffer)
    view, end = buffer.getbuffer(), buffer.tell()
    return EncodedHdu(header, bytes(view[_BLOCK:end]), [view[end:]])


def compress_rows(hdu: astropy.io.fits.ImageHDU) -> EncodedHdu:
    """Compress an image of integers by rows, as `astropy.io.fits.CompImageHDU`
    does.
    """
    compressed, lengths = compress_rice(hdu.data)
    table = np.zeros((len(lengths), 2), ">i4")
    table[:, 0] = lengths
    table[1:, 1] = np.cumsum(lengths[:-1])
    ny, nx = hdu.data.shape
    cards = [
        *_table_cards(8, ny, compressed.size, ("width of table in bytes", "number of rows in table")),
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
    version = hdu.header.get("EXTVER", 1)
    header = {"XTENSION": "BINTABLE", "EXTNAME": hdu.name, "EXTVER": version, "ZIMAGE": True}
    data = (table.tobytes(), memoryview(compressed))
    return EncodedHdu(header, _finish("".join(cards) + others), data)


def encode_json(documents: Sequence[bytes]) -> EncodedHdu:
    """Make the table of documents."""
    lengths = [len(document) for document in documents]
    table = np.zeros((len(documents), 2), ">i4")
    table[:, 0] = lengths
    table[1:, 1] = np.cumsum(lengths[:-1])
    cards = [
        *_table_cards(8, len(documents), sum(lengths), _DIMENSIONS),
        _card("TFIELDS", 1, "number of table fields"),
        _card("TTYPE1", "JSON"),
        _card("TFORM1", f"PB({max(lengths)})"),
        *_name_cards("JSON"),
    ]
    header = {"XTENSION": "BINTABLE", "EXTNAME": "JSON"}
    return EncodedHdu(header, _finish("".join(cards)), (table.tobytes(), *documents))


def encode_index(hdus: Sequence[WrittenHdu]) -> EncodedHdu:
    """Make the table that tells where all HDUs are."""
    width = max(len(hdu.header.get("EXTNAME", "")) for hdu in hdus)
    columns = {
        "EXTNAME": (f"{width}A", f"S{width}"),
        "EXTVER": ("J", ">i4"),
        "XTENSION": ("8A", "S8"),
        "ZIMAGE": ("L", "S1"),
        "HDRADDR": ("K", ">i8"),
        "DATADDR": ("K", ">i8"),
        "DATSIZE": ("K", ">i8"),
    }
    table = np.zeros(len(hdus), [(name, dtype) for name, (_, dtype) in columns.items()])
    for row, hdu in zip(table, hdus, strict=True):
        row["EXTNAME"] = hdu.header.get("EXTNAME", "")
        row["EXTVER"] = hdu.header.get("EXTVER", 1)
        row["XTENSION"] = hdu.header.get("XTENSION", "IMAGE")
        row["ZIMAGE"] = "T" if hdu.header.get("ZIMAGE", False) else "F"
        row["HDRADDR"], row["DATADDR"] = hdu.address, hdu.data_address
        row["DATSIZE"] = hdu.end - hdu.data_address
    cards = [
        *_table_cards(table.dtype.itemsize, len(hdus), 0, _DIMENSIONS),
        _card("TFIELDS", len(columns), "number of table fields"),
    ]
    for number, (name, (form, _)) in enumerate(columns.items(), start=1):
        cards += [_card(f"TTYPE{number}", name), _card(f"TFORM{number}", form)]
    cards += _name_cards("INDEX")
    return EncodedHdu({"EXTNAME": "INDEX"}, _finish("".join(cards)), (table.tobytes(),))


_DIMENSIONS = ("length of dimension 1", "length of dimension 2")


def _table_cards(width: int, n_rows: int, heap: int, comments: tuple[str, str]) -> list[str]:
    """Return the cards that begin the header of a table."""
    return [
        _card("XTENSION", "BINTABLE", "binary table extension"),
        _card("BITPIX", 8, "array data type"),
        _card("NAXIS", 2, "number of array dimensions"),
        _card("NAXIS1", width, comments[0]),
        _card("NAXIS2", n_rows, comments[1]),
        _card("PCOUNT", heap, "number of group parameters"),
        _card("GCOUNT", 1, "number of groups"),
    ]


def _name_cards(name: str) -> list[str]:
    """Return the cards that end the header of a table."""
    return [
        _card("EXTNAME", name, "extension name"),
        _card("DATE", creation_date(), "UTC date this HDU was written."),
    ]


def creation_date() -> str:
    """Return the time in the form of FITS."""
    return datetime.datetime.now(datetime.UTC).replace(tzinfo=None).isoformat(timespec="milliseconds")


def _finish(cards: str) -> bytes:
    """End a header and fill its last block."""
    text = cards + "END".ljust(_CARD)
    return text.ljust(-(-len(text) // _BLOCK) * _BLOCK).encode("ascii")


def _card(keyword: str, value: str | int, comment: str = "") -> str:
    """Format a card of a header, in FITS' fixed format."""
    if isinstance(value, str):
        text = f"{_quote(value):20s}" if comment else _quote(value)
    else:
        text = f"{'T' if value is True else value:>20}"
    return (f"{keyword:8s}= {text}" + (f" / {comment}" if comment else "")).ljust(_CARD)


def _quote(value: str) -> str:
    return f"'{value:8s}'"
