# This file is part of ra_pipe.
#
# Use of this source code is governed by a 3-clause BSD-style
# license that can be found in the LICENSE file.

"""Differences offered back to the reference, as a pipeline."""

from __future__ import annotations

__all__ = ("check_proposal", "write_proposal")

import os
import re
from collections.abc import Mapping, Sequence
from typing import Any

import yaml

from lsst.pipe.base.pipelineIR import MultilineStringDumper
from lsst.resources import ResourcePath

from ._compare import compare_snapshots
from ._difference import Difference, DifferenceKind
from ._edits import is_plain, make_refusal, write_edits
from ._errors import DriftError
from ._load import make_snapshot
from ._policy import JudgedComparison, JudgedDifference
from ._snapshot import Level, Snapshot
from ._sources import forget_traces, name_file
from ._statements import parse_path
from ._values import decode_value, same_value


def write_proposal(judged: JudgedComparison, reference: Snapshot, candidate: Snapshot) -> str:
    """Write the differences that are to be propagated as an overlay.

    Parameters
    ----------
    judged
        The differences, with the entries of the policy that allow them.
    reference, candidate
        The pipelines.

    Returns
    -------
    text
        A pipeline in YAML that imports the reference and makes it like the
        candidate in what is to be propagated, and in nothing else.  It is
        imported in place of the reference.

    Raises
    ------
    DriftError
        If nothing is to be propagated, or a difference cannot be expressed
        as an overlay; the message names the entry of the policy.
    """
    wanted = _find_wanted(judged)
    if not wanted:
        raise DriftError(
            f"{_file_of(candidate)}:1: nothing in which this differs from {reference.title} "
            "is to be propagated."
        )
    level = judged.comparison.level
    overlay = _Overlay(reference.at(level) or reference, candidate.at(level) or candidate)
    for one in wanted:
        try:
            overlay.add(one.difference)
        except DriftError as error:
            place = one.entry.place if one.entry else _file_of(candidate)
            raise DriftError(f"{place}: {one.difference.subject} cannot be propagated: {error}") from error
    header = [f"# What {candidate.title} offers to {reference.title}.", "#"]
    for one in wanted:
        assert one.entry is not None
        ticket = f" ({one.entry.ticket})" if one.entry.ticket else ""
        reason = " ".join(one.entry.reason.split())
        header.append(f"# {' '.join(one.difference.subject.split())}: {reason}{ticket}")
    content = overlay.content(_read_classes(reference))
    body = yaml.dump(content, Dumper=MultilineStringDumper, sort_keys=False, width=100)
    return "\n".join(header) + "\n" + body


def check_proposal(uri: str, judged: JudgedComparison, reference: Snapshot, candidate: Snapshot) -> None:
    """Check that an overlay does what it is to do, and nothing else.

    Parameters
    ----------
    uri
        Location of what `write_proposal` wrote.
    judged, reference, candidate
        What it was written from.

    Raises
    ------
    DriftError
        If a difference that is to be propagated remains, or the overlay
        changes something else, or it cannot be read; the message names the
        entry of the policy if it is one line that cannot be.
    """
    try:
        overlay = make_snapshot(uri, level=judged.comparison.level)
    except DriftError as error:
        raise _explain(error, uri, judged, candidate) from error
    wanted = [one.difference for one in _find_wanted(judged)]
    made = compare_snapshots(reference, overlay).differences
    left = compare_snapshots(overlay, candidate).differences
    others = [one.difference for one in judged.differences if one.difference not in wanted]
    problems = [
        *(f"{one.subject} would not be propagated" for one in wanted if _key(one) in set(map(_key, left))),
        *(f"{one.subject} would change, too" for one in made if _key(one) not in set(map(_key, wanted))),
        *(f"{one.subject} would differ" for one in left if _key(one) not in set(map(_key, others))),
    ]
    if problems:
        raise DriftError(
            f"{_file_of(candidate)}:1: this cannot be proposed: {'; '.join(dict.fromkeys(problems))}."
        )


def _explain(error: DriftError, uri: str, judged: JudgedComparison, candidate: Snapshot) -> DriftError:
    """Say which entry of the policy an overlay fails by; the overlay itself
    is a draft that nobody gets to see.
    """
    name = name_file(uri)
    match = re.match(rf"{re.escape(name)}:(\d+): ", str(error))
    problem = str(error)[match.end() if match else 0 :].replace(name, "the overlay")
    lines = ResourcePath(uri).read().decode().splitlines()
    side = candidate.at(judged.comparison.level) or candidate
    line = lines[int(match[1]) - 1].strip() if match and int(match[1]) <= len(lines) else ""
    for one in _find_wanted(judged):
        if one.entry and line and line in _lines_of(one.difference, side):
            return DriftError(
                f"{one.entry.place}: {one.difference.subject} cannot be propagated: {line!r}: {problem}"
            )
    place = f"{_file_of(candidate)}:1"
    where = f" at {line!r}" if line else ""
    return DriftError(f"{place}: this cannot be proposed: the overlay fails{where}: {problem}")


