# This file is part of ra_pipe.
#
# Use of this source code is governed by a 3-clause BSD-style
# license that can be found in the LICENSE file.

"""Every field of a task is of who set it last, and what fails is named."""

from __future__ import annotations

import pathlib

import pytest
from drift_home import CONFIG_LINE, Home, make_home
from lsst.ra.pipe.drift._compare import compare_snapshots
from lsst.ra.pipe.drift._errors import DriftError
from lsst.ra.pipe.drift._load import make_snapshot
from lsst.ra.pipe.drift._snapshot import Level, Setting, Snapshot


@pytest.fixture
def home(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> Home:
    """A product with the overrides of `drift_tasks.DriftCam`."""
    camera = make_home(tmp_path / "camera", monkeypatch, "DRIFT_TEST_DIR")
    camera.write({"config/camera/measure.py": "config.threshold = 5.5\n\nconfig.fit.order = 4\n"})
    return make_home(tmp_path / "here", monkeypatch)


def settings(snapshot: Snapshot) -> dict[str, Setting]:
    """Return the settings of the one task that some file made."""
    config = snapshot.tasks["m"].config
    return {name: one for name, one in config.items() if one.set_by and one.set_by.kind != "default"}


YAML = f"$HERE_DIR/p.yaml:{CONFIG_LINE}"
FILE = "file: $HERE_DIR/o.py"


@pytest.mark.parametrize(
    ("config", "files", "places"),
    [
        ("threshold: 7.5", {}, {"threshold": YAML}),
        ("fit.order: 7", {}, {"fit.order": YAML}),
        ("selector.name: by_flux", {}, {"selector.name": YAML}),
        ("colors: {g: 0.3}", {}, {"colors.g": YAML}),
        ("connections.stage: second", {}, {"connections.stage": YAML}),
        ("threshold: 5.0", {}, {"threshold": YAML}),  # The default, set once more.
        ("python: config.threshold = 7.5", {}, {"threshold": YAML}),
        (
            "python: |\n  # Comment.\n\n  config.threshold = 7.5",
            {},
            {"threshold": f"$HERE_DIR/p.yaml:{CONFIG_LINE + 3}"},
        ),
        (FILE, {"o_py": "\nconfig.threshold = 7.5"}, {"threshold": "$HERE_DIR/o.py:2"}),
        (
            FILE,
            {"o_py": "for name in ('a',):\n    config.colors[name] = 1.0\n    config.threshold = 7.5"},
            {"colors.a": "$HERE_DIR/o.py:2", "threshold": "$HERE_DIR/o.py:3"},
        ),
        (
            FILE,
            {
                "o_py": "config.load('$HERE_DIR/i.py')\nconfig.fit.order = 7",
                "i_py": "\n\nconfig.threshold = 7.5",
            },
            {"threshold": "$HERE_DIR/i.py:3", "fit.order": "$HERE_DIR/o.py:2"},
        ),
        (
            FILE,
            {
                "o_py": "import os.path\nconfig.load(os.path.join(os.path.dirname(__file__), 'i.py'))",
                "i_py": "config.threshold = 7.5",
            },
            {"threshold": "$HERE_DIR/i.py:1"},
        ),
        (
            FILE,
            {"o_py": "def change(config):\n    config.threshold = 7.5\nchange(config)"},
            {"threshold": "$HERE_DIR/o.py:3"},
        ),
        (
            FILE,
            {"o_py": "config.plugins.names |= ['shape']\nconfig.plugins['shape'].n_iterations = 3"},
            {"plugins.names": "$HERE_DIR/o.py:1", "plugins.shape.n_iterations": "$HERE_DIR/o.py:2"},
        ),
        (FILE, {"o_py": "config.plugins.names.discard('flux')"}, {"plugins.names": "$HERE_DIR/o.py:1"}),
        (FILE, {"o_py": "config.plugins = ['flux']"}, {"plugins.names": "$HERE_DIR/o.py:1"}),
        (FILE, {"o_py": "config.selector = 'by_flux'"}, {"selector.name": "$HERE_DIR/o.py:1"}),
        (FILE, {"o_py": "config.masks.append('X')"}, {"masks": "$HERE_DIR/o.py:1"}),
        (FILE, {"o_py": "config.masks[0] = 'X'"}, {"masks": "$HERE_DIR/o.py:1"}),
        (
            FILE,
            {"o_py": "config.colors['i'] = 1.0\nconfig.colors['z'] = 2.0"},
            {"colors.i": "$HERE_DIR/o.py:1", "colors.z": "$HERE_DIR/o.py:2"},
        ),
        (
            FILE,
            {"o_py": "from drift_tasks import OtherFitter\nconfig.fitter.retarget(OtherFitter)"},
            {"fitter.target": "$HERE_DIR/o.py:2"},
        ),
        (
            FILE,
            {"o_py": "config.threshold = 7.5\nconfig.threshold = 8.5\nconfig.threshold = 8.5"},
            {"threshold": "$HERE_DIR/o.py:3"},
        ),
        (
            f"threshold: 7.5\n{FILE}\npython: config.threshold = 7.5",
            {"o_py": "config.threshold = 7.5"},
            {"threshold": YAML},
        ),
    ],
)
def test_field_is_of_who_set_it_last(
    home: Home, config: str, files: dict[str, str], places: dict[str, str]
) -> None:
    """The file and the line are named; all other fields are at their defaults."""
    home.measure(config, **files)
    assert {name: str(one.set_by) for name, one in settings(home.resolve()).items()} == places


def test_rules_that_are_made_in_code_are_of_that_code(home: Home) -> None:
    """An element that did not exist is of the line that makes it, what it sets later of that."""
    home.measure(
        FILE, o_py="config.rules['R00'] = type(config).rules.itemtype()\nconfig.rules['R00'].weight = 2.0"
    )
    assert {name: str(one.set_by) for name, one in settings(home.resolve()).items()} == {
        "rules.R00.reason": "$HERE_DIR/o.py:1",
        "rules.R00.weight": "$HERE_DIR/o.py:2",
    }


def test_instrument_comes_before_the_pipeline(home: Home) -> None:
    """Its overrides have their file and line, and lose against those of the pipeline."""
    home.measure("threshold: 7.5")
    text = (home.path / "p.yaml").read_text()
    (home.path / "p.yaml").write_text(f"{text}instrument: drift_tasks.DriftCam\n")
    found = settings(home.resolve())
    assert {name: (one.value, str(one.set_by)) for name, one in found.items()} == {
        "fit.order": (4, "$DRIFT_TEST_DIR/config/camera/measure.py:3"),
        "threshold": (7.5, YAML),
    }
    assert str(found["fit.order"].set_by.kind) == "instrument"  # type: ignore[union-attr]


def test_two_ways_to_one_value_are_no_difference(home: Home) -> None:
    """Defaults, the instrument, a file, a block or a value: only what results counts."""
    ways = [
        ("threshold: 7.5\nmasks: [BAD, SAT, X]\nfit.order: 2", {}),
        (FILE, {"o_py": "config.threshold = 7.5\nconfig.masks.append('X')"}),
        ("python: |\n  setattr(config, 'threshold', 15 / 2)\n  config.masks += ['X']", {}),
    ]
    snapshots = []
    for config, files in ways:
        home.measure(config, **files)
        snapshots.append(home.resolve())
    for one in snapshots:
        for other in snapshots:
            assert compare_snapshots(one, other).differences == ()


@pytest.mark.parametrize(
    "config", ["fit.order: parameters.order", FILE, "python: config.fit.order = parameters.order"]
)
def test_field_of_a_parameter_follows_it(home: Home, config: str) -> None:
    """A parameter that differs is one difference, whoever gives it to a field."""
    snapshots = []
    for order in (3, 4):
        home.measure(config, o_py="config.fit.order = parameters.order")
        text = (home.path / "p.yaml").read_text()
        home.write({"p.yaml": f"{text}parameters:\n  order: {order}\n"})
        snapshots.append(home.resolve())
    assert [one.tasks["m"].config["fit.order"].value for one in snapshots] == [3, 4]
    found = compare_snapshots(*snapshots).differences
    assert [(str(one.kind), one.task, one.name) for one in found] == [("parameter", "", "order")]


@pytest.mark.parametrize(
    ("config", "files", "begins", "says"),
    [
        (
            "threshold: 1.5\nnothing: 3\nthreshold_of_nothing: 2",
            {},
            f"$HERE_DIR/p.yaml:{CONFIG_LINE + 1}: ",
            "nothing",
        ),
        ("fit.nothing: 3", {}, YAML, "nothing"),
        ("nothing.order: 3", {}, YAML, "nothing"),
        ("threshold: 1.5\nfit.order: text", {}, f"$HERE_DIR/p.yaml:{CONFIG_LINE + 1}: ", "order"),
        ("masks: 5", {}, YAML, "masks"),
        ("selector.name: by_nothing", {}, YAML, "by_nothing"),
        (FILE, {"o_py": "config.threshold = 1.5\nconfig.nothing = 3"}, "$HERE_DIR/o.py:2: ", "nothing"),
        (FILE, {"o_py": "\nconfig.threshold = 'text'"}, "$HERE_DIR/o.py:2: ", "threshold"),
        (FILE, {"o_py": "config.plugins['nothing'].a = 1"}, "$HERE_DIR/o.py:1: ", "nothing"),
        (FILE, {"o_py": "config.plugins.names |= ['nothing']"}, "$HERE_DIR/o.py:1: ", "nothing"),
        (FILE, {"o_py": "import nothing_like_it"}, "$HERE_DIR/o.py:1: ", "nothing_like_it"),
        (FILE, {"o_py": "\ndef f():\n    1 / 0\nf()"}, "$HERE_DIR/o.py:4: ", "ZeroDivisionError"),
        (
            FILE,
            {"o_py": "config.load('$HERE_DIR/i.py')", "i_py": "\nconfig.nothing = 3"},
            "$HERE_DIR/i.py:2: ",
            "nothing",
        ),
        (
            "python: |\n  config.threshold = 1.5\n  config.nothing = 3",
            {},
            f"$HERE_DIR/p.yaml:{CONFIG_LINE + 2}: ",
            "nothing",
        ),
    ],
)
def test_override_that_fails(home: Home, config: str, files: dict[str, str], begins: str, says: str) -> None:
    """The message names the file and the line of the override, not of the first or the last."""
    home.measure(config, **files)
    with pytest.raises(DriftError) as caught:
        home.resolve()
    assert str(caught.value).startswith(begins)
    assert says in str(caught.value)


@pytest.mark.parametrize(
    ("contract", "says"),
    [("m.threshold > 100", "is broken"), ("m.nothing == 1", "nothing"), ("m.threshold >", "evaluated")],
)
def test_contract_that_does_not_hold(home: Home, contract: str, says: str) -> None:
    """The message names its file and line."""
    home.measure("threshold: 7.5")
    text = (home.path / "p.yaml").read_text()
    (home.path / "p.yaml").write_text(f"{text}contracts:\n  - {contract}\n")
    with pytest.raises(DriftError, match=rf"^\$HERE_DIR/p\.yaml:{CONFIG_LINE + 2}: .*{says}"):
        home.resolve()


@pytest.mark.parametrize(
    "name", ["drift_tasks.MissingTask", "lsst.ra.pipe.tasks.MissingTask", "lsst.pipe.base.Missing"]
)
def test_class_that_is_missing_in_a_package_that_is_there(home: Home, name: str) -> None:
    """A misspelt class is an error, not a pipeline that cannot be resolved here."""
    home.write({"p.yaml": f"description: D.\ntasks:\n  one:\n    class: {name}\n"})
    with pytest.raises(DriftError, match=rf"^\$HERE_DIR/p\.yaml:4: .*{name}"):
        make_snapshot("$HERE_DIR/p.yaml")


@pytest.mark.parametrize("name", ["lsst.ip.isr.IsrTaskLSST", "lsst.nowhere.Task", "nowhere.at.all.Task"])
def test_class_of_a_package_that_is_not_there(home: Home, name: str) -> None:
    """The pipeline is known at the declared level, with the reason."""
    home.write({"p.yaml": f"description: D.\ntasks:\n  one: {name}\n"})
    snapshot = make_snapshot("$HERE_DIR/p.yaml")
    assert snapshot.level is Level.DECLARED
    assert name in snapshot.reason
    with pytest.raises(DriftError, match=rf"^\$HERE_DIR/p\.yaml:1: .*{name}"):
        home.resolve()
