# This file is part of ra_pipe.
#
# Use of this source code is governed by a 3-clause BSD-style
# license that can be found in the LICENSE file.

"""The live service writes to ConsDB, and goes on when it is away."""

from __future__ import annotations

import pathlib
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import sqlalchemy
from lsst.daf.butler import Butler
from lsst.ra.pipe.execution import ImageReport
from lsst.ra.pipe.execution.queue import JobQueue, QueueSettings, connect
from lsst.ra.pipe.execution.service import ServiceSettings
from lsst.ra.pipe.sinks.consdb import (
    ConsDbDatabase,
    ConsDbObserver,
    ConsDbUnavailableError,
    ConsDbWriter,
    LiveConsDbObserver,
    UnwrittenImages,
    WriteReport,
)
from number_repository import INSTRUMENT, put_numbers
from postgresql_server import PostgresqlServer, start_or_skip
from service_parts import Service
from valkey_server import QueueServer


@pytest.fixture(scope="module")
def database() -> Iterator[PostgresqlServer]:
    """A server without any tables."""
    with start_or_skip() as server:
        yield server


@pytest.fixture(scope="module")
def service(
    make_settings: Callable[..., ServiceSettings], butler: Butler, database: PostgresqlServer
) -> Service:
    """A service that writes there, and leaves it alone no longer than need be."""
    settings = make_settings(
        observers=("lsst.ra.pipe.sinks.consdb:observe",),
        consdb_url=database.url,
        consdb_pause_seconds=0.0,
        memory_limit_bytes=4_000_000_000,
    )
    return Service(settings, butler)


def query(database: PostgresqlServer, text: str) -> list[tuple[Any, ...]]:
    """Ask the database, or change it."""
    engine = sqlalchemy.create_engine(database.url)
    with engine.begin() as connection:
        result = connection.execute(sqlalchemy.text(text))
        rows = [tuple(row) for row in result] if result.returns_rows else []
    engine.dispose()
    return rows


def detectors_of(database: PostgresqlServer, exposure: int) -> list[int]:
    """Return the detectors of an exposure that the database has."""
    rows = query(database, f"SELECT detector FROM cdb_lsstcam.ccdexposure WHERE exposure_id = {exposure}")
    return sorted(detector for (detector,) in rows)


def test_outage_of_consdb_stops_nothing_and_loses_nothing(
    service: Service,
    butler: Butler,
    exposures: Iterator[int],
    database: PostgresqlServer,
    tmp_path: pathlib.Path,
) -> None:
    """Images are done; the rows of those come with later ones."""
    exposure = next(exposures)
    put_numbers(butler, {(exposure, one): {"value": float(one)} for one in (93, 94, 95)}, tmp_path)
    unwritten = UnwrittenImages(service.queue)
    with service.worker():
        service.send(exposure, 93)
        service.await_done(f"{exposure}/93/all")
        with database.outage():
            service.send(exposure, 94)
            report = service.await_done(f"{exposure}/94/all")
            assert [image[:3] for image in unwritten.first(9)] == [(INSTRUMENT, exposure, 94)]
        assert report["attempt"] == 1
        assert [one["status"] for one in report["quanta"]] == ["succeeded"]
        assert report["unheard"][0].startswith("ConsDbUnavailableError: ")
        assert detectors_of(database, exposure) == [93]
        service.send(exposure, 95)
        service.await_done(f"gather/{INSTRUMENT}/{exposure}/all/0")
    assert detectors_of(database, exposure) == [93, 94, 95]
    assert len(unwritten) == 0
    assert list(service.queue.dead_letters()) == []


def test_what_consdb_refuses_is_done_and_written_when_it_is_mended(
    service: Service,
    butler: Butler,
    exposures: Iterator[int],
    database: PostgresqlServer,
    tmp_path: pathlib.Path,
) -> None:
    """A worker starts and works with a table that lacks a column."""
    exposure, later = next(exposures), next(exposures)
    numbers = {(number, one): {"value": 1.0} for number in (exposure, later) for one in (93, 94, 95)}
    put_numbers(butler, numbers, tmp_path)
    unwritten = UnwrittenImages(service.queue)
    ConsDbWriter(ConsDbDatabase(database.url, INSTRUMENT)).prepare()
    table = "cdb_lsstcam.ccdvisit1_quicklook"
    query(database, f"ALTER TABLE {table} RENAME COLUMN coma_1 TO coma_old")
    with service.worker():
        service.send(exposure, 93, 94, 95)
        service.await_done(f"gather/{INSTRUMENT}/{exposure}/all/0")
        reports = service.reports(f"{exposure}/93/all")
        assert [(one["attempt"], "coma_1" in one["unheard"][0]) for one in reports] == [(1, True)]
        assert len(unwritten) == 3
        query(database, f"ALTER TABLE {table} RENAME COLUMN coma_old TO coma_1")
        service.send(later, 93, 94, 95)
        service.await_done(f"gather/{INSTRUMENT}/{later}/all/0")
    assert detectors_of(database, exposure) == detectors_of(database, later) == [93, 94, 95]
    assert len(unwritten) == 0
    assert list(service.queue.dead_letters()) == []


def test_database_that_is_away_is_left_alone(server: QueueServer, tmp_path: pathlib.Path) -> None:
    """Not every image waits for it in vain; all are remembered, once."""
    asked: list[int | None] = []

    class Silent(ConsDbObserver):
        def __call__(self, report: ImageReport) -> WriteReport | None:
            asked.append(report.detector)
            raise ConsDbUnavailableError("nobody there")

    queue = JobQueue(connect(server.url), QueueSettings(prefix="left-alone"))
    unwritten = UnwrittenImages(queue)
    observer = LiveConsDbObserver(
        Silent(url="sqlite://", repository=str(tmp_path)), unwritten, pause_seconds=1e6
    )
    for detector in (1, 2, 3, 3, None):
        with pytest.raises(ConsDbUnavailableError, match="nobody there"):
            observer(ImageReport(INSTRUMENT, 7, detector, (), run="some/run"))
    assert asked == [1]
    assert [image[2] for image in unwritten.first(9)] == [1, 2, 3, None]
    unwritten.remove((INSTRUMENT, 7, 2, "some/run"))
    assert len(unwritten) == 3
