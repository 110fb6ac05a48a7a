# This file is part of ra_pipe.
#
# Use of this source code is governed by a 3-clause BSD-style
# license that can be found in the LICENSE file.

"""All fields of a configuration by dotted name."""

from __future__ import annotations

__all__ = ("FieldState", "flatten_config", "flatten_facts")

import ast
import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from lsst.pex.config import Config, ConfigChoiceField, ConfigDictField, ConfigurableField, DictField
from lsst.pex.config.configurableActions import ConfigurableAction

from ._values import JsonValue, encode_value


@dataclasses.dataclass(frozen=True)
class FieldState:
    """A field at some moment."""

    value: JsonValue
    """Encoded value."""
    path: str
    """How code names it."""
    history: Sequence[Any]
    """pex_config's record of what was done to it, which goes on growing."""
    n_events: int
    """Length of that record now."""
    is_shared: bool = False
    """Whether the record is one of several fields: those of a dictionary."""
    key: Any = None
    """Key of the field in that dictionary."""


def flatten_config(config: Config) -> dict[str, FieldState]:
    """Return all fields of a configuration.

    Parameters
    ----------
    config
        Configuration of a task.

    Returns
    -------
    fields
        Fields by dotted name.  The selection of a registry is named ``names``
        (a set) or ``name``, the class of a subtask ``target``, and the element
        of a registry or dictionary by its key.
    """
    return {path.dotted: state for path, state in _flatten(config, _Path())}


@dataclasses.dataclass(frozen=True)
class _Path:
    """Where a field is in a configuration."""

    dotted: str = ""
    code: str = ""

    def member(self, name: str) -> _Path:
        """Return the path of a field of a configuration."""
        return _Path(f"{self.dotted}.{name}", f"{self.code}.{name}") if self.dotted else _Path(name, name)

    def item(self, key: Any) -> _Path:
        """Return the path of an element of a registry or dictionary."""
        return _Path(f"{self.dotted}.{key}", f"{self.code}[{key!r}]")


def _flatten(config: Config, path: _Path) -> Iterator[tuple[_Path, FieldState]]:
    for name, field in config._fields.items():
        value = getattr(config, name)
        history = config.history.get(name, [])
        yield from _flatten_field(field, value, history, path.member(name))


def _flatten_field(
    field: Any, value: Any, history: Sequence[Any], path: _Path
) -> Iterator[tuple[_Path, FieldState]]:
    """Yield a field with those inside it."""
    if isinstance(value, ConfigurableAction):
        yield _state(type(value), history, path.member("target"))
    if isinstance(value, Config):
        yield from _flatten(value, path)
    elif isinstance(field, ConfigurableField):
        yield _state(value.target, history, path.member("target"))
        yield from _flatten(value.value, path)
    elif isinstance(field, ConfigChoiceField):
        yield from _flatten_registry(field, value, history, path)
    elif isinstance(field, ConfigDictField):
        for key, item in (value or {}).items():
            yield from _flatten(item, path.item(key))
    elif isinstance(field, DictField) and value:
        for key, item in value.items():
            yield _state(item, history, path.item(key), is_shared=True, key=key)
    elif hasattr(value, "fieldNames"):
        for member in value.fieldNames:
            yield from _flatten_field(None, getattr(value, member), history, path.member(member))
    elif not isinstance(value, Mapping):
        yield _state(value, history, path)


def _flatten_registry(
    field: ConfigChoiceField, value: Any, history: Sequence[Any], path: _Path
) -> Iterator[tuple[_Path, FieldState]]:
    """Yield the selection of a registry and the configurations that exist.

    Iterating over the registry itself would make those of all that happen to
    be imported.
    """
    if field.multi:
        selected = set(value.names or ())
        yield _state(selected, history, path.member("names"))
    else:
        selected = {value.name} - {None}
        yield _state(value.name, history, path.member("name"))
    for key in sorted(selected | value._dict.keys()):
        yield from _flatten(value[key], path.item(key))


def _state(
    value: Any, history: Sequence[Any], path: _Path, *, is_shared: bool = False, key: Any = None
) -> tuple[_Path, FieldState]:
    if not isinstance(value, type) and hasattr(value, "toDict"):
        value = value.toDict()
    return path, FieldState(encode_value(value), path.code, history, len(history), is_shared, key)


def flatten_facts(config: Mapping[str, Any]) -> dict[str, JsonValue]:
    """Return all fields of a configuration that pex_config wrote as nested
    dictionaries.

    Parameters
    ----------
    config
        What ``Config.toDict`` gave.

    Returns
    -------
    fields
        Encoded values by dotted name, named as `flatten_config` names them.

    Raises
    ------
    ValueError
        If the selection of a registry is none.
    """
    return dict(_flatten_facts(config, ""))


def _flatten_facts(config: Mapping[str, Any], prefix: str) -> Iterator[tuple[str, JsonValue]]:
    if config.keys() in ({"names", "values"}, {"name", "values"}):
        if "names" in config:
            yield f"{prefix}names", encode_value(_read_selection(config["names"], f"{prefix}names"))
        elif isinstance(config["name"], str | None):
            yield f"{prefix}name", encode_value(config["name"])
        else:
            raise ValueError(f"{prefix}name: expected the name of a plugin, came {config['name']!r}")
        if not isinstance(config["values"], Mapping):
            raise ValueError(f"{prefix}values: expected settings of plugins, came {config['values']!r}")
        yield from _flatten_facts(config["values"], prefix)
        return
    for name, value in config.items():
        if isinstance(value, Mapping):
            yield from _flatten_facts(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", encode_value(value)


def _read_selection(names: Any, field: str) -> set[str]:
    """Read what is selected of a registry.

    JSON knows no selections: they come as what Python prints.
    """
    found = names
    if isinstance(names, str):
        try:
            found = ast.literal_eval(names)
        except (SyntaxError, ValueError, TypeError, MemoryError, RecursionError):
            found = names
    if found is None:
        return set()
    if not isinstance(found, list | tuple | set) or not all(isinstance(one, str) for one in found):
        raise ValueError(f"{field}: expected names of plugins, came {names!r}")
    return set(found)
