# This file is part of ra_pipe.
#
# Use of this source code is governed by a 3-clause BSD-style
# license that can be found in the LICENSE file.

"""Classes that stand in for those of the Science Pipelines, with AP's fields.

They are made of what AP's pipelines resolve to: the fields have AP's values as
defaults, and connections follow the switches that Rapid Analysis turns.  They
compute nothing.
"""

from __future__ import annotations

import ast
import re
import sys
import types
from collections.abc import Iterable, Mapping
from typing import Any

import pytest
from lsst.pex.config import Config, ConfigChoiceField, ConfigField, DictField, Field, ListField
from lsst.pex.config.configurableActions import ConfigurableAction, ConfigurableActionStructField
from lsst.pipe.base import (
    Instrument,
    PipelineTask,
    PipelineTaskConfig,
    PipelineTaskConnections,
    connectionTypes,
)

IMAGE = ["detector", "exposure", "instrument"]

SWITCHES = {
    "doBinnedExposures": ("outputBin1Exposure", "outputBin2Exposure"),
    "doCalculateStatistics": ("outputStatistics",),
    "doCorrectGains": ("gainCorrection",),
    "do_calibrate_pixels": ("applied_photo_calib",),
    "useButlerCamera": ("camera_model",),
}
"""Connections that a task has only with a switch, as upstream's code says."""

MORE_CONNECTIONS = {
    "isr": {
        "outputBin1Exposure": ("outputs", "postIsrBin1", "ExposureF", IMAGE),
        "outputBin2Exposure": ("outputs", "postIsrBin2", "ExposureF", IMAGE),
    },
    "calibrateImage": {
        "camera_model": ("prerequisite_inputs", "astrometry_camera", "Camera", ["instrument"]),
        "initial_stars_schema": ("init_outputs", "single_visit_star_schema", "SourceCatalog", []),
    },
}
"""Connections that AP switches off, or the facts leave out."""

KINDS = {
    "inputs": connectionTypes.Input,
    "outputs": connectionTypes.Output,
    "prerequisite_inputs": connectionTypes.PrerequisiteInput,
    "init_outputs": connectionTypes.InitOutput,
}


def install(
    monkeypatch: pytest.MonkeyPatch, instrument: str, tasks: Mapping[str, Any], actions: Mapping[str, Any]
) -> None:
    """Make an instrument, tasks and analysis tools importable.

    Parameters
    ----------
    monkeypatch
        What takes them away again.
    instrument
        Full name of the instrument's class.
    tasks
        By full name of the class: label, and the facts of the task.
    actions
        Names of the fields of each analysis tool, by the name of its class.
    """
    for name, fields in actions.items():
        _install(monkeypatch, f"lsst.analysis.tools.atools.{name}", _make_action(name, fields))
    _install(monkeypatch, instrument, _make_instrument(instrument.rpartition(".")[2]))
    for name, (label, facts) in tasks.items():
        _install(monkeypatch, name, _make_task(name, label, facts))


def facts_of_others(config: Mapping[str, Any]) -> dict[str, Any]:
    """Make the facts of a task of which only the fields that are set are known."""
    nested: dict[str, Any] = {}
    connections = {}
    for name, value in config.items():
        first, *others = name.split(".")
        if first == "connections":
            connections[others[0]] = {"dataset_type": others[0], "storage_class": "Catalog", "dimensions": []}
        elif others:
            nested.setdefault(first, {})[others[0]] = value
        else:
            nested[first] = value
    always = {"dataset_type": "something", "storage_class": "Catalog", "dimensions": ["instrument"]}
    return {
        "dimensions": ["instrument"],
        "config": nested,
        "inputs": {"something": always},
        "prerequisite_inputs": connections,
        "outputs": {"result": {**always, "dataset_type": "result"}},
    }


def find_actions(config: Mapping[str, Any]) -> dict[str, list[str]]:
    """Find the analysis tools that a declared configuration names."""
    tools = {name: value for name, value in config.items() if re.fullmatch(r"atools\.\w+", name)}
    return {
        value: [field.removeprefix(f"{name}.") for field in config if field.startswith(f"{name}.")]
        for name, value in tools.items()
    }


def _install(monkeypatch: pytest.MonkeyPatch, name: str, value: type) -> None:
    """Put a class into a module, which is made if there is none."""
    home, _, own = name.rpartition(".")
    parts = home.split(".")
    for end in range(2, len(parts) + 1):
        module = ".".join(parts[:end])
        if module not in sys.modules:
            made = types.ModuleType(module)
            made.__path__ = []
            monkeypatch.setitem(sys.modules, module, made)
    monkeypatch.setattr(sys.modules[home], own, value, raising=False)


