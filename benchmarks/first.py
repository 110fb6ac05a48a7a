# This file is part of ra_pipe.
#
# Use of this source code is governed by a 3-clause BSD-style
# license that can be found in the LICENSE file.

"""Time FirstLook for one detector, step by step, beside ``pipetask run``.

Simulates two exposures of a few detectors and runs the pipeline on them in
this process, on one core.  The second exposure is measured: then imports,
kernels and calibrations are warm, as in a worker that observes.  Then
``pipetask`` runs one of the same images.  Prints a table and, as the last
line, JSON.
"""

from __future__ import annotations

import os

os.environ.update(dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS"), "1"))

import dataclasses
import datetime
import gc
import json
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time

from _first_look import PIPELINE, find_exposures, make_repository, make_runner, run_detector
from lsst.daf.butler import Butler
from lsst.ra.pipe.camera import read_raw
from rich.console import Console
from rich.table import Table

TASKS = ("isr", "calibrateImage", "detectorMetrics", "detectorPlots")
DETECTORS = (90, 94, 98)


@dataclasses.dataclass(frozen=True)
class TaskTimes:
    """Seconds that one quantum took."""

    running: float
    """In the task, with its reading and writing."""
    reading: float
    """In the Butler's get."""
    writing: float
    """In the Butler's put."""

    @property
    def computing(self) -> float:
        """Time outside the Butler (`float`)."""
        return self.running - self.reading - self.writing


def read_task_times(butler: Butler, exposure: int, detector: int, collection: str) -> dict[str, TaskTimes]:
    """Take the times of a detector's quanta from the metadata they left."""
    times = {}
    for task in TASKS:
        data_id = {"instrument": "LSSTCam", "exposure": exposure, "visit": exposure, "detector": detector}
        quantum = butler.get(f"{task}_metadata", data_id, collections=collection)["quantum"]
        begin, end = (datetime.datetime.fromisoformat(quantum[name]) for name in ("startUtc", "endUtc"))
        metrics = quantum["butler_metrics"]
        times[task] = TaskTimes((end - begin).total_seconds(), metrics["time_in_get"], metrics["time_in_put"])
    return times


def time_reading(butler: Butler, exposure: int, detector: int) -> float:
    """Return the seconds of reading one raw file, decompression included."""
    data_id = {"instrument": "LSSTCam", "exposure": exposure, "detector": detector}
    ref = butler.find_dataset("raw", data_id, collections="LSSTCam/raw/all")
    assert ref is not None, "It has been processed."
    path = butler.getURI(ref).ospath
    begin = time.perf_counter()
    read_raw(path)
    return time.perf_counter() - begin


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
            butler = make_repository(directory, DETECTORS)
        first, exposure = find_exposures(butler)
        runner, run = make_runner(butler, directory, "u/benchmark/first")
        gc.freeze()
        for detector in DETECTORS:
            run_detector(runner, first, detector, run)
            runner.collect_garbage()
        wall, core, reads, overheads = [], [], [], []
        for detector in DETECTORS:
            begin, core_begin = time.perf_counter(), time.process_time()
            report = run_detector(runner, exposure, detector, run)
            wall.append(time.perf_counter() - begin)
            core.append(time.process_time() - core_begin)
            overheads.append(report.overhead_seconds)
            runner.collect_garbage()
            reads.append(time_reading(butler, exposure, detector))
        cold = [read_task_times(butler, first, detector, run) for detector in DETECTORS]
        warm = [read_task_times(butler, exposure, detector, run) for detector in DETECTORS]
        pipetask = time_pipetask(repository, exposure, DETECTORS[0])
        by_pipetask = read_task_times(butler, exposure, DETECTORS[0], "u/benchmark/pipetask")

    overhead = statistics.median(overheads)
    pipetask_overhead = pipetask - sum(times.running for times in by_pipetask.values())
    console.print(make_table(warm, overhead))
    figures = {
        "core_seconds_per_detector": statistics.median(core),
        "wall_seconds_per_detector": statistics.median(wall),
        "overhead_ms_per_quantum": 1e3 * overhead / len(TASKS),
        "pipetask_seconds_per_detector": pipetask,
        "pipetask_overhead_ms_per_quantum": 1e3 * pipetask_overhead / len(TASKS),
        "read_raw_seconds": statistics.median(reads),
        "read_calibrations_seconds": statistics.median(
            one["isr"].reading - other["isr"].reading for one, other in zip(cold, warm, strict=True)
        ),
    }
    for name, value in figures.items():
        console.print(f"{name:36s} {value:9.3f}")
    figures |= {f"{task}_seconds": statistics.median(one[task].running for one in warm) for task in TASKS}
    print(json.dumps({"benchmark": "first", "figures": figures}))


def make_table(times: list[dict[str, TaskTimes]], overhead: float) -> Table:
    """Tabulate medians over the detectors."""
    table = Table("step", "running (s)", "Butler get (s)", "Butler put (s)", "compute (s)")
    for task in TASKS:
        values = (
            statistics.median(getattr(one[task], field) for one in times)
            for field in ("running", "reading", "writing", "computing")
        )
        table.add_row(task, *(f"{value:.3f}" for value in values))
    table.add_row("look-ups, set-up, metadata, registration", f"{overhead:.3f}")
    return table


if __name__ == "__main__":
    main()
