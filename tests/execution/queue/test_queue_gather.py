# This file is part of ra_pipe.
#
# Use of this source code is governed by a 3-clause BSD-style
# license that can be found in the LICENSE file.

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pytest
from lsst.ra.pipe.execution.queue import JobKind, JobQueue, Lease
from queue_jobs import (
    find_faults,
    finish,
    finish_all,
    is_empty,
    let_gathers_be_due,
    let_lapse,
    make_detector,
    take_now,
    take_soon,
    wait_for,
)

ID = "LSSTCam/1/rule"


def put(queue: JobQueue, detectors: Iterable[int], *, again: bool = False, **changes: Any) -> None:
    """Queue detectors of the exposure."""
    assert all(queue.enqueue([make_detector(number, **changes) for number in detectors], again=again))


def take(queue: JobQueue, worker: str = "w") -> Lease:
    """Take the job that must be there."""
    lease = take_now(queue, worker)
    assert lease is not None
    return lease


def do(queue: JobQueue, *detectors: int) -> None:
    """Process the next jobs, which are these detectors."""
    for detector in detectors:
        lease = take(queue)
        assert lease.job.detector == detector
        finish(queue, lease)


def gather(queue: JobQueue, generation: int) -> None:
    """Do the next job, which gathers the exposure for the so-many-th time."""
    lease = take(queue)
    assert lease.job.kind is JobKind.EXPOSURE
    assert (lease.key, lease.generation) == (f"gather/{ID}/{generation}", generation)
    finish(queue, lease)


def assert_settled(queue: JobQueue) -> None:
    """Nothing is to be done, now or later."""
    assert take_now(queue) is None
    assert not queue.client.exists(queue.name("gathers"))
    assert is_empty(queue)
    assert find_faults(queue) == []


def test_complete_exposure_is_gathered_once(queue: JobQueue) -> None:
    """At once, when the last expected detector is done, and not before."""
    put(queue, (1, 2, 3), expected=(1, 2, 3))
    do(queue, 1, 2, 3)
    gather(queue, 0)
    assert_settled(queue)


def test_exposure_is_not_complete_by_numbers(queue: JobQueue) -> None:
    """Three detectors, one of them not expected, are not the three expected."""
    put(queue, (1, 2, 9), expected=(1, 2, 3))
    do(queue, 1, 2, 9)
    assert take_now(queue) is None
    put(queue, (3,), expected=(1, 2, 3))
    do(queue, 3)
    gather(queue, 0)
    assert_settled(queue)


def test_failed_detector_completes_an_exposure(queue: JobQueue) -> None:
    """One that is dead is not waited for."""
    put(queue, (1, 2), expected=(1, 2))
    queue.fail("w", take(queue), reason="bad", final=True)
    do(queue, 2)
    gather(queue, 0)
    assert_settled(queue)


def test_detector_that_is_tried_again_is_waited_for(queue: JobQueue) -> None:
    """Only death counts."""
    put(queue, (1, 2), expected=(1, 2))
    queue.fail("w", take(queue), reason="bad luck")
    do(queue, 2, 1)
    gather(queue, 0)


def test_nothing_is_gathered_of_failures_alone(queue: JobQueue) -> None:
    """An exposure all of whose detectors failed has no summary."""
    put(queue, (1, 2), expected=(1, 2))
    for _ in range(2):
        queue.fail("w", take(queue), reason="bad", final=True)
    assert_settled(queue)


def test_deadline_gathers_what_there_is_and_late_ones_once_more(queue: JobQueue) -> None:
    """Partial at the deadline; then exactly one more for all that come late."""
    put(queue, (1, 2, 3, 4), expected=(1, 2, 3, 4), deadline=0.2)
    do(queue, 1, 2)
    late = [take(queue, "slow"), take(queue, "slower")]
    lease = take_soon(queue)
    assert (lease.job.kind, lease.generation) == (JobKind.EXPOSURE, 0)
    finish(queue, lease)
    for worker, one in zip(("slow", "slower"), late, strict=True):
        finish(queue, one, worker)
    lease = take_soon(queue)
    assert (lease.job.kind, lease.generation) == (JobKind.EXPOSURE, 1)
    finish(queue, lease)
    assert_settled(queue)


