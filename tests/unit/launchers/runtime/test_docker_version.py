"""An engine that is upgraded, or downgraded, under a living site, and refuses the version that was agreed on."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from socketserver import ThreadingMixIn, UnixStreamServer
from threading import Thread
from typing import Any

import docker
import pytest

from flcore.errors import RuntimeRefusedError
from launchers.container_spec import ContainerSpec
from launchers.runtime.base import FoundImage
from launchers.runtime.docker import DockerRuntime

ANSWERS: dict[str, tuple[int, Any]] = {
    "POST /containers/create": (201, {"Id": "0123", "Warnings": []}),
    "POST /containers/0123/start": (204, None),
    "POST /containers/0123/kill": (204, None),
    "DELETE /containers/0123": (204, None),
    "GET /containers/json": (200, []),
    "GET /images/job:1/json": (200, {"Id": "sha256:1", "RepoDigests": []}),
    "GET /events": (200, {"id": "0123", "Action": "start"}),
    "GET /containers/0123/json": (200, {"Id": "0123", "Config": {"Tty": False}}),
    "GET /containers/0123/logs": (200, b"\x01\0\0\0\0\0\0\x05hello"),
    "POST /images/create": (200, {"status": "Pull complete", "id": "layer"}),
}


class Engine(ThreadingMixIn, UnixStreamServer):
    """Answers as an engine does whose oldest and newest version are set; keeps what it was asked for."""

    daemon_threads = True
    request_queue_size = 64

    def __init__(self, path: Path) -> None:
        super().__init__(str(path), _Answer)
        self.address = f"unix://{path}"
        self.oldest, self.newest = "1.24", "1.41"
        self.names = ""
        """The version that it says it has, if not its newest."""
        self.asked: list[str] = []

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


class _Answer(BaseHTTPRequestHandler):
    server: Engine

    def _answer(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length") or 0))
        path = self.path.partition("?")[0]
        found = re.match(r"/v([0-9.]+)(/.*)", path)
        version, path = (found[1], found[2]) if found else ("", path)
        self.server.asked.append(f"{version} {self.command} {path}")
        if version and (refusal := self.server.refusal(version)):
            self._say(400, {"message": refusal})
        elif path == "/version":
            self._say(200, {"ApiVersion": self.server.names or self.server.newest, "Version": "x"})
        else:
            self._say(*ANSWERS[f"{self.command} {path}"])

    do_GET = do_POST = do_DELETE = _answer  # noqa: N815 - the names of http.server

    def _say(self, status: int, body: Any) -> None:
        data = b"" if body is None else body if isinstance(body, bytes) else json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def address_string(self) -> str:
        return "a socket"

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


def _number(version: str) -> tuple[int, ...]:
    return tuple(map(int, version.split(".")))


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    with Engine(tmp_path / "socket") as engine:
        Thread(target=engine.serve_forever, args=(0.01,), daemon=True).start()
        yield engine
        engine.shutdown()


@pytest.fixture
def runtime(engine: Engine) -> Iterator[DockerRuntime]:
    runtime = DockerRuntime(engine.address)
    runtime.list_containers()
    yield runtime
    runtime.close()


def read_events(runtime: DockerRuntime) -> list[str]:
    with runtime.open_events() as events:
        return list(events)


SPEC = ContainerSpec("one", "job:1", ("run",))
CALLS: dict[str, tuple[Callable[[DockerRuntime], Any], Any]] = {
    "create": (lambda runtime: runtime.create(SPEC), "0123"),
    "start": (lambda runtime: runtime.start("0123"), None),
    "send_signal": (lambda runtime: runtime.send_signal("0123", "SIGTERM"), True),
    "remove": (lambda runtime: runtime.remove("0123"), None),
    "list_containers": (lambda runtime: runtime.list_containers(), []),
    "find_image": (lambda runtime: runtime.find_image("job:1"), FoundImage("sha256:1", frozenset({"sha256:1"}))),
    "events": (read_events, ["0123"]),
    "logs": (lambda runtime: b"".join(runtime.logs("0123")), b"hello"),
    "tail": (lambda runtime: b"".join(runtime.logs("0123", 5)), b"hello"),
    "pull": (lambda runtime: [progress.status for progress in runtime.pull("job:1")], ["Pull complete"]),
}


@pytest.mark.parametrize(("call", "answer"), CALLS.values(), ids=CALLS)
@pytest.mark.parametrize(("oldest", "newest"), [("1.44", "1.51"), ("1.24", "1.40")], ids=["upgrade", "downgrade"])
def test_a_call_is_answered_though_the_engine_refuses_the_version_that_was_agreed_on(
    engine: Engine, runtime: DockerRuntime, call: Callable[[DockerRuntime], Any], answer: Any, oldest: str, newest: str
) -> None:
    engine.upgrade(oldest, newest)
    assert call(runtime) == answer


def test_the_version_is_asked_for_once_and_used_from_then_on(engine: Engine, runtime: DockerRuntime) -> None:
    engine.upgrade("1.44", "1.51")
    for _ in range(3):
        runtime.list_containers()
    runtime.start("0123")
    refused, version, *others = engine.asked
    assert (refused, version) == ("1.41 GET /containers/json", " GET /version")
    assert others == ["1.51 GET /containers/json"] * 3 + ["1.51 POST /containers/0123/start"]


def test_an_engine_may_be_upgraded_again(engine: Engine, runtime: DockerRuntime) -> None:
    for oldest, newest in (("1.44", "1.51"), ("1.52", "1.60")):
        engine.upgrade(oldest, newest)
        assert runtime.list_containers() == []


def test_many_calls_at_the_same_time_are_all_answered(engine: Engine, runtime: DockerRuntime) -> None:
    engine.upgrade("1.44", "1.51")
    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(lambda _: runtime.list_containers(), range(32))) == [[]] * 32


def test_an_engine_that_refuses_what_it_names_is_quoted(engine: Engine, runtime: DockerRuntime) -> None:
    engine.upgrade("1.44", "1.51")
    engine.names = "1.42"
    with pytest.raises(RuntimeRefusedError, match=r"client version 1\.42 is too old"):
        runtime.list_containers()


def test_somebody_elses_client_gets_answers_and_is_left_as_it_was(engine: Engine) -> None:
    client = docker.DockerClient(engine.address)
    hooks = list(client.api.hooks["response"])
    runtime = DockerRuntime(client=client)
    for oldest, newest in (("1.44", "1.51"), ("1.52", "1.60")):
        engine.upgrade(oldest, newest)
        assert [runtime.list_containers() for _ in range(2)] == [[], []]
    runtime.close()
    assert client.api.hooks["response"] == hooks
    client.close()
