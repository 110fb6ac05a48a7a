# This file is part of ra_pipe.
#
# Use of this source code is governed by a 3-clause BSD-style
# license that can be found in the LICENSE file.

"""Rice compression agrees with that of astropy, byte by byte."""

from __future__ import annotations

import io

import numpy as np
import numpy.typing as npt
import pytest
from astropy.io import fits
from lsst.ra.pipe.algorithms.compression import compress_rice, iter_big_endian

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


@pytest.mark.parametrize(
    "image",
    [
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
    ],
    ids=lambda image: f"{image.shape} to {image.max()}",
)
def test_bytes_are_those_of_astropy(image: npt.NDArray[np.int32]) -> None:
    """Flat, sparse, noisy and random pixels, and rows of any length."""
    compressed, lengths = compress_rice(image)
    assert (compressed.tobytes(), lengths.tolist()) == compress_with_astropy(image)


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
