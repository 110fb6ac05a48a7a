# This file is part of ra_pipe.
#
# Use of this source code is governed by a 3-clause BSD-style
# license that can be found in the LICENSE file.

"""An overlay makes exactly the differences vanish that are to be propagated."""

from __future__ import annotations

import datetime
import os
import pathlib
import re
import textwrap
from collections.abc import Callable, Iterable

import drift_tasks
import pytest
import yaml
from drift_tree import PRODUCTS, ROOT
from lsst.pipe.base import Pipeline
from lsst.ra.pipe.drift import (
    Comparison,
    Difference,
    DifferenceKind,
    DriftError,
    Level,
    Policy,
    check_proposal,
    compare_snapshots,
    judge,
    load_policy,
    load_snapshot,
    make_snapshot,
    same_value,
    write_proposal,
)

TODAY = datetime.date(2026, 11, 22)
SAMPLES = ROOT / "tests" / "data" / "drift"
LEAF = "$DRIFT_TEST_DIR/pipelines/Leaf.yaml"
INSTRUMENTS = ("LATISS", "LSSTCam", "LSSTComCam")

CANDIDATE = """
description: A pipeline with differences of each kind.
instrument: drift_tasks.DriftCam
imports:
  - location: $DRIFT_TEST_DIR/pipelines/Leaf.yaml
parameters:
  release: 8
  added: [1, 2]
tasks:
  measure:
    class: drift_tasks.MeasureTask
    config:
      connections.image: other_image
      threshold: 9.25
      name: it's "so"
      masks: [SAT]
      fit.clip: 0.5
      fitter.order: 9
      python: |
        config.plugins.names -= {"size"}
        config.plugins["flux"].limit = float("nan")
        config.plugins["flux"].radii.append(16.0)
        config.colors["y"] = 1.5
        config.colors["new"] = 2.5
        config.selector.name = "by_shape"
        config.selector["by_shape"].n_iterations = 3
        config.rules["R00"].weight = 4.0
  measureAgain:
    class: drift_tasks.MeasureTask
    config:
      do_dark: true
      name: later
      python: config.plugins.names |= {"shape", "size"}
  combine:
    class: drift_tasks.CombineTask
    config:
      n_least: 4
  more:
    class: drift_tasks.CombineTask
    config:
      connections.numbers: other_numbers
      connections.summary: more
      release: parameters.release
subsets:
  detector:
    subset: [measure]
    description: Less than there was.
  everything:
    subset: [measure, measureAgain, combine, more]
    description: All of it.
  late:
    subset: [combine, measureAgain, more]
    description: What may wait.
steps:
  - label: late
    dimensions: [exposure]
contracts:
  - contract: measure.threshold > combine.n_least
    msg: too few
  - more.n_least < 100
"""


@pytest.fixture(autouse=True)
def _variables(monkeypatch: pytest.MonkeyPatch, tmp_path: pathlib.Path) -> None:
    """Sample pipelines, the stand-ins or what upstream is set up, and files of the test."""
    for name, home in PRODUCTS.items():
        monkeypatch.setenv(name, os.environ.get(name, str(home)))
    monkeypatch.setenv("RA_PIPE_DIR", str(ROOT))
    monkeypatch.setenv("DRIFT_TEST_DIR", str(SAMPLES))
    # Only what looks like a product is named by its variable.
    (tmp_path / "config").mkdir()
    monkeypatch.setenv("TRIAL_DIR", str(tmp_path))


@pytest.fixture
def trial(tmp_path: pathlib.Path) -> Callable[..., str]:
    """Write a file of the test; return its name."""

    def write(name: str, text: str) -> str:
        (tmp_path / name).write_text(textwrap.dedent(text))
        return f"$TRIAL_DIR/{name}"

    return write


def make_policy(path: pathlib.Path, differences: Iterable[Difference]) -> Policy:
    """Make a policy that propagates differences."""
    entries = []
    for one in differences:
        key = "exists" if one.kind is DifferenceKind.TASK else str(one.kind)
        entry = {key: one.name or True, "category": "science", "reason": "It is better.", "propagate": True}
        entries.append(entry | ({"task": one.task} if one.task else {}))
    path.write_text(yaml.safe_dump({"allow": entries}))
    return load_policy(path)


