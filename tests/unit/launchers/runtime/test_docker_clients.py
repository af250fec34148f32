"""Where a Docker Engine is, for who asks it from another process: told without asking it, and without a password."""

from __future__ import annotations

from pathlib import Path

import pytest

from launchers.runtime.base import Whereabouts, engine_in_words
from launchers.runtime.docker import DockerRuntime
from launchers.runtime.fake import FakeRuntime
from launchers.settings import EngineAddress, EngineTls

OF_THE_ENVIRONMENT = ("DOCKER_HOST", "DOCKER_TLS", "DOCKER_TLS_VERIFY", "DOCKER_CERT_PATH", "DOCKER_CONTEXT")
KEYS = EngineTls("/tls/ca.pem", "/tls/cert.pem", "/tls/key.pem")


@pytest.fixture(autouse=True)
def _without_an_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in OF_THE_ENVIRONMENT:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))


def test_where_nobody_has_named_an_engine_it_is_guessed() -> None:
    found = DockerRuntime().whereabouts
    assert found == Whereabouts(EngineAddress("unix:///var/run/docker.sock"), is_guessed=True)


def test_one_of_the_environment_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_HOST", "unix:///run/mine.sock")
    assert DockerRuntime().whereabouts == Whereabouts(EngineAddress("unix:///run/mine.sock"))


def test_one_of_a_config_is_named_though_it_is_where_one_would_be_guessed() -> None:
    address = "unix:///var/run/docker.sock"
    assert DockerRuntime(address).whereabouts == Whereabouts(EngineAddress(address))


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ("ssh://alice:secret@host:22", "ssh://alice@host:22"),
        ("ssh://alice@host", "ssh://alice@host"),
        ("tcp://:secret@host:2376", "tcp://@host:2376"),
        ("unix:///run/a:b@c.sock", "unix:///run/a:b@c.sock"),
    ],
)
def test_no_password_is_told(given: str, told: str) -> None:
    assert DockerRuntime(given).whereabouts.engine == EngineAddress(told)


def test_the_files_for_tls_are_told_by_their_paths() -> None:
    assert DockerRuntime("tcp://host:2376", tls=KEYS).whereabouts.engine == EngineAddress("tcp://host:2376", KEYS)


def test_those_of_the_environment_too_if_the_engine_is_verified(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "key.pem").touch()
    monkeypatch.setenv("DOCKER_CERT_PATH", str(tmp_path))
    runtime = DockerRuntime("tcp://host:2376")
    assert runtime.whereabouts.engine == EngineAddress("tcp://host:2376")
    monkeypatch.setenv("DOCKER_TLS_VERIFY", "1")
    files = EngineTls(*(f"{tmp_path}/{name}.pem" for name in ("ca", "cert", "key")))
    assert runtime.whereabouts.engine == EngineAddress("tcp://host:2376", files)


def test_where_somebodys_own_client_leads_nobody_else_knows() -> None:
    assert DockerRuntime(client=object()).whereabouts == Whereabouts()


def test_an_engine_is_told_with_its_address_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_HOST", "unix:///run/mine.sock")
    assert engine_in_words(DockerRuntime()) == "Docker Engine at unix:///run/mine.sock"
    assert engine_in_words(DockerRuntime("unix:///run/mine.sock")) == "Docker Engine unix:///run/mine.sock"
    assert engine_in_words(FakeRuntime()) == "fake runtime"
