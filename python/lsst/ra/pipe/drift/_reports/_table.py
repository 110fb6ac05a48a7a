# This file is part of ra_pipe.
#
# Use of this source code is governed by a 3-clause BSD-style
# license that can be found in the LICENSE file.

"""Verdicts for the terminal."""

from __future__ import annotations

__all__ = ("make_table",)

from collections.abc import Iterator, Sequence

from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.padding import Padding
from rich.rule import Rule
from rich.table import Table
from rich.text import Text

from .._policy import JudgedComparison, JudgedDifference, Verdict
from .._snapshot import Level
from ._wording import (
    SideText,
    count,
    describe_judgement,
    describe_level,
    describe_omits,
    describe_sides,
    name_difference,
    summarise,
)

_WIDTH_OF_KEY = 12
"""Characters of the first column."""

_WIDE = 110
"""Least width of three columns."""


def make_table(verdicts: Sequence[Verdict]) -> RenderableType:
    """Lay verdicts out for the terminal.

    Parameters
    ----------
    verdicts
        The verdicts.

    Returns
    -------
    table
        Something that `rich` prints, at any width: long values wrap, and
        nothing is cut off.
    """
    return Group(*(part for verdict in verdicts for part in _show_verdict(verdict)))


def _show_verdict(verdict: Verdict) -> Iterator[RenderableType]:
    """Show comparisons, then what is wrong with the policy."""
    for judged in verdict.comparisons:
        yield Rule(style="dim", characters="-")
        yield _show_header(judged, verdict.policy)
        level = judged.comparison.level
        yield from _show_undeclared(judged.undeclared, level)
        yield from _show_allowed(judged.allowed, level)
    if verdict.faults:
        yield Text(f"\n{count(len(verdict.faults), 'fault')} of the policy", style="bold red")
        for fault in verdict.faults:
            yield Padding(_text(f"{fault.kind}: {fault}"), (0, 0, 0, 2))
    yield Text(f"\n{summarise(verdict)}", style="bold red" if verdict.exit_code else "bold green")


def _show_header(judged: JudgedComparison, policy: str) -> RenderableType:
    """Show what was compared, and how."""
    comparison = judged.comparison
    grid = _make_grid(2)
    grid.add_row("reference", _text(comparison.reference))
    grid.add_row("candidate", _text(comparison.candidate))
    grid.add_row("level", _text(describe_level(comparison)))
    if omits := describe_omits(comparison):
        grid.add_row("not compared", _text(omits))
    grid.add_row("policy", _text(policy or "none"))
    return grid


def _show_undeclared(differences: Sequence[JudgedDifference], level: Level) -> Iterator[RenderableType]:
    """Show what nothing allows, in blocks."""
    if not differences:
        return
    yield Text(f"\n{count(len(differences), 'undeclared difference')}", style="bold red")
    for judged in differences:
        yield _text(name_difference(judged.difference), style="bold")
        yield Padding(_Sides(describe_sides(judged.difference, level)), (0, 0, 0, 2))
        if remark := describe_judgement(judged):
            yield Padding(_text(remark, style="yellow"), (0, 0, 0, 2))


def _show_allowed(differences: Sequence[JudgedDifference], level: Level) -> Iterator[RenderableType]:
    """Show what is allowed under what allows it, one after another."""
    if not differences:
        return
    yield Text(f"\n{count(len(differences), 'allowed difference')}", style="bold green")
    reasons = dict.fromkeys(map(describe_judgement, differences))
    for reason in reasons:
        yield _text(reason, style="green")
        for judged in differences:
            if describe_judgement(judged) == reason:
                sides = " -> ".join(map(_describe_side, describe_sides(judged.difference, level)))
                line = Text(name_difference(judged.difference), style="bold", overflow="fold")
                yield Padding(line.append(f"  {sides}", style="not bold"), (0, 0, 0, 2))


def _describe_side(side: SideText) -> str:
    return f"{side.value} ({side.origin})" if side.origin else side.value


class _Sides:
    """Values of a difference, and what set them.

    Parameters
    ----------
    sides
        Both sides.
    """

    def __init__(self, sides: Sequence[SideText]) -> None:
        self._sides = sides

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Put what set a value beside it, on a narrow terminal behind it."""
        is_wide = options.max_width >= _WIDE
        grid = _make_grid(3 if is_wide else 2)
        for side in self._sides:
            value, origin = _text(side.value), _text(side.origin, style="cyan")
            cells = (value, origin) if is_wide else (Text("  ").join((value, origin)),)
            grid.add_row(side.key, *cells)
        yield grid


def _make_grid(n_columns: int) -> Table:
    """Make a table whose columns are at the same place in every block."""
    grid = Table.grid(padding=(0, 2, 0, 0), expand=True)
    grid.add_column(width=_WIDTH_OF_KEY, style="dim", no_wrap=True)
    for _ in range(n_columns - 1):
        grid.add_column(ratio=1, overflow="fold")
    return grid


def _text(text: str, *, style: str = "") -> Text:
    """Make text in which brackets are no markup, and long words wrap."""
    return Text(text, style=style, overflow="fold")
