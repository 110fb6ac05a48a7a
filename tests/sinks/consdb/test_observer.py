# This file is part of ra_pipe.
#
# Use of this source code is governed by a 3-clause BSD-style
# license that can be found in the LICENSE file.

"""What a run left in a Butler repository gets into ConsDB."""

from __future__ import annotations

import pathlib
import sqlite3
from collections.abc import Iterator
from typing import Any

import pytest
from astropy.table import Table
from click.testing import CliRunner, Result
from consdb_inputs import make_metrics
from lsst.daf.butler import DatasetType
from lsst.ra.pipe.cli import main
from lsst.ra.pipe.execution import ImageReport, QuantumOutcome, QuantumStatus
from lsst.ra.pipe.sinks.consdb import ConsDbObserver
from number_repository import INSTRUMENT, exposure_id, make_repository

RUN = "LSSTCam/rapid/a"
LATE_RUN = "LSSTCam/rapid/b"
EXPOSURE = exposure_id(1)
DETECTORS = (93, 94)


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """Repository with the metrics of two detectors, gathered twice: first one
    of them, then both.
    """
    root = tmp_path_factory.mktemp("observer") / "repo"
    with make_repository(root, exposures=[EXPOSURE, exposure_id(2)]) as butler:
        for name, storage_class, dimensions in (
            ("rapid_detector_metrics", "StructuredDataDict", ("instrument", "visit", "detector")),
            ("rapid_exposure_detectors", "ArrowAstropy", ("instrument", "visit")),
        ):
            dimensions_type = DatasetType(name, dimensions, storage_class, universe=butler.dimensions)
            butler.registry.registerDatasetType(dimensions_type)
        for run in (RUN, LATE_RUN):
            butler.collections.register(run)
        rows = [make_metrics(detector, psf_sigma_pixel=0.02 * detector) for detector in DETECTORS]
        key: dict[str, Any] = {"instrument": INSTRUMENT, "visit": EXPOSURE}
        for detector, row in zip(DETECTORS, rows, strict=True):
            butler.put(row, "rapid_detector_metrics", key, detector=detector, run=RUN)
        butler.put(Table(rows[:1]), "rapid_exposure_detectors", key, run=RUN)
        butler.put(Table(rows), "rapid_exposure_detectors", key, run=LATE_RUN)
    return root


@pytest.fixture
def file(tmp_path: pathlib.Path) -> pathlib.Path:
    """Where the database will be."""
    return tmp_path / "consdb_lsstcam.sqlite3"


@pytest.fixture
def observer(root: pathlib.Path, file: pathlib.Path) -> Iterator[ConsDbObserver]:
    """What writes there."""
    observer = ConsDbObserver(
        url=f"sqlite:///{file.parent}/consdb_{{instrument}}.sqlite3", repository=str(root)
    )
    yield observer
    observer.close()


def query(file: pathlib.Path, text: str) -> list[tuple[Any, ...]]:
    """Ask an SQLite file."""
    connection = sqlite3.connect(file)
    try:
        return connection.execute(text).fetchall()
    finally:
        connection.close()


def report(detector: int | None, *, run: str = RUN, exposure: int = EXPOSURE, **others: Any) -> ImageReport:
    """Make the report of an image that was run."""
    outcome = QuantumOutcome("task", others.pop("status", QuantumStatus.SUCCEEDED))
    return ImageReport(
        others.pop("instrument", INSTRUMENT), exposure, detector, (outcome,), run=run, **others
    )


def test_detectors_and_exposures_are_written(observer: ConsDbObserver, file: pathlib.Path) -> None:
    """The metrics are read from the run; late detectors replace the statistics."""
    for detector in DETECTORS:
        written = observer(report(detector))
        assert written is not None
        assert written.changed
    assert str(observer(report(None))) == "visit1_quicklook: written, exposure_quicklook: written"
    assert query(file, "SELECT n_inputs, psf_sigma_max FROM visit1_quicklook") == [(1, 0.02 * 93)]
    observer(report(None, run=LATE_RUN))
    assert query(file, "SELECT n_inputs, psf_sigma_max FROM visit1_quicklook") == [(2, 0.02 * 94)]
    assert query(file, "SELECT detector, psf_sigma FROM ccdvisit1_quicklook ORDER BY detector") == [
        (93, 0.02 * 93),
        (94, 0.02 * 94),
    ]
    assert query(file, "SELECT exposure_name, band, controller FROM exposure") == [
        ("MC_O_20260101_000001", "r", "O")
    ]


