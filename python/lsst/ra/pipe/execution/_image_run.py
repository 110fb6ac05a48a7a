# This file is part of ra_pipe.
#
# Use of this source code is governed by a 3-clause BSD-style
# license that can be found in the LICENSE file.

from __future__ import annotations

__all__ = ("ImageRun", "Stage")

import dataclasses
import logging
import traceback
import uuid
from collections.abc import Mapping, Sequence, Set
from typing import Any

from lsst.daf.butler import Butler, DatasetId, DatasetRef, Quantum
from lsst.pipe.base import NoWorkFound, UnprocessableDataError
from lsst.pipe.base.pipeline_graph import PipelineGraph
from lsst.pipe.base.single_quantum_executor import SingleQuantumExecutor

from ._graph_parts import handed_on, read_only
from ._image_butler import ImageButler
from ._image_id import ImageId
from ._input_finder import InputFinder, MissingInputError
from ._outcome import QuantumOutcome, QuantumStatus
from ._step_clock import StepClock
from ._task_plan import InputSource, TaskPlan
from ._warm_task_factory import WarmTaskFactory

_LOG = logging.getLogger(__name__)


class Stage:
    """Tasks that run on the same image: those of a detector, or those that
    gather an exposure.

    Parameters
    ----------
    graph
        Resolved pipeline graph.
    labels
        Labels of the tasks, in the order of execution.
    unwritten
        Names of the dataset types that are not written.
    publish
        Names of the dataset types to publish.
    """

    def __init__(
        self, graph: PipelineGraph, labels: Sequence[str], *, unwritten: Set[str], publish: Set[str]
    ) -> None:
        self.plans = {label: TaskPlan(graph, label, labels) for label in labels}
        self.output_types = frozenset(one.name for plan in self.plans.values() for one in plan.output_types)
        self.unwritten = unwritten & self.output_types
        self.publish = publish & self.output_types
        handed = handed_on(graph, labels)
        self.kept = handed | self.publish
        self.shared = frozenset(name for name in self.kept if read_only(graph, name))


