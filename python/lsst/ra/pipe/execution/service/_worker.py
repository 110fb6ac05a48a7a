# This file is part of ra_pipe.
#
# Use of this source code is governed by a 3-clause BSD-style
# license that can be found in the LICENSE file.

from __future__ import annotations

__all__ = ("Worker",)

import dataclasses
import logging
import os
import secrets
import socket
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any

import redis

from ..queue import Job, JobQueue, Lease, WorkerShards
from ._child import Child, ChildDiedError
from ._messages import JobOutcome, JobRequest, JobResult
from ._settings import ServiceSettings

_LOG = logging.getLogger(__name__)

_TICK = 0.25
"""Time (s) after which the supervisor looks at the clock again."""

_NOT_READY_DELAY = 0.25
"""Time (s) after which a missing input is looked for again, at first; it
grows with the time waited."""

_OUTAGE_DELAY = 1.0
"""Time (s) after which a server that does not answer is tried again, at
first; it grows with the time waited."""

_LONGEST_OUTAGE_DELAY = 30.0
"""Time (s) between two such attempts at most."""

_START_PAUSE = 10.0
"""Time (s), at most, between two starts of a child that does not get ready."""


@dataclasses.dataclass
class _Counts:
    """What a worker has done so far."""

    done: int = 0
    failed: int = 0
    own: int = 0
    children: int = 0
    unheard: int = 0


