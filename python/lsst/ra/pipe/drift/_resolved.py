# This file is part of ra_pipe.
#
# Use of this source code is governed by a 3-clause BSD-style
# license that can be found in the LICENSE file.

"""What a pipeline is, with every field of every task."""

from __future__ import annotations

__all__ = ("NotImportableError", "resolve_pipeline")

import contextlib
import dataclasses
import importlib.metadata
import importlib.util
import itertools
import os
import re
import sys
import traceback
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from lsst.pex.config import Config
from lsst.pipe.base import Instrument, PipelineTask, PipelineTaskConfig
from lsst.pipe.base.configOverrides import ConfigOverrides
from lsst.pipe.base.pipeline_graph import PipelineGraph, TaskNode
from lsst.pipe.base.pipelineIR import ConfigIR, ParametersIR
from lsst.resources import ResourcePath
from lsst.utils import doImportType
from lsst.utils.introspection import get_full_type_name

from ._declared import find_parameter, get_parameters
from ._errors import DriftError
from ._fields import FieldState, flatten_config
from ._snapshot import Connection, Level, Origin, OriginKind, Setting, Snapshot, TaskSnapshot
from ._sources import PipelineSource, Traced, TracedStr, forget_traces, name_file
from ._statements import parse_path
from ._values import format_value

_APPLIES = "applyTo"
"""Function of pipe_base under which all override code runs."""

_LOADS = "_loadFromString"
"""Function of pex_config that runs a file."""


class NotImportableError(Exception):
    """A class of a pipeline is in a package that is not installed."""


def resolve_pipeline(source: PipelineSource, declared: Snapshot) -> Snapshot:
    """Work out every field of every task of a pipeline.

    Parameters
    ----------
    source
        The pipeline.
    declared
        The same pipeline at the declared level.

    Returns
    -------
    snapshot
        Snapshot at the resolved level.

    Raises
    ------
    NotImportableError
        If a task or the instrument is in a package that is not installed.
    DriftError
        If an override fails, as when it names a field that does not exist, or
        a configuration is not valid; the message names the file and the line.
    """
    classes = {
        str(label): _import_type(str(task.klass), declared.tasks[str(label)].declared_by)
        for label, task in source.ir.tasks.items()
    }
    instrument = _import_instrument(declared)
    graph = PipelineGraph(data_id={} if instrument is None else {"instrument": instrument.getName()})
    configs: dict[str, Mapping[str, Setting]] = {}
    for label, task in source.ir.tasks.items():
        overrides = _Overrides(source, classes[label], instrument)
        config = overrides.apply(task.config or [])
        configs[label] = _add_parameters(overrides.settings, declared.tasks[label].config)
        _add_task(graph, label, classes[label], config, declared.tasks[label].declared_by)
    _check_contracts(declared, {label: node.config for label, node in graph.tasks.items()}, configs)
    tasks = {
        label: _describe_task(node, configs[label], declared.tasks[label].declared_by)
        for label, node in graph.tasks.items()
    }
    return declared.model_copy(
        update={
            "level": Level.RESOLVED,
            "reason": "",
            "tasks": tasks,
            "sources": dict(sorted(source.digests.items())),
            "packages": _find_versions([PipelineTask, *classes.values()]),
            "declared": declared,
        }
    )


def _import_type(name: str, at: Origin | None) -> type[Any]:
    """Import a class that a pipeline names."""
    try:
        imported: type[Any] = doImportType(name)
    except (ImportError, TypeError) as error:
        home, _, _ = name.rpartition(".")
        if not _is_installed(home):
            raise NotImportableError(f"{name} cannot be imported: {home} is not installed") from error
        raise DriftError(f"{at}: the class {name} cannot be imported: {error}") from error
    return imported


def _is_installed(module: str) -> bool:
    """Tell whether a module, or the package that a class was said to be in,
    exists.
    """
    try:
        return importlib.util.find_spec(module) is not None
    except (ImportError, ValueError):
        return False


def _import_instrument(declared: Snapshot) -> Instrument | None:
    if declared.instrument is None:
        return None
    instrument = _import_type(declared.instrument, declared.instrument_by)
    if not issubclass(instrument, Instrument):
        raise DriftError(f"{declared.instrument_by}: {declared.instrument} is not an instrument.")
    made: Instrument = instrument()
    return made


def _add_parameters(settings: Mapping[str, Setting], said: Mapping[str, Setting]) -> Mapping[str, Setting]:
    """Add the parameters that override code gives to fields, where the last
    word is the same at both levels; pex_config only sees their values.
    """
    return {
        name: setting.model_copy(update={"parameter": said[name].parameter})
        if name in said and said[name].parameter and said[name].set_by == setting.set_by
        else setting
        for name, setting in settings.items()
    }


