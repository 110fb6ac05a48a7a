# This file is part of ra_pipe.
#
# Use of this source code is governed by a 3-clause BSD-style
# license that can be found in the LICENSE file.

"""Changes of one thing in a pipeline, with the differences that they make.

What is expected is said by who makes the change, and by pipe_base as to
whether another file hides it; nothing here asks the code under test.
"""

from __future__ import annotations

import ast
import pathlib
import random
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from dataclasses import replace as alter
from typing import Any, ClassVar

import yaml
from drift_tree import Site, Tree, environment, expand, find_sites, insert_line, remove_entry, replace
from lsst.pipe.base.pipelineIR import PipelineIR

ASSIGNMENT = re.compile(r"config\.([\w.\[\]\"']+) = (.*)")
ADDITION = re.compile(r"config\.([\w.]+\.names) \|= (\{.*\})")


@dataclass(frozen=True)
class Expected:
    """A difference that a change makes; the changed side is the reference."""

    kind: str
    task: str = ""
    name: str = ""
    places: frozenset[str] = frozenset()
    """Where the changed side has it, any of these; empty if it is gone."""
    was: frozenset[str] = frozenset()
    """Where the unchanged side has it; empty if not asked for."""


@dataclass(frozen=True)
class Mutation:
    """A change of one thing."""

    what: str
    """For the message of a test that fails."""
    edits: Mapping[pathlib.Path, str]
    """New texts of files."""
    expected: tuple[Expected, ...]


class NoSiteError(Exception):
    """There is nothing of the kind that could be changed."""


