"""The launchers for Docker: the contracts' names, the containers they ask for, and that making one needs no engine."""

from __future__ import annotations

import inspect
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from flcore import FLContext, JobHandleSpec, JobLauncherSpec
from flcore.disk.job_folders import note_new
from flcore.testing import FakeFLContext
from launchers.container_spec import LABEL_JOB_ID, LABEL_LAUNCHER, LABEL_SITE, ContainerSpec, Mount
from launchers.docker_launcher import (
    DOCKER_STATE,
    ClientDockerJobLauncher,
    DockerJobHandle,
    DockerJobLauncher,
    ServerDockerJobLauncher,
)
from launchers.runtime.fake import FakeRuntime

META = {"job_id": "job-1"}
AS_ROOT = pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files to others")


def client_args(workspace: Path) -> dict[str, tuple[str, Any]]:
    return {
        "exe_module": ("-m", "client"),
        "workspace": ("-m", str(workspace)),
        "startup_dir": ("-w", f"{workspace}/startup"),
        "auth_token": ("-t", "a-token"),
        "job_id": ("-n", "job-1"),
        "client_name": ("-c", "site-1"),
        "parent_url": ("-p", "tcp://parent:8102"),
        "options": ("--set", "a=1 b=2"),
    }


def server_args(workspace: Path) -> dict[str, tuple[str, Any]]:
    return {
        "exe_module": ("-m", "server"),
        "workspace": ("-m", str(workspace)),
        "app_root": ("-r", f"{workspace}/job-1/app_server"),
        "job_id": ("-n", "job-1"),
        "service_port": ("--port", 8002),
        "ssid": ("--ssid", "an-ssid"),
    }


# --- the contracts ---


def test_the_launchers_and_the_handle_are_what_a_site_expects() -> None:
    assert issubclass(DockerJobHandle, JobHandleSpec)
    assert issubclass(DockerJobLauncher, JobLauncherSpec)
    assert issubclass(ClientDockerJobLauncher, DockerJobLauncher)
    assert issubclass(ServerDockerJobLauncher, DockerJobLauncher)


def test_the_signatures_are_those_of_the_contracts() -> None:
    def positional(function: Any) -> list[str]:
        parameters = inspect.signature(function).parameters.values()
        return [str(p.replace(annotation=p.empty)) for p in parameters if p.kind is p.POSITIONAL_OR_KEYWORD]

    assert positional(DockerJobHandle) == ["container", "timeout=None"]
    assert positional(DockerJobHandle.enter_states) == ["self", "job_states_to_enter", "timeout=None"]
    assert positional(DockerJobLauncher.get_command) == ["self", "job_meta", "fl_ctx"]
    assert positional(DockerJobLauncher.launch_job) == ["self", "job_meta", "fl_ctx"]
    network = "network='nvflare-network'"
    assert positional(ClientDockerJobLauncher) == ["mount_path='/workspace'", network, "timeout=None"]


def test_the_states_are_those_of_docker() -> None:
    assert {"CREATED", "RUNNING", "PAUSED", "RESTARTING", "REMOVING", "EXITED", "DEAD"} == set(DOCKER_STATE.__members__)


def test_a_launcher_without_a_command_cannot_be_made() -> None:
    with pytest.raises(TypeError, match="get_command"):
        DockerJobLauncher()  # type: ignore[abstract]


def test_making_a_launcher_needs_no_docker_sdk_and_no_engine() -> None:
    script = """
import sys, threading
from launchers.docker_launcher import ClientDockerJobLauncher, ServerDockerJobLauncher
ClientDockerJobLauncher(image="job:1", docker_host="tcp://no.such.host.invalid:1")
ServerDockerJobLauncher("/mount", "net", 5)
assert "docker" not in sys.modules, "imported the SDK"
assert threading.active_count() == 1, "started a thread"
"""
    subprocess.run([sys.executable, "-c", script], check=True, cwd="/")


# --- the containers ---


