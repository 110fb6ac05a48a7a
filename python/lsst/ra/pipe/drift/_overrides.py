# This file is part of ra_pipe.
#
# Use of this source code is governed by a 3-clause BSD-style
# license that can be found in the LICENSE file.

"""Override files made from snapshots."""

from __future__ import annotations

__all__ = ("write_assignment", "write_overrides")

import dataclasses
import re
import textwrap
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from lsst.pex.config import (
    Config,
    ConfigChoiceField,
    ConfigDictField,
    ConfigurableField,
    DictField,
    FieldValidationError,
)
from lsst.utils import doImportType

from ._errors import DriftError
from ._fields import flatten_config
from ._snapshot import Level, Snapshot
from ._values import ABSENT, JsonValue, decode_value, encode_value, same_class, same_value

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
        in a comment, and so are dictionaries of which the snapshot has
        nothing, unless it is of the same class, so that they are empty; those
        of connections are left out.

    Raises
    ------
    DriftError
        If the snapshot has more than one task or is not resolved, the class
        cannot be imported, or a value cannot be written.
    """
    if len(snapshot.tasks) != 1 or snapshot.level is not Level.RESOLVED:
        raise DriftError(
            f"{_file_of(snapshot)}:1: overrides are written for one task of a resolved pipeline; "
            f"this is {', '.join(snapshot.tasks) or 'none'} at the {snapshot.level} level. Name it with '#'."
        )
    config = _make_config(class_name)
    [task] = snapshot.tasks.values()
    wanted = {name: one.value for name, one in task.config.items() if not name.startswith(_OWN)}
    # A snapshot has all fields of its class, and facts those of any subtask's.
    is_same = same_class(task.task_class, class_name) and "targets" not in snapshot.omits
    writers = [_write_selections, _write_items, _write_values, _write_dictionaries]
    lines: list[str] = []
    try:
        # What decides which fields there are comes first.
        for write in [*writers, _write_empty] if is_same else writers:
            for code in write(config, wanted):
                config.loadFromString(code)
                lines += code.splitlines()
    except (DriftError, FieldValidationError, AttributeError, KeyError, TypeError, ValueError) as error:
        problem = " ".join(str(error).split())
        raise DriftError(
            f"{_file_of(snapshot)}:1: {class_name} cannot be given these settings: {problem}"
        ) from error
    text = textwrap.indent(title.strip(), "# ") + "\n\n" + "\n".join(_short(lines)) + "\n"
    return text + _write_unknown(config, wanted, class_name) + _write_unsaid(config, wanted, is_same)


def _file_of(snapshot: Snapshot) -> str:
    return snapshot.title.partition("#")[0]


def _make_config(class_name: str) -> Config:
    """Make the configuration of a task class, with its defaults."""
    try:
        task_class: Any = doImportType(class_name)
        config: Config = task_class.ConfigClass()
    except (ImportError, TypeError, AttributeError) as error:
        raise DriftError(f"the task class {class_name} cannot be imported: {error}") from error
    return config


type _Wanted = Mapping[str, JsonValue]
"""Encoded values by dotted name."""


@dataclasses.dataclass(frozen=True)
class _Place:
    """A field that holds others, in a configuration."""

    field: Any
    value: Any
    owner: str
    """Code for the configuration that has the field."""
    name: str
    """Name of the field there."""
    dotted: str
    """Dotted name from the task's configuration."""

    @property
    def code(self) -> str:
        """Code for the field (`str`)."""
        return f"{self.owner}.{self.name}"

    def inside(self, wanted: _Wanted) -> dict[str, JsonValue]:
        """Return what is wanted of what it holds, by name inside."""
        start = f"{self.dotted}."
        return {key.removeprefix(start): value for key, value in wanted.items() if key.startswith(start)}

    def key(self, text: str) -> Any:
        """Return the key of an element; in dotted names it is text."""
        return (self.field.keytype or str)(text)


def _walk(config: Config, wanted: _Wanted, code: str = "config", prefix: str = "") -> Iterator[_Place]:
    """Yield all fields that hold others, the outer ones first.

    Of a registry these are the plugins that are selected, and those of which
    something is wanted.
    """
    for name, field in config._fields.items():
        value, dotted, here = getattr(config, name), f"{prefix}{name}", f"{code}.{name}"
        yield _Place(field, value, code, name, dotted)
        if isinstance(value, Config):
            yield from _walk(value, wanted, here, f"{dotted}.")
        elif isinstance(field, ConfigurableField):
            yield from _walk(value.value, wanted, f"{here}.value", f"{dotted}.")
        elif isinstance(field, ConfigChoiceField):
            for key in _find_plugins(field, value, dotted, wanted):
                yield from _walk(value[key], wanted, f"{here}[{write_literal(key)}]", f"{dotted}.{key}.")
        elif isinstance(field, ConfigDictField):
            for key, item in (value or {}).items():
                yield from _walk(item, wanted, f"{here}[{write_literal(key)}]", f"{dotted}.{key}.")


def _find_plugins(field: Any, registry: Any, dotted: str, wanted: _Wanted) -> list[str]:
    """Find the plugins of a registry that are selected, or not by default."""
    selected = set(registry.names or ()) if field.multi else {registry.name} - {None}
    named = {key for key in registry.types if any(name.startswith(f"{dotted}.{key}.") for name in wanted)}
    return sorted(selected | named)


