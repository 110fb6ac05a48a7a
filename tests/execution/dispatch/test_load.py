# This file is part of ra_pipe.
#
# Use of this source code is governed by a 3-clause BSD-style
# license that can be found in the LICENSE file.

from __future__ import annotations

import pathlib

import pytest
from dispatch_rules import load_rules, make_facts, write_rules
from lsst.ra.pipe.camera import known_cameras
from lsst.ra.pipe.execution.dispatch import DispatchError, default_dispatch, load_dispatch

FIRST_LOOK = "$RA_PIPE_DIR/pipelines/LSSTCam/FirstLook.yaml"


GOOD = """description: Test.
rules:
  - {name: good, observation_type: a, ignore: true}
"""


def rule(text: str) -> str:
    """Make a file of one good rule and, from line 4, of another one whose
    lines are separated by bars.
    """
    lines = text.split("|")
    return GOOD + f"  - {lines[0]}\n" + "".join(f"    {line}\n" for line in lines[1:])


MALFORMED = [
    ("name: x|observation_typ: bias|ignore: true", 5, "unknown key 'observation_typ'"),
    ("name: x|attempts: two|ignore: true", 5, "attempts: input should be a valid integer; got 'two'"),
    ("name: x|time_limit: -1|ignore: true", 5, "time_limit: input should be greater than 0; got -1"),
    ("name: x|order: random|ignore: true", 5, "order"),
    ("name: x|science_program: 365|ignore: true", 5, "science_program"),
    ("name: x|detectors: 5..2|ignore: true", 5, "range that goes up"),
    ("name: x|detectors: [1, x]|ignore: true", 5, "got 'x'"),
    ("name: x|detectors:|ignore: true", 5, "detectors is empty"),
    ("name: x|instrument: []|ignore: true", 5, "instrument: expected a string or a list"),
    (
        "name: x|pipeline: a.yaml|ignore: true",
        6,
        "exactly one of pipeline, function, ignore; got pipeline and ignore",
    ),
    ("name: x|ignore: false", 4, "exactly one of pipeline, function, ignore; got none"),
    ("name: a b|ignore: true", 4, "name: string should match pattern"),
    ("observation_type: b|ignore: true", 4, "name: field required"),
    ("name: good|ignore: true", 4, "the name 'good' is that of an earlier rule"),
    ("name: x|function: os.getcwd", 5, "function"),
    ("name: x|region:|  ra: 1|  dec: 91|  radius: 1|ignore: true", 7, "region.dec"),
    (
        "name: x|region:|  ra: 1|  dec: 1|  radius: 1|  size: 1|ignore: true",
        9,
        "unknown key 'size'; known are ra, dec, radius",
    ),
    ("name: x|region: [[0, 0], [1, 0]]|ignore: true", 5, "at least 3 corners"),
    ("name: x|region: [[0, 0], [4, 0], [1, 1], [0, 4]]|ignore: true", 5, "3 are corners of their hull"),
    ("name: x|observation_type: b|observation_type: c|ignore: true", 6, "'observation_type' occurs twice"),
    ("name: x|observation_type: [b|ignore: true", 6, "no YAML"),
    ("just text", 4, "input should be"),
]


@pytest.mark.parametrize(("text", "line", "message"), MALFORMED)
def test_malformed_rules_are_refused(tmp_path: pathlib.Path, text: str, line: int, message: str) -> None:
    """The error names the file and the line, and says what is wrong there."""
    with pytest.raises(DispatchError) as caught:
        load_rules(tmp_path, rule(text))
    [first, *_] = str(caught.value).splitlines()
    assert first.startswith(f"{tmp_path / 'dispatch.yaml'}:{line}: ")
    assert message in first


def test_unknown_key_of_the_file_is_refused(tmp_path: pathlib.Path) -> None:
    """The keys that a file has are listed."""
    with pytest.raises(
        DispatchError, match=r":4: unknown key 'more'; known are description, instrument, rules"
    ):
        load_rules(tmp_path, GOOD + "more: 1")


@pytest.mark.parametrize("text", ["", "rules: []", "[1, 2]", "text"])
def test_file_without_rules_is_refused(tmp_path: pathlib.Path, text: str) -> None:
    """An empty file is no table that ignores everything."""
    with pytest.raises(DispatchError, match=r"dispatch\.yaml:1: "):
        load_rules(tmp_path, text)


