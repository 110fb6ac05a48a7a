# This file is part of ra_pipe.
#
# Use of this source code is governed by a 3-clause BSD-style
# license that can be found in the LICENSE file.

from __future__ import annotations

__all__ = ("KafkaSource",)

import logging
import threading
import time
from collections.abc import Iterator, Sequence

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition

from ._delivery import Delivery, Handler
from ._patience import PatientHandler
from ._settings import SourceSettings

_LOG = logging.getLogger(__name__)

_WAIT = 0.25
"""Time (s) to wait for a message before looking whether to stop."""

_GRACE = 3.0
"""Time (s) that the last commit may take when it is to stop."""

_CLOSING = 5.0
"""Time (s) that leaving the group may take."""

_DEFAULTS = {
    "auto.offset.reset": "earliest",
    # A topic or partition that is new is found soon.
    "topic.metadata.refresh.interval.ms": "10000",
}


class KafkaSource:
    """Consumes topics, as one of a group.

    An offset is committed after the handler has returned, so that each
    message is handled at least once.  What was handled and not committed,
    because of a crash, an outage or a rebalance, comes again.

    Parameters
    ----------
    brokers
        Where the brokers are, each ``host:port``.
    topics
        Names of the topics.
    group
        Name of the consumer group.
    settings
        Batch size and options of librdkafka.

    Raises
    ------
    ValueError
        Raised if a broker, topic or the group is missing, or an option is set
        that is not free.
    """

    def __init__(
        self, *, brokers: Sequence[str], topics: Sequence[str], group: str, settings: SourceSettings
    ) -> None:
        for name, value in {"brokers": brokers, "topics": topics, "group": group}.items():
            if not value or not all(value):
                raise ValueError(f"Kafka source: {name}: expected at least one name, got {value!r}")
        fixed = {"bootstrap.servers": ",".join(brokers), "group.id": group, "enable.auto.commit": "false"}
        if taken := sorted(fixed.keys() & settings.kafka_options.keys()):
            raise ValueError(f"kafka_options: {', '.join(taken)}: set by the source's URL, or not free")
        self.ready = threading.Event()
        self._config = {**_DEFAULTS, **settings.kafka_options, **fixed}
        self._topics = list(topics)
        self._batch_size = settings.batch_size
        self._stop = threading.Event()
        self._uncommitted: dict[tuple[str, int], int] = {}
        self._is_committing = False
        self._complaints: set[int] = set()

    def run(self, handle: Handler) -> None:
        """Deliver messages until `stop` is called.

        Parameters
        ----------
        handle
            Takes the deliveries.

        Raises
        ------
        confluent_kafka.KafkaException
            Raised if an option is wrong, or the client can never go on.
        """
        patient = PatientHandler(handle, source="Kafka source", stop=self._stop)
        callbacks = {"error_cb": self._complain, "on_commit": self._on_commit}
        consumer = Consumer({**self._config, **callbacks}, logger=_LOG.getChild("librdkafka"))
        try:
            consumer.subscribe(self._topics, on_assign=self._on_assign, on_revoke=self._on_revoke)
            while not self._stop.is_set():
                self._step(consumer, patient)
            self._finish_commit(consumer)
        finally:
            _close(consumer)

    def stop(self) -> None:
        """End `run`, from another thread or a signal handler."""
        self._stop.set()

    def _step(self, consumer: Consumer, patient: PatientHandler) -> None:
        """Handle what is there, then commit it."""
        messages = list(self._receive(consumer))
        if messages:
            deliveries = [_make_delivery(message) for message in messages]
            if patient.deliver(deliveries) is None:
                return
            for message in messages:
                self._uncommitted[_place(message)] = _offset(message) + 1
        self._commit(consumer)

    def _receive(self, consumer: Consumer) -> Iterator[Message]:
        """Wait for a message, and take what else is there already."""
        # Asked for many, the client would wait the whole time for them.
        messages = consumer.consume(1, _WAIT)
        if messages and self._batch_size > 1:
            messages += consumer.consume(self._batch_size - 1, 0)
        for message in messages:
            error = message.error()
            if error is None:
                self._complaints.clear()
                yield message
            elif error.fatal():
                raise KafkaException(error)
            else:
                self._complain(error)

    def _commit(self, consumer: Consumer) -> None:
        """Commit what was handled, one commit after another.

        The client goes on while it tries; waiting for it would take as long
        as an outage of the brokers, and could not be stopped.
        """
        if self._is_committing or not self._uncommitted:
            return
        offsets = [TopicPartition(topic, number, at) for (topic, number), at in self._uncommitted.items()]
        try:
            consumer.commit(offsets=offsets, asynchronous=True)
        except KafkaException as exception:
            self._complain(exception.args[0])
        else:
            self._is_committing = True

    def _on_commit(self, error: KafkaError | None, partitions: list[TopicPartition]) -> None:
        """Note what was committed; what was not is in the next commit.

        A partition that another consumer has by now is not ours to commit:
        the messages come again there, which does no harm.
        """
        self._is_committing = False
        for partition in partitions:
            place = (partition.topic, partition.partition)
            if failure := partition.error or error:
                self._complain(failure)
            elif self._uncommitted.get(place) == partition.offset:
                del self._uncommitted[place]

    def _finish_commit(self, consumer: Consumer) -> None:
        """Commit what was handled last, if that is to be had soon."""
        end = time.monotonic() + _GRACE
        while self._uncommitted and time.monotonic() < end:
            self._commit(consumer)
            consumer.consume(1, _WAIT)  # calls back; a message comes again to the next

    def _on_assign(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        _LOG.info("Kafka source: assigned %s.", ", ".join(map(_name, partitions)) or "no partition")
        self.ready.set()

    def _on_revoke(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        for partition in partitions:
            if self._uncommitted.pop((partition.topic, partition.partition), None) is not None:
                _LOG.warning(
                    "Kafka source: %s was revoked before a commit; it comes again.", _name(partition)
                )

    def _complain(self, error: KafkaError) -> None:
        """Log an error that passes, once until messages come again."""
        if error.code() not in self._complaints:
            _LOG.warning("Kafka source: goes on after %s: %s", error.name(), error.str())
        self._complaints.add(error.code())


def _close(consumer: Consumer) -> None:
    """Leave the group; the brokers miss a member who cannot, after a while.

    During an outage the client may wait for ever for what was under way.
    """
    thread = threading.Thread(target=consumer.close, name="kafka-close", daemon=True)
    thread.start()
    thread.join(_CLOSING)
    if thread.is_alive():
        _LOG.warning("Kafka source: ends without leaving its group: the brokers do not answer.")


def _make_delivery(message: Message) -> Delivery:
    topic, partition = _place(message)
    return Delivery(message.value() or b"", f"kafka {topic}[{partition}]@{_offset(message)}")


def _place(message: Message) -> tuple[str, int]:
    topic, partition = message.topic(), message.partition()
    assert topic is not None, "Only errors have none."
    assert partition is not None, "Only errors have none."
    return topic, partition


def _offset(message: Message) -> int:
    offset = message.offset()
    assert offset is not None, "Only errors have none."
    return offset


def _name(partition: TopicPartition) -> str:
    return f"{partition.topic}[{partition.partition}]"
