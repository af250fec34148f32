"""The Docker runtime as far as it needs no engine: one that does not answer."""

from __future__ import annotations

import gc
import json
import os
import socket
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pytest

from flcore.errors import JobStartError, NetworkError, RuntimeUnavailableError
from flcore.extras import how_to_install
from launchers.container_spec import ContainerSpec
from launchers.runtime.docker import DockerRuntime

SPEC = ContainerSpec("one", "job:1", ("run",))

CALLS: dict[str, Callable[[DockerRuntime], object]] = {
    "create": lambda runtime: runtime.create(SPEC),
    "find_image": lambda runtime: runtime.find_image("job:1"),
    "pull": lambda runtime: list(runtime.pull("job:1")),
    "start": lambda runtime: runtime.start("0123"),
    "inspect": lambda runtime: runtime.inspect("0123"),
    "list_containers": lambda runtime: runtime.list_containers(),
    "open_events": lambda runtime: runtime.open_events().__enter__(),
    "send_signal": lambda runtime: runtime.send_signal("0123", "SIGTERM"),
    "remove": lambda runtime: runtime.remove("0123"),
    "logs": lambda runtime: list(runtime.logs("0123")),
    "follow": lambda runtime: runtime.follow("0123").__enter__(),
    "last_output_time": lambda runtime: runtime.last_output_time("0123"),
    "usage": lambda runtime: runtime.usage("0123"),
    "tail": lambda runtime: list(runtime.logs("0123", 5)),
}


@pytest.fixture
def runtime() -> Iterator[DockerRuntime]:
    with socket.socket() as nobody_listens:
        nobody_listens.bind(("127.0.0.1", 0))
        runtime = DockerRuntime(f"tcp://127.0.0.1:{nobody_listens.getsockname()[1]}")
        yield runtime
        runtime.close()


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
def test_an_engine_that_does_not_answer_is_unavailable(
    runtime: DockerRuntime, call: Callable[[DockerRuntime], object]
) -> None:
    with pytest.raises(RuntimeUnavailableError, match=r"Docker Engine tcp://127.0.0.1:\d+ does not answer"):
        call(runtime)


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
def test_an_engine_that_nobody_runs_is_known_not_to_have_been_reached(
    runtime: DockerRuntime, call: Callable[[DockerRuntime], object]
) -> None:
    with pytest.raises(RuntimeUnavailableError) as caught:
        call(runtime)
    assert not caught.value.reached


def test_an_engine_that_hangs_up_may_have_been_reached() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        runtime = DockerRuntime(f"tcp://127.0.0.1:{server.getsockname()[1]}")
        with ThreadPoolExecutor(1) as pool:
            pool.submit(lambda: server.accept()[0].close())
            with pytest.raises(RuntimeUnavailableError) as caught:
                runtime.start("0123")
    assert caught.value.reached


def test_an_engine_that_no_config_names_is_told_with_its_address(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_HOST", "tcp://127.0.0.1:1")
    with pytest.raises(RuntimeUnavailableError, match=r" at tcp://127.0.0.1:1; start it there, or name"):
        DockerRuntime().inspect("0123")


@pytest.mark.filterwarnings("ignore::ResourceWarning")  # what does not connect, the SDK leaves to the collector
def test_a_socket_that_is_not_for_this_user_is_told_with_the_group_that_may_ask(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "socket"))
        (tmp_path / "socket").chmod(0)
        with (
            without_rights(),
            pytest.raises(RuntimeUnavailableError, match="join the group docker"),
        ):
            DockerRuntime(f"unix://{tmp_path}/socket").inspect("0123")
    gc.collect()


@contextmanager
def without_rights() -> Iterator[None]:
    """Do what follows as nobody where root, who may do anything, runs the tests."""
    me = os.geteuid()
    try:
        os.seteuid(me or 65534)
        yield
    finally:
        os.seteuid(me)


def test_an_engine_by_ssh_needs_a_package_which_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    # As the SDK leaves it where it finds no paramiko.
    monkeypatch.delattr("docker.api.client.SSHHTTPAdapter", raising=False)
    with pytest.raises(RuntimeUnavailableError) as caught:
        DockerRuntime("ssh://user@host.invalid").inspect("0123")
    said = "DockerException: Install paramiko package to enable ssh:// support"
    address = "Docker Engine ssh://user@host.invalid does not answer (container 0123)"
    assert str(caught.value) == f"{address}: {said}; by 'ssh://' it is asked with: {how_to_install('ssh')}"
    assert not caught.value.reached


