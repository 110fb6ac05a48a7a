# This file is part of ra_pipe.
#
# Use of this source code is governed by a 3-clause BSD-style
# license that can be found in the LICENSE file.

from __future__ import annotations

__all__ = ("Child", "ChildDiedError")

import contextlib
import faulthandler
import json
import logging
import multiprocessing
import os
import pathlib
import resource
import signal
import tempfile
import time
import traceback
from collections.abc import Sequence
from multiprocessing.connection import Connection
from typing import TYPE_CHECKING, Any, TextIO

from .._allocator import keep_freed_memory
from .._threads import limit_threads
from ..queue import WorkerShards
from ._die_with import die_with
from ._messages import JobOutcome, JobRequest, JobResult
from ._outages import OUTAGES
from ._settings import ServiceSettings

if TYPE_CHECKING:
    from ._handler import JobHandler

_LOG = logging.getLogger(__name__)

_BEGIN_SECONDS = 10.0
"""Time (s) in which an idle process must begin."""

_MAX_DETAIL = 20_000
"""Characters of a crash report that are kept."""


class ChildDiedError(RuntimeError):
    """The child process ended while it should have worked."""


class Child:
    """The warm process that executes, seen from its supervisor.

    Parameters
    ----------
    settings
        Settings of the service.
    shards
        What its worker takes: what it must be ready for.
    rehearses
        Whether it rehearses on images before it says that it is ready.

    Notes
    -----
    It dies with its supervisor, so that nobody goes on with work that another
    worker has taken over.  Both speak JSON through a pipe.
    """

    def __init__(self, settings: ServiceSettings, shards: WorkerShards, *, rehearses: bool = True) -> None:
        self._crash_report = pathlib.Path(_make_file())
        context = multiprocessing.get_context("spawn")
        self._connection, theirs = context.Pipe()
        limit_threads()
        self._process = context.Process(
            target=_run_child,
            args=(
                theirs,
                _without_secrets(settings),
                shards,
                rehearses,
                str(self._crash_report),
                os.getpid(),
            ),
            name="rapid-child",
        )
        self._process.start()
        theirs.close()

    @property
    def pid(self) -> int:
        """Process identifier (`int`)."""
        assert self._process.pid is not None, "It was started."
        return self._process.pid

    @property
    def is_alive(self) -> bool:
        """Whether the process runs (`bool`)."""
        return self._process.is_alive()

    def wait(self, seconds: float) -> bool:
        """Wait for a message.

        Parameters
        ----------
        seconds
            Time (s) to wait at most.

        Returns
        -------
        ready
            Whether there is one to `receive`, or the process has died.
        """
        return self._connection.poll(seconds)

    def receive_ready(self) -> float:
        """Receive what the child says once it is warm.

        Returns
        -------
        seconds
            Time (s) that it took.

        Raises
        ------
        ChildDiedError
            Raised if the process has died; the message says how.
        """
        return float(self._receive()["ready"])

    def send(self, requests: Sequence[JobRequest]) -> None:
        """Send jobs, and wait until they are begun.

        Parameters
        ----------
        requests
            The jobs.

        Raises
        ------
        ChildDiedError
            Raised if the process has died, or does not begin: then it has not
            begun with any of them.
        """
        message = "[" + ",".join(request.model_dump_json(exclude_none=True) for request in requests) + "]"
        try:
            self._connection.send_bytes(message.encode())
        except OSError as err:
            raise ChildDiedError(self._how_it_died()) from err
        if not self.wait(_BEGIN_SECONDS):
            raise ChildDiedError(f"the process that executes did not begin within {_BEGIN_SECONDS:g} s")
        self._receive()

    def receive_results(self) -> list[JobResult]:
        """Receive what became of the jobs.

        Raises
        ------
        ChildDiedError
            Raised if the process has died; the message says how.
        """
        return [JobResult.model_validate(one) for one in self._receive()["results"]]

    def kill(self, *, trace: bool = False) -> str:
        """End the process, whatever it does.

        Parameters
        ----------
        trace
            Whether it shall say first where it is.

        Returns
        -------
        detail
            Tracebacks of its threads, if it could say so.
        """
        if trace and self._process.is_alive():
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, signal.SIGUSR1)
            _wait_for_text(self._crash_report, seconds=1.0)
        self._process.kill()
        self._process.join()
        self._connection.close()
        return self._take_report()

    def _receive(self) -> dict[str, Any]:
        try:
            message: dict[str, Any] = json.loads(self._connection.recv_bytes())
        except (EOFError, OSError) as err:
            raise ChildDiedError(self._how_it_died()) from err
        return message

    def _how_it_died(self) -> str:
        self._process.join(5.0)
        code = self._process.exitcode
        if code is None:
            return "the process that executes closed its pipe"
        if code < 0:
            name = signal.Signals(-code).name
            hint = ", as when the machine is out of memory" if -code == signal.SIGKILL else ""
            return f"the process that executes was killed by {name}{hint}"
        return f"the process that executes ended with exit code {code}"

    def _take_report(self) -> str:
        report = self._crash_report.read_text(errors="replace")[-_MAX_DETAIL:]
        self._crash_report.unlink(missing_ok=True)
        return report