DANGLING = [
    ("name: x|instrument: LSSTcam|ignore: true", 5, "no instrument is named 'LSSTcam'; known are"),
    ("name: x|detectors: 200..300|ignore: true", 5, "no detector 205, 206"),
    ("name: x|instrument: LATISS|detectors: 1|ignore: true", 6, "LATISS has no detector 1"),
    ("name: x|pipeline: nowhere/x.yaml", 5, "cannot load 'nowhere/x.yaml'"),
    (f"name: x|instrument: LSSTCam|pipeline: {FIRST_LOOK}#isr,nope", 6, "nope"),
    (f"name: x|instrument: LATISS|pipeline: {FIRST_LOOK}", 6, "is for LSSTCam, but the rule matches LATISS"),
    (f"name: x|instrument: LSSTCam|pipeline: {FIRST_LOOK}|persist: [raw]", 7, "'raw' is no intermediate"),
    (f"name: x|instrument: LSSTCam|pipeline: {FIRST_LOOK}|publish: [metrics]", 7, "'metrics' is no output"),
    ("name: x|function: no_such_package.module:name", 5, "ModuleNotFoundError"),
    ("name: x|function: os:no_such_name", 5, "AttributeError"),
    ("name: x|detectors: 1..3|expected_detectors: 1..4|ignore: true", 6, "expects detector 4"),
]


@pytest.mark.parametrize(("text", "line", "message"), DANGLING)
def test_what_does_not_exist_is_refused(tmp_path: pathlib.Path, text: str, line: int, message: str) -> None:
    """It is found at start, with file and line, not when an image comes."""
    path = write_rules(tmp_path, rule(text))
    load_dispatch(path, check=False)
    with pytest.raises(DispatchError) as caught:
        load_dispatch(path)
    [only] = str(caught.value).splitlines()
    assert only.startswith(f"{path}:{line}: rule 'x': ")
    assert message in only


def test_check_of_a_table_names_the_lines(tmp_path: pathlib.Path) -> None:
    """A table that was loaded without a look at pipelines can still look."""
    table = load_rules(tmp_path, rule("name: x|function: os:no_such_name"))
    with pytest.raises(DispatchError, match=r"dispatch\.yaml:5: rule 'x': cannot import"):
        table.check()


def test_all_problems_are_reported(tmp_path: pathlib.Path) -> None:
    """One look at the message is enough to mend the file."""
    path = write_rules(
        tmp_path,
        """
        rules:
          - name: x
            attempts: 0
            order: up
          - name: y
            function: os:nope
          - {name: y, ignore: true}
        """,
    )
    with pytest.raises(DispatchError) as caught:
        load_dispatch(path)
    assert [problem.line for problem in caught.value.problems] == [4, 5, 7, 8]


def test_missing_file_is_named(tmp_path: pathlib.Path) -> None:
    """No such file is not the same as a bad one."""
    with pytest.raises(FileNotFoundError, match="nowhere"):
        load_dispatch(tmp_path / "nowhere.yaml")


@pytest.mark.parametrize("instrument", known_cameras())
def test_rules_of_this_package_are_right(instrument: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """They load with all they name, also without the variable."""
    monkeypatch.delenv("RA_PIPE_DIR", raising=False)
    table = load_dispatch(default_dispatch(instrument))
    assert len(table.pipelines()) >= 4


@pytest.mark.parametrize("instrument", known_cameras())
@pytest.mark.parametrize(
    ("observation_type", "pipeline"),
    [
        ("bias", "FirstLookBias"),
        ("dark", "FirstLookDark"),
        ("flat", "FirstLookFlat"),
        ("science", "FirstLook"),
        ("acq", "FirstLook"),
        ("cwfs", "FirstLook"),
        ("engtest", "FirstLook"),
        ("stuttered", None),
        (None, None),
    ],
)
def test_rules_of_this_package_choose_by_type(
    instrument: str, observation_type: str | None, pipeline: str | None
) -> None:
    """Every type has a rule, for a pipeline or to be ignored."""
    table = load_dispatch(default_dispatch(instrument), check=False)
    physical_filter = "SDSSr_65mm~empty" if instrument == "LATISS" else "r_57"
    facts = make_facts(
        instrument=instrument, observation_type=observation_type, physical_filter=physical_filter
    )
    chosen = table.select(facts, 0)
    assert chosen is not None
    assert chosen.ignore == (pipeline is None)
    expected = pipeline and f"$RA_PIPE_DIR/pipelines/{instrument}/{pipeline}.yaml"
    assert chosen.pipeline == expected


def test_spectra_are_not_measured_as_stars() -> None:
    """LATISS with a disperser runs ISR alone."""
    table = load_dispatch(default_dispatch("LATISS"), check=False)
    chosen = table.select(make_facts(instrument="LATISS", physical_filter="empty~holo4_003"), 0)
    assert chosen is not None
    assert (chosen.name, (chosen.pipeline or "").partition("#")[2]) == ("spectra", "isr")


def test_guiders_and_wavefront_sensors() -> None:
    """Guiders are ignored always, wavefront sensors on the sky."""
    table = load_dispatch(default_dispatch("LSSTCam"), check=False)
    names = {
        (kind, detector): (rule := table.select(make_facts(observation_type=kind), detector)) and rule.ignore
        for kind in ("science", "bias")
        for detector in (94, 189, 191)
    }
    assert names == {
        ("science", 94): False,
        ("science", 189): True,
        ("science", 191): True,
        ("bias", 94): False,
        ("bias", 189): True,
        ("bias", 191): False,
    }
