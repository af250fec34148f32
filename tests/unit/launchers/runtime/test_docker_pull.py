"""Pulls by Docker Engine, seen from here: what it says, how it refuses, how it goes away, and how a pull is ended.

The engine is a stand-in that answers over a socket as a real one was seen to do.
"""

from __future__ import annotations

import json
import socketserver
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import docker
import pytest

from flcore.errors import ImageError, RuntimeUnavailableError
from launchers.runtime.base import PullProgress
from launchers.runtime.docker import DockerRuntime

TIMEOUT = 5.0
TAG = {"status": "Pulling from job", "id": "1"}
NEW_LAYER = {"status": "Pulling fs layer", "progressDetail": {}, "id": "abc"}


class Engine:
    """What the stand-in does at a pull, in the order of the calls; the test says it before the pull begins."""

    def __init__(self) -> None:
        self.acts: list[Callable[[Handler], None]] = []
        self.requests: list[str] = []
        self.answers = threading.Event()
        """Cleared: it does not say its version, which it is asked first."""
        self.answers.set()
        self.connected = threading.Event()
        self.stalled = threading.Event()
        """Set when it has done all else, and says nothing more."""
        self.left = threading.Event()
        """Set when the other side has closed the connection of a pull."""

    def refuse(self, status: int, message: str) -> None:
        self.acts.append(lambda handler: handler.answer(status, {"message": message}))

    def say(self, *entries: dict[str, Any]) -> None:
        lines = b"".join(json.dumps(entry).encode() + b"\r\n" for entry in entries)
        if lines:
            self.acts.append(lambda handler: handler.write_chunk(lines))

    def end(self) -> None:
        self.acts.append(lambda handler: handler.write_chunk(b""))

    def die(self) -> None:
        """Go away in the middle of it."""
        self.acts.append(lambda handler: handler.request.close())

    def stall(self) -> None:
        """Say nothing more."""
        self.acts.append(lambda handler: handler.wait_for_the_other_side())


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Any

    def do_GET(self) -> None:
        self.server.engine.connected.set()
        self.server.engine.answers.wait(TIMEOUT)
        self.answer(200, {"ApiVersion": "1.41", "Version": "20.10"})

    def do_POST(self) -> None:
        engine: Engine = self.server.engine
        engine.requests.append(self.path)
        self._begun = False
        self.close_connection = True
        for act in engine.acts:
            act(self)

    def answer(self, status: int, body: dict[str, Any]) -> None:
        data = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def write_chunk(self, data: bytes) -> None:
        if not self._begun:
            self._begun = True
            self.send_response(200)
            self.send_header("Transfer-Encoding", "chunked")
            self.end_headers()
        self.wfile.write(b"%x\r\n%s\r\n" % (len(data), data))

    def wait_for_the_other_side(self) -> None:
        self.server.engine.stalled.set()
        self.request.settimeout(TIMEOUT)
        if self.rfile.read(1) == b"":
            self.server.engine.left.set()

    def address_string(self) -> str:
        return "the other side"

    def log_message(self, *args: object) -> None:
        """Say nothing."""


@pytest.fixture
def engine() -> Engine:
    return Engine()


@pytest.fixture(params=["unix", "tcp"])
def host(request: pytest.FixtureRequest, engine: Engine, tmp_path: Path) -> Iterator[str]:
    """The address of the stand-in."""
    server: Any
    if request.param == "unix":
        server = socketserver.ThreadingUnixStreamServer(str(tmp_path / "engine"), Handler)
        address = f"unix://{server.server_address}"
    else:
        server = socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler)
        address = f"tcp://127.0.0.1:{server.server_address[1]}"
    server.engine = engine
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    yield address
    server.shutdown()
    server.server_close()
    thread.join(TIMEOUT)


@pytest.fixture
def runtime(host: str) -> Iterator[DockerRuntime]:
    runtime = DockerRuntime(host)
    yield runtime
    runtime.close()


def test_what_the_engine_says_is_told(runtime: DockerRuntime, engine: Engine) -> None:
    engine.say(
        TAG,
        NEW_LAYER,
        {"status": "Downloading", "progressDetail": {"current": 5, "total": 9}, "id": "abc", "progress": "[=>  ]"},
        {"status": "Pull complete", "progressDetail": {}, "id": "abc"},
        {"status": "Digest: sha256:1234"},
    )
    engine.end()
    assert list(runtime.pull("job:1")) == [
        PullProgress("", "Pulling from job"),
        PullProgress("abc", "Pulling fs layer"),
        PullProgress("abc", "Downloading", 5, 9),
        PullProgress("abc", "Pull complete"),
        PullProgress("", "Digest: sha256:1234"),
    ]


@pytest.mark.parametrize(
    ("image", "asked"),
    [
        ("job:1", "tag=1&fromImage=job"),
        ("job", "tag=latest&fromImage=job"),
        ("other/job@sha256:12", "tag=sha256%3A12&fromImage=other%2Fjob"),
    ],
)
def test_one_image_is_asked_for_never_all_of_a_name(
    runtime: DockerRuntime, engine: Engine, image: str, asked: str
) -> None:
    engine.say(TAG)
    engine.end()
    list(runtime.pull(image))
    assert engine.requests == [f"/v1.41/images/create?{asked}"]


