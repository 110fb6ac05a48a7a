# This file is part of ra_pipe.
#
# Use of this source code is governed by a 3-clause BSD-style
# license that can be found in the LICENSE file.

from __future__ import annotations

__all__ = ("Distributor",)

import logging
from collections.abc import Sequence

import sqlalchemy.exc

from ..events import Event, EventParser, EventRejected, FileArrived, RejectionCode
from ..queue import Job, JobQueue, RejectedEvent
from ..sources import Delivery, Receipt
from ._planner import JobPlanner

_LOG = logging.getLogger(__name__)


class Distributor:
    """Puts events into the queue: validates, dispatches, refuses.

    Parameters
    ----------
    queue
        The queue.
    parser
        Reader of events.
    planner
        Turns them into jobs.
    secret
        What is not kept of an event that is refused.

    Notes
    -----
    It holds no state, so any number may run side by side.  An event whose
    exposure the Butler does not know yet is queued, too: the workers look
    again until it is there.
    """

    def __init__(
        self, queue: JobQueue, parser: EventParser, planner: JobPlanner, *, secret: str | None = None
    ) -> None:
        self._queue = queue
        self._parser = parser
        self._planner = planner
        self._secret = None if secret is None else secret.encode()

    def handle(self, deliveries: Sequence[Delivery]) -> list[Receipt]:
        """Put events into the queue.

        Parameters
        ----------
        deliveries
            What came from a source.

        Returns
        -------
        receipts
            One for each delivery.  By then Redis has every accepted event, and
            the bytes of every rejected one.

        Raises
        ------
        redis.RedisError
            Raised if the server cannot be reached; the same deliveries may be
            handled again.
        """
        planned = [[self._plan(event) for event in self._parser.parse(one.body)] for one in deliveries]
        jobs = [outcome for outcomes in planned for outcome in outcomes if isinstance(outcome, Job)]
        added = iter(self._queue.enqueue(jobs) if jobs else ())
        settled = [
            [self._replayed(one) if isinstance(one, Job) and not next(added) else one for one in outcomes]
            for outcomes in planned
        ]
        self._keep_rejected(deliveries, settled)
        return [_receipt(outcomes) for outcomes in settled]

    def _mask(self, body: bytes) -> bytes:
        return body if self._secret is None else body.replace(self._secret, b"***")

    def _plan(self, event: Event | EventRejected) -> Job | EventRejected | None:
        if isinstance(event, EventRejected):
            return event
        try:
            return self._planner.plan(event)
        except EventRejected as rejected:
            return rejected
        except (LookupError, sqlalchemy.exc.SQLAlchemyError) as err:
            # The Butler does not know the exposure, or cannot be asked now.
            assert not isinstance(event, FileArrived), "It needs no Butler."
            _LOG.info("Looking again at %s later: %s", event, err)
            return self._planner.postpone(event)

    @staticmethod
    def _replayed(job: Job) -> EventRejected:
        return EventRejected(
            RejectionCode.REPLAYED, f"expected a new event, but {job.key} was accepted before"
        )

    def _keep_rejected(
        self, deliveries: Sequence[Delivery], settled: Sequence[Sequence[Job | EventRejected | None]]
    ) -> None:
        rejected = [
            RejectedEvent(
                body=self._mask(delivery.body), origin=delivery.origin, code=one.code, reason=one.message
            )
            for delivery, outcomes in zip(deliveries, settled, strict=True)
            for one in outcomes
            if isinstance(one, EventRejected) and not _is_no_news(one, delivery)
        ]
        for event in rejected:
            level = logging.INFO if event.code == RejectionCode.REPLAYED else logging.WARNING
            _LOG.log(level, "Rejected an event from %s: %s: %s", event.origin, event.code, event.reason)
        if rejected:
            self._queue.reject(rejected)


def _receipt(outcomes: Sequence[Job | EventRejected | None]) -> Receipt:
    rejected = tuple(one for one in outcomes if isinstance(one, EventRejected))
    return Receipt(accepted=len(outcomes) - len(rejected), rejected=rejected)


def _is_no_news(rejected: EventRejected, delivery: Delivery) -> bool:
    """Tell whether a rejection need not be kept: every raw has a sidecar, and
    a directory is read again with every start.
    """
    if rejected.code is RejectionCode.REPLAYED:
        return delivery.origin.startswith("file ")
    return rejected.code is RejectionCode.NOT_RAW
