"""An engine behind ssh, through a real server of it: what is asked, and what happens when the connection is lost."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

pytest.importorskip("paramiko", reason="of the extra [ssh]: make test-lowest")

from flcore.errors import RuntimeUnavailableError
from launchers.runtime.base import FoundImage
from launchers.runtime.docker import DockerRuntime
from tests.operator_lab import until
from tests.small_engine import SmallEngine, small_engine
from tests.ssh_server import SshServer, ssh_server


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[SmallEngine]:
    with small_engine(tmp_path) as engine:
        engine.keeps_connections = True
        yield engine


@pytest.fixture
def server(tmp_path: Path, engine: SmallEngine, monkeypatch: pytest.MonkeyPatch) -> Iterator[SshServer]:
    monkeypatch.setenv("HOME", str(tmp_path))
    with ssh_server(tmp_path, Path(engine.address.removeprefix("unix://"))) as server:
        yield server


@pytest.fixture
def runtime(server: SshServer) -> Iterator[DockerRuntime]:
    runtime = DockerRuntime(server.address)
    yield runtime
    runtime.close()


def test_it_is_asked_by_calls_and_streams(runtime: DockerRuntime) -> None:
    assert runtime.find_image("job:1") == FoundImage("sha256:1", frozenset({"sha256:1"}))
    assert b"".join(runtime.logs("0123")) == b"hello"
    with runtime.open_events() as events:
        assert list(events) == ["0123"]


def test_a_long_answer_is_read_to_its_end(runtime: DockerRuntime, engine: SmallEngine) -> None:
    entry = {"Id": "0123", "Names": ["/one"], "State": "running", "Created": 1, "Labels": {"text": "x" * 3_000_000}}
    engine.answers["GET /containers/json"] = (200, [entry])
    assert [found.name for found in runtime.list_containers()] == ["one"]


def test_a_client_logs_in_once_for_all_its_calls(runtime: DockerRuntime, server: SshServer) -> None:
    for _ in range(3):
        runtime.list_containers()
    assert server.logins == 1


def test_many_calls_at_the_same_time_take_no_more_sessions_than_a_host_grants(
    runtime: DockerRuntime, server: SshServer
) -> None:
    with ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(lambda _: runtime.list_containers(), range(32)))
    assert answers == [[]] * 32
    assert server.most_sessions < 10


def test_a_connection_that_is_lost_is_made_anew(runtime: DockerRuntime, server: SshServer) -> None:
    runtime.list_containers()
    server.lose_connections()
    until(lambda: _answers(runtime))  # one call or two may find out that it is lost


def _answers(runtime: DockerRuntime) -> bool:
    try:
        return runtime.list_containers() == []
    except RuntimeUnavailableError:
        return False


def test_a_host_that_is_not_known_is_an_engine_that_was_not_reached(runtime: DockerRuntime, server: SshServer) -> None:
    server.known_hosts.write_text("")
    with pytest.raises(RuntimeUnavailableError, match="not found in known_hosts; this must answer, and ask") as caught:
        runtime.start("0123")
    assert not caught.value.reached


def test_a_host_on_which_nobody_listens_is_an_engine_that_was_not_reached(
    runtime: DockerRuntime, server: SshServer
) -> None:
    server.close()
    with pytest.raises(RuntimeUnavailableError) as caught:
        runtime.start("0123")
    assert not caught.value.reached


def test_a_host_without_an_engine_is_told_with_what_is_to_be_tried_there(
    runtime: DockerRuntime, server: SshServer, engine: SmallEngine
) -> None:
    Path(engine.address.removeprefix("unix://")).unlink()
    with pytest.raises(RuntimeUnavailableError, match=f"and ask nothing: ssh {server.address} docker version"):
        runtime.list_containers()