def _add_task(
    graph: PipelineGraph, label: str, task_class: type[Any], config: PipelineTaskConfig, at: Origin | None
) -> None:
    """Validate a configuration and work out the connections."""
    try:
        graph.add_task(label, task_class, config)
    except (ValueError, TypeError, AttributeError, KeyError) as error:
        raise DriftError(f"{at}: the configuration of {label} is not valid: {_say(error)}") from error


def _check_contracts(
    declared: Snapshot, configs: Mapping[str, Config], tasks: Mapping[str, Mapping[str, Setting]]
) -> None:
    """Hold the configurations against the contracts."""
    for contract in declared.contracts:
        try:
            holds = eval(contract.contract, None, dict(configs))
        except (AttributeError, NameError, KeyError, TypeError, ValueError, SyntaxError) as error:
            problem = f"cannot be evaluated: {error}"
        else:
            if holds:
                continue
            problem = contract.msg or "is broken"
        values = "; ".join(_describe_operands(contract.contract, tasks))
        raise DriftError(
            f"{contract.declared_by}: the contract {contract.contract!r} of {declared.pipeline}: {problem}"
            f"{f' ({values})' if values else ''}"
        )


def _describe_operands(contract: str, tasks: Mapping[str, Mapping[str, Setting]]) -> Iterator[str]:
    """Say what the fields are that a contract names, and who set them."""
    for label, name in dict.fromkeys(re.findall(r"(?<![\w.])(\w+)\.([\w.]+)", contract)):
        if setting := tasks.get(label, {}).get(name):
            yield f"{label}.{name} is {format_value(setting.value)}, by {setting.set_by}"


def _describe_task(node: TaskNode, config: Mapping[str, Setting], at: Origin | None) -> TaskSnapshot:
    connections = {}
    kinds = {
        "input": node.inputs,
        "output": node.outputs,
        "prerequisite": node.prerequisite_inputs,
        "init_input": node.init.inputs,
        "init_output": node.init.outputs,
    }
    automatic = {
        edge.connection_name
        for edge in (node.metadata_output, node.log_output, node.init.config_output)
        if edge
    }
    for kind, edges in kinds.items():
        for name, edge in edges.items():
            if name in automatic:
                continue
            connections[name] = Connection(
                kind=kind,
                dataset_type=edge.parent_dataset_type_name,
                storage_class=edge.storage_class_name,
                dimensions=tuple(sorted(edge.raw_dimensions)),
            )
    return TaskSnapshot.model_validate(
        {
            "class": get_full_type_name(node.task_class),
            "dimensions": tuple(sorted(node.raw_dimensions)),
            "config": config,
            "connections": dict(sorted(connections.items())),
            "declared_by": at,
        }
    )


def _find_versions(classes: list[type]) -> dict[str, str]:
    """Find the versions of the packages that hold classes: a module's own, or
    that of the distribution that is named like it.
    """
    versions = {}
    for one in classes:
        parts = one.__module__.split(".")
        for end in range(len(parts), 0, -1):
            package = ".".join(parts[:end])
            version = getattr(sys.modules.get(package), "__version__", None)
            if not isinstance(version, str):
                with contextlib.suppress(importlib.metadata.PackageNotFoundError):
                    version = importlib.metadata.version(re.sub(r"[._]", "-", package))
            if isinstance(version, str):
                versions[package] = version
                break
    return dict(sorted(versions.items()))


@dataclasses.dataclass(frozen=True)
class _Stage:
    """Overrides that are applied together."""

    origin: Origin
    """Where they are; the line is that of the code's first line."""
    by_field: Mapping[str, tuple[Origin, str | None]] = dataclasses.field(default_factory=dict)
    """Where the values are, and whether they are a parameter's, by dotted name
    of the field.
    """


