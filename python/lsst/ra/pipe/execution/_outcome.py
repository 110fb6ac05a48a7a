# This file is part of ra_pipe.
#
# Use of this source code is governed by a 3-clause BSD-style
# license that can be found in the LICENSE file.

from __future__ import annotations

__all__ = ("ImageObserver", "ImageReport", "QuantumOutcome", "QuantumStatus")

import dataclasses
import enum
from collections.abc import Callable, Mapping
from typing import Any


class QuantumStatus(enum.StrEnum):
    """What became of one quantum."""

    SUCCEEDED = "succeeded"
    """The task ran, and its outputs are in the repository."""

    EXISTED = "existed"
    """The outputs were in the repository already; nothing was done."""

    NO_WORK = "no work"
    """The task found nothing to do, which is no failure."""

    MISSING_INPUT = "missing input"
    """An input of the whole pipeline, as a rule the raw, is not in the
    repository, or its file is not there (yet)."""

    FAILED = "failed"
    """The task failed, or could not use its data; none of its outputs are in
    the repository."""

    BLOCKED = "blocked"
    """An input is missing because of an earlier failure."""

    NOT_APPLICABLE = "not applicable"
    """The exposure has no visit, which the task is defined on."""


_FAILURES = (QuantumStatus.FAILED, QuantumStatus.MISSING_INPUT)


@dataclasses.dataclass(frozen=True)
class QuantumOutcome:
    """Outcome of one quantum."""

    task: str
    """Label of the task in the pipeline."""

    status: QuantumStatus
    """What became of it."""

    seconds: float = 0.0
    """Wall-clock time (s) of the task's ``runQuantum``, with its Butler input
    and output."""

    reason: str = ""
    """Why it did not succeed, with the data ID; empty when it did."""

    detail: str = ""
    """Traceback, if the task raised an exception."""

    @property
    def produced(self) -> bool:
        """Whether the outputs are in the repository (`bool`)."""
        return self.status in (QuantumStatus.SUCCEEDED, QuantumStatus.EXISTED)

    @property
    def usable(self) -> bool:
        """Whether the tasks that read its outputs may run (`bool`).  After a
        task that found no work they find out for themselves what is left.
        """
        return self.produced or self.status is QuantumStatus.NO_WORK


@dataclasses.dataclass(frozen=True)
class ImageReport:
    """Outcome of all quanta of one image: a detector, or a whole exposure."""

    instrument: str
    """Butler ``instrument``."""

    exposure: int
    """Butler ``exposure``."""

    detector: int | None
    """Butler ``detector``; `None` for the tasks that gather an exposure."""

    outcomes: tuple[QuantumOutcome, ...]
    """One outcome a task, in the order of execution."""

    overhead_seconds: float = 0.0
    """Wall-clock time (s) outside the tasks: look-ups, set-up, metadata,
    registration."""

    published: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    """Content of the datasets that the runner was asked to publish, by dataset
    type; those that were not produced are not in it."""

    detectors: tuple[int, ...] = ()
    """Detectors whose outputs were gathered; none unless the tasks that
    gather ran."""

    steps: Mapping[str, float] = dataclasses.field(default_factory=dict)
    """Wall-clock time (s) of each step; their sum is the whole time."""

    run: str = ""
    """RUN collection of the outputs; empty if the image was not run."""

    @property
    def failed(self) -> bool:
        """Whether any quantum failed or was blocked (`bool`)."""
        return any(o.status in (*_FAILURES, QuantumStatus.BLOCKED) for o in self.outcomes)

    @property
    def missing_input(self) -> bool:
        """Whether an input of the whole pipeline was missing (`bool`)."""
        return any(o.status is QuantumStatus.MISSING_INPUT for o in self.outcomes)

    @property
    def first_failure(self) -> QuantumOutcome | None:
        """The failure that the others follow from (`QuantumOutcome`)."""
        return next((o for o in self.outcomes if o.status in _FAILURES), None)


ImageObserver = Callable[[ImageReport], object]
"""What is called with the report of each image, once its outputs are in the
repository.  It may be called again with the same image."""
