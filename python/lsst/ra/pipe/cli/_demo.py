# This file is part of ra_pipe.
#
# Use of this source code is governed by a 3-clause BSD-style
# license that can be found in the LICENSE file.

from __future__ import annotations

__all__ = ("PIPELINE", "demo", "fill_repository", "make_repository")

import os
import pathlib
import sys
import time
from collections.abc import Sequence

import click
from rich.table import Table

from lsst.daf.butler import Butler
from lsst.ra.pipe.execution.queue import JobQueue, read_status
from lsst.ra.pipe.execution.service import ServiceSettings
from lsst.ra.pipe.repository import (
    certify_calibrations,
    create_repository,
    ingest_raws,
    load_reference_catalog,
)
from lsst.ra.pipe.simulation import DetectorComparison, SimulationConfig, compare_with_truth

from ._errors import expected_errors
from ._progress import console, progress_bar
from ._simulate import simulate_with_progress
from ._status import latency_table
from ._up import LiveService, count_ready

PIPELINE = "$RA_PIPE_DIR/pipelines/LSSTCam/FirstLook.yaml"
_OUTPUT = "LSSTCam/rapid"
_RULES = f"""\
# The demo's dispatch rules: all images go through FirstLook, and an exposure
# is complete with the nine detectors of raft R22.
instrument: LSSTCam
rules:
  - name: demo
    pipeline: {PIPELINE}
    expected_detectors: "90..98"
    gather_deadline: 600
    persist: [single_visit_star_unstandardized]
    publish: [rapid_detector_metrics]
"""
_PATIENCE = 600.0
"""Time (s) without any progress after which the demo gives up."""


@click.command()
@click.argument(
    "directory", metavar="DIR", type=click.Path(path_type=pathlib.Path, file_okay=False), default="demo"
)
@click.option("--processes", "-j", type=click.IntRange(min=1), default=os.cpu_count() or 1, help="Workers.")
@expected_errors
def demo(*, directory: pathlib.Path, processes: int) -> None:
    """Observe two simulated exposures of raft R22, from nothing, into DIR.

    Starts the live service on this machine, and has the raw files appear in a
    directory that it watches.  Running it again takes up what is there and
    adds what is missing.
    """
    config = SimulationConfig(n_exposures=2)
    simulation = directory / "simulation"
    _simulate_once(config, simulation, processes)
    butler = make_repository(directory / "repo", simulation)
    raws = sorted(simulation.glob("raw/**/*.fits*"))
    _observe(directory, raws, processes)
    exposures = tuple(sorted(record.id for record in butler.query_dimension_records("exposure")))
    _print_comparison(_compare(butler, simulation))
    plots = _collect_plots(butler, directory / "plots")
    _say_what_next(directory, plots, exposures)


def _observe(directory: pathlib.Path, raws: Sequence[pathlib.Path], processes: int) -> None:
    """Run the live service while raw files appear, until all is done."""
    incoming = directory / "incoming"
    incoming.mkdir(parents=True, exist_ok=True)
    rules = directory / "dispatch.yaml"
    rules.write_text(_RULES)
    settings = ServiceSettings(repository=str(directory / "repo"), dispatch={"LSSTCam": str(rules)})
    service = LiveService(
        settings,
        sources=[incoming.resolve().as_uri()],
        n_workers=processes,
        state=directory / "state",
    )
    try:
        with console.status("Starting the live service"):
            queue = service.start()
            _wait_until_ready(service, queue, processes)
        for raw in raws:
            if not (incoming / raw.name).exists():
                # As if it were closed now: the latencies count from there.
                os.utime(raw)
                os.link(raw, incoming / raw.name)
        _follow(service, queue, len(raws))
        status = read_status(queue)
        dead = list(queue.dead_letters())
    finally:
        service.end()
    # The simulated shutter closed long ago.
    console.print(latency_table([one for one in status.latencies if one.begin != "shutter"]))
    if dead:
        raise click.ClickException("\n".join(letter.reason for letter in dead))


def _wait_until_ready(service: LiveService, queue: JobQueue, processes: int) -> None:
    """Wait for the workers, of which one more ingests."""
    end = time.monotonic() + _PATIENCE
    while count_ready(queue) <= processes:
        if time.monotonic() > end:
            raise click.ClickException("The live service does not get ready; its messages are above.")
        service.watch(0.2)


def _follow(service: LiveService, queue: JobQueue, n_raws: int) -> None:
    """Show the progress until every detector is done and gathered."""
    with progress_bar() as progress:
        task = progress.add_task("Processing detectors", total=n_raws)
        seen, since = -1, time.monotonic()
        while True:
            service.watch(0.2)
            status = read_status(queue)
            settled = sum(one.done + one.failed for one in status.exposures)
            progress.update(task, completed=settled)
            all_gathered = all(one.gathers and not one.queued for one in status.exposures)
            if settled + status.dead >= n_raws and all_gathered and not status.shards:
                return
            if settled != seen:
                seen, since = settled, time.monotonic()
            if time.monotonic() - since > _PATIENCE:
                raise click.ClickException(
                    f"No image was done in {_PATIENCE:g} s; {n_raws - settled} are left."
                )


