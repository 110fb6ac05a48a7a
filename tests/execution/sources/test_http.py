# This file is part of ra_pipe.
#
# Use of this source code is governed by a 3-clause BSD-style
# license that can be found in the LICENSE file.

"""A sender is told the truth about the event, over a real socket."""

from __future__ import annotations

import concurrent.futures
import logging
import socket
import threading
from collections.abc import Iterator, Sequence

import httpx
import pytest
from lsst.ra.pipe.execution.events import EventRejected, RejectionCode
from lsst.ra.pipe.execution.sources import Delivery, HttpSource, Receipt, SourceSettings
from lsst.ra.pipe.execution.sources import _http as http_module
from source_runs import TIMEOUT, Recorder, running


def make_source(**settings: object) -> HttpSource:
    """Make a source at a free port."""
    settings = {"max_body_bytes": 1000, **settings}
    return HttpSource(
        host="127.0.0.1", port=0, path="/events", settings=SourceSettings.model_validate(settings)
    )


@pytest.fixture
def recorder() -> Recorder:
    """Take anything, but refuse what begins with the name of a code."""

    def judge(body: bytes) -> Sequence[EventRejected]:
        words = body[:100].decode().split()
        return [EventRejected(RejectionCode(word), f"no {word}") for word in words if word in _CODES]

    return Recorder(judge)


_CODES = {code.value for code in RejectionCode}


@pytest.fixture
def source(recorder: Recorder) -> Iterator[HttpSource]:
    """Run a source."""
    source = make_source()
    with running(source, recorder):
        yield source


def post(source: HttpSource, body: bytes, **headers: str) -> httpx.Response:
    """Post a body."""
    return httpx.post(source.url, content=body, headers=headers, timeout=TIMEOUT)


def test_accepted_event_is_answered_202(source: HttpSource, recorder: Recorder) -> None:
    """The body reaches the handler as it is, with its origin."""
    answer = post(source, b"event")
    assert (answer.status_code, answer.json()) == (202, {"accepted": 1, "rejected": []})
    assert recorder.taken == [Delivery(b"event", "http 127.0.0.1")]


def test_answer_comes_after_the_handler() -> None:
    """Nobody is told of safety before it is so; other requests go on."""
    entered, leave = threading.Event(), threading.Event()

    def handle(deliveries: Sequence[Delivery]) -> Sequence[Receipt]:
        entered.set()
        assert leave.wait(TIMEOUT)
        return [Receipt(1)]

    source = make_source()
    with running(source, handle), concurrent.futures.ThreadPoolExecutor(1) as executor:
        answer = executor.submit(post, source, b"event")
        assert entered.wait(TIMEOUT)
        health = httpx.get(source.url.replace("/events", "/health"), timeout=TIMEOUT)
        assert health.json() == {"status": "ok"}
        assert not answer.done()
        leave.set()
        assert answer.result(TIMEOUT).status_code == 202


@pytest.mark.parametrize(
    ("code", "status"),
    [
        (RejectionCode.MALFORMED, 400),
        (RejectionCode.UNAUTHORIZED, 403),
        (RejectionCode.REPLAYED, 409),
        (RejectionCode.OVERSIZED, 413),
        (RejectionCode.UNKNOWN_TYPE, 422),
        (RejectionCode.UNKNOWN_VERSION, 422),
        (RejectionCode.WRONG_INSTRUMENT, 422),
        (RejectionCode.UNKNOWN_IMAGE, 422),
        (RejectionCode.INGEST_FAILED, 422),
        (RejectionCode.NOT_RAW, 202),
    ],
)
def test_refused_event_is_answered_by_its_code(source: HttpSource, code: RejectionCode, status: int) -> None:
    """The sender learns the reason as well."""
    answer = post(source, code.value.encode())
    assert answer.status_code == status
    assert answer.json() == {"accepted": 0, "rejected": [{"code": code.value, "reason": f"no {code.value}"}]}


def test_every_code_has_a_status() -> None:
    """A code that is added needs an answer."""
    assert set(http_module._STATUS) == set(RejectionCode)


def test_body_with_good_and_bad_events_is_accepted() -> None:
    """The good ones are safe; what was wrong with the others is told."""
    reason = EventRejected(RejectionCode.MALFORMED, "no")
    source = make_source()
    with running(source, lambda deliveries: [Receipt(2, (reason,))]):
        answer = post(source, b"several")
    assert (answer.status_code, answer.json()["accepted"]) == (202, 2)
    assert answer.json()["rejected"] == [{"code": "malformed", "reason": "no"}]


@pytest.mark.parametrize("size", [1001, 100_000, 5_000_000])
def test_long_body_is_answered_413_and_its_beginning_kept(
    source: HttpSource, recorder: Recorder, size: int
) -> None:
    """A byte more than allowed is kept, so that the handler sees it as well."""
    answer = post(source, b"oversized".ljust(size))
    assert answer.status_code == 413
    assert recorder.bodies == [b"oversized".ljust(1001)]


