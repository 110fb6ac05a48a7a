# This file is part of ra_pipe.
#
# Use of this source code is governed by a 3-clause BSD-style
# license that can be found in the LICENSE file.

"""What override code does, as far as reading it tells.

Where tasks cannot be imported, their override files cannot be run.  Most of
their statements only set a field to a constant or add a name to a selection,
and say so themselves.
"""

from __future__ import annotations

__all__ = (
    "Assignment",
    "Edit",
    "FieldPath",
    "Include",
    "Other",
    "Statement",
    "parse_path",
    "read_statements",
)

import ast
import contextlib
import dataclasses
import math
from collections.abc import Iterator, Mapping
from typing import Any

from ._errors import DriftError
from ._values import JsonValue, encode_value, make_expression, sort_key

_EDITS = {
    "add": "add",
    "append": "append",
    "discard": "remove",
    "extend": "extend",
    "remove": "remove",
    "update": "add",
}
"""Methods that change a collection, and what they do."""


@dataclasses.dataclass(frozen=True)
class Statement:
    """Something that override code does."""

    line: int
    """Line of the code, from one."""

    def below(self, root: FieldPath | None) -> Statement:
        """Return the statement for code that changes one field only.

        Parameters
        ----------
        root
            What ``config`` is in the code; `None` for the whole.

        Returns
        -------
        statement
            The statement, with the names that the whole configuration has.
        """
        return self


@dataclasses.dataclass(frozen=True)
class FieldPath:
    """Names of a field."""

    dotted: str
    """With a dot before each part."""
    code: str
    """As code has it, without ``config.``."""

    def below(self, root: FieldPath | None) -> FieldPath:
        """Return the names of the field of that name in another.

        Parameters
        ----------
        root
            The other field; `None` for the whole configuration.

        Returns
        -------
        path
            The names.
        """
        return FieldPath(f"{root.dotted}.{self.dotted}", f"{root.code}.{self.code}") if root else self


@dataclasses.dataclass(frozen=True)
class Assignment(Statement):
    """Sets a field."""

    field: FieldPath
    """The field."""
    value: JsonValue
    """Encoded value; an expression if it is not a constant."""

    def below(self, root: FieldPath | None) -> Assignment:
        """Return the assignment for code that changes one field only."""
        return dataclasses.replace(self, field=self.field.below(root))


@dataclasses.dataclass(frozen=True)
class Edit(Statement):
    """Changes a field that is a collection."""

    field: FieldPath
    """The field."""
    verb: str
    """``add``, ``append``, ``extend`` or ``remove``."""
    values: tuple[JsonValue, ...]
    """Encoded values."""

    def below(self, root: FieldPath | None) -> Edit:
        """Return the edit for code that changes one field only."""
        return dataclasses.replace(self, field=self.field.below(root))


@dataclasses.dataclass(frozen=True)
class Include(Statement):
    """Loads another override file."""

    location: str
    """Location; relative to this file if it is not absolute."""
    root: FieldPath | None = None
    """The field that the file changes; `None` for all of them."""

    def below(self, root: FieldPath | None) -> Include:
        """Return the loading for code that changes one field only."""
        return dataclasses.replace(self, root=self.root.below(root) if self.root else root)


@dataclasses.dataclass(frozen=True)
class Other(Statement):
    """May do anything."""

    code: str
    """The statement, written in one way whatever its layout."""

    def below(self, root: FieldPath | None) -> Other:
        """Return the statement, with a word on what it changes."""
        return dataclasses.replace(self, code=f"{self.code}  # of {root.code}") if root else self


def read_statements(code: str, *, name: str, first_line: int = 1) -> Iterator[Statement]:
    """Read override code.

    Parameters
    ----------
    code
        Code that changes ``config``.
    name
        Name of its file, for messages.
    first_line
        Line of the file on which it begins.

    Yields
    ------
    statement
        What it does, in order.

    Raises
    ------
    DriftError
        If it is not Python.
    """
    try:
        body = ast.parse(code).body
    except SyntaxError as error:
        line = (error.lineno or 1) + first_line - 1
        raise DriftError(f"{name}:{line}: this is not Python: {error.msg}") from error
    directories: dict[str, str] = {}
    for node in body:
        match node:
            case ast.Assign(targets=[ast.Name(id=variable)], value=value) if (
                directory := _directory_of(value, directories)
            ) is not None:
                directories[variable] = directory
        if not _is_docstring(node):
            yield _read_statement(node, node.lineno + first_line - 1, directories)


def parse_path(text: str) -> FieldPath:
    """Return the names of a field that a pipeline file names.

    Parameters
    ----------
    text
        Name as in ``starSelector["objectSize"].widthMax``, without ``config.``.

    Returns
    -------
    path
        Names of the field; the text itself if it is no such name.
    """
    try:
        node = ast.parse(f"config.{text}", mode="eval").body
    except SyntaxError:
        return FieldPath(str(text), str(text))
    return _path_of(node) or FieldPath(str(text), str(text))


def _is_docstring(node: ast.stmt) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)


