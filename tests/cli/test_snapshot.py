# This file is part of ra_pipe.
#
# Use of this source code is governed by a 3-clause BSD-style
# license that can be found in the LICENSE file.

"""``rapid snapshot``: what is written where, and what is said of it."""

from __future__ import annotations

import json
import os
import pathlib
import subprocess
import sys

import pytest
from click.testing import CliRunner, Result
from drift_tree import PRODUCTS, ROOT
from lsst.ra.pipe.cli import main
from lsst.ra.pipe.drift import Level, Snapshot, load_snapshot

FIRST_LOOK = "$RA_PIPE_DIR/pipelines/LSSTCam/FirstLook.yaml"
RAPID = "$RA_PIPE_DIR/pipelines/LSSTCam/RapidAnalysis.yaml"
LEAF = "$DRIFT_TEST_DIR/pipelines/Leaf.yaml"
HOMES = {**PRODUCTS, "DRIFT_TEST_DIR": ROOT / "tests" / "data" / "drift"}


@pytest.fixture(autouse=True)
def _variables(monkeypatch: pytest.MonkeyPatch) -> None:
    """The stand-ins for upstream packages, and the sample pipelines."""
    for name, home in HOMES.items():
        monkeypatch.setenv(name, str(home))


def snapshot(*args: object) -> Result:
    """Run ``rapid snapshot``."""
    return CliRunner().invoke(main, ["snapshot", *map(str, args)], catch_exceptions=False)


@pytest.mark.parametrize(
    ("pipeline", "level"), [(FIRST_LOOK, Level.RESOLVED), (RAPID, Level.DECLARED), (LEAF, Level.RESOLVED)]
)
def test_level_that_is_possible_is_written(pipeline: str, level: Level) -> None:
    """Nothing but JSON on standard output; the level is said on the other."""
    result = snapshot(pipeline)
    assert result.exit_code == 0
    found = Snapshot.from_json(result.stdout, name="stdout")
    assert found.level is level
    assert f"{pipeline}: {len(found.tasks)} tasks at the {level} level" in result.stderr
    assert bool(found.reason) is (level is Level.DECLARED)
    assert found.reason in result.stderr


def test_reason_names_the_class_that_is_missing() -> None:
    """And its package."""
    assert "lsst.ip.isr.IsrTaskLSST cannot be imported" in snapshot(f"{RAPID}#isr").stderr


def test_declared_level_can_be_asked_for() -> None:
    """Also where the tasks could be imported."""
    result = snapshot(FIRST_LOOK, "--level", "declared")
    assert Snapshot.from_json(result.stdout, name="stdout").level is Level.DECLARED
    assert "at the declared level: it was asked for" in result.stderr


def test_resolved_level_that_is_not_reached_is_status_two() -> None:
    """Nothing is written."""
    result = snapshot(RAPID, "--level", "resolved")
    assert result.exit_code == 2
    assert result.stderr.startswith(f"Error: {RAPID}:1: this pipeline cannot be resolved: ")
    assert result.stdout == ""


def test_file_has_what_standard_output_would_have(tmp_path: pathlib.Path) -> None:
    """In a directory that is made; it reads as a side of a comparison."""
    path = tmp_path / "new" / "leaf.json"
    result = snapshot(LEAF, "--output", path)
    assert result.exit_code == 0
    assert result.stdout == ""
    assert f"{path}: 3 tasks at the resolved level" in result.stderr
    assert path.read_text() == snapshot(LEAF).stdout
    assert load_snapshot(str(path)).tasks.keys() == {"measure", "measureAgain", "combine"}
    assert CliRunner().invoke(main, ["drift", LEAF, str(path)]).exit_code == 0


def test_labels_are_selected() -> None:
    """As pipelines are named elsewhere."""
    result = snapshot(f"{LEAF}#combine")
    assert Snapshot.from_json(result.stdout, name="stdout").tasks.keys() == {"combine"}


def test_file_that_cannot_be_written_is_status_two(tmp_path: pathlib.Path) -> None:
    """Not a traceback."""
    (tmp_path / "file").write_text("")
    result = snapshot(LEAF, "-o", tmp_path / "file" / "leaf.json")
    assert result.exit_code == 2
    assert str(tmp_path / "file") in result.stderr


@pytest.mark.parametrize(
    ("pipeline", "message"),
    [
        ("$NOT_SET_DIR/pipelines/Some.yaml", "NOT_SET_DIR is not set"),
        (f"{LEAF}#nothing", "Leaf.yaml:1: "),
        ("$RA_PIPE_DIR/config/rapid/isr.py", "isr.py:"),
        ("$RA_PIPE_DIR/config/nowhere.json", "nowhere.json:1: this file cannot be read"),
    ],
)
def test_what_cannot_be_read_is_status_two(pipeline: str, message: str) -> None:
    """The file is named."""
    result = snapshot(pipeline)
    assert result.exit_code == 2
    assert message in result.stderr


