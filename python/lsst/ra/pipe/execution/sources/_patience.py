# This file is part of ra_pipe.
#
# Use of this source code is governed by a 3-clause BSD-style
# license that can be found in the LICENSE file.

"""Keeping deliveries while Redis cannot be reached."""

from __future__ import annotations

__all__ = ("Outage", "PatientHandler")

import logging
import threading
from collections.abc import Sequence

from redis.exceptions import RedisError

from ._delivery import Delivery, Handler, Receipt

_LOG = logging.getLogger(__name__)

_FIRST_WAIT = 0.1
_LONGEST_WAIT = 5.0


class Outage:
    """Says once that something is out of reach, and once that it is back.

    Parameters
    ----------
    what
        What is out of reach, for the log.
    """

    def __init__(self, what: str) -> None:
        self._what = what
        self._lock = threading.Lock()
        self._lasts = False

    @property
    def lasts(self) -> bool:
        """Whether it is out of reach (`bool`)."""
        return self._lasts

    def begin(self, error: object) -> None:
        """Note a failure."""
        with self._lock:
            if not self._lasts:
                _LOG.warning("%s: trying again until it is back: %s", self._what, error)
            self._lasts = True

    def end(self) -> None:
        """Note a success."""
        with self._lock:
            if self._lasts:
                _LOG.info("%s: it is back.", self._what)
            self._lasts = False


class PatientHandler:
    """Gives deliveries to a handler until it takes them.

    Parameters
    ----------
    handle
        Takes the deliveries.
    source
        Name of the source, for the log.
    stop
        Set when the source is to stop; it ends the waiting.
    """

    def __init__(self, handle: Handler, *, source: str, stop: threading.Event) -> None:
        self._handle = handle
        self._outage = Outage(f"{source}: Redis cannot be reached")
        self._stop = stop

    def deliver(self, deliveries: Sequence[Delivery]) -> Sequence[Receipt] | None:
        """Deliver, again and again while Redis cannot be reached.

        Parameters
        ----------
        deliveries
            What to deliver.

        Returns
        -------
        receipts
            What became of each; `None` if stopped before any of it was safe.
        """
        wait = _FIRST_WAIT
        while True:
            try:
                receipts = self._handle(deliveries)
            except RedisError as error:
                self._outage.begin(error)
            else:
                self._outage.end()
                return receipts
            if self._stop.wait(wait):
                return None
            wait = min(2 * wait, _LONGEST_WAIT)
