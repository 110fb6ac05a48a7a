# This file is part of ra_pipe.
#
# Use of this source code is governed by a 3-clause BSD-style
# license that can be found in the LICENSE file.

"""What the settings name is told of every image, before its job is done."""

from __future__ import annotations

import pathlib
from collections.abc import Callable, Iterator

import pydantic
import pytest
from lsst.daf.butler import Butler
from lsst.ra.pipe.execution.queue import read_status
from lsst.ra.pipe.execution.service import ServiceSettings
from number_repository import put_numbers
from observing import read_observed
from service_parts import Service


@pytest.fixture(scope="module")
def watched(make_settings: Callable[..., ServiceSettings], butler: Butler) -> Iterator[Service]:
    """A service with an observer and a worker."""
    service = Service(make_settings(observers=("observing:observe",)), butler)
    with service.worker():
        yield service


def test_observer_is_told_of_detectors_and_exposures(
    watched: Service,
    butler: Butler,
    directory: pathlib.Path,
    exposures: Iterator[int],
    tmp_path: pathlib.Path,
) -> None:
    """With the run of the outputs, which are in the repository by then."""
    exposure = next(exposures)
    put_numbers(butler, {(exposure, one): {"value": 1.0} for one in (93, 94, 95)}, tmp_path)
    watched.send(exposure, 93, 94, 95)
    report = watched.await_done(f"gather/LSSTCam/{exposure}/all/0")
    observed = list(read_observed(directory / "repo", exposure))
    assert sorted(str(facts["detector"]) for facts in observed) == ["93", "94", "95", "None"]
    assert {facts["n"] for facts in observed} == {1}
    assert {facts["run"] for facts in observed} == {report["run"]}


def test_failure_of_an_observer_is_not_the_images(
    watched: Service,
    butler: Butler,
    directory: pathlib.Path,
    exposures: Iterator[int],
    tmp_path: pathlib.Path,
) -> None:
    """It is in the report and counted; the exposure is gathered."""
    exposure = next(exposures)
    detectors = (93, 94, 95)
    put_numbers(butler, {(exposure, one): {"value": 1.0} for one in detectors}, tmp_path)
    (directory / "repo" / "always").touch()
    try:
        watched.send(exposure, *detectors)
        watched.await_done(f"gather/LSSTCam/{exposure}/all/0")
    finally:
        (directory / "repo" / "always").unlink()
    report = watched.await_done(f"{exposure}/93/all")
    assert report["attempt"] == 1
    assert report["unheard"] == ["ValueError: told to fail always"]
    assert [quantum["status"] for quantum in report["quanta"]] == ["succeeded"]
    assert len(list(read_observed(directory / "repo", exposure))) == 4
    assert list(watched.queue.dead_letters()) == []
    (worker,) = read_status(watched.queue).workers
    assert int(worker.facts["unheard"]) == 4


def test_outage_of_the_queue_is_tried_again(
    watched: Service,
    butler: Butler,
    directory: pathlib.Path,
    exposures: Iterator[int],
    tmp_path: pathlib.Path,
) -> None:
    """An alert is not lost with it; the image itself is not done again."""
    exposure = next(exposures)
    put_numbers(butler, {(exposure, 93): {"value": 1.0}}, tmp_path)
    (directory / "repo" / "outage").touch()
    watched.send(exposure, 93)
    report = watched.await_done(f"{exposure}/93/all")
    assert report["attempt"] == 1
    assert [quantum["status"] for quantum in report["quanta"]] == ["existed"]
    assert len(list(read_observed(directory / "repo", exposure))) == 2


def test_image_without_its_input_is_not_told_of(
    watched: Service,
    butler: Butler,
    directory: pathlib.Path,
    exposures: Iterator[int],
    tmp_path: pathlib.Path,
) -> None:
    """The raw comes later: the observer is called once, with the outputs."""
    exposure = next(exposures)
    watched.send(exposure, 93)
    put_numbers(butler, {(exposure, 93): {"value": 1.0}}, tmp_path)
    watched.await_done(f"{exposure}/93/all")
    assert [facts["n"] for facts in read_observed(directory / "repo", exposure)] == [1]


@pytest.mark.parametrize("name", ["observing", "observing.observe", "os;x:y", ""])
def test_observer_is_a_module_and_a_function(name: str) -> None:
    """Anything else is refused with the settings."""
    with pytest.raises(pydantic.ValidationError, match="observers"):
        ServiceSettings(repository="repo", observers=(name,))
