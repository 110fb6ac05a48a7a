# This file is part of ra_pipe.
#
# Use of this source code is governed by a 3-clause BSD-style
# license that can be found in the LICENSE file.

from __future__ import annotations

__all__ = ("QuantumRunner",)

import gc
import weakref
from collections.abc import Collection, Iterable, Sequence

from lsst.daf.butler import Butler, ButlerConfig
from lsst.pipe.base.pipeline_graph import PipelineGraph
from lsst.ra.pipe.camera.calibrations import ArrayStore
from lsst.resources import ResourcePathExpression

from ._dataset_cache import DatasetCache
from ._graph_parts import calibration_types, detector_labels, exposure_labels, intermediates, log_types
from ._image_butler import ImageButler
from ._image_id import ImageFinder
from ._image_run import ImageRun, Stage
from ._input_finder import InputFinder
from ._outcome import ImageReport
from ._staging import StagingArea
from ._step_clock import StepClock
from ._task_plan import InputSource
from ._warm_task_factory import WarmTaskFactory


class QuantumRunner:
    """Runs a pipeline's quanta for one image after another, in this process.

    Parameters
    ----------
    repository
        Root, configuration file or alias of the Butler repository, whose
        datastore must be one of files.
    pipeline_graph
        The pipeline, which is resolved here; its dataset types must have been
        registered.
    inputs
        Collections to read from.
    persist
        Names of the intermediates to write: of what a task writes for a
        detector and only other tasks of the same detector read.  The others
        pass in memory, and are neither written nor registered.  `None` writes
        all.
    publish
        Names of the outputs whose content the reports carry.
    calibration_store
        Where the tasks keep calibration images between quanta, shared with the
        other workers of this machine.  Without one they are read each time.
    cache_bytes
        Memory budget for the other calibrations that this process keeps.

    Raises
    ------
    ValueError
        Raised if ``persist`` or ``publish`` has an unknown name, or if a task
        cannot run image by image.
    TypeError
        Raised if the datastore is not one of files.

    Notes
    -----
    All that is the same for all images is made once: the tasks, and what of
    their quanta does not depend on the image.  See `CalibrationLookup` for
    what is remembered of the calibrations, until `refresh`.

    The outputs of an image are written beside the repository's files.  At the
    end those of the quanta that succeeded enter the registry in one
    transaction, with which their files move into place.  So an image costs
    one registry write, and a failure leaves nothing half-written.  The
    identifiers of the outputs follow from dataset type, run and data ID: of
    two processes that run the same image the first one registers its outputs,
    and the other one discards its own.

    The metadata datasets are those of pipe_base.  Its log datasets are left
    out: what a task logs goes to the process's own log, for failures, too.
    """

    def __init__(
        self,
        repository: ResourcePathExpression,
        pipeline_graph: PipelineGraph,
        *,
        inputs: Sequence[str],
        persist: Collection[str] | None = None,
        publish: Collection[str] = (),
        calibration_store: ArrayStore | None = None,
        cache_bytes: int = 50_000_000,
    ) -> None:
        config = ButlerConfig(repository)
        # Two clients: with SQLite, one that may write locks out all others
        # even when it reads.
        self._reader = Butler.from_config(config, writeable=False)
        self._writer = Butler.from_config(config, writeable=True)
        pipeline_graph.resolve(self._reader.registry)
        self._unwritten = _choose_unwritten(pipeline_graph, persist) | log_types(pipeline_graph)
        self._graph = pipeline_graph
        self._detector_stage, self._exposure_stage = (
            Stage(pipeline_graph, labels, unwritten=self._unwritten, publish=frozenset(publish))
            for labels in (detector_labels(pipeline_graph), exposure_labels(pipeline_graph))
        )
        self._rehearsal_stage = Stage(
            pipeline_graph,
            detector_labels(pipeline_graph),
            unwritten=frozenset(pipeline_graph.dataset_types),
            publish=frozenset(),
        )
        self._check_published(publish)
        self._images = ImageFinder(self._reader)
        self._inputs = InputFinder(self._reader, inputs)
        self._factory = WarmTaskFactory(
            pipeline_graph, self._reader, inputs=inputs, calibration_store=calibration_store
        )
        self._calibrations = DatasetCache(cache_bytes)
        self._calibration_types = calibration_types(pipeline_graph)
        self._staging = StagingArea(
            self._writer, (node.dataset_type for node in pipeline_graph.dataset_types.values())
        )
        self._has_garbage = False
        self._finalizer = weakref.finalize(self, _close, self._reader, self._writer)

    def run_detector(self, *, instrument: str, exposure: int, detector: int, output_run: str) -> ImageReport:
        """Run the tasks that are defined on a detector, for one of them.

        Parameters
        ----------
        instrument
            Butler ``instrument``.
        exposure
            Butler ``exposure``.
        detector
            Butler ``detector``.
        output_run
            RUN collection for the outputs, which `prepare_output_run` made.

        Returns
        -------
        report
            Outcome of each quantum.  A task's failure is reported, not raised.

        Raises
        ------
        lsst.daf.butler.DataIdError
            Raised if the repository knows no such exposure or detector.
        """
        return self._run(self._detector_stage, instrument, exposure, detector, output_run, [output_run])

    def run_exposure(
        self, *, instrument: str, exposure: int, output_run: str, detector_runs: Sequence[str] = ()
    ) -> ImageReport:
        """Run the tasks that gather the detectors of an exposure.

        Parameters
        ----------
        instrument
            Butler ``instrument``.
        exposure
            Butler ``exposure``.
        output_run
            RUN collection for the outputs.
        detector_runs
            Collections with the detectors' outputs.  The default is the output
            run.

        Returns
        -------
        report
            Outcome of each quantum.  They use the detectors whose outputs are
            there.

        Raises
        ------
        lsst.daf.butler.DataIdError
            Raised if the repository knows no such exposure.
        """
        runs = list(detector_runs) or [output_run]
        return self._run(self._exposure_stage, instrument, exposure, None, output_run, runs)

    def warm(self, detectors: Iterable[int], instrument: str) -> None:
        """Construct all tasks, and ask which calibrations detectors have.

        Parameters
        ----------
        detectors
            Butler ``detector`` values that are expected.
        instrument
            Butler ``instrument``.
        """
        self._factory.construct(self._graph.tasks)
        dataset_types = {
            planned.name: planned.dataset_type
            for stage in (self._detector_stage, self._exposure_stage)
            for plan in stage.plans.values()
            for planned in plan.inputs
            if planned.source is InputSource.CALIBRATION
        }
        self._inputs.calibrations.load(dataset_types.values(), instrument, list(detectors))

    def rehearse(self, *, instrument: str, exposure: int, detector: int) -> ImageReport:
        """Run the tasks of a detector, and write nothing.

        Parameters
        ----------
        instrument
            Butler ``instrument``.
        exposure
            Butler ``exposure``.
        detector
            Butler ``detector``.

        Returns
        -------
        report
            Outcome of each quantum.

        Raises
        ------
        lsst.daf.butler.DataIdError
            Raised if the repository knows no such exposure or detector.

        Notes
        -----
        Afterwards kernels are compiled, modules imported and calibrations in
        memory, so that the first image that counts finds a process as warm as
        the hundredth does.
        """
        return self._run(self._rehearsal_stage, instrument, exposure, detector, "rehearsal", [])

    def refresh(self) -> None:
        """Look again at what may have changed in the repository.

        Notes
        -----
        To be called from time to time: new calibrations, and changes of the
        input collections, are seen from then on.
        """
        self._reader.registry.refresh()
        self._inputs.refresh()
        self._images.refresh()

    def collect_garbage(self) -> None:
        """Free the memory that the last image held.

        Notes
        -----
        What reads and writes images leaves cycles of references to them,
        gigabytes before the collector would notice.  Collecting takes tens of
        milliseconds, so it is best done when the report is on its way; the
        next image does it otherwise.
        """
        if self._has_garbage:
            gc.collect()
            self._has_garbage = False

    def close(self) -> None:
        """Close the connections to the repository."""
        self._finalizer()

    def _check_published(self, publish: Collection[str]) -> None:
        outputs = self._detector_stage.output_types | self._exposure_stage.output_types
        if unknown := set(publish) - outputs:
            raise ValueError(
                f"Cannot publish {', '.join(sorted(unknown))}: expected names of outputs, which are "
                f"{', '.join(sorted(outputs))}."
            )

    def _run(
        self,
        stage: Stage,
        instrument: str,
        exposure: int,
        detector: int | None,
        output_run: str,
        detector_runs: Sequence[str],
    ) -> ImageReport:
        clock = StepClock()
        with clock.step("collect garbage"):
            self.collect_garbage()
        # One transaction: PostgreSQL takes four messages to begin and end one.
        with self._reader.transaction():
            with clock.step("find image"):
                image = self._images.find(instrument=instrument, exposure=exposure, detector=detector)
            with clock.step("look up raw and outputs"):
                run = ImageRun(stage, image, output_run, detector_runs, self._reader, self._inputs, clock)
        labels = run.triage()
        butler = self._execute(run, labels) if labels else None
        with clock.step("publish"):
            published = run.publish(butler)
        outcomes = tuple(run.outcomes[label] for label in stage.plans)
        steps = clock.finish()
        return ImageReport(
            instrument,
            exposure,
            detector,
            outcomes,
            overhead_seconds=sum(steps.values()) - sum(outcome.seconds for outcome in outcomes),
            published=published,
            detectors=tuple(sorted(run.detectors)),
            steps=steps,
            run=output_run,
        )

    def _execute(self, run: ImageRun, labels: Sequence[str]) -> ImageButler:
        """Run tasks, and register what they wrote."""
        butler = ImageButler(
            self._reader,
            self._staging,
            calibrations=self._calibrations,
            calibration_types=self._calibration_types,
            kept=run.stage.kept,
            shared=run.stage.shared,
            unwritten=run.stage.unwritten,
            existing=run.existing,
        )
        try:
            for label in labels:
                run.execute(label, butler=butler, factory=self._factory)
            with run.clock.step("registration"):
                self._staging.register(butler.written)
        finally:
            with run.clock.step("clear staging area"):
                self._staging.clear()
            self._has_garbage = butler.handled_images
        return butler


def _choose_unwritten(graph: PipelineGraph, persist: Collection[str] | None) -> frozenset[str]:
    known = intermediates(graph)
    if persist is None:
        return frozenset()
    if unknown := set(persist) - known:
        raise ValueError(
            f"Cannot choose whether to write {', '.join(sorted(unknown))}: expected names of "
            f"intermediates, which are {', '.join(sorted(known)) or 'none'}."
        )
    return known - frozenset(persist)


def _close(*butlers: Butler) -> None:
    for butler in butlers:
        butler.close()
