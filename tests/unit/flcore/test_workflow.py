"""Workflow and JobWorkflow: one job on all its sites, whatever happens to them."""

import json
import logging
import signal
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from flcore import (
    EventType,
    FLComponent,
    FLContext,
    FLContextKey,
    JobHandleSpec,
    JobLauncherSpec,
    JobResult,
    JobReturnCode,
    JobStateChange,
    JobWorkflow,
    Site,
    Workflow,
    add_launcher,
)
from flcore.errors import ConfigError, TerminateTimeout
from flcore.submitted_job import SubmittedJob
from flcore.testing import EventRecorder
from launchers.container_spec import ContainerSpec
from launchers.docker_launcher import ClientDockerJobLauncher, ServerDockerJobLauncher
from launchers.runtime.fake import FakeRuntime
from tests.conftest import PlainHandle

NAMES = ["server", "site-1", "site-2"]
ABORTED, SUCCESS, FAILED = JobReturnCode.ABORTED, JobReturnCode.SUCCESS, JobReturnCode.EXECUTION_ERROR


class Federation(FLComponent):
    """Three sites in one fake runtime, and what happens to their containers.

    ``exits``: with what exit code a site's container ends as soon as it runs; where none, it runs on.
    ``when``: what happens when a site's container is "running" or "ended": the exit codes of others.
    Sites are launched in their order, so all run when site-2 does.
    """

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self.runtime = FakeRuntime()
        self.recorder = EventRecorder()
        self.exits: dict[str, int] = {}
        self.when: dict[tuple[str, str], dict[str, int]] = {}
        self.specs: dict[str, ContainerSpec] = {}
        self.sites = {name: self._site(name, folder) for name in NAMES}

    def handle_event(self, event_type: str, fl_ctx: FLContext) -> None:
        site, job_id = fl_ctx.get_identity_name(), fl_ctx.get_job_id()
        if event_type == EventType.JOB_STATE_CHANGED and JobStateChange.of(fl_ctx).state == "running":
            self.specs[site] = self.runtime.container(f"{site}-{job_id}").spec
            own = {site: self.exits[site]} if site in self.exits else {}
            self._exit(job_id, own | self.when.get((site, "running"), {}))
        if event_type == EventType.JOB_COMPLETED:
            self._exit(job_id, self.when.get((site, "ended"), {}))

    def _exit(self, job_id: str, exits: dict[str, int]) -> None:
        for site, exit_code in exits.items():
            self.runtime.exit(f"{site}-{job_id}", exit_code)

    def _site(self, name: str, folder: Path) -> Site:
        kind = ServerDockerJobLauncher if name == "server" else ClientDockerJobLauncher
        launcher = kind(image="job:1", images=["job:*"], runtime=self.runtime)
        return Site(name, {"launcher": launcher, "outside": self, "recorder": self.recorder}, folder / name)


@pytest.fixture
def federation(tmp_path: Path) -> Iterator[Federation]:
    federation = Federation(tmp_path)
    yield federation
    for site in federation.sites.values():
        site.close()


@pytest.fixture
def make_workflow(federation: Federation, tmp_path: Path) -> Callable[..., JobWorkflow]:
    """Return a function that makes the workflow of a job with this metadata, on all three sites."""

    def make(finish_grace: float = 30.0, cls: type[JobWorkflow] = JobWorkflow, **meta: Any) -> JobWorkflow:
        job = write_job(tmp_path / "job", meta)
        return cls(job, list(federation.sites.values()), "j1", finish_grace)

    return make


def write_job(folder: Path, meta: dict[str, Any], *apps: str) -> SubmittedJob:
    for app in ("app", *apps):
        (folder / app).mkdir(parents=True)
        (folder / app / "which.txt").write_text(app)
    (folder / "meta.json").write_text(json.dumps({"deploy_map": {"app": NAMES}, **meta}))
    return SubmittedJob.read(folder)


def codes(results: dict[str, JobResult]) -> list[JobReturnCode]:
    return [results[name].return_code for name in NAMES]


# --- workflows of any kind ---


