# This file is part of ra_pipe.
#
# Use of this source code is governed by a 3-clause BSD-style
# license that can be found in the LICENSE file.

"""A night's cadence of the whole focal plane, accelerated.

The queue and the distributor are the real ones.  In place of the tasks the
workers sleep, in threads of this process.
"""

from __future__ import annotations

__all__ = ("CADENCE", "ReplayResult", "StandIn", "find_keeping_up", "replay")

import dataclasses
import math
import pathlib
import statistics
import threading
import time
from collections.abc import Iterator, Sequence
from typing import Any

from _service_distributor import SCIENCE_DETECTORS, make_distributor, make_events
from lsst.ra.pipe.execution.queue import JobKind, JobQueue, Lease, QueueSettings, WorkerShards, connect
from lsst.ra.pipe.execution.service import ServiceSettings

CADENCE = 30.0
"""Time (s) between two exposures."""

_MORE = 5
"""Numbers of workers that are tried, from the least that may do."""


@dataclasses.dataclass(frozen=True)
class StandIn:
    """What takes the place of the tasks."""

    detector: float
    """Time (s) that a worker is busy with a detector, the queue's part
    included: that is not accelerated."""

    gather: float
    """Time (s) that a worker is busy with gathering an exposure."""

    acceleration: float
    """By how much everything is faster than it would be."""


@dataclasses.dataclass(frozen=True)
class ReplayResult:
    """What so many workers made of it; all times as if not accelerated."""

    n_workers: int
    """Number of workers."""

    depths: list[int]
    """Jobs that wait or are at work when each further exposure comes."""

    deepest: int
    """Jobs that waited at most."""

    own_fraction: float
    """Fraction of the detectors done by the worker that owns their shard."""

    seconds: list[float]
    """Time (s) from each exposure's events to the end of its last detector."""

    busy: float
    """Time (s) that a worker spent on a detector, mean.  If it is longer than
    the stand-in, this machine is too slow for the acceleration."""

    @property
    def keeps_up(self) -> bool:
        """Whether each exposure was done before the next one came."""
        return max(self.seconds) < CADENCE


def find_keeping_up(
    repository: pathlib.Path, url: str, exposures: Sequence[int], *, stand_in: StandIn
) -> Iterator[ReplayResult]:
    """Replay with more and more workers, until they keep up.

    Yields
    ------
    result
        For each number of workers; first for 9 tenths of what would do if the
        work could be divided at will.
    """
    load = (len(SCIENCE_DETECTORS) * stand_in.detector + stand_in.gather) / CADENCE
    least, step = math.ceil(load), max(1, round(0.05 * load))
    for n_workers in (max(1, math.floor(0.9 * load)), *range(least, least + _MORE * step, step)):
        result = replay(repository, url, exposures, n_workers=n_workers, stand_in=stand_in)
        yield result
        if result.keeps_up:
            return


def replay(
    repository: pathlib.Path, url: str, exposures: Sequence[int], *, n_workers: int, stand_in: StandIn
) -> ReplayResult:
    """Have exposures come at the cadence, and workers do them.

    Parameters
    ----------
    repository
        Root of the repository, which knows the exposures.
    url
        Server of the queue.
    exposures
        Butler ``exposure`` values.
    n_workers
        Number of workers.
    stand_in
        How long they take.
    """
    prefix = f"replay{n_workers}"
    queue_settings = QueueSettings(prefix=prefix)
    distributor = make_distributor(ServiceSettings(repository=str(repository), redis_url=url), prefix)
    workers = [
        _StandInWorker(
            JobQueue(connect(url), queue_settings),
            WorkerShards.for_images(i, n_workers, queue_settings.n_shards),
            stand_in=stand_in,
            name=f"{prefix}-{i}",
        )
        for i in range(n_workers)
    ]
    queue = JobQueue(connect(url), queue_settings)
    depths: list[int] = []
    sampler = _DepthSampler(queue)
    for worker in workers:
        worker.start()
    sampler.start()
    came = {}
    begin = time.monotonic()
    for i, exposure in enumerate(exposures):
        events = make_events([exposure])
        time.sleep(max(0.0, begin + i * CADENCE / stand_in.acceleration - time.monotonic()))
        if i:
            depths.append(_depth(queue))
        came[exposure] = time.monotonic()
        distributor.handle(events)
    while _depth(queue):
        time.sleep(0.05)
    for thread in (*workers, sampler):
        thread.stop()
    done = [one for worker in workers for one in worker.done]
    return ReplayResult(
        n_workers=n_workers,
        depths=depths,
        deepest=max(sampler.depths),
        own_fraction=statistics.mean(one.is_own for one in done),
        seconds=[
            stand_in.acceleration
            * (max(one.end for one in done if one.exposure == exposure) - came[exposure])
            for exposure in exposures
        ],
        busy=stand_in.acceleration * statistics.mean(one.busy for one in done),
    )


@dataclasses.dataclass(frozen=True)
class _Done:
    """A detector that was done."""

    exposure: int
    end: float
    busy: float
    is_own: bool


class _Stoppable(threading.Thread):
    """A thread that can be asked to end."""

    def __init__(self) -> None:
        super().__init__()
        self.stopping = threading.Event()

    def stop(self) -> None:
        self.stopping.set()
        self.join()


class _StandInWorker(_Stoppable):
    """Takes jobs as a worker does, and sleeps."""

    def __init__(self, queue: JobQueue, shards: WorkerShards, *, stand_in: StandIn, name: str) -> None:
        super().__init__()
        self.done: list[_Done] = []
        self._queue = queue
        self._shards = shards
        self._stand_in = stand_in
        self._worker = name
        self._settling = 0.0

    def run(self) -> None:
        while not self.stopping.is_set():
            begin = time.monotonic()
            taken = self._queue.take(self._worker, self._shards)
            if isinstance(taken, list):
                for lease in taken:
                    self._work(lease, begin)
            else:
                self._queue.wait(self._worker, min(taken, 0.2))
        self._queue.leave(self._worker)

    def _work(self, lease: Lease, begin: float) -> None:
        job = lease.job
        is_detector = job.kind is JobKind.DETECTOR
        seconds = self._stand_in.detector if is_detector else self._stand_in.gather
        finish_at = begin + seconds / self._stand_in.acceleration - self._settling
        time.sleep(max(0.0, finish_at - time.monotonic()))
        settling = time.monotonic()
        report: dict[str, Any] = {"kind": job.kind, "times": job.times}
        self._queue.finish(self._worker, lease, report=report)
        end = time.monotonic()
        self._settling = end - settling
        if is_detector:
            assert job.exposure is not None, "Set by the planner."
            self.done.append(_Done(job.exposure, end, end - begin, lease.is_own))


class _DepthSampler(_Stoppable):
    """Looks from time to time how many jobs wait."""

    def __init__(self, queue: JobQueue) -> None:
        super().__init__()
        self.depths = [0]
        self._queue = queue

    def run(self) -> None:
        while not self.stopping.wait(0.05):
            self.depths.append(_depth(self._queue))


def _depth(queue: JobQueue) -> int:
    """Count the jobs that are not done, those of gathering excepted."""
    shards = [name.decode() for name in queue.client.smembers(queue.name("shards"))]
    pipe = queue.client.pipeline(transaction=False)
    for shard in shards:
        if shard.isdigit():
            pipe.xlen(queue.name("stream", shard))
    return sum(pipe.execute())
