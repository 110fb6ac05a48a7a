# This file is part of ra_pipe.
#
# Use of this source code is governed by a 3-clause BSD-style
# license that can be found in the LICENSE file.

"""What pipeline and override files say, taken down without their tasks."""

from __future__ import annotations

import pathlib
from typing import Any

import pytest
from drift_home import CONFIG_LINE, Home, make_home
from lsst.ra.pipe.drift._compare import compare_snapshots
from lsst.ra.pipe.drift._difference import Difference
from lsst.ra.pipe.drift._snapshot import TaskSnapshot


@pytest.fixture
def home(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> Home:
    """A product."""
    return make_home(tmp_path / "here", monkeypatch)


def declare(home: Home, config: str, **files: str) -> TaskSnapshot:
    """Take down one task."""
    home.measure(config, **files)
    return home.declare().tasks["m"]


def compare(
    home: Home, one: tuple[str, dict[str, str]], other: tuple[str, dict[str, str]]
) -> list[Difference]:
    """Compare two configurations of one task."""
    snapshots = []
    for config, files in (one, other):
        home.measure(config, **files)
        snapshots.append(home.declare())
    return list(compare_snapshots(*snapshots).differences)


FILE = "file: $HERE_DIR/o.py"


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (("a: 1", {}), ("a:   1  # a comment", {})),
        (("a: 1\nb: 2", {}), ("b: 2\n\n\na: 1", {})),
        (("a: [1, 2]", {}), ("a:\n  - 1\n  - 2", {})),
        (("a: text", {}), ("a: 'text'", {})),
        (("a: 1", {}), ("a: 1.0", {})),
        (("a: 1e-5", {}), ("a: 0.00001", {})),
        (("a: .nan", {}), (FILE, {"o_py": "config.a = float('nan')"})),
        (("a: 1", {}), (FILE, {"o_py": "# A comment.\nconfig.a=1"})),
        (("a.b: [x, y]", {}), (FILE, {"o_py": "config.a.b = ['x', 'y']"})),
        (("a: 1", {}), ("python: config.a = 1", {})),
        (("a: None", {}), ("a: null", {})),
        ((FILE, {"o_py": "config.a['k'].b = 2"}), ("a.k.b: 2", {})),
        ((FILE, {"o_py": "config.a = 3\nconfig.a = 2"}), ("a: 2", {})),
        (
            (FILE, {"o_py": "config.p.names |= {'x', 'y'}"}),
            (FILE, {"o_py": "config.p.names.update(['y', 'x'])"}),
        ),
        (
            (FILE, {"o_py": "config.p.names |= {'x', 'y'}"}),
            (FILE, {"o_py": "config.p.names.add('y')\nconfig.p.names.add('x')"}),
        ),
        ((FILE, {"o_py": "config.p.names = ['x', 'y']"}), (FILE, {"o_py": "config.p.names = ['y', 'x']"})),
        (
            (FILE, {"o_py": "config.p.names = ['x']\nconfig.p.names |= {'y'}"}),
            (FILE, {"o_py": "config.p.names = ['y', 'x']"}),
        ),
        ((FILE, {"o_py": "config.m = ['x']\nconfig.m.append('y')"}), ("m: [x, y]", {})),
        ((FILE, {"o_py": "config.load('$HERE_DIR/i.py')", "i_py": "config.a = 1"}), ("a: 1", {})),
        (
            (
                FILE,
                {
                    "o_py": "config.load(os.path.join(os.path.dirname(__file__), 'i.py'))",
                    "i_py": "config.a = 1",
                },
            ),
            ("a: 1", {}),
        ),
        ((FILE, {"o_py": "for x in y:\n    f(config,  x)"}), (FILE, {"o_py": "for x in y: f(config, x)"})),
        ((FILE, {"o_py": "config.s.retarget(Some)"}), (FILE, {"o_py": "config.s.retarget( Some )"})),
    ],
)
def test_same_effect_is_no_difference(
    home: Home, one: tuple[str, dict[str, str]], other: tuple[str, dict[str, str]]
) -> None:
    """Layout, order of settings, and which file has a value do not matter."""
    assert compare(home, one, other) == []