def test_published_metrics_need_not_be_read(observer: ConsDbObserver, file: pathlib.Path) -> None:
    """What the report carries is taken."""
    observer(report(94, run="", published={"rapid_detector_metrics": make_metrics(94, n_psf_stars=7)}))
    assert query(file, "SELECT n_psf_star FROM ccdvisit1_quicklook") == [(7,)]


def test_detector_without_metrics_has_no_results(observer: ConsDbObserver, file: pathlib.Path) -> None:
    """It was processed, and is known as an image."""
    written = observer(report(95))
    assert written is not None
    assert not written.outcomes
    assert query(file, "SELECT detector FROM ccdexposure") == [(95,)]
    assert query(file, "SELECT * FROM ccdvisit1_quicklook") == query(file, "SELECT * FROM visit1") == []
    assert observer(report(None, run="LSSTCam/rapid/c")) is None


def test_what_is_not_there_is_passed_over(observer: ConsDbObserver, file: pathlib.Path) -> None:
    """A raw that is still to come, and an instrument without tables."""
    assert observer(report(94, status=QuantumStatus.MISSING_INPUT)) is None
    assert observer(report(94, instrument="HSC")) is None
    assert not file.exists()


def rapid(*args: object) -> Result:
    """Run ``rapid consdb`` with arguments."""
    return CliRunner().invoke(main, ["consdb", *(str(arg) for arg in args)])


def test_backfill_writes_what_is_not_there(root: pathlib.Path, file: pathlib.Path) -> None:
    """By the command, whose second call changes nothing."""
    command = ("backfill", root, "-o", LATE_RUN, "-o", RUN, "--consdb", f"sqlite:///{file}")
    result = rapid(*command, "-e", exposure_id(2))
    assert result.exit_code == 0, result.output
    assert "0 detectors and exposures written, 0 were there" in result.output
    assert "3 detectors and exposures written, 0 were there" in rapid(*command).output
    assert "0 detectors and exposures written, 3 were there" in rapid(*command).output
    assert query(file, "SELECT n_inputs FROM visit1_quicklook") == [(2,)]


def test_backfill_of_a_repository_without_metrics(tmp_path: pathlib.Path, file: pathlib.Path) -> None:
    """Nothing was processed there: that is said, and is no error."""
    with make_repository(tmp_path / "empty", exposures=[EXPOSURE]) as butler:
        butler.collections.register(RUN)
    result = rapid("backfill", tmp_path / "empty", "-o", RUN, "--consdb", f"sqlite:///{file}")
    assert result.exit_code == 0, result.output
    assert f"has no metrics of LSSTCam in {RUN}." in result.output
    assert "0 detectors and exposures written" in result.output


def test_tables_are_made_and_checked(file: pathlib.Path) -> None:
    """By the command; what is missing is named."""
    url = f"sqlite:///{file}"
    result = rapid("create", url, "--check")
    assert result.exit_code == 1
    assert "lacks exposure" in result.output
    assert "cdb_lsstcam, version" in rapid("create", url).output
    assert rapid("create", url, "--check").exit_code == 0
    assert query(file, "SELECT * FROM visit1_quicklook") == []
    result = rapid("create", url, "--instrument", "LATISS", "--check")
    assert result.exit_code == 1
    assert "postisr_pixel_median" in result.output


def test_columns_are_listed() -> None:
    """Each with its metric, or the reason why it has none."""
    lines = rapid("columns", "--instrument", "LATISS").output.splitlines()
    found = dict(line.split(maxsplit=1) for line in lines)
    assert found["visit1_quicklook.zero_point"] == "only of zero_point_mag"
    assert found["exposure_quicklook.mount_jitter_rms"].startswith("NULL: comes from the mount's")
