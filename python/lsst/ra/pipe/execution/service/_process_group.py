# This file is part of ra_pipe.
#
# Use of this source code is governed by a 3-clause BSD-style
# license that can be found in the LICENSE file.

from __future__ import annotations

__all__ = ("ManagedProcess", "ProcessGroup")

import dataclasses
import functools
import logging
import os
import signal
import subprocess
import threading
import time
from collections.abc import Mapping, Sequence

from ._die_with import die_with

_LOG = logging.getLogger(__name__)

_PAUSE = 0.5
"""Time (s) before the first restart; it doubles with each that follows soon."""

_LONGEST_PAUSE = 30.0
"""Time (s) between restarts at most."""


@dataclasses.dataclass
class ManagedProcess:
    """One program that is kept running."""

    name: str
    """What it is, for messages."""

    command: Sequence[str]
    """Program and arguments."""

    process: subprocess.Popen[bytes] | None = None
    """The running program."""

    started: float = 0.0
    """When it was started, on the monotonic clock (s)."""

    restarts: int = 0
    """Number of restarts so far."""

    resume: float = 0.0
    """When to start it again, on the monotonic clock (s)."""


class ProcessGroup:
    """Programs that are kept running together, and stopped together.

    Parameters
    ----------
    environment
        Environment variables of all of them.
    grace_seconds
        Time (s) to stop in, before they are killed.

    Notes
    -----
    When the thread that starts the programs dies, they are told to stop.
    """

    def __init__(self, *, environment: Mapping[str, str] | None = None, grace_seconds: float = 30.0) -> None:
        self._environment = None if environment is None else dict(environment)
        self._grace_seconds = grace_seconds
        self._members: list[ManagedProcess] = []
        self._stopping = threading.Event()

    @property
    def members(self) -> tuple[ManagedProcess, ...]:
        """The programs, in the order in which they were started."""
        return tuple(self._members)

    @property
    def stopping(self) -> bool:
        """Whether `stop` was called (`bool`)."""
        return self._stopping.is_set()

    def set_environment(self, **variables: str) -> None:
        """Set environment variables of the programs that are started from now.

        Parameters
        ----------
        **variables
            Values by name.  Other users of the machine cannot see them, as
            they can a command line.
        """
        self._environment = {**(os.environ if self._environment is None else self._environment), **variables}

    def start(self, name: str, command: Sequence[str]) -> ManagedProcess:
        """Start a program.

        Parameters
        ----------
        name
            What it is, for messages.
        command
            Program and arguments.

        Returns
        -------
        member
            The program, which is started again whenever it ends.
        """
        member = ManagedProcess(name, tuple(command))
        self._start(member)
        self._members.append(member)
        return member

    def watch(self, seconds: float) -> None:
        """Keep the programs running for some time, or until `stop`.

        Parameters
        ----------
        seconds
            Time (s).
        """
        end = time.monotonic() + seconds
        while not self._stopping.is_set():
            for member in self._members:
                self._look_after(member)
            if time.monotonic() >= end:
                return
            self._stopping.wait(min(0.2, max(end - time.monotonic(), 0.0)))

    def stop(self) -> None:
        """Stop `watch`; may be called from a signal handler."""
        self._stopping.set()

    def end(self) -> None:
        """End the programs, those that were started first at first."""
        self._stopping.set()
        for member in self._members:
            if member.process is not None:
                member.process.terminate()
        deadline = time.monotonic() + self._grace_seconds
        for member in self._members:
            if member.process is None:
                continue
            try:
                member.process.wait(max(deadline - time.monotonic(), 0.1))
            except subprocess.TimeoutExpired:
                _LOG.warning("%s did not stop in %g s; it is killed", member.name, self._grace_seconds)
                member.process.kill()
                member.process.wait()

    def _start(self, member: ManagedProcess) -> None:
        # Signals of the terminal go to the supervisor alone, which passes
        # them on in order.
        member.process = subprocess.Popen(
            member.command,
            env=self._environment,
            stdin=subprocess.DEVNULL,
            start_new_session=True,
            preexec_fn=functools.partial(die_with, os.getpid(), signal.SIGTERM),
        )
        member.started = time.monotonic()

    def _look_after(self, member: ManagedProcess) -> None:
        if member.process is not None and member.process.poll() is not None:
            lived = time.monotonic() - member.started
            member.restarts = member.restarts + 1 if lived < _LONGEST_PAUSE else 1
            pause = min(_PAUSE * 2.0 ** (member.restarts - 1), _LONGEST_PAUSE)
            _LOG.error(
                "%s ended with exit code %d after %.1f s; it is started again in %.1f s",
                *(member.name, member.process.returncode, lived, pause),
            )
            member.process = None
            member.resume = time.monotonic() + pause
        if member.process is None and time.monotonic() >= member.resume:
            self._start(member)
