# This file is part of ra_pipe.
#
# Use of this source code is governed by a 3-clause BSD-style
# license that can be found in the LICENSE file.

from __future__ import annotations

__all__ = ("configuration_digest", "prepare_output_run", "register_late_run")

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

from lsst.daf.butler import Butler, CollectionType, DataCoordinate, DatasetIdGenEnum, DatasetRef, DatasetType
from lsst.pipe.base.pipeline_graph import PipelineGraph
from lsst.utils.packages import Packages

from ._staging import StagingArea


def configuration_digest(
    pipeline_graph: PipelineGraph, *, packages: Mapping[str, str], collections: Sequence[str]
) -> str:
    """Digest what a pipeline's results depend on.

    Parameters
    ----------
    pipeline_graph
        The pipeline: its task classes and every config field count.
    packages
        Versions of the software by package.
    collections
        Collections that are read, without chains.

    Returns
    -------
    digest
        Eight hexadecimal digits, the same for the same configuration however
        it was written down.
    """
    digest = hashlib.sha256()
    for label in sorted(pipeline_graph.tasks):
        node = pipeline_graph.tasks[label]
        digest.update(f"{label} {node.task_class_name}\n{node.get_config_str()}\n".encode())
    for package in sorted(packages):
        digest.update(f"{package} {packages[package]}\n".encode())
    for collection in collections:
        digest.update(f"{collection}\n".encode())
    return digest.hexdigest()[:8]


def prepare_output_run(
    butler: Butler, pipeline_graph: PipelineGraph, *, parent: str, chain: str, inputs: Sequence[str]
) -> str:
    """Make the collections for a pipeline's outputs.

    Parameters
    ----------
    butler
        Writeable client of the repository.
    pipeline_graph
        The pipeline; it is resolved with the repository's dataset types, and
        those that are new are registered.
    parent
        Beginning of the run's name.
    chain
        CHAINED collection for the users: the run, then the older runs, then
        the inputs.
    inputs
        Collections to read from.

    Returns
    -------
    run
        RUN collection, ``<parent>/<digest>``.  Configs and package versions
        are written into it, so that every metric can be traced.  The same
        configuration, packages and input collections give the same run, and
        others give another one: results are never overwritten.

    Notes
    -----
    Any number of processes may do this at once.  What one of them has written
    the others leave alone.
    """
    pipeline_graph.resolve(butler.registry)
    pipeline_graph.register_dataset_types(butler)
    packages = Packages.fromSystem(include_all=True)
    flattened = butler.collections.query(inputs, flatten_chains=True)
    digest = configuration_digest(pipeline_graph, packages=packages, collections=list(flattened))
    run = f"{parent}/{digest}"
    butler.collections.register(run, CollectionType.RUN)
    butler.collections.register(chain, CollectionType.CHAINED)
    _write_init_outputs(butler, pipeline_graph, packages, run=run, inputs=inputs)
    members = butler.collections.get_info(chain).children
    in_front = members[: members.index(run)] if run in members else None
    if in_front is None or any(not member.startswith(f"{run}/late/") for member in in_front):
        butler.collections.prepend_chain(chain, [run])
    if absent := [name for name in inputs if name not in members]:
        butler.collections.extend_chain(chain, absent)
    return run


def register_late_run(butler: Butler, run: str, n: int, chain: str) -> str:
    """Make a run for gathering an exposure again, with detectors that came late.

    Parameters
    ----------
    butler
        Writeable client of the repository.
    run
        RUN collection that `prepare_output_run` made; its configs are those of
        the new run, too.
    n
        Number of the repetition, from 1.
    chain
        CHAINED collection for the users, in front of which the new run comes.

    Returns
    -------
    late_run
        RUN collection, ``<run>/late/<n>``.

    Raises
    ------
    ValueError
        Raised if ``n`` is not positive.
    """
    if n < 1:
        raise ValueError(f"The number of a late run must be at least 1; got {n} for {run}.")
    late_run = f"{run}/late/{n}"
    butler.collections.register(late_run, CollectionType.RUN)
    members = butler.collections.get_info(chain).children
    if late_run not in members:
        butler.collections.prepend_chain(chain, [late_run])
    return late_run


def _write_init_outputs(
    butler: Butler, graph: PipelineGraph, packages: Packages, *, run: str, inputs: Sequence[str]
) -> None:
    """Write configs, package versions and init-outputs, unless they are there."""
    datasets: list[tuple[Any, DatasetType]] = [(packages, graph.packages_dataset_type)]
    for node in graph.tasks.values():
        name = node.init.config_output.parent_dataset_type_name
        datasets.append((node.config, graph.dataset_types[name].dataset_type))
    if any(node.init.outputs for node in graph.tasks.values()):
        graph.instantiate_tasks(lambda one: butler.get(one, collections=list(inputs)), datasets)
    data_id = DataCoordinate.make_empty(butler.dimensions)
    refs = [
        DatasetRef(dataset_type, data_id, run=run, id_generation_mode=DatasetIdGenEnum.DATAID_TYPE_RUN)
        for _, dataset_type in datasets
    ]
    existing = {ref.id for ref in butler.get_many_datasets(ref.id for ref in refs)}
    missing = {
        ref: dataset for ref, (dataset, _) in zip(refs, datasets, strict=True) if ref.id not in existing
    }
    if not missing:
        return
    definitions = {node.dataset_type for node in graph.dataset_types.values()} | {graph.packages_dataset_type}
    staging = StagingArea(butler, definitions)
    try:
        for ref, dataset in missing.items():
            staging.put(dataset, ref)
        staging.register(list(missing))
    finally:
        staging.clear()
