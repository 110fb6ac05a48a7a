# This file is part of ra_pipe.
#
# Use of this source code is governed by a 3-clause BSD-style
# license that can be found in the LICENSE file.

from __future__ import annotations

import itertools
import pathlib
import random
import threading
import zlib
from collections.abc import Callable, Iterator, Sequence

import pytest
import redis
from lsst.ra.pipe.execution.queue import Job, JobQueue, QueueSettings, WorkerShards, check_server, connect
from queue_jobs import (
    ALL,
    N_SHARDS,
    PATIENCE,
    find_faults,
    finish,
    finish_all,
    is_empty,
    let_lapse,
    make_detector,
    make_job,
    take_now,
)
from valkey_server import QueueServer

SETTINGS = QueueSettings(n_shards=N_SHARDS, lease_seconds=600.0, backoff_seconds=0.0)


@pytest.fixture
def mortal(tmp_path: pathlib.Path) -> Iterator[QueueServer]:
    """Server that a test kills."""
    with QueueServer(tmp_path / "valkey") as server:
        yield server


@pytest.fixture
def queue(mortal: QueueServer) -> JobQueue:
    """Queue on the server that dies."""
    return JobQueue(connect(mortal.url), SETTINGS)


@pytest.mark.parametrize("end", [QueueServer.crash, QueueServer.restart])
def test_queue_is_the_same_after_a_restart(
    mortal: QueueServer, queue: JobQueue, end: Callable[[QueueServer], None]
) -> None:
    """After each kind of action: what waits, is leased, done and dead."""
    queue.enqueue([make_detector(detector, expected=range(4)) for detector in range(4)])
    end(mortal)
    leases = [lease for worker in "abc" if (lease := take_now(queue, worker))]
    assert [lease.job.detector for lease in leases] == [0, 1, 2]
    end(mortal)
    again = take_now(queue, "a")
    assert again is not None
    assert (again.key, again.attempt) == (leases[0].key, 1)
    assert queue.renew("a", [leases[0]]) == []
    end(mortal)
    finish(queue, leases[0], "a")
    queue.fail("b", leases[1], reason="bad", final=True)
    end(mortal)
    assert find_faults(queue) == []
    assert queue.enqueue([leases[0].job, leases[1].job]) == [False, False]
    let_lapse(queue, "c")
    end(mortal)
    assert finish_all(queue, "d") == [
        "LSSTCam/1/3/rule",
        "LSSTCam/1/2/rule",
        "gather/LSSTCam/1/rule/0",
    ]
    end(mortal)
    assert is_empty(queue)
    assert [letter.job.detector for letter in queue.dead_letters()] == [1]


def test_lease_lapses_over_an_outage(mortal: QueueServer) -> None:
    """The clock goes on: who died with the server is not waited for longer."""
    queue = JobQueue(connect(mortal.url), SETTINGS.model_copy(update={"lease_seconds": 0.001}))
    queue.enqueue([make_job()])
    assert take_now(queue, "dead") is not None
    mortal.crash()
    lease = take_now(queue, "other")
    assert lease is not None
    assert lease.attempt == 2


def test_server_that_is_gone_is_an_error(mortal: QueueServer) -> None:
    """After the time that was allowed, no job is taken for added."""
    queue = JobQueue(connect(mortal.url), SETTINGS)
    mortal.kill()
    with pytest.raises(redis.ConnectionError):
        queue.enqueue([make_job()])
    mortal.start()
    assert queue.enqueue([make_job()]) == [True]


def test_short_outage_is_not_noticed(mortal: QueueServer, queue: JobQueue) -> None:
    """A call waits for the server to come back."""
    mortal.kill()
    starter = threading.Thread(target=mortal.start)
    starter.start()
    assert queue.enqueue([make_job()]) == [True]
    starter.join(PATIENCE)


def test_good_server_gets_no_warning(mortal: QueueServer) -> None:
    """One with an append-only file that is synced always."""
    assert check_server(connect(mortal.url)) == []


