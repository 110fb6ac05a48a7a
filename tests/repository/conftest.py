# This file is part of ra_pipe.
#
# Use of this source code is governed by a 3-clause BSD-style
# license that can be found in the LICENSE file.

from __future__ import annotations

import pathlib

import pytest
from lsst.daf.butler import Butler
from lsst.ra.pipe.repository import create_repository


@pytest.fixture
def butler(tmp_path: pathlib.Path) -> Butler:
    """Empty repository that knows LSSTCam."""
    return create_repository(tmp_path / "repo", instruments=["lsst.ra.pipe.camera.LsstCam"])
