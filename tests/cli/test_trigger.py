# This file is part of ra_pipe.
#
# Use of this source code is governed by a 3-clause BSD-style
# license that can be found in the LICENSE file.

from __future__ import annotations

import pathlib
from collections.abc import Callable

import pytest
from arithmetic_pipeline import PIPELINE
from camera.raws import EXPOSURE, write_raw
from click.testing import Result
from lsst.ra.pipe.execution.queue import Job, JobQueue, WorkerShards
from lsst.ra.pipe.repository import create_repository, ingest_raws
from valkey_server import free_port

Rapid = Callable[..., Result]
DETECTORS = {"R22_S10": 93, "R22_S11": 94, "R22_S12": 95}
SHARDS = WorkerShards.for_images(0, 1, 32)


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """Repository with raws of three detectors of one exposure."""
    directory = tmp_path_factory.mktemp("trigger")
    butler = create_repository(directory / "repo", instruments=["lsst.ra.pipe.camera.LsstCam"])
    files = [str(write_raw(directory / f"{name}.fits", detector=name)) for name in DETECTORS]
    assert not ingest_raws(butler, files, transfer="direct").failures
    return directory / "repo"


@pytest.fixture
def rules(tmp_path: pathlib.Path) -> pathlib.Path:
    """Rules that ignore detector 95 and process the others."""
    (tmp_path / "Arithmetic.yaml").write_text(PIPELINE)
    path = tmp_path / "rules.yaml"
    path.write_text(
        f"""
        instrument: LSSTCam
        rules:
          - {{name: unwanted, detectors: 95, ignore: true}}
          - {{name: arithmetic, pipeline: "{tmp_path}/Arithmetic.yaml"}}
        """
    )
    return path


def take_all(queue: JobQueue) -> list[Job]:
    """Finish all jobs on detectors."""
    jobs = []
    while isinstance(taken := queue.take("w", SHARDS), list):
        jobs += [lease.job for lease in taken]
        queue.finish("w", taken[0], report={})
    return jobs


def test_trigger_queues_what_has_raws(
    repository: pathlib.Path, rules: pathlib.Path, queue: JobQueue, rapid: Rapid
) -> None:
    """As the rules say; with no latency, since it came long ago."""
    result = rapid("trigger", repository, "-e", EXPOSURE, "--dispatch", rules)
    assert result.exit_code == 0, result.output
    assert "2 images are queued, 1 are ignored by the rules, 0 were in the queue already" in result.output
    jobs = take_all(queue)
    assert [job.key for job in jobs] == [f"LSSTCam/{EXPOSURE}/{number}/arithmetic" for number in (93, 94)]
    assert not any(job.times for job in jobs)


def test_trigger_of_some_detectors(
    repository: pathlib.Path, rules: pathlib.Path, queue: JobQueue, rapid: Rapid
) -> None:
    """Those that have no raw are none."""
    result = rapid("trigger", repository, "-e", EXPOSURE, "-d", "94..97", "--dispatch", rules)
    assert "1 images are queued, 1 are ignored" in result.output
    assert [job.detector for job in take_all(queue)] == [94]


def test_trigger_again(repository: pathlib.Path, rules: pathlib.Path, queue: JobQueue, rapid: Rapid) -> None:
    """What waits is not doubled; what is done is queued again."""
    command = ("trigger", repository, "-e", EXPOSURE, "--dispatch", rules)
    rapid(*command)
    assert "0 images are queued, 1 are ignored by the rules, 2 were in the queue" in rapid(*command).output
    take_all(queue)
    assert "2 images are queued" in rapid(*command).output


def test_exposure_without_raws_is_named(
    repository: pathlib.Path, rules: pathlib.Path, queue: JobQueue, rapid: Rapid
) -> None:
    """Exit status 1; the others are queued all the same."""
    exposures = f"{EXPOSURE - 1}..{EXPOSURE + 20}"
    result = rapid("trigger", repository, "-e", exposures, "--dispatch", rules)
    assert result.exit_code == 1
    assert "2 images are queued" in result.output
    assert f"no raw of LSSTCam exposure {EXPOSURE - 1}, {EXPOSURE + 1}, " in result.output
    assert " and 11 more in LSSTCam/defaults" in result.output
    assert len(take_all(queue)) == 2


def test_trigger_with_wrong_rules_queues_nothing(
    repository: pathlib.Path, rules: pathlib.Path, queue: JobQueue, rapid: Rapid
) -> None:
    """The error has file and line."""
    rules.write_text(rules.read_text().replace("ignore", "ignor"))
    result = rapid("trigger", repository, "-e", EXPOSURE, "--dispatch", rules)
    assert result.exit_code == 1
    assert f"{rules}:4" in result.output
    assert not take_all(queue)


def test_trigger_without_a_server_is_one_line(
    repository: pathlib.Path, rules: pathlib.Path, rapid: Rapid
) -> None:
    """No traceback, and no password."""
    url = f"redis://observer:secret@127.0.0.1:{free_port()}/0"
    result = rapid("trigger", repository, "-e", EXPOSURE, "--dispatch", rules, "--redis", url)
    assert result.exit_code == 1
    assert "The queue's server" in result.output
    assert "secret" not in result.output
