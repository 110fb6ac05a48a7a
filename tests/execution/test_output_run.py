# This file is part of ra_pipe.
#
# Use of this source code is governed by a 3-clause BSD-style
# license that can be found in the LICENSE file.

from __future__ import annotations

import concurrent.futures
import multiprocessing
import pathlib

import pytest
from arithmetic_pipeline import EXPOSURE
from lsst.daf.butler import Butler, CollectionType
from lsst.pipe.base import Pipeline
from lsst.pipe.base.pipeline_graph import PipelineGraph
from lsst.ra.pipe.execution import (
    QuantumRunner,
    configuration_digest,
    prepare_output_run,
    register_late_run,
)

INPUTS = ("LSSTCam/defaults",)


def prepare(root: pathlib.Path | str, pipeline: str, *, offset: float = 0.0, chain: str = "u/test") -> str:
    """Prepare a run with a client of its own."""
    butler = Butler.from_config(root, writeable=True)
    loaded = Pipeline.from_uri(pipeline)
    loaded.addConfigOverride("double", "offset", offset)
    graph = loaded.to_graph(registry=butler.registry)
    return prepare_output_run(butler, graph, parent="u/test", chain=chain, inputs=INPUTS)


def prepare_and_run(root: str, pipeline: str, detector: int) -> tuple[str, bool]:
    """Prepare a run and process a detector, as a worker process does."""
    run = prepare(root, pipeline)
    graph = Pipeline.from_uri(pipeline).to_graph()
    runner = QuantumRunner(root, graph, inputs=INPUTS)
    report = runner.run_detector(instrument="LSSTCam", exposure=EXPOSURE, detector=detector, output_run=run)
    return run, report.failed


def children(root: pathlib.Path, chain: str = "u/test") -> tuple[str, ...]:
    """Return the members of a chain."""
    return tuple(Butler.from_config(root).collections.get_info(chain).children)


def test_configs_and_versions_are_in_the_run(root: pathlib.Path, repository: Butler, pipeline: str) -> None:
    """Written once; preparing the run again changes nothing."""
    run = prepare(root, pipeline, offset=2.0)
    repository.registry.refresh()
    before = {ref.id for ref in repository.query_all_datasets(run, find_first=False)}
    assert repository.get("double_config", collections=run).offset == 2.0
    assert {"python", "daf_butler", "ra_pipe"} <= repository.get("packages", collections=run).keys()
    assert len(before) == 4
    assert prepare(root, pipeline, offset=2.0) == run
    assert {ref.id for ref in repository.query_all_datasets(run, find_first=False)} == before


def test_chain_has_the_latest_run_first(root: pathlib.Path, repository: Butler, pipeline: str) -> None:
    """Then the older ones, then the inputs; an older configuration that is
    used again comes to the front.
    """
    first = prepare(root, pipeline)
    second = prepare(root, pipeline, offset=1.0)
    assert children(root) == (second, first, *INPUTS)
    prepare(root, pipeline)
    assert children(root) == (first, second, *INPUTS)


def test_late_runs_stay_in_front_of_their_run(root: pathlib.Path, repository: Butler, pipeline: str) -> None:
    """Also when a worker that starts prepares the run again."""
    run = prepare(root, pipeline)
    for n in (1, 2, 2):
        register_late_run(repository, run, n, "u/test")
    prepare(root, pipeline)
    assert children(root) == (f"{run}/late/2", f"{run}/late/1", run, *INPUTS)


def test_late_runs_are_counted_from_one(root: pathlib.Path, repository: Butler, pipeline: str) -> None:
    """Zero is the run itself."""
    run = prepare(root, pipeline)
    with pytest.raises(ValueError, match="at least 1; got 0"):
        register_late_run(repository, run, 0, "u/test")


def test_new_member_of_the_input_chain_makes_a_new_run(
    root: pathlib.Path, repository: Butler, pipeline: str
) -> None:
    """Though the chain's name is the same."""
    before = prepare(root, pipeline)
    repository.collections.register("u/calibration", CollectionType.RUN)
    repository.collections.prepend_chain("LSSTCam/defaults", "u/calibration")
    assert prepare(root, pipeline) != before


@pytest.mark.parametrize(
    ("packages", "collections", "offset", "is_same"),
    [
        ({"a": "1", "b": "2"}, ["x", "y"], 0.0, True),
        ({"b": "2", "a": "1"}, ["x", "y"], 0.0, True),
        ({"a": "1", "b": "3"}, ["x", "y"], 0.0, False),
        ({"a": "1"}, ["x", "y"], 0.0, False),
        ({"a": "1", "b": "2"}, ["y", "x"], 0.0, False),
        ({"a": "1", "b": "2"}, ["x", "y"], 1.0, False),
    ],
)
def test_digest(
    pipeline: str, packages: dict[str, str], collections: list[str], offset: float, is_same: bool
) -> None:
    """It changes with any package, collection or config, not with the order
    in which the packages are found.
    """

    def load(offset: float) -> PipelineGraph:
        loaded = Pipeline.from_uri(pipeline)
        loaded.addConfigOverride("double", "offset", offset)
        return loaded.to_graph()

    reference = configuration_digest(load(0.0), packages={"a": "1", "b": "2"}, collections=["x", "y"])
    digest = configuration_digest(load(offset), packages=packages, collections=collections)
    assert (digest == reference) is is_same


def test_many_processes_prepare_and_write_one_run(
    root: pathlib.Path, repository: Butler, pipeline: str
) -> None:
    """At once, from nothing, two of them on each detector: nobody fails, and
    each dataset is there once, readable.
    """
    context = multiprocessing.get_context("spawn")
    with concurrent.futures.ProcessPoolExecutor(4, mp_context=context) as pool:
        futures = [
            pool.submit(prepare_and_run, str(root), pipeline, detector) for detector in (93, 94, 93, 94)
        ]
        results = [future.result() for future in futures]
    [run] = {run for run, _ in results}
    assert not any(failed for _, failed in results)
    assert children(root) == (run, *INPUTS)
    butler = Butler.from_config(root)
    refs = butler.query_all_datasets(run, find_first=False)
    assert len(refs) == 4 + 2 * 4
    for ref in refs:
        butler.get(ref)
