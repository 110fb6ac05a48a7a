# This file is part of ra_pipe.
#
# Use of this source code is governed by a 3-clause BSD-style
# license that can be found in the LICENSE file.

"""Values of configuration fields as JSON, and when two of them are one."""

from __future__ import annotations

__all__ = (
    "ABSENT",
    "JsonValue",
    "decode_value",
    "encode_value",
    "find_changed_members",
    "find_members",
    "format_value",
    "make_class_value",
    "make_expression",
    "same_class",
    "same_value",
    "sort_key",
    "work_out_edits",
)

import json
import math
from collections.abc import Iterable, Mapping, Sequence, Set
from typing import Any

JsonValue = Any
"""What `encode_value` makes: JSON, with tagged objects for what JSON lacks."""

ABSENT: JsonValue = {"$absent": True}
"""Stands for a field, task or subset that one side does not have."""


def encode_value(value: Any) -> JsonValue:
    """Turn a value of a configuration field into JSON.

    Parameters
    ----------
    value
        Number, string, sequence, set, mapping, class or `None`.

    Returns
    -------
    encoded
        JSON; a number that is not finite is ``{"$float": "nan"}``, a set
        ``{"$set": [...]}`` in a fixed order, a class or function
        ``{"$class": "package.module.Name"}``, and anything else
        ``{"$repr": ...}``.
    """
    match value:
        case None | bool() | int():
            return value
        case str():
            return str(value)
        case float():
            return value if math.isfinite(value) else {"$float": repr(value)}
        case Set():
            return {"$set": sorted_values(encode_value(one) for one in value)}
        case Mapping():
            return {str(key): encode_value(one) for key, one in value.items()}
        case Sequence():
            return [encode_value(one) for one in value]
        case _ if hasattr(value, "__qualname__"):
            return make_class_value(f"{value.__module__}.{value.__qualname__}")
        case _:
            return {"$repr": repr(value)}


def decode_value(value: JsonValue) -> Any:
    """Turn what `encode_value` made into the value again.

    Parameters
    ----------
    value
        Encoded value.

    Returns
    -------
    decoded
        Value; a class stays its name, and an expression its text.
    """
    match value:
        case {"$float": text}:
            return float(text)
        case {"$set": members}:
            return {decode_value(one) for one in members}
        case {"$class": name}:
            return name
        case {"$expression": text} | {"$repr": text}:
            return text
        case dict():
            return {key: decode_value(one) for key, one in value.items()}
        case list():
            return [decode_value(one) for one in value]
        case _:
            return value


def make_class_value(name: str) -> JsonValue:
    """Make the value that stands for a class.

    Parameters
    ----------
    name
        Full name, with the package or the module.

    Returns
    -------
    value
        Encoded value.
    """
    return {"$class": name}


def make_expression(text: str) -> JsonValue:
    """Make the value that stands for an expression nobody evaluated.

    Parameters
    ----------
    text
        Python code.

    Returns
    -------
    value
        Encoded value.
    """
    return {"$expression": text}


def same_class(one: str, other: str) -> bool:
    """Tell whether two full names mean one class.

    Parameters
    ----------
    one, other
        Full names.

    Returns
    -------
    same
        Whether the names are equal, or one names the class by a package and
        the other by a module in that package, as ``lsst.ip.isr.IsrTaskLSST``
        and ``lsst.ip.isr.isrTaskLSST.IsrTaskLSST``.
    """
    (home, name), (other_home, other_name) = (full.rpartition(".")[::2] for full in (one, other))
    if name != other_name:
        return False
    shorter, longer = sorted((home.split("."), other_home.split(".")), key=len)
    return longer[: len(shorter)] == shorter


def same_value(one: JsonValue, other: JsonValue) -> bool:
    """Tell whether two encoded values mean the same.

    Parameters
    ----------
    one, other
        Encoded values.

    Returns
    -------
    same
        Whether they are equal, where NaN equals NaN, numbers are compared as
        numbers (but never with booleans), a set has no order and equals a
        list of its members, and a class has several names.
    """
    match one, other:
        case {"$set": members}, _:
            return _same_members(members, other)
        case _, {"$set": members}:
            return _same_members(members, one)
        case {"$class": name}, {"$class": other_name}:
            return same_class(name, other_name)
        case dict(), dict():
            return one.keys() == other.keys() and all(same_value(one[key], other[key]) for key in one)
        case list(), list():
            return len(one) == len(other) and all(map(same_value, one, other))
        case _:
            return isinstance(one, bool) is isinstance(other, bool) and bool(one == other)


