# This file is part of ra_pipe.
#
# Use of this source code is governed by a 3-clause BSD-style
# license that can be found in the LICENSE file.

"""What is a difference between two pipelines, and what follows from one."""

from __future__ import annotations

import os
import pathlib
import subprocess
import sys

import pytest
from drift_home import CONFIG_LINE, Home, make_home
from drift_tree import ROOT, environment
from lsst.ra.pipe.drift._compare import compare_snapshots
from lsst.ra.pipe.drift._difference import Difference
from lsst.ra.pipe.drift._errors import DriftError
from lsst.ra.pipe.drift._load import make_snapshot
from lsst.ra.pipe.drift._snapshot import Level, Snapshot

SAMPLE = {"DRIFT_TEST_DIR": ROOT / "tests" / "data" / "drift"}


@pytest.fixture
def home(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> Home:
    """A product."""
    monkeypatch.setenv("DRIFT_TEST_DIR", str(SAMPLE["DRIFT_TEST_DIR"]))
    return make_home(tmp_path / "here", monkeypatch)


def explain(differences: tuple[Difference, ...]) -> list[str]:
    """Say each difference in one line."""
    return [
        f"{one.kind} {'.'.join(filter(None, (one.task, one.name)))}: {one.reference} | {one.candidate}"
        for one in differences
    ]


def compare(home: Home, one: str, other: str, *, level: Level = Level.DECLARED) -> list[str]:
    """Compare two pipelines given by their text."""
    snapshots = []
    for text in (one, other):
        home.write({"p.yaml": text})
        snapshots.append(make_snapshot("$HERE_DIR/p.yaml", level=level))
    return explain(compare_snapshots(*snapshots).differences)


BASE = """description: Some tasks.
instrument: some.package.Camera
parameters:
  depth: 3
tasks:
  one:
    class: some.package.One
    config: {a: parameters.depth, b: 1}
  two:
    class: some.package.module.Two
    config: {c: [x, y]}
  three: some.package.Three
subsets:
  first: [one, two]
  last: {subset: [three], description: The last.}
  all: [one, two, three]
steps:
  - {label: first, dimensions: [visit, detector]}
  - {label: last, dimensions: [visit]}
contracts:
  - contract: one.a == two.b
    msg: they differ
  - two.b  >  3
"""


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("some.package.module.Two", "some.package.Two"),
        ("some.package.Camera", "some.package.cameras.Camera"),
        ("Some tasks.", "Some other words."),
        ("two.b  >  3", "two.b > 3"),
        ("[one, two]", "[two, one]"),
        ("[visit, detector]", "[detector, visit]"),
        ("msg: they differ", "msg: |\n      they\n      differ"),
        ("description: The last.", "description: Said otherwise."),
        ("depth: 3", "depth: 3.0"),
    ],
)
def test_same_pipeline_in_other_words(home: Home, old: str, new: str) -> None:
    """Names of classes, order and layout make no difference."""
    assert compare(home, BASE, BASE.replace(old, new)) == []


