# This file is part of ra_pipe.
#
# Use of this source code is governed by a 3-clause BSD-style
# license that can be found in the LICENSE file.

"""What may differ, and why."""

from __future__ import annotations

__all__ = ("ANY_VALUE", "Category", "Place", "Policy", "PolicyEntry", "PolicyPair")

import datetime
import enum
import fnmatch
import re
from typing import Annotated, Any, Literal

import pydantic

from .._difference import Comparison, Difference, DifferenceKind
from .._record import Record
from .._snapshot import Level
from .._values import JsonValue, encode_value, find_changed_members, same_class, same_value, sort_key

ANY_VALUE: JsonValue = {"$any": True}
"""Stands for a value that an entry does not limit."""

_KIND_OF_KEY = {
    "field": DifferenceKind.FIELD,
    "connection": DifferenceKind.CONNECTION,
    "subset": DifferenceKind.SUBSET,
    "step": DifferenceKind.STEP,
    "contract": DifferenceKind.CONTRACT,
    "parameter": DifferenceKind.PARAMETER,
    "block": DifferenceKind.BLOCK,
    "order": DifferenceKind.ORDER,
    "class": DifferenceKind.CLASS,
    "dimensions": DifferenceKind.DIMENSIONS,
    "exists": DifferenceKind.TASK,
    "instrument": DifferenceKind.INSTRUMENT,
}
"""Kind of difference that each key of an entry is about."""

_OF_PIPELINE = frozenset({"subset", "step", "contract", "parameter", "instrument"})
"""Keys about what is not of one task."""

_LEVEL_OF_KIND = {
    DifferenceKind.CONNECTION: Level.RESOLVED,
    DifferenceKind.DIMENSIONS: Level.RESOLVED,
    DifferenceKind.BLOCK: Level.DECLARED,
    DifferenceKind.ORDER: Level.DECLARED,
}
"""Kinds of difference that only one level has."""

_OMITTED_AS = {
    DifferenceKind.CONTRACT: "contracts",
    DifferenceKind.STEP: "steps",
    DifferenceKind.PARAMETER: "parameters",
    DifferenceKind.INSTRUMENT: "instrument",
}
"""What `Comparison.omits` calls the kinds that it may name."""


class Category(enum.StrEnum):
    """What a difference is for."""

    LATENCY = "latency"
    """The answer comes sooner."""
    ANALYSIS = "analysis"
    """Observers see more, or more clearly."""
    SCIENCE = "science"
    """The pipelines have other aims, and so other science."""
    SITE = "site"
    """Where it runs: collections, file systems, services."""


def _check_text(value: str) -> str:
    """Reject text that says nothing."""
    value = value.strip()
    if not value:
        raise ValueError("is empty")
    return value


def _as_list(value: Any) -> Any:
    """Let one glob stand for a list of one."""
    values = value if isinstance(value, list | tuple) else [value]
    if not values:
        raise ValueError("is empty")
    return values


def _read_date(value: Any) -> datetime.date:
    """Accept dates as YYYY-MM-DD only; pydantic would take any number."""
    if type(value) is datetime.date:
        return value
    if isinstance(value, str) and re.fullmatch(r"\d{4}-\d\d-\d\d", value):
        return datetime.date.fromisoformat(value)
    raise ValueError("expected a date, YYYY-MM-DD")


Text = Annotated[str, pydantic.AfterValidator(_check_text)]
Globs = Annotated[tuple[Text, ...], pydantic.BeforeValidator(_as_list)]
Date = Annotated[datetime.date, pydantic.BeforeValidator(_read_date)]
Value = Annotated[JsonValue, pydantic.BeforeValidator(encode_value)]
Members = Annotated[
    tuple[JsonValue, ...], pydantic.BeforeValidator(lambda value: encode_value(_as_list(value)))
]


class Place(Record):
    """Where a part of a policy is."""

    file: str
    """The file, as it was named."""
    line: int
    """Line, from one."""

    def __str__(self) -> str:
        return f"{self.file}:{self.line}"


class PairKeys(Record):
    """Keys of a pair in a file."""

    reference: Text
    """Pipeline or snapshot that is held to be right."""
    candidate: Text
    """Pipeline or snapshot that is compared with it."""


class PolicyPair(PairKeys):
    """Two pipelines that the gate compares."""

    place: Place
    """Where it is."""


