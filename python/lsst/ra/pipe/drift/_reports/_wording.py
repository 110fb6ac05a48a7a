# This file is part of ra_pipe.
#
# Use of this source code is governed by a 3-clause BSD-style
# license that can be found in the LICENSE file.

"""What all reports say in the same words."""

from __future__ import annotations

__all__ = (
    "SideText",
    "count",
    "describe_judgement",
    "describe_level",
    "describe_omits",
    "describe_sides",
    "name_difference",
    "name_pair",
    "summarise",
)

import collections
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from .._difference import Comparison, Difference, DifferenceKind, Side
from .._policy import JudgedDifference, Verdict
from .._snapshot import Level, OriginKind
from .._values import JsonValue, format_value, sort_key

_NO_FILE = {
    OriginKind.DEFAULT: "the task's default",
    OriginKind.INSTRUMENT: "the instrument",
    OriginKind.PIPELINE: "the pipeline",
    OriginKind.FILE: "an override file",
    OriginKind.PYTHON: "a python block",
}
"""What set something, if it is not known where."""

_KIND_OF_FILE = {
    OriginKind.DEFAULT: " (default)",
    OriginKind.INSTRUMENT: " (instrument)",
    OriginKind.PYTHON: " (python block)",
}
"""What is added to the name of a file."""

_LONG = 72
"""Characters of a value that is shown whole."""

_CONTEXT = 16
"""Characters before and after the part of long values that differs."""


