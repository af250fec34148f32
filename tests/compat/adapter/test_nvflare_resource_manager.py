"""The resource manager, as a client of NVIDIA FLARE's asks it: by its own agent and processors, beside our launcher."""

from __future__ import annotations

import json
import logging
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from argparse import Namespace
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from nvflare.apis.event_type import EventType
from nvflare.apis.fl_component import FLComponent
from nvflare.apis.fl_constant import AdminCommandNames, FLContextKey, SystemComponents
from nvflare.apis.fl_context import FLContextManager
from nvflare.apis.resource_manager_spec import ResourceManagerSpec
from nvflare.apis.workspace import Workspace
from nvflare.fuel.sec.audit import AuditService
from nvflare.private.admin_defs import Message
from nvflare.private.defs import RequestHeader, SysCommandTopic, TrainingTopic, new_cell_message
from nvflare.private.event import fire_event
from nvflare.private.fed.app.fl_conf import FLClientStarterConfiger
from nvflare.private.fed.client.admin import FedAdminAgent
from nvflare.private.fed.client.client_engine_internal_spec import ClientEngineInternalSpec
from nvflare.private.fed.client.scheduler_cmds import (
    CancelResourceProcessor,
    CheckResourceProcessor,
    ReportResourcesProcessor,
    StartJobProcessor,
)
from nvflare.private.fed.utils.fed_utils import get_job_launcher
from nvflare.private.scheduler_constants import ShareableHeader

from flcore.errors import JobLaunchError, JobRejectedError
from launchers.nvflare_launcher import ClientDockerJobLauncher
from launchers.nvflare_resource_manager import FlareResourceManager
from launchers.records.gpu_leases import GpuLeases
from launchers.runtime.fake import FakeRuntime

ROOT = Path(__file__).parents[3]
SITE = "site-1"
SHORT, TIMEOUT = 0.05, 10.0
ONE_GPU = {"num_of_gpus": 1}
IDS = {name: f"00000000-0000-0000-0000-00000000000{name}" for name in "abcdef"}


def until(condition: Callable[[], object]) -> None:
    """Return when it holds, of what can only be asked."""
    deadline, pause = time.monotonic() + TIMEOUT, threading.Event()
    while not condition():
        assert time.monotonic() < deadline, "not in time"
        pause.wait(0.01)


class Cell:
    """Has what a client's agent listens by."""

    def register_request_cb(self, channel: str, topic: str, cb: Callable[[Any], Any]) -> None:
        self.ask = cb

    def fire_and_forget(self, **sent: Any) -> None:
        """Send nothing anywhere."""


