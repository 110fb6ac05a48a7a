# This file is part of ra_pipe.
#
# Use of this source code is governed by a 3-clause BSD-style
# license that can be found in the LICENSE file.

"""A file that is cut off anywhere but between HDUs is seen to be incomplete."""

from __future__ import annotations

import pathlib

import fitsio
import numpy as np
import pytest
from lsst.ra.pipe.execution.sources._fits_structure import is_complete_fits


@pytest.fixture(params=["plain", "compressed", "table"])
def fits_file(request: pytest.FixtureRequest, tmp_path: pathlib.Path) -> pathlib.Path:
    """Write a file with a primary HDU without data and two extensions."""
    path = tmp_path / "file.fits"
    compress = {"compress": "rice"} if request.param == "compressed" else {}
    with fitsio.FITS(str(path), "rw") as file:
        file.write(None, header={f"KEY{number}": number for number in range(100)})
        for extension in range(2):
            if request.param == "table":
                data = np.zeros(1000, dtype=[("x", "f8"), ("name", "S7"), ("values", "f4", (3, 2))])
                file.write(data, extname=f"TABLE{extension}")
            else:
                pixels = np.random.default_rng(extension).integers(0, 3000, (60, 70), dtype=np.int32)
                file.write(pixels, extname=f"Segment1{extension}", **compress)
    return path


def test_whole_file_is_complete(fits_file: pathlib.Path) -> None:
    """Images, tables, and the heap of compressed images are all counted."""
    assert is_complete_fits(fits_file)


def test_shorter_file_is_incomplete(fits_file: pathlib.Path, tmp_path: pathlib.Path) -> None:
    """Of all lengths only the ends of the three HDUs look complete."""
    content = fits_file.read_bytes()
    cut = tmp_path / "cut.fits"
    complete = []
    for length in [*range(0, len(content), 720), len(content) - 1]:
        cut.write_bytes(content[:length])
        if is_complete_fits(cut):
            complete.append(length)
    with fitsio.FITS(str(fits_file)) as file:
        assert complete == [hdu.get_offsets()["header_start"] for hdu in file][1:]


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"no FITS at all",
        bytes(5760),
        b"SIMPLE  =                    T".ljust(2880),
        b"SIMPLE  =                    T".ljust(80) + b"END".ljust(2800),
        b"SIMPLE  =                    T".ljust(80) + b"BITPIX  = what".ljust(80) + b"END".ljust(2720),
    ],
)
def test_other_content_is_incomplete(content: bytes, tmp_path: pathlib.Path) -> None:
    """What is no FITS file never looks complete, and nothing is raised."""
    path = tmp_path / "file.fits"
    path.write_bytes(content)
    assert not is_complete_fits(path)


def test_space_reserved_after_the_end_is_incomplete(fits_file: pathlib.Path) -> None:
    """A writer may have reserved more than it has filled."""
    with fits_file.open("ab") as stream:
        stream.write(bytes(28800))
    assert not is_complete_fits(fits_file)