def _read_statement(node: ast.stmt, line: int, directories: Mapping[str, str]) -> Statement:
    """Tell what a statement does."""
    other = Other(line, ast.unparse(node))
    match node:
        case ast.Assign(targets=[target], value=value) if path := _path_of(target):
            return Assignment(line, path, _value_of(value))
        case ast.AugAssign(target=target, op=ast.BitOr(), value=value) if path := _path_of(target):
            return _make_edit(line, path, "add", [value]) or other
        case ast.AugAssign(target=target, op=ast.Add(), value=value) if path := _path_of(target):
            return _make_edit(line, path, "extend", [value]) or other
        case ast.AugAssign(target=target, op=ast.Sub(), value=value) if path := _path_of(target):
            return _make_edit(line, path, "remove", [value]) or other
        case ast.Expr(ast.Call(func=ast.Attribute(value=owner, attr=method), args=arguments, keywords=[])):
            return _read_call(line, owner, method, arguments, directories) or other
        case _:
            return other


def _read_call(
    line: int,
    owner: ast.expr,
    method: str,
    arguments: list[ast.expr],
    directories: Mapping[str, str],
) -> Statement | None:
    """Tell what the call of a method of a field does."""
    path = _path_of(owner)
    if method == "load" and len(arguments) == 1 and (path or _is_config(owner)):
        location = _location_of(arguments[0], directories)
        return Include(line, location, path) if location else None
    if path is None:
        return None
    if method == "retarget" and len(arguments) == 1:
        target = FieldPath(f"{path.dotted}.target", f"{path.code}.target")
        return Assignment(line, target, _value_of(arguments[0]))
    if method not in _EDITS or len(arguments) != 1:
        return None
    return _make_edit(line, path, _EDITS[method], arguments, one_value=method not in ("update", "extend"))


def _make_edit(
    line: int, path: FieldPath, verb: str, arguments: list[ast.expr], *, one_value: bool = False
) -> Edit | None:
    """Make an edit, if its argument is a constant."""
    value = _constant_of(arguments[0])
    if value is None:
        return None
    if isinstance(value, dict):
        return None
    values = value if isinstance(value, list | tuple | set | frozenset) and not one_value else [value]
    encoded = [encode_value(one) for one in values]
    if verb == "add" or isinstance(values, set | frozenset):
        encoded = list({sort_key(one): one for one in sorted(encoded, key=sort_key)}.values())
    return Edit(line, path, verb, tuple(encoded))


def _is_config(node: ast.expr) -> bool:
    return isinstance(node, ast.Name) and node.id == "config"


def _path_of(node: ast.expr) -> FieldPath | None:
    """Return the names of a field, or `None` if this is none."""
    match node:
        case ast.Attribute(value=owner, attr=name) if _is_config(owner):
            return FieldPath(name, name)
        case ast.Attribute(value=owner, attr=name) if path := _path_of(owner):
            return FieldPath(f"{path.dotted}.{name}", f"{path.code}.{name}")
        case ast.Subscript(value=owner, slice=ast.Constant(key)) if path := _path_of(owner):
            return FieldPath(f"{path.dotted}.{key!s}", f"{path.code}[{key!r}]")
        case _:
            return None


def _value_of(node: ast.expr) -> JsonValue:
    """Return the value of an expression, or the expression."""
    if isinstance(node, ast.Constant) and node.value is None:
        return None
    value = _constant_of(node)
    return make_expression(ast.unparse(node)) if value is None else encode_value(value)


def _constant_of(node: ast.expr) -> Any:
    """Return the value of an expression that needs no variable, or `None`."""
    match node:
        case ast.Call(func=ast.Name(id="float"), args=[ast.Constant(str(text))]):
            with contextlib.suppress(ValueError):
                return float(text)
            return None
        case ast.Attribute(value=ast.Name(id="math" | "np" | "numpy"), attr="nan" | "inf" as name):
            return getattr(math, name)
        case ast.UnaryOp(op=ast.USub(), operand=operand):
            value = _constant_of(operand)
            return -value if isinstance(value, int | float) else None
    try:
        return ast.literal_eval(node)
    except (ValueError, TypeError):
        return None


def _location_of(node: ast.expr, directories: Mapping[str, str]) -> str | None:
    """Return the location that a `load` names: a constant, or one in a
    directory that the code works out.
    """
    match node:
        case ast.Constant(str(text)):
            return text
        case ast.Call(func=ast.Attribute(attr="join"), args=[home, *parts]) if (
            directory := _directory_of(home, directories)
        ) is not None:
            names = [part.value for part in parts if isinstance(part, ast.Constant)]
            if len(names) == len(parts) and all(isinstance(name, str) for name in names):
                return "/".join([directory, *map(str, names)])
    return None


def _directory_of(node: ast.expr, directories: Mapping[str, str]) -> str | None:
    """Return the directory that an expression means: that of the file itself,
    of a package, or a variable's.
    """
    match node:
        case ast.Name(id=variable):
            return directories.get(variable)
        case ast.Call(func=ast.Attribute(attr="dirname"), args=[inner]) if _is_own_file(inner):
            return "."
        case ast.Call(
            func=ast.Name(id="getPackageDir") | ast.Attribute(attr="getPackageDir"),
            args=[ast.Constant(str(name))],
        ):
            return f"${name.upper()}_DIR"
        case ast.Call(func=ast.Attribute(attr="join")):
            return _location_of(node, directories)
    return None


def _is_own_file(node: ast.expr) -> bool:
    """Tell whether an expression is the path of the file itself."""
    match node:
        case ast.Name(id="__file__"):
            return True
        case ast.Call(func=ast.Attribute(attr="abspath" | "realpath"), args=[inner]):
            return _is_own_file(inner)
    return False