class Sum(Workflow):
    def __init__(self, error: Exception | None = None) -> None:
        super().__init__()
        self.error = error

    def control_flow(self) -> int:
        if self.error:
            raise self.error
        return 1 + 1


def test_a_workflow_gives_what_its_control_flow_gave(federation: Federation) -> None:
    assert Sum().run_in(federation.sites["server"]) == 2


def test_start_and_end_of_a_workflow_are_events_that_name_it(federation: Federation) -> None:
    seen: list[tuple[str, object]] = []

    class Noting(FLComponent):
        def handle_event(self, event_type: str, fl_ctx: FLContext) -> None:
            seen.append((event_type, fl_ctx.get_prop(FLContextKey.WORKFLOW)))

    federation.sites["server"].add_component("noting", Noting())
    Sum().run_in(federation.sites["server"])
    assert seen == [(EventType.START_WORKFLOW, "Sum"), (EventType.END_WORKFLOW, "Sum")]


def test_the_end_of_a_workflow_is_fired_even_if_it_raised(federation: Federation) -> None:
    with pytest.raises(KeyError):
        Sum(KeyError()).run_in(federation.sites["server"])
    assert federation.recorder.event_types == [EventType.START_WORKFLOW, EventType.END_WORKFLOW]


# --- who takes part ---


def test_the_server_comes_first_then_the_clients(make_workflow: Callable[..., JobWorkflow]) -> None:
    assert [site.name for site in make_workflow().sites] == NAMES


def test_sites_that_the_job_does_not_name_take_no_part(make_workflow: Callable[..., JobWorkflow]) -> None:
    workflow = make_workflow(deploy_map={"app": ["site-2", "server"]})
    assert [site.name for site in workflow.sites] == ["server", "site-2"]


@pytest.mark.parametrize("entry", ["@ALL", {"sites": ["@ALL"]}])
def test_all_sites_take_part_in_a_job_for_all(make_workflow: Callable[..., JobWorkflow], entry: Any) -> None:
    assert [site.name for site in make_workflow(deploy_map={"app": [entry]}).sites] == NAMES


def test_sites_that_are_not_given_are_left_out(make_workflow: Callable[..., JobWorkflow]) -> None:
    workflow = make_workflow(deploy_map={"app": [*NAMES, "site-4", "site-3"]})
    assert ([site.name for site in workflow.sites], workflow.left_out) == (NAMES, ("site-4", "site-3"))


def test_a_job_needs_a_site_that_is_given(make_workflow: Callable[..., JobWorkflow]) -> None:
    with pytest.raises(ConfigError, match="none of its sites is given: the deploy_map names site 'site-3'; given: "):
        make_workflow(deploy_map={"app": ["site-3"]})


def test_each_site_gets_its_own_app(federation: Federation, tmp_path: Path) -> None:
    federation.exits = dict.fromkeys(NAMES, 0)
    job = write_job(tmp_path / "job", {"deploy_map": {"app": ["server"], "net": ["@ALL"]}}, "net")
    JobWorkflow(job, list(federation.sites.values()), "j1").run()
    apps = [Path(site.workspace.get_app_dir("j1"), "which.txt").read_text() for site in federation.sites.values()]
    assert apps == ["app", "net", "net"]


def test_the_metadata_that_a_site_gets_names_the_run_and_its_clients(
    federation: Federation, make_workflow: Callable[..., JobWorkflow]
) -> None:
    federation.exits = dict.fromkeys(NAMES, 0)
    make_workflow(name="digits", job_id="of-the-submitter").run()
    meta = json.loads(Path(federation.sites["site-1"].workspace.get_run_dir("j1"), "meta.json").read_text())
    assert (meta["name"], meta["job_id"], meta["job_clients"]) == ("digits", "j1", ["site-1", "site-2"])


# --- how it ends ---


def test_a_job_that_goes_well_succeeds_at_every_site(
    federation: Federation, make_workflow: Callable[..., JobWorkflow]
) -> None:
    federation.exits = dict.fromkeys(NAMES, 0)
    results = make_workflow().run()
    assert list(results) == NAMES
    assert codes(results) == [SUCCESS] * 3


