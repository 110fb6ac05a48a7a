# This file is part of ra_pipe.
#
# Use of this source code is governed by a 3-clause BSD-style
# license that can be found in the LICENSE file.

"""What a reference changed, and what of that reaches who builds on it."""

from __future__ import annotations

import ast
import json
import pathlib
from collections.abc import Iterator, Mapping

import pytest
import yaml
from drift_tree import PRODUCTS, ROOT, Tree, environment
from lsst.ra.pipe.drift import (
    Change,
    ChangeReport,
    DriftError,
    Level,
    Policy,
    Reach,
    Snapshot,
    load_policy,
    load_snapshot,
    make_snapshot,
    trace_changes,
    write_changes,
)

SINGLE_FRAME = "$AP_PIPE_DIR/pipelines/LSSTCam/SingleFrame.yaml"
AP_PIPE = "$AP_PIPE_DIR/pipelines/_ingredients/ApPipe.yaml"
RAPID = "$RA_PIPE_DIR/pipelines/LSSTCam/RapidAnalysis.yaml"
PROPAGATED = "$RA_PIPE_DIR/config/rapid/propagated/calibrateImage.py"
OVERRIDES = "$RA_PIPE_DIR/config/rapid/calibrateImage.py"

INGREDIENTS = "$DRIFT_TEST_DIR/pipelines/Ingredients.yaml"
LEAF = "$DRIFT_TEST_DIR/pipelines/Leaf.yaml"
MEASURE = "$DRIFT_TEST_DIR/config/measure.py"


@pytest.fixture
def tree(tmp_path: pathlib.Path) -> Iterator[Tree]:
    """Copies of the products and of the sample pipelines, which are set up."""
    homes = {**PRODUCTS, "DRIFT_TEST_DIR": ROOT / "tests" / "data" / "drift"}
    tree = Tree.copy(homes, tmp_path)
    with environment(tree.homes):
        yield tree


def edit(tree: Tree, name: str, old: str, new: str) -> None:
    """Replace text that occurs once in a file."""
    path = tree.path(name)
    text = path.read_text()
    assert text.count(old) == 1, (name, old)
    path.write_text(text.replace(old, new))


def place(tree: Tree, name: str, text: str) -> str:
    """Return file and line of a text that occurs once."""
    lines = tree.path(name).read_text().splitlines()
    [number] = [i for i, line in enumerate(lines, 1) if text in line]
    return f"{name}:{number}"


def reaches(report: ChangeReport) -> Mapping[str, str]:
    """Return what changed, and what of it arrives."""
    return {one.difference.subject: str(one.reach) for one in report.changes}


def policy_of(name: str) -> Policy:
    """Load a policy as shipped."""
    return load_policy(f"$RA_PIPE_DIR/config/drift/{name}.yaml")


# Only what files say is known: Rapid Analysis, and Alert Production that changes.

LIMIT = 'config.star_selector["science"].signalToNoise.minimum = 12.5\n'

DECLARED = {
    "field": (("max_footprints: 640", "max_footprints: 641"), "calibrateImage.downsample_max_footprints"),
    "connection": (("stars: single_visit_star_un", "stars: single_un"), "calibrateImage.connections.stars"),
    "python": (("= 12.5", "= 13"), "calibrateImage.star_selector.science.signalToNoise.minimum"),
    "block": (
        ('("base_SdssShape", "base_Variance")', '("base_SdssShape", "base_Jacobian")'),
        "block calibrateImage.for plugin in ('base_SdssShape', 'base_Variance'):\n"
        "    config.star_measurement.plugins.names.discard(plugin)",
    ),
    "parameter": (("release_id: 7", "release_id: 8"), "parameter release_id"),
    "plugins added": (
        (LIMIT, LIMIT + '        config.star_measurement.plugins.names |= {"base_Jacobian"}\n'),
        "calibrateImage.star_measurement.plugins.names",
    ),
    "setting removed": (
        ("      downsample_max_footprints: 640\n", ""),
        "calibrateImage.downsample_max_footprints",
    ),
    "class": (("CalibrateImageTask", "CalibrateImageAgainTask"), "class calibrateImage"),
}
"""Changes of AP that Rapid Analysis has by its import; its own class must follow."""


@pytest.mark.parametrize(("change", "subject"), DECLARED.values(), ids=DECLARED)
def test_change_is_inherited(change: tuple[str, str], subject: str, tree: Tree) -> None:
    """Rapid Analysis says nothing of it, and has it."""
    old = load_snapshot(SINGLE_FRAME)
    edit(tree, AP_PIPE, *change)
    if subject.startswith("class"):
        edit(tree, RAPID, *change)
    report = trace_changes(old, load_snapshot(SINGLE_FRAME), load_snapshot(RAPID), policy_of("RapidAnalysis"))
    assert reaches(report) == {subject: "inherited"}
    assert report.exit_code == 0
    assert report.level is Level.DECLARED
    assert report.changes[0].set_by == ""


