# This file is part of ra_pipe.
#
# Use of this source code is governed by a 3-clause BSD-style
# license that can be found in the LICENSE file.

"""A Kafka cluster for tests: librdkafka's own, over real sockets.

It lives in a process of its own, which can be stopped and continued: that is
an outage of the brokers.
"""

from __future__ import annotations

import contextlib
import signal
import subprocess
import sys
from collections.abc import Iterable
from typing import Self

from confluent_kafka import Consumer, Producer, TopicPartition

TIMEOUT = 30.0
"""Time (s) after which the cluster is taken for dead."""

FAST = {
    # Other than real brokers, these keep a request so long though a message comes.
    "fetch.wait.max.ms": "10",
    "topic.metadata.refresh.interval.ms": "200",
    "socket.timeout.ms": "2000",
    # These brokers wait for nearly that long when the members of a group
    # change; less than 3 s they would not grant.
    "session.timeout.ms": "4000",
    "heartbeat.interval.ms": "300",
}
"""Options with which a source in a test need not wait long."""


class KafkaCluster(contextlib.AbstractContextManager["KafkaCluster"]):
    """Brokers in a child process, and a producer in this one.

    Parameters
    ----------
    brokers
        How many.
    """

    def __init__(self, *, brokers: int = 1) -> None:
        self._process = subprocess.Popen(
            [sys.executable, __file__, str(brokers)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        assert self._process.stdout is not None
        self.bootstrap = self._process.stdout.readline().strip()
        """Addresses of the brokers, ``host:port,host:port``."""
        if not self.bootstrap:
            raise RuntimeError(f"The Kafka cluster did not start: status {self._process.wait()}")
        self._producer = Producer({"bootstrap.servers": self.bootstrap})

    def url(self, *topics: str, group: str = "rapid") -> str:
        """Give the URL of a source."""
        return f"kafka://{self.bootstrap}/{','.join(topics)}?group={group}"

    def create(self, topic: str) -> None:
        """Create an empty topic, of four partitions."""
        self._producer.list_topics(topic, timeout=TIMEOUT)

    def produce(self, topic: str, bodies: Iterable[bytes], *, partition: int | None = None) -> None:
        """Produce messages, and wait until the brokers have them."""
        for body in bodies:
            if partition is None:
                self._producer.produce(topic, body)
            else:
                self._producer.produce(topic, body, partition=partition)
        if left := self._producer.flush(TIMEOUT):
            raise RuntimeError(f"Kafka took all but {left} messages.")

    def committed(self, topic: str, *, group: str = "rapid") -> int:
        """Count the messages that a group has committed."""
        consumer = Consumer({"bootstrap.servers": self.bootstrap, "group.id": group})
        try:
            partitions = consumer.list_topics(topic, timeout=TIMEOUT).topics[topic].partitions
            places = [TopicPartition(topic, partition) for partition in partitions]
            return sum(max(place.offset, 0) for place in consumer.committed(places, timeout=TIMEOUT))
        finally:
            consumer.close()

    def pause(self) -> None:
        """Begin an outage: connections stay, nothing answers."""
        self._process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        """End the outage."""
        self._process.send_signal(signal.SIGCONT)

    def close(self) -> None:
        """End the brokers; what they hold is gone."""
        self._process.kill()
        self._process.communicate()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *args: object) -> None:
        self.close()


def _serve(brokers: int) -> None:
    """Run the brokers until standard input ends, as it does with the parent."""
    owner = Producer({"test.mock.num.brokers": str(brokers), "log_level": "0"})
    addresses = [
        f"{broker.host}:{broker.port}" for broker in owner.list_topics(timeout=TIMEOUT).brokers.values()
    ]
    print(",".join(addresses), flush=True)
    sys.stdin.read()


if __name__ == "__main__":
    _serve(int(sys.argv[1]))
