# This file is part of ra_pipe.
#
# Use of this source code is governed by a 3-clause BSD-style
# license that can be found in the LICENSE file.

"""Verdicts as a comment of a pull request."""

from __future__ import annotations

__all__ = ("write_markdown",)

import re
from collections.abc import Iterator, Sequence

from .._policy import JudgedComparison, JudgedDifference, Verdict
from .._snapshot import Level
from ._wording import (
    count,
    describe_judgement,
    describe_level,
    describe_omits,
    describe_sides,
    name_difference,
    summarise,
)

_MAX_LENGTH = 65_000
"""Characters of a comment; GitHub refuses more than 65 536."""

_LIMITS = ((None, None), (None, 100), (None, 20), (None, 0), (200, 0), (50, 0), (10, 0))
"""Rows of each table, of undeclared and of allowed differences, that are
tried until a comment is short enough.
"""


def write_markdown(verdicts: Sequence[Verdict]) -> str:
    """Write tables, the undeclared differences first, with an end of line.

    A comment that would be too long has fewer rows, and says how many it
    leaves out.
    """
    texts = (_write(verdicts, *limits) for limits in _LIMITS)
    return next((text for text in texts if len(text) <= _MAX_LENGTH), _write(verdicts, 0, 0))


def _write(verdicts: Sequence[Verdict], n_undeclared: int | None, n_allowed: int | None) -> str:
    """Write tables of at most so many rows."""
    lines = (line for verdict in verdicts for line in _write_verdict(verdict, n_undeclared, n_allowed))
    return "\n".join(lines).strip("\n") + "\n"


def _write_verdict(verdict: Verdict, n_undeclared: int | None, n_allowed: int | None) -> Iterator[str]:
    """Yield the lines of a verdict."""
    yield from (f"### Drift: {summarise(verdict)}", "")
    if verdict.faults:
        yield from ("| Policy | Fault |", "| --- | --- |")
        for fault in verdict.faults:
            yield f"| {_code(str(fault.entry.place))} | **{fault.kind}**: {_prose(fault.message)} |"
        yield ""
    for judged in verdict.comparisons:
        yield from _write_header(judged, verdict.policy)
        level = judged.comparison.level
        yield from _write_table(judged.undeclared, level, n_undeclared, "undeclared difference")
        if judged.allowed:
            yield f"<details><summary>{count(len(judged.allowed), 'allowed difference')}</summary>"
            yield ""
            yield from _write_table(judged.allowed, level, n_allowed, "allowed difference")
            yield from ("</details>", "")


def _write_header(judged: JudgedComparison, policy: str) -> Iterator[str]:
    """Yield the lines that say what was compared, and how."""
    comparison = judged.comparison
    yield f"- reference: {_code(comparison.reference)}"
    yield f"- candidate: {_code(comparison.candidate)}"
    yield f"- level: {_prose(describe_level(comparison))}"
    if omits := describe_omits(comparison):
        yield f"- not compared: {_prose(omits)}"
    yield f"- policy: {_code(policy) if policy else 'none'}"
    yield ""


def _write_table(
    differences: Sequence[JudgedDifference], level: Level, limit: int | None, noun: str
) -> Iterator[str]:
    """Yield the lines of a table."""
    shown = differences[:limit]
    if shown:
        yield from ("| Difference | Reference | Candidate | Why |", "| --- | --- | --- | --- |")
        yield from (_write_row(one, level) for one in shown)
        yield ""
    if len(shown) < len(differences):
        more = "more " if shown else ""
        yield from (f"{count(len(differences) - len(shown), more + noun)} not shown here.", "")


def _write_row(judged: JudgedDifference, level: Level) -> str:
    """Write a difference as a row."""
    cells = [_code(name_difference(judged.difference))]
    for side in describe_sides(judged.difference, level):
        write = _code if "/" in side.origin else _prose
        cells.append(_code(side.value) + (f"<br>{write(side.origin)}" if side.origin else ""))
    cells.append(_prose(describe_judgement(judged) or "undeclared"))
    return f"| {' | '.join(cells)} |"


def _code(text: str) -> str:
    """Write code in a table: fenced by more backticks than it holds."""
    text = " ".join(text.split("\n")).replace("|", "\\|")
    longest = max(map(len, re.findall("`+", text)), default=0)
    fence = "`" * (longest + 1)
    space = " " if longest or text != text.strip() or not text else ""
    return f"{fence}{space}{text}{space}{fence}"


def _prose(text: str) -> str:
    """Write text in a table: nothing in it is markup, nor mathematics."""
    escaped = re.sub(r"([\\`*_\[\]<>|~#@])", r"\\\1", " ".join(text.split()))
    return escaped.replace("$", "<span>$</span>")