def explain(differences: Iterable[Difference]) -> list[str]:
    """Say what differs, and how."""
    return [f"{one.subject}: {one.reference} -> {one.candidate}" for one in differences]


def subjects(differences: Iterable[Difference]) -> list[str]:
    """Say what differs."""
    return [one.subject for one in differences]


def propose(
    reference: str, candidate: str, policy: Policy, path: pathlib.Path, level: Level
) -> tuple[Comparison, Comparison, Comparison]:
    """Write an overlay; compare all with each other: reference and candidate,
    reference and overlay, overlay and candidate.
    """
    sides = load_snapshot(reference, level=level), load_snapshot(candidate, level=level)
    judged = judge([compare_snapshots(*sides)], policy, today=TODAY).comparisons[0]
    path.write_text(write_proposal(judged, *sides))
    check_proposal(str(path), judged, *sides)
    overlay = make_snapshot(str(path), level=level)
    return judged.comparison, compare_snapshots(sides[0], overlay), compare_snapshots(overlay, sides[1])


def assert_exact(
    before: Comparison, made: Comparison, left: Comparison, wanted: Iterable[Difference]
) -> None:
    """The overlay makes what is wanted, and leaves the rest as it was."""
    wanted = list(wanted)
    assert explain(made.differences) == explain(wanted)
    assert explain(left.differences) == explain(one for one in before.differences if one not in wanted)
    for one, other in zip(made.differences, wanted, strict=True):
        assert same_value(one.candidate.value, other.candidate.value)


# All fields are known.


@pytest.fixture
def candidate(trial: Callable[..., str]) -> str:
    """The pipeline with differences of each kind."""
    return trial("Candidate.yaml", CANDIDATE)


def find_differences(candidate: str) -> tuple[Difference, ...]:
    """Compare the sample pipeline with another at the resolved level."""
    sides = (load_snapshot(uri, level=Level.RESOLVED) for uri in (LEAF, candidate))
    return compare_snapshots(*sides).differences


def test_there_are_differences_of_each_kind(candidate: str) -> None:
    """What the tests below propose is all that an overlay can say of resolved pipelines."""
    kinds = {one.kind for one in find_differences(candidate)}
    wanted = "task field connection subset step contract parameter"
    assert kinds == {DifferenceKind(kind) for kind in wanted.split()}


def test_all_is_proposed(candidate: str, tmp_path: pathlib.Path) -> None:
    """The overlay is the candidate then, though nothing of that was copied."""
    differences = find_differences(candidate)
    policy = make_policy(tmp_path / "policy.yaml", differences)
    before, made, left = propose(LEAF, candidate, policy, tmp_path / "overlay.yaml", Level.RESOLVED)
    assert explain(made.differences) == explain(before.differences)
    assert explain(left.differences) == []


ALONE = [
    "field measure.colors.y",
    "field measure.colors.new",
    "field measure.connections.image",
    "field measure.fit.clip",
    "field measure.fitter.order",
    "field measure.masks",
    "field measure.name",
    "field measure.plugins.flux.limit",
    "field measure.plugins.flux.radii",
    "field measure.plugins.names",
    "field measure.rules.R00.weight",
    "field measure.threshold",
    "field measureAgain.name",
    "field measureAgain.plugins.names",
    "field combine.n_least",
    "contract measure.threshold > combine.n_least",
    "parameter added",
    "parameter release",
    "subset detector",
]
"""Differences that may be propagated without any other."""


def called(difference: Difference) -> str:
    """Name a difference with its kind."""
    subject = difference.subject
    return f"field {subject}" if difference.kind is DifferenceKind.FIELD else subject


@pytest.mark.parametrize("name", ALONE)
def test_one_difference_is_proposed(name: str, candidate: str, tmp_path: pathlib.Path) -> None:
    """That one vanishes, and all others stay."""
    wanted = [one for one in find_differences(candidate) if called(one) == name]
    policy = make_policy(tmp_path / "policy.yaml", wanted)
    result = propose(LEAF, candidate, policy, tmp_path / "overlay.yaml", Level.RESOLVED)
    assert_exact(*result, wanted)
    assert len(wanted) == 1


