# This file is part of ra_pipe.
#
# Use of this source code is governed by a 3-clause BSD-style
# license that can be found in the LICENSE file.

from __future__ import annotations

import threading

import pytest
from lsst.ra.pipe.execution.queue import JobKind, JobQueue, WorkerShards
from queue_jobs import N_SHARDS, PATIENCE, make_job, take_now

FIRST, SECOND = (WorkerShards.for_images(index, 2, N_SHARDS) for index in range(2))


def be_idle(queue: JobQueue, **workers: WorkerShards) -> None:
    """Have workers ask in vain."""
    for worker, shards in workers.items():
        assert take_now(queue, worker, shards) is None


def rung(queue: JobQueue, *workers: str) -> list[str]:
    """Return the workers that are woken, once for each time."""
    return [worker for worker in workers for _ in range(queue.client.llen(queue.name("bell", worker)))]


@pytest.mark.parametrize(("shard", "owner"), [("0", "a"), ("1", "b"), ("2", "a"), ("3", "b")])
def test_owner_is_woken(queue: JobQueue, shard: str, owner: str) -> None:
    """One job wakes one worker: who has the detector's calibrations."""
    be_idle(queue, a=FIRST, b=SECOND)
    queue.enqueue([make_job(shard=shard)])
    assert rung(queue, "a", "b") == [owner]


def test_another_is_woken_when_the_owner_is_busy(queue: JobQueue) -> None:
    """The idle one helps at once."""
    be_idle(queue, a=FIRST, b=SECOND)
    queue.enqueue([make_job("1", shard="0")])
    assert take_now(queue, "a", FIRST) is not None
    queue.enqueue([make_job("2", shard="0")])
    assert rung(queue, "a", "b") == ["b"]


def test_as_many_are_woken_as_there_are_jobs(queue: JobQueue) -> None:
    """Each idle worker once, whatever else comes."""
    be_idle(queue, a=FIRST, b=SECOND)
    queue.enqueue([make_job(str(i), shard="0") for i in range(5)])
    assert rung(queue, "a", "b") == ["a", "b"]


def test_old_bells_are_forgotten(queue: JobQueue) -> None:
    """Who asks in vain sleeps, although it was woken before."""
    be_idle(queue, a=FIRST, b=SECOND)
    queue.enqueue([make_job(shard="0")])
    assert take_now(queue, "b", SECOND) is not None
    be_idle(queue, a=FIRST)
    assert rung(queue, "a", "b") == []


@pytest.mark.parametrize(("shard", "woken"), [("ingest", "ingest"), ("0", "images"), ("exposures", "images")])
def test_only_who_can_do_it_is_woken(queue: JobQueue, shard: str, woken: str) -> None:
    """Files wake who ingests, images who processes."""
    be_idle(queue, ingest=WorkerShards.for_ingest(), images=WorkerShards.for_images(0, 1, N_SHARDS))
    queue.enqueue([make_job(shard=shard, kind=JobKind.INGEST)])
    assert rung(queue, "ingest", "images") == [woken]


def test_worker_for_both_is_woken_for_both(queue: JobQueue) -> None:
    """Ingest and process in one hop."""
    both = WorkerShards.for_images(0, 1, N_SHARDS, ingests=True)
    for shard in ("ingest", "0"):
        be_idle(queue, both=both)
        queue.enqueue([make_job(shard, shard=shard)])
        assert rung(queue, "both") == ["both"]
        lease = take_now(queue, "both", both)
        assert lease is not None
        queue.finish("both", lease, report={})


def test_job_that_is_handed_back_wakes(queue: JobQueue) -> None:
    """A worker that leaves calls another one."""
    queue.enqueue([make_job(shard="0")])
    assert take_now(queue, "a", FIRST) is not None
    be_idle(queue, b=SECOND)
    queue.leave("a")
    assert rung(queue, "b") == ["b"]


def test_who_left_is_not_woken(queue: JobQueue) -> None:
    """A job wakes who is there."""
    be_idle(queue, a=FIRST, b=SECOND)
    queue.leave("a")
    queue.enqueue([make_job(shard="0")])
    assert rung(queue, "a", "b") == ["b"]


@pytest.mark.parametrize("call", ["enqueue", "ring"])
def test_waiting_worker_is_woken(queue: JobQueue, call: str) -> None:
    """One that sleeps in Redis, by a job or by who wants to stop it."""
    be_idle(queue, a=FIRST)
    awake = threading.Event()

    def sleep() -> None:
        queue.wait("a", 9.0)
        awake.set()

    thread = threading.Thread(target=sleep)
    thread.start()
    while not queue.client.info("clients")["blocked_clients"]:
        assert thread.is_alive()
    if call == "enqueue":
        queue.enqueue([make_job(shard="0")])
    else:
        queue.ring("a")
    assert awake.wait(5.0)
    thread.join(PATIENCE)


def test_idle_worker_is_told_when_to_look_again(queue: JobQueue) -> None:
    """In time for a job that is due later, and within a second in any case."""
    assert queue.take("a", FIRST) == pytest.approx(1.0)
    queue.enqueue([make_job(shard="0")])
    lease = take_now(queue, "a", FIRST)
    assert lease is not None
    queue.release("a", lease, delay=0.9)
    pause = queue.take("a", FIRST)
    assert isinstance(pause, float)
    assert 0.0 < pause <= 0.9
