# This file is part of ra_pipe.
#
# Use of this source code is governed by a 3-clause BSD-style
# license that can be found in the LICENSE file.

from __future__ import annotations

__all__ = ("LiveService", "count_ready", "up")

import contextlib
import logging
import os
import pathlib
import sys
from collections.abc import Sequence

import click
import redis

from lsst.ra.pipe.execution.queue import JobQueue, connect, read_status
from lsst.ra.pipe.execution.service import ProcessGroup, ServiceSettings, start_embedded_server
from lsst.ra.pipe.repository import open_repository

from ._alert_options import alert_flags, alert_options, with_alerts
from ._consdb_options import choose_consdb, consdb_options, with_consdb
from ._errors import expected_errors
from ._progress import console
from ._queue_options import without_password
from ._service_options import log_as_service, make_settings, service_options, stop_by_signals

_LOG = logging.getLogger(__name__)


class LiveService:
    """The whole live service on this machine, under one supervisor.

    Parameters
    ----------
    settings
        Settings of the service.  Without a server of the queue it starts one.
    sources
        URLs of the sources.
    n_workers
        Number of workers that process images.
    state
        Directory for the queue and the shared calibrations.
    redis_url
        Server of the queue, if there is one already.

    Notes
    -----
    It runs the commands that would run on several machines: one
    ``rapid distribute`` a source, ``rapid ingest --service``, and ``rapid
    work`` for each worker.  What ends unexpectedly is started again.
    """

    def __init__(
        self,
        settings: ServiceSettings,
        *,
        sources: Sequence[str],
        n_workers: int,
        state: pathlib.Path,
        redis_url: str | None = None,
    ) -> None:
        self._servers = ProcessGroup()
        # Environment variables reach the commands as they are.
        environment = {**os.environ, "RAPID_CALIBRATION_DIRECTORY": str(state.resolve() / "calibrations")}
        self._commands = ProcessGroup(environment=environment, grace_seconds=settings.grace_seconds + 10.0)
        self._settings = settings
        self._sources = tuple(sources)
        self._n_workers = n_workers
        self._state = state
        self.redis_url = redis_url

    def start(self) -> JobQueue:
        """Start everything.

        Returns
        -------
        queue
            The queue.
        """
        if self.redis_url is None:
            self.redis_url = start_embedded_server(self._servers, self._state / "queue")
        self._commands.set_environment(RAPID_REDIS_URL=self.redis_url)
        if (url := self._settings.consdb_url) is not None:
            self._commands.set_environment(RAPID_CONSDB_URL=url.get_secret_value())
        sinks = (*(() if url is not None else ("--no-consdb",)), *alert_flags(self._settings))
        for index in range(self._n_workers):
            position = ("--index", str(index), "--workers", str(self._n_workers))
            self._start(f"worker {index}", "work", *position, *sinks)
        batch = ("--batch", str(self._settings.batch_size))
        self._start("ingest", "ingest", "--service", "--transfer", self._settings.transfer, *batch)
        for source in self._sources:
            self._start(f"distributor of {source}", "distribute", "--source", source)
        return JobQueue(connect(self.redis_url), self._settings.queue)

    def watch(self, seconds: float) -> None:
        """Keep everything running.

        Parameters
        ----------
        seconds
            Time (s); it ends earlier when `stop` is called.
        """
        self._servers.watch(0.0)
        self._commands.watch(seconds)

    def stop(self) -> None:
        """End `watch`; may be called from a signal handler."""
        self._commands.stop()

    @property
    def stopping(self) -> bool:
        """Whether `stop` was called (`bool`)."""
        return self._commands.stopping

    def end(self) -> None:
        """End everything: the images at work first, the queue last."""
        self._commands.end()
        self._servers.end()

    def _start(self, name: str, command: str, *options: str) -> None:
        common: list[str] = []
        for instrument in self._settings.instruments:
            common += ["--instrument", instrument]
        for instrument, file in self._settings.dispatch.items():
            common += ["--dispatch", f"{instrument}={file}"]
        python = [sys.executable, "-m", "lsst.ra.pipe.cli"]
        self._commands.start(name, [*python, command, self._settings.repository, *options, *common])


@click.command()
@service_options
@click.option(
    "--source",
    "sources",
    multiple=True,
    required=True,
    metavar="URL",
    help="As of rapid distribute; may be given again.",
)
@click.option(
    "--workers", "-j", type=click.IntRange(min=1), default=os.cpu_count() or 1, help="Processes for images."
)
@click.option(
    "--state",
    type=click.Path(path_type=pathlib.Path, file_okay=False),
    default="rapid-state",
    help="Directory for the queue, and for calibrations in memory-mapped form.",
)
@consdb_options
@alert_options
@expected_errors
def up(
    *,
    repository: str,
    redis_url: str | None,
    instruments: tuple[str, ...],
    dispatch: tuple[str, ...],
    sources: tuple[str, ...],
    workers: int,
    state: pathlib.Path,
    consdb: str | None,
    no_consdb: bool,
    alerts: tuple[str, ...],
    no_alerts: bool,
) -> None:
    """Run the whole live service on this machine, until SIGTERM or Ctrl-C.

    Starts a server of the queue, unless --redis or RAPID_REDIS_URL names one,
    a distributor for each source, an ingest, and workers.
    """
    log_as_service()
    redis_url = _given_redis_url()
    settings = make_settings(
        repository=repository, redis_url=redis_url, instruments=instruments, dispatch=dispatch
    )
    settings = with_alerts(settings, alerts, no_alerts=no_alerts)
    settings = with_consdb(settings, choose_consdb(consdb, repository, no_consdb=no_consdb))
    open_repository(repository).close()
    settings.load_dispatch()
    service = LiveService(settings, sources=sources, n_workers=workers, state=state, redis_url=redis_url)
    stop_by_signals(service.stop)
    try:
        queue = service.start()
        url = without_password(str(service.redis_url))
        console.print(f"The queue is at {url}; to look at it:")
        console.print(f"  rapid status --redis {url}", highlight=False)
        was_ready = False
        while not service.stopping:
            service.watch(1.0)
            # The queue may be away, and comes back.
            with contextlib.suppress(redis.RedisError):
                if not was_ready and count_ready(queue) > workers:
                    _LOG.info("All workers are ready")
                    was_ready = True
    finally:
        service.end()


def _given_redis_url() -> str | None:
    """Return the server that the user names, if any."""
    context = click.get_current_context()
    if context.get_parameter_source("redis_url") is click.core.ParameterSource.DEFAULT:
        return None
    return str(context.params["redis_url"])


def count_ready(queue: JobQueue) -> int:
    """Return the number of workers that are ready, that for ingest among them.

    Parameters
    ----------
    queue
        The queue.
    """
    return sum(worker.facts.get("state") in ("idle", "working") for worker in read_status(queue).workers)
