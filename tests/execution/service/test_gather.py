# This file is part of ra_pipe.
#
# Use of this source code is governed by a 3-clause BSD-style
# license that can be found in the LICENSE file.

"""Detectors come together in their exposure, and outputs are written once."""

from __future__ import annotations

import pathlib
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import pytest
from lsst.daf.butler import Butler
from lsst.ra.pipe.execution.dispatch import Rule
from lsst.ra.pipe.execution.queue import Job, JobKind
from lsst.ra.pipe.execution.service import JobOutcome, JobRequest, ServiceSettings, Worker
from lsst.ra.pipe.execution.service._rule_runner import RuleRunner
from number_repository import DAY_OBS, INSTRUMENT, put_numbers
from service_parts import Service, wait_until

CHAIN = "LSSTCam/rapid"


@pytest.fixture(scope="module")
def worker(service: Service) -> Iterator[Worker]:
    """A worker, the same for all tests."""
    with service.worker() as worker:
        yield worker


@pytest.fixture
def exposure(exposures: Iterator[int]) -> int:
    """An exposure without raws."""
    return next(exposures)


@pytest.fixture
def put(butler: Butler, exposure: int, tmp_path: pathlib.Path) -> Callable[..., None]:
    """Store raws of detectors."""

    def put(*detectors: int, **content: Any) -> None:
        numbers = {(exposure, one): {"value": float(one), **content} for one in detectors}
        put_numbers(butler, numbers, tmp_path)

    return put


def summary(service: Service, exposure: int) -> Mapping[str, Any]:
    """Read the summary that a user finds, with its run."""
    with Butler.from_config(service.settings.repository, collections=CHAIN) as butler:
        ref = butler.find_dataset("total", instrument=INSTRUMENT, visit=exposure)
        assert ref is not None
        return {**butler.get(ref), "run": ref.run}


def test_complete_exposure_is_gathered_at_once(
    service: Service, worker: Worker, exposure: int, put: Callable[..., None]
) -> None:
    """When the last of the expected detectors is there."""
    put(93, 94, 95)
    service.send(exposure, 93, 94, 95)
    report = service.await_done(f"gather/LSSTCam/{exposure}/all/0")
    assert report["detectors"] == [93, 94, 95]
    assert (summary(service, exposure)["n"], summary(service, exposure)["value"]) == (3, 282.0)
    assert summary(service, exposure)["run"] == report["run"]
    assert report["run"].startswith(f"{CHAIN}/{DAY_OBS}/")


def test_failed_detector_does_not_hold_up_the_others(
    service: Service, worker: Worker, exposure: int, put: Callable[..., None]
) -> None:
    """It is gathered without, as soon as that has failed for good."""
    put(93, 94)
    put(95, act="raise")
    service.send(exposure, 93, 94, 95)
    report = service.await_done(f"gather/LSSTCam/{exposure}/all/0")
    assert report["detectors"] == [93, 94]
    assert service.await_dead(f"{exposure}/95/all").attempts == 2


def test_late_detectors_are_gathered_once_more(
    service: Service, worker: Worker, exposure: int, put: Callable[..., None]
) -> None:
    """At the deadline with those that are there, then with all, in a run in
    front of the first.
    """
    put(96)
    service.send(exposure, 96)
    first = service.await_done(f"gather/LSSTCam/{exposure}/hasty/0")
    assert summary(service, exposure)["n"] == 1
    put(97, 98)
    service.send(exposure, 97, 98)
    second = service.await_done(f"gather/LSSTCam/{exposure}/hasty/1")
    assert (first["detectors"], second["detectors"]) == ([96], [96, 97, 98])
    assert second["run"] == f"{first['run']}/late/1"
    assert summary(service, exposure) == {"n": 3, "value": 291.0, "run": second["run"]}
    assert len(service.reports(f"{exposure}/hasty/0") + service.reports(f"{exposure}/hasty/1")) == 2


