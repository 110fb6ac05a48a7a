# This file is part of ra_pipe.
#
# Use of this source code is governed by a 3-clause BSD-style
# license that can be found in the LICENSE file.

"""The page about ConsDB says of each NULL column why it is."""

from __future__ import annotations

import fnmatch
import math
import pathlib
import re

import astropy.units as u
import pytest
from astro_metadata_translator import ObservationInfo
from astropy.coordinates import AltAz
from astropy.time import Time
from lsst.daf.butler import DimensionRecord
from lsst.ra.pipe.algorithms.calibration import DEPTH_FIDUCIALS
from lsst.ra.pipe.sinks.consdb import (
    QUICKLOOK_TABLES,
    SCHEMAS,
    Unknown,
    exposure_row,
    load_schema,
    quicklook_sources,
)
from number_repository import INSTRUMENT, exposure_id, make_repository

PAGE = pathlib.Path(__file__).resolve().parents[3] / "doc" / "lsst.ra.pipe" / "consdb.rst"
EXPOSURE = exposure_id(1)


def _patterns(title: str) -> set[str]:
    """Return the column names of the first column of a table of the page."""
    _, _, table = PAGE.read_text().partition(f"   * - {title}\n")
    cells = re.findall(r"   \* - (``.*?)\n     - ", table.partition("\n\n")[0], flags=re.DOTALL)
    assert cells
    names = set()
    for cell in cells:
        if span := re.fullmatch(r"``([a-z]+)(\d+)`` to ``\1(\d+)``", cell):
            names |= {f"{span[1]}{number}" for number in range(int(span[2]), int(span[3]) + 1)}
        else:
            names |= set(re.findall(r"``(.+?)``", cell))
    return names


def _assert_same(patterns: set[str], columns: set[str]) -> None:
    for column in columns:
        assert any(fnmatch.fnmatchcase(column, pattern) for pattern in patterns), column
    for pattern in patterns:
        assert fnmatch.filter(columns, pattern), pattern


def test_page_names_what_rests_on_placeholders() -> None:
    """Cameras whose fiducial conditions are the defaults of a task, and all
    the columns that depend on these.
    """
    default = next(iter(DEPTH_FIDUCIALS["LATISS"].values()))
    columns = {
        instrument: {
            column.name
            for table in QUICKLOOK_TABLES
            for column in load_schema(instrument, named=True).tables[table].columns
            if column.name.startswith("eff_time")
        }
        for instrument in SCHEMAS
    }
    assert set(DEPTH_FIDUCIALS["LATISS"].values()) == {default}
    placeholders = {
        name
        for name, bands in DEPTH_FIDUCIALS.items()
        if {one.magnitude_limit for one in bands.values()} == {default.magnitude_limit}
    }
    assert placeholders == {"LATISS", "LSSTComCam"}
    rows = PAGE.read_text().partition("   * - effective times\n")[2].partition("\n\n")[0].split("   * - ")[1:]
    named = {
        row.splitlines()[1].strip(" -"): set(re.findall("``(.+?)``", row.splitlines()[0])) for row in rows
    }
    assert set(named) == placeholders
    _assert_same(named["LATISS"], columns["LATISS"])
    _assert_same(named["LSSTComCam"], {name for name in columns["LSSTComCam"] if "_scale" not in name})


@pytest.fixture(scope="module")
def record(tmp_path_factory: pytest.TempPathFactory) -> DimensionRecord:
    """What a repository knows of an exposure."""
    root = tmp_path_factory.mktemp("documentation") / "repo"
    with make_repository(root, exposures=[EXPOSURE]) as butler:
        (record,) = butler.query_dimension_records("exposure", instrument=INSTRUMENT, exposure=EXPOSURE)
    return record


def _describe() -> ObservationInfo:
    """Describe an observation across the meridian, with all that there is."""
    begin = Time("2026-01-02T03:00:00", scale="tai")
    return ObservationInfo.makeObservationInfo(
        datetime_begin=begin,
        datetime_end=begin + 30 * u.s,
        altaz_begin=AltAz(az=359.9 * u.deg, alt=57.2 * u.deg),
        altaz_end=AltAz(az=0.1 * u.deg, alt=57.2 * u.deg),
        boresight_airmass=1.19,
        exposure_time_requested=30.0 * u.s,
        group_counter_start=1,
        group_counter_end=2,
        temperature=282.85 * u.K,
        pressure=742.1 * u.hPa,
        relative_humidity=11.2,
        focus_z=0.1 * u.mm,
    )


def test_page_names_the_quicklook_columns_that_stay_null() -> None:
    """No more and no less, for all instruments."""
    unknown = set()
    for instrument in SCHEMAS:
        tables = load_schema(instrument, named=False).tables
        sources = quicklook_sources({name: tables[name].columns.keys() for name in QUICKLOOK_TABLES})
        unknown |= {
            column
            for columns in sources.values()
            for column, source in columns.items()
            if isinstance(source, Unknown)
        }
    _assert_same(_patterns("quicklook columns"), unknown)


def test_page_names_the_facts_that_headers_do_not_have(record: DimensionRecord) -> None:
    """What no description of an exposure gives."""
    row = exposure_row(record, band="r", obs_info=_describe())
    schemas = [load_schema(instrument, named=False) for instrument in SCHEMAS]
    columns = {column.name for schema in schemas for column in schema.tables["exposure"].columns}
    _assert_same(_patterns("columns of exposure and visit1"), columns - row.keys())
    assert row.keys() <= columns


@pytest.mark.parametrize("described", [True, False])
def test_facts_come_from_the_header_or_the_registry(record: DimensionRecord, described: bool) -> None:
    """Without a raw there is less, and nothing wrong."""
    row = exposure_row(record, band="r", obs_info=_describe() if described else None)
    assert row["exposure_id"] == EXPOSURE
    assert row["exposure_name"] == "MC_O_20260101_000001"
    assert row["controller"] == "O"
    assert (row["s_ra"], row["s_dec"], row["sky_rotation"]) == (150.0, 2.0, 30.0)
    assert (row["obs_end"] - row["obs_start"]).total_seconds() == pytest.approx(30.0)
    assert row["exp_midpt_mjd"] == pytest.approx(row["obs_start_mjd"] + 15.0 / 86400.0, abs=1e-9)
    assert row["exp_midpt"].tzinfo is None
    assert ("air_temp" in row) == described
    if described:
        assert row["air_temp"] == pytest.approx(9.7)
        assert row["pressure"] == pytest.approx(74210.0)
        assert row["altitude"] == pytest.approx(57.2, abs=0.01)
        assert row["zenith_distance"] == pytest.approx(90.0 - row["altitude"])
        # Not 180 degrees, half-way between the numbers.
        assert math.cos(math.radians(row["azimuth"])) == pytest.approx(1.0)
        assert row["max_index"] == 2
