"""The adapter, as a parent of NVIDIA FLARE's drives it: its contexts, events and arguments, on a fake runtime."""

from __future__ import annotations

import json
import logging
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from queue import SimpleQueue
from types import SimpleNamespace
from typing import Any

import pytest
from nvflare.apis.event_type import EventType
from nvflare.apis.fl_component import FLComponent
from nvflare.apis.fl_constant import FLContextKey
from nvflare.apis.fl_context import FLContextManager
from nvflare.apis.job_launcher_spec import JobHandleSpec, JobLauncherSpec, JobProcessArgs
from nvflare.apis.workspace import Workspace
from nvflare.fuel.common.exit_codes import ProcessExitCode
from nvflare.private.defs import JobFailureMsgKey
from nvflare.private.event import fire_event
from nvflare.private.fed.client import client_executor
from nvflare.private.fed.utils.fed_utils import get_job_launcher, get_return_code
from nvflare.utils.job_launcher_utils import get_client_job_args

from flcore.errors import JobLaunchError, JobRejectedError
from flcore.event_type import EventType as OurEventType
from flcore.fl_constant import FLContextKey as OurContextKey
from flcore.job_launcher_spec import JobResult, JobReturnCode, JobStateChange
from launchers import nvflare_launcher
from launchers.container_spec import THIS_PROCESS
from launchers.docker_state import ContainerState
from launchers.flare import key_watch
from launchers.flare.job_failure import return_code_of
from launchers.nvflare_launcher import ClientDockerJobLauncher, ServerDockerJobLauncher
from launchers.runtime.docker_request import create_request
from launchers.runtime.engine_traits import EngineTraits, Shift
from launchers.runtime.fake import FakeRuntime

JOB = "11111111-2222-3333-4444-555555555555"
META = {"job_id": JOB, "deploy_map": {"app": ["@ALL"]}, "resource_spec": {}}
CREDENTIALS = {"the-token", "the-signature", "the-ssid"}
TAKES_CREDENTIALS = JobProcessArgs.AUTH_TOKEN in get_client_job_args()
"""Whether this version's processes take them as arguments."""
TELLS_FAILURES = hasattr(client_executor, "REPORTABLE_JOB_FAILURES")
TIMEOUT = 10.0


class Recorder(FLComponent):  # type: ignore[misc]  # its base is of a package without types
    """A component of NVIDIA FLARE's that listens."""

    def __init__(self) -> None:
        super().__init__()
        self.changes: list[JobStateChange] = []
        self.jobs: list[str] = []
        self.recovered: dict[str, Any] = {}
        """The handles of jobs of a dead parent, by job id."""

    def handle_event(self, event_type: str, fl_ctx: Any) -> None:
        change = fl_ctx.get_prop(OurContextKey.JOB_STATE_CHANGE)
        if event_type == "_job_state_changed" and change:
            self.changes.append(change)
            self.jobs.append(fl_ctx.get_job_id())
        if event_type == "_job_recovered":
            self.recovered[fl_ctx.get_job_id()] = fl_ctx.get_prop(OurContextKey.JOB_HANDLE)


class Heard(FLComponent):  # type: ignore[misc]  # its base is of a package without types
    """A component of NVIDIA FLARE's that hears of pulls."""

    def __init__(self) -> None:
        super().__init__()
        self.progress = SimpleQueue[Any]()

    def handle_event(self, event_type: str, fl_ctx: Any) -> None:
        if event_type == OurEventType.IMAGE_PULL_PROGRESS:
            self.progress.put(fl_ctx.get_prop(OurContextKey.IMAGE_PULL_PROGRESS))


class JobManager:
    """What a server knows of its jobs."""

    def __init__(self) -> None:
        self.unfinished: list[str] = []
        self.statuses: dict[str, str] = {}

    def get_jobs_by_status(self, statuses: list[Any], fl_ctx: Any) -> list[Any]:
        assert [status.value for status in statuses] == ["RUNNING", "DISPATCHED"]
        return [SimpleNamespace(job_id=job_id) for job_id in self.unfinished]

    def set_status(self, job_id: str, status: Any, fl_ctx: Any) -> None:
        self.statuses[job_id] = status.value