def count(number: int, noun: str) -> str:
    """Write a number of things."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def summarise(verdict: Verdict) -> str:
    """Say in a line what came out."""
    parts = [count(verdict.n_undeclared, "undeclared difference"), f"{verdict.n_allowed} allowed"]
    if verdict.faults:
        parts.append(count(len(verdict.faults), "fault") + " of the policy")
    return ", ".join(parts)


def name_pair(comparison: Comparison) -> str:
    """Name what was compared."""
    return f"{comparison.reference} -> {comparison.candidate}"


def describe_level(comparison: Comparison) -> str:
    """Name the level, and why it is not the resolved one."""
    return f"{comparison.level}: {comparison.reason}" if comparison.reason else str(comparison.level)


def describe_omits(comparison: Comparison) -> str:
    """Name what was not compared; empty if that is nothing."""
    return f"{', '.join(comparison.omits)} (not recorded)" if comparison.omits else ""


def name_difference(difference: Difference) -> str:
    """Name what differs; the text of statements and contracts is left to the
    values.
    """
    if difference.kind in (DifferenceKind.BLOCK, DifferenceKind.CONTRACT):
        return f"{difference.kind} {difference.task}".rstrip()
    return difference.subject


class SideText(NamedTuple):
    """One side of a difference, for a reader."""

    key: str
    """Which side."""
    value: str
    """The value, or what of it differs."""
    origin: str
    """What set it, and where; empty if there is nothing to set."""


def describe_sides(difference: Difference, level: Level) -> tuple[SideText, SideText]:
    """Write what both sides have, and what set that.

    Of two long lists, sets or mappings those members are shown that only one
    of them has.  Other long values lose what both have before and after the
    part that differs.
    """
    values = _describe_values(difference, level)
    return (
        SideText("reference", values[0], _describe_origin(difference.reference)),
        SideText("candidate", values[1], _describe_origin(difference.candidate)),
    )


def describe_judgement(judged: JudgedDifference) -> str:
    """Say why a difference is allowed, and by what, or why entries that are
    about it do not allow it; empty if there are none.
    """
    if (entry := judged.entry) is None:
        return judged.note
    details = [*([entry.ticket] if entry.ticket else []), str(entry.place)]
    details += [f"until {entry.expires}"] if entry.expires else []
    details += ["offered back"] if entry.propagate else []
    return f"{entry.category}: {entry.reason} ({', '.join(details)})"


def _describe_origin(side: Side) -> str:
    """Say what set one side, and where; empty if there is nothing to set."""
    origin = side.set_by
    if origin is None:
        return "" if side.is_absent else "not recorded"
    if not origin.file:
        return _NO_FILE[origin.kind]
    return f"{origin}{_KIND_OF_FILE.get(origin.kind, '')}"


def _describe_values(difference: Difference, level: Level) -> tuple[str, str]:
    """Write both values."""
    one, other = difference.reference, difference.candidate
    texts = _format(one, difference, level), _format(other, difference, level)
    if max(map(len, texts)) <= _LONG:
        return texts
    members = _members(one.value), _members(other.value)
    if members[0] is not None and members[1] is not None:
        return _contrast_members(members[0], members[1], is_ordered=isinstance(one.value, list))
    if one.is_absent or other.is_absent:
        return _shorten(texts[0], 4 * _LONG), _shorten(texts[1], 4 * _LONG)
    return _contrast_texts(*texts)


def _shorten(text: str, length: int) -> str:
    """Leave out the middle of a long text."""
    if len(text) <= length:
        return text
    kept = length - 3
    return f"{text[: kept - kept // 2]}...{text[len(text) - kept // 2 :]}"


def _format(side: Side, difference: Difference, level: Level) -> str:
    """Write a value; a field that is not set has its default."""
    if side.is_absent and difference.kind is DifferenceKind.FIELD:
        return "(not set)" if level is Level.DECLARED else "(no such field)"
    if difference.kind in (DifferenceKind.BLOCK, DifferenceKind.CONTRACT, DifferenceKind.ORDER):
        return side.value if isinstance(side.value, str) else format_value(side.value)
    return format_value(side.value)


def _members(value: JsonValue) -> list[tuple[str, str]] | None:
    """Return key and text of each member; `None` if this has no members."""
    match value:
        case {"$set": list() as members} | (list() as members):
            return [(sort_key(one), format_value(one)) for one in members]
        case dict() if not any(key.startswith("$") for key in value):
            return [(sort_key([key, one]), f"{key}: {format_value(one)}") for key, one in value.items()]
        case _:
            return None


def _contrast_members(
    one: Sequence[tuple[str, str]], other: Sequence[tuple[str, str]], *, is_ordered: bool
) -> tuple[str, str]:
    """Write the members that only one side has."""
    counts = [collections.Counter(key for key, _ in side) for side in (one, other)]
    texts = dict([*one, *other])
    extra = [list((counts[0] - counts[1]).elements()), list((counts[1] - counts[0]).elements())]
    if is_ordered and not extra[0] and not extra[1]:
        at = next((i for i, pair in enumerate(zip(one, other, strict=True)) if pair[0] != pair[1]), 0)
        named = [f"in another order, [{at}]: {side[at][1]}" for side in (one, other)]
    else:
        named = [f"only here: {_join(texts[key] for key in keys)}" if keys else "" for keys in extra]
    both = [
        f"{count(len(side), 'member')}{', ' if text else ''}{text}"
        for side, text in zip((one, other), named, strict=True)
    ]
    return both[0], both[1]


def _join(texts: Iterable[str]) -> str:
    """Write members in a row, none of them longer than a line."""
    return ", ".join(_shorten(text, _LONG) for text in texts)


def _contrast_texts(one: str, other: str) -> tuple[str, str]:
    """Leave out what two texts have in common, but for some context."""
    shortest = min(len(one), len(other))
    before = next((i for i in range(shortest) if one[i] != other[i]), shortest)
    left = shortest - before
    after = next((i for i in range(left) if one[-1 - i] != other[-1 - i]), left)
    both = []
    for text in (one, other):
        start, end = max(0, before - _CONTEXT), min(len(text), len(text) - after + _CONTEXT)
        part = _shorten(text[start:end], 4 * _LONG)
        both.append(f"{'...' if start else ''}{part}{'...' if end < len(text) else ''}")
    return both[0], both[1]