def _make_instrument(name: str) -> type[Instrument]:
    body: dict[str, Any] = {"getName": classmethod(lambda cls: name), "configPaths": []}
    for abstract in Instrument.__abstractmethods__ - body.keys():
        body[abstract] = None
    return types.new_class(name, (Instrument,), exec_body=lambda members: members.update(body))


def _make_task(name: str, label: str, facts: Mapping[str, Any]) -> type[PipelineTask]:
    connections = _make_connections(label, facts)
    config = _make_config(facts["config"], (PipelineTaskConfig,), pipelineConnections=connections)
    body = {"ConfigClass": config, "_DefaultName": label, "__module__": name.rpartition(".")[0]}
    return type(name.rpartition(".")[2], (PipelineTask,), body)


def _make_action(name: str, fields: Iterable[str]) -> type[ConfigurableAction]:
    body: dict[str, Any] = {
        field: DictField("A field.", keytype=str) for field in fields if field != "taskName"
    }
    body["taskName"] = Field("A field.", dtype=str, optional=True)
    return types.new_class(name, (ConfigurableAction,), exec_body=lambda members: members.update(body))


def _make_connections(label: str, facts: Mapping[str, Any]) -> type[PipelineTaskConnections]:
    """Make the connections, without those that are switched off."""

    def switch(self: PipelineTaskConnections, *, config: Any = None) -> None:
        PipelineTaskConnections.__init__(self, config=config)
        for field, names in SWITCHES.items():
            for one in names:
                if hasattr(self, one) and not getattr(config, field, True):
                    delattr(self, one)

    members: dict[str, Any] = {"__init__": switch}
    templates = dict(facts["config"].get("connections", {}))
    for kind, connection in KINDS.items():
        for name, one in facts.get(kind, {}).items():
            named = {**one, "dataset_type": templates.pop(name, one["dataset_type"])}
            members[name] = _make_connection(connection, **named)
    for name, (kind, dataset_type, storage_class, dimensions) in MORE_CONNECTIONS.get(label, {}).items():
        members[name] = _make_connection(
            KINDS[kind], dataset_type=dataset_type, storage_class=storage_class, dimensions=dimensions
        )
    names = " ".join(one.name for one in members.values() if hasattr(one, "name"))
    used = {name: value for name, value in templates.items() if f"{{{name}}}" in names}
    return types.new_class(
        f"{label}Connections",
        (PipelineTaskConnections,),
        {"dimensions": tuple(facts["dimensions"]), "defaultTemplates": used},
        lambda body: body.update(members),
    )


def _make_connection(kind: Any, *, dataset_type: str, storage_class: str, dimensions: list[str]) -> Any:
    plain: dict[str, Any] = {"name": dataset_type, "storageClass": storage_class, "doc": "A dataset."}
    return kind(**plain) if kind is connectionTypes.InitOutput else kind(**plain, dimensions=dimensions)


def _make_config(values: Mapping[str, Any], bases: tuple[type, ...] = (Config,), **kwargs: Any) -> Any:
    """Make the class of a configuration with these defaults."""
    own = {"connections", "saveLogOutput"}
    fields = {name: _make_field(value) for name, value in values.items() if name not in own}
    if "atools" in fields:
        fields["atools"] = ConfigurableActionStructField("Analysis tools.")
    return types.new_class("AnyConfig", bases, kwargs, lambda body: body.update(fields))


def _make_field(value: Any) -> Any:
    """Make a field of the kind that a value looks like."""
    doc = "A field."
    match value:
        case {"names": names, "values": values}:
            typemap = {key: _make_config(one) for key, one in values.items()}
            return ConfigChoiceField(doc, typemap, multi=True, default=_literal(names))
        case {"name": name, "values": values}:
            return ConfigChoiceField(
                doc, {key: _make_config(one) for key, one in values.items()}, default=name, optional=True
            )
        case dict() if value and all(key.isidentifier() for key in value):
            return ConfigField(doc, dtype=_make_config(value))
        case dict():
            return DictField(doc, keytype=str, default={})
        case list() if value and not isinstance(value[0], list):
            kinds = {type(one) for one in value}
            kind = kinds.pop() if len(kinds) == 1 else float
            return ListField(doc, dtype=kind, default=[kind(one) for one in value])
        case list():
            return ListField(doc, dtype=str, default=[])
        case None:
            return Field(doc, dtype=str, optional=True)
        case _:
            return Field(doc, dtype=type(value), default=value)


def _literal(value: Any) -> Any:
    return ast.literal_eval(value) if isinstance(value, str) else value
