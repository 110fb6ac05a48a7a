# This file is part of ra_pipe.
#
# Use of this source code is governed by a 3-clause BSD-style
# license that can be found in the LICENSE file.

from __future__ import annotations

import pathlib
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from arithmetic_pipeline import DETECTORS, EXPOSURE, NO_VISIT, put_number, replace_number
from lsst.daf.butler import Butler
from lsst.daf.butler.registry import DataIdError
from lsst.pipe.base import Pipeline
from lsst.ra.pipe.execution import ImageReport, QuantumRunner, QuantumStatus, prepare_output_run

INPUTS = ["LSSTCam/defaults"]


class Runner:
    """A runner whose outputs go to ``u/test``."""

    def __init__(self, root: pathlib.Path, pipeline: str, *, offset: float = 0.0, **kwargs: Any) -> None:
        loaded = Pipeline.from_uri(pipeline)
        if "double" in loaded.task_labels:
            loaded.addConfigOverride("double", "offset", offset)
        butler = Butler.from_config(root, writeable=True)
        graph = loaded.to_graph(registry=butler.registry)
        self.run = prepare_output_run(butler, graph, parent="u/test", chain="u/test", inputs=INPUTS)
        self.runner = QuantumRunner(root, graph, inputs=INPUTS, **kwargs)

    def run_detector(self, detector: int, exposure: int = EXPOSURE) -> ImageReport:
        return self.runner.run_detector(
            instrument="LSSTCam", exposure=exposure, detector=detector, output_run=self.run
        )

    def run_exposure(self, output_run: str | None = None, detector_runs: Sequence[str] = ()) -> ImageReport:
        return self.runner.run_exposure(
            instrument="LSSTCam",
            exposure=EXPOSURE,
            output_run=output_run or self.run,
            detector_runs=detector_runs,
        )


def statuses(report: ImageReport) -> dict[str, QuantumStatus]:
    """Return the status of each task by its label."""
    return {outcome.task: outcome.status for outcome in report.outcomes}


def test_detector_then_exposure(
    root: pathlib.Path, repository: Butler, pipeline: str, read: Callable[..., object]
) -> None:
    """A detector's tasks run on it alone; the gathering sums over all."""
    runner = Runner(root, pipeline)
    for detector in DETECTORS:
        report = runner.run_detector(detector)
        assert statuses(report) == {"double": QuantumStatus.SUCCEEDED, "mark": QuantumStatus.SUCCEEDED}
    assert read("marked", "u/test", visit=EXPOSURE, detector=94) == {"value": 188.0}
    report = runner.run_exposure()
    assert statuses(report) == {"sum": QuantumStatus.SUCCEEDED}
    assert read("total", "u/test", visit=EXPOSURE) == {"value": 2.0 * sum(DETECTORS), "n": 3}


def test_second_run_does_nothing(root: pathlib.Path, repository: Butler, pipeline: str) -> None:
    """A duplicate request finds the outputs and leaves them alone."""
    runner = Runner(root, pipeline)
    runner.run_detector(94)
    before = repository.query_datasets("marked", collections="u/test")
    report = Runner(root, pipeline).run_detector(94)
    assert set(statuses(report).values()) == {QuantumStatus.EXISTED}
    assert repository.query_datasets("marked", collections="u/test") == before


def test_failed_task_leaves_nothing_and_blocks_what_follows(
    root: pathlib.Path, repository: Butler, pipeline: str
) -> None:
    """The failure names the data ID; no output of it is registered or stored,
    and the detectors that are good are gathered without it.
    """
    replace_number(repository, EXPOSURE, 93, -1.0)
    runner = Runner(root, pipeline)
    bad = runner.run_detector(93)
    assert statuses(bad) == {"double": QuantumStatus.FAILED, "mark": QuantumStatus.BLOCKED}
    assert bad.first_failure is not None
    assert "detector 93" in bad.first_failure.reason
    assert "the number is negative" in bad.first_failure.reason
    for name in ("doubled", "marked", "double_metadata"):
        assert not repository.query_datasets(name, collections="u/test", explain=False)
    for detector in (94, 95):
        runner.run_detector(detector)
    runner.run_exposure()
    total = repository.get("total", instrument="LSSTCam", visit=EXPOSURE, collections="u/test")
    assert total == {"value": 2.0 * (94 + 95), "n": 2}


def test_failed_image_can_be_run_again(root: pathlib.Path, repository: Butler, pipeline: str) -> None:
    """Once the cause is gone the same run collection takes the outputs."""
    replace_number(repository, EXPOSURE, 93, -1.0)
    runner = Runner(root, pipeline)
    assert runner.run_detector(93).failed
    replace_number(repository, EXPOSURE, 93, 1.0)
    assert not runner.run_detector(93).failed


def test_missing_input_is_a_failure_with_its_data_id(
    root: pathlib.Path, repository: Butler, pipeline: str
) -> None:
    """A detector that was never ingested is reported, not raised."""
    report = Runner(root, pipeline).run_detector(96)
    assert statuses(report) == {"double": QuantumStatus.MISSING_INPUT, "mark": QuantumStatus.BLOCKED}
    assert report.failed
    assert report.missing_input
    assert report.first_failure is not None
    assert "detector 96" in report.first_failure.reason
    assert "number" in report.first_failure.reason


def test_missing_calibration_is_named(root: pathlib.Path, repository: Butler, pipeline: str) -> None:
    """A detector without its calibration says which one is missing."""
    put_number(repository, EXPOSURE, 97, 1.0)
    report = Runner(root, pipeline).run_detector(97)
    assert report.first_failure is not None
    assert "factor" in report.first_failure.reason


def test_exposure_without_visit(root: pathlib.Path, repository: Butler, pipeline: str) -> None:
    """Tasks on the exposure run; those on a visit say why they cannot."""
    report = Runner(root, pipeline).run_detector(94, NO_VISIT)
    assert statuses(report) == {"double": QuantumStatus.SUCCEEDED, "mark": QuantumStatus.NOT_APPLICABLE}
    assert not report.failed


def test_unknown_exposure(root: pathlib.Path, repository: Butler, pipeline: str) -> None:
    """An exposure that the repository does not know is the caller's error."""
    with pytest.raises(DataIdError, match="123"):
        Runner(root, pipeline).run_detector(94, 123)


def test_another_configuration_writes_another_run(
    root: pathlib.Path, repository: Butler, pipeline: str
) -> None:
    """Results of one configuration never overwrite those of another."""
    Runner(root, pipeline).run_detector(94)
    Runner(root, pipeline, offset=1.0).run_detector(94)
    values = {
        ref.run: repository.get(ref)["value"]
        for ref in repository.query_datasets("marked", collections="u/test", find_first=False)
    }
    assert sorted(values.values()) == [188.0, 189.0]
    assert repository.get(
        "marked", instrument="LSSTCam", visit=EXPOSURE, detector=94, collections="u/test"
    ) == {"value": 189.0}
