# This file is part of ra_pipe.
#
# Use of this source code is governed by a 3-clause BSD-style
# license that can be found in the LICENSE file.

"""What the commands of the live service have in common."""

from __future__ import annotations

__all__ = (
    "log_as_service",
    "make_settings",
    "open_queue",
    "redis_option",
    "service_options",
    "stop_by_signals",
)

import logging
import signal
from collections.abc import Callable
from typing import Any

import click

from lsst.ra.pipe.execution.queue import JobQueue, QueueSettings, check_server, connect
from lsst.ra.pipe.execution.service import ServiceSettings

_LOG = logging.getLogger(__name__)

redis_option = click.option(
    "--redis",
    "redis_url",
    envvar="RAPID_REDIS_URL",
    show_envvar=True,
    default="redis://127.0.0.1:6379/0",
    help="Server of the queue.",
)


def service_options[F: Callable[..., Any]](command: F) -> F:
    """Add the options that say what is processed, and where.

    Parameters
    ----------
    command
        Body of a command; it takes ``repository``, ``redis_url``,
        ``instruments`` and ``dispatch``.
    """
    decorators = (
        click.argument("repository", metavar="REPO"),
        redis_option,
        click.option(
            "--instrument",
            "instruments",
            multiple=True,
            default=("LSSTCam",),
            help="Butler instrument to process; may be given again.",
        ),
        click.option(
            "--dispatch",
            "dispatch",
            multiple=True,
            metavar="[INSTRUMENT=]FILE",
            help="Dispatch rules instead of $RA_PIPE_DIR/config/dispatch/<instrument>.yaml.",
        ),
    )
    for decorator in reversed(decorators):
        command = decorator(command)
    return command


def make_settings(
    *,
    repository: str,
    redis_url: str | None,
    instruments: tuple[str, ...],
    dispatch: tuple[str, ...],
    **others: Any,
) -> ServiceSettings:
    """Make the settings of a service from options and the environment.

    Parameters
    ----------
    repository
        The Butler repository.
    redis_url
        Server of the queue; the default if it is `None`.
    instruments
        Butler ``instrument`` values.
    dispatch
        Files of dispatch rules, with the instrument if there are several.
    others
        Further settings; those that are `None` are left out.
    """
    rules = dict(_parse_dispatch(text, instruments) for text in dispatch)
    given = {name: value for name, value in others.items() if value is not None}
    if rules:
        given["dispatch"] = rules
    if redis_url is not None:
        given["redis_url"] = redis_url
    return ServiceSettings(repository=repository, instruments=instruments, **given)


def log_as_service() -> None:
    """Log what a service does, with the time, to standard error."""
    for handler in logging.getLogger().handlers:
        handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    logging.getLogger("lsst.ra.pipe").setLevel(logging.INFO)


def open_queue(url: str, settings: QueueSettings) -> JobQueue:
    """Connect to the queue, and warn of what would lose work.

    Parameters
    ----------
    url
        Server of the queue.
    settings
        Settings of the queue.
    """
    client = connect(url)
    for warning in check_server(client):
        _LOG.warning("%s", warning)
    return JobQueue(client, settings)


def stop_by_signals(stop: Callable[[], object]) -> None:
    """Have SIGTERM and SIGINT stop a service in good order.

    Parameters
    ----------
    stop
        Called with each signal, from its handler.
    """
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop())


def _parse_dispatch(text: str, instruments: tuple[str, ...]) -> tuple[str, str]:
    name, equals, file = text.partition("=")
    if equals and name in instruments:
        return name, file
    if len(instruments) == 1:
        return instruments[0], text
    raise click.BadParameter(
        f"expected INSTRUMENT=FILE with one of {', '.join(instruments)}; got {text!r}",
        param_hint="--dispatch",
    )
