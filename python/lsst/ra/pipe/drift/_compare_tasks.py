# This file is part of ra_pipe.
#
# Use of this source code is governed by a 3-clause BSD-style
# license that can be found in the LICENSE file.

"""Everything that differs between the tasks of two pipelines."""

from __future__ import annotations

__all__ = ("SIMILAR", "compare_tasks")

import dataclasses
import difflib
from collections.abc import Iterable, Iterator, Set

from ._difference import Difference, DifferenceKind, Side
from ._snapshot import Block, Connection, Origin, OriginKind, Setting, Snapshot, TaskSnapshot
from ._values import JsonValue, make_class_value, same_class, same_value, work_out_edits

SIMILAR = 0.6
"""Least similarity of two texts of which one was made of the other, as
`difflib` has it.
"""


def compare_tasks(one: Snapshot, other: Snapshot, omits: tuple[str, ...]) -> Iterator[Difference]:
    """Compare the tasks that two pipelines have under one label.

    Parameters
    ----------
    one, other
        Reference and candidate, at the same level.
    omits
        What one of them does not record.

    Yields
    ------
    difference
        Difference of a task.
    """
    parameters = one.parameters.keys() ^ other.parameters.keys()
    parameters |= {
        name
        for name in one.parameters.keys() & other.parameters.keys()
        if not same_value(one.parameters[name].value, other.parameters[name].value)
    }
    for label in sorted(one.tasks.keys() & other.tasks.keys()):
        pair = _Pair(label, one.tasks[label], other.tasks[label], omits, parameters)
        yield from pair.compare()


