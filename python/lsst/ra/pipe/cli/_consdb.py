# This file is part of ra_pipe.
#
# Use of this source code is governed by a 3-clause BSD-style
# license that can be found in the LICENSE file.

from __future__ import annotations

__all__ = ("consdb",)

from collections import Counter

import click

from lsst.ra.pipe.repository import open_repository

from ._consdb_options import choose_consdb, consdb_option
from ._errors import expected_errors
from ._identifiers import IdentifierRange
from ._progress import console, progress_bar

_instrument_option = click.option("--instrument", default="LSSTCam", help="Butler instrument.")


@click.group()
def consdb() -> None:
    """Look after the quicklook tables of ConsDB."""


@consdb.command()
@click.argument("url")
@_instrument_option
@click.option("--check", is_flag=True, help="Make nothing; fail if anything is missing.")
@expected_errors
def create(*, url: str, instrument: str, check: bool) -> None:
    """Make the tables of an instrument in the database URL, if need be.

    They are those of the observatory's schema file, which felis validates
    first.
    """
    from lsst.ra.pipe.sinks.consdb import ConsDbDatabase, ConsDbWriter

    database = ConsDbDatabase(url, instrument)
    ConsDbWriter(database, create=not check).prepare()
    database.close()
    schema = database.schema
    console.print(f"{database.name} has {schema.name}, version {schema.version}.", soft_wrap=True)


@consdb.command()
@_instrument_option
@expected_errors
def columns(*, instrument: str) -> None:
    """List the quicklook columns: the metric that each has, or why it has none."""
    from lsst.ra.pipe.sinks.consdb import QUICKLOOK_TABLES, describe_source, load_schema, quicklook_sources

    schema = load_schema(instrument, named=True)
    sources = quicklook_sources({name: schema.tables[name].columns.keys() for name in QUICKLOOK_TABLES})
    for name in QUICKLOOK_TABLES:
        for column in schema.tables[name].columns:
            source = describe_source(sources[name].get(column.name))
            click.echo(f"{name + '.' + column.name:<65}{source}")


@consdb.command()
@click.argument("repository", metavar="REPO")
@click.option(
    "--collection", "-o", "collections", multiple=True, required=True, help="Where the metrics are."
)
@_instrument_option
@click.option("--exposure", "-e", "exposures", type=IdentifierRange(), default=(), help="The default is all.")
@consdb_option
@expected_errors
def backfill(
    *,
    repository: str,
    collections: tuple[str, ...],
    instrument: str,
    exposures: tuple[int, ...],
    consdb: str | None,
) -> None:
    """Write to ConsDB what is in a repository; what is there already stays."""
    from lsst.ra.pipe.sinks.consdb import ConsDbObserver, backfill

    url = choose_consdb(consdb, repository)
    if url is None:
        raise click.UsageError("Expected --consdb URL, as the repository is not a directory of this machine.")
    counts: Counter[bool] = Counter()
    observer = ConsDbObserver(url=url, repository=repository)
    with progress_bar() as progress, open_repository(repository) as butler:
        task = progress.add_task("Writing to ConsDB", total=None)
        for report in backfill(
            observer,
            butler,
            instrument=instrument,
            collections=collections,
            exposures=exposures,
            on_report=lambda _: progress.advance(task),
        ):
            counts[report.changed] += 1
    observer.close()
    if not counts:
        console.print(
            f"{repository} has no metrics of {instrument} in {', '.join(collections)}"
            f"{' of these exposures' if exposures else ''}.",
            soft_wrap=True,
        )
    console.print(f"{counts[True]} detectors and exposures written, {counts[False]} were there.")
