# This file is part of ra_pipe.
#
# Use of this source code is governed by a 3-clause BSD-style
# license that can be found in the LICENSE file.

"""Workers and jobs for tests of the live service."""

from __future__ import annotations

import contextlib
import datetime
import os
import pathlib
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from lsst.daf.butler import Butler
from lsst.ra.pipe.execution.dispatch import ExposureCatalog
from lsst.ra.pipe.execution.events import EventParser, ImageIngested
from lsst.ra.pipe.execution.queue import DeadLetter, JobQueue, WorkerShards, connect, read_reports
from lsst.ra.pipe.execution.service import Distributor, JobPlanner, ServiceSettings, Worker
from lsst.ra.pipe.execution.sources import Delivery
from number_repository import INSTRUMENT

TESTS = pathlib.Path(__file__).parent
TIMEOUT = 90.0
"""Time (s) after which something is taken for not happening."""


def make_event(exposure: int, detector: int) -> bytes:
    """Make the event that an image was ingested."""
    now = datetime.datetime.now(datetime.UTC)
    event = ImageIngested(instrument=INSTRUMENT, exposure=exposure, detector=detector, ingested=now)
    return event.model_dump_json().encode()


def open_queue(settings: ServiceSettings) -> JobQueue:
    """Connect to the queue."""
    return JobQueue(connect(settings.redis_url), settings.queue)


def make_planner(settings: ServiceSettings, butler: Butler) -> JobPlanner:
    """Make what turns events into jobs."""
    return JobPlanner(ExposureCatalog(butler), settings.load_dispatch(), settings.queue)


class Service:
    """The parts of a live service, seen from a test.

    Parameters
    ----------
    settings
        Settings of the service.
    butler
        Client of its repository.
    """

    def __init__(self, settings: ServiceSettings, butler: Butler) -> None:
        self.settings = settings
        self.butler = butler
        self.queue = open_queue(settings)
        self.planner = make_planner(settings, butler)
        parser = EventParser(instruments=settings.instruments)
        self._distributor = Distributor(self.queue, parser, self.planner)

    def send(self, exposure: int, *detectors: int) -> None:
        """Have images distributed."""
        self._distributor.handle([Delivery(make_event(exposure, one), "test") for one in detectors])

    def await_done(self, key: str) -> dict[str, Any]:
        """Wait for the report of a job whose key ends so."""
        return next(
            report
            for _ in self._changes(key)
            for report in read_reports(self.queue)
            if report["key"].endswith(key)
        )

    def await_dead(self, key: str) -> DeadLetter:
        """Wait for a job whose key ends so to fail for good."""
        return next(
            letter
            for _ in self._changes(key)
            for letter in self.queue.dead_letters()
            if letter.job.key.endswith(key)
        )

    def _changes(self, what: str) -> Iterator[None]:
        """Yield now, and whenever a job is done or has failed for good."""
        client = self.queue.client
        streams = {self.queue.name(name): "0" for name in ("reports", "dead")}
        end = time.monotonic() + TIMEOUT
        while time.monotonic() < end:
            for name, entries in client.xread(streams, block=500) or ():
                streams[name.decode()] = entries[-1][0]
            yield
        raise TimeoutError(f"{what} has not come to an end after {TIMEOUT} s.")

    def facts_of(self, worker: Worker) -> dict[str, str]:
        """Return what a worker has told of itself."""
        facts = self.queue.client.hgetall(self.queue.name("worker", worker.name))
        return {key.decode(): value.decode() for key, value in facts.items()}

    def reports(self, key: str) -> list[dict[str, Any]]:
        """Return the reports of the jobs whose keys end so."""
        return [report for report in read_reports(self.queue) if report["key"].endswith(key)]

    def outputs(self, dataset_type: str, collection: str = "LSSTCam/rapid") -> list[tuple[int, int]]:
        """Return exposure and detector of all outputs of a type, in any run,
        each of which must be readable.
        """
        with Butler.from_config(self.settings.repository) as butler:
            refs = butler.query_datasets(
                dataset_type, collections=collection, find_first=False, explain=False
            )
            for ref in refs:
                butler.get(ref)
            return sorted((int(ref.dataId["exposure"]), int(ref.dataId["detector"])) for ref in refs)

    @contextlib.contextmanager
    def worker(self, shards: WorkerShards | None = None, *, batch_size: int = 1) -> Iterator[Worker]:
        """Run a worker while the block lasts, its supervisor in a thread."""
        shards = shards or WorkerShards.for_images(0, 1, self.settings.queue.n_shards)
        worker = Worker(open_queue(self.settings), shards, self.settings, batch_size=batch_size)
        thread = threading.Thread(target=worker.run, name=worker.name)
        thread.start()
        try:
            if not worker.ready.wait(TIMEOUT):
                raise TimeoutError("The worker does not get ready.")
            yield worker
        finally:
            worker.stop()
            thread.join(TIMEOUT)
            assert not thread.is_alive(), "The worker does not stop."

    @contextlib.contextmanager
    def process(
        self, *, index: int = 0, n_workers: int = 1, environment: Mapping[str, str] | None = None
    ) -> Iterator[WorkerProcess]:
        """Run a worker while the block lasts, as the command does."""
        with WorkerProcess(self, index=index, n_workers=n_workers, environment=environment or {}) as process:
            yield process


