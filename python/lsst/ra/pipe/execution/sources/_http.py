# This file is part of ra_pipe.
#
# Use of this source code is governed by a 3-clause BSD-style
# license that can be found in the LICENSE file.

from __future__ import annotations

__all__ = ("HttpSource",)

import concurrent.futures
import hmac
import logging
import socket
import threading
from collections.abc import Callable, Mapping

import uvicorn
from fastapi import FastAPI, Request
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import JSONResponse
from redis.exceptions import RedisError

from lsst.ra.pipe.execution.events import EventRejected, RejectionCode

from ._delivery import Delivery, Handler, Receipt
from ._patience import Outage
from ._settings import SourceSettings

_LOG = logging.getLogger(__name__)

_HEALTH = "/health"
_RETRY_AFTER = 1
"""Time (s) after which a sender may try again."""

_DISCARDED = 16_777_216
"""Bytes beyond the limit that are read and thrown away, so that the sender
is still there for the answer."""

_STATUS: Mapping[RejectionCode, int] = {
    RejectionCode.MALFORMED: 400,
    RejectionCode.UNAUTHORIZED: 403,
    RejectionCode.REPLAYED: 409,
    RejectionCode.OVERSIZED: 413,
    RejectionCode.UNKNOWN_TYPE: 422,
    RejectionCode.UNKNOWN_VERSION: 422,
    RejectionCode.WRONG_INSTRUMENT: 422,
    RejectionCode.UNKNOWN_IMAGE: 422,
    RejectionCode.INGEST_FAILED: 422,
    # Nothing is wrong: an error would make a bucket send it again and again.
    RejectionCode.NOT_RAW: 202,
}


class HttpSource:
    """Takes events that are posted.

    It answers 202 after the handler has returned, so that a sender who was
    answered can forget the event; one who was not sends it again.

    Parameters
    ----------
    host
        Address to listen at.
    port
        Port to listen at; with 0, a free one.
    path
        Path that events are posted to.
    settings
        Size limit and token.

    Raises
    ------
    ValueError
        Raised if the path is not free.
    """

    def __init__(self, *, host: str, port: int, path: str, settings: SourceSettings) -> None:
        if not path.startswith("/") or path == _HEALTH:
            raise ValueError(f"HTTP source: path: expected one with '/' first, not {_HEALTH}, got {path!r}")
        self.ready = threading.Event()
        self._host = host
        self._port = port
        self._path = path
        self._settings = settings
        self._stopped = False
        self._server: uvicorn.Server | None = None

    @property
    def url(self) -> str:
        """Where to post events, once it is ready (`str`)."""
        host = f"[{self._host}]" if ":" in self._host else self._host
        return f"http://{host}:{self._port}{self._path}"

    def run(self, handle: Handler) -> None:
        """Take events until `stop` is called.

        Parameters
        ----------
        handle
            Takes the deliveries; it is called in several threads at a time.

        Raises
        ------
        OSError
            Raised if it cannot listen at this address and port.
        """
        family = socket.AF_INET6 if ":" in self._host else socket.AF_INET
        app = _make_app(self._path, _Endpoint(handle, self._settings))
        config = uvicorn.Config(
            app, log_config=None, access_log=False, lifespan="off", timeout_graceful_shutdown=10
        )
        with (
            socket.create_server((self._host, self._port), family=family) as listener,
            concurrent.futures.ThreadPoolExecutor(1, thread_name_prefix="http-source") as executor,
        ):
            self._port = listener.getsockname()[1]
            server = _Server(config, on_started=self.ready.set)
            self._server = server
            server.should_exit = self._stopped
            try:
                # In a thread of its own, where it leaves signals alone.
                executor.submit(server.run, sockets=[listener]).result()
            finally:
                server.should_exit = True

    def stop(self) -> None:
        """End `run`, from another thread or a signal handler."""
        self._stopped = True
        if self._server is not None:
            self._server.should_exit = True


class _Server(uvicorn.Server):
    """A server that says when it listens."""

    def __init__(self, config: uvicorn.Config, *, on_started: Callable[[], None]) -> None:
        super().__init__(config)
        self._on_started = on_started

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self._on_started()


def _make_app(path: str, endpoint: _Endpoint) -> FastAPI:
    app = FastAPI(openapi_url=None, docs_url=None, redoc_url=None)
    app.add_api_route(path, endpoint.receive, methods=["POST"])
    app.add_api_route(_HEALTH, endpoint.tell_health, methods=["GET"])
    return app


class _Endpoint:
    """What the server does with a request."""

    def __init__(self, handle: Handler, settings: SourceSettings) -> None:
        token = settings.http_token
        self._handle = handle
        self._limit = settings.max_body_bytes
        self._authorization = None if token is None else f"Bearer {token.get_secret_value()}".encode()
        self._outage = Outage("HTTP source: Redis cannot be reached")

    async def tell_health(self) -> JSONResponse:
        """Answer; the source runs, if Redis does or not."""
        return JSONResponse({"status": "Redis cannot be reached" if self._outage.lasts else "ok"})

    async def receive(self, request: Request) -> JSONResponse:
        """Handle a body, and answer when it is safe."""
        origin = f"http {request.client.host}" if request.client else "http"
        if not self._is_authorized(request):
            _LOG.warning("%s: refused: the token is missing or wrong", origin)
            return _answer_error(401, "expected the token of this service", {"WWW-Authenticate": "Bearer"})
        body = await self._read_body(request)
        try:
            (receipt,) = await run_in_threadpool(self._handle, [Delivery(body, origin)])
        except RedisError as error:
            self._outage.begin(error)
            return _answer_error(503, "Redis cannot be reached", {"Retry-After": str(_RETRY_AFTER)})
        self._outage.end()
        return _answer(receipt, is_oversized=len(body) > self._limit)

    def _is_authorized(self, request: Request) -> bool:
        if self._authorization is None:
            return True
        given = request.headers.get("Authorization", "").encode("latin-1")
        return hmac.compare_digest(given, self._authorization)

    async def _read_body(self, request: Request) -> bytes:
        """Read the body, of one too long a byte more than allowed."""
        body = bytearray()
        discarded = 0
        async for chunk in request.stream():
            body += chunk[: self._limit + 1 - len(body)]
            if len(body) > self._limit:
                discarded += len(chunk)
            if discarded > _DISCARDED:
                break
        return bytes(body)


def _answer(receipt: Receipt, *, is_oversized: bool) -> JSONResponse:
    """Tell the sender what became of the events."""
    status = 202
    if not receipt.accepted and receipt.rejected:
        status = 413 if is_oversized else _STATUS[receipt.rejected[0].code]
    rejected = [_describe(reason) for reason in receipt.rejected]
    return JSONResponse({"accepted": receipt.accepted, "rejected": rejected}, status)


def _describe(reason: EventRejected) -> dict[str, str]:
    return {"code": reason.code.value, "reason": reason.message}


def _answer_error(status: int, reason: str, headers: Mapping[str, str]) -> JSONResponse:
    return JSONResponse({"accepted": 0, "rejected": [], "error": reason}, status, headers)
