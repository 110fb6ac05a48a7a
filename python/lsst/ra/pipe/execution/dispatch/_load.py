# This file is part of ra_pipe.
#
# Use of this source code is governed by a 3-clause BSD-style
# license that can be found in the LICENSE file.

from __future__ import annotations

__all__ = ("default_dispatch", "load_dispatch")

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import pydantic

from lsst.resources import ResourcePath, ResourcePathExpression

from ..._yaml_nodes import FileProblem, find_line, parse_document
from ._faults import find_conflicts, find_dangling
from ._problems import DispatchError
from ._region import SkyCircle
from ._rule import Patterns, Rule
from ._table import DispatchTable, RulePlaces


class _DispatchFile(pydantic.BaseModel, frozen=True, extra="forbid", use_attribute_docstrings=True):
    """What a file of rules has beside the rules."""

    description: str = ""
    """What the rules are for."""

    instrument: Patterns | None = None
    """Condition ``instrument`` of all rules that have none of their own."""

    rules: list[Any] = pydantic.Field(min_length=1)
    """The rules, each of which is judged by itself."""


def default_dispatch(instrument: str) -> str:
    """Return the URI of the rules that come with this package.

    Parameters
    ----------
    instrument
        Butler ``instrument``.

    Returns
    -------
    uri
        ``$RA_PIPE_DIR/config/dispatch/<instrument>.yaml``.
    """
    return f"$RA_PIPE_DIR/config/dispatch/{instrument}.yaml"


def load_dispatch(uri: ResourcePathExpression, *, check: bool = True) -> DispatchTable:
    """Read dispatch rules from a YAML file.

    Parameters
    ----------
    uri
        The file, for example ``$RA_PIPE_DIR/config/dispatch/LSSTCam.yaml``.
    check
        Whether to see that what the rules name exists, which means to load
        the pipelines.

    Returns
    -------
    table
        The rules.

    Raises
    ------
    DispatchError
        Raised if anything is wrong, with the file and the line of each
        problem: unknown keys, wrong values, two actions in a rule, names that
        occur twice, rules that are never reached and, unless ``check`` is
        `False`, what `DispatchTable.check` finds.
    FileNotFoundError
        Raised if there is no such file.
    """
    document = _Document(str(uri), ResourcePath(uri).read().decode())
    problems = list(document.duplicate_keys)
    rules = _read_rules(document, problems)
    faults = list(find_conflicts(rules))
    if check:
        faults += find_dangling(rules)
    for fault in faults:
        line = document.line(["rules", fault.index, fault.key])
        problems.append(FileProblem(line, fault.message))
    if problems:
        raise DispatchError(document.origin, problems)
    places = RulePlaces(document.origin, tuple(document.lines_of_rule(index) for index in rules))
    return DispatchTable(rules.values(), places=places)


def _read_rules(document: _Document, problems: list[FileProblem]) -> dict[int, Rule]:
    """Read the rules that are well-formed; report the others."""
    try:
        file = _DispatchFile.model_validate(document.data)
    except pydantic.ValidationError as err:
        raise DispatchError(document.origin, [*problems, *document.explain(err, [])]) from err
    rules = {}
    for index, data in enumerate(file.rules):
        if file.instrument is not None and isinstance(data, dict):
            data = {"instrument": file.instrument, **data}
        try:
            rules[index] = Rule.model_validate(data)
        except pydantic.ValidationError as err:
            problems += document.explain(err, ["rules", index])
    return rules


class _Document:
    """A YAML document that knows the line of each of its parts."""

    def __init__(self, origin: str, text: str) -> None:
        self.origin = origin
        self._node, self.data, self.duplicate_keys = parse_document(origin, text, error=DispatchError)

    def line(self, path: Sequence[str | int]) -> int:
        """Return the line of a part, or of the nearest part that holds it."""
        return find_line(self._node, path)

    def lines_of_rule(self, index: int) -> dict[str, int]:
        """Return the line of each key of a rule, and of the rule itself."""
        keys = self.data["rules"][index]
        return {"": self.line(["rules", index])} | {key: self.line(["rules", index, key]) for key in keys}

    def explain(self, error: pydantic.ValidationError, path: Sequence[str | int]) -> Iterator[FileProblem]:
        """Say what is wrong with a part, with lines."""
        for detail in error.errors():
            key = detail.get("ctx", {}).get("key")
            where = [*path, *detail["loc"], *([] if key is None else [key])]
            yield FileProblem(self.line(where), self._describe(where, detail))

    def _describe(self, where: Sequence[str | int], detail: Any) -> str:
        """Make one line of what pydantic says."""
        subject = ""
        keys = list(where)
        if len(where) > 1 and where[0] == "rules":
            data = self.data["rules"][where[1]]
            name = data.get("name") if isinstance(data, dict) else None
            subject = f"rule {name!r}: " if isinstance(name, str) else ""
            keys = keys[2:]
        keys = [key for key in keys if key not in ("circle", "polygon")]
        if detail["type"] == "extra_forbidden":
            known = _known_keys(len(where))
            return f"{subject}unknown key {keys[-1]!r}; known are {', '.join(known)}"
        message = detail["msg"].removeprefix("Value error, ")
        message = f"{message[:1].lower()}{message[1:]}"
        if detail["type"] not in ("value_error", "action", "empty", "missing"):
            message += f"; got {detail['input']!r}"
        if detail["type"] in ("action", "empty"):
            return f"{subject}{message}"
        return f"{subject}{'.'.join(str(key) for key in keys) or 'document'}: {message}"


def _known_keys(depth: int) -> Iterable[str]:
    """Return the keys at a depth of the document."""
    if depth == 1:
        return _DispatchFile.model_fields
    return Rule.model_fields if depth == 3 else SkyCircle.model_fields
