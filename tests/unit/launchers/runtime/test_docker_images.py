"""What an engine shows of an image, by a container that never runs."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing

import pytest

from flcore.errors import RuntimeRefusedError
from launchers.runtime.docker import DockerRuntime
from tests.shown_files import show
from tests.small_engine import SmallEngine

CREATED, REMOVED = "POST /containers/create", "DELETE /containers/0123"


@pytest.fixture
def runtime(engine: SmallEngine) -> Iterator[DockerRuntime]:
    show(engine, "/etc/release", b"one")
    show(engine, "/bin/sh", target="/usr/bin/dash")
    with closing(DockerRuntime(engine.address)) as runtime:
        yield runtime


def asked(engine: SmallEngine) -> list[str]:
    return [words for request in engine.asked if "/containers/" in (words := request.partition(" ")[2])]


def test_it_has_files_and_links_or_nothing(runtime: DockerRuntime) -> None:
    with runtime.images.opened("job:1") as files:
        assert [files.target(path) for path in ("/etc/release", "/bin/sh", "/no")] == [
            "/etc/release",
            "/usr/bin/dash",
            None,
        ]
        assert [files.read(path, 100) for path in ("/etc/release", "/bin/sh", "/no")] == [b"one", b"", b""]


def test_a_file_that_is_too_large_is_not_read(runtime: DockerRuntime) -> None:
    with runtime.images.opened("job:1") as files:
        assert files.read("/etc/release", 2) == b""


def test_where_an_engine_tells_nothing_of_it_a_path_leads_to_itself(
    engine: SmallEngine, runtime: DockerRuntime
) -> None:
    engine.heads.clear()
    with runtime.images.opened("job:1") as files:
        assert files.target("/bin/sh") == "/bin/sh"


def test_its_variables_are_those_that_its_containers_would_have(engine: SmallEngine, runtime: DockerRuntime) -> None:
    engine.answers["GET /images/job:1/json"] = (
        200,
        {"Id": "sha256:1", "Config": {"Env": ["PATH=/bin", "A=b=c"]}},
    )
    with runtime.images.opened("job:1") as files:
        assert files.environment == {"PATH": "/bin", "A": "b=c"}


def test_nothing_of_it_runs_and_nothing_stays(engine: SmallEngine, runtime: DockerRuntime) -> None:
    with runtime.images.opened("job:1"):
        pass
    assert asked(engine) == [CREATED, REMOVED]


def test_nothing_stays_where_who_looks_fails(engine: SmallEngine, runtime: DockerRuntime) -> None:
    with pytest.raises(KeyError), runtime.images.opened("job:1"):
        raise KeyError("no such path")
    assert asked(engine) == [CREATED, REMOVED]


def test_what_an_engine_refuses_is_an_error_of_ours(engine: SmallEngine, runtime: DockerRuntime) -> None:
    engine.answers[CREATED] = (403, {"message": "not for you"})
    with (
        pytest.raises(RuntimeRefusedError, match=r"a look into the image job:1: .*not for you"),
        runtime.images.opened("job:1"),
    ):
        pass
