# This file is part of ra_pipe.
#
# Use of this source code is governed by a 3-clause BSD-style
# license that can be found in the LICENSE file.

"""Programs are kept running together, and none outlives the group."""

from __future__ import annotations

import pathlib
import subprocess
import sys
from collections.abc import Callable

from lsst.ra.pipe.execution.service import ManagedProcess, ProcessGroup
from service_parts import TIMEOUT, await_end, is_alive

SLEEPER = (sys.executable, "-c", "import time; time.sleep(600)")

STUBBORN = """
import pathlib, signal, sys, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
pathlib.Path(sys.argv[1]).touch()
time.sleep(600)
"""


def pid_of(member: ManagedProcess) -> int:
    """Return the process of a program."""
    assert member.process is not None
    return member.process.pid


def watch_until(group: ProcessGroup, is_so: Callable[[], bool]) -> None:
    """Have a group look after its programs until something is so."""
    for _ in range(round(TIMEOUT / 0.05)):
        if is_so():
            return
        group.watch(0.05)
    raise TimeoutError(f"This did not happen in {TIMEOUT} s: {group.members}")


def test_what_ends_is_started_again() -> None:
    """The others go on."""
    group = ProcessGroup()
    try:
        first, other = group.start("first", SLEEPER), group.start("other", SLEEPER)
        pids = pid_of(first), pid_of(other)
        assert first.process is not None
        first.process.kill()
        watch_until(group, lambda: first.process is not None and first.process.pid != pids[0])
        assert first.restarts == 1
        assert is_alive(pid_of(first))
        assert (pid_of(other), other.restarts) == (pids[1], 0)
    finally:
        group.end()


def test_restarts_of_what_always_ends_are_spaced() -> None:
    """The pause doubles, so that a broken program does not keep the machine
    busy.
    """
    group = ProcessGroup()
    try:
        member = group.start("broken", (sys.executable, "-c", "raise SystemExit(1)"))
        pauses = []
        for n in (1, 2):
            watch_until(group, lambda n=n: member.restarts == n and member.process is None)  # type: ignore[misc]
            pauses.append(member.resume - member.started)
            watch_until(group, lambda: member.process is not None)
        assert pauses[0] >= 0.5
        assert pauses[1] >= 1.0
    finally:
        group.end()


def test_end_kills_what_does_not_stop(tmp_path: pathlib.Path) -> None:
    """After the grace time; what stops is not killed."""
    group = ProcessGroup(grace_seconds=0.5)
    ignores = tmp_path / "ignores SIGTERM"
    stubborn = group.start("stubborn", (sys.executable, "-c", STUBBORN, str(ignores)))
    sleeper = group.start("sleeper", SLEEPER)
    pids = pid_of(stubborn), pid_of(sleeper)
    watch_until(group, ignores.exists)
    group.end()
    await_end(pids)
    assert stubborn.process is not None
    assert sleeper.process is not None
    assert (stubborn.process.returncode, sleeper.process.returncode) == (-9, -15)


def test_stop_ends_the_watching() -> None:
    """And a program that ends then is not started again."""
    group = ProcessGroup()
    member = group.start("sleeper", SLEEPER)
    group.stop()
    group.watch(TIMEOUT)
    assert group.stopping
    group.end()
    assert member.restarts == 0


OWNER = """
import subprocess
import sys
from lsst.ra.pipe.execution.service import ProcessGroup
group = ProcessGroup()
member = group.start("sleeper", (sys.executable, "-c", "import time; time.sleep(600)"))
print(member.process.pid, flush=True)
group.watch(600)
"""


def test_programs_end_with_a_killed_owner() -> None:
    """Otherwise the next one's queue would write to the same files."""
    with subprocess.Popen([sys.executable, "-c", OWNER], stdout=subprocess.PIPE, text=True) as owner:
        assert owner.stdout is not None
        pid = int(owner.stdout.readline())
        assert is_alive(pid)
        owner.kill()
    await_end([pid])
