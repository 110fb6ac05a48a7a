# This file is part of ra_pipe.
#
# Use of this source code is governed by a 3-clause BSD-style
# license that can be found in the LICENSE file.

from __future__ import annotations

__all__ = ("reprocess",)

import getpass
import os
import re

import click

from lsst.ra.pipe.execution import ImageReport, RunRequest
from lsst.ra.pipe.execution.dispatch import (
    ExposureFacts,
    Plan,
    default_dispatch,
    find_raws,
    load_dispatch,
    plan_pipeline,
    plan_runs,
)
from lsst.ra.pipe.repository import open_repository

from ._errors import expected_errors
from ._identifiers import detector_option, exposure_option
from ._progress import console
from ._run import parse_override, print_reports, run_with_progress


@click.command()
@click.argument("repository", metavar="REPO")
@click.option("--instrument", default="LSSTCam", help="Butler instrument.")
@exposure_option
@detector_option
@click.option(
    "--dispatch",
    help="Rules that choose the pipeline [default: $RA_PIPE_DIR/config/dispatch/<instrument>.yaml].",
)
@click.option("--pipeline", "-p", help="Pipeline YAML for all exposures, whatever the rules say.")
@click.option(
    "--input",
    "-i",
    "inputs",
    multiple=True,
    help="Collections to read from [default: <instrument>/defaults].",
)
@click.option("--output", "-o", help="Collection for the outputs, u/<user>/... [default: u/<you>/rapid].")
@click.option("--config", "-c", "config", multiple=True, metavar="LABEL:FIELD=VALUE", help="Config override.")
@click.option(
    "--processes", "-j", type=click.IntRange(min=1), default=os.cpu_count() or 1, help="Worker processes."
)
@expected_errors
def reprocess(
    *,
    repository: str,
    instrument: str,
    exposures: tuple[int, ...],
    detectors: tuple[int, ...] | None,
    dispatch: str | None,
    pipeline: str | None,
    inputs: tuple[str, ...],
    output: str | None,
    config: tuple[str, ...],
    processes: int,
) -> None:
    """Process exposures again, into a collection of your own.

    The dispatch rules choose the pipeline of each exposure, as they do live.
    What is in the output already, with the same configuration, is not run
    again; another configuration is, beside it.  Exits with 1 when any quantum
    failed; the others are done all the same.
    """
    output = check_user_collection(output or f"u/{getpass.getuser()}/rapid")
    inputs = inputs or (f"{instrument}/defaults",)
    overrides = tuple(parse_override(text) for text in config)
    plan = _make_plan(
        repository, instrument, exposures, detectors, inputs, dispatch=dispatch, pipeline=pipeline
    )
    for exposure, reason in plan.skipped.items():
        click.echo(f"{instrument} exposure {exposure} is left out: {reason}.", err=True)
    reports: list[ImageReport] = []
    for planned in plan.runs:
        console.print(
            f"{planned.pipeline}: {len(planned.exposures)} exposures, {len(planned.detectors)} detectors"
        )
        request = RunRequest(
            repository=repository,
            pipeline=planned.pipeline,
            instrument=instrument,
            exposures=planned.exposures,
            detectors=planned.detectors,
            inputs=inputs,
            output=output,
            config_overrides=overrides,
        )
        reports += run_with_progress(request, processes=processes)
    if not reports:
        raise click.ClickException("There is nothing to run.")
    print_reports(reports)
    console.print(f"The outputs are in {output}.")
    if failed := sum(report.failed for report in reports):
        raise click.ClickException(f"{failed} of {len(reports)} images failed.")


def check_user_collection(name: str) -> str:
    """Return the name of a collection, if it is that of a user.

    Parameters
    ----------
    name
        Name of the collection.
    """
    if re.fullmatch(r"u/[^/\s]+(/[^/\s]+)+", name) is None:
        raise click.BadParameter(
            f"expected u/<user>/..., as reprocessing never writes to the live service's collections; "
            f"got {name!r}",
            param_hint="--output",
        )
    return name


def _make_plan(
    repository: str,
    instrument: str,
    exposures: tuple[int, ...],
    detectors: tuple[int, ...] | None,
    inputs: tuple[str, ...],
    *,
    dispatch: str | None,
    pipeline: str | None,
) -> Plan:
    """Choose what to run on the raws that there are."""
    # Rules that are wrong are refused before the repository is asked.
    table = None if pipeline else load_dispatch(dispatch or default_dispatch(instrument))
    raws: dict[ExposureFacts, frozenset[int]] = {}
    with open_repository(repository) as butler:
        for batch in find_raws(butler, instrument=instrument, exposures=exposures, collections=inputs):
            raws |= batch
    if missing := sorted(set(exposures) - {facts.exposure for facts in raws}):
        listed = ", ".join(str(exposure) for exposure in missing)
        message = f"{repository} has no raw of {instrument} exposure {listed} in {', '.join(inputs)}."
        if not raws:
            raise ValueError(message)
        click.echo(message, err=True)
    if detectors is not None:
        wanted = frozenset(detectors)
        raws = {facts: numbers & wanted for facts, numbers in raws.items()}
    if table is None:
        assert pipeline is not None, "Either of them."
        return plan_pipeline(raws, pipeline=pipeline)
    return plan_runs(raws, table=table)
