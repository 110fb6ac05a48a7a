# This file is part of ra_pipe.
#
# Use of this source code is governed by a 3-clause BSD-style
# license that can be found in the LICENSE file.

"""``rapid drift``: exit status, formats and messages."""

from __future__ import annotations

import json
import os
import pathlib
import re
import subprocess
import sys
import xml.etree.ElementTree as ElementTree

import pytest
import yaml
from click.testing import CliRunner, Result
from drift_tree import PRODUCTS, ROOT
from lsst.ra.pipe.cli import main
from lsst.ra.pipe.cli._progress import console
from lsst.ra.pipe.drift import Level, make_snapshot

REFERENCE = """\
description: The reference.
tasks:
  one:
    class: not.there.OneTask
    config:
      number: 1
      text: same
  two: not.there.TwoTask
"""

CANDIDATE = """\
description: The candidate.
imports:
  - location: $TRIAL_DIR/reference.yaml
tasks:
  one:
    class: not.there.OneTask
    config:
      number: 2
      switch: true
"""

POLICY = """\
description: What is meant.
compare:
  - reference: $TRIAL_DIR/reference.yaml
    candidate: $TRIAL_DIR/candidate.yaml
allow:
  - task: one
    field: number
    category: latency
    reason: Two is faster.
    ticket: DM-12345
    propagate: true
  - task: one
    field: switch
    category: analysis
    reason: Observers want it on.
"""

PAIR = ("$TRIAL_DIR/reference.yaml", "$TRIAL_DIR/candidate.yaml")


