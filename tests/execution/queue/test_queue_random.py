# This file is part of ra_pipe.
#
# Use of this source code is governed by a 3-clause BSD-style
# license that can be found in the LICENSE file.

"""Any sequence of actions leaves the queue in order, and loses nothing."""

from __future__ import annotations

import itertools
from collections import Counter

import redis
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test
from lsst.ra.pipe.execution.queue import Job, JobQueue, Lease, QueueSettings, connect
from queue_jobs import (
    ALL,
    N_SHARDS,
    find_faults,
    finish,
    is_empty,
    let_gathers_be_due,
    let_lapse,
    make_detector,
    make_job,
    take_now,
)
from valkey_server import QueueServer

JOBS = (
    *(make_detector(detector, expected=(0, 1, 2), max_attempts=2) for detector in range(4)),
    *(make_detector(detector, exposure=2, order="newest-first", rank=detector) for detector in range(2)),
    make_job("alone", max_attempts=1),
)
jobs = st.lists(st.sampled_from(JOBS), min_size=1, max_size=4)
workers = st.sampled_from(("a", "b", "c"))


class QueueMachine(RuleBasedStateMachine):
    """Acts as a distributor, as workers that work or die, and as an operator."""

    def __init__(self, client: redis.Redis, prefix: str) -> None:
        super().__init__()
        self.queue = JobQueue(
            client,
            QueueSettings(prefix=prefix, n_shards=N_SHARDS, lease_seconds=600.0, backoff_seconds=0.0),
        )
        self.leases: list[tuple[str, Lease]] = []
        """All that were ever given: some of them are of the past."""
        self.added: Counter[str] = Counter()
        """How often each job was put into the queue."""
        self.withdrawn: Counter[str] = Counter()
        """How often a dead letter was replaced by a new try."""

    def _dead(self) -> set[str]:
        return {fields[b"key"].decode() for _, fields in self.queue.client.xrange(self.queue.name("dead"))}

    @rule(batch=jobs, again=st.booleans())
    def enqueue(self, batch: list[Job], again: bool) -> None:
        dead = self._dead()
        for job, added in zip(batch, self.queue.enqueue(batch, again=again), strict=True):
            self.added[job.key] += added
            self.withdrawn[job.key] += added and job.key in dead

    @rule(worker=workers)
    def take(self, worker: str) -> None:
        lease = take_now(self.queue, worker)
        if lease is not None:
            assert lease.attempt <= lease.job.max_attempts
            self.leases.append((worker, lease))

    def _some_lease(self, data: st.DataObject) -> tuple[str, Lease] | None:
        return data.draw(st.sampled_from(self.leases)) if self.leases else None

    @rule(data=st.data())
    def finish(self, data: st.DataObject) -> None:
        if (some := self._some_lease(data)) is not None:
            finish(self.queue, some[1], some[0], published={"metrics": {"value": 1.0}})

    @rule(data=st.data(), final=st.booleans())
    def fail(self, data: st.DataObject, final: bool) -> None:
        if (some := self._some_lease(data)) is not None:
            self.queue.fail(*some, reason="bad", final=final)

    @rule(data=st.data())
    def release(self, data: st.DataObject) -> None:
        if (some := self._some_lease(data)) is not None:
            self.queue.release(*some)

    @rule(data=st.data())
    def renew(self, data: st.DataObject) -> None:
        if (some := self._some_lease(data)) is not None:
            self.queue.renew(some[0], [some[1]])

    @rule(worker=workers)
    def fall_silent(self, worker: str) -> None:
        let_lapse(self.queue, worker)

    @rule(worker=workers)
    def leave(self, worker: str) -> None:
        self.queue.leave(worker)

    @rule()
    def retry(self) -> None:
        letters = list(self.queue.dead_letters())
        dead = self._dead()
        queued = self.queue.retry(letters)
        dead -= self._dead()
        assert queued == len(dead)
        for key in dead:
            self.added[key] += 1
            self.withdrawn[key] += 1

    @rule()
    def pass_time(self) -> None:
        let_gathers_be_due(self.queue)

    @invariant()
    def agrees_with_itself(self) -> None:
        assert find_faults(self.queue) == []

    def teardown(self) -> None:
        """Work everything off; each job has ended once for each time it was added."""
        for worker in ("a", "b", "c"):
            self.queue.leave(worker)
        let_gathers_be_due(self.queue)
        while (lease := take_now(self.queue, "last", ALL)) is not None:
            finish(self.queue, lease, "last")
            let_gathers_be_due(self.queue)
        assert is_empty(self.queue)
        assert not self.queue.client.exists(self.queue.name("gathers"))
        assert find_faults(self.queue) == []
        reports = self.queue.client.xrange(self.queue.name("reports"))
        ended = Counter(fields[b"key"].decode() for _, fields in reports)
        ended.update(self._dead())
        for job in JOBS:
            assert ended[job.key] + self.withdrawn[job.key] == self.added[job.key], job.key
        super().teardown()


def test_any_sequence_of_actions_keeps_the_queue_in_order(server: QueueServer) -> None:
    """After each action all keys agree; in the end every job is done or dead."""
    client = connect(server.url)
    numbers = itertools.count()

    class Machine(QueueMachine):
        def __init__(self) -> None:
            super().__init__(client, f"random-{next(numbers)}")

    run_state_machine_as_test(
        Machine,
        settings=settings(
            max_examples=40,
            stateful_step_count=30,
            derandomize=True,
            deadline=None,
            database=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
    client.close()
