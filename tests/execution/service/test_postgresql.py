# This file is part of ra_pipe.
#
# Use of this source code is governed by a 3-clause BSD-style
# license that can be found in the LICENSE file.

"""The service on a repository in PostgreSQL, as an observatory has it."""

from __future__ import annotations

import concurrent.futures
import pathlib
import threading
from collections.abc import Callable, Iterator

import pytest
from lsst.daf.butler import Butler
from lsst.pipe.base import Pipeline
from lsst.ra.pipe.execution import ImageReport, QuantumRunner, prepare_output_run
from lsst.ra.pipe.execution.queue import WorkerShards
from lsst.ra.pipe.execution.service import ServiceSettings
from number_repository import INSTRUMENT, exposure_id, make_repository, put_numbers
from postgresql_server import PostgresqlServer, start_or_skip
from service_parts import Service, wait_until

DETECTORS = (93, 94, 95)


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """Directory of the repository."""
    return tmp_path_factory.mktemp("postgresql") / "repo"


@pytest.fixture(scope="module")
def database() -> Iterator[PostgresqlServer]:
    """A server without any repository."""
    with start_or_skip() as server:
        yield server


@pytest.fixture(scope="module")
def stored(root: pathlib.Path, database: PostgresqlServer) -> Iterator[Butler]:
    """Repository with numbers of three exposures."""
    exposures = [exposure_id(1), exposure_id(2), exposure_id(3)]
    config = database.make_seed_config("one", root)
    with make_repository(root, exposures=exposures, seed_config=config) as butler:
        numbers = {(exposure, one): {"value": float(one)} for exposure in exposures for one in DETECTORS}
        put_numbers(butler, numbers, root.parent / "numbers")
        yield butler


@pytest.fixture
def service(make_settings: Callable[..., ServiceSettings], stored: Butler, root: pathlib.Path) -> Service:
    """A service on that repository."""
    return Service(make_settings().model_copy(update={"repository": str(root)}), stored)


def test_workers_process_and_gather(service: Service) -> None:
    """Two of them, the detectors of one exposure."""
    exposure = exposure_id(1)
    shards = [WorkerShards.for_images(i, 2, service.settings.queue.n_shards) for i in range(2)]
    with service.worker(shards[0]), service.worker(shards[1]):
        service.send(exposure, *DETECTORS, *DETECTORS)
        report = service.await_done(f"gather/{INSTRUMENT}/{exposure}/all/0")
    assert report["detectors"] == list(DETECTORS)
    assert service.outputs("acted") == [(exposure, one) for one in DETECTORS]
    assert service.reports("/all") != []
    assert list(service.queue.dead_letters()) == []


def test_outage_of_the_repository_costs_no_attempt(service: Service, database: PostgresqlServer) -> None:
    """Jobs wait until it is over, and are done then."""
    exposure = exposure_id(3)
    job = service.queue.name("job", f"{INSTRUMENT}/{exposure}/94/all")
    with service.worker():
        service.send(exposure, 93)
        service.await_done(f"{exposure}/93/all")
        with database.outage():
            service.send(exposure, 94)
            # Taken, and handed back.
            wait_until(lambda: service.queue.client.hmget(job, "state", "attempts") == [b"waiting", b"0"])
            wait_until(lambda: service.queue.client.hexists(job, "taken"))
        report = service.await_done(f"{exposure}/94/all")
    assert report["attempt"] == 1
    assert list(service.queue.dead_letters()) == []


def test_two_writers_of_one_image_agree(service: Service, directory: pathlib.Path) -> None:
    """Both succeed, and the outputs are there once."""
    exposure = exposure_id(2)
    root = service.settings.repository
    inputs = ["LSSTCam/defaults"]
    start = threading.Barrier(2)

    def write(detector: int) -> ImageReport:
        with Butler.from_config(root, writeable=True) as writer:
            graph = Pipeline.from_uri(str(directory / "Directed.yaml")).to_graph(registry=writer.registry)
            run = prepare_output_run(writer, graph, parent="race", chain="race", inputs=inputs)
        runner = QuantumRunner(root, graph, inputs=inputs)
        try:
            start.wait(60.0)
            return runner.run_detector(
                instrument=INSTRUMENT, exposure=exposure, detector=detector, output_run=run
            )
        finally:
            runner.close()

    with concurrent.futures.ThreadPoolExecutor(2) as executor:
        for detector in DETECTORS:
            reports = list(executor.map(write, [detector, detector]))
            assert not any(report.failed for report in reports), [one.first_failure for one in reports]
    assert service.outputs("acted", "race") == [(exposure, one) for one in DETECTORS]