class Parent:
    """A parent's engine, with a launcher and a component that listens, in the workspace of a kit."""

    def __init__(self, folder: Path, site: str = "site-1", **args: Any) -> None:
        for name in ("startup", "local", f"{JOB}/app_{site}/custom"):
            (folder / name).mkdir(parents=True, exist_ok=True)
        for name in ("fed_client.json", "fed_server.json", "client.key", "rootCA.pem"):
            (folder / "startup" / name).write_text("{}")
        self.folder = folder
        self.runtime = FakeRuntime()
        kind = ServerDockerJobLauncher if site == "server" else ClientDockerJobLauncher
        self.launcher = kind(**{"image": "job:1", "network": "flare", "stop_grace": 0, "runtime": self.runtime, **args})
        self.recorder = Recorder()
        self.others: list[FLComponent] = []
        """Components behind these."""
        self.sent: list[Any] = []
        self.job_manager = JobManager()
        self.client = SimpleNamespace(cell=SimpleNamespace(fire_and_forget=lambda **sent: self.sent.append(sent)))
        self.contexts = FLContextManager(self, site)
        self.workspace = Workspace(str(folder), site)
        self.site = site

    def new_context(self) -> Any:
        return self.contexts.new_context()

    def fire_event(self, event_type: str, fl_ctx: Any) -> None:
        fire_event(event_type, [self.launcher, self.recorder, *self.others], fl_ctx)

    def get_component(self, name: str) -> JobManager:
        assert name == "job_manager"
        return self.job_manager

    def context(self, **job_args: tuple[str, Any]) -> Any:
        fl_ctx = self.new_context()
        fl_ctx.set_prop(FLContextKey.WORKSPACE_OBJECT, self.workspace, private=True, sticky=True)
        arguments = (server_args if self.site == "server" else client_args)(self.folder)
        fl_ctx.set_prop(FLContextKey.JOB_PROCESS_ARGS, {**arguments, **job_args}, private=True, sticky=False)
        return fl_ctx

    def volunteers(self, meta: Any) -> list[Any]:
        fl_ctx = self.context()
        fl_ctx.set_prop(FLContextKey.JOB_META, meta, private=True, sticky=False)
        self.fire_event(EventType.BEFORE_JOB_LAUNCH, fl_ctx)
        found: list[Any] = fl_ctx.get_prop(FLContextKey.JOB_LAUNCHER) or []
        return found

    def launch(self, **job_args: tuple[str, Any]) -> Any:
        return self.launcher.launch_job(dict(META), self.context(**job_args))

    @property
    def container(self) -> str:
        return f"{self.site}-{JOB}"

    def spec(self) -> Any:
        return self.runtime.container(self.container).spec

    def close(self) -> None:
        self.fire_event(EventType.SYSTEM_END, self.context())


def client_args(folder: Path) -> dict[str, tuple[str, Any]]:
    return {
        "exe_module": ("-m", "nvflare.private.fed.app.client.worker_process"),
        "job_id": ("-n", JOB),
        "client_name": ("-c", "site-1"),
        "auth_token": ("-t", "the-token"),
        "auth_signature": ("-ts", "the-signature"),
        "ssid": ("-d", "the-ssid"),
        "workspace": ("-m", str(folder)),
        "startup_dir": ("-w", str(folder / "startup")),
        "parent_url": ("-p", "tcp://0.0.0.0:8102"),
        "scheme": ("-scheme", "grpc"),
        "target": ("-g", "server:8002"),
        "startup_config_file": ("-s", "fed_client.json"),
        "options": ("--set", " secure_train=true uid=site-1 print_conf=True"),
    }


def server_args(folder: Path) -> dict[str, tuple[str, Any]]:
    return {
        "exe_module": ("-m", "nvflare.private.fed.app.server.runner_process"),
        "job_id": ("-n", JOB),
        "workspace": ("-m", str(folder)),
        "startup_config_file": ("-s", "fed_server.json"),
        "app_root": ("-r", str(folder / JOB / "app_server")),
        "ha_mode": ("--ha_mode", False),
        "auth_token": ("-t", JOB),
        "auth_signature": ("-ts", "the-signature"),
        "parent_url": ("-p", "tcp://10.0.0.1:8102"),
        "root_url": ("-u", "grpc://server:8002"),
        "service_host": ("--host", "server"),
        "service_port": ("--port", "8002"),
        "ssid": ("--ssid", "the-ssid"),
        "options": ("--set", " secure_train=true restore_snapshot=False print_conf=True"),
    }


@pytest.fixture
def parent(tmp_path: Path) -> Iterator[Parent]:
    parent = Parent(tmp_path)
    yield parent
    parent.close()


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Parent]:
    server = Parent(tmp_path, "server")
    yield server
    server.close()


# --- as NVIDIA FLARE takes it ---


def test_it_is_a_launcher_and_its_handle_a_handle(parent: Parent) -> None:
    assert isinstance(parent.launcher, JobLauncherSpec)
    assert isinstance(parent.launch(), JobHandleSpec)


def test_making_one_needs_no_docker_sdk_engine_or_disk() -> None:
    code = (
        "import sys; sys.modules['docker'] = None; "  # which makes its import fail
        "from launchers.nvflare_launcher import ServerDockerJobLauncher; ServerDockerJobLauncher(image='job:1')"
    )
    broken = {"DOCKER_HOST": "tcp://no.such.host.invalid:1"}
    made = subprocess.run([sys.executable, "-c", code], env=broken, cwd="/proc", capture_output=True, check=False)
    assert (made.returncode, made.stderr) == (0, b"")


def test_wrong_arguments_are_all_told_at_once() -> None:
    with pytest.raises(ValueError, match=r"network must be(.|\n)*python must be(.|\n)*private_key must be"):
        ClientDockerJobLauncher(network=1, python="", private_key="yes")


# --- volunteering ---


def test_it_volunteers_itself(parent: Parent) -> None:
    assert parent.volunteers(META) == [parent.launcher]


