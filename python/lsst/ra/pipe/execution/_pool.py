# This file is part of ra_pipe.
#
# Use of this source code is governed by a 3-clause BSD-style
# license that can be found in the LICENSE file.

from __future__ import annotations

__all__ = ("RunRequest", "run_exposures")

import concurrent.futures
import contextlib
import dataclasses
import functools
import gc
import itertools
import multiprocessing
import tempfile
from collections.abc import Callable, Generator, Iterator, Sequence
from typing import Any

from lsst.daf.butler import Butler
from lsst.pipe.base import Pipeline
from lsst.pipe.base.pipeline_graph import PipelineGraph
from lsst.ra.pipe.camera.calibrations import ArrayStore

from ._allocator import keep_freed_memory
from ._graph_parts import detector_labels, exposure_labels
from ._outcome import ImageReport, QuantumOutcome, QuantumStatus
from ._output_run import prepare_output_run
from ._runner import QuantumRunner
from ._threads import limit_threads


@dataclasses.dataclass(frozen=True)
class RunRequest:
    """What to run: a pipeline on detectors of exposures."""

    repository: str
    """Root, configuration file or alias of the Butler repository."""

    pipeline: str
    """URI of the pipeline; ``#label,label`` selects tasks or subsets."""

    instrument: str
    """Butler ``instrument``."""

    exposures: tuple[int, ...]
    """Butler ``exposure`` values."""

    detectors: tuple[int, ...]
    """Butler ``detector`` values."""

    inputs: tuple[str, ...]
    """Collections to read from."""

    output: str
    """CHAINED collection for the outputs."""

    config_overrides: tuple[tuple[str, str, Any], ...] = ()
    """Task label, field and value of each config override."""

    calibration_bytes: int = 4_000_000_000
    """Budget (bytes) for the calibration images that the workers share."""

    calibration_directory: str | None = None
    """Directory for them; the default is a temporary one."""

    def load_pipeline(self) -> Pipeline:
        """Load the pipeline, with its overrides.

        Raises
        ------
        FileNotFoundError
            Raised if there is no such pipeline.
        AttributeError
            Raised if an override names a field that does not exist.
        """
        pipeline = Pipeline.from_uri(self.pipeline)
        for label, field, value in self.config_overrides:
            pipeline.addConfigOverride(label, field, value)
        return pipeline


def run_exposures(
    request: RunRequest, *, processes: int = 1, on_report: Callable[[ImageReport], Any] | None = None
) -> list[ImageReport]:
    """Run a pipeline on detectors of exposures, then gather each exposure.

    Parameters
    ----------
    request
        What to run.
    processes
        Number of worker processes, each warm for all its images.
    on_report
        Called in this process with each report as it comes.

    Returns
    -------
    reports
        One report an image: the detectors in the order in which they ended,
        and one for the gathering of each exposure.

    Notes
    -----
    A failure stops nothing else.  Also a worker process that dies ends as a
    failed report of the images it held, not as an exception.
    """
    with contextlib.ExitStack() as stack:
        if request.calibration_directory is None:
            directory = stack.enter_context(tempfile.TemporaryDirectory(prefix="ra_pipe-calibrations-"))
            request = dataclasses.replace(request, calibration_directory=directory)
        return _run_all(request, processes, on_report)


def _run_all(
    request: RunRequest, processes: int, on_report: Callable[[ImageReport], Any] | None
) -> list[ImageReport]:
    """Run the detectors, then gather."""
    butler = Butler.from_config(request.repository, writeable=True)
    graph = request.load_pipeline().to_graph(registry=butler.registry)
    run = prepare_output_run(
        butler, graph, parent=request.output, chain=request.output, inputs=request.inputs
    )
    reports = []
    for report in itertools.chain(
        _run_detectors(request, run, processes) if detector_labels(graph) else (),
        _gather(request, run, graph) if exposure_labels(graph) else (),
    ):
        reports.append(report)
        if on_report is not None:
            on_report(report)
    return reports


def _gather(request: RunRequest, run: str, graph: PipelineGraph) -> Iterator[ImageReport]:
    """Gather each exposure, in this process."""
    runner = QuantumRunner(request.repository, graph, inputs=request.inputs)
    for exposure in request.exposures:
        yield runner.run_exposure(instrument=request.instrument, exposure=exposure, output_run=run)


def _run_detectors(request: RunRequest, run: str, processes: int) -> Iterator[ImageReport]:
    """Run all detectors; those that a dying worker took along, one by one.

    A pool whose worker died gives up all it has not finished, so what is left
    runs in a pool of its own for each image: there the death can be blamed.
    """
    # A detector's exposures follow each other, while its calibrations are there.
    images = [(exposure, detector) for detector in request.detectors for exposure in request.exposures]
    limit_threads()
    orphans = yield from _run_in_workers(request, run, images, processes)
    for image in orphans:
        for exposure, detector in (yield from _run_in_workers(request, run, [image], 1)):
            reason = f"{request.instrument} exposure {exposure}, detector {detector}: the worker process died"
            outcome = QuantumOutcome("worker", QuantumStatus.FAILED, reason=reason)
            yield ImageReport(request.instrument, exposure, detector, (outcome,))


def _run_in_workers(
    request: RunRequest, run: str, images: Sequence[tuple[int, int]], processes: int
) -> Generator[ImageReport, None, list[tuple[int, int]]]:
    """Run images in warm workers; return those that a dying worker gave up.

    Each worker has detectors of its own, whose calibrations it keeps.  The
    first image runs while the other workers start: it compiles the kernels,
    which those then find on disk.
    """
    orphans: list[tuple[int, int]] = []
    context = multiprocessing.get_context("spawn")
    detectors = sorted({detector for _, detector in images})
    with contextlib.ExitStack() as stack:
        workers = [
            stack.enter_context(concurrent.futures.ProcessPoolExecutor(1, mp_context=context))
            for _ in range(min(processes, len(detectors)))
        ]

        def submit(image: tuple[int, int]) -> concurrent.futures.Future[ImageReport]:
            worker = workers[detectors.index(image[1]) % len(workers)]
            return worker.submit(_run_in_worker, request, run, *image)

        for number, worker in enumerate(workers):
            worker.submit(_start_worker, request, tuple(detectors[number :: len(workers)]))
        futures = {submit(images[0]): images[0]}
        concurrent.futures.wait(futures)
        futures |= {submit(image): image for image in images[1:]}
        for future in concurrent.futures.as_completed(futures):
            try:
                yield future.result()
            except concurrent.futures.BrokenExecutor:
                orphans.append(futures[future])
    return orphans


@functools.cache
def _make_runner(request: RunRequest) -> QuantumRunner:
    """Make this worker process ready: the imports, the pipeline, the Butler."""
    assert request.calibration_directory is not None, "Set by run_exposures."
    return QuantumRunner(
        request.repository,
        request.load_pipeline().to_graph(),
        inputs=request.inputs,
        calibration_store=ArrayStore(request.calibration_directory, max_bytes=request.calibration_bytes),
    )


def _start_worker(request: RunRequest, detectors: Sequence[int]) -> None:
    """Do what the first image would wait for."""
    keep_freed_memory()
    _make_runner(request).warm(detectors, request.instrument)
    # What is here now stays; collecting garbage need not look at it again.
    gc.freeze()


def _run_in_worker(request: RunRequest, run: str, exposure: int, detector: int) -> ImageReport:
    runner = _make_runner(request)
    report = runner.run_detector(
        instrument=request.instrument, exposure=exposure, detector=detector, output_run=run
    )
    runner.collect_garbage()
    return report
