# This file is part of ra_pipe.
#
# Use of this source code is governed by a 3-clause BSD-style
# license that can be found in the LICENSE file.

from __future__ import annotations

import itertools

import pytest
from lsst.ra.pipe.execution.queue import Job, JobKind, JobQueue, WorkerShards, shard_of
from queue_jobs import ALL, N_SHARDS, MakeQueue, finish_all, make_detector, make_job, take_now


def put_burst(queue: JobQueue, ranks: list[int], **changes: str) -> None:
    """Queue one job for each rank, newest-first, in one shard."""
    assert all(
        queue.enqueue([make_job(str(rank), order="newest-first", rank=rank, **changes) for rank in ranks])
    )


def test_oldest_goes_first(queue: JobQueue) -> None:
    """Jobs leave in the order of their coming, whatever their names are."""
    keys = [str(i) for i in reversed(range(50))]
    queue.enqueue([make_job(key) for key in keys])
    assert finish_all(queue) == keys


def test_order_holds_across_own_shards(queue: JobQueue) -> None:
    """Of several shards of its own a worker takes the oldest job."""
    shards = ["1", "0", "3", "2", "0", "3"]
    queue.enqueue([make_job(str(i), shard=shard) for i, shard in enumerate(shards)])
    assert finish_all(queue) == [str(i) for i in range(len(shards))]


def test_burst_is_worked_off_from_its_newest(queue: JobQueue) -> None:
    """The latest exposure goes first, then the others backwards."""
    put_burst(queue, [3, 1, 2])
    first = take_now(queue)
    assert first is not None
    assert first.key == "3"
    put_burst(queue, [4])
    queue.release("w", first)
    assert finish_all(queue) == ["4", "3", "2", "1"]


@pytest.mark.parametrize("share", [2, 4])
def test_starving_job_gets_its_turn(make_queue: MakeQueue, share: int) -> None:
    """While newer ones keep coming, one of ``share`` jobs is the oldest."""
    queue = make_queue(starvation_seconds=0.0, starvation_share=share, lease_seconds=600.0)
    put_burst(queue, list(range(20)))
    oldest = list(range(20))
    for turn, rank in zip(range(1, 12), itertools.count(100)):
        lease = take_now(queue)
        assert lease is not None
        if turn % share == 0:
            assert lease.key == str(oldest.pop(0))
        else:
            assert int(lease.key) >= 19
        queue.finish("w", lease, report={})
        put_burst(queue, [rank])


def test_newest_that_waits_for_its_next_attempt_stops_nobody(make_queue: MakeQueue) -> None:
    """The next newest goes meanwhile."""
    queue = make_queue(lease_seconds=600.0, backoff_seconds=600.0)
    put_burst(queue, list(range(9)))
    for _ in range(5):
        lease = take_now(queue)
        assert lease is not None
        queue.fail("w", lease, reason="bad luck")
    assert finish_all(queue) == ["3", "2", "1", "0"]


def test_nothing_starves_before_its_time(queue: JobQueue) -> None:
    """Young jobs stay behind the newest, however many are taken."""
    put_burst(queue, list(range(20)))
    assert finish_all(queue) == [str(rank) for rank in reversed(range(20))]


def test_fifo_job_behind_a_burst_gets_its_turn(make_queue: MakeQueue) -> None:
    """A rule's fifo jobs do not wait for ever for another's newest-first."""
    queue = make_queue(starvation_seconds=0.0, starvation_share=4, lease_seconds=600.0)
    queue.enqueue([make_job("patient")])
    put_burst(queue, list(range(1, 9)))
    assert "patient" in finish_all(queue)[:4]


def test_duplicate_is_not_added(queue: JobQueue) -> None:
    """Nor in the same batch, nor while it is leased, done or dead."""
    job = make_job()
    assert queue.enqueue([job, job]) == [True, False]
    lease = take_now(queue)
    assert lease is not None
    assert queue.enqueue([job]) == [False]
    queue.finish("w", lease, report={})
    assert queue.enqueue([job]) == [False]
    other = make_job("other")
    assert queue.enqueue([other]) == [True]
    lease = take_now(queue)
    assert lease is not None
    assert queue.fail("w", lease, reason="bad", final=True)
    assert queue.enqueue([other]) == [False]
    assert take_now(queue) is None


