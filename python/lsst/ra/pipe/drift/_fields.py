# This file is part of ra_pipe.
#
# Use of this source code is governed by a 3-clause BSD-style
# license that can be found in the LICENSE file.

"""All fields of a configuration by dotted name."""

from __future__ import annotations

__all__ = ("FieldState", "flatten_config", "flatten_facts")

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
    history: Sequence[Any]
    """pex_config's record of what was done to it, which goes on growing."""
    n_events: int
    """Length of that record now."""
    is_shared: bool = False
    """Whether the record is one of several fields: those of a dictionary."""


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
    return dict(_flatten(config, ""))


def _flatten(config: Config, prefix: str) -> Iterator[tuple[str, FieldState]]:
    for name, field in config._fields.items():
        value = getattr(config, name)
        history = config.history.get(name, [])
        yield from _flatten_field(field, value, history, f"{prefix}{name}")


def _flatten_field(
    field: Any, value: Any, history: Sequence[Any], name: str
) -> Iterator[tuple[str, FieldState]]:
    """Yield a field with those inside it."""
    if isinstance(value, ConfigurableAction):
        yield f"{name}.target", _state(type(value), history)
    if isinstance(value, Config):
        yield from _flatten(value, f"{name}.")
    elif isinstance(field, ConfigurableField):
        yield f"{name}.target", _state(value.target, history)
        yield from _flatten(value.value, f"{name}.")
    elif isinstance(field, ConfigChoiceField):
        yield from _flatten_registry(field, value, history, name)
    elif isinstance(field, ConfigDictField):
        for key, item in (value or {}).items():
            yield from _flatten(item, f"{name}.{key}.")
    elif isinstance(field, DictField) and value:
        for key, item in value.items():
            yield f"{name}.{key}", _state(item, history, is_shared=True)
    elif not isinstance(value, Mapping):
        yield from _flatten_other(value, history, name)


def _flatten_other(value: Any, history: Sequence[Any], name: str) -> Iterator[tuple[str, FieldState]]:
    """Yield a plain field, or the members of a struct of actions."""
    if hasattr(value, "fieldNames"):
        for member in value.fieldNames:
            yield from _flatten_field(None, getattr(value, member), history, f"{name}.{member}")
    else:
        yield name, _state(value, history)


def _flatten_registry(
    field: ConfigChoiceField, value: Any, history: Sequence[Any], name: str
) -> Iterator[tuple[str, FieldState]]:
    """Yield the selection of a registry and the configurations that exist.

    Iterating over the registry itself would make those of all that happen to
    be imported.
    """
    if field.multi:
        yield f"{name}.names", _state(set(value.names or ()), history)
        selected = set(value.names or ())
    else:
        yield f"{name}.name", _state(value.name, history)
        selected = {value.name} - {None}
    for key in sorted(selected | value._dict.keys()):
        yield from _flatten(value[key], f"{name}.{key}.")


def _state(value: Any, history: Sequence[Any], *, is_shared: bool = False) -> FieldState:
    if hasattr(value, "toDict"):
        value = value.toDict()
    return FieldState(encode_value(value), history, len(history), is_shared)


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
    """
    return dict(_flatten_facts(config, ""))


def _flatten_facts(config: Mapping[str, Any], prefix: str) -> Iterator[tuple[str, JsonValue]]:
    if config.keys() in ({"names", "values"}, {"name", "values"}):
        if "names" in config:
            yield f"{prefix}names", encode_value(set(config["names"] or ()))
        else:
            yield f"{prefix}name", encode_value(config["name"])
        yield from _flatten_facts(config["values"], prefix)
        return
    for name, value in config.items():
        if isinstance(value, Mapping):
            yield from _flatten_facts(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", encode_value(value)
