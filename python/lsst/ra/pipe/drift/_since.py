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
from ._snapshot import Level, OriginKind, Setting, Snapshot


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
    changes = []
    for difference in changed.differences:
        now = differs.get(_key(difference))
        setting = _find_override(difference, theirs, reference)
        if now is None:
            reach = Reach.REPEATED if setting else Reach.INHERITED
        else:
            reach = Reach.SHADOWED if setting or _is_set(now) else Reach.MISSING
        place = setting.set_by if setting else now.candidate.set_by if now else None
        changes.append(
            Change(
                difference=difference,
                reach=reach,
                candidate=now,
                set_by=str(place) if place and reach is not Reach.INHERITED else "",
                entries=_find_entries(difference, policy, before, after),
            )
        )
    return ChangeReport(
        old=old.title,
        reference=reference.title,
        candidate=candidate.title,
        level=changed.level,
        changes=tuple(changes),
    )


def _key(difference: Difference) -> tuple[DifferenceKind, str, str]:
    return difference.kind, difference.task, difference.name


def _is_set(difference: Difference) -> bool:
    """Tell whether some file of the candidate says how it is."""
    origin = difference.candidate.set_by
    return origin is not None and origin.kind is not OriginKind.DEFAULT


def _find_override(difference: Difference, candidate: Snapshot, reference: Snapshot) -> Setting | None:
    """Find the candidate's own setting of a field, in a file that is not the
    reference's.
    """
    task = candidate.tasks.get(difference.task)
    if difference.kind is not DifferenceKind.FIELD or task is None:
        return None
    setting = task.config.get(difference.name)
    if setting is None or setting.set_by is None or setting.set_by.kind is OriginKind.DEFAULT:
        return None
    return setting if setting.set_by.file not in reference.sources else None


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
