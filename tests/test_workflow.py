# This file is part of ra_pipe.
#
# Use of this source code is governed by a 3-clause BSD-style
# license that can be found in the LICENSE file.

"""The drift gate's workflow and pre-commit hooks, run here."""

from __future__ import annotations

import dataclasses
import os
import pathlib
import re
import shlex
import shutil
import subprocess
import sys
import xml.etree.ElementTree as ET
from collections.abc import Mapping, Sequence
from typing import Any

import pytest
import yaml

ROOT = pathlib.Path(__file__).resolve().parents[1]
STAND_INS = ROOT / "tests" / "data" / "upstream"
POLICIES = sorted(path.name for path in (ROOT / "config" / "drift").glob("*.yaml"))
OUR_SETTING = "\n# Nobody has declared this.\nconfig.doITLDipMask = False\n"


class _Loader(yaml.SafeLoader):
    """A loader that reads the key ``on`` as GitHub does, as a string."""

    yaml_implicit_resolvers = {  # noqa: RUF012 (as PyYAML declares it)
        first: [one for one in resolvers if one[0] != "tag:yaml.org,2002:bool" or first in "tTfF"]
        for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }


@pytest.fixture(scope="module")
def workflow() -> Mapping[str, Any]:
    """Read the workflow."""
    content = yaml.load((ROOT / ".github" / "workflows" / "drift.yaml").read_text(), _Loader)
    assert isinstance(content, dict)
    return content


def _steps(workflow: Mapping[str, Any]) -> Sequence[Mapping[str, Any]]:
    steps: Sequence[Mapping[str, Any]] = workflow["jobs"]["gate"]["steps"]
    return steps


def _checkouts(workflow: Mapping[str, Any]) -> dict[str, str]:
    """Return where each repository is checked out; this one has no name."""
    options = [one.get("with", {}) for one in _steps(workflow) if "actions/checkout@" in one.get("uses", "")]
    return {one.get("repository", ""): one.get("path", ".") for one in options}


@dataclasses.dataclass(frozen=True)
class Runner:
    """A workspace with everything checked out, as GitHub's runner has it."""

    workflow: Mapping[str, Any]
    """The workflow."""
    workspace: pathlib.Path
    """Directory in which the steps run."""
    summary: pathlib.Path
    """File of the job's summary."""

    def run(self, step: str) -> subprocess.CompletedProcess[str]:
        """Run the script of a step, named by its ID."""
        (script,) = (one["run"] for one in _steps(self.workflow) if one.get("id") == step)
        file = self.summary.with_name(f"{step}.sh")
        file.write_text(script)
        # As GitHub documents "shell: bash".
        return self.start("bash", "--noprofile", "--norc", "-eo", "pipefail", str(file))

    def start(self, *command: str) -> subprocess.CompletedProcess[str]:
        """Run a command in the workspace, with the job's environment."""
        return subprocess.run(
            command, cwd=self.workspace, env=self._environment(), check=False, capture_output=True, text=True
        )

    def _environment(self) -> dict[str, str]:
        inherited = {name: value for name, value in os.environ.items() if not name.endswith("_DIR")}
        of_job = {
            name: value.replace("${{ github.workspace }}", str(self.workspace))
            for name, value in self.workflow["jobs"]["gate"]["env"].items()
        }
        path = os.pathsep.join([str(pathlib.Path(sys.executable).parent), inherited.get("PATH", "")])
        runners = {"GITHUB_STEP_SUMMARY": str(self.summary), "RUNNER_TEMP": str(self.summary.parent)}
        return {**inherited, **of_job, **runners, "PATH": path}

    def append(self, file: str, text: str) -> int:
        """Append to a file of the workspace; return its number of lines."""
        path = self.workspace / file
        path.write_text(path.read_text() + text)
        return len(path.read_text().splitlines())


@pytest.fixture
def runner(workflow: Mapping[str, Any], tmp_path: pathlib.Path) -> Runner:
    """Check out this repository, and stand-ins for the others."""
    workspace = tmp_path / "workspace"
    for repository, path in _checkouts(workflow).items():
        if repository:
            shutil.copytree(STAND_INS / repository.rpartition("/")[2], workspace / path)
        else:
            for name in ("config", "pipelines"):
                shutil.copytree(ROOT / name, workspace / path / name)
    return Runner(workflow, workspace, tmp_path / "summary.md")


def test_workflow_may_read_and_no_more(workflow: Mapping[str, Any]) -> None:
    """It sees no secrets, keeps no token, and runs nothing by a moving name."""
    assert workflow["permissions"] == {"contents": "read"}
    assert "pull_request_target" not in workflow["on"]
    assert workflow["on"].keys() >= {"pull_request", "push", "schedule"}
    assert "secrets" not in yaml.dump(dict(workflow))
    for step in _steps(workflow):
        if action := step.get("uses"):
            assert re.fullmatch(r"actions/[a-z-]+@v\d+(\.\d+)*", action)
        if "actions/checkout@" in step.get("uses", ""):
            assert step["with"]["persist-credentials"] is False
        # What a pull request is called must not get into a script.
        assert "${{" not in step.get("run", "")


def test_workflow_sets_every_variable_of_the_policies(workflow: Mapping[str, Any]) -> None:
    """Each product that a policy names is checked out where its variable
    says.
    """
    paths = _checkouts(workflow)
    variables = workflow["jobs"]["gate"]["env"]
    expected = {"RA_PIPE_DIR": "${{ github.workspace }}"}
    for repository in filter(None, paths):
        name = repository.rpartition("/")[2].upper()
        expected[f"{name}_DIR"] = "${{ github.workspace }}/" + paths[repository]
    assert variables == expected
    named = re.findall(
        r"\$(\w+_DIR)", "".join((ROOT / "config" / "drift" / one).read_text() for one in POLICIES)
    )
    assert set(named) <= variables.keys()


