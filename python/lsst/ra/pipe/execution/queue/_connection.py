# This file is part of ra_pipe.
#
# Use of this source code is governed by a 3-clause BSD-style
# license that can be found in the LICENSE file.

from __future__ import annotations

__all__ = ("check_server", "connect")

import redis
from redis.backoff import ExponentialWithJitterBackoff
from redis.retry import Retry

_MINIMUM_VERSION = (6, 2)
"""Redis that has ``XPENDING ... IDLE`` and ``ZADD ... LT``."""


def connect(url: str) -> redis.Redis:
    """Make a client of the queue's server.

    Parameters
    ----------
    url
        For example ``redis://127.0.0.1:6379/0``, or ``rediss://`` for TLS.

    Returns
    -------
    client
        Client that answers in bytes.  No connection is made yet.

    Notes
    -----
    Commands are sent again when a connection breaks, so only those may be used
    whose second execution changes nothing.  All actions of `JobQueue` are so.
    """
    return redis.Redis.from_url(
        url,
        socket_timeout=3.0,
        socket_connect_timeout=3.0,
        health_check_interval=15,
        # Not often: the callers go on trying, and look at the clock between.
        retry=Retry(ExponentialWithJitterBackoff(cap=0.5, base=0.02), retries=3),
        # A server that may no longer write was replaced: connect again.
        retry_on_error=[
            redis.ConnectionError,
            redis.TimeoutError,
            redis.BusyLoadingError,
            redis.ReadOnlyError,
        ],
    )


def check_server(client: redis.Redis) -> list[str]:
    """Find what would make the server lose work.

    Parameters
    ----------
    client
        Client of the server.

    Returns
    -------
    warnings
        One sentence for each setting that cannot hold the queue's guarantees.

    Raises
    ------
    RuntimeError
        Raised if the server is too old.
    redis.RedisError
        Raised if it cannot be reached.
    """
    version = str(client.info("server")["redis_version"])
    if tuple(int(part) for part in version.split(".")[:2]) < _MINIMUM_VERSION:
        raise RuntimeError(
            f"The queue needs Redis {'.'.join(map(str, _MINIMUM_VERSION))} or newer; got {version}."
        )
    warnings = []
    try:
        settings = {str(k): str(v) for k, v in client.config_get("append*", "maxmemory*").items()}
    except redis.ResponseError:
        return [f"Redis {version} does not tell its settings: whether it keeps the queue is not known."]
    if settings.get("appendonly") != "yes":
        warnings.append("Redis has no append-only file (appendonly no): a restart of it loses the queue.")
    elif settings.get("appendfsync") != "always":
        warnings.append(
            f"Redis syncs its append-only file {settings.get('appendfsync')}: if its machine crashes, "
            "the last second of the queue is lost; 'rapid gaps' finds it."
        )
    if settings.get("maxmemory-policy", "noeviction") != "noeviction":
        warnings.append(
            f"Redis drops keys when memory is short (maxmemory-policy {settings['maxmemory-policy']}): "
            "the queue needs noeviction."
        )
    return warnings
