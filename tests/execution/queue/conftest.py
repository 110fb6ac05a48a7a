# This file is part of ra_pipe.
#
# Use of this source code is governed by a 3-clause BSD-style
# license that can be found in the LICENSE file.

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from lsst.ra.pipe.execution.queue import JobQueue, QueueSettings, connect
from queue_jobs import N_SHARDS, MakeQueue
from valkey_server import QueueServer


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[QueueServer]:
    """Server that no test kills."""
    with QueueServer(tmp_path_factory.mktemp("valkey"), fsync="everysec") as server:
        yield server


@pytest.fixture
def make_queue(server: QueueServer) -> Iterator[MakeQueue]:
    """Make a queue with settings of the test's own, in an empty server."""
    client = connect(server.url)
    client.flushall()

    def make(**settings: Any) -> JobQueue:
        return JobQueue(client, QueueSettings(**{"n_shards": N_SHARDS, "backoff_seconds": 0.0, **settings}))

    yield make
    client.close()


@pytest.fixture
def queue(make_queue: MakeQueue) -> JobQueue:
    """Queue with leases that last longer than any test, and no back-off."""
    return make_queue(lease_seconds=600.0)
