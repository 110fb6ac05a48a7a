# This file is part of ra_pipe.
#
# Use of this source code is governed by a 3-clause BSD-style
# license that can be found in the LICENSE file.

from __future__ import annotations

__all__ = ("dispatch_again", "ingest_files")

import datetime
from collections.abc import Sequence

import pydantic

from lsst.daf.butler import Butler, DatasetRef
from lsst.ra.pipe.repository import ingest_raws
from lsst.resources import ResourcePath

from ..events import Event, EventRejected, FileArrived, ImageIngested
from ._emitter import KafkaEmitter
from ._messages import JobOutcome, JobRequest, JobResult
from ._outages import OUTAGES
from ._planner import JobPlanner

_EVENT: pydantic.TypeAdapter[Event] = pydantic.TypeAdapter(Event)


def dispatch_again(request: JobRequest, *, planner: JobPlanner) -> JobResult:
    """Look again at an image whose exposure the Butler did not know.

    Parameters
    ----------
    request
        The job, with the event.
    planner
        Turns the event into a job.
    """
    event = _EVENT.validate_python(request.job.event)
    try:
        planned = planner.plan(event)
    except EventRejected as rejected:
        return JobResult(outcome=JobOutcome.FAILED, reason=str(rejected))
    except LookupError as err:
        return JobResult(outcome=JobOutcome.NOT_READY, reason=str(err))
    return JobResult(outcome=JobOutcome.DONE, follow_ups=() if planned is None else (planned,))


def ingest_files(
    requests: Sequence[JobRequest],
    *,
    butler: Butler,
    planner: JobPlanner,
    transfer: str,
    emitter: KafkaEmitter | None = None,
) -> list[JobResult]:
    """Ingest a batch of files, and say that their images are there.

    Parameters
    ----------
    requests
        One for each file.
    butler
        Writeable client of the repository.
    planner
        Turns the images into jobs.
    transfer
        How the files get into the repository.
    emitter
        Whom to tell of the images; without one they are queued at once.

    Returns
    -------
    results
        One for each file; a bad one fails alone.

    Raises
    ------
    EmitError
        Raised if an event was not confirmed.
    """
    uris = [FileArrived.model_validate(request.job.event).uri for request in requests]
    refs, failures = _ingest(butler, uris, transfer)
    if failures and len(uris) > 1:
        # One file may have taken others along.
        retried = [_ingest(butler, [uri], transfer) for uri in failures]
        refs |= {uri: ref for found, _ in retried for uri, ref in found.items()}
        failures = {uri: reason for _, failed in retried for uri, reason in failed.items()}
    events = {uri: _make_event(ref) for uri, ref in refs.items()}
    if emitter is not None:
        emitter.emit(list(events.values()))
    results = []
    for request, uri in zip(requests, uris, strict=True):
        if (reason := failures.get(uri)) is not None:
            results.append(JobResult(outcome=JobOutcome.FAILED, reason=f"{uri}: {reason}"))
        elif uri not in events:
            results.append(JobResult(outcome=JobOutcome.NOT_READY, reason=f"{uri}: there is no such file"))
        elif emitter is not None:
            results.append(JobResult(outcome=JobOutcome.DONE, run=refs[uri].run))
        else:
            results.append(_queue_image(request, events[uri], run=refs[uri].run, planner=planner))
    return results


def _queue_image(request: JobRequest, event: ImageIngested, *, run: str, planner: JobPlanner) -> JobResult:
    try:
        planned = planner.plan(event, times=request.job.times)
    except EventRejected as rejected:
        return JobResult(outcome=JobOutcome.FAILED, reason=f"{request.job.key}: {rejected}", run=run)
    return JobResult(outcome=JobOutcome.DONE, run=run, follow_ups=() if planned is None else (planned,))


def _make_event(ref: DatasetRef) -> ImageIngested:
    return ImageIngested(
        instrument=str(ref.dataId["instrument"]),
        exposure=int(ref.dataId["exposure"]),
        detector=int(ref.dataId["detector"]),
        ingested=datetime.datetime.now(datetime.UTC),
    )


def _ingest(
    butler: Butler, uris: Sequence[str], transfer: str
) -> tuple[dict[str, DatasetRef], dict[str, str]]:
    """Ingest files; return datasets and reasons of failures, by URI.

    A file that does not exist is in neither.
    """
    try:
        uri_of = {str(ResourcePath(uri)): uri for uri in uris if ResourcePath(uri).exists()}
        if not uri_of:
            return {}, {}
        report = ingest_raws(butler, uri_of.values(), transfer=transfer)
    except OUTAGES:
        raise
    except Exception as err:
        # Whatever a file or its store makes a library raise; that one shall
        # be found which is to blame.
        return {}, dict.fromkeys(uris, f"{type(err).__name__}: {err}")
    return (
        {uri_of[path]: ref for path, ref in report.files.items()},
        {uri_of[path]: reason for path, reason in report.failures.items() if path in uri_of},
    )
