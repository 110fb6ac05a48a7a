# This file is part of ra_pipe.
#
# Use of this source code is governed by a 3-clause BSD-style
# license that can be found in the LICENSE file.

from __future__ import annotations

import pathlib
from collections.abc import Callable

import astropy.units as u
import pytest
from arithmetic_pipeline import DETECTORS, EXPOSURE, NO_VISIT, PIPELINE, put_number
from astropy.time import Time
from lsst.daf.butler import Butler, DatasetType, Timespan
from lsst.ra.pipe.repository import create_repository, define_visits


@pytest.fixture
def pipeline(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Path of a pipeline, whose tasks worker processes can import, too."""
    monkeypatch.setenv("PYTHONPATH", str(pathlib.Path(__file__).parents[1]))
    path = tmp_path / "Arithmetic.yaml"
    path.write_text(PIPELINE)
    return str(path)


@pytest.fixture
def root(tmp_path: pathlib.Path) -> pathlib.Path:
    """Directory of the repository."""
    return tmp_path / "repo"


@pytest.fixture
def repository(root: pathlib.Path) -> Butler:
    """Repository with numbers for three detectors of an exposure with a visit
    and of one without.
    """
    butler = create_repository(root, instruments=["lsst.ra.pipe.camera.LsstCam"])
    number = DatasetType(
        "number", ("instrument", "exposure", "detector"), "StructuredDataDict", universe=butler.dimensions
    )
    butler.registry.registerDatasetType(number)
    begin = Time("2026-01-02T03:00:00", scale="tai")
    day = {"instrument": "LSSTCam", "id": 20260101}
    butler.registry.syncDimensionData("day_obs", day)
    for exposure, pointing in ((EXPOSURE, 150.0), (NO_VISIT, None)):
        group = {"instrument": "LSSTCam", "name": str(exposure)}
        butler.registry.syncDimensionData("group", group)
        record = butler.dimensions["exposure"].RecordClass(
            instrument="LSSTCam",
            id=exposure,
            day_obs=20260101,
            group=str(exposure),
            physical_filter="r_57",
            obs_id=f"MC_O_20260101_{exposure % 100000:06d}",
            tracking_ra=pointing,
            tracking_dec=pointing and 2.0,
            sky_angle=pointing and 30.0,
            timespan=Timespan(begin, begin + 30 * u.s),
        )
        butler.registry.insertDimensionData("exposure", record)
        define_visits(butler, [record])
        for detector in DETECTORS:
            put_number(butler, exposure, detector, float(detector))
    _certify_factor(butler)
    return butler


def _certify_factor(butler: Butler) -> None:
    factor = DatasetType(
        "factor",
        ("instrument", "detector"),
        "StructuredDataDict",
        universe=butler.dimensions,
        isCalibration=True,
    )
    butler.registry.registerDatasetType(factor)
    butler.collections.register("LSSTCam/calib/run")
    refs = [
        butler.put({"value": 2.0}, "factor", instrument="LSSTCam", detector=detector, run="LSSTCam/calib/run")
        for detector in DETECTORS
    ]
    butler.registry.certify("LSSTCam/calib", refs, Timespan(None, None))


@pytest.fixture
def read(root: pathlib.Path) -> Callable[..., object]:
    """Read an output as a user would, with a new client."""

    def get(dataset_type: str, collection: str, **data_id: int) -> object:
        butler = Butler.from_config(root, collections=[collection])
        return butler.get(dataset_type, {"instrument": "LSSTCam", **data_id})

    return get
