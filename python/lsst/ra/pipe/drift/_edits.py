# This file is part of ra_pipe.
#
# Use of this source code is governed by a 3-clause BSD-style
# license that can be found in the LICENSE file.

"""The statements of override code that make one value of another."""

from __future__ import annotations

__all__ = ("is_plain", "make_refusal", "write_edits")

import ast
import builtins
from collections.abc import Sequence

from ._declared import parse_value
from ._difference import Difference
from ._errors import DriftError
from ._overrides import write_assignment, write_literal
from ._values import JsonValue, decode_value, format_value, sort_key


def make_refusal(difference: Difference) -> DriftError:
    """Make the error that says that code cannot make a change.

    Parameters
    ----------
    difference
        The change, from reference to candidate.

    Returns
    -------
    error
        The error.
    """
    sides = [format_value(side.value) for side in (difference.reference, difference.candidate)]
    return DriftError(f"an overlay cannot turn {sides[0]} into {sides[1]}.")


def is_plain(value: JsonValue) -> bool:
    """Tell whether pipe_base reads a value from YAML as it is.

    Parameters
    ----------
    value
        Encoded value.

    Returns
    -------
    plain
        Whether it does.  It reads a name as what has this name in the task's
        module, and as a string if nothing has.
    """
    match value:
        case {**tagged} if any(str(key).startswith("$") for key in tagged):
            return False
        case str():
            is_same = bool(parse_value(value) == value)
            return is_same and not value.isidentifier() and not value.startswith("parameters.")
        case list():
            return all(map(is_plain, value))
        case dict():
            return False
        case _:
            return True


def write_edits(path: str, difference: Difference) -> Sequence[str]:
    """Write the statements that give a field its new value.

    Parameters
    ----------
    path
        How code names the field, without ``config.``.
    difference
        The change, from reference to candidate.

    Returns
    -------
    statements
        Lines of Python.

    Raises
    ------
    DriftError
        If statements cannot make that change.
    """
    value, before = difference.candidate.value, difference.reference.value
    match value, before:
        case {"$edits": _}, _:
            return _write_new_edits(path, difference)
        case {"$set": now}, {"$set": then}:
            added, gone = ([one for one in a if one not in b] for a, b in ((now, then), (then, now)))
            lines = [f"config.{path} |= {{{_members(added)}}}"] if added else []
            return [*lines, *([f"config.{path} -= {{{_members(gone)}}}"] if gone else [])]
        case {"$expression": code}, _ if names := _names_in(code):
            raise DriftError(f"{code} depends on {', '.join(sorted(names))}.")
        case {"$class": _} | {"$repr": _}, _:
            raise make_refusal(difference)
        case _:
            return [write_assignment(path, value)]


def _names_in(code: str) -> set[str]:
    """Return the names in an expression that an overlay does not know."""
    names = {node.id for node in ast.walk(ast.parse(code)) if isinstance(node, ast.Name)}
    return names - {"config", *dir(builtins)}


def _write_new_edits(path: str, difference: Difference) -> Sequence[str]:
    """Write the edits of a field that the reference does not make.

    Edits of one kind that follow each other are recorded as one, so that the
    last of the reference's may go on in the candidate's.
    """
    value, before = difference.candidate.value, difference.reference.value
    has_base = "$base" in value
    lines: list[str] = []
    old: list[tuple[str, list[JsonValue]]] = []
    if isinstance(before, dict) and "$edits" in before and before.get("$base") == value.get("$base"):
        old = before["$edits"]
    elif has_base and before != value["$base"]:
        lines.append(write_assignment(path, value["$base"]))
    elif not has_base and not difference.reference.is_absent:
        raise make_refusal(difference)
    new = value["$edits"]
    for i, (verb, members) in enumerate(new):
        then = old[i][1] if i < len(old) and old[i][0] == verb else []
        if i < len(old) and (old[i][0] != verb or (i < len(old) - 1 and then != members)):
            raise make_refusal(difference)
        more = _find_more(verb, then, members)
        if more is None:
            raise make_refusal(difference)
        groups = [[one] for one in more] if verb in ("append", "remove") else [more] if more else []
        lines += [_EDITS[verb].format(path=path, members=_members(group)) for group in groups]
    if len(old) > len(new):
        raise make_refusal(difference)
    return lines


def _find_more(verb: str, then: list[JsonValue], now: list[JsonValue]) -> list[JsonValue] | None:
    """Find what an edit has more than another; `None` if it has not all of
    it.
    """
    if verb in ("add", "remove"):
        gone = {sort_key(one) for one in then} - {sort_key(one) for one in now}
        return None if gone else [one for one in now if one not in then]
    return now[len(then) :] if now[: len(then)] == then else None


_EDITS = {
    "add": "config.{path} |= {{{members}}}",
    "append": "config.{path}.append({members})",
    "extend": "config.{path} += [{members}]",
    "remove": "config.{path}.remove({members})",
}
"""How code makes an edit."""


def _members(values: Sequence[JsonValue]) -> str:
    return ", ".join(write_literal(decode_value(value)) for value in values)
