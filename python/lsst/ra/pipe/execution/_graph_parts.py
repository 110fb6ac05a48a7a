# This file is part of ra_pipe.
#
# Use of this source code is governed by a 3-clause BSD-style
# license that can be found in the LICENSE file.

"""Questions about a pipeline graph that running an image asks."""

from __future__ import annotations

__all__ = ("calibration_types", "intermediates", "read_only_intermediates", "subset", "upstream_tasks")

from collections.abc import Iterable

from lsst.daf.butler.registry import Registry
from lsst.pipe.base.pipeline_graph import PipelineGraph


def subset(graph: PipelineGraph, labels: Iterable[str], registry: Registry) -> PipelineGraph:
    """Copy a pipeline graph with some of its tasks.

    Parameters
    ----------
    graph
        Pipeline graph; not changed.
    labels
        Labels of the tasks to keep.
    registry
        Client that the copy is resolved with.
    """
    result = graph.copy()
    result.remove_tasks(set(result.tasks) - set(labels), drop_from_subsets=True)
    result.resolve(registry)
    return result


def calibration_types(graph: PipelineGraph) -> frozenset[str]:
    """Return the names of the dataset types that are prerequisite inputs.

    Parameters
    ----------
    graph
        Resolved pipeline graph.
    """
    return frozenset(
        edge.parent_dataset_type_name
        for node in graph.tasks.values()
        for edge in node.prerequisite_inputs.values()
    )


def intermediates(graph: PipelineGraph) -> frozenset[str]:
    """Return the names of the dataset types that one task writes and another
    one reads.

    Parameters
    ----------
    graph
        Resolved pipeline graph.
    """
    return frozenset(
        name for name in graph.dataset_types if graph.producer_of(name) and graph.consumers_of(name)
    )


def read_only_intermediates(graph: PipelineGraph) -> frozenset[str]:
    """Return those `intermediates` that no consumer changes.

    Parameters
    ----------
    graph
        Resolved pipeline graph.

    Notes
    -----
    A task class says so of itself by ``inputs_read_only = True``.
    """
    return frozenset(
        name
        for name in intermediates(graph)
        if all(getattr(node.task_class, "inputs_read_only", False) for node in graph.consumers_of(name))
    )


def upstream_tasks(graph: PipelineGraph, label: str) -> frozenset[str]:
    """Return the labels of the tasks whose outputs a task cannot do without.

    Parameters
    ----------
    graph
        Resolved pipeline graph.
    label
        Label of the task.
    """
    producers = set()
    for edge in graph.tasks[label].inputs.values():
        if (producer := graph.producer_of(edge.parent_dataset_type_name)) is not None:
            producers.add(producer.label)
    return frozenset(producers)
