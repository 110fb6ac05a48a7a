# This file is part of ra_pipe.
#
# Use of this source code is governed by a 3-clause BSD-style
# license that can be found in the LICENSE file.

"""Count what is lost in a night in which everything fails.

Runs the live service with real parts (Kafka's mock cluster over sockets,
Valkey, a Butler repository) on cheap tasks, and kills, stops and restarts all
of them meanwhile; see ``tests/chaos_run.py``.  Prints a table and, as the last
line, JSON.
"""

from __future__ import annotations

import os

os.environ.update(dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS"), "1"))

import argparse
import dataclasses
import json
import pathlib
import sys
import tempfile

from rich.console import Console
from rich.table import Table

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "tests"))

from chaos_audit import ChaosResult
from chaos_run import run_chaos


def main() -> None:
    """Run the night, print the table and the figures."""
    parser = argparse.ArgumentParser(description="Count what is lost in a night in which everything fails.")
    parser.add_argument("--events", type=int, default=1000, help="images that are announced (1000)")
    parser.add_argument("--seed", type=int, default=1, help="chooses what happens, and when (1)")
    parser.add_argument("--workers", type=int, default=2, help="workers (2)")
    options = parser.parse_args()
    console = Console()
    with tempfile.TemporaryDirectory() as name:
        result = run_chaos(
            pathlib.Path(name),
            n_events=options.events,
            seed=options.seed,
            n_workers=options.workers,
            seconds=60.0 + 0.5 * options.events,
            tell=lambda text: console.print(text, highlight=False),
        )
    console.print(make_table(result))
    for problem in result.problems:
        console.print(problem, highlight=False)
    figures = {
        name: value for name, value in dataclasses.asdict(result).items() if isinstance(value, int | float)
    }
    print(json.dumps({"benchmark": "chaos", "figures": figures | {"seed": options.seed}}))


def make_table(result: ChaosResult) -> Table:
    """Tabulate what was done, and what came of it."""
    table = Table("what", "number")
    for field in dataclasses.fields(result):
        value = getattr(result, field.name)
        if isinstance(value, float):
            table.add_row(field.name.replace("_", " "), f"{value:.1f}")
        elif isinstance(value, int):
            table.add_row(field.name.replace("_", " "), str(value))
    return table


if __name__ == "__main__":
    main()