@pytest.fixture(autouse=True)
def trial(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> pathlib.Path:
    """Two pipelines and a policy, in a directory that has a variable and is the working directory."""
    for name in [name for name in os.environ if name.endswith("_DIR")]:
        monkeypatch.delenv(name)
    # Only what looks like a product is named by its variable.
    (tmp_path / "config").mkdir()
    monkeypatch.setenv("TRIAL_DIR", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(console, "width", 80)
    for name, text in (("reference", REFERENCE), ("candidate", CANDIDATE), ("policy", POLICY)):
        (tmp_path / f"{name}.yaml").write_text(text)
    return tmp_path


def drift(*args: object) -> Result:
    """Run ``rapid drift``."""
    return CliRunner().invoke(main, ["drift", *map(str, args)], catch_exceptions=False)


def allow(trial: pathlib.Path, text: str) -> None:
    """Replace what the policy allows."""
    (trial / "policy.yaml").write_text(POLICY[: POLICY.index("allow:")] + text)


# Exit status.


def test_no_difference_is_success() -> None:
    """A pipeline against itself, without a policy."""
    result = drift(PAIR[0], PAIR[0])
    assert result.exit_code == 0
    assert "0 undeclared differences" in result.output


def test_declared_differences_are_success() -> None:
    """The pair may be named by the policy, or on the command line."""
    assert drift("--policy", "policy.yaml").exit_code == 0
    assert drift(*PAIR, "-p", "policy.yaml").exit_code == 0


def test_undeclared_difference_is_status_one() -> None:
    """Without a policy every difference is; places are named whole in 80 columns."""
    result = drift(*PAIR)
    assert result.exit_code == 1
    for text in ("one.number", "one.switch", "$TRIAL_DIR/reference.yaml:6", "$TRIAL_DIR/candidate.yaml:8"):
        assert text in result.output
    assert "…" not in result.output


@pytest.mark.parametrize(
    ("field", "expires", "message"),
    [("none*", "2999-12-31", "matches nothing"), ("number", "2001-02-03", "expired")],
)
def test_bad_entry_is_status_one(trial: pathlib.Path, field: str, expires: str, message: str) -> None:
    """One that matches nothing and an expired one, with their line."""
    entry = f"{{field: '{field}', category: site, reason: R., expires: {expires}}}"
    allow(trial, f"allow:\n  - {{field: [number, switch], category: site, reason: R.}}\n  - {entry}\n")
    result = drift("-p", "policy.yaml")
    assert result.exit_code == 1
    output = " ".join(result.output.split())
    assert "$TRIAL_DIR/policy.yaml:7" in output
    assert message in output


def test_worst_policy_decides(trial: pathlib.Path) -> None:
    """Several policies are judged in one run."""
    strict = POLICY[: POLICY.index("allow:")]
    (trial / "strict.yaml").write_text(strict)
    assert drift("-p", "policy.yaml", "-p", "strict.yaml").exit_code == 1
    assert drift("-p", "policy.yaml", "-p", "policy.yaml").exit_code == 0


@pytest.mark.parametrize("level", Level)
def test_level_can_be_asked_for(level: Level, monkeypatch: pytest.MonkeyPatch) -> None:
    """The declared level of tasks that could be resolved."""
    monkeypatch.setenv("DRIFT_TEST_DIR", str(ROOT / "tests" / "data" / "drift"))
    pipeline = "$DRIFT_TEST_DIR/pipelines/Ingredients.yaml"
    result = drift(pipeline, pipeline, "--level", level, "--format", "json")
    [verdict] = json.loads(result.stdout)["verdicts"]
    assert verdict["comparisons"][0]["level"] == level


# What could not be compared: exit status 2, with file and line.


FAULTS = {
    "broken YAML": (
        "candidate.yaml",
        "description: Broken.\ntasks:\n  one: [\n",
        r"\$TRIAL_DIR/candidate.yaml:4: this is no YAML",
    ),
    "a key that comes twice": (
        "candidate.yaml",
        "description: Twice.\ntasks:\n  one: a.B\n  one: a.C\n",
        r"\$TRIAL_DIR/candidate.yaml:4: this is no YAML: the key 'one' comes twice",
    ),
    "an import cycle": (
        "reference.yaml",
        "description: Cycle.\nimports:\n  - $TRIAL_DIR/candidate.yaml\n",
        r"\$TRIAL_DIR/candidate.yaml:3: .*import each other: \$TRIAL_DIR/reference.yaml -> \$TRIAL_DIR/cand",
    ),
    "a missing variable": (
        "candidate.yaml",
        "description: AP.\nimports:\n  - location: $AP_PIPE_DIR/pipelines/LSSTCam/SingleFrame.yaml\n",
        r"\$TRIAL_DIR/candidate.yaml:3: import of \$AP_PIPE_DIR/.*AP_PIPE_DIR is not set",
    ),
    "a missing import": (
        "candidate.yaml",
        "description: Missing.\nimports: [$TRIAL_DIR/nowhere.yaml]\n",
        r"\$TRIAL_DIR/candidate.yaml:2: import of \$TRIAL_DIR/nowhere.yaml.*no such file",
    ),
    "a missing override file": (
        "candidate.yaml",
        "description: File.\ntasks:\n  one:\n    class: a.B\n    config:\n      file: $TRIAL_DIR/none.py\n",
        r"\$TRIAL_DIR/candidate.yaml:6: the override file \$TRIAL_DIR/none.py",
    ),
    "an override that is no Python": (
        "candidate.yaml",
        "description: Code.\ntasks:\n  one: {class: a.B, config: {python: 'a = = 2'}}\n",
        r"\$TRIAL_DIR/candidate.yaml:3: this is not Python",
    ),
    "a policy that is no YAML": ("policy.yaml", "allow: [\n", r"\$TRIAL_DIR/policy.yaml:2: this is not YAML"),
    "an entry without a reason": (
        "policy.yaml",
        POLICY.replace("    reason: Two is faster.\n", ""),
        r"\$TRIAL_DIR/policy.yaml:6: reason is missing",
    ),
    "a policy without pairs": (
        "policy.yaml",
        "description: None.\nallow: []\n",
        r"\$TRIAL_DIR/policy.yaml:1: this policy names no pipelines",
    ),
}
"""Files that are wrong, and the message."""


@pytest.mark.parametrize(("name", "text", "message"), FAULTS.values(), ids=FAULTS)
def test_what_cannot_be_compared_is_status_two(
    name: str, text: str, message: str, trial: pathlib.Path
) -> None:
    """The message begins with file and line; nothing is on standard output."""
    (trial / name).write_text(text)
    result = drift("-p", "policy.yaml")
    assert result.exit_code == 2
    assert re.match(f"Error: {message}", result.stderr), result.stderr
    assert result.stdout == ""


def test_policy_that_names_it_is_named_too(trial: pathlib.Path) -> None:
    """Who runs the gate for a directory of policies has to know which."""
    (trial / "candidate.yaml").unlink()
    result = drift("-p", "policy.yaml")
    assert result.exit_code == 2
    assert "candidate.yaml: cannot be read: there is no such file" in result.stderr
    assert "$TRIAL_DIR/policy.yaml:3." in result.stderr


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ("nothing_of_it: 1", r"overrides.yaml:6: this override fails: .*nothing_of_it"),
        (
            "python: |\n        config.threshold = 3.0\n        config.nothing = 1",
            r"overrides.yaml:8: .*nothing",
        ),
        ("file: $TRIAL_DIR/overrides.py", r"overrides.py:2: this override fails: .*nothing"),
        ("threshold: high", r"overrides.yaml:6: this override fails: .*high"),
    ],
)
def test_override_of_no_field_is_status_two(config: str, message: str, trial: pathlib.Path) -> None:
    """In YAML, in a block and in a file, each with its line."""
    (trial / "overrides.py").write_text("config.threshold = 3.0\nconfig.nothing = 1\n")
    text = "description: Overrides.\ntasks:\n  one:\n    class: drift_tasks.MeasureTask\n    config:\n"
    (trial / "overrides.yaml").write_text(f"{text}      {config}\n")
    result = drift(PAIR[0], "$TRIAL_DIR/overrides.yaml")
    assert result.exit_code == 2
    assert re.match(rf"Error: \$TRIAL_DIR/{message}", result.stderr), result.stderr


