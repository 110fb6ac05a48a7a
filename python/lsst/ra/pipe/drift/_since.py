# This file is part of ra_pipe.
#
# Use of this source code is governed by a 3-clause BSD-style
# license that can be found in the LICENSE file.

"""What a reference changed, and what of that reaches the candidate."""

from __future__ import annotations

__all__ = ("Change", "ChangeReport", "Reach", "trace_changes")

import enum

import pydantic

from ._compare import compare_snapshots
from ._difference import Comparison, Difference, DifferenceKind
from ._policy import Policy, PolicyEntry
from ._snapshot import Level, Origin, OriginKind, Parameter, Setting, Snapshot
from ._values import JsonValue, sort_key


class Reach(enum.StrEnum):
    """Whether a change of the reference reaches the candidate."""

    INHERITED = "inherited"
    """The candidate has it without doing anything."""
    REPEATED = "repeated"
    """The candidate has it, but says so itself: its override is not needed
    any more.
    """
    SHADOWED = "shadowed"
    """An override of the candidate hides it."""
    MISSING = "missing"
    """The candidate does not have it, and no override of it says so."""


class _Model(pydantic.BaseModel, frozen=True, extra="forbid", use_attribute_docstrings=True):
    """Base of the records."""


class Change(_Model):
    """A change of the reference."""

    difference: Difference
    """What changed: ``reference`` is how it was, ``candidate`` how it is."""
    reach: Reach
    """Whether the candidate has it."""
    candidate: Difference | None = None
    """How the candidate differs from the reference now, if it does."""
    set_by: str = ""
    """The candidate's override, if it has one."""
    entries: tuple[PolicyEntry, ...] = ()
    """Entries of the policy that are about this, before or after."""


class ChangeReport(_Model):
    """All changes of a reference since a snapshot."""

    old: str
    """The snapshot, as it was named."""
    reference: str
    """The reference now, as it was named."""
    candidate: str
    """The candidate, as it was named."""
    level: Level
    """Level at which the reference was compared with itself."""
    changes: tuple[Change, ...]
    """The changes, sorted."""

    @property
    def exit_code(self) -> int:
        """0 if all changes reach the candidate, 1 if not (`int`)."""
        return 1 if any(one.reach in (Reach.SHADOWED, Reach.MISSING) for one in self.changes) else 0


def trace_changes(
    old: Snapshot, reference: Snapshot, candidate: Snapshot, policy: Policy | None = None
) -> ChangeReport:
    """Tell what a reference changed, and what of that reaches a candidate.

    Parameters
    ----------
    old
        The reference as it was.
    reference
        The reference as it is.
    candidate
        Pipeline that is built on the reference.
    policy
        Differences that are allowed between reference and candidate.

    Returns
    -------
    report
        Every change, with its reach, and the entries of the policy that
        are about it.

    Raises
    ------
    DriftError
        If they cannot be compared with each other.
    """
    changed = compare_snapshots(old, reference)
    before = compare_snapshots(old, candidate)
    after = compare_snapshots(reference, candidate)
    differs = {_key(one): one for one in after.differences}
    level = min(changed.level, after.level, key=list(Level)[::-1].index)
    theirs = candidate.at(level) or candidate
    return ChangeReport(
        old=old.title,
        reference=reference.title,
        candidate=candidate.title,
        level=changed.level,
        changes=tuple(
            _trace_change(
                difference,
                differs.get(_new_key(difference)),
                _find_override(difference, theirs, reference),
                _lacks(theirs, difference),
                _find_entries(difference, policy, before, after),
            )
            for difference in changed.differences
        ),
    )


def _trace_change(
    difference: Difference,
    now: Difference | None,
    override: Origin | None,
    lacks: bool,
    entries: tuple[PolicyEntry, ...],
) -> Change:
    """Tell what of a change reaches the candidate, given how that differs now,
    what of it sets the same, and whether it has no such thing at all.
    """
    if now is None and lacks:
        reach = Reach.MISSING
    elif now is None:
        reach = Reach.REPEATED if override else Reach.INHERITED
    elif _is_carried(difference, now.candidate.value):
        reach = Reach.INHERITED
    else:
        reach = Reach.SHADOWED if override or _is_set(now) else Reach.MISSING
    place = override or (now.candidate.set_by if now else None)
    return Change(
        difference=difference,
        reach=reach,
        candidate=now,
        set_by=str(place) if place and reach is not Reach.INHERITED else "",
        entries=entries,
    )


