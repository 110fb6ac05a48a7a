# This file is part of ra_pipe.
#
# Use of this source code is governed by a 3-clause BSD-style
# license that can be found in the LICENSE file.

"""Differences offered back to the reference, as a pipeline."""

from __future__ import annotations

__all__ = ("write_proposal",)

from collections.abc import Mapping, Sequence
from typing import Any

import yaml

from lsst.pipe.base.pipelineIR import MultilineStringDumper

from ._declared import parse_value
from ._difference import Difference, DifferenceKind
from ._errors import DriftError
from ._overrides import write_assignment
from ._policy import JudgedComparison, JudgedDifference
from ._snapshot import Snapshot, TaskSnapshot
from ._values import JsonValue, decode_value, format_value


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
    wanted = [one for one in judged.differences if one.entry and one.entry.propagate]
    if not wanted:
        raise DriftError(f"nothing that differs in {candidate.pipeline} is to be propagated.")
    level = judged.comparison.level
    overlay = _Overlay(reference.at(level) or reference, candidate.at(level) or candidate)
    for one in wanted:
        overlay.add(one)
    content = overlay.content()
    header = [f"# What {candidate.title} offers to {reference.title}.", "#"]
    for one in wanted:
        assert one.entry is not None
        ticket = f" ({one.entry.ticket})" if one.entry.ticket else ""
        reason = " ".join(one.entry.reason.split())
        header.append(f"# {one.difference.subject}: {reason}{ticket}")
    body = yaml.dump(content, Dumper=MultilineStringDumper, sort_keys=False, width=100)
    return "\n".join(header) + "\n" + body


class _Overlay:
    """A pipeline that changes some things of the one it imports."""

    def __init__(self, reference: Snapshot, candidate: Snapshot) -> None:
        self._reference = reference
        self._candidate = candidate
        self._tasks: dict[str, dict[str, Any]] = {}
        self._python: dict[str, list[str]] = {}
        self._sections: dict[str, Any] = {}
        self._new_tasks: list[str] = []
        self._gone_tasks: list[str] = []

    def content(self) -> dict[str, Any]:
        """Return the pipeline."""
        imports: list[dict[str, Any]] = [{"location": self._reference.pipeline}]
        if self._gone_tasks:
            imports[0]["exclude"] = sorted(self._gone_tasks)
        if self._new_tasks:
            imports.append({"location": self._candidate.pipeline, "include": sorted(self._new_tasks)})
        content: dict[str, Any] = {
            "description": f"{self._reference.pipeline} with what {self._candidate.pipeline} offers to it.",
            "imports": imports,
        }
        tasks = {}
        for label in sorted(self._tasks.keys() | self._python.keys()):
            config = dict(self._tasks.get(label, {}))
            if label in self._python:
                config = {"python": "\n".join(self._python[label]) + "\n", **config}
            tasks[label] = {"class": self._reference.tasks[label].task_class, "config": config}
        if tasks:
            content["tasks"] = tasks
        return {**content, **self._sections}

    def add(self, one: JudgedDifference) -> None:
        """Add a difference."""
        difference = one.difference
        value = difference.candidate.value
        match difference.kind:
            case DifferenceKind.FIELD if not difference.candidate.is_absent:
                self._add_field(difference)
            case DifferenceKind.BLOCK if difference.reference.is_absent:
                self._python.setdefault(difference.task, []).append(difference.name)
            case DifferenceKind.PARAMETER if not difference.candidate.is_absent:
                self._sections.setdefault("parameters", {})[difference.name] = decode_value(value)
            case DifferenceKind.SUBSET if isinstance(value, dict) and "$set" in value:
                self._sections.setdefault("subsets", {})[difference.name] = {"subset": value["$set"]}
            case DifferenceKind.STEP if difference.reference.is_absent:
                step = {"label": difference.name, "dimensions": value["$set"]}
                self._sections.setdefault("steps", []).append(step)
            case DifferenceKind.CONTRACT if difference.reference.is_absent:
                self._sections.setdefault("contracts", []).append(difference.name)
            case DifferenceKind.TASK if difference.reference.is_absent:
                self._new_tasks.append(difference.task)
            case DifferenceKind.TASK if difference.candidate.is_absent:
                self._gone_tasks.append(difference.task)
            case _:
                assert one.entry is not None
                raise DriftError(
                    f"{one.entry.place}: {difference.subject} cannot be propagated: an overlay cannot turn "
                    f"{format_value(difference.reference.value)} into {format_value(value)}."
                )

    def _add_field(self, difference: Difference) -> None:
        """Give a field its new value, by YAML if that can name it."""
        task = self._candidate.tasks[difference.task]
        path = _code_path(task, difference.name)
        value = difference.candidate.value
        before = difference.reference.value
        if _is_plain(value) and path == difference.name:
            self._tasks.setdefault(difference.task, {})[path] = decode_value(value)
        else:
            statements = _write_edits(path, value, before)
            self._python.setdefault(difference.task, []).extend(statements)


def _code_path(task: TaskSnapshot, name: str) -> str:
    setting = task.config[name]
    return setting.path or name


def _is_plain(value: JsonValue) -> bool:
    """Tell whether pipe_base reads a value from YAML as it is."""
    match value:
        case {**tagged} if any(str(key).startswith("$") for key in tagged):
            return False
        case str():
            return bool(parse_value(value) == value)
        case list():
            return all(map(_is_plain, value))
        case dict():
            return False
        case _:
            return True


def _write_edits(path: str, value: JsonValue, before: JsonValue) -> Sequence[str]:
    """Write the statements that make one value of another."""
    match value, before:
        case {"$edits": _}, _:
            return _write_new_edits(path, value, before)
        case {"$set": now}, {"$set": then}:
            added, gone = ([one for one in a if one not in b] for a, b in ((now, then), (then, now)))
            lines = [f"config.{path} |= {{{_members(added)}}}"] if added else []
            return [*lines, *([f"config.{path} -= {{{_members(gone)}}}"] if gone else [])]
        case _:
            return [write_assignment(path, value)]


def _write_new_edits(path: str, value: Mapping[str, Any], before: JsonValue) -> Sequence[str]:
    """Write the edits of a field that the reference does not make."""
    old = before["$edits"] if isinstance(before, dict) and "$edits" in before else []
    lines = []
    for i, (verb, members) in enumerate(value["$edits"]):
        same = old[i][1] if i < len(old) and old[i][0] == verb else []
        new = [member for member in members if member not in same]
        groups = [[one] for one in new] if verb in ("append", "remove") else [new] if new else []
        lines += [_EDITS[verb].format(path=path, members=_members(group)) for group in groups]
    return lines


_EDITS = {
    "add": "config.{path} |= {{{members}}}",
    "append": "config.{path}.append({members})",
    "extend": "config.{path} += [{members}]",
    "remove": "config.{path}.remove({members})",
}
"""How code makes an edit."""


def _members(values: Sequence[JsonValue]) -> str:
    return ", ".join(repr(decode_value(value)) for value in values)
