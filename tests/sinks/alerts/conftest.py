# This file is part of ra_pipe.
#
# Use of this source code is governed by a 3-clause BSD-style
# license that can be found in the LICENSE file.

from __future__ import annotations

import secrets
from collections.abc import Iterator

import pytest
from lsst.ra.pipe.execution.queue import JobQueue, QueueSettings, connect
from valkey_server import QueueServer


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[QueueServer]:
    """Server of the queue that no test kills."""
    with QueueServer(tmp_path_factory.mktemp("valkey"), fsync="everysec") as server:
        yield server


@pytest.fixture
def queue(server: QueueServer) -> Iterator[JobQueue]:
    """Queue of a service of its own."""
    client = connect(server.url)
    yield JobQueue(client, QueueSettings(prefix=secrets.token_hex(4)))
    client.close()
