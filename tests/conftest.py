# This file is part of ra_pipe.
#
# Use of this source code is governed by a 3-clause BSD-style
# license that can be found in the LICENSE file.

"""Fixtures that every test may use."""

from __future__ import annotations

import pathlib

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[1]


@pytest.fixture(scope="session")
def shared() -> pathlib.Path:
    """Directory with real headers, camera facts and golden data."""
    directory = ROOT.parent / "shared"
    if not directory.is_dir():
        pytest.skip(f"the reference data are not here: no directory {directory}")
    return directory