def test_deadline_without_any_detector_waits_on(queue: JobQueue) -> None:
    """There is nothing to gather yet; when all are done, it is gathered once."""
    put(queue, (1,), expected=(1,), deadline=0.05)
    slow = take(queue, "slow")
    first = queue.client.zscore(queue.name("gathers"), ID)

    def deadline_has_moved() -> bool | None:
        assert take_now(queue) is None
        return True if queue.client.zscore(queue.name("gathers"), ID) > first else None

    assert wait_for(queue, deadline_has_moved)
    finish(queue, slow, "slow")
    gather(queue, 0)
    assert_settled(queue)


def test_detectors_that_were_never_announced_are_not_waited_for(queue: JobQueue) -> None:
    """The deadline gathers once; nothing comes late, nothing follows."""
    put(queue, (1, 2), expected=(1, 2, 3))
    do(queue, 1, 2)
    assert take_now(queue) is None
    let_gathers_be_due(queue)
    gather(queue, 0)
    assert_settled(queue)


def test_late_failure_causes_no_gathering(queue: JobQueue) -> None:
    """It adds nothing to what was gathered."""
    put(queue, (1, 2), expected=(1, 2))
    do(queue, 1)
    late = take(queue, "slow")
    let_gathers_be_due(queue)
    gather(queue, 0)
    queue.fail("slow", late, reason="bad", final=True)
    let_gathers_be_due(queue)
    assert_settled(queue)


def test_an_exposure_is_gathered_by_one_at_a_time(queue: JobQueue) -> None:
    """Late detectors wait for the end of a gathering that runs."""
    put(queue, (1, 2), expected=(1, 2))
    do(queue, 1)
    late = take(queue, "slow")
    let_gathers_be_due(queue)
    running = take(queue, "gatherer")
    assert running.job.kind is JobKind.EXPOSURE
    finish(queue, late, "slow")
    let_gathers_be_due(queue)
    assert take_now(queue) is None
    let_gathers_be_due(queue)
    finish(queue, running, "gatherer")
    gather(queue, 1)
    assert_settled(queue)


def test_dead_gathering_frees_the_exposure(queue: JobQueue) -> None:
    """Late detectors are gathered all the same."""
    put(queue, (1, 2), expected=(1, 2))
    do(queue, 1)
    late = take(queue, "slow")
    let_gathers_be_due(queue)
    dead = take(queue)
    assert queue.fail("w", dead, reason="bad")
    finish(queue, late, "slow")
    let_gathers_be_due(queue)
    gather(queue, 1)
    assert [letter.job.kind for letter in queue.dead_letters()] == [JobKind.EXPOSURE]
    assert_settled(queue)


def test_dead_gathering_can_be_tried_again(queue: JobQueue) -> None:
    """As the same gathering; nobody else gathers meanwhile."""
    put(queue, (1, 2), expected=(1,))
    do(queue, 1)
    queue.fail("w", take(queue), reason="bad")
    assert queue.retry(queue.dead_letters()) == 1
    running = take(queue, "gatherer")
    assert (running.key, running.attempt) == (f"gather/{ID}/0", 1)
    do(queue, 2)
    let_gathers_be_due(queue)
    assert take_now(queue) is None
    finish(queue, running, "gatherer")
    let_gathers_be_due(queue)
    gather(queue, 1)
    assert_settled(queue)


def test_gathering_is_not_tried_again_beside_another(queue: JobQueue) -> None:
    """The dead letter stays, to be tried again when the other one is done."""
    put(queue, (1, 2), expected=(1,))
    do(queue, 1)
    queue.fail("w", take(queue), reason="bad")
    do(queue, 2)
    let_gathers_be_due(queue)
    running = take(queue, "gatherer")
    assert running.generation == 1
    assert queue.retry(queue.dead_letters()) == 0
    finish(queue, running, "gatherer")
    assert queue.retry(queue.dead_letters()) == 1
    gather(queue, 0)
    assert_settled(queue)


def test_gatherer_that_ends_after_its_death_frees_nobody_else(queue: JobQueue) -> None:
    """Another gathering of the exposure is at work meanwhile."""
    put(queue, (1, 2, 3), expected=(1,))
    do(queue, 1)
    silent = take(queue, "silent")
    let_lapse(queue, "silent")
    do(queue, 2)
    let_gathers_be_due(queue)
    running = take(queue, "gatherer")
    assert running.generation == 1
    finish(queue, silent, "silent")
    do(queue, 3)
    let_gathers_be_due(queue)
    assert take_now(queue) is None
    finish(queue, running, "gatherer")
    let_gathers_be_due(queue)
    gather(queue, 2)
    assert_settled(queue)


