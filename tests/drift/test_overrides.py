# This file is part of ra_pipe.
#
# Use of this source code is governed by a 3-clause BSD-style
# license that can be found in the LICENSE file.

"""Override files made from snapshots give a task the snapshot's settings."""

from __future__ import annotations

import math
import pathlib
from collections.abc import Callable, Mapping
from typing import Any

import pytest
from drift_tree import ROOT, UPSTREAM
from lsst.pex.config import Config
from lsst.ra.pipe.drift import (
    DriftError,
    Level,
    Setting,
    Snapshot,
    TaskSnapshot,
    encode_value,
    load_snapshot,
    make_snapshot,
    same_value,
    write_overrides,
)
from lsst.ra.pipe.drift._fields import flatten_config
from lsst.ra.pipe.tasks import FirstLookIsrTask
from override_tasks import OtherWorker, make_config, make_limits

INSTRUMENTS = ("LATISS", "LSSTCam", "LSSTComCam")
CLASS = "override_tasks.SampleTask"
FIRST_LOOK_ISR = "lsst.ra.pipe.tasks.FirstLookIsrTask"


Change = Callable[[Any], None]


def take(
    config: Config,
    *,
    drop: tuple[str, ...] = (),
    level: Level = Level.RESOLVED,
    task_class: str = "else.where.OtherTask",
) -> Snapshot:
    """Take a snapshot of a task with a configuration."""
    settings = {
        name: Setting(value=state.value)
        for name, state in flatten_config(config).items()
        if not name.endswith(drop)
    }
    task = TaskSnapshot.model_validate({"class": task_class, "config": settings})
    return Snapshot(level=level, pipeline="$AP_PIPE_DIR/pipelines/Some.yaml", tasks={"sample": task})


def load(text: str, config: Config) -> dict[str, Any]:
    """Load an override file as pex_config does; return the values of all fields."""
    config.loadFromString(text)
    return {name: state.value for name, state in flatten_config(config).items()}


def assert_same(found: Mapping[str, Any], wanted: Mapping[str, Setting]) -> int:
    """Hold the fields that both have against each other; return their number."""
    common = [name for name in found.keys() & wanted.keys() if not name.startswith("connections.")]
    for name in common:
        assert same_value(found[name], wanted[name].value), name
    return len(common)


@pytest.mark.parametrize("instrument", INSTRUMENTS)
def test_settings_of_alert_production_are_those_of_first_look(instrument: str) -> None:
    """Loaded on the task's defaults, the file gives each field AP's value."""
    snapshot = load_snapshot(str(ROOT / "config" / "snapshots" / instrument / "SingleFrame.json") + "#isr")
    text = write_overrides(snapshot, FIRST_LOOK_ISR, title="ISR.")
    assert assert_same(load(text, FirstLookIsrTask.ConfigClass()), snapshot.tasks["isr"].config) > 150


def change_plain(config: Any) -> None:
    """Set fields of each plain type."""
    config.number, config.count, config.switch, config.text = -2.5e-8, 7, True, None


def change_not_finite(config: Any) -> None:
    """Set numbers without a literal."""
    config.number = math.nan
    config.numbers = [math.inf, -math.inf, 2.0]


def change_text(config: Any) -> None:
    """Set texts that are hard to write."""
    config.text = 'it\'s "so" C:\\new\nline\té {x}'
    config.words = ["'", '"', "'\"", "", "a\\"]


def change_empty_list(config: Any) -> None:
    """Leave lists empty."""
    config.words = []
    config.numbers = []


def change_dictionaries(config: Any) -> None:
    """Replace, add and remove items, also where the keys are no texts."""
    config.colors = {"r": 0.9, "i'": math.nan}
    config.by_number = {10: "ten", 9: "ni'ne"}
    config.part.colors["y"] = 3.5
    config.worker.colors["z"] = 4.5


