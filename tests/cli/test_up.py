# This file is part of ra_pipe.
#
# Use of this source code is governed by a 3-clause BSD-style
# license that can be found in the LICENSE file.

"""The whole live service by one command."""

from __future__ import annotations

import os
import pathlib
import re
import signal
import subprocess
import sys

from camera.raws import EXPOSURE, write_raw
from lsst.ra.pipe.execution.queue import JobQueue, connect, read_reports
from lsst.ra.pipe.repository import create_repository
from service_parts import TESTS, await_end, is_alive, wait_until

RULES = """
rules:
  - name: all
    function: directed_pipeline:tell_detector
"""


def test_file_that_appears_is_processed_and_sigterm_ends_all(tmp_path: pathlib.Path) -> None:
    """A file in the directory is ingested and its image processed; afterwards
    no process is left.
    """
    repository, directory = tmp_path / "repo", tmp_path / "incoming"
    directory.mkdir()
    create_repository(repository, instruments=["lsst.ra.pipe.camera.LsstCam"]).close()
    rules = tmp_path / "dispatch.yaml"
    rules.write_text(RULES)
    command = [
        *(sys.executable, "-m", "lsst.ra.pipe.cli", "up", str(repository), "--workers", "1"),
        *("--source", directory.as_uri(), "--state", str(tmp_path / "state"), "--dispatch", str(rules)),
    ]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("RAPID_")}
    environment["PYTHONPATH"] = str(TESTS)
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as service:
        try:
            assert service.stdout is not None
            url = re.search(r"redis://\S+", service.stdout.readline())
            assert url is not None
            queue = JobQueue(connect(url.group().rstrip(";")))
            write_raw(directory / "MC_O_20250415_000060_R22_S11.fits")
            key = f"LSSTCam/{EXPOSURE}/94/all"
            wait_until(lambda: key in [report["key"] for report in read_reports(queue)], what=key)
            pids = descendants(service.pid)
            names = {
                name for pid in pids for name in ("work", "ingest", "distribute") if name in arguments(pid)
            }
            assert names == {"work", "ingest", "distribute"}
        finally:
            service.send_signal(signal.SIGTERM)
    assert service.returncode == 0
    await_end(pids)


def descendants(pid: int) -> list[int]:
    """Return the processes below one."""
    children = [
        int(child)
        for task in pathlib.Path(f"/proc/{pid}/task").iterdir()
        for child in (task / "children").read_text().split()
    ]
    return [one for child in children if is_alive(child) for one in (child, *descendants(child))]


def arguments(pid: int) -> list[str]:
    """Return the command line of a process."""
    return pathlib.Path(f"/proc/{pid}/cmdline").read_text().split("\0")