def test_workflow_installs_what_is_here(workflow: Mapping[str, Any]) -> None:
    """The files that it names exist."""
    (install,) = (one["run"] for one in _steps(workflow) if one.get("id") == "install")
    assert "-c constraints.txt" in install
    (python,) = (one["with"] for one in _steps(workflow) if "setup-python@" in one.get("uses", ""))
    assert (ROOT / python["python-version-file"]).is_file()
    assert (ROOT / python["cache-dependency-path"]).is_file()


def test_workflow_passes_as_shipped(runner: Runner) -> None:
    """All policies hold, and the reports are where they are taken from."""
    compared = runner.run("compare")
    assert compared.returncode == 0, compared.stdout + compared.stderr
    assert "::error" not in compared.stdout
    assert compared.stdout.count("::notice title=Drift::0 undeclared") == len(POLICIES)
    reported = runner.run("reports")
    assert reported.returncode == 0, reported.stderr
    assert all(f"config/drift/{name}" in runner.summary.read_text() for name in POLICIES)
    (kept,) = (one["with"] for one in _steps(runner.workflow) if "upload-artifact@" in one.get("uses", ""))
    suites = ET.parse(runner.workspace / kept["path"] / "drift.xml").getroot()
    assert suites.get("failures") == "0"
    assert len(suites) == sum(
        len(yaml.safe_load((ROOT / "config" / "drift" / name).read_text())["compare"]) for name in POLICIES
    )


def test_workflow_points_at_an_undeclared_setting(runner: Runner) -> None:
    """A setting that no policy declares fails, with an annotation on its line,
    and is in the reports, which are written all the same.
    """
    line = runner.append("config/rapid/isr.py", OUR_SETTING)
    compared = runner.run("compare")
    assert compared.returncode == 1, compared.stderr
    errors = [one for one in compared.stdout.splitlines() if one.startswith("::error ")]
    assert errors
    assert all(f"file=config/rapid/isr.py,line={line},title=Undeclared drift" in one for one in errors)
    assert runner.run("reports").returncode == 0
    assert "isr.doITLDipMask" in runner.summary.read_text()
    suites = ET.parse(runner.workspace / "reports" / "drift.xml").getroot()
    assert int(suites.get("failures", "0")) > 0


def test_workflow_says_what_it_could_not_compare(runner: Runner) -> None:
    """A file that cannot be read fails with its name and line, and hides no
    drift of other policies.
    """
    file = "upstream/cp_verify/pipelines/LATISS/verifyDark.yaml"
    end = runner.append(file, "\ntasks: [no end\n")
    line = runner.append("config/rapid/isr.py", OUR_SETTING)
    compared = runner.run("compare")
    assert compared.returncode == 2
    errors = [one for one in compared.stdout.splitlines() if one.startswith("::error ")]
    (unread,) = (one for one in errors if "title=Could not compare" in one)
    match = re.search(r"::\$CP_VERIFY_DIR/pipelines/LATISS/verifyDark\.yaml:(\d+): ", unread)
    assert match
    assert int(match[1]) in (end, end + 1)
    assert any(f"file=config/rapid/isr.py,line={line}" in one for one in errors)
    assert runner.run("reports").returncode == 0
    assert "isr.doITLDipMask" in runner.summary.read_text()
    assert "RapidAnalysisCalibrations.yaml" not in runner.summary.read_text()


def _hooks() -> dict[str, tuple[dict[str, Any], list[str]]]:
    """Return the hook for others and that of this repository, each with the
    arguments of ``rapid``.
    """
    (offered,) = yaml.safe_load((ROOT / ".pre-commit-hooks.yaml").read_text())
    (repository,) = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())["repos"]
    (own,) = (one for one in repository["hooks"] if one["id"] == "rapid-drift")
    commands = {
        name: [*shlex.split(hook["entry"]), *hook.get("args", [])]
        for name, hook in (("offered", offered), ("own", own))
    }
    assert commands["own"][:4] == ["env", "-u", "RA_PIPE_DIR", ".venv/bin/rapid"]
    assert commands["offered"][0] == "rapid"
    return {"offered": (offered, commands["offered"][1:]), "own": (own, commands["own"][4:])}


@pytest.mark.parametrize("name", ["offered", "own"])
def test_hook_looks_at_pipelines_and_configs(name: str) -> None:
    """Both hooks are one, and run as a whole when a file that counts is part
    of a commit.
    """
    hook, arguments = _hooks()[name]
    assert hook["id"] == "rapid-drift"
    assert hook["language"] == "system"
    assert hook["pass_filenames"] is False
    for file in ("config/rapid/isr.py", "pipelines/LSSTCam/FirstLook.yaml", "config/drift/FirstLook.yaml"):
        assert re.search(hook["files"], file)
    assert not re.search(hook["files"], "doc/conf.py")
    assert arguments == _hooks()["offered"][1]


def test_hook_runs_the_gate(runner: Runner) -> None:
    """It passes as shipped, and fails once there is an undeclared setting."""
    _, arguments = _hooks()["offered"]
    passed = runner.start("rapid", *arguments)
    assert passed.returncode == 0, passed.stdout + passed.stderr
    line = runner.append("config/rapid/isr.py", OUR_SETTING)
    failed = runner.start("rapid", *arguments)
    assert failed.returncode == 1, failed.stderr
    assert f"$RA_PIPE_DIR/config/rapid/isr.py:{line}" in failed.stdout