SUBSET = """\
subsets:
  apPipeSingleFrame:
    subset: [isr, calibrateImage, analyzePreliminarySummaryStats]"""

ADDED_TASK = (SUBSET, f"  addedTask: lsst.pipe.tasks.added.AddedTask\n{SUBSET[:-1]}, addedTask]")
"""A task more, in the subset that SingleFrame takes of ApPipe."""


def test_added_task_is_inherited(tree: Tree) -> None:
    """It is there; the subset of AP that has it is AP's."""
    old = load_snapshot(SINGLE_FRAME)
    edit(tree, AP_PIPE, *ADDED_TASK)
    report = trace_changes(old, load_snapshot(SINGLE_FRAME), load_snapshot(RAPID))
    assert reaches(report) == {"task addedTask": "inherited"}


def test_added_task_is_missing_where_labels_are_included(tree: Tree) -> None:
    """RapidAnalysisIsr takes ISR only; what changes elsewhere never gets there."""
    old = load_snapshot(SINGLE_FRAME)
    edit(tree, AP_PIPE, *ADDED_TASK)
    edit(tree, AP_PIPE, "max_footprints: 640", "max_footprints: 641")
    isr_only = load_snapshot("$RA_PIPE_DIR/pipelines/LSSTCam/RapidAnalysisIsr.yaml")
    report = trace_changes(old, load_snapshot(SINGLE_FRAME), isr_only)
    assert reaches(report) == {
        "task addedTask": "missing",
        "calibrateImage.downsample_max_footprints": "missing",
    }
    assert report.exit_code == 1


def test_repeated_change_names_the_override(tree: Tree) -> None:
    """Alert Production took what was offered; the override is not needed any more."""
    old = load_snapshot(SINGLE_FRAME)
    edit(tree, AP_PIPE, "max_footprints: 640", "max_footprints: 640\n      astrometry.maxIter: 2")
    report = trace_changes(old, load_snapshot(SINGLE_FRAME), load_snapshot(RAPID), policy_of("RapidAnalysis"))
    assert reaches(report) == {"calibrateImage.astrometry.maxIter": "repeated"}
    [change] = report.changes
    assert change.set_by == place(tree, PROPAGATED, "config.astrometry.maxIter")
    assert change.candidate is None
    assert [entry.names for entry in change.entries] == [("astrometry.maxIter",)]
    assert report.exit_code == 0


@pytest.mark.parametrize(
    ("change", "field", "file", "entries"),
    [
        (
            ("max_footprints: 640", "max_footprints: 640\n      astrometry.maxIter: 5"),
            "astrometry.maxIter",
            PROPAGATED,
            [("astrometry.maxIter",)],
        ),
        (
            ("do_downsample_footprints: true", "do_downsample_footprints: false"),
            "do_downsample_footprints",
            OVERRIDES,
            [],
        ),
    ],
)
def test_shadowed_change_names_the_override(
    change: tuple[str, str], field: str, file: str, entries: list[tuple[str, ...]], tree: Tree
) -> None:
    """The change never reaches Rapid Analysis, whether or not it differed before."""
    old = load_snapshot(SINGLE_FRAME)
    edit(tree, AP_PIPE, *change)
    report = trace_changes(old, load_snapshot(SINGLE_FRAME), load_snapshot(RAPID), policy_of("RapidAnalysis"))
    assert reaches(report) == {f"calibrateImage.{field}": "shadowed"}
    [one] = report.changes
    assert one.set_by == place(tree, file, f"config.{field}")
    assert str(one.difference.candidate.set_by).startswith(f"{AP_PIPE}:")
    assert [entry.names for entry in one.entries] == entries
    assert report.exit_code == 1


def test_new_class_is_shadowed_by_a_pipeline_that_names_the_old_one(tree: Tree) -> None:
    """A pipeline that sets fields of a task has to name its class, too."""
    old = load_snapshot(SINGLE_FRAME)
    edit(tree, AP_PIPE, "CalibrateImageTask", "CalibrateImageAgainTask")
    report = trace_changes(old, load_snapshot(SINGLE_FRAME), load_snapshot(RAPID))
    assert reaches(report) == {"class calibrateImage": "shadowed"}
    assert report.changes[0].set_by == place(tree, RAPID, "CalibrateImageTask")


def test_selection_that_the_candidate_undoes_is_shadowed(tree: Tree) -> None:
    """A plugin that AP adds and Rapid Analysis assigns away."""
    old = load_snapshot(SINGLE_FRAME)
    more = 'config.star_measurement.plugins.names |= {"base_Jacobian"}\n'
    edit(tree, AP_PIPE, LIMIT, f"{LIMIT}        {more}")
    path = tree.path(OVERRIDES)
    path.write_text(path.read_text() + 'config.star_measurement.plugins.names = ["base_FPPosition"]\n')
    report = trace_changes(old, load_snapshot(SINGLE_FRAME), load_snapshot(RAPID))
    assert reaches(report) == {"calibrateImage.star_measurement.plugins.names": "shadowed"}


