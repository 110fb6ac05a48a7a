# This file is part of ra_pipe.
#
# Use of this source code is governed by a 3-clause BSD-style
# license that can be found in the LICENSE file.

from __future__ import annotations

__all__ = ("gaps",)

import dataclasses
import json

import click
from rich.table import Table

from lsst.ra.pipe.execution.dispatch import Gap, default_dispatch, find_gaps, load_dispatch
from lsst.ra.pipe.repository import open_repository

from ._errors import NoAnswerError, expected_errors
from ._identifiers import IdentifierRange
from ._progress import console


@click.command()
@click.argument("repository", metavar="REPO")
@click.option("--instrument", default="LSSTCam", help="Butler instrument.")
@click.option("--day-obs", type=int, help="Observing day (YYYYMMDD) to look at.")
@click.option(
    "--exposure",
    "-e",
    "exposures",
    type=IdentifierRange(),
    help="Exposures to look at, for example 2026112200001..2026112200005.",
)
@click.option("--dispatch", help="Dispatch rules [default: $RA_PIPE_DIR/config/dispatch/<instrument>.yaml].")
@click.option(
    "--input",
    "-i",
    "inputs",
    multiple=True,
    help="Collections with the raws [default: <instrument>/defaults].",
)
@click.option("--output", "-o", help="Collection with the outputs [default: <instrument>/rapid].")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object a line instead of a table.")
def gaps(
    *,
    repository: str,
    instrument: str,
    day_obs: int | None,
    exposures: tuple[int, ...] | None,
    dispatch: str | None,
    inputs: tuple[str, ...],
    output: str | None,
    as_json: bool,
) -> None:
    """List the raws that should have been processed and were not.

    What a dispatch rule ignores is no gap.  Exits with 0 if there are no gaps,
    with 1 if there are, and with 2 if they could not be looked for.
    """

    @expected_errors
    def look() -> list[Gap]:
        table = load_dispatch(dispatch or default_dispatch(instrument))
        with open_repository(repository) as butler:
            return list(
                find_gaps(
                    butler,
                    table,
                    instrument=instrument,
                    exposures=exposures,
                    day_obs=day_obs,
                    inputs=inputs,
                    output=output,
                )
            )

    try:
        found = look()
    except (click.ClickException, LookupError) as err:
        raise NoAnswerError(str(err.args[0] if err.args else err)) from err
    if as_json:
        for gap in found:
            click.echo(json.dumps(dataclasses.asdict(gap)))
    else:
        _print_table(found)
    if found:
        raise click.exceptions.Exit(1)


def _print_table(found: list[Gap]) -> None:
    if found:
        table = Table("exposure", "detector", "rule", "missing", "tasks")
        for gap in found:
            detector = "all" if gap.detector is None else str(gap.detector)
            table.add_row(str(gap.exposure), detector, gap.rule, gap.missing, ", ".join(gap.tasks))
        console.print(table)
    console.print(f"{len(found)} gaps.")