def _lacks(candidate: Snapshot, difference: Difference) -> bool:
    """Tell whether the candidate has nothing of the kind, which is no
    difference where it follows from another one: it has not the task, or not
    chosen the plugin.
    """
    if difference.candidate.is_absent:
        return False
    kind, label, name = _new_key(difference)
    task = candidate.tasks.get(label)
    match kind:
        case DifferenceKind.FIELD:
            return task is None or name not in task.config
        case DifferenceKind.SUBSET:
            return name not in candidate.subsets
        case DifferenceKind.STEP:
            return "steps" not in candidate.omits and name not in candidate.steps
        case DifferenceKind.CONTRACT:
            known = {one.contract for one in candidate.contracts}
            return "contracts" not in candidate.omits and name not in known
        case DifferenceKind.PARAMETER | DifferenceKind.INSTRUMENT:
            return False
        case _:
            return task is None


def _is_carried(difference: Difference, candidate: JsonValue) -> bool:
    """Tell whether the candidate has what was added to a selection, and has
    not what was removed, though it selects more.
    """
    if difference.kind not in (DifferenceKind.FIELD, DifferenceKind.SUBSET):
        return False
    old, new, theirs = map(_members_of, (difference.reference.value, difference.candidate.value, candidate))
    if old is None or new is None or theirs is None:
        return False
    return new - old <= theirs and not (old - new) & theirs


def _members_of(value: JsonValue) -> set[tuple[str, str]] | None:
    """Return the members of a set, or the edits of one; `None` if it is none."""
    match value:
        case {"$absent": _}:
            return set()
        case {"$set": members}:
            return {("add", sort_key(one)) for one in members}
        case {"$edits": edits} if "$base" not in value and {verb for verb, _ in edits} <= {"add", "remove"}:
            return {(verb, sort_key(one)) for verb, members in edits for one in members}
        case _:
            return None


def _key(difference: Difference) -> tuple[DifferenceKind, str, str]:
    return difference.kind, difference.task, difference.name


def _new_key(difference: Difference) -> tuple[DifferenceKind, str, str]:
    """Return the key of a difference that others have from the new state,
    where what changed may be the name itself.
    """
    kind, task, name = _key(difference)
    new = difference.candidate.value
    is_renamed = difference.reference.value == (task if kind is DifferenceKind.TASK else name)
    if kind in _NAMED and is_renamed and isinstance(new, str):
        return (kind, new, name) if kind is DifferenceKind.TASK else (kind, task, new)
    return kind, task, name


_NAMED = (DifferenceKind.BLOCK, DifferenceKind.CONTRACT, DifferenceKind.SUBSET, DifferenceKind.TASK)
"""Kinds of difference in which a name or text may differ."""


def _is_set(difference: Difference) -> bool:
    """Tell whether some file of the candidate says how it is."""
    origin = difference.candidate.set_by
    return origin is not None and origin.kind is not OriginKind.DEFAULT


def _find_override(difference: Difference, candidate: Snapshot, reference: Snapshot) -> Origin | None:
    """Find where the candidate itself sets a field or parameter: in a file
    that is not the reference's.
    """
    found: Setting | Parameter | None = None
    if difference.kind is DifferenceKind.PARAMETER:
        found = candidate.parameters.get(difference.name)
    elif difference.kind is DifferenceKind.FIELD and difference.task in candidate.tasks:
        found = candidate.tasks[difference.task].config.get(difference.name)
    origin = found.set_by if found else None
    if origin is None or origin.kind is OriginKind.DEFAULT or origin.file in reference.sources:
        return None
    return origin


def _find_entries(
    difference: Difference, policy: Policy | None, before: Comparison, after: Comparison
) -> tuple[PolicyEntry, ...]:
    """Find the entries that allow, or allowed, the candidate to differ."""
    about = [
        (comparison, one)
        for comparison in (before, after)
        for one in comparison.differences
        if _key(one) == _key(difference)
    ]
    return tuple(
        entry
        for entry in (policy.allow if policy else ())
        if any(entry.applies_to(comparison) and entry.is_about(one) for comparison, one in about)
    )
