# This file is part of ra_pipe.
#
# Use of this source code is governed by a 3-clause BSD-style
# license that can be found in the LICENSE file.

"""The live service writes to ConsDB, and waits for it when it is away."""

from __future__ import annotations

import pathlib
from collections.abc import Callable, Iterator

import pytest
import sqlalchemy
from lsst.daf.butler import Butler
from lsst.ra.pipe.execution.service import ServiceSettings
from number_repository import INSTRUMENT, put_numbers
from postgresql_server import PostgresqlServer, find_programs
from service_parts import Service, wait_until


@pytest.fixture(scope="module")
def database() -> Iterator[PostgresqlServer]:
    """A server without any tables."""
    try:
        find_programs()
    except FileNotFoundError as err:
        pytest.skip(str(err))
    with PostgresqlServer() as server:
        yield server


def test_outage_of_consdb_costs_no_attempt_and_no_result(
    make_settings: Callable[..., ServiceSettings],
    butler: Butler,
    exposures: Iterator[int],
    database: PostgresqlServer,
    tmp_path: pathlib.Path,
) -> None:
    """Jobs wait until it is over; what is in the Butler is not made again."""
    service = Service(
        make_settings(
            observers=("lsst.ra.pipe.sinks.consdb:observe",),
            consdb_url=database.url,
            memory_limit_bytes=4_000_000_000,
        ),
        butler,
    )
    exposure = next(exposures)
    numbers = {(exposure, detector): {"value": float(detector)} for detector in (93, 94)}
    put_numbers(butler, numbers, tmp_path / "numbers")
    job = service.queue.name("job", f"{INSTRUMENT}/{exposure}/94/all")
    with service.worker():
        service.send(exposure, 93)
        service.await_done(f"{exposure}/93/all")
        with database.outage():
            service.send(exposure, 94)
            # Taken, and handed back, with its outputs in the Butler.
            wait_until(lambda: service.queue.client.hexists(job, "taken"))
            wait_until(lambda: service.queue.client.hmget(job, "state", "attempts") == [b"waiting", b"0"])
            assert (exposure, 94) in service.outputs("acted")
        report = service.await_done(f"{exposure}/94/all")
    assert report["attempt"] == 1
    assert [one["status"] for one in report["quanta"]] == ["existed"]
    assert list(service.queue.dead_letters()) == []
    engine = sqlalchemy.create_engine(database.url)
    with engine.connect() as connection:
        query = "SELECT exposure_id, detector FROM cdb_lsstcam.ccdexposure ORDER BY detector"
        assert [tuple(row) for row in connection.execute(sqlalchemy.text(query))] == [
            (exposure, 93),
            (exposure, 94),
        ]
    engine.dispose()
