# This file is part of ra_pipe.
#
# Use of this source code is governed by a 3-clause BSD-style
# license that can be found in the LICENSE file.

"""What a pipeline is, with every field of every task."""

from __future__ import annotations

__all__ = ("NotImportableError", "resolve_pipeline")

import contextlib
import importlib.metadata
import importlib.util
import re
import sys
from collections.abc import Iterator, Mapping
from typing import Any

from lsst.pex.config import Config
from lsst.pipe.base import Instrument, PipelineTask, PipelineTaskConfig
from lsst.pipe.base.pipeline_graph import PipelineGraph, TaskNode
from lsst.utils import doImportType
from lsst.utils.introspection import get_full_type_name

from ._apply import TracedOverrides, say
from ._errors import DriftError
from ._snapshot import Connection, Level, Origin, Setting, Snapshot, TaskSnapshot
from ._sources import PipelineSource
from ._values import format_value


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
        overrides = TracedOverrides(source, classes[label], instrument)
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
        raise DriftError(f"{at}: the configuration of {label} is not valid: {say(error)}") from error


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
