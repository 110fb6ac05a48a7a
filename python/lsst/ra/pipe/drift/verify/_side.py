# This file is part of ra_pipe.
#
# Use of this source code is governed by a 3-clause BSD-style
# license that can be found in the LICENSE file.

"""One of the two tasks: read from its pipeline, and run in memory."""

from __future__ import annotations

__all__ = ("ImageInputs", "VerifiedTask", "find_inputs", "load_task", "run_task")

import dataclasses
from collections.abc import Sequence

from lsst.daf.butler import Butler, ButlerUserError, Quantum
from lsst.daf.butler.registry import RegistryError
from lsst.pipe.base import (
    Pipeline,
    PipelineGraph,
    PipelineTask,
    PipelineTaskConfig,
    PipelineTaskConnections,
    QuantumContext,
)
from lsst.pipe.base.all_dimensions_quantum_graph_builder import AllDimensionsQuantumGraphBuilder
from lsst.pipe.base.quantum_graph import PredictedQuantumGraph
from lsst.pipe.base.quantum_graph_builder import QuantumGraphBuilderError
from lsst.utils import doImportType
from lsst.utils.introspection import get_full_type_name

from .._sources import PipelineSource, read_pipeline
from ._memory_butler import InputCache, MemoryButler
from ._pixels import MaskedPixels
from ._report import VerifyError
from ._settings import copy_config

_DEFAULT_LABEL = "isr"
_LABEL = "rapidVerify"
"""Label that the tasks run under: no dataset of a repository has such names."""

