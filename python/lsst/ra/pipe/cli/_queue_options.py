# This file is part of ra_pipe.
#
# Use of this source code is governed by a 3-clause BSD-style
# license that can be found in the LICENSE file.

"""What the commands that look into the queue have in common."""

from __future__ import annotations

__all__ = ("format_time", "look_into_queue", "queue_options", "show_text", "without_password")

import datetime
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import click
import redis

from lsst.ra.pipe.execution.queue import JobQueue, QueueSettings, connect

from ._service_options import redis_option


def queue_options[F: Callable[..., Any]](command: F) -> F:
    """Add the options that say which queue is meant.

    Parameters
    ----------
    command
        Body of a command; it takes ``redis_url`` and ``prefix``.
    """
    prefix = click.option(
        "--prefix",
        envvar="RAPID_QUEUE__PREFIX",
        show_envvar=True,
        default="rapid",
        help="Beginning of the queue's keys.",
    )
    return redis_option(prefix(command))


def look_into_queue(redis_url: str, prefix: str) -> JobQueue:
    """Connect to a queue, to look at it or to mend it.

    Parameters
    ----------
    redis_url
        Server of the queue.
    prefix
        Beginning of its keys.

    Raises
    ------
    click.ClickException
        Raised if the server does not answer.
    """
    client = connect(redis_url)
    try:
        client.ping()
    except redis.RedisError as err:
        message = f"The queue's server {without_password(redis_url)} does not answer: {err}"
        raise click.ClickException(message) from err
    return JobQueue(client, QueueSettings(prefix=prefix))


def without_password(url: str) -> str:
    """Return a URL as it may be shown.

    Parameters
    ----------
    url
        The URL.
    """
    parts = urlsplit(url)
    user, at, address = parts.netloc.rpartition("@")
    name, colon, _ = user.partition(":")
    return urlunsplit(parts._replace(netloc=f"{name}{':***' if colon else ''}{at}{address}", query=""))


def format_time(seconds: float) -> str:
    """Return a time as people read it, in UTC.

    Parameters
    ----------
    seconds
        Unix time (s).
    """
    return f"{datetime.datetime.fromtimestamp(seconds, datetime.UTC):%Y-%m-%d %H:%M:%S} UTC"


def show_text(text: str) -> str:
    """Return text without anything that a terminal would obey.

    Parameters
    ----------
    text
        Text from elsewhere; its lines stay.
    """
    return "".join(
        character if character.isprintable() or character == "\n" else repr(character)[1:-1]
        for character in text
    )
