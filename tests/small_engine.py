"""A small engine: it answers some calls of the Docker API as one does whose oldest and newest versions are set."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from socketserver import ThreadingMixIn, UnixStreamServer
from threading import Event, Thread
from typing import Any
from urllib.parse import parse_qsl

ANSWERS: dict[str, tuple[int, Any]] = {
    "POST /containers/create": (201, {"Id": "0123", "Warnings": []}),
    "POST /containers/0123/start": (204, None),
    "POST /containers/0123/kill": (204, None),
    "DELETE /containers/0123": (204, None),
    "GET /containers/json": (200, []),
    "GET /info": (200, {"MemoryLimit": True, "SecurityOptions": ["name=seccomp,profile=builtin"]}),
    "GET /images/job:1/json": (200, {"Id": "sha256:1", "RepoDigests": []}),
    "GET /events": (200, {"id": "0123", "Action": "start"}),
    "GET /containers/0123/json": (200, {"Id": "0123", "Config": {"Tty": False}}),
    "GET /containers/0123/logs": (200, b"\x01\0\0\0\0\0\0\x05hello"),
    "POST /images/create": (200, {"status": "Pull complete", "id": "layer"}),
}


class SmallEngine(ThreadingMixIn, UnixStreamServer):
    """Answers as an engine does whose oldest and newest version are set; keeps what it was asked for."""

    daemon_threads = True
    request_queue_size = 64

    def __init__(self, path: Path) -> None:
        super().__init__(str(path), _Answer)
        self.address = f"unix://{path}"
        self.oldest, self.newest = "1.24", "1.41"
        self.names = ""
        """The version that it says it has, if not its newest."""
        self.about: dict[str, Any] = {"Version": "x"}
        """What it says beside its version of the API."""
        self.keeps_connections = False
        """Whether it does so after an answer, as a real engine does, unless the client says otherwise."""
        self.answers = dict(ANSWERS)
        """Of a body that is an iterator, each piece is said when it comes. One to a ``request?path`` comes first."""
        self.heads: dict[str, dict[str, str]] = {}
        """What stands in the heads of its answers, beside their length."""
        self.asked: list[str] = []
        self.queries: list[tuple[str, dict[str, str]]] = []
        """By which parameters it was asked, by path."""
        self.silent: set[str] = set()
        """What it does not answer before the end."""
        self.is_silent, self.end = Event(), Event()

    def handle_error(self, *_: Any) -> None:
        """Say nothing of a client that has left."""

    def upgrade(self, oldest: str, newest: str) -> None:
        self.oldest, self.newest = oldest, newest
        self.asked.clear()

    def refusal(self, version: str) -> str:
        if _number(version) < _number(self.oldest):
            least = f"Minimum supported API version is {self.oldest}"
            return f"client version {version} is too old. {least}, please upgrade your client to a newer version"
        if _number(version) > _number(self.newest):
            return f"client version {version} is too new. Maximum supported API version is {self.newest}"
        return ""


@contextmanager
def small_engine(folder: Path) -> Iterator[SmallEngine]:
    """Have one answer on a thread of its own, until the end of the block."""
    with SmallEngine(folder / "socket") as engine:
        Thread(target=engine.serve_forever, args=(0.01,), daemon=True).start()
        try:
            yield engine
        finally:
            engine.end.set()
            engine.shutdown()


class _Answer(BaseHTTPRequestHandler):
    server: SmallEngine

    def setup(self) -> None:
        super().setup()
        self.protocol_version = "HTTP/1.1" if self.server.keeps_connections else "HTTP/1.0"

    def _answer(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length") or 0))
        path, _, query = self.path.partition("?")
        found = re.match(r"/v([0-9.]+)(/.*)", path)
        version, path = (found[1], found[2]) if found else ("", path)
        self.server.queries.append((path, dict(parse_qsl(query))))
        self.server.asked.append(f"{version} {self.command} {path}")
        if version and "/libpod/" not in path and (refusal := self.server.refusal(version)):
            self._say(400, {"message": refusal})
        elif path == "/version":
            self._say(200, {"ApiVersion": self.server.names or self.server.newest, **self.server.about})
        elif (request := f"{self.command} {path}") in self.server.silent:
            self.server.is_silent.set()
            self.server.end.wait()
        else:
            with_path = f"{request}?{dict(parse_qsl(query)).get('path', '')}"
            request = with_path if with_path in self.server.answers else request
            self._say(*self.server.answers[request], self.server.heads.get(request))

    do_GET = do_POST = do_DELETE = _answer  # noqa: N815 - the names of http.server

    def _say(self, status: int, body: Any, head: dict[str, str] | None = None) -> None:
        if isinstance(body, Iterator):
            self._stream(status, body)
            return
        data = b"" if body is None else body if isinstance(body, bytes) else json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        for name, value in (head or {}).items():
            self.send_header(name, value)
        self.end_headers()
        if data:  # who has read that there is none may be gone
            self.wfile.write(data)

    def _stream(self, status: int, pieces: Iterator[bytes]) -> None:
        """Say it piece by piece, as each comes; it ends with the connection."""
        self.send_response(status)
        self.end_headers()
        for piece in pieces:
            self.wfile.write(piece)

    def address_string(self) -> str:
        return "a socket"

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


def _number(version: str) -> tuple[int, ...]:
    return tuple(map(int, version.split(".")))
