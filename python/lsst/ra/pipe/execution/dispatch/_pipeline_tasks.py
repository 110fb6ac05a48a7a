# This file is part of ra_pipe.
#
# Use of this source code is governed by a 3-clause BSD-style
# license that can be found in the LICENSE file.

from __future__ import annotations

__all__ = ("PipelineTasks", "TaskTrace")

import dataclasses

from lsst.pipe.base import Pipeline
from lsst.pipe.base.pipeline_graph import PipelineGraph

from .._graph_parts import detector_labels, exposure_labels, upstream_tasks


@dataclasses.dataclass(frozen=True)
class TaskTrace:
    """How to tell whether a task has run."""

    label: str
    """Label of the task."""

    metadata: str
    """Dataset type that it leaves."""

    on_visit: bool
    """Whether it is defined on a visit, not on an exposure."""

    on_detector: bool
    """Whether it is defined on a detector."""

    upstream: frozenset[str]
    """Labels of the tasks whose outputs it reads."""


@dataclasses.dataclass(frozen=True)
class PipelineTasks:
    """The tasks of a pipeline, in the order of execution."""

    detector_tasks: tuple[TaskTrace, ...]
    """Those that are defined on a detector."""

    exposure_tasks: tuple[TaskTrace, ...]
    """Those that gather an exposure."""

    @classmethod
    def load(cls, uri: str) -> PipelineTasks:
        """Load a pipeline.

        Parameters
        ----------
        uri
            URI of the pipeline.

        Returns
        -------
        tasks
            Its tasks.

        Raises
        ------
        FileNotFoundError
            Raised if there is no such pipeline.
        """
        graph = Pipeline.from_uri(uri).to_graph()
        graph.sort()
        return cls(
            tuple(_trace(graph, label) for label in detector_labels(graph)),
            tuple(_trace(graph, label) for label in exposure_labels(graph)),
        )


def _trace(graph: PipelineGraph, label: str) -> TaskTrace:
    node = graph.tasks[label]
    return TaskTrace(
        label=label,
        metadata=node.metadata_output.parent_dataset_type_name,
        on_visit="visit" in node.raw_dimensions,
        on_detector="detector" in node.raw_dimensions,
        upstream=upstream_tasks(graph, label),
    )