def test_if_the_server_fails_the_rest_is_ended(
    federation: Federation, make_workflow: Callable[..., JobWorkflow]
) -> None:
    federation.exits = {"server": 3}
    results = make_workflow().run()
    assert codes(results) == [FAILED, ABORTED, ABORTED]
    assert results["server"].exit_code == 3
    assert {results[site].ended_by for site in NAMES[1:]} == {"the workflow, because the server failed"}


def test_if_too_few_clients_can_finish_all_are_ended(
    federation: Federation, make_workflow: Callable[..., JobWorkflow]
) -> None:
    federation.exits = {"site-1": 1}
    results = make_workflow().run()
    assert codes(results) == [ABORTED, FAILED, ABORTED]
    assert results["server"].ended_by == "the workflow, because fewer than 2 clients can finish"


def test_a_client_that_fails_is_no_reason_to_end_if_enough_are_left(
    federation: Federation, make_workflow: Callable[..., JobWorkflow]
) -> None:
    federation.when = {
        ("site-2", "running"): {"site-1": 1},
        ("site-1", "ended"): {"site-2": 0},
        ("site-2", "ended"): {"server": 0},
    }
    assert codes(make_workflow(min_clients=1).run()) == [SUCCESS, FAILED, SUCCESS]


def test_if_a_mandatory_client_fails_all_are_ended(
    federation: Federation, make_workflow: Callable[..., JobWorkflow]
) -> None:
    federation.exits = {"site-1": 1}
    results = make_workflow(min_clients=1, mandatory_clients=["site-1"]).run()
    assert codes(results) == [ABORTED, FAILED, ABORTED]
    assert results["server"].ended_by == "the workflow, because the mandatory client site-1 failed"


def test_with_min_clients_0_the_server_goes_on_alone(
    federation: Federation, make_workflow: Callable[..., JobWorkflow]
) -> None:
    federation.exits = {"site-1": 1, "site-2": 1}
    federation.when = {("site-2", "ended"): {"server": 0}}
    assert codes(make_workflow(min_clients=0).run()) == [SUCCESS, FAILED, FAILED]


def test_clients_have_time_to_end_after_the_server_has_succeeded(
    federation: Federation, make_workflow: Callable[..., JobWorkflow]
) -> None:
    federation.when = {
        ("site-2", "running"): {"server": 0},
        ("server", "ended"): {"site-1": 0},
        ("site-1", "ended"): {"site-2": 0},
    }
    assert codes(make_workflow().run()) == [SUCCESS] * 3


def test_clients_that_do_not_end_in_their_grace_are_ended(
    federation: Federation, make_workflow: Callable[..., JobWorkflow]
) -> None:
    federation.exits = {"server": 0, "site-1": 0}
    results = make_workflow(finish_grace=0.05).run()
    assert codes(results) == [SUCCESS, SUCCESS, ABORTED]
    assert results["site-2"].ended_by == "the workflow, because the server has finished"


def test_the_workflow_leaves_the_sites_as_they_were(
    federation: Federation, make_workflow: Callable[..., JobWorkflow]
) -> None:
    federation.exits = dict.fromkeys(NAMES, 0)
    make_workflow().run()
    assert all(list(site.components()) == ["launcher", "outside", "recorder"] for site in federation.sites.values())


def test_jobs_of_other_workflows_at_the_same_sites_are_none_of_its_business(
    federation: Federation, tmp_path: Path
) -> None:
    federation.exits = dict.fromkeys(NAMES, 0)
    job, sites = write_job(tmp_path / "job", {}), list(federation.sites.values())
    workflows = [JobWorkflow(job, sites, job_id) for job_id in ("j1", "j2", "j3", "j4")]
    with ThreadPoolExecutor(4) as pool:
        results = list(pool.map(JobWorkflow.run, workflows))
    assert [codes(result) for result in results] == [[SUCCESS] * 3] * 4


# --- without a server, and without clients ---

CLIENTS = {"app": ["site-1", "site-2"]}


def test_a_job_without_a_server_has_the_results_of_its_clients(
    federation: Federation, make_workflow: Callable[..., JobWorkflow]
) -> None:
    federation.exits = dict.fromkeys(NAMES, 0)
    results = make_workflow(deploy_map=CLIENTS).run()
    assert {site: result.return_code for site, result in results.items()} == {"site-1": SUCCESS, "site-2": SUCCESS}
    assert federation.specs.keys() == {"site-1", "site-2"}


