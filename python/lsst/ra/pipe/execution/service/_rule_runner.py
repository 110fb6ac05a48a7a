# This file is part of ra_pipe.
#
# Use of this source code is governed by a 3-clause BSD-style
# license that can be found in the LICENSE file.

from __future__ import annotations

__all__ = ("RuleRunner", "call_function")

import itertools
import logging
import math
import time
import traceback
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import redis
import sqlalchemy.exc

from lsst.daf.butler import Butler
from lsst.daf.butler.registry import DataIdError
from lsst.pipe.base import Pipeline
from lsst.ra.pipe.camera.calibrations import ArrayStore

from .._graph_parts import detector_labels, exposure_labels
from .._outcome import ImageObserver, ImageReport, QuantumStatus
from .._output_run import prepare_output_run, register_late_run
from .._runner import QuantumRunner
from ..dispatch import Rule, import_function
from ..queue import Job
from ._messages import JobOutcome, JobRequest, JobResult, QuantumReport

_LOG = logging.getLogger(__name__)

_LOG_SECONDS = 60.0
"""Time (s) after which the same kind of failure of an observer is logged again."""


class RuleRunner:
    """Runs the pipeline of one dispatch rule, for images of one instrument.

    Parameters
    ----------
    repository
        Root, configuration file or alias of the Butler repository.
    butler
        Writeable client of it, for the collections of outputs.
    instrument
        Butler ``instrument``.
    rule
        The rule, which names a pipeline.
    inputs
        Collections to read from.
    refresh_seconds
        Time (s) after which to look whether those have changed.
    calibration_store
        Where the tasks keep calibration images.
    observers
        Called with the report of each image that had its inputs, one after
        another, before the job is done.  What one raises is logged and
        counted, and the outcome is that of the image.  Only when the queue's
        server does not answer, the job is handed back, and with the next
        attempt all are called again.

    Notes
    -----
    The outputs go to the RUN collection ``<instrument>/rapid/<day_obs>/<digest
    of configs, packages and input collections>``, which the CHAINED collection
    ``<instrument>/rapid`` shows.  They are written once: an image whose outputs
    are there is done already.
    """

    def __init__(
        self,
        repository: str,
        *,
        butler: Butler,
        instrument: str,
        rule: Rule,
        inputs: Sequence[str],
        refresh_seconds: float,
        calibration_store: ArrayStore | None = None,
        observers: Sequence[ImageObserver] = (),
    ) -> None:
        assert rule.pipeline is not None, "Rules with functions are not run here."
        self._instrument = instrument
        self._inputs = tuple(inputs)
        self._refresh_seconds = refresh_seconds
        self._chain = f"{instrument}/rapid"
        self._butler = butler
        self._graph = Pipeline.from_uri(rule.pipeline).to_graph(registry=self._butler.registry)
        self._graph.register_dataset_types(self._butler)
        self._runner = QuantumRunner(
            repository,
            self._graph,
            inputs=inputs,
            persist=rule.persist,
            publish=rule.publish,
            calibration_store=calibration_store,
        )
        self._observers = tuple(observers)
        self._logged: dict[tuple[int, type[Exception]], tuple[float, int]] = {}
        self._runs: dict[int, str] = {}
        self._flattened = self._flatten_inputs()
        self._refreshed = time.monotonic()

    def warm(self, detectors: Iterable[int]) -> None:
        """Construct the tasks, and ask which calibrations detectors have.

        Parameters
        ----------
        detectors
            Butler ``detector`` values that are expected.
        """
        self._runner.warm(detectors, self._instrument)

    def rehearse(self, exposure: int, detector: int) -> None:
        """Process an image and write nothing, so that the next one is fast.

        Parameters
        ----------
        exposure
            Butler ``exposure``.
        detector
            Butler ``detector``.

        Notes
        -----
        A rehearsal that fails has warmed what it reached.
        """
        report = self._runner.rehearse(instrument=self._instrument, exposure=exposure, detector=detector)
        if (failure := report.first_failure) is not None:
            _LOG.info("Rehearsal: %s", failure.reason)
        self._runner.collect_garbage()

    def run(self, request: JobRequest) -> JobResult:
        """Run a job on a detector, or on an exposure.

        Parameters
        ----------
        request
            The job.
        """
        try:
            report = self._run_patiently(request)
        except DataIdError as err:
            return JobResult(outcome=JobOutcome.NOT_READY, reason=str(err))
        unheard = () if report.missing_input else self._tell(request.job.key, report)
        return _to_result(report, unheard)

    def _tell(self, key: str, report: ImageReport) -> tuple[str, ...]:
        """Tell the observers of an image; return what they raised."""
        reasons = []
        for number, observer in enumerate(self._observers):
            try:
                observer(report)
            except (redis.ConnectionError, redis.TimeoutError):
                # The queue's server: without it the job could not end either.
                raise
            except Exception as err:  # Foreign code; the outputs are in the repository.
                reasons.append(f"{type(err).__name__}: {err}")
                self._log_once((number, type(err)), key, err)
        return tuple(reasons)

    def _log_once(self, kind: tuple[int, type[Exception]], key: str, error: Exception) -> None:
        """Log what an observer raised, not for every image again."""
        now = time.monotonic()
        logged, n_silent = self._logged.get(kind, (-math.inf, 0))
        if now - logged < _LOG_SECONDS:
            self._logged[kind] = (logged, n_silent + 1)
            return
        self._logged[kind] = (now, 0)
        _LOG.error(
            "%s: an observer fails, and the image is done all the same: %s: %s (%d more since the last time)",
            *(key, kind[1].__name__, error, n_silent),
            exc_info=error if n_silent == 0 and logged == -math.inf else None,
        )

    def _run_patiently(self, request: JobRequest) -> ImageReport:
        try:
            return self._run(request)
        except sqlalchemy.exc.OperationalError as err:
            # The connection broke, or SQLite found what a process left that
            # was killed while it wrote: only who may write can undo that.
            _LOG.warning("%s: the repository fails, once more: %s", request.job.key, err.orig)
            with self._butler.transaction():
                self._butler.registry.refresh()
            return self._run(request)

    def _run(self, request: JobRequest) -> ImageReport:
        job = request.job
        assert job.day_obs is not None, "Set by the planner."
        assert job.exposure is not None, "Set by the planner."
        # Who was idle for long has not looked.
        self._refresh_if_due()
        run = self._output_run(job.day_obs)
        if job.detector is not None:
            return self._runner.run_detector(
                instrument=self._instrument, exposure=job.exposure, detector=job.detector, output_run=run
            )
        # A change of the inputs may have divided the exposure.
        runs = [run, *(other for other in request.runs if other != run)]
        return self._gather(job.exposure, runs, request.generation)

    def tidy_up(self) -> None:
        """Do what no image shall wait for: free the memory of the last one,
        and look from time to time whether the inputs have changed.
        """
        self._runner.collect_garbage()
        self._refresh_if_due()

    def _refresh_if_due(self) -> None:
        if time.monotonic() - self._refreshed > self._refresh_seconds:
            self._runner.refresh()
            if (flattened := self._flatten_inputs()) != self._flattened:
                self._flattened = flattened
                self._runs.clear()
            self._refreshed = time.monotonic()

    def _gather(self, exposure: int, runs: Sequence[str], generation: int) -> ImageReport:
        """Gather an exposure; once more, into a run of its own, if it was.

        The first of the runs with the detectors takes the outputs.

        Also without an earlier gathering that the queue knows of, what is
        there may be from before some detectors: the queue was lost, or has
        forgotten the exposure.
        """
        run = runs[0]
        report = self._runner.run_exposure(
            instrument=self._instrument, exposure=exposure, output_run=run, detector_runs=runs
        )
        if not _existed(report) or (generation == 0 and not self._is_outdated(exposure, runs, run)):
            return report
        for number in itertools.count(max(generation, 1)):
            late_run = register_late_run(self._butler, run, number, chain=self._chain)
            report = self._runner.run_exposure(
                instrument=self._instrument, exposure=exposure, output_run=late_run, detector_runs=runs
            )
            if not _existed(report) or not self._is_outdated(exposure, runs, late_run):
                break
        return report

    def _is_outdated(self, exposure: int, runs: Sequence[str], gather_run: str) -> bool:
        """Tell whether a detector was processed after its exposure was
        gathered.
        """
        detectors = self._find_times(detector_labels(self._graph), exposure, runs)
        gathered = self._find_times(exposure_labels(self._graph), exposure, [gather_run])
        return bool(detectors and gathered and max(detectors) > min(gathered))

    def _find_times(self, labels: Sequence[str], exposure: int, runs: Sequence[str]) -> list[Any]:
        """Return when the metadata of tasks were written."""
        times = []
        for label in labels:
            node = self._graph.tasks[label]
            name = node.metadata_output.parent_dataset_type_name
            with self._butler.query() as query:
                query = query.join_dataset_search(name, runs)
                query = query.where(instrument=self._instrument, exposure=exposure)
                rows = query.general(
                    node.dimensions, dataset_fields={name: {"ingest_date"}}, find_first=False
                )
                times += [row[f"{name}.ingest_date"] for row in rows]
        return times

    def _flatten_inputs(self) -> tuple[str, ...]:
        return tuple(self._butler.collections.query(self._inputs, flatten_chains=True))

    def _output_run(self, day_obs: int) -> str:
        if day_obs not in self._runs:
            self._runs[day_obs] = prepare_output_run(
                self._butler,
                self._graph,
                parent=f"{self._chain}/{day_obs}",
                chain=self._chain,
                inputs=self._inputs,
            )
        return self._runs[day_obs]


