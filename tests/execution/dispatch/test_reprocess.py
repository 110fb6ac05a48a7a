# This file is part of ra_pipe.
#
# Use of this source code is governed by a 3-clause BSD-style
# license that can be found in the LICENSE file.

from __future__ import annotations

import getpass
import pathlib

import pytest
from arithmetic_pipeline import DETECTORS, EXPOSURE, NO_VISIT
from click.testing import CliRunner, Result
from dispatch_rules import load_rules, make_facts
from lsst.daf.butler import Butler
from lsst.ra.pipe.cli import main
from lsst.ra.pipe.execution.dispatch import PlannedRun, find_raws, plan_pipeline, plan_runs


def rapid(*args: object) -> Result:
    """Run ``rapid`` with arguments."""
    return CliRunner().invoke(main, [str(arg) for arg in args], catch_exceptions=False)


def test_raws_are_found_by_exposure(butler: Butler) -> None:
    """Exposures without raws are left out; the facts come along."""
    [raws] = find_raws(butler, instrument="LSSTCam", collections=["LSSTCam/defaults"])
    assert {facts.exposure: numbers for facts, numbers in raws.items()} == {
        EXPOSURE: frozenset(DETECTORS),
        NO_VISIT: frozenset(DETECTORS),
    }
    assert list(find_raws(butler, instrument="LSSTCam", collections=["LSSTCam/calib"])) == [{}]


def test_plan_follows_the_rules(tmp_path: pathlib.Path) -> None:
    """Exposures with the same pipeline and detectors go together; what is
    left out is so with a reason.
    """
    table = load_rules(
        tmp_path,
        """
        rules:
          - {name: guider, detectors: 5, ignore: true}
          - {name: bias, observation_type: bias, pipeline: bias.yaml}
          - {name: call, observation_type: dark, function: "os:getcwd"}
          - {name: one, observation_type: science, detectors: 1, pipeline: one.yaml}
          - {name: sky, observation_type: science, pipeline: sky.yaml}
        """,
    )
    raws = {
        make_facts(exposure=number, observation_type=kind): frozenset(detectors)
        for number, kind, detectors in (
            (11, "bias", (1, 2)),
            (12, "science", (1, 2, 3, 5)),
            (13, "bias", (1, 2, 5)),
            (14, "dark", (1, 5)),
            (15, "flat", (1,)),
            (16, "bias", ()),
        )
    }
    plan = plan_runs(raws, table=table)
    assert plan.runs == (
        PlannedRun("bias.yaml", (11, 13), (1, 2)),
        PlannedRun("one.yaml", (12,), (1,)),
        PlannedRun("sky.yaml", (12,), (2, 3)),
    )
    assert plan.skipped == {
        14: "rule 'call' calls os:getcwd, which is no pipeline; rule 'guider' ignores it",
        15: "no rule matches it",
        16: "it has no raw of these detectors",
    }


def test_plan_of_one_pipeline() -> None:
    """The rules are not asked."""
    raws = {
        make_facts(exposure=1): frozenset({3, 2}),
        make_facts(exposure=2): frozenset({2, 3}),
        make_facts(exposure=3): frozenset[int](),
    }
    plan = plan_pipeline(raws, pipeline="x.yaml")
    assert plan.runs == (PlannedRun("x.yaml", (1, 2), (2, 3)),)
    assert set(plan.skipped) == {3}


def test_reprocess_then_no_gaps(butler: Butler, root: pathlib.Path, rules: pathlib.Path) -> None:
    """One line runs what the rules choose, into the user's collection, and
    what it did is no gap there; a second time nothing is done.
    """
    arguments = (root, "-e", f"{EXPOSURE}..{EXPOSURE + 50}", "--dispatch", rules)
    result = rapid("reprocess", *arguments, "-j", 1)
    assert result.exit_code == 0, result.output
    output = f"u/{getpass.getuser()}/rapid"
    assert f"The outputs are in {output}." in result.output
    totals = Butler.from_config(root).query_datasets("total", output)
    assert [ref.dataId["visit"] for ref in totals] == [EXPOSURE]
    assert Butler.from_config(root).get(totals[0]) == {"value": 2.0 * (93 + 94), "n": 2}
    assert rapid("gaps", *arguments, "-o", output).exit_code == 0
    assert rapid("gaps", *arguments).exit_code == 1
    again = rapid("reprocess", *arguments, "-j", 1)
    assert again.exit_code == 0, again.output
    assert "existed" in again.output
    assert "succeeded" not in again.output


def test_reprocess_with_another_configuration(butler: Butler, root: pathlib.Path, pipeline: str) -> None:
    """A given pipeline is run on all detectors, with the override."""
    result = rapid(
        *("reprocess", root, "-e", EXPOSURE, "-d", "94..99", "-p", pipeline, "-o", "u/someone/test/x"),
        *("-c", "double:offset=1", "-j", 1),
    )
    assert result.exit_code == 0, result.output
    new = Butler.from_config(root, collections=["u/someone/test/x"])
    assert new.get("total", instrument="LSSTCam", visit=EXPOSURE) == {"value": 2.0 * (94 + 95) + 2, "n": 2}


@pytest.mark.parametrize(
    "output", ["LSSTCam/rapid", "u", "u/", "u/someone", "u//x", "uu/someone/x", "u/a/x/"]
)
def test_output_is_a_users(tmp_path: pathlib.Path, output: str) -> None:
    """The live service's collections are refused before anything else."""
    result = rapid("reprocess", tmp_path / "nowhere", "-e", EXPOSURE, "-o", output)
    assert result.exit_code == 2
    assert "expected u/<user>/..." in result.output


def test_nothing_to_run(butler: Butler, root: pathlib.Path, rules: pathlib.Path) -> None:
    """It is an error, which says why nothing is run."""
    result = rapid("reprocess", root, "-e", EXPOSURE, "-d", 95, "--dispatch", rules)
    assert result.exit_code == 1
    assert f"LSSTCam exposure {EXPOSURE} is left out: rule 'unwanted' ignores it." in result.output
    assert "There is nothing to run" in result.output
    result = rapid("reprocess", root, "-e", 17, "--dispatch", rules)
    assert result.exit_code == 1
    assert "no raw of LSSTCam exposure 17 in LSSTCam/defaults" in result.output


def test_wrong_rules(tmp_path: pathlib.Path) -> None:
    """The file and the line are named."""
    path = tmp_path / "wrong.yaml"
    path.write_text("rules:\n  - {name: a, ignore: perhaps}\n")
    result = rapid("reprocess", tmp_path / "nowhere", "-e", EXPOSURE, "--dispatch", path)
    assert result.exit_code == 1
    assert f"{path}:2: rule 'a': ignore" in result.output
