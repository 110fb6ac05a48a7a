# This file is part of ra_pipe.
#
# Use of this source code is governed by a 3-clause BSD-style
# license that can be found in the LICENSE file.

from __future__ import annotations

import pathlib

import pytest
from lsst.pipe.base import Instrument, Pipeline
from lsst.pipe.base.pipeline_graph import PipelineGraph
from lsst.resources import ResourcePath

PIPELINES = pathlib.Path(__file__).resolve().parents[1] / "pipelines"
LEAVES = sorted(path for path in PIPELINES.glob("*/*.yaml") if path.parent.name != "_ingredients")
FIRST_LOOK = ["isr", "calibrateImage", "detectorMetrics", "detectorPlots", "exposureSummary", "exposurePlots"]


@pytest.fixture(params=LEAVES, ids=lambda path: f"{path.parent.name}-{path.stem}")
def leaf(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> pathlib.Path:
    """A pipeline of an instrument, whose imports come from this checkout."""
    monkeypatch.setenv("RA_PIPE_DIR", str(PIPELINES.parent))
    path: pathlib.Path = request.param
    return path


def make_graph(path: pathlib.Path) -> PipelineGraph:
    """Build the graph of a pipeline with all its configurations."""
    return Pipeline.from_uri(str(path)).to_graph()


def test_there_are_pipelines() -> None:
    """The discovery below finds something."""
    assert len(LEAVES) >= 3


def test_configurations_load_and_validate(leaf: pathlib.Path) -> None:
    """Every override names a field that exists, with a value it takes."""
    for node in make_graph(leaf).tasks.values():
        node.config.validate()


def test_every_task_is_in_exactly_one_subset(leaf: pathlib.Path) -> None:
    """The subsets are disjoint and complete, so a run of all is the whole."""
    graph = make_graph(leaf)
    members = [label for subset in graph.task_subsets.values() for label in subset]
    assert sorted(members) == sorted(graph.tasks)


def test_every_subset_says_what_it_may_be_sharded_by(leaf: pathlib.Path) -> None:
    """An operator reads there how to split the work."""
    for subset in make_graph(leaf).task_subsets.values():
        assert "sharded by" in subset.description


def test_instrument_is_that_of_the_folder(leaf: pathlib.Path) -> None:
    """A leaf names the instrument class of its folder."""
    name = Pipeline.from_uri(str(leaf)).getInstrument()
    assert name is not None
    assert Instrument.from_string(name).getName() == leaf.parent.name


def test_first_look_has_its_labels(leaf: pathlib.Path) -> None:
    """Other configurations refer to the tasks by these labels."""
    if leaf.stem == "FirstLook":
        assert sorted(make_graph(leaf).tasks) == sorted(FIRST_LOOK)


def test_outputs_of_our_own_are_called_rapid(leaf: pathlib.Path) -> None:
    """A dataset type is AP's by name, or begins with rapid."""
    ap = {
        "post_isr_image",
        "preliminary_visit_image",
        "preliminary_visit_image_background",
        "single_visit_star_unstandardized",
        "isrStatistics",
    }
    graph = make_graph(leaf)
    outputs = {
        edge.parent_dataset_type_name for node in graph.tasks.values() for edge in node.outputs.values()
    }
    assert {name for name in outputs - ap if not name.startswith("rapid_")} == set()


def test_pipeline_resolves_without_the_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    """With RA_PIPE_DIR unset the files inside the package are meant."""
    monkeypatch.delenv("RA_PIPE_DIR", raising=False)
    uri = "$RA_PIPE_DIR/pipelines/LSSTCam/FirstLook.yaml"
    assert ResourcePath(uri).exists()
    assert "isr" in Pipeline.from_uri(uri).to_graph().tasks


def test_unknown_config_field_is_named(leaf: pathlib.Path) -> None:
    """A mistyped override is an error that names the field."""
    pipeline = Pipeline.from_uri(str(leaf))
    label = next(iter(make_graph(leaf).tasks))
    pipeline.addConfigOverride(label, "doEverything", True)
    with pytest.raises(AttributeError, match="doEverything"):
        pipeline.to_graph()
