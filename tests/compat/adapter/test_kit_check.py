"""``flcore check KIT`` where NVIDIA FLARE is installed: by the launcher itself, and the interpreter that starts it."""

from __future__ import annotations

import inspect
import os
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest

from flcore.errors import ConfigError, JobRejectedError
from flcore.job_launcher_spec import LaunchRequest
from flcore.submitted_job import SubmittedJob
from launchers.flare.kit_layout import KitLayout
from launchers.flare.parent_config import KIT_ARGUMENTS, OURS, KitComponent, ParentConfig
from launchers.kit_commands.component_findings import component_problems
from launchers.kit_commands.kit_check import build
from launchers.kit_commands.kit_job import launch_of
from launchers.kit_commands.launcher_findings import CLASSES
from launchers.kit_commands.parent_python import NEWEST, ParentPython, without_nvflare
from launchers.nvflare_launcher import KitLauncher
from tests.kit_folder import make_kit, write


def component(role: str, **args: Any) -> KitComponent:
    return KitComponent("docker", f"{OURS}.{CLASSES[role]}", args, Path("local/x.json"), "local/x.json")


@pytest.mark.parametrize("role", CLASSES)
def test_the_launcher_of_kits_itself_is_made(role: str) -> None:
    launcher = build(component(role, image="job:1", private_key=True), role)
    assert isinstance(launcher, KitLauncher)
    assert launcher.private_key


def test_the_arguments_that_only_kits_launchers_have_are_known_where_nvidia_flare_is_not() -> None:
    named = inspect.signature(KitLauncher.__init__).parameters.values()
    own = {parameter.name for parameter in named if parameter.kind is inspect.Parameter.KEYWORD_ONLY}
    assert own == set(KIT_ARGUMENTS)


@pytest.mark.parametrize(
    ("args", "said"),
    [
        ({"private_key": "yes"}, "component 'docker': args: ClientKitLauncher: private_key must be true, false, or a"),
        ({"pyhton": "python3"}, "component 'docker': args: unknown key 'pyhton'; did you mean 'python'?"),
    ],
)
def test_what_is_wrong_with_them_is_told(args: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError) as raised:
        build(component("client", image="job:1", **args), "client")
    assert said in str(raised.value)


def test_the_interpreter_in_path_tells_what_it_has(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(Path(sys.executable).parent), prepend=os.pathsep)
    (found,) = ParentPython.of(KitLayout.of(make_kit(tmp_path))).findings()
    has_been_tried = tuple(map(int, version("nvflare").split(".")[:2])) <= NEWEST
    assert (found.ok, found.warning) == (True, not has_been_tried)
    assert found.detail.startswith(f"{Path(sys.executable).parent}/python3: NVIDIA FLARE ")


def test_one_without_is_told_the_path_that_has_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    system = tmp_path / "bin/python3"
    system.parent.mkdir()
    system.write_text(f'#!/bin/sh\nexec {sys.executable} -S "$@"\n')  # without its packages
    system.chmod(0o755)
    monkeypatch.setenv("PATH", str(system.parent), prepend=os.pathsep)
    (found,) = ParentPython.of(KitLayout.of(make_kit(tmp_path / "kit"))).findings()
    here = Path(sys.executable).parent
    assert found.detail.endswith(f"has no NVIDIA FLARE: start it as PATH={here}:$PATH startup/start.sh")


def test_what_is_wrong_with_the_resource_manager_is_told(tmp_path: Path) -> None:
    path = "launchers.nvflare_resource_manager.FlareResourceManager"
    args = {"max_jobs": 0, "expiration_period": "soon"}
    listed = {"components": [{"id": "resource_manager", "path": path, "args": args}]}
    kit = make_kit(tmp_path, extra={"local/flcore__p_resources.json": listed})
    problems = component_problems(ParentConfig.read(KitLayout.of(kit)))
    assert len(problems) == 2
    assert problems[0].startswith(
        f"{kit}/local/flcore__p_resources.json: component 'resource_manager': args: max_jobs "
    )


def test_nothing_is_left_out() -> None:
    assert list(without_nvflare()) == []


def job(folder: Path, **meta: Any) -> SubmittedJob:
    write(folder / "meta.json", {"name": "hello", "deploy_map": {"app": ["server", "site-1"]}, **meta})
    (folder / "app").mkdir()
    return SubmittedJob.read(folder)


