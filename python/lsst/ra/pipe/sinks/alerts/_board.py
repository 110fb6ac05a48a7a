# This file is part of ra_pipe.
#
# Use of this source code is governed by a 3-clause BSD-style
# license that can be found in the LICENSE file.

from __future__ import annotations

__all__ = ("AlertBoard", "AlertBoardStatus")

import dataclasses
from collections.abc import Callable, Iterable
from typing import Any

import redis

from ...execution.queue import JobQueue
from ._alert import Alert
from ._evaluate import AlertContext, Evaluation
from ._exposure import MAX_HISTORY, ExposureRecord

_MAX_TOLD = 10_000
_MAX_UNSENT = 10_000
_MAX_ATTEMPTS = 1000


@dataclasses.dataclass(frozen=True)
class AlertBoardStatus:
    """Alerts of a live service, at one moment."""

    standing: tuple[Alert, ...]
    """Alerts that are open, the most urgent first."""

    n_unsent: int
    """Number of alerts that the Kafka brokers have not confirmed yet."""


class AlertBoard:
    """Alerts in Redis, beside the queue: what stands, what was told, what is
    still to be sent.

    Parameters
    ----------
    queue
        Queue of the service, whose server and prefix of keys are used.
    sends
        Whether alerts are to be sent elsewhere: then each waits in
        `read_unsent` until it is confirmed.

    Notes
    -----
    The keys, after the prefix, with ``<instrument>`` at their end where it
    matters: the hashes ``alerts:standing:<instrument>`` (rule to alert) and
    ``alerts:history:<instrument>`` (exposure to what is remembered of it),
    the set ``alerts:instruments``, and the streams ``alerts:told`` and
    ``alerts:unsent``, whose entries have the field ``alert``.  Alerts are
    JSON, of the model `Alert`.

    What is told of an exposure changes these in one transaction, which is
    done again if another worker was faster: an alert is told once, however
    many workers judge an exposure and however often.

    Every method raises `redis.RedisError` when the server cannot be reached;
    then the call may be repeated without harm.
    """

    def __init__(self, queue: JobQueue, *, sends: bool = False) -> None:
        self._client: Any = queue.client
        self._queue = queue
        self._sends = sends

    def exchange(
        self, record: ExposureRecord, decide: Callable[[AlertContext], Evaluation]
    ) -> tuple[Alert, ...]:
        """Have an exposure judged, and keep the result, as one action.

        Parameters
        ----------
        record
            What is to be remembered of the exposure.
        decide
            Judges the exposure; is called again if another worker has changed
            meanwhile what it saw.

        Returns
        -------
        told
            Alerts that open, are repeated or close.
        """
        instrument = str(record.facts["instrument"])
        standing, history = self._name("standing", instrument), self._name("history", instrument)
        for _ in range(_MAX_ATTEMPTS):
            with self._client.pipeline(transaction=True) as pipe:
                try:
                    pipe.watch(standing, history)
                    evaluation = decide(_read_context(pipe, standing, history))
                    exposures = sorted({*map(int, pipe.hkeys(history)), record.exposure})
                    pipe.multi()
                    pipe.sadd(self._name("instruments"), instrument)
                    pipe.delete(standing)
                    if evaluation.standing:
                        alerts = {rule: one.model_dump_json() for rule, one in evaluation.standing.items()}
                        pipe.hset(standing, mapping=alerts)
                    remembered = record.model_copy(update={"rules": evaluation.rules})
                    pipe.hset(history, str(record.exposure), remembered.model_dump_json())
                    if forgotten := exposures[:-MAX_HISTORY]:
                        pipe.hdel(history, *map(str, forgotten))
                    self._tell(pipe, evaluation.told)
                    pipe.execute()
                except redis.WatchError:
                    continue
                return evaluation.told
        raise redis.RedisError(
            f"The alerts of {instrument} changed {_MAX_ATTEMPTS} times while they were judged."
        )

    def read(self) -> AlertBoardStatus:
        """Look at the board.

        Returns
        -------
        status
            What there is at this moment, of all instruments.
        """
        standing = [
            Alert.model_validate_json(text)
            for name in sorted(self._client.smembers(self._name("instruments")))
            for text in self._client.hvals(self._name("standing", name.decode()))
        ]
        standing.sort(key=lambda alert: (-alert.severity.rank, -alert.since, alert.rule))
        return AlertBoardStatus(tuple(standing), self._client.xlen(self._name("unsent")))

    def read_told(self, *, n: int = 100) -> tuple[Alert, ...]:
        """Read what was told last.

        Parameters
        ----------
        n
            Number of alerts.

        Returns
        -------
        alerts
            The newest first.
        """
        entries = self._client.xrevrange(self._name("told"), count=n)
        return tuple(Alert.model_validate_json(fields[b"alert"]) for _, fields in entries)

    def read_unsent(self, *, n: int = 500) -> dict[str, Alert]:
        """Read what is still to be sent.

        Parameters
        ----------
        n
            Number of alerts.

        Returns
        -------
        alerts
            The oldest first, by the identifiers that `confirm` takes.
        """
        entries = self._client.xrange(self._name("unsent"), count=n)
        return {entry.decode(): Alert.model_validate_json(fields[b"alert"]) for entry, fields in entries}

    def confirm(self, entries: Iterable[str]) -> None:
        """Forget what has been sent.

        Parameters
        ----------
        entries
            Identifiers, from `read_unsent`.
        """
        if listed := list(entries):
            self._client.xdel(self._name("unsent"), *listed)

    def claim_sending(self, sender: str, seconds: float) -> bool:
        """Ask to be the one process that sends.

        Parameters
        ----------
        sender
            Name of the process.
        seconds
            Time (s) after which another may, unless this asks again.

        Returns
        -------
        granted
            Whether it may send now.
        """
        key, milliseconds = self._name("sender"), round(seconds * 1e3)
        if self._client.set(key, sender, nx=True, px=milliseconds):
            return True
        if self._client.get(key) != sender.encode():
            return False
        self._client.pexpire(key, milliseconds)
        return True

    def _tell(self, pipe: Any, told: Iterable[Alert]) -> None:
        for alert in told:
            fields = {"alert": alert.model_dump_json()}
            pipe.xadd(self._name("told"), fields, maxlen=_MAX_TOLD, approximate=True)
            if self._sends:
                pipe.xadd(self._name("unsent"), fields, maxlen=_MAX_UNSENT, approximate=True)

    def _name(self, *parts: str) -> str:
        return self._queue.name("alerts", *parts)


def _read_context(pipe: Any, standing: str, history: str) -> AlertContext:
    records = tuple(ExposureRecord.model_validate_json(text) for text in pipe.hvals(history))
    alerts = [Alert.model_validate_json(text) for text in pipe.hvals(standing)]
    return AlertContext(
        history=records,
        standing={alert.rule: alert for alert in alerts},
        latest=max((record.exposure for record in records), default=-1),
    )
