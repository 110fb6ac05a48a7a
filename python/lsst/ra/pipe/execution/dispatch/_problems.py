# This file is part of ra_pipe.
#
# Use of this source code is governed by a 3-clause BSD-style
# license that can be found in the LICENSE file.

from __future__ import annotations

__all__ = ("DispatchError", "DispatchProblem")

import dataclasses
from collections.abc import Iterable


@dataclasses.dataclass(frozen=True, order=True)
class DispatchProblem:
    """One thing that is wrong with dispatch rules."""

    line: int
    """Line of the file, from 1; 0 for rules that do not come from a file."""

    message: str
    """What is wrong, and what was expected."""


class DispatchError(ValueError):
    """Dispatch rules are wrong.

    Parameters
    ----------
    origin
        The file of the rules.
    problems
        All that is wrong with them.
    """

    def __init__(self, origin: str, problems: Iterable[DispatchProblem]) -> None:
        self.origin = origin
        self.problems = tuple(sorted(set(problems)))
        super().__init__(origin, self.problems)

    def __str__(self) -> str:
        return "\n".join(
            f"{self.origin}:{problem.line}: {problem.message}"
            if problem.line
            else f"{self.origin}: {problem.message}"
            for problem in self.problems
        )
