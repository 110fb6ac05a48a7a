# This file is part of ra_pipe.
#
# Use of this source code is governed by a 3-clause BSD-style
# license that can be found in the LICENSE file.

from __future__ import annotations

__all__ = ("QuantumRunner",)

import gc
import logging
import time
import uuid
from collections.abc import Iterable, Mapping, Sequence

from lsst.daf.butler import (
    Butler,
    ButlerConfig,
    DataCoordinate,
    DatasetRef,
    DimensionGroup,
    LimitedButler,
    Quantum,
    QuantumBackedButler,
)
from lsst.daf.butler.datastore.record_data import DatastoreRecordData
from lsst.pipe.base import UnprocessableDataError
from lsst.pipe.base.pipeline_graph import PipelineGraph, TaskNode
from lsst.pipe.base.quantum_graph import PredictedQuantumGraph
from lsst.pipe.base.quantum_graph_builder import QuantumGraphBuilderError
from lsst.pipe.base.single_quantum_executor import SingleQuantumExecutor
from lsst.pipe.base.trivial_quantum_graph_builder import TrivialQuantumGraphBuilder
from lsst.ra.pipe.camera.calibrations import ArrayStore
from lsst.resources import ResourcePathExpression

from ._dataset_cache import DatasetCache, ReadThroughButler
from ._graph_parts import calibration_types, intermediates, read_only_intermediates, subset, upstream_tasks
from ._image_id import ImageId
from ._outcome import ImageReport, QuantumOutcome, QuantumStatus
from ._warm_task_factory import WarmTaskFactory

_LOG = logging.getLogger(__name__)


