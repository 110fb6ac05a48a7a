# This file is part of ra_pipe.
#
# Use of this source code is governed by a 3-clause BSD-style
# license that can be found in the LICENSE file.

"""The live service as ``rapid up`` runs it, with files that appear at a pace."""

from __future__ import annotations

__all__ = ("LatencyResult", "measure_latency", "measure_ready", "redirected_stderr")

import contextlib
import dataclasses
import os
import pathlib
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from _service_images import DETECTORS, INSTRUMENT, RawFile
from lsst.ra.pipe.cli._up import LiveService
from lsst.ra.pipe.execution.queue import JobQueue, StageLatency, connect, read_reports, read_status
from lsst.ra.pipe.execution.service import ProcessGroup, ServiceSettings, start_embedded_server

_PATIENCE = 120.0
"""Time (s) after which the service is taken for stuck."""


@dataclasses.dataclass(frozen=True)
class LatencyResult:
    """What the service did with files that appeared at a pace."""

    capacity: float
    """Detectors per second, when there were always some to do."""

    interval: float
    """Time (s) between two files."""

    latencies: list[float]
    """Time (s) from the file's close to its metrics in Redis, by detector."""

    task_sums: list[float]
    """Time (s) in the tasks of a detector."""

    gather_seconds: float
    """Time (s) of a worker for one exposure's gathering, median."""

    stages: tuple[StageLatency, ...]
    """Latency by stage."""

    own_fraction: float
    """Fraction of the detectors done by the worker that owns their shard."""

    overhead_per_quantum: list[float]
    """Time (s) outside the tasks for each of them, by detector."""


@contextlib.contextmanager
def redirected_stderr(path: pathlib.Path) -> Iterator[None]:
    """Send what this process and its children log to a file; show the end of
    it if anything goes wrong.
    """
    sys.stderr.flush()
    saved = os.dup(2)
    with path.open("ab") as log:
        os.dup2(log.fileno(), 2)
    try:
        yield
    except BaseException:
        os.write(saved, path.read_bytes()[-4000:])
        raise
    finally:
        sys.stderr.flush()
        os.dup2(saved, 2)
        os.close(saved)


def measure_ready(
    repository: pathlib.Path, rules: pathlib.Path, state: pathlib.Path, *, n: int
) -> list[float]:
    """Start a worker several times; return the seconds until it is ready."""
    servers = ProcessGroup()
    try:
        url = start_embedded_server(servers, state)
        return [_start_worker(repository, rules, url) for _ in range(n)]
    finally:
        servers.end()


def _start_worker(repository: pathlib.Path, rules: pathlib.Path, url: str) -> float:
    queue = JobQueue(connect(url))
    command = [sys.executable, "-m", "lsst.ra.pipe.cli", "work", str(repository)]
    command += ["--redis", url, "--dispatch", f"{INSTRUMENT}={rules}"]
    begin = time.perf_counter()
    with subprocess.Popen(command) as process:
        try:
            _wait(lambda: _n_ready(queue) == 1, "a worker is ready", process=process)
            return time.perf_counter() - begin
        finally:
            process.terminate()
            process.wait()


def measure_latency(
    settings: ServiceSettings,
    files: Sequence[RawFile],
    *,
    directory: pathlib.Path,
    n_workers: int,
    load: float,
) -> LatencyResult:
    """Run the service on files that appear in a directory.

    The first exposure warms the workers, with the next two, all at once, their
    capacity is measured, and the others come one by one at ``load`` times it.
    """
    inbox = directory / "inbox"
    inbox.mkdir()
    n = len(DETECTORS)
    warming, burst, paced = files[:n], files[n : 3 * n], files[3 * n :]
    service = LiveService(settings, sources=[inbox.as_uri()], n_workers=n_workers, state=directory / "state")
    try:
        queue = service.start()
        _wait(lambda: _n_ready(queue) > n_workers, "all workers are ready")
        _process(queue, warming, inbox, interval=0.0)
        at_once = _process(queue, burst, inbox, interval=0.0)
        capacity = _throughput(_reports(queue, at_once))
        interval = 1.0 / (load * capacity)
        closed = _process(queue, paced, inbox, interval=interval)
        return _summarize(queue, closed, capacity, interval)
    finally:
        service.end()


