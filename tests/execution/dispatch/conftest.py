# This file is part of ra_pipe.
#
# Use of this source code is governed by a 3-clause BSD-style
# license that can be found in the LICENSE file.

from __future__ import annotations

import pathlib

import pytest
from arithmetic_pipeline import DETECTORS, EXPOSURE, NO_VISIT
from dispatch_rules import load_rules
from lsst.daf.butler import Butler, DatasetRef, FileDataset
from lsst.ra.pipe.execution.dispatch import DispatchTable


@pytest.fixture
def butler(repository: Butler, tmp_path: pathlib.Path) -> Butler:
    """Repository with raws of three detectors of both exposures."""
    file = tmp_path / "raw.fits"
    file.write_bytes(b"nobody reads this")
    raw = repository.get_dataset_type("raw")
    for exposure in (EXPOSURE, NO_VISIT):
        for detector in DETECTORS:
            data_id = repository.registry.expandDataId(
                instrument="LSSTCam", exposure=exposure, detector=detector
            )
            ref = DatasetRef(raw, data_id, run="LSSTCam/raw/all")
            repository.ingest(FileDataset(str(file), ref), transfer="copy")
    return repository


@pytest.fixture
def rules(pipeline: str, tmp_path: pathlib.Path) -> pathlib.Path:
    """File of rules that ignore detector 95 and run the others."""
    path = tmp_path / "rules.yaml"
    path.write_text(
        f"""
        instrument: LSSTCam
        rules:
          - {{name: unwanted, detectors: 95, ignore: true}}
          - {{name: arithmetic, pipeline: "{pipeline}"}}
        """
    )
    return path


@pytest.fixture
def table(rules: pathlib.Path, tmp_path: pathlib.Path) -> DispatchTable:
    """The table of those rules."""
    return load_rules(tmp_path, rules.read_text())
