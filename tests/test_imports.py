# This file is part of ra_pipe.
#
# Use of this source code is governed by a 3-clause BSD-style
# license that can be found in the LICENSE file.

"""Imports run one way, and never into compiled Science Pipelines code."""

from __future__ import annotations

import ast
import graphlib
import pathlib
import subprocess
import sys
from collections.abc import Iterator

import pytest

PACKAGE = "lsst.ra.pipe"
PYTHON = pathlib.Path(__file__).resolve().parents[1] / "python"

LAYERS = (
    {"camera", "algorithms"},
    {"tasks"},
    {"drift", "execution", "repository", "simulation", "sinks", "web"},
    {"cli"},
)
"""Subpackages, those that are imported first."""

FORBIDDEN = {
    # The pipelines' YAML names the tasks.
    "execution": (f"{PACKAGE}.tasks",),
    # Imports no sibling.
    "drift": tuple(
        f"{PACKAGE}.{name}" for name in ("execution", "repository", "simulation", "sinks", "web", "tasks")
    ),
    # Arrays in, arrays out.
    "algorithms": ("lsst.ctrl", "lsst.daf", "lsst.pipe.base"),
}
"""What a subpackage does not import, beyond the layers."""

SCIENCE_PIPELINES = ("lsst.afw", "lsst.ip", "lsst.meas", "lsst.obs", "lsst.pipe.tasks")
"""Compiled, or built on what is: not on a package index."""


def _module_name(path: pathlib.Path, python: pathlib.Path) -> str:
    parts = path.relative_to(python).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def _imported_modules(path: pathlib.Path, python: pathlib.Path) -> Iterator[str]:
    """Yield the absolute names that a file imports, those in functions too.

    ``from a import b`` gives ``a.b``, as ``b`` may be a module.
    """
    package = list(path.relative_to(python).parent.parts)
    for node in ast.walk(ast.parse(path.read_text(), filename=str(path))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            parent = package[: len(package) - node.level + 1] if node.level else []
            origin = ".".join(parent + ([node.module] if node.module else []))
            yield from (f"{origin}.{alias.name}" for alias in node.names)


def _is_within(name: str, packages: tuple[str, ...]) -> bool:
    return any(name == package or name.startswith(f"{package}.") for package in packages)


def _subpackage(name: str) -> str | None:
    """Subpackage of a module of this package; `None` for anything else."""
    prefix = f"{PACKAGE}."
    return name.removeprefix(prefix).partition(".")[0] if name.startswith(prefix) else None


def _imports(python: pathlib.Path) -> Iterator[tuple[str, str]]:
    """Yield module and imported name for each import of the package."""
    for path in sorted(python.glob(f"{PACKAGE.replace('.', '/')}/**/*.py")):
        importer = _module_name(path, python)
        for imported in _imported_modules(path, python):
            yield importer, imported


def _layer(subpackage: str) -> int | None:
    return next((rank for rank, layer in enumerate(LAYERS) if subpackage in layer), None)


def _violations(python: pathlib.Path) -> list[str]:
    """Find the imports that break the rules; one sentence for each."""
    found = []
    for importer, imported in _imports(python):
        source = _subpackage(importer)
        target = _subpackage(imported)
        if _is_within(imported, SCIENCE_PIPELINES):
            found.append(f"{importer} imports {imported}, which needs compiled Science Pipelines code")
        if source is None:
            continue
        if _is_within(imported, FORBIDDEN.get(source, ())):
            found.append(f"{importer} imports {imported}, which {source} never imports")
        if target is None or target == source:
            continue
        source_layer, target_layer = _layer(source), _layer(target)
        if source_layer is None:
            found.append(f"{importer}: {source} is in none of this test's LAYERS")
        elif target_layer is not None and target_layer > source_layer:
            found.append(f"{importer} imports {imported}, which is above it")
    return found


def _write_package(python: pathlib.Path, modules: dict[str, str]) -> None:
    for name, text in modules.items():
        path = python.joinpath("lsst", "ra", "pipe", *name.split(".")).with_suffix(".py")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


def test_imports_run_one_way() -> None:
    """No subpackage imports what is above it, or what it must not know."""
    assert _violations(PYTHON) == []


def test_subpackages_do_not_import_each_other_in_a_circle() -> None:
    """Subpackages of one layer may import each other, in one direction."""
    graph: dict[str, set[str]] = {}
    for importer, imported in _imports(PYTHON):
        source, target = _subpackage(importer), _subpackage(imported)
        if source is not None and target is not None and source != target:
            graph.setdefault(source, set()).add(target)
    assert graph, "There are imports between the subpackages."
    graphlib.TopologicalSorter(graph).prepare()


def test_every_subpackage_has_a_layer() -> None:
    """A new subpackage is given its place."""
    directory = PYTHON.joinpath(*PACKAGE.split("."))
    subpackages = {path.parent.name for path in directory.glob("*/__init__.py")}
    assert "camera" in subpackages
    assert subpackages <= set().union(*LAYERS)


@pytest.mark.parametrize(
    ("module", "text"),
    [
        ("camera._raw", "from ..tasks import FirstLookIsrTask\n"),
        ("camera._raw", "from .. import cli\n"),
        ("tasks._isr", "import lsst.ra.pipe.execution\n"),
        ("simulation._sky", "def draw():\n    from lsst.ra.pipe.cli import main\n"),
        ("execution._runner", "from lsst.ra.pipe import tasks\n"),
        ("drift._compare", "from ..sinks import x\n"),
        ("algorithms._sky", "from lsst.daf.butler import Butler\n"),
        ("tasks._isr", "from lsst.ip import isr\n"),
        ("tasks._isr", "import lsst.afw.image as afwImage\n"),
        ("novelty._x", "from ..camera import load_camera\n"),
    ],
)
def test_wrong_imports_are_found(tmp_path: pathlib.Path, module: str, text: str) -> None:
    """Each rule is seen to fail, for each way to write an import."""
    _write_package(tmp_path, {module: text})
    (violation,) = _violations(tmp_path)
    assert f"{PACKAGE}.{module}" in violation


def test_right_imports_are_not_reported(tmp_path: pathlib.Path) -> None:
    """Imports downwards, within a subpackage, and of others' code are fine."""
    _write_package(
        tmp_path,
        {
            "cli._run": "from lsst.ra.pipe.execution import QuantumRunner\n",
            "tasks._isr": "from ..algorithms.isr import subtract\nfrom lsst.pipe.base import Struct\n",
            "tasks.plots._sky": "from .._isr import x\nfrom . import style\nimport numpy as np\n",
            "repository._ingest": "from lsst.ipython import magic\n",
        },
    )
    assert _violations(tmp_path) == []


def test_public_packages_can_be_imported_without_site_data(tmp_path: pathlib.Path) -> None:
    """Import reads no environment variable of an observatory and no network."""
    directory = PYTHON.joinpath(*PACKAGE.split("."))
    names = [_module_name(path, PYTHON) for path in sorted(directory.glob("**/__init__.py"))]
    done = subprocess.run(
        [sys.executable, "-c", "\n".join(f"import {name}" for name in names)],
        check=False,
        capture_output=True,
        text=True,
        env={"HOME": str(tmp_path)},
    )
    assert done.returncode == 0, done.stderr