def test_long_body_in_chunks_is_answered_413(source: HttpSource, recorder: Recorder) -> None:
    """The size need not be announced."""
    chunks = [b"oversized "] * 300
    answer = httpx.post(source.url, content=iter(chunks), timeout=TIMEOUT)
    assert answer.status_code == 413
    assert [len(body) for body in recorder.bodies] == [1001]


def test_endless_body_is_cut_off(source: HttpSource, monkeypatch: pytest.MonkeyPatch) -> None:
    """A sender without end is answered, and the next one served."""
    monkeypatch.setattr(http_module, "_DISCARDED", 100_000)
    host, port = source.url.removeprefix("http://").removesuffix("/events").split(":")
    with socket.create_connection((host, int(port)), timeout=TIMEOUT) as connection:
        head = f"POST /events HTTP/1.1\r\nHost: {host}\r\nContent-Length: 100000000000\r\n\r\n"
        connection.sendall(head.encode() + b"oversized".ljust(200_000))
        assert connection.recv(100).startswith(b"HTTP/1.1 413")
    assert post(source, b"event").status_code == 202


def test_outage_of_redis_is_answered_503(
    source: HttpSource, recorder: Recorder, caplog: pytest.LogCaptureFixture
) -> None:
    """The sender is asked to try again; the log says so once."""
    caplog.set_level(logging.INFO)
    recorder.break_down()
    for _ in range(3):
        answer = post(source, b"event")
        assert (answer.status_code, answer.headers["Retry-After"]) == (503, "1")
    assert "Redis" in httpx.get(source.url.replace("/events", "/health")).json()["status"]
    recorder.recover()
    assert post(source, b"event").status_code == 202
    assert recorder.bodies == [b"event"]
    assert httpx.get(source.url.replace("/events", "/health")).json() == {"status": "ok"}
    assert len([record for record in caplog.records if "Redis" in record.message]) == 2


@pytest.mark.parametrize("given", [None, "", "Bearer", "Bearer wrong", "token", "Bearer tok\xe9n"])
def test_request_without_the_token_is_answered_401(recorder: Recorder, given: str | None) -> None:
    """It does not even reach the handler."""
    source = make_source(http_token="token")
    with running(source, recorder):
        headers = {} if given is None else {b"Authorization": given.encode("latin-1")}
        answer = httpx.post(source.url, content=b"event", headers=headers, timeout=TIMEOUT)
        assert answer.status_code == 401
        assert post(source, b"event", Authorization="Bearer token").status_code == 202
    assert recorder.attempts == 1


def test_other_requests_are_refused(source: HttpSource, recorder: Recorder) -> None:
    """Events are posted, and to one path."""
    assert httpx.get(source.url).status_code == 405
    assert httpx.post(source.url + "/other", content=b"event").status_code == 404
    assert recorder.attempts == 0


def test_handler_that_fails_otherwise_is_no_acceptance(recorder: Recorder) -> None:
    """A fault of the program is the sender's 500, and the source goes on."""

    def handle(deliveries: Sequence[Delivery]) -> Sequence[Receipt]:
        if deliveries[0].body == b"fault":
            raise KeyError("fault")
        return recorder(deliveries)

    source = make_source()
    with running(source, handle):
        assert post(source, b"fault").status_code == 500
        assert post(source, b"event").status_code == 202


def test_many_senders_at_once_are_all_answered(source: HttpSource, recorder: Recorder) -> None:
    """Each gets the answer to what it sent."""
    bodies = [b"event %d" % number for number in range(64)]
    with httpx.Client(timeout=TIMEOUT) as client, concurrent.futures.ThreadPoolExecutor(8) as executor:
        answers = list(executor.map(lambda body: client.post(source.url, content=body), bodies))
    assert {answer.status_code for answer in answers} == {202}
    assert sorted(recorder.bodies) == sorted(bodies)


def test_port_in_use_is_an_error(source: HttpSource) -> None:
    """It does not wait for ever for a port."""
    port = int(source.url.removesuffix("/events").rpartition(":")[2])
    other = HttpSource(host="127.0.0.1", port=port, path="/events", settings=SourceSettings())
    with pytest.raises(OSError, match="in use"):
        other.run(Recorder())


def test_stop_before_run_ends_it() -> None:
    """A signal may come early."""
    source = make_source()
    source.stop()
    source.run(Recorder())


def test_loopback_of_ipv6_works() -> None:
    """The URL has the brackets."""
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError as error:
        pytest.skip(f"no IPv6 here: {error}")
    source = HttpSource(host="::1", port=0, path="/", settings=SourceSettings())
    with running(source, Recorder()):
        assert httpx.get(f"{source.url}health", timeout=TIMEOUT).status_code == 200
