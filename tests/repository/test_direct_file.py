# This file is part of ra_pipe.
#
# Use of this source code is governed by a 3-clause BSD-style
# license that can be found in the LICENSE file.

"""Files written past the page cache hold what was written."""

from __future__ import annotations

import errno
import os
import pathlib

import numpy as np
import pytest
from lsst.ra.pipe.repository._direct_file import DirectFile

MIB = 1024 * 1024


def write(path: pathlib.Path, content: bytes, *, step: int) -> None:
    """Write in parts of some bytes."""
    with DirectFile(str(path)) as file:
        for start in range(0, len(content), step):
            rest = memoryview(content)[start : start + step]
            while rest:
                rest = rest[file.write(rest) :]
        assert file.tell() == len(content)


def make_content(size: int) -> bytes:
    """Make bytes of which each part differs."""
    return np.random.default_rng(size).bytes(size)


@pytest.mark.parametrize("size", [0, 1, 2880, 4096, 4 * MIB, 4 * MIB + 1, 8 * MIB, 9 * MIB + 2880])
@pytest.mark.parametrize("step", [2880, 3 * MIB + 7])
def test_a_file_has_its_bytes_and_no_more(tmp_path: pathlib.Path, size: int, step: int) -> None:
    """Whatever the size and the size of the parts."""
    content = make_content(size)
    write(tmp_path / "file", content, step=step)
    assert (tmp_path / "file").read_bytes() == content


def test_a_file_system_that_refuses_gets_ordinary_calls(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The bytes are there all the same."""
    real = os.write

    def refuse(descriptor: int, data: memoryview) -> int:
        import fcntl

        if fcntl.fcntl(descriptor, fcntl.F_GETFL) & os.O_DIRECT:
            raise OSError(errno.EINVAL, "Invalid argument")
        return real(descriptor, data[: MIB + 3])

    monkeypatch.setattr(os, "write", refuse)
    content = make_content(9 * MIB + 5)
    write(tmp_path / "file", content, step=MIB)
    assert (tmp_path / "file").read_bytes() == content


def test_a_full_disk_is_an_error() -> None:
    """What could not be written is not taken for written."""
    if not os.path.exists("/dev/full"):
        pytest.skip("This system has no /dev/full.")
    file = DirectFile.__new__(DirectFile)
    file._descriptor = os.open("/dev/full", os.O_WRONLY)
    file._is_direct = False
    file._buffer = memoryview(bytearray(4096))
    file._filled = file._flushed = 0
    file.write(b"some bytes")
    with pytest.raises(OSError, match="No space left"):
        file.__exit__(None, None, None)


def test_an_existing_file_is_left_alone(tmp_path: pathlib.Path) -> None:
    """Outputs are written once."""
    (tmp_path / "file").write_bytes(b"first")
    with pytest.raises(FileExistsError):
        DirectFile(str(tmp_path / "file"))
    assert (tmp_path / "file").read_bytes() == b"first"
