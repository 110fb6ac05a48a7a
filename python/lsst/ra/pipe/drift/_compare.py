# This file is part of ra_pipe.
#
# Use of this source code is governed by a 3-clause BSD-style
# license that can be found in the LICENSE file.

"""Everything that differs between two pipelines."""

from __future__ import annotations

__all__ = ("compare_snapshots",)

import difflib
import re
from collections.abc import Iterator, Mapping

from ._compare_tasks import SIMILAR, compare_tasks
from ._difference import Comparison, Difference, DifferenceKind, Side
from ._errors import DriftError
from ._snapshot import Contract, Level, Snapshot, Step, Subset, TaskSnapshot
from ._values import make_class_value, same_class, same_value


def compare_snapshots(reference: Snapshot, candidate: Snapshot) -> Comparison:
    """Compare two pipelines.

    Parameters
    ----------
    reference, candidate
        The pipelines.

    Returns
    -------
    comparison
        All differences: at the resolved level if both have it, else at the
        declared level.  What follows from a difference is not reported
        once more: the subsets and contracts of a task that one side does not
        have, the fields of a parameter that differs, the dataset types of a
        connection's field that differs, and the defaults of a plugin or
        subtask that only one side has.

    Raises
    ------
    DriftError
        If there is no level that both have.
    """
    level, reason = _choose_level(reference, candidate)
    one, other = reference.at(level), candidate.at(level)
    if one is None or other is None:
        raise DriftError(
            f"{reference.title} and {candidate.title} cannot be compared: {reason}, and the declared "
            f"level of {(reference if one is None else candidate).title} is not recorded."
        )
    omits = tuple(sorted({*one.omits, *other.omits}))
    renamed = _find_renamed_tasks(one, other)
    other = _relabel(other, {new: old for old, new in renamed.items()})
    differences = [
        *_compare_instruments(one, other, omits),
        *_compare_labels(one, other, renamed),
        *_compare_subsets(one, other, omits),
        *_compare_contracts(one, other, omits),
        *_compare_parameters(one, other, omits),
        *compare_tasks(one, other, omits),
    ]
    kinds = list(DifferenceKind)
    differences.sort(key=lambda one: (one.task, kinds.index(one.kind), one.name))
    return Comparison(
        reference=reference.title,
        candidate=candidate.title,
        level=level,
        reason=reason,
        omits=omits,
        differences=tuple(differences),
    )


def _choose_level(reference: Snapshot, candidate: Snapshot) -> tuple[Level, str]:
    """Choose the level of a comparison, with the reason if it is not the
    resolved one.
    """
    for side in (reference, candidate):
        if side.level is Level.DECLARED:
            why = f": {side.reason}" if side.reason else ""
            return Level.DECLARED, f"{side.title} is known at the declared level only{why}"
    return Level.RESOLVED, ""


def _find_renamed_tasks(one: Snapshot, other: Snapshot) -> dict[str, str]:
    """Find tasks that are the same but for their label; old to new label."""
    removed = sorted(one.tasks.keys() - other.tasks.keys())
    added = sorted(other.tasks.keys() - one.tasks.keys())
    renamed = {}
    for old in removed:
        twins = [new for new in added if _is_same_task(one.tasks[old], other.tasks[new])]
        if len(twins) == 1:
            renamed[old] = twins[0]
            added.remove(twins[0])
    return renamed


def _is_same_task(one: TaskSnapshot, other: TaskSnapshot) -> bool:
    return (
        same_class(one.task_class, other.task_class)
        and one.config.keys() == other.config.keys()
        and all(same_value(one.config[name].value, other.config[name].value) for name in one.config)
        and [block.code for block in one.blocks] == [block.code for block in other.blocks]
    )


def _relabel(snapshot: Snapshot, labels: Mapping[str, str]) -> Snapshot:
    """Give tasks other labels, wherever they are named."""
    if not labels:
        return snapshot
    pattern = re.compile(rf"(?<![\w.])({'|'.join(map(re.escape, labels))})(?=\.)")
    return snapshot.model_copy(
        update={
            "tasks": {labels.get(label, label): task for label, task in snapshot.tasks.items()},
            "subsets": {
                name: subset.model_copy(
                    update={"labels": tuple(sorted(labels.get(label, label) for label in subset.labels))}
                )
                for name, subset in snapshot.subsets.items()
            },
            "contracts": tuple(
                one.model_copy(update={"contract": pattern.sub(lambda match: labels[match[1]], one.contract)})
                for one in snapshot.contracts
            ),
        }
    )


def _compare_instruments(one: Snapshot, other: Snapshot, omits: tuple[str, ...]) -> Iterator[Difference]:
    if "instrument" in omits or one.instrument == other.instrument:
        return
    if one.instrument and other.instrument and same_class(one.instrument, other.instrument):
        return
    sides = [
        Side(value=make_class_value(side.instrument), set_by=side.instrument_by)
        if side.instrument
        else Side()
        for side in (one, other)
    ]
    yield Difference(kind=DifferenceKind.INSTRUMENT, reference=sides[0], candidate=sides[1])


