# This file is part of ra_pipe.
#
# Use of this source code is governed by a 3-clause BSD-style
# license that can be found in the LICENSE file.

"""Which tasks have run on some exposures."""

from __future__ import annotations

__all__ = ("FinishedTasks",)

from collections.abc import Iterable, Sequence

from lsst.daf.butler import Butler, MissingCollectionError, MissingDatasetTypeError
from lsst.pipe.base import QuantumSuccessCaveats

from ._pipeline_tasks import TaskTrace

_NOTHING_FOLLOWS = QuantumSuccessCaveats.NO_WORK | QuantumSuccessCaveats.ANY_OUTPUTS_MISSING
"""Caveats of a task after which the tasks that depend on it may not run."""


class FinishedTasks:
    """The tasks that have run on some exposures, asked once for each task.

    Parameters
    ----------
    butler
        Client of the repository.
    instrument
        Butler ``instrument``.
    exposures
        Butler ``exposure`` values.
    collection
        Collection with the outputs, which need not exist.
    """

    def __init__(self, butler: Butler, *, instrument: str, exposures: Sequence[int], collection: str) -> None:
        self._butler = butler
        self._instrument = instrument
        self._exposures = exposures
        self._collection = collection
        self._visits: dict[int, int] = self._find_visits()
        self._images: dict[str, frozenset[tuple[int, int | None]]] = {}

    def applicable(self, tasks: Iterable[TaskTrace], exposure: int) -> tuple[TaskTrace, ...]:
        """Leave out what does not run on an exposure without a visit.

        Parameters
        ----------
        tasks
            The tasks.
        exposure
            Butler ``exposure``.
        """
        has_visit = exposure in self._visits
        return tuple(task for task in tasks if has_visit or not task.on_visit)

    def missing(self, tasks: Sequence[TaskTrace], exposure: int, detector: int | None) -> tuple[str, ...]:
        """Return the labels of the tasks that should have run and have not.

        Parameters
        ----------
        tasks
            The tasks that apply, in the order of execution.
        exposure
            Butler ``exposure``.
        detector
            Butler ``detector``, `None` for tasks on the whole exposure.
        """
        done = {task.label: task for task in tasks if self._has_run(task, exposure, detector)}
        excused: set[str] = set()
        missing = []
        for task in tasks:
            if task.label in done:
                continue
            # Few images get here, having some outputs: their metadata are read.
            if task.upstream & excused or any(
                self._found_nothing(done[label], exposure, detector) for label in task.upstream & done.keys()
            ):
                excused.add(task.label)
            else:
                missing.append(task.label)
        return tuple(missing)

    def _has_run(self, task: TaskTrace, exposure: int, detector: int | None) -> bool:
        if task.metadata not in self._images:
            self._images[task.metadata] = self._find_images(task)
        number = self._visits[exposure] if task.on_visit else exposure
        return (number, detector) in self._images[task.metadata]

    def _find_visits(self) -> dict[int, int]:
        """Return the visit of each exposure that has one."""
        visits: dict[int, int] = {}
        with self._butler.query() as query:
            x = query.expression_factory
            query = query.where(x.instrument == self._instrument, x.exposure.in_iterable(self._exposures))
            for record in query.dimension_records("visit_definition"):
                visits[record.exposure] = min(record.visit, visits.get(record.exposure, record.visit))
        return visits

    def _find_images(self, task: TaskTrace) -> frozenset[tuple[int, int | None]]:
        """Return the visits (or exposures) and detectors with a task's metadata."""
        main = "visit" if task.on_visit else "exposure"
        numbers = set(self._visits.values()) if task.on_visit else self._exposures
        dimensions = ["instrument", main, *(["detector"] if task.on_detector else [])]
        if not numbers:
            return frozenset()
        try:
            with self._butler.query() as query:
                x = query.expression_factory
                query = query.join_dataset_search(task.metadata, [self._collection])
                is_one = (x.visit if task.on_visit else x.exposure).in_iterable(numbers)
                query = query.where(x.instrument == self._instrument, is_one)
                return frozenset(
                    (int(data_id[main]), int(data_id["detector"]) if task.on_detector else None)
                    for data_id in query.data_ids(dimensions)
                )
        except (MissingCollectionError, MissingDatasetTypeError):
            # Nothing has run yet.
            return frozenset()

    def _found_nothing(self, task: TaskTrace, exposure: int, detector: int | None) -> bool:
        """Tell whether a task that has run left out outputs, on purpose."""
        data_id = {"visit": self._visits[exposure]} if task.on_visit else {"exposure": exposure}
        if detector is not None:
            data_id["detector"] = detector
        metadata = self._butler.get(
            task.metadata, data_id, instrument=self._instrument, collections=[self._collection]
        )
        caveats = metadata.get("quantum.caveats", 0)
        return bool(QuantumSuccessCaveats(caveats) & _NOTHING_FOLLOWS)
