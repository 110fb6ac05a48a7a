# This file is part of ra_pipe.
#
# Use of this source code is governed by a 3-clause BSD-style
# license that can be found in the LICENSE file.

"""What is not the same in two pipelines."""

from __future__ import annotations

__all__ = ("Comparison", "Difference", "DifferenceKind", "Side")

import enum

from ._record import Record
from ._snapshot import Level, Origin
from ._values import ABSENT, JsonValue, format_value


class DifferenceKind(enum.StrEnum):
    """What differs."""

    INSTRUMENT = "instrument"
    """The instrument class."""
    TASK = "task"
    """A task that one side does not have, or has under another label."""
    CLASS = "class"
    """The class of a task."""
    DIMENSIONS = "dimensions"
    """The dimensions of a task."""
    FIELD = "field"
    """The value of a configuration field."""
    BLOCK = "block"
    """A statement whose effect is not known without running it."""
    ORDER = "order"
    """A field that is set before such a statement in one, after it in the
    other.
    """
    CONNECTION = "connection"
    """Dataset type, storage class or dimensions of a connection."""
    SUBSET = "subset"
    """A subset, or its members."""
    STEP = "step"
    """A step, or what it is sharded by."""
    CONTRACT = "contract"
    """A contract."""
    PARAMETER = "parameter"
    """The value of a parameter."""


class Side(Record):
    """How one of the two pipelines has it."""

    value: JsonValue = ABSENT
    """Encoded value; `ABSENT` if it has nothing of the kind."""
    set_by: Origin | None = None
    """What set it last, where that is recorded."""

    @property
    def is_absent(self) -> bool:
        """Whether this side has nothing of the kind."""
        return bool(self.value == ABSENT)

    def __str__(self) -> str:
        return format_value(self.value)


class Difference(Record):
    """Something that is not the same in two pipelines."""

    kind: DifferenceKind
    """What differs."""
    task: str = ""
    """Label of the task, as the reference has it; empty for what is not of
    one task.
    """
    name: str = ""
    """Name of the field, connection, subset, step or parameter, or the text
    of the contract or statement.
    """
    reference: Side = Side()
    """How the reference has it."""
    candidate: Side = Side()
    """How the candidate has it."""

    @property
    def subject(self) -> str:
        """What differs, in a few words (`str`)."""
        where = ".".join(part for part in (self.task, self.name) if part)
        return where if self.kind is DifferenceKind.FIELD else f"{self.kind} {where}".rstrip()


class Comparison(Record):
    """How a candidate differs from a reference."""

    reference: str
    """The reference, as it was named."""
    candidate: str
    """The candidate, as it was named."""
    level: Level
    """Level at which they were compared."""
    reason: str = ""
    """Why they were not compared at the resolved level; empty if they were."""
    omits: tuple[str, ...] = ()
    """What could not be compared because a snapshot does not record it."""
    differences: tuple[Difference, ...]
    """All differences, sorted."""
