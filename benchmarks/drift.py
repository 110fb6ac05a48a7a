# This file is part of ra_pipe.
#
# Use of this source code is governed by a 3-clause BSD-style
# license that can be found in the LICENSE file.

"""Time the drift gate at both levels, as CI and a pre-commit hook run it.

Runs ``rapid drift`` for LSSTCam as a new process several times: at the declared
level RapidAnalysis against Alert Production's single frame (the sources in
``$AP_PIPE_DIR`` and ``$ANALYSIS_TOOLS_DIR`` if these are set, else the tests'
stand-ins), at the resolved level FirstLook's ISR against the snapshot of Alert
Production's.  Prints a table and, as the last line, JSON.
"""

from __future__ import annotations

import argparse
import json
import os
import pathlib
import statistics
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass

from lsst.ra.pipe.drift import Level, load_snapshot
from rich.console import Console
from rich.table import Table

ROOT = pathlib.Path(__file__).resolve().parents[1]
UPSTREAM = ROOT / "tests" / "data" / "upstream"
LIMITS = {Level.DECLARED: 5.0, Level.RESOLVED: 15.0}
"""What the gate may take (s)."""


@dataclass(frozen=True)
class Gate:
    """A pair of pipelines that the gate compares."""

    level: Level
    reference: str
    candidate: str
    policy: str


GATES = (
    Gate(
        Level.DECLARED,
        "$AP_PIPE_DIR/pipelines/LSSTCam/SingleFrame.yaml",
        "$RA_PIPE_DIR/pipelines/LSSTCam/RapidAnalysis.yaml",
        "$RA_PIPE_DIR/config/drift/RapidAnalysis.yaml",
    ),
    Gate(
        Level.RESOLVED,
        "$RA_PIPE_DIR/config/snapshots/LSSTCam/SingleFrame.json#isr",
        "$RA_PIPE_DIR/pipelines/LSSTCam/FirstLook.yaml#isr",
        "$RA_PIPE_DIR/config/drift/FirstLook.yaml",
    ),
)


def set_variables() -> bool:
    """Say where the pipelines are; return whether upstream's are real."""
    variables = {
        "AP_PIPE_DIR": UPSTREAM / "ap_pipe",
        "ANALYSIS_TOOLS_DIR": UPSTREAM / "analysis_tools",
    }
    is_real = all(name in os.environ for name in variables)
    for name, home in variables.items():
        os.environ.setdefault(name, str(home))
    os.environ["RA_PIPE_DIR"] = str(ROOT)
    return is_real


def time_gate(gate: Gate, rounds: int) -> list[float]:
    """Return the wall time of each run (s)."""
    command = [sys.executable, "-m", "lsst.ra.pipe.cli", "drift", gate.reference, gate.candidate]
    command += ["--policy", gate.policy, "--level", gate.level, "--format", "json"]
    seconds = []
    for _ in range(rounds):
        start = time.perf_counter()
        done = subprocess.run(command, capture_output=True, text=True)
        seconds.append(time.perf_counter() - start)
        if done.returncode == 2:
            raise SystemExit(f"The gate could not compare: {done.stderr}")
        check_level(gate, json.loads(done.stdout))
    return seconds


def check_level(gate: Gate, report: Mapping[str, object]) -> None:
    """Stop if another level was compared."""
    if f'"level": "{gate.level}"' not in json.dumps(report):
        raise SystemExit(f"{gate.candidate} was not compared at the {gate.level} level.")


def count_fields(gate: Gate) -> int:
    """Count the fields that are compared: those of tasks that both sides have."""
    sides = [load_snapshot(uri, level=gate.level) for uri in (gate.reference, gate.candidate)]
    mine, theirs = (side.tasks for side in sides)
    common = mine.keys() & theirs.keys()
    return sum(len(mine[label].config.keys() | theirs[label].config.keys()) for label in common)


def main() -> None:
    """Run the gate, print the table and the figures."""
    parser = argparse.ArgumentParser(description="Time the drift gate at both levels.")
    parser.add_argument("--rounds", type=int, default=5, help="how often each is run (5)")
    rounds = parser.parse_args().rounds
    is_real = set_variables()
    upstream = "upstream's sources" if is_real else "stand-ins for upstream"
    table = Table("level", "candidate", "fields", "median (s)", "longest (s)", "limit (s)", title=upstream)
    figures: dict[str, float] = {}
    for gate in GATES:
        n_fields = count_fields(gate)
        seconds = time_gate(gate, rounds)
        median = statistics.median(seconds)
        name = gate.candidate.rpartition("/")[2]
        times = f"{median:.2f}", f"{max(seconds):.2f}", f"{LIMITS[gate.level]:.0f}"
        table.add_row(gate.level, name, str(n_fields), *times)
        figures |= {f"{gate.level}_s": median, f"{gate.level}_fields": n_fields}
    Console(width=110).print(table)
    print(json.dumps({"benchmark": "drift", "figures": figures}))


if __name__ == "__main__":
    main()
