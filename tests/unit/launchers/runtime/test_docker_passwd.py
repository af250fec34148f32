"""What an engine shows of a container's `/etc/passwd`, asked of a small engine over a real socket."""

from __future__ import annotations

import base64
import io
import json
import tarfile
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import pytest

from flcore.errors import RuntimeRefusedError
from launchers.runtime.base import MAX_PASSWD
from launchers.runtime.docker import DockerRuntime
from tests.small_engine import SmallEngine

ARCHIVE = "GET /containers/0123/archive"
PASSWD = b"root:x:0:0:root:/root:/bin/sh\n"


@pytest.fixture
def runtime(engine: SmallEngine) -> Iterator[DockerRuntime]:
    with closing(DockerRuntime(engine.address)) as runtime:
        yield runtime


def shows(engine: SmallEngine, body: bytes, **told: Any) -> None:
    """Have the engine answer as Docker 20.10 was heard to, but for what is told of the file."""
    stat = {"name": "passwd", "size": len(PASSWD), "mode": 0o644, "mtime": "2026-01-01T00:00:00Z", "linkTarget": ""}
    head = base64.b64encode(json.dumps(stat | told).encode()).decode()
    engine.answers[ARCHIVE], engine.heads[ARCHIVE] = (200, body), {"X-Docker-Container-Path-Stat": head}


def archive(content: bytes = PASSWD, kind: bytes = tarfile.REGTYPE) -> bytes:
    member = tarfile.TarInfo("passwd")
    member.type, member.size, member.linkname = kind, len(content), "elsewhere"
    with io.BytesIO() as file:
        with tarfile.open(fileobj=file, mode="w") as tar:
            tar.addfile(member, io.BytesIO(content))
        return file.getvalue()


def test_a_plain_file_is_what_is_in_it(engine: SmallEngine, runtime: DockerRuntime) -> None:
    shows(engine, archive())
    assert runtime.passwd_of("0123") == PASSWD


def test_a_plain_file_is_one_too_where_an_engine_tells_where_it_is(engine: SmallEngine, runtime: DockerRuntime) -> None:
    shows(engine, archive(), isDir=False, linkTarget="/etc/passwd")  # as Podman
    assert runtime.passwd_of("0123") == PASSWD


def test_where_there_is_none_nothing_is_in_it(engine: SmallEngine, runtime: DockerRuntime) -> None:
    message = "Could not find the file /etc/passwd in container 0123"
    engine.answers[ARCHIVE] = 404, {"message": message}
    assert runtime.passwd_of("0123") == b""


@pytest.mark.parametrize("bit", [31, 27, 26, 25, 24, 21, 19])
def test_what_is_no_file_is_none_and_not_read(engine: SmallEngine, runtime: DockerRuntime, bit: int) -> None:
    shows(engine, b"no archive", mode=1 << bit | 0o644)
    assert runtime.passwd_of("0123") is None


@pytest.mark.parametrize(
    ("body", "told"),
    [
        (archive(), {"size": MAX_PASSWD + 1}),
        (archive(), {"size": -1}),
        (archive(b"x" * (MAX_PASSWD + 1)), {}),
        (archive(b"", tarfile.SYMTYPE), {}),
        (archive(b"", tarfile.DIRTYPE), {}),
        (archive(b"", tarfile.FIFOTYPE), {}),
        (archive()[:520], {}),
        (b"no archive at all", {}),
        (b"", {}),
    ],
    ids=["large", "no size", "larger than told", "a link", "a folder", "a pipe", "cut off", "no archive", "nothing"],
)
def test_what_is_not_as_it_should_be_is_none(
    engine: SmallEngine, runtime: DockerRuntime, body: bytes, told: dict[str, Any]
) -> None:
    shows(engine, body, **told)
    assert runtime.passwd_of("0123") is None


@pytest.mark.parametrize("head", [{}, {"X-Docker-Container-Path-Stat": "bm8="}, {"X-Docker-Container-Path-Stat": "é"}])
def test_of_what_nothing_is_told_that_can_be_read_it_is_none(
    engine: SmallEngine, runtime: DockerRuntime, head: dict[str, str]
) -> None:
    engine.answers[ARCHIVE], engine.heads[ARCHIVE] = (200, archive()), head
    assert runtime.passwd_of("0123") is None


def test_an_engine_that_shows_nothing_refuses(engine: SmallEngine, runtime: DockerRuntime) -> None:
    engine.answers[ARCHIVE] = 403, {"message": "not for you"}
    with pytest.raises(RuntimeRefusedError, match=r"^/etc/passwd of container 0123: .*not for you"):
        runtime.passwd_of("0123")
