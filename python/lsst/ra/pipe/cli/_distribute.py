# This file is part of ra_pipe.
#
# Use of this source code is governed by a 3-clause BSD-style
# license that can be found in the LICENSE file.

from __future__ import annotations

__all__ = ("distribute",)

import logging

import click

from lsst.ra.pipe.execution.dispatch import ExposureCatalog
from lsst.ra.pipe.execution.events import EventParser
from lsst.ra.pipe.execution.service import Distributor, JobPlanner, ServiceSettings
from lsst.ra.pipe.execution.sources import open_source
from lsst.ra.pipe.repository import open_repository

from ._errors import expected_errors
from ._service_options import log_as_service, make_settings, open_queue, service_options, stop_by_signals

_LOG = logging.getLogger(__name__)


@click.command()
@service_options
@click.option(
    "--source",
    "source_url",
    required=True,
    metavar="URL",
    help="kafka://broker:9092/topic?group=rapid, http://host:port/path, or file:///directory.",
)
@expected_errors
def distribute(
    *,
    repository: str,
    redis_url: str,
    instruments: tuple[str, ...],
    dispatch: tuple[str, ...],
    source_url: str,
) -> None:
    """Put the events of a source into the queue, until SIGTERM.

    Holds no state: any number may run.  An event is acknowledged when Redis
    has it.
    """
    log_as_service()
    settings = make_settings(
        repository=repository, redis_url=redis_url, instruments=instruments, dispatch=dispatch
    )
    source = open_source(source_url, settings.source)
    distributor = make_distributor(settings)
    stop_by_signals(source.stop)
    _LOG.info("Distributing events of %s", source_url)
    source.run(distributor.handle)


def make_distributor(settings: ServiceSettings) -> Distributor:
    """Make a distributor from settings.

    Parameters
    ----------
    settings
        Settings of the service.

    Raises
    ------
    DispatchError
        Raised if the dispatch rules are wrong, with file and line.
    """
    tables = settings.load_dispatch()
    catalog = ExposureCatalog(open_repository(settings.repository))
    secret = None if settings.bucket_secret is None else settings.bucket_secret.get_secret_value()
    parser = EventParser(
        instruments=settings.instruments,
        max_bytes=settings.max_event_bytes,
        s3_secret=secret,
        s3_profile=settings.bucket_profile,
        file_root=settings.file_root,
    )
    queue = open_queue(settings.redis_url, settings.queue)
    planner = JobPlanner(catalog, tables, settings.queue)
    planner.warm()
    return Distributor(queue, parser, planner, secret=secret)
