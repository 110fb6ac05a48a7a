# This file is part of ra_pipe.
#
# Use of this source code is governed by a 3-clause BSD-style
# license that can be found in the LICENSE file.

"""Show where the time of an image goes beside its tasks' ``runQuantum``.

Runs a pipeline of two tasks that compute next to nothing, and FirstLook for
simulated detectors, warm, on one core, in an SQLite repository.  Each image is
processed again and again into new runs.  Prints the median of each step and,
as the last line, JSON.
"""

from __future__ import annotations

import argparse
import gc
import json
import pathlib
import statistics
import sys
import tempfile
from collections.abc import Sequence

# first sets the number of threads, which libraries read when they are imported.
from first import DETECTORS  # isort: skip
from _first_look import PIPELINE, find_exposures, make_repository
from lsst.daf.butler import Butler, CollectionType, DatasetIdGenEnum, DatasetRef, DatasetType, Timespan
from lsst.pipe.base import Pipeline
from lsst.ra.pipe.camera.calibrations import ArrayStore
from lsst.ra.pipe.execution import ImageReport, QuantumRunner, prepare_output_run
from rich.console import Console
from rich.table import Table

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "tests"))

from arithmetic_pipeline import PIPELINE as CHEAP_PIPELINE

INPUTS = ("LSSTCam/defaults", "u/benchmark/factor")


def put_numbers(butler: Butler, exposures: Sequence[int]) -> None:
    """Store what the cheap pipeline reads: numbers as raws are, and a calibration."""
    dimensions = ("instrument", "exposure", "detector")
    number = DatasetType("number", dimensions, "StructuredDataDict", universe=butler.dimensions)
    factor = DatasetType(
        "factor",
        ("instrument", "detector"),
        "StructuredDataDict",
        universe=butler.dimensions,
        isCalibration=True,
    )
    for dataset_type in (number, factor):
        butler.registry.registerDatasetType(dataset_type)
    butler.collections.register("LSSTCam/calib/factor")
    butler.collections.register("u/benchmark/factor", CollectionType.CALIBRATION)
    for detector in DETECTORS:
        ref = butler.put(
            {"value": 2.0}, factor, instrument="LSSTCam", detector=detector, run="LSSTCam/calib/factor"
        )
        butler.registry.certify("u/benchmark/factor", [ref], Timespan(None, None))
        for exposure in exposures:
            data_id = butler.registry.expandDataId(instrument="LSSTCam", exposure=exposure, detector=detector)
            mode = DatasetIdGenEnum.DATAID_TYPE_RUN
            butler.put(
                {"value": 1.0}, DatasetRef(number, data_id, run="LSSTCam/raw/all", id_generation_mode=mode)
            )


def measure(
    butler: Butler, pipeline: Pipeline, exposures: Sequence[int], *, rounds: int, directory: pathlib.Path
) -> list[ImageReport]:
    """Run a pipeline's detector tasks on all images, in each round into a new run."""
    graph = pipeline.to_graph(registry=butler.registry)
    graph.register_dataset_types(butler)
    store = ArrayStore(directory / "calibrations", max_bytes=4_000_000_000)
    runner = QuantumRunner(directory / "repo", graph, inputs=INPUTS, calibration_store=store)
    runner.warm(DETECTORS, "LSSTCam")
    gc.freeze()
    reports = []
    for number in range(rounds + 1):
        parent = f"u/benchmark/{len(graph.tasks)}/{number}"
        run = prepare_output_run(butler, graph, parent=parent, chain=parent, inputs=INPUTS)
        for detector in DETECTORS:
            for exposure in exposures:
                # A worker meets each exposure for the first time.
                runner.refresh()
                report = runner.run_detector(
                    instrument="LSSTCam", exposure=exposure, detector=detector, output_run=run
                )
                runner.collect_garbage()
                if report.failed:
                    raise SystemExit(f"The pipeline failed: {report.first_failure}")
                reports.append(report)
    return reports[len(reports) // (rounds + 1) :]


def tabulate(reports: Sequence[ImageReport], title: str) -> tuple[Table, float]:
    """Tabulate medians over the images; return the overhead of a quantum, too."""
    n_quanta = len(reports[0].outcomes)
    table = Table("step", "ms an image", "ms a quantum", title=f"{title}, {len(reports)} images")
    for step in dict.fromkeys(step for report in reports for step in report.steps):
        median = 1e3 * statistics.median(report.steps.get(step, 0.0) for report in reports)
        table.add_row(step, f"{median:.2f}", f"{median / n_quanta:.2f}")
    overhead = 1e3 * statistics.median(report.overhead_seconds for report in reports)
    table.add_section()
    table.add_row("all but runQuantum", f"{overhead:.2f}", f"{overhead / n_quanta:.2f}")
    return table, overhead / n_quanta


def main() -> None:
    """Measure, print the tables and the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5, help="How often each image is processed.")
    rounds = parser.parse_args().rounds
    console = Console()
    figures = {}
    with tempfile.TemporaryDirectory() as name:
        directory = pathlib.Path(name)
        with console.status("Simulating"):
            butler = make_repository(directory, DETECTORS)
        exposures = find_exposures(butler)
        put_numbers(butler, exposures)
        for title, pipeline in (
            ("arithmetic", Pipeline.fromString(CHEAP_PIPELINE)),
            ("first_look", Pipeline.from_uri(PIPELINE)),
        ):
            if title == "arithmetic":
                pipeline.removeTask("sum")
            reports = measure(butler, pipeline, exposures, rounds=rounds, directory=directory)
            table, overhead = tabulate(reports, title)
            console.print(table)
            figures[f"{title}_overhead_ms_per_quantum"] = overhead
    figures["overhead_ms_per_quantum"] = max(figures.values())
    print(json.dumps({"benchmark": "overhead", "figures": figures}))


if __name__ == "__main__":
    main()
