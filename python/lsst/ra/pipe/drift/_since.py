# This file is part of ra_pipe.
#
# Use of this source code is governed by a 3-clause BSD-style
# license that can be found in the LICENSE file.

"""What a reference changed, and what of that reaches the candidate."""

from __future__ import annotations

__all__ = ("Change", "ChangeReport", "Reach", "trace_changes")

import dataclasses
import enum
from collections.abc import Iterator, Mapping

from ._compare import compare_snapshots
from ._difference import Comparison, Difference, DifferenceKind, Side
from ._hiding import (
    find_blocks,
    find_cover,
    find_own,
    find_template_users,
    is_assigned,
    is_carried,
    is_own,
    mentions,
)
from ._policy import Policy, PolicyEntry
from ._record import Record
from ._snapshot import Level, Origin, OriginKind, Setting, Snapshot, TaskSnapshot
from ._values import ABSENT, JsonValue, same_value


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
    UNKNOWN = "unknown"
    """A statement of the candidate that was not worked out may hide it."""


class Change(Record):
    """A change of the reference."""

    difference: Difference
    """What changed: ``reference`` is how it was, ``candidate`` how it is."""
    reach: Reach
    """Whether the candidate has it."""
    candidate: Difference | None = None
    """How the candidate differs from the reference now, if it does."""
    set_by: str = ""
    """The candidate's override, if it has one; the places of all of
    ``hidden_by``.
    """
    hidden_by: tuple[str, ...] = ()
    """What the candidate sets there, if that is something else than what
    changed: a field that follows from a parameter or template, the class of a
    subtask, a whole dictionary, a selection, or a statement that was not
    worked out.
    """
    entries: tuple[PolicyEntry, ...] = ()
    """Entries of the policy that are about this, before or after."""


class ChangeReport(Record):
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
        return 0 if all(one.reach in (Reach.INHERITED, Reach.REPEATED) for one in self.changes) else 1


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
    tracer = _Tracer(
        old.at(level) or old, reference.at(level) or reference, candidate.at(level) or candidate, differs
    )
    return ChangeReport(
        old=old.title,
        reference=reference.title,
        candidate=candidate.title,
        level=changed.level,
        changes=tuple(
            tracer.trace(difference).make_change(difference, _find_entries(difference, policy, before, after))
            for difference in changed.differences
        ),
    )


@dataclasses.dataclass(frozen=True)
class _Finding:
    """What of a change reaches the candidate, and why."""

    reach: Reach
    now: Difference | None = None
    """How the candidate differs from the reference now, if it does."""
    places: tuple[Origin, ...] = ()
    """What of the candidate sets it."""
    names: tuple[str, ...] = ()
    """Names of that, if they are not that of what changed."""

    def make_change(self, difference: Difference, entries: tuple[PolicyEntry, ...]) -> Change:
        """Make the record of a change."""
        is_inherited = self.reach is Reach.INHERITED
        return Change(
            difference=difference,
            reach=self.reach,
            candidate=self.now,
            set_by="" if is_inherited else ", ".join(dict.fromkeys(map(str, self.places))),
            hidden_by=() if is_inherited else self.names,
            entries=entries,
        )


_WORST = (Reach.SHADOWED, Reach.MISSING, Reach.UNKNOWN, Reach.REPEATED, Reach.INHERITED)
"""What tells most comes first."""


