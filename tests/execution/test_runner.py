# This file is part of ra_pipe.
#
# Use of this source code is governed by a 3-clause BSD-style
# license that can be found in the LICENSE file.

from __future__ import annotations

import pathlib
from collections.abc import Callable

import pytest
from arithmetic_pipeline import DETECTORS, EXPOSURE, NO_VISIT, put_number, replace_number
from lsst.daf.butler import Butler
from lsst.daf.butler.registry import DataIdError
from lsst.pipe.base import Pipeline
from lsst.ra.pipe.execution import ImageReport, QuantumRunner, QuantumStatus, prepare_output_run

INPUTS = ["LSSTCam/defaults"]


def make_runner(root: pathlib.Path, pipeline: str) -> QuantumRunner:
    """Make a runner whose outputs go to ``u/test``."""
    butler = Butler.from_config(root, writeable=True)
    graph = Pipeline.from_uri(pipeline).to_graph(registry=butler.registry)
    run = prepare_output_run(butler, graph, output="u/test", inputs=INPUTS)
    return QuantumRunner(root, graph, output_run=run, inputs=INPUTS)


def statuses(report: ImageReport) -> dict[str, QuantumStatus]:
    """Return the status of each task by its label."""
    return {outcome.task: outcome.status for outcome in report.outcomes}


def test_detector_then_exposure(
    root: pathlib.Path, repository: Butler, pipeline: str, read: Callable[..., object]
) -> None:
    """A detector's tasks run on it alone; the gathering sums over all."""
    runner = make_runner(root, pipeline)
    for detector in DETECTORS:
        report = runner.run_detector(instrument="LSSTCam", exposure=EXPOSURE, detector=detector)
        assert statuses(report) == {"double": QuantumStatus.SUCCEEDED, "mark": QuantumStatus.SUCCEEDED}
    assert read("marked", "u/test", visit=EXPOSURE, detector=94) == {"value": 188.0}
    report = runner.run_exposure(instrument="LSSTCam", exposure=EXPOSURE)
    assert statuses(report) == {"sum": QuantumStatus.SUCCEEDED}
    assert read("total", "u/test", visit=EXPOSURE) == {"value": 2.0 * sum(DETECTORS), "n": 3}


def test_second_run_does_nothing(root: pathlib.Path, repository: Butler, pipeline: str) -> None:
    """A duplicate request finds the outputs and leaves them alone."""
    runner = make_runner(root, pipeline)
    runner.run_detector(instrument="LSSTCam", exposure=EXPOSURE, detector=94)
    before = repository.query_datasets("marked", collections="u/test")
    report = make_runner(root, pipeline).run_detector(instrument="LSSTCam", exposure=EXPOSURE, detector=94)
    assert set(statuses(report).values()) == {QuantumStatus.EXISTED}
    assert repository.query_datasets("marked", collections="u/test") == before


def test_failed_task_leaves_nothing_and_blocks_what_follows(
    root: pathlib.Path, repository: Butler, pipeline: str
) -> None:
    """The failure names the data ID; no output of it is registered or stored,
    and the detectors that are good are gathered without it.
    """
    replace_number(repository, EXPOSURE, 93, -1.0)
    runner = make_runner(root, pipeline)
    bad = runner.run_detector(instrument="LSSTCam", exposure=EXPOSURE, detector=93)
    assert statuses(bad) == {"double": QuantumStatus.FAILED, "mark": QuantumStatus.BLOCKED}
    assert bad.first_failure is not None
    assert "detector 93" in bad.first_failure.reason
    assert "the number is negative" in bad.first_failure.reason
    for name in ("doubled", "marked", "double_metadata"):
        assert not repository.query_datasets(name, collections="u/test", explain=False)
    for detector in (94, 95):
        runner.run_detector(instrument="LSSTCam", exposure=EXPOSURE, detector=detector)
    runner.run_exposure(instrument="LSSTCam", exposure=EXPOSURE)
    total = repository.get("total", instrument="LSSTCam", visit=EXPOSURE, collections="u/test")
    assert total == {"value": 2.0 * (94 + 95), "n": 2}


def test_failed_image_can_be_run_again(root: pathlib.Path, repository: Butler, pipeline: str) -> None:
    """Once the cause is gone the same run collection takes the outputs."""
    replace_number(repository, EXPOSURE, 93, -1.0)
    runner = make_runner(root, pipeline)
    assert runner.run_detector(instrument="LSSTCam", exposure=EXPOSURE, detector=93).failed
    replace_number(repository, EXPOSURE, 93, 1.0)
    assert not runner.run_detector(instrument="LSSTCam", exposure=EXPOSURE, detector=93).failed


def test_missing_input_is_a_failure_with_its_data_id(
    root: pathlib.Path, repository: Butler, pipeline: str
) -> None:
    """A detector that was never ingested is reported, not raised."""
    report = make_runner(root, pipeline).run_detector(instrument="LSSTCam", exposure=EXPOSURE, detector=96)
    assert statuses(report) == {"double": QuantumStatus.FAILED, "mark": QuantumStatus.BLOCKED}
    assert report.first_failure is not None
    assert "detector 96" in report.first_failure.reason
    assert "number" in report.first_failure.reason


def test_missing_calibration_is_named(root: pathlib.Path, repository: Butler, pipeline: str) -> None:
    """A detector without its calibration says which one is missing."""
    put_number(repository, EXPOSURE, 97, 1.0)
    report = make_runner(root, pipeline).run_detector(instrument="LSSTCam", exposure=EXPOSURE, detector=97)
    assert report.first_failure is not None
    assert "factor" in report.first_failure.reason


def test_exposure_without_visit(root: pathlib.Path, repository: Butler, pipeline: str) -> None:
    """Tasks on the exposure run; those on a visit say why they cannot."""
    report = make_runner(root, pipeline).run_detector(instrument="LSSTCam", exposure=NO_VISIT, detector=94)
    assert statuses(report) == {"double": QuantumStatus.SUCCEEDED, "mark": QuantumStatus.NOT_APPLICABLE}
    assert not report.failed


def test_unknown_exposure(root: pathlib.Path, repository: Butler, pipeline: str) -> None:
    """An exposure that the repository does not know is the caller's error."""
    with pytest.raises(DataIdError, match="123"):
        make_runner(root, pipeline).run_detector(instrument="LSSTCam", exposure=123, detector=94)


def test_another_configuration_writes_another_run(
    root: pathlib.Path, repository: Butler, pipeline: str
) -> None:
    """Results of one configuration never overwrite those of another."""
    make_runner(root, pipeline).run_detector(instrument="LSSTCam", exposure=EXPOSURE, detector=94)
    changed = Pipeline.from_uri(pipeline)
    changed.addConfigOverride("double", "offset", 1.0)
    graph = changed.to_graph(registry=repository.registry)
    run = prepare_output_run(repository, graph, output="u/test", inputs=INPUTS)
    runner = QuantumRunner(root, graph, output_run=run, inputs=INPUTS)
    runner.run_detector(instrument="LSSTCam", exposure=EXPOSURE, detector=94)
    values = {
        ref.run: repository.get(ref)["value"]
        for ref in repository.query_datasets("marked", collections="u/test", find_first=False)
    }
    assert sorted(values.values()) == [188.0, 189.0]
    assert repository.get(
        "marked", instrument="LSSTCam", visit=EXPOSURE, detector=94, collections="u/test"
    ) == {"value": 189.0}