@dataclasses.dataclass(frozen=True)
class _Pair:
    """A task of the reference and that of the candidate."""

    label: str
    one: TaskSnapshot
    other: TaskSnapshot
    omits: tuple[str, ...]
    parameters: Set[str]
    """Parameters that differ."""

    def compare(self) -> Iterator[Difference]:
        """Yield what differs."""
        yield from self._compare_classes()
        fields = list(self._compare_fields())
        yield from fields
        yield from self._compare_blocks()
        yield from self._compare_connections({field.name for field in fields})

    def _difference(self, kind: DifferenceKind, name: str, one: Side, other: Side) -> Difference:
        return Difference(kind=kind, task=self.label, name=name, reference=one, candidate=other)

    def _compare_classes(self) -> Iterator[Difference]:
        one, other = self.one, self.other
        if not same_class(one.task_class, other.task_class):
            yield self._difference(
                DifferenceKind.CLASS,
                "",
                Side(value=make_class_value(one.task_class), set_by=one.declared_by),
                Side(value=make_class_value(other.task_class), set_by=other.declared_by),
            )
        if None not in (one.dimensions, other.dimensions) and one.dimensions != other.dimensions:
            yield self._difference(
                DifferenceKind.DIMENSIONS,
                "",
                Side(value={"$set": list(one.dimensions or ())}, set_by=one.declared_by),
                Side(value={"$set": list(other.dimensions or ())}, set_by=other.declared_by),
            )

    def _compare_fields(self) -> Iterator[Difference]:
        for name in sorted(self.one.config.keys() | self.other.config.keys()):
            if "targets" in self.omits and name.endswith(".target"):
                continue
            mine, theirs = self.one.config.get(name), self.other.config.get(name)
            if mine and theirs:
                values = [work_out_edits(side.value, name) for side in (mine, theirs)]
                if same_value(*values) or self._follows_from_parameter(mine, theirs):
                    continue
            elif self._follows_from_choice(name, mine or theirs):
                continue
            sides = [self._field_side(name, task) for task in (self.one, self.other)]
            yield self._difference(DifferenceKind.FIELD, name, *sides)

    def _field_side(self, name: str, task: TaskSnapshot) -> Side:
        """Return a field of one side.  If only the other has it and names the
        class in another way, pipe_base dropped what was imported: by that line.
        """
        if setting := task.config.get(name):
            return Side(value=setting.value, set_by=setting.set_by)
        is_dropped = self.one.task_class != self.other.task_class
        return Side(set_by=task.declared_by if is_dropped and not task.connections else None)

    def _follows_from_parameter(self, mine: Setting, theirs: Setting) -> bool:
        return _parameter_of(mine) == _parameter_of(theirs) and _parameter_of(mine) in self.parameters

    def _follows_from_choice(self, name: str, setting: Setting | None) -> bool:
        """Tell whether only one side has a field because only that has chosen
        the plugin or subtask it belongs to, or because that has looked at a
        plugin which neither has chosen; and nobody set it.
        """
        if setting and setting.set_by and setting.set_by.kind is not OriginKind.DEFAULT:
            return False
        parts = name.split(".")
        for i in range(1, len(parts)):
            root = ".".join(parts[:i])
            chosen = [_find_choice(task, root) for task in (self.one, self.other)]
            if chosen == [None, None]:
                continue
            if any(choice is None or parts[i] not in choice for choice in chosen):
                return True
        return self._has_other_target(parts)

    def _has_other_target(self, parts: list[str]) -> bool:
        """Tell whether a field is of a subtask that is of different classes."""
        for i in range(1, len(parts)):
            name = ".".join([*parts[:i], "target"])
            mine, theirs = self.one.config.get(name), self.other.config.get(name)
            if mine and theirs and not same_value(mine.value, theirs.value):
                return True
        return False

    def _compare_blocks(self) -> Iterator[Difference]:
        """Compare the statements whose effect is not known."""
        mine, theirs = self.one.blocks, self.other.blocks
        matcher = difflib.SequenceMatcher(
            None, [block.code for block in mine], [block.code for block in theirs], autojunk=False
        )
        common = [
            (match.a + i, match.b + i) for match in matcher.get_matching_blocks() for i in range(match.size)
        ]
        for tag, i, i_end, j, j_end in matcher.get_opcodes():
            if tag != "equal":
                yield from self._compare_changed_blocks(mine[i:i_end], list(theirs[j:j_end]))
        yield from self._compare_order(common)

    def _compare_changed_blocks(self, mine: Iterable[Block], theirs: list[Block]) -> Iterator[Difference]:
        """Compare statements between two that are the same; one that is much
        like another is the same one, changed.
        """
        for block in mine:
            close = difflib.get_close_matches(block.code, [one.code for one in theirs], n=1, cutoff=SIMILAR)
            twin = next((one for one in theirs if one.code in close), None)
            if twin:
                theirs.remove(twin)
            yield self._difference(
                DifferenceKind.BLOCK, block.code, _block_side(block), _block_side(twin) if twin else Side()
            )
        for block in theirs:
            yield self._difference(DifferenceKind.BLOCK, block.code, Side(), _block_side(block))

    def _compare_order(self, common: list[tuple[int, int]]) -> Iterator[Difference]:
        """Find fields that are set before a statement here, after it there."""
        for name in sorted(self.one.config.keys() & self.other.config.keys()):
            mine, theirs = self.one.config[name], self.other.config[name]
            if not same_value(mine.value, theirs.value):
                continue
            if mine.hidden_by != theirs.hidden_by:
                yield self._difference(DifferenceKind.ORDER, name, _hidden_side(mine), _hidden_side(theirs))
            crossed = [pair for pair in common if (pair[0] < mine.after) is not (pair[1] < theirs.after)]
            if crossed:
                code = self.one.blocks[crossed[0][0]].code
                texts = [
                    f"{'after' if is_after else 'before'}: {code}"
                    for is_after in (crossed[0][0] < mine.after, crossed[0][1] < theirs.after)
                ]
                yield self._difference(
                    DifferenceKind.ORDER,
                    name,
                    Side(value=texts[0], set_by=mine.set_by),
                    Side(value=texts[1], set_by=theirs.set_by),
                )

    def _compare_connections(self, fields: Set[str]) -> Iterator[Difference]:
        """Compare connections; what follows from a field that differs is left
        out.
        """
        mine, theirs = self.one.connections, self.other.connections
        renamed = {name.removeprefix("connections.") for name in fields if name.startswith("connections.")}
        templates = renamed - mine.keys() - theirs.keys()
        for name in sorted(mine.keys() & theirs.keys()):
            for key in Connection.model_fields:
                values = [_attribute(side[name], key) for side in (mine, theirs)]
                follows = key == "dataset_type" and (name in renamed or templates)
                if follows or same_value(*values):
                    continue
                yield self._difference(
                    DifferenceKind.CONNECTION,
                    f"{name}.{key}",
                    *(
                        Side(value=value, set_by=self._origin(task, name))
                        for task, value in self._with(values)
                    ),
                )
        for name in sorted((mine.keys() ^ theirs.keys()) - renamed):
            yield self._difference(
                DifferenceKind.CONNECTION,
                name,
                *(self._connection_side(task, name) for task in (self.one, self.other)),
            )

    def _with(self, values: list[JsonValue]) -> Iterator[tuple[TaskSnapshot, JsonValue]]:
        return zip((self.one, self.other), values, strict=True)

    @staticmethod
    def _origin(task: TaskSnapshot, name: str) -> Origin | None:
        setting = task.config.get(f"connections.{name}")
        return setting.set_by if setting else task.declared_by

    def _connection_side(self, task: TaskSnapshot, name: str) -> Side:
        if (connection := task.connections.get(name)) is None:
            return Side()
        value = {key: _attribute(connection, key) for key in Connection.model_fields}
        return Side(value=value, set_by=self._origin(task, name))


def _parameter_of(setting: Setting) -> str | None:
    """Return the parameter that a field is set to, also if there is none of
    that name.
    """
    if setting.parameter is None and isinstance(setting.value, str):
        prefix, _, name = setting.value.partition("parameters.")
        return name if name and not prefix else None
    return setting.parameter


def _hidden_side(setting: Setting) -> Side:
    text = f"before: {setting.hidden_by}" if setting.hidden_by else "after what is around it"
    return Side(value=text, set_by=setting.set_by)


def _block_side(block: Block) -> Side:
    return Side(value=block.code, set_by=block.set_by)


def _attribute(connection: Connection, name: str) -> JsonValue:
    value = getattr(connection, name)
    return {"$set": list(value)} if isinstance(value, tuple) else value


def _find_choice(task: TaskSnapshot, root: str) -> set[str] | None:
    """Return what is chosen of a registry; `None` if this is none."""
    if names := task.config.get(f"{root}.names"):
        return set(names.value["$set"]) if isinstance(names.value, dict) and "$set" in names.value else None
    name = task.config.get(f"{root}.name")
    return (
        {name.value} if name and any(key.startswith(f"{root}.{name.value}.") for key in task.config) else None
    )
