# This file is part of ra_pipe.
#
# Use of this source code is governed by a 3-clause BSD-style
# license that can be found in the LICENSE file.

from __future__ import annotations

from typing import Any

import pytest
from lsst.ra.pipe.execution.queue import JobQueue, Lease, RejectedEvent, read_reports
from queue_jobs import (
    MakeQueue,
    finish,
    finish_all,
    is_empty,
    let_lapse,
    make_job,
    take_now,
    take_soon,
)


def take(queue: JobQueue, worker: str = "w") -> Lease:
    """Take the job that must be there."""
    lease = take_now(queue, worker)
    assert lease is not None
    return lease


def test_leased_job_is_nobody_elses(queue: JobQueue) -> None:
    """It stays in the stream, and no other worker gets it."""
    queue.enqueue([make_job()])
    take(queue, "a")
    assert take_now(queue, "b") is None
    assert not is_empty(queue)


def test_lost_answer_gives_the_same_job(queue: JobQueue) -> None:
    """A worker that asks again has what it was given, as the same attempt."""
    queue.enqueue([make_job("1"), make_job("2")])
    first = take(queue)
    assert take(queue).key == first.key
    assert take(queue).attempt == first.attempt == 1
    assert take(queue, "other").key == "2"


def test_silent_worker_loses_its_job(make_queue: MakeQueue) -> None:
    """When the lease lapses another worker gets it, as the next attempt."""
    queue = make_queue(lease_seconds=0.2)
    queue.enqueue([make_job()])
    lost = take(queue, "silent")
    lease = take_soon(queue, "other")
    assert (lease.key, lease.attempt) == ("job", 2)
    assert lease.taken - lost.taken >= 0.2
    assert queue.renew("silent", [lost]) == ["job"]


def test_slow_worker_that_renews_is_not_robbed(queue: JobQueue) -> None:
    """However long it takes; it is told of no loss."""
    queue.enqueue([make_job()])
    lease = take(queue, "slow")
    for _ in range(3):
        let_lapse(queue, "slow")
        assert queue.renew("slow", [lease]) == []
        assert take_now(queue, "other") is None
    finish(queue, lease, "slow")
    assert is_empty(queue)


def test_leases_do_not_lapse_while_nobody_could_renew(queue: JobQueue) -> None:
    """A server that was away gives its workers the time of a lease."""
    queue.enqueue([make_job()])
    lease = take(queue, "slow")
    let_lapse(queue, "slow")
    queue.client.set(queue.name("seen"), 1000 * (queue.client.time()[0] - 3600))
    assert take_now(queue, "other") is None
    assert queue.renew("slow", [lease]) == []
    let_lapse(queue, "slow")
    assert take_now(queue, "other") is None
    queue.client.set(queue.name("grace"), 0)
    taken = take_soon(queue, "other")
    assert taken.attempt == 2
    assert queue.renew("slow", [lease]) == [lease.key]


def test_job_of_a_silent_worker_waits_its_back_off(make_queue: MakeQueue) -> None:
    """A lapsed lease is a failed attempt."""
    queue = make_queue(lease_seconds=600.0, backoff_seconds=600.0)
    queue.enqueue([make_job()])
    take(queue, "silent")
    let_lapse(queue, "silent")
    assert take_now(queue, "other") is None
    assert queue.client.zcard(queue.name("waiting", "0")) == 1


def test_job_that_silences_workers_dies(queue: JobQueue) -> None:
    """After its last attempt, with the worker and the time in the reason."""
    queue.enqueue([make_job(max_attempts=2)])
    for worker in ("first", "second"):
        take(queue, worker)
        let_lapse(queue, worker)
    assert take_now(queue, "third") is None
    (letter,) = queue.dead_letters()
    assert letter.attempts == 2
    assert "worker second fell silent: it has not renewed its lease for 3600" in letter.reason


def test_back_off_doubles(make_queue: MakeQueue) -> None:
    """Between the ends of attempts and the next ones, by the server's clock."""
    queue = make_queue(lease_seconds=600.0, backoff_seconds=0.05)
    queue.enqueue([make_job(max_attempts=4)])
    leases = [take(queue)]
    for attempt in (2, 3, 4):
        assert not queue.fail("w", leases[-1], reason="bad luck")
        leases.append(take_soon(queue))
        assert leases[-1].attempt == attempt
        assert leases[-1].taken - leases[-2].taken >= 0.05 * 2 ** (attempt - 2)


def test_waiting_for_a_back_off_stops_nobody(make_queue: MakeQueue) -> None:
    """The job behind goes first."""
    queue = make_queue(lease_seconds=600.0, backoff_seconds=600.0)
    queue.enqueue([make_job("poison"), make_job("good")])
    queue.fail("w", take(queue), reason="bad")
    assert finish_all(queue) == ["good"]


