"""`flcore init`, as it is called: with an engine, without, and where something is in the way."""

from __future__ import annotations

import json
import socket
from pathlib import Path
from typing import Any

import pytest

from flcore.cli import main
from launchers.first_site.surroundings import named_address
from launchers.policy.docker_args import is_the_host_s_own
from tests.small_engine import SmallEngine

from .test_images import give_images

NETWORK = {"Name": "flcore", "IPAM": {}}


@pytest.fixture
def able(engine: SmallEngine) -> SmallEngine:
    """An engine with an image and without the network."""
    give_images(engine, "python:3.12")
    engine.answers["GET /networks/flcore"] = (404, {"message": "network flcore not found"})
    engine.answers["POST /networks/create"] = (201, {"Id": "1"})
    return engine


def launcher(folder: Path) -> Any:
    """Return the launcher of the config that was written."""
    (found,) = [c for c in json.loads((folder / "site-1.json").read_text())["components"] if c["id"] == "launcher"]
    return found


def test_with_an_engine_jobs_run_in_containers(able: SmallEngine, tmp_path: Path) -> None:
    assert main(["init", str(tmp_path / "site")]) == 0
    assert launcher(tmp_path / "site") == {
        "id": "launcher",
        "name": "ClientDockerJobLauncher",
        "args": {
            "image": "python:3.12",
            "network": "flcore",
            "limits": {"memory": "1Gi"},
            "datasets": {"measurements": "${CONFIG_DIR}/measurements.csv"},
            "docker_host": able.address,
        },
    }
    assert "1.41 POST /networks/create" in able.asked


def test_what_it_finds_is_told(able: SmallEngine, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main(["init", str(tmp_path / "site")])
    told = capsys.readouterr().out.splitlines()
    assert told[:5] == [
        f"engine: Docker Engine x, API 1.41, at {able.address}",
        "GPUs: none found",
        "image: python:3.12, Python 3.12.1",
        "network: flcore, to be made",
        "making network flcore ...",
    ]


def test_of_an_engine_that_is_asked_over_a_network_it_says_what_has_to_be_there(
    able: SmallEngine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("launchers.first_site.surroundings.default_address", lambda: "ssh://user@engine.example.com")
    main(["init", str(tmp_path / "site")])
    assert f"if that engine is on another host, {tmp_path}/site must be there, too" in capsys.readouterr().out


def test_gpus_that_are_found_are_named(able: SmallEngine, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    gpu = "GPU-8932f937-d72c-4106-c12f-20bd9faed9f6"
    able.answers["GET /info"] = (200, {"DiscoveredDevices": [{"ID": f"nvidia.com/gpu={gpu}"}]})
    main(["init", str(tmp_path / "site")])
    assert launcher(tmp_path / "site")["args"]["gpu_ids"] == [gpu]
    assert f"GPUs: {gpu}" in capsys.readouterr().out


def test_a_network_that_is_there_is_not_made(able: SmallEngine, tmp_path: Path) -> None:
    able.answers["GET /networks/flcore"] = (200, NETWORK)
    main(["init", str(tmp_path / "site")])
    assert "1.41 POST /networks/create" not in able.asked


def test_done_again_it_changes_nothing(able: SmallEngine, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    able.answers["GET /networks/flcore"] = (200, NETWORK)
    main(["init", str(tmp_path / "site")])
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}
    capsys.readouterr()
    assert main(["init", str(tmp_path / "site")]) == 0
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")} == before
    assert f"{tmp_path}/site: all is so already" in capsys.readouterr().out


def test_what_is_missing_is_added(able: SmallEngine, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    able.answers["GET /networks/flcore"] = (200, NETWORK)
    main(["init", str(tmp_path / "site")])
    (tmp_path / "site/audit_log.py").unlink()
    capsys.readouterr()
    assert main(["init", str(tmp_path / "site")]) == 0
    assert (tmp_path / "site/audit_log.py").exists()
    told = capsys.readouterr().out
    assert "happens\n" in told
    assert "its test (was there)" in told


def test_where_a_file_is_in_the_way_nothing_is_made(
    able: SmallEngine, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "site").mkdir()
    (tmp_path / "site/audit_log.py").write_text("mine\n")
    assert main(["init", str(tmp_path / "site")]) == 2
    assert [path.name for path in (tmp_path / "site").iterdir()] == ["audit_log.py"]
    assert "1.41 POST /networks/create" not in able.asked
    assert f"flcore: error: {tmp_path}/site/audit_log.py: is there, and not as" in capsys.readouterr().err


def test_without_an_engine_jobs_run_as_processes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        address = f"tcp://127.0.0.1:{nobody.getsockname()[1]}"
    monkeypatch.setenv("DOCKER_HOST", address)
    assert main(["init", str(tmp_path / "site")]) == 0
    assert launcher(tmp_path / "site")["name"] == "ClientProcessJobLauncher"
    told = capsys.readouterr().out
    assert f"{address} does not answer" in told
    assert "start it there, or name another by DOCKER_HOST" in told
    assert "remove site-1.json and call flcore init again" in told


def test_an_engine_on_which_none_of_this_site_s_jobs_can_run_is_as_none(
    able: SmallEngine, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    able.answers["GET /info"] = (200, {"SecurityOptions": ["name=userns"], "DockerRootDir": "/data"})
    assert main(["init", str(tmp_path / "site")]) == 0
    assert launcher(tmp_path / "site")["name"] == "ClientProcessJobLauncher"
    assert "shifts users" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("variables", "is_named"),
    [({}, True), ({"DOCKER_TLS_VERIFY": "1"}, False), ({"DOCKER_CERT_PATH": "/certs"}, False)],
    ids=str,
)
def test_an_engine_is_named_where_nothing_else_is_needed_to_reach_it(
    variables: dict[str, str], is_named: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DOCKER_HOST", "tcp://engine.example.com:2375")
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert (named_address() is not None) is is_named


@pytest.mark.parametrize("address", ["", "tcp://user:password@engine.example.com"])
def test_no_password_gets_into_a_config(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_HOST", address)
    assert named_address() is None


def test_in_a_folder_of_the_host_s_own_it_says_what_lets_jobs_see_data(
    able: SmallEngine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(
        "launchers.first_site.surroundings.is_the_host_s_own", lambda path: path.startswith(str(tmp_path))
    )
    assert not is_the_host_s_own(str(tmp_path))
    assert main(["init", str(tmp_path / "site")]) == 0
    assert launcher(tmp_path / "site")["args"]["allow_insecure"] == ["datasets"]
    assert "is the host's own" in capsys.readouterr().out
