# This file is part of ra_pipe.
#
# Use of this source code is governed by a 3-clause BSD-style
# license that can be found in the LICENSE file.

from __future__ import annotations

import json
import os
import pathlib
import pty
import re
import select
import signal
import subprocess
import sys
from collections.abc import Callable

import pytest
from click.testing import CliRunner, Result
from lsst.ra.pipe.cli import main
from lsst.ra.pipe.execution.queue import JobQueue, Lease, RejectedEvent, WorkerShards
from queue_jobs import PATIENCE, make_detector, make_job
from valkey_server import QueueServer, free_port

SHARDS = WorkerShards.for_images(0, 1, 32)


def take(queue: JobQueue, worker: str = "pod-1-a0") -> Lease:
    """Take the job that must be there."""
    taken = queue.take(worker, SHARDS)
    assert isinstance(taken, list)
    return taken[0]


def finish(queue: JobQueue, lease: Lease, worker: str = "pod-1-a0", *, fwhm: float = 0.7) -> None:
    """Finish a detector as a worker does, 2 s after its shutter closed."""
    times = {
        "shutter": lease.queued - 2.0,
        "queued": lease.queued,
        "started": lease.taken,
        "done": lease.taken + 0.25,
    }
    queue.finish(
        worker,
        lease,
        report={"key": lease.key, "kind": lease.job.kind, "attempt": lease.attempt, "times": times},
        published={"rapid_detector_metrics": {"psf_fwhm_arcsec": fwhm, "filter": "r"}},
    )


@pytest.fixture
def busy(queue: JobQueue) -> JobQueue:
    """A queue with some of everything."""
    queue.enqueue([make_detector(detector, expected=range(6)) for detector in range(6)])
    first = take(queue)
    queue.fail("pod-1-a0", first, reason="bad luck")
    for fwhm in (0.6, 0.8, 1.0):
        finish(queue, take(queue), fwhm=fwhm)
    queue.fail("pod-1-a0", take(queue), reason="no hope", final=True)
    finish(queue, take(queue), fwhm=1.2)
    queue.announce("pod-1-a0", state="working", job="LSSTCam/1/0/rule", done=4, failed=2, own=3, children=2)
    queue.enqueue([make_job("file", shard="ingest"), *(make_job(str(i), shard=str(i)) for i in range(8, 20))])
    queue.reject([RejectedEvent(b"?", "file:///x", "malformed", "no JSON")])
    return queue


def rows(result: Result) -> list[list[str]]:
    """Split the lines of the tables into cells."""
    return [re.split(r"\s{2,}", line.strip()) for line in result.output.splitlines()]


def test_status_shows_what_there_is(busy: JobQueue, rapid: Callable[..., Result]) -> None:
    """Queue, workers, exposures, latencies and failures, within 110 columns."""
    result = rapid("status")
    assert result.exit_code == 0
    assert "jobs waiting: 14, at work: 0; workers: 1, working: 1" in result.output
    assert "failed for good: 1; events refused: 1" in result.output
    assert max(len(line) for line in result.output.splitlines()) <= 110
    cells = rows(result)
    (worker,) = (row for row in cells if row[0] == "pod-1-a0")
    assert worker[1:5] == ["4", "2", "75", "1"]
    assert worker[-1] == "LSSTCam/1/0/rule"
    (exposure,) = (row for row in cells if row[0] == "LSSTCam/1/rule")
    assert exposure[1:6] == ["6", "4", "1", "1", "0"]
    assert exposure[-1] == "0.90"
    assert ["shutter", "queued", "4", "2.000", "2.000", "2.000"] in cells
    assert ["started", "done", "4", "0.250", "0.250", "0.250"] in cells
    assert "Of the last 4 jobs succeeded: 4 at attempt 1." in result.output
    assert "'rapid failures' lists" in result.output
    assert "'rapid failures --events' lists" in result.output


def test_long_queue_stays_short_on_the_screen(busy: JobQueue, rapid: Callable[..., Result]) -> None:
    """Special shards have rows, the longest do, the others share one."""
    names = [row[0] for row in rows(rapid("status"))]
    assert "ingest" in names
    assert "7 others" in names


def test_status_of_an_empty_queue(queue: JobQueue, rapid: Callable[..., Result]) -> None:
    """No tables, and what is wrong: nobody works."""
    result = rapid("status")
    assert result.exit_code == 0
    assert "jobs waiting: 0" in result.output
    assert "No worker has been seen" in result.output


def test_worker_that_cannot_start_says_why(queue: JobQueue, rapid: Callable[..., Result]) -> None:
    """The reason stands in its row; nothing in it moves the cursor."""
    queue.take("pod-2-b1", SHARDS)
    queue.announce("pod-2-b1", state="cannot start", reason="exit code 1\x1b[2J")
    result = rapid("status")
    assert "cannot start: exit code 1\\x1b[2J" in result.output
    assert "\x1b" not in result.output


def test_status_as_json(busy: JobQueue, rapid: Callable[..., Result]) -> None:
    """One object with everything, for other programs."""
    status = json.loads(rapid("status", "--json").stdout)
    assert status["dead"] == status["rejected"] == 1
    assert status["attempts"] == {"1": 4}
    assert status["exposures"][0]["partial"] == {"psf_fwhm_arcsec": pytest.approx(0.9)}
    assert {shard["name"] for shard in status["shards"]} >= {"ingest", "0", "8"}


def test_other_prefix_is_another_queue(busy: JobQueue, rapid: Callable[..., Result]) -> None:
    """Services that share a server are looked at one at a time."""
    assert "jobs waiting: 0" in rapid("status", "--prefix", "other").output


@pytest.mark.parametrize("command", [("status",), ("failures",), ("retry", "--all")])
def test_server_that_does_not_answer_is_one_line(command: tuple[str, ...]) -> None:
    """With its address, without the password."""
    url = f"redis://observer:secret@127.0.0.1:{free_port()}/0"
    result = CliRunner().invoke(main, [*command, "--redis", url])
    assert result.exit_code == 1
    assert "redis://observer:***@127.0.0.1" in result.output
    assert "secret" not in result.output
    assert len(result.output.splitlines()) == 1


def test_live_status_goes_on_over_an_outage(tmp_path: pathlib.Path) -> None:
    """It shows the queue, then that the server is gone, then the queue again."""
    with QueueServer(tmp_path / "valkey") as server:
        theirs, ours = pty.openpty()[::-1]
        command = [sys.executable, "-m", "lsst.ra.pipe.cli", "status", "--interval", "0.1"]
        environment = {**os.environ, "RAPID_REDIS_URL": server.url, "COLUMNS": "110", "TERM": "xterm"}
        process = subprocess.Popen(command, stdout=theirs, stderr=theirs, env=environment)
        os.close(theirs)
        try:
            read_until(ours, b"jobs waiting: 0")
            server.kill()
            read_until(ours, b"does not answer")
            server.start()
            read_until(ours, b"jobs waiting: 0")
            process.send_signal(signal.SIGINT)
            drain(ours)
            assert process.wait(PATIENCE) == 0
        finally:
            process.kill()
            os.close(ours)


def read_until(terminal: int, text: bytes) -> None:
    """Read what a program shows, until some text has come."""
    seen = b""
    while text not in seen:
        assert select.select([terminal], [], [], PATIENCE)[0], f"nothing came after {seen!r}"
        part = os.read(terminal, 4096)
        assert part, f"it ended after {seen!r}"
        seen += part


def drain(terminal: int) -> None:
    """Read until the program has closed the terminal."""
    try:
        while os.read(terminal, 4096):
            pass
    except OSError:
        # So Linux says that the other side is gone.
        return
