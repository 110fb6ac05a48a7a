# This file is part of ra_pipe.
#
# Use of this source code is governed by a 3-clause BSD-style
# license that can be found in the LICENSE file.

"""Rows are written once, whole and by any number of processes."""

from __future__ import annotations

import concurrent.futures
import math
import multiprocessing
import pathlib
import sqlite3
from collections.abc import Iterator
from typing import Any

import pytest
import sqlalchemy
from consdb_inputs import DAY_OBS, make_facts, make_metrics, make_unknown_metrics
from lsst.ra.pipe.sinks.consdb import (
    SCHEMAS,
    ConsDbDatabase,
    ConsDbError,
    ConsDbUnavailableError,
    ConsDbWriter,
    Outcome,
)
from postgresql_server import PostgresqlServer

EXPOSURE = make_facts()["exposure_id"]
ALL_WRITTEN = {"ccdexposure_quicklook": "written", "ccdvisit1_quicklook": "written"}


class Session:
    """A writer, and a look at what it wrote."""

    def __init__(self, url: str, instrument: str = "LSSTCam") -> None:
        self.url = url
        self.database = ConsDbDatabase(url, instrument)
        self.writer = ConsDbWriter(self.database)

    def write(self, detector: int = 94, **metrics: Any) -> dict[str, str]:
        """Write a detector; return what became of its rows."""
        report = self.writer.write_detector(
            EXPOSURE, detector, metrics=make_metrics(detector, **metrics), facts=make_facts
        )
        return {name: str(outcome) for name, outcome in report.outcomes.items()}

    def gather(self, *detectors: dict[str, Any]) -> dict[str, str]:
        """Write an exposure; return what became of its rows."""
        report = self.writer.write_exposure(EXPOSURE, detectors=detectors, facts=make_facts)
        return {name: str(outcome) for name, outcome in report.outcomes.items()}

    def rows(self, table: str) -> list[dict[str, Any]]:
        """Read a whole table."""
        target = self.database.schema.tables[table]
        with self.database.transaction("a test") as connection:
            query = sqlalchemy.select(target).order_by(*target.primary_key.columns)
            return [dict(row._mapping) for row in connection.execute(query)]

    def row(self, table: str) -> dict[str, Any]:
        """Read a table of one row."""
        (row,) = self.rows(table)
        return row

    def execute(self, statement: str) -> None:
        """Do what others do to the database."""
        with self.database.transaction("a test") as connection:
            connection.execute(sqlalchemy.text(statement))

    def name(self, table: str) -> str:
        """Return the full name of a table."""
        return str(self.database.schema.tables[table])


@pytest.fixture
def session(url: str) -> Iterator[Session]:
    """A writer to an empty database."""
    session = Session(url)
    yield session
    session.database.close()


def test_detector_is_there_with_its_parents(session: Session) -> None:
    """Identifiers are those of the observatory, values those of the metrics."""
    assert session.write(psf_sigma_pixel=1.875, n_psf_stars=123) == ALL_WRITTEN
    number = (5583 * 2**15 + 88) * 2**8 + 94
    exposure = session.row("exposure")
    assert exposure["exposure_name"] == "MC_O_20250415_000088"
    assert exposure["obs_start"] == make_facts()["obs_start"]
    visit = session.row("visit1")
    assert visit["visit_id"] == exposure["exposure_id"] == EXPOSURE
    assert {name: visit[name] for name in visit if name != "visit_id"}.items() <= exposure.items()
    ccdexposure, ccdvisit = session.row("ccdexposure"), session.row("ccdvisit1")
    assert ccdexposure["ccdexposure_id"] == ccdvisit["ccdvisit_id"] == number
    assert ccdexposure["exposure_id"] == ccdvisit["visit_id"] == EXPOSURE
    assert ccdexposure["s_region"].split()[:2] == ["Polygon", "ICRS"]
    assert len(ccdexposure["s_region"].split()) == 10
    quicklook = session.row("ccdvisit1_quicklook")
    assert quicklook["ccdvisit_id"] == number
    assert (quicklook["day_obs"], quicklook["seq_num"], quicklook["detector"]) == (DAY_OBS, 88, 94)
    assert quicklook["psf_sigma"] == 1.875
    assert quicklook["n_psf_star"] == 123
    assert quicklook["z4"] is None


