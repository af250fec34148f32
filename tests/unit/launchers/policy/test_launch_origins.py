"""Where the settings of a container come from, as a dry run shows them."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from flcore import Site
from flcore.cli.view import launches_as_json, launches_as_text
from flcore.job_launcher_spec import LaunchRequest
from launchers.docker_launcher import ClientDockerJobLauncher

NOBODY_ANSWERS = "tcp://127.0.0.1:1"
ARGS = {"exe_module": ("-m", "client"), "auth_token": ("-t", "token-1234"), "ssid": ("-d", "ssid-1234")}


def describe(tmp_path: Path, job: dict[str, Any] | None = None, **site_keys: Any) -> LaunchRequest:
    launcher = ClientDockerJobLauncher(docker_host=NOBODY_ANSWERS, **{"image": "job:1", **site_keys})
    launch = Site("site-1", {"launcher": launcher}, tmp_path).describe_launch({"job_id": "j1", **(job or {})}, ARGS)
    assert launch is not None
    return launch


def test_what_the_site_does_not_set_is_a_default_or_fixed(tmp_path: Path) -> None:
    launch = describe(tmp_path)
    by_origin = {path: origin for path, origin in launch.origins.items() if not path.startswith("Env.")}
    assert by_origin.pop("Image") == "site: image"
    fixed = {path for path, origin in by_origin.items() if origin == "fixed"}
    assert fixed == {"name", "Entrypoint", "Cmd", "WorkingDir", "Labels", "StopSignal", "Healthcheck"} | {
        "HostConfig.CapDrop",
        "HostConfig.RestartPolicy",
    }
    assert set(by_origin.values()) == {"fixed", "default"}


@pytest.mark.parametrize(
    ("site_keys", "path", "origin"),
    [
        ({"user": "5:5"}, "User", "site: user"),
        ({"user_range": "5-6", "user_lease_dir": "/users"}, "User", "site: user_range"),
        ({"network": "net"}, "HostConfig.NetworkMode", "site: network"),
        ({"pids_limit": 5}, "HostConfig.PidsLimit", "site: pids_limit"),
        ({"datasets": {"d": "/data/d"}}, "HostConfig.Mounts", "site: datasets"),
        ({"datasets": {"d": "/data/d"}}, "Env.FLCORE_DATASET_D", "site: datasets"),
        ({"log_max_files": 2}, "HostConfig.LogConfig", "site: log_max_files"),
        ({"limits": {"memory": "1Gi"}}, "HostConfig.Memory", "site: limits.memory"),
        ({"limits": {"memory": "1Gi"}, "defaults": {"memory": "1Gi"}}, "HostConfig.Memory", "site: defaults.memory"),
        ({"env": {"A": "1"}}, "Env.A", "site: env"),
        ({}, "Env.HOME", "default"),
        ({"home": "."}, "Env.HOME", "site: home"),
        ({"home": "."}, "Env.USER", "default"),
        ({"env": {"HOME": "/root"}}, "Env.HOME", "site: env"),
        ({"env": {"USER": "me"}}, "Env.USER", "site: env"),
    ],
)
def test_what_the_site_sets_is_shown_with_its_key(
    tmp_path: Path, site_keys: dict[str, Any], path: str, origin: str
) -> None:
    assert describe(tmp_path, **site_keys).origins[path] == origin


def test_what_the_job_asks_for_is_shown_with_its_path(tmp_path: Path) -> None:
    wish = {"image": "job:2", "shm_size": "1Mi", "env": {"JOB_A": "1"}}
    job = {"launcher_spec": {"default": {"docker": wish}}, "resource_spec": {"site-1": {"memory": "64Mi"}}}
    origins = describe(tmp_path, job, images=["job:*"], job_env_prefixes=["JOB_"]).origins
    assert origins["Image"] == "job: launcher_spec.default.docker.image"
    assert origins["HostConfig.ShmSize"] == "job: launcher_spec.default.docker.shm_size"
    assert origins["Env.JOB_A"] == "job: launcher_spec.default.docker.env"
    assert origins["HostConfig.Memory"] == origins["HostConfig.MemorySwap"] == "job: resource_spec.site-1.memory"


def test_gpus_are_shown_by_their_number_for_they_are_leased_at_the_launch(tmp_path: Path) -> None:
    launch = describe(tmp_path, {"resource_spec": {"site-1": {"num_of_gpus": 2}}}, gpu_ids=["0", "1", "2"])
    assert launch.request["HostConfig"]["DeviceRequests"][0]["DeviceIDs"] == ["(at launch)"] * 2
    assert launch.origins["HostConfig.DeviceRequests"] == "job: resource_spec.site-1.num_of_gpus"
    assert launch.origins["Env.NVIDIA_VISIBLE_DEVICES"] == "job: resource_spec.site-1.num_of_gpus"
    assert list(tmp_path.iterdir()) == []


def test_no_secret_is_shown(tmp_path: Path) -> None:
    launch = describe(tmp_path, env={"MY_API_KEY": "secret-1234", "DB_PASSWORD": "secret-1234", "PLAIN": "shown"})
    assert "1234" not in repr(launch)
    assert "PLAIN=shown" in launch.request["Env"]
    assert "MY_API_KEY=***" in launch.request["Env"]


def test_what_the_config_calls_a_secret_is_masked_whatever_its_name(tmp_path: Path) -> None:
    launch = describe(tmp_path, secrets={"db": {"file": "/no/such/file", "to_env": "DB"}})
    assert {"DB=***", "FLCORE_SECRET_DB=/run/secrets/db"} <= set(launch.request["Env"])
    assert launch.origins["Env.DB"] == launch.origins["Env.FLCORE_SECRET_DB"] == "site: secrets"
    assert launch.origins["HostConfig.Mounts"] == "site: secrets"
    assert launch.request["HostConfig"]["Mounts"][-1] == {
        "Type": "bind",
        "Source": "/dev/shm/flcore-(at launch)/db",
        "Target": "/run/secrets/db",
        "ReadOnly": True,
    }


def test_a_dry_run_tells_sizes_as_a_config_says_them_and_json_in_bytes(tmp_path: Path) -> None:
    launch = describe(tmp_path, limits={"memory": "256Mi"}, log_max_size="3Mi")
    shown = launches_as_text({"site-1": launch})
    assert re.search(r'HostConfig\.Memory +site: limits.memory +"256Mi"$', shown, re.MULTILINE)
    assert '"size=256Mi,mode=1777"' in shown
    assert '"max-size": "3Mi"' in shown
    request = json.loads(launches_as_json({"site-1": launch}))["site-1"]["request"]
    assert request["HostConfig"]["Memory"] == 256 << 20


def test_a_dry_run_has_a_line_for_each_path_of_the_host(tmp_path: Path) -> None:
    launch = describe(tmp_path, datasets={"one": str(tmp_path)})
    lines = launches_as_text({"site-1": launch}).splitlines()
    first = next(number for number, line in enumerate(lines) if " HostConfig.Mounts " in line)
    assert lines[first].endswith(f'  "{tmp_path}/j1 -> /workspace/j1, writable"')
    assert lines[first + 1].strip() == f'"{tmp_path} -> /data/one, read-only"'


def test_notes_stand_behind_the_settings(tmp_path: Path) -> None:
    launch = replace(describe(tmp_path), notes=("it sees a decoy",))
    assert launches_as_text({"site-1": launch}).endswith("\n  it sees a decoy")


def test_of_a_site_where_a_job_is_not_launched_the_reason_is_told() -> None:
    assert launches_as_text({"kit": "no app for it"}) == "kit: is not launched there: no app for it"


def test_what_of_the_metadata_is_passed_over_is_told_with_the_reason(tmp_path: Path) -> None:
    spec = {"@default": {"num_of_cpus": 1}, "site-1": {"gpu_type": "a100"}}
    launch = describe(tmp_path, {"resource_spec": spec, "launcher_spec": {"site-1": {"k8s": {"image": "x"}}}})
    assert launches_as_text({"site-1": launch}).splitlines()[-2:] == [
        "  passed over: launcher_spec.site-1.k8s: for launchers of the kind 'k8s'; this is 'docker'",
        "  passed over: resource_spec.site-1.gpu_type: no resource that this launcher gives",
    ]
    told = json.loads(launches_as_json({"site-1": launch}))["site-1"]["passed_over"]
    assert told["resource_spec.site-1.gpu_type"] == "no resource that this launcher gives"


def test_what_is_passed_over_does_nothing_to_a_terminal(tmp_path: Path) -> None:
    launch = describe(tmp_path, {"resource_spec": {"site-1": {"\x1b[2J": 1}}})
    assert r"resource_spec.site-1.\x1b[2J: no resource" in launches_as_text({"site-1": launch})


def test_a_command_that_the_job_has_changed_is_shown_with_its_path(tmp_path: Path) -> None:
    wish = {"launcher_spec": {"site-1": {"docker": {"python_path": "/opt/python", "entrypoint": ["/entry.sh"]}}}}
    launch = describe(tmp_path, wish, python_paths=["/opt/python"], entrypoints=[["/entry.sh"]])
    assert launch.request["Entrypoint"] + launch.request["Cmd"][:2] == ["/entry.sh", "/opt/python", "-u"]
    path = "launcher_spec.site-1.docker"
    assert launch.origins["Entrypoint"] == launch.origins["Cmd"] == f"job: {path}.entrypoint, {path}.python_path"


def test_nothing_is_made_and_no_event_is_fired(tmp_path: Path) -> None:
    describe(tmp_path / "workspace")
    assert list(tmp_path.iterdir()) == []
