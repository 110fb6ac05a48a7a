# This file is part of ra_pipe.
#
# Use of this source code is governed by a 3-clause BSD-style
# license that can be found in the LICENSE file.

"""The policies that this package ships hold for the pipelines it ships.

Upstream packages that are set up are used; otherwise small stand-ins for them.
"""

from __future__ import annotations

import json
import os
import pathlib
from collections.abc import Iterator, Mapping
from typing import Any

import pytest
from click.testing import CliRunner, Result
from drift_tree import PRODUCTS, ROOT, Tree, environment
from lsst.pipe.base import Pipeline
from lsst.ra.pipe.cli import main
from lsst.ra.pipe.drift import Level, load_policy, load_snapshot, make_snapshot

INSTRUMENTS = ("LATISS", "LSSTCam", "LSSTComCam")
POLICIES = sorted((ROOT / "config" / "drift").glob("*.yaml"))
SNAPSHOTS = sorted((ROOT / "config" / "snapshots").rglob("*.json"))
FIRST_LOOK = ROOT / "config" / "drift" / "FirstLook.yaml"
HOMES = {
    name: pathlib.Path(os.environ.get(name, home)) for name, home in PRODUCTS.items() if name != "RA_PIPE_DIR"
} | {"RA_PIPE_DIR": ROOT}

RAPID = {"doBinnedExposures", "doCalculateStatistics", "doCorrectGains"}
"""Settings that ``config/rapid/isr.py`` makes differ from AP's."""

OURS = ("binning", "connections")
"""Fields that name datasets or subtasks of each implementation of ISR."""


