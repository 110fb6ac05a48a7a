# This file is part of ra_pipe.
#
# Use of this source code is governed by a 3-clause BSD-style
# license that can be found in the LICENSE file.

from __future__ import annotations

__all__ = ("PIPELINE", "demo", "fill_repository")

import os
import pathlib
import sys

import click
from rich.table import Table

from lsst.daf.butler import Butler
from lsst.ra.pipe.execution import RunRequest
from lsst.ra.pipe.repository import (
    certify_calibrations,
    create_repository,
    ingest_raws,
    load_reference_catalog,
)
from lsst.ra.pipe.simulation import DetectorComparison, SimulationConfig, compare_with_truth

from ._errors import expected_errors
from ._progress import console
from ._run import print_reports, run_with_progress
from ._simulate import simulate_with_progress

PIPELINE = "$RA_PIPE_DIR/pipelines/LSSTCam/FirstLook.yaml"
_OUTPUT = "LSSTCam/rapid/FirstLook"


@click.command()
@click.argument(
    "directory", metavar="DIR", type=click.Path(path_type=pathlib.Path, file_okay=False), default="demo"
)
@click.option("--processes", "-j", type=click.IntRange(min=1), default=os.cpu_count() or 1, help="Processes.")
@expected_errors
def demo(*, directory: pathlib.Path, processes: int) -> None:
    """Process two simulated exposures of raft R22, from nothing, into DIR.

    Running it again takes up what is there and adds what is missing.
    """
    config = SimulationConfig(n_exposures=2)
    simulation = directory / "simulation"
    _simulate_once(config, simulation, processes)
    butler, exposures = fill_repository(directory / "repo", simulation)
    request = RunRequest(
        repository=str(directory / "repo"),
        pipeline=PIPELINE,
        instrument=config.instrument,
        exposures=exposures,
        detectors=config.detectors,
        inputs=("LSSTCam/defaults",),
        output=_OUTPUT,
    )
    reports = run_with_progress(request, processes=processes)
    print_reports(reports)
    if any(report.failed for report in reports):
        raise click.ClickException("Some images failed; the table says which and why.")
    _print_comparison(_compare(butler, simulation))
    plots = _collect_plots(butler, directory / "plots")
    _say_what_next(directory, plots, exposures)


def _simulate_once(config: SimulationConfig, simulation: pathlib.Path, processes: int) -> None:
    """Simulate, unless these exposures are there in full."""
    complete = simulation / "complete"
    if complete.exists() and complete.read_text() == config.model_dump_json():
        console.print(f"The simulated exposures in {simulation} are there.")
        return
    simulate_with_progress(config, simulation, processes=processes)
    complete.write_text(config.model_dump_json())


def fill_repository(root: pathlib.Path, simulation: pathlib.Path) -> tuple[Butler, tuple[int, ...]]:
    """Create a repository and put a simulation into it.

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
    with console.status("Filling the repository"):
        butler = create_repository(str(root), instruments=["lsst.ra.pipe.camera.LsstCam"])
        certify_calibrations(butler, simulation / "calibrations" / "manifest.ecsv", transfer="direct")
        load_reference_catalog(butler, simulation / "reference_catalog.parquet")
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
