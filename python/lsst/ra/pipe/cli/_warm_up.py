# This file is part of ra_pipe.
#
# Use of this source code is governed by a 3-clause BSD-style
# license that can be found in the LICENSE file.

from __future__ import annotations

__all__ = ("warm_up",)

import pathlib
import tempfile

import click

from lsst.ra.pipe.execution import RunRequest
from lsst.ra.pipe.simulation import SimulationConfig

from ._demo import PIPELINE, fill_repository
from ._errors import expected_errors
from ._progress import console
from ._run import print_reports, run_with_progress
from ._simulate import simulate_with_progress


@click.command("warm-up")
@expected_errors
def warm_up() -> None:
    """Compile the kernels, once for an installation.

    Simulates an E2V and an ITL detector and runs FirstLook on them, in a
    temporary directory.  Without it the first image of all waits a minute.
    """
    config = SimulationConfig(detectors=(0, 94))
    console.print("Compiling the kernels, once for this installation ...")
    with tempfile.TemporaryDirectory(prefix="ra_pipe-") as name:
        directory = pathlib.Path(name)
        simulate_with_progress(config, directory / "simulation", processes=1)
        _, exposures = fill_repository(directory / "repo", directory / "simulation")
        request = RunRequest(
            repository=str(directory / "repo"),
            pipeline=PIPELINE,
            instrument=config.instrument,
            exposures=exposures,
            detectors=config.detectors,
            inputs=("LSSTCam/defaults",),
            output="u/warm-up",
        )
        reports = run_with_progress(request, processes=1)
    if any(report.failed for report in reports):
        print_reports(reports)
        raise click.ClickException("FirstLook does not work in this installation.")