def _without_secrets(settings: ServiceSettings) -> str:
    """Write the settings, without the secrets that the child does not need."""
    content = settings.model_dump(
        mode="json", exclude={"bucket_secret": True, "source": {"http_token", "file_pattern"}}
    )
    if settings.consdb_url is not None:
        content["consdb_url"] = settings.consdb_url.get_secret_value()
    return json.dumps(content)


def _make_file() -> str:
    descriptor, name = tempfile.mkstemp(prefix="ra_pipe-crash-")
    os.close(descriptor)
    return name


def _wait_for_text(path: pathlib.Path, *, seconds: float) -> None:
    """Wait until a file has grown and grows no more."""
    end = time.monotonic() + seconds
    size = -1
    while time.monotonic() < end:
        now = path.stat().st_size
        if now == size and now > 0:
            return
        size = now
        time.sleep(0.02)


def _run_child(
    connection: Connection,
    settings_json: str,
    shards: WorkerShards,
    rehearses: bool,
    crash_report: str,
    parent: int,
) -> None:
    """Be the process that executes."""
    begin = time.monotonic()
    die_with(parent, signal.SIGKILL)
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    # It warns once a run that there is no EUPS, which is no fault.
    logging.getLogger("lsst.utils.packages").setLevel(logging.ERROR)
    # The supervisor decides when to stop.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    with open(crash_report, "w") as report, contextlib.suppress(EOFError, BrokenPipeError):
        faulthandler.enable(report)
        faulthandler.register(signal.SIGUSR1, report)
        settings = ServiceSettings.model_validate_json(settings_json)
        _limit_memory(settings.memory_limit_bytes)
        keep_freed_memory()
        handler = _make_handler(settings, shards, rehearses=rehearses, report=report)
        connection.send_bytes(json.dumps({"ready": time.monotonic() - begin}).encode())
        _serve(connection, handler)


def _make_handler(
    settings: ServiceSettings, shards: WorkerShards, *, rehearses: bool, report: TextIO
) -> JobHandler:
    """Get ready."""
    # The imports of the handler are the slow ones.
    from ._handler import JobHandler

    try:
        handler = JobHandler(settings, shards)
        handler.warm(rehearses=rehearses)
    except Exception:
        # Whatever it is, the supervisor tells it.
        report.write(traceback.format_exc())
        raise
    return handler


def _serve(connection: Connection, handler: JobHandler) -> None:
    """Do jobs until the supervisor closes the pipe."""
    while True:
        requests = [JobRequest.model_validate(one) for one in json.loads(connection.recv_bytes())]
        connection.send_bytes(b'{"begun": true}')
        connection.send_bytes(_handle(handler, requests))
        try:
            handler.tidy_up()
        except Exception:
            # The next job may be on its way, and is not to blame.  If the
            # repository is out of order, that job finds out.
            _LOG.exception("Could not tidy up after %s", requests[0].job.key)


def _handle(handler: JobHandler, requests: Sequence[JobRequest]) -> bytes:
    """Do jobs; return the message that tells what became of them."""
    try:
        return _encode(handler.handle(requests))
    except OUTAGES as err:
        reason = f"{requests[0].job.key}: {type(err).__name__}: {err}"
        return _encode([JobResult(outcome=JobOutcome.UNAVAILABLE, reason=reason)] * len(requests))
    except (Exception, SystemExit) as err:
        # Whatever a job raises is the outcome of its attempt, and so it is
        # when it publishes what is no JSON.
        reason = f"{requests[0].job.key}: {type(err).__name__}: {err}"
        failed = JobResult(outcome=JobOutcome.FAILED, reason=reason, detail=traceback.format_exc())
        return _encode([failed] * len(requests))


def _encode(results: Sequence[JobResult]) -> bytes:
    answer = ",".join(result.model_dump_json(exclude_none=True) for result in results)
    return f'{{"results": [{answer}]}}'.encode()


def _limit_memory(limit: int) -> None:
    """Limit what this process may allocate."""
    _, hard = resource.getrlimit(resource.RLIMIT_DATA)
    limit = limit if hard == resource.RLIM_INFINITY else min(limit, hard)
    resource.setrlimit(resource.RLIMIT_DATA, (limit, hard))
