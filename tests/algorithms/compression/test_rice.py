# This file is part of ra_pipe.
#
# Use of this source code is governed by a 3-clause BSD-style
# license that can be found in the LICENSE file.

"""Rice compression agrees with that of astropy, byte by byte."""

from __future__ import annotations

import contextlib
import io

import numpy as np
import numpy.typing as npt
import pytest
from astropy.io import fits
from lsst.ra.pipe.algorithms.compression import SPARE_BYTES, compress_rice, decompress_rice, iter_big_endian

RNG = np.random.default_rng(1)


def compress_with_astropy(image: npt.NDArray[np.int32]) -> tuple[bytes, list[int]]:
    """Return the compressed rows and their lengths."""
    buffer = io.BytesIO()
    hdu = fits.CompImageHDU(image, compression_type="RICE_1", quantize_level=0.0)
    fits.HDUList([fits.PrimaryHDU(), hdu]).writeto(buffer)
    buffer.seek(0)
    with fits.open(buffer, disable_image_compression=True) as file:
        rows = [bytes(row.astype(np.uint8)) for row in file[1].data["COMPRESSED_DATA"]]
    return b"".join(rows), [len(row) for row in rows]


def sparse(shape: tuple[int, int]) -> npt.NDArray[np.int32]:
    """Make a mask: zero but for a few pixels."""
    return np.where(RNG.random(shape) < 0.01, RNG.integers(0, 1 << 14, shape), 0).astype(np.int32)


IMAGES = [
    np.zeros((3, 100), np.int32),
    np.full((3, 64), -7, np.int32),
    sparse((50, 4096)),
    sparse((20, 33)),
    RNG.integers(-3, 4, (10, 31)).astype(np.int32),
    RNG.normal(0, 40, (20, 1000)).astype(np.int32),
    RNG.normal(0, 1e6, (20, 257)).astype(np.int32),
    RNG.normal(0, 1e8, (20, 257)).astype(np.int32),
    RNG.integers(-(2**31), 2**31, (20, 256), dtype=np.int64).astype(np.int32),
    np.array([[-(2**31), 2**31 - 1, 0, -(2**31)]], np.int32),
    np.arange(7, dtype=np.int32)[:, np.newaxis],
    (np.arange(200, dtype=np.int32) % 97 == 0)[np.newaxis].astype(np.int32) * 5000,
]


@pytest.mark.parametrize("image", IMAGES, ids=lambda image: f"{image.shape} to {image.max()}")
def test_bytes_are_those_of_astropy(image: npt.NDArray[np.int32]) -> None:
    """Flat, sparse, noisy and random pixels, and rows of any length."""
    compressed, lengths = compress_rice(image)
    assert (compressed.tobytes(), lengths.tolist()) == compress_with_astropy(image)


def decompress(compressed: npt.NDArray[np.uint8], lengths: list[int], nx: int) -> npt.NDArray[np.int32]:
    """Decompress rows that lie one after the other."""
    data = np.append(compressed, np.full(SPARE_BYTES, 255, np.uint8))
    image = np.empty((len(lengths), nx), np.int32)
    offsets = np.cumsum([0, *lengths[:-1]])
    decompress_rice(data, offsets=offsets, lengths=np.array(lengths), out=image)
    return image


@pytest.mark.parametrize("image", IMAGES, ids=lambda image: f"{image.shape} to {image.max()}")
def test_pixels_come_back(image: npt.NDArray[np.int32]) -> None:
    """What was compressed is decompressed without loss."""
    compressed, lengths = compress_rice(image)
    np.testing.assert_array_equal(decompress(compressed, lengths.tolist(), image.shape[1]), image)


def test_rows_that_end_too_early_are_refused() -> None:
    """A row that lacks a byte is not made up from the next row's."""
    compressed, lengths = compress_rice(RNG.normal(0, 40, (20, 1000)).astype(np.int32))
    offsets = np.cumsum(lengths) - lengths
    lengths[3] -= 1
    data = np.append(compressed, np.zeros(SPARE_BYTES, np.uint8))
    image = np.empty((20, 1000), np.int32)
    with pytest.raises(ValueError, match="Row 3 cannot be decompressed"):
        decompress_rice(data, offsets=offsets, lengths=lengths, out=image)


@pytest.mark.parametrize("value", [0, 255, None])
def test_damage_is_found_or_harmless(value: int | None) -> None:
    """No bytes make the decompression read or write elsewhere, or hang."""
    size, nx = 3000, 4096
    data = RNG.integers(0, 256, size + SPARE_BYTES).astype(np.uint8)
    if value is not None:
        data[:] = value
    for start in range(0, size - 900, 37):
        row = np.full((3, nx), 7, np.int32)
        with contextlib.suppress(ValueError):
            decompress_rice(data, offsets=np.array([start]), lengths=np.array([900]), out=row[1:2])
        assert (row[[0, 2]] == 7).all()


@pytest.mark.parametrize(
    ("offsets", "lengths"), [([-1], [10]), ([0], [101]), ([95], [10]), ([0], [3]), ([0, 10], [10, 10])]
)
def test_rows_outside_of_the_data_are_refused(offsets: list[int], lengths: list[int]) -> None:
    """Neither before nor beyond, nor for another number of rows."""
    with pytest.raises(ValueError, match=r"outside|not an image"):
        decompress_rice(
            np.zeros(100 + SPARE_BYTES, np.uint8),
            offsets=np.array(offsets),
            lengths=np.array(lengths),
            out=np.empty((1, 32), np.int32),
        )


@pytest.mark.parametrize("size", [1, 1000, (1 << 17), (1 << 17) + 1, 300_000])
def test_big_endian_chunks_are_the_whole_array(size: int) -> None:
    """No value is lost or repeated at the ends of the chunks."""
    array = RNG.normal(size=size).astype(np.float32)
    found = b"".join(bytes(chunk) for chunk in iter_big_endian(array))
    assert found == array.astype(">f4").tobytes()


@pytest.mark.parametrize("array", [np.zeros(4), np.zeros((4, 4), np.float32)[:, ::2], np.zeros(4, ">f4")])
def test_arrays_of_another_layout_are_refused(array: npt.NDArray[np.generic]) -> None:
    """Doubles, gaps and values that are swapped already."""
    with pytest.raises(ValueError, match="four-byte values in native order"):
        list(iter_big_endian(array))
