# This file is part of ra_pipe.
#
# Use of this source code is governed by a 3-clause BSD-style
# license that can be found in the LICENSE file.

from __future__ import annotations

__all__ = ("AlertSender",)

import functools
import logging
import os
import secrets
import socket
import urllib.parse
from collections.abc import Mapping

from confluent_kafka import KafkaError, Message, Producer

from ._alert import Alert
from ._board import AlertBoard

_LOG = logging.getLogger(__name__)


class AlertSender:
    """Sends alerts from the board to a Kafka topic.

    Parameters
    ----------
    board
        Where the alerts wait.
    url
        ``kafka://host:port,host:port/topic``.
    options
        Options of librdkafka, such as ``security.protocol``.
    patience_seconds
        Time (s) that `send` waits for the brokers while they answer; while
        they do not it waits for nothing.
    delivery_seconds
        Time (s) after which an alert that is not confirmed is sent again.

    Raises
    ------
    ValueError
        Raised if the URL is not of that form.

    Notes
    -----
    A message is an `Alert` as JSON; its key is ``<instrument>/<rule>``, so
    that the messages of a rule keep their order.  An alert leaves the board
    once all brokers in sync have confirmed it.  A crash between the two sends
    it twice; `Alert.id` is then the same.
    """

    def __init__(
        self,
        board: AlertBoard,
        url: str,
        *,
        options: Mapping[str, str] | None = None,
        patience_seconds: float = 1.0,
        delivery_seconds: float = 10.0,
    ) -> None:
        parts = urllib.parse.urlsplit(url)
        self._topic = parts.path.strip("/")
        if parts.scheme != "kafka" or not parts.netloc or not self._topic or parts.query:
            raise ValueError(f"alerts: expected kafka://host:port,host:port/topic, got {url!r}")
        self._board = board
        self._name = f"{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(2)}"
        self._patience = patience_seconds
        self._delivery_seconds = delivery_seconds
        self._in_flight: set[str] = set()
        self._confirmed: list[str] = []
        self._is_silent = False
        self._producer = Producer(
            {
                **(options or {}),
                "bootstrap.servers": parts.netloc,
                "acks": "all",
                "enable.idempotence": "true",
                "delivery.timeout.ms": str(round(1e3 * delivery_seconds)),
                "linger.ms": "0",
                # It would tell of every attempt to connect; alerts that wait
                # are told of here.
                "log_level": "2",
            }
        )

    def send(self) -> int:
        """Send what waits, and forget what the brokers have confirmed.

        Returns
        -------
        n_confirmed
            Number of alerts that were confirmed since the last call.

        Notes
        -----
        To be called from time to time.  What the brokers do not confirm stays
        on the board, and is sent again with a later call, from this process
        or from another.
        """
        self._producer.poll(0)
        unsent = self._board.read_unsent()
        if unsent and self._board.claim_sending(self._name, 3.0 * self._delivery_seconds):
            for entry, alert in unsent.items():
                if entry not in self._in_flight and entry not in self._confirmed:
                    self._produce(entry, alert)
            left = self._producer.flush(0.0 if self._is_silent else self._patience)
            self._is_silent = left > 0
        confirmed, self._confirmed = self._confirmed, []
        self._board.confirm(confirmed)
        return len(confirmed)

    def _produce(self, entry: str, alert: Alert) -> None:
        self._in_flight.add(entry)
        self._producer.produce(
            self._topic,
            value=alert.model_dump_json().encode(),
            key=f"{alert.instrument}/{alert.rule}".encode(),
            on_delivery=functools.partial(self._note, entry),
        )

    def _note(self, entry: str, error: KafkaError | None, _: Message) -> None:
        """Take down what became of an alert."""
        self._in_flight.discard(entry)
        if error is None:
            self._is_silent = False
            self._confirmed.append(entry)
        else:
            _LOG.warning("An alert waits, topic %s did not confirm it: %s", self._topic, error)