class EntryKeys(Record):
    """Keys of an entry in a file."""

    task: Globs = ("*",)
    """Labels of the tasks; what is not of one task has an empty label."""
    field: Globs | None = None
    """Dotted names of configuration fields."""
    connection: Globs | None = None
    """Names of connections."""
    subset: Globs | None = None
    """Names of subsets."""
    step: Globs | None = None
    """Names of steps."""
    contract: Globs | None = None
    """Texts of contracts."""
    parameter: Globs | None = None
    """Names of parameters."""
    block: Globs | None = None
    """Texts of statements that were not worked out."""
    order: Globs | None = None
    """Dotted names of fields set on another side of such a statement."""
    task_class: Literal[True] | None = pydantic.Field(default=None, alias="class")
    """The class of the task."""
    dimensions: Literal[True] | None = None
    """The dimensions of the task."""
    exists: Literal[True] | None = None
    """That one side does not have the task."""
    instrument: Literal[True] | None = None
    """The instrument of the pipeline."""
    reference: Value = ANY_VALUE
    """Value of the reference, encoded."""
    candidate: Value = ANY_VALUE
    """Value of the candidate, encoded."""
    adds: Members | None = None
    """All members that the candidate has and the reference does not."""
    removes: Members | None = None
    """All members that the reference has and the candidate does not."""
    category: Category
    """What the difference is for."""
    reason: Text
    """Why it is meant, in a sentence."""
    ticket: Text | None = None
    """Where it was decided."""
    expires: Date | None = None
    """Last day on which it is allowed."""
    propagate: bool = False
    """Whether it is offered back to the reference."""
    level: Level | None = None
    """Level at which it is allowed; `None` for both."""

    @pydantic.model_validator(mode="after")
    def _check_keys(self) -> EntryKeys:
        """Reject what could never match anything, or too much."""
        given = self._given()
        if len(given) != 1:
            raise ValueError(
                f"expected exactly one of {', '.join(_KIND_OF_KEY)}; got {' and '.join(given) or 'none'}"
            )
        if given[0] in _OF_PIPELINE and self.task != ("*",):
            raise ValueError(f"{given[0]} is not of one task; leave out task, got {', '.join(self.task)!r}")
        only = _LEVEL_OF_KIND.get(_KIND_OF_KEY[given[0]])
        if only and self.level and self.level is not only:
            raise ValueError(f"{given[0]} is of the {only} level only; got level {str(self.level)!r}")
        return self

    def _given(self) -> list[str]:
        """Return the keys that say what it is about."""
        values = {"class": self.task_class}
        return [key for key in _KIND_OF_KEY if values.get(key, getattr(self, key, None)) is not None]


class PolicyEntry(EntryKeys):
    """A difference, or several alike, that are meant."""

    place: Place
    """Where it is."""

    @property
    def key(self) -> str:
        """The key that says what it is about (`str`)."""
        return self._given()[0]

    @property
    def kind(self) -> DifferenceKind:
        """What differs (`DifferenceKind`)."""
        return _KIND_OF_KEY[self.key]

    @property
    def names(self) -> tuple[str, ...]:
        """Globs of the names it is about; empty where nothing has a name
        (`tuple` [`str`]).
        """
        value = getattr(self, self.key, None)
        return value if isinstance(value, tuple) else ()

    @property
    def subject(self) -> str:
        """What it is about, in a few words (`str`)."""
        names = ", ".join(self.names)
        of = "" if self.key in _OF_PIPELINE else f" of {', '.join(self.task)}"
        return f"{self.key} {names}".rstrip() + of

    def is_expired(self, today: datetime.date) -> bool:
        """Tell whether its last day is over.

        Parameters
        ----------
        today
            The date.

        Returns
        -------
        expired
            Whether it is later than ``expires``.
        """
        return self.expires is not None and today > self.expires

    def applies_to(self, comparison: Comparison) -> bool:
        """Tell whether a comparison could show what this is about.

        Parameters
        ----------
        comparison
            A comparison.

        Returns
        -------
        applies
            Whether the level is right, and what differs was compared.
        """
        levels = {self.level, _LEVEL_OF_KIND.get(self.kind)} - {None}
        if self.kind is DifferenceKind.FIELD and all(name.endswith(".target") for name in self.names):
            omitted = "targets" in comparison.omits
        else:
            omitted = _OMITTED_AS.get(self.kind) in comparison.omits
        return levels <= {comparison.level} and not omitted

    def is_about(self, difference: Difference) -> bool:
        """Tell whether this is about a difference, whatever its values.

        Parameters
        ----------
        difference
            A difference.

        Returns
        -------
        about
            Whether kind, task and name match.
        """
        return (
            difference.kind is self.kind
            and any(matches_glob(difference.task, glob) for glob in self.task)
            and (not self.names or any(matches_glob(difference.name, glob) for glob in self.names))
        )

    def matches(self, difference: Difference) -> bool:
        """Tell whether this allows a difference, if it has not expired.

        Parameters
        ----------
        difference
            A difference.

        Returns
        -------
        matches
            Whether kind, task, name and values match.
        """
        return (
            self.is_about(difference)
            and _is_value(difference.reference.value, self.reference)
            and _is_value(difference.candidate.value, self.candidate)
            and self._allows_members(difference)
        )

    def _allows_members(self, difference: Difference) -> bool:
        """Tell whether just these members come and go, if any are named."""
        if self.adds is None and self.removes is None:
            return True
        values = difference.reference.value, difference.candidate.value
        allowed = [{sort_key(one) for one in members or ()} for members in (self.adds, self.removes)]
        return find_changed_members(*values, difference.name) == tuple(allowed)


class Policy(Record):
    """Which differences are meant, and why."""

    description: str = ""
    """What it is for."""
    compare: tuple[PolicyPair, ...] = ()
    """The pairs that the gate compares."""
    allow: tuple[PolicyEntry, ...] = ()
    """What may differ, in the order of the file."""
    file: str = ""
    """The file, as it was named."""


def _is_value(value: JsonValue, allowed: JsonValue) -> bool:
    """Compare a value with one that a policy names.

    In a policy a class or an expression may be written as plain text.
    """
    match value, allowed:
        case _, {"$any": _}:
            return True
        case {"$class": name}, str():
            return same_class(name, allowed)
        case {"$expression": text} | {"$repr": text}, str():
            return bool(text == allowed)
        case _:
            return same_value(value, allowed)


def matches_glob(name: str, glob: str) -> bool:
    """Compare a name with a glob, in which brackets are plain characters."""
    return fnmatch.fnmatchcase(name, glob.replace("[", "[[]"))