def change_config_dictionaries(config: Any) -> None:
    """Add and remove configurations, in a subtask as well."""
    config.rules[12] = make_limits()
    config.rules[2] = make_limits()
    config.rules[2].low = 0.25
    config.rules[12].by_amplifier = {3: 0.75}
    for part in (config.part, config.worker):
        part.rules["R'1"] = make_limits()
        part.rules["R'1"].low = 2.0
        del part.rules["R00"]


def change_registries(config: Any) -> None:
    """Select other plugins, that hold plugins, and set them."""
    config.plugins.names = ["shape", "chain"]
    config.plugins["shape"].low = 5.0
    config.plugins["shape"].by_amplifier = {8: 1.0}
    config.plugins["chain"].plugins.names = ["two", "three"]
    config.plugins["chain"].plugins["three"].low = 6.0
    config.method.name = "chain"
    config.method["chain"].plugins.names = ["one"]


CHANGES: list[Change] = [
    change_plain,
    change_not_finite,
    change_text,
    change_empty_list,
    change_dictionaries,
    change_config_dictionaries,
    change_registries,
]


@pytest.mark.parametrize("change", CHANGES, ids=lambda change: change.__name__.removeprefix("change_"))
def test_values_of_every_kind_are_given(change: Change) -> None:
    """The file makes of the defaults exactly what the snapshot has."""
    config = make_config()
    change(config)
    snapshot = take(config)
    text = write_overrides(snapshot, CLASS, title="Sample.")
    found = load(text, make_config())
    wanted = snapshot.tasks["sample"].config
    assert_same(found, wanted)
    assert found.keys() == wanted.keys()
    assert "does not have" not in text
    changed = {name: state.value for name, state in flatten_config(config).items()}
    assert changed != {name: state.value for name, state in flatten_config(make_config()).items()}


def empty_dictionaries(config: Any) -> None:
    """Remove all there is, in a subtask and a plugin as well."""
    config.colors = {}
    config.part.colors = {}
    config.plugins["flux"].by_amplifier = {}
    for part in (config.part, config.worker):
        del part.rules["R00"]


def test_emptied_dictionaries_are_emptied() -> None:
    """A snapshot of the same class has no field of them."""
    config = make_config()
    empty_dictionaries(config)
    text = write_overrides(take(config, task_class=CLASS), CLASS, title="Sample.")
    again = make_config()
    again.loadFromString(text)
    assert again.toDict() == config.toDict()
    assert "keep their defaults" not in text


def test_dictionaries_that_may_be_empty_are_said() -> None:
    """Another class may have no such field, so that they are left as they are."""
    config = make_config()
    empty_dictionaries(config)
    text = write_overrides(take(config), CLASS, title="Sample.")
    comment = " ".join(line.removeprefix("# ") for line in text.split("keep their defaults")[1].splitlines())
    for name in ("colors", "part.colors", "part.rules", "worker.rules", "plugins.flux.by_amplifier"):
        assert f" {name}" in comment
    assert "by_number" not in text
    assert load(text, make_config())["colors.g"] == 0.1


def test_plugins_that_are_not_selected_are_set() -> None:
    """Who selects them later finds them as they were."""
    config = make_config()
    config.plugins["shape"].low = 5.0
    config.method["shape"].by_amplifier = {7: 2.0}
    config.method["chain"].plugins.names = ["two"]
    text = write_overrides(take(config), CLASS, title="Sample.")
    again = make_config()
    again.loadFromString(text)
    assert set(again.plugins.names) == {"flux"}
    assert again.plugins["shape"].low == 5.0
    assert dict(again.method["shape"].by_amplifier) == {7: 2.0}
    assert set(again.method["chain"].plugins.names) == {"two"}
    assert "does not have" not in text


def test_what_is_the_default_is_not_said() -> None:
    """Nothing but the title."""
    text = write_overrides(take(make_config()), CLASS, title="First line.\nSecond line.")
    assert text.split("\n\n", 1)[0] == "# First line.\n# Second line."
    assert text.split("\n\n", 1)[1].strip() == ""