def _process(
    queue: JobQueue, files: Sequence[RawFile], inbox: pathlib.Path, *, interval: float
) -> dict[RawFile, float]:
    """Have files appear, and wait until all that follows is done.

    Returns the Unix time (s) at which each was closed.
    """
    closed = {}
    begin = time.monotonic()
    for i, raw in enumerate(files):
        time.sleep(max(0.0, begin + i * interval - time.monotonic()))
        closed[raw] = _drop(raw, inbox)
    n_exposures = len({raw.exposure for raw in files})

    def is_done() -> bool:
        if queue.client.xlen(queue.name("dead")):
            reasons = [letter.reason for letter in queue.dead_letters()]
            raise SystemExit(f"The service failed: {reasons}")
        exposures = {raw.exposure for raw in files}
        reports = read_reports(queue)
        gathered = {one["exposure"] for one in reports if one["kind"] == "exposure"}
        return len(_reports(queue, closed)) == len(files) and len(exposures & gathered) == n_exposures

    _wait(is_done, f"{len(files)} files are processed", pause=0.25)
    return closed


def _drop(raw: RawFile, inbox: pathlib.Path) -> float:
    """Write a file under a hidden name, then show it; return when."""
    hidden = inbox / f".{raw.path.name}"
    shutil.copyfile(raw.path, hidden)
    closed = time.time()
    hidden.rename(inbox / raw.path.name)
    return closed


def _reports(queue: JobQueue, files: dict[RawFile, float]) -> dict[RawFile, dict[str, Any]]:
    """Read the reports on the detectors of some files."""
    by_image = {(raw.exposure, raw.detector): raw for raw in files}
    return {
        by_image[image]: report
        for report in read_reports(queue)
        if report["kind"] == "detector" and (image := (report["exposure"], report["detector"])) in by_image
    }


def _throughput(reports: dict[RawFile, dict[str, Any]]) -> float:
    """Return detectors per second, of a burst."""
    times = [report["times"] for report in reports.values()]
    begin: float = min(one["started"] for one in times)
    end: float = max(one["done"] for one in times)
    return len(times) / (end - begin)


def _summarize(
    queue: JobQueue, closed: dict[RawFile, float], capacity: float, interval: float
) -> LatencyResult:
    reports = _reports(queue, closed)
    gathers = [
        one["times"]["done"] - one["times"]["started"]
        for one in read_reports(queue)
        if one["kind"] == "exposure"
    ]
    status = read_status(queue, n_reports=_n_reports_since(queue, min(closed.values())))
    return LatencyResult(
        capacity=capacity,
        interval=interval,
        latencies=[report["times"]["published"] - closed[raw] for raw, report in reports.items()],
        task_sums=[sum(one["seconds"] for one in report["quanta"]) for report in reports.values()],
        gather_seconds=statistics.median(gathers),
        stages=tuple(stage for stage in status.latencies if "shutter" not in (stage.begin, stage.end)),
        own_fraction=statistics.mean(bool(report["is_own"]) for report in reports.values()),
        overhead_per_quantum=[
            report["overhead_seconds"] / len(report["quanta"]) for report in reports.values()
        ],
    )


def _n_reports_since(queue: JobQueue, begin: float) -> int:
    return sum(report["times"]["queued"] >= begin for report in read_reports(queue))


def _n_ready(queue: JobQueue) -> int:
    """Return the number of workers that are ready."""
    workers = read_status(queue, n_reports=1).workers
    return sum(worker.facts.get("state") in ("idle", "working") for worker in workers)


def _wait(
    is_true: Callable[[], bool],
    what: str,
    *,
    pause: float = 0.01,
    process: subprocess.Popen[bytes] | None = None,
) -> None:
    """Wait until something is so, within bounds."""
    end = time.monotonic() + _PATIENCE
    while not is_true():
        if process is not None and process.poll() is not None:
            raise SystemExit(f"Waiting until {what}: the process ended with {process.returncode}.")
        if time.monotonic() > end:
            raise SystemExit(f"Waited {_PATIENCE:g} s in vain until {what}.")
        time.sleep(pause)