TOGETHER = {
    "a switch and the connection that follows": {
        "field measureAgain.do_dark",
        "connection measureAgain.dark",
    },
    "a subset, with the tasks that there are": {"subset late"},
    "a step and its subset": {"step late", "subset late"},
    "a task and the parameter that comes with it": {"task more", "parameter added"},
    "a task, its subset and step": {"task more", "parameter added", "step late", "subset late"},
    "a plugin and its settings": {
        "field measure.selector.name",
        "field measure.selector.by_shape.n_iterations",
    },
}
"""Differences that need each other."""


@pytest.mark.parametrize("names", TOGETHER.values(), ids=TOGETHER)
def test_differences_that_need_each_other_are_proposed(
    names: set[str], candidate: str, tmp_path: pathlib.Path
) -> None:
    """Those vanish, and all others stay."""
    wanted = [one for one in find_differences(candidate) if called(one) in names]
    assert set(map(called, wanted)) == names
    policy = make_policy(tmp_path / "policy.yaml", wanted)
    _, made, left = propose(LEAF, candidate, policy, tmp_path / "overlay.yaml", Level.RESOLVED)
    assert subjects(made.differences) == subjects(wanted)
    rest = [one for one in find_differences(candidate) if one not in wanted]
    assert subjects(left.differences) == subjects(rest)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("field measureAgain.do_dark", "connection measureAgain.dark would change, too"),
        ("step late", r"policy.yaml:\d+: step late cannot be propagated: propagate the subset"),
        ("task more", "Candidate.yaml:1: more cannot be propagated .* propagate added as well"),
        (
            "connection measureAgain.dark",
            r"policy.yaml:\d+: .*dark cannot be propagated",
        ),
    ],
)
def test_half_of_what_needs_another_is_refused(
    name: str, message: str, candidate: str, tmp_path: pathlib.Path
) -> None:
    """The message says what is missing."""
    wanted = [one for one in find_differences(candidate) if called(one) == name]
    policy = make_policy(tmp_path / "policy.yaml", wanted)
    with pytest.raises(DriftError, match=message):
        propose(LEAF, candidate, policy, tmp_path / "overlay.yaml", Level.RESOLVED)


MEASURE = """\
description: Measures otherwise.
imports: [$DRIFT_TEST_DIR/pipelines/Leaf.yaml]
tasks:
  measure:
    class: drift_tasks.MeasureTask
    config:
      python: |
"""


@pytest.mark.parametrize(
    "code", ['config.name = "os"', 'config.masks = ["plugins", "SAT"]', 'config.name = "config"']
)
def test_strings_that_are_names_stay_strings(
    code: str, trial: Callable[..., str], tmp_path: pathlib.Path
) -> None:
    """In YAML they would be what has these names in the module of the task."""
    candidate = trial("Names.yaml", f"{MEASURE}        {code}\n")
    wanted = find_differences(candidate)
    assert len(wanted) == 1
    policy = make_policy(tmp_path / "policy.yaml", wanted)
    path = tmp_path / "overlay.yaml"
    assert_exact(*propose(LEAF, candidate, policy, path, Level.RESOLVED), wanted)
    assert yaml.safe_load(path.read_text())["tasks"]["measure"]["config"] == {"python": f"{code}\n"}


def test_new_element_of_configurations_is_refused(trial: Callable[..., str], tmp_path: pathlib.Path) -> None:
    """Settings of it do not make it; the line of the policy is named."""
    code = 'config.rules["new"] = type(config).rules.itemtype()\nconfig.rules["new"].weight = 7.0\n'
    candidate = trial("Rules.yaml", MEASURE + textwrap.indent(code, " " * 8))
    wanted = find_differences(candidate)
    assert "field measure.rules.new.weight" in map(called, wanted)
    policy = make_policy(tmp_path / "policy.yaml", wanted)
    with pytest.raises(DriftError) as caught:
        propose(LEAF, candidate, policy, tmp_path / "overlay.yaml", Level.RESOLVED)
    assert re.match(rf"{re.escape(str(policy.allow[0].place))}: measure\.rules\.new\.", str(caught.value))
    assert "an element of a dictionary that the reference does not have" in str(caught.value)