@pytest.mark.parametrize(
    ("old", "new", "found"),
    [
        ("some.package.One", "some.package.Other", ["class one: some.package.One | some.package.Other"]),
        ("some.package.Camera", "some.package.Cam", ["instrument : some.package.Camera | some.package.Cam"]),
        ("instrument: some.package.Camera\n", "", ["instrument : some.package.Camera | (not there)"]),
        ("depth: 3", "depth: 4", ["parameter depth: 3 | 4"]),
        ("depth: 3", "depth: true", ["parameter depth: 3 | True"]),
        ("b: 1", "b: 2", ["field one.b: 1 | 2"]),
        (", b: 1", "", ["field one.b: 1 | (not there)"]),
        ("[x, y]", "[y, x]", ["field two.c: ['x', 'y'] | ['y', 'x']"]),
        ("first: [one, two]", "first: [one]", ["subset first: {'one', 'two'} | {'one'}"]),
        ("  all: [one, two, three]\n", "", ["subset all: {'one', 'three', 'two'} | (not there)"]),
        ("dimensions: [visit]", "dimensions: [exposure]", ["step last: {'visit'} | {'exposure'}"]),
        ("  - {label: last, dimensions: [visit]}\n", "", ["step last: {'visit'} | (not there)"]),
        ("one.a == two.b", "one.a != two.b", ["contract one.a == two.b: one.a == two.b | one.a != two.b"]),
        ("they differ", "oh no", ["contract one.a == two.b: 'they differ' | 'oh no'"]),
        ("  - two.b  >  3\n", "", ["contract two.b > 3: two.b > 3 | (not there)"]),
        ("a: parameters.depth", "a: 3", []),
        ("a: parameters.depth", "a: 4", ["field one.a: 3 | 4"]),
    ],
)
def test_one_change_is_one_difference(home: Home, old: str, new: str, found: list[str]) -> None:
    """Each kind is told, with both values."""
    result = [
        line.replace("'one.a == two.b'", "one.a == two.b")
        for line in compare(home, BASE, BASE.replace(old, new))
    ]
    assert [line.replace("'", "") for line in result] == [line.replace("'", "") for line in found]


def test_renamed_task_is_one_difference(home: Home) -> None:
    """Its subsets and contracts are compared under the old label."""
    text = BASE.replace("one", "uno")
    assert compare(home, BASE, text) == ["task one: 'one' | 'uno'"]
    # With other settings it is another task.
    assert compare(home, BASE, text.replace("b: 1", "b: 2")) == [
        "task one: some.package.One | (not there)",
        "task uno: (not there) | some.package.One",
    ]


def test_renamed_subset_is_one_difference(home: Home) -> None:
    """Its step goes along."""
    text = BASE.replace("first:", "begin:").replace("label: first", "label: begin")
    assert compare(home, BASE, text) == ["subset first: 'first' | 'begin'"]


def test_what_a_missing_task_takes_along_is_not_reported(home: Home) -> None:
    """Subsets, steps and contracts of a task that is not there follow."""
    text = BASE.replace("  three: some.package.Three\n", "").replace(", three]", "]")
    text = text.replace("  last: {subset: [three], description: The last.}\n", "")
    text = text.replace("  - {label: last, dimensions: [visit]}\n", "")
    assert compare(home, BASE, text) == ["task three: some.package.Three | (not there)"]
    assert compare(home, text, BASE) == ["task three: (not there) | some.package.Three"]
    # The contracts of two.
    start, end = text.index("  two:\n"), text.index("subsets:")
    without = text[:start] + text[end:].replace("one, two", "one")
    without = without[: without.index("contracts:")]
    assert compare(home, text, without) == ["task two: some.package.module.Two | (not there)"]


def test_comparison_has_a_direction(home: Home) -> None:
    """The reference comes first."""
    assert compare(home, BASE.replace("b: 1", "b: 2"), BASE) == ["field one.b: 2 | 1"]


def resolve_pair(home: Home, one: str, other: str) -> tuple[Difference, ...]:
    """Compare two configurations of one task at the resolved level."""
    snapshots = []
    for config in (one, other):
        home.measure(config)
        snapshots.append(home.resolve())
    return compare_snapshots(*snapshots).differences


