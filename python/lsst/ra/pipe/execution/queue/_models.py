# This file is part of ra_pipe.
#
# Use of this source code is governed by a 3-clause BSD-style
# license that can be found in the LICENSE file.

"""What the queue takes and gives, beside the jobs themselves."""

from __future__ import annotations

__all__ = ("DeadLetter", "Lease", "QueueSettings", "RejectedEvent", "WorkerShards")

import dataclasses
from collections.abc import Iterable

import pydantic

from ._job import Job


class QueueSettings(pydantic.BaseModel, frozen=True, extra="forbid", use_attribute_docstrings=True):
    """Settings of the queue, the same for all processes of a service."""

    prefix: str = "rapid"
    """Beginning of all keys; services of one Redis differ in it."""

    n_shards: int = pydantic.Field(default=32, ge=1)
    """Number of shards that the detectors are divided among."""

    lease_seconds: float = pydantic.Field(default=15.0, gt=0)
    """Time (s) after which the job of a worker that has fallen silent goes to
    another one."""

    backoff_seconds: float = pydantic.Field(default=1.0, ge=0)
    """Time (s) before the second attempt; it doubles with each further one."""

    starvation_seconds: float = pydantic.Field(default=300.0, ge=0)
    """Age (s) from which a job behind newest-first ones gets its turn."""

    starvation_share: int = pydantic.Field(default=4, ge=1)
    """Of this many jobs of a shard one is the oldest, if that is starving."""

    keep_done_seconds: float = pydantic.Field(default=172_800.0, gt=0)
    """Time (s) for which a job that is done is known as a duplicate.  Later
    its outputs in the Butler tell."""

    max_reports: int = pydantic.Field(default=100_000, ge=0)
    """Number of reports of finished jobs that are kept, roughly."""


@dataclasses.dataclass(frozen=True)
class WorkerShards:
    """What a worker takes, and in which order."""

    first: tuple[str, ...] = ()
    """Shards of which any job goes before all others."""

    own: tuple[str, ...] = ()
    """Shards of the detectors whose calibrations the worker holds."""

    others: tuple[str, ...] = ()
    """Shards to help with when the worker is idle, the longest first."""

    pools: tuple[str, ...] = ("images",)
    """What an idle worker is woken for: ``images``, ``ingest``."""

    @classmethod
    def for_images(cls, index: int, n_workers: int, n_shards: int, *, ingests: bool = False) -> WorkerShards:
        """Divide the shards among workers.

        Parameters
        ----------
        index
            Which of the workers, from 0.
        n_workers
            Number of workers.
        n_shards
            Number of shards.
        ingests
            Whether the worker also ingests files.
        """
        if not 0 <= index < n_workers:
            raise ValueError(f"Worker {index} of {n_workers}: expected 0 to {n_workers - 1}.")
        own = tuple(str(shard) for shard in range(n_shards) if shard % n_workers == index)
        return cls(
            first=("exposures", *(("ingest",) if ingests else ()), "dispatch"),
            own=own,
            others=tuple(str(shard) for shard in range(n_shards) if str(shard) not in own),
            pools=("images", "ingest") if ingests else ("images",),
        )

    def adopt(self, shards: Iterable[str]) -> WorkerShards:
        """Help with the shards of detectors that no worker would know.

        Parameters
        ----------
        shards
            Shards that exist, as `JobQueue.shards` tells.

        Returns
        -------
        shards
            These, and those that are left from a time when the service had
            more shards.
        """
        known = {*self.own, *self.others}
        left = tuple(name for name in sorted(shards) if name.isdigit() and name not in known)
        return dataclasses.replace(self, others=(*self.others, *left))

    @classmethod
    def for_ingest(cls) -> WorkerShards:
        """Return what a worker takes that only ingests files."""
        return cls(first=("ingest",), pools=("ingest",))


@dataclasses.dataclass(frozen=True)
class Lease:
    """A job that a worker has taken, and must settle."""

    key: str
    """Identity of the job; a gathering has another one each time."""

    job: Job
    """What to do."""

    attempt: int
    """Number of this attempt, from 1."""

    generation: int
    """Number of earlier gatherings of the same exposure."""

    queued: float
    """Unix time (s) at which the job was queued."""

    taken: float
    """Unix time (s) at which this attempt began."""

    is_own: bool
    """Whether the job is from a shard that the worker owns."""

    runs: tuple[str, ...] = ()
    """RUN collections with the detectors, for a job that gathers."""


@dataclasses.dataclass(frozen=True)
class DeadLetter:
    """A job that failed for good."""

    id: str
    """Identifier, for `JobQueue.retry`."""

    job: Job
    """What was to be done."""

    reason: str
    """Why it failed, with the data ID."""

    detail: str
    """Traceback or output, if there is one."""

    attempts: int
    """Number of attempts."""

    time: float
    """Unix time (s) of the last one's end."""


@dataclasses.dataclass(frozen=True)
class RejectedEvent:
    """An event that was refused, with its bytes."""

    body: bytes
    """What came."""

    origin: str
    """Where it came from."""

    code: str
    """Kind of the reason."""

    reason: str
    """What was expected, and what came."""

    time: float = 0.0
    """Unix time (s) of the refusal."""
