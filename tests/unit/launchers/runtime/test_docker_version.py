"""An engine that is upgraded, or downgraded, under a living site, and refuses the version that was agreed on."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import docker
import pytest

from flcore.errors import RuntimeRefusedError
from launchers.container_spec import ContainerSpec
from launchers.runtime.base import FoundImage
from launchers.runtime.docker import DockerRuntime
from tests.small_engine import SmallEngine


@pytest.fixture
def runtime(engine: SmallEngine) -> Iterator[DockerRuntime]:
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
    engine: SmallEngine,
    runtime: DockerRuntime,
    call: Callable[[DockerRuntime], Any],
    answer: Any,
    oldest: str,
    newest: str,
) -> None:
    engine.upgrade(oldest, newest)
    assert call(runtime) == answer


def test_the_version_is_asked_for_once_and_used_from_then_on(engine: SmallEngine, runtime: DockerRuntime) -> None:
    engine.upgrade("1.44", "1.51")
    for _ in range(3):
        runtime.list_containers()
    runtime.start("0123")
    refused, version, *others = engine.asked
    assert (refused, version) == ("1.41 GET /containers/json", " GET /version")
    assert others == ["1.51 GET /containers/json"] * 3 + ["1.51 POST /containers/0123/start"]


def test_an_engine_may_be_upgraded_again(engine: SmallEngine, runtime: DockerRuntime) -> None:
    for oldest, newest in (("1.44", "1.51"), ("1.52", "1.60")):
        engine.upgrade(oldest, newest)
        assert runtime.list_containers() == []


def test_many_calls_at_the_same_time_are_all_answered(engine: SmallEngine, runtime: DockerRuntime) -> None:
    engine.upgrade("1.44", "1.51")
    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(lambda _: runtime.list_containers(), range(32))) == [[]] * 32


def test_an_engine_that_refuses_what_it_names_is_quoted(engine: SmallEngine, runtime: DockerRuntime) -> None:
    engine.upgrade("1.44", "1.51")
    engine.names = "1.42"
    with pytest.raises(RuntimeRefusedError, match=r"client version 1\.42 is too old"):
        runtime.list_containers()


def test_somebody_elses_client_gets_answers_and_is_left_as_it_was(engine: SmallEngine) -> None:
    client = docker.DockerClient(engine.address)
    hooks = list(client.api.hooks["response"])
    runtime = DockerRuntime(client=client)
    for oldest, newest in (("1.44", "1.51"), ("1.52", "1.60")):
        engine.upgrade(oldest, newest)
        assert [runtime.list_containers() for _ in range(2)] == [[], []]
    runtime.close()
    assert client.api.hooks["response"] == hooks
    client.close()
