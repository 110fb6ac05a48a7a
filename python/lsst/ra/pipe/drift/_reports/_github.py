# This file is part of ra_pipe.
#
# Use of this source code is governed by a 3-clause BSD-style
# license that can be found in the LICENSE file.

"""Verdicts as annotations of a GitHub workflow."""

from __future__ import annotations

__all__ = ("write_github",)

import re
from collections.abc import Iterator, Sequence

from .._policy import Fault, JudgedDifference, Verdict
from .._snapshot import Level
from ._wording import (
    describe_level,
    describe_sides,
    name_difference,
    name_pair,
    summarise,
)

_OURS = re.compile(r"^(\$RA_PIPE_DIR|\$\{RA_PIPE_DIR\}|resource://lsst\.ra\.pipe/resources)/+")
"""How the files of this repository begin."""


def write_github(verdicts: Sequence[Verdict]) -> str:
    """Write workflow commands, a line each.

    An undeclared difference is an error on the line of this repository that
    sets the candidate's value, so that it is shown beside that line in a pull
    request.  Errors come first: GitHub shows ten of a step.
    """
    lines = [line for verdict in verdicts for line in _write_errors(verdict)]
    lines += [_write_summary(verdict) for verdict in verdicts]
    return "".join(f"{line}\n" for line in lines)


def _write_errors(verdict: Verdict) -> Iterator[str]:
    """Yield an error for each thing that is wrong."""
    for judged in verdict.comparisons:
        where = name_pair(judged.comparison)
        for one in judged.undeclared:
            yield _write_difference(one, judged.comparison.level, where)
    yield from map(_write_fault, verdict.faults)


def _write_difference(judged: JudgedDifference, level: Level, where: str) -> str:
    """Write an undeclared difference."""
    difference = judged.difference
    lines = [
        f"{side.key}: {side.value}" + (f" ({side.origin})" if side.origin else "")
        for side in describe_sides(difference, level)
    ]
    lines += [judged.note] if judged.note else []
    set_by = difference.candidate.set_by
    path = _find_in_repository(set_by.file) if set_by else None
    line = set_by.line if set_by and path else None
    title = f"Undeclared drift: {name_difference(difference)}"
    return _write_command("error", "\n".join([*lines, where]), file=path, line=line, title=title)


def _write_fault(fault: Fault) -> str:
    """Write what is wrong with an entry of the policy."""
    place = fault.entry.place
    return _write_command(
        "error",
        fault.message,
        file=_find_in_repository(place.file) or place.file,
        line=place.line,
        title=f"Drift policy: {fault.kind} entry",
    )


def _write_summary(verdict: Verdict) -> str:
    """Write a line for all that is allowed."""
    lines = [f"{summarise(verdict)}."]
    for judged in verdict.comparisons:
        lines.append(f"{name_pair(judged.comparison)} ({describe_level(judged.comparison)})")
    return _write_command("notice", "\n".join(lines), title="Drift")


def _find_in_repository(file: str) -> str | None:
    """Return the path in this repository; `None` for files elsewhere."""
    path, n_found = _OURS.subn("", file)
    if n_found:
        return path
    is_elsewhere = not file or file.startswith(("$", "/", "~", "..")) or "://" in file
    return None if is_elsewhere else file


def _write_command(command: str, message: str, **properties: str | int | None) -> str:
    """Write a workflow command, escaped as GitHub documents it."""
    written = ",".join(
        f"{key}={_escape_property(str(value))}" for key, value in properties.items() if value is not None
    )
    return f"::{command} {written}::{_escape(message)}"


def _escape(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _escape_property(text: str) -> str:
    return _escape(text).replace(":", "%3A").replace(",", "%2C")
