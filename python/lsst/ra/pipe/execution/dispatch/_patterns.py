# This file is part of ra_pipe.
#
# Use of this source code is governed by a 3-clause BSD-style
# license that can be found in the LICENSE file.

"""Glob patterns, and whether one matches all that another one does."""

from __future__ import annotations

__all__ = ("matches_any", "pattern_covers")

import fnmatch
import functools
from collections.abc import Iterable


def matches_any(patterns: Iterable[str], value: str | None) -> bool:
    """Tell whether a value matches one of several patterns.

    Parameters
    ----------
    patterns
        Glob patterns of `fnmatch`; the case of letters counts.
    value
        The value; `None` matches nothing, not even ``*``.
    """
    return value is not None and any(fnmatch.fnmatchcase(value, pattern) for pattern in patterns)


@functools.lru_cache(maxsize=4096)
def pattern_covers(general: str, special: str) -> bool:
    """Tell whether a glob pattern matches all that another one does.

    Parameters
    ----------
    general
        The pattern that may be the wider one.
    special
        The pattern that may be the narrower one.

    Returns
    -------
    covers
        Never `True` wrongly.  It may be `False` wrongly where both have
        wildcards and one has a ``[``.
    """
    if not any(character in special for character in "*?["):
        return fnmatch.fnmatchcase(special, general)
    if general == special or (general and not general.strip("*")):
        return True
    if "[" in general + special:
        return False
    return _includes(general, special)


def _includes(general: str, special: str) -> bool:
    """Compare patterns of ``*``, ``?`` and letters, as finite automata.

    Both automata read the same text; the patterns cannot tell letters apart
    that neither of them names, so one such letter stands for all.
    """
    named = set(general + special) - set("*?")
    other = next(letter for code in range(0x110000) if (letter := chr(code)) not in named)
    start = (_close(special, {0}), _close(general, {0}))
    seen = {start}
    pending = [start]
    while pending:
        in_special, in_general = pending.pop()
        if len(special) in in_special and len(general) not in in_general:
            return False
        for letter in (*named, other):
            after = (_step(special, in_special, letter), _step(general, in_general, letter))
            if after[0] and after not in seen:
                seen.add(after)
                pending.append(after)
    return True


def _step(pattern: str, positions: frozenset[int], letter: str) -> frozenset[int]:
    """Return where in the pattern one may be after one more letter."""
    after = set()
    for position in positions:
        if position == len(pattern):
            continue
        if pattern[position] == "*":
            after.add(position)
        elif pattern[position] in ("?", letter):
            after.add(position + 1)
    return _close(pattern, after)


def _close(pattern: str, positions: set[int]) -> frozenset[int]:
    """Add the positions that are reached without a letter, past stars."""
    closed = set()
    for position in positions:
        closed.add(position)
        while position < len(pattern) and pattern[position] == "*":
            position += 1
            closed.add(position)
    return frozenset(closed)