def test_last_attempt_ends_in_the_dead_letters(queue: JobQueue) -> None:
    """With reason, detail, attempts and the job itself; nothing is left."""
    job = make_job(max_attempts=2, exposure=7, detector=8)
    queue.enqueue([job])
    assert not queue.fail("w", take(queue), reason="first", detail="one")
    assert queue.fail("w", take(queue), reason="7/8: é", detail="Traceback\n  line")
    (letter,) = queue.dead_letters()
    assert letter.job == job
    assert (letter.reason, letter.detail, letter.attempts) == ("7/8: é", "Traceback\n  line", 2)
    assert abs(letter.time - queue.client.time()[0]) < 60
    assert is_empty(queue)


def test_final_failure_is_not_tried_again(queue: JobQueue) -> None:
    """Although attempts are left."""
    queue.enqueue([make_job(max_attempts=9)])
    assert queue.fail("w", take(queue), reason="no hope", final=True)
    assert take_now(queue) is None


def test_retry_gives_all_attempts_again(queue: JobQueue) -> None:
    """A dead letter is one no more; a second retry of it does nothing."""
    queue.enqueue([make_job(max_attempts=1)])
    queue.fail("w", take(queue), reason="bad")
    letters = list(queue.dead_letters())
    assert queue.retry(letters) == 1
    assert queue.retry(letters) == 0
    assert not list(queue.dead_letters())
    lease = take(queue)
    assert (lease.key, lease.attempt) == ("job", 1)


def test_dead_letters_are_listed_beyond_one_page(queue: JobQueue) -> None:
    """All of them, the oldest first."""
    keys = [str(i) for i in range(600)]
    queue.enqueue([make_job(key) for key in keys])
    while (lease := take_now(queue)) is not None:
        queue.fail("w", lease, reason="bad", final=True)
    assert [letter.job.key for letter in queue.dead_letters()] == keys


def test_finish_twice_is_once(queue: JobQueue) -> None:
    """A repeated call, after a lost answer, adds no report."""
    queue.enqueue([make_job()])
    lease = take(queue)
    finish(queue, lease)
    finish(queue, lease)
    assert queue.client.xlen(queue.name("reports")) == 1


def test_finish_after_another_took_over(queue: JobQueue) -> None:
    """Its outputs are there, so the job is done; the other's end is no news."""
    queue.enqueue([make_job()])
    late = take(queue, "late")
    let_lapse(queue, "late")
    other = take(queue, "other")
    finish(queue, late, "late")
    assert is_empty(queue)
    assert queue.renew("other", [other]) == ["job"]
    finish(queue, other, "other")
    assert queue.client.xlen(queue.name("reports")) == 1


def test_finish_while_the_job_waits_again(make_queue: MakeQueue) -> None:
    """A lapsed job whose first worker finishes is not done a second time."""
    queue = make_queue(lease_seconds=600.0, backoff_seconds=600.0)
    queue.enqueue([make_job()])
    late = take(queue, "late")
    let_lapse(queue, "late")
    assert take_now(queue, "other") is None
    finish(queue, late, "late")
    assert is_empty(queue)


@pytest.mark.parametrize("end", ["fail", "release"])
def test_who_lost_a_job_cannot_give_it_back(queue: JobQueue, end: str) -> None:
    """Failure and release by an earlier holder change nothing."""
    queue.enqueue([make_job(max_attempts=3)])
    late = take(queue, "late")
    let_lapse(queue, "late")
    other = take(queue, "other")
    if end == "fail":
        assert not queue.fail("late", late, reason="bad", final=True)
    else:
        queue.release("late", late)
    assert queue.renew("other", [other]) == []
    finish(queue, other, "other")
    assert not list(queue.dead_letters())


def test_failure_after_the_end_changes_nothing(queue: JobQueue) -> None:
    """What is done stays done."""
    queue.enqueue([make_job()])
    lease = take(queue)
    finish(queue, lease)
    assert not queue.fail("w", lease, reason="bad", final=True)
    assert not list(queue.dead_letters())
    assert take_now(queue) is None


def test_finish_after_death(queue: JobQueue) -> None:
    """The outputs came after all: no dead letter is left to retry."""
    queue.enqueue([make_job(max_attempts=1)])
    late = take(queue, "late")
    let_lapse(queue, "late")
    assert take_now(queue, "other") is None
    letters = list(queue.dead_letters())
    assert len(letters) == 1
    finish(queue, late, "late")
    assert not list(queue.dead_letters())
    assert queue.retry(letters) == 0
    assert queue.enqueue([make_job(max_attempts=1)]) == [False]