class QuantumRunner:
    """Runs a pipeline's quanta for one image after another, in this process.

    Parameters
    ----------
    repository
        Root, configuration file or alias of the Butler repository.
    pipeline_graph
        The pipeline, which is resolved here; its dataset types must have been
        registered.
    output_run
        RUN collection for the outputs, which `prepare_output_run` made.
    inputs
        Collections to read from.
    calibration_store
        Where the tasks keep calibration images between quanta, shared with the
        other workers of this machine.  Without one they are read each time.
    cache_bytes
        Memory budget for the other calibrations that this process keeps.

    Notes
    -----
    The tasks of an image write through a `~lsst.daf.butler.QuantumBackedButler`,
    files only; the registry learns of the outputs in one transaction at the
    end, and only of those whose quantum succeeded.  So an image costs one
    registry write, and a failure leaves nothing half-written.
    """

    def __init__(
        self,
        repository: ResourcePathExpression,
        pipeline_graph: PipelineGraph,
        *,
        output_run: str,
        inputs: Sequence[str],
        calibration_store: ArrayStore | None = None,
        cache_bytes: int = 50_000_000,
    ) -> None:
        self._config = ButlerConfig(repository)
        self._butler = Butler.from_config(self._config, writeable=True)
        pipeline_graph.resolve(self._butler.registry)
        self._output_run = output_run
        self._inputs = list(inputs)
        self._calibrations = DatasetCache(cache_bytes)
        self._calibration_store = calibration_store
        per_detector = [
            label for label, node in pipeline_graph.tasks.items() if "detector" in node.dimensions
        ]
        self._pipeline_graph = pipeline_graph
        self._subsets: dict[tuple[str, ...], PipelineGraph] = {}
        self._detector_tasks = self._subset(per_detector)
        self._exposure_tasks = self._subset(set(pipeline_graph.tasks) - set(per_detector))

    def run_detector(self, *, instrument: str, exposure: int, detector: int) -> ImageReport:
        """Run the tasks that are defined on a detector, for one of them.

        Parameters
        ----------
        instrument
            Butler ``instrument``.
        exposure
            Butler ``exposure``.
        detector
            Butler ``detector``.

        Returns
        -------
        report
            Outcome of each quantum.  A task's failure is reported, not raised.
        """
        return self._run(self._detector_tasks, instrument, exposure, detector)

    def run_exposure(self, *, instrument: str, exposure: int) -> ImageReport:
        """Run the tasks that gather the detectors of an exposure.

        Parameters
        ----------
        instrument
            Butler ``instrument``.
        exposure
            Butler ``exposure``.

        Returns
        -------
        report
            Outcome of each quantum.  They use the detectors whose outputs are
            in the output run.
        """
        return self._run(self._exposure_tasks, instrument, exposure, None)

    def _subset(self, labels: Iterable[str]) -> PipelineGraph:
        """Return the pipeline with some of its tasks, made once."""
        key = tuple(sorted(labels))
        if key not in self._subsets:
            self._subsets[key] = subset(self._pipeline_graph, key, self._butler.registry)
        return self._subsets[key]

    def _run(self, graph: PipelineGraph, instrument: str, exposure: int, detector: int | None) -> ImageReport:
        begin = time.monotonic()
        image = ImageId.find(self._butler, instrument=instrument, exposure=exposure, detector=detector)
        done, remaining = self._triage(graph, image)
        if remaining:
            done += self._run_tasks(self._subset(remaining), image)
            # What reads and writes images leaves cycles of references to them,
            # gigabytes before the collector would notice.
            gc.collect()
        order = {label: position for position, label in enumerate(graph.tasks)}
        done.sort(key=lambda outcome: order[outcome.task])
        overhead = time.monotonic() - begin - sum(outcome.seconds for outcome in done)
        return ImageReport(instrument, exposure, detector, tuple(done), overhead)

    def _triage(self, graph: PipelineGraph, image: ImageId) -> tuple[list[QuantumOutcome], list[str]]:
        """Tell the tasks that need not or cannot run from those to run."""
        done = []
        remaining = []
        for label, node in graph.tasks.items():
            if image.visit is None and "visit" in node.dimensions:
                reason = f"exposure {image.exposure} has no visit: its header has no pointing"
                done.append(QuantumOutcome(label, QuantumStatus.NOT_APPLICABLE, reason=reason))
            elif self._has_run(node, image):
                done.append(QuantumOutcome(label, QuantumStatus.EXISTED))
            else:
                remaining.append(label)
        return done, remaining

    def _has_run(self, node: TaskNode, image: ImageId) -> bool:
        data_id = image.data_id.subset(node.dimensions)
        dataset_type = node.metadata_output.dataset_type_name
        return self._butler.find_dataset(dataset_type, data_id, collections=[self._output_run]) is not None

    def _run_tasks(self, graph: PipelineGraph, image: ImageId) -> list[QuantumOutcome]:
        try:
            quantum_graph = self._build_quantum_graph(graph, image)
        except (LookupError, FileNotFoundError, QuantumGraphBuilderError) as err:
            return _all_blocked(graph, f"{image}: {err}")
        quanta = quantum_graph.build_execution_quanta()
        butler = self._make_quantum_butler(quantum_graph, quanta)
        try:
            outcomes, written = self._execute_all(quantum_graph, quanta, butler, image)
            self._butler.transfer_from(butler, written, transfer="auto", skip_missing=True)
        finally:
            butler.close()
        return outcomes

    def _execute_all(
        self,
        quantum_graph: PredictedQuantumGraph,
        quanta: Mapping[uuid.UUID, Quantum],
        butler: LimitedButler,
        image: ImageId,
    ) -> tuple[list[QuantumOutcome], list[DatasetRef]]:
        """Execute the quanta in order; return outcomes and what to register.

        The outputs of a quantum that failed are removed.
        """
        graph = quantum_graph.pipeline_graph
        caching = ReadThroughButler(
            butler,
            calibrations=self._calibrations,
            calibration_types=calibration_types(graph),
            intermediates=intermediates(graph),
            shared_intermediates=read_only_intermediates(graph),
        )
        factory = WarmTaskFactory(self._calibration_store)
        executor = SingleQuantumExecutor(
            butler=caching, task_factory=factory, assume_no_existing_outputs=True
        )
        by_task = {
            label: next(iter(ids.values())) for label, ids in quantum_graph.quanta_by_task.items() if ids
        }
        outcomes: dict[str, QuantumOutcome] = {}
        written: list[DatasetRef] = []
        for label, node in graph.tasks.items():
            causes = [task for task in upstream_tasks(graph, label) if not outcomes[task].produced]
            if causes:
                outcomes[label] = QuantumOutcome(
                    label, QuantumStatus.BLOCKED, reason=f"{image}: {causes[0]} did not succeed"
                )
                continue
            if label not in by_task:
                reason = f"{image}: no dataset {', '.join(self._missing_inputs(graph, label, image))}"
                outcomes[label] = QuantumOutcome(label, QuantumStatus.FAILED, reason=reason)
                continue
            quantum = quanta[by_task[label]]
            outcomes[label] = _execute(executor, factory, node, quantum, by_task[label], image)
            refs = [ref for refs in quantum.outputs.values() for ref in refs]
            if outcomes[label].status is QuantumStatus.FAILED:
                caching.pruneDatasets(refs, disassociate=False, unstore=True, purge=False)
            else:
                written += [ref for ref, stored in caching.stored_many(refs).items() if stored]
        return list(outcomes.values()), written

    def _missing_inputs(self, graph: PipelineGraph, label: str, image: ImageId) -> list[str]:
        """Return the names of a task's overall inputs that do not exist."""
        names = [edge.parent_dataset_type_name for edge in graph.tasks[label].inputs.values()]
        return [
            name
            for name in names
            if graph.producer_of(name) is None
            and self._butler.find_dataset(
                name,
                image.data_id.subset(graph.dataset_types[name].dimensions),
                collections=[self._output_run, *self._inputs],
            )
            is None
        ]

    def _build_quantum_graph(self, graph: PipelineGraph, image: ImageId) -> PredictedQuantumGraph:
        inputs: dict[str, dict[str, list[DatasetRef]]] = {}
        data_ids: dict[DimensionGroup, DataCoordinate] = {}
        for label, node in graph.tasks.items():
            data_ids[node.dimensions] = image.data_id.subset(node.dimensions)
            for edge in [*node.iter_all_inputs(), *node.iter_all_outputs()]:
                dimensions = graph.dataset_types[edge.parent_dataset_type_name].dimensions
                if dimensions <= image.data_id.dimensions:
                    data_ids[dimensions] = image.data_id.subset(dimensions)
            if image.detector is None:
                for edge in node.inputs.values():
                    dataset_type = graph.dataset_types[edge.parent_dataset_type_name]
                    if "detector" not in dataset_type.dimensions:
                        continue
                    refs = self._find_detectors(dataset_type.name, image)
                    inputs.setdefault(label, {})[edge.connection_name] = refs
                    data_ids[dataset_type.dimensions] = refs[0].dataId
        builder = TrivialQuantumGraphBuilder(
            graph,
            self._butler,
            data_ids=data_ids,
            input_refs=inputs,
            input_collections=[self._output_run, *self._inputs],
            output_run=self._output_run,
        )
        return builder.finish(attach_datastore_records=True).assemble()

    def _find_detectors(self, dataset_type: str, image: ImageId) -> list[DatasetRef]:
        refs = self._butler.query_datasets(
            dataset_type,
            collections=[self._output_run, *self._inputs],
            find_first=True,
            data_id=image.data_id,
            with_dimension_records=True,
            explain=False,
        )
        if not refs:
            raise LookupError(f"no detector has {dataset_type} in {self._output_run}")
        return sorted(refs, key=lambda ref: ref.dataId["detector"])

    def _make_quantum_butler(
        self, quantum_graph: PredictedQuantumGraph, quanta: Mapping[uuid.UUID, Quantum]
    ) -> QuantumBackedButler:
        inputs: set[uuid.UUID] = set()
        outputs: set[uuid.UUID] = set()
        for quantum in quanta.values():
            inputs.update(ref.id for refs in quantum.inputs.values() for ref in refs)
            inputs.update(ref.id for ref in quantum.initInputs.values())
            outputs.update(ref.id for refs in quantum.outputs.values() for ref in refs)
        records = DatastoreRecordData.merge_mappings(
            *(quantum.datastore_records for quantum in quanta.values() if quantum.datastore_records)
        )
        return QuantumBackedButler.from_predicted(
            config=self._config,
            predicted_inputs=inputs - outputs,
            predicted_outputs=outputs,
            dimensions=self._butler.dimensions,
            datastore_records=records,
            dataset_types={
                node.name: node.dataset_type for node in quantum_graph.pipeline_graph.dataset_types.values()
            },
        )