_IMAGE = "outputExposure"
"""Output connection with the image of a task that has several outputs."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class VerifiedTask:
    """A task of a pipeline."""

    name: str
    """Pipeline and label, for messages."""
    task_class: type[PipelineTask]
    """Class of the task."""
    config: PipelineTaskConfig
    """Configuration, with all overrides of the pipeline and instrument; its
    outputs have names that no repository has."""

    @property
    def class_name(self) -> str:
        """Full name of the class (`str`)."""
        return get_full_type_name(self.task_class)


@dataclasses.dataclass(frozen=True, kw_only=True)
class ImageInputs:
    """What a task reads for one image."""

    quantum: Quantum
    """All inputs and outputs, with every step on."""
    butler: Butler
    """Client of the repository."""
    cache: InputCache
    """Inputs in memory, of tasks that do not change them."""


def load_task(pipeline: str) -> VerifiedTask:
    """Read a task from a pipeline.

    Parameters
    ----------
    pipeline
        Location of a pipeline, and ``#`` with the label of a task; by default
        ``isr``, or the only task that there is.

    Returns
    -------
    task
        The task.

    Raises
    ------
    DriftError
        Raised if the pipeline cannot be read.
    VerifyError
        Raised if it has no such task, or the task cannot be imported or
        configured here.
    """
    location, _, label = pipeline.partition("#")
    source = read_pipeline(location)
    label = _choose_label(source, label)
    name = f"{source.name}#{label}"
    klass = str(source.ir.tasks[label].klass)
    for needed in filter(None, (klass, source.ir.instrument)):
        _check_importable(str(needed), name)
    try:
        graph = Pipeline.from_uri(f"{location}#{label}").to_graph()
    # Override files are Python code, which may fail in any way.
    except Exception as error:
        raise VerifyError(f"{name}: the task {klass} cannot be configured: {error}") from error
    node = graph.tasks[label]
    if node.init.inputs:
        raise VerifyError(f"{name}: a task with init-inputs ({', '.join(node.init.inputs)}) cannot be run.")
    return VerifiedTask(name=name, task_class=node.task_class, config=_rename_outputs(node.config))


def _choose_label(source: PipelineSource, label: str) -> str:
    """Return the label of a task that the pipeline has."""
    labels = sorted(source.ir.tasks)
    wanted = label or (labels[0] if len(labels) == 1 else _DEFAULT_LABEL)
    if wanted not in labels:
        raise VerifyError(
            f"{source.name}: there is no task with the label {wanted!r}; there are {', '.join(labels)}."
        )
    return wanted


def _check_importable(klass: str, name: str) -> None:
    """Say what has to be installed for a class that is not there."""
    try:
        doImportType(klass)
    except (ImportError, TypeError) as error:
        package = ".".join(klass.split(".")[:3])
        is_compiled = klass.startswith("lsst.") and not klass.startswith("lsst.ra.")
        needed = f"it needs a Science Pipelines install ({package})" if is_compiled else str(error)
        raise VerifyError(f"{name}: the class {klass} cannot be imported: {needed}.") from error


def find_inputs(
    task: VerifiedTask,
    butler: Butler,
    *,
    instrument: str,
    exposure: int,
    detector: int,
    collections: Sequence[str],
    cache: InputCache,
) -> ImageInputs:
    """Find what a task reads for one image.

    Parameters
    ----------
    task
        The task.
    butler
        Client of the repository, which is not changed.
    instrument, exposure, detector
        The image.
    collections
        Where to search.
    cache
        Inputs in memory.

    Returns
    -------
    inputs
        The inputs.

    Raises
    ------
    VerifyError
        Raised if any are missing.
    """
    graph = PipelineGraph(universe=butler.dimensions)
    # A graph freezes what it is given.
    graph.add_task(_LABEL, task.task_class, copy_config(task.config))
    where = f"instrument = '{instrument}' AND exposure = {exposure} AND detector = {detector}"
    image = f"{instrument} exposure {exposure} detector {detector}"
    try:
        builder = AllDimensionsQuantumGraphBuilder(
            graph, butler, where=where, input_collections=collections, output_run=f"u/{_LABEL}"
        )
        components = builder.finish(attach_datastore_records=False)
        quanta = PredictedQuantumGraph(components).build_execution_quanta(task_label=_LABEL)
    except (ButlerUserError, QuantumGraphBuilderError, RegistryError, LookupError, OSError) as error:
        raise VerifyError(f"{task.name}: the inputs of {image} are not all there: {error}") from error
    if len(quanta) != 1:
        raise VerifyError(
            f"{task.name}: {image} gives {len(quanta)} quanta, expected one; the task must have the "
            f"dimensions exposure and detector, it has {', '.join(graph.tasks[_LABEL].dimensions.names)}."
        )
    [quantum] = quanta.values()
    return ImageInputs(quantum=quantum, butler=butler, cache=cache)


def run_task(task: VerifiedTask, config: PipelineTaskConfig, inputs: ImageInputs) -> MaskedPixels:
    """Run a task on one image, in memory.

    Parameters
    ----------
    task
        The task.
    config
        Configuration to run with, which may have steps switched off.
    inputs
        What `find_inputs` found for the task.

    Returns
    -------
    pixels
        The image that it makes.

    Raises
    ------
    VerifyError
        Raised if the task fails, or makes no image.
    """
    connections = _make_connections(config)
    quantum = _with_connections(inputs.quantum, connections)
    # A task class says of itself that it leaves its inputs as they are.
    read_only = getattr(task.task_class, "inputs_read_only", False)
    butler = MemoryButler(inputs.butler, inputs=inputs.cache if read_only else None)
    input_refs, output_refs = connections.buildDatasetRefs(quantum)
    # A failure of the task is the result, whatever it is.
    try:
        task.task_class(config=config, name=_LABEL).runQuantum(
            QuantumContext(butler, quantum), input_refs, output_refs
        )
    except Exception as error:
        raise VerifyError(f"{task.name}: {type(error).__name__}: {error}") from error
    output = _IMAGE if _IMAGE in connections.outputs else next(iter(connections.outputs), "")
    ref = getattr(output_refs, output, None)
    if ref is None or ref.id not in butler.outputs:
        raise VerifyError(f"{task.name}: the task has written no {output or 'output'}.")
    return MaskedPixels.from_exposure(butler.outputs[ref.id])


def _rename_outputs(config: PipelineTaskConfig) -> PipelineTaskConfig:
    """Return a configuration with other names for the outputs: nothing is
    written, and those of another storage class in the repository would be in
    the way.
    """
    changed = copy_config(config)
    for output in _make_connections(changed).outputs:
        setattr(changed.connections, output, f"{_LABEL}_{output}")
    return changed


def _make_connections(config: PipelineTaskConfig) -> PipelineTaskConnections:
    connections: PipelineTaskConnections = vars(type(config))["ConnectionsClass"](config=config)
    return connections


def _with_connections(quantum: Quantum, connections: PipelineTaskConnections) -> Quantum:
    """Return a quantum without the datasets of steps that are off."""
    read = {
        getattr(connections, name).name for name in (*connections.inputs, *connections.prerequisiteInputs)
    }
    written = {getattr(connections, name).name for name in connections.outputs}
    return Quantum(
        taskName=quantum.taskName,
        taskClass=quantum.taskClass,
        dataId=quantum.dataId,
        inputs={kind: refs for kind, refs in quantum.inputs.items() if kind.name in read},
        outputs={kind: refs for kind, refs in quantum.outputs.items() if kind.name in written},
    )
