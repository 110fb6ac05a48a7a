# This file is part of ra_pipe.
#
# Use of this source code is governed by a 3-clause BSD-style
# license that can be found in the LICENSE file.
"""A simulated repository, and FirstLook on it in this process."""

from __future__ import annotations

__all__ = ("PIPELINE", "find_exposures", "make_repository", "make_runner", "run_detector")

import os
import pathlib
from collections.abc import Sequence

from lsst.daf.butler import Butler
from lsst.pipe.base import Pipeline
from lsst.ra.pipe.camera.calibrations import ArrayStore
from lsst.ra.pipe.execution import ImageReport, QuantumRunner, prepare_output_run
from lsst.ra.pipe.execution._allocator import keep_freed_memory
from lsst.ra.pipe.repository import (
    certify_calibrations,
    create_repository,
    ingest_raws,
    load_reference_catalog,
)
from lsst.ra.pipe.simulation import SimulationConfig, simulate

PIPELINE = "$RA_PIPE_DIR/pipelines/LSSTCam/FirstLook.yaml#detector"


def make_repository(directory: pathlib.Path, detectors: Sequence[int]) -> Butler:
    """Simulate and ingest two exposures."""
    config = SimulationConfig(detectors=tuple(detectors), n_exposures=2)
    simulate(config, directory / "simulation", processes=os.cpu_count() or 1)
    butler = create_repository(str(directory / "repo"), instruments=["lsst.ra.pipe.camera.LsstCam"])
    certify_calibrations(
        butler, directory / "simulation" / "calibrations" / "manifest.ecsv", transfer="direct"
    )
    load_reference_catalog(butler, directory / "simulation" / "reference_catalog.parquet")
    ingest_raws(butler, [directory / "simulation" / "raw"])
    return butler


def find_exposures(butler: Butler) -> list[int]:
    """Return the numbers of the exposures, in order."""
    return sorted(int(one.id) for one in butler.query_dimension_records("exposure", instrument="LSSTCam"))


def make_runner(butler: Butler, directory: pathlib.Path, output: str) -> tuple[QuantumRunner, str]:
    """Make a runner of the detector tasks, and the run it writes into; have
    this process use its memory as a worker does.
    """
    keep_freed_memory()
    graph = Pipeline.from_uri(PIPELINE).to_graph(registry=butler.registry)
    inputs = ["LSSTCam/defaults"]
    run = prepare_output_run(butler, graph, parent=output, chain=output, inputs=inputs)
    store = ArrayStore(directory / "calibrations", max_bytes=4_000_000_000)
    return QuantumRunner(directory / "repo", graph, inputs=inputs, calibration_store=store), run


def run_detector(runner: QuantumRunner, exposure: int, detector: int, output_run: str) -> ImageReport:
    """Run the pipeline for one image, or stop."""
    report = runner.run_detector(
        instrument="LSSTCam", exposure=exposure, detector=detector, output_run=output_run
    )
    if report.failed:
        raise SystemExit(f"The pipeline failed: {report.first_failure}")
    return report
