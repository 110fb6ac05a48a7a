# This file is part of ra_pipe.
#
# Use of this source code is governed by a 3-clause BSD-style
# license that can be found in the LICENSE file.

"""A pipeline, a snapshot or exported facts, as a snapshot."""

from __future__ import annotations

__all__ = ("find_stale_sources", "load_snapshot", "make_snapshot", "read_facts")

import hashlib
import os
import re
from collections.abc import Iterable, Mapping
from typing import Any

from lsst.resources import ResourcePath

from ._declared import declare_pipeline
from ._errors import DriftError
from ._fields import flatten_facts
from ._resolved import NotImportableError, resolve_pipeline
from ._snapshot import Connection, Level, Setting, Snapshot, Subset, TaskSnapshot, parse_json
from ._sources import name_file, read_pipeline


def make_snapshot(uri: str, *, level: Level | None = None) -> Snapshot:
    """Take a snapshot of a pipeline.

    Parameters
    ----------
    uri
        Location of the pipeline; it may begin with an environment variable,
        and end with ``#`` and the labels of tasks or subsets, with commas.
    level
        Level that is wanted; `None` for the resolved level if the tasks can
        be imported, else the declared one.

    Returns
    -------
    snapshot
        The snapshot; at the declared level it says why.

    Raises
    ------
    DriftError
        If the pipeline cannot be read, or not be resolved although that was
        wanted.
    """
    source = read_pipeline(uri)
    declared = declare_pipeline(source)
    if level is Level.DECLARED:
        return declared.model_copy(update={"reason": "it was asked for"})
    try:
        return resolve_pipeline(source, declared)
    except NotImportableError as error:
        if level is Level.RESOLVED:
            raise DriftError(f"{source.name}:1: this pipeline cannot be resolved: {error}.") from error
        return declared.model_copy(update={"reason": str(error)})


def load_snapshot(uri: str, *, level: Level | None = None, may_be_stale: bool = False) -> Snapshot:
    """Load one side of a comparison.

    Parameters
    ----------
    uri
        Location of a pipeline, of a snapshot, or of facts that a Science
        Pipelines install exported (``.json``); it may begin with an
        environment variable and end with ``#`` and labels, with commas.
    level
        Level at which a pipeline is wanted, as for `make_snapshot`.
    may_be_stale
        Whether a snapshot of files that have changed since is wanted, too.

    Returns
    -------
    snapshot
        The snapshot.

    Raises
    ------
    DriftError
        If it cannot be read, or if it is a snapshot of files that have
        changed since.
    """
    location, _, labels = uri.partition("#")
    if not location.endswith(".json"):
        return make_snapshot(uri, level=level)
    name = name_file(location)
    text = _read_json(location, name)
    content = parse_json(text, name=name)
    if "schema_version" not in content and "tasks" in content and "pipeline" in content:
        snapshot = read_facts(text, name=name)
    else:
        snapshot = Snapshot.from_content(content, name=name)
        stale = [] if may_be_stale else find_stale_sources(snapshot)
        if stale:
            raise DriftError(
                f"{name}:1: this snapshot is stale: {', '.join(stale)} changed since; "
                "make it again with `rapid snapshot`."
            )
    if labels:
        snapshot = select_labels(snapshot, labels.split(","), name=name)
    return snapshot.model_copy(update={"read_from": name_file(uri)})


def _read_json(location: str, name: str) -> str:
    try:
        return ResourcePath(os.path.expandvars(location)).read().decode()
    except (OSError, ValueError, NotImplementedError) as error:
        raise DriftError(f"{name}:1: this file cannot be read: {error}") from error


def find_stale_sources(snapshot: Snapshot) -> list[str]:
    """Find the files of a snapshot that are not any more what they were.

    Parameters
    ----------
    snapshot
        The snapshot.

    Returns
    -------
    names
        Names of the files that can be read here and have another content.
        Files that are not here are taken for unchanged.
    """
    stale = []
    for name, digest in snapshot.sources.items():
        try:
            content = ResourcePath(os.path.expandvars(name)).read()
        except (OSError, ValueError, NotImplementedError):
            continue
        if hashlib.sha256(content).hexdigest() != digest:
            stale.append(name)
    return stale


