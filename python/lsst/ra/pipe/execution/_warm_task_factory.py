# This file is part of ra_pipe.
#
# Use of this source code is governed by a 3-clause BSD-style
# license that can be found in the LICENSE file.


from __future__ import annotations

__all__ = ("WarmTaskFactory",)

from collections.abc import Callable, Iterable
from typing import Any

from lsst.daf.butler import DatasetRef, LimitedButler
from lsst.pipe.base import NoWorkFound, PipelineTask, TaskFactory
from lsst.pipe.base.pipeline_graph import TaskNode
from lsst.ra.pipe.camera.calibrations import ArrayStore


class WarmTaskFactory(TaskFactory):
    """Makes tasks that share calibrations, and remembers their early exits.

    Parameters
    ----------
    calibration_store
        Given to the tasks that keep calibrations in a form of their own: those
        with an attribute ``calibration_store``.

    Notes
    -----
    The executor takes `~lsst.pipe.base.NoWorkFound` for a success and keeps
    its message in the log only, but observers must be told why an image gave
    nothing.
    """

    def __init__(self, calibration_store: ArrayStore | None = None) -> None:
        self._last_exit: NoWorkFound | None = None
        self._calibration_store = calibration_store
        self._task: PipelineTask | None = None

    def makeTask(
        self, task_node: TaskNode, /, butler: LimitedButler, initInputRefs: Iterable[DatasetRef] | None
    ) -> PipelineTask:
        """Make a task.

        Parameters
        ----------
        task_node
            The task in its pipeline.
        butler
            Butler to read its init-inputs from.
        initInputRefs
            References of those.

        Returns
        -------
        task
            The task.
        """
        task = super().makeTask(task_node, butler, initInputRefs)
        if hasattr(task, "calibration_store"):
            task.calibration_store = self._calibration_store
        task.runQuantum = self._watch(task.runQuantum)  # type: ignore[method-assign]
        self._task = task
        return task

    def take_exit(self) -> NoWorkFound | None:
        """Let the last task go, and tell how it ended.

        Returns
        -------
        exit
            Its early exit, or `None`.
        """
        if self._task is not None:
            # A cycle of references would keep the task's images in memory.
            del self._task.runQuantum
        last_exit, self._last_exit, self._task = self._last_exit, None, None
        return last_exit

    def _watch(self, run_quantum: Callable[..., Any]) -> Callable[..., Any]:
        def watched(*args: Any, **kwargs: Any) -> Any:
            try:
                return run_quantum(*args, **kwargs)
            except NoWorkFound as err:
                self._last_exit = err
                raise

        return watched
