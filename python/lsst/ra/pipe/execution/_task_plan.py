# This file is part of ra_pipe.
#
# Use of this source code is governed by a 3-clause BSD-style
# license that can be found in the LICENSE file.

"""What of a quantum is the same for all images, made once."""

from __future__ import annotations

__all__ = ("InputSource", "PlannedInput", "TaskPlan")

import dataclasses
import enum
from collections.abc import Collection, Mapping, Sequence

from lsst.daf.butler import (
    DatasetIdGenEnum,
    DatasetRef,
    DatasetType,
    NamedKeyDict,
    Quantum,
)
from lsst.pipe.base import PipelineTaskConnections
from lsst.pipe.base.connections import AdjustQuantumHelper
from lsst.pipe.base.pipeline_graph import DatasetTypeNode, PipelineGraph, ReadEdge, TaskNode
from lsst.pipe.base.prerequisite_helpers import PrerequisiteInfo

from ._graph_parts import upstream_tasks
from ._image_id import ImageId


class InputSource(enum.Enum):
    """Where an input of a quantum comes from."""

    HANDED_ON = enum.auto()
    """Another task that runs on the same image."""

    GATHERED = enum.auto()
    """The detectors of the exposure."""

    OVERALL = enum.auto()
    """The input collections."""

    CALIBRATION = enum.auto()
    """The input collections, by the time of the exposure."""

    PREREQUISITE = enum.auto()
    """The input collections, by pipe_base's rules for reference catalogs and
    the like, or by a function of the task's own."""


@dataclasses.dataclass(frozen=True)
class PlannedInput:
    """One input connection of a task."""

    edge: ReadEdge
    """The connection in the pipeline graph."""

    dataset_type: DatasetType
    """Repository's definition of the dataset type, never a component."""

    source: InputSource
    """Where the datasets come from."""

    minimum: int
    """How many there must be."""

    is_produced: bool
    """Whether another task of the pipeline, for whatever image, writes it."""

    @property
    def name(self) -> str:
        """Name of the dataset type (`str`)."""
        return self.dataset_type.name