class _Overrides:
    """Applies the overrides of a task, and notes what each of them sets.

    pex_config's history has the lines of override code but not its file, so
    the state of all fields is taken after each file and block.
    """

    def __init__(self, source: PipelineSource, task_class: type[Any], instrument: Instrument | None) -> None:
        self.settings: dict[str, Setting] = {}
        self._source = source
        self._instrument = instrument
        self._default_name = getattr(task_class, "_DefaultName", "")
        self._config: PipelineTaskConfig = task_class.ConfigClass()
        self._fields: dict[str, FieldState] = {}
        self._stages: list[_Stage] = []
        self._n_done = 0
        self._value_at = Origin(kind=OriginKind.PIPELINE)

    def apply(self, groups: list[ConfigIR]) -> PipelineTaskConfig:
        """Apply groups of overrides; return the configuration."""
        self._fields = flatten_config(self._config)
        default = Origin(kind=OriginKind.DEFAULT)
        self.settings = {name: _make_setting(name, state, default) for name, state in self._fields.items()}
        overrides = self._collect(groups)
        try:
            overrides.applyTo(self._config)  # type: ignore[no-untyped-call]
        except DriftError:
            raise
        except (Exception, SystemExit) as error:  # Override code may raise anything.
            raise self._blame(error) from error
        self.settings = dict(sorted(self.settings.items()))
        return self._config

    def _collect(self, groups: list[ConfigIR]) -> ConfigOverrides:
        """Collect the overrides in the order in which pipe_base applies them,
        each followed by a look at what it did.
        """
        overrides = ConfigOverrides()
        parameters = get_parameters(self._source.ir)
        overrides.addParameters(
            ParametersIR({name: forget_traces(traced.value) for name, traced in parameters.items()})
        )
        if self._instrument is not None:
            overrides.addInstrumentOverride(self._instrument, self._default_name)
            self._look(overrides, _Stage(self._find_instrument_file(self._instrument)))
        for group in groups:
            for file in group.file:
                name = name_file(str(file))
                self._source.read_file(str(file), at=_origin_of(file))
                overrides.addFileOverride(os.path.expandvars(file))  # type: ignore[no-untyped-call]
                self._look(overrides, _Stage(Origin(kind=OriginKind.FILE, file=name, line=1)))
            if group.python:
                origin = _origin_of(group.python)
                overrides.addPythonOverride(str(group.python))
                self._look(overrides, _Stage(origin.model_copy(update={"kind": OriginKind.PYTHON})))
            self._collect_values(overrides, group, parameters)
        return overrides

    def _collect_values(
        self, overrides: ConfigOverrides, group: ConfigIR, parameters: Mapping[str, Traced]
    ) -> None:
        """Collect the values that a pipeline file gives fields."""
        values = {}
        for name, traced in group.rest.items():
            parameter = find_parameter(traced.value, parameters)
            value = parameters[parameter].value if parameter else traced.value
            overrides.addInstrumentOverride(_Mark(self, traced.origin), "")  # type: ignore[arg-type]
            overrides.addValueOverride(str(name), forget_traces(value))  # type: ignore[no-untyped-call]
            values[parse_path(str(name)).dotted] = (traced.origin, parameter)
        if values:
            self._look(overrides, _Stage(next(iter(values.values()))[0], values))

    def _look(self, overrides: ConfigOverrides, stage: _Stage) -> None:
        """Have what the overrides so far did noted when they were applied.

        An object that applies overrides of an instrument is the one place at
        which pipe_base hands out a configuration between two overrides.
        """
        self._stages.append(stage)
        overrides.addInstrumentOverride(_Look(self), "")  # type: ignore[arg-type]

    def begin_value(self, origin: Origin) -> None:
        """Remember which value of a pipeline file is applied next."""
        self._value_at = origin

    def note(self) -> None:
        """Note what the stage that was just applied set."""
        stage = self._stages[self._n_done]
        self._n_done += 1
        fields = flatten_config(self._config)
        for name, state in fields.items():
            before = self._fields.get(name)
            code = _find_code_that_set(before, state)
            if code is None:
                continue
            if code.file and code.file not in self._source.digests:
                self._source.read_file(code.file, at=stage.origin)
            place, parameter = _place(stage, name, code)
            self.settings[name] = _make_setting(name, state, place, parameter)
        for name in self.settings.keys() - fields.keys():
            del self.settings[name]
        for name in fields.keys() - self.settings.keys():
            self.settings[name] = _make_setting(name, fields[name], Origin(kind=OriginKind.DEFAULT))
        self._fields = fields

    def _find_instrument_file(self, instrument: Instrument) -> Origin:
        """Find the file that an instrument applies to a task."""
        names = []
        for root in instrument.configPaths:
            uri = ResourcePath(root, forceDirectory=True, forceAbsolute=True).join(
                f"{self._default_name}.py", forceDirectory=False
            )
            if uri.exists():
                names.append(name_file(uri.ospath if uri.isLocal else str(uri)))
                self._source.read_file(names[-1], at=Origin(kind=OriginKind.INSTRUMENT))
        return Origin(kind=OriginKind.INSTRUMENT, file=", ".join(names), line=1 if len(names) == 1 else None)

    def _blame(self, error: BaseException) -> DriftError:
        """Say which override failed, and on which line."""
        stage = self._stages[min(self._n_done, len(self._stages) - 1)]
        origin = stage.origin
        frames = traceback.extract_tb(error.__traceback__)
        code = _find_code((frame.name, frame.filename, frame.lineno) for frame in frames)
        if isinstance(error, SyntaxError):
            code = _Code(error.lineno or 0)
        if code.line:
            origin = _locate(origin, code)
        if stage.by_field:
            origin = self._value_at
        return DriftError(f"{origin}: this override fails: {type(error).__name__}: {_say(error)}")