def test_only_what_differs_is_said() -> None:
    """One line for one field, and none for connections."""
    config = make_config()
    config.count = 3
    config.saveLogOutput = False
    snapshot = take(config)
    settings = dict(snapshot.tasks["sample"].config) | {"connections.image": Setting(value="other")}
    task = snapshot.tasks["sample"].model_copy(update={"config": settings})
    text = write_overrides(snapshot.model_copy(update={"tasks": {"sample": task}}), CLASS, title="Sample.")
    assert text.split("\n\n", 1)[1].splitlines() == ["config.count = 3", "config.saveLogOutput = False"]


def test_unknown_fields_are_listed() -> None:
    """What the class does not have is said in a comment, and not set."""
    snapshot = take(make_config())
    more = {"elsewhere.deep": Setting(value=1), "doMagic": Setting(value=True)}
    task = snapshot.tasks["sample"]
    task = task.model_copy(update={"config": {**task.config, **more}})
    text = write_overrides(snapshot.model_copy(update={"tasks": {"sample": task}}), CLASS, title="Sample.")
    assert "# Fields that SampleTask does not have: doMagic, elsewhere.deep." in text
    load(text, make_config())


def test_class_is_refused() -> None:
    """A subtask of another class is not set by assignment."""
    config = make_config()
    config.worker.retarget(OtherWorker)
    with pytest.raises(DriftError, match=r"Some\.yaml:1: .*worker\.target.*OtherWorker"):
        write_overrides(take(config), CLASS, title="Sample.")


def test_value_that_the_class_refuses_is_an_error() -> None:
    """A plugin that is not registered there."""
    snapshot = take(make_config())
    task = snapshot.tasks["sample"]
    settings = dict(task.config) | {"plugins.names": Setting(value=encode_value({"flux", "ghost"}))}
    task = task.model_copy(update={"config": settings})
    with pytest.raises(DriftError, match=r"Some\.yaml:1: .*SampleTask.*ghost"):
        write_overrides(snapshot.model_copy(update={"tasks": {"sample": task}}), CLASS, title="Sample.")


def test_several_tasks_are_refused() -> None:
    """The message says how to choose one."""
    snapshot = load_snapshot(str(ROOT / "config" / "snapshots" / "LATISS" / "SingleFrame.json"))
    with pytest.raises(DriftError, match=r"SingleFrame\.json:1: .*one task.*calibrateImage, isr.*'#'"):
        write_overrides(snapshot, FIRST_LOOK_ISR, title="ISR.")


def test_declared_level_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """What files declare is not all that a task has."""
    for product in ("ap_pipe", "analysis_tools"):
        monkeypatch.setenv(f"{product.upper()}_DIR", str(UPSTREAM / product))
    snapshot = make_snapshot("$AP_PIPE_DIR/pipelines/LATISS/SingleFrame.yaml#isr")
    with pytest.raises(DriftError, match=r"SingleFrame\.yaml:1: .*declared level"):
        write_overrides(snapshot, FIRST_LOOK_ISR, title="ISR.")


@pytest.mark.parametrize("name", ["lsst.ip.isr.IsrTaskLSST", "lsst.ra.pipe.tasks.NoSuchTask", "pathlib.Path"])
def test_class_that_is_no_task_is_an_error(name: str) -> None:
    """The message names it."""
    with pytest.raises(DriftError, match=name):
        write_overrides(take(make_config()), name, title="Sample.")


def test_file_loads_from_a_path(tmp_path: pathlib.Path) -> None:
    """As pipelines load it, text that is not ASCII included."""
    config = make_config()
    change_text(config)
    path = tmp_path / "sample.py"
    path.write_text(write_overrides(take(config), CLASS, title="Sample."), encoding="utf-8")
    again = make_config()
    again.load(str(path))
    assert (again.text, list(again.words)) == (config.text, list(config.words))