@pytest.mark.parametrize("instrument", SCHEMAS)
def test_all_instruments_have_tables(url: str, instrument: str) -> None:
    """Rows of each instrument fit its own tables."""
    session = Session(url, instrument)
    session.write(0)
    session.gather(make_metrics(0))
    assert session.row("ccdvisit1_quicklook")["zero_point"] is not None
    assert session.row("visit1_quicklook")["n_inputs"] == 1
    column = "postisr_pixel_median" if instrument == "LATISS" else "postisr_pixel_median_mean"
    assert session.row("exposure_quicklook")[column] == pytest.approx(
        make_metrics()["post_isr_median_electron"]
    )


def test_what_is_not_known_is_null(session: Session) -> None:
    """NaN, -1 and empty strings are no values."""
    session.writer.write_detector(EXPOSURE, 94, metrics=make_unknown_metrics(), facts=make_facts)
    session.gather(make_unknown_metrics())
    row = session.row("ccdvisit1_quicklook")
    assert {name for name, value in row.items() if value is not None} == {
        *("day_obs", "seq_num", "detector", "ccdvisit_id")
    }
    assert session.row("visit1_quicklook")["n_inputs"] == 1
    assert session.row("visit1_quicklook")["psf_sigma_median"] is None
    assert session.row("ccdexposure")["s_region"] is None


def test_outline_is_filled_in_once(session: Session) -> None:
    """Where a detector was known before its metrics were, with the visit's."""
    session.writer.write_detector(EXPOSURE, 94, metrics=None, facts=make_facts)
    assert session.row("ccdexposure")["s_region"] is None
    session.write()
    region = session.row("ccdexposure")["s_region"]
    assert region.startswith("Polygon ICRS")
    assert session.row("ccdvisit1")["s_region"] == region
    session.write(corner_0_ra_degree=77.0)
    assert session.row("ccdexposure")["s_region"] == region


def test_infinite_values_are_null(session: Session) -> None:
    """No query gets an infinite median."""
    session.write(psf_sigma_pixel=math.inf)
    assert session.row("ccdvisit1_quicklook")["psf_sigma"] is None


def test_second_write_changes_nothing(session: Session) -> None:
    """A duplicate is told, and the first values stay."""
    session.write(psf_sigma_pixel=2.0)
    before = {name: session.rows(name) for name in session.database.schema.tables}
    assert set(session.write(psf_sigma_pixel=3.0).values()) == {"unchanged"}
    assert {name: session.rows(name) for name in session.database.schema.tables} == before


def test_gathering_gives_way_to_one_of_more_detectors(session: Session) -> None:
    """Late detectors count; the same ones again, or fewer, do not."""
    few = [make_metrics(93, psf_sigma_pixel=2.0), make_metrics(94, psf_sigma_pixel=3.0)]
    assert set(session.gather(*few).values()) == {"written"}
    assert session.row("visit1_quicklook")["psf_sigma_median"] == 2.5
    again = [make_metrics(93, psf_sigma_pixel=5.0), make_metrics(94, psf_sigma_pixel=5.0)]
    assert set(session.gather(*again).values()) == {"unchanged"}
    assert set(session.gather(again[0]).values()) == {"unchanged"}
    assert session.row("visit1_quicklook")["psf_sigma_median"] == 2.5
    more = [*few, make_metrics(95, psf_sigma_pixel=7.0, post_isr_median_electron=1000.0)]
    assert set(session.gather(*more).values()) == {"written"}
    row = session.row("visit1_quicklook")
    assert row["n_inputs"] == 3
    assert (row["psf_sigma_min"], row["psf_sigma_median"], row["psf_sigma_max"]) == (2.0, 3.0, 7.0)
    assert session.row("exposure_quicklook")["postisr_pixel_median_max"] == 1000.0


def test_position_of_the_middle_is_the_fitted_one(session: Session) -> None:
    """It is NULL unless the astrometry of that detector was fitted."""
    position = {"center_ra_degree": 10.0, "center_dec_degree": -20.0, "rotation_degree": 359.9}
    unfitted = make_metrics(94, **position, astrometry_status="few references")
    session.gather(unfitted)
    assert session.row("visit1_quicklook")["astrom_ra"] is None
    assert session.row("visit1_quicklook")["astrom_sky_rotation"] is None
    fitted = make_metrics(94, **position, astrometry_status="ok", pointing_rotation_degree=0.3)
    session.gather(make_metrics(93, center_ra_degree=77.0), fitted)
    row = session.row("visit1_quicklook")
    assert (row["astrom_ra"], row["astrom_dec"]) == (10.0, -20.0)


