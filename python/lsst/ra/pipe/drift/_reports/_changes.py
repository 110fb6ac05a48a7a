# This file is part of ra_pipe.
#
# Use of this source code is governed by a 3-clause BSD-style
# license that can be found in the LICENSE file.

"""Reports of what a reference changed, and what of that reaches others."""

from __future__ import annotations

__all__ = ("make_change_table", "write_changes")

from collections.abc import Iterator

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.text import Text

from .._difference import DifferenceKind
from .._since import Change, ChangeReport, Reach
from ._wording import count, describe_sides, name_difference

_COLOURS = {
    Reach.SHADOWED: "red",
    Reach.MISSING: "red",
    Reach.UNKNOWN: "red",
    Reach.REPEATED: "yellow",
    Reach.INHERITED: "green",
}
"""What bites comes first."""

_MEANINGS = {
    Reach.SHADOWED: "hidden by an override of the candidate",
    Reach.MISSING: "not in the candidate, and no override of it says so",
    Reach.UNKNOWN: "that a statement of the candidate, which was not worked out, may hide",
    Reach.REPEATED: "in the candidate by its own override, which is not needed any more",
    Reach.INHERITED: "in the candidate by itself",
}


def make_change_table(report: ChangeReport) -> RenderableType:
    """Lay changes out for the terminal.

    Parameters
    ----------
    report
        The changes.

    Returns
    -------
    table
        Something that `rich` prints.
    """
    parts: list[RenderableType] = [
        Text(
            f"{report.reference} since {report.old} ({report.level}), for {report.candidate}", overflow="fold"
        )
    ]
    for reach, colour in _COLOURS.items():
        changes = [one for one in report.changes if one.reach is reach]
        if not changes:
            continue
        parts.append(Text(f"\n{count(len(changes), 'change')} {_MEANINGS[reach]}", style=f"bold {colour}"))
        for change in changes:
            parts.append(Text(name_difference(change.difference), style="bold", overflow="fold"))
            parts += [
                Padding(Text(line, overflow="fold"), (0, 0, 0, 2)) for line in _describe(change, report)
            ]
    if not report.changes:
        parts.append(Text("\nNothing changed.", style="bold green"))
    return Group(*parts)


def write_changes(report: ChangeReport) -> str:
    """Write changes in Markdown.

    Parameters
    ----------
    report
        The changes.

    Returns
    -------
    text
        A list of changes under a heading for each reach.
    """
    lines = [
        f"## `{report.reference}` since `{report.old}`",
        "",
        f"For `{report.candidate}`, {report.level}.",
    ]
    for reach, meaning in _MEANINGS.items():
        changes = [one for one in report.changes if one.reach is reach]
        if changes:
            lines += ["", f"### {count(len(changes), 'change')} {meaning}", ""]
        for change in changes:
            lines.append(f"- `{name_difference(change.difference)}`")
            lines += [f"  - {line}" for line in _describe(change, report)]
    if not report.changes:
        lines += ["", "Nothing changed."]
    return "\n".join(lines) + "\n"


def _describe(change: Change, report: ChangeReport) -> Iterator[str]:
    """Say how it was, how it is, and what the candidate has."""
    was, now = describe_sides(change.difference, report.level)
    yield f"was {was.value}" + (f", by {was.origin}" if was.origin else "")
    yield f"is {now.value}" + (f", by {now.origin}" if now.origin else "")
    if change.candidate is not None:
        is_other = change.difference.kind is not change.candidate.kind or (
            change.candidate.kind is DifferenceKind.FIELD and change.candidate.name != change.difference.name
        )
        whose = f" for {name_difference(change.candidate)}" if is_other else ""
        yield f"the candidate has {describe_sides(change.candidate, report.level)[1].value}{whose}"
    if change.hidden_by:
        yield f"in the way: {', '.join(change.hidden_by)}"
    if change.set_by:
        yield f"set in {change.set_by}"
    for entry in change.entries:
        yield f"policy {entry.place}: {entry.category}: {entry.reason}"
