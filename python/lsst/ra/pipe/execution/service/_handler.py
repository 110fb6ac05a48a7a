# This file is part of ra_pipe.
#
# Use of this source code is governed by a 3-clause BSD-style
# license that can be found in the LICENSE file.

from __future__ import annotations

__all__ = ("JobHandler",)

import gc
import itertools
import pathlib
import tempfile
import time
from collections.abc import Mapping, Sequence

from lsst.daf.butler import Butler
from lsst.ra.pipe.camera.calibrations import ArrayStore

from .._outcome import ImageObserver
from ..dispatch import DispatchTable, ExposureCatalog, import_function
from ..queue import JobKind, WorkerShards, shard_of
from ._emitter import KafkaEmitter
from ._ingest import dispatch_again, ingest_files
from ._messages import JobRequest, JobResult
from ._planner import JobPlanner
from ._rehearsal import choose_rehearsals
from ._rule_runner import RuleRunner, call_function
from ._settings import ServiceSettings


class JobHandler:
    """Does the jobs, in the child process of a worker.

    Parameters
    ----------
    settings
        Settings of the service.
    shards
        What the worker takes; of the detectors in its own shards the
        calibrations are loaded first.
    """

    def __init__(self, settings: ServiceSettings, shards: WorkerShards) -> None:
        self._settings = settings
        self._shards = shards
        self._butler = Butler.from_config(settings.repository, writeable=True)
        self._catalog = ExposureCatalog(self._butler)
        # The distributor has checked what the rules name.
        self._tables = settings.load_dispatch(check=False)
        self._planner = JobPlanner(self._catalog, self._tables, settings.queue)
        self._temporary = tempfile.TemporaryDirectory(prefix="ra_pipe-calibrations-")
        directory = settings.calibration_directory or pathlib.Path(self._temporary.name)
        self._store = ArrayStore(directory, max_bytes=settings.calibration_bytes)
        self._emitter = (
            None
            if settings.emit is None
            else KafkaEmitter(settings.emit, options=settings.source.kafka_options)
        )
        self._observers: tuple[ImageObserver, ...] = tuple(
            import_function(name)(settings=settings, butler=self._butler) for name in settings.observers
        )
        self._runners: dict[tuple[str, str], RuleRunner] = {}

    def warm(self, *, rehearses: bool = True) -> None:
        """Build the pipelines of all rules and rehearse them, or for ingest
        read them only.

        Parameters
        ----------
        rehearses
            Whether to rehearse.
        """
        if "images" in self._shards.pools:
            for instrument, table in self._tables.items():
                runners = self._warm_runners(instrument, table)
                if rehearses:
                    self._rehearse(instrument, table, runners)
        if "ingest" in self._shards.pools:
            self._planner.warm()
        # What is here now stays; collecting garbage need not look at it again.
        gc.collect()
        gc.freeze()

    def _warm_runners(self, instrument: str, table: DispatchTable) -> dict[str, RuleRunner]:
        runners = {
            rule.name: self._runner(instrument, rule.name)
            for rule in table.rules
            if rule.pipeline is not None
        }
        for runner in runners.values():
            runner.warm(self._own_detectors(instrument))
        return runners

    def _rehearse(self, instrument: str, table: DispatchTable, runners: Mapping[str, RuleRunner]) -> None:
        """Rehearse each rule once, then go on while there is time."""
        rehearsals = choose_rehearsals(
            self._butler,
            table,
            instrument=instrument,
            inputs=self._settings.input_collections(instrument),
            detectors=self._own_detectors(instrument),
        )
        end = time.monotonic() + self._settings.warm_seconds
        for turn in itertools.zip_longest(
            *([(name, image) for image in images] for name, images in rehearsals.items())
        ):
            for name, (exposure, detector) in filter(None, turn):
                if time.monotonic() > end:
                    return
                runners[name].rehearse(exposure, detector)

    def handle(self, requests: Sequence[JobRequest]) -> list[JobResult]:
        """Do a batch of jobs.

        Parameters
        ----------
        requests
            The jobs; several only of kind ``ingest``.
        """
        if requests[0].job.kind is JobKind.INGEST:
            return ingest_files(
                requests,
                butler=self._butler,
                planner=self._planner,
                transfer=self._settings.transfer,
                emitter=self._emitter,
            )
        return [self._handle_one(request) for request in requests]

    def tidy_up(self) -> None:
        """Do what can wait until the results are on their way."""
        for runner in self._runners.values():
            runner.tidy_up()

    def _handle_one(self, request: JobRequest) -> JobResult:
        job = request.job
        if job.kind is JobKind.DISPATCH:
            return dispatch_again(request, planner=self._planner)
        assert job.instrument is not None, "Set by the planner."
        assert job.rule is not None, "Set by the planner."
        rule = self._tables[job.instrument].rule(job.rule)
        if rule.function is not None:
            return call_function(rule.function, job, butler=self._butler)
        return self._runner(job.instrument, job.rule).run(request)

    def _own_detectors(self, instrument: str) -> list[int]:
        n_shards = self._settings.queue.n_shards
        detectors = sorted(self._catalog.detectors(instrument))
        return [number for number in detectors if shard_of(number, n_shards) in self._shards.own]

    def _runner(self, instrument: str, rule_name: str) -> RuleRunner:
        key = (instrument, rule_name)
        if key not in self._runners:
            self._runners[key] = RuleRunner(
                self._settings.repository,
                butler=self._butler,
                instrument=instrument,
                rule=self._tables[instrument].rule(rule_name),
                inputs=self._settings.input_collections(instrument),
                refresh_seconds=self._settings.refresh_seconds,
                calibration_store=self._store,
                observers=self._observers,
            )
        return self._runners[key]