def launched_with(kit: Path, job: SubmittedJob) -> Any:
    """Return what a kit's launcher says; the engine does not answer."""
    config = ParentConfig.read(KitLayout.of(kit))
    role = config.layout.role
    args = {"image": "job:1", "network": "flare", "docker_host": "unix:///nowhere", "private_key": [{"study": "brain"}]}
    return launch_of(build(component(role, **args), role), config, job)


@pytest.fixture
def client(tmp_path: Path) -> Path:
    resources = {"host": "172.30.0.1", "port": 8102, "connection_security": "clear"}
    kit = make_kit(tmp_path / "site-1", extra={"local/comm_config.json": {"internal": {"resources": resources}}})
    service = {"target": "server1:8002", "scheme": "grpc"}
    write(kit / "startup/fed_client.json", {"servers": [{"service": service}]})
    return kit


def test_what_a_job_would_be_launched_with_at_a_client_is_told(client: Path, tmp_path: Path) -> None:
    launch = launched_with(client, job(tmp_path / "job", resource_spec={"site-1": {"memory": "256Mi"}}))
    assert isinstance(launch, LaunchRequest), launch
    words = [*launch.request["Entrypoint"], *launch.request["Cmd"]]
    assert words[:2] == ["python3", "-u"]
    assert words[3 if words[2] == "-m" else 4] == "nvflare.private.fed.app.client.worker_process"  # 2.6 gets "-c", code
    assert {"tcp://172.30.0.1:8102", "server1:8002", "grpc", "uid=site-1", "secure_train=true"} <= {*words}
    assert launch.request["HostConfig"]["Memory"] == 256 << 20
    assert launch.origins["HostConfig.Memory"] == "job: resource_spec.site-1.memory"
    assert launch.notes == (
        "it sees a decoy in place of the site's private key; 'private_key' may give it the key for its study or "
        "submitter, of whom the server tells at the launch",
    )
    assert list(client.glob("*-*")) == []


def test_no_credential_is_made_up_for_it(client: Path, tmp_path: Path) -> None:
    launch = launched_with(client, job(tmp_path / "job"))
    credentials = [one for one in launch.request["Env"] if one.startswith("NVFLARE_JOB_")]
    assert credentials
    assert {one.partition("=")[2] for one in credentials} == {"***"}


def test_a_server_s_part_is_told_too(tmp_path: Path) -> None:
    listener = {"resources": {"host": "172.30.0.1", "port": 8103}}
    kit = make_kit(tmp_path / "server", "server", extra={"local/comm_config.json": {"internal": listener}})
    launch = launched_with(kit, job(tmp_path / "job", study="brain"))
    assert isinstance(launch, LaunchRequest), launch
    assert "nvflare.private.fed.app.server.runner_process" in launch.request["Cmd"]
    assert launch.notes == ("it sees the site's private key: private_key[0]",)


def test_a_job_that_is_refused_says_why(client: Path, tmp_path: Path) -> None:
    launch = launched_with(client, job(tmp_path / "job", launcher_spec={"site-1": {"docker": {"image": "evil:1"}}}))
    assert isinstance(launch, JobRejectedError)
    assert "evil:1" in str(launch)


def test_a_job_of_others_is_not_launched_there(client: Path, tmp_path: Path) -> None:
    wanted = job(tmp_path / "job", deploy_map={"app": ["server", "site-2"]})
    assert launched_with(client, wanted) == f"the deploy_map of {tmp_path}/job/meta.json names no app for site-1"


def test_a_component_of_nvidia_flare_s_kind_is_looked_for_and_not_made(tmp_path: Path) -> None:
    base = "from nvflare.apis.fl_component import FLComponent"
    code = f"{base}\n\nclass Other(FLComponent):\n    def __init__(self):\n        1 / 0\n"
    listed = [{"id": "other", "path": "kit_other.Other"}, {"id": "gone", "path": "kit_gone.Gone"}]
    files = {"local/custom/kit_other.py": code, "local/flcore__p_resources.json": {"components": listed}}
    kit = make_kit(tmp_path, extra=files)
    (problem,) = component_problems(ParentConfig.read(KitLayout.of(kit)))
    assert "component 'gone': path: cannot import kit_gone: " in problem
