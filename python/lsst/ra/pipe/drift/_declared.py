# This file is part of ra_pipe.
#
# Use of this source code is governed by a 3-clause BSD-style
# license that can be found in the LICENSE file.

"""What a pipeline and its override files say, without its tasks."""

from __future__ import annotations

__all__ = ("declare_pipeline", "find_parameter", "get_parameters", "parse_value")

import ast
import posixpath
import re
from collections.abc import Mapping
from typing import Any

from lsst.pipe.base.pipelineIR import ConfigIR, PipelineIR, TaskIR

from ._errors import DriftError
from ._snapshot import (
    Block,
    Contract,
    Level,
    Origin,
    OriginKind,
    Parameter,
    Setting,
    Snapshot,
    Step,
    Subset,
    TaskSnapshot,
)
from ._sources import PipelineSource, Traced, TracedStr, name_file
from ._statements import Assignment, Edit, FieldPath, Include, Other, Statement, parse_path, read_statements
from ._values import JsonValue, encode_value, sort_key

_MAX_INCLUDES = 20
"""Override files that may load one another in a row."""


def declare_pipeline(source: PipelineSource, *, reason: str = "") -> Snapshot:
    """Take down what a pipeline says.

    Parameters
    ----------
    source
        The pipeline.
    reason
        Why it is not resolved.

    Returns
    -------
    snapshot
        Snapshot at the declared level: of each task the fields that some file
        sets, with the value set last, and the statements whose effect is not
        known without running them.

    Raises
    ------
    DriftError
        If an override file cannot be read.
    """
    ir = source.ir
    parameters = get_parameters(ir)
    tasks = {str(label): _declare_task(task, label, parameters, source) for label, task in ir.tasks.items()}
    return Snapshot(
        level=Level.DECLARED,
        reason=reason,
        pipeline=source.name,
        instrument=None if ir.instrument is None else str(ir.instrument),
        instrument_by=None if ir.instrument is None else _origin(ir.instrument),
        tasks=tasks,
        subsets={
            str(name): Subset(
                labels=tuple(sorted(map(str, subset.subset))), declared_by=_origin(subset.label)
            )
            for name, subset in ir.labeled_subsets.items()
        },
        steps={
            str(step.label): Step(
                dimensions=tuple(map(str, step.dimensions)), declared_by=_origin(step.label)
            )
            for step in ir.steps
        },
        contracts=_declare_contracts(ir),
        parameters={
            name: Parameter(value=encode_value(traced.value), set_by=traced.origin)
            for name, traced in parameters.items()
        },
        sources=dict(sorted(source.digests.items())),
    )


def get_parameters(ir: PipelineIR) -> dict[str, Traced]:
    """Return the parameters of a pipeline.

    Parameters
    ----------
    ir
        The pipeline.

    Returns
    -------
    parameters
        Values, with where they are set, by name.
    """
    return {str(name): value for name, value in ir.parameters.mapping.items() if isinstance(value, Traced)}


def find_parameter(value: Any, parameters: Mapping[str, Traced]) -> str | None:
    """Find the parameter that a value names.

    Parameters
    ----------
    value
        Value that a pipeline file gives a field.
    parameters
        Parameters by name.

    Returns
    -------
    name
        Name of the parameter, or `None` if the value stands for itself.
    """
    match = re.match(r"parameters[.](.*)", value) if isinstance(value, str) else None
    return match[1] if match and match[1] in parameters else None


def _origin(text: str) -> Origin | None:
    return text.origin if isinstance(text, TracedStr) else None


def _declare_contracts(ir: PipelineIR) -> tuple[Contract, ...]:
    """Take down the contracts, each once."""
    contracts: dict[str, Contract] = {}
    for one in ir.contracts:
        contract = Contract(
            contract=_normalize(one.contract),
            msg=None if one.msg is None else " ".join(one.msg.split()),
            declared_by=_origin(one.contract),
        )
        contracts.setdefault(contract.contract, contract)
    return tuple(contracts[text] for text in sorted(contracts))


def _normalize(code: str) -> str:
    """Write an expression in one way."""
    try:
        return ast.unparse(ast.parse(" ".join(code.split()), mode="eval"))
    except SyntaxError:
        return " ".join(code.split())


def _declare_task(
    task: TaskIR, label: str, parameters: Mapping[str, Traced], source: PipelineSource
) -> TaskSnapshot:
    """Take down what is said of a task."""
    declaration = _Declaration(source, parameters)
    for config in task.config or ():
        declaration.apply(config)
    return TaskSnapshot.model_validate(
        {
            "class": str(task.klass),
            "config": dict(sorted(declaration.settings.items())),
            "blocks": tuple(declaration.blocks),
            "declared_by": _origin(task.klass) or _origin(label),
        }
    )


