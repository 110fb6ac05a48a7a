# This file is part of ra_pipe.
#
# Use of this source code is governed by a 3-clause BSD-style
# license that can be found in the LICENSE file.

from __future__ import annotations

__all__ = ("InputFinder", "MissingInputError")

from collections.abc import Iterable, Mapping, Sequence

from lsst.daf.butler import (
    Butler,
    CollectionType,
    DatasetIdGenEnum,
    DatasetRef,
    DatasetType,
    MissingDatasetTypeError,
)

from ._calibration_lookup import CalibrationLookup
from ._image_id import ImageId
from ._task_plan import InputSource, PlannedInput, TaskPlan


class MissingInputError(LookupError):
    """An input of the whole pipeline, as a rule the raw, is not there."""


class InputFinder:
    """Finds the inputs of quanta in the repository.

    Parameters
    ----------
    butler
        Client of the repository.
    inputs
        Collections to search.

    Notes
    -----
    Until `refresh` it is remembered which of the input collections is the
    first one to have datasets of a type, and of the calibrations what
    `CalibrationLookup` says.
    """

    def __init__(self, butler: Butler, inputs: Sequence[str]) -> None:
        self._butler = butler
        self._inputs = list(inputs)
        self._first_runs: dict[DatasetType, str | None] = {}
        self.calibrations = CalibrationLookup(butler, inputs)

    def refresh(self) -> None:
        """Look again at what is remembered."""
        for dataset_type in self._first_runs:
            self._first_runs[dataset_type] = self._query_first_run(dataset_type)
        self.calibrations.refresh()

    def predict(self, plans: Iterable[TaskPlan], image: ImageId) -> dict[str, DatasetRef]:
        """Predict the inputs that no task writes, as a rule the raw.

        Parameters
        ----------
        plans
            The tasks.
        image
            The image.

        Returns
        -------
        refs
            References by dataset type, if the identifiers follow from type,
            run and data ID, as those of raws do.  If the repository has a
            dataset with such an identifier, it is the one that a search in
            the input collections would give.
        """
        predicted = {}
        for planned in (one for plan in plans for one in plan.inputs):
            if planned.source is not InputSource.OVERALL or planned.is_produced:
                continue
            if planned.dataset_type not in self._first_runs:
                self._first_runs[planned.dataset_type] = self._query_first_run(planned.dataset_type)
            if (run := self._first_runs[planned.dataset_type]) is not None:
                predicted[planned.name] = DatasetRef(
                    planned.dataset_type,
                    image.data_id.subset(planned.dataset_type.dimensions),
                    run=run,
                    id_generation_mode=DatasetIdGenEnum.DATAID_TYPE_RUN,
                )
        return predicted

    def find(
        self,
        plan: TaskPlan,
        image: ImageId,
        *,
        known: Mapping[str, DatasetRef],
        outputs: Mapping[str, DatasetRef],
        detector_runs: Sequence[str],
    ) -> dict[str, Sequence[DatasetRef]]:
        """Find all inputs of a task for an image.

        Parameters
        ----------
        plan
            The task.
        image
            The image.
        known
            Outputs of the other tasks of this image, and overall inputs that
            were found already, by dataset type.
        outputs
            Outputs of this task, by dataset type.
        detector_runs
            Collections with the outputs of the detectors.

        Returns
        -------
        refs
            References by dataset type; the calibrations that do not exist
            have none.

        Raises
        ------
        MissingInputError
            Raised if an input is not in the repository that no task writes.
        LookupError
            Raised if no detector has what is to be gathered.
        lsst.daf.butler.CalibrationLookupError
            Raised if several calibrations are valid.
        """
        found: dict[str, Sequence[DatasetRef]] = {}
        for planned in plan.inputs:
            if planned.name in found or planned.source is InputSource.PREREQUISITE:
                continue
            if planned.name in known:
                found[planned.name] = [known[planned.name]]
                continue
            match planned.source:
                case InputSource.GATHERED:
                    found[planned.name] = self._gather(planned, image, detector_runs)
                case InputSource.OVERALL:
                    found[planned.name] = self._find_overall(planned, image, detector_runs)
                case InputSource.CALIBRATION:
                    found[planned.name] = self._find_calibration(planned, plan, image)
        found |= self._find_prerequisites(plan, image, found, outputs)
        return found

    def _query_first_run(self, dataset_type: DatasetType) -> str | None:
        """Return the first collection with datasets of a type, if it is a RUN."""
        infos = self._butler.collections.query_info(
            self._inputs, flatten_chains=True, include_summary=True, summary_datasets=[dataset_type]
        )
        first = next((info for info in infos if dataset_type.name in (info.dataset_types or ())), None)
        return first.name if first is not None and first.type is CollectionType.RUN else None

    def _gather(
        self, planned: PlannedInput, image: ImageId, detector_runs: Sequence[str]
    ) -> Sequence[DatasetRef]:
        collections = [*detector_runs, *(() if planned.is_produced else self._inputs)]
        try:
            refs = self._butler.query_datasets(
                planned.dataset_type,
                collections=collections,
                find_first=True,
                data_id=image.data_id,
                with_dimension_records=True,
                limit=None,
                explain=False,
            )
        except MissingDatasetTypeError:
            refs = []
        if len(refs) < planned.minimum:
            raise LookupError(f"no detector has {planned.name} in {', '.join(collections)}")
        return refs

    def _find_overall(
        self, planned: PlannedInput, image: ImageId, detector_runs: Sequence[str]
    ) -> Sequence[DatasetRef]:
        collections = [*(detector_runs if planned.is_produced else ()), *self._inputs]
        data_id = image.data_id.subset(planned.dataset_type.dimensions)
        try:
            ref = self._butler.find_dataset(planned.dataset_type, data_id, collections=collections)
        except MissingDatasetTypeError:
            ref = None
        if ref is None and planned.minimum > 0:
            raise MissingInputError(f"no dataset {planned.name} in {', '.join(collections)}")
        return [] if ref is None else [ref]

    def _find_calibration(self, planned: PlannedInput, plan: TaskPlan, image: ImageId) -> list[DatasetRef]:
        timespan = image.data_id.subset(plan.node.dimensions).timespan
        if timespan is None or (timespan.begin is None and timespan.end is None):
            raise LookupError(f"{image} has no time at which {planned.name} must be valid")
        ref = self.calibrations.find(planned.dataset_type, image.data_id, timespan)
        return [] if ref is None else [ref]

    def _find_prerequisites(
        self,
        plan: TaskPlan,
        image: ImageId,
        found: Mapping[str, Sequence[DatasetRef]],
        outputs: Mapping[str, DatasetRef],
    ) -> dict[str, Sequence[DatasetRef]]:
        """Find what pipe_base's own rules must find, within the bounds that
        the task's other datasets set.
        """
        if not plan.prerequisites.finders:
            return {}
        data_id = image.data_id.subset(plan.node.dimensions)
        sky = plan.prerequisites.bounds.make_skypix_bounds_builder(data_id)
        times = plan.prerequisites.bounds.make_timespan_builder(data_id)
        regular = {planned.name for planned in plan.inputs if not planned.edge.is_prerequisite}
        refs = [*outputs.values(), *(ref for name in regular for ref in found[name])]
        for ref in refs:
            sky.handle_dataset(ref.datasetType.name, ref.dataId)
            times.handle_dataset(ref.datasetType.name, ref.dataId)
        bounds, timespan = sky.finish(), times.finish()
        return {
            finder.dataset_type_node.name: finder.find(self._butler, self._inputs, data_id, bounds, timespan)
            for finder in plan.prerequisites.finders.values()
        }
