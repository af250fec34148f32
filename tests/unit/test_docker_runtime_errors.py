"""The Docker runtime as far as it needs no engine: one that does not answer."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from flcore.errors import RuntimeUnavailableError
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