def test_renamed_label_is_missing_where_the_old_one_is_kept(tree: Tree, tmp_path: pathlib.Path) -> None:
    """A copy of the pipeline as it was has another label, not the new one."""
    candidate = tmp_path / "Copy.yaml"
    candidate.write_text("description: A copy.\ntasks: {old: not.there.Task}\n")
    reference = tmp_path / "Reference.yaml"
    reference.write_text("description: Reference.\ntasks: {old: not.there.Task}\n")
    old = load_snapshot(str(reference))
    reference.write_text("description: Reference.\ntasks: {new: not.there.Task}\n")
    report = trace_changes(old, load_snapshot(str(reference)), load_snapshot(str(candidate)))
    assert reaches(report) == {"task old": "shadowed"}
    same = trace_changes(old, load_snapshot(str(reference)), load_snapshot(str(reference)))
    assert reaches(same) == {"task old": "inherited"}


@pytest.mark.parametrize(
    ("section", "was", "now"),
    [
        ("contracts", "[one.a == 1]", "[one.a == 2]"),
        ("subsets", "{few: {subset: [one]}}", "{some: {subset: [one]}}"),
    ],
)
def test_text_that_the_candidate_keeps_is_shadowed(
    section: str, was: str, now: str, tmp_path: pathlib.Path
) -> None:
    """Contracts and subsets have no name but the one that changes."""
    head = "description: A pipeline.\ntasks: {one: not.there.Task}\n"
    path, copy = tmp_path / "Reference.yaml", tmp_path / "Copy.yaml"
    for file in (path, copy):
        file.write_text(f"{head}{section}: {was}\n")
    old = load_snapshot(str(path))
    path.write_text(f"{head}{section}: {now}\n")
    new = load_snapshot(str(path))
    assert [one.reach for one in trace_changes(old, new, new).changes] == [Reach.INHERITED]
    kept = trace_changes(old, new, load_snapshot(str(copy)))
    assert [one.reach for one in kept.changes] == [Reach.SHADOWED]


def test_entry_that_a_change_touches_is_named(tree: Tree) -> None:
    """Also one whose difference is gone since."""
    old = load_snapshot(SINGLE_FRAME)
    edit(tree, AP_PIPE, "max_footprints: 640", "max_footprints: 640\n      useButlerCamera: true")
    report = trace_changes(old, load_snapshot(SINGLE_FRAME), load_snapshot(RAPID), policy_of("RapidAnalysis"))
    [change] = report.changes
    assert [entry.names for entry in change.entries] == [("useButlerCamera",)]
    assert str(change.entries[0].place).startswith("$RA_PIPE_DIR/config/drift/RapidAnalysis.yaml:")


def test_nothing_changed(tree: Tree) -> None:
    """Differences between reference and candidate are no changes."""
    report = trace_changes(load_snapshot(SINGLE_FRAME), load_snapshot(SINGLE_FRAME), load_snapshot(RAPID))
    assert report.changes == ()
    assert report.exit_code == 0


def test_old_snapshot_is_stale_by_intent(tree: Tree, tmp_path: pathlib.Path) -> None:
    """A snapshot of files that changed is refused, but as what was."""
    path = tmp_path / "old.json"
    path.write_text(make_snapshot(SINGLE_FRAME).to_json())
    edit(tree, AP_PIPE, "max_footprints: 640", "max_footprints: 641")
    with pytest.raises(DriftError, match="stale"):
        load_snapshot(str(path))
    old = load_snapshot(str(path), may_be_stale=True)
    report = trace_changes(old, load_snapshot(SINGLE_FRAME), load_snapshot(RAPID))
    assert reaches(report) == {"calibrateImage.downsample_max_footprints": "inherited"}


# All fields are known: the samples, of which one pipeline imports the other.

LATE = "  late: {class: drift_tasks.CombineTask, config: {connections.summary: late}}"

