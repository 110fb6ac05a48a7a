# This file is part of ra_pipe.
#
# Use of this source code is governed by a 3-clause BSD-style
# license that can be found in the LICENSE file.

from __future__ import annotations

import pathlib

from arithmetic_pipeline import DETECTORS, EXPOSURE, replace_number
from lsst.daf.butler import Butler
from lsst.ra.pipe.execution import ImageReport, RunRequest, run_exposures


def make_request(root: pathlib.Path, pipeline: str) -> RunRequest:
    """Ask for all detectors of the exposure."""
    return RunRequest(
        repository=str(root),
        pipeline=pipeline,
        instrument="LSSTCam",
        exposures=(EXPOSURE,),
        detectors=DETECTORS,
        inputs=("LSSTCam/defaults",),
        output="u/test",
    )


def test_worker_processes_share_the_work(root: pathlib.Path, repository: Butler, pipeline: str) -> None:
    """Two real processes write one repository; the gathering sees it all."""
    seen: list[ImageReport] = []
    reports = run_exposures(make_request(root, pipeline), processes=2, on_report=seen.append)
    assert reports == seen
    assert sorted(r.detector for r in reports if r.detector is not None) == list(DETECTORS)
    assert not any(report.failed for report in reports)
    total = repository.get("total", instrument="LSSTCam", visit=EXPOSURE, collections="u/test")
    assert total == {"value": 2.0 * sum(DETECTORS), "n": 3}


def test_one_bad_detector_stops_no_other(root: pathlib.Path, repository: Butler, pipeline: str) -> None:
    """The others are done and gathered; the report says which failed."""
    replace_number(repository, EXPOSURE, 94, -1.0)
    reports = run_exposures(make_request(root, pipeline), processes=2)
    assert [report.detector for report in reports if report.failed] == [94]
    total = repository.get("total", instrument="LSSTCam", visit=EXPOSURE, collections="u/test")
    assert total["n"] == 2


def test_worker_that_dies_is_a_failure_of_its_image(
    root: pathlib.Path, repository: Butler, pipeline: str
) -> None:
    """A killed process costs its own image, not the run."""
    replace_number(repository, EXPOSURE, 94, float("inf"))
    reports = run_exposures(make_request(root, pipeline), processes=2)
    failed = {report.detector: report for report in reports if report.failed}
    assert list(failed) == [94]
    assert failed[94].first_failure is not None
    assert "died" in failed[94].first_failure.reason
    total = repository.get("total", instrument="LSSTCam", visit=EXPOSURE, collections="u/test")
    assert total["n"] == 2
