# This file is part of ra_pipe.
#
# Use of this source code is governed by a 3-clause BSD-style
# license that can be found in the LICENSE file.

from __future__ import annotations

__all__ = ("trigger",)

import dataclasses
import datetime
import itertools
from collections.abc import Iterator, Mapping, Sequence

import click

from lsst.daf.butler import Butler
from lsst.ra.pipe.execution.dispatch import ExposureCatalog, ExposureFacts, find_raws
from lsst.ra.pipe.execution.events import ImageIngested
from lsst.ra.pipe.execution.queue import Job, JobQueue
from lsst.ra.pipe.execution.service import JobPlanner, ServiceSettings
from lsst.ra.pipe.repository import open_repository

from ._errors import expected_errors
from ._identifiers import detector_option, exposure_option
from ._service_options import make_settings, open_queue, redis_option

_BATCH = 500
"""Jobs that are queued in one round trip."""

_MAX_LISTED = 10
"""Exposures that an error names."""


@dataclasses.dataclass
class _Counts:
    """What became of the images."""

    queued: int = 0
    ignored: int = 0
    at_work: int = 0


@click.command()
@click.argument("repository", metavar="REPO")
@redis_option
@click.option("--instrument", default="LSSTCam", help="Butler instrument.")
@exposure_option
@detector_option
@click.option("--dispatch", help="Dispatch rules [default: $RA_PIPE_DIR/config/dispatch/<instrument>.yaml].")
@expected_errors
def trigger(
    *,
    repository: str,
    redis_url: str,
    instrument: str,
    exposures: tuple[int, ...],
    detectors: tuple[int, ...] | None,
    dispatch: str | None,
) -> None:
    """Queue images that are in the repository, as if they had just come.

    The dispatch rules say what is done with them.  The workers leave alone
    what is done already.  Exits with 1 when an exposure has no raw; the others
    are queued all the same.
    """
    settings = make_settings(
        repository=repository,
        redis_url=redis_url,
        instruments=(instrument,),
        dispatch=() if dispatch is None else (dispatch,),
    )
    tables = settings.load_dispatch()
    queue = open_queue(settings.redis_url, settings.queue)
    with open_repository(repository) as butler:
        raws = _find(butler, settings, instrument, exposures)
        planner = JobPlanner(ExposureCatalog(butler), tables, settings.queue)
        counts = _enqueue(queue, planner, raws, detectors)
    click.echo(
        f"{counts.queued} images are queued, {counts.ignored} are ignored by the rules, "
        f"{counts.at_work} were in the queue already."
    )
    found = {facts.exposure for facts in raws}
    if missing := [number for number in exposures if number not in found]:
        collections = ", ".join(settings.input_collections(instrument))
        raise click.ClickException(
            f"{repository} has no raw of {instrument} exposure {_list(missing)} in {collections}."
        )


def _find(
    butler: Butler, settings: ServiceSettings, instrument: str, exposures: Sequence[int]
) -> Mapping[ExposureFacts, frozenset[int]]:
    """Return the detectors that have raws, by exposure."""
    raws: dict[ExposureFacts, frozenset[int]] = {}
    for batch in find_raws(
        butler,
        instrument=instrument,
        exposures=exposures,
        collections=settings.input_collections(instrument),
    ):
        raws |= batch
    return raws


def _enqueue(
    queue: JobQueue,
    planner: JobPlanner,
    raws: Mapping[ExposureFacts, frozenset[int]],
    detectors: Sequence[int] | None,
) -> _Counts:
    counts = _Counts()
    for batch in itertools.batched(_plan(planner, raws, detectors), _BATCH):
        jobs = [job for job in batch if job is not None]
        added = queue.enqueue(jobs, again=True) if jobs else []
        counts.ignored += len(batch) - len(jobs)
        counts.queued += sum(added)
        counts.at_work += len(jobs) - sum(added)
    return counts


def _plan(
    planner: JobPlanner,
    raws: Mapping[ExposureFacts, frozenset[int]],
    detectors: Sequence[int] | None,
) -> Iterator[Job | None]:
    """Yield the job of each image, `None` for one that the rules ignore."""
    now = datetime.datetime.now(datetime.UTC)
    for facts, numbers in raws.items():
        for detector in sorted(numbers if detectors is None else numbers & frozenset(detectors)):
            event = ImageIngested(
                instrument=facts.instrument, exposure=facts.exposure, detector=detector, ingested=now
            )
            job = planner.plan(event)
            # It did not come from the telescope now: no latency to tell.
            yield None if job is None else job.model_copy(update={"times": {}})


def _list(exposures: Sequence[int]) -> str:
    left = len(exposures) - _MAX_LISTED
    listed = ", ".join(str(number) for number in exposures[:_MAX_LISTED])
    return listed + (f" and {left} more" if left > 0 else "")
