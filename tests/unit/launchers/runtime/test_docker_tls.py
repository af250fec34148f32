"""An engine behind TLS, server and client verified: by the site's config, or by the environment, as `docker` does."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

from flcore.errors import RuntimeUnavailableError
from launchers.docker_launcher import ClientDockerJobLauncher
from launchers.runtime.docker import DockerRuntime
from tests.small_engine import SmallEngine
from tests.tls_proxy import behind_tls, make_certificates

OF_THE_ENVIRONMENT = ("DOCKER_HOST", "DOCKER_TLS", "DOCKER_TLS_VERIFY", "DOCKER_CERT_PATH", "DOCKER_CONFIG")


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_certificates(tmp_path_factory.mktemp("tls") / "certificates")


@pytest.fixture(scope="module")
def others(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Certificates of another authority."""
    return make_certificates(tmp_path_factory.mktemp("tls") / "others")


@pytest.fixture
def plain_engine(tmp_path: Path) -> Iterator[str]:
    with SmallEngine(tmp_path / "docker.sock") as server:
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        thread.start()
        yield server.address
        server.shutdown()
        thread.join()


@pytest.fixture
def engine(plain_engine: str, certificates: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    for name in OF_THE_ENVIRONMENT:
        monkeypatch.delenv(name, raising=False)
    with behind_tls(plain_engine, certificates) as address:
        yield address


def keys(folder: Path) -> dict[str, str]:
    return {"ca": f"{folder}/ca.pem", "cert": f"{folder}/cert.pem", "key": f"{folder}/key.pem"}


def image_id(docker_host: str | None, docker_tls: dict[str, str] | None = None) -> str:
    """Ask an engine for an image, by a call and a stream, as a launcher of this config does."""
    launcher = ClientDockerJobLauncher(image="job:1", docker_host=docker_host, docker_tls=docker_tls)
    with closing(launcher.make_runtime()) as runtime:
        found = runtime.find_image("job:1")
        with runtime.open_events() as events:
            assert list(events) == ["0123"]
        assert list(runtime.pull("job:1"))
    return found.id if found else ""


def test_the_config_names_the_authority_the_certificate_and_the_key(engine: str, certificates: Path) -> None:
    assert image_id(engine, keys(certificates)) == "sha256:1"


def test_an_address_of_the_config_is_asked_as_the_environment_says(
    engine: str, certificates: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DOCKER_TLS_VERIFY", "1")
    monkeypatch.setenv("DOCKER_CERT_PATH", str(certificates))
    assert image_id(engine) == "sha256:1"


def test_an_address_of_the_environment_is_asked_as_the_environment_says(
    engine: str, certificates: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DOCKER_HOST", engine)
    monkeypatch.setenv("DOCKER_TLS_VERIFY", "1")
    monkeypatch.setenv("DOCKER_CERT_PATH", str(certificates))
    assert image_id(None) == "sha256:1"


@pytest.mark.parametrize("variable", ["HOME", "DOCKER_CONFIG"])
def test_without_a_path_the_files_are_in_dockers_own_folder(
    engine: str, certificates: Path, monkeypatch: pytest.MonkeyPatch, variable: str, tmp_path: Path
) -> None:
    (tmp_path / ".docker").symlink_to(certificates)
    monkeypatch.setenv(variable, str(tmp_path if variable == "HOME" else certificates))
    monkeypatch.setenv("DOCKER_TLS_VERIFY", "1")
    assert image_id(engine) == "sha256:1"


def test_an_authority_for_the_web_does_not_take_the_place_of_the_engines(
    engine: str, certificates: Path, others: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(others / "ca.pem"))
    assert image_id(engine, keys(certificates)) == "sha256:1"
    monkeypatch.setenv("DOCKER_TLS_VERIFY", "1")
    monkeypatch.setenv("DOCKER_CERT_PATH", str(certificates))
    monkeypatch.setenv("DOCKER_HOST", engine)
    assert image_id(None) == "sha256:1"


def test_an_engine_of_another_authority_is_not_trusted(
    engine: str, certificates: Path, others: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(certificates / "ca.pem"))
    with pytest.raises(
        RuntimeUnavailableError, match=r"CERTIFICATE_VERIFY_FAILED.*; are docker_tls.*right\?"
    ) as raised:
        image_id(engine, {**keys(certificates), "ca": f"{others}/ca.pem"})
    assert not raised.value.reached


def test_an_engine_that_lets_in_whoever_has_its_certificate_needs_no_key(
    plain_engine: str, certificates: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "ca.pem").symlink_to(certificates / "ca.pem")
    monkeypatch.setenv("DOCKER_TLS_VERIFY", "1")
    monkeypatch.setenv("DOCKER_CERT_PATH", str(tmp_path))
    with behind_tls(plain_engine, certificates, clients_verified=False) as address:
        assert image_id(address) == "sha256:1"
        assert image_id(address, {"ca": f"{certificates}/ca.pem"}) == "sha256:1"


def test_a_file_that_is_missing_is_named(engine: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_TLS_VERIFY", "1")
    monkeypatch.setenv("DOCKER_CERT_PATH", str(tmp_path))
    with pytest.raises(RuntimeUnavailableError, match=f"{tmp_path}/ca.pem is not there"):
        image_id(engine)
    with pytest.raises(RuntimeUnavailableError, match=f"{tmp_path}/x.pem is not there"):
        image_id(engine, {**keys(tmp_path), "ca": f"{tmp_path}/x.pem"})


def test_the_environment_means_no_socket_of_this_host(plain_engine: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_TLS_VERIFY", "1")
    monkeypatch.setenv("DOCKER_CERT_PATH", "/nowhere")
    with closing(DockerRuntime(plain_engine)) as runtime:
        assert runtime.find_image("job:1")


@pytest.mark.parametrize(
    ("docker_host", "docker_tls", "error"),
    [
        ("tcp://h:2376", {"ca": "ca.pem"}, "docker_tls.ca must be an absolute path, got 'ca.pem'"),
        ("tcp://h:2376", {"cert": "/c.pem"}, "docker_tls needs 'cert' and 'key' together"),
        ("tcp://h:2376", {"cacert": "/c.pem"}, "docker_tls must be an object with ca, cert and key, got {'cacert'"),
        ("tcp://h:2376", ["/c.pem"], "docker_tls must be an object with ca, cert and key, got ['/c.pem']"),
        ("unix:///x", {"ca": "/ca.pem"}, "docker_tls needs a docker_host such as 'tcp://engine.example.com:2376'"),
        (None, {"ca": "/ca.pem"}, "docker_tls needs a docker_host such as 'tcp://engine.example.com:2376'"),
        (5, None, "docker_host must be a non-empty string, got 5"),
    ],
)
def test_keys_that_make_no_sense_are_refused_when_the_config_is_loaded(
    docker_host: Any, docker_tls: Any, error: str
) -> None:
    with pytest.raises(ValueError, match="docker_") as raised:
        ClientDockerJobLauncher(image="job:1", docker_host=docker_host, docker_tls=docker_tls)
    assert error in str(raised.value)
