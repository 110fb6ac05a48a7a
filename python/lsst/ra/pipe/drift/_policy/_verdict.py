# This file is part of ra_pipe.
#
# Use of this source code is governed by a 3-clause BSD-style
# license that can be found in the LICENSE file.

"""Which differences are meant, and what is wrong with a policy."""

from __future__ import annotations

__all__ = ("Fault", "FaultKind", "JudgedComparison", "JudgedDifference", "Verdict", "judge")

import datetime
import enum
from collections.abc import Iterator, Sequence

from .._difference import Comparison, Difference
from .._record import Record
from .._values import format_value
from ._entry import ANY_VALUE, Policy, PolicyEntry, matches_glob


class JudgedDifference(Record):
    """A difference, and whether it is meant."""

    difference: Difference
    """What differs."""
    entry: PolicyEntry | None = None
    """What allows it; `None` if nothing does."""
    note: str = ""
    """Why entries that are about it do not allow it."""


class JudgedComparison(Record):
    """A comparison, and which of its differences are meant."""

    comparison: Comparison
    """How the candidate differs from the reference."""
    differences: tuple[JudgedDifference, ...]
    """All differences, in the order of the comparison."""

    @property
    def undeclared(self) -> tuple[JudgedDifference, ...]:
        """Those that nothing allows (`tuple` [`JudgedDifference`])."""
        return tuple(one for one in self.differences if one.entry is None)

    @property
    def allowed(self) -> tuple[JudgedDifference, ...]:
        """Those that an entry allows (`tuple` [`JudgedDifference`])."""
        return tuple(one for one in self.differences if one.entry is not None)


class FaultKind(enum.StrEnum):
    """What may be wrong with an entry of a policy."""

    UNUSED = "unused"
    """It, or one of its globs, matches nothing."""
    EXPIRED = "expired"
    """Its last day is over."""


class Fault(Record):
    """Something wrong with an entry of a policy."""

    kind: FaultKind
    """What is wrong."""
    entry: PolicyEntry
    """The entry."""
    message: str
    """What is wrong, in a sentence."""

    def __str__(self) -> str:
        return f"{self.entry.place}: {self.message}"


class Verdict(Record):
    """What a policy makes of comparisons."""

    policy: str = ""
    """The policy's file; empty if there was none."""
    comparisons: tuple[JudgedComparison, ...]
    """The comparisons, in their order."""
    faults: tuple[Fault, ...] = ()
    """What is wrong with the policy's entries, in their order."""

    @property
    def n_undeclared(self) -> int:
        """Number of differences that nothing allows (`int`)."""
        return sum(len(one.undeclared) for one in self.comparisons)

    @property
    def n_allowed(self) -> int:
        """Number of differences that an entry allows (`int`)."""
        return sum(len(one.allowed) for one in self.comparisons)

    @property
    def exit_code(self) -> int:
        """As of `diff`: 0 if all is declared, 1 if not, or if an entry is
        unused or has expired (`int`).
        """
        return 1 if self.n_undeclared or self.faults else 0


def judge(comparisons: Sequence[Comparison], policy: Policy | None, *, today: datetime.date) -> Verdict:
    """Tell which differences are meant.

    Parameters
    ----------
    comparisons
        What was compared.
    policy
        What is allowed; `None` allows nothing.
    today
        Date by which entries expire.

    Returns
    -------
    verdict
        Each difference with the first entry that allows it, and what is
        wrong with the entries.

    Notes
    -----
    An entry counts as used when it matches a difference, even if an earlier
    one allows that already: the order of entries makes no errors.  Of its
    globs each must match something.  An entry that no comparison could have
    shown, being about another level or about what was not recorded, is not
    counted as unused; nor is any where fewer pairs were compared than the
    policy names, as another may need it.

    An expired entry allows nothing, and is a fault whether it matches or not.
    """
    policy = policy or Policy()
    are_all = len(comparisons) >= len(policy.compare)
    faults = (fault for entry in policy.allow for fault in _find_faults(entry, comparisons, today))
    return Verdict(
        policy=policy.file,
        comparisons=tuple(
            JudgedComparison(
                comparison=comparison,
                differences=tuple(
                    _judge_difference(difference, comparison, policy, today)
                    for difference in comparison.differences
                ),
            )
            for comparison in comparisons
        ),
        faults=tuple(fault for fault in faults if are_all or fault.kind is FaultKind.EXPIRED),
    )


def _judge_difference(
    difference: Difference, comparison: Comparison, policy: Policy, today: datetime.date
) -> JudgedDifference:
    """Find what allows a difference, or what nearly does."""
    about = [one for one in policy.allow if one.applies_to(comparison) and one.is_about(difference)]
    matching = [one for one in about if one.matches(difference)]
    for entry in matching:
        if not entry.is_expired(today):
            return JudgedDifference(difference=difference, entry=entry)
    notes = [f"{one.place} allowed it until {one.expires}" for one in matching]
    notes += [f"{one.place} allows {_describe_values(one)}" for one in about if one not in matching]
    return JudgedDifference(difference=difference, note="; ".join(notes))


def _find_faults(
    entry: PolicyEntry, comparisons: Sequence[Comparison], today: datetime.date
) -> Iterator[Fault]:
    """Say what is wrong with an entry."""
    applicable = [one for one in comparisons if entry.applies_to(one)]
    seen = [difference for one in applicable for difference in one.differences]
    used = [one for one in seen if entry.matches(one)]
    unmatched = _find_unmatched(entry, used)
    if entry.is_expired(today):
        unused = "" if used or not applicable else "; it matches nothing any more"
        message = f"the entry for {entry.subject} expired: its last day was {entry.expires}{unused}."
        yield Fault(kind=FaultKind.EXPIRED, entry=entry, message=message)
    elif applicable and not used:
        yield Fault(kind=FaultKind.UNUSED, entry=entry, message=_explain_unused(entry, seen))
    elif used and unmatched:
        message = f"the entry for {entry.subject} names what matches nothing: {', '.join(unmatched)}."
        yield Fault(kind=FaultKind.UNUSED, entry=entry, message=message)


def _find_unmatched(entry: PolicyEntry, used: Sequence[Difference]) -> list[str]:
    """Find the globs of an entry that match none of the differences."""
    tasks = [glob for glob in entry.task if not any(matches_glob(one.task, glob) for one in used)]
    names = [glob for glob in entry.names if not any(matches_glob(one.name, glob) for one in used)]
    return [f"task {glob}" for glob in tasks] + [f"{entry.key} {glob}" for glob in names]


def _explain_unused(entry: PolicyEntry, differences: Sequence[Difference]) -> str:
    """Say why an entry matches nothing."""
    message = f"the entry for {entry.subject} matches nothing"
    near = [one for one in differences if entry.is_about(one)]
    if not near:
        return f"{message}: there is no such difference."
    others = "" if len(near) == 1 else f" (and {len(near) - 1} more)"
    found = f"{near[0].reference} -> {near[0].candidate}"
    return f"{message}: it allows {_describe_values(entry)}, but {near[0].subject} is {found}{others}."


def _describe_values(entry: PolicyEntry) -> str:
    """Write the values that an entry allows."""
    one, other = (
        "anything" if value == ANY_VALUE else format_value(value)
        for value in (entry.reference, entry.candidate)
    )
    return f"{one} -> {other}"