def _say(error: BaseException) -> str:
    """Return the message of an error; pex_config adds where it looked."""
    return " ".join(str(error).partition("\nFor more information")[0].split())


class _Look:
    """Takes note when pipe_base asks it to apply overrides."""

    def __init__(self, overrides: _Overrides) -> None:
        self._overrides = overrides

    def applyConfigOverrides(self, name: str, config: Config) -> None:
        """Note what was set so far."""
        self._overrides.note()


class _Mark:
    """Tells which value is applied next, when pipe_base asks it to apply
    overrides.
    """

    def __init__(self, overrides: _Overrides, origin: Origin) -> None:
        self._overrides = overrides
        self._origin = origin

    def applyConfigOverrides(self, name: str, config: Config) -> None:
        """Say where the value is."""
        self._overrides.begin_value(self._origin)


def _make_setting(name: str, state: FieldState, origin: Origin, parameter: str | None = None) -> Setting:
    path = state.path if state.path != name else ""
    return Setting(value=state.value, set_by=origin, parameter=parameter, path=path)


def _origin_of(text: str) -> Origin:
    return text.origin if isinstance(text, TracedStr) else Origin(kind=OriginKind.PIPELINE)


@dataclasses.dataclass(frozen=True)
class _Code:
    """A line of override code."""

    line: int = 0
    """Line from one; zero if it is not known."""
    file: str = ""
    """The file, if it is one that an override file or instrument loads."""


def _find_code_that_set(before: FieldState | None, now: FieldState) -> _Code | None:
    """Return the override code that set a field since before; `None` if it was
    not set.
    """
    is_new = before is None or before.history is not now.history
    first = 0 if before is None or is_new else before.n_events
    changed = before is None or before.value != now.value
    events = now.history[first : now.n_events]
    if now.is_shared:
        if not changed:
            return None
        contents = [event[0] for event in now.history[max(first - 1, 0) : now.n_events]]
        events = _find_changes_of_key(contents, events, now.key)
    places = [_find_code_of(event) for event in events if not _is_construction(event)]
    if places:
        return places[-1]
    return _Code() if changed and before is not None else None


def _find_changes_of_key(contents: list[Any], events: Sequence[Any], key: Any) -> Sequence[Any]:
    """Find the events that changed one key of a dictionary; its record has the
    whole dictionary after each, and one before all of them if there is any.
    """
    values = [one.get(key, _NOTHING) if isinstance(one, Mapping) else _NOTHING for one in contents]
    before = [_NOTHING] * (len(events) + 1 - len(values)) + values
    steps = itertools.pairwise(before)
    return [event for event, (old, new) in zip(events, steps, strict=True) if old != new]


_NOTHING = object()


def _is_construction(event: Any) -> bool:
    """Tell whether a configuration got this value when it was made."""
    _, stack, label = event
    return label == "default" or any(frame.function == "__new__" for frame in stack)


def _find_code_of(event: Any) -> _Code:
    """Return the override code in pex_config's record of a change."""
    _, stack, _ = event
    return _find_code((frame.function, frame.filename, frame.lineno) for frame in stack)


def _find_code(frames: Iterable[tuple[str, str, int | None]]) -> _Code:
    """Return the override code among functions that call each other.

    Code of override files, or of a block, not of what those call: a function
    of a package is named by the line that calls it.
    """
    found = _Code()
    caller = ""
    for function, file, line in itertools.dropwhile(lambda frame: frame[0] != _APPLIES, frames):
        if function == "<module>" and caller in (_APPLIES, _LOADS):
            # The name of what pipe_base itself loads is lost; of what is loaded
            # by that, it is the path, unless pex_config has cut it.
            if os.path.isabs(file) or "://" in file:
                found = _Code(line or 0, name_file(file))
            elif not found.line:
                found = _Code(line or 0)
        caller = function
    return found


def _place(stage: _Stage, name: str, code: _Code) -> tuple[Origin, str | None]:
    """Say where a field was set, and by which parameter."""
    if stage.by_field:
        fits = [field for field in stage.by_field if name == field or name.startswith(f"{field}.")]
        return stage.by_field[max(fits, key=len)] if fits else (stage.origin, None)
    return _locate(stage.origin, code), None


def _locate(origin: Origin, code: _Code) -> Origin:
    """Return the origin of a line of code."""
    if code.file:
        return origin.model_copy(update={"file": code.file, "line": code.line})
    line = origin.line + code.line - 1 if code.line and origin.line else None
    return origin.model_copy(update={"line": line})
