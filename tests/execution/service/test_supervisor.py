# This file is part of ra_pipe.
#
# Use of this source code is governed by a 3-clause BSD-style
# license that can be found in the LICENSE file.

"""Whatever becomes of a supervisor, its image is processed, and once."""

from __future__ import annotations

import pathlib
import signal
from collections.abc import Callable, Iterator

import directed_pipeline
import pytest
from directed_pipeline import Director
from lsst.daf.butler import Butler
from lsst.ra.pipe.execution.service import ServiceSettings
from number_repository import INSTRUMENT, put_numbers
from service_parts import Service, await_end, is_alive


@pytest.fixture
def service(make_settings: Callable[..., ServiceSettings], butler: Butler) -> Service:
    """A service of which each test has its own queue."""
    return Service(make_settings(), butler)


@pytest.fixture
def exposure(butler: Butler, exposures: Iterator[int], tmp_path: pathlib.Path) -> int:
    """An exposure with a detector that asks what to do."""
    exposure = next(exposures)
    put_numbers(butler, {(exposure, 93): {"value": 1.0, "act": "ask"}}, tmp_path)
    return exposure


def test_image_of_killed_supervisor_goes_to_another(
    service: Service, director: Director, exposure: int
) -> None:
    """Its child dies with it, so that nobody else works on the image."""
    with service.process() as victim:
        child = victim.await_ready()
        service.send(exposure, 93)
        first = director.next_call()
        assert (first.pid, first.parent) == (child, victim.pid)
        victim.signal(signal.SIGKILL)
        await_end([child])
        with service.worker() as worker:
            director.next_call().reply("succeed")
            report = service.await_done(f"{exposure}/93/all")
    assert (report["attempt"], report["worker"]) == (2, worker.name)
    assert service.outputs("acted").count((exposure, 93)) == 1


def test_slow_image_is_not_taken_away(service: Service, director: Director, exposure: int) -> None:
    """The supervisor renews its lease, for as long as it takes."""
    with service.worker(), service.worker():
        service.send(exposure, 93)
        call = director.next_call()
        assert director.nobody_calls(seconds=3 * service.settings.queue.lease_seconds)
        call.reply("succeed")
        report = service.await_done(f"{exposure}/93/all")
    assert report["attempt"] == 1
    assert service.outputs("acted").count((exposure, 93)) == 1


def test_image_of_stopped_supervisor_is_processed_once(
    service: Service, director: Director, exposure: int
) -> None:
    """When it goes on after its lease has lapsed, its outputs are those that
    are there, and its report is not a second one.
    """
    with service.process() as sleeper:
        sleeper.await_ready()
        service.send(exposure, 93)
        late = director.next_call()
        sleeper.signal(signal.SIGSTOP)
        with service.worker() as worker:
            director.next_call().reply("succeed")
            report = service.await_done(f"{exposure}/93/all")
            late.reply("succeed")
            sleeper.signal(signal.SIGCONT)
            sleeper.await_state("idle")
        sleeper.signal(signal.SIGTERM)
        assert sleeper.wait() == 0
    assert (report["attempt"], report["worker"]) == (2, worker.name)
    assert len(service.reports(f"{exposure}/93/all")) == 1
    assert service.outputs("acted").count((exposure, 93)) == 1
    assert list(service.queue.dead_letters()) == []


def test_sigterm_lets_the_current_image_finish(service: Service, director: Director, exposure: int) -> None:
    """Then the worker ends, and is on no list."""
    with service.process() as process:
        child = process.await_ready()
        service.send(exposure, 93)
        call = director.next_call()
        process.signal(signal.SIGTERM)
        assert director.nobody_calls(seconds=0.5)
        assert is_alive(child)
        call.reply("succeed")
        assert process.wait() == 0
        assert not is_alive(child)
    assert service.await_done(f"{exposure}/93/all")["attempt"] == 1
    assert process.facts() == {}


def test_sigterm_hands_back_what_takes_too_long(
    make_settings: Callable[..., ServiceSettings], butler: Butler, director: Director, exposure: int
) -> None:
    """After the grace time; it costs the image no attempt."""
    service = Service(make_settings(grace_seconds=0.3), butler)
    with service.process() as process:
        child = process.await_ready()
        service.send(exposure, 93)
        director.next_call()
        process.signal(signal.SIGTERM)
        assert process.wait() == 0
        assert not is_alive(child)
    with service.worker():
        director.next_call().reply("succeed")
        assert service.await_done(f"{exposure}/93/all")["attempt"] == 1


def test_worker_that_cannot_start_says_why_and_tries_on(
    make_settings: Callable[..., ServiceSettings],
    butler: Butler,
    directory: pathlib.Path,
    tmp_path: pathlib.Path,
) -> None:
    """The pipeline is not there; when it is, the worker gets ready."""
    pipeline = tmp_path / "NotThereYet.yaml"
    rules = tmp_path / "dispatch.yaml"
    rules.write_text(f"rules:\n  - name: all\n    pipeline: {pipeline}\n")
    settings = make_settings()
    service = Service(settings, butler)
    service.settings = settings.model_copy(update={"dispatch": {INSTRUMENT: str(rules)}})
    with service.process() as process:
        facts = process.await_state("cannot start")
        assert "ended with exit code 1" in facts["reason"]
        assert "NotThereYet.yaml" in facts["reason"]
        pipeline.write_text(directed_pipeline.PIPELINE)
        process.await_ready()