def test_an_engine_that_wants_tls_is_told_as_such() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"tcp://127.0.0.1:{server.getsockname()[1]}"
        with ThreadPoolExecutor(1) as pool:
            pool.submit(_refuse_plain_http, server)
            with pytest.raises(RuntimeUnavailableError, match="it is asked by TLS only: set docker_tls") as caught:
                DockerRuntime(address).inspect("0123")
    assert not caught.value.reached


def _refuse_plain_http(server: socket.socket) -> None:
    """Say what Go's server says on a port of TLS."""
    connection, _ = server.accept()
    with connection:
        connection.recv(1 << 16)
        connection.sendall(b"HTTP/1.0 400 Bad Request\r\n\r\nClient sent an HTTP request to an HTTPS server.\n")


def test_an_answer_that_is_no_engines_is_told_by_its_own_error() -> None:
    with recorded_answer(b"<html>") as address, pytest.raises(RuntimeUnavailableError, match="JSONDecodeError: "):
        DockerRuntime(address).inspect("0123")


@contextmanager
def recorded_answer(body: bytes) -> Iterator[str]:
    with socket.create_server(("127.0.0.1", 0)) as server, ThreadPoolExecutor(1) as pool:
        pool.submit(_answer_once, server, body)
        yield f"tcp://127.0.0.1:{server.getsockname()[1]}"


def _answer_once(server: socket.socket, body: bytes) -> None:
    connection, _ = server.accept()
    with connection:
        connection.recv(1 << 16)
        connection.sendall(b"HTTP/1.0 200 OK\r\nContent-Type: text/html\r\n\r\n" + body)


def test_an_address_that_is_none_is_unavailable_too() -> None:
    with pytest.raises(RuntimeUnavailableError, match="does not answer"):
        DockerRuntime("no-address").inspect("0123")


def test_it_says_that_the_engine_is_not_there(runtime: DockerRuntime) -> None:
    (check,) = runtime.check("job:1", "net")
    assert (check.what, check.ok) == ("engine", False)
    assert "does not answer" in check.detail


def test_making_and_closing_one_asks_nobody(runtime: DockerRuntime) -> None:
    runtime.close_events()
    runtime.close()
    runtime.close()


def test_the_host_of_a_container_is_its_name(runtime: DockerRuntime) -> None:
    assert runtime.address("one") == "one"


def test_this_hosts_own_tool_is_not_asked_for_the_gpus_of_an_engine_elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("launchers.runtime.docker.query_gpus", lambda: ["GPU-c2a1b0de-5f1e-4c57-9d1b-0d0f0e1a2b3c"])
    devices = [{"Source": "cdi", "ID": "nvidia.com/gpu=0"}]
    with recorded_engine(about_itself={"DiscoveredDevices": devices}) as host, closing(DockerRuntime(host)) as runtime:
        assert runtime.find_gpus() == ["0"]


@pytest.mark.parametrize(
    "said",
    [
        'could not select device driver "nvidia" with capabilities: [[gpu]]',
        "failed to discover GPU vendor from CDI: no known GPU vendor found",
    ],
    ids=["until-28", "from-29"],
)
def test_an_engine_that_cannot_give_gpus_is_told_with_the_way_out(said: str) -> None:
    with (
        recorded_engine(refusal=said) as host,
        closing(DockerRuntime(host)) as runtime,
        pytest.raises(JobStartError) as raised,
    ):
        runtime.start("0123")
    way_out = "install the NVIDIA Container Toolkit on its host, or take 'gpu_ids' out of the site's config"
    assert str(raised.value) == f"container 0123: the engine says: {said}; {way_out}"


def test_what_a_killed_engine_left_in_a_network_is_told_with_the_way_out() -> None:
    said = "endpoint with name site-1-j1 already exists in network jobs"
    with recorded_engine(said) as host, closing(DockerRuntime(host)) as runtime, pytest.raises(NetworkError) as raised:
        runtime.start("0123")
    assert str(raised.value).endswith("end it with: docker network disconnect -f jobs site-1-j1")


@contextmanager
def recorded_engine(refusal: str = "", about_itself: Mapping[str, Any] = MappingProxyType({})) -> Iterator[str]:
    """Run an engine that says what others were heard to say: about itself, and to whatever changes something."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.answer(200, {"ApiVersion": "1.41", "Version": "20.10.24", **about_itself})

        def do_POST(self) -> None:
            self.answer(500, {"message": refusal})

        def answer(self, status: int, body: dict[str, Any]) -> None:
            self.send_response(status)
            self.end_headers()
            self.wfile.write(json.dumps(body).encode())

        def log_message(self, *args: object) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server, ThreadPoolExecutor(1) as pool:
        pool.submit(server.serve_forever, poll_interval=0.01)
        try:
            yield f"tcp://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
