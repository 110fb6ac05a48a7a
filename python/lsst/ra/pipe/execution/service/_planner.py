# This file is part of ra_pipe.
#
# Use of this source code is governed by a 3-clause BSD-style
# license that can be found in the LICENSE file.

from __future__ import annotations

__all__ = ("JobPlanner", "plan_ingest")

import functools
from collections.abc import Mapping

from ..dispatch import DispatchTable, ExposureCatalog, ExposureFacts, PipelineTasks, Rule
from ..events import Event, EventRejected, FileArrived, ImageAnnounced, ImageIngested, RejectionCode
from ..queue import GatherPlan, Job, JobKind, QueueSettings, shard_of


class JobPlanner:
    """Turns events into jobs, by the dispatch rules.

    Parameters
    ----------
    catalog
        The exposures of the repository.
    tables
        Dispatch rules by instrument.
    settings
        Settings of the queue.
    """

    def __init__(
        self, catalog: ExposureCatalog, tables: Mapping[str, DispatchTable], settings: QueueSettings
    ) -> None:
        self._catalog = catalog
        self._tables = dict(tables)
        self._settings = settings
        self._plan_of = functools.lru_cache(maxsize=4096)(self._plan_gather)

    def warm(self) -> None:
        """Load the pipelines of all rules, which the first images would
        otherwise wait for.
        """
        for table in self._tables.values():
            for pipeline in table.pipelines():
                _load_tasks(pipeline)

    def plan(self, event: Event, *, times: Mapping[str, float] | None = None) -> Job | None:
        """Plan what an event asks for.

        Parameters
        ----------
        event
            The event.
        times
            Unix times (s) of earlier stages.

        Returns
        -------
        job
            The job; `None` if the rules ignore the image.

        Raises
        ------
        LookupError
            Raised if the Butler does not know the exposure (yet).
        EventRejected
            Raised if the instrument is not one of this service, or has no such
            detector.
        """
        if isinstance(event, FileArrived):
            return plan_ingest(event)
        if isinstance(event, ImageAnnounced):
            exposure, detector = self._catalog.resolve(event.instrument, event.obs_id, event.detector_name)
            ingested = event.announced.timestamp()
        else:
            exposure, detector, ingested = event.exposure, event.detector, event.ingested.timestamp()
        self._check_image(event.instrument, detector)
        return self._plan_image(event.instrument, exposure, detector, {**(times or {}), "ingested": ingested})

    def postpone(self, event: ImageIngested | ImageAnnounced) -> Job:
        """Plan to look at an event again, when the Butler may know more.

        Parameters
        ----------
        event
            The event.

        Returns
        -------
        job
            The job.
        """
        image = (
            f"{event.exposure}/{event.detector}"
            if isinstance(event, ImageIngested)
            else f"{event.obs_id}/{event.detector_name}"
        )
        return Job(
            kind=JobKind.DISPATCH,
            key=f"dispatch/{event.instrument}/{image}",
            shard="dispatch",
            instrument=event.instrument,
            event=event.model_dump(mode="json"),
        )

    def _check_image(self, instrument: str, detector: int) -> None:
        if instrument not in self._tables:
            raise EventRejected(
                RejectionCode.WRONG_INSTRUMENT,
                f"instrument: expected one of {', '.join(self._tables)}, got {instrument}",
            )
        known = self._catalog.detectors(instrument)
        if detector not in known:
            raise EventRejected(
                RejectionCode.UNKNOWN_IMAGE,
                f"detector: expected one of the {len(known)} detectors of {instrument}, got {detector}",
            )

    def _plan_image(
        self, instrument: str, exposure: int, detector: int, times: Mapping[str, float]
    ) -> Job | None:
        facts = self._catalog.facts(instrument, exposure)
        rule = self._tables[instrument].select(facts, detector)
        if rule is None or rule.ignore:
            return None
        if facts.shutter_close is not None:
            times = {"shutter": facts.shutter_close.timestamp(), **times}
        return Job(
            kind=JobKind.DETECTOR,
            key=f"{instrument}/{exposure}/{detector}/{rule.name}",
            shard=shard_of(detector, self._settings.n_shards),
            order=rule.order,
            rank=exposure,
            max_attempts=rule.attempts,
            time_limit=rule.time_limit,
            wait_limit=rule.raw_wait,
            rule=rule.name,
            instrument=instrument,
            day_obs=facts.day_obs,
            exposure=exposure,
            detector=detector,
            times=dict(times),
            gather=self._plan_of(facts, rule.name),
        )

    def _plan_gather(self, facts: ExposureFacts, rule_name: str) -> GatherPlan | None:
        """Plan how an exposure is gathered, if its pipeline does gather."""
        rule = self._tables[facts.instrument].rule(rule_name)
        if not _gathers(rule):
            return None
        identifier = f"{facts.instrument}/{facts.exposure}/{rule.name}"
        job = Job(
            kind=JobKind.EXPOSURE,
            key=f"gather/{identifier}",
            shard="exposures",
            max_attempts=rule.attempts,
            time_limit=rule.time_limit,
            rule=rule.name,
            instrument=facts.instrument,
            day_obs=facts.day_obs,
            exposure=facts.exposure,
            gather_of=identifier,
        )
        expected = self._tables[facts.instrument].expected_detectors(rule, facts=facts, catalog=self._catalog)
        return GatherPlan(
            id=identifier,
            expected=tuple(sorted(expected)),
            deadline_ms=max(1, round(1e3 * rule.gather_deadline)),
            ttl_ms=round(1e3 * self._settings.keep_done_seconds),
            job=job.model_dump_json(exclude_none=True),
        )


def plan_ingest(event: FileArrived) -> Job:
    """Plan the ingest of a file.

    Parameters
    ----------
    event
        The event.

    Returns
    -------
    job
        The job.

    Notes
    -----
    The time belongs to the job's identity: a file that was written anew is
    another one.
    """
    arrived = event.arrived.timestamp()
    return Job(
        kind=JobKind.INGEST,
        key=f"ingest/{event.uri}@{arrived:.6f}",
        shard="ingest",
        instrument=event.instrument,
        event=event.model_dump(mode="json"),
        times={"arrived": arrived},
    )


def _gathers(rule: Rule) -> bool:
    return rule.pipeline is not None and bool(_load_tasks(rule.pipeline).exposure_tasks)


@functools.cache
def _load_tasks(pipeline: str) -> PipelineTasks:
    return PipelineTasks.load(pipeline)