class TaskPlan:
    """Makes the quanta of one task, image by image.

    Parameters
    ----------
    graph
        Resolved pipeline graph.
    label
        Label of the task.
    companions
        Labels of the tasks that run on the same image.

    Raises
    ------
    ValueError
        Raised if the task needs what an image cannot give: dimensions such as
        ``tract``, or an adjustment of all its quanta together.
    """

    def __init__(self, graph: PipelineGraph, label: str, companions: Collection[str]) -> None:
        self.node: TaskNode = graph.tasks[label]
        self.upstream = upstream_tasks(graph, label) & set(companions)
        self.prerequisites = PrerequisiteInfo(self.node, graph)
        self._check_hooks()
        self.inputs = tuple(self._plan_input(graph, edge, companions) for edge in self.node.iter_all_inputs())
        self._drop_calibration_finders()
        self._outputs = tuple(
            (edge, graph.dataset_types[edge.parent_dataset_type_name].dataset_type)
            for edge in self.node.iter_all_outputs()
        )
        for _, dataset_type in self._outputs:
            self._check_dimensions(dataset_type)

    @property
    def label(self) -> str:
        """Label of the task (`str`)."""
        return self.node.label

    @property
    def output_types(self) -> tuple[DatasetType, ...]:
        """Repository's definitions of all outputs, the metadata included."""
        return tuple(dataset_type for _, dataset_type in self._outputs)

    def output_refs(self, image: ImageId, run: str) -> dict[str, DatasetRef]:
        """Predict the outputs for an image.

        Parameters
        ----------
        image
            The image.
        run
            RUN collection for the outputs.

        Returns
        -------
        refs
            References by dataset type.  Their identifiers follow from type,
            run and data ID, so that all processes predict the same.
        """
        return {
            dataset_type.name: DatasetRef(
                dataset_type,
                image.data_id.subset(dataset_type.dimensions),
                run=run,
                id_generation_mode=DatasetIdGenEnum.DATAID_TYPE_RUN,
            )
            for _, dataset_type in self._outputs
        }

    def make_quantum(
        self, image: ImageId, inputs: Mapping[str, Sequence[DatasetRef]], outputs: Mapping[str, DatasetRef]
    ) -> Quantum:
        """Make the quantum for an image.

        Parameters
        ----------
        image
            The image.
        inputs
            References by dataset type.
        outputs
            What `output_refs` returned.

        Returns
        -------
        quantum
            The quantum, as the task's ``adjustQuantum`` left it.

        Raises
        ------
        lsst.pipe.base.NoWorkFound
            Raised if the task has nothing to do for this image.
        FileNotFoundError
            Raised if a prerequisite input is missing.
        """
        adapted_inputs = NamedKeyDict[DatasetType, list[DatasetRef]]()
        for planned in self.inputs:
            dataset_type = planned.edge.adapt_dataset_type(planned.dataset_type)
            if dataset_type.name not in adapted_inputs.names:
                refs = sorted(set(inputs[planned.name]))
                adapted_inputs[dataset_type] = [planned.edge.adapt_dataset_ref(ref) for ref in refs]
        adapted_outputs = NamedKeyDict[DatasetType, list[DatasetRef]]()
        for edge, dataset_type in self._outputs:
            ref = edge.adapt_dataset_ref(outputs[dataset_type.name])
            adapted_outputs[edge.adapt_dataset_type(dataset_type)] = [ref]
        data_id = image.data_id.subset(self.node.dimensions)
        helper = AdjustQuantumHelper(adapted_inputs, adapted_outputs)
        helper.adjust_in_place(self.node.get_connections(), self.label, data_id)
        return Quantum(
            taskName=self.node.task_class_name,
            taskClass=self.node.task_class,
            dataId=data_id,
            inputs=helper.inputs,
            outputs=helper.outputs,
        )

    def _check_hooks(self) -> None:
        connections = type(self.node.get_connections())
        if connections.adjust_all_quanta is not PipelineTaskConnections.adjust_all_quanta:
            raise ValueError(
                f"Task {self.label} cannot run image by image: {connections.__name__} overrides "
                "adjust_all_quanta, which needs all quanta together."
            )

    def _check_dimensions(self, dataset_type: DatasetType) -> None:
        known = dataset_type.dimensions.universe.conform(["exposure", "visit", "detector"])
        unknown = dataset_type.dimensions.names - known.names
        if "detector" not in self.node.dimensions and "detector" in dataset_type.dimensions:
            unknown |= {"detector"}
        if unknown:
            raise ValueError(
                f"Task {self.label} cannot run image by image: dataset type {dataset_type.name} has "
                f"dimensions {', '.join(sorted(unknown))}, which an image does not tell."
            )

    def _plan_input(self, graph: PipelineGraph, edge: ReadEdge, companions: Collection[str]) -> PlannedInput:
        node = graph.dataset_types[edge.parent_dataset_type_name]
        producer = graph.producer_of(node.name)
        source = self._choose_source(node, edge, is_handed_on=producer and producer.label in companions)
        if source in (InputSource.HANDED_ON, InputSource.OVERALL):
            self._check_dimensions(node.dataset_type)
        connections = self.node.get_connections()
        minimum = getattr(connections, edge.connection_name).minimum
        return PlannedInput(edge, node.dataset_type, source, minimum, producer is not None)

    def _choose_source(self, node: DatasetTypeNode, edge: ReadEdge, *, is_handed_on: object) -> InputSource:
        if edge.is_prerequisite:
            finder = self.prerequisites.finders[edge.connection_name]
            is_plain = (
                finder.lookup_function is None
                and finder.dataset_has_timespan
                and node.is_calibration
                and node.dimensions <= finder.constraint_dimensions
                and set(node.dimensions.names) <= {"instrument", "detector", "physical_filter", "band"}
                and not self.prerequisites.bounds.temporal_connections
            )
            return InputSource.CALIBRATION if is_plain else InputSource.PREREQUISITE
        if is_handed_on:
            return InputSource.HANDED_ON
        if "detector" in node.dimensions and "detector" not in self.node.dimensions:
            return InputSource.GATHERED
        return InputSource.OVERALL

    def _drop_calibration_finders(self) -> None:
        """Leave pipe_base's finders what they are to find."""
        for planned in self.inputs:
            if planned.source is InputSource.CALIBRATION:
                del self.prerequisites.finders[planned.edge.connection_name]
        self.prerequisites.update_bounds()
