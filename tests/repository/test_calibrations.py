# This file is part of ra_pipe.
#
# Use of this source code is governed by a 3-clause BSD-style
# license that can be found in the LICENSE file.

from __future__ import annotations

import pathlib

import numpy as np
import pytest
from astropy.table import Table
from astropy.time import Time
from lsst.daf.butler import Butler, Timespan
from lsst.daf.butler.registry import ConflictingDefinitionError
from lsst.ra.pipe.camera import load_camera
from lsst.ra.pipe.camera.calibrations import Defects, DetectorIdentity
from lsst.ra.pipe.repository import certify_calibrations


def write_manifest(directory: pathlib.Path, **changes: object) -> pathlib.Path:
    """Write defects of detector 94 and a manifest of them."""
    directory.mkdir(exist_ok=True)
    detector = load_camera("LSSTCam")[94]
    defects = Defects(boxes=np.array([[10, 20, 3, 4]]), detector=DetectorIdentity.of(detector))
    defects.write(directory / "defects_094.fits", overwrite=True)
    entry = {
        "path": "defects_094.fits",
        "dataset_type": "defects",
        "instrument": "LSSTCam",
        "detector": 94,
        "physical_filter": "",
        "valid_begin": "2026-01-01T00:00:00",
        "valid_end": "",
    } | changes
    manifest = directory / "manifest.ecsv"
    Table([entry]).write(manifest, format="ascii.ecsv", overwrite=True)
    return manifest


def test_certified_calibration_is_found_within_its_validity(butler: Butler, tmp_path: pathlib.Path) -> None:
    """The manifest's range of time decides."""
    report = certify_calibrations(butler, write_manifest(tmp_path / "night1"))
    assert [ref.run for ref in report.certified] == ["LSSTCam/calib/night1"]
    [association] = butler.registry.queryDatasetAssociations("defects", collections=["LSSTCam/calib"])
    assert association.timespan == Timespan(Time("2026-01-01T00:00:00", scale="tai"), None)
    assert butler.get(association.ref).boxes.tolist() == [[10, 20, 3, 4]]


def test_certifying_twice_changes_nothing(butler: Butler, tmp_path: pathlib.Path) -> None:
    """The second time the calibration is there with the same validity."""
    manifest = write_manifest(tmp_path / "night1")
    first = certify_calibrations(butler, manifest)
    second = certify_calibrations(butler, manifest)
    assert (second.certified, second.existing) == ([], first.certified)


def test_overlapping_validity_is_refused_and_nothing_changes(butler: Butler, tmp_path: pathlib.Path) -> None:
    """Two calibrations for one time would make the answer a matter of luck."""
    certify_calibrations(butler, write_manifest(tmp_path / "night1"))
    with pytest.raises(ConflictingDefinitionError):
        certify_calibrations(butler, write_manifest(tmp_path / "night2"))
    assert len(butler.query_datasets("defects", collections="*", find_first=False)) == 1


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"dataset_type": "deflects"}, ValueError, "deflects.*expected one of"),
        ({"path": "lost.fits"}, FileNotFoundError, r"lost\.fits"),
    ],
)
def test_bad_manifest_is_refused(
    butler: Butler,
    tmp_path: pathlib.Path,
    changes: dict[str, object],
    error: type[Exception],
    message: str,
) -> None:
    """The error names the manifest and what is wrong with it."""
    with pytest.raises(error, match=message):
        certify_calibrations(butler, write_manifest(tmp_path / "night1", **changes))
    assert not butler.registry.queryDatasetTypes("defects")


def test_manifest_without_a_column_is_refused(butler: Butler, tmp_path: pathlib.Path) -> None:
    """The error names the column and what there is."""
    manifest = write_manifest(tmp_path / "night1")
    table = Table.read(manifest)
    table.remove_column("valid_end")
    table.write(manifest, overwrite=True)
    with pytest.raises(ValueError, match=r"no column valid_end; it has.*valid_begin"):
        certify_calibrations(butler, manifest)