class Worker:
    """The supervisor of one warm child: takes jobs, and settles them.

    Parameters
    ----------
    queue
        The queue.
    shards
        What to take.
    settings
        Settings of the service.
    batch_size
        Number of jobs to take together at most; more than 1 is for ingest.

    Notes
    -----
    The supervisor does nothing that can crash or hang by an image.  It renews
    the leases while the child works, ends the child at the time limit, and
    starts another one when it has died.  A job is acknowledged after its
    outputs are in the Butler, so that no crash loses one, and its outputs have
    identifiers that follow from what they are, so that a second worker that
    does it again changes nothing.
    """

    def __init__(
        self, queue: JobQueue, shards: WorkerShards, settings: ServiceSettings, *, batch_size: int = 1
    ) -> None:
        self.name = f"{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(2)}"
        self.ready = threading.Event()
        self._queue = queue
        self._shards = shards
        self._settings = settings
        self._batch_size = batch_size
        self._stopping = threading.Event()
        self._stop_by = float("inf")
        self._child: Child | None = None
        self._may_rehearse = True
        self._counts = _Counts()

    def stop(self) -> None:
        """End `run` after the current job, or hand that back if it takes
        longer than the grace time.  May be called from a signal handler.
        """
        self._stop_by = min(self._stop_by, time.monotonic() + self._settings.grace_seconds)
        self._stopping.set()

    def run(self) -> None:
        """Take jobs and settle them, until `stop` is called."""
        try:
            while not self._stopping.is_set():
                child = self._warm_child()
                if child is None:
                    continue
                leases = self._patiently(self._take)
                if leases:
                    self._work(child, leases)
        finally:
            self._end_child()
            try:
                self._queue.leave(self.name)
            except redis.RedisError as err:
                _LOG.warning("Left without saying so, what is held lapses: %s", err)

    def _take(self) -> list[Lease]:
        """Take jobs; without any, sleep a little and return none."""
        taken = self._queue.take(self.name, self._shards, count=self._batch_size)
        if isinstance(taken, list):
            return taken
        self._queue.wait(self.name, min(taken, 1.0))
        return []

    # The child -------------------------------------------------------------

    def _warm_child(self) -> Child | None:
        """Return a child that is ready; `None` when there is none yet."""
        if self._child is not None and self._is_alive(self._child):
            return self._child
        self._announce("starting")
        child = Child(self._settings, self._shards, rehearses=self._may_rehearse)
        self._counts.children += 1
        try:
            if self._await_ready(child):
                seconds = child.receive_ready()
                _LOG.info("%s: ready after %.1f s (process %d)", self.name, seconds, child.pid)
                self._child = child
                self._announce("idle", ready_seconds=round(seconds, 3), child=child.pid)
                self.ready.set()
                return child
            reason = f"it was not ready after {self._settings.start_seconds} s"
        except ChildDiedError as err:
            reason = str(err)
        detail = child.kill(trace=True)
        # The image that it rehearsed on may be to blame: not again.
        self._may_rehearse = False
        if not self._stopping.is_set():
            _LOG.error("%s: cannot start: %s\n%s", self.name, reason, detail)
            last_line = detail.strip().rpartition("\n")[2]
            self._announce("cannot start", reason=f"{reason}: {last_line}" if last_line else reason)
            self._stopping.wait(min(_START_PAUSE, 2.0 ** min(self._counts.children, 8) / 10))
        return None

    def _is_alive(self, child: Child) -> bool:
        """Tell whether the child lives; if not, see it off."""
        if child.is_alive:
            return True
        _LOG.error("%s: process %d died while it had no job\n%s", *(self.name, child.pid, self._end_child()))
        return False

    def _await_ready(self, child: Child) -> bool:
        end = time.monotonic() + self._settings.start_seconds
        while time.monotonic() < end and not self._stopping.is_set():
            if child.wait(_TICK):
                return True
        return False

    def _end_child(self, *, trace: bool = False) -> str:
        """End the child; return its crash report."""
        child, self._child = self._child, None
        return "" if child is None else child.kill(trace=trace)

    # Jobs ------------------------------------------------------------------

    def _work(self, child: Child, leases: Sequence[Lease]) -> None:
        """Have the child do jobs, and settle each."""
        if any(lease.attempt > 1 for lease in leases):
            # One of them may be to blame for the others' failure.
            self._release_all(leases[1:])
            leases = leases[:1]
        self._announce("working", job=leases[0].key)
        limit = sum(lease.job.time_limit for lease in leases)
        started = time.time()
        try:
            child.send([_make_request(lease) for lease in leases])
        except ChildDiedError as err:
            _LOG.error("%s: died while it had no job: %s\n%s", self.name, err, self._end_child())
            self._release_all(leases)
            return
        try:
            in_time = self._await_results(child, leases, limit)
            results = child.receive_results() if in_time else None
        except ChildDiedError as err:
            self._settle_failure(leases, str(err), self._end_child())
        else:
            if results is not None:
                for lease, result in zip(leases, results, strict=True):
                    self._patiently(self._settle, lease, result, started)
            elif self._stopping.is_set() and time.monotonic() >= self._stop_by:
                self._end_child()
                self._release_all(leases)
            else:
                detail = self._end_child(trace=True)
                self._settle_failure(leases, f"it took longer than its time limit of {limit:g} s", detail)
        self._announce("idle", job="")

    def _await_results(self, child: Child, leases: Sequence[Lease], limit: float) -> bool:
        """Wait for the child, and renew the leases meanwhile.

        Returns `False` when the time is over, that for the jobs or that for
        stopping.
        """
        end = time.monotonic() + limit
        renewed = time.monotonic()
        while True:
            now = time.monotonic()
            if child.wait(max(0.0, min(_TICK, end - now, self._stop_by - now))):
                return True
            if now >= min(end, self._stop_by):
                return False
            if now - renewed > self._queue.settings.lease_seconds / 4:
                renewed = now
                self._renew(leases)

    def _renew(self, leases: Sequence[Lease]) -> None:
        try:
            lost = self._queue.renew(self.name, leases)
        except redis.RedisError as err:
            _LOG.warning("%s: cannot renew its leases, and works on: %s", self.name, err)
        else:
            for key in lost:
                _LOG.warning("%s: the lease of %s was taken away; it works on", self.name, key)

    def _settle(self, lease: Lease, result: JobResult, started: float) -> None:
        """Tell the queue what became of a job."""
        if result.outcome is JobOutcome.DONE:
            self._queue.finish(
                self.name,
                lease,
                report=self._report(lease, result, started),
                published=result.published,
                follow_ups=result.follow_ups,
            )
            self._counts.done += 1
            self._counts.own += lease.is_own
            self._counts.unheard += bool(result.unheard)
        elif result.outcome is JobOutcome.NOT_READY:
            self._settle_missing(lease, result)
        elif result.outcome is JobOutcome.UNAVAILABLE:
            self._settle_outage(lease, result)
        else:
            self._fail(lease, result.reason, result.detail)

    def _settle_missing(self, lease: Lease, result: JobResult) -> None:
        """Wait for what is not there yet, within bounds."""
        # By the clock of Redis, as this machine's may be off.
        waited = lease.taken - lease.queued
        if waited < lease.job.wait_limit:
            delay = min(_NOT_READY_DELAY + waited / 4, max(lease.job.wait_limit - waited, 0.05))
            self._release(lease, delay)
        else:
            reason = f"{result.reason} (waited {waited:.1f} s)"
            self._fail(lease, reason, result.detail, final=True)

    def _settle_outage(self, lease: Lease, result: JobResult) -> None:
        """Hand a job back whose servers do not answer; that is no attempt."""
        waited = lease.taken - lease.queued
        if waited >= self._settings.outage_seconds:
            self._fail(lease, f"{result.reason} (for {waited:.0f} s)", result.detail, final=True)
            return
        _LOG.error("%s waits: %s", lease.key, result.reason)
        self._release(lease, min(_OUTAGE_DELAY + waited / 4, _LONGEST_OUTAGE_DELAY))
        # The next job would find the same.
        self._stopping.wait(_OUTAGE_DELAY)

    def _settle_failure(self, leases: Sequence[Lease], why: str, detail: str) -> None:
        """Record an attempt that ended with the child."""
        for lease in leases:
            self._patiently(self._fail, lease, f"{lease.key}: {why}", detail)

    def _fail(self, lease: Lease, reason: str, detail: str, final: bool = False) -> None:
        dead = self._queue.fail(self.name, lease, reason=reason, detail=detail, final=final)
        self._counts.failed += 1
        what = "failed for good" if dead else "is tried again"
        _LOG.warning("%s %s after attempt %d: %s", lease.key, what, lease.attempt, reason)

    def _release_all(self, leases: Sequence[Lease]) -> None:
        """Hand jobs back at once, of which none is to blame."""
        for lease in leases:
            self._patiently(self._release, lease, 0.0)

    def _release(self, lease: Lease, delay: float) -> None:
        self._queue.release(self.name, lease, delay=delay)

    def _report(self, lease: Lease, result: JobResult, started: float) -> dict[str, Any]:
        """Put together what is told of a job that is done."""
        job: Job = lease.job
        return {
            "key": lease.key,
            **job.model_dump(mode="json", include={"kind", "rule", "instrument", "exposure", "detector"}),
            "worker": self.name,
            "attempt": lease.attempt,
            "is_own": lease.is_own,
            "run": result.run,
            "quanta": [quantum.model_dump() for quantum in result.quanta],
            "overhead_seconds": result.overhead_seconds,
            "detectors": result.detectors,
            "unheard": result.unheard,
            "times": {**job.times, "queued": lease.queued, "started": started, "done": time.time()},
        }

    # Redis -----------------------------------------------------------------

    def _announce(self, state: str, **facts: str | float) -> None:
        """Say what this worker does; it works without being heard, too."""
        counts = dataclasses.asdict(self._counts)
        try:
            self._queue.announce(self.name, state=state, since=time.time(), **counts, **facts)
        except redis.RedisError as err:
            _LOG.debug("%s: not announced: %s", self.name, err)

    def _patiently[**P, R](self, call: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R | None:
        """Call until Redis answers, or until it is time to stop."""
        silent = False
        while True:
            try:
                result = call(*args, **kwargs)
            except redis.RedisError as err:
                if not silent:
                    _LOG.error("%s: Redis does not answer, trying on: %s", self.name, err)
                silent = True
                if self._stopping.is_set() and time.monotonic() >= self._stop_by:
                    return None
                time.sleep(_TICK)
            else:
                if silent:
                    _LOG.info("%s: Redis answers again", self.name)
                return result


def _make_request(lease: Lease) -> JobRequest:
    return JobRequest(job=lease.job, generation=lease.generation, runs=lease.runs)
