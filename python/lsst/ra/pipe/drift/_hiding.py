# This file is part of ra_pipe.
#
# Use of this source code is governed by a 3-clause BSD-style
# license that can be found in the LICENSE file.

"""What of a candidate hides the settings that it has of a reference."""

from __future__ import annotations

__all__ = (
    "Cover",
    "find_blocks",
    "find_cover",
    "find_own",
    "find_template_users",
    "is_assigned",
    "is_carried",
    "is_own",
    "mentions",
)

import ast
import string
from collections.abc import Iterator
from typing import NamedTuple

from ._snapshot import Block, Level, Origin, OriginKind, Setting, Snapshot, TaskSnapshot
from ._values import ABSENT, JsonValue, find_members, same_value, sort_key, work_out_edits

_SELECTIONS = ("name", "names", "target")
"""Last parts of the names of what chooses plugins or the class of a subtask."""


class Cover(NamedTuple):
    """A setting of the candidate that undoes those of other fields."""

    name: str
    """Dotted name of what is set."""
    origin: Origin
    """Where."""
    value: JsonValue
    """Value that it gives the field that is hidden; `ABSENT` if none."""
    is_choice: bool = False
    """Whether it leaves out the plugin that the field belongs to."""


def is_own(origin: Origin | None, reference: Snapshot) -> bool:
    """Tell whether something was set by a file that is not the reference's."""
    return (
        origin is not None and origin.kind is not OriginKind.DEFAULT and origin.file not in reference.sources
    )


def find_own(task: TaskSnapshot | None, name: str, reference: Snapshot) -> Setting | None:
    """Find the setting of a field that is the candidate's own."""
    setting = task.config.get(name) if task else None
    return setting if setting and is_own(setting.set_by, reference) else None


def find_cover(candidate: Snapshot, reference: Snapshot, label: str, name: str) -> Cover | None:
    """Find what the candidate itself sets above a field: the class of its
    subtask, a whole dictionary, or which plugins there are.
    """
    task = candidate.tasks.get(label)
    parts = name.split(".")
    for i in range(1, len(parts)):
        root, rest = ".".join(parts[:i]), parts[i:]
        if choice := _find_choice(candidate, reference, label, root, rest[0], name):
            return choice
        for upper in (f"{root}.target", root):
            own = find_own(task, upper, reference) if upper != name else None
            if own and own.set_by and not _is_choice(own.value):
                return Cover(upper, own.set_by, _dig(own.value, rest) if upper == root else ABSENT)
    return _find_other_name(candidate, reference, label, name)


def _find_other_name(candidate: Snapshot, reference: Snapshot, label: str, name: str) -> Cover | None:
    """Find a choice of the candidate where the reference gives the registry
    itself one, or the other way round.
    """
    task = reference.tasks.get(label)
    root, _, key = name.rpartition(".")
    if root and key in _SELECTIONS:
        others = [root]
    elif task and name in task.config and _is_choice(task.config[name].value):
        others = [f"{name}.{one}" for one in _SELECTIONS]
    else:
        return None
    for other in others:
        own = find_own(candidate.tasks.get(label), other, reference)
        if own and own.set_by and _is_choice(own.value):
            return Cover(other, own.set_by, own.value)
    return None


def _is_choice(value: JsonValue) -> bool:
    """Tell whether this, given to what has fields, can only choose plugins, or
    edits what there is.
    """
    return isinstance(value, str | list) or (
        isinstance(value, dict) and not {"$set", "$edits"}.isdisjoint(value)
    )


def _dig(value: JsonValue, path: list[str]) -> JsonValue:
    """Return what a dictionary holds under some keys."""
    for part in path:
        if not isinstance(value, dict) or part not in value:
            return ABSENT
        value = value[part]
    return value


