# This file is part of ra_pipe.
#
# Use of this source code is governed by a 3-clause BSD-style
# license that can be found in the LICENSE file.

"""Every pipeline loads, and says what its kind has to say.

The files are found, not listed.  One whose tasks can be imported is resolved;
of any other the declared level is checked, which is what pipeline files say
after their imports.  Upstream packages that are set up are used; otherwise
small stand-ins for them.
"""

from __future__ import annotations

import os
import pathlib
from collections.abc import Iterator
from typing import Any

import pytest
import yaml
from lsst.daf.butler import StorageClassConfig, StorageClassFactory
from lsst.pipe.base import Instrument, Pipeline
from lsst.pipe.base.pipeline_graph import PipelineGraph
from lsst.pipe.base.pipelineIR import PipelineIR
from lsst.resources import ResourcePath
from lsst.utils import doImportType

ROOT = pathlib.Path(__file__).resolve().parents[1]
PIPELINES = ROOT / "pipelines"
OURS = "$RA_PIPE_DIR/"
UPSTREAM = {
    f"{name.upper()}_DIR": str(ROOT / "tests" / "data" / "upstream" / name)
    for name in ("ap_pipe", "cp_verify", "analysis_tools")
}
ENVIRONMENT = {
    **{name: os.environ.get(name, stand_in) for name, stand_in in UPSTREAM.items()},
    "RA_PIPE_DIR": str(ROOT),
}
INSTRUMENTS = {"LSSTCam": "LsstCam", "LSSTComCam": "LsstComCam", "LATISS": "Latiss"}
FILES = sorted(PIPELINES.rglob("*.yaml"))
LEAVES = [path for path in FILES if path.parent.name != "_ingredients"]
FIRST_LOOK = ["isr", "calibrateImage", "detectorMetrics", "detectorPlots", "exposureSummary", "exposurePlots"]


def name_of(path: pathlib.Path) -> str:
    """Name of a pipeline in the names of tests."""
    return f"{path.parent.name}-{path.stem}"


def declare(path: pathlib.Path) -> PipelineIR:
    """Read a pipeline with its imports, without its tasks."""
    return PipelineIR.from_uri(str(path))


def read(path: pathlib.Path) -> dict[str, Any]:
    """Read what one file says, without its imports."""
    content: dict[str, Any] = yaml.safe_load(path.read_text())
    return content


def imported(path: pathlib.Path) -> PipelineIR:
    """Read what a file has from its imports alone."""
    content = read(path)
    return PipelineIR({"description": "Imports.", "imports": content.get("imports", [])})


def is_importable(path: pathlib.Path) -> bool:
    """Whether all classes that a pipeline names are here."""
    pipeline = declare(path)
    names = [task.klass for task in pipeline.tasks.values()]
    try:
        for name in [*names, *filter(None, [pipeline.instrument])]:
            doImportType(name)
    except ImportError:
        return False
    return True


def make_graph(path: pathlib.Path) -> PipelineGraph:
    """Build the graph of a pipeline with all its configurations."""
    pipeline = Pipeline.from_uri(str(path))
    for name, value in declare(path).parameters.mapping.items():
        if value is None:
            pipeline.addConfigOverride("parameters", name, "left to the user")
    return pipeline.to_graph()


with pytest.MonkeyPatch.context() as _patch:
    for _name, _value in ENVIRONMENT.items():
        _patch.setenv(_name, _value)
    RESOLVABLE = [path for path in FILES if is_importable(path)]