def test_a_clients_container_is_this_and_nothing_else(tmp_path: Path) -> None:
    digits = tmp_path / "digits.csv"
    launcher = ClientDockerJobLauncher(
        network="net",
        user="1000:100",
        image="job:1",
        env={"A": "site"},
        datasets={"digits": str(digits)},
        limits={"num_of_cpus": 2, "memory": "1Gi"},
        defaults={"shm_size": "64Mi"},
    )
    ctx = FakeFLContext(workspace=tmp_path / "ws", job_args=client_args(tmp_path / "ws"))
    assert launcher.plan(META, ctx).spec == ContainerSpec(
        name="site-1-job-1",
        image="job:1",
        command=(
            *("python3", "-u", "-m", "client", "-m", "/workspace", "-w", "/workspace/startup", "-n", "job-1"),
            *("-c", "site-1", "-p", "tcp://parent:8102", "--set", "a=1", "b=2"),
        ),
        environment={
            "A": "site",
            "FLCORE_DATASET_DIGITS": "/data/digits",
            "PYTHONPATH": "/workspace/job-1/app_site-1/custom",
            "NVFLARE_JOB_AUTH_TOKEN": "a-token",
        },
        secret_variables=frozenset({"NVFLARE_JOB_AUTH_TOKEN"}),
        working_dir="/workspace/job-1",
        mounts=(
            Mount(f"{tmp_path}/ws/job-1", "/workspace/job-1", read_only=False),
            Mount(str(digits), "/data/digits", read_only=True),
        ),
        network="net",
        labels={LABEL_SITE: "site-1", LABEL_JOB_ID: "job-1", LABEL_LAUNCHER: "ClientDockerJobLauncher"},
        user="1000:100",
        init=True,
        cpus=2.0,
        memory=1 << 30,
        shm_size=64 << 20,
    )


def test_a_servers_container_is_named_after_the_server_and_listens(tmp_path: Path) -> None:
    launcher = ServerDockerJobLauncher(image="job:1")
    ctx = FakeFLContext("server", workspace=tmp_path, job_args=server_args(tmp_path))
    spec = launcher.plan(META, ctx).spec
    assert spec.name == "server-job-1"
    assert spec.command == (
        *("python3", "-u", "-m", "server", "-m", "/workspace", "-r", "/workspace/job-1/app_server", "-n", "job-1"),
        *("--host", "0.0.0.0", "--port", "8002"),
    )
    assert spec.environment == {
        "NVFLARE_JOB_SSID": "an-ssid",
        "PYTHONPATH": "/workspace/job-1/app_server/custom",
    }


def test_a_server_listens_where_its_arguments_say(tmp_path: Path) -> None:
    job_args = server_args(tmp_path) | {"service_host": ("--host", "10.0.0.1")}
    command = ServerDockerJobLauncher(image="job:1").get_command(META, FakeFLContext("server", job_args=job_args))[1]
    assert "--host 10.0.0.1 --port" in command


def test_no_credential_stands_in_a_command_or_a_label(tmp_path: Path) -> None:
    launcher = ClientDockerJobLauncher(image="job:1")
    spec = launcher.plan(META, FakeFLContext(job_args=client_args(tmp_path))).spec
    assert "a-token" not in repr(spec)


def test_the_workspace_is_where_mount_path_says(tmp_path: Path) -> None:
    launcher = ClientDockerJobLauncher("/elsewhere", image="job:1")
    spec = launcher.plan(META, FakeFLContext(workspace=tmp_path, job_args=client_args(tmp_path))).spec
    assert spec.command[5] == "/elsewhere"
    assert (spec.working_dir, spec.mounts[0].target) == ("/elsewhere/job-1", "/elsewhere/job-1")


def test_a_path_outside_of_the_workspace_stays_itself(tmp_path: Path) -> None:
    job_args = client_args(tmp_path) | {"startup_dir": ("-w", f"{tmp_path}-other/startup")}
    spec = ClientDockerJobLauncher(image="job:1").plan(META, FakeFLContext(workspace=tmp_path, job_args=job_args)).spec
    assert spec.command[7] == f"{tmp_path}-other/startup"