class Client:
    """A client's parent: NVIDIA FLARE's agent and processors, with our components, in the workspace of a kit."""

    def __init__(self, folder: Path, manager: FlareResourceManager | None = None, **launcher_args: Any) -> None:
        for name in ("startup", "local"):
            (folder / name).mkdir(parents=True, exist_ok=True)
        for name in ("fed_client.json", "client.key", "rootCA.pem"):
            (folder / "startup" / name).write_text("{}")
        self.folder = folder
        self.runtime = FakeRuntime()
        given = {"image": "job:1", "network": "flare", "stop_grace": 0, "gpu_ids": ["0"], "runtime": self.runtime}
        self.launcher = ClientDockerJobLauncher(**{**given, **launcher_args})
        self.manager = manager or FlareResourceManager()
        self.contexts = FLContextManager(self, SITE)
        self.client = SimpleNamespace(cell=Cell())
        AuditService.initialize(str(folder / "audit.log"))
        agent = FedAdminAgent(SITE, self.client.cell, self)
        for kind in (CheckResourceProcessor, CancelResourceProcessor, StartJobProcessor, ReportResourcesProcessor):
            agent.register_processor(kind())

    def start(self, *others: FLComponent) -> Client:
        with self.new_context() as fl_ctx:
            workspace = Workspace(str(self.folder), SITE)
            fl_ctx.set_prop(FLContextKey.WORKSPACE_OBJECT, workspace, private=True, sticky=True)
        self.components = [self.manager, *others] if others else [self.manager, self.launcher]
        for event_type in (EventType.SYSTEM_BOOTSTRAP, EventType.SYSTEM_START):
            self.fire_event(event_type, self.new_context())
        return self

    def close(self) -> None:
        self.fire_event(EventType.SYSTEM_END, self.new_context())

    # What NVIDIA FLARE's own parts call.

    def new_context(self) -> Any:
        return self.contexts.new_context()

    def fire_event(self, event_type: str, fl_ctx: Any) -> None:
        fire_event(event_type, self.components, fl_ctx)

    def get_component(self, name: str) -> FlareResourceManager:
        assert name == SystemComponents.RESOURCE_MANAGER  # there is none that consumes resources
        return self.manager

    def start_app(self, job_id: str, job_meta: Any, **_: Any) -> str:
        (self.folder / job_id / f"app_{SITE}").mkdir(parents=True, exist_ok=True)
        fl_ctx = self.new_context()
        job_args = {"exe_module": ("-m", "work"), "parent_url": ("-p", "tcp://0.0.0.0:8102")}
        fl_ctx.set_prop(FLContextKey.JOB_PROCESS_ARGS, job_args, private=True, sticky=False)
        get_job_launcher(job_meta, fl_ctx).launch_job(job_meta, fl_ctx)
        return ""

    # What a server sends.

    def check(self, job: str, requirement: Any = ONE_GPU, **meta: Any) -> tuple[bool, str]:
        job_meta = self.meta(job, requirement, **meta)
        headers = {RequestHeader.ADMIN_COMMAND: AdminCommandNames.CHECK_RESOURCES, RequestHeader.JOB_META: job_meta}
        result = self._ask(TrainingTopic.CHECK_RESOURCE, requirement, job, headers)
        reason_or_token: str = result.get_header(ShareableHeader.RESOURCE_RESERVE_TOKEN)
        return result.get_header(ShareableHeader.IS_RESOURCE_ENOUGH), reason_or_token

    def reserve(self, job: str, requirement: Any = ONE_GPU, **meta: Any) -> str:
        is_enough, token = self.check(job, requirement, **meta)
        assert is_enough, token
        return token

    def begin(self, job: str, token: Any, requirement: Any = ONE_GPU, **meta: Any) -> str:
        """Have a job started, and return what the server is told."""
        job_meta = self.meta(job, requirement, **meta)
        headers = {ShareableHeader.RESOURCE_RESERVE_TOKEN: token, RequestHeader.JOB_META: job_meta}
        return str(self._ask(TrainingTopic.START_JOB, requirement, job, headers))

    def cancel(self, token: Any) -> Any:
        headers = {ShareableHeader.RESOURCE_RESERVE_TOKEN: token}
        return self._ask(TrainingTopic.CANCEL_RESOURCE, ONE_GPU, "a", headers).get_return_code()

    def report(self) -> Any:
        return json.loads(self._ask(SysCommandTopic.REPORT_RESOURCES, None, "a", {}))

    def meta(self, job: str, requirement: Any, **more: Any) -> dict[str, Any]:
        return {
            "job_id": IDS[job],
            "deploy_map": {"app": ["@ALL"]},
            "resource_spec": {SITE: requirement},
            **more,
        }

    def _ask(self, topic: str, body: Any, job: str, headers: Mapping[str, Any]) -> Any:
        message = Message(topic, body)
        for name, value in {RequestHeader.JOB_ID: IDS[job], **headers}.items():
            message.set_header(name, value)
        return self.client.cell.ask(new_cell_message({}, message)).payload.body

    # What can be seen, and done.

    def gpus(self, job: str) -> tuple[str, ...]:
        gpu_ids: tuple[str, ...] = self.runtime.container(f"{SITE}-{IDS[job]}").spec.gpu_ids
        return gpu_ids

    def end(self, job: str) -> None:
        self.runtime.exit(f"{SITE}-{IDS[job]}")
        until(
            lambda: IDS[job] not in self.report()["jobs"] and f"job {IDS[job]} of {SITE}" not in self.holders().values()
        )

    def holders(self) -> dict[str, str]:
        return GpuLeases(self.folder / ".flcore/gpus", list).holders()