@pytest.mark.parametrize(
    ("config", "found"),
    [
        ("python: config.plugins['flux'].limit = float('nan')", []),
        ("python: config.plugins['shape'].n_iterations", []),
        ("python: config.plugins.names |= ['shape']", ["plugins.names"]),
        ("python: config.plugins.names = ['size']", ["plugins.names"]),
        ("python: config.plugins.names = ['flux', 'size']", []),
        ("selector.name: by_shape", ["selector.name"]),
        ("python: config.selector['by_shape'].n_iterations = 3", ["selector.by_shape.n_iterations"]),
        ("connections.stage: second", ["connections.stage"]),
        ("connections.image: other", ["connections.image"]),
        ("do_dark: false", ["do_dark", "dark"]),
        ("colors: {g: 0.1}", ["colors.r"]),
        ("python: config.colors['i'] = 3.0", ["colors.i"]),
        ("python: 'from drift_tasks import RobustFitter as R; config.fitter.retarget(R)'", ["fitter.target"]),
        ("threshold: 5", []),
    ],
)
def test_what_follows_from_a_difference_is_not_reported(home: Home, config: str, found: list[str]) -> None:
    """Defaults of what was chosen, and dataset types of what was named, follow."""
    differences = resolve_pair(home, "masks: [BAD, SAT]", config)
    assert [one.name for one in differences] == found
    for one in differences:
        if str(one.kind) == "field" and not one.candidate.is_absent:
            assert str(one.candidate.set_by) == f"$HERE_DIR/p.yaml:{CONFIG_LINE}"


def test_instrument_that_is_overridden_by_the_pipeline(home: Home) -> None:
    """An instrument's override counts where no pipeline has another."""
    home.measure("threshold: 5.5\nfitter.order: 4\nmasks: [BAD, VIGNETTED]\ncolors: {g: 0.1, r: 0.2, y: 0.6}")
    without = home.resolve()
    text = (home.path / "p.yaml").read_text()
    home.write({"p.yaml": text + "instrument: drift_tasks.DriftCam\n"})
    assert explain(compare_snapshots(without, home.resolve()).differences) == [
        "instrument : (not there) | drift_tasks.DriftCam"
    ]


@pytest.mark.parametrize("name", ["pipelines/Leaf.yaml", "pipelines/Ingredients.yaml"])
@pytest.mark.parametrize("level", list(Level))
def test_snapshot_survives_json(name: str, level: Level) -> None:
    """What is written is read back, and is no difference."""
    with environment(SAMPLE):
        snapshot = make_snapshot(f"$DRIFT_TEST_DIR/{name}", level=level)
    text = snapshot.to_json()
    again = Snapshot.from_json(text, name="snapshot.json")
    assert again == snapshot
    assert again.to_json() == text
    assert compare_snapshots(snapshot, again).differences == ()


def test_snapshot_is_the_same_in_every_process() -> None:
    """Not even the order of hashes shows."""
    code = (
        "from lsst.ra.pipe.drift._load import make_snapshot\n"
        "print(make_snapshot('$DRIFT_TEST_DIR/pipelines/Leaf.yaml').to_json())"
    )
    texts = {
        subprocess.run(
            [sys.executable, "-c", code],
            env={
                **os.environ,
                "DRIFT_TEST_DIR": str(SAMPLE["DRIFT_TEST_DIR"]),
                "PYTHONPATH": str(ROOT / "tests"),
                "PYTHONHASHSEED": seed,
            },
            check=True,
            capture_output=True,
            text=True,
        ).stdout
        for seed in ("1", "2")
    }
    assert len(texts) == 1
    assert "resolved" in texts.pop()


def test_levels_that_do_not_fit_are_an_error(home: Home) -> None:
    """A pipeline known as declared cannot be compared with a snapshot that is resolved only."""
    home.measure("threshold: 7.5")
    resolved = home.resolve().model_copy(update={"declared": None})
    with pytest.raises(DriftError, match="cannot be compared"):
        compare_snapshots(resolved, home.declare())
    assert compare_snapshots(home.resolve(), home.declare()).level is Level.DECLARED
    assert compare_snapshots(home.resolve(), home.declare()).differences == ()


def test_python_block_may_do_anything(home: Home) -> None:
    """Where it cannot be run it is compared as it is; where it can, by what it does."""
    one = "python: |\n  for name in ('g', 'r'):\n      config.colors[name] = 1.0"
    other = "python: |\n  config.colors['g'] = 1.0\n  config.colors['r'] = 1.0"
    assert resolve_pair(home, one, other) == ()
    home.measure(one)
    declared = home.declare()
    home.measure(other)
    kinds = {str(difference.kind) for difference in compare_snapshots(declared, home.declare()).differences}
    assert kinds == {"block", "field"}
