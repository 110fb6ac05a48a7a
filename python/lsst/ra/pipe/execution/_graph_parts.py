# This file is part of ra_pipe.
#
# Use of this source code is governed by a 3-clause BSD-style
# license that can be found in the LICENSE file.

"""Questions about a pipeline graph that running an image asks."""

from __future__ import annotations

__all__ = (
    "calibration_types",
    "detector_labels",
    "exposure_labels",
    "handed_on",
    "intermediates",
    "log_types",
    "read_only",
    "upstream_tasks",
)

from collections.abc import Collection

from lsst.pipe.base.pipeline_graph import PipelineGraph, TaskNode


def detector_labels(graph: PipelineGraph) -> tuple[str, ...]:
    """Return the labels of the tasks that run on a detector, in order.

    Parameters
    ----------
    graph
        Pipeline graph, which need not be resolved.
    """
    return tuple(label for label, node in graph.tasks.items() if "detector" in node.raw_dimensions)


def exposure_labels(graph: PipelineGraph) -> tuple[str, ...]:
    """Return the labels of the tasks that gather an exposure, in order.

    Parameters
    ----------
    graph
        Pipeline graph, which need not be resolved.
    """
    return tuple(label for label, node in graph.tasks.items() if "detector" not in node.raw_dimensions)


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
    """Return the names of the dataset types that need not be written.

    Parameters
    ----------
    graph
        Pipeline graph, which need not be resolved.

    Returns
    -------
    names
        What a task writes for a detector and only other tasks of the same
        detector read.
    """
    names = set()
    for label in detector_labels(graph):
        for edge in graph.tasks[label].outputs.values():
            consumers = _consumers(graph, edge.parent_dataset_type_name)
            if consumers and all("detector" in consumer.raw_dimensions for consumer in consumers):
                names.add(edge.parent_dataset_type_name)
    return frozenset(names)


def handed_on(graph: PipelineGraph, labels: Collection[str]) -> frozenset[str]:
    """Return the names of the dataset types that one of the tasks writes and
    another of them reads.

    Parameters
    ----------
    graph
        Resolved pipeline graph.
    labels
        Labels of the tasks.
    """
    return frozenset(
        edge.parent_dataset_type_name
        for label in labels
        for edge in graph.tasks[label].iter_all_outputs()
        if any(node.label in labels for node in _consumers(graph, edge.parent_dataset_type_name))
    )


def log_types(graph: PipelineGraph) -> frozenset[str]:
    """Return the names of the dataset types that hold the tasks' logs.

    Parameters
    ----------
    graph
        Resolved pipeline graph.
    """
    outputs = (node.log_output for node in graph.tasks.values())
    return frozenset(output.parent_dataset_type_name for output in outputs if output is not None)


def read_only(graph: PipelineGraph, name: str) -> bool:
    """Return whether no consumer changes a dataset.

    Parameters
    ----------
    graph
        Resolved pipeline graph.
    name
        Name of the dataset type.

    Notes
    -----
    A task class says so of itself by ``inputs_read_only = True``.
    """
    return all(getattr(node.task_class, "inputs_read_only", False) for node in _consumers(graph, name))


def upstream_tasks(graph: PipelineGraph, label: str) -> frozenset[str]:
    """Return the labels of the tasks whose outputs a task reads.

    Parameters
    ----------
    graph
        Pipeline graph, which need not be resolved.
    label
        Label of the task.
    """
    producers = (graph.producer_of(e.parent_dataset_type_name) for e in graph.tasks[label].inputs.values())
    return frozenset(producer.label for producer in producers if producer is not None)


def _consumers(graph: PipelineGraph, name: str) -> list[TaskNode]:
    return [node for node in graph.consumers_of(name) if isinstance(node, TaskNode)]
