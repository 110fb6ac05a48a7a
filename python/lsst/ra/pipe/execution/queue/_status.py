# This file is part of ra_pipe.
#
# Use of this source code is governed by a 3-clause BSD-style
# license that can be found in the LICENSE file.

from __future__ import annotations

__all__ = (
    "ExposureStatus",
    "QueueStatus",
    "ShardStatus",
    "StageLatency",
    "WorkerStatus",
    "read_partial_summary",
    "read_reports",
    "read_status",
)

import dataclasses
import itertools
import json
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from ._queue import JobQueue

_STAGES = ("shutter", "arrived", "ingested", "queued", "started", "done", "published")
"""Moments in the life of a job, in order; not every job has all of them."""


@dataclasses.dataclass(frozen=True)
class ShardStatus:
    """One shard of the queue."""

    name: str
    """Name of the shard."""

    waiting: int
    """Number of jobs that no worker has."""

    leased: int
    """Number of jobs that a worker has."""

    oldest_seconds: float
    """Time (s) for which the oldest waiting job has been due; 0 if none is."""


@dataclasses.dataclass(frozen=True)
class WorkerStatus:
    """One worker."""

    name: str
    """Name of the worker."""

    seen_seconds: float
    """Time (s) since its last sign of life."""

    facts: dict[str, str]
    """What it said of itself: state, job, and counts."""

    held: int
    """Number of jobs that it has."""


@dataclasses.dataclass(frozen=True)
class ExposureStatus:
    """Gathering of one exposure."""

    id: str
    """Exposure and rule, as in `GatherPlan.id`."""

    expected: int
    """Number of detectors that make it complete."""

    queued: int
    """Number of detectors to come."""

    done: int
    """Number of detectors that are processed."""

    failed: int
    """Number of detectors that failed for good."""

    gathers: int
    """Number of gatherings that were started."""

    age_seconds: float
    """Time (s) since the first event."""

    partial: dict[str, float]
    """Median over the detectors so far, by metric."""


@dataclasses.dataclass(frozen=True)
class StageLatency:
    """Time between two stages, over recent jobs."""

    begin: str
    """First stage."""

    end: str
    """Second stage."""

    n: int
    """Number of jobs."""

    p50: float
    """Median (s)."""

    p90: float
    """90th percentile (s)."""

    p99: float
    """99th percentile (s)."""


@dataclasses.dataclass(frozen=True)
class QueueStatus:
    """What there is in the queue, at one moment."""

    shards: tuple[ShardStatus, ...]
    """Shards that hold any job."""

    workers: tuple[WorkerStatus, ...]
    """Workers that have been seen lately."""

    exposures: tuple[ExposureStatus, ...]
    """Recent exposures, the newest first."""

    latencies: tuple[StageLatency, ...]
    """Latency of recent jobs by stage."""

    attempts: dict[int, int]
    """Number of recent jobs by the attempt that succeeded."""

    dead: int
    """Number of jobs that failed for good."""

    rejected: int
    """Number of events that were refused."""


def read_reports(queue: JobQueue, *, n: int = 1000) -> list[dict[str, Any]]:
    """Read the reports of the jobs that were finished last.

    Parameters
    ----------
    queue
        The queue.
    n
        Number of reports.

    Returns
    -------
    reports
        What the workers told, the newest first; ``times`` has the stages'
        Unix times (s), ``published`` among them.
    """
    reports = []
    for entry, fields in queue.client.xrevrange(queue.name("reports"), count=n):
        report = json.loads(fields[b"report"])
        report["times"]["published"] = int(entry.partition(b"-")[0]) / 1e3
        reports.append(report)
    return reports


def read_status(queue: JobQueue, *, n_reports: int = 1000, n_exposures: int = 20) -> QueueStatus:
    """Look at the whole queue.

    Parameters
    ----------
    queue
        The queue.
    n_reports
        Number of finished jobs to take the latencies from.
    n_exposures
        Number of exposures to show.

    Returns
    -------
    status
        What there is at this moment.
    """
    seconds, microseconds = queue.client.time()
    now = seconds + microseconds / 1e6
    reports = read_reports(queue, n=n_reports)
    attempts: dict[int, int] = {}
    for report in reports:
        attempts[report["attempt"]] = attempts.get(report["attempt"], 0) + 1
    return QueueStatus(
        shards=_read_shards(queue, now),
        workers=_read_workers(queue, now),
        exposures=_read_exposures(queue, now, n_exposures),
        latencies=_latencies(report["times"] for report in reports if report["kind"] == "detector"),
        attempts=dict(sorted(attempts.items())),
        dead=queue.client.xlen(queue.name("dead")),
        rejected=queue.client.xlen(queue.name("rejected")),
    )