class Mutator:
    """Changes one thing at random in what a pipeline is made of.

    Parameters
    ----------
    tree
        Copies that may be changed.
    pipeline
        The pipeline, as ``$VARIABLE/...``.
    rng
        Random numbers.
    """

    kinds: ClassVar[tuple[str, ...]] = ()
    """What is changed; empty for all that there is a method of."""

    def __init__(self, tree: Tree, pipeline: str, rng: random.Random) -> None:
        self.tree = tree
        self.pipeline = pipeline
        self.rng = rng
        self.files = tree.files_of(pipeline)
        self.sites = [site for path in self.files for site in find_sites(path)]
        with environment(tree.homes):
            self.before = PipelineIR.from_uri(str(tree.path(pipeline)))

    def mutate(self, kind: str) -> Mutation:
        """Change one thing of a kind."""
        change: Callable[[], Mutation] = getattr(self, f"change_{kind}")
        return change()

    # Choice of what is changed.

    def pick(self, role: str, fits: Callable[[Site], bool] = lambda site: True) -> Site:
        """Choose something of a role."""
        sites = [site for site in self.sites if site.role == role and fits(site)]
        if not sites:
            raise NoSiteError(role)
        return self.rng.choice(sites)

    def is_there(self, site: Site) -> bool:
        """Tell whether a task is in the pipeline, not only in its files."""
        return site.task in self.before.tasks

    def has_siblings(self, site: Site) -> bool:
        """Tell whether a file says several things of a role."""
        return sum(one.role == site.role and one.path == site.path for one in self.sites) > 1

    def place(self, path: pathlib.Path, *lines: int) -> frozenset[str]:
        """Return ``$VARIABLE/...:line``."""
        return frozenset(f"{self.tree.name(path)}:{line}" for line in lines)

    def make(self, what: str, edits: dict[pathlib.Path, str], *expected: Expected) -> Mutation:
        """Make a change; none is expected if pipe_base reads the same."""
        with self.tree.changed(edits):
            try:
                after = PipelineIR.from_uri(str(self.tree.path(self.pipeline)))
            except (ValueError, AttributeError) as error:
                raise NoSiteError(f"{what}: this is no pipeline") from error
        visible = state_of(after) != state_of(self.before)
        return Mutation(what, edits, expected if visible else ())

    def is_seen(self, label: str, field: str, edits: dict[pathlib.Path, str]) -> tuple[bool, bool]:
        """Tell whether a field changes in the end, and whether it is set."""
        with environment(self.tree.homes):
            old = last_setting(self.before, label, field)
        with self.tree.changed(edits):
            new = last_setting(PipelineIR.from_uri(str(self.tree.path(self.pipeline))), label, field)
        return old != new, new is not None

    def field_mutation(self, what: str, edits: dict[pathlib.Path, str], *expected: Expected) -> Mutation:
        """Make a change of a field, which a later file may hide."""
        (wanted,) = expected
        changes, is_set = self.is_seen(wanted.task, wanted.name, edits)
        # What was set before by another file shows if this one does not.
        places = wanted.places if is_set else frozenset()
        return Mutation(what, edits, (alter(wanted, places=places),) if changes else ())

    def other(self, value: Any) -> Any:
        """Return another value of the same type."""
        match value:
            case bool():
                return not value
            case int() | float():
                return value + 1
            case str():
                return f"{value}_mutant"
            case list() if value and self.rng.random() < 0.5:
                return value[:-1]
            case list():
                return [*value, "mutant"]
            case set():
                return value | {"mutant"} if self.rng.random() < 0.5 else {f"{one}_mutant" for one in value}
            case _:
                return 5

    # Settings in pipeline files.

    def _change_setting(self, fits: Callable[[Site], bool]) -> Mutation:
        site = self.pick("setting", fits)
        new = flow(self.other(site.value))
        text = replace(site.path.read_text(), site.node, new)
        return self.field_mutation(
            f"{site.task}.{site.name} is {new} in {site.path.name}:{site.line}",
            {site.path: text},
            Expected("field", site.task, site.name, self.place(site.path, site.line)),
        )

    def change_field(self) -> Mutation:
        """Give a field another value."""
        return self._change_setting(lambda site: not site.name.startswith("connections."))

    def change_connection(self) -> Mutation:
        """Give a connection another dataset type."""
        return self._change_setting(lambda site: site.name.startswith("connections."))

    def change_removed_field(self) -> Mutation:
        """Leave a setting out."""
        site = self.pick("setting")
        return self.field_mutation(
            f"{site.task}.{site.name} left out of {site.path.name}:{site.line}",
            {site.path: remove_entry(site.path.read_text(), site.line)},
            Expected("field", site.task, site.name, was=self.place(site.path, site.line)),
        )

    def change_added_field(self) -> Mutation:
        """Set one field more."""
        site = self.pick("setting")
        width = site.key.start_mark.column if site.key else 0
        text = insert_line(site.path.read_text(), site.line, f"{'mutant.field: 3':>{width + 15}}")
        return self.field_mutation(
            f"{site.task}.mutant.field added in {site.path.name}:{site.line}",
            {site.path: text},
            Expected("field", site.task, "mutant.field", self.place(site.path, site.line)),
        )

    # Tasks.

    def change_label(self) -> Mutation:
        """Rename a task wherever it is named."""
        site = self.pick("label", self.is_there)
        new = f"{site.task}Renamed"
        named = re.compile(rf"(?<![\w./$\-]){site.task}(?![\w/]|\.py)")
        edits = {
            path: "".join(
                line if "msg:" in line else named.sub(new, line)
                for line in path.read_text().splitlines(keepends=True)
            )
            for path in self.files
        }
        lines = [one for one in self.sites if one.role in ("label", "class") and one.task == site.task]
        places = frozenset[str]().union(*(self.place(one.path, one.line) for one in lines))
        return self.make(f"{site.task} renamed", edits, Expected("task", new, "", places, places))

    def change_class(self) -> Mutation:
        """Give a task another class wherever it is declared with its class."""
        site = self.pick("class", self.is_there)
        same = [
            one
            for one in self.sites
            if one.role == "class" and one.task == site.task and one.value == site.value
        ]
        edits = {one.path: replace(one.path.read_text(), one.node, f"{site.value}Mutant") for one in same}
        places = frozenset[str]().union(*(self.place(one.path, one.line) for one in same))
        return self.make(
            f"{site.task} is a {site.value}Mutant", edits, Expected("class", site.task, "", places, places)
        )

    def change_removed_task(self) -> Mutation:
        """Leave a task out, and all that names it."""
        selected = {site.name for site in self.sites if site.role == "selected"}
        site = self.pick("label", lambda site: self.is_there(site) and site.task not in selected)
        edits = {path: without_task(path, site.task) for path in self.files}
        lines = [one for one in self.sites if one.role in ("label", "class") and one.task == site.task]
        places = frozenset[str]().union(*(self.place(one.path, one.line) for one in lines))
        return self.make(f"{site.task} removed", edits, Expected("task", site.task, "", was=places))

    def change_added_task(self) -> Mutation:
        """Declare one task more."""
        site = self.pick("label", self.is_there)
        text = insert_line(site.path.read_text(), site.line, "  mutant: mutant.package.MutantTask")
        return self.make(
            f"mutant added in {site.path.name}:{site.line}",
            {site.path: text},
            Expected("task", "mutant", "", self.place(site.path, site.line)),
        )

    # Subsets and steps.

    def change_member(self) -> Mutation:
        """Take a task out of a subset."""
        subsets = {name: one.subset for name, one in self.before.labeled_subsets.items()}
        site = self.pick("member", lambda site: len(subsets.get(site.task, ())) > 1)
        owner = next(
            one
            for one in self.sites
            if one.role == "subset" and one.path == site.path and one.task == site.task
        )
        members = [name for name in owner.value if name != site.name]
        text = site.path.read_text()
        text = replace_list(text, owner.node, members)
        return self.make(
            f"{site.name} taken out of {site.task} in {site.path.name}",
            {site.path: text},
            *self._subset_change(site.task, owner),
        )

    def change_new_member(self) -> Mutation:
        """Put a task in a subset."""
        labels = set(self.before.tasks)
        owner = self.pick("subset", lambda site: bool(labels - set(site.value)))
        inside = {site.name for site in self.sites if site.role == "label" and site.path == owner.path}
        if not (candidates := sorted((labels & inside) - set(owner.value))):
            raise NoSiteError("member")
        label = self.rng.choice(candidates)
        text = replace_list(owner.path.read_text(), owner.node, [*owner.value, label])
        return self.make(
            f"{label} put in {owner.task} in {owner.path.name}",
            {owner.path: text},
            *self._subset_change(owner.task, owner),
        )

    def _subset_change(self, name: str, owner: Site) -> tuple[Expected, ...]:
        place = self.place(owner.path, owner.line)
        return (Expected("subset", "", name, place, place),)

    def change_subset(self) -> Mutation:
        """Rename a subset wherever it is named."""
        site = self.pick("subset")
        edits: dict[pathlib.Path, str] = {}
        for one in reversed(self.sites):
            names = {"subset": one.key, "step": one.key, "selected": one.node}
            node = names.get(one.role)
            if node is not None and node.value == site.task:
                text = edits.get(one.path) or one.path.read_text()
                edits[one.path] = replace(text, node, f"{site.task}Renamed")
        places = frozenset[str]().union(
            *(
                self.place(one.path, one.line)
                for one in self.sites
                if one.role == "subset" and one.task == site.task
            )
        )
        return self.make(
            f"subset {site.task} renamed",
            edits,
            Expected("subset", "", f"{site.task}Renamed", places, places),
        )

    def change_removed_subset(self) -> Mutation:
        """Leave a subset out that is no step, and that no import asks for."""
        used = {site.name or site.task for site in self.sites if site.role in ("selected", "step")}
        site = self.pick("subset", lambda site: site.task not in used)
        was = self.place(site.path, site.line)
        return self.make(
            f"subset {site.task} removed",
            {site.path: remove_entry(site.path.read_text(), site.line)},
            Expected("subset", "", site.task, was=was),
        )

    def change_added_subset(self) -> Mutation:
        """Declare one subset more."""
        site = self.pick("subset")
        member = self.rng.choice(site.value)
        text = insert_line(site.path.read_text(), site.line, f"  mutant: [{member}]")
        return self.make(
            f"subset mutant added in {site.path.name}:{site.line}",
            {site.path: text},
            Expected("subset", "", "mutant", self.place(site.path, site.line)),
        )

    def change_step(self) -> Mutation:
        """Shard a step by something else."""
        site = self.pick("step")
        text = replace_list(site.path.read_text(), site.node, self.other(site.value) or ["mutant"])
        place = self.place(site.path, site.line)
        return self.make(
            f"dimensions of step {site.task}",
            {site.path: text},
            Expected("step", "", site.task, place, place),
        )

    def change_removed_step(self) -> Mutation:
        """Have a subset be no step any more."""
        site = self.pick("step")
        return self.make(
            f"step {site.task} removed",
            {site.path: remove_entry(site.path.read_text(), site.line)},
            Expected("step", "", site.task, was=self.place(site.path, site.line)),
        )

    # Contracts and parameters.

    def change_contract(self) -> Mutation:
        """Ask for the contrary."""
        site = self.pick("contract")
        new = opposite(site.name)
        text = replace(site.path.read_text(), site.node, flow(new))
        place = self.place(site.path, site.line)
        return self.make(
            f"contract {new}", {site.path: text}, Expected("contract", "", normal(new), place, place)
        )

    def change_message(self) -> Mutation:
        """Have a contract say something else."""
        site = self.pick("msg")
        text = replace(site.path.read_text(), site.node, "something else")
        contract = next(one for one in self.sites if one.role == "contract" and one.name == site.name)
        place = self.place(site.path, contract.line)
        return self.make(
            f"message of contract {site.name}",
            {site.path: text},
            Expected("contract", "", normal(site.name), place, place),
        )

    def change_removed_contract(self) -> Mutation:
        """Leave a contract out, of several in a file."""
        site = self.pick("contract", self.has_siblings)
        text = remove_entry(site.path.read_text(), site.line)
        return self.make(
            f"contract {site.name} removed",
            {site.path: text},
            Expected("contract", "", normal(site.name), was=self.place(site.path, site.line)),
        )

    def change_added_contract(self) -> Mutation:
        """Ask for something more."""
        site = self.pick("contract")
        label = self.rng.choice(sorted(self.before.tasks))
        new = f"{label}.mutant is None"
        text = insert_line(site.path.read_text(), site.line, f"  - {new}")
        return self.make(
            f"contract {new} added",
            {site.path: text},
            Expected("contract", "", new, self.place(site.path, site.line)),
        )

    def change_parameter(self) -> Mutation:
        """Give a parameter another value."""
        site = self.pick("parameter")
        text = site.path.read_text()
        new = flow(self.other(site.value))
        text = insert_line(remove_entry(text, site.line), site.line, f"  {site.name}: {new}")
        place = self.place(site.path, site.line)
        return self.make(
            f"parameter {site.name} is {new} in {site.path.name}",
            {site.path: text},
            Expected("parameter", "", site.name, place, place),
        )

    def change_removed_parameter(self) -> Mutation:
        """Leave a parameter out."""
        site = self.pick("parameter", self.has_siblings)
        return self.make(
            f"parameter {site.name} removed from {site.path.name}",
            {site.path: remove_entry(site.path.read_text(), site.line)},
            Expected("parameter", "", site.name, was=self.place(site.path, site.line)),
        )

    def change_added_parameter(self) -> Mutation:
        """Declare one parameter more."""
        site = self.pick("parameter")
        text = insert_line(site.path.read_text(), site.line, "  mutant: 3")
        return self.make(
            f"parameter mutant added in {site.path.name}",
            {site.path: text},
            Expected("parameter", "", "mutant", self.place(site.path, site.line)),
        )

    def change_instrument(self) -> Mutation:
        """Be of another instrument, in all files."""
        self.pick("instrument")
        sites = [site for site in self.sites if site.role == "instrument"]
        edits = {
            site.path: replace(site.path.read_text(), site.node, "mutant.package.MutantCam") for site in sites
        }
        places = frozenset[str]().union(*(self.place(site.path, site.line) for site in sites))
        return self.make("instrument", edits, Expected("instrument", "", "", places, places))

    # Override files and python blocks.

    def statements(self) -> Iterator[tuple[pathlib.Path, int, str, str]]:
        """Yield the statements of override files on one line: the file, the
        line, the task and the text.
        """
        for label, task in self.before.tasks.items():
            for group in task.config or ():
                for name in group.file:
                    with environment(self.tree.homes):
                        path = pathlib.Path(expand(name))
                    for line, text in enumerate(path.read_text().splitlines(), 1):
                        if ASSIGNMENT.match(text) or ADDITION.match(text):
                            yield path, line, label, text

    def _pick_statement(self, pattern: re.Pattern[str]) -> tuple[pathlib.Path, int, str, re.Match[str]]:
        found = [
            (path, line, label, match)
            for path, line, label, text in self.statements()
            if (match := pattern.match(text))
        ]
        if not found:
            raise NoSiteError("statement")
        return self.rng.choice(found)

    def change_statement(self) -> Mutation:
        """Have an override file set a field to another value."""
        path, line, label, match = self._pick_statement(ASSIGNMENT)
        new = self.other(ast.literal_eval(match[2]))
        text = path.read_text()
        text = insert_line(remove_lines(text, line), line, f"config.{match[1]} = {new!r}")
        return self.field_mutation(
            f"{label}: {path.name}:{line} {match[1]} is {new!r}",
            {path: text},
            Expected("field", label, dotted(match[1]), self.place(path, line)),
        )

    def change_removed_statement(self) -> Mutation:
        """Leave a statement out of an override file."""
        path, line, label, match = self._pick_statement(ASSIGNMENT)
        return self.field_mutation(
            f"{label}: {path.name}:{line} removed",
            {path: remove_lines(path.read_text(), line)},
            Expected("field", label, dotted(match[1]), was=self.place(path, line)),
        )

    def change_added_statement(self) -> Mutation:
        """Have an override file set one field more."""
        path, line, label, _ = self._pick_statement(ASSIGNMENT)
        text = insert_line(path.read_text(), line, "config.mutant['field'].inner = 3.5")
        return self.field_mutation(
            f"{label}: {path.name}:{line} added",
            {path: text},
            Expected("field", label, "mutant.field.inner", self.place(path, line)),
        )

    def change_plugins(self) -> Mutation:
        """Add other plugins."""
        path, line, label, match = self._pick_statement(ADDITION)
        new = self.other(ast.literal_eval(match[2]))
        others = [
            number
            for number, text in enumerate(path.read_text().splitlines(), 1)
            if (one := ADDITION.match(text)) and one[1] == match[1]
        ]
        text = insert_line(
            remove_lines(path.read_text(), line), line, f"config.{match[1]} |= {sorted(new)!r}"
        )
        places = self.place(path, max(others))
        return Mutation(
            f"{label}: {path.name}:{line} adds {sorted(new)}",
            {path: text},
            (Expected("field", label, match[1], places, places),),
        )

    def blocks(self) -> list[tuple[Site, int, ast.stmt, str]]:
        """Return the statements of python blocks of tasks that stay: the
        block, the line in the file, the statement and its text.
        """
        found = []
        for site in self.sites:
            task = self.before.tasks.get(site.task)
            if site.role != "python" or not any(
                group.python == site.value for group in (task and task.config) or ()
            ):
                continue
            first = site.node.start_mark.line + (2 if style_of(site.node) == "|" else 1)
            for node in ast.parse(site.value).body:
                found.append((site, first + node.lineno - 1, node, ast.unparse(node)))
        return found

    def change_block(self) -> Mutation:
        """Change a statement of a python block, or leave it out."""
        found = self.blocks()
        if not found:
            raise NoSiteError("python")
        site, line, node, old = self.rng.choice(found)
        lines = site.path.read_text().splitlines(keepends=True)
        indented = range(line - 1, line - 1 + (node.end_lineno or 0) - node.lineno + 1)
        code = "".join(lines[i] for i in indented)
        is_removed = self.rng.random() < 0.4 and style_of(site.node) == "|"
        if is_removed:
            new = f"{' ' * _indent(code)}\n"
        else:
            last = list(re.finditer(r"\b(?!import\b)[A-Za-z]\w+|[\d.]+", code))[-1]
            suffix = "1" if last[0][0].isdigit() else "Mutant"
            new = code[: last.end()] + suffix + code[last.end() :]
        text = "".join(lines[: indented[0]]) + new + "".join(lines[indented[-1] + 1 :])
        place = self.place(site.path, line)
        what = f"{site.task}: {site.path.name}:{line} {'removed' if is_removed else new.strip()}"
        if match := ASSIGNMENT.match(old):
            expected = Expected(
                "field", site.task, dotted(match[1]), frozenset() if is_removed else place, place
            )
            return self.field_mutation(what, {site.path: text}, expected)
        name = old if is_removed else ast.unparse(ast.parse(_dedent(new).removeprefix("python: ")))
        return Mutation(
            what,
            {site.path: text},
            (Expected("block", site.task, name, frozenset() if is_removed else place, place),),
        )

    def change_added_block(self) -> Mutation:
        """Have a python block do something that only running it tells."""
        found = self.blocks()
        if not any(style_of(site.node) == "|" for site, *_ in found):
            raise NoSiteError("python")
        site, line, *_ = self.rng.choice([one for one in found if style_of(one[0].node) == "|"])
        text = site.path.read_text()
        code = "mutate(config)"
        text = insert_line(text, line, f"{' ' * _indent(text.splitlines()[line - 1])}{code}")
        return Mutation(
            f"{site.task}: {site.path.name}:{line} added",
            {site.path: text},
            (Expected("block", site.task, code, self.place(site.path, line)),),
        )


