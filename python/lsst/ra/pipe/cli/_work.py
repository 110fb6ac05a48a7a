# This file is part of ra_pipe.
#
# Use of this source code is governed by a 3-clause BSD-style
# license that can be found in the LICENSE file.

from __future__ import annotations

__all__ = ("run_worker", "work")

import click

from lsst.ra.pipe.execution.queue import WorkerShards
from lsst.ra.pipe.execution.service import ServiceSettings, Worker

from ._alert_options import alert_options, with_alerts
from ._consdb_options import choose_consdb, consdb_options, with_consdb
from ._errors import expected_errors
from ._service_options import log_as_service, make_settings, open_queue, service_options, stop_by_signals


@click.command()
@service_options
@click.option("--index", type=click.IntRange(min=0), default=0, help="Which of the workers this is, from 0.")
@click.option("--workers", type=click.IntRange(min=1), default=1, help="Number of workers in all.")
@click.option("--ingest", "ingests", is_flag=True, help="Ingest files, too: ingest and process in one hop.")
@click.option("--memory-limit", type=click.IntRange(min=1), metavar="BYTES", help="Memory for execution.")
@consdb_options
@alert_options
@expected_errors
def work(
    *,
    repository: str,
    redis_url: str,
    instruments: tuple[str, ...],
    dispatch: tuple[str, ...],
    index: int,
    workers: int,
    ingests: bool,
    memory_limit: int | None,
    consdb: str | None,
    no_consdb: bool,
    alerts: tuple[str, ...],
    no_alerts: bool,
) -> None:
    """Process images from the queue, one at a time, until SIGTERM.

    The first worker owns the first detectors of every so many, and so on, and
    holds their calibrations; when idle it helps the others.
    """
    settings = make_settings(
        repository=repository,
        redis_url=redis_url,
        instruments=instruments,
        dispatch=dispatch,
        memory_limit_bytes=memory_limit,
    )
    settings = with_alerts(settings, alerts, no_alerts=no_alerts)
    settings = with_consdb(settings, choose_consdb(consdb, repository, no_consdb=no_consdb))
    if index >= workers:
        raise click.BadParameter(f"expected 0 to {workers - 1}, got {index}", param_hint="--index")
    run_worker(settings, WorkerShards.for_images(index, workers, settings.queue.n_shards, ingests=ingests))


def run_worker(settings: ServiceSettings, shards: WorkerShards, *, batch_size: int = 1) -> None:
    """Run a worker until SIGTERM.

    Parameters
    ----------
    settings
        Settings of the service.
    shards
        What it takes.
    batch_size
        Number of jobs to take together at most.
    """
    log_as_service()
    settings.load_dispatch(check=False)
    queue = open_queue(settings.redis_url, settings.queue)
    if "images" in shards.pools:
        shards = shards.adopt(queue.shards())
    worker = Worker(queue, shards, settings, batch_size=batch_size)
    stop_by_signals(worker.stop)
    worker.run()