def test_lost_queue_writes_nothing_twice(
    service: Service, worker: Worker, exposure: int, put: Callable[..., None]
) -> None:
    """The same events again, after Redis forgot everything: the outputs are
    found, and told again.
    """
    put(93, 94, 95)
    service.send(exposure, 93, 94, 95)
    first = service.await_done(f"{exposure}/93/all")
    service.await_done(f"gather/LSSTCam/{exposure}/all/0")
    before = _stored(service, exposure)
    service.queue.client.flushall()
    service.send(exposure, 93, 94, 95)
    second = service.await_done(f"{exposure}/93/all")
    service.await_done(f"gather/LSSTCam/{exposure}/all/0")
    assert [quantum["status"] for quantum in second["quanta"]] == ["existed"]
    assert (first["run"], first["attempt"]) == (second["run"], second["attempt"])
    assert _stored(service, exposure) == before


def test_lost_queue_does_not_hide_late_detectors(
    service: Service, worker: Worker, exposure: int, put: Callable[..., None]
) -> None:
    """A summary from before does not stand for detectors that came since."""
    put(96)
    service.send(exposure, 96)
    service.await_done(f"gather/LSSTCam/{exposure}/hasty/0")
    assert summary(service, exposure)["n"] == 1
    service.queue.client.flushall()
    put(97, 98)
    service.send(exposure, 96, 97, 98)
    # With a slow worker the deadline may come first: then a second gather
    # has them all.
    wait_until(lambda: summary(service, exposure)["n"] == 3, what="a summary of all detectors")


def _stored(service: Service, exposure: int) -> dict[str, float]:
    """Return the files of all outputs of an exposure, with their times."""
    with Butler.from_config(service.settings.repository) as butler:
        refs = [
            ref
            for name in ("acted", "act_metadata", "total", "total_metadata")
            for ref in butler.query_datasets(name, collections=CHAIN, find_first=False)
            if exposure in (ref.dataId.get("exposure"), ref.dataId.get("visit"))
        ]
        paths = [pathlib.Path(butler.getURI(ref).ospath) for ref in refs]
    return {str(path): path.stat().st_mtime for path in paths}


def run_rule(settings: ServiceSettings, exposure: int, *, inputs: str, **rule: Any) -> str:
    """Run a rule on one detector, as a worker that was just started; return
    the run.
    """
    runner = RuleRunner(
        settings.repository,
        butler=Butler.from_config(settings.repository, writeable=True),
        instrument=INSTRUMENT,
        rule=Rule(name="one", **rule),
        inputs=[inputs],
        refresh_seconds=60.0,
    )
    job = Job(kind=JobKind.DETECTOR, key="one", shard="0", day_obs=DAY_OBS, exposure=exposure, detector=93)
    result = runner.run(JobRequest(job=job))
    assert result.outcome is JobOutcome.DONE
    assert result.run is not None
    return result.run


def test_run_changes_with_config_and_inputs(
    service: Service,
    butler: Butler,
    directory: pathlib.Path,
    tmp_path: pathlib.Path,
    exposure: int,
    put: Callable[..., None],
) -> None:
    """And with nothing else: results are not mixed, nor overwritten."""
    put(93)
    pipeline = str(directory / "Directed.yaml")
    changed = tmp_path / "Changed.yaml"
    changed.write_text(
        f"description: Other.\nimports: [{{location: {pipeline}}}]\n"
        "tasks: {act: {class: directed_pipeline.ActTask, config: {offset: 1.0}}}\n"
    )
    butler.collections.register("more-inputs")
    settings = service.settings
    first = run_rule(settings, exposure, inputs="LSSTCam/defaults", pipeline=pipeline)
    again = run_rule(settings, exposure, inputs="LSSTCam/defaults", pipeline=pipeline, time_limit=7.0)
    other_config = run_rule(settings, exposure, inputs="LSSTCam/defaults", pipeline=str(changed))
    butler.collections.extend_chain("LSSTCam/defaults", ["more-inputs"])
    other_inputs = run_rule(settings, exposure, inputs="LSSTCam/defaults", pipeline=pipeline)
    butler.collections.remove_from_chain("LSSTCam/defaults", ["more-inputs"])
    assert first == again
    assert len({first, other_config, other_inputs}) == 3
    found = butler.query_datasets("acted", collections=CHAIN, find_first=False)
    runs = {ref.run for ref in found if ref.dataId["exposure"] == exposure}
    assert runs == {first, other_config, other_inputs}
    changed_output = butler.get(
        "acted", instrument=INSTRUMENT, exposure=exposure, detector=93, collections=other_config
    )
    assert changed_output["value"] == 94.0