def _compare_labels(one: Snapshot, other: Snapshot, renamed: Mapping[str, str]) -> Iterator[Difference]:
    """Compare which tasks there are."""
    for label in sorted(one.tasks.keys() | other.tasks.keys()):
        mine, theirs = one.tasks.get(label), other.tasks.get(label)
        if mine is None or theirs is None:
            sides = [
                Side(value=make_class_value(task.task_class), set_by=task.declared_by) if task else Side()
                for task in (mine, theirs)
            ]
        elif label in renamed:
            sides = [
                Side(value=label, set_by=mine.declared_by),
                Side(value=renamed[label], set_by=theirs.declared_by),
            ]
        else:
            continue
        yield Difference(kind=DifferenceKind.TASK, task=label, reference=sides[0], candidate=sides[1])


def _compare_subsets(one: Snapshot, other: Snapshot, omits: tuple[str, ...]) -> Iterator[Difference]:
    """Compare subsets and steps, by the tasks that both sides have."""
    common = one.tasks.keys() & other.tasks.keys()
    renamed = _find_renamed_subsets(one.subsets, other.subsets)
    names = {new: old for old, new in renamed.items()}
    theirs = {names.get(name, name): subset for name, subset in other.subsets.items()}
    gone = set()
    for name in sorted(one.subsets.keys() | theirs.keys()):
        mine, their = one.subsets.get(name), theirs.get(name)
        only = mine if their is None else their if mine is None else None
        if name in renamed and mine and their:
            sides = [
                Side(value=name, set_by=mine.declared_by),
                Side(value=renamed[name], set_by=their.declared_by),
            ]
        elif mine and their and common.intersection(mine.labels) == common.intersection(their.labels):
            continue
        elif only and only.labels and common.isdisjoint(only.labels):
            gone.add(name)
            continue
        else:
            sides = [_subset_side(mine), _subset_side(their)]
        yield Difference(kind=DifferenceKind.SUBSET, name=name, reference=sides[0], candidate=sides[1])
    if "steps" not in omits:
        steps = {names.get(name, name): step for name, step in other.steps.items()}
        yield from (one for one in _compare_steps(one.steps, steps) if one.name not in gone)


def _find_renamed_subsets(mine: Mapping[str, Subset], theirs: Mapping[str, Subset]) -> dict[str, str]:
    """Find subsets that are the same but for their name; old to new name."""
    removed = sorted(mine.keys() - theirs.keys())
    added = sorted(theirs.keys() - mine.keys())
    renamed = {}
    for old in removed:
        twins = [new for new in added if theirs[new].labels == mine[old].labels]
        if len(twins) == 1:
            renamed[old] = twins[0]
            added.remove(twins[0])
    return renamed


def _subset_side(subset: Subset | None) -> Side:
    return Side(value={"$set": list(subset.labels)}, set_by=subset.declared_by) if subset else Side()


def _compare_steps(mine: Mapping[str, Step], theirs: Mapping[str, Step]) -> Iterator[Difference]:
    for name in sorted(mine.keys() | theirs.keys()):
        sides = [
            Side(value={"$set": sorted(step.dimensions)}, set_by=step.declared_by) if step else Side()
            for step in (mine.get(name), theirs.get(name))
        ]
        if not same_value(sides[0].value, sides[1].value):
            yield Difference(kind=DifferenceKind.STEP, name=name, reference=sides[0], candidate=sides[1])


def _compare_contracts(one: Snapshot, other: Snapshot, omits: tuple[str, ...]) -> Iterator[Difference]:
    """Compare contracts, without those of tasks that one side does not have."""
    if "contracts" in omits:
        return
    missing = one.tasks.keys() ^ other.tasks.keys()
    mine, theirs = ({text.contract: text for text in side.contracts} for side in (one, other))
    for text in sorted(mine.keys() & theirs.keys()):
        if mine[text].msg != theirs[text].msg:
            yield Difference(
                kind=DifferenceKind.CONTRACT,
                name=text,
                reference=Side(value=mine[text].msg, set_by=mine[text].declared_by),
                candidate=Side(value=theirs[text].msg, set_by=theirs[text].declared_by),
            )
    removed = [text for text in sorted(mine.keys() - theirs.keys()) if not _mentions(text, missing)]
    added = [text for text in sorted(theirs.keys() - mine.keys()) if not _mentions(text, missing)]
    for text in removed:
        # A contract that is much like it is the same one, changed.
        close = difflib.get_close_matches(text, added, n=1, cutoff=SIMILAR)
        yield Difference(
            kind=DifferenceKind.CONTRACT,
            name=text,
            reference=_contract_side(mine[text]),
            candidate=_contract_side(theirs[close[0]]) if close else Side(),
        )
        added = [one for one in added if one not in close]
    for text in added:
        yield Difference(kind=DifferenceKind.CONTRACT, name=text, candidate=_contract_side(theirs[text]))


def _contract_side(contract: Contract) -> Side:
    return Side(value=contract.contract, set_by=contract.declared_by)


def _mentions(contract: str, labels: set[str]) -> bool:
    return any(re.search(rf"(?<![\w.]){re.escape(label)}\.", contract) for label in labels)


def _compare_parameters(one: Snapshot, other: Snapshot, omits: tuple[str, ...]) -> Iterator[Difference]:
    if "parameters" in omits:
        return
    for name in sorted(one.parameters.keys() | other.parameters.keys()):
        sides = [
            Side(value=parameter.value, set_by=parameter.set_by) if parameter else Side()
            for parameter in (one.parameters.get(name), other.parameters.get(name))
        ]
        if not same_value(sides[0].value, sides[1].value):
            yield Difference(kind=DifferenceKind.PARAMETER, name=name, reference=sides[0], candidate=sides[1])