def test_job_that_ended_is_added_again_on_request(queue: JobQueue) -> None:
    """With ``again``; a dead letter is one no more, its attempts are new."""
    queue.enqueue([make_job("done"), make_job("dead")])
    for key in ("done", "dead"):
        lease = take_now(queue)
        assert lease is not None
        assert lease.key == key
        if key == "done":
            queue.finish("w", lease, report={})
        else:
            queue.fail("w", lease, reason="bad", final=True)
    assert queue.enqueue([make_job("done"), make_job("dead")], again=True) == [True, True]
    assert not list(queue.dead_letters())
    lease = take_now(queue)
    assert lease is not None
    assert lease.attempt == 1


def test_job_at_work_is_not_added_again(queue: JobQueue) -> None:
    """``again`` makes no second job of one that waits or is leased."""
    job = make_job()
    queue.enqueue([job])
    assert queue.enqueue([job], again=True) == [False]
    assert take_now(queue) is not None
    assert queue.enqueue([job], again=True) == [False]
    assert take_now(queue, "other") is None


def test_own_shards_come_before_a_longer_other(queue: JobQueue) -> None:
    """A worker's own detectors go first; it helps when it has none."""
    shards = WorkerShards.for_images(1, 2, N_SHARDS)
    queue.enqueue([make_job(f"other {i}", shard="0") for i in range(9)])
    queue.enqueue([make_job("own", shard="3")])
    first, second = take_now(queue, "a", shards), take_now(queue, "b", shards)
    assert first is not None
    assert second is not None
    assert (first.key, first.is_own) == ("own", True)
    assert (second.key, second.is_own) == ("other 0", False)


def test_idle_worker_helps_the_longest_shard(queue: JobQueue) -> None:
    """Not the one with the oldest job."""
    shards = WorkerShards(own=("0",), others=("1", "2", "3"))
    queue.enqueue([make_job("short", shard="1")])
    queue.enqueue([make_job(f"long {i}", shard="2") for i in range(3)])
    lease = take_now(queue, "w", shards)
    assert lease is not None
    assert lease.key == "long 0"


def test_gathering_goes_before_detectors(queue: JobQueue) -> None:
    """An exposure that is complete does not wait behind the next one."""
    queue.enqueue([make_detector(1, exposure=1, expected=[1])])
    queue.enqueue([make_detector(detector, exposure=2, expected=range(4)) for detector in range(4)])
    assert finish_all(queue)[:2] == ["LSSTCam/1/1/rule", "gather/LSSTCam/1/rule/0"]


def test_shards_are_divided_without_rest() -> None:
    """Each has one owner, and each worker may take from all."""
    workers = [WorkerShards.for_images(index, 3, 8) for index in range(3)]
    assert sorted(shard for worker in workers for shard in worker.own) == [str(i) for i in range(8)]
    assert all({*worker.own, *worker.others} == {str(i) for i in range(8)} for worker in workers)
    assert {shard_of(detector, 8) for detector in range(189)} == {str(i) for i in range(8)}


def test_jobs_of_shards_that_are_no_more_are_adopted(queue: JobQueue) -> None:
    """A service that is started again with fewer shards loses nothing."""
    queue.enqueue([make_job(shard="17")])
    shards = WorkerShards.for_images(1, 2, N_SHARDS)
    assert isinstance(queue.take("worker", shards), float)
    adopted = shards.adopt(queue.shards())
    assert adopted.own == shards.own
    lease = take_now(queue, shards=adopted)
    assert lease is not None
    assert lease.job.shard == "17"


def test_worker_out_of_range_is_refused() -> None:
    """The message has the number and what was expected."""
    with pytest.raises(ValueError, match="Worker 3 of 3: expected 0 to 2"):
        WorkerShards.for_images(3, 3, 8)


def test_batch_takes_several_jobs(queue: JobQueue) -> None:
    """Files are ingested together, up to so many."""
    queue.enqueue([make_job(str(i), shard="ingest", kind=JobKind.INGEST) for i in range(5)])
    taken = queue.take("w", WorkerShards.for_ingest(), count=3)
    assert isinstance(taken, list)
    assert [lease.key for lease in taken] == ["0", "1", "2"]


def test_job_survives_the_wire(queue: JobQueue) -> None:
    """A worker gets every field that was put in."""
    job = make_detector(5, expected=[5, 6], order="newest-first", rank=2026112200001, times={"shutter": 1.5})
    job = Job.model_validate({**job.model_dump(), "event": {"uri": "s3://é/\u2028"}})
    queue.enqueue([job])
    lease = take_now(queue, "w", ALL)
    assert lease is not None
    assert lease.job == job