@pytest.fixture(autouse=True)
def _environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Imports come from this checkout and from what upstream there is."""
    for name, value in ENVIRONMENT.items():
        monkeypatch.setenv(name, value)


@pytest.fixture(params=FILES, ids=name_of)
def any_file(request: pytest.FixtureRequest) -> pathlib.Path:
    """A pipeline file, for itself or to be imported."""
    path: pathlib.Path = request.param
    return path


@pytest.fixture(params=LEAVES, ids=name_of)
def leaf(request: pytest.FixtureRequest) -> pathlib.Path:
    """A pipeline of an instrument."""
    path: pathlib.Path = request.param
    return path


@pytest.fixture(params=RESOLVABLE, ids=name_of)
def resolvable(request: pytest.FixtureRequest) -> pathlib.Path:
    """A pipeline file whose tasks can be imported."""
    path: pathlib.Path = request.param
    return path


def test_there_are_pipelines() -> None:
    """The discovery finds each tier for every instrument, and resolves what needs this package only."""
    assert {path.parent.name for path in LEAVES} == set(INSTRUMENTS)
    for name in ("FirstLook", "RapidAnalysis", "RapidAnalysisIsr", "Prompt"):
        assert len([path for path in LEAVES if path.stem == name]) == len(INSTRUMENTS)
    assert {path for path in FILES if path.stem.startswith("FirstLook")} <= set(RESOLVABLE)


# What holds of every file, read with its imports.


def test_description_and_tasks_are_declared(any_file: pathlib.Path) -> None:
    """A pipeline says what it is for, also each subset that is ours."""
    pipeline = declare(any_file)
    assert pipeline.description.strip()
    assert pipeline.tasks
    for name in read(any_file).get("subsets", {}):
        assert (pipeline.labeled_subsets[name].description or "").strip()


def test_every_task_is_in_exactly_one_step(any_file: pathlib.Path) -> None:
    """Steps are disjoint and complete; what has none adds nothing to its import but settings."""
    pipeline = declare(any_file)
    if pipeline.steps:
        members = [label for step in pipeline.steps for label in pipeline.labeled_subsets[step.label].subset]
        assert sorted(members) == sorted(pipeline.tasks)
    else:
        before = imported(any_file)
        assert pipeline.tasks.keys() == before.tasks.keys()
        assert pipeline.labeled_subsets == before.labeled_subsets


def test_every_step_says_what_it_may_be_sharded_by(any_file: pathlib.Path) -> None:
    """An operator reads there how to split the work; the words are those of the dimensions."""
    pipeline = declare(any_file)
    for step in pipeline.steps:
        _, found, said = (pipeline.labeled_subsets[step.label].description or "").partition("sharded by")
        assert found
        # A visit is an exposure, and a service splits by the latter.
        assert all(name in said or (name == "visit" and "exposure" in said) for name in step.dimensions)


def override_files(pipeline: PipelineIR) -> Iterator[str]:
    """Yield the locations of a pipeline's override files."""
    for task in pipeline.tasks.values():
        for config in task.config or ():
            yield from config.file


def test_override_files_exist(any_file: pathlib.Path) -> None:
    """Every override file that a pipeline names is there."""
    for location in override_files(declare(any_file)):
        assert ResourcePath(os.path.expandvars(location)).exists(), location


def test_no_override_file_is_forgotten() -> None:
    """Every file of config/rapid is loaded by a pipeline."""
    named = {location for path in FILES for location in override_files(declare(path))}
    there = {f"{OURS}{path.relative_to(ROOT)}" for path in (ROOT / "config" / "rapid").rglob("*.py")}
    assert there <= named
    assert len(there) >= 7


def test_label_is_declared_with_one_class(any_file: pathlib.Path) -> None:
    """A file that changes a task names its class, since another drops all settings of the import."""
    before = imported(any_file).tasks
    for label, task in (read(any_file).get("tasks") or {}).items():
        if label in before:
            assert (task if isinstance(task, str) else task["class"]) == before[label].klass


# What holds of leaves.


def test_leaf_has_no_science_setting(leaf: pathlib.Path) -> None:
    """A leaf names classes, override files and datasets; it sets nothing else."""
    content = read(leaf)
    assert content.keys() <= {"description", "instrument", "imports", "tasks", "subsets", "steps"}
    for label, task in content.get("tasks", {}).items():
        assert task.keys() <= {"class", "config"}, label
        keys = {key for key in task.get("config", {}) if not key.startswith("connections.")}
        assert keys <= {"file"}, label


def test_leaf_inherits_all_of_its_ingredients(leaf: pathlib.Path) -> None:
    """Tasks, subsets with all members, steps, contracts and parameters come along."""
    pipeline = declare(leaf)
    for item in read(leaf)["imports"]:
        if item["location"].startswith(OURS):
            assert item.keys() == {"location"}
            ingredient = PipelineIR.from_uri(os.path.expandvars(item["location"]))
            assert ingredient.tasks.keys() <= pipeline.tasks.keys()
            for name, subset in ingredient.labeled_subsets.items():
                assert subset.subset <= pipeline.labeled_subsets[name].subset
            assert [step for step in pipeline.steps if step in ingredient.steps] == ingredient.steps
            assert all(contract in pipeline.contracts for contract in ingredient.contracts)


def test_leaf_keeps_what_it_imports(leaf: pathlib.Path) -> None:
    """No subset, contract or parameter of an import is lost or emptied."""
    pipeline, before = declare(leaf), imported(leaf)
    assert before.parameters.mapping == pipeline.parameters.mapping
    assert all(contract in pipeline.contracts for contract in before.contracts)
    for name, subset in before.labeled_subsets.items():
        assert subset.subset <= pipeline.labeled_subsets[name].subset


