"""``flcore nvflare install``: a kit is as the steps of docs/nvflare.md have it."""

from __future__ import annotations

import json
import socket
from pathlib import Path
from typing import Any

import pytest

from flcore.cli import main
from tests.kit_folder import give_network, make_kit, snapshot, write
from tests.small_engine import SmallEngine

pytestmark = pytest.mark.usefixtures("engine")
WANTED = ["--image", "job:1", "--network", "flare"]


def install(*words: Any) -> int:
    return main(["nvflare", "install", *map(str, words)])


def listener(kit: Path) -> dict[str, Any]:
    config: dict[str, Any] = json.loads((kit / "local/comm_config.json").read_text())["internal"]["resources"]
    return config


@pytest.fixture
def kit(tmp_path: Path) -> Path:
    return make_kit(tmp_path / "kits/site-1")


def test_it_shows_what_it_changes_and_says_what_comes_next(kit: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert install(kit, *WANTED) == 0
    shown = capsys.readouterr().out
    assert '-      "id": "process_launcher",\n' in shown
    assert '+      "path": "launchers.nvflare_launcher.ClientDockerJobLauncher",\n' in shown
    done = "3 files were written; what was there before is in local/before-flcore"
    assert shown.endswith(f"{kit}: {done}; now: flcore check {kit}\n")


def test_jobs_find_their_parent_at_the_networks_gateway(kit: Path) -> None:
    install(kit, *WANTED)
    assert listener(kit)["host"] == "127.30.0.1"


def test_done_again_it_changes_nothing(kit: Path, capsys: pytest.CaptureFixture[str]) -> None:
    install(kit, *WANTED)
    before = snapshot(kit)
    capsys.readouterr()
    assert install(kit, *WANTED) == 0
    assert install(kit) == 0
    assert capsys.readouterr().out == f"{kit}: all is so already\n" * 2
    assert snapshot(kit) == before


def test_a_trial_changes_nothing(kit: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = snapshot(kit)
    assert install(kit, *WANTED, "--dry-run") == 0
    assert capsys.readouterr().out.endswith(f"{kit}: nothing was changed\n")
    assert snapshot(kit) == before


def test_each_parent_of_a_host_gets_a_port_of_its_own(tmp_path: Path) -> None:
    kits = [make_kit(tmp_path / f"kits/site-{number}") for number in (1, 2, 3)]
    install(*kits[:2], *WANTED)
    install(kits[2], *WANTED)
    ports = [listener(kit)["port"] for kit in kits]
    assert len({*ports}) == 3
    install(*kits, *WANTED)
    assert [listener(kit)["port"] for kit in kits] == ports


def test_a_port_on_which_somebody_listens_is_not_taken(kit: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        taken = other.getsockname()[1]
        monkeypatch.setattr("launchers.kit_commands.parents.PORTS", range(taken, taken + 20))
        install(kit, *WANTED)
    assert listener(kit)["port"] > taken


def test_a_port_on_which_a_server_listens_for_its_clients_is_not_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = make_kit(tmp_path / "kits/server", "server")
    site = make_kit(tmp_path / "kits/site-1")
    monkeypatch.setattr("launchers.kit_commands.parents.PORTS", range(8002, 8052))
    install(server, site, *WANTED)
    assert {listener(server)["port"], listener(site)["port"]}.isdisjoint({8002, 8003})


def test_an_engine_that_is_named_is_asked_and_is_the_launchers(
    kit: Path, engine: SmallEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    install(kit, *WANTED, "--docker-host", engine.address)
    launcher, _ = json.loads((kit / "local/flcore__p_resources.json").read_text())["components"]
    assert launcher["args"] == {"image": "job:1", "network": "flare", "docker_host": engine.address}
    monkeypatch.setenv("DOCKER_HOST", "unix:///nobody/asks/this/one")
    assert install(kit) == 0


def test_a_port_may_be_named_for_one_kit(kit: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert install(kit, *WANTED, "--port", 9000) == 0
    assert listener(kit)["port"] == 9000
    assert install(kit, make_kit(kit.parent / "site-2"), *WANTED, "--port", 9000) == 2
    assert "flcore: error: --port: each parent needs one of its own" in capsys.readouterr().err


def test_a_network_that_was_made_anew_elsewhere_is_followed(kit: Path, engine: SmallEngine) -> None:
    install(kit, *WANTED)
    port = listener(kit)["port"]
    give_network(engine, subnet="172.31.5.0/24")
    install(kit)
    assert (listener(kit)["host"], listener(kit)["port"]) == ("172.31.5.1", port)


@pytest.mark.parametrize("host", ["0.0.0.0", "site-1"])
def test_an_address_that_may_be_meant_stays(kit: Path, host: str) -> None:
    write(kit / "local/comm_config.json", {"internal": {"scheme": "tcp", "resources": {"host": host}}})
    install(kit, *WANTED)
    assert listener(kit)["host"] == host


def test_an_address_may_be_named_and_then_no_engine_is_asked(kit: Path, engine: SmallEngine) -> None:
    install(kit, *WANTED, "--address", "10.0.0.7")
    assert listener(kit)["host"] == "10.0.0.7"
    assert engine.asked == []


def test_a_parent_in_a_container_listens_on_every_address_of_it(tmp_path: Path) -> None:
    prepared = make_kit(tmp_path / "kits/site-1", extra={"startup/start_docker.sh": ""})
    (prepared / "startup/start.sh").unlink()
    other = make_kit(tmp_path / "kits/site-2")
    install(prepared, *WANTED)
    install(other, *WANTED, "--in-container")
    assert [(listener(kit)["host"], listener(kit)["port"]) for kit in (prepared, other)] == [("0.0.0.0", 8102)] * 2


def test_a_parent_in_a_container_has_its_jobs_in_its_own_network(tmp_path: Path) -> None:
    prepared = make_kit(tmp_path / "kits/site-1", extra={"startup/start_docker.sh": "NETWORK_NAME=flare\n"})
    (prepared / "startup/start.sh").unlink()
    assert install(prepared, "--image", "job:1") == 0
    launcher, _ = json.loads((prepared / "local/flcore__p_resources.json").read_text())["components"]
    assert launcher["args"]["network"] == "flare"


def test_a_network_that_is_not_there_is_made_in_the_subnet_that_is_named(
    kit: Path, engine: SmallEngine, capsys: pytest.CaptureFixture[str]
) -> None:
    give_network(engine, "new", "")
    assert install(kit, "--image", "job:1", "--network", "new", "--subnet", "10.9.8.0/24", "--dry-run") == 0
    shown = capsys.readouterr().out
    assert shown.startswith("the network new would be made\n")
    assert '+      "host": "10.9.8.1",\n' in shown
    assert not any(asked.endswith("POST /networks/create") for asked in engine.asked)


@pytest.mark.parametrize(
    ("words", "missing"), [(["--network", "flare"], "--image"), (["--image", "job:1"], "--network")]
)
def test_what_is_not_said_and_not_known_is_missing(
    words: list[str], missing: str, kit: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = snapshot(kit)
    assert install(kit, *words) == 2
    assert f"{kit}: {missing} is missing: the " in capsys.readouterr().err
    assert snapshot(kit) == before


def test_where_one_of_several_kits_cannot_be_read_none_is_changed(
    kit: Path, engine: SmallEngine, capsys: pytest.CaptureFixture[str]
) -> None:
    broken = make_kit(kit.parent / "site-2", extra={"local/resources.json": "{"})
    before = snapshot(kit)
    assert install(kit, broken, *WANTED) == 2
    assert "site-2/local/resources.json: line 1, column 2" in capsys.readouterr().err
    assert snapshot(kit) == before
    assert engine.asked == []


def test_an_engine_that_does_not_tell_is_an_error_with_a_way_out(
    kit: Path, engine: SmallEngine, capsys: pytest.CaptureFixture[str]
) -> None:
    engine.answers["GET /networks/flare"] = (500, {"message": "no space left"})
    assert install(kit, *WANTED) == 2
    assert "no space left; or name by --address where jobs find their parent" in capsys.readouterr().err


@pytest.mark.parametrize(("option", "value"), [("--port", "0"), ("--port", "x"), ("--subnet", "172.30.0.1/24")])
def test_a_value_that_can_be_none_is_told_in_words(
    option: str, value: str, kit: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        install(kit, *WANTED, option, value)
    assert f"argument {option}: must be a " in capsys.readouterr().err
