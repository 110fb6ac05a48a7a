# This file is part of ra_pipe.
#
# Use of this source code is governed by a 3-clause BSD-style
# license that can be found in the LICENSE file.

"""Pixels are decompressed as cfitsio does, or left to it."""

from __future__ import annotations

import gzip
import pathlib
from typing import Any

import fitsio
import numpy as np
import numpy.typing as npt
import pytest
from lsst.ra.pipe.camera._raw_pixels import CompressedReader

RNG = np.random.default_rng(1)
NOISE = RNG.normal(25_000, 40, (300, 576)).astype(np.int32)


def write(path: pathlib.Path, pixels: npt.NDArray[Any], **options: Any) -> pathlib.Path:
    """Write one compressed extension."""
    header = options.pop("header", None)
    with fitsio.FITS(str(path), "rw") as fits:
        fits.write(None)
        fits.write(pixels, header=header, extname="Segment10", **{"compress": "rice", **options})
    return path


def read(path: pathlib.Path) -> tuple[npt.NDArray[np.int32] | None, npt.NDArray[Any]]:
    """Read with this package, and with cfitsio."""
    with fitsio.FITS(str(path)) as fits, open(path, "rb", buffering=0) as file:
        hdu = fits["Segment10"]
        return CompressedReader(file).read(hdu, hdu.read_header()), hdu.read()


@pytest.mark.parametrize(
    "pixels",
    [
        NOISE,
        np.zeros((10, 576), np.int32),
        RNG.integers(-(2**31), 2**31, (10, 500), dtype=np.int64).astype(np.int32),
        np.where(RNG.random((50, 577)) < 0.01, 250_000, NOISE[:50, :1]).astype(np.int32),
    ],
    ids=["noise", "nothing", "random bits", "saturated pixels"],
)
def test_rows_of_integers_are_decompressed(pixels: npt.NDArray[np.int32], tmp_path: pathlib.Path) -> None:
    """What the camera writes is not left to cfitsio."""
    found, expected = read(write(tmp_path / "raw.fits", pixels))
    assert found is not None
    np.testing.assert_array_equal(found, pixels)
    np.testing.assert_array_equal(expected, pixels)


def test_one_reader_reads_extensions_of_any_size(tmp_path: pathlib.Path) -> None:
    """Its memory grows as needed."""
    path = tmp_path / "raw.fits"
    images = [NOISE[:3], NOISE, NOISE[:, :100], NOISE[:5]]
    with fitsio.FITS(str(path), "rw") as fits:
        for image in images:
            fits.write(np.ascontiguousarray(image), compress="rice")
    with fitsio.FITS(str(path)) as fits, open(path, "rb", buffering=0) as file:
        reader = CompressedReader(file)
        for number, image in enumerate(images, start=1):
            found = reader.read(fits[number], fits[number].read_header())
            assert found is not None
            np.testing.assert_array_equal(found, image)


@pytest.mark.parametrize(
    ("pixels", "options"),
    [
        (NOISE.astype(np.int16), {}),
        (NOISE.astype(np.uint16), {}),
        (NOISE, {"compress": "gzip"}),
        (NOISE, {"tile_dims": [10, 576]}),
        (NOISE, {"tile_dims": [1, 100]}),
        (NOISE, {"header": {"BZERO": 7.0}}),
    ],
    ids=["int16", "uint16", "gzip", "tall tiles", "short tiles", "offset"],
)
def test_other_ways_are_left_to_cfitsio(
    pixels: npt.NDArray[Any], options: dict[str, Any], tmp_path: pathlib.Path
) -> None:
    """Nothing is guessed about files that are not as the camera's."""
    assert read(write(tmp_path / "raw.fits", pixels, **options))[0] is None


def test_file_that_is_compressed_as_a_whole_is_left_to_cfitsio(tmp_path: pathlib.Path) -> None:
    """Offsets in it mean nothing."""
    plain = write(tmp_path / "raw.fits", NOISE)
    packed = tmp_path / "raw.fits.gz"
    packed.write_bytes(gzip.compress(plain.read_bytes()))
    found, expected = read(packed)
    assert found is None
    np.testing.assert_array_equal(expected, NOISE)


def test_damaged_pixels_are_left_to_cfitsio(tmp_path: pathlib.Path) -> None:
    """The error is cfitsio's."""
    path = write(tmp_path / "raw.fits", NOISE)
    with fitsio.FITS(str(path)) as fits:
        start = fits[1].get_offsets()["data_start"]
    with path.open("r+b") as stream:
        stream.seek(start + 8 * 300)
        stream.write(bytes(100_000))
    with fitsio.FITS(str(path)) as fits, open(path, "rb", buffering=0) as file:
        assert CompressedReader(file).read(fits[1], fits[1].read_header()) is None