def _find_choice(
    candidate: Snapshot, reference: Snapshot, label: str, root: str, key: str, name: str
) -> Cover | None:
    """Find what the candidate sets that leaves out a plugin which the
    reference may have.
    """
    if name == f"{root}.{key}" and key in _SELECTIONS:
        return None
    mine, theirs = reference.tasks.get(label), candidate.tasks.get(label)
    for field in (f"{root}.names", f"{root}.name", root):
        own = find_own(theirs, field, reference)
        if own is None or own.set_by is None or (field == root and not _is_choice(own.value)):
            continue
        if field == f"{root}.name" and not _is_item(root, key, name, own, (mine, theirs)):
            continue
        had = mine.config.get(field) if mine else None
        if _leaves_out(own, field, key) and not (had and _leaves_out(had, field, key)):
            return Cover(field, own.set_by, ABSENT, is_choice=True)
    return None


def _is_item(
    root: str, key: str, name: str, choice: Setting, tasks: tuple[TaskSnapshot | None, TaskSnapshot | None]
) -> bool:
    """Tell whether a key is one of a registry, not a field beside another one
    that happens to be called ``name``.
    """
    settings = [task.config[name] for task in tasks if task and name in task.config]
    chosen = f"{root}.{choice.value}."
    return any(f"[{key!r}]" in one.path for one in settings) or any(
        other.startswith(chosen) for task in tasks if task for other in task.config
    )


def _leaves_out(choice: Setting, field: str, key: str) -> bool:
    """Tell whether a selection is known not to have a plugin."""
    match work_out_edits(choice.value, field):
        case str(chosen):
            return chosen != key
        case {"$set": members} | (list() as members):
            return key not in members
        case {"$edits": edits}:
            return ("remove", sort_key(key)) in (find_members({"$edits": edits}) or ())
        case _:
            return False


# Statements that were not worked out.


def find_blocks(task: TaskSnapshot, name: str, reference: Snapshot) -> Iterator[Block]:
    """Find the candidate's own statements that may change a field, and run
    after the candidate sets it, if it does.
    """
    own = find_own(task, name, reference)
    for block in task.blocks[own.after if own else 0 :]:
        if is_own(block.set_by, reference) and _may_change(block.code, name.split(".")):
            yield block


def _may_change(code: str, field: list[str]) -> bool:
    """Tell whether a statement may change a field, or one that holds it."""
    try:
        body = ast.parse(code)
    except SyntaxError:
        return True
    if all(isinstance(node, ast.Import | ast.ImportFrom) for node in body.body):
        return False
    reader = _Reader()
    reader.visit(body)
    return field[-1] in reader.names or any(_overlap(path, field) for path in reader.paths)


def _overlap(path: list[str | None], field: list[str]) -> bool:
    """Tell whether one of two names of fields may be inside the other."""
    return all(one in (None, other) for one, other in zip(path, field, strict=False))


class _Reader(ast.NodeVisitor):
    """Notes which fields a statement may reach."""

    def __init__(self) -> None:
        self.paths: list[list[str | None]] = []
        """Parts of fields of ``config``, `None` where a variable stands;
        empty for all of it.
        """
        self.names: set[str] = set()
        """What else it names: by other variables, and as text."""

    def visit_Call(self, node: ast.Call) -> None:
        """Take what a method belongs to for what is changed."""
        method = isinstance(node.func, ast.Attribute)
        if method and (path := _path_of(node.func)) is not None:
            self._note(path[:-1])
            self._visit_keys(node.func)
        else:
            self.visit(node.func)
        if isinstance(node.func, ast.Name) and node.func.id in ("eval", "exec"):
            self.paths.append([])
        for one in (*node.args, *node.keywords):
            self.visit(one)

    def visit_Attribute(self, node: ast.Attribute) -> None:
        """Note a field, or the attribute of something else."""
        if (path := _path_of(node)) is not None:
            self._note(path)
            self._visit_keys(node)
        else:
            self.names.add(node.attr)
            self.generic_visit(node)

    def visit_Subscript(self, node: ast.Subscript) -> None:
        """Note an element of a field."""
        if (path := _path_of(node)) is not None:
            self._note(path)
            self._visit_keys(node)
        else:
            self.generic_visit(node)

    def visit_Name(self, node: ast.Name) -> None:
        """Note a variable; who has the configuration may do anything."""
        if node.id == "config":
            self.paths.append([])
        else:
            self.names.add(node.id)

    def visit_keyword(self, node: ast.keyword) -> None:
        """Note the name of an argument."""
        self.names |= {node.arg} if node.arg else set()
        self.generic_visit(node)

    def visit_Constant(self, node: ast.Constant) -> None:
        """Note a text, which may be a name."""
        if isinstance(node.value, str):
            self.names |= {node.value, node.value.rpartition(".")[2]}

    def _note(self, path: list[str | None]) -> None:
        self.paths.append(path[:-1] if len(path) > 1 and path[-1] in _SELECTIONS else path)

    def _visit_keys(self, node: ast.expr) -> None:
        """Visit what stands in brackets, unless it is a constant."""
        while isinstance(node, ast.Attribute | ast.Subscript):
            if isinstance(node, ast.Subscript) and not isinstance(node.slice, ast.Constant):
                self.visit(node.slice)
            node = node.value


