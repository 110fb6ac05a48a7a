# This file is part of ra_pipe.
#
# Use of this source code is governed by a 3-clause BSD-style
# license that can be found in the LICENSE file.

"""What one detector costs: core-seconds from the raw file to the pictures.

Simulates two exposures of a few LSSTCam detectors and runs FirstLook on them
in this process, on one core, as a worker does.  The second exposure is
measured: then imports, kernels and calibrations are warm.  Prints core-seconds
by stage, what the whole camera needs, and the measurement of one image beside
photutils'.  The last line is JSON.
"""

from __future__ import annotations

import os

os.environ.update(dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS"), "1"))

import argparse
import gc
import json
import logging
import pathlib
import statistics
import tempfile
import time
import warnings
from collections.abc import Sequence
from typing import Any

import lsst.ra.pipe.tasks._calibrate_image as calibrate_image
from _core_clock import CoreClock
from _first_look import find_exposures, make_repository, make_runner, run_detector
from _photutils import measure_with_photutils
from lsst.daf.butler import Butler
from lsst.ra.pipe.execution import QuantumRunner
from lsst.ra.pipe.execution._image_butler import ImageButler
from lsst.ra.pipe.execution._staging import StagingArea
from lsst.ra.pipe.tasks import CalibrateImageTask, DetectorMetricsTask, DetectorPlotsTask, FirstLookIsrTask
from rich.console import Console
from rich.table import Table

DETECTORS = (90, 94, 98)
N_CCDS, CADENCE = 189, 30.0
"""Science detectors of LSSTCam, and seconds between its exposures."""

MEASURE = "measurement: sky, sources, PSF"
CALIBRATE = "measurement: calibration, images"
OTHER = "look-ups, set-up, logging"


def watch_stages(clock: CoreClock) -> None:
    """Have the parts of the pipeline counted."""
    clock.watch(QuantumRunner, "run_detector", OTHER)
    clock.watch(QuantumRunner, "collect_garbage", "collect garbage")
    clock.watch(ImageButler, "get", name_read)
    clock.watch(StagingArea, "put", name_write)
    clock.watch(StagingArea, "register", "registration")
    clock.watch(StagingArea, "clear", "registration")
    clock.watch(FirstLookIsrTask, "run", "ISR")
    clock.watch(CalibrateImageTask, "run", CALIBRATE)
    clock.watch(calibrate_image, "measure_detector", MEASURE)
    clock.watch(DetectorMetricsTask, "run", "metrics")
    clock.watch(DetectorPlotsTask, "run", "plots: make figures")


def name_read(_: Any, ref: Any, **kwargs: Any) -> str:
    """Name the stage of a Butler read."""
    return "read raw" if ref.datasetType.name.startswith("raw") else "Butler reads"


def name_write(_: Any, dataset: Any, ref: Any, *args: Any) -> str:
    """Name the stage of a Butler write."""
    if ref.datasetType.storageClass_name == "Plot":
        return "plots: render, write"
    return f"write {ref.datasetType.name}"


def time_detectors(
    runner: QuantumRunner, clock: CoreClock, exposures: Sequence[int], output_run: str
) -> tuple[list[dict[str, float]], list[float], list[float]]:
    """Process both exposures; return stages, core and wall seconds by
    detector of the second one.
    """
    first, second = exposures
    for detector in DETECTORS:
        run_detector(runner, first, detector, output_run)
        runner.collect_garbage()
    gc.collect()
    gc.freeze()
    stages, core, wall = [], [], []
    for detector in DETECTORS:
        clock.start()
        begin, core_begin = time.perf_counter(), time.process_time()
        run_detector(runner, second, detector, output_run)
        wall.append(time.perf_counter() - begin)
        runner.collect_garbage()
        core.append(time.process_time() - core_begin)
        stages.append(dict(clock.seconds))
    return stages, core, wall


def time_photutils(butler: Butler, exposure: int, detector: int, output_run: str) -> tuple[float, int]:
    """Return the core-seconds of photutils for a detector's image, and the
    number of its sources.
    """
    data_id = {"instrument": "LSSTCam", "exposure": exposure, "detector": detector}
    image = butler.get("post_isr_image", data_id, collections=output_run)
    metrics = butler.get("rapid_detector_metrics", {**data_id, "visit": exposure}, collections=output_run)
    mask = image.mask.get("BAD") | image.mask.get("NO_DATA") | image.mask.get("SAT")
    threshold = float(CalibrateImageTask.ConfigClass().detectionThreshold)
    pixels, variance = (part.array.astype("f4") for part in (image.image, image.variance))
    begin = time.process_time()
    sources = measure_with_photutils(
        pixels, variance=variance, mask=mask, fwhm=metrics["psf_fwhm_pixel"], threshold=threshold
    )
    return time.process_time() - begin, len(sources)


def make_table(stages: Sequence[dict[str, float]], total: float) -> Table:
    """Tabulate medians over the detectors."""
    table = Table("stage", "core-seconds", "share")
    for name, seconds in sorted(median_stages(stages).items(), key=lambda item: -item[1]):
        table.add_row(name, f"{seconds:.4f}", f"{seconds / total:.1%}")
    table.add_section()
    table.add_row("whole detector", f"{total:.4f}", "")
    return table


def median_stages(stages: Sequence[dict[str, float]]) -> dict[str, float]:
    """Return the median core-seconds of each stage."""
    names = dict.fromkeys(name for one in stages for name in one)
    return {name: statistics.median(one.get(name, 0.0) for one in stages) for name in names}


def sum_stages(stages: dict[str, float], *prefixes: str) -> float:
    """Add the stages whose names begin so."""
    return sum(seconds for name, seconds in stages.items() if name.startswith(prefixes))


def measure(directory: pathlib.Path, console: Console, *, with_photutils: bool) -> dict[str, float]:
    """Run the pipeline, print the tables and return the figures."""
    if not (directory / "repo").exists():
        with console.status("Simulating"):
            make_repository(directory, DETECTORS)
    butler = Butler.from_config(directory / "repo", writeable=True)
    exposures = find_exposures(butler)
    runner, run = make_runner(butler, directory, f"u/benchmark/detector-{time.time_ns()}")
    clock = CoreClock()
    watch_stages(clock)
    stages, core, wall = time_detectors(runner, clock, exposures, run)
    total, medians = statistics.median(core), median_stages(stages)
    console.print(make_table(stages, total))
    figures = {
        "core_seconds_per_detector": total,
        "wall_seconds_per_detector": statistics.median(wall),
        "cores_for_189_at_30s": N_CCDS * total / CADENCE,
        "read_raw_s": medians["read raw"],
        "isr_s": medians["ISR"],
        "measurement_s": sum_stages(medians, "measurement"),
        "metrics_s": medians["metrics"],
        "plots_s": sum_stages(medians, "plots"),
        "butler_reads_s": medians["Butler reads"],
        "writes_s": sum_stages(medians, "write "),
        "everything_else_s": sum_stages(medians, "registration", "collect", OTHER),
    }
    if with_photutils:
        seconds, n_sources = time_photutils(butler, exposures[1], DETECTORS[0], run)
        console.print(f"photutils: {seconds:.2f} core-seconds, {n_sources} sources")
        figures |= {"photutils_s": seconds, "measure_vs_photutils": seconds / stages[0][MEASURE]}
    runner.close()
    return figures


def main() -> None:
    """Measure, print the tables and the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--directory",
        type=pathlib.Path,
        help="Keep the simulated repository here, and use the one that is here; by default a temporary one.",
    )
    parser.add_argument("--no-photutils", action="store_true", help="Leave out the comparison.")
    args = parser.parse_args()
    logging.disable(logging.WARNING)
    warnings.simplefilter("ignore")
    console = Console(width=120)
    with tempfile.TemporaryDirectory() as name:
        directory = args.directory or pathlib.Path(name)
        figures = measure(directory, console, with_photutils=not args.no_photutils)
    for name, value in figures.items():
        console.print(f"{name:28s} {value:9.3f}")
    rounded = {name: round(value, 4) for name, value in figures.items()}
    print(json.dumps({"benchmark": "detector", "figures": rounded}))


if __name__ == "__main__":
    main()
