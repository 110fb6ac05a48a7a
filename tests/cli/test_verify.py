# This file is part of ra_pipe.
#
# Use of this source code is governed by a 3-clause BSD-style
# license that can be found in the LICENSE file.

"""``rapid verify``: exit status and output."""

from __future__ import annotations

import json
import pathlib

import pytest
from click.testing import CliRunner, Result
from lsst.ra.pipe.cli import main
from lsst.ra.pipe.cli._progress import console
from verify_repository import DETECTOR, EXPOSURE, get_repository, write_pipeline


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """Repository with one raw image."""
    return get_repository(tmp_path_factory)


@pytest.fixture
def pipeline(tmp_path: pathlib.Path) -> str:
    """FirstLook's ISR with few steps."""
    return write_pipeline(tmp_path / "reference.yaml")


def rapid_verify(repository: pathlib.Path, *args: object) -> Result:
    """Run ``rapid verify`` on the exposure."""
    command = ["verify", repository, "-e", EXPOSURE, *args]
    return CliRunner().invoke(main, [str(arg) for arg in command], catch_exceptions=False)


def test_differences_within_the_tolerance_are_success(
    repository: pathlib.Path, pipeline: str, tmp_path: pathlib.Path
) -> None:
    """Exit status 0, and it is said."""
    candidate = write_pipeline(tmp_path / "candidate.yaml", "altered_isr.ColdDarkIsrTask")
    result = rapid_verify(
        repository, "--reference", pipeline, "--candidate", candidate, "--no-steps", "--absolute", 1000
    )
    assert result.exit_code == 0
    assert "All final images are the same within the tolerance." in result.output


def test_differences_are_shown(
    repository: pathlib.Path, pipeline: str, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Exit status 1; step, plane and settings are in the tables, whole in 80 columns."""
    monkeypatch.setattr(console, "width", 80)
    candidate = write_pipeline(tmp_path / "candidate.yaml", "altered_isr.RowIsrTask", ampNoiseThreshold=30.0)
    result = rapid_verify(
        repository, "--reference", pipeline, "--candidate", candidate, "-d", DETECTOR, "--no-steps"
    )
    assert result.exit_code == 1
    for text in ("altered_isr.RowIsrTask", "ampNoiseThreshold", "the reference's", "all", "INTRP", "4072"):
        assert text in result.output
    assert "…" not in result.output
    assert f"The final images of detector {DETECTOR} differ." in result.output


def test_json_has_the_steps(repository: pathlib.Path, pipeline: str, tmp_path: pathlib.Path) -> None:
    """Nothing but JSON on standard output."""
    candidate = write_pipeline(tmp_path / "candidate.yaml", "altered_isr.RowIsrTask")
    result = rapid_verify(
        repository, "--reference", pipeline, "--candidate", candidate, "--format", "json", "--no-steps"
    )
    assert result.exit_code == 1
    content = json.loads(result.stdout)
    assert content["exit_code"] == 1
    assert [step["step"] for step in content["detectors"][0]["steps"]] == ["all"]


def test_what_cannot_run_is_status_two(repository: pathlib.Path, tmp_path: pathlib.Path) -> None:
    """A class of the Science Pipelines that is not here."""
    reference = write_pipeline(tmp_path / "other.yaml", "lsst.ip.isr.IsrTaskLSST")
    result = rapid_verify(repository, "--reference", reference)
    assert result.exit_code == 2
    assert "needs a Science Pipelines install (lsst.ip.isr)" in result.output


def test_the_reference_is_alert_production(repository: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without its pipelines the variable is named."""
    monkeypatch.delenv("AP_PIPE_DIR", raising=False)
    result = rapid_verify(repository)
    assert result.exit_code == 2
    assert "$AP_PIPE_DIR/pipelines/LSSTCam/SingleFrame.yaml" in result.output


def test_a_missing_repository_is_status_two(tmp_path: pathlib.Path) -> None:
    """As everything that cannot be compared."""
    result = rapid_verify(tmp_path / "nowhere")
    assert result.exit_code == 2
    assert "No Butler repository" in result.output