def test_it_does_not_volunteer_for_a_job_without_an_image(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    parent = Parent(tmp_path, image=None)
    assert parent.volunteers(META) == []
    assert f"job {JOB} names no image" in caplog.text


def test_it_volunteers_for_a_job_that_it_will_refuse_so_that_the_reason_is_told(parent: Parent) -> None:
    wrong = {**META, "launcher_spec": {"site-1": {"docker": {"image": ["a", "list"]}}}}
    assert parent.volunteers(wrong) == [parent.launcher]
    with pytest.raises(JobRejectedError):
        parent.launcher.launch_job(wrong, parent.context())


# --- what a job gets ---


def test_a_clients_command_is_a_list_of_words_by_the_images_own_python(parent: Parent) -> None:
    parent.launch()
    command = list(parent.spec().command)
    assert command[:2] == ["python3", "-u"]
    assert "nvflare.private.fed.app.client.worker_process" in command
    assert command[command.index("-w") + 1] == str(parent.folder / "startup")
    assert command[-4:] == ["--set", "secure_train=true", "uid=site-1", "print_conf=True"]
    assert "/bin/sh" not in command


def test_a_servers_options_are_whole(server: Parent) -> None:
    server.launch()
    command = list(server.spec().command)
    assert command[-4:] == ["--set", "secure_train=true", "restore_snapshot=False", "print_conf=True"]
    assert command[command.index("-r") + 1] == str(server.folder / JOB / "app_server")


@pytest.mark.parametrize("site", ["site-1", "server"])
def test_no_credential_stands_in_the_command_a_label_or_a_record(tmp_path: Path, site: str) -> None:
    parent = Parent(tmp_path, site)
    parent.launch()
    spec = parent.spec()
    records = [path.read_text() for path in (tmp_path / ".flcore/jobs").iterdir()]
    for text in (*spec.command, *spec.labels.values(), *records, repr(spec)):
        assert not any(secret in text for secret in CREDENTIALS)
    assert set(spec.environment.values()) >= CREDENTIALS - {"the-token"}
    parent.close()


def test_a_servers_token_is_no_secret_for_it_is_the_jobs_id(server: Parent) -> None:
    handle = server.launch()
    server.runtime.write(server.container, f"run {JOB} failed\n".encode())
    server.runtime.exit(server.container, 1)
    handle.wait()
    assert handle.handle.result.error.endswith(f"run {JOB} failed")


def test_the_process_takes_credentials_as_this_version_has_it(parent: Parent) -> None:
    parent.launch()
    assert ("-c" in parent.spec().command[:3]) is TAKES_CREDENTIALS
    assert ("-m" in parent.spec().command[:3]) is not TAKES_CREDENTIALS


@pytest.mark.parametrize("site", ["site-1", "server"])
def test_a_job_gets_what_it_asks_of_all_sites_and_its_own_interpreter(tmp_path: Path, site: str) -> None:
    parent = Parent(tmp_path, site, python_paths=["/opt/python"], entrypoints=["/entry.sh"])
    spec = {"default": {"docker": {"python_path": "/opt/python", "entrypoint": ["/entry.sh"]}, "k8s": {}}}
    resources = {"@default": {"num_of_cpus": 2, "memory": "1Gi"}, site: {"gpu_type": "a100"}}
    parent.launcher.launch_job({**META, "launcher_spec": spec, "resource_spec": resources}, parent.context())
    asked = parent.spec()
    assert (asked.cpus, asked.memory, asked.command[:3]) == (2, 1 << 30, ("/entry.sh", "/opt/python", "-u"))
    parent.close()


def test_a_job_sees_its_own_folder_and_what_it_needs_of_the_kit(parent: Parent) -> None:
    parent.launch()
    mounts = {mount.target: (mount.source, mount.read_only) for mount in parent.spec().mounts}
    own = str(parent.folder / JOB)
    assert [target for target, (_, read_only) in mounts.items() if not read_only] == [own]
    assert mounts[str(parent.folder / "startup/fed_client.json")][1]
    assert str(parent.folder / "startup") not in mounts


def test_its_key_is_a_decoy(parent: Parent) -> None:
    parent.launch()
    (source,) = (mount.source for mount in parent.spec().mounts if mount.target.endswith("client.key"))
    key = Path(source).read_text()
    assert source == str(parent.folder / ".flcore/decoy.key")
    assert key.startswith("-----BEGIN RSA PRIVATE KEY-----")
    assert Path(source).stat().st_mode & 0o777 == 0o644


def test_the_decoy_stays_the_same(parent: Parent) -> None:
    parent.launch()
    decoy = (parent.folder / ".flcore/decoy.key").read_text()
    parent.runtime.exit(parent.container, 0)
    parent.launcher.launch_job({**META, "job_id": "another"}, parent.context())
    assert (parent.folder / ".flcore/decoy.key").read_text() == decoy


@pytest.mark.parametrize("why", ["the parent asks", "the kit is signed", "the site says so"])
def test_its_key_is_the_sites_where_it_would_not_work_without_and_the_log_says_why(
    tmp_path: Path, why: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    parent = Parent(tmp_path, private_key=why == "the site says so")
    if why == "the kit is signed":
        (tmp_path / "startup/signature.json").write_text(json.dumps({"client.key": "x"}))
    parent.launch(**{"parent_conn_sec": ("--parent_conn_sec", "mtls")} if why == "the parent asks" else {})
    (source,) = (mount.source for mount in parent.spec().mounts if mount.target.endswith("client.key"))
    assert source == str(tmp_path / "startup/client.key")
    told = {"the parent asks": "its parent listens with mutual TLS", "the kit is signed": "its kit is signed"}
    assert f"job {JOB}: sees the site's private key: {told.get(why, 'private_key')}" in caplog.messages
    parent.close()


def test_one_job_has_the_key_and_a_way_to_the_server_and_another_has_neither(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    parent = Parent(tmp_path, private_key=[{"study": "brain", "submitter": "ana@*"}])
    metas = [{**META, "study": "brain", "submitter_name": f"{who}@hospital.org"} for who in ("ana", "ben")]
    keys, environments, configs = [], [], []
    for meta in metas:
        parent.launcher.launch_job(meta, parent.context())
        spec = parent.spec()
        sources = {mount.target: mount.source for mount in spec.mounts}
        keys.append(sources[str(tmp_path / "startup/client.key")])
        environments.append("NVFLARE_BACKBONE_CONN_GEN" in spec.environment)
        configs.append(str(tmp_path / "comm_config.json") in sources)
        parent.runtime.exit(parent.container, 0)
    assert keys == [str(tmp_path / "startup/client.key"), str(tmp_path / ".flcore/decoy.key")]
    assert environments == configs == [False, True]
    said = [line for line in caplog.messages if "private key" in line]
    assert said == [f"job {JOB}: sees the site's private key: private_key[0]"]
    parent.close()


def test_a_job_that_talks_to_its_parent_alone_is_told_so_by_the_file_that_is_read_before_its_environment(
    parent: Parent,
) -> None:
    kits = parent.folder / "local/comm_config.json"
    kits.write_text('{"backbone_conn_gen": 2, "max_message_size": 9}')
    parent.launch()
    sources = {mount.target: mount.source for mount in parent.spec().mounts}
    assert sources[str(kits)] == sources[str(parent.folder / "comm_config.json")]
    ours = json.loads(Path(sources[str(kits)]).read_text())
    assert ours == {"backbone_conn_gen": 1, "allow_adhoc_conns": False, "max_message_size": 9}


def test_a_job_talks_to_its_parent_alone(parent: Parent) -> None:
    parent.launch()
    spec = parent.spec()
    assert spec.environment["NVFLARE_BACKBONE_CONN_GEN"] == "1"
    assert spec.hosts == {"flare-parent": THIS_PROCESS}
    assert "tcp://flare-parent:8102" in spec.command


def test_a_parent_that_no_job_reaches_refuses_to_launch(parent: Parent) -> None:
    with pytest.raises(JobLaunchError, match=r"local/comm_config.json"):
        parent.launch(parent_url=("-p", "tcp://localhost:8102"))


def test_the_jobs_own_code_comes_before_the_sites(parent: Parent) -> None:
    (parent.folder / "local/custom").mkdir()
    parent.launch()
    own, sites = parent.folder / JOB / "app_site-1/custom", parent.folder / "local/custom"
    assert parent.spec().environment["PYTHONPATH"] == f"{own}:{sites}"


def test_a_workspace_may_be_seen_elsewhere(tmp_path: Path) -> None:
    parent = Parent(tmp_path, mount_path="/flare")
    parent.launch()
    spec = parent.spec()
    assert spec.working_dir == f"/flare/{JOB}"
    assert spec.command[spec.command.index("-w") + 1] == "/flare/startup"
    assert set(spec.isolation.tmpfs) == {"/tmp", "/flare"}
    parent.close()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files to others")
def test_all_that_is_the_jobs_users_is_so_where_each_job_has_a_user_of_its_own(tmp_path: Path) -> None:
    users = {"user_range": "200000-200000", "user_lease_dir": str(tmp_path / "users")}
    parent = Parent(tmp_path / "kit", private_key=True, **users)
    (parent.folder / "startup/client.key").chmod(0o600)
    parent.launch()
    spec = parent.spec()
    key = next(mount.source for mount in spec.mounts if mount.target.endswith("client.key"))
    assert (spec.user, Path(key).stat().st_uid) == ("200000:200000", 200000)
    assert (parent.folder / JOB / "app_site-1/custom").stat().st_uid == 200000
    assert "uid=200000,gid=200000" in create_request(spec)["HostConfig"]["Tmpfs"][str(parent.folder)]
    parent.close()
    assert (parent.folder / JOB / "app_site-1/custom").stat().st_uid == 0


@pytest.mark.parametrize(
    ("engine", "is_shown_as_it_is"),
    [
        (EngineTraits("remapped", has=frozenset({"userns"}), shift=Shift(300000, 300000)), False),
        (EngineTraits("rootless", has=frozenset({"rootless"})), True),
        (EngineTraits("plain"), False),
    ],
    ids=["userns-remap", "rootless", "plain"],
)
def test_whether_a_job_may_read_the_kits_files_is_judged_as_the_host_counts_its_user(
    tmp_path: Path, engine: EngineTraits, is_shown_as_it_is: bool
) -> None:
    parent = Parent(tmp_path, private_key=True, user="65534:65534")
    key = tmp_path / "startup/client.key"
    key.chmod(0o600)
    launcher = parent.launcher.launcher
    spec = launcher.fit(launcher.plan(dict(META), parent.context()), engine).spec
    assert (str(key) in {mount.source for mount in spec.mounts}) is is_shown_as_it_is
    assert (str(key) in spec.private_files.values()) is not is_shown_as_it_is
    parent.close()


def test_where_the_server_stores_all_jobs_a_job_finds_nothing(server: Parent) -> None:
    resources = {"components": [{"id": "job_manager", "args": {"uri_root": "/srv/jobs"}}]}
    (server.folder / "local/resources.json").write_text(json.dumps(resources))
    server.launch()
    assert "/srv/jobs" in server.spec().isolation.tmpfs


def test_a_parent_in_a_container_says_where_the_host_has_its_kit(
    parent: Parent, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NVFL_DOCKER_WORKSPACE", "/srv/kits/site-1")
    parent.launch()
    assert parent.launcher.launcher.host_paths == {str(parent.folder): "/srv/kits/site-1"}


# --- refusals ---


class Refusing(FLComponent):  # type: ignore[misc]  # its base is of a package without types
    """A component of NVIDIA FLARE's that comes behind the launcher."""

    def __init__(self, refuse: Callable[[Any], None]) -> None:
        super().__init__()
        self._refuse = refuse

    def handle_event(self, event_type: str, fl_ctx: Any) -> None:
        if event_type == EventType.BEFORE_JOB_LAUNCH:
            self._refuse(fl_ctx)


def refuse_by_error(fl_ctx: Any) -> None:
    raise JobRejectedError("not on my watch")


def refuse_by_reason(fl_ctx: Any) -> None:
    fl_ctx.set_prop(FLContextKey.JOB_BLOCK_REASON, "not today", private=True, sticky=False)


@pytest.mark.parametrize(
    ("refuse", "words"),
    [
        (refuse_by_error, "refused by the component Refusing: not on my watch"),
        (refuse_by_reason, "a component has blocked it: not today"),
    ],
)
def test_any_component_may_refuse_a_launch(parent: Parent, refuse: Callable[[Any], None], words: str) -> None:
    parent.others.append(Refusing(refuse))
    launcher = get_job_launcher(dict(META), parent.context())
    with pytest.raises(JobRejectedError, match=f"job {JOB}: {words}"):
        launcher.launch_job(dict(META), parent.context())
    assert parent.runtime.containers() == []


def test_a_refusal_is_of_one_launch(parent: Parent) -> None:
    parent.others.append(Refusing(refuse_by_reason))
    get_job_launcher({**META, "job_id": "another"}, parent.context())
    parent.launch()
    assert parent.spec().name == parent.container


# --- what NVIDIA FLARE is told ---


def test_components_hear_of_every_change(parent: Parent) -> None:
    handle = parent.launch()
    parent.runtime.exit(parent.container, 0)
    handle.wait()
    until_sent(parent)
    assert [change.state for change in parent.recorder.changes] == ["created", "running", "exited"]
    assert parent.recorder.jobs == [JOB] * 3


def test_waiting_is_over_when_the_output_is_kept(parent: Parent) -> None:
    handle = parent.launch()
    assert handle.poll() == 127
    parent.runtime.write(parent.container, b"hello\n")
    parent.runtime.exit(parent.container, 0)
    handle.wait()
    assert handle.poll() == 0
    assert (parent.folder / JOB / "site-1.log").read_text() == "hello\n"


@pytest.mark.parametrize(
    ("exit_code", "written", "code"), [(137, "0", 0), (137, "None", 0), (137, "102", 102), (0, "101", 101)]
)
def test_what_a_job_has_written_down_counts(parent: Parent, exit_code: int, written: str, code: int) -> None:
    handle = parent.launch()
    (parent.folder / JOB / "_process_rc.txt").write_text(written)
    parent.runtime.exit(parent.container, exit_code)
    handle.wait()
    assert handle.poll() == code


@pytest.mark.parametrize(("exit_code", "oom_killed"), [(137, True), (139, False), (1, False)])
def test_a_success_that_a_job_has_written_down_is_none_if_it_then_fails(
    parent: Parent, exit_code: int, oom_killed: bool
) -> None:
    handle = parent.launch()
    (parent.folder / JOB / "_process_rc.txt").write_text("0")
    parent.runtime.exit(parent.container, exit_code, oom_killed)
    handle.wait()
    code = get_return_code(handle, JOB, str(parent.folder), logging.getLogger())  # what NVIDIA FLARE makes of it
    assert code == handle.poll() != 0


def test_what_an_earlier_run_has_written_down_does_not_count(parent: Parent) -> None:
    (parent.folder / JOB / "_process_rc.txt").write_text("0")
    handle = parent.launch()
    parent.runtime.exit(parent.container, 137)
    handle.wait()
    assert handle.poll() != 0


INFRASTRUCTURE_ERROR = getattr(ProcessExitCode, "INFRASTRUCTURE_ERROR", ProcessExitCode.EXCEPTION)


@pytest.mark.parametrize(
    ("result", "code"),
    [
        (None, 127),
        (JobResult(JobReturnCode.SUCCESS), 0),
        (JobResult(JobReturnCode.ABORTED), 9),
        (JobResult(JobReturnCode.UNSAFE_COMPONENT, exit_code=102, started_at=1.0), 102),
        (JobResult(JobReturnCode.EXECUTION_ERROR, exit_code=1, started_at=1.0), 101),
        (JobResult(JobReturnCode.EXECUTION_ERROR, exit_code=137, signal=9, started_at=1.0), INFRASTRUCTURE_ERROR),
        (JobResult(JobReturnCode.EXECUTION_ERROR, exit_code=1, oom_killed=True, started_at=1.0), INFRASTRUCTURE_ERROR),
        (JobResult(JobReturnCode.EXECUTION_ERROR, exit_code=127), INFRASTRUCTURE_ERROR),
        (JobResult(JobReturnCode.INFRASTRUCTURE_ERROR), INFRASTRUCTURE_ERROR),
    ],
)
def test_return_codes_are_plain_numbers_that_this_version_knows(result: JobResult | None, code: int) -> None:
    assert return_code_of(result) == code
    assert type(return_code_of(result)) is int


def test_a_failure_is_in_the_sites_log_with_the_last_lines(parent: Parent, caplog: pytest.LogCaptureFixture) -> None:
    handle = parent.launch()
    parent.runtime.write(parent.container, b"ValueError: no such data\n")
    parent.runtime.exit(parent.container, 1)
    handle.wait()
    assert "EXECUTION_ERROR exit code 1; its last output: ValueError: no such data" in caplog.text


def test_a_launch_that_fails_is_in_the_sites_log(parent: Parent, caplog: pytest.LogCaptureFixture) -> None:
    with pytest.raises(JobLaunchError):
        parent.launch(parent_url=("-p", "tcp://localhost:8102"))
    assert f"job {JOB}: not launched: the site listens for its jobs on localhost only" in caplog.text


def test_a_server_hears_of_a_clients_failure_at_once(parent: Parent) -> None:
    handle = parent.launch()
    parent.runtime.exit(parent.container, 3)
    handle.wait()
    reasons = [sent["message"].payload[JobFailureMsgKey.REASON] for sent in parent.sent]
    assert reasons == ([] if TELLS_FAILURES else ["exit code 3"])


@pytest.mark.parametrize("ends", ["well", "as it was asked to"])
def test_nobody_is_told_of_a_failure_that_is_none(parent: Parent, ends: str) -> None:
    handle = parent.launch()
    if ends == "well":
        parent.runtime.exit(parent.container, 0)
    else:
        handle.terminate()
    handle.wait()
    assert parent.sent == []


# --- keys that are missing ---

UNSIGNED = (
    "2026-11-29 13:27:31,839 - CoreCell - ERROR - [ME=site-1.:5555555 O=site-2.:5555555 D=site-1.:5555555] "
    "Error processing received message: InvalidSignature: \n"
)
REFUSED = f"unauthenticated msg (channel='credential_manager' topic='key_exchange') received from site-2.{JOB}: no name"


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(key_watch, "LOOK_INTERVAL", 0.01)


@pytest.mark.usefixtures("impatient")
def test_a_job_that_cannot_read_a_secure_message_is_ended_and_its_site_and_server_are_told_which_key_to_set(
    parent: Parent, caplog: pytest.LogCaptureFixture
) -> None:
    job = parent.launch()
    (parent.folder / JOB / "error_log.txt").write_text(UNSIGNED)
    job.wait()
    reason = "a secure message of site-2's job is not signed by the private key of that site"
    assert job.poll() == 103
    assert job.handle.result.ended_by.startswith(f"the site: {reason}")
    assert "'private_key'" in job.handle.result.error
    assert f"job {JOB}: {reason}" in caplog.text
    told = parent.sent[0]["message"].payload
    assert told[JobFailureMsgKey.REASON].startswith(reason)
    assert told[JobFailureMsgKey.CODE] == (103 if TELLS_FAILURES else ProcessExitCode.UNSAFE_COMPONENT)


@pytest.mark.parametrize("site", ["site-1", "server"])
def test_a_job_whose_secure_message_its_parent_refuses_is_ended_with_that_reason(tmp_path: Path, site: str) -> None:
    parent = Parent(tmp_path, site)
    parent.fire_event(EventType.SYSTEM_START, parent.context())
    job = parent.launch()
    logging.getLogger("nvflare.private.fed.server").error(REFUSED)
    job.wait()
    assert job.poll() == 103
    assert "'private_key'" in job.handle.result.error
    parent.close()


def test_what_its_parent_refuses_another_job_is_not_this_ones_trouble(parent: Parent) -> None:
    parent.fire_event(EventType.SYSTEM_START, parent.context())
    job = parent.launch()
    for other in ("22222222-2222-3333-4444-555555555556", "5", ""):
        logging.getLogger("nvflare").error(REFUSED.replace(JOB, other))
    parent.runtime.exit(parent.container, 0)
    job.wait()
    assert job.poll() == 0


def test_a_parent_has_its_image_before_any_job_where_the_kit_says_so(tmp_path: Path) -> None:
    parent = Parent(tmp_path, pull_policy="if-missing", prepull=True)
    parent.runtime.images, parent.runtime.registry = set(), {"job:1"}
    heard = Heard()
    parent.others.append(heard)
    parent.fire_event(EventType.SYSTEM_START, parent.context())
    assert heard.progress.get(timeout=TIMEOUT).image == "job:1"
    assert parent.runtime.images == {"job:1"}
    parent.close()


def test_a_parent_that_has_ended_hears_no_more_of_its_log(parent: Parent) -> None:
    before = list(logging.getLogger().handlers)
    parent.fire_event(EventType.SYSTEM_START, parent.context())
    parent.fire_event(EventType.SYSTEM_END, parent.context())
    assert logging.getLogger().handlers == before


def test_a_job_that_fails_by_itself_for_want_of_a_key_has_that_reason_in_its_result(parent: Parent) -> None:
    job = parent.launch()
    (parent.folder / JOB / "error_log.txt").write_text(UNSIGNED)
    parent.runtime.exit(parent.container, 1)
    job.wait()
    assert job.poll() == 101
    assert "'private_key'" in job.handle.result.reason
    assert "'private_key'" in parent.sent[0]["message"].payload[JobFailureMsgKey.REASON]


@pytest.mark.parametrize("has_key", [False, True])
def test_a_job_that_got_no_answer_from_another_client_is_told_what_may_be_missing_unless_it_is_not(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, has_key: bool
) -> None:
    parent = Parent(tmp_path, private_key=has_key)
    job = parent.launch()
    (tmp_path / JOB / "error_log.txt").write_text("bad response for learn request from client site-2: ERROR\n")
    parent.runtime.exit(parent.container, 0)
    job.wait()
    assert ("'private_key'" in caplog.text) is not has_key
    parent.close()


def test_an_end_in_an_output_is_told_where_a_site_has_its_jobs_write_no_other_log(
    parent: Parent, caplog: pytest.LogCaptureFixture
) -> None:
    job = parent.launch()
    parent.runtime.write(parent.container, UNSIGNED.encode())
    parent.runtime.exit(parent.container, 0)
    job.wait()
    assert job.poll() == 0
    assert "'private_key'" in caplog.text


# --- ending ---


def test_a_job_can_be_ended_any_number_of_times(parent: Parent) -> None:
    handle = parent.launch()
    assert [handle.terminate(), handle.terminate(), handle.poll()] == [9, 9, 9]


def test_an_end_that_is_asked_for_too_late_changes_nothing(parent: Parent) -> None:
    handle = parent.launch()
    parent.runtime.exit(parent.container, 0)
    handle.wait()
    assert handle.terminate() == 0


def test_the_sites_end_ends_its_jobs(parent: Parent) -> None:
    handle = parent.launch()
    parent.close()
    handle.wait()
    assert handle.handle.result.ended_by == "the site, which ends"
    assert parent.runtime.list_containers() == []


def test_a_job_of_a_dead_parent_is_ended_and_its_output_kept(parent: Parent, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING)
    parent.launch()
    parent.runtime.write(parent.container, b"half done\n")
    die(parent)
    again = Parent(parent.folder, runtime=parent.runtime)
    again.fire_event(EventType.SYSTEM_START, again.context())
    handle = again.recorder.recovered[JOB]
    assert handle.enter_states("exited", TIMEOUT)
    assert handle.wait_for_clean_up(TIMEOUT)
    assert f"job {JOB}: found again" in caplog.text
    until_sent(again)
    (told,) = (sent["message"].payload for sent in again.sent)
    assert told[JobFailureMsgKey.JOB_ID] == JOB
    assert told[JobFailureMsgKey.REASON] == "ended on the request of the site, which was started anew"
    assert told[JobFailureMsgKey.CODE] == (9 if TELLS_FAILURES else ProcessExitCode.UNSAFE_COMPONENT)
    assert (parent.folder / JOB / "site-1.log").read_text() == "half done\n"
    assert parent.runtime.list_containers() == []
    again.close()


def test_a_job_that_is_taken_up_again_runs_once_and_is_not_given_up(
    server: Parent, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(nvflare_launcher, "end_in_background", lambda *_: None)  # it is taken up before it is ended
    server.launch()
    die(server)
    again = Parent(server.folder, "server", runtime=server.runtime)
    again.job_manager.unfinished = [JOB]
    again.fire_event(EventType.SYSTEM_START, again.context())
    handle = again.launch()
    assert len(server.runtime.list_containers()) == 1
    server.runtime.exit(server.container, 0)
    handle.wait()
    assert handle.poll() == 0
    until_sent(again)
    assert again.job_manager.statuses == {}


@pytest.mark.parametrize(("known", "status"), [([JOB], "FINISHED:ABANDONED"), ([], None)])
def test_a_servers_job_that_nobody_takes_up_is_given_up(server: Parent, known: list[str], status: str | None) -> None:
    server.launch()
    die(server)
    again = Parent(server.folder, "server", runtime=server.runtime)
    again.job_manager.unfinished = known
    again.fire_event(EventType.SYSTEM_START, again.context())
    handle = again.recorder.recovered[JOB]
    assert handle.enter_states("exited", TIMEOUT)
    until_sent(again)
    assert again.job_manager.statuses.get(JOB) == status


def test_a_folder_that_no_parent_made_for_a_job_is_not_given_to_one(parent: Parent) -> None:
    shutil.rmtree(parent.folder / JOB)
    (parent.folder / JOB).mkdir()
    (parent.folder / JOB / "train.csv").write_text("mine")
    with pytest.raises(JobRejectedError, match="which NVIDIA FLARE did not make for a job"):
        parent.launch()
    assert [path.name for path in (parent.folder / JOB).iterdir()] == ["train.csv"]
    assert parent.runtime.containers() == []


@pytest.mark.parametrize("job_id", ["startup", "local", "transfer", ".flcore", "../site-2"])
def test_a_folder_of_the_kits_own_is_not_given_to_a_job(parent: Parent, job_id: str) -> None:
    with pytest.raises(JobRejectedError):
        parent.launcher.launch_job({**META, "job_id": job_id}, parent.context())
    assert parent.runtime.containers() == []


def until_sent(parent: Parent) -> None:
    """Return when all that a parent has to tell is told."""
    parent.launcher.launcher.close()


def die(parent: Parent) -> None:
    """Have a parent let go of all that it knows, as its death does, and of nothing that runs."""
    parent.launcher.launcher.close()


def test_a_state_that_is_no_end_has_no_code(parent: Parent) -> None:
    gone = ContainerState(parent.runtime.inspect("no-such").state)
    assert parent.launcher.launcher.end_of(parent.folder / JOB / "site-1.log", gone) == gone


# --- studies ---

STUDY_FILE = "local/study_runtime.yaml"
CARDIO = {"cardio": {"datasets": {"hearts": {"source": "/srv/hearts", "mode": "ro"}}}}


def write_studies(parent: Parent, studies: Any) -> None:
    (parent.folder / STUDY_FILE).write_text(json.dumps({"format_version": 2, "studies": studies}))  # it is YAML, too


def test_a_job_of_a_study_sees_what_the_kit_s_file_says(tmp_path: Path) -> None:
    data = tmp_path / "hearts"
    data.mkdir()
    parent = Parent(tmp_path / "kit")
    write_studies(parent, {"cardio": {"datasets": {"hearts": {"source": str(data), "mode": "ro"}}}})
    parent.fire_event(EventType.SYSTEM_START, parent.context())
    parent.launcher.launch_job({**META, "study": "cardio"}, parent.context())
    spec = parent.spec()
    assert ("/data/cardio/hearts", str(data)) in [(mount.target, mount.source) for mount in spec.mounts]
    assert spec.labels["flcore.study"] == "cardio"
    parent.close()


def test_a_study_that_cannot_be_had_is_told_at_the_start_and_no_job_is_launched(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    parent = Parent(tmp_path)
    write_studies(parent, {"cardio": {"slurm": {}}, "onco": {"pod_template": {}}})
    parent.fire_event(EventType.SYSTEM_START, parent.context())
    told = [line for line in caplog.messages if STUDY_FILE in line]
    assert [line.partition("studies.")[2].partition(":")[0] for line in told] == ["cardio.slurm", "onco.pod_template"]
    assert all(line.startswith("no job can be launched: ") for line in told)
    with pytest.raises(JobLaunchError, match=r"studies\.cardio\.slurm: jobs of this launcher are none of Slurm's"):
        parent.launcher.launch_job(META, parent.context())
    assert parent.runtime.containers() == []
    parent.close()


def test_a_job_s_study_may_have_the_only_image(tmp_path: Path) -> None:
    parent = Parent(tmp_path, image=None, studies={"cardio": {"image": "cardio:1"}})
    volunteers = []
    for study in ("cardio", "default"):
        fl_ctx = parent.context()
        fl_ctx.set_prop(FLContextKey.JOB_META, {**META, "study": study}, private=True, sticky=False)
        parent.fire_event(EventType.BEFORE_JOB_LAUNCH, fl_ctx)
        volunteers.append(fl_ctx.get_prop(OurContextKey.JOB_LAUNCHER) is not None)
    assert volunteers == [True, False]


def test_a_job_finds_its_parent_by_the_network_of_its_study(tmp_path: Path) -> None:
    parent = Parent(tmp_path, network="host", allow_insecure=["network"], studies={"cardio": {"network": "cardio-net"}})
    listening = {JobProcessArgs.PARENT_URL: ("-p", "tcp://localhost:8102")}
    with pytest.raises(JobLaunchError, match="which no container in the network cardio-net reaches"):
        parent.launcher.launch_job({**META, "study": "cardio"}, parent.context(**listening))
    everywhere = {JobProcessArgs.PARENT_URL: ("-p", "tcp://0.0.0.0:8102")}
    parent.launcher.launch_job({**META, "study": "cardio"}, parent.context(**everywhere))
    assert "tcp://flare-parent:8102" in parent.spec().command
    assert parent.spec().network == "cardio-net"
    assert parent.spec().hosts == {"flare-parent": THIS_PROCESS}
    parent.runtime.exit(parent.container, 0)
    parent.launcher.launch_job(META, parent.context(**everywhere))
    assert "tcp://localhost:8102" in parent.spec().command
    parent.close()
