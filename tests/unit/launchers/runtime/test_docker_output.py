"""What a container has written so far, asked of a small engine over a real socket."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from flcore.errors import RuntimeRefusedError
from launchers.runtime.docker import DockerRuntime
from tests.small_engine import SmallEngine


@pytest.fixture
def runtime(engine: SmallEngine) -> Iterator[DockerRuntime]:
    runtime = DockerRuntime(engine.address)
    runtime.list_containers()
    engine.asked.clear()
    yield runtime
    runtime.close()


def logs_are(engine: SmallEngine, *pieces: bytes) -> None:
    framed = (bytes([1, 0, 0, 0]) + len(piece).to_bytes(4, "big") + piece for piece in pieces)
    engine.answers["GET /containers/0123/logs"] = 200, b"".join(framed)


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
    [b'{"cause":"no such container","message":"it is gone","response":500}', b"\x03\0\0\0\0\0\0\x05error"],
    ids=["as-podman-does", "as-docker-does"],
)
def test_what_an_engine_says_when_it_breaks_off_is_no_output_of_the_job(
    engine: SmallEngine, runtime: DockerRuntime, words: bytes
) -> None:
    engine.answers["GET /containers/0123/logs"] = 200, b"\x01\0\0\0\0\0\0\x05hello" + words
    assert b"".join(runtime.logs("0123")) == b"hello"


def test_what_the_engine_refuses_is_an_error_in_its_words(engine: SmallEngine, runtime: DockerRuntime) -> None:
    engine.answers["GET /containers/0123/logs"] = 500, {"message": "the log driver cannot be read"}
    with pytest.raises(RuntimeRefusedError, match="the log driver cannot be read"):
        list(runtime.logs("0123"))
