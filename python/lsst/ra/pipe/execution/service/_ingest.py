# This file is part of ra_pipe.
#
# Use of this source code is governed by a 3-clause BSD-style
# license that can be found in the LICENSE file.

from __future__ import annotations

__all__ = ("dispatch_again", "ingest_files")

import datetime
from collections.abc import Mapping, Sequence

import pydantic

from lsst.daf.butler import Butler, DatasetRef
from lsst.ra.pipe.repository import ingest_raws
from lsst.resources import ResourcePath

from ..events import Event, EventRejected, FileArrived, ImageIngested
from ..queue import Job
from ._messages import JobOutcome, JobRequest, JobResult
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
    requests: Sequence[JobRequest], *, butler: Butler, planner: JobPlanner, transfer: str
) -> list[JobResult]:
    """Ingest a batch of files, and plan what their images ask for.

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

    Returns
    -------
    results
        One for each file; a bad one fails alone.
    """
    uris = [FileArrived.model_validate(request.job.event).uri for request in requests]
    there = [uri for uri in uris if ResourcePath(uri).exists()]
    refs, failures = _ingest(butler, there, transfer)
    if failures and len(there) > 1:
        # One file may have taken the others of its exposure along.
        retried = [_ingest(butler, [uri], transfer) for uri in failures]
        refs |= {uri: ref for found, _ in retried for uri, ref in found.items()}
        failures = {uri: reason for _, failed in retried for uri, reason in failed.items()}
    return [
        _result(request.job, uri, refs.get(uri), failures.get(uri), planner)
        for request, uri in zip(requests, uris, strict=True)
    ]


def _ingest(
    butler: Butler, uris: Sequence[str], transfer: str
) -> tuple[dict[str, DatasetRef], dict[str, str]]:
    """Ingest files; return datasets and reasons of failures, by URI."""
    if not uris:
        return {}, {}
    report = ingest_raws(butler, uris, transfer=transfer)
    uri_of: Mapping[str, str] = {str(ResourcePath(uri)): uri for uri in uris}
    return (
        {uri_of[path]: ref for path, ref in report.files.items()},
        {uri_of[path]: reason for path, reason in report.failures.items()},
    )


def _result(
    job: Job, uri: str, ref: DatasetRef | None, failure: str | None, planner: JobPlanner
) -> JobResult:
    if failure is not None:
        return JobResult(outcome=JobOutcome.FAILED, reason=f"{uri}: {failure}")
    if ref is None:
        return JobResult(outcome=JobOutcome.NOT_READY, reason=f"{uri}: there is no such file")
    event = ImageIngested(
        instrument=str(ref.dataId["instrument"]),
        exposure=int(ref.dataId["exposure"]),
        detector=int(ref.dataId["detector"]),
        ingested=datetime.datetime.now(datetime.UTC),
    )
    planned = planner.plan(event, times=job.times)
    return JobResult(outcome=JobOutcome.DONE, run=ref.run, follow_ups=() if planned is None else (planned,))
