# This file is part of ra_pipe.
#
# Use of this source code is governed by a 3-clause BSD-style
# license that can be found in the LICENSE file.

"""Validate the docstrings of the public API with numpydoc.

``numpydoc lint`` reads files and so takes properties for methods and private
modules for public ones.  This looks at the objects that the packages export,
with the same settings, ``[tool.numpydoc_validation]`` of ``pyproject.toml``.

Two things are left to good sense: a constructor that nobody wrote here (of a
dataclass, an enumeration, a subclass) has its fields documented one by one,
and what takes no parameters may say in one line what it returns.
"""

from __future__ import annotations

import dataclasses
import importlib
import inspect
import pathlib
import re
import sys
import tomllib
from collections.abc import Iterator
from types import ModuleType

from numpydoc.validate import validate

ROOT = pathlib.Path(__file__).resolve().parents[1]
PYTHON = ROOT / "python"
COMMAND_LINE = "lsst.ra.pipe.cli"  # its docstrings are the commands' help


def public_packages() -> Iterator[ModuleType]:
    """Import the public packages, one after another."""
    for path in sorted(PYTHON.glob("lsst/ra/pipe/**/__init__.py")):
        name = ".".join(path.parent.relative_to(PYTHON).parts)
        if name != COMMAND_LINE:
            yield importlib.import_module(name)


def public_objects(package: ModuleType) -> Iterator[tuple[str, object]]:
    """Yield the functions and classes of a package, and what is in these."""
    for name, value in vars(package).items():
        module = getattr(value, "__module__", None) or ""
        if name.startswith("_") or not module.startswith(package.__name__):
            continue
        if inspect.isclass(value) or inspect.isfunction(value):
            yield f"{package.__name__}.{name}", value
        if inspect.isclass(value):
            for member, attribute in vars(value).items():
                if not member.startswith("_") and _is_ours(attribute):
                    yield f"{package.__name__}.{name}.{member}", getattr(value, member)


def _is_ours(attribute: object) -> bool:
    """Whether a member is a method or property that this package wrote."""
    if isinstance(attribute, property):
        attribute = attribute.fget
    elif isinstance(attribute, classmethod | staticmethod):
        attribute = attribute.__func__
    return inspect.isfunction(attribute) and attribute.__module__.startswith("lsst.ra.pipe")


def _does_not_apply(code: str, value: object) -> bool:
    if code == "PR01" and inspect.isclass(value):
        return dataclasses.is_dataclass(value) or not _is_ours(vars(value).get("__init__"))
    if code == "RT01" and inspect.isroutine(value):
        return set(inspect.signature(value).parameters) <= {"self"}
    return False


def main() -> int:
    """Print each fault as ``file:line: object: code message``.

    Returns
    -------
    status
        1 if there are any, else 0.
    """
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["numpydoc_validation"]
    exclude = [re.compile(pattern) for pattern in settings["exclude"]]
    faults = set()
    seen = 0
    for package in public_packages():
        for name, value in public_objects(package):
            if any(pattern.search(name) for pattern in exclude):
                continue
            seen += 1
            result = validate(name)
            where = f"{result['file']}:{result['file_line']}"
            faults |= {
                f"{where}: {name}: {code} {message}"
                for code, message in result["errors"]
                if code in settings["checks"] and not _does_not_apply(code, value)
            }
    print(*sorted(faults), f"{seen} docstrings, {len(faults)} faults", sep="\n")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
