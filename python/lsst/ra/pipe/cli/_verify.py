# This file is part of ra_pipe.
#
# Use of this source code is governed by a 3-clause BSD-style
# license that can be found in the LICENSE file.

from __future__ import annotations

__all__ = ("verify",)

import sys

import click

from lsst.ra.pipe.drift.verify import (
    Tolerance,
    VerifyReport,
    VerifyRequest,
    make_verify_table,
)
from lsst.ra.pipe.drift.verify import verify as run_verification
from lsst.ra.pipe.repository import open_repository

from ._errors import NoAnswerError, expected_errors
from ._identifiers import detector_option
from ._progress import console, progress_bar


@click.command()
@click.argument("repository", metavar="REPO")
@click.option(
    "--reference",
    metavar="PIPELINE[#LABEL]",
    help="Pipeline with the reference's task "
    "[default: $AP_PIPE_DIR/pipelines/<instrument>/SingleFrame.yaml#isr].",
)
@click.option(
    "--candidate",
    metavar="PIPELINE[#LABEL]",
    help="Pipeline with the candidate's task "
    "[default: $RA_PIPE_DIR/pipelines/<instrument>/FirstLook.yaml#isr].",
)
@click.option("--instrument", help="Butler instrument [default: the one that has the exposure].")
@click.option("--exposure", "-e", type=int, required=True, help="For example 2026112200001.")
@detector_option
@click.option(
    "--input",
    "-i",
    "inputs",
    multiple=True,
    help="Collections to read from [default: <instrument>/defaults].",
)
@click.option(
    "--same-config/--own-config",
    default=True,
    help="Give the candidate the reference's values of all fields that both have, so that only the "
    "algorithms differ; or let each run with its own.",
)
@click.option(
    "--steps/--no-steps", "by_step", default=True, help="Switch the steps on one after another, or run once."
)
@click.option(
    "--absolute",
    type=click.FloatRange(min=0),
    default=Tolerance().absolute,
    help="Absolute part of the tolerance (electron; electron squared for the variance).",
)
@click.option(
    "--relative",
    type=click.FloatRange(min=0),
    default=Tolerance().relative,
    help="Relative part of the tolerance.",
)
@click.option("--format", "output_format", type=click.Choice(["table", "json"]), default="table")
def verify(
    *,
    repository: str,
    reference: str | None,
    candidate: str | None,
    instrument: str | None,
    exposure: int,
    detectors: tuple[int, ...] | None,
    inputs: tuple[str, ...],
    same_config: bool,
    by_step: bool,
    absolute: float,
    relative: float,
    output_format: str,
) -> None:
    """Run two tasks on the same raw images, and compare their pixels.

    By default these are Alert Production's ISR and FirstLook's.  Reports the
    differences by step and by mask plane.  REPO is only read.  Exits with 0
    if the final images are the same within the tolerance, with 1 if they
    differ, and with 2 if any could not be compared.
    """
    request = VerifyRequest(
        exposure=exposure,
        instrument=instrument,
        detectors=detectors,
        collections=inputs,
        reference=reference,
        candidate=candidate,
        same_config=same_config,
        by_step=by_step,
        tolerance=Tolerance(absolute=absolute, relative=relative),
    )
    try:
        report = _run(repository, request)
    except click.ClickException as error:
        raise NoAnswerError(error.message) from error
    if output_format == "json":
        click.echo(report.to_json(), nl=False)
    else:
        console.print(make_verify_table(report))
    sys.exit(report.exit_code)


@expected_errors
def _run(repository: str, request: VerifyRequest) -> VerifyReport:
    """Compare under a progress bar, which is not shown in files."""
    with open_repository(repository) as butler, progress_bar() as progress:
        progress.disable = not progress.console.is_terminal
        task = progress.add_task("Comparing", total=None)

        def advance(detector: int, step: str, done: int, total: int) -> None:
            progress.update(task, description=f"{detector} {step}", completed=done, total=total)

        return run_verification(butler, request, on_step=advance)
