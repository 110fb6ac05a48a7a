# This file is part of ra_pipe.
#
# Use of this source code is governed by a 3-clause BSD-style
# license that can be found in the LICENSE file.

from __future__ import annotations

import pathlib

import click
import pytest
from camera.raws import EXPOSURE, write_raw
from click.testing import CliRunner, Result
from lsst.daf.butler import Butler
from lsst.ra.pipe.cli import main
from lsst.ra.pipe.cli._identifiers import IdentifierRange


def invoke(*args: object) -> Result:
    """Run ``rapid`` with arguments."""
    return CliRunner().invoke(main, [str(arg) for arg in args], catch_exceptions=False)


@pytest.fixture
def repository(tmp_path: pathlib.Path) -> pathlib.Path:
    """Repository that the command line made."""
    result = invoke("repo", "create", tmp_path / "repo")
    assert result.exit_code == 0, result.output
    return tmp_path / "repo"


@pytest.mark.parametrize(
    "command", [(), ("demo",), ("ingest",), ("repo", "create"), ("run",), ("simulate",), ("warm-up",)]
)
def test_every_command_has_help(command: tuple[str, ...]) -> None:
    """The help names the command's options."""
    result = invoke(*command, "--help")
    assert result.exit_code == 0
    assert "--help" in result.output


@pytest.mark.parametrize(
    ("text", "numbers"),
    [("7", (7,)), ("90..98", tuple(range(90, 99))), ("1, 5,7..9", (1, 5, 7, 8, 9)), ("0..10:5", (0, 5, 10))],
)
def test_identifier_range(text: str, numbers: tuple[int, ...]) -> None:
    """Ranges include both ends, as in a Butler query."""
    assert IdentifierRange().convert(text, None, None) == numbers


@pytest.mark.parametrize("text", ["", "1..", "a", "1-5"])
def test_bad_identifier_range_is_refused(text: str) -> None:
    """The error shows what was not understood."""
    with pytest.raises(click.BadParameter, match="expected numbers and ranges"):
        IdentifierRange().convert(text, None, None)


def test_ingest_twice(repository: pathlib.Path, tmp_path: pathlib.Path) -> None:
    """The second time nothing is added, and both succeed."""
    raw = write_raw(tmp_path / "raw.fits")
    assert "1 raws ingested, 0 were there" in invoke("ingest", repository, raw).output
    second = invoke("ingest", repository, raw)
    assert "0 raws ingested, 1 were there" in second.output
    assert second.exit_code == 0
    assert Butler.from_config(repository).query_datasets("raw", collections="LSSTCam/raw/all")


def test_ingest_of_a_bad_file_fails_and_says_why(repository: pathlib.Path, tmp_path: pathlib.Path) -> None:
    """Exit status 1, the file's name and the reason; the good one is in."""
    good = write_raw(tmp_path / "good.fits")
    bad = tmp_path / "bad.fits"
    bad.write_bytes(good.read_bytes()[:1000])
    result = invoke("ingest", repository, good, bad)
    assert result.exit_code == 1
    assert "bad.fits" in result.output
    assert "1 files were not ingested" in result.output
    assert len(Butler.from_config(repository).query_datasets("raw", collections="LSSTCam/raw/all")) == 1


def test_missing_repository_is_one_line(tmp_path: pathlib.Path) -> None:
    """No traceback, exit status 1, and how to make one."""
    result = invoke("ingest", tmp_path / "nowhere", tmp_path)
    assert result.exit_code == 1
    assert "rapid repo create" in result.output


def test_run_of_an_unknown_exposure(repository: pathlib.Path) -> None:
    """The error names the exposure."""
    result = invoke("run", repository, "-p", "x.yaml", "-e", EXPOSURE, "-o", "u/test")
    assert result.exit_code == 1
    assert str(EXPOSURE) in result.output


def test_run_of_a_missing_pipeline(repository: pathlib.Path) -> None:
    """The error names the file."""
    result = invoke("run", repository, "-p", "nowhere/x.yaml", "-e", EXPOSURE, "-d", "94", "-o", "u/test")
    assert result.exit_code == 1
    assert "nowhere/x.yaml" in result.output


def test_certify_of_a_missing_manifest(repository: pathlib.Path) -> None:
    """The error names the file."""
    result = invoke("repo", "certify", repository, "nowhere/manifest.ecsv")
    assert result.exit_code == 1
    assert "nowhere/manifest.ecsv" in result.output