def test_snapshot_of_another_version_is_status_two(trial: pathlib.Path) -> None:
    """It has to be made again."""
    text = make_snapshot(PAIR[0]).to_json()
    (trial / "old.json").write_text(text.replace('"schema_version": 1', '"schema_version": 99'))
    result = drift("$TRIAL_DIR/old.json", PAIR[1])
    assert result.exit_code == 2
    assert re.match(r"Error: \$TRIAL_DIR/old.json:1: .*schema_version 99.*rapid snapshot", result.stderr)


def test_stale_snapshot_is_status_two(trial: pathlib.Path) -> None:
    """It names what changed since."""
    (trial / "old.json").write_text(make_snapshot(PAIR[0]).to_json())
    (trial / "reference.yaml").write_text(REFERENCE.replace("number: 1", "number: 3"))
    result = drift("$TRIAL_DIR/old.json", PAIR[1])
    assert result.exit_code == 2
    assert re.match(r"Error: \$TRIAL_DIR/old.json:1: .*stale: \$TRIAL_DIR/reference.yaml", result.stderr)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{\n,}", "old.json:2: this is not JSON"),
        ("[]", "old.json:1: a snapshot is a JSON object, this is a list"),
    ],
)
def test_json_that_is_no_snapshot_is_status_two(content: str, message: str, trial: pathlib.Path) -> None:
    """With the line where parsing stopped."""
    (trial / "old.json").write_text(content)
    result = drift("$TRIAL_DIR/old.json", PAIR[1])
    assert result.exit_code == 2
    assert result.stderr.startswith(f"Error: $TRIAL_DIR/{message}")


def test_levels_that_do_not_meet_are_status_two() -> None:
    """Exported facts have no declared level to compare a declared pipeline at."""
    snapshot = ROOT / "config" / "snapshots" / "LATISS" / "SingleFrame.json"
    result = drift(snapshot, PAIR[1])
    assert result.exit_code == 2
    assert "SingleFrame.json" in result.stderr
    assert "declared level" in result.stderr


def test_level_that_is_not_reached_is_status_two() -> None:
    """The class that is missing is named."""
    result = drift(*PAIR, "--level", "resolved")
    assert result.exit_code == 2
    assert re.match(r"Error: \$TRIAL_DIR/reference.yaml:1: .*not.there.OneTask", result.stderr)


@pytest.mark.parametrize(
    ("args", "message"),
    [
        ((PAIR[0],), "Name both sides"),
        ((), "Name two pipelines, or a policy"),
        ((*PAIR, "--since", "old.json", "--format", "junit"), "--since has no junit format"),
        ((*PAIR, "--since", "old.json", "--format", "github"), "--since has no github format"),
        ((*PAIR, "--since", "old.json", "--propose", "out.yaml"), "one at a time"),
        (("-p", "policy.yaml", "-p", "policy.yaml", "--propose", "out.yaml"), "--propose is for one pair"),
        (("-p", "policy.yaml", "-p", "policy.yaml", "--since", "old.json"), "--since is for one pair"),
        ((*PAIR, "--level", "deep"), "'deep' is not one of"),
    ],
)
def test_wrong_use_is_status_two(args: tuple[str, ...], message: str, trial: pathlib.Path) -> None:
    """It is said before anything is written."""
    result = drift(*args)
    assert result.exit_code == 2
    assert message in result.stderr
    assert not (trial / "out.yaml").exists()


