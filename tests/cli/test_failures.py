# This file is part of ra_pipe.
#
# Use of this source code is governed by a 3-clause BSD-style
# license that can be found in the LICENSE file.

from __future__ import annotations

import base64
import json
from collections.abc import Callable

import pytest
from click.testing import Result
from lsst.ra.pipe.execution.queue import JobQueue, RejectedEvent, WorkerShards
from queue_jobs import make_job

Rapid = Callable[..., Result]
KEYS = ("LSSTCam/1/94/science", "LSSTCam/1/95/science", "LSSTCam/2/94/science")


@pytest.fixture
def dead(queue: JobQueue) -> JobQueue:
    """Queue with three jobs that failed for good."""
    shards = WorkerShards.for_images(0, 1, 32)
    queue.enqueue([make_job(key, max_attempts=2) for key in KEYS])
    for key in KEYS:
        taken = queue.take("w", shards)
        assert isinstance(taken, list)
        queue.fail(
            "w",
            taken[0],
            reason=f"{key}: [red]gain\x1b[31m is negative",
            detail="Traceback\n  in run",
            final=True,
        )
    return queue


def ids(queue: JobQueue) -> list[str]:
    """Return the IDs of the dead letters."""
    return [letter.id for letter in queue.dead_letters()]


def test_failures_are_listed_with_their_reasons(dead: JobQueue, rapid: Rapid) -> None:
    """The oldest first, with ID, key and attempts; nothing reaches the terminal."""
    result = rapid("failures")
    assert result.exit_code == 0
    lines = result.output.splitlines()
    assert [line.split()[:2] for line in lines[0:6:2]] == [
        list(pair) for pair in zip(ids(dead), KEYS, strict=True)
    ]
    assert "1 attempt, 20" in lines[0]
    assert lines[1] == f"    {KEYS[0]}: [red]gain\\x1b[31m is negative"
    assert "Traceback" not in result.output
    assert lines[-1] == "Jobs that failed for good: 3 (detector 3). 'rapid retry' tries them again."


def test_failures_in_detail(dead: JobQueue, rapid: Rapid) -> None:
    """With the traceback below each."""
    assert rapid("failures", "--detail").output.count("    Traceback\n      in run\n") == 3


def test_failures_as_json(dead: JobQueue, rapid: Rapid) -> None:
    """One object a line, with the job."""
    letters = [json.loads(line) for line in rapid("failures", "--json").stdout.splitlines()]
    assert [letter["id"] for letter in letters] == ids(dead)
    assert [letter["job"]["key"] for letter in letters] == list(KEYS)
    assert letters[0]["detail"] == "Traceback\n  in run"


@pytest.mark.parametrize("option", [(), ("--events",)])
def test_no_failure_is_no_error(queue: JobQueue, rapid: Rapid, option: tuple[str, ...]) -> None:
    """Exit status 0, and the number."""
    result = rapid("failures", *option)
    assert result.exit_code == 0
    assert result.output.rstrip(".\n").endswith(": 0")


def test_refused_events_are_shown_safely(queue: JobQueue, rapid: Rapid) -> None:
    """With code, origin, reason and bytes, none of which a terminal obeys."""
    body = b'{"a": "\x1b]0;x\x07\xff\xc3\xa9"}'
    queue.reject([RejectedEvent(body, "kafka://b/t[0]@7", "malformed", "no JSON: \x1b[2J")])
    result = rapid("failures", "--events")
    lines = result.output.splitlines()
    assert lines[0].startswith("malformed  kafka://b/t[0]@7  20")
    assert lines[1:3] == ["    no JSON: \\x1b[2J", '    {"a": "\\x1b]0;x\\x07\\xffé"}']
    assert lines[3] == "Refused events: 1 (malformed 1)."


def test_long_event_is_cut_unless_asked_for(queue: JobQueue, rapid: Rapid) -> None:
    """Its end is there with --detail."""
    queue.reject([RejectedEvent(b"x" * 1000 + b"end", "file:///x", "oversized", "too long")])
    assert "... (603 more bytes)" in rapid("failures", "--events").output
    assert "xend\n" in rapid("failures", "--events", "--detail").output


def test_refused_events_as_json(queue: JobQueue, rapid: Rapid) -> None:
    """The bytes come through, whatever they are."""
    bodies = [bytes(range(256)), b""]
    queue.reject([RejectedEvent(body, "o", "malformed", "r") for body in bodies])
    events = [json.loads(line) for line in rapid("failures", "--events", "--json").stdout.splitlines()]
    assert [base64.b64decode(event["body_base64"]) for event in events] == bodies
    assert events[0]["code"] == "malformed"


@pytest.mark.parametrize(
    ("options", "left"),
    [
        (("--all",), ()),
        (("--match", "LSSTCam/1/*"), KEYS[2:]),
        (("--match", "*/94/*"), KEYS[1:2]),
        (("--match", "nothing"), KEYS),
    ],
)
def test_retry_queues_what_was_chosen(
    dead: JobQueue, rapid: Rapid, options: tuple[str, ...], left: tuple[str, ...]
) -> None:
    """It says how many; the others stay failed."""
    result = rapid("retry", *options)
    assert result.exit_code == 0
    assert f"{3 - len(left)} of 3 failed jobs are queued again" in result.output
    assert [letter.job.key for letter in dead.dead_letters()] == list(left)
    assert dead.client.zcard(dead.name("waiting", "0")) == 3 - len(left)


def test_retry_by_id(dead: JobQueue, rapid: Rapid) -> None:
    """By what `rapid failures` shows."""
    first, second, third = ids(dead)
    assert "2 of 3" in rapid("retry", first, third).output
    assert ids(dead) == [second]


def test_retry_of_an_unknown_id_does_nothing(dead: JobQueue, rapid: Rapid) -> None:
    """The error names it; no other job is queued either."""
    result = rapid("retry", ids(dead)[0], "123-0")
    assert result.exit_code == 1
    assert "123-0" in result.output
    assert len(ids(dead)) == 3


@pytest.mark.parametrize("options", [(), ("--all", "--match", "*"), ("1-0", "--all")])
def test_retry_wants_one_choice(dead: JobQueue, rapid: Rapid, options: tuple[str, ...]) -> None:
    """Nothing is queued by accident."""
    result = rapid("retry", *options)
    assert result.exit_code == 2
    assert "Expected one of" in result.output
    assert len(ids(dead)) == 3