def test_columns_of_others_stay(session: Session) -> None:
    """Where the wavefront sensing came first, ours are filled in, once."""
    session.writer.write_detector(EXPOSURE, 94, metrics=None, facts=make_facts)
    session.execute(
        f"INSERT INTO {session.name('visit1_quicklook')} (visit_id, day_obs, seq_num, z4) "
        f"VALUES ({EXPOSURE}, {DAY_OBS}, 88, 0.25)"
    )
    number = session.row("ccdexposure")["ccdexposure_id"]
    session.execute(
        f"INSERT INTO {session.name('ccdvisit1_quicklook')} (ccdvisit_id, day_obs, seq_num, detector, z4) "
        f"VALUES ({number}, {DAY_OBS}, 88, 94, 0.5)"
    )
    for expected in ("written", "unchanged"):
        assert session.write(psf_sigma_pixel=2.0)["ccdvisit1_quicklook"] == expected
        assert session.gather(make_metrics(94, psf_sigma_pixel=2.0))["visit1_quicklook"] == expected
    row = session.row("ccdvisit1_quicklook")
    assert (row["z4"], row["psf_sigma"]) == (0.5, 2.0)
    row = session.row("visit1_quicklook")
    assert (row["z4"], row["psf_sigma_max"]) == (0.25, 2.0)


def test_visits_may_be_views(session: Session) -> None:
    """At the observatory they are views of the exposures, which another
    service fills.
    """
    session.writer.prepare()
    for visit, exposure, columns in (
        (
            "ccdvisit1",
            "ccdexposure",
            "day_obs, seq_num, ccdexposure_id AS ccdvisit_id, exposure_id AS visit_id, detector, s_region",
        ),
        ("visit1", "exposure", "*, exposure_id AS visit_id"),
    ):
        session.execute(f"DROP TABLE {session.name(visit)}")
        session.execute(
            f"CREATE VIEW {session.name(visit)} AS SELECT {columns} FROM {session.name(exposure)}"
        )
    facts = make_facts()
    session.execute(
        f"INSERT INTO {session.name('exposure')} (exposure_id, exposure_name, controller, day_obs, seq_num) "
        f"VALUES ({EXPOSURE}, '{facts['exposure_name']}', 'O', {DAY_OBS}, 88)"
    )
    other = ConsDbWriter(ConsDbDatabase(session.url, "LSSTCam"))
    report = other.write_detector(EXPOSURE, 94, metrics=make_metrics(), facts=_no_facts)
    assert report.changed
    assert other.write_exposure(EXPOSURE, detectors=[make_metrics()], facts=_no_facts).changed
    assert session.row("exposure")["band"] is None


def _no_facts() -> dict[str, Any]:
    raise AssertionError("The exposure is there.")


def test_wrong_value_is_named_and_nothing_is_written(session: Session) -> None:
    """Table, key and column are in the message; no parent is left behind."""
    with pytest.raises(
        ConsDbError,
        match=r"exposure \(day_obs=20250415, seq_num=88\): column band: it takes 32 characters",
    ):
        session.writer.write_detector(
            EXPOSURE, 94, metrics=make_metrics(), facts=lambda: make_facts(band="r" * 33)
        )
    with pytest.raises(
        ConsDbError,
        match=r"ccdvisit1_quicklook \(day_obs=20250415, seq_num=88, detector=94\): column n_psf_star",
    ):
        session.write(n_psf_stars=2**40)
    with pytest.raises(ConsDbError, match="column controller must have a value"):
        session.writer.write_detector(
            EXPOSURE, 94, metrics=make_metrics(), facts=lambda: make_facts(controller=None)
        )
    assert session.rows("exposure") == session.rows("ccdexposure") == []
    assert session.write() == ALL_WRITTEN


def test_exposure_of_another_instrument_is_refused(session: Session) -> None:
    """Exposure numbers alone do not tell instruments apart."""
    session.write()
    other = Session(session.url)
    other.writer.has_exposure = lambda exposure: False  # type: ignore[method-assign]
    with pytest.raises(ConsDbError, match="AT_O_20250415_000088: column exposure_name: MC_O_20250415_000088"):
        other.writer.write_detector(
            EXPOSURE, 94, metrics=make_metrics(), facts=lambda: make_facts(prefix="AT")
        )