RESOLVED = {
    "field": ({"threshold: 6.5": "threshold: 7.5"}, {"measure.threshold": "inherited"}),
    "block": (
        {"config.colors[key] = 0.3": "config.colors[key] = 0.7"},
        {"measure.colors.g": "inherited", "measure.colors.r": "inherited"},
    ),
    "set to the same": ({"config.fit.clip = 2.5": "config.fit.clip = 1.5"}, {"measure.fit.clip": "repeated"}),
    "set to another": ({'"in the block"': '"changed"'}, {"measure.name": "shadowed"}),
    "plugin that is added by both": (
        {'config.name = "in': 'config.plugins.names |= {"shape"}; config.name = "in'},
        {"measure.plugins.names": "repeated"},
    ),
    "plugin that is removed by one": (
        {'config.name = "in': 'config.plugins.names -= {"size"}; config.name = "in'},
        {"measure.plugins.names": "inherited"},
    ),
    "field of a plugin": (
        {'config.name = "in': 'config.plugins["flux"].limit = 3.0; config.name = "in'},
        {"measure.plugins.flux.limit": "shadowed"},
    ),
    "field of a plugin that is not chosen": (
        {'config.name = "in': 'config.selector["by_shape"].n_iterations = 3; config.name = "in'},
        {"measure.selector.by_shape.n_iterations": "inherited"},
    ),
    "parameter": ({"release: 7": "release: 8"}, {"parameter release": "inherited"}),
    "task": (
        {"subsets:\n": f"{LATE}\nsubsets:\n"},
        {"task late": "inherited"},
    ),
    "contract": (
        {"  - measure.threshold != combine.n_least": "  - measure.threshold < 50"},
        {"contract measure.threshold != combine.n_least": "inherited"},
    ),
    "switch": (
        {"do_dark: false": "do_dark: true"},
        {"measureAgain.do_dark": "inherited", "connection measureAgain.dark": "inherited"},
    ),
    "class": (
        {
            "Task\n    config:\n      connections.image": "AgainTask\n    config:\n      connections.image",
        },
        {"class measureAgain": "inherited"},
    ),
}
"""Changes of the reference, and what of them reaches the pipeline that imports it."""


def trace_resolved(tree: Tree, edits: Mapping[str, str], candidate: str = LEAF) -> ChangeReport:
    """Change the samples; trace that at the resolved level."""
    old = load_snapshot(INGREDIENTS, level=Level.RESOLVED)
    for before, after in edits.items():
        edit(tree, INGREDIENTS, before, after)
    report = trace_changes(
        old, load_snapshot(INGREDIENTS, level=Level.RESOLVED), load_snapshot(candidate, level=Level.RESOLVED)
    )
    assert report.level is Level.RESOLVED
    return report


@pytest.mark.parametrize(("edits", "expected"), RESOLVED.values(), ids=RESOLVED)
def test_resolved_change_reaches(edits: dict[str, str], expected: dict[str, str], tree: Tree) -> None:
    """What is told is what the import and the overrides do to it."""
    report = trace_resolved(tree, edits)
    assert reaches(report) == expected
    assert report.exit_code == int(not {"shadowed", "missing"}.isdisjoint(expected.values()))


def test_resolved_override_is_named_with_its_line(tree: Tree) -> None:
    """Also in a file that another one loads."""
    report = trace_resolved(
        tree, {'"in the block"': '"changed"', "config.fit.clip = 2.5": "config.fit.clip = 1.5"}
    )
    places = {one.difference.name: one.set_by for one in report.changes}
    assert places == {
        "name": place(tree, "$DRIFT_TEST_DIR/config/nested.py", "config.name"),
        "fit.clip": place(tree, MEASURE, "config.fit.clip"),
    }


@pytest.mark.parametrize(("value", "reach"), [(8, "repeated"), (9, "shadowed")])
def test_parameter_of_the_candidate(value: int, reach: str, tree: Tree) -> None:
    """A parameter that the candidate sets as well."""
    path = tree.path(LEAF)
    path.write_text(path.read_text() + f"parameters: {{release: {value}}}\n")
    report = trace_resolved(tree, {"release: 7": "release: 8"})
    assert reaches(report) == {"parameter release": reach}
    assert report.changes[0].set_by == place(tree, LEAF, "parameters:")


# FirstLook inherits by files that are made of a snapshot.


def edit_fact(snapshot: str, path: pathlib.Path, field: str, value: object) -> Snapshot:
    """Write a copy of a snapshot with another value of a field of ISR."""
    content = json.loads(pathlib.Path(snapshot).read_text())
    setting = content["tasks"]["isr"]["config"][field]
    assert setting["value"] != value
    setting["value"] = value
    path.write_text(json.dumps(content))
    return load_snapshot(f"{path}#isr")


def trace_first_look(tmp_path: pathlib.Path, field: str, value: object) -> Change:
    """Have Alert Production change a field of ISR for LSSTCam."""
    now = str(ROOT / "config" / "snapshots" / "LSSTCam" / "SingleFrame.json")
    new = edit_fact(now, tmp_path / "new.json", field, value)
    candidate = load_snapshot("$RA_PIPE_DIR/pipelines/LSSTCam/FirstLook.yaml#isr")
    report = trace_changes(load_snapshot(f"{now}#isr"), new, candidate, policy_of("FirstLook"))
    assert report.level is Level.RESOLVED
    [change] = report.changes
    assert change.difference.name == field
    return change


def test_generated_override_shadows_a_new_value(tmp_path: pathlib.Path, tree: Tree) -> None:
    """The file says the old value until it is made again."""
    change = trace_first_look(tmp_path, "crosstalk.minPixelToMask", 45.0)
    assert change.reach is Reach.SHADOWED
    assert change.set_by == place(tree, "$RA_PIPE_DIR/config/LSSTCam/isr.py", "crosstalk.minPixelToMask")
    assert change.candidate is not None
    assert change.candidate.candidate.value == change.difference.reference.value == 1.0


