# This file is part of ra_pipe.
#
# Use of this source code is governed by a 3-clause BSD-style
# license that can be found in the LICENSE file.

"""Override files made from snapshots."""

from __future__ import annotations

__all__ = ("write_assignment", "write_overrides")

import textwrap
from collections.abc import Iterator, Mapping
from typing import Any

from lsst.pex.config import Config, ConfigDictField, DictField
from lsst.utils import doImportType

from ._errors import DriftError
from ._fields import flatten_config
from ._snapshot import Setting, Snapshot
from ._values import JsonValue, decode_value, same_value

_OWN = "connections."
"""Fields that name datasets, which each implementation has of its own."""


def write_overrides(snapshot: Snapshot, class_name: str, *, title: str) -> str:
    """Write an override file that gives a task the settings of a snapshot.

    Parameters
    ----------
    snapshot
        Resolved pipeline of one task.
    class_name
        Full name of the task class that the file is for; it may be another
        one with the same fields.
    title
        First lines of the file, without comment signs.

    Returns
    -------
    text
        Python code: an assignment for each field whose value is not the
        default of that class.  Fields that the class does not have are listed
        in a comment; those of connections are left out.

    Raises
    ------
    DriftError
        If the snapshot has more than one task or is not resolved, the class
        cannot be imported, or a value cannot be written.
    """
    if len(snapshot.tasks) != 1 or not (task := next(iter(snapshot.tasks.values()))).connections:
        raise DriftError(
            f"{snapshot.pipeline}: overrides are written for one task of a resolved pipeline; "
            f"this is {', '.join(snapshot.tasks) or 'none'} at the {snapshot.level} level. Name it with '#'."
        )
    try:
        task_class: Any = doImportType(class_name)
        config = task_class.ConfigClass()
    except (ImportError, TypeError, AttributeError) as error:
        raise DriftError(f"the task class {class_name} cannot be imported: {error}") from error
    wanted = {name: one for name, one in task.config.items() if not name.startswith(_OWN)}
    lines = list(_write_missing_items(config, wanted))
    lines += _write_values(config, wanted)
    text = textwrap.indent(title.strip(), "# ") + "\n\n" + "\n".join(lines) + "\n"
    return text + _write_unknown(config, wanted, class_name)


def _write_missing_items(config: Config, wanted: Mapping[str, Setting]) -> Iterator[str]:
    """Make the elements of dictionaries of configurations that are wanted."""
    for code, owner, name, field in _find_dictionaries(config, "config", ""):
        inside = [key[len(name) + 1 :] for key in wanted if key.startswith(f"{name}.")]
        items = getattr(owner, field)
        missing = sorted({key.partition(".")[0] for key in inside} - set(items))
        if missing:
            yield f"_item = type({code.rpartition('.')[0]}).{field}.itemtype"
        for key in missing:
            items[key] = type(owner)._fields[field].itemtype()
            yield f"{code}[{write_literal(key)}] = _item()"


def _find_dictionaries(config: Config, code: str, prefix: str) -> Iterator[tuple[str, Config, str, str]]:
    """Find dictionaries of configurations: code, owner, dotted name, field."""
    for name, field in config._fields.items():
        value = getattr(config, name)
        if isinstance(field, ConfigDictField):
            yield f"{code}.{name}", config, f"{prefix}{name}", name
        elif isinstance(value, Config):
            yield from _find_dictionaries(value, f"{code}.{name}", f"{prefix}{name}.")


def _write_values(config: Config, wanted: Mapping[str, Setting]) -> Iterator[str]:
    """Write what is not the default; a dictionary as a whole."""
    fields = flatten_config(config)
    dictionaries = dict(_write_dictionaries(config, wanted, "config", ""))
    for name in sorted(wanted.keys() & fields.keys()):
        if any(name.startswith(f"{prefix}.") for prefix in dictionaries):
            continue
        if not same_value(wanted[name].value, fields[name].value):
            yield write_assignment(fields[name].path, wanted[name].value)
    yield from (line for line in dictionaries.values() if line)


def _write_dictionaries(
    config: Config, wanted: Mapping[str, Setting], code: str, prefix: str
) -> Iterator[tuple[str, str]]:
    """Yield the dotted names of dictionaries, with code if they differ."""
    for name, field in config._fields.items():
        value = getattr(config, name)
        here = f"{prefix}{name}"
        if isinstance(field, DictField) and not isinstance(field, ConfigDictField):
            inside = {key[len(here) + 1 :]: one for key, one in wanted.items() if key.startswith(f"{here}.")}
            new = {key: decode_value(inside[key].value) for key in sorted(inside)}
            old = {str(key): one for key, one in (value or {}).items()}
            yield here, f"{code}.{name} = {write_literal(new)}" if new and new != old else ""
        elif isinstance(value, Config):
            yield from _write_dictionaries(value, wanted, f"{code}.{name}", f"{here}.")


def _write_unknown(config: Config, wanted: Mapping[str, Setting], class_name: str) -> str:
    """List the fields that a class does not have."""
    unknown = sorted(wanted.keys() - flatten_config(config).keys())
    if not unknown:
        return ""
    text = f"Fields that {class_name.rpartition('.')[2]} does not have: {', '.join(unknown)}."
    return "\n" + "\n".join(textwrap.wrap(text, 108, initial_indent="# ", subsequent_indent="# ")) + "\n"


def write_assignment(path: str, value: JsonValue) -> str:
    """Write the statement that gives a field a value.

    Parameters
    ----------
    path
        How code names the field, without ``config.``.
    value
        Encoded value.

    Returns
    -------
    statement
        A line of Python.

    Raises
    ------
    DriftError
        If the value is a class, which is not set by assignment.
    """
    path = path.replace("'", '"')
    match value:
        case {"$class": name} | {"$repr": name}:
            raise DriftError(f"config.{path}: {name} cannot be written as an assignment.")
        case {"$expression": code}:
            return f"config.{path} = {code}"
        case {"$set": members}:
            return f"config.{path} = {write_literal([decode_value(one) for one in members])}"
        case _:
            return f"config.{path} = {write_literal(decode_value(value))}"


def write_literal(value: object) -> str:
    """Write a value as Python; a number that is not finite has no literal.

    Parameters
    ----------
    value
        Decoded value.

    Returns
    -------
    code
        An expression.
    """
    match value:
        case float() if value != value or value in (float("inf"), float("-inf")):
            return f'float("{value!r}")'
        case list():
            return "[" + ", ".join(map(write_literal, value)) + "]"
        case dict():
            return (
                "{"
                + ", ".join(f"{write_literal(key)}: {write_literal(one)}" for key, one in value.items())
                + "}"
            )
        case str() if '"' not in value and "\\" not in value and value.isprintable():
            return f'"{value}"'
        case _:
            return repr(value)