def test_without_a_server_a_client_that_fails_is_no_reason_to_end_another(
    federation: Federation, make_workflow: Callable[..., JobWorkflow]
) -> None:
    federation.when = {("site-2", "running"): {"site-1": 3}, ("site-1", "ended"): {"site-2": 0}}
    results = make_workflow(deploy_map=CLIENTS).run()
    assert [results[site].return_code for site in NAMES[1:]] == [FAILED, SUCCESS]


@pytest.mark.parametrize("needed", [{"min_clients": 2}, {"mandatory_clients": ["site-1"]}])
def test_without_a_server_too_all_are_ended_when_those_that_the_job_needs_cannot_finish(
    federation: Federation, make_workflow: Callable[..., JobWorkflow], needed: dict[str, Any]
) -> None:
    federation.exits = {"site-1": 3}
    results = make_workflow(deploy_map=CLIENTS, **needed).run()
    assert [results[site].return_code for site in NAMES[1:]] == [FAILED, ABORTED]


def test_without_a_server_a_client_is_told_of_no_target(
    federation: Federation, make_workflow: Callable[..., JobWorkflow]
) -> None:
    federation.exits = dict.fromkeys(NAMES, 0)
    make_workflow(deploy_map=CLIENTS).run()
    assert federation.specs["site-1"].command == (
        *("python3", "-u", "-m", "client", "-m", "/workspace", "-n", "j1", "-c", "site-1"),
        *("-s", "config/config_fed_client.json"),
    )


def test_without_a_server_the_workflow_is_told_at_its_first_site(
    federation: Federation, make_workflow: Callable[..., JobWorkflow]
) -> None:
    federation.exits = dict.fromkeys(NAMES, 0)
    make_workflow(deploy_map=CLIENTS).run()
    assert federation.recorder.event_types[0] == EventType.START_WORKFLOW
    assert federation.recorder.event_types[-1] == EventType.END_WORKFLOW


def test_without_a_server_a_launch_that_fails_keeps_no_other_client_from_running(
    federation: Federation, make_workflow: Callable[..., JobWorkflow]
) -> None:
    federation.exits = {"site-2": 0}
    results = make_workflow(deploy_map=CLIENTS, launcher_spec={"site-1": {"docker": {"image": "evil:1"}}}).run()
    assert [results[site].return_code for site in NAMES[1:]] == [JobReturnCode.CONFIG_ERROR, SUCCESS]


def test_a_job_of_a_server_alone_has_its_result(
    federation: Federation, make_workflow: Callable[..., JobWorkflow]
) -> None:
    federation.exits = dict.fromkeys(NAMES, 0)
    results = make_workflow(deploy_map={"app": ["server"]}).run()
    assert {site: result.return_code for site, result in results.items()} == {"server": SUCCESS}


# --- launches that fail ---


def test_if_the_servers_launch_fails_no_client_is_launched(
    federation: Federation, make_workflow: Callable[..., JobWorkflow], caplog: pytest.LogCaptureFixture
) -> None:
    federation.runtime.start_error = "exec format error"
    results = make_workflow().run()
    assert codes(results) == [FAILED, ABORTED, ABORTED]
    assert results["server"].error == "exec format error"
    assert results["site-1"].error == "not started, because the server's launch failed"
    assert "site server: exec format error" in caplog.messages
    assert federation.specs.keys() <= {"server"}


def test_if_a_clients_launch_fails_and_enough_are_left_the_rest_goes_on(
    federation: Federation, make_workflow: Callable[..., JobWorkflow]
) -> None:
    federation.exits = {"site-2": 0}
    federation.when = {("site-2", "ended"): {"server": 0}}
    docker = {"site-1": {"docker": {"image": "evil:1"}}}
    results = make_workflow(min_clients=1, launcher_spec=docker).run()
    assert codes(results) == [SUCCESS, JobReturnCode.CONFIG_ERROR, SUCCESS]
    assert "is not on the list of site site-1" in results["site-1"].error