def test_release_is_no_attempt(queue: JobQueue) -> None:
    """The next one has the same number."""
    queue.enqueue([make_job()])
    queue.release("w", take(queue))
    assert take(queue).attempt == 1


def test_release_with_delay(queue: JobQueue) -> None:
    """Nobody gets the job before, and `take` says how long to wait."""
    queue.enqueue([make_job()])
    first = take(queue)
    queue.release("w", first, delay=0.1)
    second = take_soon(queue)
    assert second.attempt == 1
    assert second.taken - first.taken >= 0.1


def test_who_leaves_hands_back(queue: JobQueue) -> None:
    """At once, without an attempt; no trace of the worker is left."""
    queue.enqueue([make_job()])
    take(queue, "leaver")
    queue.announce("leaver", state="working")
    queue.leave("leaver")
    assert take(queue, "other").attempt == 1
    assert not list(queue.client.scan_iter(match="*leaver*"))
    assert queue.client.zrange(queue.name("workers"), 0, -1) == [b"other"]
    consumers = queue.client.xinfo_consumers(queue.name("stream", "0"), "workers")
    assert [consumer["name"] for consumer in consumers] == [b"other"]


def test_follow_ups_are_queued(queue: JobQueue) -> None:
    """Once, although the end is told twice."""
    queue.enqueue([make_job("file", shard="dispatch")])
    lease = take(queue)
    for _ in range(2):
        finish(queue, lease, follow_ups=[make_job("image")])
    assert finish_all(queue) == ["image"]


def test_streams_are_empty_after_all_is_done(queue: JobQueue) -> None:
    """Done and dead jobs are taken out; those not processed never are."""
    queue.enqueue([make_job(str(i), shard=str(i % 4)) for i in range(40)])
    leases = [take(queue, f"worker {i}") for i in range(20)]
    for i, lease in enumerate(leases):
        if i % 2:
            finish(queue, lease, f"worker {i}")
        else:
            queue.fail(f"worker {i}", lease, reason="bad", final=True)
    left = sum(queue.client.xlen(queue.name("stream", str(shard))) for shard in range(4))
    assert left == 20
    assert len(finish_all(queue)) == 20
    assert is_empty(queue)


def test_reports_are_bounded(make_queue: MakeQueue) -> None:
    """Those of long ago are dropped, roughly at the limit."""
    queue = make_queue(max_reports=100)
    queue.enqueue([make_job(str(i)) for i in range(400)])
    finish_all(queue)
    assert 100 <= queue.client.xlen(queue.name("reports")) < 300


def test_done_is_forgotten_in_time(make_queue: MakeQueue) -> None:
    """Only for so long a job is a duplicate by the queue's memory."""
    queue = make_queue(keep_done_seconds=600.0)
    queue.enqueue([make_job()])
    finish_all(queue)
    assert 0 < queue.client.ttl(queue.name("job", "job")) <= 600


def test_reports_say_when_they_came(queue: JobQueue) -> None:
    """The newest first, with the server's time of publishing."""
    queue.enqueue([make_job("1"), make_job("2")])
    for _ in range(2):
        lease = take(queue)
        times: dict[str, Any] = {"done": lease.taken}
        queue.finish("w", lease, report={"key": lease.key, "times": times})
    reports = read_reports(queue)
    assert [report["key"] for report in reports] == ["2", "1"]
    assert reports[1]["times"]["done"] - 0.001 <= reports[1]["times"]["published"]


def test_rejected_event_keeps_its_bytes(queue: JobQueue) -> None:
    """Whatever they are, with where they came from and why they were refused."""
    bodies = [bytes(range(256)), b"", b"\xff\xfe{" * 1000]
    queue.reject([RejectedEvent(body, "kafka://é/images[3]@17", "malformed", "no JSON") for body in bodies])
    events = list(queue.rejected_events())
    assert [event.body for event in events] == bodies
    assert {(event.origin, event.code, event.reason) for event in events} == {
        ("kafka://é/images[3]@17", "malformed", "no JSON")
    }
    assert all(abs(event.time - queue.client.time()[0]) < 60 for event in events)


def test_queues_of_one_server_do_not_meet(make_queue: MakeQueue) -> None:
    """Services that differ in the prefix have their own jobs."""
    one, other = make_queue(prefix="one"), make_queue(prefix="other")
    assert one.enqueue([make_job()]) == other.enqueue([make_job()]) == [True]
    assert finish_all(one) == ["job"]
    assert take_now(other) is not None