ClientEngineInternalSpec.register(Client)  # so that the processors take it for one, though they call nothing more of it


def held_by(job: str) -> dict[str, str]:
    return {"0": f"job {IDS[job]} of {SITE}"}


@pytest.fixture
def client(tmp_path: Path) -> Iterator[Client]:
    client = Client(tmp_path).start()
    yield client
    client.close()


# --- as NVIDIA FLARE takes it ---


def test_it_is_a_resource_manager_that_hears_events() -> None:
    assert isinstance(FlareResourceManager(), ResourceManagerSpec)
    assert isinstance(FlareResourceManager(), FLComponent)


def test_making_one_needs_no_docker_sdk_engine_or_disk() -> None:
    code = (
        "import sys; sys.modules['docker'] = None; "  # which makes its import fail
        "from launchers.nvflare_resource_manager import FlareResourceManager; FlareResourceManager()"
    )
    broken = {"DOCKER_HOST": "tcp://no.such.host.invalid:1"}
    made = subprocess.run([sys.executable, "-c", code], env=broken, cwd="/proc", capture_output=True, check=False)
    assert (made.returncode, made.stderr) == (0, b"")


def test_wrong_arguments_are_all_told_at_once() -> None:
    with pytest.raises(ValueError, match=r"max_jobs must be a whole number(.|\n)*expiration_period must be"):
        FlareResourceManager(max_jobs=0, expiration_period=0)


def configured(folder: Path, *managers: str) -> FLClientStarterConfiger:
    """Return what reads the kit of a client that has our file, and these managers in its resources.json."""
    (folder / "startup").mkdir()
    (folder / "local").mkdir()
    servers = [{"name": "s", "service": {"scheme": "grpc", "target": "server:8002"}}]
    (folder / "startup/fed_client.json").write_text(json.dumps({"format_version": 2, "client": {}, "servers": servers}))
    components = [{"id": "resource_manager", "path": path, "args": {"resources": {}}} for path in managers]
    (folder / "local/resources.json").write_text(json.dumps({"format_version": 2, "components": components}))
    shutil.copy(ROOT / "launchers/flare/templates/client__p_resources.json", folder / "local")
    args = Namespace(workspace=str(folder), job_id=None, set=[])
    configer = FLClientStarterConfiger(Workspace(str(folder), SITE), args, [f"uid={SITE}", "secure_train=false"])
    configer.configure()
    return configer


def test_a_parent_builds_the_manager_of_our_file(tmp_path: Path) -> None:
    manager = configured(tmp_path).components["resource_manager"]
    assert isinstance(manager, FlareResourceManager)
    assert manager.max_jobs is None


def test_a_parent_with_another_manager_in_its_kit_does_not_start(tmp_path: Path) -> None:
    with pytest.raises(Exception, match='duplicate component id "resource_manager"'):
        configured(tmp_path, "nvflare.app_common.resource_managers.list_resource_manager.ListResourceManager")


# --- a job's way ---


def test_two_jobs_that_want_the_one_gpu_get_it_one_after_the_other(client: Client) -> None:
    first = client.reserve("a")
    assert client.begin("a", first) == "OK"
    assert client.gpus("a") == ("0",)
    assert client.check("b")[0] is False
    client.end("a")
    assert client.begin("b", client.reserve("b")) == "OK"
    assert client.gpus("b") == ("0",)
    client.end("b")
    assert client.holders() == {}


