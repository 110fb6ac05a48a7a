# This file is part of ra_pipe.
#
# Use of this source code is governed by a 3-clause BSD-style
# license that can be found in the LICENSE file.

"""A small Butler repository in which one task runs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import lsst.daf.butler.tests as butler_tests
from lsst.daf.butler import Butler, Config
from lsst.pipe.base import PipelineTask, PipelineTaskConnections
from lsst.pipe.base.connectionTypes import DimensionedConnection
from lsst.pipe.base.testUtils import makeQuantum, runTestQuantum

VISIT = 2026022000012


def connections_of(task: PipelineTask) -> PipelineTaskConnections:
    """Connections as the task's configuration leaves them."""
    connections: PipelineTaskConnections = vars(type(task.config))["ConnectionsClass"](config=task.config)
    return connections


def make_repository(
    root: Path, task: PipelineTask, *, detectors: Sequence[int], instrument: str = "LSSTCam"
) -> tuple[Butler, dict[str, object]]:
    """Make a repository with one visit of one exposure, and the task's dataset types."""
    data_ids: dict[str, list[object]] = {
        "instrument": [instrument],
        "visit": [VISIT],
        "exposure": [VISIT],
        "detector": list(detectors),
    }
    config = Config()
    config["datastore", "cls"] = "lsst.daf.butler.datastores.fileDatastore.FileDatastore"
    connections = connections_of(task)
    datasets: list[DimensionedConnection] = [
        getattr(connections, name) for name in [*connections.inputs, *connections.outputs]
    ]
    for dataset in datasets:
        # The default templates need dimension records, which test quanta lack.
        template = "{run}/{datasetType}_{instrument}_{visit:?}_{exposure:?}_{detector:?}"
        config["datastore", "templates", dataset.name] = template
    repository = butler_tests.makeTestRepo(str(root), data_ids, config=config)
    for dataset in datasets:
        butler_tests.addDatasetType(repository, dataset.name, set(dataset.dimensions), dataset.storageClass)
    butler = butler_tests.makeTestCollection(repository, uniqueId="test")
    return butler, {"instrument": instrument, "visit": VISIT}


def run_task(
    task: PipelineTask, butler: Butler, data_id: dict[str, object], *, detectors: Sequence[int]
) -> None:
    """Run the task's quantum with all of its inputs and outputs."""
    connections = connections_of(task)
    quantum_id = dict(data_id)
    if "detector" in connections.dimensions:
        quantum_id["detector"] = detectors[0]
    data_ids: dict[str, object] = {}
    for name in [*connections.inputs, *connections.outputs]:
        connection = getattr(connections, name)
        own = {
            "instrument": data_id["instrument"],
            **({"visit": VISIT} if "visit" in connection.dimensions else {}),
            **({"exposure": VISIT} if "exposure" in connection.dimensions else {}),
        }
        ids = [{**own, "detector": detector} for detector in detectors]
        ids = ids if "detector" in connection.dimensions else [own]
        data_ids[name] = ids if connection.multiple else ids[0]
    quantum = makeQuantum(task, butler, quantum_id, data_ids)  # type: ignore[arg-type]
    runTestQuantum(task, butler, quantum, mockRun=False)