def test_instrument_is_that_of_the_folder(leaf: pathlib.Path) -> None:
    """A leaf names the instrument class of its folder, as do its imports."""
    name = declare(leaf).instrument
    class_name = INSTRUMENTS[leaf.parent.name]
    assert name in {f"lsst.obs.lsst.{class_name}", f"lsst.ra.pipe.camera.{class_name}"}
    if leaf in RESOLVABLE:
        assert Instrument.from_string(name).getName() == leaf.parent.name


def test_leaves_of_one_name_differ_in_their_camera_only(leaf: pathlib.Path) -> None:
    """What is said of one camera holds for all, but for override files that are of that camera."""

    def read_general(path: pathlib.Path) -> dict[str, Any]:
        camera = path.parent.name
        text = path.read_text().replace(INSTRUMENTS[camera], "<class>").replace(camera, "<camera>")
        content: dict[str, Any] = yaml.safe_load(text)
        for task in content.get("tasks", {}).values():
            if f"{OURS}config/rapid/<camera>/" in str(task["config"].get("file", "")):
                del task["config"]["file"]
        return content

    first = next(path for path in LEAVES if path.stem == leaf.stem)
    assert read_general(leaf) == read_general(first)


# What holds of pipelines whose tasks are not here: their datasets, by the names of connections.

INPUTS = {"exposures", "calexp", "visitSummaryRefs", "visitSummaries", "data", "inputName"}


def is_input(connection: str) -> bool:
    """Whether a connection of an upstream task is an input, by its name."""
    return connection in INPUTS or connection.startswith("input")


def test_what_a_task_reads_another_writes(leaf: pathlib.Path) -> None:
    """Every dataset type that is named as an input is an output of a task of the pipeline."""
    pipeline = declare(leaf)
    # Of a connection that is named twice the later name holds.
    names = {
        (label, key.removeprefix("connections.")): value
        for label, task in pipeline.tasks.items()
        for config in task.config or ()
        for key, value in config.rest.items()
        if key.startswith("connections.")
    }
    written = {value for (_, connection), value in names.items() if not is_input(connection)}
    written |= {"raw", *(f"{label}_metadata" for label in pipeline.tasks)}
    wanted = {value.partition(".")[0] for (_, connection), value in names.items() if is_input(connection)}
    assert wanted <= written


# What holds of pipelines whose tasks are here.


def test_configurations_load_and_validate(resolvable: pathlib.Path) -> None:
    """Every override names a field that exists, with a value it takes."""
    for node in make_graph(resolvable).tasks.values():
        node.config.validate()


def test_steps_follow_the_flow_of_data(resolvable: pathlib.Path) -> None:
    """No step reads what a later one writes, and its tasks have the dimensions that it is sharded by."""
    # As a repository of this package has them.
    storage_classes = ResourcePath("resource://lsst.ra.pipe/resources/butler/storage_classes.yaml")
    StorageClassFactory().addFromConfig(StorageClassConfig(storage_classes))
    graph = make_graph(resolvable)
    graph.resolve()
    assert all(graph.get_task_step(label) in graph.steps for label in graph.tasks)


def test_first_look_has_its_labels(resolvable: pathlib.Path) -> None:
    """Other configurations refer to the tasks by these labels."""
    if resolvable.stem == "FirstLook":
        assert sorted(make_graph(resolvable).tasks) == sorted(FIRST_LOOK)


def test_outputs_of_our_own_are_called_rapid(resolvable: pathlib.Path) -> None:
    """A dataset type of this package's tasks is AP's by name, or begins with rapid."""
    ap = {
        "post_isr_image",
        "preliminary_visit_image",
        "preliminary_visit_image_background",
        "single_visit_star_unstandardized",
        "isrStatistics",
    }
    graph = make_graph(resolvable)
    outputs = {
        edge.parent_dataset_type_name
        for node in graph.tasks.values()
        for edge in node.outputs.values()
        if node.task_class_name.startswith("lsst.ra.pipe.")
    }
    assert {name for name in outputs - ap if not name.startswith("rapid_")} == set()


def test_pipeline_resolves_without_the_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    """With RA_PIPE_DIR unset the files inside the package are meant."""
    monkeypatch.delenv("RA_PIPE_DIR", raising=False)
    uri = "$RA_PIPE_DIR/pipelines/LSSTCam/FirstLook.yaml"
    assert ResourcePath(uri).exists()
    assert "isr" in Pipeline.from_uri(uri).to_graph().tasks


def test_unknown_config_field_is_named(resolvable: pathlib.Path) -> None:
    """A mistyped override is an error that names the field."""
    pipeline = Pipeline.from_uri(str(resolvable))
    label = next(iter(make_graph(resolvable).tasks))
    pipeline.addConfigOverride(label, "doEverything", True)
    with pytest.raises(AttributeError, match="doEverything"):
        pipeline.to_graph()