def test_what_is_reserved_is_leased_and_the_launch_takes_that_very_lease(client: Client) -> None:
    token = client.reserve("a")
    assert client.holders() == held_by("a")
    assert client.check("b")[0] is False
    client.begin("a", token)
    assert client.holders() == held_by("a")


def test_who_is_put_off_is_told_why_and_the_sites_log_says_who_has_the_gpus(
    client: Client, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    client.reserve("a")
    reason = f"job {IDS['b']}: too few of the site's GPUs are free; its log says which jobs have them"
    assert client.check("b") == (False, reason)
    assert f"it asks for 1; 0 of 1 GPUs are free; 0: job {IDS['a']} of {SITE}" in caplog.text


def test_the_site_takes_no_more_jobs_than_it_says(tmp_path: Path) -> None:
    client = Client(tmp_path, FlareResourceManager(max_jobs=1)).start()
    assert client.begin("a", client.reserve("a", {}), {}) == "OK"
    assert client.check("b", {}) == (False, f"job {IDS['b']}: 1 of the site's 1 places are taken ('max_jobs')")
    client.end("a")
    client.reserve("b", {})
    client.close()


def test_a_job_without_gpus_is_not_put_off_by_one_that_has_them_all(client: Client) -> None:
    client.reserve("a")
    assert client.begin("b", client.reserve("b", {}), {}) == "OK"
    assert client.gpus("b") == ()


def test_nothing_is_for_the_kits_resource_consumer_to_consume(client: Client) -> None:
    assert client.manager.allocate_resources(ONE_GPU, client.reserve("a"), client.new_context()) == {}


def test_a_job_that_is_checked_again_keeps_its_gpus(client: Client) -> None:
    client.reserve("a")
    assert client.begin("a", client.reserve("a")) == "OK"
    assert client.gpus("a") == ("0",)


# --- what a job asks for ---


def test_gpus_that_a_job_asks_for_of_the_launcher_are_reserved_too(client: Client) -> None:
    client.reserve("a", {}, launcher_spec={SITE: {"docker": ONE_GPU}})
    assert client.holders() == held_by("a")


def test_gpus_that_the_site_gives_each_job_are_reserved_too(tmp_path: Path) -> None:
    client = Client(tmp_path, defaults=ONE_GPU).start()
    client.reserve("a", {})
    assert client.holders() == held_by("a")
    client.close()


def test_without_the_whole_metadata_what_nvidia_flare_asks_for_is_reserved(client: Client) -> None:
    with client.new_context() as fl_ctx:
        fl_ctx.set_prop(FLContextKey.CURRENT_JOB_ID, IDS["a"], private=True, sticky=False)
        assert client.manager.check_resources(ONE_GPU, fl_ctx)[0]
    assert client.holders() == held_by("a")


def test_another_jobs_metadata_is_not_taken_for_this_ones(client: Client) -> None:
    with client.new_context() as fl_ctx:
        items = {FLContextKey.JOB_META: client.meta("b", {})}
        fl_ctx.set_prop(FLContextKey.SECURITY_ITEMS, items, private=True, sticky=False)
        client.fire_event(EventType.AUTHORIZE_COMMAND_CHECK, fl_ctx)
        fl_ctx.set_prop(FLContextKey.CURRENT_JOB_ID, IDS["a"], private=True, sticky=False)
        client.manager.check_resources(ONE_GPU, fl_ctx)
    assert client.holders() == held_by("a")


@pytest.mark.parametrize(
    ("requirement", "reason"),
    [
        ({"num_of_gpus": 2}, "num_of_gpus: more than the 1 GPUs of this site ('gpu_ids'), got 2"),
        ({"num_of_gpus": "one"}, "num_of_gpus: must be a number of GPUs, got 'one'"),
        (
            {"num_of_gpus": 1, "mem_per_gpu_in_GiB": 4},
            "mem_per_gpu_in_GiB: this site does not say how much its GPUs have ('gpu_memory'), got 4",
        ),
    ],
    ids=["too-many", "no-number", "memory"],
)
def test_what_the_site_will_never_give_is_refused_with_the_reason(
    client: Client, requirement: dict[str, Any], reason: str
) -> None:
    assert client.check("a", requirement) == (False, f"job {IDS['a']}: resource_spec.{SITE}.{reason}")
    assert client.holders() == {}


def test_a_gpus_memory_is_judged_by_what_the_site_says(tmp_path: Path) -> None:
    client = Client(tmp_path, gpu_memory="16Gi").start()
    assert client.check("a", {"num_of_gpus": 1, "mem_per_gpu_in_GiB": 16})[0]
    assert "more than this site's GPUs have" in client.check("b", {"num_of_gpus": 1, "mem_per_gpu_in_GiB": 17})[1]
    client.close()


def test_what_else_the_site_refuses_the_launch_says_at_once(client: Client) -> None:
    wrong = {"launcher_spec": {SITE: {"docker": {"image": "other:1"}}}}
    told = client.begin("a", client.reserve("a", **wrong), **wrong)
    assert "image: is not on the list of site site-1" in told
    assert client.holders() == {}


def test_a_job_without_a_right_id_is_refused(client: Client) -> None:
    is_enough, reason = client.manager.check_resources({}, client.new_context())
    assert (is_enough, reason.split(":")[0]) == (False, "job_id")


# --- tokens ---


def test_a_cancelled_token_gives_the_gpus_back_and_may_be_cancelled_twice(client: Client) -> None:
    token = client.reserve("a")
    assert [client.cancel(token), client.cancel(token)] == [client.cancel("nonsense")] * 2
    assert client.holders() == {}
    client.reserve("b")


def test_a_token_that_was_cancelled_late_is_not_that_of_the_next_check(client: Client) -> None:
    earlier = client.reserve("a")
    client.reserve("a")
    client.cancel(earlier)
    assert client.holders() == held_by("a")


def test_a_token_that_is_not_used_expires_and_the_gpus_are_free(tmp_path: Path) -> None:
    client = Client(tmp_path, FlareResourceManager(expiration_period=SHORT)).start()
    client.reserve("a")
    until(lambda: not client.holders())
    client.close()


def test_an_expired_token_is_good_as_long_as_there_is_room(tmp_path: Path) -> None:
    client = Client(tmp_path, FlareResourceManager(expiration_period=SHORT)).start()
    token = client.reserve("a")
    until(lambda: not client.holders())
    assert client.begin("a", token) == "OK"
    assert client.gpus("a") == ("0",)
    client.close()


def test_an_expired_token_whose_gpus_another_job_has_starts_nothing_and_says_so(tmp_path: Path) -> None:
    client = Client(tmp_path, FlareResourceManager(expiration_period=SHORT)).start()
    token = client.reserve("a")
    until(lambda: not client.holders())
    client.begin("b", client.reserve("b"))
    assert "NoGpuError: " in client.begin("a", token)
    assert client.holders() == held_by("b")
    client.close()


def test_a_cancelled_token_is_good_as_long_as_there_is_room(client: Client) -> None:
    token = client.reserve("a")
    client.cancel(token)
    assert client.begin("a", token) == "OK"


@pytest.mark.parametrize("token", ["", None, "2d1a4c5e", 17], ids=["empty", "none", "anothers", "number"])
def test_a_token_of_another_manager_starts_nothing_and_says_so(client: Client, token: Any) -> None:
    assert f"the token {token!r} was given by another resource manager" in client.begin("a", token)
    assert client.runtime.containers() == []


def test_a_token_is_cancelled_after_its_allocation_if_its_launch_has_not_begun(client: Client) -> None:
    token = client.reserve("a")
    client.manager.allocate_resources(ONE_GPU, token, client.new_context())
    assert client.holders() == held_by("a")
    client.cancel(token)
    assert client.holders() == {}


def test_a_token_is_worth_nothing_any_more_when_its_job_runs(client: Client) -> None:
    token = client.reserve("a")
    client.begin("a", token)
    client.cancel(token)
    client.manager.free_resources({}, token, client.new_context())
    client.manager.free_resources({}, token, client.new_context())
    assert client.holders() == held_by("a")


def test_a_launch_that_never_comes_after_the_allocation_frees_the_gpus_in_time(tmp_path: Path) -> None:
    client = Client(tmp_path, FlareResourceManager(expiration_period=SHORT)).start()
    client.manager.allocate_resources(ONE_GPU, client.reserve("a"), client.new_context())
    until(lambda: not client.holders())
    client.close()


def test_a_launch_that_fails_frees_the_gpus_at_once(client: Client) -> None:
    client.runtime.images = set()
    assert "ImageError: " in client.begin("a", client.reserve("a"))
    assert client.holders() == {}


class Refuser(FLComponent):  # type: ignore[misc]  # its base is of a package without types
    """Refuses each launch."""

    def handle_event(self, event_type: str, fl_ctx: Any) -> None:
        if event_type == EventType.BEFORE_JOB_LAUNCH:
            raise JobRejectedError("not today")


def test_a_launch_that_another_component_refuses_frees_the_gpus_at_once(client: Client) -> None:
    client.components.append(Refuser())
    assert "not today" in client.begin("a", client.reserve("a"))
    assert client.holders() == {}


def test_clients_of_one_host_that_share_its_gpus_put_jobs_off_for_each_other(tmp_path: Path) -> None:
    one, other = (Client(tmp_path / name, gpu_lease_dir=str(tmp_path / "gpus")).start() for name in ("one", "other"))
    token = one.reserve("a")
    assert other.check("b")[0] is False
    one.cancel(token)
    assert other.check("b")[0]
    assert one.begin("a", token).endswith(f"0 of 1 GPUs are free; 0: job {IDS['b']} of {SITE}.")
    other.close()
    assert one.begin("a", token) == "OK"
    one.close()


def test_threads_that_ask_at_once_never_get_one_gpu_twice(tmp_path: Path) -> None:
    client = Client(tmp_path, gpu_ids=["0", "1", "2"]).start()
    with ThreadPoolExecutor(len(IDS)) as pool:
        answers = list(pool.map(client.check, IDS))
    assert sum(is_enough for is_enough, _ in answers) == 3
    with ThreadPoolExecutor(len(IDS)) as pool:
        given = [job for job, (is_enough, _) in zip(IDS, answers, strict=True) if is_enough]
        told = list(pool.map(client.begin, given, [token for is_enough, token in answers if is_enough]))
    assert told == ["OK"] * 3
    assert sorted(client.gpus(job) for job in given) == [("0",), ("1",), ("2",)]
    client.close()


# --- a parent's lives ---


PARENT = """
import signal, sys
from pathlib import Path
sys.path.insert(0, sys.argv[2])
from tests.compat.adapter.test_nvflare_resource_manager import Client
client = Client(Path(sys.argv[1])).start()
token = client.reserve("a")
if len(sys.argv) > 3:
    client.begin("a", token)
print(token, flush=True)
signal.pause()
"""


def killed_parent(folder: Path, *more: str) -> str:
    """Have a parent that is killed reserve the GPU, and return its token."""
    command = [sys.executable, "-c", PARENT, str(folder), str(ROOT), *more]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT) as process:
        assert process.stdout
        token = process.stdout.readline().strip()
        os.kill(process.pid, signal.SIGKILL)
    assert token
    return token