def test_missing_column_is_named_before_anything_is_written(session: Session) -> None:
    """Tables of an older schema are an error at the start."""
    session.writer.prepare()
    session.execute(f"ALTER TABLE {session.name('ccdvisit1_quicklook')} DROP COLUMN coma_1")
    other = Session(session.url)
    with pytest.raises(ConsDbError, match=r"lacks ccdvisit1_quicklook\.coma_1 of cdb_lsstcam"):
        other.writer.prepare()


def test_tables_are_not_made_where_they_must_be_there(url: str) -> None:
    """The writer can be told to leave the making of tables to others."""
    database = ConsDbDatabase(url, "LSSTCam")
    with pytest.raises(ConsDbError, match=r"lacks exposure, ccdexposure, visit1"):
        ConsDbWriter(database, create=False).prepare()


def test_failure_in_the_middle_leaves_nothing(session: Session) -> None:
    """One transaction: the last table refuses, and the first is as before."""
    session.writer.prepare()
    name = session.name("ccdvisit1_quicklook")
    session.execute(f"CREATE UNIQUE INDEX only_one ON {name} (day_obs)")
    assert session.write(93) == ALL_WRITTEN
    with pytest.raises(
        ConsDbError, match=r"ccdvisit1_quicklook \(day_obs=20250415, seq_num=88, detector=94\)"
    ):
        session.write(94)
    assert [row["detector"] for row in session.rows("ccdexposure")] == [93]
    assert [row["detector"] for row in session.rows("ccdexposure_quicklook")] == [93]


def _write_many(url: str, number: int, barrier: Any) -> list[str]:
    """Write the same detectors as others do, in another order, and gather."""
    session = Session(url)
    barrier.wait()
    outcomes: list[str] = []
    for step in range(12):
        outcomes += session.write((step + 3 * number) % 12).values()
    outcomes += session.gather(*(make_metrics(detector) for detector in range(number + 1))).values()
    session.database.close()
    return outcomes