class WorkerProcess(contextlib.AbstractContextManager["WorkerProcess"]):
    """``rapid work`` in a process of its own."""

    def __init__(
        self, service: Service, *, index: int, n_workers: int, environment: Mapping[str, str]
    ) -> None:
        settings = service.settings
        self._service = service
        self._process = subprocess.Popen(
            [
                *(sys.executable, "-m", "lsst.ra.pipe.cli", "work", settings.repository),
                *("--redis", settings.redis_url, "--index", str(index), "--workers", str(n_workers)),
                *("--dispatch", settings.dispatch[INSTRUMENT]),
            ],
            env={**os.environ, **environment_of(settings), **environment},
        )
        self.pid = self._process.pid

    def facts(self) -> dict[str, str]:
        """What it has told of itself so far."""
        client = self._service.queue.client
        for name in client.scan_iter(self._service.queue.name("worker", f"*-{self.pid}-*")):
            return {key.decode(): value.decode() for key, value in client.hgetall(name).items()}
        return {}

    def await_state(self, *states: str) -> dict[str, str]:
        """Wait until it says that it is in a state; return what it says."""
        wait_until(lambda: self.facts().get("state") in states, what=f"{states}: {self.facts()}")
        return self.facts()

    def await_ready(self) -> int:
        """Wait until it is ready; return the identifier of its child."""
        return int(self.await_state("idle", "working")["child"])

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to the supervisor."""
        self._process.send_signal(number)

    def wait(self) -> int:
        """Wait for its end; return the exit code."""
        return self._process.wait(TIMEOUT)

    def __exit__(self, *args: object) -> None:
        self._process.kill()
        self._process.wait()


def environment_of(settings: ServiceSettings) -> dict[str, str]:
    """Return the environment variables that give a command these settings,
    beyond its options.
    """
    path = f"{TESTS}{os.pathsep}{os.environ.get('PYTHONPATH', '')}"
    source = settings.source.model_dump_json(include={"kafka_options", "batch_size"})
    variables = {
        "PYTHONPATH": path,
        "RAPID_QUEUE": settings.queue.model_dump_json(),
        "RAPID_SOURCE": source,
    }
    for name in ("grace_seconds", "memory_limit_bytes", "start_seconds"):
        variables[f"RAPID_{name.upper()}"] = str(getattr(settings, name))
    return variables


def wait_until(is_so: Callable[[], bool], *, what: str = "") -> None:
    """Wait for what cannot tell by itself that it has happened."""
    end = time.monotonic() + TIMEOUT
    while not is_so():
        if time.monotonic() > end:
            raise TimeoutError(f"This did not happen in {TIMEOUT} s: {what}")
        time.sleep(0.02)


def await_end(pids: Iterable[int]) -> None:
    """Wait until processes, not our children, have ended."""
    wait_until(lambda: not any(is_alive(pid) for pid in pids), what=f"the end of {list(pids)}")


def is_alive(pid: int) -> bool:
    """Tell whether a process runs."""
    try:
        status = pathlib.Path(f"/proc/{pid}/stat").read_text()
    except FileNotFoundError:
        return False
    return status.rpartition(")")[2].split()[0] not in "ZX"