def test_report_that_cannot_be_written_is_status_two(trial: pathlib.Path) -> None:
    """No drift is claimed that nobody can read."""
    result = drift(*PAIR, "--format", "json", "--output", trial / "policy.yaml" / "report.json")
    assert result.exit_code == 2
    assert "policy.yaml" in result.stderr


def test_level_that_a_snapshot_does_not_have_is_status_two(trial: pathlib.Path) -> None:
    """A declared snapshot cannot be compared at the resolved level; it is named."""
    (trial / "old.json").write_text(make_snapshot(PAIR[0]).to_json())
    result = drift("$TRIAL_DIR/old.json", "$TRIAL_DIR/old.json", "--level", "resolved")
    assert result.exit_code == 2
    assert result.stderr.startswith("Error: $TRIAL_DIR/old.json:1: the resolved level was asked for")
    assert drift("$TRIAL_DIR/old.json", PAIR[0], "--level", "declared").exit_code == 0
    result = drift(*PAIR, "--since", "$TRIAL_DIR/old.json", "--level", "resolved")
    assert result.exit_code == 2


def test_declared_level_of_a_resolved_snapshot(trial: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is compared at the level that was asked for."""
    monkeypatch.setenv("DRIFT_TEST_DIR", str(ROOT / "tests" / "data" / "drift"))
    (trial / "leaf.json").write_text(make_snapshot("$DRIFT_TEST_DIR/pipelines/Leaf.yaml").to_json())
    result = drift(*["$TRIAL_DIR/leaf.json"] * 2, "--level", "declared", "--format", "json")
    [verdict] = json.loads(result.stdout)["verdicts"]
    assert verdict["comparisons"][0]["level"] == Level.DECLARED


DEEP = {
    "code": (
        "candidate.yaml",
        "description: Deep.\ntasks:\n  one: {class: a.B, config: {file: $TRIAL_DIR/deep.py}}\n",
    ),
    "YAML": ("candidate.yaml", "description: " + "[" * 3000 + "]" * 3000 + "\n"),
    "policy": ("policy.yaml", "allow: " + "[" * 3000 + "]" * 3000 + "\n"),
}
"""Files that are nested, or load what is nested, more deeply than Python's stack allows."""


@pytest.mark.parametrize(("name", "text"), DEEP.values(), ids=DEEP)
def test_nesting_without_end_is_status_two(name: str, text: str, trial: pathlib.Path) -> None:
    """The file is named."""
    (trial / "deep.py").write_text(f"config.number = {'-' * 5000}1\n")
    (trial / name).write_text(text)
    result = drift(*PAIR, "-p", "policy.yaml")
    assert result.exit_code == 2
    assert result.stderr.startswith("Error: ")
    assert name in result.stderr or "deep.py" in result.stderr


def test_what_nobody_foresaw_is_status_two(monkeypatch: pytest.MonkeyPatch) -> None:
    """With its traceback; status 1 would mean that pipelines differ."""

    def fail(*_: object) -> None:
        raise ZeroDivisionError("not foreseen")

    monkeypatch.setattr("lsst.ra.pipe.cli._drift.compare_snapshots", fail)
    result = drift(*PAIR)
    assert result.exit_code == 2
    assert "Traceback" in result.stderr
    assert "ZeroDivisionError: not foreseen" in result.stderr
    assert result.stdout == ""


NOT_ASCII = "Zwei ist schneller, größer \u2192 später."


@pytest.mark.parametrize(
    "args",
    [(), ("-o", "report.txt"), ("--format", "markdown")],
    ids=" ".join,
)
@pytest.mark.parametrize("encoding", ["ascii", "latin-1"])
def test_locale_does_not_matter(args: tuple[str, ...], encoding: str, trial: pathlib.Path) -> None:
    """Reasons that are not ASCII are written where the locale has only that."""
    text = POLICY.replace("Two is faster.", NOT_ASCII)
    (trial / "policy.yaml").write_text(text, encoding="utf-8")
    environment = {
        **os.environ,
        "LC_ALL": "C",
        "PYTHONUTF8": "0",
        "PYTHONCOERCECLOCALE": "0",
    }
    if encoding != "ascii":
        environment["PYTHONIOENCODING"] = encoding
    command = [sys.executable, "-m", "lsst.ra.pipe.cli", "drift", "-p", "policy.yaml"]
    command += ["--propose", "overlay.yaml", *args]
    done = subprocess.run(command, env=environment, cwd=trial, capture_output=True)
    assert done.returncode == 0, done.stderr.decode()
    assert f"one.number: {NOT_ASCII}" in (trial / "overlay.yaml").read_text(encoding="utf-8")
    if "-o" in args:
        assert "größer" in (trial / "report.txt").read_text(encoding="utf-8")
    else:
        assert done.stdout


# Formats.


def test_json_has_both_sides() -> None:
    """Nothing but JSON on standard output."""
    result = drift(*PAIR, "--format", "json")
    content = json.loads(result.stdout)
    assert content["exit_code"] == result.exit_code == 1
    [comparison] = content["verdicts"][0]["comparisons"]
    differences = {one["name"]: one for one in comparison["undeclared"]}
    assert differences.keys() == {"number", "switch"}
    assert differences["number"]["reference"]["value"] == 1
    assert differences["number"]["candidate"]["set_by"]["line"] == 8
    assert comparison["level"] == "declared"
    assert "not.there.OneTask" in comparison["reason"]


def test_junit_is_xml_with_a_failure() -> None:
    """A test case for the task, that fails."""
    result = drift(*PAIR, "--format", "junit")
    root = ElementTree.fromstring(result.stdout)
    failed = [case for case in root.iter("testcase") if case.find("failure") is not None]
    assert result.exit_code == 1
    assert [case.get("name") for case in failed] == ["one"]


def test_github_annotates() -> None:
    """An error for what is undeclared, and none for what is allowed."""
    assert "::error " in drift(*PAIR, "--format", "github").stdout
    result = drift("-p", "policy.yaml", "--format", "github")
    assert result.exit_code == 0
    assert "::error " not in result.stdout


def test_markdown_gives_reasons() -> None:
    """As for a comment of a pull request."""
    result = drift("-p", "policy.yaml", "--format", "markdown")
    assert result.exit_code == 0
    for text in ("Two is faster.", "DM-12345", "`one.number`", "$TRIAL_DIR/candidate.yaml:8"):
        assert text in result.stdout


@pytest.mark.parametrize("name", ["table", "json", "markdown", "junit", "github"])
def test_output_is_a_file(name: str, trial: pathlib.Path) -> None:
    """Of any format, in a directory that is made; standard output stays empty."""
    result = drift(*PAIR, "--format", name, "--output", "new/report")
    assert result.exit_code == 1
    assert result.stdout == ""
    text = (trial / "new" / "report").read_text()
    assert "number" in text
    if name != "table":
        assert text == drift(*PAIR, "--format", name).stdout


# What changed since.


@pytest.fixture
def old(trial: pathlib.Path) -> pathlib.Path:
    """Snapshot of the reference before two of its fields changed."""
    path = trial / "old.json"
    path.write_text(make_snapshot(PAIR[0]).to_json())
    text = REFERENCE.replace("number: 1", "number: 5").replace("text: same", "text: other")
    (trial / "reference.yaml").write_text(text)
    return path


def test_since_says_what_is_shadowed(old: pathlib.Path) -> None:
    """Exit status 1; the override, the values and the entry of the policy are named."""
    result = drift("-p", "policy.yaml", "--since", old)
    assert result.exit_code == 1
    output = " ".join(result.output.split())
    for text in ("hidden by an override", "one.number", "was 1", "is 5", "the candidate has 2", "one.text"):
        assert text in output
    assert "set in $TRIAL_DIR/candidate.yaml:8" in output
    assert "$TRIAL_DIR/policy.yaml:6" in output


def test_since_is_success_if_all_arrives(old: pathlib.Path, trial: pathlib.Path) -> None:
    """Once the override is gone."""
    (trial / "candidate.yaml").write_text(CANDIDATE.replace("      number: 2\n", ""))
    result = drift(*PAIR, "--since", old, "--format", "markdown")
    assert result.exit_code == 0
    assert "### 2 changes in the candidate by itself" in result.stdout


def test_since_as_json(old: pathlib.Path) -> None:
    """Nothing but JSON on standard output."""
    result = drift(*PAIR, "--since", old, "--format", "json")
    reaches = {one["difference"]["name"]: one["reach"] for one in json.loads(result.stdout)["changes"]}
    assert result.exit_code == 1
    assert reaches == {"number": "shadowed", "text": "inherited"}


@pytest.mark.parametrize("name", ["table", "json", "markdown"])
def test_since_to_a_file(name: str, old: pathlib.Path, trial: pathlib.Path) -> None:
    """Of any of its formats."""
    result = drift(*PAIR, "--since", old, "--format", name, "-o", "report")
    assert result.exit_code == 1
    assert result.stdout == ""
    assert "number" in (trial / "report").read_text()


def test_since_an_unreadable_snapshot_is_status_two() -> None:
    """As every side that is missing."""
    result = drift(*PAIR, "--since", "$TRIAL_DIR/nowhere.json")
    assert result.exit_code == 2
    assert result.stderr.startswith("Error: $TRIAL_DIR/nowhere.json:1: ")


# What is proposed.


def test_propose_writes_an_overlay(trial: pathlib.Path) -> None:
    """Beside the report; with the overlay for the reference that difference is gone."""
    result = drift("-p", "policy.yaml", "--propose", "new/overlay.yaml", "--format", "json")
    assert result.exit_code == 0
    assert json.loads(result.stdout)["exit_code"] == 0
    path = trial / "new" / "overlay.yaml"
    assert "# one.number: Two is faster. (DM-12345)" in path.read_text().splitlines()
    assert yaml.safe_load(path.read_text())["tasks"]["one"]["config"] == {"number": 2}
    assert [one.name for one in path.parent.iterdir()] == ["overlay.yaml"]
    content = json.loads(drift("$TRIAL_DIR/new/overlay.yaml", PAIR[1], "--format", "json").stdout)
    [comparison] = content["verdicts"][0]["comparisons"]
    assert [one["name"] for one in comparison["undeclared"]] == ["switch"]


def test_nothing_to_propose_is_status_two(trial: pathlib.Path) -> None:
    """No file is written."""
    allow(trial, "allow: []\n")
    result = drift("-p", "policy.yaml", "--propose", "overlay.yaml")
    assert result.exit_code == 2
    assert result.stderr.startswith("Error: $TRIAL_DIR/candidate.yaml:1: nothing ")
    assert not (trial / "overlay.yaml").exists()


def test_what_cannot_be_proposed_is_status_two(trial: pathlib.Path) -> None:
    """The line of the policy is named, and an older overlay is left as it is."""
    (trial / "candidate.yaml").write_text(REFERENCE.replace("not.there.TwoTask", "not.there.OtherTask"))
    allow(trial, "allow:\n  - {class: true, category: site, reason: R., propagate: true}\n")
    (trial / "overlay.yaml").write_text("older\n")
    result = drift("-p", "policy.yaml", "--propose", "overlay.yaml")
    assert result.exit_code == 2
    assert result.stderr.startswith("Error: $TRIAL_DIR/policy.yaml:6: class two cannot be propagated")
    assert (trial / "overlay.yaml").read_text() == "older\n"


def test_proposal_that_cannot_be_checked_says_so(
    trial: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A snapshot's pipeline may be elsewhere."""
    (trial / "reference.json").write_text(make_snapshot(PAIR[0]).to_json())
    (trial / "candidate.yaml").write_text(REFERENCE.replace("number: 1", "number: 2"))
    (trial / "reference.yaml").unlink()
    result = drift("$TRIAL_DIR/reference.json", PAIR[1], "-p", "policy.yaml", "--propose", "overlay.yaml")
    assert "overlay.yaml: not checked, since it imports what cannot be read here" in result.stderr
    content = yaml.safe_load((trial / "overlay.yaml").read_text())
    assert content["imports"] == [{"location": PAIR[0]}]


def test_shipped_policy_can_be_proposed(trial: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What Rapid Analysis offers to LSSTCam's Alert Production."""
    for name, home in PRODUCTS.items():
        monkeypatch.setenv(name, str(home))
    reference = "$AP_PIPE_DIR/pipelines/LSSTCam/ApPipe.yaml"
    candidate = "$RA_PIPE_DIR/pipelines/LSSTCam/Prompt.yaml"
    policy = "$RA_PIPE_DIR/config/drift/Prompt.yaml"
    result = drift(reference, candidate, "-p", policy, "--propose", "overlay.yaml")
    assert result.exit_code == 0
    assert drift("$TRIAL_DIR/overlay.yaml", candidate).exit_code == 0
