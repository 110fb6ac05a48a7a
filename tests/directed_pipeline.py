# This file is part of ra_pipe.
#
# Use of this source code is governed by a 3-clause BSD-style
# license that can be found in the LICENSE file.

"""A pipeline whose detector task does what its input says: succeed, fail,
crash, hang, or ask the test.

The number of a detector has an ``act``, and may have a file name ``once``: then
only the first attempt, which makes the file, does it.  With ``ask`` the task
connects to the `Director`, in the process of the test, says who it is, and does
what that answers.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import pathlib
import signal
import socket
import sys
import tempfile
import time
from typing import Any, ClassVar, Self

import numpy as np
from arithmetic_pipeline import DoubleConfig
from lsst.pipe.base import PipelineTask, PipelineTaskConfig, PipelineTaskConnections, Struct, connectionTypes

PIPELINE = """
description: Detectors that do as they are told, and their sum.
instrument: lsst.ra.pipe.camera.LsstCam
tasks:
  act: directed_pipeline.ActTask
  total: directed_pipeline.TotalTask
"""

TIMEOUT = 90.0
"""Time (s) after which something is taken for not happening."""

_VARIABLE = "TEST_DIRECTOR"


class ActConnections(PipelineTaskConnections, dimensions=("instrument", "exposure", "detector")):
    number = connectionTypes.Input(
        doc="A number, and what to do with it.",
        name="number",
        storageClass="StructuredDataDict",
        dimensions=("instrument", "exposure", "detector"),
    )
    acted = connectionTypes.Output(
        doc="The number, and who made it.",
        name="acted",
        storageClass="StructuredDataDict",
        dimensions=("instrument", "exposure", "detector"),
    )


class ActConfig(DoubleConfig, pipelineConnections=ActConnections):
    pass


class ActTask(PipelineTask):
    ConfigClass = ActConfig
    _DefaultName: ClassVar[str] = "act"
    config: ActConfig

    def run(self, *, number: dict[str, Any]) -> Struct:
        if "once" not in number or _make_file(number["once"]):
            perform(number.get("act", "succeed"), value=number["value"])
        return Struct(acted={"value": number["value"] + self.config.offset, "pid": os.getpid()})


class TotalConnections(PipelineTaskConnections, dimensions=("instrument", "visit")):
    acted = connectionTypes.Input(
        doc="Results of the detectors.",
        name="acted",
        storageClass="StructuredDataDict",
        dimensions=("instrument", "exposure", "detector"),
        multiple=True,
    )
    total = connectionTypes.Output(
        doc="Their sum.", name="total", storageClass="StructuredDataDict", dimensions=("instrument", "visit")
    )


class TotalConfig(PipelineTaskConfig, pipelineConnections=TotalConnections):
    pass


class TotalTask(PipelineTask):
    ConfigClass = TotalConfig
    _DefaultName: ClassVar[str] = "total"

    def run(self, *, acted: list[dict[str, Any]]) -> Struct:
        return Struct(total={"value": sum(one["value"] for one in acted), "n": len(acted)})


def _make_file(path: str) -> bool:
    """Make a file; tell whether it was not there."""
    with contextlib.suppress(FileExistsError):
        os.close(os.open(path, os.O_CREAT | os.O_EXCL))
        return True
    return False


def perform(act: str, *, value: float) -> None:
    """Do something good or bad."""
    match act:
        case "succeed":
            pass
        case "ask":
            _ask(value)
        case "raise":
            raise ValueError("told to raise")
        case "exit":
            sys.exit(3)
        case "leave":
            os._exit(4)
        case "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        case "abort":
            os.abort()
        case "hang":
            sleep_for_ever()
        case "eat memory":
            eat_memory()
        case _:
            raise ValueError(f"unknown act {act!r}")


def sleep_for_ever() -> None:
    """Hang, without using the processor."""
    while True:
        time.sleep(1000.0)


def eat_memory() -> None:
    """Allocate until the limit ends it."""
    eaten = [np.zeros(4_000_000) for _ in range(1000)]
    raise AssertionError(f"32 GB are no more than the limit: {len(eaten)}")


def act_on_detector(*, butler: object, instrument: str, exposure: int, detector: int) -> dict[str, float]:
    """Be a rule's function: ask the test what to do."""
    _ask(float(detector))
    return {"value": float(detector)}


def tell_detector(*, butler: object, instrument: str, exposure: int, detector: int) -> dict[str, int]:
    """Be a rule's function that succeeds."""
    return {"detector": detector}


def publish_an_object(*, butler: object, instrument: str, exposure: int, detector: int) -> dict[str, object]:
    """Be a rule's function that publishes what is no JSON."""
    return {"value": object()}


def _ask(value: float) -> None:
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(os.environ[_VARIABLE])
        facts = {"value": value, "pid": os.getpid(), "parent": os.getppid()}
        connection.sendall(json.dumps(facts).encode() + b"\n")
        act = connection.makefile().readline().strip()
    # The test has gone: whatever it wanted, this is not it.
    perform(act or "raise", value=value)


@dataclasses.dataclass
class Call:
    """A task that waits to be told what to do."""

    value: float
    """The number of its detector."""

    pid: int
    """Its process."""

    parent: int
    """Its supervisor's process."""

    connection: socket.socket
    """How to tell it."""

    def reply(self, act: str) -> None:
        """Tell it what to do."""
        # It may have died meanwhile, as a test may want.
        with contextlib.suppress(OSError):
            self.connection.sendall(act.encode() + b"\n")
        self.connection.close()


class Director(contextlib.AbstractContextManager["Director"]):
    """What tasks with the act ``ask`` connect to.

    Attributes
    ----------
    environment
        What the processes of the tasks must have in their environment.
    """

    def __init__(self) -> None:
        # Paths of pytest are too long for a socket.
        self._directory = tempfile.TemporaryDirectory(prefix="director-")
        path = str(pathlib.Path(self._directory.name) / "socket")
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(path)
        self._listener.listen(16)
        self._calls: list[Call] = []
        self.environment = {_VARIABLE: path}

    def next_call(self, *, seconds: float = TIMEOUT) -> Call:
        """Wait for a task to ask; `TimeoutError` if none does."""
        self._listener.settimeout(seconds)
        connection, _ = self._listener.accept()
        connection.settimeout(TIMEOUT)
        facts = json.loads(connection.makefile().readline())
        call = Call(facts["value"], facts["pid"], facts["parent"], connection)
        self._calls.append(call)
        return call

    def nobody_calls(self, *, seconds: float) -> bool:
        """Tell whether no task asks for some time."""
        try:
            self.next_call(seconds=seconds)
        except TimeoutError:
            return True
        return False

    def close(self) -> None:
        """Let all that wait go."""
        self._listener.close()
        for call in self._calls:
            call.connection.close()
        self._directory.cleanup()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *args: object) -> None:
        self.close()
