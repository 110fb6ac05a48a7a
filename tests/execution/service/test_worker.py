# This file is part of ra_pipe.
#
# Use of this source code is governed by a 3-clause BSD-style
# license that can be found in the LICENSE file.

"""Whatever an image does to the process that executes it, the worker goes on."""

from __future__ import annotations

import os
import pathlib
import signal
from collections.abc import Iterator

import pytest
from directed_pipeline import Director
from lsst.daf.butler import Butler
from lsst.ra.pipe.execution.service import Worker
from number_repository import add_exposures, exposure_id, put_numbers, put_raw
from service_parts import Service, await_end, wait_until


@pytest.fixture(scope="module")
def worker(service: Service) -> Iterator[Worker]:
    """A worker, the same for all tests: none may leave it broken."""
    with service.worker() as worker:
        yield worker


def test_killed_process_is_one_failed_attempt(
    service: Service,
    worker: Worker,
    butler: Butler,
    director: Director,
    exposures: Iterator[int],
    tmp_path: pathlib.Path,
) -> None:
    """A fresh one makes the second attempt, which succeeds."""
    exposure = next(exposures)
    put_numbers(butler, {(exposure, 93): {"value": 1.0, "act": "ask"}}, tmp_path)
    service.send(exposure, 93)
    first = director.next_call()
    os.kill(first.pid, signal.SIGKILL)
    second = director.next_call()
    second.reply("succeed")
    report = service.await_done(f"{exposure}/93/all")
    assert (report["attempt"], report["worker"]) == (2, worker.name)
    assert first.pid != second.pid
    assert first.parent == second.parent == os.getpid()
    assert service.outputs("acted").count((exposure, 93)) == 1


def test_process_that_dies_without_a_job_costs_no_attempt(
    service: Service, worker: Worker, butler: Butler, exposures: Iterator[int], tmp_path: pathlib.Path
) -> None:
    """The worker replaces it before it takes the next job."""
    exposure = next(exposures)
    put_numbers(butler, {(exposure, 93): {"value": 1.0}}, tmp_path)
    wait_until(lambda: service.facts_of(worker).get("state") == "idle")
    pid = int(service.facts_of(worker)["child"])
    os.kill(pid, signal.SIGKILL)
    await_end([pid])
    service.send(exposure, 93)
    assert service.await_done(f"{exposure}/93/all")["attempt"] == 1
    assert int(service.facts_of(worker)["child"]) != pid


@pytest.mark.parametrize(
    ("act", "reason", "detail"),
    [
        ("raise", "ValueError: told to raise", "in perform"),
        ("kill", "killed by SIGKILL, as when the machine is out of memory", ""),
        ("abort", "killed by SIGABRT", "in perform"),
        ("exit", "SystemExit: 3", "in perform"),
        ("leave", "ended with exit code 4", ""),
        ("hang", "longer than its time limit of 0.7 s", "in sleep_for_ever"),
        ("eat memory", "MemoryError: Unable to allocate", "in eat_memory"),
    ],
)
def test_poison_image_fails_alone(
    service: Service,
    worker: Worker,
    butler: Butler,
    exposures: Iterator[int],
    tmp_path: pathlib.Path,
    act: str,
    reason: str,
    detail: str,
) -> None:
    """It is among the dead letters, with what happened and where; the next
    image is processed.
    """
    exposure = next(exposures)
    put_numbers(
        butler,
        {(exposure, 90): {"value": 1.0, "act": act}, (exposure, 91): {"value": 2.0}},
        tmp_path,
    )
    service.send(exposure, 90)
    letter = service.await_dead(f"{exposure}/90/limited")
    assert reason in letter.reason
    assert str(exposure) in letter.reason
    assert detail in letter.detail
    assert letter.attempts == 1
    service.send(exposure, 91)
    report = service.await_done(f"{exposure}/91/limited")
    assert (report["attempt"], report["worker"]) == (1, worker.name)


def test_function_is_called(
    service: Service, worker: Worker, director: Director, exposures: Iterator[int]
) -> None:
    """A rule's function gets the image; what it raises is a failed attempt."""
    exposure = next(exposures)
    service.send(exposure, 181)
    director.next_call().reply("raise")
    director.next_call().reply("succeed")
    report = service.await_done(f"{exposure}/181/call")
    assert report["attempt"] == 2


def test_function_that_publishes_no_json_fails(
    service: Service, worker: Worker, exposures: Iterator[int]
) -> None:
    """The reason says what cannot be told, and the process lives on."""
    exposure = next(exposures)
    service.send(exposure, 171)
    letter = service.await_dead(f"{exposure}/171/publish")
    assert "object" in letter.reason
    assert "ended with exit code" not in letter.reason


def test_missing_raw_is_waited_for(
    service: Service, worker: Worker, butler: Butler, exposures: Iterator[int], tmp_path: pathlib.Path
) -> None:
    """One that comes in time is processed, at the first attempt."""
    exposure = next(exposures)
    service.send(exposure, 93, 94)
    put_numbers(butler, {(exposure, 94): {"value": 2.0}}, tmp_path)
    service.await_done(f"{exposure}/94/all")
    put_numbers(butler, {(exposure, 93): {"value": 1.0}}, tmp_path)
    assert service.await_done(f"{exposure}/93/all")["attempt"] == 1


def test_missing_raw_is_not_waited_for_for_ever(
    service: Service, worker: Worker, exposures: Iterator[int]
) -> None:
    """After the rule's time it is a named failure."""
    exposure = next(exposures)
    service.send(exposure, 90)
    letter = service.await_dead(f"{exposure}/90/limited")
    assert "no dataset number in LSSTCam/defaults (waited" in letter.reason
    assert f"exposure {exposure}, detector 90" in letter.reason


def test_exposure_may_become_known_later(
    service: Service, worker: Worker, butler: Butler, tmp_path: pathlib.Path
) -> None:
    """An event of an exposure that the Butler does not know is kept, and
    dispatched when it does.
    """
    exposure = exposure_id(10_001)
    service.send(exposure, 93)
    add_exposures(butler, [exposure])
    put_numbers(butler, {(exposure, 93): {"value": 1.0}}, tmp_path)
    service.await_done(f"dispatch/LSSTCam/{exposure}/93")
    assert service.await_done(f"{exposure}/93/all")["attempt"] == 1


def test_poison_image_does_not_keep_a_worker_from_starting(
    service: Service, butler: Butler, tmp_path: pathlib.Path
) -> None:
    """Who rehearses on it dies, and starts without."""
    exposure = exposure_id(20_001)
    add_exposures(butler, [exposure])
    put_numbers(butler, {(exposure, 93): {"value": 1.0, "act": "kill"}}, tmp_path)
    put_raw(butler, exposure, 93, tmp_path)
    with service.worker() as worker:
        assert int(service.facts_of(worker)["children"]) == 2
