# This file is part of ra_pipe.
#
# Use of this source code is governed by a 3-clause BSD-style
# license that can be found in the LICENSE file.

"""Running a source in a test, and a handler to give it."""

from __future__ import annotations

import concurrent.futures
import contextlib
import threading
from collections.abc import Callable, Iterator, Sequence

from lsst.ra.pipe.execution.events import EventRejected
from lsst.ra.pipe.execution.sources import Delivery, Receipt, Source
from redis.exceptions import ConnectionError as RedisConnectionError

TIMEOUT = 30.0
"""Time (s) after which something is taken for not happening."""


class Recorder:
    """A handler that keeps what it takes, and can be out of order.

    Parameters
    ----------
    judge
        Gives the reasons why a body is refused; none by default.
    """

    def __init__(self, judge: Callable[[bytes], Sequence[EventRejected]] | None = None) -> None:
        self.taken: list[Delivery] = []
        """What was handled."""
        self.batches: list[int] = []
        """Sizes of the batches."""
        self.attempts = 0
        """Calls, those that failed as well."""
        self._judge = judge or (lambda body: ())
        self._changed = threading.Condition()
        self._is_broken = False

    def __call__(self, deliveries: Sequence[Delivery]) -> list[Receipt]:
        """Handle deliveries."""
        with self._changed:
            self.attempts += 1
            self._changed.notify_all()
            if self._is_broken:
                raise RedisConnectionError("Error 111 connecting to 127.0.0.1:6379. Connection refused.")
            self.taken += deliveries
            self.batches.append(len(deliveries))
        reasons = [tuple(self._judge(delivery.body)) for delivery in deliveries]
        return [Receipt(0 if rejected else 1, rejected) for rejected in reasons]

    @property
    def bodies(self) -> list[bytes]:
        """What was handled, without the origins (`list` [`bytes`])."""
        return [delivery.body for delivery in self.taken]

    def break_down(self) -> None:
        """Fail from now on, as without Redis."""
        with self._changed:
            self._is_broken = True

    def recover(self) -> None:
        """Handle again."""
        with self._changed:
            self._is_broken = False

    def wait_for(self, is_done: Callable[[], bool]) -> None:
        """Wait until something is so after a call."""
        with self._changed:
            if not self._changed.wait_for(is_done, TIMEOUT):
                raise TimeoutError(f"after {self.attempts} calls: {self.taken}")

    def wait_for_count(self, count: int) -> None:
        """Wait until so many deliveries were handled."""
        self.wait_for(lambda: len(self.taken) >= count)


@contextlib.contextmanager
def running(source: Source, handle: Callable[[Sequence[Delivery]], Sequence[Receipt]]) -> Iterator[None]:
    """Run a source in a thread while the block lasts, once it is ready."""
    with concurrent.futures.ThreadPoolExecutor(1) as executor:
        future = executor.submit(source.run, handle)
        future.add_done_callback(lambda _: source.ready.set())
        try:
            if not source.ready.wait(TIMEOUT):
                raise TimeoutError("The source does not get ready.")
            if future.done():
                future.result()
            yield
        finally:
            source.stop()
            future.result(TIMEOUT)