def style_of(node: yaml.Node) -> str | None:
    """Return how a scalar is written: ``|`` for a block."""
    return node.style if isinstance(node, yaml.ScalarNode) else None


def _indent(text: str) -> int:
    return len(text) - len(text.lstrip())


def _dedent(text: str) -> str:
    width = _indent(text)
    return "\n".join(line[width:] for line in text.splitlines())


def remove_lines(text: str, line: int) -> str:
    """Remove a line."""
    lines = text.splitlines(keepends=True)
    return "".join(lines[: line - 1] + lines[line:])


def replace_list(text: str, node: yaml.Node, values: list[str]) -> str:
    """Write another list in place of one."""
    if getattr(node, "flow_style", False):
        return replace(text, node, flow(values))
    end = max(one.end_mark.index for one in node.value)
    return text[: node.start_mark.index] + flow(values) + text[end:]


def flow(value: Any) -> str:
    """Write a value as YAML on one line."""
    return yaml.safe_dump(value, default_flow_style=True, width=10**6).removesuffix("\n...\n").strip()


def dotted(field: str) -> str:
    """Name a field without brackets."""
    return re.sub(r"\[[\"'](\w+)[\"']\]", r".\1", field)


def normal(contract: str) -> str:
    """Write a contract as Python writes it."""
    return ast.unparse(ast.parse(contract, mode="eval"))


