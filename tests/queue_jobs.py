# This file is part of ra_pipe.
#
# Use of this source code is governed by a 3-clause BSD-style
# license that can be found in the LICENSE file.

"""Jobs for tests of the queue, and what looks into the queue's own keys."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from typing import Any

from lsst.ra.pipe.execution.queue import GatherPlan, Job, JobKind, JobQueue, Lease, WorkerShards

N_SHARDS = 4
ALL = WorkerShards.for_images(0, 1, N_SHARDS)
"""What the only worker of a service takes."""
MakeQueue = Callable[..., JobQueue]
"""Makes a queue from settings."""
PATIENCE = 30.0
"""Time (s) after which something is taken for never to happen."""


def make_job(key: str = "job", *, shard: str = "0", **changes: Any) -> Job:
    """Make a job that takes no part in a gathering."""
    return Job(**{"kind": JobKind.DETECTOR, "key": key, "shard": shard, **changes})


def make_detector(
    detector: int,
    *,
    exposure: int = 1,
    expected: Iterable[int] = (),
    deadline: float = 600.0,
    ttl: float = 600.0,
    gather_attempts: int = 1,
    **changes: Any,
) -> Job:
    """Make the job of a detector whose exposure is gathered."""
    identifier = f"LSSTCam/{exposure}/rule"
    gather = Job(
        kind=JobKind.EXPOSURE,
        key=f"gather/{identifier}",
        shard="exposures",
        max_attempts=gather_attempts,
        exposure=exposure,
        gather_of=identifier,
    )
    plan = GatherPlan(
        id=identifier,
        expected=tuple(expected),
        deadline_ms=round(1e3 * deadline),
        ttl_ms=round(1e3 * ttl),
        job=gather.model_dump_json(exclude_none=True),
    )
    return make_job(
        f"LSSTCam/{exposure}/{detector}/rule",
        shard=str(detector % N_SHARDS),
        detector=detector,
        exposure=exposure,
        gather=plan,
        **changes,
    )


def take_now(queue: JobQueue, worker: str = "w", shards: WorkerShards = ALL) -> Lease | None:
    """Take a job if there is one."""
    taken = queue.take(worker, shards)
    return taken[0] if isinstance(taken, list) else None


def take_soon(queue: JobQueue, worker: str = "w", shards: WorkerShards = ALL) -> Lease:
    """Wait for a job as a worker does."""
    return wait_for(queue, lambda: take_now(queue, worker, shards), worker)


def wait_for[T](queue: JobQueue, look: Callable[[], T | None], worker: str = "w") -> T:
    """Look again, with the pauses of a worker, until there is a result."""
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        if (found := look()) is not None:
            return found
        queue.wait(worker, 0.02)
    raise AssertionError(f"nothing came in {PATIENCE} s")


def finish(queue: JobQueue, lease: Lease, worker: str = "w", **arguments: Any) -> None:
    """Finish a job, with a report that names it."""
    queue.finish(worker, lease, report={"key": lease.key}, **arguments)


def finish_all(queue: JobQueue, worker: str = "w", shards: WorkerShards = ALL) -> list[str]:
    """Do all that can be taken now; return the keys in that order."""
    keys = []
    while (lease := take_now(queue, worker, shards)) is not None:
        keys.append(lease.key)
        finish(queue, lease, worker)
    return keys


def let_lapse(queue: JobQueue, worker: str) -> None:
    """Make the leases of a worker as old as if it had been silent for an hour."""
    for key in queue.client.smembers(queue.name("held", worker)):
        shard, entry = queue.client.hmget(queue.name("job", key.decode()), "shard", "entry")
        queue.client.xclaim(
            queue.name("stream", shard.decode()), "workers", worker, 0, [entry], idle=3_600_000, justid=True
        )


def let_gathers_be_due(queue: JobQueue) -> None:
    """Make the time come at which exposures are looked at."""
    for identifier in queue.client.zrange(queue.name("gathers"), 0, -1):
        queue.client.zadd(queue.name("gathers"), {identifier: 0})


def find_faults(queue: JobQueue) -> list[str]:
    """Compare the queue's keys with one another; return what does not agree."""
    jobs = _read_jobs(queue)
    of_state = {
        state: {key: job for key, job in jobs.items() if job["state"] == state}
        for state in ("waiting", "leased", "done", "dead")
    }
    faults = [f"{key} is {job['state']}" for key, job in jobs.items() if job["state"] not in of_state]
    entries, pending, waiting, newest = _read_shards(queue)
    held = _read_held(queue)
    active = of_state["waiting"] | of_state["leased"]
    compared = {
        "stream entries": (entries, {key: (job["shard"], job["entry"]) for key, job in active.items()}),
        "pending": (pending, {key: job["worker"] for key, job in of_state["leased"].items()}),
        "held": (held, {key: job["worker"] for key, job in of_state["leased"].items()}),
        "waiting": (waiting, set(of_state["waiting"])),
        "newest": (
            newest,
            {key for key, job in of_state["waiting"].items() if job["order"] == "newest-first"},
        ),
        "dead letters": (_read_dead(queue), {key: job["dead"] for key, job in of_state["dead"].items()}),
    }
    faults += [f"{what}: {seen} instead of {want}" for what, (seen, want) in compared.items() if seen != want]
    return faults + _find_exposure_faults(queue, set(active))