@pytest.mark.parametrize("path", ["", ".", "..", "some/folder", "~/data"])
@pytest.mark.parametrize("key", ["datasets.d", "gpu_lease_dir", "secrets_dir", "mounts[0].source"])
def test_no_path_of_a_config_depends_on_where_the_site_was_started(key: str, path: str) -> None:
    given: dict[str, Any] = {
        "datasets.d": {"datasets": {"d": path}},
        "mounts[0].source": {"mounts": [{"source": path, "target": "/d"}]},
    }
    args: dict[str, Any] = given.get(key, {key: path})
    with pytest.raises(ValueError, match=rf"^{re.escape(key)} must be an absolute path, got .*CONFIG_DIR"):
        ClientDockerJobLauncher(image="job:1", **args)


def test_a_dataset_is_mounted_by_its_path_and_told_by_its_variable() -> None:
    launcher = ClientDockerJobLauncher(image="job:1", datasets={"my-data": "/some/folder"})
    spec = launcher.plan(META, FakeFLContext(job_args=client_args(Path("/ws")))).spec
    assert spec.mounts == (Mount("/some/folder", "/data/my-data"),)
    assert spec.environment["FLCORE_DATASET_MY_DATA"] == "/data/my-data"


def test_a_job_never_runs_as_root_by_default() -> None:
    uid, gid = os.geteuid(), os.getegid()
    assert ClientDockerJobLauncher().user == ("65534:65534" if uid == 0 else f"{uid}:{gid}")


def test_a_site_may_do_without_an_init() -> None:
    launcher = ClientDockerJobLauncher(image="job:1", init=False)
    assert not launcher.plan(META, FakeFLContext(job_args=client_args(Path("/ws")))).spec.init


# --- at home ---


def environment_of(tmp_path: Path, job: dict[str, Any] | None = None, **site_keys: Any) -> dict[str, str]:
    """Return the variables of a job's container."""
    runtime = FakeRuntime()
    launcher = ClientDockerJobLauncher(image="job:1", runtime=runtime, user=f"{os.geteuid()}:5", **site_keys)
    ctx = FakeFLContext("site-1", workspace=tmp_path, job_id="job-1", job_args=client_args(tmp_path))
    launcher.launch_job(META | (job or {}), ctx)
    launcher.close()
    return runtime.container("site-1-job-1").spec.environment


ROOT_ALLOWED: dict[str, Any] = {"allow_insecure": ["user"]}
"""Where root runs the tests, the jobs of them are its own."""


def test_a_job_has_a_home_in_memory_and_a_name(tmp_path: Path) -> None:
    told = environment_of(tmp_path, **ROOT_ALLOWED)
    assert told["HOME"] == "/tmp"
    assert told["USER"] == told["LOGNAME"] == ("job" if os.geteuid() else "root")


@pytest.mark.parametrize(
    ("site_keys", "home"),
    [
        ({"home": "."}, "/workspace/job-1"),
        ({"tmpfs": {}}, "/workspace/job-1"),
        ({"home": "/home/job", "tmpfs": {"/home/job": "1Gi"}}, "/home/job"),
        ({"env": {"HOME": "/root"}}, "/root"),
    ],
)
def test_a_jobs_home_is_where_the_site_says(tmp_path: Path, site_keys: dict[str, Any], home: str) -> None:
    assert environment_of(tmp_path, **ROOT_ALLOWED, **site_keys)["HOME"] == home


