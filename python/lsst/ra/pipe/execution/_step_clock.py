# This file is part of ra_pipe.
#
# Use of this source code is governed by a 3-clause BSD-style
# license that can be found in the LICENSE file.

from __future__ import annotations

__all__ = ("StepClock",)

import contextlib
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping


class StepClock:
    """Tells where the time goes."""

    def __init__(self) -> None:
        self._begin = time.perf_counter()
        self._seconds: dict[str, float] = defaultdict(float)

    @contextlib.contextmanager
    def step(self, name: str) -> Iterator[None]:
        """Add the time in the context to a step.

        Parameters
        ----------
        name
            Name of the step.
        """
        begin = time.perf_counter()
        try:
            yield
        finally:
            self._seconds[name] += time.perf_counter() - begin

    def move(self, seconds: float, *, source: str, target: str) -> None:
        """Count a part of one step as another step.

        Parameters
        ----------
        seconds
            Wall-clock time (s).
        source
            Name of the step that it was counted in.
        target
            Name of the step that it belongs to.
        """
        self._seconds[source] -= seconds
        self._seconds[target] += seconds

    def finish(self) -> Mapping[str, float]:
        """Return the time of all steps.

        Returns
        -------
        steps
            Wall-clock time (s) by step, with what is in none as ``rest``.
        """
        total = time.perf_counter() - self._begin
        return {**self._seconds, "rest": total - sum(self._seconds.values())}