def _same_members(members: list[JsonValue], other: JsonValue) -> bool:
    """Compare a set with a set or with a list that stands for one."""
    others = other["$set"] if isinstance(other, dict) and "$set" in other else other
    if not isinstance(others, list):
        return False
    keys = {sort_key(one) for one in members}, {sort_key(one) for one in others}
    if keys[0] == keys[1]:
        return True
    # What is written in two ways may be one: 1 and 1.0, or a class.
    return all(any(same_value(one, another) for another in others) for one in members) and all(
        any(same_value(one, another) for another in members) for one in others
    )


def work_out_edits(value: JsonValue, field: str) -> JsonValue:
    """Work out what edits make of a value that is known.

    Parameters
    ----------
    value
        Encoded value; of a field that is edited, ``{"$edits": ...}``.
    field
        Dotted name of the field: what is chosen of a registry has no order.

    Returns
    -------
    value
        List or set, where what is edited is known; else the value itself.
    """
    match value:
        case {"$base": list(members) | {"$set": list(members)} as base, "$edits": edits}:
            is_set = isinstance(base, dict) or field.endswith(".names")
            for verb, changes in edits:
                if verb == "remove":
                    members = [one for one in members if one not in changes]
                else:
                    members = [*members, *changes]
                    is_set = is_set or verb == "add"
            return {"$set": members} if is_set else members
        case list() if field.endswith(".names"):
            return {"$set": value}
        case _:
            return value


def find_members(value: JsonValue) -> Set[tuple[str, str]] | None:
    """Find the members of a collection, or of one that is not known those that
    edits add and remove.

    Parameters
    ----------
    value
        Encoded value, with edits worked out where what is edited is known.

    Returns
    -------
    members
        For each member ``add`` or ``remove``, whichever is done last, and its
        sort key; `None` if the value is no collection.
    """
    match value:
        case {"$set": members} | (list() as members):
            return {("add", sort_key(one)) for one in members}
        case {"$edits": edits} if "$base" not in value:
            last = {
                sort_key(one): "remove" if verb == "remove" else "add"
                for verb, members in edits
                for one in members
            }
            return {(verb, member) for member, verb in last.items()}
        case _:
            return None


def find_changed_members(one: JsonValue, other: JsonValue, field: str) -> tuple[set[str], set[str]] | None:
    """Find the members that come and go from one collection to another.

    Parameters
    ----------
    one, other
        Encoded sets or lists, or edits of what is not known; `ABSENT` has no
        members.
    field
        Dotted name of the field.

    Returns
    -------
    changed
        Sort keys of the members that are added and that are removed; `None` if
        these are no collections.
    """
    mine, theirs = (
        set() if value == ABSENT else find_members(work_out_edits(value, field)) for value in (one, other)
    )
    if mine is None or theirs is None:
        return None
    # What only one side removes goes by that, and comes where that ends.
    added = {key for verb, key in theirs - mine if verb == "add"}
    removed = {key for verb, key in theirs - mine if verb == "remove"}
    added |= {key for verb, key in mine - theirs if verb == "remove"}
    removed |= {key for verb, key in mine - theirs if verb == "add"}
    return added, removed


def sort_key(value: JsonValue) -> str:
    """Return a text by which encoded values of any type can be ordered.

    Parameters
    ----------
    value
        Encoded value.

    Returns
    -------
    key
        The value as JSON.
    """
    return json.dumps(value, sort_keys=True)


def sorted_values(values: Iterable[JsonValue]) -> list[JsonValue]:
    """Sort encoded values, each once."""
    return [json.loads(key) for key in sorted({sort_key(value) for value in values})]


def format_value(value: JsonValue) -> str:
    """Write an encoded value for a reader, as Python would.

    Parameters
    ----------
    value
        Encoded value.

    Returns
    -------
    text
        One line, of any length.
    """
    match value:
        case {"$absent": _}:
            return "(not there)"
        case {"$float": text} | {"$class": text} | {"$expression": text} | {"$repr": text}:
            return str(text)
        case {"$set": members}:
            return "{" + ", ".join(map(format_value, members)) + "}"
        case {"$edits": edits, **rest}:
            changes = ", ".join(f"{verb} {', '.join(map(format_value, what))}" for verb, what in edits)
            return f"{format_value(rest['$base'])} with {changes}" if "$base" in rest else changes
        case dict():
            return "{" + ", ".join(f"{key}: {format_value(one)}" for key, one in value.items()) + "}"
        case list():
            return "[" + ", ".join(map(format_value, value)) + "]"
        case _:
            return repr(value)