def _lines_of(difference: Difference, candidate: Snapshot) -> list[str]:
    """Return the lines that an overlay may have for a difference."""
    match difference.kind:
        case DifferenceKind.BLOCK:
            return [line.strip() for line in difference.name.splitlines()]
        case DifferenceKind.FIELD:
            setting = candidate.tasks[difference.task].config[difference.name]
            value = yaml.safe_dump({difference.name: decode_value(setting.value)}, width=100)
            return [*write_edits(setting.path or difference.name, difference), value.splitlines()[0]]
        case _:
            return []


def _find_wanted(judged: JudgedComparison) -> list[JudgedDifference]:
    return [one for one in judged.differences if one.entry and one.entry.propagate]


def _key(difference: Difference) -> tuple[str, str, str]:
    return difference.kind, difference.task, difference.name


def _file_of(snapshot: Snapshot) -> str:
    return snapshot.title.partition("#")[0]


def _read_classes(reference: Snapshot) -> Mapping[str, str]:
    """Return the classes of tasks as the reference's files name them.

    pipe_base takes a task with another name of its class for another task,
    and forgets its configuration.
    """
    declared = reference.at(Level.DECLARED)
    if declared is None:
        declared = make_snapshot(reference.pipeline, level=Level.DECLARED)
    return {label: task.task_class for label, task in declared.tasks.items()}


