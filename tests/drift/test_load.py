# This file is part of ra_pipe.
#
# Use of this source code is governed by a 3-clause BSD-style
# license that can be found in the LICENSE file.

"""Snapshots and exported facts are read, and what they cannot be is said."""

from __future__ import annotations

import copy
import json
import pathlib
import random
from typing import Any

import pytest
from drift_home import Home, make_home
from lsst.ra.pipe.drift._compare import compare_snapshots
from lsst.ra.pipe.drift._errors import DriftError
from lsst.ra.pipe.drift._load import load_snapshot, read_facts

FACTS = pathlib.Path(__file__).resolve().parents[3] / "shared" / "ap"


@pytest.fixture
def home(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> Home:
    """A product with a pipeline."""
    home = make_home(tmp_path / "here", monkeypatch)
    home.measure("threshold: 7.5")
    return home


SNAPSHOT = '{"schema_version": 1, "level": "declared", "pipeline": "p.yaml", "tasks": {}'


@pytest.mark.parametrize(
    ("text", "begins", "says"),
    [
        ('{"a": 1,\n "b" 2}', "$HERE_DIR/s.json:2: ", "not JSON"),
        ("[1, 2]", "$HERE_DIR/s.json:1: ", "list"),
        ("{}", "$HERE_DIR/s.json:1: ", "schema_version None"),
        (SNAPSHOT.replace("1", "2", 1) + "}", "$HERE_DIR/s.json:1: ", "schema_version 2"),
        (SNAPSHOT.replace("1", '"1"', 1) + "}", "$HERE_DIR/s.json:1: ", "schema_version '1'"),
        (SNAPSHOT + ', "extra": 3}', "$HERE_DIR/s.json:1: ", "extra"),
        (SNAPSHOT.replace("declared", "half") + "}", "$HERE_DIR/s.json:1: ", "level"),
        ('{"pipeline": "p", "tasks": {"one": {}}}', "$HERE_DIR/s.json:1: ", "no facts"),
        ('{"pipeline": "p", "tasks": []}', "$HERE_DIR/s.json:1: ", "no facts"),
    ],
)
def test_message_names_file_and_line(home: Home, text: str, begins: str, says: str) -> None:
    """What is no snapshot of this version is an error that says so."""
    home.write({"s.json": text})
    with pytest.raises(DriftError) as caught:
        load_snapshot("$HERE_DIR/s.json")
    assert str(caught.value).startswith(begins)
    assert says in str(caught.value)


def test_snapshot_that_is_not_there(home: Home) -> None:
    """The message names the file."""
    with pytest.raises(DriftError, match=r"^\$HERE_DIR/gone\.json:1: "):
        load_snapshot("$HERE_DIR/gone.json")


def test_stale_snapshot(home: Home) -> None:
    """A snapshot of a file that has changed since is an error that names both."""
    home.measure("file: $HERE_DIR/o.py", o_py="config.threshold = 7.5")
    home.write({"s.json": home.resolve().to_json()})
    assert load_snapshot("$HERE_DIR/s.json") == home.resolve().model_copy(
        update={"read_from": "$HERE_DIR/s.json"}
    )
    home.write({"o.py": "config.threshold = 7.5  # As before."})
    with pytest.raises(DriftError, match=r"^\$HERE_DIR/s\.json:1: .*stale: \$HERE_DIR/o\.py changed"):
        load_snapshot("$HERE_DIR/s.json")
    stale = load_snapshot("$HERE_DIR/s.json", may_be_stale=True)
    assert compare_snapshots(stale, home.resolve()).differences == ()


def test_files_that_are_not_here_are_taken_for_unchanged(home: Home) -> None:
    """A snapshot of upstream can be read where upstream is not."""
    home.write({"s.json": home.resolve().to_json()})
    (home.path / "p.yaml").unlink()
    assert load_snapshot("$HERE_DIR/s.json").tasks.keys() == {"m"}


def test_labels_of_a_snapshot(home: Home) -> None:
    """They are selected as those of a pipeline."""
    text = (
        "description: D.\ntasks:\n  one: some.One\n  two: some.Two\n  three: some.Three\n"
        "subsets:\n  pair: [one, two]\n  all: [one, two, three]\n"
        "steps:\n  - {label: pair, dimensions: [visit]}\n"
        "contracts:\n  - one.a == two.a\n  - three.a == 1\n"
    )
    home.write({"p.yaml": text})
    home.write({"s.json": home.declare().to_json()})
    for labels in ("one", "pair", "one,three", "all"):
        ours = load_snapshot(f"$HERE_DIR/s.json#{labels}")
        theirs = home.declare(f"p.yaml#{labels}")
        for part in ("tasks", "subsets", "steps", "contracts"):
            assert getattr(ours, part) == getattr(theirs, part), (labels, part)
    with pytest.raises(DriftError, match=r"^\$HERE_DIR/s\.json:1: .*'nothing'; there are all, one, pair"):
        load_snapshot("$HERE_DIR/s.json#nothing")


# Facts of Alert Production, changed in place.


@pytest.fixture(
    scope="module", params=["ap-LSSTCam-SingleFrame", "ap-LATISS-SingleFrame", "cp_verify-LSSTCam-verifyBias"]
)
def facts(request: pytest.FixtureRequest) -> tuple[str, Any]:
    """What the real packages resolve."""
    path = FACTS / f"{request.param}.json"
    if not path.exists():
        pytest.skip(f"{path} is not here")
    return path.name, json.loads(path.read_text())


def leaves_of(value: Any, path: tuple[str, ...]) -> list[tuple[str, ...]]:
    """Return the paths of all fields of a configuration in facts."""
    if isinstance(value, dict) and value:
        return [leaf for key in sorted(value) for leaf in leaves_of(value[key], (*path, key))]
    return [] if isinstance(value, dict) else [path]


def other(value: Any) -> Any:
    """Return another value."""
    match value:
        case bool():
            return not value
        case int() | float():
            return value + 1 if value == value else 0.5
        case str() if value.startswith(("{", "[")):
            return '["mutant"]'
        case str():
            return f"{value}_mutant"
        case list():
            return [*value, "mutant"]
        case _:
            return "mutant"


@pytest.mark.parametrize("seed", range(40))
def test_changed_field_of_facts_is_reported(facts: tuple[str, Any], seed: int) -> None:
    """One field of a task, however deep, is one difference."""
    name, content = facts
    rng = random.Random(seed)
    changed = copy.deepcopy(content)
    label = rng.choice(sorted(changed["tasks"]))
    config = changed["tasks"][label]["config"]
    path = rng.choice(leaves_of(config, ()))
    for key in path[:-1]:
        config = config[key]
    config[path[-1]] = other(config[path[-1]])
    snapshots = [read_facts(json.dumps(one), name=name) for one in (changed, content)]
    found = compare_snapshots(*snapshots).differences
    # The configurations of a registry lie among its selection as "values".
    dotted = ".".join(key for key in path if key != "values")
    assert [(str(one.kind), one.task, one.name) for one in found] == [("field", label, dotted)], seed


def test_other_changes_of_facts_are_reported(facts: tuple[str, Any]) -> None:
    """A task, class, connection, dimension or member of a subset is one difference."""
    name, content = facts
    label = sorted(content["tasks"])[0]
    connection = sorted(content["tasks"][label]["inputs"])[0]
    task = content["tasks"][label]

    def apply(kind: str, changed: Any) -> tuple[str, str, str]:
        mine = changed["tasks"][label]
        match kind:
            case "task":
                del changed["tasks"][label]
                return ("task", label, "")
            case "class":
                mine["class"] += "Mutant"
                return ("class", label, "")
            case "dimensions":
                mine["dimensions"] = [*mine["dimensions"], "mutant"]
                return ("dimensions", label, "")
            case "removed":
                del mine["inputs"][connection]
                return ("connection", label, connection)
            case _:
                mine["inputs"][connection][kind] = (
                    "mutant" if isinstance(task["inputs"][connection][kind], str) else ["mutant"]
                )
                return ("connection", label, f"{connection}.{kind}")

    for kind in ("task", "class", "dimensions", "removed", "dataset_type", "storage_class"):
        changed = copy.deepcopy(content)
        expected = apply(kind, changed)
        snapshots = [read_facts(json.dumps(one), name=name) for one in (changed, content)]
        found = compare_snapshots(*snapshots).differences
        assert [(str(one.kind), one.task, one.name) for one in found] == [expected], kind


def test_facts_are_no_difference_to_their_snapshot(facts: tuple[str, Any], home: Home) -> None:
    """Facts that are kept as a snapshot stay what they are."""
    name, content = facts
    snapshot = read_facts(json.dumps(content), name=name)
    home.write({"s.json": snapshot.to_json()})
    assert compare_snapshots(snapshot, load_snapshot("$HERE_DIR/s.json")).differences == ()
    assert {"origins", "contracts"} <= set(snapshot.omits)
