# This file is part of ra_pipe.
#
# Use of this source code is governed by a 3-clause BSD-style
# license that can be found in the LICENSE file.

from __future__ import annotations

__all__ = ("Delivery", "Handler", "Receipt", "Source")

import dataclasses
import threading
from collections.abc import Callable, Sequence
from typing import Protocol

from lsst.ra.pipe.execution.events import EventRejected


@dataclasses.dataclass(frozen=True)
class Delivery:
    """Bytes that came from outside, not looked at yet."""

    body: bytes
    """What came; it may hold several events, or be nonsense."""

    origin: str
    """Where from, for the log: ``kafka topic[partition]@offset``,
    ``http 192.0.2.1``, ``file /data/x.fits``."""


@dataclasses.dataclass(frozen=True)
class Receipt:
    """What became of one delivery."""

    accepted: int
    """Events that are in Redis now."""

    rejected: tuple[EventRejected, ...] = ()
    """Reasons of those refused, the replayed ones among them."""


type Handler = Callable[[Sequence[Delivery]], Sequence[Receipt]]
"""What a source gives its deliveries to.

It returns one receipt for each delivery, in their order, and only when Redis
has every event accepted and the bytes of every one refused.  It raises
`redis.exceptions.RedisError` if it cannot: then nothing was accepted for good,
the source acknowledges nothing and delivers all of them again.
"""


class Source(Protocol):
    """Delivers what comes in, and acknowledges what was handled."""

    ready: threading.Event
    """Set once it listens: from then on nothing that comes is missed."""

    def run(self, handle: Handler) -> None:
        """Deliver until `stop` is called.

        Parameters
        ----------
        handle
            Takes the deliveries.
        """

    def stop(self) -> None:
        """End `run`, from another thread or a signal handler.

        It ends after what is being handled.  What is not handled by then comes
        again to the next source.
        """