def test_new_value_of_a_default_is_missing(tmp_path: pathlib.Path, tree: Tree) -> None:
    """No file of FirstLook says anything of it."""
    change = trace_first_look(tmp_path, "doFlat", False)
    assert change.reach is Reach.MISSING


def test_value_that_rapid_analysis_has_already_is_repeated(tmp_path: pathlib.Path, tree: Tree) -> None:
    """Alert Production follows; the override and its entry of the policy can go."""
    change = trace_first_look(tmp_path, "doCorrectGains", False)
    assert change.reach is Reach.REPEATED
    assert change.set_by == place(tree, "$RA_PIPE_DIR/config/rapid/isr.py", "config.doCorrectGains")
    assert [entry.names for entry in change.entries] == [("doCorrectGains",)]


# Small pipelines, whose tasks are not there; or are the samples' task.


def write_pipeline(path: pathlib.Path, config: Mapping[str, object], **more: object) -> None:
    """Write a pipeline of one task."""
    task = {"class": more.pop("task_class", "not.there.Task"), "config": dict(config)}
    path.write_text(yaml.safe_dump({"description": "A pipeline.", "tasks": {"one": task}, **more}))


def trace_small(
    tmp_path: pathlib.Path,
    was: Mapping[str, object],
    now: Mapping[str, object],
    own: Mapping[str, object],
    *,
    task_class: str = "not.there.Task",
    own_class: str = "",
    parameters: tuple[object, object] | None = None,
) -> Change:
    """Change a reference in one thing; trace it to a candidate that imports it."""
    level = Level.DECLARED if task_class.startswith("not.") else Level.RESOLVED
    path, candidate = tmp_path / "Reference.yaml", tmp_path / "Candidate.yaml"
    snapshots = []
    for i, config in enumerate((was, now)):
        more = {"parameters": {"p": parameters[i]}} if parameters else {}
        write_pipeline(path, config, task_class=task_class, **more)
        snapshots.append(load_snapshot(str(path), level=level))
    imports = {"imports": [{"location": str(path)}], "task_class": own_class or task_class}
    write_pipeline(candidate, own, **imports)
    theirs = load_snapshot(str(candidate), level=level)
    report = trace_changes(snapshots[0], snapshots[1], theirs)
    assert report.level is level
    [change] = report.changes
    arrives = change.reach in (Reach.INHERITED, Reach.REPEATED)
    assert report.exit_code == int(not arrives)
    assert not change.set_by or change.set_by.startswith(f"{candidate}:")
    assert bool(change.set_by) is (change.reach is not Reach.INHERITED)
    text = write_changes(report)
    assert all(name in text for name in change.hidden_by)
    return change


SAMPLE = "drift_tasks.MeasureTask"


@pytest.mark.parametrize(
    ("task_class", "field", "values"),
    [("not.there.Task", "x", (1, 9, 3)), (SAMPLE, "threshold", (1.0, 9.0, 3.0))],
    ids=["declared", "resolved"],
)
@pytest.mark.parametrize(
    ("own", "reach"),
    [("none", "inherited"), ("other", "shadowed"), ("same", "repeated"), ("parameter", "inherited")],
)
def test_field_that_the_candidate_takes_from_a_parameter(
    own: str,
    reach: str,
    task_class: str,
    field: str,
    values: tuple[float, float, float],
    tmp_path: pathlib.Path,
) -> None:
    """The parameter arrives, and its value does not where a field is set."""
    config = {field: "parameters.p"}
    others: Mapping[str, Mapping[str, object]] = {
        "none": {},
        "other": {field: values[2]},
        "same": {field: values[1]},
        "parameter": config,
    }
    mine = others[own]
    change = trace_small(
        tmp_path, config, config, mine, task_class=task_class, parameters=(values[0], values[1])
    )
    assert change.difference.subject == "parameter p"
    assert change.reach == reach
    assert change.hidden_by == ((f"one.{field}",) if own in ("other", "same") else ())


def test_all_fields_that_hide_a_parameter_are_named(tmp_path: pathlib.Path) -> None:
    """Not the first only, and not one that hides nothing."""
    config = dict.fromkeys(("x", "y", "z"), "parameters.p")
    change = trace_small(tmp_path, config, config, {"x": 3, "z": 4}, parameters=(1, 9))
    assert change.hidden_by == ("one.x", "one.z")
    assert change.set_by.count("Candidate.yaml:") == 2


