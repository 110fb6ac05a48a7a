# This file is part of ra_pipe.
#
# Use of this source code is governed by a 3-clause BSD-style
# license that can be found in the LICENSE file.

from __future__ import annotations

__all__ = ("configuration_digest", "prepare_output_run")

import hashlib
from collections.abc import Sequence

from lsst.daf.butler import Butler, CollectionType
from lsst.pipe.base.pipeline_graph import PipelineGraph


def configuration_digest(pipeline_graph: PipelineGraph) -> str:
    """Digest what a pipeline computes: task classes and every config field.

    Parameters
    ----------
    pipeline_graph
        The pipeline.

    Returns
    -------
    digest
        Eight hexadecimal digits, the same for the same configuration however
        it was written down.
    """
    digest = hashlib.sha256()
    for label in sorted(pipeline_graph.tasks):
        node = pipeline_graph.tasks[label]
        digest.update(f"{label} {node.task_class_name}\n{node.get_config_str()}".encode())
    return digest.hexdigest()[:8]


def prepare_output_run(
    butler: Butler, pipeline_graph: PipelineGraph, *, output: str, inputs: Sequence[str]
) -> str:
    """Make the collections for a pipeline's outputs.

    Parameters
    ----------
    butler
        Writeable client of the repository.
    pipeline_graph
        The pipeline; it is resolved with the repository's dataset types, and
        those that are new are registered.
    output
        CHAINED collection for the users, of the run and the inputs.
    inputs
        Collections to read from.

    Returns
    -------
    run
        RUN collection, ``<output>/<digest of the configuration>``.  Configs and
        package versions are written into it, so that every metric can be
        traced.  Running the same configuration again gives the same run, and
        another configuration another one: results are never overwritten.
    """
    pipeline_graph.resolve(butler.registry)
    pipeline_graph.register_dataset_types(butler)
    run = f"{output}/{configuration_digest(pipeline_graph)}"
    butler.collections.register(run, CollectionType.RUN)
    butler.collections.register(output, CollectionType.CHAINED)
    members = list(butler.collections.get_info(output).children)
    chain = list(dict.fromkeys([run, *(member for member in members if member != run), *inputs]))
    if chain != members:
        butler.collections.redefine_chain(output, chain)
    pipeline_graph.init_output_run(butler.clone(run=run, collections=[run, *inputs]))
    return run
