# This file is part of ra_pipe.
#
# Use of this source code is governed by a 3-clause BSD-style
# license that can be found in the LICENSE file.

from __future__ import annotations

__all__ = ("JobQueue",)

import functools
import importlib.resources
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import redis

from ._job import Job
from ._models import DeadLetter, Lease, QueueSettings, RejectedEvent, WorkerShards

_SCRIPT = importlib.resources.files(__package__).joinpath("queue.lua").read_text()
_MAX_REJECTED = 100_000
"""Rejected events that are kept, with their bytes."""


class JobQueue:
    """The queue in Redis: jobs, leases, dead letters, gathering.

    Parameters
    ----------
    client
        Client of the server, from `connect`.
    settings
        Settings of the queue.

    Notes
    -----
    Every method raises `redis.RedisError` when the server cannot be reached;
    then the call may be repeated without harm.
    """

    def __init__(self, client: redis.Redis, settings: QueueSettings | None = None) -> None:
        # redis-py annotates its answers for all its modes at once.
        self.client: Any = client
        self.settings = settings or QueueSettings()
        self._script = client.register_script(_SCRIPT)

    def name(self, *parts: str) -> str:
        """Return the name of a key.

        Parameters
        ----------
        *parts
            What comes after the prefix.

        Returns
        -------
        name
            The prefix and the parts, with colons between them.
        """
        return ":".join((self._prefix, *parts))

    def shards(self) -> frozenset[str]:
        """Return the names of the shards that ever had a job.

        Returns
        -------
        shards
            Their names.
        """
        return frozenset(name.decode() for name in self.client.smembers(self.name("shards")))

    def enqueue(self, jobs: Sequence[Job], *, again: bool = False) -> list[bool]:
        """Add jobs, in one round trip.

        Parameters
        ----------
        jobs
            The jobs.
        again
            Whether to add those, too, that are done or failed for good.

        Returns
        -------
        added
            Whether each was added; it is not when it is known already.
        """
        pipe = self.client.pipeline(transaction=False)
        for job in jobs:
            self._script(
                keys=[self._prefix],
                args=["enqueue", job.model_dump_json(exclude_none=True), "again" if again else ""],
                client=pipe,
            )
        return [answer == b"queued" for answer in pipe.execute()]

    def take(self, worker: str, shards: WorkerShards, *, count: int = 1) -> list[Lease] | float:
        """Lease the next jobs.

        Parameters
        ----------
        worker
            Name of the worker, unlike that of any other and of any earlier
            one.  It must have settled what it took before.
        shards
            What the worker takes.
        count
            Number of jobs to lease at most.

        Returns
        -------
        leases
            The jobs; or, if there is none, the time (s) to `wait` before
            asking again.
        """
        answer = json.loads(
            self._call(
                "take",
                json.dumps(
                    {
                        "worker": worker,
                        "first": shards.first,
                        "own": shards.own,
                        "others": shards.others,
                        "pools": shards.pools,
                        "count": count,
                        "lease_ms": _ms(self.settings.lease_seconds),
                        "backoff_ms": _ms(self.settings.backoff_seconds),
                        "starve_ms": _ms(self.settings.starvation_seconds),
                        "starve_share": self.settings.starvation_share,
                    }
                ),
            )
        )
        if "wait" in answer:
            return float(answer["wait"]) / 1e3
        return [
            Lease(
                key=one["key"],
                job=Job.model_validate_json(one["body"]),
                attempt=int(one["attempt"]),
                generation=int(one["generation"]),
                queued=one["queued"] / 1e3,
                taken=one["taken"] / 1e3,
                is_own=bool(one.get("is_own", False)),
                runs=tuple(sorted(one["runs"])),
            )
            for one in answer["jobs"]
        ]

    def wait(self, worker: str, seconds: float) -> None:
        """Sleep until there is something to take, or some time has passed.

        Parameters
        ----------
        worker
            Name of the worker.
        seconds
            Time (s) that `take` said.
        """
        self.client.blpop([self.name("bell", worker)], timeout=seconds)

    def ring(self, worker: str) -> None:
        """Wake a worker, for example to stop it.

        Parameters
        ----------
        worker
            Name of the worker.
        """
        self.client.lpush(self.name("bell", worker), "1")

    def renew(self, worker: str, leases: Iterable[Lease]) -> list[str]:
        """Renew leases; to be called well within ``lease_seconds``.

        Parameters
        ----------
        worker
            Name of the worker.
        leases
            What it holds.

        Returns
        -------
        lost
            Keys that the worker holds no more.
        """
        arguments = {
            "worker": worker,
            "keys": [lease.key for lease in leases],
            "lease_ms": _ms(self.settings.lease_seconds),
        }
        return [key.decode() for key in self._call("renew", json.dumps(arguments))]

    def finish(
        self,
        worker: str,
        lease: Lease,
        *,
        report: Mapping[str, Any],
        published: Mapping[str, Any] | None = None,
        follow_ups: Sequence[Job] = (),
    ) -> None:
        """Acknowledge a job: its outputs are in the Butler.

        Parameters
        ----------
        worker
            Name of the worker.
        lease
            The job.
        report
            What is told of it, as JSON.
        published
            Metrics of the detector, kept with the exposure.
        follow_ups
            Jobs that result from this one; they are queued before it is
            acknowledged.
        """
        if follow_ups:
            self.enqueue(follow_ups)
        self._call(
            "finish",
            lease.key,
            worker,
            json.dumps(report),
            json.dumps(published) if published else "",
            report.get("run") or "",
            _ms(self.settings.keep_done_seconds),
            self.settings.max_reports,
        )

    def fail(self, worker: str, lease: Lease, *, reason: str, detail: str = "", final: bool = False) -> bool:
        """Record a failed attempt.

        Parameters
        ----------
        worker
            Name of the worker.
        lease
            The job.
        reason
            Why, with the data ID.
        detail
            Traceback or output.
        final
            Whether no further attempt is of use.

        Returns
        -------
        dead
            Whether the job is among the dead letters now.
        """
        backoff = _ms(self.settings.backoff_seconds)
        answer = self._call("fail", lease.key, worker, reason, detail, backoff, "final" if final else "")
        return bool(answer == b"dead")

    def release(self, worker: str, lease: Lease, *, delay: float = 0.0) -> None:
        """Hand a job back; this was no attempt.

        Parameters
        ----------
        worker
            Name of the worker.
        lease
            The job.
        delay
            Time (s) before it may be taken again.
        """
        self._call("release", lease.key, worker, _ms(delay))

    def leave(self, worker: str) -> None:
        """Take a worker off the lists, and hand back what it holds.

        Parameters
        ----------
        worker
            Name of the worker.
        """
        self._call("leave", worker)

    def reject(self, events: Sequence[RejectedEvent]) -> None:
        """Keep refused events, with their bytes and the reason.

        Parameters
        ----------
        events
            The events.
        """
        pipe = self.client.pipeline(transaction=False)
        for event in events:
            fields = {"body": event.body, "origin": event.origin, "code": event.code, "reason": event.reason}
            pipe.xadd(self.name("rejected"), fields, maxlen=_MAX_REJECTED, approximate=True)
        pipe.execute()

    def dead_letters(self) -> Iterator[DeadLetter]:
        """Yield the jobs that failed for good, the oldest first."""
        for entry, fields in _iterate(self.client, self.name("dead")):
            yield DeadLetter(
                id=entry,
                job=Job.model_validate_json(fields[b"body"]),
                reason=fields[b"reason"].decode(),
                detail=fields[b"detail"].decode(),
                attempts=int(fields[b"attempts"]),
                time=_entry_time(entry),
            )

    def rejected_events(self) -> Iterator[RejectedEvent]:
        """Yield the events that were refused, the oldest first."""
        for entry, fields in _iterate(self.client, self.name("rejected")):
            yield RejectedEvent(
                body=fields[b"body"],
                origin=fields[b"origin"].decode(),
                code=fields[b"code"].decode(),
                reason=fields[b"reason"].decode(),
                time=_entry_time(entry),
            )

    def retry(self, letters: Iterable[DeadLetter]) -> int:
        """Queue dead letters again, with all their attempts.

        Parameters
        ----------
        letters
            What to queue.

        Returns
        -------
        n_queued
            Number of jobs that were queued; the others are no dead letters any
            more, or gather an exposure that is being gathered.
        """
        return sum(self._call("retry", letter.id) == b"queued" for letter in letters)

    def announce(self, worker: str, **facts: str | int | float) -> None:
        """Tell who a worker is and what it does, for `rapid status`.

        Parameters
        ----------
        worker
            Name of the worker.
        **facts
            What to tell; it adds to what was told before.
        """
        pipe = self.client.pipeline(transaction=False)
        pipe.hset(self.name("worker", worker), mapping=facts)
        pipe.expire(self.name("worker", worker), 86_400)
        pipe.execute()

    @functools.cached_property
    def _prefix(self) -> str:
        return f"{{{self.settings.prefix}}}"

    def _call(self, action: str, *arguments: Any) -> Any:
        return self._script(keys=[self._prefix], args=[action, *arguments])


def _ms(seconds: float) -> int:
    return round(seconds * 1e3)


def _entry_time(entry: str) -> float:
    return int(entry.partition("-")[0]) / 1e3


def _iterate(client: Any, stream: str, size: int = 500) -> Iterator[tuple[str, dict[bytes, bytes]]]:
    """Yield all entries of a stream."""
    begin = "-"
    while entries := client.xrange(stream, min=begin, count=size):
        for entry, fields in entries:
            yield entry.decode(), fields
        begin = f"({entries[-1][0].decode()}"
