# This file is part of ra_pipe.
#
# Use of this source code is governed by a 3-clause BSD-style
# license that can be found in the LICENSE file.

"""Alerts to Kafka, over real sockets."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest
from alert_exposures import make_alert, make_exposure
from confluent_kafka import Consumer, TopicPartition
from kafka_cluster import TIMEOUT, KafkaCluster
from lsst.ra.pipe.execution.queue import JobQueue
from lsst.ra.pipe.sinks.alerts import Alert, AlertBoard, AlertSender, Evaluation


@pytest.fixture(scope="module")
def cluster() -> Iterator[KafkaCluster]:
    """Brokers; each test has a topic of its own."""
    with KafkaCluster() as cluster:
        yield cluster


def tell(board: AlertBoard, *alerts: Alert) -> None:
    """Put alerts on a board."""
    board.exchange(make_exposure(1).record([]), lambda context: Evaluation(alerts, context.standing))


def make_sender(
    board: AlertBoard, cluster: KafkaCluster, topic: str, *, delivery: float = 30.0
) -> AlertSender:
    """Make a sender that waits until the brokers have answered."""
    url = f"kafka://{cluster.bootstrap}/{topic}"
    return AlertSender(board, url, patience_seconds=TIMEOUT, delivery_seconds=delivery)


def consume(cluster: KafkaCluster, topic: str, n: int) -> list[tuple[bytes, Alert]]:
    """Read the first messages of a topic, with their keys."""
    consumer = Consumer(
        {"bootstrap.servers": cluster.bootstrap, "group.id": "test", "fetch.wait.max.ms": "10"}
    )
    try:
        partitions = consumer.list_topics(topic, timeout=TIMEOUT).topics[topic].partitions
        consumer.assign([TopicPartition(topic, partition, 0) for partition in partitions])
        found: list[tuple[bytes, Alert]] = []
        end = time.monotonic() + TIMEOUT
        while len(found) < n and time.monotonic() < end:
            message = consumer.poll(1.0)
            if message is not None and message.error() is None:
                value, key = message.value(), message.key()
                assert value is not None
                assert isinstance(key, bytes)
                found.append((key, Alert.model_validate_json(value)))
        return found
    finally:
        consumer.close()


def test_alerts_leave_the_board_when_brokers_have_them(queue: JobQueue, cluster: KafkaCluster) -> None:
    """Those of a rule in their order, under a key of its own."""
    board = AlertBoard(queue, sends=True)
    alerts = [make_alert("clouds", seq_num=number) for number in range(1, 4)]
    tell(board, *alerts, make_alert("seeing"))
    assert make_sender(board, cluster, "leave").send() == 4
    assert board.read().n_unsent == 0
    messages = consume(cluster, "leave", 4)
    assert [alert for key, alert in messages if key == b"LSSTCam/clouds"] == alerts
    assert [alert for key, alert in messages if key == b"LSSTCam/seeing"] == [make_alert("seeing")]


def test_only_one_of_several_processes_sends(queue: JobQueue, cluster: KafkaCluster) -> None:
    """So nothing is sent twice while all is well."""
    board = AlertBoard(queue, sends=True)
    first, second = (make_sender(board, cluster, "one") for _ in range(2))
    tell(board, make_alert(seq_num=1))
    assert (first.send(), second.send()) == (1, 0)
    tell(board, make_alert(seq_num=2))
    assert (second.send(), first.send()) == (0, 1)


def test_outage_of_the_brokers_loses_nothing(queue: JobQueue) -> None:
    """What was not confirmed waits on the board, and is sent later."""
    board = AlertBoard(queue, sends=True)
    with KafkaCluster() as cluster:
        url = f"kafka://{cluster.bootstrap}/outage"
        sender = AlertSender(board, url, patience_seconds=0.2, delivery_seconds=60.0)
        cluster.create("outage")
        cluster.pause()
        tell(board, make_alert(seq_num=1), make_alert(seq_num=2))
        assert sender.send() == 0
        assert board.read().n_unsent == 2
        assert sender.send() == 0
        cluster.resume()
        end = time.monotonic() + TIMEOUT
        n_sent = 0
        while n_sent < 2 and time.monotonic() < end:
            n_sent += sender.send()
        assert n_sent == 2
        assert board.read().n_unsent == 0
        assert [alert.seq_num for _, alert in consume(cluster, "outage", 2)] == [1, 2]


def test_alert_that_was_not_delivered_in_time_is_sent_again(queue: JobQueue) -> None:
    """By whichever process sends then, also after the first one ended."""
    board = AlertBoard(queue, sends=True)
    tell(board, make_alert())
    with KafkaCluster() as gone:
        url = f"kafka://{gone.bootstrap}/gone"
        gone.pause()
        sender = AlertSender(board, url, patience_seconds=TIMEOUT, delivery_seconds=0.5)
        assert sender.send() == 0
    assert board.read().n_unsent == 1
    queue.client.delete(queue.name("alerts", "sender"))
    with KafkaCluster() as back:
        assert make_sender(board, back, "gone").send() == 1
        assert [alert for _, alert in consume(back, "gone", 1)] == [make_alert()]


@pytest.mark.parametrize(
    "url", ["kafka://host:9092", "http://host/topic", "kafka:///topic", "kafka://h/t?x=1"]
)
def test_url_of_another_form_is_refused(queue: JobQueue, url: str) -> None:
    """With what came."""
    with pytest.raises(ValueError, match="expected kafka://host:port,host:port/topic, got"):
        AlertSender(AlertBoard(queue), url)