def read_facts(text: str, *, name: str) -> Snapshot:
    """Make a snapshot of what a Science Pipelines install exported.

    Parameters
    ----------
    text
        JSON with the tasks of a pipeline: class, dimensions, configuration as
        ``Config.toDict`` gives it, inputs, outputs and prerequisites.
    name
        Name of the file, for messages and as the source.

    Returns
    -------
    snapshot
        Snapshot at the resolved level, that does not know who set what.

    Raises
    ------
    DriftError
        If the text is not such an export.
    """
    content = parse_json(text, name=name)
    try:
        tasks = {label: _read_task(task) for label, task in sorted(content["tasks"].items())}
        subsets = {label: Subset(labels=tuple(sorted(one))) for label, one in content["subsets"].items()}
        pipeline = content["pipeline"]
    except (KeyError, TypeError, AttributeError) as error:
        raise DriftError(f"{name}:1: these are no facts of a pipeline: {error!r}") from error
    return Snapshot(
        level=Level.RESOLVED,
        pipeline=_with_variable(pipeline),
        tasks=tasks,
        subsets=subsets,
        sources={os.path.basename(name): hashlib.sha256(text.encode()).hexdigest()},
        omits=("contracts", "instrument", "origins", "parameters", "steps", "targets"),
    )


def _with_variable(pipeline: str) -> str:
    """Name a file of a product by the product's variable."""
    product, _, path = pipeline.partition("/")
    return f"${product.upper()}_DIR/{path}" if re.fullmatch(r"\w+", product) and path else pipeline


def _read_task(task: Mapping[str, Any]) -> TaskSnapshot:
    kinds = {"inputs": "input", "outputs": "output", "prerequisite_inputs": "prerequisite"}
    connections = {
        name: Connection.model_validate(
            {
                "kind": kind,
                "dataset_type": one["dataset_type"],
                "storage_class": one["storage_class"],
                "dimensions": tuple(sorted(one["dimensions"])),
            }
        )
        for key, kind in kinds.items()
        for name, one in task.get(key, {}).items()
    }
    config = {name: Setting(value=value) for name, value in flatten_facts(task["config"]).items()}
    return TaskSnapshot.model_validate(
        {
            "class": task["class"],
            "dimensions": tuple(sorted(task["dimensions"])),
            "config": dict(sorted(config.items())),
            "connections": dict(sorted(connections.items())),
        }
    )


def select_labels(snapshot: Snapshot, labels: Iterable[str], *, name: str) -> Snapshot:
    """Select tasks of a snapshot, as ``#`` does for a pipeline.

    Parameters
    ----------
    snapshot
        The snapshot.
    labels
        Labels of tasks or names of subsets.
    name
        Name of the snapshot, for messages.

    Returns
    -------
    selected
        Snapshot with those tasks, the subsets and steps that are still
        complete, and the contracts of these tasks.

    Raises
    ------
    DriftError
        If there is no such task or subset.
    """
    wanted: set[str] = set()
    for label in filter(None, labels):
        if label not in snapshot.tasks and label not in snapshot.subsets:
            known = ", ".join(sorted([*snapshot.tasks, *snapshot.subsets]))
            raise DriftError(f"{name}:1: there is no task or subset {label!r}; there are {known}.")
        wanted.update(snapshot.subsets[label].labels if label in snapshot.subsets else (label,))
    gone = snapshot.tasks.keys() - wanted
    subsets = {key: one for key, one in snapshot.subsets.items() if wanted.issuperset(one.labels)}
    return snapshot.model_copy(
        update={
            "tasks": {label: task for label, task in snapshot.tasks.items() if label in wanted},
            "subsets": subsets,
            "steps": {key: one for key, one in snapshot.steps.items() if key in subsets},
            "contracts": tuple(
                one for one in snapshot.contracts if not any(_mentions(one.contract, label) for label in gone)
            ),
            "declared": snapshot.declared and select_labels(snapshot.declared, wanted, name=name),
        }
    )


def _mentions(contract: str, label: str) -> bool:
    return re.search(rf"(?<!\w){re.escape(label)}\.", contract) is not None
