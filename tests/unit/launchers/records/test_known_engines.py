"""The engines that a site has used, as its state folder tells."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from launchers.records.known_engines import engine_of, known_engines, note_engine
from launchers.settings import EngineAddress, EngineTls

NAME = "engines.jsonl"
HERE = EngineAddress("unix:///run/docker.sock")
THERE = EngineAddress("tcp://engine.example.com:2376", EngineTls("/ca.pem", "/cert.pem", "/key.pem"))


def test_a_site_that_has_noted_none_knows_none(tmp_path: Path) -> None:
    assert known_engines(tmp_path) == known_engines(tmp_path / "nowhere") == []


def test_engines_are_known_as_they_were_noted_each_once(tmp_path: Path) -> None:
    for engine in (HERE, THERE, HERE):
        note_engine(tmp_path, engine)
    assert known_engines(tmp_path) == [HERE, THERE]
    assert len((tmp_path / NAME).read_text().splitlines()) == 3  # each begins with the line's break


def test_nobody_else_can_read_which(tmp_path: Path) -> None:
    note_engine(tmp_path, HERE)
    assert (tmp_path / NAME).stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize(
    "content",
    [
        b"no json",
        b"[1]",
        b'{"docker_host": 5}',
        b'{"docker_tls": {}}',
        b"\xff\xfe",
        b'{"docker_host": "unix:///r',
        b"[" * 9999,
    ],
)
def test_a_line_that_cannot_be_read_hides_no_other(tmp_path: Path, content: bytes) -> None:
    (tmp_path / NAME).write_bytes(content)
    note_engine(tmp_path, HERE)
    assert known_engines(tmp_path) == [HERE]


def test_of_very_many_the_last_are_asked(tmp_path: Path) -> None:
    for number in range(20):
        note_engine(tmp_path, EngineAddress(f"tcp://host-{number}"))
    assert [engine.docker_host for engine in known_engines(tmp_path)] == [f"tcp://host-{n}" for n in range(12, 20)]


def test_no_pipe_is_waited_for_and_no_link_followed(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / NAME)
    with pytest.raises(OSError):  # noqa: PT011 - whatever the system says
        known_engines(tmp_path)
    (tmp_path / NAME).unlink()
    (tmp_path / "other").write_text('{"docker_host": "unix:///run/docker.sock"}')
    (tmp_path / NAME).symlink_to(tmp_path / "other")
    with pytest.raises(OSError):  # noqa: PT011
        known_engines(tmp_path)


@pytest.mark.parametrize(
    ("fields", "engine"),
    [
        ({}, None),
        ({"engine": "unix:///run/docker.sock"}, None),
        ({"engine": HERE.as_args()}, HERE),
        ({"engine": THERE.as_args()}, THERE),
        (
            {"engine": {"docker_host": "tcp://h", "docker_tls": {"ca": "/ca", "other": 1}}},
            EngineAddress("tcp://h", EngineTls("/ca")),
        ),
    ],
)
def test_a_record_names_the_engine_of_its_job(fields: dict[str, Any], engine: EngineAddress | None) -> None:
    assert engine_of(fields) == engine