@pytest.mark.parametrize(
    ("config", "own", "reach"),
    [
        ({}, {}, "inherited"),
        ({}, {"connections.image": "{stage}_other"}, "inherited"),
        ({}, {"connections.image": "raw"}, "shadowed"),
        ({}, {"connections.image": "second_image"}, "repeated"),
        ({}, {"connections.dark": "my_dark"}, "inherited"),
        ({"connections.image": "some_{stage}"}, {"connections.image": "raw"}, "shadowed"),
        ({"connections.image": "fixed"}, {"connections.image": "raw"}, "inherited"),
    ],
)
def test_template_of_connections(
    config: dict[str, str], own: dict[str, str], reach: str, tmp_path: pathlib.Path
) -> None:
    """A connection that the candidate names no more follows the template."""
    was, now = ({**config, "connections.stage": value} for value in ("first", "second"))
    change = trace_small(tmp_path, was, now, own, task_class=SAMPLE)
    assert change.difference.name == "connections.stage"
    assert change.reach == reach
    assert change.hidden_by == (() if reach == "inherited" else ("one.connections.image",))


@pytest.mark.parametrize(
    ("config", "own", "reach"),
    [
        ({}, {}, "inherited"),
        ({}, {"connections.inp": "{n}_other"}, "inherited"),
        ({}, {"connections.inp": "raw"}, "unknown"),
        ({"connections.inp": "{n}_raw"}, {"connections.inp": "raw"}, "shadowed"),
        ({"connections.inp": "fixed"}, {"connections.inp": "raw"}, "inherited"),
    ],
)
def test_declared_template_of_connections(
    config: dict[str, str], own: dict[str, str], reach: str, tmp_path: pathlib.Path
) -> None:
    """What the task calls a connection is not known."""
    was, now = ({**config, "connections.n": value} for value in ("first", "second"))
    change = trace_small(tmp_path, was, now, own)
    assert change.reach == reach
    assert change.hidden_by == (() if reach == "inherited" else ("one.connections.inp",))


def test_connection_that_uses_templates_is_none(tmp_path: pathlib.Path) -> None:
    """Another connection that the candidate names does not follow it."""
    was, now = ({"connections.n": value} for value in ("{m}_one", "{m}_two"))
    assert trace_small(tmp_path, was, now, {"connections.inp": "raw"}).reach is Reach.INHERITED


@pytest.mark.parametrize(
    ("field", "own", "hidden_by", "reach"),
    [
        ("sub.f", "config.sub.retarget(Other)", "sub.target", "shadowed"),
        ("sub.f", "config.sub = Other()", "sub", "shadowed"),
        ("sub.deep.f", "config.sub.retarget(Other)", "sub.target", "shadowed"),
        ("d.a", "config.d = {'a': 7, 'b': 1}", "d", "shadowed"),
        ("d.a", "config.d = {'b': 1}", "d", "shadowed"),
        ("d.a", "config.d = {'a': 2}", "d", "repeated"),
        ("sub.f", "config.sub.g = 5", "", "inherited"),
        ("sub.f", "config.submarine.retarget(Other)", "", "inherited"),
        ("sub.f", "config.sub.retarget(Other)\nconfig.sub.f = 2", "", "repeated"),
    ],
)
def test_declared_override_above_a_field(
    field: str, own: str, hidden_by: str, reach: str, tmp_path: pathlib.Path
) -> None:
    """What a candidate sets above a field undoes what is set in it."""
    change = trace_small(tmp_path, {field: 1}, {field: 2}, {"python": own})
    assert change.reach == reach
    assert change.hidden_by == ((f"one.{hidden_by}",) if hidden_by else ())


def test_override_of_the_reference_above_a_field_hides_nothing(tmp_path: pathlib.Path) -> None:
    """The field is set after that."""
    was, now = ({"python": "config.sub.retarget(Other)", "sub.f": value} for value in (1, 2))
    assert trace_small(tmp_path, was, now, {}).reach is Reach.INHERITED


@pytest.mark.parametrize(
    ("target", "reach"), [("RobustFitter", "shadowed"), ("OtherFitter", "inherited"), ("", "inherited")]
)
def test_resolved_class_of_a_subtask_hides_its_fields(
    target: str, reach: str, tmp_path: pathlib.Path
) -> None:
    """A class with the same settings keeps those that there are."""
    own = (
        f"import drift_tasks\nconfig.fitter.retarget(drift_tasks.{target})" if target else "config.name = 'x'"
    )
    was, now = ({"fitter.order": value} for value in (3, 4))
    change = trace_small(tmp_path, was, now, {"python": own}, task_class=SAMPLE)
    assert change.reach == reach
    assert change.hidden_by == (("one.fitter.target",) if reach == "shadowed" else ())


def test_members_of_a_dictionary_that_the_candidate_sets(tmp_path: pathlib.Path) -> None:
    """A whole dictionary arrives, but for what is set in it."""
    was, now = ({"python": f"config.d = {{'a': {value}, 'b': 1}}"} for value in (1, 2))
    change = trace_small(tmp_path, was, now, {"python": "config.d['a'] = 5"})
    assert (change.reach, change.hidden_by) == (Reach.SHADOWED, ("one.d.a",))
    assert trace_small(tmp_path, was, now, {"python": "config.d['b'] = 5"}).reach is Reach.INHERITED