@dataclasses.dataclass
class ImageRun:
    """One run of a stage's tasks on an image."""

    stage: Stage
    """The tasks."""

    image: ImageId
    """The image."""

    output_run: str
    """RUN collection for the outputs."""

    detector_runs: Sequence[str]
    """Collections with the detectors' outputs."""

    reader: Butler
    """Client of the repository, to read with."""

    finder: InputFinder
    """Finds the inputs."""

    clock: StepClock
    """Tells where the time goes."""

    outcomes: dict[str, QuantumOutcome] = dataclasses.field(init=False, default_factory=dict)
    """What became of the quanta so far, by label."""

    detectors: set[int] = dataclasses.field(init=False, default_factory=set)
    """Detectors whose outputs were gathered."""

    refs: Mapping[str, Mapping[str, DatasetRef]] = dataclasses.field(init=False)
    """Outputs by label and dataset type."""

    existing: Set[DatasetId] = dataclasses.field(init=False)
    """Identifiers of the outputs that the repository has already."""

    overall: Mapping[str, DatasetRef] = dataclasses.field(init=False)
    """Inputs that were found already, by dataset type."""

    def __post_init__(self) -> None:
        self.refs = {
            label: plan.output_refs(self.image, self.output_run)
            for label, plan in self.stage.plans.items()
            if not self._lacks_visit(plan)
        }
        predicted = self.finder.predict((self.stage.plans[label] for label in self.refs), self.image)
        ids = {ref.id for refs in self.refs.values() for ref in refs.values()}
        wanted = ids | {ref.id for ref in predicted.values()}
        found = {ref.id for ref in self.reader.get_many_datasets(wanted)}
        self.existing = frozenset(ids & found)
        self.overall = {name: ref for name, ref in predicted.items() if ref.id in found}

    def triage(self) -> list[str]:
        """Tell the tasks that need not or cannot run from those to run.

        Returns
        -------
        labels
            The tasks to run, in order.  Among them are those that have run,
            if another one needs of them what was not written.
        """
        for label, plan in self.stage.plans.items():
            if label not in self.refs:
                reason = f"exposure {self.image.exposure} has no visit: its header has no pointing"
                self.outcomes[label] = QuantumOutcome(label, QuantumStatus.NOT_APPLICABLE, reason=reason)
            elif self.refs[label][plan.node.metadata_output.dataset_type_name].id in self.existing:
                self.outcomes[label] = QuantumOutcome(label, QuantumStatus.EXISTED)
        wanted = {label for label in self.stage.plans if label not in self.outcomes}
        for label in reversed(self.stage.plans):
            if label in wanted:
                wanted |= self._producers_of_unwritten(label)
        return [label for label in self.stage.plans if label in wanted]

    def execute(self, label: str, *, butler: ImageButler, factory: WarmTaskFactory) -> None:
        """Run one task, and note its outcome.

        Parameters
        ----------
        label
            Label of the task.
        butler
            What it reads and writes with.
        factory
            Has the task.
        """
        repeated = self.outcomes.get(label)
        outcome = self._find_cause(label)
        if outcome is None:
            made = self._make_quantum(label, butler)
            outcome = (
                made if isinstance(made, QuantumOutcome) else self._execute(made, label, butler, factory)
            )
        if outcome.status in (QuantumStatus.FAILED, QuantumStatus.MISSING_INPUT):
            butler.pruneDatasets(self.refs[label].values(), disassociate=False, unstore=True)
        if repeated is not None and outcome.status in (QuantumStatus.SUCCEEDED, QuantumStatus.NO_WORK):
            outcome = dataclasses.replace(repeated, seconds=outcome.seconds)
        self.outcomes[label] = outcome

    def publish(self, butler: ImageButler | None) -> dict[str, Any]:
        """Collect the content of the datasets to publish.

        Parameters
        ----------
        butler
            What the tasks wrote with, or `None` if none ran.

        Returns
        -------
        published
            Content by dataset type, from memory or from the repository.
        """
        published = {}
        for refs in self.refs.values():
            for name in self.stage.publish & refs.keys():
                content = None if butler is None else butler.peek(refs[name])
                if content is None and refs[name].id in self.existing:
                    content = self.reader.get(refs[name])
                if content is not None:
                    published[name] = content
        return published

    def _lacks_visit(self, plan: TaskPlan) -> bool:
        return self.image.visit is None and "visit" in plan.node.dimensions

    def _producers_of_unwritten(self, label: str) -> set[str]:
        """Return the tasks that must run again for what only memory had."""
        needed = {
            planned.name
            for planned in self.stage.plans[label].inputs
            if planned.source is InputSource.HANDED_ON and planned.name in self.stage.unwritten
        }
        return {
            producer
            for producer in self.stage.plans[label].upstream
            if producer in self.refs
            and any(
                name in needed and ref.id not in self.existing for name, ref in self.refs[producer].items()
            )
        }

    def _find_cause(self, label: str) -> QuantumOutcome | None:
        """Tell whether a task must not run because of an earlier one."""
        for upstream in self.stage.plans:
            if upstream not in self.stage.plans[label].upstream:
                continue
            earlier = self.outcomes[upstream]
            if earlier.status is QuantumStatus.NOT_APPLICABLE:
                return dataclasses.replace(earlier, task=label)
            if not earlier.usable:
                reason = f"{self.image}: {upstream} did not succeed"
                return QuantumOutcome(label, QuantumStatus.BLOCKED, reason=reason)
        return None

    def _make_quantum(self, label: str, butler: ImageButler) -> Quantum | QuantumOutcome:
        """Find a task's inputs and make its quantum, or tell why not.

        Whatever a task's own hooks raise is the outcome of its quantum.
        """
        plan = self.stage.plans[label]
        handed = {name: ref for other in plan.upstream for name, ref in self.refs[other].items()}
        try:
            with self.clock.step("look up inputs"):
                inputs = self.finder.find(
                    plan,
                    self.image,
                    known={**self.overall, **handed},
                    outputs=self.refs[label],
                    detector_runs=self.detector_runs,
                )
            with self.clock.step("make quanta"):
                quantum = plan.make_quantum(self.image, inputs, self.refs[label])
        except MissingInputError as err:
            return QuantumOutcome(label, QuantumStatus.MISSING_INPUT, reason=f"{self.image}: {err}")
        except NoWorkFound as err:
            return QuantumOutcome(label, QuantumStatus.NO_WORK, reason=f"{self.image}: {err}")
        except Exception as err:
            return self._failure(label, err)
        for planned in plan.inputs:
            if planned.source is InputSource.GATHERED:
                self.detectors.update(int(ref.dataId["detector"]) for ref in inputs[planned.name])
            if planned.source is not InputSource.HANDED_ON:
                butler.expect(inputs[planned.name], overall=planned.source is InputSource.OVERALL)
        return quantum

    def _execute(
        self, quantum: Quantum, label: str, butler: ImageButler, factory: WarmTaskFactory
    ) -> QuantumOutcome:
        """Execute one quantum and tell what became of it.

        Whatever a task raises is the outcome of its quantum: no exception of
        one image may stop the others.
        """
        executor = SingleQuantumExecutor(butler=butler, task_factory=factory, assume_no_existing_outputs=True)
        failure: Exception | None = None
        with self.clock.step("executor"):
            try:
                result = executor.execute(self.stage.plans[label].node, quantum, uuid.uuid4())
            except Exception as err:
                failure = err
        seconds, early_exit = factory.take_result()
        self.clock.move(seconds, source="executor", target="runQuantum")
        missing, butler.missing = butler.missing, None
        if failure is not None:
            status = QuantumStatus.FAILED if missing is None else QuantumStatus.MISSING_INPUT
            return self._failure(label, failure, status=status, seconds=seconds)
        if early_exit is None and not result.adjusted_no_work:
            return QuantumOutcome(label, QuantumStatus.SUCCEEDED, seconds)
        if early_exit is None:
            reason = f"{self.image}: its inputs were not produced"
            return QuantumOutcome(label, QuantumStatus.NO_WORK, seconds, reason)
        unusable = isinstance(early_exit, UnprocessableDataError)
        status = QuantumStatus.FAILED if unusable else QuantumStatus.NO_WORK
        reason = f"{self.image}: {type(early_exit).__name__}: {early_exit}"
        return QuantumOutcome(label, status, seconds, reason)

    def _failure(
        self,
        label: str,
        error: Exception,
        *,
        status: QuantumStatus = QuantumStatus.FAILED,
        seconds: float = 0.0,
    ) -> QuantumOutcome:
        _LOG.debug("%s failed for %s.", label, self.image, exc_info=error)
        reason = f"{self.image}: {type(error).__name__}: {error}"
        return QuantumOutcome(label, status, seconds, reason, "".join(traceback.format_exception(error)))
