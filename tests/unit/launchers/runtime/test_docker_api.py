"""The short way to an engine of this host: it asks what the SDK asks, raises what that raises, leaves nothing open."""

from __future__ import annotations

import io
import socket
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from socketserver import ThreadingMixIn, UnixStreamServer
from threading import Thread
from typing import Any

import docker
import pytest
import requests

from flcore.errors import RuntimeUnavailableError
from launchers.runtime.docker import DockerRuntime
from launchers.runtime.docker_api import EngineClient, open_answer
from tests.small_engine import SmallEngine

TIMEOUT = 10.0
SPEC: dict[str, Any] = {"Image": "job:1", "Cmd": ["größer"], "Labels": {"a b": "c&d=é"}}

CALLS: dict[str, Callable[[Any], object]] = {
    "create": lambda api: api.create_container_from_config(SPEC, "site-1-job"),
    "create for a platform": lambda api: api.create_container_from_config(SPEC, "one", "linux/amd64"),
    "start": lambda api: api.start("0123"),
    "inspect": lambda api: api.inspect_container("0123"),
    "inspect an image": lambda api: api.inspect_image("registry.example.com:5000/team/job:1"),
    "inspect a bad name": lambda api: api.inspect_image("a b?c#d%e/é"),
    "list": lambda api: api.containers(all=True, filters={"label": ["a=b c", "d&e"]}),
    "kill": lambda api: api.kill("0123", "SIGTERM"),
    "stop": lambda api: api.stop("0123", timeout=3),
    "remove": lambda api: api.remove_container("0123", v=True, force=True),
    "wait": lambda api: api.wait("0123"),
    "rename": lambda api: api.rename("0123", "two words"),
    "stats": lambda api: api.stats("0123", stream=False, one_shot=True),
    "update": lambda api: api.update_container("0123", mem_limit=10**9),
    "put bytes": lambda api: api.put_archive("0123", "/a path", b"\0\xff"),
    "put a file": lambda api: api.put_archive("0123", "/", io.BytesIO(b"content")),
    "pull": lambda api: api.pull("job", "1"),
    "logs": lambda api: api.logs("0123", tail=3),
    "ping": lambda api: api.ping(),
}


class _Heard(ThreadingMixIn, UnixStreamServer):
    """Answers whatever it is asked in the same way, and keeps all of that."""

    daemon_threads = True

    def __init__(self, path: Path) -> None:
        super().__init__(str(path), _Answer)
        self.heard: list[tuple[str, str, bytes, str | None]] = []


class _Answer(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Heard

    def _answer(self) -> None:
        if "chunked" in (self.headers.get("Transfer-Encoding") or ""):
            body = self._chunks()
        else:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self.server.heard.append((self.command, self.path, body, self.headers.get("Content-Type")))
        answer = b'{"Id": "1", "ApiVersion": "1.41", "Config": {"Tty": true}, "StatusCode": 0}\n'
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    do_GET = do_POST = do_DELETE = do_PUT = _answer  # noqa: N815 - the names of http.server

    def _chunks(self) -> bytes:
        body = b""
        while size := int(self.rfile.readline(), 16):
            body += self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()
        return body

    def address_string(self) -> str:
        return "a socket"

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


@contextmanager
def answering_once(path: Path, answer: bytes) -> Iterator[str]:
    """Have the next request answered by these bytes, and the connection closed; yield the address."""
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(path))
        server.listen()

        def serve() -> None:
            connection, _ = server.accept()
            with connection:
                connection.recv(1 << 16)
                connection.sendall(answer)

        thread = Thread(target=serve, daemon=True)
        thread.start()
        yield f"unix://{path}"
        thread.join(TIMEOUT)


def heard_of(path: Path, call: Callable[[Any], object], make: Callable[..., Any]) -> list[Any]:
    with _Heard(path) as server:
        Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        with closing(make(base_url=f"unix://{path}", version="1.41")) as client:
            call(client.api)
        server.shutdown()
        return server.heard


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
def test_an_engine_is_asked_what_the_sdk_asks(tmp_path: Path, call: Callable[[Any], object]) -> None:
    asked = heard_of(tmp_path / "ours", call, EngineClient)
    assert asked == heard_of(tmp_path / "sdk", call, docker.DockerClient)
    assert asked


def test_no_pool_of_connections_is_kept_for_a_url(engine: SmallEngine) -> None:
    with closing(EngineClient(base_url=engine.address)) as client:
        api: Any = client.api
        api.close()  # that of the version, which it asks for while it is made
        for _ in range(3):
            api.inspect_image("job:1")
            api.start("0123")
        assert len(api.get_adapter(api.base_url).pools) == 0


def test_an_engine_that_is_too_late_is_the_sdks_error(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as silent:
        silent.bind(str(tmp_path / "socket"))
        silent.listen()
        with closing(EngineClient(base_url=f"unix://{tmp_path}/socket", version="1.41", timeout=0.05)) as client:
            with pytest.raises(requests.exceptions.ReadTimeout):
                client.api.inspect_container("0123")
            with pytest.raises(requests.exceptions.ReadTimeout):
                open_answer(client.api, f"{client.api.base_url}/v1.41/containers/0123/logs", {})


@pytest.mark.parametrize(
    "answer",
    [b"", b"HTTP/1.1 200 OK\r\nContent-Le", b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{", b"nonsense\r\n\r\n"],
    ids=["none", "half a head", "half a body", "no HTTP"],
)
def test_an_answer_that_breaks_off_is_the_sdks_error(tmp_path: Path, answer: bytes) -> None:
    unanswered = pytest.raises(requests.exceptions.RequestException)
    with answering_once(tmp_path / "engine", answer) as at, closing(EngineClient(at, "1.41")) as client, unanswered:
        client.api.inspect_container("0123")


def test_a_request_that_may_have_arrived_is_told_from_one_that_cannot(tmp_path: Path) -> None:
    version = b'HTTP/1.0 200 OK\r\n\r\n{"ApiVersion": "1.41"}'
    with answering_once(tmp_path / "socket", version) as address:
        runtime = DockerRuntime(address)
        with closing(runtime):
            assert runtime.native("0123").id == "0123"  # by this it knows the version
            with socket.socket(socket.AF_UNIX) as silent:
                (tmp_path / "socket").unlink()
                with pytest.raises(RuntimeUnavailableError) as caught:
                    runtime.start("0123")
                assert not caught.value.reached
                silent.bind(str(tmp_path / "socket"))
                silent.listen()
                thread = Thread(target=lambda: silent.accept()[0].close(), daemon=True)
                thread.start()
                with pytest.raises(RuntimeUnavailableError) as caught:
                    runtime.start("0123")
                assert caught.value.reached
                thread.join(TIMEOUT)


def test_a_stream_that_is_closed_early_ends_its_connection(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(tmp_path / "socket"))
        server.listen()
        with closing(EngineClient(base_url=f"unix://{tmp_path}/socket", version="1.41")) as client:
            # An engine that keeps connections open: that the client will close this one, it has not heeded.
            endless = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n"
            accepted: list[socket.socket] = []

            def serve() -> None:
                accepted.append(server.accept()[0])
                accepted[0].recv(1 << 16)
                accepted[0].sendall(endless)

            thread = Thread(target=serve, daemon=True)
            thread.start()
            with open_answer(client.api, f"{client.api.base_url}/v1.41/containers/0123/logs", {}) as answer:
                assert answer.raw.read(5) == b"hello"
            thread.join(TIMEOUT)
            with accepted[0] as connection:
                connection.settimeout(TIMEOUT)
                assert connection.recv(1) == b""