class _Declaration:
    """What is said of a task, one override after another."""

    def __init__(self, source: PipelineSource, parameters: Mapping[str, Traced]) -> None:
        self.settings: dict[str, Setting] = {}
        self.blocks: list[Block] = []
        self._source = source
        self._parameters = parameters

    def apply(self, config: ConfigIR) -> None:
        """Apply a group of overrides, in pipe_base's order: files, code,
        values.
        """
        for file in config.file:
            self._apply_file(str(file), at=_origin(file) or Origin(kind=OriginKind.PIPELINE))
        if config.python:
            origin = _origin(config.python) or Origin(kind=OriginKind.PIPELINE)
            statements = read_statements(str(config.python), name=origin.file, first_line=origin.line or 1)
            for statement in statements:
                self._apply(statement, kind=OriginKind.PYTHON, file=origin.file)
        for name, traced in config.rest.items():
            parameter = find_parameter(traced.value, self._parameters)
            value = self._parameters[parameter].value if parameter else traced.value
            self._set(parse_path(str(name)), encode_value(parse_value(value)), traced.origin, parameter)

    def _apply_file(
        self, location: str, *, at: Origin, depth: int = 0, root: FieldPath | None = None
    ) -> None:
        """Apply a file to a field, or to the whole configuration."""
        name = name_file(location)
        text = self._source.read_file(location, at=at)
        for statement in read_statements(text, name=name):
            self._apply(statement.below(root), kind=OriginKind.FILE, file=name, depth=depth)

    def _apply(self, statement: Statement, *, kind: OriginKind, file: str, depth: int = 0) -> None:
        """Apply a statement of code."""
        origin = Origin(kind=kind, file=file, line=statement.line)
        match statement:
            case Assignment(field=field, value={"$expression": code}) if parameter := find_parameter(
                code, self._parameters
            ):
                value = self._parameters[parameter].value
                self._set(field, encode_value(parse_value(value)), origin, parameter)
            case Assignment(field=field, value=value):
                self._set(field, value, origin)
            case Edit(field=field, verb=verb, values=values):
                self._edit(field, verb, list(values), origin)
            case Include(location=location, root=root):
                if depth >= _MAX_INCLUDES:
                    raise DriftError(
                        f"{origin}: these override files load each other without end: {location}"
                    )
                if kind is OriginKind.FILE and not _is_absolute(location):
                    location = posixpath.normpath(posixpath.join(posixpath.dirname(file), location))
                self._apply_file(location, at=origin, depth=depth + 1, root=root)
            case Other(code=code):
                self.blocks.append(Block(code=code, set_by=origin))

    def _set(self, field: FieldPath, value: JsonValue, origin: Origin, parameter: str | None = None) -> None:
        self._hide_inside(field.dotted)
        self.settings[field.dotted] = Setting(
            value=value,
            set_by=origin,
            path=field.code if field.code != field.dotted else "",
            parameter=parameter,
            after=len(self.blocks),
        )

    def _hide_inside(self, around: str) -> None:
        """Note that what is inside a field may be undone by setting that."""
        inside = f"{around.removesuffix('.target')}."
        for name, setting in self.settings.items():
            if name.startswith(inside) and name != around:
                self.settings[name] = setting.model_copy(update={"hidden_by": around})

    def _edit(self, field: FieldPath, verb: str, values: list[JsonValue], origin: Origin) -> None:
        """Note an edit of a field; what it is edited from may be unknown."""
        before = self.settings.get(field.dotted)
        value = before.value if before else {"$edits": []}
        if not (isinstance(value, dict) and "$edits" in value):
            value = {"$base": value, "$edits": []}
        edits = value["$edits"]
        if edits and edits[-1][0] == verb:
            values = [*edits[-1][1], *values]
            edits = edits[:-1]
        if verb in ("add", "remove"):
            values = [one for _, one in sorted({sort_key(one): one for one in values}.items())]
        self._set(field, {**value, "$edits": [*edits, [verb, values]]}, origin)


def _is_absolute(location: str) -> bool:
    return location.startswith(("$", "/")) or "://" in location


def parse_value(value: Any) -> Any:
    """Read a value of a pipeline file as pipe_base does.

    Parameters
    ----------
    value
        Value in YAML.

    Returns
    -------
    value
        What a string means as Python, in which a name stands for itself; the
        string if it is no Python.
    """
    match value:
        case str():
            try:
                return ast.literal_eval(_NamesToStrings().visit(ast.parse(value, mode="eval")).body)
            except (SyntaxError, ValueError, TypeError, MemoryError, RecursionError):
                return str(value)
        case list():
            return [parse_value(one) if isinstance(one, str) else one for one in value]
        case dict():
            return {key: parse_value(one) if isinstance(one, str) else one for key, one in value.items()}
        case _:
            return value


class _NamesToStrings(ast.NodeTransformer):
    """Has variable names stand for themselves."""

    def visit_Name(self, node: ast.Name) -> ast.Constant:
        """Turn a name into a string."""
        return ast.copy_location(ast.Constant(node.id), node)