def _read_shards(queue: JobQueue, now: float) -> tuple[ShardStatus, ...]:
    names = sorted(
        queue.shards(),
        key=lambda name: (name.isdigit(), int(name) if name.isdigit() else 0, name),
    )
    pipe = queue.client.pipeline(transaction=False)
    for name in names:
        pipe.zcard(queue.name("waiting", name))
        pipe.xlen(queue.name("stream", name))
        pipe.zrange(queue.name("waiting", name), 0, 0, withscores=True)
    answers = pipe.execute()
    shards = []
    for i, name in enumerate(names):
        waiting, length, oldest = answers[3 * i : 3 * i + 3]
        if length:
            age = max(now - oldest[0][1] / 1e3, 0.0) if oldest else 0.0
            shards.append(ShardStatus(name, waiting, length - waiting, age))
    return tuple(shards)


def _read_workers(queue: JobQueue, now: float) -> tuple[WorkerStatus, ...]:
    workers = []
    for name, seen in queue.client.zrange(queue.name("workers"), 0, -1, withscores=True):
        facts = queue.client.hgetall(queue.name("worker", name.decode()))
        workers.append(
            WorkerStatus(
                name=name.decode(),
                seen_seconds=max(now - seen / 1e3, 0.0),
                facts={key.decode(): value.decode() for key, value in facts.items()},
                held=queue.client.scard(queue.name("held", name.decode())),
            )
        )
    return tuple(sorted(workers, key=lambda worker: worker.name))


def _read_exposures(queue: JobQueue, now: float, n: int) -> tuple[ExposureStatus, ...]:
    exposures = []
    for name, begin in queue.client.zrevrange(queue.name("exposures"), 0, n - 1, withscores=True):
        base = queue.name("exposure", name.decode())
        expected, gathers = queue.client.hmget(base, "expected", "gathers")
        if expected is None:
            continue
        exposures.append(
            ExposureStatus(
                id=name.decode(),
                expected=len(json.loads(expected)),
                queued=queue.client.scard(f"{base}:queued"),
                done=queue.client.scard(f"{base}:done"),
                failed=queue.client.scard(f"{base}:failed"),
                gathers=int(gathers),
                age_seconds=max(now - begin / 1e3, 0.0),
                partial=read_partial_summary(queue, name.decode()),
            )
        )
    return tuple(exposures)


def read_partial_summary(queue: JobQueue, exposure: str) -> dict[str, float]:
    """Summarise the detectors of an exposure that have been processed so far.

    Parameters
    ----------
    queue
        The queue.
    exposure
        Exposure and rule, as in `GatherPlan.id`.

    Returns
    -------
    partial
        Median over the detectors by metric, in the metric's own unit.  It
        changes while detectors arrive; the exposure's summary in the Butler
        is what counts in the end.
    """
    published = queue.client.hvals(f"{queue.name('exposure', exposure)}:published")
    columns: dict[str, list[float]] = {}
    for text in published:
        for name, value in _numbers(json.loads(text)).items():
            columns.setdefault(name, []).append(value)
    return {name: float(np.nanmedian(values)) for name, values in columns.items()}


def _numbers(published: Mapping[str, Any]) -> dict[str, float]:
    """Return the finite numbers among what a detector published."""
    return {
        name: float(value)
        for content in published.values()
        if isinstance(content, Mapping)
        for name, value in content.items()
        if isinstance(value, int | float) and not isinstance(value, bool) and np.isfinite(value)
    }


def _latencies(times: Iterable[Mapping[str, float]]) -> tuple[StageLatency, ...]:
    """Compute percentiles between each stage and the next that a job has."""
    spans: dict[tuple[str, str], list[float]] = {}
    for one in times:
        present = [stage for stage in _STAGES if stage in one]
        pairs = list(itertools.pairwise(present))
        if len(present) > 2:
            pairs.append((present[0], present[-1]))
        for begin, end in pairs:
            spans.setdefault((begin, end), []).append(one[end] - one[begin])
    order = sorted(spans, key=lambda pair: (_STAGES.index(pair[0]), _STAGES.index(pair[1])))
    return tuple(
        StageLatency(
            begin, end, len(spans[begin, end]), *map(float, np.percentile(spans[begin, end], (50, 90, 99)))
        )
        for begin, end in order
    )
