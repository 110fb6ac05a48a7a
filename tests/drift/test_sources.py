# This file is part of ra_pipe.
#
# Use of this source code is governed by a 3-clause BSD-style
# license that can be found in the LICENSE file.

"""Pipelines are read as pipe_base reads them, and what is wrong is named."""

from __future__ import annotations

import os
import pathlib
import textwrap
from typing import Any

import pytest
from drift_home import Home, make_home
from drift_tree import PRODUCTS, ROOT, environment
from lsst.pipe.base import Pipeline
from lsst.pipe.base.pipelineIR import PipelineIR
from lsst.ra.pipe.drift._declared import declare_pipeline
from lsst.ra.pipe.drift._errors import DriftError
from lsst.ra.pipe.drift._load import make_snapshot
from lsst.ra.pipe.drift._snapshot import Level, Snapshot
from lsst.ra.pipe.drift._sources import name_file, read_pipeline

FILES = sorted((*(ROOT / "pipelines").rglob("*.yaml"), *(ROOT / "tests" / "data").rglob("*.yaml")))


@pytest.fixture
def home(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> Home:
    """A product."""
    return make_home(tmp_path / "here", monkeypatch)


def outline(pipeline: PipelineIR) -> dict[str, Any]:
    """Say what pipe_base has of a pipeline."""
    return {
        "instrument": pipeline.instrument,
        "tasks": {label: task.klass for label, task in pipeline.tasks.items()},
        "subsets": {name: sorted(one.subset) for name, one in pipeline.labeled_subsets.items()},
        "steps": {one.label: list(one.dimensions) for one in pipeline.steps},
        "contracts": {"".join(one.contract.split()) for one in pipeline.contracts},
        "parameters": dict(pipeline.parameters.mapping),
        "files": {
            label: [f for c in task.config or () for f in c.file] for label, task in pipeline.tasks.items()
        },
    }


def outline_snapshot(snapshot: Snapshot, files: dict[str, list[str]]) -> dict[str, Any]:
    """Say the same of a snapshot."""
    return {
        "instrument": snapshot.instrument,
        "tasks": {label: task.task_class for label, task in snapshot.tasks.items()},
        "subsets": {name: list(one.labels) for name, one in snapshot.subsets.items()},
        "steps": {label: list(one.dimensions) for label, one in snapshot.steps.items()},
        "contracts": {"".join(one.contract.split()) for one in snapshot.contracts},
        "parameters": {name: one.value for name, one in snapshot.parameters.items()},
        "files": files,
    }


def assert_as_pipe_base(uri: str) -> None:
    """Hold our reading of a pipeline against pipe_base's."""
    source = read_pipeline(uri)
    expected = outline(Pipeline.from_uri(uri)._pipelineIR)
    files = outline(source.ir)["files"]
    assert outline_snapshot(declare_pipeline(source), files) == expected


@pytest.mark.parametrize("path", FILES, ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_every_pipeline_is_read_as_pipe_base_reads_it(path: pathlib.Path) -> None:
    """Tasks, classes, subsets, steps, contracts, parameters and override files are the same."""
    with environment({**PRODUCTS, "DRIFT_TEST_DIR": ROOT / "tests" / "data" / "drift"}):
        assert_as_pipe_base(str(path))


BASE = textwrap.dedent("""\
    description: Three tasks.
    instrument: some.package.Camera
    parameters: {depth: 3}
    tasks:
      one: {class: some.One, config: {a: parameters.depth}}
      two:
        class: some.Two
        config: {b: 1, file: $HERE_DIR/two.py}
      three: some.Three
    subsets:
      first: [one, two]
      last: {subset: [three], description: The last.}
    steps:
      - {label: first, dimensions: [visit, detector]}
      - {label: last, dimensions: [visit]}
    contracts:
      - one.a == two.b
      - contract: three.c > 1
        msg: too few
""")


@pytest.mark.parametrize(
    "options",
    [
        "include: [one, two]",
        "include: first",
        "exclude: three",
        "exclude: [last, one]",
        "exclude: [one], labeledSubsetModifyMode: EDIT",
        "exclude: [one], labeledSubsetModifyMode: DROP",
        "include: [one], importContracts: false",
        "importSteps: false",
        "instrument: None",
        "rename: {three: four}, labeledSubsetModifyMode: EDIT",
        "include: [three], rename: {three: four}, labeledSubsetModifyMode: EDIT",
    ],
)
def test_imports_select_as_in_pipe_base(home: Home, options: str) -> None:
    """What an import takes, leaves out and renames is for pipe_base to say."""
    imports = f"imports:\n  - {{location: $HERE_DIR/base.yaml, {options}}}\n"
    leaf = f"description: Leaf.\n{imports}tasks:\n  more: some.More\n"
    home.write({"base.yaml": BASE, "two.py": "config.c = 2\n", "p.yaml": leaf})
    assert_as_pipe_base(str(home.path / "p.yaml"))


def test_labels_are_selected_as_in_pipe_base(home: Home) -> None:
    """So is what stands behind ``#``."""
    home.write({"p.yaml": BASE, "two.py": "config.c = 2\n"})
    for labels in ("one", "first", "one,last"):
        assert_as_pipe_base(f"{home.path}/p.yaml#{labels}")


def test_renamed_task_is_declared_where_it_is_renamed_from(home: Home) -> None:
    """A task keeps the place of its class."""
    home.write(
        {
            "base.yaml": "description: Base.\ntasks:\n  one: some.One\n",
            "p.yaml": "description: P.\nimports:\n  - {location: $HERE_DIR/base.yaml, rename: {one: two}}\n",
        }
    )
    assert str(home.declare().tasks["two"].declared_by) == "$HERE_DIR/base.yaml:3"


def test_names_of_files_do_not_depend_on_the_machine(home: Home) -> None:
    """A path in a product is named by its variable, the nearest one."""
    assert name_file(str(home.path / "a" / "b.yaml")) == "$HERE_DIR/a/b.yaml"
    assert name_file("$OTHER_DIR/b.yaml") == "$OTHER_DIR/b.yaml"
    assert name_file("resource://lsst.ra.pipe/resources/config/isr.py") == "$RA_PIPE_DIR/config/isr.py"
    assert name_file("eups://ap_pipe/pipelines/p.yaml") == "$AP_PIPE_DIR/pipelines/p.yaml"
    (home.path / "a" / "ups").mkdir(parents=True)
    with environment({"INNER_DIR": home.path / "a"}):
        assert name_file(str(home.path / "a" / "b.yaml")) == "$INNER_DIR/b.yaml"


ONE_TASK = "description: D.\ntasks:\n  one: some.One\n"


@pytest.mark.parametrize(
    ("files", "begins", "says"),
    [
        ({"p.yaml": "description: D.\ntasks:\n  one: [\n"}, "$HERE_DIR/p.yaml:4: ", "no YAML"),
        ({"p.yaml": "description: D.\n\ttasks: 3\n"}, "$HERE_DIR/p.yaml:2: ", "no YAML"),
        ({"p.yaml": ONE_TASK + "  one: some.Two\n"}, "$HERE_DIR/p.yaml:4: ", "'one' comes twice"),
        ({"p.yaml": ONE_TASK + "tasks:\n"}, "$HERE_DIR/p.yaml:4: ", "'tasks' comes twice"),
        (
            {"p.yaml": "tasks:\n  one:\n    class: a.B\n    config:\n      x: 1\n      x: 2\n"},
            "$HERE_DIR/p.yaml:6: ",
            "'x' comes twice",
        ),
        ({"p.yaml": "- one\n"}, "$HERE_DIR/p.yaml:1: ", "list"),
        ({"p.yaml": ""}, "$HERE_DIR/p.yaml:1: ", "NoneType"),
        ({"p.yaml": "tasks:\n  one: some.One\n"}, "$HERE_DIR/p.yaml:1: ", "description"),
        ({"p.yaml": "description: D.\n"}, "$HERE_DIR/p.yaml:1: ", "tasks"),
        (
            {"p.yaml": ONE_TASK + "subsets:\n  all:\n    - one\n    - other\n"},
            "$HERE_DIR/p.yaml:7: ",
            "other",
        ),
        ({"p.yaml": ONE_TASK + "steps:\n  - {label: odd, dimensions: []}\n"}, "$HERE_DIR/p.yaml:5: ", "odd"),
        (
            {"p.yaml": "description: D.\nimports:\n  - $HERE_DIR/p.yaml\n"},
            "$HERE_DIR/p.yaml:3: ",
            "$HERE_DIR/p.yaml -> $HERE_DIR/p.yaml",
        ),
        (
            {
                "p.yaml": "description: D.\nimports:\n  - $HERE_DIR/q.yaml\n",
                "q.yaml": "description: D.\n\nimports: $HERE_DIR/p.yaml\n",
            },
            "$HERE_DIR/q.yaml:3: ",
            "$HERE_DIR/p.yaml -> $HERE_DIR/q.yaml -> $HERE_DIR/p.yaml",
        ),
        (
            {
                "p.yaml": "description: D.\nimports:\n  - $HERE_DIR/q.yaml\n",
                "q.yaml": "description: D.\nimports:\n  - {location: $HERE_DIR/r.yaml, exclude: one}\n",
                "r.yaml": "description: D.\nimports:\n  - location: $HERE_DIR/p.yaml\n",
            },
            "$HERE_DIR/r.yaml:3: ",
            "$HERE_DIR/p.yaml -> $HERE_DIR/q.yaml -> $HERE_DIR/r.yaml -> $HERE_DIR/p.yaml",
        ),
        (
            {"p.yaml": "description: D.\nimports:\n  - location: $NOWHERE_DIR/q.yaml\n"},
            "$HERE_DIR/p.yaml:3: import of $NOWHERE_DIR/q.yaml",
            "NOWHERE_DIR is not set",
        ),
        (
            {"p.yaml": "description: D.\nimports:\n  - $HERE_DIR/q.yaml\n"},
            "$HERE_DIR/p.yaml:3: import of $HERE_DIR/q.yaml",
            "no such file",
        ),
        (
            {
                "p.yaml": "description: D.\nimports:\n  - $HERE_DIR/q.yaml\n  - $HERE_DIR/r.yaml\n",
                "q.yaml": ONE_TASK,
                "r.yaml": ONE_TASK,
            },
            "$HERE_DIR/p.yaml:",
            "one",
        ),
        (
            {"p.yaml": ONE_TASK.replace("some.One", "{class: a.B, config: {file: $HERE_DIR/gone.py}}")},
            "$HERE_DIR/p.yaml:3: the override file $HERE_DIR/gone.py",
            "no such file",
        ),
        (
            {"p.yaml": ONE_TASK.replace("some.One", "{class: a.B, config: {file: $NOWHERE_DIR/gone.py}}")},
            "$HERE_DIR/p.yaml:3: ",
            "NOWHERE_DIR is not set",
        ),
        (
            {
                "p.yaml": ONE_TASK.replace("some.One", "{class: a.B, config: {file: $HERE_DIR/bad.py}}"),
                "bad.py": "config.a = 1\nconfig.b =\n",
            },
            "$HERE_DIR/bad.py:2: ",
            "not Python",
        ),
        (
            {
                "p.yaml": ONE_TASK.replace("some.One", "{class: a.B, config: {file: $HERE_DIR/a.py}}"),
                "a.py": "config.load('$HERE_DIR/b.py')\n",
                "b.py": "\nconfig.load('$HERE_DIR/a.py')\n",
            },
            "$HERE_DIR/",
            "load each other",
        ),
        (
            {
                "p.yaml": "description: D.\ntasks:\n  one:\n    class: a.B\n    config:\n      python: |\n"
                "        config.a = 1\n        config.b = = 2\n"
            },
            "$HERE_DIR/p.yaml:8: ",
            "not Python",
        ),
    ],
)
def test_message_names_file_and_line(home: Home, files: dict[str, str], begins: str, says: str) -> None:
    """What cannot be read is an error that says where."""
    home.write(files)
    with pytest.raises(DriftError) as caught:
        home.declare()
    assert str(caught.value).startswith(begins)
    assert says in str(caught.value)


def test_unset_variable_of_the_pipeline_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    """The message names the variable."""
    monkeypatch.delenv("AP_PIPE_DIR", raising=False)
    with pytest.raises(
        DriftError, match=r"^\$AP_PIPE_DIR/pipelines/LSSTCam/ApPipe\.yaml: .*AP_PIPE_DIR is not set"
    ):
        make_snapshot("$AP_PIPE_DIR/pipelines/LSSTCam/ApPipe.yaml", level=Level.DECLARED)


def test_unknown_label_behind_the_hash(home: Home) -> None:
    """The message names the label."""
    home.write({"p.yaml": ONE_TASK})
    with pytest.raises(DriftError, match=r"^\$HERE_DIR/p\.yaml:1: .*nothing"):
        home.declare("p.yaml#nothing")


def test_directory_is_no_pipeline(home: Home) -> None:
    """The message says what it is."""
    os.mkdir(home.path / "folder")
    with pytest.raises(DriftError, match="directory"):
        home.declare("folder")


def test_a_file_imported_twice_is_no_cycle(home: Home) -> None:
    """Two files may import parts of a third."""
    home.write(
        {
            "base.yaml": "description: Base.\ntasks:\n  one: some.One\n  two: some.Two\n",
            "q.yaml": "description: Q.\nimports:\n  - {location: $HERE_DIR/base.yaml, include: one}\n",
            "r.yaml": "description: R.\nimports:\n  - {location: $HERE_DIR/base.yaml, include: two}\n",
            "p.yaml": "description: P.\nimports:\n  - $HERE_DIR/q.yaml\n  - $HERE_DIR/r.yaml\n",
        }
    )
    snapshot = home.declare()
    assert snapshot.tasks.keys() == {"one", "two"}
    assert list(snapshot.sources) == [f"$HERE_DIR/{name}.yaml" for name in ("base", "p", "q", "r")]
