# This file is part of ra_pipe.
#
# Use of this source code is governed by a 3-clause BSD-style
# license that can be found in the LICENSE file.

from __future__ import annotations

import pathlib
import secrets
from collections.abc import Callable, Iterator
from typing import Any

import directed_pipeline
import pytest
from directed_pipeline import Director
from lsst.daf.butler import Butler
from lsst.ra.pipe.execution.queue import QueueSettings
from lsst.ra.pipe.execution.service import ServiceSettings
from number_repository import INSTRUMENT, exposure_id, make_repository
from service_parts import TESTS, Service
from valkey_server import QueueServer

N_EXPOSURES = 40

RULES = """
rules:
  - name: call
    detectors: "180..188"
    function: directed_pipeline:act_on_detector
    attempts: 2
  - name: publish
    detectors: "170..178"
    function: directed_pipeline:publish_an_object
    attempts: 1
  - name: limited
    detectors: "90..92"
    pipeline: {pipeline}
    attempts: 1
    time_limit: 0.7
    raw_wait: 0.5
    expected_detectors: "90..92"
  - name: hasty
    detectors: "96..98"
    pipeline: {pipeline}
    expected_detectors: "96..98"
    gather_deadline: 4
  - name: all
    pipeline: {pipeline}
    attempts: 2
    time_limit: 60
    raw_wait: 60
    expected_detectors: "93..95"
    gather_deadline: 80
    publish: [acted]
"""


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[QueueServer]:
    """Server of the queue; each service has a prefix of its own."""
    with QueueServer(tmp_path_factory.mktemp("valkey")) as server:
        yield server


@pytest.fixture(scope="module")
def director() -> Iterator[Director]:
    """What the tasks of this process's workers ask."""
    with pytest.MonkeyPatch.context() as patch, Director() as director:
        patch.setenv("PYTHONPATH", str(TESTS))
        for name, value in director.environment.items():
            patch.setenv(name, value)
        yield director


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """Directory with a pipeline and dispatch rules."""
    directory = tmp_path_factory.mktemp("service")
    pipeline = directory / "Directed.yaml"
    pipeline.write_text(directed_pipeline.PIPELINE)
    (directory / "dispatch.yaml").write_text(RULES.format(pipeline=pipeline))
    return directory


@pytest.fixture(scope="module")
def butler(directory: pathlib.Path) -> Iterator[Butler]:
    """Repository with exposures, and no numbers yet."""
    with make_repository(directory / "repo", exposures=map(exposure_id, range(1, N_EXPOSURES + 1))) as butler:
        yield butler


@pytest.fixture(scope="module")
def exposures() -> Iterator[int]:
    """Exposures that no other test has used."""
    return iter(range(exposure_id(1), exposure_id(N_EXPOSURES + 1)))


@pytest.fixture(scope="module")
def make_settings(
    server: QueueServer, directory: pathlib.Path, butler: Butler, director: Director
) -> Callable[..., ServiceSettings]:
    """Make settings with short times, and a queue of its own."""

    def make(*, lease_seconds: float = 1.0, **others: Any) -> ServiceSettings:
        queue = QueueSettings(
            prefix=f"test-{secrets.token_hex(4)}", lease_seconds=lease_seconds, backoff_seconds=0.05
        )
        return ServiceSettings(
            repository=str(directory / "repo"),
            redis_url=server.url,
            dispatch={INSTRUMENT: str(directory / "dispatch.yaml")},
            queue=queue,
            **{"grace_seconds": 30.0, "memory_limit_bytes": 1_000_000_000, **others},
        )

    return make


@pytest.fixture(scope="module")
def service(make_settings: Callable[..., ServiceSettings], butler: Butler) -> Service:
    """A service without any process yet."""
    return Service(make_settings(), butler)
