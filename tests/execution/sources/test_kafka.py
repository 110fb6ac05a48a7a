# This file is part of ra_pipe.
#
# Use of this source code is governed by a 3-clause BSD-style
# license that can be found in the LICENSE file.

"""No message is lost, whatever goes down; real brokers over real sockets."""

from __future__ import annotations

import itertools
import logging
import pathlib
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator

import pytest
from kafka_cluster import FAST, KafkaCluster
from lsst.ra.pipe.execution.events import EventRejected, RejectionCode
from lsst.ra.pipe.execution.sources import Source, SourceSettings, open_source
from source_runs import TIMEOUT, Recorder, running


@pytest.fixture(scope="module")
def cluster() -> Iterator[KafkaCluster]:
    """Three brokers; each test has topics and groups of its own."""
    with KafkaCluster(brokers=3) as cluster:
        yield cluster


def make_bodies(name: str, count: int) -> list[bytes]:
    """Make messages that can be told apart."""
    return [f"{name} {number}".encode() for number in range(count)]


def make_source(cluster: KafkaCluster, *topics: str, batch_size: int = 500, group: str = "rapid") -> Source:
    """Make a source that needs not wait long."""
    settings = SourceSettings(kafka_options=FAST, batch_size=batch_size)
    return open_source(cluster.url(*topics, group=group), settings)


def test_messages_of_all_topics_are_handled_and_committed(cluster: KafkaCluster) -> None:
    """Those that were there before, and those that come while it runs."""
    first, later = make_bodies("first", 20), make_bodies("later", 20)
    cluster.produce("all-1", first)
    cluster.create("all-2")
    recorder = Recorder()
    with running(make_source(cluster, "all-1", "all-2", batch_size=7), recorder):
        cluster.produce("all-2", later)
        recorder.wait_for_count(40)
    assert sorted(recorder.bodies) == sorted(first + later)
    assert max(recorder.batches) <= 7
    assert (cluster.committed("all-1"), cluster.committed("all-2")) == (20, 20)


def test_offsets_move_on_past_what_is_refused(cluster: KafkaCluster) -> None:
    """Garbage, emptiness and size do not stop the source."""
    bodies = [b"garbage \xff", b"", b"x" * 900_000, b"good"]
    cluster.produce("refused", bodies, partition=0)
    reason = EventRejected(RejectionCode.MALFORMED, "not good")
    recorder = Recorder(lambda body: [] if body == b"good" else [reason])
    with running(make_source(cluster, "refused"), recorder):
        recorder.wait_for_count(4)
    assert recorder.bodies == bodies
    assert recorder.taken[2].origin == "kafka refused[0]@2"
    assert cluster.committed("refused") == 4


def test_nothing_is_committed_until_redis_has_it(
    cluster: KafkaCluster, caplog: pytest.LogCaptureFixture
) -> None:
    """While the handler fails, offsets stay; then each message comes once."""
    caplog.set_level(logging.INFO)
    bodies = make_bodies("outage", 10)
    cluster.produce("redis-outage", bodies, partition=1)
    recorder = Recorder()
    recorder.break_down()
    with running(make_source(cluster, "redis-outage"), recorder):
        recorder.wait_for(lambda: recorder.attempts >= 3)
        assert cluster.committed("redis-outage") == 0
        recorder.recover()
        recorder.wait_for_count(10)
    assert recorder.bodies == bodies
    assert cluster.committed("redis-outage") == 10
    said = [record.message for record in caplog.records if "Redis" in record.message]
    assert len(said) == 2
    assert "Connection refused" in said[0]
    assert "back" in said[1]


def test_stop_ends_the_waiting_for_redis(cluster: KafkaCluster) -> None:
    """What was not handled comes to the next source of the group."""
    bodies = make_bodies("stopped", 5)
    cluster.produce("stopped", bodies, partition=2)
    broken, recorder = Recorder(), Recorder()
    broken.break_down()
    with running(make_source(cluster, "stopped"), broken):
        broken.wait_for(lambda: broken.attempts >= 1)
    with running(make_source(cluster, "stopped"), recorder):
        recorder.wait_for_count(5)
    assert recorder.bodies == bodies


_KILLED = """
import sys, time
from lsst.ra.pipe.execution.sources import Receipt, SourceSettings, open_source

def handle(deliveries):
    with open(sys.argv[2], "ab") as stream:
        stream.writelines(delivery.body + b"\\n" for delivery in deliveries)
    print("handled", flush=True)
    time.sleep(600)  # until it is killed, before anything is committed

settings = SourceSettings(batch_size=5, kafka_options=dict(zip(sys.argv[3::2], sys.argv[4::2])))
open_source(sys.argv[1], settings).run(handle)
"""


