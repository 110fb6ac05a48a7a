# This file is part of ra_pipe.
#
# Use of this source code is governed by a 3-clause BSD-style
# license that can be found in the LICENSE file.

from __future__ import annotations

import pathlib

import pytest
from camera.raws import EXPOSURE, write_raw
from lsst.daf.butler import Butler
from lsst.ra.pipe.repository import define_visits, ingest_raws


@pytest.fixture
def raws(tmp_path: pathlib.Path) -> list[pathlib.Path]:
    """Raw files of two detectors of one exposure."""
    directory = tmp_path / "night"
    directory.mkdir()
    return [write_raw(directory / f"{name}.fits", detector=name) for name in ("R22_S11", "R22_S12")]


def test_ingested_raw_can_be_read(butler: Butler, raws: list[pathlib.Path]) -> None:
    """Pixels, detector and observation come from the Butler."""
    report = ingest_raws(butler, raws)
    assert [ref.dataId["detector"] for ref in report.ingested] == [94, 95]
    raw = butler.get(
        "raw", instrument="LSSTCam", exposure=EXPOSURE, detector=95, collections="LSSTCam/raw/all"
    )
    assert raw.detector.name == "R22_S12"
    assert raw.obs_info.exposure_id == EXPOSURE
    assert len(raw.amplifiers) == 16


def test_exposure_record_has_the_headers_values(butler: Butler, raws: list[pathlib.Path]) -> None:
    """Day, filter, pointing and times are those of the header."""
    [record] = ingest_raws(butler, raws).exposures
    [stored] = butler.query_dimension_records("exposure", instrument="LSSTCam")
    assert stored == record
    assert (stored.day_obs, stored.seq_num, stored.physical_filter) == (20250415, 60, "r_57")
    assert stored.exposure_time == 30.0
    assert stored.tracking_ra == pytest.approx(150.0)
    assert stored.zenith_angle == pytest.approx(20.0)
    assert (stored.timespan.end - stored.timespan.begin).to_value("s") == pytest.approx(30.0)


def test_ingesting_twice_changes_nothing(butler: Butler, raws: list[pathlib.Path]) -> None:
    """The second time everything is there already."""
    first = ingest_raws(butler, raws)
    second = ingest_raws(butler, raws)
    assert second.ingested == []
    assert second.existing == first.ingested
    assert (first.visits, second.visits) == ([EXPOSURE], [])
    assert len(butler.query_datasets("raw", collections="LSSTCam/raw/all")) == 2


@pytest.mark.parametrize("transfer", ["copy", "symlink", "direct"])
def test_transfer_mode(butler: Butler, raws: list[pathlib.Path], transfer: str) -> None:
    """Only direct leaves the file outside the repository."""
    [ref] = ingest_raws(butler, raws[:1], transfer=transfer).ingested
    inside = butler.getURI(ref).relative_to(butler._datastore.root) is not None  # type: ignore[attr-defined]
    assert inside == (transfer != "direct")
    assert raws[0].exists()


def test_bad_file_stops_no_other(butler: Butler, raws: list[pathlib.Path], tmp_path: pathlib.Path) -> None:
    """The report says which file failed and why; the others are ingested."""
    (tmp_path / "night" / "noise.fits").write_bytes(b"not FITS at all" * 1000)
    write_raw(tmp_path / "night" / "nofilter.fits", header={"DAYOBS": None, "OBSID": None})
    report = ingest_raws(butler, [tmp_path / "night"])
    assert len(report.ingested) == 2
    failures = {pathlib.Path(path).name: why for path, why in report.failures.items()}
    assert sorted(failures) == ["nofilter.fits", "noise.fits"]
    assert "DAYOBS" in failures["nofilter.fits"]
    assert "noise.fits" in failures["noise.fits"]


def test_two_files_of_one_raw_are_refused(butler: Butler, tmp_path: pathlib.Path) -> None:
    """Nobody could say which of them is meant."""
    paths = [write_raw(tmp_path / f"{name}.fits") for name in ("one", "two")]
    report = ingest_raws(butler, paths)
    assert report.ingested == []
    assert all("Two files" in why for why in report.failures.values())
    assert len(report.failures) == 2


def test_visit_is_the_exposure(butler: Butler, raws: list[pathlib.Path]) -> None:
    """Same identifier, one exposure, and regions around the boresight."""
    ingest_raws(butler, raws)
    [visit] = butler.query_dimension_records("visit", instrument="LSSTCam")
    [definition] = butler.query_dimension_records("visit_definition", instrument="LSSTCam")
    assert (visit.id, definition.visit, definition.exposure) == (EXPOSURE, EXPOSURE, EXPOSURE)
    regions = {
        record.detector: record.region
        for record in butler.query_dimension_records("visit_detector_region", instrument="LSSTCam")
    }
    assert len(regions) == 205
    assert visit.region.contains(regions[94].getCentroid())
    assert not regions[94].overlaps(regions[0])


def test_exposure_without_pointing_has_no_visit(butler: Butler, tmp_path: pathlib.Path) -> None:
    """A bias is registered as an exposure, nothing more."""
    path = write_raw(
        tmp_path / "bias.fits",
        header={"IMGTYPE": "BIAS", "RA": None, "DEC": None, "ROTPA": None, "TRACKSYS": "LOCAL"},
    )
    report = ingest_raws(butler, [path])
    assert report.failures == {}
    assert len(report.exposures) == 1
    assert report.visits == []
    assert define_visits(butler, report.exposures) == []