@pytest.mark.parametrize(
    ("setting", "value", "warning"),
    [
        ("appendonly", "no", "a restart of it loses the queue"),
        ("appendfsync", "everysec", "the last second"),
        ("maxmemory-policy", "allkeys-lru", "noeviction"),
    ],
)
def test_server_that_would_lose_work_is_warned_of(
    mortal: QueueServer, setting: str, value: str, warning: str
) -> None:
    """One sentence names the setting."""
    client = connect(mortal.url)
    client.config_set(setting, value)
    (sentence,) = check_server(client)
    assert setting in sentence or value in sentence
    assert warning in sentence


class Crowd:
    """Workers in threads, who tell how much is done."""

    def __init__(self, url: str, n_workers: int) -> None:
        self.finished: list[str] = []
        self._progress = threading.Condition()
        self._stopping = threading.Event()
        self._threads = [
            threading.Thread(target=self._work, args=(url, str(index), index, n_workers))
            for index in range(n_workers)
        ]
        for thread in self._threads:
            thread.start()

    def wait(self, n: int) -> None:
        """Wait until so many jobs are done, each as often as it was."""
        with self._progress:
            assert self._progress.wait_for(lambda: len(self.finished) >= n, PATIENCE)

    def stop(self) -> None:
        """End the threads."""
        self._stopping.set()
        for thread in self._threads:
            thread.join(PATIENCE)

    def _work(self, url: str, worker: str, index: int, n_workers: int) -> None:
        queue = JobQueue(connect(url), SETTINGS)
        shards = WorkerShards.for_images(index, n_workers, N_SHARDS)
        while not self._stopping.is_set():
            taken = persist(queue.take, worker, shards)
            if isinstance(taken, float):
                persist(queue.wait, worker, min(taken, 0.05))
                continue
            (lease,) = taken
            if zlib.crc32(lease.key.encode()) % 5 == 0 and lease.attempt == 1:
                persist(queue.fail, worker, lease, reason="bad luck")
                continue
            persist(finish, queue, lease, worker)
            with self._progress:
                self.finished.append(lease.key)
                self._progress.notify_all()


def persist[**P, T](call: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Call until the server answers."""
    while True:
        try:
            return call(*args, **kwargs)
        except redis.RedisError:
            continue


def send(queue: JobQueue, jobs: Sequence[Job]) -> None:
    """Queue jobs, a few at a time."""
    for batch in itertools.batched(jobs, 6):
        persist(queue.enqueue, batch)


@pytest.mark.parametrize("seed", [1, 2])
def test_kills_while_all_are_at_work_lose_nothing(mortal: QueueServer, queue: JobQueue, seed: int) -> None:
    """Workers and a sender go on over SIGKILLs; every job is done once."""
    rng = random.Random(seed)
    jobs = [
        make_detector(detector, exposure=exposure, expected=range(12), gather_attempts=3)
        for exposure in range(8)
        for detector in range(12)
    ]
    sender = threading.Thread(target=send, args=(queue, jobs))
    crowd = Crowd(mortal.url, 3)
    try:
        sender.start()
        for n in sorted(rng.sample(range(len(jobs)), 4)):
            crowd.wait(n)
            mortal.crash()
        sender.join(PATIENCE)
        crowd.wait(len(jobs) + 8)
    finally:
        crowd.stop()
    expected = {job.key for job in jobs} | {f"gather/LSSTCam/{exposure}/rule/0" for exposure in range(8)}
    assert set(crowd.finished) == expected
    assert len(crowd.finished) == len(expected)
    assert is_empty(queue)
    assert find_faults(queue) == []
    assert not list(queue.dead_letters())
    reports = queue.client.xrange(queue.name("reports"))
    assert sorted(fields[b"key"].decode() for _, fields in reports) == sorted(expected)


def test_worker_takes_from_all_shards_of_the_test() -> None:
    """Or the others would prove nothing."""
    assert {*ALL.own, *ALL.others} == {str(shard) for shard in range(N_SHARDS)}
