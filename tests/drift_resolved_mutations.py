# This file is part of ra_pipe.
#
# Use of this source code is governed by a 3-clause BSD-style
# license that can be found in the LICENSE file.

"""Changes of one thing in a pipeline whose tasks can be imported.

Every change leaves the pipeline valid; whether it is seen, and which
connections it brings or takes away, is for pipe_base to say.
"""

from __future__ import annotations

import ast
import pathlib
import random
import re
from typing import Any, ClassVar

from drift_mutations import Expected, Mutation, Mutator, NoSiteError, flow, normal, remove_lines
from drift_tree import Tree, environment, insert_line, remove_entry, replace
from lsst.pipe.base import Pipeline
from lsst.pipe.base.pipeline_graph import PipelineGraph, TaskNode
from lsst.pipe.base.pipelineIR import ContractError

MARKED = re.compile(
    r"(?P<indent> *)(?P<code>config\b.*?) (?P<operator>\|?=) (?P<value>.*?)  # -> (?P<fields>.*)"
)
"""Line of override code that names the fields which it sets in a comment."""

OTHER_NAMES = {"by_flux": "by_size", "by_size": "by_shape", "by_shape": "by_size"}


class ResolvedMutator(Mutator):
    """Changes one thing that has an effect on a configuration."""

    _graphs: ClassVar[dict[str, PipelineGraph]] = {}
    """Pipelines before they were changed, by name."""

    def __init__(self, tree: Tree, pipeline: str, rng: random.Random) -> None:
        super().__init__(tree, pipeline, rng)
        if pipeline not in self._graphs:
            with environment(tree.homes):
                self._graphs[pipeline] = Pipeline.from_uri(str(tree.path(pipeline))).to_graph()
        self.graph = self._graphs[pipeline]

    def resolve(self, edits: dict[pathlib.Path, str]) -> PipelineGraph:
        """Resolve the changed pipeline."""
        with self.tree.changed(edits):
            try:
                return Pipeline.from_uri(str(self.tree.path(self.pipeline))).to_graph()
            except (ContractError, ImportError, ValueError, AttributeError, KeyError, TypeError) as error:
                raise NoSiteError("this is not valid any more") from error

    def make(self, what: str, edits: dict[pathlib.Path, str], *expected: Expected) -> Mutation:
        """Make a change of what is no field."""
        self.resolve(edits)
        return super().make(what, edits, *expected)

    def field_mutation(self, what: str, edits: dict[pathlib.Path, str], *expected: Expected) -> Mutation:
        """Make a change of fields of a task."""
        label = expected[0].task
        before, after = self.graph.tasks[label], self.resolve(edits).tasks[label]
        if content_of(before) == content_of(after):
            return Mutation(what, edits, ())
        names = [
            {*node.inputs, *node.outputs, *node.prerequisite_inputs, *node.init.outputs}
            for node in (before, after)
        ]
        follows = [Expected("connection", label, name) for name in sorted(names[0] ^ names[1])]
        return Mutation(what, edits, (*expected, *follows))


def content_of(task: TaskNode) -> str:
    """Return all fields of a task as text, in which NaN equals NaN."""
    return str(task.config.toDict())  # type: ignore[no-untyped-call]


class FirstLookMutator(ResolvedMutator):
    """Changes one thing in a pipeline whose classes have no others like them."""

    kinds = (
        "statement",
        "removed_statement",
        "label",
        "removed_task",
        "member",
        "subset",
        "added_subset",
        "step",
        "removed_step",
    )