def test_if_a_clients_launch_fails_and_too_few_are_left_all_are_ended(
    federation: Federation, make_workflow: Callable[..., JobWorkflow]
) -> None:
    docker = {"site-1": {"docker": {"image": "evil:1"}}}
    results = make_workflow(launcher_spec=docker).run()
    assert codes(results) == [ABORTED, JobReturnCode.CONFIG_ERROR, ABORTED]


def test_a_job_that_runs_already_is_left_alone(
    federation: Federation, make_workflow: Callable[..., JobWorkflow]
) -> None:
    other = federation.sites["server"].launch_job({"job_id": "j1"}, {"exe_module": ("-m", "server")})
    results = make_workflow().run()
    assert results["server"].error == "job j1 already runs at site server"
    assert other.poll() == JobReturnCode.UNKNOWN


# --- interrupts ---


class Interrupting(FLComponent):
    """Interrupts a site at an event, as Ctrl-C would."""

    def __init__(self, event_type: str) -> None:
        super().__init__()
        self._event_type = event_type

    def handle_event(self, event_type: str, fl_ctx: FLContext) -> None:
        if event_type == self._event_type:
            raise KeyboardInterrupt


@pytest.mark.parametrize("event_type", [EventType.BEFORE_JOB_LAUNCH, EventType.AFTER_JOB_LAUNCH])
def test_an_interrupt_while_launching_ends_everything_and_raises(
    federation: Federation, make_workflow: Callable[..., JobWorkflow], event_type: str
) -> None:
    federation.sites["site-2"].add_component("interrupting", Interrupting(event_type))
    with pytest.raises(KeyboardInterrupt):
        make_workflow().run()
    handles = [handle for site in federation.sites.values() for handle in site.jobs().values()]
    assert len(handles) == (2 if event_type == EventType.BEFORE_JOB_LAUNCH else 3)
    assert {handle.poll() for handle in handles} == {ABORTED}


def test_who_interrupted_stands_in_the_results(
    federation: Federation, make_workflow: Callable[..., JobWorkflow]
) -> None:
    federation.sites["site-2"].add_component("interrupting", Interrupting(EventType.BEFORE_JOB_LAUNCH))
    workflow = make_workflow()
    with pytest.raises(KeyboardInterrupt):
        workflow.run()
    assert [handle.result and handle.result.ended_by for handle in workflow.handles.values()] == [
        "the workflow, because it was interrupted"
    ] * 2


def test_an_interrupted_workflow_leaves_the_sites_as_they_were(
    federation: Federation, make_workflow: Callable[..., JobWorkflow]
) -> None:
    federation.sites["site-2"].add_component("interrupting", Interrupting(EventType.BEFORE_JOB_LAUNCH))
    with pytest.raises(KeyboardInterrupt):
        make_workflow().run()
    assert "workflow-j1" not in federation.sites["server"].components()
    assert federation.recorder.event_types[-1] == EventType.END_WORKFLOW


def test_control_c_while_the_job_runs_ends_everything_and_raises(
    federation: Federation, make_workflow: Callable[..., JobWorkflow]
) -> None:
    workflow = make_workflow(min_clients=1)

    class PressingControlC(FLComponent):
        def handle_event(self, event_type: str, fl_ctx: FLContext) -> None:
            if event_type == EventType.JOB_COMPLETED:  # of site-1, long after all were launched
                signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)

    class EndingSite1(FLComponent):
        def handle_event(self, event_type: str, fl_ctx: FLContext) -> None:
            if event_type == EventType.AFTER_JOB_LAUNCH:
                federation.runtime.exit("site-1-j1")

    federation.sites["site-1"].add_component("control-c", PressingControlC())
    federation.sites["site-2"].add_component("ending", EndingSite1())
    with pytest.raises(KeyboardInterrupt):
        workflow.run()
    assert [handle.poll() for handle in workflow.handles.values()] == [ABORTED, SUCCESS, ABORTED]


# --- third parties ---


