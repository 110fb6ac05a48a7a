# This file is part of ra_pipe.
#
# Use of this source code is governed by a 3-clause BSD-style
# license that can be found in the LICENSE file.

"""What the commands that compare pipelines share."""

from __future__ import annotations

__all__ = ("comparison_errors", "load_side", "naming", "write_file", "write_output")

import contextlib
import functools
import io
import pathlib
import sys
import traceback
from collections.abc import Callable, Iterator

import click
from rich.console import Console, RenderableType

from lsst.ra.pipe.drift import DriftError, Level, Snapshot, load_snapshot

from ._errors import NoAnswerError
from ._progress import console

_FILE_WIDTH = 110
"""Columns of a table in a file."""


def comparison_errors[**P, R](command: Callable[P, R]) -> Callable[P, R]:
    """Turn all errors into exit status 2, since 1 means that pipelines differ.

    Parameters
    ----------
    command
        Body of a command.  An error that was not foreseen keeps its
        traceback.
    """

    @functools.wraps(command)
    def wrapped(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return command(*args, **kwargs)
        except (click.ClickException, click.exceptions.Exit, click.Abort):
            raise
        except (DriftError, OSError) as error:
            raise NoAnswerError(str(error)) from error
        except (RecursionError, MemoryError) as error:
            raise NoAnswerError(f"something here is nested too deeply: {error}") from error
        except Exception as error:
            # Whatever it is, whoever runs the gate must not take it for drift.
            traceback.print_exc()
            raise click.exceptions.Exit(NoAnswerError.exit_code) from error

    return wrapped


@contextlib.contextmanager
def naming(name: str) -> Iterator[None]:
    """Name what was read when it is nested too deeply for Python.

    Parameters
    ----------
    name
        Name of the file.

    Raises
    ------
    DriftError
        If Python's stack ended.
    """
    try:
        yield
    except (RecursionError, MemoryError) as error:
        file = name.partition("#")[0]
        raise DriftError(f"{file}:1: this, or a file that it reads, is nested too deeply: {error}") from error


def load_side(uri: str, level: Level | None, *, may_be_stale: bool = False) -> Snapshot:
    """Load one side of a comparison at no other level than is wanted.

    Parameters
    ----------
    uri
        Location of a pipeline, of a snapshot or of facts.
    level
        Level that is wanted; `None` for any.
    may_be_stale
        Whether a snapshot of files that have changed since is wanted, too.

    Returns
    -------
    snapshot
        The snapshot.

    Raises
    ------
    DriftError
        If it cannot be read, or not at that level.
    """
    with naming(uri):
        snapshot = load_snapshot(uri, level=level, may_be_stale=may_be_stale)
    if level is None:
        return snapshot
    found = snapshot.at(level)
    if found is None:
        file = snapshot.title.partition("#")[0]
        reason = f" ({snapshot.reason})" if snapshot.reason else ""
        raise DriftError(
            f"{file}:1: the {level} level was asked for, and this snapshot has the "
            f"{snapshot.level} level only{reason}."
        )
    return found.model_copy(update={"read_from": snapshot.read_from})


def write_output(report: str | RenderableType) -> None:
    """Write text, or what rich lays out, to standard output.

    Parameters
    ----------
    report
        What to write; characters that the encoding there does not have are
        replaced.
    """
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")
    if not isinstance(report, str):
        with console.capture() as capture:
            console.print(report)
        report = capture.get()
    click.echo(report, nl=False)


def write_file(report: str | RenderableType, path: pathlib.Path) -> None:
    """Write text, or what rich lays out, to a file in UTF-8.

    Parameters
    ----------
    report
        What to write.
    path
        File, in a directory that is made.
    """
    if not isinstance(report, str):
        text = io.StringIO()
        Console(file=text, width=_FILE_WIDTH).print(report)
        report = text.getvalue()
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(report, encoding="utf-8")
