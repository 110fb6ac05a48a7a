# This file is part of ra_pipe.
#
# Use of this source code is governed by a 3-clause BSD-style
# license that can be found in the LICENSE file.

"""What executors add to the tasks, on the same images, one after the other."""

from __future__ import annotations

__all__ = ("ExecutorTimes", "compare_executors", "prepare_arithmetic")

import dataclasses
import datetime
import logging
import os
import pathlib
import subprocess
import sys
import time
from collections.abc import Iterable, Sequence

sys.path.append(str(pathlib.Path(__file__).resolve().parents[1] / "tests"))

from _service_images import INSTRUMENT, RawFile
from arithmetic_pipeline import PIPELINE as ARITHMETIC
from arithmetic_pipeline import put_number
from lsst.daf.butler import Butler, DatasetType, Timespan
from lsst.pipe.base import Pipeline
from lsst.pipe.base.pipeline_graph import PipelineGraph
from lsst.pipe.base.simple_pipeline_executor import SimplePipelineExecutor
from lsst.ra.pipe.camera.calibrations import ArrayStore
from lsst.ra.pipe.execution import QuantumRunner, prepare_output_run

_INPUTS = [f"{INSTRUMENT}/defaults"]
_TESTS = str(pathlib.Path(__file__).resolve().parents[1] / "tests")


@dataclasses.dataclass(frozen=True)
class ExecutorTimes:
    """What three executors needed for the same pipeline on the same images."""

    n_quanta: int
    """Number of quanta of an image."""

    runner_overhead: list[float]
    """Time (s) per quantum outside the tasks, of this package's runner."""

    simple_overhead: list[float]
    """The same of `SimplePipelineExecutor`, which makes a graph for each
    image."""

    pipetask_seconds: list[float]
    """Time (s) of ``pipetask run`` for a whole image."""

    pipetask_overhead: list[float]
    """Time (s) per quantum outside the tasks, of ``pipetask run``."""


def prepare_arithmetic(butler: Butler, images: Iterable[RawFile], directory: pathlib.Path) -> str:
    """Put the inputs of a pipeline of small tasks into a repository; return
    the pipeline, without the task that gathers.
    """
    for name, dimensions in (
        ("number", ("instrument", "exposure", "detector")),
        ("factor", ("instrument", "detector")),
    ):
        butler.registry.registerDatasetType(
            DatasetType(
                name,
                dimensions,
                "StructuredDataDict",
                universe=butler.dimensions,
                isCalibration=name == "factor",
            )
        )
    run = f"{INSTRUMENT}/calib/arithmetic"
    butler.collections.register(run)
    images = list(images)
    factors = [
        butler.put({"value": 2.0}, "factor", instrument=INSTRUMENT, detector=detector, run=run)
        for detector in sorted({image.detector for image in images})
    ]
    butler.registry.certify(f"{INSTRUMENT}/calib", factors, Timespan(None, None))
    for image in images:
        put_number(butler, image.exposure, image.detector, float(image.detector))
    path = directory / "Arithmetic.yaml"
    path.write_text(ARITHMETIC)
    return f"{path}#double,mark"