def _write_selections(config: Config, wanted: _Wanted) -> Iterator[str]:
    """Select plugins; what is selected may hold selections itself."""
    done: set[str] = set()
    while places := [
        one
        for one in _walk(config, wanted)
        if isinstance(one.field, ConfigChoiceField) and one.dotted not in done
    ]:
        for place in places:
            done.add(place.dotted)
            part = "names" if place.field.multi else "name"
            value = place.inside(wanted).get(part, ABSENT)
            now = set(place.value.names or ()) if place.field.multi else place.value.name
            if value != ABSENT and not same_value(value, encode_value(now)):
                yield write_assignment(f"{place.code}.{part}".removeprefix("config."), value)


def _write_items(config: Config, wanted: _Wanted) -> Iterator[str]:
    """Make the elements of dictionaries of configurations that are wanted,
    and remove others.
    """
    done: set[str] = set()
    while places := [
        one
        for one in _walk(config, wanted)
        if isinstance(one.field, ConfigDictField) and one.dotted not in done
    ]:
        for place in places:
            done.add(place.dotted)
            keys = {place.key(name.partition(".")[0]) for name in place.inside(wanted)}
            there = set(place.value or ())
            if place.value is None and keys:
                yield f"{place.code} = {{}}"
            item = f"_item = type({place.owner}).{place.name}.itemtype"
            for key in sorted(keys - there):
                yield f"{item}\n{place.code}[{write_literal(key)}] = _item()"
            # Of a dictionary without elements the snapshot has nothing.
            for key in sorted(there - keys) if keys else ():
                yield f"del {place.code}[{write_literal(key)}]"


def _write_values(config: Config, wanted: _Wanted) -> Iterator[str]:
    """Write what is not the default, but for dictionaries."""
    fields = flatten_config(config)
    dictionaries = tuple(f"{one.dotted}." for one in _walk(config, wanted) if _is_dictionary(one.field))
    for name in sorted(wanted.keys() & fields.keys()):
        if not name.startswith(dictionaries) and not same_value(wanted[name], fields[name].value):
            yield write_assignment(fields[name].path, wanted[name])


def _is_dictionary(field: Any) -> bool:
    return isinstance(field, DictField) and not isinstance(field, ConfigDictField)


def _write_dictionaries(config: Config, wanted: _Wanted) -> Iterator[str]:
    """Write dictionaries, each as a whole, that are not the default."""
    for place in _walk(config, wanted):
        inside = place.inside(wanted) if _is_dictionary(place.field) else {}
        new = {place.key(key): decode_value(inside[key]) for key in sorted(inside)}
        if new and not same_value(encode_value(new), encode_value(dict(place.value or {}))):
            yield f"{place.code} = {write_literal(new)}"
        elif isinstance(place.field, DictField) and place.value is not None and place.dotted in wanted:
            # It is none; other values are under the names of their keys.
            yield f"{place.code} = None"


def _write_empty(config: Config, wanted: _Wanted) -> Iterator[str]:
    """Empty the dictionaries of which nothing is recorded."""
    for place in _find_unsaid(config, wanted):
        if isinstance(place.field, ConfigDictField) and place.value:
            yield from (f"del {place.code}[{write_literal(key)}]" for key in sorted(place.value))
        else:
            yield f"{place.code} = {{}}"


def _find_unsaid(config: Config, wanted: _Wanted) -> list[_Place]:
    """Find the dictionaries that are not empty, and of which nothing is
    wanted: an empty one has no fields.
    """
    found: list[_Place] = []
    for one in _walk(config, wanted):
        is_full = isinstance(one.field, DictField) and (one.value is None or len(one.value))
        is_inside = any(one.dotted.startswith(f"{outer.dotted}.") for outer in found)
        if is_full and not is_inside and one.dotted not in wanted and not one.inside(wanted):
            found.append(one)
    return found


def _short(lines: Iterable[str]) -> Iterator[str]:
    """Leave out that a name gets the value that it has."""
    item = ""
    for line in lines:
        if not line.startswith("_item = "):
            yield line
        elif line != item:
            item = line
            yield line


def _write_unknown(config: Config, wanted: _Wanted, class_name: str) -> str:
    """List the fields that a class does not have."""
    unknown = sorted(wanted.keys() - flatten_config(config).keys())
    if not unknown:
        return ""
    return _write_comment(f"Fields that {class_name.rpartition('.')[2]} does not have: {', '.join(unknown)}.")


def _write_unsaid(config: Config, wanted: _Wanted, is_same: bool) -> str:
    """List the dictionaries of which a snapshot of another class has nothing:
    whether they are empty there or are not there cannot be told.
    """
    unsaid = [] if is_same else [one.dotted for one in _find_unsaid(config, wanted)]
    if not unsaid:
        return ""
    return _write_comment(
        f"Dictionaries that keep their defaults; they are empty there, or not there: {', '.join(unsaid)}."
    )


def _write_comment(text: str) -> str:
    """Write a paragraph of comment."""
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
    path = re.sub(r"""\['([^'"\\]*)'\]""", r'["\1"]', path)
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
