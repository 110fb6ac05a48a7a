# This file is part of ra_pipe.
#
# Use of this source code is governed by a 3-clause BSD-style
# license that can be found in the LICENSE file.

from __future__ import annotations

__all__ = ("WarmTaskFactory",)

import time
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Any

from lsst.daf.butler import Butler, DatasetRef, DatasetType, LimitedButler
from lsst.pipe.base import NoWorkFound, PipelineTask, TaskFactory
from lsst.pipe.base.pipeline_graph import PipelineGraph, TaskInitNode, TaskNode
from lsst.ra.pipe.camera.calibrations import ArrayStore


class WarmTaskFactory(TaskFactory):
    """Hands out tasks that were made once, and watches how they end.

    Parameters
    ----------
    graph
        Resolved pipeline graph.
    butler
        Client that init-inputs are read with.
    inputs
        Collections with the init-inputs that no task of the pipeline writes.
    calibration_store
        Given to the tasks that keep calibrations in a form of their own: those
        with an attribute ``calibration_store``.

    Notes
    -----
    A task must not carry anything from one quantum to the next but what it
    may cache.  Its metadata are emptied each time.

    The executor takes `~lsst.pipe.base.NoWorkFound` for a success and keeps
    its message in the log only, but observers must be told why an image gave
    nothing.
    """

    def __init__(
        self,
        graph: PipelineGraph,
        butler: Butler,
        *,
        inputs: Sequence[str],
        calibration_store: ArrayStore | None = None,
    ) -> None:
        self._graph = graph
        self._butler = butler
        self._inputs = list(inputs)
        self._calibration_store = calibration_store
        self._tasks: dict[str, PipelineTask] = {}
        self._last_exit: NoWorkFound | None = None
        self._seconds = 0.0

    def construct(self, labels: Collection[str]) -> Mapping[str, PipelineTask]:
        """Make tasks that were not made yet.

        Parameters
        ----------
        labels
            Labels of the tasks.

        Returns
        -------
        tasks
            All tasks that there are by now, by label.

        Raises
        ------
        LookupError
            Raised if an init-input is missing.
        """
        missing = self._with_init_producers(label for label in labels if label not in self._tasks)
        if missing:
            made = self._graph.instantiate_tasks(self._get_init_input, labels=missing)
            order = [label for label in self._graph.tasks if label in missing]
            for label, task in zip(order, made, strict=True):
                if label not in self._tasks:
                    self._tasks[label] = self._prepare(task)
        return self._tasks

    def makeTask(
        self, task_node: TaskNode, /, butler: LimitedButler, initInputRefs: Iterable[DatasetRef] | None
    ) -> PipelineTask:
        """Return a task, with empty metadata.

        Parameters
        ----------
        task_node
            The task in its pipeline.
        butler
            Not used: the init-inputs were read when the task was made.
        initInputRefs
            Not used.

        Returns
        -------
        task
            The task.
        """
        task = self.construct([task_node.label])[task_node.label]
        task.emptyMetadata()
        return task

    def take_result(self) -> tuple[float, NoWorkFound | None]:
        """Tell how the last quantum ended.

        Returns
        -------
        seconds
            Wall-clock time (s) of the task's ``runQuantum``; 0 if it was not
            called.
        exit
            The task's early exit, or `None`.
        """
        result = self._seconds, self._last_exit
        self._seconds, self._last_exit = 0.0, None
        return result

    def _with_init_producers(self, labels: Iterable[str]) -> set[str]:
        """Add the tasks whose init-outputs these tasks read."""
        found: set[str] = set()
        pending = list(labels)
        while pending:
            label = pending.pop()
            found.add(label)
            for edge in self._graph.tasks[label].init.inputs.values():
                producer = self._graph.producer_of(edge.parent_dataset_type_name)
                if isinstance(producer, TaskInitNode) and producer.label not in found:
                    pending.append(producer.label)
        return found

    def _get_init_input(self, dataset_type: DatasetType) -> Any:
        return self._butler.get(dataset_type, collections=self._inputs)

    def _prepare(self, task: PipelineTask) -> PipelineTask:
        if hasattr(task, "calibration_store"):
            task.calibration_store = self._calibration_store
        task.runQuantum = self._watch(task.runQuantum)  # type: ignore[method-assign]
        return task

    def _watch(self, run_quantum: Callable[..., Any]) -> Callable[..., Any]:
        def watched(*args: Any, **kwargs: Any) -> Any:
            begin = time.perf_counter()
            try:
                return run_quantum(*args, **kwargs)
            except NoWorkFound as err:
                self._last_exit = err
                raise
            finally:
                self._seconds = time.perf_counter() - begin

        return watched