@pytest.mark.parametrize(
    ("one", "other", "found"),
    [
        (("a: 1", {}), ("a: true", {}), [("field", "a")]),
        (("a: 1", {}), ("a: '1 x'", {}), [("field", "a")]),
        (("a: [1, 2]", {}), ("a: [2, 1]", {}), [("field", "a")]),
        (("m: [x]", {}), (FILE, {"o_py": "config.m.append('x')"}), [("field", "m")]),
        (
            (FILE, {"o_py": "config.m += ['x', 'y']"}),
            (FILE, {"o_py": "config.m += ['y', 'x']"}),
            [("field", "m")],
        ),
        (
            (FILE, {"o_py": "config.p.names.add('x')"}),
            (FILE, {"o_py": "config.p.names.discard('x')"}),
            [("field", "p.names")],
        ),
        ((FILE, {"o_py": "f(config)"}), ("a: 1", {}), [("field", "a"), ("block", "f(config)")]),
        ((FILE, {"o_py": "f(config)"}), (FILE, {"o_py": "f(config, 1)"}), [("block", "f(config)")]),
        ((FILE, {"o_py": "f(config)\ng(config)"}), (FILE, {"o_py": "f(config)"}), [("block", "g(config)")]),
        (
            (FILE, {"o_py": "config.a = 1\nf(config)"}),
            (FILE, {"o_py": "f(config)\nconfig.a = 1"}),
            [("order", "a")],
        ),
        (("a: 1\npython: f(config)", {}), (FILE, {"o_py": "config.a = 1\nf(config)"}), [("order", "a")]),
        ((FILE, {"o_py": "config.a = x"}), (FILE, {"o_py": "config.a = y"}), [("field", "a")]),
    ],
)
def test_other_effect_is_one_difference(
    home: Home,
    one: tuple[str, dict[str, str]],
    other: tuple[str, dict[str, str]],
    found: list[tuple[str, str]],
) -> None:
    """What may have another effect is reported, once."""
    assert [(str(one.kind), one.name) for one in compare(home, one, other)] == found


def test_a_field_is_of_who_set_it_last(home: Home) -> None:
    """Files come first, then the block, then values, whatever their order in the file."""
    task = declare(
        home,
        "a: 3\npython: |\n  config.a = 2\n  config.b = 2\nfile: $HERE_DIR/o.py",
        o_py="config.a = 1\nconfig.b = 1\nconfig.c = 1\nconfig.load('$HERE_DIR/i.py')",
        i_py="\nconfig.d = 1",
    )
    places = {name: (setting.value, str(setting.set_by)) for name, setting in task.config.items()}
    assert places == {
        "a": (3, f"$HERE_DIR/p.yaml:{CONFIG_LINE}"),
        "b": (2, f"$HERE_DIR/p.yaml:{CONFIG_LINE + 3}"),
        "c": (1, "$HERE_DIR/o.py:3"),
        "d": (1, "$HERE_DIR/i.py:2"),
    }


@pytest.mark.parametrize("config", ["a: parameters.depth", FILE])
def test_field_of_a_parameter_follows_it(home: Home, config: str) -> None:
    """A parameter that differs is one difference, whoever gives it to a field."""
    snapshots = []
    for value in (3, 4):
        home.measure(config, o_py="config.a = parameters.depth")
        text = (home.path / "p.yaml").read_text()
        (home.path / "p.yaml").write_text(f"{text}parameters:\n  depth: {value}\n")
        snapshots.append(home.declare())
    assert snapshots[0].tasks["m"].config["a"].value == 3
    found = compare_snapshots(*snapshots).differences
    assert [(str(one.kind), one.name) for one in found] == [("parameter", "depth")]
    assert [str(side.set_by) for side in (found[0].reference, found[0].candidate)] == [
        f"$HERE_DIR/p.yaml:{CONFIG_LINE + 2}"
    ] * 2


def test_digests_cover_all_files(home: Home) -> None:
    """Those that others load as well."""
    home.measure(FILE, o_py="config.load('$HERE_DIR/i.py')", i_py="config.a = 1")
    assert list(home.declare().sources) == [f"$HERE_DIR/{name}" for name in ("i.py", "o.py", "p.yaml")]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1e5", 1e5),
        ("'[x, 1]'", ["x", 1]),
        ("some_name", "some_name"),
        ("some.name", "some.name"),
        ("'True'", True),
        ("'-3'", -3),
        ("{k: '2'}", {"k": 2}),
        ("['1', b]", [1, "b"]),
        ("1 + 1", "1 + 1"),
        ("null", None),
    ],
)
def test_values_are_read_as_pipe_base_reads_them(home: Home, text: str, value: Any) -> None:
    """A string may be Python, in which a name stands for itself."""
    assert declare(home, f"a: {text}").config["a"].value == value