def call_function(name: str, job: Job, *, butler: Butler) -> JobResult:
    """Call the function that a rule names.

    Parameters
    ----------
    name
        The function, as ``package.module:name``; it is called with the keywords
        ``butler``, ``instrument``, ``exposure`` and ``detector``, and may return
        a mapping of what is to be published.
    job
        The job, on a detector.
    butler
        Client of the repository.

    Notes
    -----
    Whatever it raises is the outcome of the attempt.
    """
    function = import_function(name)
    try:
        published = function(
            butler=butler, instrument=job.instrument, exposure=job.exposure, detector=job.detector
        )
    except Exception as err:  # A function of the users' may raise anything.
        reason = f"{job.key}: {type(err).__name__}: {err}"
        return JobResult(outcome=JobOutcome.FAILED, reason=reason, detail=traceback.format_exc())
    content: dict[str, Any] = {name: dict(published)} if isinstance(published, Mapping) else {}
    return JobResult(outcome=JobOutcome.DONE, published=content)


def _existed(report: ImageReport) -> bool:
    """Tell whether any output was there already."""
    return any(one.status is QuantumStatus.EXISTED for one in report.outcomes)


def _to_result(report: ImageReport, unheard: tuple[str, ...]) -> JobResult:
    failure = report.first_failure
    outcome = JobOutcome.DONE
    if report.missing_input:
        outcome = JobOutcome.NOT_READY
    elif report.failed:
        outcome = JobOutcome.FAILED
    return JobResult(
        outcome=outcome,
        reason=failure.reason if failure is not None else "",
        detail=failure.detail if failure is not None else "",
        run=report.run,
        quanta=tuple(
            QuantumReport(task=one.task, status=one.status, seconds=one.seconds, reason=one.reason)
            for one in report.outcomes
        ),
        overhead_seconds=report.overhead_seconds,
        published=dict(report.published),
        detectors=report.detectors,
        unheard=unheard,
    )