BLOCKS = {
    "loop over the field": ("for key in ('f', 'g'):\n    setattr(config.sub, key, 3)", True),
    "condition": ("if True:\n    config.sub.f = 3", True),
    "above": ("if True:\n    config.sub = Other()", True),
    "class of the subtask": ("if True:\n    config.sub.target = Other", True),
    "by a name": ("sub = config.sub", True),
    "field of a variable": ("sub.f = 3", True),
    "anything": ("change(config)", True),
    "any name": ("config.update(**values)", True),
    "code": ("exec(text)", True),
    "any element": ("for key in keys:\n    config[key].g = 3", False),
    "beside": ("for key in ('g', 'h'):\n    config.sub.g[key] = 3", False),
    "elsewhere": ("if True:\n    config.other.f = 3", False),
    "import": ("import f", False),
    "import of a name": ("from package import f", False),
    "variable": ("values = ['g']", False),
}
"""Statements that are not worked out, and whether they may change sub.f."""


@pytest.mark.parametrize(("code", "may_hide"), BLOCKS.values(), ids=BLOCKS)
def test_declared_statement_that_was_not_worked_out(
    code: str, may_hide: bool, tmp_path: pathlib.Path
) -> None:
    """It may hide a change if it is the candidate's own."""
    own, hidden = tmp_path / "own", Reach.UNKNOWN if may_hide else Reach.INHERITED
    own.mkdir()
    change = trace_small(own, {"sub.f": 1}, {"sub.f": 2}, {"python": code})
    assert change.reach is hidden
    assert change.hidden_by == ((" ".join(ast.unparse(ast.parse(code)).split()),) if may_hide else ())
    was, now = ({"python": code, "sub.f": value} for value in (1, 2))
    assert trace_small(tmp_path, was, now, {}).reach is Reach.INHERITED


@pytest.mark.parametrize(
    ("code", "reach"),
    [("change(config)\nconfig.x = 2", "repeated"), ("config.x = 2\nchange(config)", "unknown")],
)
def test_statement_before_an_override_hides_nothing(code: str, reach: str, tmp_path: pathlib.Path) -> None:
    """What is set after it stays."""
    assert trace_small(tmp_path, {"x": 1}, {"x": 2}, {"python": code}).reach == reach


def test_statement_may_hide_a_field_of_a_parameter(tmp_path: pathlib.Path) -> None:
    """As it may hide the field itself."""
    config = {"x": "parameters.p"}
    own = {"python": "if True:\n    config.x = 3"}
    change = trace_small(tmp_path, config, config, own, parameters=(1, 9))
    assert (change.difference.subject, change.reach) == ("parameter p", Reach.UNKNOWN)


LISTS = {
    "removes another": (["p"], ["p", "r"], "config.{0}.remove('p')", "inherited"),
    "removes what is added": (["p"], ["p", "r"], "config.{0}.remove('r')", "shadowed"),
    "appends another": (["p"], ["p", "r"], "config.{0}.append('z')", "inherited"),
    "appends what is removed": (["p", "r"], ["p"], "config.{0}.append('r')", "shadowed"),
    "keeps what is left": (["p", "r"], ["p"], "config.{0}.append('z')", "inherited"),
    "assigns without": (["p"], ["p", "r"], "config.{0} = ['z']", "shadowed"),
    "assigns by position": (["p"], ["p", "r"], "config.{0} = ['r', 'z']", "shadowed"),
    "assigns and edits": (["p"], ["p", "r"], "config.{0} = ['z']\nconfig.{0}.append('r')", "shadowed"),
    "assigns the same": (["p"], ["p", "r"], "config.{0} = ['p', 'r']", "repeated"),
}
"""A list before and after, what the candidate does to it, and what arrives."""


@pytest.mark.parametrize(("was", "now", "own", "reach"), LISTS.values(), ids=LISTS)
@pytest.mark.parametrize(("task_class", "field"), [("not.there.Task", "l"), (SAMPLE, "masks")])
def test_list_that_the_candidate_edits(
    task_class: str,
    field: str,
    was: list[str],
    now: list[str],
    own: str,
    reach: str,
    tmp_path: pathlib.Path,
) -> None:
    """What the reference adds and removes arrives, unless it is undone."""
    before, after = ({"python": f"config.{field} = {value}"} for value in (was, now))
    change = trace_small(tmp_path, before, after, {"python": own.format(field)}, task_class=task_class)
    assert change.reach == reach


def test_selection_that_the_candidate_assigns_has_no_order(tmp_path: pathlib.Path) -> None:
    """What is added to it is there, whoever selects it."""
    was, now = ({"python": f"config.plugins.names = {names}"} for names in (["size"], ["size", "shape"]))
    for own, reach in ((["shape", "flux"], "inherited"), (["flux"], "shadowed")):
        change = trace_small(
            tmp_path, was, now, {"python": f"config.plugins.names = {own}"}, task_class=SAMPLE
        )
        assert change.reach == reach


