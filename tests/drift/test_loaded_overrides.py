# This file is part of ra_pipe.
#
# Use of this source code is governed by a 3-clause BSD-style
# license that can be found in the LICENSE file.

"""Override files that load others, end the program, or set a field around
another.
"""

from __future__ import annotations

import pathlib

import pytest
from drift_home import CONFIG_LINE, Home, make_home
from lsst.ra.pipe.drift import DriftError, Snapshot, compare_snapshots

FILE = "file: $HERE_DIR/o.py"
BESIDE = "os.path.dirname(__file__)"


@pytest.fixture
def home(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> Home:
    """A product of a test."""
    return make_home(tmp_path / "here", monkeypatch)


def take(home: Home, code: str, *, level: str = "declare", **files: str) -> Snapshot:
    """Take a snapshot of a task with this override file."""
    home.measure(FILE, o_py=code, **files)
    snapshot: Snapshot = getattr(home, level)()
    return snapshot


@pytest.mark.parametrize("level", ["declare", "resolve"])
@pytest.mark.parametrize(
    "code",
    [
        "config.load('i.py')",
        "config.load('./i.py')",
        f"import os\nconfig.load(os.path.join({BESIDE}, 'i.py'))",
        "import os\nconfig.load(os.path.join(os.path.dirname(os.path.abspath(__file__)), 'i.py'))",
        f"import os\nhere = {BESIDE}\nconfig.load(os.path.join(here, 'i.py'))",
        f"import os\nhere = os.path.join({BESIDE}, '.')\nconfig.load(os.path.join(here, 'i.py'))",
    ],
)
def test_file_that_is_loaded_is_read(home: Home, code: str, level: str) -> None:
    """From where it is, and its digest is kept."""
    snapshot = take(home, code, level=level, i_py="\nconfig.threshold = 7.5")
    setting = snapshot.tasks["m"].config["threshold"]
    assert (setting.value, str(setting.set_by)) == (7.5, "$HERE_DIR/i.py:2")
    assert "$HERE_DIR/i.py" in snapshot.sources


@pytest.mark.parametrize("level", ["declare", "resolve"])
def test_file_that_one_field_loads(home: Home, level: str) -> None:
    """Its fields are those of that field."""
    snapshot = take(home, "config.fit.load('i.py')", level=level, i_py="config.order = 4")
    setting = snapshot.tasks["m"].config["fit.order"]
    assert (setting.value, str(setting.set_by)) == (4, "$HERE_DIR/i.py:1")


def test_file_of_a_package_is_found(
    home: Home, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By the variable of the product."""
    other = make_home(tmp_path / "other", monkeypatch, "OBS_TEST_DIR")
    other.write({"config/i.py": "config.threshold = 7.5"})
    code = "config.load(os.path.join(getPackageDir('obs_test'), 'config', 'i.py'))"
    setting = (
        take(home, f"from lsst.utils import getPackageDir\nimport os\n{code}").tasks["m"].config["threshold"]
    )
    assert str(setting.set_by) == "$OBS_TEST_DIR/config/i.py:1"


@pytest.mark.parametrize("statement", ["raise SystemExit(0)", "import sys; sys.exit(0)"])
def test_override_that_ends_the_program_does_not(home: Home, statement: str) -> None:
    """It fails as any other does."""
    with pytest.raises(DriftError, match=r"^\$HERE_DIR/o\.py:2: this override fails: SystemExit"):
        take(home, f"config.threshold = 1.0\n{statement}", level="resolve")


@pytest.mark.parametrize(
    ("one", "other", "found"),
    [
        ("config.d = {'a': 1}\nconfig.d['b'] = 2", "config.d['b'] = 2\nconfig.d = {'a': 1}", ["d.b"]),
        ("config.s.retarget(X)\nconfig.s.f = 1", "config.s.f = 1\nconfig.s.retarget(X)", ["s.f"]),
        ("config.d = {'a': 1}\nconfig.e = 2", "config.e = 2\nconfig.d = {'a': 1}", []),
    ],
)
def test_field_set_before_what_is_around_it(home: Home, one: str, other: str, found: list[str]) -> None:
    """Is not the same as one set after that."""
    comparison = compare_snapshots(take(home, one), take(home, other))
    assert [(str(each.kind), each.name) for each in comparison.differences] == [
        ("order", name) for name in found
    ]


def test_class_by_another_name_drops_what_is_imported(home: Home) -> None:
    """Fields that are lost are of the line with the class."""
    home.measure("threshold: 7.5")
    base = (home.path / "p.yaml").read_text().replace("drift_tasks.", "lsst.one.")
    leaf = "description: On top.\nimports: [$HERE_DIR/base.yaml]\ntasks:\n  m:\n    class: lsst.one.two."
    leaf += "MeasureTask\n"
    home.write({"base.yaml": base, "p.yaml": leaf})
    [difference] = compare_snapshots(home.declare("base.yaml"), home.declare()).differences
    assert (difference.name, difference.candidate.is_absent) == ("threshold", True)
    assert str(difference.candidate.set_by) == "$HERE_DIR/p.yaml:5"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("a: &a {x: 1}\nb:\n  <<: *a\n  x: 2\n", "twice, also from a merge"),
        ("? [a, b]\n: 1\n", "a key is not a name"),
    ],
)
def test_yaml_that_pipe_base_does_not_take(home: Home, text: str, says: str) -> None:
    """Has its line named."""
    home.write({"p.yaml": f"description: None.\n{text}tasks: {{}}\n"})
    with pytest.raises(DriftError, match=rf"^\$HERE_DIR/p\.yaml:[234]: .*{says}"):
        home.declare()


def test_instrument_that_is_none(home: Home) -> None:
    """Is named with its line."""
    home.measure("threshold: 7.5")
    text = (home.path / "p.yaml").read_text()
    home.write({"p.yaml": f"{text}instrument: drift_tasks.MeasureTask\n"})
    with pytest.raises(DriftError, match=rf"^\$HERE_DIR/p\.yaml:{CONFIG_LINE + 1}: .* is not an instrument"):
        home.resolve()


def test_broken_contract_says_what_breaks_it(home: Home) -> None:
    """The pipeline, the value and who set it."""
    home.measure("threshold: 7.5")
    text = (home.path / "p.yaml").read_text()
    home.write({"p.yaml": f"{text}contracts: [m.threshold == 5]\n"})
    where = rf"of \$HERE_DIR/p\.yaml: .*\(m\.threshold is 7\.5, by \$HERE_DIR/p\.yaml:{CONFIG_LINE}\)"
    with pytest.raises(DriftError, match=where):
        home.resolve()