class PlainLauncher(JobLauncherSpec):
    """Launches nothing, and says that a handle is it."""

    def __init__(self, handle: JobHandleSpec) -> None:
        super().__init__()
        self._handle = handle

    def handle_event(self, event_type: str, fl_ctx: FLContext) -> None:
        if event_type == EventType.BEFORE_JOB_LAUNCH:
            add_launcher(self, fl_ctx)

    def launch_job(self, job_meta: dict[str, Any], fl_ctx: FLContext) -> JobHandleSpec:
        return self._handle


class StubbornHandle(PlainHandle):
    """Ends its job when asked to, but says that it could not."""

    def __init__(self, error: Exception) -> None:
        super().__init__()
        self._error = error

    def terminate(self, *, by: str = "terminate()") -> JobReturnCode:
        super().terminate(by=by)
        raise self._error


def replace_launcher(site: Site, handle: JobHandleSpec) -> None:
    site.remove_component("launcher")
    site.add_component("launcher", PlainLauncher(handle))


def test_a_plain_handle_takes_part_too(federation: Federation, make_workflow: Callable[..., JobWorkflow]) -> None:
    handle = PlainHandle()
    handle.end(SUCCESS)
    replace_launcher(federation.sites["site-1"], handle)
    federation.exits = {"server": 0, "site-2": 0}
    assert codes(make_workflow().run()) == [SUCCESS] * 3


@pytest.mark.parametrize("error", [OSError("no route"), TerminateTimeout("no answer")])
def test_a_handle_that_fails_to_end_its_job_keeps_no_other_from_being_ended(
    federation: Federation,
    make_workflow: Callable[..., JobWorkflow],
    caplog: pytest.LogCaptureFixture,
    error: Exception,
) -> None:
    replace_launcher(federation.sites["site-1"], StubbornHandle(error))
    federation.exits = {"server": 1}
    assert codes(make_workflow().run()) == [FAILED, ABORTED, ABORTED]
    assert str(error) in caplog.text


# --- what the processes get ---


def test_the_processes_are_told_who_they_are_and_where_the_server_listens(
    federation: Federation, make_workflow: Callable[..., JobWorkflow]
) -> None:
    federation.exits = dict.fromkeys(NAMES, 0)
    make_workflow().run()
    server, client = federation.specs["server"].command, federation.specs["site-1"].command
    port = server[server.index("--port") + 1]
    assert server == (
        *("python3", "-u", "-m", "server", "-m", "/workspace", "-s", "config/config_fed_server.json"),
        *("-r", "/workspace/j1/app_server", "-n", "j1", "--host", "0.0.0.0", "--port", port),
    )
    assert client == (
        *("python3", "-u", "-m", "client", "-m", "/workspace", "-n", "j1", "-c", "site-1"),
        *("-g", f"server-j1:{port}", "-scheme", "http", "-s", "config/config_fed_client.json"),
    )


def test_all_processes_share_a_token_that_no_two_runs_have(federation: Federation, tmp_path: Path) -> None:
    federation.exits = dict.fromkeys(NAMES, 0)
    job, sites = write_job(tmp_path / "job", {}), list(federation.sites.values())
    tokens = []
    for job_id in ("j1", "j2"):
        JobWorkflow(job, sites, job_id).run()
        tokens.append({spec.environment["NVFLARE_JOB_AUTH_TOKEN"] for spec in federation.specs.values()})
    assert [len(found) for found in tokens] == [1, 1]
    assert tokens[0] != tokens[1]


def test_the_token_is_in_no_argument_no_label_no_log_and_no_file(
    federation: Federation,
    make_workflow: Callable[..., JobWorkflow],
    caplog: pytest.LogCaptureFixture,
    tmp_path: Path,
) -> None:
    federation.exits = dict.fromkeys(NAMES, 0)
    with caplog.at_level(logging.DEBUG):
        make_workflow().run()
    token = federation.specs["server"].environment["NVFLARE_JOB_AUTH_TOKEN"]
    assert len(token) >= 32
    for spec in federation.specs.values():
        assert token not in repr((spec, spec.command, spec.labels, spec.name))
    assert token not in caplog.text
    for site in federation.sites.values():
        site.close()  # nothing comes or goes any more
    assert not [path for path in tmp_path.rglob("*") if path.is_file() and token in path.read_text()]
