# This file is part of ra_pipe.
#
# Use of this source code is governed by a 3-clause BSD-style
# license that can be found in the LICENSE file.

from __future__ import annotations

__all__ = ("GatherPlan", "Job", "JobKind", "JobOrder", "shard_of")

import enum
from typing import Any, Literal

import pydantic


class JobKind(enum.StrEnum):
    """What is to be done."""

    INGEST = "ingest"
    """Ingest one raw file, then queue its detector."""

    DISPATCH = "dispatch"
    """Queue an image whose exposure the Butler did not know yet."""

    DETECTOR = "detector"
    """Run what a rule says on one detector of an exposure."""

    EXPOSURE = "exposure"
    """Gather the detectors of an exposure."""


JobOrder = Literal["fifo", "newest-first"]
"""Whether the oldest job of a shard goes first, or that of highest rank."""


class GatherPlan(pydantic.BaseModel, frozen=True, extra="forbid", use_attribute_docstrings=True):
    """How the exposure of a detector is gathered."""

    id: str
    """Which exposure, and by which rule: ``<instrument>/<exposure>/<rule>``."""

    expected: tuple[int, ...]
    """Detectors that make the exposure complete; when empty, it is complete
    whenever no detector is queued."""

    deadline_ms: int = pydantic.Field(gt=0)
    """Time (ms) after the first detector's event at which the gathering no
    longer waits, and after which late detectors are gathered."""

    ttl_ms: int = pydantic.Field(gt=0)
    """Time (ms) for which Redis keeps the state after the last detector."""

    job: str
    """The `Job` that gathers, as JSON."""


class Job(pydantic.BaseModel, frozen=True, extra="forbid", use_attribute_docstrings=True):
    """One unit of work: what a worker takes, does, and acknowledges."""

    version: Literal[1] = 1
    """Version of this model."""

    kind: JobKind
    """What is to be done."""

    key: str
    """Identity: a second job of the same key is a duplicate."""

    shard: str
    """Stream that the job waits in; see `shard_of`."""

    order: JobOrder = "fifo"
    """Order within the shard."""

    rank: int = 0
    """The higher goes first, if ``order`` is ``newest-first``."""

    max_attempts: int = pydantic.Field(default=3, ge=1)
    """Attempts before the job goes to the dead letters."""

    time_limit: float = pydantic.Field(default=120.0, gt=0)
    """Time (s) after which an attempt is killed."""

    wait_limit: float = pydantic.Field(default=60.0, ge=0)
    """Time (s) to wait for an input that is announced but not there yet."""

    rule: str | None = None
    """Name of the dispatch rule."""

    instrument: str | None = None
    """Butler ``instrument``."""

    day_obs: int | None = None
    """Butler ``day_obs``."""

    exposure: int | None = None
    """Butler ``exposure``."""

    detector: int | None = None
    """Butler ``detector``."""

    event: dict[str, Any] | None = None
    """The event to ingest or to dispatch."""

    times: dict[str, float] = {}
    """Unix time (s) of what came before, by stage: ``shutter``, ``arrived``,
    ``ingested``."""

    gather: GatherPlan | None = None
    """How the exposure is gathered, for a detector that takes part in it."""

    gather_of: str | None = None
    """`GatherPlan.id`, for a job that gathers."""


def shard_of(detector: int, n_shards: int) -> str:
    """Return the shard of a detector.

    Parameters
    ----------
    detector
        Butler ``detector``.
    n_shards
        Number of shards, the same for all processes of a service.

    Returns
    -------
    shard
        Name of the shard.

    Notes
    -----
    A detector keeps its shard for ever, so the worker that owns the shard has
    that detector's calibrations in memory.
    """
    return str(detector % n_shards)
