# This file is part of ra_pipe.
#
# Use of this source code is governed by a 3-clause BSD-style
# license that can be found in the LICENSE file.

"""Time FirstLook for one detector, step by step, beside ``pipetask run``.

Simulates an exposure of a few detectors, runs the pipeline on them in this
process on one core with warm imports and kernels, and then runs ``pipetask``
for one of the same detectors.  Prints a table and, as the last line, JSON.
"""

from __future__ import annotations

import os

os.environ.update({name: "1" for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS")})

import dataclasses
import json
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time

from rich.console import Console
from rich.table import Table

from lsst.daf.butler import Butler
from lsst.pipe.base import Pipeline
from lsst.ra.pipe.camera import load_camera, read_raw
from lsst.ra.pipe.execution import ImageReport, QuantumRunner, prepare_output_run
from lsst.ra.pipe.repository import certify_calibrations, create_repository, ingest_raws
from lsst.ra.pipe.simulation import SimulationConfig, simulate

PIPELINE = "$RA_PIPE_DIR/pipelines/LSSTCam/FirstLook.yaml#detector"
DETECTORS = (90, 91, 92, 93, 94)
"""The first is to warm up, the others are measured."""


@dataclasses.dataclass(frozen=True)
class TaskTimes:
    """Seconds that one quantum took."""

    total: float
    reading: float
    writing: float

    @property
    def computing(self) -> float:
        """Time outside the Butler (`float`)."""
        return self.total - self.reading - self.writing


def make_repository(directory: pathlib.Path) -> tuple[Butler, int]:
    """Simulate and ingest an exposure; return the Butler and its number."""
    simulate(SimulationConfig(detectors=DETECTORS), directory / "simulation", processes=os.cpu_count() or 1)
    butler = create_repository(str(directory / "repo"), instruments=["lsst.ra.pipe.camera.LsstCam"])
    certify_calibrations(
        butler, directory / "simulation" / "calibrations" / "manifest.ecsv", transfer="direct"
    )
    [exposure] = ingest_raws(butler, [directory / "simulation" / "raw"]).exposures
    return butler, int(exposure.id)


def read_task_times(butler: Butler, report: ImageReport, collection: str) -> dict[str, TaskTimes]:
    """Take the Butler's share of each quantum from its metadata."""
    times = {}
    for outcome in report.outcomes:
        [ref] = butler.query_datasets(
            f"{outcome.task}_metadata",
            collections=collection,
            where="instrument = 'LSSTCam' AND detector = :detector",
            bind={"detector": report.detector},
        )
        metrics = butler.get(ref)["quantum"]["butler_metrics"]
        times[outcome.task] = TaskTimes(outcome.seconds, metrics["time_in_get"], metrics["time_in_put"])
    return times


def time_pipetask(repository: str, exposure: int, detector: int) -> float:
    """Return the wall-clock seconds of ``pipetask run`` for one detector."""
    command = [
        *(str(pathlib.Path(sys.executable).with_name("pipetask")), "run", "-b", repository, "-p", PIPELINE),
        *("-i", "LSSTCam/defaults", "-o", "u/benchmark/pipetask", "--register-dataset-types"),
        *("-d", f"instrument='LSSTCam' AND exposure={exposure} AND detector={detector}"),
    ]
    begin = time.perf_counter()
    subprocess.run(command, check=True, capture_output=True)
    return time.perf_counter() - begin


def main() -> None:
    """Measure, print the table and the figures."""
    console = Console()
    with tempfile.TemporaryDirectory() as name:
        directory = pathlib.Path(name)
        repository = str(directory / "repo")
        with console.status("Simulating"):
            butler, exposure = make_repository(directory)
        graph = Pipeline.from_uri(PIPELINE).to_graph(registry=butler.registry)
        inputs = ["LSSTCam/defaults"]
        run = prepare_output_run(butler, graph, output="u/benchmark/first", inputs=inputs)
        runner = QuantumRunner(repository, graph, output_run=run, inputs=inputs)
        reports, core_seconds, reads = [], [], []
        for detector in DETECTORS:
            [raw] = (directory / "simulation" / "raw").rglob(f"*{load_camera('LSSTCam')[detector].name}*")
            begin = time.perf_counter()
            read_raw(raw)
            reads.append(time.perf_counter() - begin)
            begin = time.process_time()
            report = runner.run_detector(instrument="LSSTCam", exposure=exposure, detector=detector)
            core_seconds.append(time.process_time() - begin)
            reports.append(report)
            if report.failed:
                raise SystemExit(f"The pipeline failed: {report.first_failure}")
        warm = [read_task_times(butler, report, run) for report in reports[1:]]
        pipetask_seconds = time_pipetask(repository, exposure, DETECTORS[-1])

    overhead = statistics.median(report.overhead_seconds for report in reports[1:])
    core = statistics.median(core_seconds[1:])
    console.print(make_table(warm, overhead))
    console.print(
        f"read_raw alone, again: {statistics.median(reads[1:]):.3f} s; CPU time of a detector: {core:.2f} s\n"
        f"pipetask run for one detector, all in: {pipetask_seconds:.2f} s of wall-clock time"
    )
    figures = {
        "core_seconds_per_detector": core,
        "overhead_ms_per_quantum": 1e3 * overhead / len(warm[0]),
        "pipetask_seconds_per_detector": pipetask_seconds,
        "read_raw_seconds": statistics.median(reads[1:]),
    }
    figures |= {f"{task}_seconds": statistics.median(times[task].total for times in warm) for task in warm[0]}
    print(json.dumps({"benchmark": "first", "figures": figures}))


def make_table(times: list[dict[str, TaskTimes]], overhead: float) -> Table:
    """Tabulate medians over the detectors."""
    table = Table("step", "total (s)", "Butler get (s)", "Butler put (s)", "compute (s)")
    for task in times[0]:
        values = (
            statistics.median(getattr(one[task], field) for one in times)
            for field in ("total", "reading", "writing", "computing")
        )
        table.add_row(task, *(f"{value:.3f}" for value in values))
    table.add_row("graph, set-up, registration", f"{overhead:.3f}")
    return table


if __name__ == "__main__":
    main()