class SampleMutator(ResolvedMutator):
    """Changes one thing in the tests' own pipeline."""

    def other(self, value: Any) -> Any:
        """Return another value that is valid as well."""
        match value:
            case str() if value in OTHER_NAMES:
                return OTHER_NAMES[value]
            case list() if value and isinstance(value[0], float):
                return [*value, value[-1] + 1]
            case _:
                return super().other(value)

    def change_added_field(self) -> Mutation:
        """Set a field that was at its default."""
        site = self.pick("setting", lambda site: site.task != "combine" and site.name != "fit.order")
        width = site.key.start_mark.column if site.key else 0
        text = insert_line(site.path.read_text(), site.line, " " * width + "fitter.clip: 17.5")
        return self.field_mutation(
            f"{site.task}.fitter.clip added in {site.path.name}:{site.line}",
            {site.path: text},
            Expected("field", site.task, "fitter.clip", self.place(site.path, site.line)),
        )

    def change_class(self) -> Mutation:
        """Give a task a class with the same settings."""
        site = self.pick("class", lambda site: site.value.endswith("MeasureTask"))
        same = [one for one in self.sites if one.role == "class" and one.task == site.task]
        edits = {
            one.path: replace(one.path.read_text(), one.node, "drift_tasks.MeasureAgainTask") for one in same
        }
        places = frozenset[str]().union(*(self.place(one.path, one.line) for one in same))
        return self.make(f"class of {site.task}", edits, Expected("class", site.task, "", places, places))

    def change_added_task(self) -> Mutation:
        """Declare one task more, that makes other datasets."""
        site = self.pick("label", self.is_there)
        task = "  mutant: {class: drift_tasks.CombineTask, config: {connections.summary: mutant}}"
        return self.make(
            f"mutant added in {site.path.name}:{site.line}",
            {site.path: insert_line(site.path.read_text(), site.line, task)},
            Expected("task", "mutant", "", self.place(site.path, site.line)),
        )

    def change_instrument(self) -> Mutation:
        """Be of another instrument with the same overrides."""
        site = self.pick("instrument")
        place = self.place(site.path, site.line)
        text = replace(site.path.read_text(), site.node, "drift_tasks.OtherCam")
        return self.make("instrument", {site.path: text}, Expected("instrument", "", "", place, place))

    def change_contract(self) -> Mutation:
        """Ask for something else that holds."""
        site = self.pick("contract")
        new = f"{site.name} or True"
        place = self.place(site.path, site.line)
        return self.make(
            f"contract {new}",
            {site.path: replace(site.path.read_text(), site.node, flow(new))},
            Expected("contract", "", normal(new), place, place),
        )

    def change_added_contract(self) -> Mutation:
        """Ask for something more that holds."""
        site = self.pick("contract")
        new = "measure.threshold < 1000"
        return self.make(
            f"contract {new} added",
            {site.path: insert_line(site.path.read_text(), site.line, f"  - {new}")},
            Expected("contract", "", new, self.place(site.path, site.line)),
        )

    def change_removed_parameter(self) -> Mutation:
        """Leave a parameter out that no field has."""
        site = self.pick("parameter", lambda site: site.name == "unused")
        return self.make(
            f"parameter {site.name} removed",
            {site.path: remove_entry(site.path.read_text(), site.line)},
            Expected("parameter", "", site.name, was=self.place(site.path, site.line)),
        )

    # Lines of override code that name their fields.

    def marked(self) -> list[tuple[pathlib.Path, int, tuple[str, ...], re.Match[str]]]:
        """Return lines of override code that have an effect: the file, the
        line, the tasks and the text.
        """
        places = [
            ("$DRIFT_TEST_DIR/config/camera/measure.py", ("measure", "measureAgain")),
            ("$DRIFT_TEST_DIR/config/measure.py", ("measure",)),
            ("$DRIFT_TEST_DIR/config/nested.py", ("measure",)),
            ("$DRIFT_TEST_DIR/config/measureAgain.py", ("measureAgain",)),
            ("$DRIFT_TEST_DIR/pipelines/Ingredients.yaml", ("measure",)),
        ]
        return [
            (path, line, labels, match)
            for name, labels in places
            for path in [self.tree.path(name)]
            for line, text in enumerate(path.read_text().splitlines(), 1)
            if (match := MARKED.match(text)) and match["fields"] != "hidden"
        ]

    def change_statement(self) -> Mutation:
        """Have override code set a field to another value."""
        path, line, labels, match = self.rng.choice(self.marked())
        value = ast.literal_eval(match["value"])
        # Plugins must be there.
        new = self.rng.choice([{"size"}, {"size", "flux"}, set()]) if "names" in match["code"] else None
        new = self.other(value) if new is None else new
        code = f"{match['indent']}{match['code']} = {sorted(new) if isinstance(new, set) else new!r}"
        return self._change_line(path, line, labels, match, code)

    def change_removed_statement(self) -> Mutation:
        """Leave a statement of override code out."""
        path, line, labels, match = self.rng.choice(self.marked())
        return self._change_line(path, line, labels, match, f"{match['indent']}pass")

    def _change_line(
        self, path: pathlib.Path, line: int, labels: tuple[str, ...], match: re.Match[str], code: str
    ) -> Mutation:
        place = self.place(path, line)
        edits = {path: insert_line(remove_lines(path.read_text(), line), line, code)}
        self.resolve(edits)
        places = frozenset[str]() if code.endswith("pass") else place
        expected = tuple(
            Expected("field", label, field, places, place)
            for label in labels
            for field in match["fields"].split()
        )
        return Mutation(f"{path.name}:{line} {code.strip()}", edits, expected)

    def change_added_statement(self) -> Mutation:
        """Have an override file do one thing more."""
        path = self.tree.path("$DRIFT_TEST_DIR/config/measure.py")
        line = len(path.read_text().splitlines()) + 1
        fields, code = self.rng.choice(
            [
                ("connections.dark", "config.connections.dark = 'other_dark'"),
                ("colors.u", "config.colors['u'] = 0.9"),
                ("do_dark", "config.do_dark = False"),
                ("fit.clip", "setattr(config.fit, 'clip', 9.5)"),
                ("fitter.target", "import drift_tasks; config.fitter.retarget(drift_tasks.OtherFitter)"),
                ("masks", "config.masks += ['MORE']"),
                ("name", "config.name = None"),
                ("plugins.flux.limit", "config.plugins['flux'].limit = float('nan')"),
                ("plugins.names", "config.plugins.names.discard('flux')"),
                ("rules.R02.reason rules.R02.weight", "config.rules['R02'] = config.rules['R01']"),
                ("selector.name", "config.selector = 'by_shape'"),
            ]
        )
        place = self.place(path, line)
        return self.field_mutation(
            f"{path.name}:{line} {code}",
            {path: f"{path.read_text()}{code}\n"},
            *(Expected("field", "measure", field, place) for field in fields.split()),
        )

    def change_registry(self) -> Mutation:
        """Choose another plugin or subtask, or configure one; defaults of what is new follow."""
        path = self.tree.path("$DRIFT_TEST_DIR/config/measureAgain.py")
        line = len(path.read_text().splitlines()) + 1
        field, code = self.rng.choice(
            [
                ("fitter.target", "import drift_tasks; config.fitter.retarget(drift_tasks.RobustFitter)"),
                ("plugins.names", "config.plugins.names |= ['shape']"),
                ("plugins.size.radius", "config.plugins['size'].radius = 6.5"),
                ("selector.by_shape.n_iterations", "config.selector['by_shape'].n_iterations = 3"),
                ("selector.name", "config.selector.name = 'by_flux'"),
            ]
        )
        # A subtask of another class begins anew, without what the instrument had set.
        fields = (field, "fitter.order") if field == "fitter.target" else (field,)
        return self.field_mutation(
            f"{path.name}:{line} {code}",
            {path: f"{path.read_text()}{code}\n"},
            *(Expected("field", "measureAgain", one, self.place(path, line)) for one in fields),
        )

    def change_plugins(self) -> Mutation:
        """Have a python block choose plugins."""
        return self._change_block("config.plugins.names = ['shape']")

    def change_block(self) -> Mutation:
        """Have a python block set one thing more."""
        return self._change_block("config.colors['b'] = 0.75", "colors.b")

    def change_added_block(self) -> Mutation:
        """Have a python block do something that only running it tells."""
        return self._change_block(
            "for name in ('v', 'w'): config.colors.update({name: 1.5})", "colors.v", "colors.w"
        )

    def _change_block(self, code: str, *fields: str) -> Mutation:
        site = self.pick("python")
        line = site.node.start_mark.line + 2
        text = site.path.read_text()
        width = len(text.splitlines()[line - 1]) - len(text.splitlines()[line - 1].lstrip())
        place = self.place(site.path, line)
        # measure.py adds a plugin to those chosen here.
        names = fields or ("plugins.names",)
        places = place if fields else frozenset[str]()
        return self.field_mutation(
            f"{site.task}: {site.path.name}:{line} {code}",
            {site.path: insert_line(text, line, " " * width + code)},
            *(Expected("field", site.task, name, places) for name in names),
        )