def test_what_a_killed_parent_has_reserved_is_free(tmp_path: Path) -> None:
    killed_parent(tmp_path)
    client = Client(tmp_path).start()
    assert client.holders() == {}
    assert client.begin("b", client.reserve("b")) == "OK"
    client.close()


def test_a_token_of_a_killed_parent_is_good_as_long_as_there_is_room(tmp_path: Path) -> None:
    token = killed_parent(tmp_path)
    client = Client(tmp_path).start()
    assert client.begin("a", token) == "OK"
    assert client.holders() == held_by("a")
    client.close()


def test_a_job_of_a_killed_parent_has_its_gpu_until_nothing_is_left_of_it(tmp_path: Path) -> None:
    killed_parent(tmp_path, "launched")
    client = Client(tmp_path)
    assert client.holders() == held_by("a")
    client.runtime.reachable = False
    client.start()  # which cannot find the job again now
    assert client.check("b")[0] is False
    client.runtime.reachable = True
    until(lambda: client.check("b")[0])
    assert client.begin("b", client.reserve("b")) == "OK"
    client.close()


def test_the_sites_end_gives_back_what_is_reserved_and_its_next_start_reserves_again(client: Client) -> None:
    client.reserve("a")
    client.close()
    assert client.holders() == {}
    assert client.check("a")[1].endswith("the site is closed")
    client.start()
    client.reserve("a")


