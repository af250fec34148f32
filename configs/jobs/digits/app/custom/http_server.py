"""The server's end of the wire: four requests, each of them passed to the `Federation` method of its name.

`POST /task`, `/heartbeat`, `/update` and `/leave` take a JSON object with the client's name as `client` (and
the update), and answer with another. Every request carries the job's token.
"""

import hmac
import json
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler
from socketserver import ThreadingTCPServer
from typing import Any

from federation import Federation
from job_setup import JobError
from softmax import Update, checked_update

MAX_BODY = 256 * 1024
"""Bytes; an update has about 15,000."""


class RefusedError(Exception):
    """A request that is answered with an error status; nothing else comes of it."""

    def __init__(self, status: HTTPStatus, reason: str) -> None:
        super().__init__(reason)
        self.status = status


class JobServer(ThreadingTCPServer):
    """Answers each request in a thread of its own.

    Not an HTTPServer, which starts with a lookup of its own name: that may hang where there is no DNS.
    """

    allow_reuse_address = True
    daemon_threads = True

    def __init__(self, host: str, port: int, token: str, federation: Federation) -> None:
        super().__init__((host, port), Handler)
        self.authorization = f"Bearer {token}".encode()
        self.federation = federation

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing of clients that hang up: their silence tells."""
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)


class Handler(BaseHTTPRequestHandler):
    """One request: what is wrong with it is answered with the status of a RefusedError."""

    server: JobServer
    timeout = 10  # seconds that a client may take to send its request

    def do_POST(self) -> None:
        """Answer the request."""
        try:
            status, answer = HTTPStatus.OK, self._answer()
        except RefusedError as refusal:
            status, answer = refusal.status, {"error": str(refusal)}
        self._reply(status, json.dumps(answer).encode())

    def _answer(self) -> dict[str, Any]:
        body = self._read_body()  # first of all: hanging up on an unread body would lose the answer
        self._require_token()
        request = _parse(body)
        client = self._require_client(request)
        federation = self.server.federation
        match self.path:
            case "/task":
                return federation.next_task(client)._asdict()
            case "/heartbeat":
                federation.heartbeat(client)
            case "/update":
                return {"accepted": federation.submit(client, *_parse_update(request))}
            case "/leave":
                federation.leave(client)
            case _:
                raise RefusedError(HTTPStatus.NOT_FOUND, "only /task, /heartbeat, /update, /leave")
        return {}

    def _read_body(self) -> bytes:
        try:
            length = int(self.headers.get("Content-Length", ""))
        except ValueError as error:
            raise RefusedError(HTTPStatus.LENGTH_REQUIRED, "Content-Length is needed") from error
        if not 0 <= length <= MAX_BODY:
            raise RefusedError(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"a body has at most {MAX_BODY} bytes")
        return self.rfile.read(length)

    def _require_token(self) -> None:
        if not hmac.compare_digest(self.headers.get("Authorization", "").encode(), self.server.authorization):
            raise RefusedError(HTTPStatus.UNAUTHORIZED, "the job's token is needed")

    def _require_client(self, request: Mapping[str, Any]) -> str:
        client = request.get("client")
        if not isinstance(client, str) or client not in self.server.federation.clients:
            raise RefusedError(HTTPStatus.FORBIDDEN, "client: not one of this job's clients")
        return client

    def _reply(self, status: HTTPStatus, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Keep the log to what the job does: a line per request would drown it."""


def _parse(body: bytes) -> dict[str, Any]:
    try:
        request = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise RefusedError(HTTPStatus.BAD_REQUEST, "the body is not JSON") from error
    if not isinstance(request, dict):
        raise RefusedError(HTTPStatus.BAD_REQUEST, "the body is not a JSON object")
    return request


def _parse_update(request: Mapping[str, Any]) -> tuple[int, Update]:
    number = request.get("round")
    if type(number) is not int:
        raise RefusedError(HTTPStatus.BAD_REQUEST, "round: a whole number is needed")
    try:
        return number, checked_update(request.get("weights"), request.get("samples"))
    except ValueError as error:
        raise RefusedError(HTTPStatus.BAD_REQUEST, str(error)) from error


@contextmanager
def serving(host: str, port: int, token: str, federation: Federation) -> Iterator[int]:
    """Serve the federation's clients while the block runs; gives the port (0 asks for any free one)."""
    try:
        server = JobServer(host, port, token, federation)
    except (OSError, OverflowError) as error:
        raise JobError(f"cannot listen on {host}:{port}: {error}") from error
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
    try:
        yield server.server_address[1]
    finally:
        server.shutdown()
        server.server_close()
