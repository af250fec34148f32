"""The live page over HTTP: for reading only. Nothing else here imports starlette, sse-starlette or uvicorn."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from http import HTTPStatus
from urllib.parse import urlencode

import uvicorn
from sse_starlette import EventSourceResponse, ServerSentEvent
from starlette.applications import Starlette
from starlette.datastructures import MutableHeaders
from starlette.requests import Request
from starlette.responses import HTMLResponse, PlainTextResponse, RedirectResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from flcore.errors import ConfigError

from ..operator.selection import NoSuchJobError
from .access import Access
from .live import LivePages, Subject
from .query import Query

COOKIE = "flcore-session"
TOKEN_PARAMETER = "token"  # noqa: S105 - its name
PING_INTERVAL = 15
"""Seconds between two signs of life to a reader to whom there is nothing to tell."""
GRACE = 1
"""Seconds that open answers have at the end."""
_HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}
_HOW_TO_GET_IN = """This page needs its token: add ?token=… to the address, as `flcore serve` has printed it,
or send it as `Authorization: Bearer …`.
"""


def make_app(pages: LivePages, access: Access) -> Starlette:
    """Return the application. While it is up, pages that are looked at are kept fresh."""

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        watching = asyncio.create_task(pages.watch())
        yield
        await pages.close()
        await watching

    async def page(request: Request) -> Response:
        found = await pages.page(_subject_of(request))
        return HTMLResponse(found.html(), headers={"Content-Security-Policy": found.policy})

    async def events(request: Request) -> Response:
        subject = _subject_of(request)
        await pages.page(subject)  # an unknown job is told as such, not by a stream that ends
        if request.method == "HEAD":  # an answer without a body; the stream's would never end
            return Response(media_type="text/event-stream")
        moment = request.headers.get("last-event-id") or request.query_params.get("seen", "")
        return EventSourceResponse(_sent(pages, subject, moment), ping=PING_INTERVAL)

    routes = [
        Route("/", page),
        Route("/events", events),
        Route("/jobs/{job}", page),
        Route("/jobs/{site}/{job}", page),
        Route("/events/jobs/{job}", events),
        Route("/events/jobs/{site}/{job}", events),
        Route("/job/{job}", page),  # as an address was before, which somebody may have sent
        Route("/job/{job}/events", events),
    ]
    app = Starlette(routes=routes, lifespan=lifespan, exception_handlers={NoSuchJobError: _unknown_job})
    app.add_middleware(_Guard, access=access)
    return app


class Server(uvicorn.Server):
    """Serves the application until Ctrl-C or SIGTERM, which end it at once, whoever listens to what changes."""

    def __init__(self, app: Starlette, pages: LivePages) -> None:
        config = uvicorn.Config(
            app, log_level="warning", access_log=False, server_header=False, timeout_graceful_shutdown=GRACE
        )
        super().__init__(config)
        self._pages = pages

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        await self._pages.close()
        await super().shutdown(sockets)


def listen(host: str, port: int) -> socket.socket:
    """Return a socket that listens. Raises ConfigError."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host.strip("[]"), port), family=family)
    except OSError as error:
        raise ConfigError(
            f"cannot listen at {host} port {port}: {error.strerror}; --port 0 takes a free one"
        ) from error


def address_of(listening: socket.socket) -> str:
    """Return the address of a page, as a browser wants it."""
    host, port = listening.getsockname()[:2]
    return f"http://[{host}]:{port}/" if ":" in host else f"http://{host}:{port}/"


def _subject_of(request: Request) -> Subject:
    """Return what an address is about."""
    job = "/".join(request.path_params[part] for part in ("site", "job") if part in request.path_params)
    return Subject(job) if job else Subject(query=Query.of(request.query_params))


async def _sent(pages: LivePages, subject: Subject, moment: str) -> AsyncIterator[ServerSentEvent]:
    async for update in pages.updates(subject, moment):
        yield ServerSentEvent(update.data, event="update", id=update.id)


async def _unknown_job(_: Request, error: Exception) -> Response:
    return PlainTextResponse(f"{error}\n", HTTPStatus.NOT_FOUND)


class _Guard:
    """Lets in who may read, and gives every answer the headers that keep a browser from doing more than show it."""

    def __init__(self, app: ASGIApp, access: Access) -> None:
        self._app = app
        self._access = access

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in _HEADERS.items():
                    headers.setdefault(name, value)
            await send(message)

        answer = self._refusal(Request(scope)) if scope["type"] == "http" else _refused(HTTPStatus.NOT_FOUND, "")
        await (answer or self._app)(scope, receive, send_with_headers)

    def _refusal(self, request: Request) -> Response | None:
        """Return what a request gets that does not get through."""
        if not self._access.is_known_host(request.headers.get("host", "")):
            return _refused(HTTPStatus.MISDIRECTED_REQUEST, "not known by this name: use the address, or --name\n")
        if request.method not in ("GET", "HEAD"):
            return _refused(HTTPStatus.METHOD_NOT_ALLOWED, "for reading only\n", {"Allow": "GET, HEAD"})
        return self._refusal_without_token(request) if self._access.needs_token else None

    def _refusal_without_token(self, request: Request) -> Response | None:
        if TOKEN_PARAMETER in request.query_params:
            return self._first_visit(request)
        scheme, _, given = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() == "bearer" and self._access.is_token(given.strip()):
            return None
        if self._access.is_session(request.cookies.get(COOKIE, "")):
            return None
        return _refused(HTTPStatus.UNAUTHORIZED, _HOW_TO_GET_IN, {"WWW-Authenticate": "Bearer"})

    def _first_visit(self, request: Request) -> Response:
        """Take the token out of the address, which browsers remember, and have a cookie stand for it."""
        if not self._access.is_token(request.query_params[TOKEN_PARAMETER]):
            return _refused(HTTPStatus.UNAUTHORIZED, _HOW_TO_GET_IN, {"WWW-Authenticate": "Bearer"})
        others = [(name, value) for name, value in request.query_params.multi_items() if name != TOKEN_PARAMETER]
        path = "/" + request.url.path.lstrip("/")  # with two of these, it would be another host's
        answer = RedirectResponse(f"{path}?{urlencode(others)}" if others else path, HTTPStatus.SEE_OTHER)
        answer.set_cookie(COOKIE, self._access.session, httponly=True, samesite="strict")
        return answer


def _refused(status: HTTPStatus, text: str, headers: dict[str, str] | None = None) -> Response:
    return PlainTextResponse(text, status, headers)