@dataclasses.dataclass(frozen=True)
class _Tracer:
    """Tells what of a change reaches the candidate."""

    old: Snapshot
    reference: Snapshot
    candidate: Snapshot
    differs: Mapping[tuple[DifferenceKind, str, str], Difference]
    """How the candidate differs from the reference now."""

    def trace(self, difference: Difference) -> _Finding:
        """Trace a change, and what follows from it."""
        itself = self._trace_itself(difference)
        others = [(one, self.trace(one)) for one in self._find_followers(difference)]
        found = [(one.subject, finding) for one, finding in others]
        found += self._find_unknown_followers(difference)
        worst = min([itself, *(one for _, one in found)], key=lambda one: _WORST.index(one.reach))
        if worst.reach is itself.reach:
            return itself
        alike = [(name, one) for name, one in found if one.reach is worst.reach]
        return _Finding(
            worst.reach,
            worst.now,
            tuple(place for _, one in alike for place in one.places),
            tuple(dict.fromkeys(name for subject, one in alike for name in one.names or (subject,))),
        )

    def _trace_itself(self, difference: Difference) -> _Finding:
        """Trace a change alone."""
        now = self.differs.get(_new_key(difference))
        if difference.kind is DifferenceKind.PARAMETER:
            parameter = self.candidate.parameters.get(difference.name)
            own = parameter.set_by if parameter and is_own(parameter.set_by, self.reference) else None
            return self._judge(difference, now, own)
        if difference.kind is not DifferenceKind.FIELD:
            return self._judge(difference, now, None)
        if now and same_value(now.candidate.value, difference.candidate.value):
            now = None
        setting = find_own(self._their_task(difference), difference.name, self.reference)
        # What code does by the way has no line of its own.
        is_direct = setting is not None and setting.set_by is not None and setting.set_by.line is not None
        if not is_direct and (covered := self._find_covered(difference, now)):
            return covered
        finding = self._judge(difference, now, setting.set_by if setting else None)
        if finding.reach in (Reach.INHERITED, Reach.REPEATED):
            return self._find_unknown(difference, now) or finding
        return finding

    def _their_task(self, difference: Difference) -> TaskSnapshot | None:
        return self.candidate.tasks.get(difference.task)

    def _judge(self, difference: Difference, now: Difference | None, own: Origin | None) -> _Finding:
        """Tell what of a change reaches the candidate, given how that differs
        now, and where it sets the same itself.
        """
        if now is None and _lacks(self.candidate, difference):
            reach = Reach.MISSING
        elif now is None:
            reach = Reach.REPEATED if own else Reach.INHERITED
        elif self._is_carried(difference, now):
            reach = Reach.INHERITED
        else:
            reach = Reach.SHADOWED if own or _is_set(now) else Reach.MISSING
        place = own or (now.candidate.set_by if now else None)
        if reach is Reach.MISSING and difference.kind is DifferenceKind.FIELD:
            place = self._find_class_line(difference.task) or place
        return _Finding(reach, now, (place,) if place else ())

    def _is_carried(self, difference: Difference, now: Difference) -> bool:
        """Tell whether the candidate has what was added to a selection or
        list, and has not what was removed.
        """
        old, new, theirs = difference.reference.value, difference.candidate.value, now.candidate.value
        if difference.kind is DifferenceKind.SUBSET:
            theirs = {"$set": []} if theirs == ABSENT else theirs
        elif difference.kind is not DifferenceKind.FIELD:
            return False
        is_set = isinstance(theirs, dict) and "$set" in theirs
        if not is_set and is_assigned(self.candidate, self.reference, difference.task, difference.name):
            # Members of a list may mean something by their place.
            return False
        return is_carried(old, new, theirs, difference.name)

    def _find_class_line(self, label: str) -> Origin | None:
        """Find the candidate's line that gives a task its class by another
        name, whereby pipe_base drops what it imports for that task.
        """
        sides = [side.at(Level.DECLARED) for side in (self.reference, self.candidate)]
        mine, theirs = (side.tasks.get(label) if side else None for side in sides)
        if mine and theirs and mine.task_class != theirs.task_class:
            return theirs.declared_by if is_own(theirs.declared_by, self.reference) else None
        return None

    def _find_covered(self, difference: Difference, now: Difference | None) -> _Finding | None:
        """Find what the candidate sets above a field."""
        cover = find_cover(self.candidate, self.reference, difference.task, difference.name)
        if cover is None:
            return None
        is_known = self.candidate.level is Level.RESOLVED and now is None
        if is_known and not cover.is_choice and not _lacks(self.candidate, difference):
            # What it sets above comes to the same.
            return None
        reach = Reach.REPEATED if same_value(cover.value, difference.candidate.value) else Reach.SHADOWED
        if cover.value == ABSENT:
            reach = Reach.SHADOWED
        return _Finding(reach, now, (cover.origin,), (f"{difference.task}.{cover.name}",))

    def _find_unknown(self, difference: Difference, now: Difference | None) -> _Finding | None:
        """Find statements of the candidate that may hide a change."""
        task = self._their_task(difference)
        blocks = list(find_blocks(task, difference.name, self.reference)) if task else []
        if not blocks:
            return None
        names = tuple(" ".join(block.code.split()) for block in blocks)
        return _Finding(Reach.UNKNOWN, now, tuple(block.set_by for block in blocks), names)

    def _find_followers(self, difference: Difference) -> Iterator[Difference]:
        """Find the fields of the reference that change with a parameter, the
        template of a connection or a whole dictionary.
        """
        if difference.kind is DifferenceKind.PARAMETER:
            yield from self._find_users(difference.name)
        elif difference.kind is DifferenceKind.FIELD and difference.task in self.reference.tasks:
            yield from self._find_connections(difference)
            yield from self._find_members(difference)

    def _find_users(self, parameter: str) -> Iterator[Difference]:
        """Find the fields that have the value of a parameter."""
        for label in sorted(self.reference.tasks.keys() & self.candidate.tasks.keys()):
            before = self.old.tasks[label].config if label in self.old.tasks else {}
            for name, setting in self.reference.tasks[label].config.items():
                then = before.get(name)
                own = find_own(self.candidate.tasks[label], name, self.reference)
                if not _follows(setting, parameter) or (own and _follows(own, parameter)):
                    continue
                if then is None or not same_value(then.value, setting.value):
                    yield _make_field_change(label, name, then, setting)

    def _find_connections(self, difference: Difference) -> Iterator[Difference]:
        """Find the connections that use a template, as named by it."""
        template = difference.name.removeprefix("connections.")
        if template == difference.name:
            return
        old, new = (
            "" if side.is_absent else str(side.value) for side in (difference.reference, difference.candidate)
        )
        task, theirs = self.reference.tasks[difference.task], self._their_task(difference)
        for name in find_template_users(task, template):
            setting = task.config[name]
            own = find_own(theirs, name, self.reference)
            if own and not mentions(own.value, template):
                values = [setting.value.replace(f"{{{template}}}", value) for value in (old, new)]
                sides = [Side(value=value, set_by=setting.set_by) for value in values]
                yield Difference(
                    kind=DifferenceKind.FIELD,
                    task=difference.task,
                    name=name,
                    reference=sides[0],
                    candidate=sides[1],
                )

    def _find_unknown_followers(self, difference: Difference) -> Iterator[tuple[str, _Finding]]:
        """Find connections of the candidate that may have used a template: at
        the declared level, what the task itself calls them is not known.
        """
        theirs = self._their_task(difference)
        is_name = difference.name.startswith("connections.") and difference.kind is DifferenceKind.FIELD
        if not is_name or theirs is None or self.candidate.level is not Level.DECLARED:
            return
        values = (difference.reference.value, difference.candidate.value)
        if any(isinstance(value, str) and "{" in value for value in values):
            # It uses templates, so it is none.
            return
        template = difference.name.removeprefix("connections.")
        mine = self.reference.tasks.get(difference.task)
        known = mine.config.keys() if mine else set()
        for name in sorted(theirs.config.keys() - known - {difference.name}):
            own = find_own(theirs, name, self.reference)
            is_fixed = name.startswith("connections.") and own and not mentions(own.value, template)
            if is_fixed and own and own.set_by:
                yield f"{difference.task}.{name}", _Finding(Reach.UNKNOWN, None, (own.set_by,))

    def _find_members(self, difference: Difference) -> Iterator[Difference]:
        """Find what changed inside a dictionary, where the candidate sets
        that itself.
        """
        sides = [_items_of(side.value) for side in (difference.reference, difference.candidate)]
        for key in sorted(sides[0].keys() | sides[1].keys()):
            old, new = (side.get(key, ABSENT) for side in sides)
            name = f"{difference.name}.{key}"
            if not same_value(old, new) and find_own(self._their_task(difference), name, self.reference):
                yield Difference(
                    kind=DifferenceKind.FIELD,
                    task=difference.task,
                    name=name,
                    reference=Side(value=old, set_by=difference.reference.set_by),
                    candidate=Side(value=new, set_by=difference.candidate.set_by),
                )


def _follows(setting: Setting, parameter: str) -> bool:
    """Tell whether a field is set to a parameter, also if there is none of
    that name any more.
    """
    return setting.parameter == parameter or setting.value == f"parameters.{parameter}"


def _make_field_change(label: str, name: str, old: Setting | None, new: Setting) -> Difference:
    sides = [Side(value=one.value, set_by=one.set_by) if one else Side() for one in (old, new)]
    return Difference(
        kind=DifferenceKind.FIELD, task=label, name=name, reference=sides[0], candidate=sides[1]
    )


def _items_of(value: JsonValue) -> Mapping[str, JsonValue]:
    """Return what a whole dictionary holds; nothing if this is none."""
    if isinstance(value, dict) and not any(key.startswith("$") for key in value):
        return value
    return {}


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
    is_absent = difference.candidate.is_absent
    return not is_absent and origin is not None and origin.kind is not OriginKind.DEFAULT


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
