"""What the files of a kit should be."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from flcore.errors import ConfigError
from launchers.flare.kit_layout import KitLayout
from launchers.flare.parent_config import ParentConfig
from launchers.flare.wanted_files import Wish, wanted_files
from tests.kit_folder import make_kit, write

WISH = Wish("job:1", "flare", None, "172.30.0.1", 8102)
MANAGER = {
    "id": "resource_manager",
    "path": "launchers.nvflare_resource_manager.FlareResourceManager",
    "args": {},
}
OURS = "launchers.nvflare_launcher.ClientDockerJobLauncher"


def wanted(kit: Path, wish: Wish = WISH) -> dict[str, Any]:
    """Write the files as they should be; return what they say."""
    files = wanted_files(ParentConfig.read(KitLayout.of(kit)), wish)
    for file in files:
        write(file.path, file.text)
    return {file.path.name: json.loads(file.text) for file in files}


def ids(config: dict[str, Any]) -> list[str]:
    return [component["id"] for component in config["components"]]


def test_a_kit_as_provisioned_gets_three_files(tmp_path: Path) -> None:
    files = wanted(make_kit(tmp_path))
    assert ids(files["resources.json"]) == ["error_log_sender"]
    launcher, manager = files["flcore__p_resources.json"]["components"]
    assert manager == MANAGER
    assert launcher == {"id": "docker_launcher", "path": OURS, "args": {"image": "job:1", "network": "flare"}}
    resources = {"host": "172.30.0.1", "port": 8102, "connection_security": "clear"}
    assert files["comm_config.json"]["internal"] == {"scheme": "tcp", "resources": resources}


def test_a_server_gets_the_servers_launcher(tmp_path: Path) -> None:
    (launcher,) = wanted(make_kit(tmp_path, "server"))["flcore__p_resources.json"]["components"]
    assert launcher["path"] == "launchers.nvflare_launcher.ServerDockerJobLauncher"


def test_what_a_kit_should_be_it_stays(tmp_path: Path) -> None:
    kit = make_kit(tmp_path)
    first = wanted(kit)
    again = wanted(kit)
    assert again == {name: content for name, content in first.items() if name in again}
    assert wanted(kit, Wish()).keys() == {"flcore__p_resources.json"}


def test_arguments_that_an_operator_has_added_stay(tmp_path: Path) -> None:
    kit = make_kit(tmp_path)
    wanted(kit)
    path = kit / "local/flcore__p_resources.json"
    config = json.loads(path.read_text())
    config["components"][0]["args"]["limits"] = {"memory": "8Gi"}
    config["components"].append({"id": "journal", "path": "a.B"})
    write(path, config)
    changed = wanted(kit, Wish("job:2", "flare", None, "172.30.0.1", 8102))["flcore__p_resources.json"]
    assert changed["components"][0]["args"] == {"image": "job:2", "network": "flare", "limits": {"memory": "8Gi"}}
    assert changed["components"][1:] == [MANAGER, {"id": "journal", "path": "a.B"}]


def test_a_launcher_that_was_set_up_by_hand_is_changed_where_it_is(tmp_path: Path) -> None:
    by_hand = {"components": [{"id": "mine", "path": OURS, "args": {"image": "old:1", "private_key": True}}]}
    files = wanted(make_kit(tmp_path, extra={"local/client__p_resources.json": by_hand}))
    assert "flcore__p_resources.json" not in files
    launcher, manager = files["client__p_resources.json"]["components"]
    assert manager == MANAGER
    assert launcher == {
        "id": "mine",
        "path": OURS,
        "args": {"image": "job:1", "private_key": True, "network": "flare"},
    }


def test_a_launcher_where_jobs_read_of_it_too_is_moved_with_its_arguments(tmp_path: Path) -> None:
    by_hand = {"components": [{"id": "mine", "path": OURS, "args": {"pids_limit": 50}}]}
    files = wanted(make_kit(tmp_path, extra={"local/resources.json": by_hand}))
    assert files["resources.json"]["components"] == []
    launcher, _ = files["flcore__p_resources.json"]["components"]
    assert launcher["args"] == {"pids_limit": 50, "image": "job:1", "network": "flare"}


def test_all_other_launchers_are_taken_out_wherever_they_are(tmp_path: Path) -> None:
    nvidia = {"id": "docker_launcher", "path": "nvflare.app_opt.job_launcher.docker_launcher.ClientDockerJobLauncher"}
    wrong = {"id": "typo", "path": "launchers.docker_launcher.ClientDockerJobLauncher"}
    kit = make_kit(tmp_path, extra={"local/x__p_resources.json": {"components": [nvidia, wrong, {"id": "y"}]}})
    files = wanted(kit)
    assert ids(files["x__p_resources.json"]) == ["y"]
    assert ids(files["flcore__p_resources.json"]) == ["docker_launcher", "resource_manager"]


def test_a_resource_manager_that_is_none_of_nvidia_flares_stays(tmp_path: Path) -> None:
    own = {"id": "resource_manager", "path": "hospital.resources.Manager", "args": {"x": 1}}
    files = wanted(make_kit(tmp_path, extra={"local/resources.json": {"components": [own, {"id": "y"}]}}))
    assert "resources.json" not in files
    assert ids(files["flcore__p_resources.json"]) == ["docker_launcher"]


def test_a_manager_of_ours_that_is_there_already_stays_as_it_is(tmp_path: Path) -> None:
    own = {**MANAGER, "args": {"max_jobs": 4}}
    kit = make_kit(tmp_path, extra={"local/resource_manager__p_resources.json": {"components": [own]}})
    files = wanted(kit)
    assert ids(files["resources.json"]) == ["error_log_sender"]
    assert ids(files["flcore__p_resources.json"]) == ["docker_launcher"]


def test_a_server_keeps_what_it_has_and_gets_no_manager(tmp_path: Path) -> None:
    files = wanted(make_kit(tmp_path, "server"))
    assert ids(files["resources.json"]) == ["resource_manager", "error_log_sender"]
    assert ids(files["flcore__p_resources.json"]) == ["docker_launcher"]


def test_the_rest_of_a_comm_config_stays(tmp_path: Path) -> None:
    prepared = {
        "backbone_conn_gen": 2,
        "internal": {"scheme": "tcp", "resources": {"host": "0.0.0.0", "connection_security": "mtls", "x": 1}},
    }
    files = wanted(make_kit(tmp_path, extra={"local/comm_config.json": prepared}))
    resources = {"host": "172.30.0.1", "connection_security": "clear", "x": 1, "port": 8102}
    assert files["comm_config.json"] == {
        "backbone_conn_gen": 2,
        "internal": {"scheme": "tcp", "resources": resources},
    }


def test_on_the_hosts_network_no_address_is_needed_and_the_network_is_allowed(tmp_path: Path) -> None:
    files = wanted(make_kit(tmp_path), Wish("job:1", "host"))
    assert "comm_config.json" not in files
    launcher, _ = files["flcore__p_resources.json"]["components"]
    assert launcher["args"] == {"image": "job:1", "network": "host", "allow_insecure": ["network"]}


def test_a_comm_config_elsewhere_in_the_kit_is_named(tmp_path: Path) -> None:
    kit = make_kit(tmp_path, extra={"job-1/comm_config.json": {}})
    with pytest.raises(ConfigError, match=r"job-1/comm_config.json: is what the parent reads, and not .*: move it"):
        wanted(kit)


def test_a_launcher_in_the_startup_folder_is_left_to_the_operator(tmp_path: Path) -> None:
    listed = {"components": [{"id": "x", "path": "a.XJobLauncher"}]}
    kit = make_kit(tmp_path, extra={"startup/x__p_resources.json": listed})
    with pytest.raises(ConfigError, match=r"startup/x__p_resources.json: lists a launcher, .*: take it out by hand"):
        wanted(kit)


def test_a_kit_that_cannot_be_read_is_not_changed(tmp_path: Path) -> None:
    kit = make_kit(tmp_path, extra={"local/comm_config.json": "{", "local/x__p_resources.json": "["})
    with pytest.raises(ConfigError, match=r"(?s)x__p_resources.json: line 1.*\n.*comm_config.json: line 1"):
        wanted(kit)