def _simulate_once(config: SimulationConfig, simulation: pathlib.Path, processes: int) -> None:
    """Simulate, unless these exposures are there in full."""
    complete = simulation / "complete"
    if complete.exists() and complete.read_text() == config.model_dump_json():
        console.print(f"The simulated exposures in {simulation} are there.")
        return
    simulate_with_progress(config, simulation, processes=processes)
    complete.write_text(config.model_dump_json())


def make_repository(root: pathlib.Path, simulation: pathlib.Path) -> Butler:
    """Create a repository with the calibrations of a simulation.

    Parameters
    ----------
    root
        Directory of the repository.
    simulation
        Directory of the simulation.
    """
    with console.status("Making the repository"):
        butler = create_repository(str(root), instruments=["lsst.ra.pipe.camera.LsstCam"])
        certify_calibrations(butler, simulation / "calibrations" / "manifest.ecsv", transfer="direct")
        load_reference_catalog(butler, simulation / "reference_catalog.parquet")
    return butler


def fill_repository(root: pathlib.Path, simulation: pathlib.Path) -> tuple[Butler, tuple[int, ...]]:
    """Create a repository and put a simulation into it, raws and all.

    Parameters
    ----------
    root
        Directory of the repository.
    simulation
        Directory of the simulation.

    Returns
    -------
    butler
        Client of the repository.
    exposures
        Numbers of its exposures.

    Raises
    ------
    click.ClickException
        Raised if a raw file was refused.
    """
    butler = make_repository(root, simulation)
    with console.status("Ingesting raws"):
        report = ingest_raws(butler, [simulation / "raw"], transfer="direct")
    if report.failures:
        raise click.ClickException("\n".join(f"{path}: {why}" for path, why in report.failures.items()))
    console.print(
        f"The repository {root} has {len(report.ingested) + len(report.existing)} raws "
        f"of {len(report.exposures)} exposures."
    )
    return butler, tuple(sorted(record.id for record in report.exposures))


def _compare(butler: Butler, simulation: pathlib.Path) -> list[DetectorComparison]:
    refs = butler.query_datasets("rapid_detector_metrics", collections=_OUTPUT, explain=False)
    comparisons = []
    for ref in refs:
        stars = butler.get("single_visit_star_unstandardized", ref.dataId, collections=_OUTPUT)
        comparisons.append(compare_with_truth(butler.get(ref), stars, simulation))
    return sorted(comparisons, key=lambda c: (c.exposure, c.detector))


def _print_comparison(comparisons: list[DetectorComparison]) -> None:
    """Print a table for each exposure, one row a detector."""
    for exposure in sorted({row.exposure for row in comparisons}):
        table = Table(title=f"Exposure {exposure}: measured, and the truth")
        for column in ("detector", "FWHM\narcsec", "true\n", "ratio\n", "sky\nelectron", "true\n", "ratio\n"):
            table.add_column(column, justify="left" if column == "detector" else "right")
        table.add_column("PSF\nstars", justify="right")
        table.add_column("offset\npixel", justify="right")
        for row in (row for row in comparisons if row.exposure == exposure):
            table.add_row(
                row.detector_name,
                *(f"{row.fwhm:.3f}", f"{row.true_fwhm:.3f}", f"{row.fwhm / row.true_fwhm:.3f}"),
                *(f"{row.sky:.1f}", f"{row.true_sky:.1f}", f"{row.sky / row.true_sky:.4f}"),
                *(str(row.n_psf_stars), f"{row.position_offset:.2f}"),
            )
        console.print(table)


def _collect_plots(butler: Butler, directory: pathlib.Path) -> list[str]:
    """Copy the pictures and the summaries to where they are easily found."""
    refs = butler.query_all_datasets(
        collections=_OUTPUT, name=["rapid_*_plot", "rapid_exposure_summary"], limit=None
    )
    directory.mkdir(parents=True, exist_ok=True)
    paths = butler.retrieveArtifacts(
        refs, str(directory), transfer="copy", preserve_path=False, overwrite=True
    )
    (directory / "_butler_zip_index.json").unlink(missing_ok=True)
    return sorted(path.ospath for path in paths)


def _say_what_next(directory: pathlib.Path, plots: list[str], exposures: tuple[int, ...]) -> None:
    pictures = [path for path in plots if "focal_plane" in path]
    console.print(
        f"[bold]{len(plots)} pictures and summaries are in {directory / 'plots'}[/bold]; begin with"
    )
    for path in pictures:
        console.print(f"  {os.path.relpath(path)}", soft_wrap=True)
    console.print(
        f"""
To use the commands below:
  source {os.path.relpath(sys.prefix)}/bin/activate
To see what is in the repository:
  butler query-datasets {directory}/repo --collections {_OUTPUT}
To run the pipeline yourself, with pipetask:
  pipetask run -b {directory}/repo -p '{PIPELINE}' -i LSSTCam/defaults -o u/$USER/test \\
    -d "instrument='LSSTCam' AND exposure={exposures[0]} AND detector in (90..98)" \\
    --register-dataset-types""",
        soft_wrap=True,
        highlight=False,
    )
