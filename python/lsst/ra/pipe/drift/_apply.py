# This file is part of ra_pipe.
#
# Use of this source code is governed by a 3-clause BSD-style
# license that can be found in the LICENSE file.

"""Overrides of a task, applied so that it is known what each of them sets."""

from __future__ import annotations

__all__ = ("TracedOverrides", "say")

import dataclasses
import itertools
import os
import traceback
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from lsst.pex.config import Config
from lsst.pipe.base import Instrument, PipelineTaskConfig
from lsst.pipe.base.configOverrides import ConfigOverrides
from lsst.pipe.base.pipelineIR import ConfigIR, ParametersIR
from lsst.resources import ResourcePath

from ._declared import find_parameter, get_parameters
from ._errors import DriftError
from ._fields import FieldState, flatten_config
from ._snapshot import Origin, OriginKind, Setting
from ._sources import PipelineSource, Traced, TracedStr, forget_traces, name_file
from ._statements import parse_path

_APPLIES = "applyTo"
"""Function of pipe_base under which all override code runs."""

_LOADS = "_loadFromString"
"""Function of pex_config that runs a file."""


@dataclasses.dataclass(frozen=True)
class _Stage:
    """Overrides that are applied together."""

    origin: Origin
    """Where they are; the line is that of the code's first line."""
    by_field: Mapping[str, tuple[Origin, str | None]] = dataclasses.field(default_factory=dict)
    """Where the values are, and whether they are a parameter's, by dotted name
    of the field.
    """


class TracedOverrides:
    """Applies the overrides of a task, and notes what each of them sets.

    pex_config's history has the lines of override code but not its file, so
    the state of all fields is taken after each file and block.

    Parameters
    ----------
    source
        The pipeline.
    task_class
        Class of the task.
    instrument
        The pipeline's instrument, if it has one.
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
        """Apply overrides; what sets each field is in ``settings`` then.

        Parameters
        ----------
        groups
            Overrides of the pipeline, in order.

        Returns
        -------
        config
            The configuration.

        Raises
        ------
        DriftError
            If an override fails; the message names the file and the line.
        """
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
        return DriftError(f"{origin}: this override fails: {type(error).__name__}: {say(error)}")


def say(error: BaseException) -> str:
    """Return the message of an error; pex_config adds where it looked.

    Parameters
    ----------
    error
        The error.

    Returns
    -------
    message
        One line.
    """
    return " ".join(str(error).partition("\nFor more information")[0].split())


class _Look:
    """Takes note when pipe_base asks it to apply overrides."""

    def __init__(self, overrides: TracedOverrides) -> None:
        self._overrides = overrides

    def applyConfigOverrides(self, name: str, config: Config) -> None:
        """Note what was set so far."""
        self._overrides.note()


class _Mark:
    """Tells which value is applied next, when pipe_base asks it to apply
    overrides.
    """

    def __init__(self, overrides: TracedOverrides, origin: Origin) -> None:
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