@pytest.mark.parametrize("pipeline", [FIRST_LOOK, RAPID, LEAF], ids=["resolved", "declared", "sample"])
def test_two_processes_write_the_same_bytes(pipeline: str, tmp_path: pathlib.Path) -> None:
    """Whatever the order of sets, the working directory and the time."""
    outputs = []
    for seed in ("1", "2"):
        directory = tmp_path / seed
        directory.mkdir()
        environment = {**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": str(ROOT / "tests")}
        command = [sys.executable, "-m", "lsst.ra.pipe.cli", "snapshot", pipeline]
        done = subprocess.run(command, env=environment, cwd=directory, capture_output=True, check=True)
        outputs.append(done.stdout)
    assert outputs[0] == outputs[1]
    assert Snapshot.from_json(outputs[0].decode(), name=pipeline).tasks


@pytest.mark.parametrize("change", ["class", "names"])
def test_facts_of_wrong_types_are_status_two(change: str, tmp_path: pathlib.Path) -> None:
    """The file is named; there is no traceback."""
    facts = json.loads((ROOT / "config" / "snapshots" / "LATISS" / "SingleFrame.json").read_text())
    if change == "class":
        facts["tasks"]["isr"]["class"] = 5
    else:
        facts["tasks"]["isr"]["config"]["some"] = {"names": "{1", "values": {}}
    path = tmp_path / "facts.json"
    path.write_text(json.dumps(facts))
    result = snapshot(path)
    assert result.exit_code == 2
    assert result.stderr.startswith("Error: ")
    assert "facts.json:1: " in result.stderr


def test_what_nobody_foresaw_is_status_two(monkeypatch: pytest.MonkeyPatch) -> None:
    """With its traceback."""

    def fail(*_: object, **__: object) -> None:
        raise ZeroDivisionError("not foreseen")

    monkeypatch.setattr("lsst.ra.pipe.cli._comparing.load_snapshot", fail)
    result = snapshot(LEAF)
    assert result.exit_code == 2
    assert "ZeroDivisionError: not foreseen" in result.stderr


def test_declared_level_of_a_resolved_snapshot_is_written(tmp_path: pathlib.Path) -> None:
    """A snapshot that does not have the level that is wanted is refused."""
    path = tmp_path / "leaf.json"
    snapshot(LEAF, "-o", path)
    result = snapshot(path, "--level", "declared")
    assert Snapshot.from_json(result.stdout, name="stdout").level is Level.DECLARED
    snapshot(path, "--level", "declared", "-o", tmp_path / "declared.json")
    result = snapshot(tmp_path / "declared.json", "--level", "resolved")
    assert result.exit_code == 2
    assert "declared.json:1: the resolved level was asked for" in result.stderr


# Override files.


def test_overrides_say_what_they_are_made_of() -> None:
    """The first lines name the snapshot and the class; the level is said beside."""
    name = "$RA_PIPE_DIR/config/snapshots/LATISS/SingleFrame.json#isr"
    result = snapshot(name, "--as-overrides", "lsst.ra.pipe.tasks.FirstLookIsrTask")
    assert result.exit_code == 0
    lines = result.stdout.splitlines()
    assert lines[0] == f"# Made from {name}"
    assert lines[1].startswith("# for lsst.ra.pipe.tasks.FirstLookIsrTask by `rapid snapshot --as-overrides`")
    assert any(line.startswith("config.") for line in lines)
    assert f"{name}: 1 task at the resolved level" in result.stderr


@pytest.mark.parametrize(
    ("pipeline", "task_class", "message"),
    [
        ("$RA_PIPE_DIR/config/snapshots/LATISS/SingleFrame.json", "drift_tasks.MeasureTask", "one task"),
        (f"{RAPID}#isr", "lsst.ra.pipe.tasks.FirstLookIsrTask", "declared level"),
        (f"{LEAF}#measure", "lsst.ip.isr.IsrTaskLSST", "lsst.ip.isr.IsrTaskLSST cannot be imported"),
    ],
)
def test_overrides_that_cannot_be_made_are_status_two(pipeline: str, task_class: str, message: str) -> None:
    """Several tasks, a level that does not have all fields, and a class that is not here."""
    result = snapshot(pipeline, "--as-overrides", task_class)
    assert result.exit_code == 2
    assert message in result.stderr
    assert result.stdout == ""
