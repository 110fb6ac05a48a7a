# This file is part of ra_pipe.
#
# Use of this source code is governed by a 3-clause BSD-style
# license that can be found in the LICENSE file.

"""What the commands that write to ConsDB have in common.

Its package is imported when it is wanted, as felis takes a second.
"""

from __future__ import annotations

__all__ = (
    "ConsDbRecorder",
    "choose_consdb",
    "consdb_option",
    "consdb_options",
    "has_private_results",
    "with_consdb",
)

from collections import Counter
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import click
import pydantic
import sqlalchemy
import sqlalchemy.exc
from click.core import ParameterSource

from lsst.daf.butler import ButlerUserError
from lsst.daf.butler.registry import RegistryError
from lsst.ra.pipe.execution import ImageReport
from lsst.ra.pipe.execution.service import ServiceSettings
from lsst.resources import ResourcePath

if TYPE_CHECKING:
    from lsst.ra.pipe.sinks.consdb import ConsDbObserver

_OBSERVER = "lsst.ra.pipe.sinks.consdb:observe"
"""Observer of the live service."""

_DEFAULT_FILE = "consdb_{instrument}.sqlite3"
"""SQLite file in the root of a local repository.  There is one for each
instrument: their tables have the same names, and SQLite has no schemas."""


_FAILURES = (
    ButlerUserError,
    LookupError,
    OSError,
    RegistryError,
    ValueError,
    sqlalchemy.exc.SQLAlchemyError,
)
"""What an image may fail with on its way to ConsDB, and the run goes on."""

consdb_option = click.option(
    "--consdb",
    envvar="RAPID_CONSDB_URL",
    show_envvar=True,
    metavar="URL",
    help="Database for the quicklook tables, for SQLAlchemy; {instrument} in it stands for the "
    f"instrument [default: REPO/{_DEFAULT_FILE} where the repository is local].",
)


def consdb_options[F: Callable[..., Any]](command: F) -> F:
    """Add the options that say which database gets the metrics, if any.

    Parameters
    ----------
    command
        Body of a command; it takes ``consdb`` and ``no_consdb``.
    """
    return consdb_option(click.option("--no-consdb", is_flag=True, help="Write nothing to ConsDB.")(command))


def choose_consdb(url: str | None, repository: str, *, no_consdb: bool = False) -> str | None:
    """Tell which database gets the metrics.

    Parameters
    ----------
    url
        What the user says; `None` for the default.
    repository
        Root, configuration file or alias of the Butler repository.
    no_consdb
        Whether there is to be none.

    Returns
    -------
    url
        The database: by default an SQLite file in the root of the repository,
        if that is a directory of this machine.

    Raises
    ------
    click.BadParameter
        Raised if it is no address of an SQLite or PostgreSQL database.
    """
    if no_consdb:
        return None
    if url is not None:
        _check(url)
        return url
    root = ResourcePath(repository, forceDirectory=True)
    return f"sqlite:///{root.ospath}{_DEFAULT_FILE}" if root.isLocal and root.exists() else None


def has_private_results(output: str, config: Sequence[str]) -> bool:
    """Tell whether a run by hand is somebody's own, so that its results must
    not take the rows of ConsDB, which are written once.

    Parameters
    ----------
    output
        CHAINED collection for the outputs.
    config
        Config overrides.

    Returns
    -------
    private
        Whether it is, and the command line names no database.  The
        environment variable does not count.
    """
    source = click.get_current_context().get_parameter_source("consdb")
    return source is not ParameterSource.COMMANDLINE and (output.startswith("u/") or bool(config))


def _check(url: str) -> None:
    try:
        dialect = sqlalchemy.make_url(url).get_backend_name()
    except (sqlalchemy.exc.ArgumentError, ValueError):
        # A ValueError is for the port.
        dialect = None
    if dialect not in ("sqlite", "postgresql"):
        scheme, separator, _ = url.partition("://")
        # The rest may have a password.
        got = f"{scheme}://..." if separator else "a text without ://"
        raise click.BadParameter(
            f"expected sqlite:///FILE or postgresql://HOST[:PORT]/DATABASE, got {got}", param_hint="--consdb"
        )


def with_consdb(settings: ServiceSettings, url: str | None) -> ServiceSettings:
    """Have the live service write to ConsDB, or not.

    Parameters
    ----------
    settings
        Settings of the service.
    url
        The database, or `None`.

    Returns
    -------
    settings
        The same with database and observer.
    """
    observers = tuple(name for name in settings.observers if name != _OBSERVER)
    if url is None:
        return settings.model_copy(update={"consdb_url": None, "observers": observers})
    # The last one: alerts do not wait for a database.
    return settings.model_copy(
        update={"consdb_url": pydantic.SecretStr(url), "observers": (*observers, _OBSERVER)}
    )


class ConsDbRecorder:
    """Writes the results of a run to ConsDB as they come, and goes on when
    that fails.

    Parameters
    ----------
    url
        The database.
    repository
        Root, configuration file or alias of the Butler repository.
    inputs
        Collections with the raws.
    """

    def __init__(self, url: str, repository: str, inputs: Sequence[str]) -> None:
        self._url = url
        self._repository = repository
        self._inputs = tuple(inputs)
        self._observer: ConsDbObserver | None = None
        self._waiting: list[ImageReport] = []
        self._outage = ""
        self._counts: Counter[str] = Counter()
        self._problems: list[str] = []

    def __call__(self, report: ImageReport) -> None:
        """Write the results of an image.

        Parameters
        ----------
        report
            What became of it.
        """
        if self._waiting:
            # The database did not answer; it is tried again at the end.
            self._waiting.append(report)
        else:
            self._write(report)

    def finish(self) -> list[str]:
        """Write what has waited, and tell what is in ConsDB.

        Returns
        -------
        problems
            What could not be written, and why.
        """
        waiting, self._waiting = self._waiting, []
        while waiting and not self._waiting:
            self._write(waiting.pop(0))
        unwritten = len(waiting) + len(self._waiting)
        if self._observer is not None:
            self._observer.close()
        if self._counts:
            counts = ", ".join(f"{count} images {outcome}" for outcome, count in self._counts.items())
            click.echo(f"ConsDB: {counts}.")
        if unwritten:
            self._problems.append(f"{self._outage}; {unwritten} images were not written.")
        if self._problems:
            self._problems = list(dict.fromkeys(self._problems))
            self._problems.append(
                "The metrics are in the repository; 'rapid consdb backfill' writes them to ConsDB."
            )
        return self._problems

    def _write(self, report: ImageReport) -> None:
        from lsst.ra.pipe.sinks.consdb import ConsDbObserver, ConsDbUnavailableError

        try:
            if self._observer is None:
                self._observer = ConsDbObserver(
                    url=self._url, repository=self._repository, inputs=self._inputs
                )
            written = self._observer(report)
        except ConsDbUnavailableError as err:
            self._waiting.append(report)
            self._outage = str(err)
        except _FAILURES as err:
            # A ConsDbError, what is wrong with the address, or what could not
            # be read.
            self._problems.append(str(err) if isinstance(err, ValueError) else f"ConsDB: {err!r}")
        else:
            if written is not None and written.outcomes:
                self._counts["written" if written.changed else "unchanged"] += 1
