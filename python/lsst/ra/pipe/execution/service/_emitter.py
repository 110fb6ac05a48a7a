# This file is part of ra_pipe.
#
# Use of this source code is governed by a 3-clause BSD-style
# license that can be found in the LICENSE file.

from __future__ import annotations

__all__ = ("EmitError", "KafkaEmitter")

import urllib.parse
from collections.abc import Mapping, Sequence

from confluent_kafka import KafkaError, Message, Producer

from ..events import ImageIngested


class EmitError(RuntimeError):
    """The broker did not confirm an event."""


class KafkaEmitter:
    """Sends events to a Kafka topic.

    Parameters
    ----------
    url
        ``kafka://host:port,host:port/topic``.
    options
        Options of librdkafka, such as ``security.protocol``.
    seconds
        Time (s) in which the brokers must confirm.

    Raises
    ------
    ValueError
        Raised if the URL is not of that form.
    """

    def __init__(self, url: str, *, options: Mapping[str, str] | None = None, seconds: float = 20.0) -> None:
        parts = urllib.parse.urlsplit(url)
        self._topic = parts.path.strip("/")
        if parts.scheme != "kafka" or not parts.netloc or not self._topic or parts.query:
            raise ValueError(f"emit: expected kafka://host:port,host:port/topic, got {url!r}")
        self._seconds = seconds
        self._producer = Producer(
            {
                **(options or {}),
                "bootstrap.servers": parts.netloc,
                "acks": "all",
                "enable.idempotence": "true",
                "delivery.timeout.ms": str(round(1e3 * seconds)),
                "linger.ms": "0",
            }
        )

    def emit(self, events: Sequence[ImageIngested]) -> None:
        """Send events, and wait until all brokers have them.

        Parameters
        ----------
        events
            The events; those of a detector keep their order.

        Raises
        ------
        EmitError
            Raised if one was not confirmed.  Those that were are not taken
            back, so sending all of them again sends some twice.
        """
        failures: list[str] = []

        def note(error: KafkaError | None, _: Message) -> None:
            if error is not None:
                failures.append(str(error))

        for event in events:
            key = f"{event.instrument}/{event.detector}"
            self._producer.produce(
                self._topic, value=event.model_dump_json().encode(), key=key.encode(), on_delivery=note
            )
        left = self._producer.flush(self._seconds + 1.0)
        if left or failures:
            why = failures[0] if failures else f"no answer in {self._seconds:g} s"
            raise EmitError(f"topic {self._topic}: {left + len(failures)} events were not confirmed: {why}")
