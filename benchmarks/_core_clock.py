# This file is part of ra_pipe.
#
# Use of this source code is governed by a 3-clause BSD-style
# license that can be found in the LICENSE file.
"""Split the core time of a process by what it does."""

from __future__ import annotations

__all__ = ("CoreClock",)

import contextlib
import functools
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from typing import Any


class CoreClock:
    """Counts core-seconds by name; each second for the innermost name."""

    def __init__(self) -> None:
        self.seconds: defaultdict[str, float] = defaultdict(float)
        self._names: list[str] = []
        self._since = time.process_time()

    def start(self) -> None:
        """Begin to count anew."""
        self.seconds.clear()
        self._since = time.process_time()

    @contextlib.contextmanager
    def count(self, name: str) -> Iterator[None]:
        """Count for a name while the context lasts."""
        self._settle()
        self._names.append(name)
        try:
            yield
        finally:
            self._settle()
            self._names.pop()

    def watch(self, owner: Any, method: str, name: str | Callable[..., str]) -> None:
        """Count every call of a method, for a name or what the arguments
        make of it.
        """
        function = getattr(owner, method)

        @functools.wraps(function)
        def watched(*args: Any, **kwargs: Any) -> Any:
            with self.count(name if isinstance(name, str) else name(*args, **kwargs)):
                return function(*args, **kwargs)

        setattr(owner, method, watched)

    def _settle(self) -> None:
        now = time.process_time()
        if self._names:
            self.seconds[self._names[-1]] += now - self._since
        self._since = now
