# This file is part of ra_pipe.
#
# Use of this source code is governed by a 3-clause BSD-style
# license that can be found in the LICENSE file.

"""Pipelines of several products in a directory of their own, where each thing
that they say has a known file and line, and can be changed.
"""

from __future__ import annotations

import contextlib
import os
import pathlib
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import pytest
import yaml

ROOT = pathlib.Path(__file__).resolve().parents[1]
UPSTREAM = ROOT / "tests" / "data" / "upstream"
PRODUCTS = {
    "ANALYSIS_TOOLS_DIR": UPSTREAM / "analysis_tools",
    "AP_PIPE_DIR": UPSTREAM / "ap_pipe",
    "CP_VERIFY_DIR": UPSTREAM / "cp_verify",
    "RA_PIPE_DIR": ROOT,
}
FOLDERS = ("config", "pipelines")


@contextlib.contextmanager
def environment(homes: Mapping[str, pathlib.Path]) -> Iterator[None]:
    """Set variables of products while the block lasts."""
    with pytest.MonkeyPatch.context() as patch:
        for name, home in homes.items():
            patch.setenv(name, str(home))
        yield


@dataclass(frozen=True)
class Tree:
    """Copies of products."""

    homes: Mapping[str, pathlib.Path]
    """Their directories by environment variable."""

    @classmethod
    def copy(cls, homes: Mapping[str, pathlib.Path], to: pathlib.Path) -> Tree:
        """Copy products."""
        for name, home in homes.items():
            for folder in filter(lambda one: (home / one).is_dir(), FOLDERS):
                shutil.copytree(home / folder, to / name.lower() / folder)
        return cls({name: to / name.lower() for name in homes})

    def path(self, name: str) -> pathlib.Path:
        """Return where ``$VARIABLE/...`` is."""
        variable, _, rest = name.partition("/")
        return self.homes[variable.removeprefix("$")] / rest

    def name(self, path: pathlib.Path) -> str:
        """Return ``$VARIABLE/...`` of a file."""
        for variable, home in self.homes.items():
            if path.is_relative_to(home):
                return f"${variable}/{path.relative_to(home)}"
        raise AssertionError(path)

    @contextlib.contextmanager
    def changed(self, edits: Mapping[pathlib.Path, str]) -> Iterator[None]:
        """Have other texts in files, and the variables set, while it lasts."""
        before = {path: path.read_text() for path in edits}
        try:
            for path, text in edits.items():
                path.write_text(text)
            with environment(self.homes):
                yield
        finally:
            for path, text in before.items():
                path.write_text(text)

    def files_of(self, name: str) -> list[pathlib.Path]:
        """Return a pipeline file and all that it imports, itself first."""
        path = self.path(name)
        content = yaml.safe_load(path.read_text())
        found = [path]
        for one in content.get("imports") or []:
            location = one if isinstance(one, str) else one["location"]
            found += [file for file in self.files_of(location) if file not in found]
        return found


@dataclass(frozen=True)
class Site:
    """Something that a pipeline file says."""

    path: pathlib.Path
    role: str
    """What it is: ``label``, ``class``, ``setting``, ``python``, ``file``,
    ``subset``, ``member``, ``step``, ``contract``, ``parameter``,
    ``instrument`` or ``selected`` (by an import).
    """
    node: yaml.Node = field(repr=False)
    """The YAML node: the value if it is one of a key."""
    task: str = ""
    """Label of the task, or name of the subset or step."""
    name: str = ""
    """Name of the field, parameter, label or contract."""
    key: yaml.Node | None = field(default=None, repr=False)

    @property
    def line(self) -> int:
        """Line, from one, of the key or of what has none."""
        return int((self.key or self.node).start_mark.line) + 1

    @property
    def value(self) -> Any:
        """What is said."""
        return construct(self.node)


def construct(node: yaml.Node) -> Any:
    """Return the value of a YAML node."""
    return yaml.constructor.SafeConstructor().construct_document(node)


def _items(node: yaml.Node | None) -> Iterator[tuple[yaml.Node, yaml.Node]]:
    if isinstance(node, yaml.MappingNode):
        yield from node.value


def _list(node: yaml.Node | None) -> list[yaml.Node]:
    if node is None:
        return []
    return list(node.value) if isinstance(node, yaml.SequenceNode) else [node]


def find_sites(path: pathlib.Path) -> list[Site]:
    """Find what a pipeline file says."""
    root = yaml.compose(path.read_text())
    top = {key.value: (key, node) for key, node in _items(root)}
    sites: list[Site] = []
    if "instrument" in top:
        key, node = top["instrument"]
        sites.append(Site(path, "instrument", node, key=key))
    for key, node in _items(top.get("tasks", (None, None))[1]):
        sites += _task_sites(path, key, node)
    for key, node in _items(top.get("parameters", (None, None))[1]):
        sites.append(Site(path, "parameter", node, name=key.value, key=key))
    for key, node in _items(top.get("subsets", (None, None))[1]):
        members = {k.value: v for k, v in _items(node)}.get("subset", node)
        sites.append(Site(path, "subset", members, task=key.value, key=key))
        sites += [Site(path, "member", one, key.value, one.value) for one in _list(members)]
    for node in _list(top.get("steps", (None, None))[1]):
        step = {k.value: v for k, v in _items(node)}
        sites.append(Site(path, "step", step["dimensions"], step["label"].value, key=step["label"]))
    for node in _list(top.get("contracts", (None, None))[1]):
        contract = {k.value: v for k, v in _items(node)} or {"contract": node}
        sites.append(Site(path, "contract", contract["contract"], name=contract["contract"].value))
        if "msg" in contract:
            sites.append(Site(path, "msg", contract["msg"], name=contract["contract"].value))
    for node in _list(top.get("imports", (None, None))[1]):
        for key, chosen in _items(node):
            if key.value in ("include", "exclude"):
                sites += [Site(path, "selected", one, name=one.value) for one in _list(chosen)]
    return sites


def _task_sites(path: pathlib.Path, key: yaml.Node, node: yaml.Node) -> Iterator[Site]:
    label = key.value
    yield Site(path, "label", node, label, label, key)
    if not isinstance(node, yaml.MappingNode):
        yield Site(path, "class", node, label, key=key)
        return
    for part, content in _items(node):
        if part.value == "class":
            yield Site(path, "class", content, label, key=part)
        elif part.value == "config":
            for group in _list(content):
                for name, value in _items(group):
                    role = name.value if name.value in ("file", "python") else "setting"
                    yield Site(path, role, value, label, name.value, name)


def replace(text: str, node: yaml.Node, new: str) -> str:
    """Write something else in place of a node on one line."""
    return text[: node.start_mark.index] + new + text[node.end_mark.index :]


def remove_entry(text: str, line: int) -> str:
    """Remove the block entry that begins on a line, with all inside it."""
    lines = text.splitlines(keepends=True)
    first = line - 1
    width = len(lines[first]) - len(lines[first].lstrip())
    last = first + 1
    while last < len(lines) and (not lines[last].strip() or _width(lines[last]) > width):
        last += 1
    return "".join(lines[:first] + lines[last:])


def _width(line: str) -> int:
    return len(line) - len(line.lstrip())


def insert_line(text: str, line: int, new: str) -> str:
    """Have a new line be that of a number."""
    lines = text.splitlines(keepends=True)
    return "".join([*lines[: line - 1], f"{new}\n", *lines[line - 1 :]])


def expand(name: str) -> str:
    """Return the path of ``$VARIABLE/...`` with the variables now set."""
    return os.path.expandvars(name)