def test_a_countdown_is_one_state(runtime: DockerRuntime, engine: Engine) -> None:
    engine.say(
        *({"status": f"Retrying in {n} second{'s' * (n > 1)}", "progressDetail": {}, "id": "abc"} for n in (2, 1))
    )
    engine.end()
    assert [said.status for said in runtime.pull("job:1")] == ["Retrying", "Retrying"]


@pytest.mark.parametrize("status", [400, 404, 500])
def test_a_pull_that_the_engine_refuses_is_an_error_of_the_image(
    runtime: DockerRuntime, engine: Engine, status: int
) -> None:
    engine.refuse(status, "manifest\nunknown")
    with pytest.raises(ImageError) as caught:
        list(runtime.pull("job:1"))
    says = "image job:1 cannot be pulled: the engine says: manifest unknown; try: docker pull job:1"
    assert str(caught.value) == says


@pytest.mark.parametrize(
    "said",
    [
        {"errorDetail": {"message": "no space left"}, "error": "no space left"},
        {"errorDetail": {"message": "no space left"}},
        {"error": "no space left"},
    ],
    ids=["until-now", "as-announced", "the-first-way"],
)
def test_an_error_in_the_middle_is_one_of_the_image(
    runtime: DockerRuntime, engine: Engine, said: dict[str, Any]
) -> None:
    engine.say(TAG, said)
    engine.end()
    with pytest.raises(ImageError, match="image job:1 cannot be pulled: the engine says: no space left; try:"):
        list(runtime.pull("job:1"))


@pytest.mark.parametrize("image", ["http://job:1", ""])
def test_what_is_no_name_of_an_image_is_an_error_of_the_image(
    runtime: DockerRuntime, engine: Engine, image: str
) -> None:
    engine.refuse(400, "invalid reference format")
    with pytest.raises(ImageError, match=f"image {image} cannot be pulled"):
        list(runtime.pull(image))


@pytest.mark.parametrize("before", [[], [TAG], [TAG, NEW_LAYER]], ids=len)
def test_an_engine_that_dies_during_a_pull_is_unavailable(
    runtime: DockerRuntime, engine: Engine, before: list[dict[str, Any]]
) -> None:
    engine.say(*before)
    engine.die()
    with pytest.raises(RuntimeUnavailableError, match=r"does not answer \(the pull of image job:1\)"):
        list(runtime.pull("job:1"))


@pytest.mark.parametrize("before", [[], [TAG], [TAG, NEW_LAYER]], ids=len)
def test_closing_ends_a_pull_whatever_it_waits_for(
    runtime: DockerRuntime, engine: Engine, before: list[dict[str, Any]]
) -> None:
    engine.say(*before)
    engine.stall()
    pull = runtime.pull("job:1")
    with ThreadPoolExecutor(1) as pool:
        said = pool.submit(list, pull)
        assert engine.stalled.wait(TIMEOUT)
        pull.close()
        assert len(said.result(TIMEOUT)) <= len(before)
    assert engine.left.wait(TIMEOUT)


def test_a_pull_that_is_closed_while_it_connects_is_not_asked_for(runtime: DockerRuntime, engine: Engine) -> None:
    engine.answers.clear()
    pull = runtime.pull("job:1")
    with ThreadPoolExecutor(1) as pool:
        said = pool.submit(list, pull)
        assert engine.connected.wait(TIMEOUT)
        pull.close()
        engine.answers.set()
        assert said.result(TIMEOUT) == []
    assert engine.requests == []


def test_leaving_a_pull_in_the_middle_closes_its_connection(runtime: DockerRuntime, engine: Engine) -> None:
    engine.say(TAG, NEW_LAYER)
    engine.stall()
    pull = runtime.pull("job:1")
    assert next(iter(pull)) == PullProgress("", "Pulling from job")
    pull.close()
    assert engine.left.wait(TIMEOUT)


def test_a_pull_leaves_the_clients_that_others_use_alone(runtime: DockerRuntime, engine: Engine) -> None:
    engine.stall()
    checks = list(runtime.check(None, None))
    assert checks[0].ok
    pull = runtime.pull("job:1")
    with ThreadPoolExecutor(1) as pool:
        said = pool.submit(list, pull)
        assert engine.stalled.wait(TIMEOUT)
        pull.close()
        assert said.result(TIMEOUT) == []
    assert checks == list(runtime.check(None, None))


def test_over_the_client_of_somebody_else_a_close_takes_effect_with_the_next_thing_that_is_said(
    host: str, engine: Engine
) -> None:
    engine.say(TAG, NEW_LAYER)
    engine.end()
    client = docker.DockerClient(host, timeout=5)
    pull = DockerRuntime(client=client).pull("job:1")
    saying = iter(pull)
    assert next(saying) == PullProgress("", "Pulling from job")
    pull.close()
    assert list(saying) == []
    client.close()
