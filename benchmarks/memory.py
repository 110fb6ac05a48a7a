# This file is part of ra_pipe.
#
# Use of this source code is governed by a 3-clause BSD-style
# license that can be found in the LICENSE file.

"""Peak memory of a worker that has processed many detectors.

Simulates one exposure of 20 detectors, runs FirstLook on all of them in one
process, and prints the process's peak resident memory after each, beside the
budget for calibrations.  The last line is JSON.
"""

from __future__ import annotations

import os

os.environ.update(dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS"), "1"))

import argparse
import json
import pathlib
import resource
import subprocess
import sys
import tempfile

PIPELINE = "$RA_PIPE_DIR/pipelines/LSSTCam/FirstLook.yaml"
BUDGET = 1_000_000_000
"""Budget for calibrations, bytes: those of two detectors."""


def make_repository(directory: pathlib.Path, detectors: tuple[int, ...]) -> None:
    """Simulate and ingest one exposure."""
    from lsst.ra.pipe.repository import certify_calibrations, create_repository, ingest_raws
    from lsst.ra.pipe.simulation import SimulationConfig, simulate

    simulation = directory / "simulation"
    simulate(SimulationConfig(detectors=detectors), simulation, processes=os.cpu_count() or 1)
    butler = create_repository(directory / "repo", instruments=["lsst.ra.pipe.camera.LsstCam"])
    certify_calibrations(butler, simulation / "calibrations" / "manifest.ecsv", transfer="direct")
    ingest_raws(butler, [simulation / "raw"])


def peak_megabytes() -> float:
    """Return the peak resident memory of this process, 1e6 bytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e6


def work(directory: pathlib.Path, subset: str, detectors: tuple[int, ...]) -> None:
    """Process all detectors in this process; print a line for each."""
    from lsst.daf.butler import Butler
    from lsst.pipe.base import Pipeline
    from lsst.ra.pipe.camera.calibrations import ArrayStore
    from lsst.ra.pipe.execution import QuantumRunner, prepare_output_run
    from lsst.ra.pipe.execution._allocator import keep_freed_memory

    keep_freed_memory()
    butler = Butler.from_config(directory / "repo", writeable=True)
    graph = Pipeline.from_uri(f"{PIPELINE}#{subset}").to_graph(registry=butler.registry)
    inputs = ["LSSTCam/defaults"]
    output = f"u/benchmark/{subset}"
    run = prepare_output_run(butler, graph, parent=output, chain=output, inputs=inputs)
    store = ArrayStore(directory / f"calibrations-{subset}", max_bytes=BUDGET)
    runner = QuantumRunner(directory / "repo", graph, inputs=inputs, calibration_store=store)
    [exposure] = [record.id for record in butler.query_dimension_records("exposure", instrument="LSSTCam")]
    print(json.dumps({"detector": None, "peak": peak_megabytes()}), flush=True)
    for detector in detectors:
        report = runner.run_detector(
            instrument="LSSTCam", exposure=exposure, detector=detector, output_run=run
        )
        if report.failed:
            raise SystemExit(f"The pipeline failed: {report.first_failure}")
        runner.collect_garbage()
        print(json.dumps({"detector": detector, "peak": peak_megabytes()}), flush=True)


def main() -> None:
    """Measure a process for ISR alone, and one for the whole pipeline."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--detectors", type=int, default=20, help="How many detectors.")
    parser.add_argument("--work", nargs=2, metavar=("DIRECTORY", "SUBSET"), help=argparse.SUPPRESS)
    args = parser.parse_args()
    detectors = tuple(range(90, 90 + args.detectors))
    if args.work:
        work(pathlib.Path(args.work[0]), args.work[1], detectors)
        return
    figures = {"calibration_budget_mb": BUDGET / 1e6}
    with tempfile.TemporaryDirectory() as name:
        make_repository(pathlib.Path(name), detectors)
        for subset in ("isr", "detector"):
            command = [sys.executable, __file__, "--detectors", str(args.detectors), "--work", name, subset]
            output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
            peaks = [json.loads(line)["peak"] for line in output.splitlines()]
            then = " ".join(f"{peak:.0f}" for peak in peaks[1:])
            print(f"{subset:9s} MB: started {peaks[0]:.0f}, then {then}")
            figures |= {f"{subset}_started_mb": peaks[0], f"{subset}_peak_mb": peaks[-1]}
            figures[f"{subset}_peak_beyond_budget_mb"] = peaks[-1] - BUDGET / 1e6
    print(json.dumps({"benchmark": "memory", "figures": figures}))


if __name__ == "__main__":
    main()
