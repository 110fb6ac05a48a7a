# This file is part of ra_pipe.
#
# Use of this source code is governed by a 3-clause BSD-style
# license that can be found in the LICENSE file.

"""Time the live service: latency, overhead, start, rates, and a night's pace.

Simulates one exposure of a few detectors, has its files appear in a watched
directory under the headers of many exposures, one by one, at 80 % of what the
workers can do, and runs FirstLook on them by the same commands as ``rapid up``.
Then compares executors on the same images, fills the queue, and replays 20
exposures of the whole focal plane with workers that sleep for as long as the
tasks took.  Prints tables and, as the last line, JSON.
"""

from __future__ import annotations

import os

os.environ.update(dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS"), "1"))

# An installed package has its byte code; so shall the processes started here.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)

import argparse
import json
import pathlib
import statistics
import tempfile
import time

import numpy as np
from _service_distributor import DistributorRates, add_exposures, measure_distributor
from _service_images import DETECTORS, PIPELINE, RawFile, make_images, make_repository, write_rules
from _service_latency import LatencyResult, measure_latency, measure_ready, redirected_stderr
from _service_overhead import ExecutorTimes, compare_executors, prepare_arithmetic
from _service_replay import ReplayResult, StandIn, find_keeping_up
from lsst.daf.butler import Butler
from lsst.ra.pipe.execution.service import ProcessGroup, ServiceSettings, start_embedded_server
from rich.console import Console
from rich.table import Table

N_REPLAYED = 20
"""Exposures of the replay."""


def main() -> None:
    """Measure, print the tables and the figures."""
    args = parse_arguments()
    console = Console(width=110)
    with tempfile.TemporaryDirectory() as name:
        benchmark = ServiceBenchmark(pathlib.Path(name), console, args)
        with redirected_stderr(pathlib.Path(name) / "log"):
            figures = benchmark.run()
    print(json.dumps({"benchmark": "service", "figures": figures}))


def parse_arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    cores = os.cpu_count() or 1
    parser.add_argument("--workers", type=int, default=max(1, cores - 1), help="Workers for the latency.")
    parser.add_argument("--exposures", type=int, default=10, help="Exposures for the latency, 4 at least.")
    parser.add_argument("--load", type=float, default=0.8, help="Fraction of the capacity that is used.")
    parser.add_argument("--acceleration", type=float, default=30.0, help="Of the replay.")
    parser.add_argument("--images", type=int, default=6, help="Images for the comparison of executors.")
    return parser.parse_args()


class ServiceBenchmark:
    """The measurements, which share a repository and some figures.

    Parameters
    ----------
    directory
        Empty directory for everything.
    console
        Where the tables go.
    args
        The command line.
    """

    def __init__(self, directory: pathlib.Path, console: Console, args: argparse.Namespace) -> None:
        self._directory = directory
        self._repository = directory / "repo"
        self._rules = directory / "rules.yaml"
        self._console = console
        self._args = args
        self._begin = time.monotonic()

    def run(self) -> dict[str, float | None]:
        """Measure everything; return the figures."""
        with self._console.status("Simulating"):
            files = make_images(self._directory / "simulation", n_exposures=self._args.exposures)
            butler = make_repository(self._repository, self._directory / "simulation")
            write_rules(self._rules)
        self._say("simulated")
        figures, stand_in = self._measure_service(files)
        figures |= self._measure_executors(butler, files)
        return {**figures, **self._measure_queue(butler, stand_in)}

    def _measure_service(self, files: list[RawFile]) -> tuple[dict[str, float], StandIn]:
        with self._console.status("Starting workers"):
            ready = measure_ready(self._repository, self._rules, self._directory / "ready", n=3)
        self._say("started workers")
        settings = ServiceSettings(repository=str(self._repository), dispatch={"LSSTCam": str(self._rules)})
        with self._console.status("Processing files that appear"):
            result = measure_latency(
                settings,
                files,
                directory=self._directory,
                n_workers=self._args.workers,
                load=self._args.load,
            )
        self._say("processed files")
        figures = {"ready_s": statistics.median(ready), **summarize_latency(result)}
        self._console.print(make_latency_table(result, self._args.workers))
        self._print_criterion(figures)
        self._print_verdict("ready in", figures["ready_s"], 8.0)
        stand_in = StandIn(
            detector=figures["task_sum_s"],
            gather=result.gather_seconds,
            acceleration=self._args.acceleration,
        )
        return figures, stand_in

    def _measure_executors(self, butler: Butler, files: list[RawFile]) -> dict[str, float]:
        n = self._args.images + 1
        pipelines = {
            "FirstLook": (f"{PIPELINE}#detector", files[:n], 2),
            "arithmetic": (prepare_arithmetic(butler, files, self._directory), files, 1),
        }
        results = {}
        for name, (pipeline, images, n_pipetask) in pipelines.items():
            with self._console.status(f"Comparing executors: {name}"):
                results[name] = compare_executors(
                    self._repository,
                    pipeline,
                    images,
                    name=name,
                    directory=self._directory,
                    n_pipetask=n_pipetask,
                )
        self._say("compared executors")
        self._console.print(make_overhead_table(results))
        first = results["FirstLook"]
        figures = {
            "overhead_ms_per_quantum": 1e3 * statistics.median(first.runner_overhead),
            "simple_executor_ms_per_quantum": 1e3 * statistics.median(first.simple_overhead),
            "pipetask_seconds_per_detector": statistics.median(first.pipetask_seconds),
            "pipetask_ms_per_quantum": 1e3 * statistics.median(first.pipetask_overhead),
            "arithmetic_overhead_ms_per_quantum": 1e3
            * statistics.median(results["arithmetic"].runner_overhead),
        }
        self._print_verdict("overhead (ms) of a quantum", figures["overhead_ms_per_quantum"], 10.0)
        return figures

    def _measure_queue(self, butler: Butler, stand_in: StandIn) -> dict[str, float | None]:
        exposures = add_exposures(butler, N_REPLAYED)
        servers = ProcessGroup()
        try:
            url = start_embedded_server(servers, self._directory / "queue")
            with self._console.status("Distributing events"):
                rates = measure_distributor(self._repository, url, exposures, repeat=3)
            self._say("distributed events")
            self._console.print(make_rates_table(rates))
            replays = []
            with self._console.status("Replaying"):
                for result in find_keeping_up(self._repository, url, exposures, stand_in=stand_in):
                    replays.append(result)
                    self._say(f"replayed with {result.n_workers} workers")
        finally:
            servers.end()
        self._console.print(make_replay_table(replays, stand_in))
        last = replays[-1]
        if not last.keeps_up:
            self._console.print(f"Even {last.n_workers} workers do not keep up; try a lower --acceleration.")
        return {
            "distributor_events_per_s": statistics.median(rates.handling),
            "distributor_kafka_events_per_s": rates.kafka,
            "workers_that_keep_up": last.n_workers if last.keeps_up else None,
            "affinity": last.own_fraction,
        }

    def _print_criterion(self, figures: dict[str, float]) -> None:
        limit = 1.2 * figures["task_sum_s"] + 0.1
        self._print_verdict(
            "p50 of the latency (s), against 1.2 x tasks + 0.1 s", figures["latency_p50_s"], limit
        )

    def _print_verdict(self, what: str, value: float, limit: float) -> None:
        verdict = "[green]holds[/green]" if value <= limit else "[red]does not hold[/red]"
        self._console.print(f"{what}: {value:.3f}, at most {limit:.3f}: {verdict}")

    def _say(self, what: str) -> None:
        self._console.print(f"[dim]{time.monotonic() - self._begin:6.1f} s: {what}[/dim]", highlight=False)


def summarize_latency(result: LatencyResult) -> dict[str, float]:
    """Reduce the detectors' times to figures."""
    p50, p99 = map(float, np.percentile(result.latencies, (50, 99)))
    task_sum = statistics.median(result.task_sums)
    return {
        "latency_p50_s": p50,
        "latency_p99_s": p99,
        "task_sum_s": task_sum,
        "latency_beyond_tasks_ms": 1e3 * (p50 - task_sum),
        "capacity_detectors_per_s": result.capacity,
        "service_overhead_ms_per_quantum": 1e3 * statistics.median(result.overhead_per_quantum),
    }


def make_latency_table(result: LatencyResult, n_workers: int) -> Table:
    """Tabulate the latency by stage."""
    title = (
        f"{len(result.latencies)} detectors, one each {result.interval:.2f} s, {n_workers} worker(s), "
        f"exposures of {len(DETECTORS)}"
    )
    table = Table("from", "to", "p50 (s)", "p90 (s)", "p99 (s)", title=title)
    for stage in result.stages:
        table.add_row(
            stage.begin, stage.end, *(f"{value:.3f}" for value in (stage.p50, stage.p90, stage.p99))
        )
    table.add_section()
    for name, values in (("close, metrics in Redis", result.latencies), ("tasks, sum", result.task_sums)):
        percentiles = np.percentile(values, (50, 90, 99))
        table.add_row(*(name.split(", ")), *(f"{value:.3f}" for value in percentiles))
    return table


def make_overhead_table(results: dict[str, ExecutorTimes]) -> Table:
    """Tabulate what executors add to the tasks."""
    table = Table("pipeline", "quanta", "executor", "ms a quantum, beyond the task", title="Overhead")
    for name, times in results.items():
        rows = {
            "QuantumRunner": times.runner_overhead,
            "SimplePipelineExecutor": times.simple_overhead,
            "pipetask run": times.pipetask_overhead,
        }
        for executor, values in rows.items():
            table.add_row(name, str(times.n_quanta), executor, f"{1e3 * statistics.median(values):.1f}")
    return table


def make_rates_table(rates: DistributorRates) -> Table:
    """Tabulate what one distributor can do."""
    table = Table("one distributor", "events/s", title=f"{rates.n_events} events, all synced to disk")
    table.add_row("events at hand", f"{statistics.median(rates.handling):.0f}")
    table.add_row("events at hand, all of them known", f"{rates.duplicates:.0f}")
    table.add_row("from Kafka", f"{rates.kafka:.0f}")
    return table


def make_replay_table(replays: list[ReplayResult], stand_in: StandIn) -> Table:
    """Tabulate what so many workers made of the replay."""
    title = (
        f"{N_REPLAYED} exposures of 189 detectors at 30 s; {stand_in.detector:.2f} s a detector, "
        f"{stand_in.gather:.2f} s a gathering; {stand_in.acceleration:g} times as fast"
    )
    table = Table("workers", "jobs left when further\nexposures come", "deepest", title=title)
    for column in ("own\nshard", "detector\n(s)", "exposure\np50 (s)", "\nmax (s)", "keeps\nup"):
        table.add_column(column)
    for one in replays:
        table.add_row(
            str(one.n_workers),
            " ".join(map(str, one.depths)),
            str(one.deepest),
            f"{one.own_fraction:.1%}",
            f"{one.busy:.2f}",
            f"{statistics.median(one.seconds):.1f}",
            f"{max(one.seconds):.1f}",
            "yes" if one.keeps_up else "no",
        )
    return table


if __name__ == "__main__":
    main()