def compare_executors(
    repository: pathlib.Path,
    pipeline: str,
    images: Sequence[RawFile],
    *,
    name: str,
    directory: pathlib.Path,
    n_pipetask: int,
) -> ExecutorTimes:
    """Run all executors on the same images, in turn.

    Parameters
    ----------
    repository
        Root of the repository.
    pipeline
        URI of the pipeline.
    images
        The images; the first one is to warm up.
    name
        Part of the names of the output collections.
    directory
        For calibrations in memory-mapped form.
    n_pipetask
        Number of images that ``pipetask`` processes.
    """
    logging.getLogger("lsst").setLevel(logging.ERROR)
    root = str(repository)
    butler = Butler.from_config(root, writeable=True)
    graph = Pipeline.from_uri(pipeline).to_graph(registry=butler.registry)
    output = f"u/benchmark/{name}/runner"
    run = prepare_output_run(butler, graph, parent=output, chain=output, inputs=_INPUTS)
    store = ArrayStore(directory / f"calibrations-{name}", max_bytes=4_000_000_000)
    runner = QuantumRunner(root, graph, inputs=_INPUTS, calibration_store=store)
    by_runner, by_simple = [], []
    for i, image in enumerate(images):
        by_runner.append(_time_runner(runner, image, run))
        by_simple.append(_time_simple(root, pipeline, image, f"u/benchmark/{name}/simple/{i}"))
    runner.close()
    n_quanta = len(graph.tasks)
    chosen = images[1 : 1 + n_pipetask]
    by_pipetask = [
        _time_pipetask(root, pipeline, image, f"u/benchmark/{name}/pipetask{image.detector}/{image.exposure}")
        for image in chosen
    ]
    return ExecutorTimes(
        n_quanta=n_quanta,
        runner_overhead=[seconds / n_quanta for seconds in by_runner[1:]],
        simple_overhead=[seconds / n_quanta for seconds in by_simple[1:]],
        pipetask_seconds=[seconds for seconds, _ in by_pipetask],
        pipetask_overhead=[(seconds - tasks) / n_quanta for seconds, tasks in by_pipetask],
    )


def _time_runner(runner: QuantumRunner, image: RawFile, run: str) -> float:
    """Return the seconds outside the tasks."""
    begin = time.perf_counter()
    report = runner.run_detector(
        instrument=INSTRUMENT, exposure=image.exposure, detector=image.detector, output_run=run
    )
    wall = time.perf_counter() - begin
    if report.failed:
        raise SystemExit(f"The pipeline failed: {report.first_failure}")
    runner.collect_garbage()
    return wall - sum(outcome.seconds for outcome in report.outcomes)


def _time_simple(root: str, pipeline: str, image: RawFile, output: str) -> float:
    """Return the seconds outside the tasks, with the making of the graph and
    without that of the output collections.
    """
    butler = SimplePipelineExecutor.prep_butler(root, inputs=_INPUTS, output=output)
    graph = Pipeline.from_uri(pipeline).to_graph()
    begin = time.perf_counter()
    executor = SimplePipelineExecutor.from_pipeline_graph(graph, where=_where(image), butler=butler)
    quanta = executor.run(register_dataset_types=True, save_versions=False)
    wall = time.perf_counter() - begin
    if len(quanta) != len(graph.tasks):
        raise SystemExit(f"SimplePipelineExecutor made {len(quanta)} quanta; expected {len(graph.tasks)}.")
    return wall - _task_seconds(butler, graph, image, output)


def _time_pipetask(root: str, pipeline: str, image: RawFile, output: str) -> tuple[float, float]:
    """Return the seconds of the whole command, and those in the tasks."""
    command = [
        *(str(pathlib.Path(sys.executable).with_name("pipetask")), "run", "-b", root, "-p", pipeline),
        *("-i", ",".join(_INPUTS), "-o", output, "--register-dataset-types", "-d", _where(image)),
    ]
    begin = time.perf_counter()
    subprocess.run(command, check=True, env={**os.environ, "PYTHONPATH": _TESTS}, stdout=subprocess.DEVNULL)
    wall = time.perf_counter() - begin
    butler = Butler.from_config(root)
    graph = Pipeline.from_uri(pipeline).to_graph()
    seconds = _task_seconds(butler, graph, image, output)
    butler.close()
    return wall, seconds


def _task_seconds(butler: Butler, graph: PipelineGraph, image: RawFile, collection: str) -> float:
    """Add up the times of an image's tasks, from the metadata they left."""
    data_id = {
        "instrument": INSTRUMENT,
        "exposure": image.exposure,
        "visit": image.exposure,
        "detector": image.detector,
    }
    total = 0.0
    for label in graph.tasks:
        quantum = butler.get(f"{label}_metadata", data_id, collections=collection)["quantum"]
        begin, end = (datetime.datetime.fromisoformat(quantum[name]) for name in ("startUtc", "endUtc"))
        total += (end - begin).total_seconds()
    return total


def _where(image: RawFile) -> str:
    return f"instrument='{INSTRUMENT}' AND exposure={image.exposure} AND detector={image.detector}"
