# This file is part of ra_pipe.
#
# Use of this source code is governed by a 3-clause BSD-style
# license that can be found in the LICENSE file.

"""A worker copes with what others do to the repository."""

from __future__ import annotations

import pathlib
import subprocess
import sys
from collections.abc import Iterator

from lsst.daf.butler import Butler
from lsst.ra.pipe.execution.dispatch import Rule
from lsst.ra.pipe.execution.queue import Job, JobKind
from lsst.ra.pipe.execution.service import JobOutcome, JobRequest, JobResult
from lsst.ra.pipe.execution.service._rule_runner import RuleRunner
from number_repository import DAY_OBS, INSTRUMENT, put_numbers

KILLED_WRITER = """
import os, signal, sqlite3, sys
connection = sqlite3.connect(sys.argv[1], isolation_level=None)
connection.execute("PRAGMA cache_size = 1")
connection.execute("BEGIN IMMEDIATE")
connection.execute("CREATE TABLE half_written (text)")
connection.executemany("INSERT INTO half_written VALUES (?)", [("x" * 1000,)] * 1000)
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_half_written_transaction_of_a_killed_process_is_undone(
    butler: Butler, directory: pathlib.Path, exposures: Iterator[int], tmp_path: pathlib.Path
) -> None:
    """SQLite leaves that to the next who may write; a reader fails on it."""
    exposure = next(exposures)
    put_numbers(butler, {(exposure, one): {"value": 1.0} for one in (93, 94)}, tmp_path)
    root = directory / "repo"
    runner = RuleRunner(
        str(root),
        butler=Butler.from_config(root, writeable=True),
        instrument=INSTRUMENT,
        rule=Rule(name="all", pipeline=str(directory / "Directed.yaml")),
        inputs=["LSSTCam/defaults"],
        refresh_seconds=60.0,
    )
    assert _run(runner, exposure, 93).outcome is JobOutcome.DONE
    [database] = root.glob("*.sqlite3")
    subprocess.run([sys.executable, "-c", KILLED_WRITER, str(database)], check=False)
    assert database.with_name(f"{database.name}-journal").stat().st_size > 0
    result = _run(runner, exposure, 94)
    assert result.outcome is JobOutcome.DONE, result.reason


def _run(runner: RuleRunner, exposure: int, detector: int) -> JobResult:
    job = Job(
        kind=JobKind.DETECTOR, key="one", shard="0", day_obs=DAY_OBS, exposure=exposure, detector=detector
    )
    return runner.run(JobRequest(job=job))
