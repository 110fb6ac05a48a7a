# This file is part of ra_pipe.
#
# Use of this source code is governed by a 3-clause BSD-style
# license that can be found in the LICENSE file.

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from click.testing import CliRunner, Result
from lsst.ra.pipe.cli import main
from lsst.ra.pipe.cli._progress import console
from lsst.ra.pipe.execution.queue import JobQueue, QueueSettings, connect
from valkey_server import QueueServer

Rapid = Callable[..., Result]


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[QueueServer]:
    """Server of the queue that no test kills."""
    with QueueServer(tmp_path_factory.mktemp("valkey"), fsync="everysec") as server:
        yield server


@pytest.fixture
def queue(server: QueueServer) -> Iterator[JobQueue]:
    """Queue as the commands find it, in an empty server."""
    client = connect(server.url)
    client.flushall()
    yield JobQueue(client, QueueSettings())
    client.close()


@pytest.fixture
def rapid(server: QueueServer, monkeypatch: pytest.MonkeyPatch) -> Rapid:
    """Run ``rapid`` with that server in the environment, 110 columns wide."""
    monkeypatch.setattr(console, "width", 110)

    def run(*args: object) -> Result:
        environment = {"RAPID_REDIS_URL": server.url}
        return CliRunner(env=environment).invoke(main, [str(arg) for arg in args], catch_exceptions=False)

    return run