def test_killed_consumer_loses_nothing(cluster: KafkaCluster, tmp_path: pathlib.Path) -> None:
    """A process that dies in the midst of a batch leaves it to the next."""
    bodies = make_bodies("killed", 20)
    cluster.produce("killed", bodies)
    options = itertools.chain.from_iterable(FAST.items())
    command = [sys.executable, "-c", _KILLED, cluster.url("killed"), str(tmp_path / "handled"), *options]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "handled\n"
        process.kill()
    handled_before = (tmp_path / "handled").read_bytes().splitlines()
    assert 1 <= len(handled_before) <= 5
    recorder = Recorder()
    with running(make_source(cluster, "killed"), recorder):
        recorder.wait_for_count(20)
    assert sorted(recorder.bodies) == sorted(bodies)
    assert cluster.committed("killed") == 20


def test_consumers_of_a_group_lose_nothing_in_a_rebalance(
    cluster: KafkaCluster, caplog: pytest.LogCaptureFixture
) -> None:
    """One joins, the other leaves; all messages are handled by one of them."""
    caplog.set_level(logging.INFO)
    cluster.create("rebalance")
    bodies = make_bodies("rebalance", 120)
    recorder = Recorder()
    with running(make_source(cluster, "rebalance", batch_size=3), recorder):
        with running(make_source(cluster, "rebalance", batch_size=3), recorder):
            cluster.produce("rebalance", bodies[:60])
            recorder.wait_for(lambda: set(recorder.bodies) >= set(bodies[:60]))
        cluster.produce("rebalance", bodies[60:])
        recorder.wait_for(lambda: set(recorder.bodies) >= set(bodies))
    assert set(recorder.bodies) == set(bodies)
    assert len([record for record in caplog.records if "assigned" in record.message]) >= 2


def test_outage_of_the_brokers_does_not_end_it(caplog: pytest.LogCaptureFixture) -> None:
    """It goes on where it was when they are back."""
    before, after = make_bodies("before", 5), make_bodies("after", 5)
    recorder = Recorder()
    with KafkaCluster() as cluster:
        cluster.create("outage")
        with running(make_source(cluster, "outage"), recorder):
            cluster.produce("outage", before)
            recorder.wait_for_count(5)
            cluster.pause()
            with caplog.at_level(logging.WARNING):
                _wait_for_log(caplog, "Kafka source: goes on after")
            cluster.resume()
            cluster.produce("outage", after)
            recorder.wait_for(lambda: set(recorder.bodies) >= {*before, *after})
        assert cluster.committed("outage") == 10


@pytest.mark.parametrize("outage", [KafkaCluster.pause, KafkaCluster.close])
def test_stop_during_an_outage_of_the_brokers_ends_it(outage: Callable[[KafkaCluster], None]) -> None:
    """Though what was handled last cannot be committed any more."""
    recorder = Recorder()
    with KafkaCluster() as cluster:
        cluster.create("stop")
        with running(make_source(cluster, "stop"), recorder):
            cluster.produce("stop", [b"message"])
            recorder.wait_for_count(1)
            outage(cluster)
    assert recorder.bodies == [b"message"]


def _wait_for_log(caplog: pytest.LogCaptureFixture, words: str) -> None:
    """Wait until something is logged."""
    said = threading.Event()

    def look(record: logging.LogRecord) -> bool:
        if words in record.getMessage():
            said.set()
        return True

    caplog.handler.addFilter(look)
    try:
        if not any(words in record.getMessage() for record in caplog.records):
            assert said.wait(TIMEOUT), caplog.text
    finally:
        caplog.handler.removeFilter(look)


@pytest.mark.parametrize("option", ["enable.auto.commit", "group.id", "bootstrap.servers"])
def test_options_that_are_not_free_are_refused(option: str) -> None:
    """The guarantee is not for sale."""
    with pytest.raises(ValueError, match=option):
        open_source("kafka://127.0.0.1:9092/topic", SourceSettings(kafka_options={option: "x"}))


def test_password_is_not_shown() -> None:
    """Settings are logged, secrets are not."""
    settings = SourceSettings(kafka_options={"sasl.password": "s3same"}, http_token="s3same")
    assert "s3same" not in repr(settings)