def opposite(contract: str) -> str:
    """Turn a condition round."""
    for one, other in ((" == ", " != "), (" < ", " > "), (" or not ", " or ")):
        if one in contract:
            return contract.replace(one, other, 1)
    raise AssertionError(contract)


def without_task(path: pathlib.Path, label: str) -> str:
    """Return a pipeline file without a task and all that names it."""
    text = path.read_text()
    sites = find_sites(path)
    steps = {site.task: site for site in sites if site.role == "step"}
    gone: set[int] = set()
    lists: list[tuple[yaml.Node, list[str]]] = []
    for site in sites:
        is_contract = site.role == "contract" and re.search(rf"(?<![\w.]){label}\.", site.name)
        if is_contract or (site.role == "label" and site.name == label):
            gone.add(site.line)
        elif site.role == "subset" and label in site.value:
            members = [one for one in site.value if one != label]
            if members:
                lists.append((site.node, members))
            else:
                gone.update(one.line for one in (site, steps.get(site.task)) if one)
    # From the end, so that the places before stay what they are.
    changes: list[tuple[int, Callable[[str], str]]] = [
        *((line, lambda text, line=line: remove_entry(text, line)) for line in gone),
        *(
            (node.start_mark.line + 1, lambda text, node=node, new=new: replace_list(text, node, new))
            for node, new in lists
        ),
    ]
    for _, change in sorted(changes, key=lambda one: -one[0]):
        text = change(text)
    return re.sub(r"^(contracts|subsets|steps):\n(?!\s)", "", text, flags=re.MULTILINE)


def state_of(pipeline: PipelineIR) -> Any:
    """Return what a pipeline is, for pipe_base, without any order."""
    content = pipeline.to_primitives()
    subsets = {name: sorted(one.subset) for name, one in pipeline.labeled_subsets.items()}
    steps = {step.label: step.dimensions for step in pipeline.steps}
    return {**content, "subsets": subsets, "steps": steps, "order": None}


def last_setting(pipeline: PipelineIR, label: str, field: str) -> str | None:
    """Return what a field is set to last, as text."""
    found = None
    for group in (pipeline.tasks[label].config or []) if label in pipeline.tasks else []:
        codes = [pathlib.Path(expand(name)).read_text() for name in group.file]
        for line in "\n".join([*codes, group.python or ""]).splitlines():
            match = ASSIGNMENT.match(line)
            if match and dotted(match[1]) == field:
                found = match[2]
        if field in group.rest:
            found = repr(group.rest[field])
    return found