def test_before_the_start_no_job_is_taken(tmp_path: Path) -> None:
    client = Client(tmp_path)
    client.components = [client.launcher, client.manager]
    client.fire_event(EventType.SYSTEM_BOOTSTRAP, client.new_context())
    assert client.check("a", {})[1].endswith("the site is being started, or ends")


def test_alone_it_says_so_at_the_start_and_takes_no_job(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    client = Client(tmp_path)
    client.start(FLComponent())
    alone = "resource_manager: the site has no launcher of launchers.nvflare_launcher"
    assert [record.getMessage()[: len(alone)] for record in caplog.records if record.levelname == "ERROR"] == [alone]
    assert client.check("a")[1].startswith(alone)
    assert client.report()["error"].startswith(alone)
    with pytest.raises(JobLaunchError, match=alone):
        client.manager.allocate_resources({}, "a:b", client.new_context())


def test_beside_a_launcher_it_says_nothing_at_the_start(client: Client, caplog: pytest.LogCaptureFixture) -> None:
    assert caplog.records == []


# --- the console ---


def test_the_console_is_told_what_there_is(client: Client) -> None:
    client.begin("a", client.reserve("a", {}), {})
    client.reserve("b")
    assert client.report() == {
        "gpus": 1,
        "free_gpus": 0,
        "max_jobs": None,
        "jobs": [IDS["a"]],
        "reserved": [IDS["b"]],
    }


# --- studies ---

TWO_GPUS = {"num_of_gpus": 2}


@pytest.fixture
def of_studies(tmp_path: Path) -> Iterator[Client]:
    studies = {"cardio": {"limits": {"num_of_gpus": 1}}, "onco": {}}
    client = Client(tmp_path, gpu_ids=["0", "1"], studies=studies, study_required=True).start()
    yield client
    client.close()


def test_a_job_gets_no_more_gpus_than_its_study_allows(of_studies: Client) -> None:
    is_enough, why = of_studies.check("a", TWO_GPUS, study="cardio")
    assert not is_enough
    assert "more than the site's limit of 1 ('studies.cardio.limits')" in why
    assert of_studies.check("b", TWO_GPUS, study="onco")[0]


@pytest.mark.parametrize("study", [{}, {"study": "neuro"}], ids=["none", "not-listed"])
def test_a_job_whose_study_is_refused_is_so_at_its_launch_and_not_put_off_for_ever(
    of_studies: Client, study: dict[str, str]
) -> None:
    token = of_studies.reserve("a", ONE_GPU, **study)
    assert "JobRejectedError" in of_studies.begin("a", token, ONE_GPU, **study)
    assert of_studies.runtime.containers() == []