def is_empty(queue: JobQueue) -> bool:
    """Whether no stream and no set holds a job."""
    entries, pending, waiting, newest = _read_shards(queue)
    return not (entries or pending or waiting or newest or _read_held(queue))


def _read_jobs(queue: JobQueue) -> dict[str, dict[str, str]]:
    return {
        name.removeprefix(queue.name("job", "")): _decode(queue.client.hgetall(name))
        for name in _names(queue, "job")
    }


def _read_shards(
    queue: JobQueue,
) -> tuple[dict[str, tuple[str, str]], dict[str, str], set[str], set[str]]:
    """Read entries and leases of all streams, and what waits."""
    entries: dict[str, tuple[str, str]] = {}
    pending: dict[str, str] = {}
    waiting: set[str] = set()
    newest: set[str] = set()
    for shard in sorted(name.decode() for name in queue.client.smembers(queue.name("shards"))):
        stream = queue.name("stream", shard)
        keys = {entry.decode(): fields[b"key"].decode() for entry, fields in queue.client.xrange(stream)}
        entries |= {key: (shard, entry) for entry, key in keys.items()}
        for lease in queue.client.xpending_range(stream, "workers", "-", "+", 1000):
            pending[keys[lease["message_id"].decode()]] = lease["consumer"].decode()
        waiting |= {key.decode() for key in queue.client.zrange(queue.name("waiting", shard), 0, -1)}
        newest |= {key.decode() for key in queue.client.zrange(queue.name("newest", shard), 0, -1)}
    return entries, pending, waiting, newest


def _read_held(queue: JobQueue) -> dict[str, str]:
    return {
        key.decode(): name.removeprefix(queue.name("held", ""))
        for name in _names(queue, "held")
        for key in queue.client.smembers(name)
    }


def _read_dead(queue: JobQueue) -> dict[str, str]:
    return {
        fields[b"key"].decode(): entry.decode() for entry, fields in queue.client.xrange(queue.name("dead"))
    }


def _find_exposure_faults(queue: JobQueue, active: set[str]) -> list[str]:
    """Compare the sets of each exposure with the jobs of its detectors."""
    faults = []
    for identifier in (name.decode() for name in queue.client.zrange(queue.name("exposures"), 0, -1)):
        base = queue.name("exposure", identifier)
        queued, done, failed = (
            {int(member) for member in queue.client.smembers(f"{base}:{suffix}")}
            for suffix in ("queued", "done", "failed")
        )
        if (queued & done) | (queued & failed) | (done & failed):
            faults.append(f"{identifier}: queued {queued}, done {done} and failed {failed} overlap")
        instrument, exposure, rule = identifier.split("/")
        if queued != {
            int(key.split("/")[2]) for key in active if key.startswith(f"{instrument}/{exposure}/")
        }:
            faults.append(f"{identifier}: queued {queued}, but there are {sorted(active)} for {rule}")
        running = queue.client.hget(base, "running").decode()
        gathers = {key for key in active if key.startswith(f"gather/{identifier}/")}
        if gathers != ({running} if running else set()):
            faults.append(f"{identifier}: running is {running!r}, but there are {gathers}")
    return faults


def _names(queue: JobQueue, kind: str) -> list[str]:
    return [name.decode() for name in queue.client.scan_iter(match=queue.name(kind, "*"), count=1000)]


def _decode(fields: dict[bytes, bytes]) -> dict[str, str]:
    return {name.decode(): value.decode() for name, value in fields.items()}
