# This file is part of ra_pipe.
#
# Use of this source code is governed by a 3-clause BSD-style
# license that can be found in the LICENSE file.

from __future__ import annotations

__all__ = ("parse_override", "print_reports", "run", "run_with_progress")

import os
from collections.abc import Sequence
from typing import Any

import click
from rich.table import Table

from lsst.ra.pipe.execution import (
    ImageObserver,
    ImageReport,
    QuantumStatus,
    RunRequest,
    run_exposures,
)
from lsst.ra.pipe.repository import open_repository

from ._alert_options import alert_options, make_alert_judge
from ._consdb_options import ConsDbRecorder, choose_consdb, consdb_options, has_private_results
from ._errors import expected_errors
from ._identifiers import detector_option, exposure_option
from ._progress import console, progress_bar


@click.command()
@click.argument("repository", metavar="REPO")
@click.option("--pipeline", "-p", required=True, help="Pipeline YAML; #label,label selects tasks or subsets.")
@click.option("--instrument", default="LSSTCam", help="Butler instrument.")
@exposure_option
@detector_option
@click.option(
    "--input",
    "-i",
    "inputs",
    multiple=True,
    help="Collections to read from [default: <instrument>/defaults].",
)
@click.option(
    "--output", "-o", required=True, help="CHAINED collection for the outputs, for example u/someone/test."
)
@click.option(
    "--processes", "-j", type=click.IntRange(min=1), default=os.cpu_count() or 1, help="Worker processes."
)
@click.option("--config", "-c", "config", multiple=True, metavar="LABEL:FIELD=VALUE", help="Config override.")
@consdb_options
@alert_options
@expected_errors
def run(
    *,
    repository: str,
    pipeline: str,
    instrument: str,
    exposures: tuple[int, ...],
    detectors: tuple[int, ...] | None,
    inputs: tuple[str, ...],
    output: str,
    processes: int,
    config: tuple[str, ...],
    consdb: str | None,
    no_consdb: bool,
    alerts: tuple[str, ...],
    no_alerts: bool,
) -> None:
    """Run a pipeline on detectors of exposures, over warm worker processes.

    What has run before, with the same configuration, is not run again.  The
    metrics go to ConsDB as well, and exposures are judged by alert rules.  With
    an output below u/, or with --config, only --consdb lets them go to ConsDB:
    its rows are written once, and others wait for those of the standard run.
    Exits with 1 when any quantum failed or could not be written to ConsDB; the
    others are done all the same.
    """
    inputs = inputs or (f"{instrument}/defaults",)
    if detectors is None:
        detectors = _detectors_with_raws(repository, instrument, exposures, inputs)
    request = RunRequest(
        repository=repository,
        pipeline=pipeline,
        instrument=instrument,
        exposures=exposures,
        detectors=detectors,
        inputs=inputs,
        output=output,
        config_overrides=tuple(parse_override(text) for text in config),
    )
    url = choose_consdb(consdb, repository, no_consdb=no_consdb or has_private_results(output, config))
    recorders = [ConsDbRecorder(url, repository, inputs)] if url is not None else []
    judges = make_alert_judge(request, alerts, no_alerts=no_alerts)
    try:
        # Alerts do not wait for a database.
        reports = run_with_progress(request, processes=processes, observers=[*judges, *recorders])
        print_reports(reports)
        for judge in judges:
            judge.finish()
    finally:
        unwritten = [problem for recorder in recorders for problem in recorder.finish()]
    failed = sum(report.failed for report in reports)
    problems = [f"{failed} of {len(reports)} images failed."] if failed else []
    problems += unwritten
    if problems:
        raise click.ClickException("\n".join(problems))


def run_with_progress(
    request: RunRequest, *, processes: int, observers: Sequence[ImageObserver] = ()
) -> list[ImageReport]:
    """Run exposures under a progress bar.

    Parameters
    ----------
    request
        What to run.
    processes
        Number of worker processes.
    observers
        Called with each report as it comes.
    """
    with progress_bar() as progress:
        task = progress.add_task(
            "Processing detectors", total=len(request.exposures) * len(request.detectors)
        )

        def advance(report: ImageReport) -> None:
            if report.detector is not None:
                progress.advance(task)
            for observer in observers:
                observer(report)

        return run_exposures(request, processes=processes, on_report=advance)


def print_reports(reports: list[ImageReport]) -> None:
    """Print one row an image: what became of it, and how long it took.

    Parameters
    ----------
    reports
        Reports of a run.
    """
    table = Table("exposure", "detector", "status", "seconds", "overhead (s)")
    order = sorted(reports, key=lambda r: (r.exposure, r.detector is None, r.detector or 0))
    for report in order:
        table.add_row(
            str(report.exposure),
            "all" if report.detector is None else str(report.detector),
            _summarize(report),
            f"{sum(outcome.seconds for outcome in report.outcomes):.2f}",
            f"{report.overhead_seconds:.2f}",
        )
    console.print(table)
    for report in order:
        if (failure := report.first_failure) is not None:
            click.echo(f"{failure.task}: {failure.reason}", err=True)


def _summarize(report: ImageReport) -> str:
    if (failure := report.first_failure) is not None:
        return f"failed in {failure.task}"
    counts = {status: sum(o.status is status for o in report.outcomes) for status in QuantumStatus}
    return ", ".join(f"{count} {status.value}" for status, count in counts.items() if count)


def parse_override(text: str) -> tuple[str, str, Any]:
    """Read a config override.

    Parameters
    ----------
    text
        ``LABEL:FIELD=VALUE``.

    Returns
    -------
    override
        Label, field and the text of the value.

    Raises
    ------
    click.BadParameter
        Raised if the text has another form.
    """
    label, colon, assignment = text.partition(":")
    field, equals, value = assignment.partition("=")
    if not (label and colon and field and equals):
        raise click.BadParameter(f"expected LABEL:FIELD=VALUE, got {text!r}", param_hint="--config")
    return label, field, value


def _detectors_with_raws(
    repository: str, instrument: str, exposures: tuple[int, ...], inputs: tuple[str, ...]
) -> tuple[int, ...]:
    """Return the detectors of which any of the exposures has a raw."""
    found: set[int] = set()
    with open_repository(repository) as butler:
        for exposure in exposures:
            refs = butler.query_datasets(
                "raw", inputs, instrument=instrument, exposure=exposure, explain=False, limit=None
            )
            if not refs:
                raise ValueError(f"{repository} has no raw of {instrument} exposure {exposure} in {inputs}.")
            found.update(int(ref.dataId["detector"]) for ref in refs)
    return tuple(sorted(found))