def test_a_job_is_called_as_the_site_says_or_as_it_asks_where_the_site_lets_it(tmp_path: Path) -> None:
    asked = {"launcher_spec": {"default": {"docker": {"env": {"LOGNAME": "me", "USER": "me"}}}}}
    keys = {"env": {"USER": "flare"}, "job_env_prefixes": ["USER", "LOGNAME"]}
    told = environment_of(tmp_path, asked, **ROOT_ALLOWED, **keys)
    assert (told["USER"], told["LOGNAME"]) == ("flare", "me")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"mount_path": "workspace"}, "mount_path must be an absolute path, got 'workspace'"),
        ({"mount_path": None}, "mount_path must be an absolute path"),
        ({"user": "root"}, "user must be a uid and a gid, as in '1000:1000', got 'root'"),
        ({"user": "1000"}, "user must be a uid and a gid"),
        ({"user": 1000}, "user must be a uid and a gid"),
        ({"user": ""}, "user must be a uid and a gid"),
        ({"user": "000:1000"}, "user is insecure: jobs run as root"),
        ({"network": ""}, "network must be a network's name"),
        ({"cap_add": ["everything"]}, "cap_add must be a list of capabilities"),
        ({"security_opt": ["privileged"]}, "security_opt must be a list of options"),
        ({"pid_mode": "container:x"}, "pid_mode must be 'host'"),
        ({"tmpfs": {"/tmp": "1GB"}}, "tmpfs./tmp must be a number of bytes"),
        ({"tmpfs": {"tmp": "1Gi"}}, "tmpfs must be an absolute path"),
        ({"mounts": [{"source": "/d"}]}, r"mounts\[0\] must be an object with source, target"),
        ({"pids_limit": -1}, "pids_limit must be a whole number, 1 at least"),
        ({"allow_insecure": ["all"]}, "allow_insecure must name keys that can be insecure"),
        ({"images": ["a b"]}, "images must be names of images"),
        ({"defaults": {"memory": "2Gi"}, "limits": {"memory": "1Gi"}}, "defaults.memory must be no more than limits"),
        ({"init": 1}, "init must be true or false"),
        ({"home": "home"}, "home must be an absolute path in a job's container, or '.', the job's own folder"),
        ({"home": "/root"}, "home: no job can write to '/root': add it to 'tmpfs'"),
        ({"home": ".", "env": {"HOME": "/root"}}, "home: 'env' sets HOME, too"),
    ],
)
def test_a_wrong_argument_is_a_value_error_by_its_name(arguments: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        ClientDockerJobLauncher(**arguments)


# --- launching ---


@pytest.fixture
def runtime() -> FakeRuntime:
    return FakeRuntime()


@pytest.fixture
def launcher(runtime: FakeRuntime) -> Iterator[ClientDockerJobLauncher]:
    user = "1234:567" if os.geteuid() == 0 else None
    launcher = ClientDockerJobLauncher(image="job:1", user=user, timeout=10, runtime=runtime)
    yield launcher
    launcher.close()


def context(workspace: Path) -> FLContext:
    return FakeFLContext(workspace=workspace, job_args=client_args(workspace))


def test_a_launch_gives_a_docker_handle(
    launcher: ClientDockerJobLauncher, runtime: FakeRuntime, tmp_path: Path
) -> None:
    handle = launcher.launch_job(META, context(tmp_path))
    assert isinstance(handle, DockerJobHandle)
    assert (handle.container, handle.timeout) == (runtime.container("site-1-job-1"), 10)
    assert handle.enter_states([DOCKER_STATE.RUNNING])


@AS_ROOT
def test_the_jobs_folder_is_the_jobs_users_own(launcher: ClientDockerJobLauncher, tmp_path: Path) -> None:
    app = tmp_path / "job-1" / "app_site-1"
    note_new(tmp_path / "job-1")
    app.mkdir(parents=True)
    (app / "config.json").write_text("{}")
    launcher.launch_job(META, context(tmp_path))
    owners = {(path.stat().st_uid, path.stat().st_gid) for path in (app.parent, app, app / "config.json")}
    assert owners == {(1234, 567)}
    assert tmp_path.stat().st_uid == 0


@AS_ROOT
def test_no_link_in_the_jobs_folder_gives_away_a_file_of_the_site(
    launcher: ClientDockerJobLauncher, tmp_path: Path
) -> None:
    precious = tmp_path / "precious"
    precious.write_text("of the site")
    note_new(tmp_path / "job-1")
    (tmp_path / "job-1").mkdir()
    (tmp_path / "job-1" / "link").symlink_to(precious)
    (tmp_path / "job-1" / "folder").symlink_to(tmp_path)
    launcher.launch_job(META, context(tmp_path))
    assert (precious.stat().st_uid, tmp_path.stat().st_uid) == (0, 0)
    assert (tmp_path / "job-1" / "link").lstat().st_uid == 1234


def test_without_a_workspace_there_is_no_folder_to_hand_over(launcher: ClientDockerJobLauncher) -> None:
    ctx = FakeFLContext(job_args=client_args(Path("/ws")))
    assert launcher.launch_job(META, ctx).enter_states("running")
