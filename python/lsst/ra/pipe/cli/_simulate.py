# This file is part of ra_pipe.
#
# Use of this source code is governed by a 3-clause BSD-style
# license that can be found in the LICENSE file.

from __future__ import annotations

__all__ = ("simulate", "simulate_with_progress")

import os
import pathlib

import click

from lsst.ra.pipe.simulation import SimulationConfig, SimulationResult
from lsst.ra.pipe.simulation import simulate as run_simulation

from ._errors import expected_errors
from ._identifiers import IdentifierRange
from ._progress import console, progress_bar


@click.command()
@click.argument("directory", metavar="DIR", type=click.Path(path_type=pathlib.Path, file_okay=False))
@click.option("--seed", type=int, default=1, help="Equal seeds give equal pixels.")
@click.option("--detector", "-d", "detectors", type=IdentifierRange(), default="90..98", help="Detectors.")
@click.option("--exposures", "-n", type=click.IntRange(min=0), default=1, help="Exposures of the sky.")
@click.option("--biases", type=click.IntRange(min=0), default=0, help="Bias exposures.")
@click.option("--darks", type=click.IntRange(min=0), default=0, help="Dark exposures.")
@click.option("--flats", type=click.IntRange(min=0), default=0, help="Flat exposures.")
@click.option("--filter", "physical_filter", default="r_57", help="Physical filter.")
@click.option("--day-obs", type=int, default=20260220, help="Observing day, YYYYMMDD.")
@click.option("--processes", "-j", type=click.IntRange(min=1), default=os.cpu_count() or 1, help="Processes.")
@expected_errors
def simulate(
    *,
    directory: pathlib.Path,
    seed: int,
    detectors: tuple[int, ...],
    exposures: int,
    biases: int,
    darks: int,
    flats: int,
    physical_filter: str,
    day_obs: int,
    processes: int,
) -> None:
    """Write LSSTCam-format raw files with known truth into DIR.

    Also the master calibrations that match, a reference catalogue, and the
    truth as Parquet tables.
    """
    config = SimulationConfig(
        seed=seed,
        detectors=detectors,
        n_exposures=exposures,
        n_bias=biases,
        n_dark=darks,
        n_flat=flats,
        physical_filter=physical_filter,
        day_obs=day_obs,
    )
    result = simulate_with_progress(config, directory, processes=processes)
    console.print(f"{len(result.raws)} raws and {len(result.calibrations)} calibrations are in {directory}.")


def simulate_with_progress(
    config: SimulationConfig, directory: pathlib.Path, *, processes: int
) -> SimulationResult:
    """Simulate under a progress bar.

    Parameters
    ----------
    config
        What to simulate.
    directory
        Where to write.
    processes
        Number of worker processes.
    """
    with progress_bar() as progress:
        task = progress.add_task("Simulating", total=None)
        return run_simulation(
            config,
            directory,
            processes=processes,
            progress=lambda done, total, _: progress.update(task, completed=done, total=total),
        )