@pytest.fixture(autouse=True)
def _variables(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pipelines come from this checkout and from what upstream there is."""
    for name, home in HOMES.items():
        monkeypatch.setenv(name, str(home))


@pytest.fixture
def tree(tmp_path: pathlib.Path) -> Iterator[Tree]:
    """Copies of this package's files and of the stand-ins, which are set up."""
    tree = Tree.copy(PRODUCTS, tmp_path)
    with environment(tree.homes):
        yield tree


def gate(policy: pathlib.Path | str, *args: str) -> Result:
    """Run the gate for all pairs of a policy."""
    return CliRunner().invoke(main, ["drift", "--policy", str(policy), *args], catch_exceptions=False)


def append(path: pathlib.Path, line: str) -> int:
    """Add a line to a file; return its number."""
    text = path.read_text() + line + "\n"
    path.write_text(text)
    return text.count("\n")


def stem(path: pathlib.Path) -> str:
    """Name of a file in the names of tests."""
    return path.stem


# What is shipped.


def test_there_are_policies_and_snapshots() -> None:
    """The discovery finds what the workflow runs."""
    assert FIRST_LOOK in POLICIES
    assert len(POLICIES) >= 4
    assert {path.parent.name for path in SNAPSHOTS} == set(INSTRUMENTS)


@pytest.mark.parametrize("path", POLICIES, ids=stem)
def test_policy_says_what_and_why(path: pathlib.Path) -> None:
    """Every policy names pairs, and every entry has a reason that is a sentence."""
    policy = load_policy(path)
    assert policy.description.strip()
    assert policy.compare
    for entry in policy.allow:
        assert entry.reason.endswith("."), entry.place
        assert len(entry.reason.split()) > 3, entry.place


@pytest.mark.parametrize("path", POLICIES, ids=stem)
def test_gate_passes_as_shipped(path: pathlib.Path) -> None:
    """Every difference is declared, and every entry is used."""
    result = gate(path, "--format", "json")
    assert result.exit_code == 0, gate(path, "--format", "markdown").output


def test_every_pipeline_on_upstream_is_compared() -> None:
    """A new pipeline of Rapid Analysis or Prompt is held against what it imports."""
    compared = {one.candidate.partition("#")[0] for path in POLICIES for one in load_policy(path).compare}
    ours = [
        path
        for instrument in INSTRUMENTS
        for pattern in ("RapidAnalysis*.yaml", "Prompt.yaml", "FirstLook.yaml")
        for path in (ROOT / "pipelines" / instrument).glob(pattern)
    ]
    assert len(ours) >= 3 * len(INSTRUMENTS)
    assert {f"$RA_PIPE_DIR/{path.relative_to(ROOT)}" for path in ours} <= compared


def test_policy_of_first_look_is_short() -> None:
    """Three entries are about settings that Rapid Analysis changes; the rest is of two implementations."""
    entries = load_policy(FIRST_LOOK).allow
    fields = {name for entry in entries for name in entry.field or () if not name.startswith(OURS)}
    assert len(entries) <= 10
    assert fields == RAPID


# FirstLook inherits from AP's snapshots.


def flat(config: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Yield dotted names and values of a configuration in nested dictionaries."""
    for name, value in config.items():
        if isinstance(value, Mapping) and value:
            yield from flat(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value


def same(one: Any, other: Any) -> bool:
    """Compare values; NaN equals NaN, and an unset value is NaN there."""
    return bool(one == other or all(value is None or value != value for value in (one, other)))


@pytest.mark.parametrize("instrument", INSTRUMENTS)
def test_isr_settings_are_aps(shared: pathlib.Path, instrument: str) -> None:
    """Every field of FirstLook's ISR has AP's value but three, by a comparison that is not the gate's."""
    facts = json.loads((shared / "ap" / f"ap-{instrument}-SingleFrame.json").read_text())
    ap = dict(flat(facts["tasks"]["isr"]["config"]))
    graph = Pipeline.from_uri(str(ROOT / "pipelines" / instrument / "FirstLook.yaml")).to_graph()
    ours = dict(flat(graph.tasks["isr"].config.toDict()))  # type: ignore[no-untyped-call]
    compared = {name for name in ap.keys() | ours.keys() if not name.startswith(OURS)}
    assert len(compared) > 150
    assert {name for name in compared if not same(ap.get(name), ours.get(name))} == RAPID


def test_every_fact_has_its_snapshot(shared: pathlib.Path) -> None:
    """The snapshots are those of the facts, one by one."""
    facts = {path.stem.split("-", 1)[1] for path in (shared / "ap").glob("*.json")}
    assert {f"{path.parent.name}-{path.stem}" for path in SNAPSHOTS} == facts


@pytest.mark.parametrize("path", SNAPSHOTS, ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_snapshot_is_what_the_facts_give(path: pathlib.Path, shared: pathlib.Path) -> None:
    """`rapid snapshot` would write the same again."""
    [facts] = (shared / "ap").glob(f"*-{path.parent.name}-{path.stem}.json")
    result = CliRunner().invoke(main, ["snapshot", str(facts)], catch_exceptions=False)
    assert result.stdout == path.read_text()


@pytest.mark.parametrize("instrument", INSTRUMENTS)
def test_overrides_are_what_the_snapshot_gives(instrument: str) -> None:
    """`rapid snapshot --as-overrides` would write the instrument's file again."""
    snapshot = f"$RA_PIPE_DIR/config/snapshots/{instrument}/SingleFrame.json#isr"
    command = ["snapshot", snapshot, "--as-overrides", "lsst.ra.pipe.tasks.FirstLookIsrTask"]
    result = CliRunner().invoke(main, command, catch_exceptions=False)
    assert result.stdout == (ROOT / "config" / instrument / "isr.py").read_text()


# What the gate is for.


def test_change_of_alert_production_flows_in(tree: Tree) -> None:
    """Rapid Analysis has it by its import, and the gate has nothing to say."""
    path = tree.path("$AP_PIPE_DIR/pipelines/_ingredients/ApPipe.yaml")
    path.write_text(
        path.read_text().replace("downsample_max_footprints: 640", "downsample_max_footprints: 641")
    )
    for name in ("RapidAnalysis", "Prompt"):
        ours = make_snapshot(f"$RA_PIPE_DIR/pipelines/LSSTCam/{name}.yaml", level=Level.DECLARED)
        assert ours.tasks["calibrateImage"].config["downsample_max_footprints"].value == 641
        assert gate(f"$RA_PIPE_DIR/config/drift/{name}.yaml").exit_code == 0


@pytest.mark.parametrize(
    ("policy", "file", "line", "subject"),
    [
        (
            "RapidAnalysis",
            "config/rapid/calibrateImage.py",
            'config.star_selector["science"].signalToNoise.minimum = 3.0',
            "calibrateImage.star_selector.science.signalToNoise.minimum",
        ),
        ("RapidAnalysisIsr", "config/rapid/isr.py", "config.doFlat = False", "isr.doFlat"),
        (
            "RapidAnalysisCalibrations",
            "config/rapid/verifyDarkIsr.py",
            "config.doDark = False",
            "verifyDarkIsr.doDark",
        ),
        (
            "Prompt",
            "config/rapid/propagated/calibrateImage.py",
            "config.do_calibrate_pixels = False",
            "calibrateImage.do_calibrate_pixels",
        ),
        ("FirstLook", "config/rapid/isr.py", "config.doFlat = False", "isr.doFlat"),
    ],
)
def test_undeclared_change_fails(policy: str, file: str, line: str, subject: str, tree: Tree) -> None:
    """One line more in an override file, and the gate names the line."""
    number = append(tree.path(f"$RA_PIPE_DIR/{file}"), line)
    result = gate(f"$RA_PIPE_DIR/config/drift/{policy}.yaml", "--format", "markdown")
    assert result.exit_code == 1
    assert subject in result.output
    assert f"$RA_PIPE_DIR/{file}:{number}" in result.output


def test_undone_override_makes_its_entry_unused(tree: Tree) -> None:
    """An entry that allows what is no difference any more is an error, at its line."""
    path = tree.path("$RA_PIPE_DIR/config/rapid/isr.py")
    path.write_text(path.read_text().replace("config.doBinnedExposures = True\n", ""))
    result = gate("$RA_PIPE_DIR/config/drift/FirstLook.yaml", "--format", "markdown")
    policy = load_policy("$RA_PIPE_DIR/config/drift/FirstLook.yaml")
    [entry] = [one for one in policy.allow if one.field == ("doBinnedExposures",)]
    assert result.exit_code == 1
    assert str(entry.place) in result.output


def test_edited_snapshot_is_drift(tree: Tree) -> None:
    """AP's new value, in a new snapshot of it, is not FirstLook's by itself."""
    path = tree.path("$RA_PIPE_DIR/config/snapshots/LSSTCam/SingleFrame.json")
    text = path.read_text()
    assert '"doFlat": {"value": true}' in text
    path.write_text(text.replace('"doFlat": {"value": true}', '"doFlat": {"value": false}'))
    result = gate("$RA_PIPE_DIR/config/drift/FirstLook.yaml", "--format", "json")
    undeclared = [
        one["subject"]
        for verdict in json.loads(result.stdout)["verdicts"]
        for pair in verdict["comparisons"]
        for one in pair["undeclared"]
    ]
    assert result.exit_code == 1
    assert undeclared == ["isr.doFlat"]


def test_snapshots_say_what_they_leave_out() -> None:
    """Facts of a Science Pipelines install do not hold who set what."""
    for path in SNAPSHOTS:
        snapshot = load_snapshot(str(path))
        assert snapshot.level is Level.RESOLVED
        assert "origins" in snapshot.omits
