# This file is part of ra_pipe.
#
# Use of this source code is governed by a 3-clause BSD-style
# license that can be found in the LICENSE file.

"""What Rapid Analysis changes of upstream settings is plain, has a reason, and has an effect."""

from __future__ import annotations

import ast
import json
import pathlib
from collections.abc import Iterator
from typing import Any

import pytest

RAPID = pathlib.Path(__file__).resolve().parents[1] / "config" / "rapid"
FILES = sorted(RAPID.rglob("*.py"))
SINGLE_FRAMES = [f"ap-{camera}-SingleFrame.json" for camera in ("LSSTCam", "LSSTComCam", "LATISS")]
UPSTREAM = {
    "isr.py": [(file, "isr") for file in SINGLE_FRAMES],
    "calibrateImage.py": [(file, "calibrateImage") for file in SINGLE_FRAMES],
    "propagated/calibrateImage.py": [(file, "calibrateImage") for file in SINGLE_FRAMES],
    "verifyDarkIsr.py": [
        (f"cp_verify-{camera}-verifyDark.json", "verifyDarkIsr") for camera in ("LSSTCam", "LATISS")
    ],
    "LSSTCam/verifyFlatIsr.py": [("cp_verify-LSSTCam-verifyFlat.json", "verifyFlatIsr")],
}
"""Resolved upstream tasks that each file is applied to.  The others are FirstLook's alone."""

KEPT = {
    "doAmpOffset",
    "doBrighterFatter",
    "doStandardStatistics",
    "do_adaptive_threshold_detection",
    "do_downsample_footprints",
    "do_remeasure_star_background",
}
"""Settings that upstream has as well, and that are said all the same because answers depend on them."""


def name_of(path: pathlib.Path) -> str:
    """Name of an override file, below config/rapid."""
    return path.relative_to(RAPID).as_posix()


@pytest.fixture(params=FILES, ids=name_of)
def override_file(request: pytest.FixtureRequest) -> pathlib.Path:
    """A file of overrides."""
    path: pathlib.Path = request.param
    return path


def read_field(node: ast.expr) -> list[str]:
    """Return the path of a field, with registry keys."""
    match node:
        case ast.Name(id="config"):
            return []
        case ast.Attribute(value=value, attr=attr):
            return [*read_field(value), attr]
        case ast.Subscript(value=value, slice=ast.Constant(value=str(key))):
            return [*read_field(value), "values", key]
    raise ValueError(f"line {node.lineno}: not a field of config: {ast.unparse(node)}")


def read_value(node: ast.expr) -> Any:
    """Return a constant; the float that has no literal is allowed."""
    if ast.unparse(node) == "float('inf')":
        return float("inf")
    return ast.literal_eval(node)


def read_statement(node: ast.stmt) -> tuple[list[str], str, Any]:
    """Return field, verb and value of a plain statement."""
    match node:
        case ast.Assign(targets=[target], value=value):
            return read_field(target), "set", read_value(value)
        case ast.AugAssign(target=target, op=ast.BitOr(), value=value):
            return read_field(target), "add", read_value(value)
        case ast.Expr(value=ast.Call(func=ast.Attribute(value=target, attr="remove"), args=[value])):
            return read_field(target), "remove", {read_value(value)}
    raise ValueError(f"line {node.lineno}: not a plain statement: {ast.unparse(node)}")


def read_statements(path: pathlib.Path) -> Iterator[tuple[list[str], str, Any]]:
    """Yield what a file does, in order."""
    for node in ast.parse(path.read_text()).body:
        yield read_statement(node)


def find(config: Any, field: list[str]) -> Any:
    """Return the value of a field in a resolved configuration."""
    for part in field:
        config = config[part]
    # Selections of registries are recorded as text.
    return ast.literal_eval(config) if isinstance(config, str) and config.startswith("[") else config


def test_statements_are_plain(override_file: pathlib.Path) -> None:
    """Each sets one field to a constant, on one line, and no field is set twice."""
    statements = list(read_statements(override_file))
    lines = [line for line in override_file.read_text().splitlines() if line and not line.startswith("#")]
    assert len(statements) == len(lines) > 0
    changes = [(".".join(field), str(value)) for field, _, value in statements]
    assert len(set(changes)) == len(changes)
    assigned = [field for field, verb, _ in statements if verb == "set"]
    assert all(assigned.count(field) == 1 for field in assigned)


def test_every_override_has_a_reason(override_file: pathlib.Path) -> None:
    """A file says why it exists; each paragraph of overrides begins with a comment."""
    opening, *paragraphs = override_file.read_text().split("\n\n")
    assert all(line.startswith("#") for line in opening.splitlines())
    assert all(paragraph.startswith("# ") for paragraph in paragraphs)


@pytest.mark.parametrize("name", UPSTREAM)
def test_reasons_name_what_upstream_has(name: str) -> None:
    """A reader need not look up what is changed."""
    upstream = "cp_verify" if "verify" in name else "Alert Production"
    for paragraph in (RAPID / name).read_text().split("\n\n")[1:]:
        assert upstream in paragraph.replace("\n# ", " "), paragraph


@pytest.mark.parametrize("name", UPSTREAM)
def test_every_override_changes_something(name: str, shared: pathlib.Path) -> None:
    """Its field exists upstream for every camera; its value differs for one, or is kept on purpose."""
    changed: set[str] = set()
    fields: set[str] = set()
    for file, label in UPSTREAM[name]:
        config = json.loads((shared / "ap" / file).read_text())["tasks"][label]["config"]
        for field, verb, value in read_statements(RAPID / name):
            before = find(config, field)
            fields.add(".".join(field))
            match verb:
                case "add":
                    differs = not value <= set(before)
                case "remove":
                    assert value <= set(before), f"{'.'.join(field)} of {file} has no {value}"
                    differs = True
                case _:
                    differs = before != value
            if differs:
                changed.add(".".join(field))
    assert fields - changed <= KEPT
    assert changed.isdisjoint(KEPT)


def test_propagated_settings_are_not_set_again() -> None:
    """What is offered to Alert Production is in one place."""
    offered, ours = (
        {(".".join(field), str(value)) for field, _, value in read_statements(RAPID / name)}
        for name in ("propagated/calibrateImage.py", "calibrateImage.py")
    )
    assert {field for field, _ in offered}.isdisjoint({field for field, _ in ours})
