# This file is part of ra_pipe.
#
# Use of this source code is governed by a 3-clause BSD-style
# license that can be found in the LICENSE file.

"""Policies from YAML files."""

from __future__ import annotations

__all__ = ("load_policy",)

import os
import re
from collections.abc import Sequence
from typing import Any

import pydantic
import yaml

from lsst.resources import ResourcePath

from ..._yaml_nodes import find_duplicate_keys, find_line
from .._errors import DriftError
from .._sources import name_file
from ._entry import EntryKeys, PairKeys, Place, Policy, PolicyEntry, PolicyPair


class _PolicyFile(pydantic.BaseModel, frozen=True, extra="forbid", use_attribute_docstrings=True):
    """Keys of a file; pairs and entries are judged one by one."""

    description: str = ""
    """What the policy is for."""
    compare: list[Any] = []
    """The pairs that the gate compares."""
    allow: list[Any] = []
    """What may differ."""


def load_policy(uri: str | os.PathLike[str]) -> Policy:
    """Read a policy from a YAML file.

    Parameters
    ----------
    uri
        The file, for example ``$RA_PIPE_DIR/config/drift/LSSTCam.yaml``.

    Returns
    -------
    policy
        What the file allows.

    Raises
    ------
    DriftError
        Raised if the file cannot be read, or if anything in it is wrong;
        there is a line for each problem, which begins with file and line.
    """
    name = name_file(os.fspath(uri))
    try:
        document = _Document(name, _read_text(os.fspath(uri), name))
        policy = _read_policy(document)
    except RecursionError as error:
        raise DriftError(f"{name}:1: an item holds itself, or is nested too deeply") from error
    if document.problems:
        lines = (f"{name}:{line}: {message}" for line, message in sorted(document.problems))
        raise DriftError("\n".join(lines))
    return policy


def _read_text(location: str, name: str) -> str:
    """Read a file; variables in its location are expanded."""
    try:
        return ResourcePath(os.path.expandvars(location)).read().decode()
    except UnicodeDecodeError as error:
        line = error.object.count(b"\n", 0, error.start) + 1
        raise DriftError(f"{name}:{line}: this policy is not UTF-8: {error.reason}") from error
    except (OSError, ValueError, NotImplementedError) as error:
        unset = [variable for variable in re.findall(r"\$\{?(\w+)", location) if variable not in os.environ]
        hint = f"; ${unset[0]} is not set" if unset else ""
        raise DriftError(f"{name}:1: this policy cannot be read{hint}: {error}") from error


def _read_policy(document: _Document) -> Policy:
    """Read what is well-formed; note what is not in the document."""
    file = document.validate(_PolicyFile, [])
    if file is None:
        return Policy()
    compare = [document.validate_item(PairKeys, PolicyPair, "compare", i) for i in range(len(file.compare))]
    allow = [document.validate_item(EntryKeys, PolicyEntry, "allow", i) for i in range(len(file.allow))]
    return Policy(
        description=file.description,
        compare=tuple(one for one in compare if one is not None),
        allow=tuple(one for one in allow if one is not None),
        file=document.name,
    )


class _Loader(yaml.SafeLoader):
    """A loader that leaves dates as text, and gives a line to all errors."""

    yaml_implicit_resolvers = {  # noqa: RUF012 (as PyYAML declares it)
        first: [one for one in resolvers if one[0] != "tag:yaml.org,2002:timestamp"]
        for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }

    def construct_object(self, node: yaml.Node, deep: bool = False) -> Any:
        """Make a value of a node."""
        try:
            return super().construct_object(node, deep)
        except (AttributeError, KeyError, ValueError) as error:
            # An explicit tag that does not fit: "!!int x", "!!bool x".
            raise yaml.constructor.ConstructorError(
                None, None, f"this is no {node.tag}: {node.value!r}", node.start_mark
            ) from error


class _Document:
    """A YAML document that knows the line of each of its parts."""

    def __init__(self, name: str, text: str) -> None:
        self.name = name
        try:
            loader = _Loader(text)
            self._node = loader.get_single_node()
            # Before the construction, which merges the keys of "<<".
            self.problems = [
                (line, f"the key {key!r} occurs twice, first on line {first}")
                for key, line, first in find_duplicate_keys(self._node)
            ]
            self.data: Any = {} if self._node is None else loader.construct_document(self._node)
        except yaml.MarkedYAMLError as error:
            mark = error.problem_mark or error.context_mark
            line = 1 if mark is None else mark.line + 1
            raise DriftError(f"{name}:{line}: this is not YAML: {error.problem}") from error
        except yaml.reader.ReaderError as error:
            line = text.count("\n", 0, error.position) + 1
            raise DriftError(f"{name}:{line}: this is not YAML: {error.reason}") from error

    def validate[Model: pydantic.BaseModel](
        self, model: type[Model], path: Sequence[str | int]
    ) -> Model | None:
        """Make a model of a part; `None`, and problems, if that fails."""
        data = self.data
        for step in path:
            data = data[step]
        try:
            return model.model_validate(data)
        except pydantic.ValidationError as error:
            self.problems += (self._explain(one, path, model) for one in error.errors())
            return None

    def validate_item[Model: pydantic.BaseModel](
        self, keys: type[pydantic.BaseModel], model: type[Model], section: str, index: int
    ) -> Model | None:
        """Make a model of an item of a list, with its place."""
        if self.validate(keys, [section, index]) is None:
            return None
        place = Place(file=self.name, line=self.line([section, index]))
        return model.model_validate({**self.data[section][index], "place": place})

    def line(self, path: Sequence[str | int]) -> int:
        """Return the line of a part, or of the nearest part that holds it."""
        return find_line(self._node, path)

    def _explain(
        self, detail: Any, path: Sequence[str | int], model: type[pydantic.BaseModel]
    ) -> tuple[int, str]:
        """Return the line of what pydantic found, and say what it is."""
        where = [*path, *detail["loc"]]
        message = detail["msg"].removeprefix("Value error, ")
        message = f"{message[:1].lower()}{message[1:]}"
        match detail["type"]:
            case "extra_forbidden":
                known = (field.alias or name for name, field in model.model_fields.items())
                return self.line(where), f"unknown key {where[-1]!r}; known are {', '.join(known)}"
            case "missing":
                return self.line(where), f"{where[-1]} is missing"
            case "model_type":
                expected = f"expected a mapping, got {detail['input']!r}"
                return self.line(where), f"{_name_part(where)}: {expected}"
            case "value_error" if not detail["loc"]:
                return self.line(where), message
            case _:
                return self.line(where), f"{_name_part(where)}: {message}; got {detail['input']!r}"


def _name_part(where: Sequence[str | int]) -> str:
    """Name a part of the document, as in ``allow[2].field``."""
    text = "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in where)
    return text.lstrip(".") or "document"