def _path_of(node: ast.expr) -> list[str | None] | None:
    """Return the parts of a field of ``config``, or `None` if this is none."""
    match node:
        case ast.Name("config"):
            return []
        case ast.Attribute(value=owner, attr=name) if (path := _path_of(owner)) is not None:
            return [*path, name]
        case ast.Subscript(value=owner, slice=key) if (path := _path_of(owner)) is not None:
            return [*path, str(key.value) if isinstance(key, ast.Constant) else None]
        case _:
            return None


# Templates of connections.


def mentions(value: JsonValue, template: str) -> bool:
    """Tell whether the name of a dataset type uses a template."""
    if not isinstance(value, str):
        return False
    try:
        return any(name == template for _, name, _, _ in string.Formatter().parse(value))
    except ValueError:
        return False


def find_template_users(task: TaskSnapshot, template: str) -> Iterator[str]:
    """Find the fields of connections that use a template."""
    for name, setting in task.config.items():
        if name.startswith("connections.") and mentions(setting.value, template):
            yield name


# Selections and lists.


def is_carried(old: JsonValue, new: JsonValue, candidate: JsonValue, field: str) -> bool:
    """Tell whether the candidate has what was added to a selection or list,
    and has not what was removed, though it has more or less of the rest.
    """
    worked_out = [work_out_edits(value, field) for value in (old, new, candidate)]
    members = [find_members(value) for value in worked_out]
    if ABSENT in worked_out[:2]:
        # What is not set is as what is compared with it: no member, no edit.
        members = [set() if value == ABSENT else one for value, one in zip(worked_out, members, strict=True)]
    elif len({isinstance(value, dict) and "$edits" in value for value in worked_out}) > 1:
        return False
    before, after, theirs = members
    if before is None or after is None or theirs is None:
        return False
    if before == after:
        # Only the order changed, which edits of the new list leave alone.
        return isinstance(candidate, dict) and same_value(candidate.get("$base", ABSENT), worked_out[1])
    return after - before <= theirs and not (before - after) & theirs


def is_assigned(candidate: Snapshot, reference: Snapshot, label: str, name: str) -> bool:
    """Tell whether the candidate's files say that it gives a field a new list
    rather than edits the reference's.
    """
    sides = [side.at(Level.DECLARED) for side in (reference, candidate)]
    mine, theirs = (side.tasks.get(label) if side else None for side in sides)
    own = find_own(theirs, name, reference)
    if own is None:
        return False
    base = _base_of(own.value)
    setting = mine.config.get(name) if mine else None
    return isinstance(base, list) and not (setting and same_value(base, _base_of(setting.value)))


def _base_of(value: JsonValue) -> JsonValue:
    """Return what is edited, where that is known; the value if it is not
    edited.
    """
    return value["$base"] if isinstance(value, dict) and "$base" in value else value
