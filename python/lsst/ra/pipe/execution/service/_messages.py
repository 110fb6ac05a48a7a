# This file is part of ra_pipe.
#
# Use of this source code is governed by a 3-clause BSD-style
# license that can be found in the LICENSE file.

"""What a worker's supervisor and its child say to each other, as JSON."""

from __future__ import annotations

__all__ = ("JobOutcome", "JobRequest", "JobResult", "QuantumReport")

import enum
from typing import Any

import pydantic

from ..queue import Job


class JobRequest(pydantic.BaseModel, frozen=True, extra="forbid", use_attribute_docstrings=True):
    """What the child is to do."""

    job: Job
    """The job."""

    generation: int = 0
    """Number of earlier gatherings of the same exposure."""

    runs: tuple[str, ...] = ()
    """RUN collections with the detectors, for a job that gathers."""


class JobOutcome(enum.StrEnum):
    """What became of an attempt."""

    DONE = "done"
    """The outputs are in the Butler, or there is nothing to do."""

    NOT_READY = "not ready"
    """An input that was announced is not there yet."""

    UNAVAILABLE = "unavailable"
    """A server that it needs does not answer, which is not the image's
    fault."""

    FAILED = "failed"
    """It failed."""


class QuantumReport(pydantic.BaseModel, frozen=True, extra="forbid", use_attribute_docstrings=True):
    """Outcome of one quantum."""

    task: str
    """Label of the task."""

    status: str
    """`~lsst.ra.pipe.execution.QuantumStatus`."""

    seconds: float
    """Wall-clock time (s) of the task."""

    reason: str = ""
    """Why it did not succeed."""


class JobResult(pydantic.BaseModel, frozen=True, extra="forbid", use_attribute_docstrings=True):
    """What the child did."""

    outcome: JobOutcome
    """What became of it."""

    reason: str = ""
    """Why it is not done, with the data ID."""

    detail: str = ""
    """Traceback of a failure."""

    run: str | None = None
    """RUN collection of the outputs."""

    quanta: tuple[QuantumReport, ...] = ()
    """Outcome of each task."""

    overhead_seconds: float = 0.0
    """Wall-clock time (s) outside the tasks."""

    published: dict[str, Any] = {}
    """Content of the datasets that the rule publishes, by dataset type."""

    detectors: tuple[int, ...] = ()
    """Detectors that were gathered."""

    unheard: tuple[str, ...] = ()
    """What observers raised when they were told of the image."""

    follow_ups: tuple[Job, ...] = ()
    """Jobs that result from this one."""