def test_declared_order_of_a_list_that_the_candidate_edits(tmp_path: pathlib.Path) -> None:
    """The edits are made to the list in its new order."""
    was, now = ({"l": value} for value in (["p", "q", "r"], ["r", "q", "p"]))
    change = trace_small(tmp_path, was, now, {"python": "config.l.remove('q')"})
    assert change.reach is Reach.INHERITED


def test_edit_that_the_candidate_takes_back_is_shadowed(tmp_path: pathlib.Path) -> None:
    """Of a list that nobody knows, the last edit counts."""
    was, now = ({"python": f"config.l.append('a')\n{more}"} for more in ("", "config.l.append('r')"))
    assert trace_small(tmp_path, was, now, {"python": "config.l.remove('r')"}).reach is Reach.SHADOWED
    assert trace_small(tmp_path, was, now, {"python": "config.l.remove('a')"}).reach is Reach.INHERITED


CHOICES = {
    "other": ("", "config.selector.name = 'by_flux'", "selector.name", "by_shape", "shadowed"),
    "the same": ("", "config.selector.name = 'by_shape'", "selector.name", "by_shape", "inherited"),
    "none of both": (
        "config.selector.name = 'by_size'\n",
        "config.selector.name = 'by_flux'",
        "selector.name",
        "by_shape",
        "inherited",
    ),
    "others": ("", "config.plugins.names = ['flux']", "plugins.names", "shape", "shadowed"),
    "removed": ("", "config.plugins.names -= {'shape'}", "plugins.names", "shape", "shadowed"),
    "edited": ("", "config.plugins.names |= {'flux'}", "plugins.names", "shape", "inherited"),
}
"""What the reference selects later, what the candidate selects, and how that is named."""


@pytest.mark.parametrize(("later", "own", "field", "plugin", "reach"), CHOICES.values(), ids=CHOICES)
@pytest.mark.parametrize("task_class", ["not.there.Task", SAMPLE])
def test_plugin_that_the_candidate_has_not_selected(
    task_class: str, later: str, own: str, field: str, plugin: str, reach: str, tmp_path: pathlib.Path
) -> None:
    """Its settings are there, and do nothing."""
    root = field.split(".")[0]
    select = "config.selector.name = 'by_shape'\nconfig.plugins.names = ['size', 'shape']\n"
    was, now = (
        {"python": f"{select}config.{root}[{plugin!r}].n_iterations = {value}\n{later}"} for value in (3, 4)
    )
    change = trace_small(tmp_path, was, now, {"python": own}, task_class=task_class)
    assert change.difference.name == f"{root}.{plugin}.n_iterations"
    assert change.reach == reach
    assert change.hidden_by == ((f"one.{field}",) if reach == "shadowed" else ())


def test_field_called_name_selects_nothing(tmp_path: pathlib.Path) -> None:
    """A configuration may have one beside others."""
    was, now = ({"sub.inner.f": value} for value in (1, 2))
    assert trace_small(tmp_path, was, now, {"sub.name": "other"}).reach is Reach.INHERITED


@pytest.mark.parametrize(("registry", "selection"), [("r", "r.name"), ("r.name", "r")])
def test_selection_by_the_registry_itself(registry: str, selection: str, tmp_path: pathlib.Path) -> None:
    """A registry may be given a name, too."""
    was, now = ({registry: value} for value in ("a", "b"))
    change = trace_small(tmp_path, was, now, {selection: "c"})
    assert (change.reach, change.hidden_by) == (Reach.SHADOWED, (f"one.{selection}",))
    assert trace_small(tmp_path, was, now, {selection: "b"}).reach is Reach.REPEATED


@pytest.mark.parametrize("level", Level)
def test_class_by_another_name_drops_what_is_imported(
    level: Level, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The line that names the class is to blame, not a default."""
    package = f"drift_alias_{level}"
    (tmp_path / package).mkdir()
    code = "from drift_tasks import MeasureConfig, MeasureTask as Base\n\n\nclass Again(Base):\n    pass\n"
    (tmp_path / package / "module.py").write_text(code)
    (tmp_path / package / "__init__.py").write_text("from .module import Again\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    prefix = "not." if level is Level.DECLARED else ""
    change = trace_small(
        tmp_path,
        {"threshold": 6.5},
        {"threshold": 7.5},
        {"name": "own"},
        task_class=f"{prefix}{package}.Again",
        own_class=f"{prefix}{package}.module.Again",
    )
    assert change.reach is Reach.MISSING
    lines = (tmp_path / "Candidate.yaml").read_text().splitlines()
    [number] = [i for i, line in enumerate(lines, 1) if "Again" in line]
    assert change.set_by == f"{tmp_path / 'Candidate.yaml'}:{number}"
