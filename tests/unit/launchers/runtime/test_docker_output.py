"""What a container has written so far, asked of a small engine over a real socket."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from flcore.errors import RuntimeRefusedError
from launchers.runtime import docker_clients
from launchers.runtime.base import OutputChunk
from launchers.runtime.docker import DockerRuntime
from tests.small_engine import SmallEngine


@pytest.fixture
def runtime(engine: SmallEngine) -> Iterator[DockerRuntime]:
    runtime = DockerRuntime(engine.address)
    runtime.list_containers()
    engine.asked.clear()
    yield runtime
    runtime.close()


WRITTEN = b"2026-11-29T10:00:00.000000001Z hello\n"


def framed(piece: bytes) -> bytes:
    return bytes([1, 0, 0, 0]) + len(piece).to_bytes(4, "big") + piece


def logs_are(engine: SmallEngine, *pieces: bytes, end: bytes = b"") -> None:
    engine.answers["GET /containers/0123/logs"] = 200, b"".join(map(framed, pieces)) + end


def followed(runtime: DockerRuntime) -> list[OutputChunk]:
    with runtime.follow("0123") as chunks:
        return list(chunks)


READERS: dict[str, Callable[[DockerRuntime], object]] = {
    "so-far": lambda runtime: b"".join(runtime.logs("0123")),
    "as-it-comes": followed,
    "time-of-the-last": lambda runtime: runtime.last_output_time("0123"),
}


@pytest.mark.parametrize("tail", [None, 5])
def test_the_engine_is_asked_once(engine: SmallEngine, runtime: DockerRuntime, tail: int | None) -> None:
    assert b"".join(runtime.logs("0123", tail)) == b"hello"
    assert [call.partition(" ")[2] for call in engine.asked] == ["GET /containers/0123/logs"]


def test_the_pieces_of_both_streams_come_in_their_order(engine: SmallEngine, runtime: DockerRuntime) -> None:
    logs_are(engine, b"one\n", b"", b"two\n")
    assert list(runtime.logs("0123")) == [b"one\n", b"two\n"]


def test_a_piece_is_never_larger_than_64_kib(engine: SmallEngine, runtime: DockerRuntime) -> None:
    logs_are(engine, b"x" * 200_000)
    sizes = [len(piece) for piece in runtime.logs("0123")]
    assert sum(sizes) == 200_000
    assert max(sizes) <= 1 << 16


def test_an_output_that_breaks_off_is_what_has_come(engine: SmallEngine, runtime: DockerRuntime) -> None:
    engine.answers["GET /containers/0123/logs"] = 200, b"\x01\0\0\0\0\0\0\x09hello"
    assert b"".join(runtime.logs("0123")) == b"hello"


@pytest.mark.parametrize(
    "words",
    [
        b'{"cause":"no such container","message":"it is gone","response":500}',
        b"\x03\0\0\0\0\0\0\x05error",
        b"gone",
    ],
    ids=["as-podman-does", "as-docker-does", "in-a-word"],
)
@pytest.mark.parametrize("read", READERS.values(), ids=READERS)
def test_what_an_engine_says_when_it_breaks_off_is_no_output_of_the_job(
    engine: SmallEngine, runtime: DockerRuntime, read: Callable[[DockerRuntime], object], words: bytes
) -> None:
    logs_are(engine, WRITTEN)
    written = read(runtime)

    logs_are(engine, WRITTEN, end=words)
    assert read(runtime) == written

    logs_are(engine, end=words)
    assert not read(runtime)


def test_output_that_is_followed_has_its_times_in_front(engine: SmallEngine, runtime: DockerRuntime) -> None:
    logs_are(engine, WRITTEN, WRITTEN)
    assert followed(runtime) == [OutputChunk("2026-11-29T10:00:00.000000001Z", b"hello\n")] * 2


def test_a_long_piece_that_is_followed_comes_whole_as_its_time_stands_in_front_once(
    engine: SmallEngine, runtime: DockerRuntime
) -> None:
    logs_are(engine, WRITTEN + b"x" * 200_000)
    assert [len(chunk.data) for chunk in followed(runtime)] == [200_006]


def test_a_job_that_is_followed_may_be_silent_for_longer_than_an_engine(
    engine: SmallEngine, runtime: DockerRuntime, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(docker_clients, "LOOK_TIMEOUT", 0.2)

    def written() -> Iterator[bytes]:
        yield framed(WRITTEN)
        engine.end.wait(0.6)
        yield framed(WRITTEN)

    engine.answers["GET /containers/0123/logs"] = 200, written()
    assert len(followed(runtime)) == 2


@pytest.mark.parametrize("read", READERS.values(), ids=READERS)
def test_what_the_engine_refuses_is_an_error_in_its_words(
    engine: SmallEngine, runtime: DockerRuntime, read: Callable[[DockerRuntime], object]
) -> None:
    engine.answers["GET /containers/0123/logs"] = 500, {"message": "the log driver cannot be read"}
    with pytest.raises(RuntimeRefusedError, match="the log driver cannot be read"):
        read(runtime)