@pytest.mark.parametrize(
    ("edit", "place", "message"),
    [
        (("threshold: 9.0", "threshold: high"), "Candidate.yaml:1", "threshold: high"),
        (("imports:", "imports: ["), "Candidate.yaml:1", "this is no YAML"),
        (None, "policy.yaml", "threshold: 9.0"),
    ],
)
def test_overlay_that_does_not_load_names_no_draft(
    edit: tuple[str, str] | None,
    place: str,
    message: str,
    trial: Callable[..., str],
    tmp_path: pathlib.Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The entry of the policy whose line fails is named, and the line, but not the overlay."""
    candidate = trial("Candidate.yaml", MEASURE.replace("python: |", "threshold: 9.0"))
    sides = [load_snapshot(uri, level=Level.RESOLVED) for uri in (LEAF, candidate)]
    policy = make_policy(tmp_path / "policy.yaml", compare_snapshots(*sides).differences)
    judged = judge([compare_snapshots(*sides)], policy, today=TODAY).comparisons[0]
    text = write_proposal(judged, *sides)
    path = tmp_path / ".overlay.yaml.draft"
    if edit is None:
        monkeypatch.setattr(drift_tasks.MeasureConfig.threshold, "check", lambda value: value < 9)
    else:
        assert edit[0] in text
        text = text.replace(*edit)
    path.write_text(text)
    with pytest.raises(DriftError) as caught:
        check_proposal(str(path), judged, *sides)
    assert re.match(rf"\$TRIAL_DIR/{place}", str(caught.value)), caught.value
    assert message in str(caught.value)
    assert "draft" not in str(caught.value)


def test_task_is_left_out(trial: Callable[..., str], tmp_path: pathlib.Path) -> None:
    """What else was in its subsets stays in them, and the steps stay."""
    candidate = trial(
        "Without.yaml",
        """\
        description: Without a task.
        imports:
          - location: $DRIFT_TEST_DIR/pipelines/Leaf.yaml
            exclude: measureAgain
            labeledSubsetModifyMode: EDIT
        """,
    )
    differences = find_differences(candidate)
    assert [called(one) for one in differences] == ["task measureAgain"]
    policy = make_policy(tmp_path / "policy.yaml", differences)
    _, made, left = propose(LEAF, candidate, policy, tmp_path / "overlay.yaml", Level.RESOLVED)
    assert explain(made.differences) == explain(differences)
    assert explain(left.differences) == []


def test_overlay_is_a_pipeline_of_pipe_base(candidate: str, tmp_path: pathlib.Path) -> None:
    """With the reasons in its head, and the candidate's configuration in its graph."""
    policy = make_policy(tmp_path / "policy.yaml", find_differences(candidate))
    path = tmp_path / "overlay.yaml"
    propose(LEAF, candidate, policy, path, Level.RESOLVED)
    assert "\n# measure.threshold: It is better.\n" in path.read_text()
    graphs = [Pipeline.from_uri(uri).to_graph() for uri in (str(path), str(tmp_path / "Candidate.yaml"))]
    assert graphs[0].tasks.keys() == graphs[1].tasks.keys()
    for label in graphs[0].tasks:
        ours, theirs = (graph.tasks[label].config for graph in graphs)
        assert repr(ours.toDict()) == repr(theirs.toDict())  # type: ignore[no-untyped-call]


def test_snapshot_as_reference(candidate: str, tmp_path: pathlib.Path) -> None:
    """The pipeline that it was taken of is imported, by the names that its files have."""
    snapshot = tmp_path / "Leaf.json"
    snapshot.write_text(make_snapshot(LEAF, level=Level.RESOLVED).to_json())
    wanted = [one for one in find_differences(candidate) if one.kind is DifferenceKind.FIELD]
    wanted = [one for one in wanted if one.task == "measure"]
    policy = make_policy(tmp_path / "policy.yaml", wanted)
    path = tmp_path / "overlay.yaml"
    result = propose(str(snapshot), candidate, policy, path, Level.RESOLVED)
    assert_exact(*result, wanted)
    content = yaml.safe_load(path.read_text())
    assert content["imports"] == [{"location": LEAF}]
    assert content["tasks"]["measure"]["class"] == "drift_tasks.MeasureTask"


def test_class_has_the_name_that_the_reference_gives_it(
    trial: Callable[..., str], tmp_path: pathlib.Path
) -> None:
    """Under another name of it pipe_base would forget the reference's settings."""
    name = "lsst.ra.pipe.tasks._isr.FirstLookIsrTask"
    head = "description: ISR.\n"
    task = f"tasks:\n  isr:\n    class: {name}\n    config: "
    reference = trial("Isr.yaml", f"{head}{task}{{file: $RA_PIPE_DIR/config/rapid/isr.py}}\n")
    other = trial("Other.yaml", f"{head}imports: [$TRIAL_DIR/Isr.yaml]\n{task}{{doFlat: false}}\n")
    sides = [load_snapshot(uri, level=Level.RESOLVED) for uri in (reference, other)]
    assert sides[0].tasks["isr"].task_class != name
    wanted = compare_snapshots(*sides).differences
    policy = make_policy(tmp_path / "policy.yaml", wanted)
    result = propose(reference, other, policy, tmp_path / "overlay.yaml", Level.RESOLVED)
    assert "isr.doFlat" in subjects(wanted)
    assert_exact(*result, wanted)


def test_facts_need_the_pipeline_they_are_of(monkeypatch: pytest.MonkeyPatch, tmp_path: pathlib.Path) -> None:
    """They do not hold how its files name the classes."""
    monkeypatch.delenv("AP_PIPE_DIR")
    snapshot = "$RA_PIPE_DIR/config/snapshots/LATISS/SingleFrame.json#isr"
    first_look = "$RA_PIPE_DIR/pipelines/LATISS/FirstLook.yaml#isr"
    sides = load_snapshot(snapshot), load_snapshot(first_look)
    wanted = [one for one in compare_snapshots(*sides).differences if one.name == "doBinnedExposures"]
    policy = make_policy(tmp_path / "policy.yaml", wanted)
    judged = judge([compare_snapshots(*sides)], policy, today=TODAY).comparisons[0]
    with pytest.raises(DriftError, match="AP_PIPE_DIR is not set"):
        write_proposal(judged, *sides)
    monkeypatch.setenv("AP_PIPE_DIR", str(PRODUCTS["AP_PIPE_DIR"]))
    content = yaml.safe_load(write_proposal(judged, *sides))
    assert content["imports"] == [
        {"location": "$AP_PIPE_DIR/pipelines/LATISS/SingleFrame.yaml", "include": ["isr"]}
    ]
    assert content["tasks"] == {
        "isr": {"class": "lsst.ip.isr.IsrTaskLSST", "config": {"doBinnedExposures": True}}
    }


# Only what files say is known.


@pytest.mark.parametrize("instrument", INSTRUMENTS)
@pytest.mark.parametrize(("name", "of"), [("Prompt", "ApPipe"), ("RapidAnalysis", "SingleFrame")])
def test_shipped_policies_propose(name: str, of: str, instrument: str, tmp_path: pathlib.Path) -> None:
    """What Rapid Analysis offers to Alert Production is offered, and nothing else."""
    policy = load_policy(f"$RA_PIPE_DIR/config/drift/{name}.yaml")
    reference = f"$AP_PIPE_DIR/pipelines/{instrument}/{of}.yaml"
    candidate = f"$RA_PIPE_DIR/pipelines/{instrument}/{name}.yaml"
    result = propose(reference, candidate, policy, tmp_path / "overlay.yaml", Level.DECLARED)
    judged = judge([result[0]], policy, today=TODAY).comparisons[0]
    wanted = [one.difference for one in judged.differences if one.entry and one.entry.propagate]
    assert {one.name for one in wanted} >= {"astrometry.maxIter", "star_measurement.plugins.names"}
    assert_exact(*result, wanted)
    if name == "Prompt":
        assert result[2].differences == ()


DECLARED = """
description: Said of tasks that cannot be imported.
parameters:
  year: 2026
tasks:
  one:
    class: not.there.OneTask
    config:
      number: 1
      python: |
        config.plugins.names |= {"a"}
        config.flags.append("x")
        prepare(config)
        config.limits = ["low"]
  two: not.there.TwoTask
subsets:
  both:
    subset: [one, two]
    description: All.
"""


PREPARE = "        prepare(config)\n"


def declare(code: str, more: str = "") -> str:
    """Write a pipeline that says more of a task."""
    text = "description: Says more.\nimports: [$TRIAL_DIR/Declared.yaml]\ntasks:\n  one:\n"
    text += "    class: not.there.OneTask\n    config:\n      python: |\n"
    return text + textwrap.indent(f"{code}\n", " " * 8) + more


MORE = [
    "parameters: {year: 2027, month: 11}\n",
    "contracts:\n  - one.number == 2\n  - {contract: 'two.x  < one.y', msg: why}\n",
    "subsets:\n  alone: {subset: [one]}\nsteps:\n  - {label: alone, dimensions: [visit, detector]}\n",
    "subsets:\n  both: {subset: [two]}\n",
    "  three: not.there.ThreeTask\nsubsets:\n  both: {subset: [one, two, three]}\n  all: {subset: [three]}\n",
]
"""What a pipeline says beside its tasks."""


@pytest.mark.parametrize(
    ("code", "more"),
    [
        ("config.number = 2", ""),
        ("config.text = 'parameters.year'", ""),
        ("config.text = 'it\\'s'; config.other = [1, 'two', None]", ""),
        ("config.plugins.names |= {'b', 'c'}", ""),
        ("config.plugins.names -= {'a'}", ""),
        ("config.plugins.names -= {'a'}\nconfig.plugins.names |= {'b'}", ""),
        ("config.flags.append('y')\nconfig.flags.append('x')", ""),
        ("config.flags += ['y', 'z']\nconfig.flags.remove('x')", ""),
        ("config.flags = ['q']\nconfig.flags.append('y')", ""),
        ("config.limits.append('high')", ""),
        ("config.new.names |= {'b'}", ""),
        ("config.registry['a b'].value = {'k': float('inf')}", ""),
        ("config.sum = config.number + 1", ""),
        ("finish(config)", ""),
        ("config.before = 1\nfinish(config)\nconfig.after = 2\nclean(config)\nconfig.last = 3", ""),
        ("if True:\n    config.number = 9\nconfig.number = 3", ""),
        *(("config.number = 2", more) for more in MORE),
    ],
)
def test_declarations_are_proposed(
    code: str, more: str, trial: Callable[..., str], tmp_path: pathlib.Path
) -> None:
    """Said anew in an overlay, they are those of the candidate, in its order."""
    reference = trial("Declared.yaml", DECLARED)
    candidate = trial("Candidate.yaml", declare(code, more))
    sides = (load_snapshot(uri, level=Level.DECLARED) for uri in (reference, candidate))
    wanted = compare_snapshots(*sides).differences
    assert wanted
    policy = make_policy(tmp_path / "policy.yaml", wanted)
    _, made, left = propose(reference, candidate, policy, tmp_path / "overlay.yaml", Level.DECLARED)
    assert explain(made.differences) == explain(wanted)
    assert explain(left.differences) == []


@pytest.mark.parametrize(
    ("edit", "name", "message"),
    [
        (("not.there.OneTask", "not.there.OtherTask"), "class one", "OneTask into not.there.OtherTask"),
        (("      number: 1\n", ""), "field one.number", "1 into (not there)"),
        (("prepare(config)", "prepare(config, 2)"), "block one.prepare(config)", "prepare(config, 2)"),
        ((PREPARE, ""), "block one.prepare(config)", "(not there)"),
        (('|= {"a"}', '|= {"b"}'), "field one.plugins.names", "add 'a' into add 'b'"),
        (('append("x")', 'append("y")'), "field one.flags", "append 'x' into append 'y'"),
        (
            ('        config.flags.append("x")\n', '        config.flags.remove("x")\n'),
            "field one.flags",
            "remove 'x'",
        ),
        (("two", "renamed"), "task two", "'two' into 'renamed'"),
        (("both:", "all:"), "subset both", "'both' into 'all'"),
        ((DECLARED[DECLARED.index("subsets:") :], ""), "subset both", "{'one', 'two'} into (not there)"),
        (("parameters:\n  year: 2026\n", ""), "parameter year", "2026 into (not there)"),
        (("parameters:", "instrument: not.there.Camera\nparameters:"), "instrument", "not.there.Camera"),
        (('"low"', "LOW"), "field one.limits", "[LOW] depends on LOW"),
        (
            ("prepare(config)", "prepare(config)\n        config.part.retarget(Other)"),
            "field one.part.target",
            "Other",
        ),
    ],
)
def test_what_cannot_be_proposed_is_refused(
    edit: tuple[str, str], name: str, message: str, trial: Callable[..., str], tmp_path: pathlib.Path
) -> None:
    """The message begins with the line of the policy."""
    uris = trial("Declared.yaml", DECLARED), trial("Candidate.yaml", DECLARED.replace(*edit))
    wanted = compare_snapshots(*(load_snapshot(uri, level=Level.DECLARED) for uri in uris)).differences
    assert [called(one) for one in wanted] == [name]
    policy = make_policy(tmp_path / "policy.yaml", wanted)
    with pytest.raises(DriftError) as caught:
        propose(*uris, policy, tmp_path / "overlay.yaml", Level.DECLARED)
    assert str(caught.value).startswith(f"{policy.allow[0].place}: ")
    assert f"{wanted[0].subject} cannot be propagated" in str(caught.value)
    assert message in str(caught.value)


def test_nothing_to_propagate_is_an_error(trial: Callable[..., str], tmp_path: pathlib.Path) -> None:
    """It names the pipeline that offers nothing."""
    reference = trial("Declared.yaml", DECLARED)
    candidate = trial("Candidate.yaml", declare("config.number = 2"))
    with pytest.raises(DriftError, match=r"Candidate\.yaml:1: nothing .* is to be propagated"):
        propose(reference, candidate, Policy(), tmp_path / "overlay.yaml", Level.DECLARED)


def test_labels_are_kept(trial: Callable[..., str], tmp_path: pathlib.Path) -> None:
    """An overlay for some tasks of a pipeline has these."""
    reference = trial("Declared.yaml", DECLARED)
    candidate = trial("Candidate.yaml", declare("config.number = 2"))
    uris = f"{reference}#one", f"{candidate}#one"
    wanted = compare_snapshots(*(load_snapshot(uri, level=Level.DECLARED) for uri in uris)).differences
    policy = make_policy(tmp_path / "policy.yaml", wanted)
    result = propose(*uris, policy, tmp_path / "overlay.yaml", Level.DECLARED)
    assert_exact(*result, wanted)
    assert Pipeline.from_uri(str(tmp_path / "overlay.yaml")).task_labels == {"one"}


def test_files_outside_of_products_are_imported(
    trial: Callable[..., str], tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A relative name would mean another file to who imports the overlay."""
    trial("Declared.yaml", DECLARED)
    trial("Candidate.yaml", declare("config.number = 2"))
    monkeypatch.chdir(tmp_path)
    for name in [name for name in os.environ if name.endswith("_DIR") and name != "TRIAL_DIR"]:
        monkeypatch.delenv(name)
    sides = [load_snapshot(f"./{name}.yaml", level=Level.DECLARED) for name in ("Declared", "Candidate")]
    policy = make_policy(tmp_path / "policy.yaml", compare_snapshots(*sides).differences)
    judged = judge([compare_snapshots(*sides)], policy, today=TODAY).comparisons[0]
    [one] = yaml.safe_load(write_proposal(judged, *sides))["imports"]
    location = os.path.expandvars(one["location"])
    assert location == str(tmp_path / "Declared.yaml")


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (("number: 2", "number: 3"), "one.number would not be propagated"),
        (("number: 2", "number: 2\n      extra: 1"), "one.extra would change, too"),
    ],
)
def test_check_finds_what_an_overlay_does_wrong(
    edit: tuple[str, str], message: str, trial: Callable[..., str], tmp_path: pathlib.Path
) -> None:
    """An overlay that was changed is not what was proposed."""
    uris = trial("Declared.yaml", DECLARED), trial("Candidate.yaml", declare("config.number = 2"))
    sides = [load_snapshot(uri, level=Level.DECLARED) for uri in uris]
    policy = make_policy(tmp_path / "policy.yaml", compare_snapshots(*sides).differences)
    judged = judge([compare_snapshots(*sides)], policy, today=TODAY).comparisons[0]
    path = tmp_path / "overlay.yaml"
    text = write_proposal(judged, *sides)
    assert edit[0] in text
    path.write_text(text.replace(*edit))
    with pytest.raises(DriftError, match=rf"Candidate\.yaml:1: .*{message}"):
        check_proposal(str(path), judged, *sides)