def _execute(
    executor: SingleQuantumExecutor,
    factory: WarmTaskFactory,
    node: TaskNode,
    quantum: Quantum,
    quantum_id: uuid.UUID,
    image: ImageId,
) -> QuantumOutcome:
    """Execute one quantum and tell what became of it.

    Whatever a task raises is the outcome of its quantum: no exception of one
    image may stop the others.
    """
    begin = time.monotonic()
    try:
        executor.execute(node, quantum, quantum_id)
    except Exception as err:
        _LOG.debug("%s failed for %s.", node.label, image, exc_info=True)
        reason = f"{image}: {type(err).__name__}: {err}"
        return QuantumOutcome(node.label, QuantumStatus.FAILED, time.monotonic() - begin, reason)
    finally:
        early_exit = factory.take_exit()
    seconds = time.monotonic() - begin
    if early_exit is None:
        return QuantumOutcome(node.label, QuantumStatus.SUCCEEDED, seconds)
    unusable = isinstance(early_exit, UnprocessableDataError)
    status = QuantumStatus.FAILED if unusable else QuantumStatus.NO_WORK
    return QuantumOutcome(node.label, status, seconds, f"{image}: {type(early_exit).__name__}: {early_exit}")


def _all_blocked(graph: PipelineGraph, reason: str) -> list[QuantumOutcome]:
    """Outcomes of an image for which no quantum graph could be built: the
    first task failed, the others wait for it.
    """
    first, *others = graph.tasks
    return [
        QuantumOutcome(first, QuantumStatus.FAILED, reason=reason),
        *(QuantumOutcome(label, QuantumStatus.BLOCKED, reason=reason) for label in others),
    ]
