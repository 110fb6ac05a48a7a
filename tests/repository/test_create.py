# This file is part of ra_pipe.
#
# Use of this source code is governed by a 3-clause BSD-style
# license that can be found in the LICENSE file.

from __future__ import annotations

import pathlib

import pytest
from lsst.daf.butler import Butler, Config
from lsst.ra.pipe.repository import create_repository, open_repository

ALL = [f"lsst.ra.pipe.camera.{name}" for name in ("LsstCam", "LsstComCam", "Latiss")]


def test_repository_has_rubins_collections(butler: Butler) -> None:
    """Raws, calibrations and reference catalogues are chained as at Rubin."""
    chain = butler.collections.get_info("LSSTCam/defaults").children
    assert chain == ("LSSTCam/raw/all", "LSSTCam/calib", "refcats")


def test_creating_twice_changes_nothing(tmp_path: pathlib.Path) -> None:
    """A second call registers what is new and leaves the rest."""
    first = create_repository(tmp_path, instruments=ALL[:1])
    config = (tmp_path / "butler.yaml").read_text()
    first.collections.prepend_chain("LSSTCam/defaults", ["LSSTCam/calib"])
    chain = first.collections.get_info("LSSTCam/defaults").children
    second = create_repository(tmp_path, instruments=ALL)
    assert (tmp_path / "butler.yaml").read_text() == config
    assert second.collections.get_info("LSSTCam/defaults").children == chain
    names = {record.name for record in second.query_dimension_records("instrument")}
    assert names == {"LSSTCam", "LSSTComCam", "LATISS"}
    assert len(second.query_dimension_records("detector", instrument="LSSTCam")) == 205


def test_seed_config_chooses_the_registry(tmp_path: pathlib.Path) -> None:
    """The registry is where the configuration says."""
    seed = Config({"registry": {"db": f"sqlite:///{tmp_path}/elsewhere.sqlite3"}})
    create_repository(tmp_path / "repo", instruments=ALL[:1], seed_config=seed)
    assert (tmp_path / "elsewhere.sqlite3").exists()
    assert not (tmp_path / "repo" / "gen3.sqlite3").exists()


def test_missing_repository_is_named(tmp_path: pathlib.Path) -> None:
    """The error says where it looked and how to make one."""
    with pytest.raises(FileNotFoundError, match=r"nowhere.*rapid repo create"):
        open_repository(tmp_path / "nowhere")
