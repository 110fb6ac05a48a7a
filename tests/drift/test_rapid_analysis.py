# This file is part of ra_pipe.
#
# Use of this source code is governed by a 3-clause BSD-style
# license that can be found in the LICENSE file.

"""Rapid Analysis against Alert Production, field by field."""

from __future__ import annotations

import collections
import datetime
import json
import os
import pathlib
from typing import Any

import pytest
from ap_stand_ins import facts_of_others, find_actions, install
from lsst.ra.pipe.drift import (
    Comparison,
    DriftError,
    Level,
    TaskSnapshot,
    compare_snapshots,
    judge,
    load_policy,
    load_snapshot,
)

ROOT = pathlib.Path(__file__).resolve().parents[2]
UPSTREAM = ROOT / "tests" / "data" / "upstream"
INSTRUMENTS = {"LSSTCam": "LsstCam", "LSSTComCam": "LsstComCam", "LATISS": "Latiss"}


@pytest.fixture
def variables(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the pipelines are: upstream's own if they are set up."""
    monkeypatch.setenv("RA_PIPE_DIR", str(ROOT))
    for product in ("ap_pipe", "analysis_tools"):
        name = f"{product.upper()}_DIR"
        monkeypatch.setenv(name, os.environ.get(name, str(UPSTREAM / product)))


def values(task: TaskSnapshot) -> dict[str, Any]:
    """Return what is declared of a task's fields."""
    return {name: setting.value for name, setting in task.config.items()}


def compare(camera: str, shared: pathlib.Path) -> Comparison:
    """Compare the pipelines of a camera, with tasks that have AP's fields."""
    sides = [
        f"$AP_PIPE_DIR/pipelines/{camera}/SingleFrame.yaml",
        f"$RA_PIPE_DIR/pipelines/{camera}/RapidAnalysis.yaml",
    ]
    facts = json.loads((shared / "ap" / f"ap-{camera}-SingleFrame.json").read_text())["tasks"]
    declared = [load_snapshot(uri, level=Level.DECLARED) for uri in sides]
    tasks: dict[str, tuple[str, Any]] = {}
    fields: dict[str, dict[str, Any]] = collections.defaultdict(dict)
    for side in declared:
        for label, task in side.tasks.items():
            fields[task.task_class] |= values(task)
            of_class = facts_of_others(fields[task.task_class])
            tasks[task.task_class] = (label, facts.get(label, of_class))
    actions: dict[str, list[str]] = {}
    for task in declared[1].tasks.values():
        actions |= find_actions(values(task))
    with pytest.MonkeyPatch.context() as patch:
        install(patch, f"lsst.obs.lsst.{INSTRUMENTS[camera]}", tasks, actions)
        return compare_snapshots(*(load_snapshot(uri, level=Level.RESOLVED) for uri in sides))


@pytest.mark.usefixtures("variables")
def test_every_difference_of_every_field_is_declared(shared: pathlib.Path) -> None:
    """What the policy allows is what differs, at the resolved level, too."""
    policy = load_policy(ROOT / "config" / "drift" / "RapidAnalysis.yaml")
    comparisons = [compare(camera, shared) for camera in INSTRUMENTS]
    verdict = judge(comparisons, policy, today=datetime.date(2026, 11, 22))
    assert {comparison.level for comparison in comparisons} == {Level.RESOLVED}
    assert [str(one.difference) for side in verdict.comparisons for one in side.undeclared] == []
    assert list(map(str, verdict.faults)) == []


@pytest.mark.usefixtures("variables")
def test_upstream_classes_are_not_here() -> None:
    """The stand-ins of the other test do not outlive it."""
    with pytest.raises(DriftError, match="is not installed"):
        load_snapshot("$AP_PIPE_DIR/pipelines/LSSTCam/SingleFrame.yaml", level=Level.RESOLVED)