def test_writers_at_once_write_each_row_once(url: str) -> None:
    """Processes that begin with an empty database and write the same rows."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["lsst.ra.pipe.sinks.consdb"])
    n_writers = 3
    with (
        context.Manager() as manager,
        concurrent.futures.ProcessPoolExecutor(n_writers, mp_context=context) as pool,
    ):
        barrier = manager.Barrier(n_writers)
        outcomes = list(
            pool.map(_write_many, *zip(*((url, n, barrier) for n in range(n_writers)), strict=True))
        )
    written = [one for some in outcomes for one in some[: 2 * 12]].count(str(Outcome.WRITTEN))
    assert written == 2 * 12
    session = Session(url)
    assert len(session.rows("ccdvisit1_quicklook")) == len(session.rows("ccdexposure_quicklook")) == 12
    assert len(session.rows("exposure")) == len(session.rows("visit1")) == 1
    assert session.row("visit1_quicklook")["n_inputs"] == n_writers


def test_outage_is_told_apart(postgresql: PostgresqlServer, tmp_path: pathlib.Path) -> None:
    """A server that does not answer is no fault of the data; the same write
    succeeds later.
    """
    session = Session(postgresql.url)
    session.writer.prepare()
    with postgresql.outage(), pytest.raises(ConsDbUnavailableError, match="does not answer"):
        session.write()
    assert session.write() == ALL_WRITTEN
    session.database.close()
    # Nobody will make it.
    with pytest.raises(ConsDbError, match="unable to open"):
        Session(f"sqlite:///{tmp_path}/no/such/directory/x.sqlite3").write()


def test_locked_table_is_an_outage(postgresql: PostgresqlServer) -> None:
    """No worker waits for long for who holds it."""
    session = Session(postgresql.url)
    session.writer.prepare()
    other = sqlalchemy.create_engine(postgresql.url)
    with other.begin() as connection:
        connection.execute(sqlalchemy.text(f"LOCK TABLE {session.name('ccdvisit1_quicklook')}"))
        with pytest.raises(ConsDbUnavailableError, match="lock timeout"):
            session.write(71)
    other.dispose()
    with pytest.raises(ConsDbUnavailableError, match="statement timeout"):
        session.execute("SET statement_timeout = 1; SELECT pg_sleep(100)")
    with session.database.transaction("a test") as connection:
        limits = [
            connection.execute(sqlalchemy.text(f"SHOW {name}")).scalar()
            for name in ("statement_timeout", "lock_timeout")
        ]
    assert limits == ["10s", "5s"]
    session.database.close()


def test_locked_sqlite_file_is_an_outage(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file that may not be written is none: that does not go by itself."""
    monkeypatch.setattr("lsst.ra.pipe.sinks.consdb._database._LOCK_SECONDS", 0.01)
    file = tmp_path / "consdb.sqlite3"
    session = Session(f"sqlite:///{file}")
    session.writer.prepare()
    other = sqlite3.connect(file, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(ConsDbUnavailableError, match="database is locked"):
        session.write()
    other.close()
    with pytest.raises(ConsDbError, match="readonly database"):
        Session(f"sqlite:///file:{file}?mode=ro&uri=true").write()
    assert session.write() == ALL_WRITTEN


def test_writer_waits_for_other_writers(tmp_path: pathlib.Path) -> None:
    """An SQLite file that another process writes to is waited for."""
    url = f"sqlite:///{tmp_path / 'consdb.sqlite3'}"
    session = Session(url)
    session.writer.prepare()
    other = sqlite3.connect(tmp_path / "consdb.sqlite3", isolation_level=None, check_same_thread=False)
    other.execute("BEGIN IMMEDIATE")
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(session.write)
        assert not waiting.done()
        other.execute("COMMIT")
        assert waiting.result() == ALL_WRITTEN
    other.close()


def test_rows_without_parents_are_refused(session: Session) -> None:
    """The foreign keys of the schema hold, in SQLite as well."""
    session.writer.prepare()
    with pytest.raises(ConsDbError, match=r"(?i)foreign key"):
        session.execute(
            f"INSERT INTO {session.name('visit1_quicklook')} (visit_id, day_obs, seq_num) "
            f"VALUES ({EXPOSURE}, {DAY_OBS}, 88)"
        )


def test_database_that_was_replaced_is_filled_anew(tmp_path: pathlib.Path) -> None:
    """Attempts that notice fail, and the next one succeeds."""
    file = tmp_path / "consdb.sqlite3"
    session = Session(f"sqlite:///{file}")
    session.write(93)
    file.unlink()
    with pytest.raises(ConsDbError, match="no such table"):
        session.write(94)
    with pytest.raises(ConsDbUnavailableError, match=f"has lost exposure {EXPOSURE}"):
        session.write(94)
    assert session.write(94) == ALL_WRITTEN


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("mysql://me:secret@x/y", "SQLite or PostgreSQL, not in 'mysql'"),
        ("consdb.sqlite3", "expected sqlite:///FILE"),
        ("postgresql:/me:secret@host/y", "expected sqlite:///FILE"),
        ("postgresql://me:secret@host:port/y", r"\[:PORT\]/DATABASE, got postgresql://\.\.\."),
        ("postgresql+nothing://me:secret@host/y", r"got postgresql\+nothing://\.\.\."),
        ("sqlite://me:secret@host/y", r"got sqlite://\.\.\."),
    ],
)
def test_other_addresses_are_refused(url: str, message: str) -> None:
    """The message says what is expected, and tells no password; nor does the
    traceback.
    """
    with pytest.raises(ValueError, match=message) as error:
        ConsDbDatabase(url, "LSSTCam")
    assert "secret" not in str(error.value)
    assert error.value.__suppress_context__ or "secret" not in str(error.value.__context__)


def test_password_is_in_no_message() -> None:
    """Addresses are shown without it."""
    url = "postgresql://me:secret@127.0.0.1:1/{instrument}?application_name=secret"
    database = ConsDbDatabase(url, "LSSTCam")
    assert database.name == "postgresql+psycopg2://me:***@127.0.0.1:1/lsstcam"
    with pytest.raises(ConsDbUnavailableError) as error:
        ConsDbWriter(database).prepare()
    assert "secret" not in str(error.value)


def test_exposure_without_detectors_is_an_error(session: Session) -> None:
    """There is nothing to make a row of."""
    with pytest.raises(ValueError, match="has no detectors"):
        session.gather()