def test_late_detectors_that_trickle_in_put_nothing_off(queue: JobQueue) -> None:
    """The time of the next gathering counts from the first of them."""
    put(queue, (1, 2, 3, 4), expected=(1, 2, 3, 4))
    do(queue, 1)
    late = {worker: take(queue, worker) for worker in ("a", "b", "c")}
    let_gathers_be_due(queue)
    gather(queue, 0)
    times = []
    for worker, lease in late.items():
        finish(queue, lease, worker)
        times.append(queue.client.zscore(queue.name("gathers"), ID))
    assert times[1] == times[0]
    assert times[2] < times[1]


def test_silent_gatherer_is_replaced(queue: JobQueue) -> None:
    """Its gathering is taken over like any job, the same one."""
    put(queue, (1,), expected=(1,), gather_attempts=2)
    do(queue, 1)
    silent = take(queue, "silent")
    let_lapse(queue, "silent")
    lease = take(queue, "other")
    assert (lease.key, lease.attempt) == (silent.key, 2)
    finish(queue, lease, "other")
    assert_settled(queue)


def test_expected_detectors_may_be_unknown(queue: JobQueue) -> None:
    """Then an exposure is complete whenever none is queued."""
    put(queue, (1, 2), expected=())
    do(queue, 1)
    assert queue.client.zscore(queue.name("gathers"), ID) > 1e3 * queue.client.time()[0]
    do(queue, 2)
    gather(queue, 0)
    put(queue, (3,), expected=())
    do(queue, 3)
    let_gathers_be_due(queue)
    gather(queue, 1)
    assert_settled(queue)


def test_retry_of_a_dead_detector_after_the_gathering(queue: JobQueue) -> None:
    """It is late like any other: exactly one more gathering."""
    put(queue, (1, 2), expected=(1, 2))
    queue.fail("w", take(queue), reason="bad", final=True)
    do(queue, 2)
    gather(queue, 0)
    assert queue.retry(queue.dead_letters()) == 1
    do(queue, 1)
    let_gathers_be_due(queue)
    gather(queue, 1)
    assert_settled(queue)


def test_detector_that_is_done_again_is_gathered_again(queue: JobQueue) -> None:
    """Although the set of detectors is the same."""
    put(queue, (1, 2), expected=(1, 2))
    do(queue, 1, 2)
    gather(queue, 0)
    put(queue, (2,), expected=(1, 2), again=True)
    do(queue, 2)
    let_gathers_be_due(queue)
    gather(queue, 1)
    assert_settled(queue)


def test_exposures_do_not_mix(queue: JobQueue) -> None:
    """Each is complete by its own detectors."""
    put(queue, (1, 2), exposure=1, expected=(1, 2))
    put(queue, (1, 2), exposure=2, expected=(1, 2))
    assert finish_all(queue) == [
        "LSSTCam/1/1/rule",
        "LSSTCam/1/2/rule",
        "gather/LSSTCam/1/rule/0",
        "LSSTCam/2/1/rule",
        "LSSTCam/2/2/rule",
        "gather/LSSTCam/2/rule/0",
    ]
    assert_settled(queue)


def test_exposure_stays_while_a_detector_is_to_come(queue: JobQueue) -> None:
    """Its state expires only after the last one, and all of it then."""
    put(queue, (1, 2), expected=(1, 2))
    finish(queue, take(queue), published={"rapid_detector": {"fwhm": 0.7}})
    names = [queue.name("exposure", ID), queue.name("exposure", f"{ID}:done")]
    assert [queue.client.ttl(name) for name in names] == [-1, -1]
    do(queue, 2)
    gather(queue, 0)
    names.append(queue.name("exposure", f"{ID}:published"))
    assert all(0 < queue.client.ttl(name) <= 600 for name in names)
    put(queue, (2,), expected=(1, 2), again=True)
    assert [queue.client.ttl(name) for name in names] == [-1, -1, -1]


@pytest.mark.parametrize("published", [None, {"rapid_detector": {"fwhm": 0.7}}])
def test_detector_of_a_forgotten_exposure_leaves_nothing(
    queue: JobQueue, published: dict[str, Any] | None
) -> None:
    """A job that ends after its exposure has expired is done, and that is all."""
    put(queue, (1,), expected=(1,))
    lease = take(queue)
    names = list(queue.client.scan_iter(match=queue.name("exposure", ID) + "*"))
    queue.client.delete(*names, queue.name("gathers"))
    queue.finish("w", lease, report={}, published=published)
    assert not list(queue.client.scan_iter(match=queue.name("exposure", ID) + "*"))
    assert take_now(queue) is None
