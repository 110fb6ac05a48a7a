# This file is part of ra_pipe.
#
# Use of this source code is governed by a 3-clause BSD-style
# license that can be found in the LICENSE file.

from __future__ import annotations

__all__ = ("ingest",)

import click

from lsst.ra.pipe.execution.queue import WorkerShards
from lsst.ra.pipe.repository import ingest_raws, open_repository
from lsst.resources import ResourcePath

from ._errors import expected_errors
from ._progress import console, progress_bar
from ._service_options import make_settings, redis_option
from ._work import run_worker


@click.command()
@click.argument("repository", metavar="REPO")
@click.argument("paths", nargs=-1)
@click.option(
    "--transfer",
    "-t",
    type=click.Choice(["auto", "copy", "direct", "hardlink", "link", "move", "relsymlink", "symlink"]),
    default="direct",
    help="How the files get into the repository; 'direct' leaves them where they are.",
)
@click.option("--output-run", help="RUN collection instead of <instrument>/raw/all.")
@click.option(
    "--define-visits/--no-define-visits", default=True, help="Define a visit for each on-sky exposure."
)
@click.option("--service", is_flag=True, help="Ingest the files that the queue names, until SIGTERM.")
@click.option(
    "--batch", type=click.IntRange(min=1), default=1, help="With --service: files at once, at most."
)
@click.option(
    "--emit", metavar="URL", help="With --service: say it here, kafka://broker:9092/topic, not to the queue."
)
@redis_option
@click.option("--instrument", "instruments", multiple=True, default=("LSSTCam",), help="With --service.")
@click.option(
    "--dispatch", multiple=True, metavar="[INSTRUMENT=]FILE", help="With --service: dispatch rules."
)
@expected_errors
def ingest(
    *,
    repository: str,
    paths: tuple[str, ...],
    transfer: str,
    output_run: str | None,
    define_visits: bool,
    service: bool,
    batch: int,
    emit: str | None,
    redis_url: str,
    instruments: tuple[str, ...],
    dispatch: tuple[str, ...],
) -> None:
    """Ingest raw files, or directories of them, and define their visits.

    Doing it twice changes nothing.  A bad file stops no other; the command
    then names it, says why, and exits with 1.

    With --service the files come from the queue, where a distributor has put
    them, and their images go into the queue to be processed.
    """
    if service == bool(paths):
        raise click.UsageError("Give either PATHS or --service.")
    if service:
        settings = make_settings(
            repository=repository,
            redis_url=redis_url,
            instruments=instruments,
            dispatch=dispatch,
            transfer=transfer,
            batch_size=batch,
            emit=emit,
        )
        run_worker(settings, WorkerShards.for_ingest(), batch_size=settings.batch_size)
    else:
        _ingest_now(repository, paths, transfer, output_run, define_visits)


def _ingest_now(
    repository: str, paths: tuple[str, ...], transfer: str, output_run: str | None, define_visits: bool
) -> None:
    """Ingest files, and say what became of them."""
    butler = open_repository(repository, writeable=True)
    missing = [path for path in paths if not ResourcePath(path).exists()]
    if missing:
        raise FileNotFoundError(f"No such file or directory: {', '.join(missing)}.")
    with progress_bar() as progress:
        task = progress.add_task("Reading headers", total=None)
        report = ingest_raws(
            butler,
            paths,
            run=output_run,
            transfer=transfer,
            define=define_visits,
            on_file=lambda _: progress.advance(task),
        )
    console.print(
        f"{len(report.ingested)} raws ingested, {len(report.existing)} were there; "
        f"{len(report.exposures)} exposures, {len(report.visits)} new visits."
    )
    if report.failures:
        for path, reason in report.failures.items():
            click.echo(f"{path}: {reason}", err=True)
        raise click.ClickException(f"{len(report.failures)} files were not ingested.")