class _Overlay:
    """A pipeline that changes some things of the one it imports."""

    def __init__(self, reference: Snapshot, candidate: Snapshot) -> None:
        self._reference = reference
        self._candidate = candidate
        self._fields: dict[str, list[Difference]] = {}
        self._blocks: dict[str, list[str]] = {}
        self._parameters: dict[str, Any] = {}
        self._subsets: dict[str, set[str]] = {}
        self._steps: list[dict[str, Any]] = []
        self._contracts: list[str | dict[str, str]] = []
        self._new_tasks: set[str] = set()
        self._gone_tasks: set[str] = set()

    def add(self, difference: Difference) -> None:
        """Add a difference."""
        value = difference.candidate.value
        match difference.kind:
            case DifferenceKind.FIELD if not difference.candidate.is_absent:
                # Whether it can be written is to show now, with its entry.
                self._write_field(difference)
                self._fields.setdefault(difference.task, []).append(difference)
            case DifferenceKind.BLOCK if difference.reference.is_absent:
                self._blocks.setdefault(difference.task, []).append(difference.name)
            case DifferenceKind.PARAMETER if not difference.candidate.is_absent:
                self._parameters[difference.name] = decode_value(value)
            case DifferenceKind.SUBSET if isinstance(value, dict) and "$set" in value:
                self._subsets[difference.name] = set(value["$set"])
            case DifferenceKind.STEP if difference.reference.is_absent:
                if difference.name not in self._subsets.keys() | self._reference.subsets.keys():
                    raise DriftError("propagate the subset as well.")
                dimensions = list(self._candidate.steps[difference.name].dimensions)
                self._steps.append({"label": difference.name, "dimensions": dimensions})
            case DifferenceKind.CONNECTION if difference.task in self._fields:
                # Follows from a switch, if anything; `check_proposal` tells.
                pass
            case DifferenceKind.CONTRACT if difference.reference.is_absent:
                self._add_contract(difference.name)
            case DifferenceKind.TASK if difference.reference.is_absent:
                self._new_tasks.add(difference.task)
            case DifferenceKind.TASK if difference.candidate.is_absent:
                self._gone_tasks.add(difference.task)
            case _:
                raise make_refusal(difference)

    def _add_contract(self, text: str) -> None:
        [contract] = [one for one in self._candidate.contracts if one.contract == text]
        self._contracts.append(text if contract.msg is None else {"contract": text, "msg": contract.msg})

    def content(self, classes: Mapping[str, str]) -> dict[str, Any]:
        """Return the pipeline, given how the reference names its classes."""
        self._check_parameters()
        reference, candidate = (_file_of(one) for one in (self._reference, self._candidate))
        tasks = {
            label: {"class": classes[label], "config": self._write_config(label)}
            for label in sorted(self._fields.keys() | self._blocks.keys())
        }
        sections = {
            "parameters": self._write_parameters(),
            "tasks": tasks,
            "subsets": {name: {"subset": sorted(labels)} for name, labels in self._find_subsets().items()},
            "steps": [*self._restored_steps(), *self._steps],
            "contracts": self._contracts,
        }
        content = {
            "description": f"{reference} with what {candidate} offers to it.",
            "imports": self._write_imports(),
            **{name: section for name, section in sections.items() if section},
        }
        return {name: forget_traces(section) for name, section in content.items()}

    def _write_imports(self) -> list[dict[str, Any]]:
        """Import the reference, and tasks that only the candidate has."""
        mine: dict[str, Any] = {"location": _location_of(self._reference)}
        if "#" in self._reference.title:
            mine["include"] = sorted(self._reference.tasks.keys() - self._gone_tasks)
        elif self._gone_tasks:
            mine["exclude"] = sorted(self._gone_tasks)
        if not self._new_tasks:
            return [mine]
        theirs: dict[str, Any] = {
            "location": _location_of(self._candidate),
            "include": sorted(self._new_tasks),
        }
        if self._reference.instrument != self._candidate.instrument:
            theirs["instrument"] = None
        return [mine, theirs]

    def _check_parameters(self) -> None:
        """Refuse parameters that come along with tasks, unasked."""
        more = self._candidate.parameters.keys() - self._reference.parameters.keys()
        if self._new_tasks and (unasked := sorted(more - self._parameters.keys())):
            raise DriftError(
                f"{_file_of(self._candidate)}:1: {', '.join(sorted(self._new_tasks))} cannot be propagated "
                f"without the parameters that this declares; propagate {', '.join(unasked)} as well."
            )

    def _write_parameters(self) -> dict[str, Any]:
        """Write the parameters that change, and, beside an import of the
        candidate, those that would otherwise be the candidate's.
        """
        kept = {
            name: decode_value(parameter.value)
            for name, parameter in self._reference.parameters.items()
            if self._new_tasks and name in self._candidate.parameters
            if not same_value(parameter.value, self._candidate.parameters[name].value)
        }
        return {**kept, **self._parameters}

    def _find_subsets(self) -> dict[str, set[str]]:
        """Find the subsets that are not the reference's, or that the import
        drops since a task of them is left out.
        """
        theirs = {name: set(subset.labels) for name, subset in self._candidate.subsets.items()}
        mine = {name: set(subset.labels) for name, subset in self._reference.subsets.items()}
        there = (self._reference.tasks.keys() | self._new_tasks) - self._gone_tasks
        found = {}
        for name in sorted(mine.keys() | self._subsets.keys()):
            before = mine.get(name, set())
            if name in self._subsets:
                # Comparison disregards tasks that the candidate does not have.
                labels = self._subsets[name] | (before - self._candidate.tasks.keys())
            else:
                labels = before | (theirs.get(name, set()) & self._new_tasks)
            labels &= there
            if labels != before and (labels or name in self._subsets):
                found[name] = labels
        return found

    def _restored_steps(self) -> list[dict[str, Any]]:
        """Return the steps that go with subsets that the import drops."""
        return [
            {"label": name, "dimensions": list(step.dimensions)}
            for name, step in self._reference.steps.items()
            if name in self._find_subsets()
            if self._gone_tasks.intersection(self._reference.subsets[name].labels)
        ]

    def _write_config(self, label: str) -> dict[str, Any]:
        """Write what is set of a task, by YAML where that can say it.

        pipe_base applies code before values.  Where there are statements of
        unknown effect all is code, in the candidate's order.
        """
        values: dict[str, Any] = {}
        lines: list[tuple[int, int, str]] = []
        blocks = self._blocks.get(label, [])
        theirs = self._candidate.tasks[label]
        for difference in self._fields.get(label, []):
            setting = theirs.config[difference.name]
            if not blocks and not setting.path and is_plain(setting.value):
                values[difference.name] = decode_value(setting.value)
            else:
                lines += [(setting.after, 0, line) for line in self._write_field(difference)]
        order = [block.code for block in theirs.blocks]
        lines += [(order.index(code), 1, code) for code in blocks]
        # Sorting is stable, and the text does not count.
        code = "\n".join(line for *_, line in sorted(lines, key=lambda one: one[:2]))
        return {"python": f"{code}\n", **values} if code else values

    def _write_field(self, difference: Difference) -> Sequence[str]:
        """Write the statements that give a field its new value."""
        setting = self._candidate.tasks[difference.task].config[difference.name]
        if difference.reference.is_absent:
            self._check_elements(difference.task, setting.path)
        return write_edits(setting.path or difference.name, difference)

    def _check_elements(self, label: str, path: str) -> None:
        """Refuse fields of elements that the reference's dictionaries of
        configurations do not have; plugins are made by naming them.
        """
        if self._reference.level is not Level.RESOLVED:
            return
        mine, theirs = self._reference.tasks[label].config, self._candidate.tasks[label].config
        for end in (match.end() for match in re.finditer(r"\](?=\.)", path)):
            # The code up to here names an element, and the same without its key the dictionary.
            code = path[:end]
            element = parse_path(code).dotted
            root = parse_path(code[: code.rindex("[")]).dotted
            is_registry = f"{root}.names" in theirs or f"{root}.name" in theirs
            if not is_registry and not any(name.startswith(f"{element}.") for name in mine):
                raise DriftError(
                    f"it is of config.{code}, an element of a dictionary that the reference does not have."
                )


def _location_of(snapshot: Snapshot) -> str:
    """Return where a pipeline is, for an import in any directory."""
    location = snapshot.pipeline.partition("#")[0]
    return location if location.startswith("$") or "://" in location else os.path.abspath(location)
