"""What all launchers do: volunteer, refuse, launch, give up, clean up, tell the others and let go."""

from __future__ import annotations

import os
import stat
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from flcore import EventType, FLComponent, FLContext, JobReturnCode, Site
from flcore.disk.job_folders import note_new
from flcore.errors import (
    ImageError,
    JobLaunchError,
    JobRejectedError,
    JobStartError,
    NameInUseError,
    NetworkError,
    RuntimeUnavailableError,
)
from flcore.fl_constant import FLContextKey
from flcore.job_launcher_spec import Check, LaunchRequest
from flcore.launch import Launch
from flcore.testing import EventRecorder, FakeFLContext
from launchers.container_spec import LABEL_JOB_ID, LABEL_LAUNCHER, LABEL_SITE
from launchers.docker_launcher import DockerJobLauncher
from launchers.docker_state import ContainerState
from launchers.job_handle import ContainerJobHandle
from launchers.runtime.base import ContainerSummary, Runtime
from launchers.runtime.fake import FakeRuntime

TIMEOUT = 10.0
META = {"job_id": "job-1"}
NAME = "site-1-job-1"
LIFE = ["created", "running", "exited"]


class TrainLauncher(DockerJobLauncher):
    """What a third party writes: ``get_command``, and nothing else."""

    def get_command(self, job_meta: dict[str, Any], fl_ctx: FLContext) -> tuple[str, str]:
        return f"{fl_ctx.get_identity_name()}-{job_meta['job_id']}", "python3 train.py --name 'two words'"


class CommandLauncher(TrainLauncher):
    """Runs one given command."""

    def __init__(self, command: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.command = command

    def get_command(self, job_meta: dict[str, Any], fl_ctx: FLContext) -> tuple[str, str]:
        return super().get_command(job_meta, fl_ctx)[0], self.command


class Lab:
    """A launcher on a fake runtime, in a context with a workspace."""

    def __init__(self, workspace: Path) -> None:
        self.runtime = FakeRuntime()
        self.workspace = workspace
        self.ctx = FakeFLContext(workspace=workspace)
        self._launchers: list[DockerJobLauncher] = []

    @property
    def recorder(self) -> EventRecorder:
        return self.ctx.recorder

    @property
    def log(self) -> Path:
        return self.workspace / "job-1" / "site-1.log"

    def launcher(self, **kwargs: Any) -> DockerJobLauncher:
        arguments: dict[str, Any] = {"image": "job:1", "runtime": self.runtime, "stop_grace": 0}
        launcher = self.keep(TrainLauncher(**arguments | kwargs))
        launcher.job_settings = replace(launcher.job_settings, launch_patience=0.05)
        return launcher

    def keep(self, launcher: DockerJobLauncher) -> DockerJobLauncher:
        """Close the launcher at the end of the test."""
        self._launchers.append(launcher)
        return launcher

    def launch(self, **kwargs: Any) -> ContainerJobHandle:
        return self.launcher(**kwargs).launch_job(META, self.ctx)

    def finish(self, handle: ContainerJobHandle, exit_code: int = 0, output: bytes = b"") -> None:
        """End the job, and return when all that follows is done."""
        self.runtime.write(NAME, output)
        self.runtime.exit(NAME, exit_code)
        handle.wait()
        self.close()

    def close(self) -> None:
        """Close all launchers: what has ended is cleaned up and told."""
        self.runtime.reachable = True
        for launcher in self._launchers:
            launcher.close()


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Lab]:
    lab = Lab(tmp_path)
    yield lab
    lab.close()


def our_threads() -> list[str]:
    return sorted(thread.name for thread in threading.enumerate() if thread.name.startswith("flcore-"))


# --- volunteering ---


def volunteers(launcher: DockerJobLauncher, job_meta: dict[str, Any] | None = None) -> list[Any]:
    ctx = FakeFLContext(job_meta=job_meta)
    launcher.dispatch_event(EventType.BEFORE_JOB_LAUNCH, ctx)
    return ctx.launchers


IMAGE_FOR_SITE_1 = META | {"launcher_spec": {"site-1": {"docker": {"image": "job:2"}}}}
IMAGE_FOR_SITE_2 = META | {"launcher_spec": {"site-2": {"docker": {"image": "job:2"}}}}


def test_a_launcher_with_an_image_volunteers_for_every_job(lab: Lab) -> None:
    launcher = lab.launcher(image="job:1")
    assert volunteers(launcher) == [launcher]


def test_a_launcher_without_an_image_volunteers_only_for_a_job_that_names_one_for_its_site(lab: Lab) -> None:
    launcher = lab.launcher(image=None)
    assert volunteers(launcher, IMAGE_FOR_SITE_1) == [launcher]
    assert volunteers(launcher, IMAGE_FOR_SITE_2) == []
    assert volunteers(launcher) == []


def test_a_launcher_volunteers_for_a_job_that_it_will_refuse_so_that_the_reason_is_told(lab: Lab) -> None:
    launcher = lab.launcher(image=None, images=["other"])
    assert volunteers(launcher, IMAGE_FOR_SITE_1) == [launcher]


@pytest.mark.parametrize("event_type", [EventType.SYSTEM_START, EventType.AFTER_JOB_LAUNCH, "anything"])
def test_no_other_event_makes_it_volunteer(lab: Lab, event_type: str) -> None:
    ctx = FakeFLContext()
    lab.launcher().dispatch_event(event_type, ctx)
    assert ctx.launchers == []


# --- what is launched ---


def test_a_subclass_with_only_a_command_is_a_working_launcher(lab: Lab) -> None:
    handle = lab.launch()
    spec = lab.runtime.container(NAME).spec
    assert spec.command == ("python3", "train.py", "--name", "two words")
    assert spec.labels.items() >= {LABEL_SITE: "site-1", LABEL_JOB_ID: "job-1", LABEL_LAUNCHER: "TrainLauncher"}.items()
    lab.finish(handle)
    assert handle.poll() is JobReturnCode.SUCCESS
    assert lab.recorder.states("job-1") == LIFE


def test_the_command_goes_through_no_shell(lab: Lab) -> None:
    launcher = lab.keep(CommandLauncher("echo $HOME `id` > /x; true && *", image="job:1", runtime=lab.runtime))
    assert launcher.plan(META, lab.ctx).spec.command == ("echo", "$HOME", "`id`", ">", "/x;", "true", "&&", "*")


@pytest.mark.parametrize(
    ("command", "words"), [("", " is empty"), ("   ", " is empty"), ("echo 'open", ": No closing quotation")]
)
def test_a_command_without_words_is_refused(lab: Lab, command: str, words: str) -> None:
    launcher = lab.keep(CommandLauncher(command, image="job:1", runtime=lab.runtime))
    with pytest.raises(JobLaunchError, match=f"job job-1: its launch command{words}"):
        launcher.launch_job(META, lab.ctx)
    assert lab.runtime.containers() == []


class ReturningLauncher(TrainLauncher):
    """Its ``get_command`` returns what a test gives it."""

    def __init__(self, returned: Any) -> None:
        super().__init__(image="job:1")
        self.returned = returned

    def get_command(self, job_meta: dict[str, Any], fl_ctx: FLContext) -> Any:
        return self.returned


class WordsLauncher(DockerJobLauncher):
    """Its command is a list of words: as well typed as one that is a text."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.asked = 0

    def get_command(self, job_meta: dict[str, Any], fl_ctx: FLContext) -> tuple[str, list[str]]:
        self.asked += 1
        return f"site-1-{job_meta['job_id']}", ["echo", "two words", "$HOME"]


def test_a_command_of_words_is_run_as_it_is_and_asked_for_once(lab: Lab) -> None:
    launcher = WordsLauncher(image="job:1", runtime=lab.runtime)
    lab.finish(lab.keep(launcher).launch_job(META, lab.ctx))
    assert launcher.asked == 1
    assert lab.recorder.states("job-1") == LIFE


@pytest.mark.parametrize("words", [["train", "two words", ""], ("train", "two words", "")])
def test_a_command_may_be_its_words(words: Any) -> None:
    plan = ReturningLauncher(("name", words)).plan(META, FakeFLContext())
    assert (plan.spec.name, plan.spec.command) == ("name", ("train", "two words", ""))


@pytest.mark.parametrize(
    "returned",
    [
        "ab",
        "train",
        None,
        ["train"],
        ["train", "two"],
        ("name",),
        ("name", None),
        ("name", ["a", 1]),
        (b"name", "a"),
        1,
        {},
    ],
)
def test_what_is_no_name_and_command_is_refused_by_the_method_s_name(returned: Any) -> None:
    with pytest.raises(
        JobLaunchError, match=r"job job-1: ReturningLauncher\.get_command must return \(name, command\)"
    ):
        ReturningLauncher(returned).plan(META, FakeFLContext())


def test_a_command_of_no_words_is_empty() -> None:
    with pytest.raises(JobLaunchError, match="job job-1: its launch command is empty"):
        ReturningLauncher(("name", [])).plan(META, FakeFLContext())


def test_a_container_that_cannot_have_its_name_gets_one_like_it(lab: Lab) -> None:
    assert lab.launcher().plan({"job_id": "Job_1"}, lab.ctx).spec.name.startswith("site-1-job-1-h")


def test_the_more_trusted_the_stronger_are_the_variables(lab: Lab, tmp_path: Path) -> None:
    env = {"A": "job", "B": "job", "C": "job"}
    job_meta = META | {"launcher_spec": {"site-1": {"docker": {"env": env}}}}
    site_env = {"B": "site", "C": "site", "PYTHONPATH": "site", "NVFLARE_JOB_SSID": "site", "FLCORE_DATASET_X": "site"}
    launcher = lab.launcher(env=site_env, job_env_prefixes=["A", "B", "C"], datasets={"x": str(tmp_path)})
    ctx = FakeFLContext(workspace=tmp_path, job_args={"ssid": ("-d", "secret")})
    assert launcher.plan(job_meta, ctx).spec.environment == {
        "A": "job",
        "B": "site",
        "C": "site",
        "PYTHONPATH": "/workspace/job-1/app_site-1/custom",
        "NVFLARE_JOB_SSID": "secret",
        "FLCORE_DATASET_X": "/data/x",
    }


def test_a_spec_is_never_shown_with_its_environment(lab: Lab) -> None:
    ctx = FakeFLContext(job_args={"auth_token": ("-t", "a-secret")})
    plan = lab.launcher().plan(META, ctx)
    assert plan.spec.environment == {"NVFLARE_JOB_AUTH_TOKEN": "a-secret"}
    assert "a-secret" not in repr(plan)


def test_the_site_decides_what_a_job_gets(lab: Lab) -> None:
    launcher = lab.launcher(limits={"num_of_cpus": 2, "memory": "1Gi"}, defaults={"num_of_cpus": 1})
    spec = launcher.plan(META, lab.ctx).spec
    assert (spec.cpus, spec.memory, spec.shm_size) == (1.0, 1 << 30, None)


def test_a_launch_logs_what_of_the_metadata_is_passed_over(lab: Lab, caplog: pytest.LogCaptureFixture) -> None:
    meta = {**META, "resource_spec": {"site-1": {"gpu\x1b": 1}}, "launcher_spec": {"default": {"k8s": {}}}}
    with caplog.at_level("INFO", "launchers.launch_plan"):
        lab.finish(lab.launcher().launch_job(meta, lab.ctx))
    assert [record.getMessage() for record in caplog.records if "passed over" in record.getMessage()] == [
        "job job-1: passed over: launcher_spec.default.k8s: for launchers of the kind 'k8s'; this is 'docker'; "
        r"resource_spec.site-1.gpu\x1b: no resource that this launcher gives"
    ]


def test_planning_touches_nothing(tmp_path: Path) -> None:
    lab = Lab(tmp_path / "not-there")
    before = our_threads()
    lab.launcher().plan(META, lab.ctx)
    assert not lab.workspace.exists()
    assert our_threads() == before


def test_the_job_gets_a_folder(lab: Lab) -> None:
    handle = lab.launch()
    assert (lab.workspace / "job-1").is_dir()
    lab.finish(handle)


def test_a_site_without_a_workspace_mounts_nothing(lab: Lab) -> None:
    spec = lab.launcher().plan(META, FakeFLContext()).spec
    assert (spec.mounts, spec.working_dir, spec.environment) == ((), "/", {})


def test_the_next_launch_uses_the_same_runtime_and_tracker(lab: Lab) -> None:
    launcher = lab.launcher()
    handles = [launcher.launch_job({"job_id": f"job-{n}"}, FakeFLContext(job_id=f"job-{n}")) for n in range(3)]
    assert len([name for name in our_threads() if name == "flcore-worker"]) == 1
    for n, handle in enumerate(handles):
        lab.runtime.exit(f"site-1-job-{n}", n)
        handle.wait()
    assert [handle.result and handle.result.exit_code for handle in handles] == [0, 1, 2]


# --- what is refused ---


@pytest.mark.parametrize("job_meta", [META | {"launcher_spec": {"site-1": {"docker": {"image": "evil:1"}}}}, {}, None])
def test_of_a_job_that_is_refused_nothing_is_made(lab: Lab, job_meta: Any) -> None:
    before = our_threads()
    with pytest.raises(JobRejectedError):
        lab.launcher().launch_job(job_meta, lab.ctx)
    assert lab.runtime.containers() == []
    assert list(lab.workspace.iterdir()) == []
    assert lab.recorder.events == []
    assert our_threads() == before


def test_a_missing_dataset_is_named_and_nothing_is_made(lab: Lab) -> None:
    launcher = lab.launcher(datasets={"digits": "/no/such/file.csv"})
    with pytest.raises(JobLaunchError, match=r"job job-1: the dataset digits is not there: /no/such/file.csv"):
        launcher.launch_job(META, lab.ctx)
    assert lab.runtime.containers() == []
    assert list(lab.workspace.iterdir()) == []


def test_a_folder_that_cannot_be_made_is_named_and_nothing_is_made(lab: Lab) -> None:
    note_new(lab.workspace / "job-1")
    (lab.workspace / "job-1").write_text("a file is in the way")
    with pytest.raises(JobLaunchError, match="job job-1: its folder cannot be made"):
        lab.launch()
    assert lab.runtime.containers() == []


# --- launches that fail ---


def test_a_container_that_cannot_be_created_is_tracked_by_nobody(lab: Lab) -> None:
    lab.runtime.images = set()
    before = our_threads()
    with pytest.raises(ImageError, match="job:1"):
        lab.launch()
    assert our_threads() == before
    assert lab.recorder.events == []


def test_a_name_that_is_taken_leaves_its_owner_alone(lab: Lab) -> None:
    launcher = lab.launcher()
    handle = launcher.launch_job(META, lab.ctx)
    with pytest.raises(NameInUseError):
        launcher.launch_job(META, lab.ctx)
    assert handle.poll() is JobReturnCode.UNKNOWN
    assert len(lab.runtime.containers()) == 1


def test_a_failed_start_raises_is_told_and_leaves_no_container(lab: Lab) -> None:
    lab.runtime.start_error = "exec: no-such-command: not found"
    launcher = lab.launcher(keep=True)  # not even then
    with pytest.raises(JobStartError, match="no-such-command"):
        launcher.launch_job(META, lab.ctx)
    assert lab.runtime.containers() == []
    result = lab.recorder.wait_for_end()
    assert (result.return_code, result.exit_code) == (JobReturnCode.EXECUTION_ERROR, 127)
    assert "no-such-command" in result.error
    assert lab.recorder.states() == ["created", "dead"]


def test_a_missing_network_raises_and_leaves_no_container(lab: Lab) -> None:
    lab.runtime.networks = set()
    with pytest.raises(NetworkError, match="nvflare-network not found"):
        lab.launch()
    assert lab.runtime.containers() == []
    lab.recorder.wait_for_end()
    assert lab.recorder.states() == ["created", "dead"]


class LazyRuntime(FakeRuntime):
    """Says that it has started a container, and does not."""

    def start(self, container_id: str) -> None:
        """Do nothing."""


def test_a_container_that_does_not_run_in_time_is_removed(lab: Lab) -> None:
    lab.runtime = LazyRuntime()
    with pytest.raises(
        JobStartError, match=r"job job-1 in container site-1-job-1 .*: did not run within 0.01 s \('timeout'\)"
    ):
        lab.launch(timeout=0.01)
    assert lab.runtime.containers() == []
    assert lab.recorder.wait_for_end().ended_by == "the launcher: it did not run within 0.01 s ('timeout')"
    assert lab.recorder.states() == ["created", "dead"]


def test_without_a_timeout_nobody_waits_for_a_container_to_run(lab: Lab) -> None:
    lab.runtime = LazyRuntime()
    assert lab.launch().poll() is JobReturnCode.UNKNOWN


def test_a_container_that_runs_in_time_is_launched_though_no_event_tells_of_it(lab: Lab) -> None:
    lab.runtime.drop_events = True
    handle = lab.launch(timeout=TIMEOUT)
    assert handle.enter_states("running", 0)


def test_a_job_shorter_than_a_glance_has_run_in_time(lab: Lab) -> None:
    class HastyRuntime(FakeRuntime):
        def start(self, container_id: str) -> None:
            super().start(container_id)
            self.exit(NAME, 3)

    lab.runtime = HastyRuntime()
    assert lab.launch(timeout=TIMEOUT).wait() is JobReturnCode.EXECUTION_ERROR
    lab.recorder.wait_for_end()
    assert lab.recorder.states() == LIFE


def test_an_engine_that_goes_away_at_the_start_is_no_end_of_the_job(lab: Lab, caplog: pytest.LogCaptureFixture) -> None:
    class VanishingRuntime(FakeRuntime):
        def start(self, container_id: str) -> None:
            self.set_reachable(False)
            super().start(container_id)

    lab.runtime = VanishingRuntime()
    with pytest.raises(RuntimeUnavailableError):
        lab.launch()
    assert "will be removed when that is possible" in caplog.text


def test_an_interrupt_at_the_start_leaves_no_container(lab: Lab) -> None:
    class InterruptedRuntime(FakeRuntime):
        def start(self, container_id: str) -> None:
            super().start(container_id)
            raise KeyboardInterrupt

    lab.runtime = InterruptedRuntime()
    with pytest.raises(KeyboardInterrupt):
        lab.launch()
    assert lab.runtime.containers() == []
    result = lab.recorder.wait_for_end()
    assert (result.return_code, result.ended_by) == (JobReturnCode.ABORTED, "the launcher, on KeyboardInterrupt()")


def test_a_launcher_that_is_closed_during_a_launch_leaves_no_container(lab: Lab) -> None:
    class ClosingRuntime(FakeRuntime):
        def create(self, spec: Any) -> str:
            launcher.close()
            return super().create(spec)

    lab.runtime = ClosingRuntime()
    launcher = lab.launcher()
    with pytest.raises(RuntimeUnavailableError, match="the site is closed"):
        launcher.launch_job(META, lab.ctx)
    assert lab.runtime.containers() == []


# --- cleaning up ---


def test_at_the_end_the_output_is_kept_and_the_container_removed(lab: Lab) -> None:
    handle = lab.launch()
    lab.finish(handle, 3, b"1\n2\n3\n")
    assert lab.runtime.containers() == []
    assert lab.log.read_bytes() == b"1\n2\n3\n"
    assert [path.name for path in lab.log.parent.iterdir()] == ["site-1.log"]
    assert (handle.logs(), handle.logs(tail=2), handle.logs(tail=9)) == ("1\n2\n3\n", "2\n3\n", "1\n2\n3\n")


class OwnWordLauncher(TrainLauncher):
    """Its jobs write down how they ended."""

    def end_of(self, log_path: Path | None, seen: ContainerState) -> ContainerState:
        assert log_path
        return replace(seen, exit_code=int((log_path.parent / "code").read_text()))


@pytest.mark.parametrize(("code", "written", "ends"), [(137, 0, "SUCCESS"), (0, 102, "UNSAFE_COMPONENT")])
def test_a_launcher_may_know_better_how_its_jobs_ended(lab: Lab, code: int, written: int, ends: str) -> None:
    handle = lab.keep(OwnWordLauncher(image="job:1", runtime=lab.runtime)).launch_job(META, lab.ctx)
    (lab.workspace / "job-1" / "code").write_text(str(written))
    lab.runtime.exit(NAME, code)
    assert handle.wait().name == ends
    assert lab.recorder.wait_for_end().exit_code == written


def test_kept_output_can_be_read_without_an_engine(lab: Lab) -> None:
    handle = lab.launch()
    lab.finish(handle, 0, b"output")
    lab.runtime.set_reachable(False)
    assert handle.logs() == "output"


def test_kept_output_is_not_for_everybody(lab: Lab) -> None:
    lab.finish(lab.launch())
    assert stat.S_IMODE(lab.log.stat().st_mode) & stat.S_IRWXO == 0


def test_the_output_of_an_earlier_run_is_replaced(lab: Lab) -> None:
    lab.finish(lab.launch(), 0, b"a long output of the first run")
    lab.finish(lab.launch(), 0, b"second")
    assert lab.log.read_bytes() == b"second"


def test_without_a_workspace_no_output_is_kept(lab: Lab) -> None:
    lab.ctx = FakeFLContext()
    handle = lab.launch()
    lab.finish(handle, 0, b"output")
    assert lab.runtime.containers() == []
    assert handle.logs() == ""
    assert list(lab.workspace.iterdir()) == []


@pytest.mark.parametrize("place", ["site-1.log", ".site-1.log.part"])
def test_a_link_that_a_job_has_left_in_place_of_its_output_is_not_followed(lab: Lab, place: str) -> None:
    precious = lab.workspace / "precious"
    precious.write_text("of the site")
    handle = lab.launch()
    (lab.log.parent / place).symlink_to(precious)
    lab.finish(handle, 0, b"evil")
    assert precious.read_text() == "of the site"
    assert not lab.log.is_symlink()
    assert lab.log.read_bytes() == b"evil"


@pytest.mark.parametrize("place", ["site-1.log", ".site-1.log.part"])
def test_a_folder_that_a_job_has_left_in_place_of_its_output_gives_way(lab: Lab, place: str) -> None:
    handle = lab.launch()
    (lab.log.parent / place / "full").mkdir(parents=True)
    lab.finish(handle, 0, b"output")
    assert lab.runtime.containers() == []
    assert lab.log.read_bytes() == b"output"


def test_a_pipe_or_link_that_a_later_run_puts_in_place_of_the_output_is_not_read(lab: Lab) -> None:
    handle = lab.launch()
    lab.finish(handle, 0, b"output")
    lab.log.unlink()
    os.mkfifo(lab.log)
    assert handle.logs() == ""
    lab.log.unlink()
    lab.log.symlink_to("/etc/passwd")
    assert handle.logs() == ""


def test_output_that_cannot_be_kept_does_not_keep_the_container(lab: Lab, caplog: pytest.LogCaptureFixture) -> None:
    handle = lab.launch()
    lab.log.parent.rename(lab.workspace / "elsewhere")
    lab.finish(handle, 0, b"output")
    assert lab.runtime.containers() == []
    assert "its output cannot be kept" in caplog.text


def test_an_engine_that_goes_away_at_the_end_keeps_the_result_and_the_container(lab: Lab) -> None:
    class ForgetfulRuntime(FakeRuntime):
        def logs(self, container_id: str, tail: int | None = None) -> Iterator[bytes]:
            raise RuntimeUnavailableError("away")

    lab.runtime = ForgetfulRuntime()
    handle = lab.launch()
    lab.finish(handle, 3)
    assert handle.poll() is JobReturnCode.EXECUTION_ERROR
    assert len(lab.runtime.containers()) == 1


class LoseTheAnswerRuntime(FakeRuntime):
    """Removes a container, and does not say so the first time."""

    def __init__(self) -> None:
        super().__init__()
        self.removals = 0

    def remove(self, container_id: str) -> None:
        super().remove(container_id)
        self.removals += 1
        if self.removals == 1:
            raise RuntimeUnavailableError("timed out")


def test_a_clean_up_that_is_tried_again_keeps_the_output(lab: Lab) -> None:
    runtime = lab.runtime = LoseTheAnswerRuntime()
    handle = lab.launch()
    lab.runtime.write(NAME, b"output")
    lab.runtime.exit(NAME, 0)
    assert handle.wait_for_clean_up(TIMEOUT)
    assert runtime.removals == 2
    assert lab.log.read_bytes() == b"output"
    assert [path.name for path in lab.log.parent.iterdir()] == ["site-1.log"]


def test_closing_tries_once_more_what_could_not_be_cleaned_up(lab: Lab) -> None:
    class AwayRuntime(FakeRuntime):
        def logs(self, container_id: str, tail: int | None = None) -> Iterator[bytes]:
            tried.set()
            if not back.is_set():
                raise RuntimeUnavailableError("away")
            return super().logs(container_id, tail)

    tried, back = threading.Event(), threading.Event()
    lab.runtime = AwayRuntime()
    handle = lab.launch()
    lab.runtime.exit(NAME, 0)
    handle.wait()
    assert tried.wait(TIMEOUT)
    back.set()
    lab.close()
    assert lab.runtime.containers() == []
    assert list((lab.workspace / ".flcore" / "jobs").iterdir()) == []


def test_a_site_may_keep_ended_containers(lab: Lab) -> None:
    lab.finish(lab.launch(keep=True), 0, b"output")
    assert lab.runtime.container(NAME).state.exit_code == 0
    assert lab.log.read_bytes() == b"output"


def test_a_terminated_job_is_cleaned_up_too(lab: Lab) -> None:
    handle = lab.launch()
    assert handle.terminate(by="the test") is JobReturnCode.ABORTED
    lab.close()
    assert lab.runtime.containers() == []
    assert lab.recorder.wait_for_end().ended_by == "the test"


# --- telling the others ---


def test_every_change_is_fired_in_a_context_of_its_job_and_site(lab: Lab) -> None:
    lab.finish(lab.launch(), 3)
    told = [event for event in lab.recorder.events if event.event_type == EventType.JOB_STATE_CHANGED]
    assert [(event.site, event.job_id) for event in told] == [("site-1", "job-1")] * 3
    assert [event.change.previous for event in told if event.change] == [None, "created", "running"]
    assert lab.recorder.wait_for_end().exit_code == 3


def test_every_change_has_a_fresh_context(tmp_path: Path) -> None:
    class Leaky(FLComponent):
        def handle_event(self, event_type: str, fl_ctx: FLContext) -> None:
            if event_type == EventType.JOB_STATE_CHANGED:
                found.append(fl_ctx.get_prop("leak"))
            fl_ctx.set_prop("leak", event_type, sticky=False)

    found: list[Any] = []
    lab = Lab(tmp_path)
    lab.ctx = FakeFLContext(workspace=tmp_path, components=[Leaky()])
    lab.finish(lab.launch())
    assert found == [None] * 3


def test_an_engine_that_goes_away_and_comes_back_is_told(lab: Lab) -> None:
    launcher = lab.launcher()
    handle = launcher.launch_job(META, lab.ctx)
    assert handle.enter_states("running", TIMEOUT)
    lab.runtime.reachable = False
    launcher.open_keeper(lab.ctx).tracker.doubt()
    lab.recorder.wait_for(EventType.ENGINE_UNREACHABLE)
    lab.runtime.reachable = True
    launcher.open_keeper(lab.ctx).tracker.doubt()
    lab.recorder.wait_for(EventType.ENGINE_REACHABLE)


class ForeignContext:
    """What a launcher may ask of the context of any framework."""

    def __init__(self, engine: ForeignEngine | None) -> None:
        self._engine = engine
        self._props: dict[str, Any] = {}

    def get_prop(self, key: str, default: Any = None) -> Any:
        return self._props.get(key, default)

    def set_prop(self, key: str, value: Any, private: bool = True, sticky: bool = True) -> bool:
        self._props[key] = value
        return True

    def get_identity_name(self) -> str:
        return "site-1"

    def get_engine(self) -> ForeignEngine | None:
        return self._engine


class ForeignEngine:
    def __init__(self) -> None:
        self.fired: list[tuple[str, str]] = []

    def new_context(self) -> ForeignContext:
        return ForeignContext(self)

    def fire_event(self, event_type: str, fl_ctx: ForeignContext) -> None:
        if change := fl_ctx.get_prop(FLContextKey.JOB_STATE_CHANGE):
            self.fired.append((event_type, change.state))


def test_any_framework_with_contexts_and_an_engine_can_host_a_launcher(lab: Lab) -> None:
    engine = ForeignEngine()
    foreign: Any = ForeignContext(engine)
    handle = lab.launcher().launch_job(META, foreign)
    lab.finish(handle, 3)
    assert engine.fired == [("_job_state_changed", state) for state in LIFE]


class AskedRuntime(FakeRuntime):
    """Tells when it was asked for a container, be it in vain."""

    def __init__(self) -> None:
        super().__init__()
        self.asked_in_vain = threading.Event()

    def list_containers(self) -> list[ContainerSummary]:
        try:
            return super().list_containers()
        except RuntimeUnavailableError:
            self.asked_in_vain.set()
            raise


def test_a_context_without_an_engine_tells_nobody_and_harms_nothing(lab: Lab) -> None:
    runtime = lab.runtime = AskedRuntime()
    foreign: Any = ForeignContext(None)
    launcher = lab.launcher()
    handle = launcher.launch_job(META, foreign)
    assert handle.enter_states("running", TIMEOUT)
    runtime.reachable = False
    launcher.open_keeper(foreign).tracker.doubt()
    assert runtime.asked_in_vain.wait(TIMEOUT)
    runtime.reachable = True
    lab.finish(handle, 3)
    assert handle.poll() is JobReturnCode.EXECUTION_ERROR


# --- in a site ---


def test_a_site_launches_by_it_and_tells_of_the_end_last(lab: Lab) -> None:
    recorder = EventRecorder()
    with Site("site-1", {"docker": lab.launcher(), "recorder": recorder}, lab.workspace) as site:
        handle = site.launch_job(META)
        lab.runtime.exit(NAME, 3)
        event = recorder.wait_for(EventType.JOB_COMPLETED)
    assert event.result == handle.result
    types = [t for t in recorder.event_types if t in (EventType.JOB_STATE_CHANGED, EventType.JOB_COMPLETED)]
    assert types == [EventType.JOB_STATE_CHANGED] * 3 + [EventType.JOB_COMPLETED]
    assert lab.runtime.containers() == []


def test_a_refused_job_fails_at_the_site_with_its_reason(lab: Lab) -> None:
    recorder = EventRecorder()
    site = Site("site-1", {"docker": lab.launcher(), "recorder": recorder}, lab.workspace)
    with site, pytest.raises(JobRejectedError, match="job:2"):
        site.launch_job(IMAGE_FOR_SITE_1)
    assert recorder.event_types.count(EventType.JOB_ABORTED) == 1
    assert lab.runtime.containers() == []


# --- letting go ---


def test_the_end_of_the_system_lets_go_of_the_runtime_and_leaves_jobs_alone(lab: Lab) -> None:
    before = our_threads()
    launcher = lab.launcher()
    handle = launcher.launch_job(META, lab.ctx)
    launcher.dispatch_event(EventType.SYSTEM_END, lab.ctx)
    assert our_threads() == before
    assert lab.runtime.container(NAME).state.state == "running"
    with pytest.raises(RuntimeUnavailableError):
        handle.wait()


@pytest.mark.parametrize("launched", [False, True])
def test_closing_is_idempotent(lab: Lab, launched: bool) -> None:
    launcher = lab.launcher()
    if launched:
        launcher.launch_job(META, lab.ctx)
    launcher.close()
    launcher.close()


def test_after_closing_it_can_launch_again(lab: Lab) -> None:
    launcher = lab.launcher()
    lab.finish(launcher.launch_job(META, lab.ctx), 3)
    lab.finish(launcher.launch_job(META, lab.ctx), 4)
    assert lab.recorder.states() == [*LIFE, *LIFE]


def test_a_launcher_makes_its_runtime_at_the_first_launch_and_only_then() -> None:
    class OwnLauncher(TrainLauncher):
        def make_runtime(self) -> Runtime:
            made.append(FakeRuntime())
            return made[-1]

    made: list[FakeRuntime] = []
    launcher = OwnLauncher(image="job:1")
    launcher.plan(META, FakeFLContext())
    assert made == []
    for n in range(2):
        launcher.launch_job({"job_id": f"job-{n}"}, FakeFLContext())
    launcher.close()
    assert len(made) == 1


# --- asking what is there ---


def test_it_says_what_is_missing(lab: Lab, tmp_path: Path) -> None:
    lab.runtime.images, lab.runtime.networks = {"other"}, {"nvflare-network"}
    launcher = lab.launcher(datasets={"here": str(tmp_path), "gone": "/no/such/file"})
    assert list(launcher.check()) == [
        Check("engine", True, "fake runtime"),
        Check("network", True, "nvflare-network"),
        Check("image", False, "job:1"),
        Check("dataset here", True, str(tmp_path)),
        Check("dataset gone", False, "/no/such/file"),
    ]


def test_a_question_between_launches_does_not_keep_the_engines_state_from_being_told(lab: Lab) -> None:
    launcher = lab.launcher()
    launcher.launch_job(META, lab.ctx)
    list(launcher.check())
    lab.runtime.reachable = False
    launcher.open_keeper(lab.ctx).tracker.doubt()
    lab.recorder.wait_for(EventType.ENGINE_UNREACHABLE)


# --- arguments ---


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"timeout": -1}, "timeout must be a number of seconds, got -1"),
        ({"timeout": "5"}, "timeout must be a number of seconds"),
        ({"timeout": True}, "timeout must be a number of seconds"),
        ({"timeout": float("nan")}, "timeout must be a number of seconds"),
        ({"stop_grace": -float("inf")}, "stop_grace must be a number of seconds"),
        ({"host_paths": ["/a"]}, "host_paths must be an object"),
        ({"host_paths": {"a": "/b"}}, "host_paths must be an absolute path"),
        ({"host_paths": {"/a": "b"}}, "host_paths./a must be an absolute path"),
        ({"image": ""}, "image must be a non-empty string"),
        ({"image": ["job"]}, "image must be a non-empty string"),
        ({"images": "job:1"}, "images must be a list of non-empty strings"),
        ({"images": [""]}, "images must be a list of non-empty strings"),
        ({"job_env_prefixes": [1]}, "job_env_prefixes must be a list of non-empty strings"),
        ({"env": {"A": 1}}, "env must be an object of strings"),
        ({"env": ["A=1"]}, "env must be an object of strings"),
        ({"datasets": {"a": None}}, "datasets must be an object of strings"),
        ({"limits": {"memory": "1GB"}}, "limits: memory: must be a number of bytes"),
        ({"limits": ["memory"]}, "limits must be an object"),
        ({"defaults": {"gpus": 1}}, "defaults: unknown key 'gpus'"),
        ({"keep": "false"}, "keep must be true or false, got 'false'"),
    ],
)
def test_a_wrong_argument_is_a_value_error_by_its_name(arguments: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        TrainLauncher(**arguments)


@pytest.mark.parametrize("stop_grace", [0, 2.5])
def test_the_grace_is_the_sites_to_choose(stop_grace: float) -> None:
    assert TrainLauncher(stop_grace=stop_grace).job_settings.stop_grace == stop_grace


def test_two_datasets_of_one_variable_are_refused() -> None:
    with pytest.raises(ValueError, match="datasets: two of the names make the same variable FLCORE_DATASET_A_B"):
        TrainLauncher(datasets={"a-b": "/1", "a_b": "/2"})


def test_a_job_can_be_launched_again_as_soon_as_it_has_ended(lab: Lab) -> None:
    launcher = lab.launcher()
    for exit_code in range(20):
        handle = launcher.launch_job(META, lab.ctx)
        lab.runtime.write(NAME, f"run {exit_code}".encode())
        lab.runtime.exit(NAME, exit_code)
        handle.wait()
        assert handle.result is not None
        assert handle.result.exit_code == exit_code
        assert handle.logs() == f"run {exit_code}"


def test_what_is_launched_beside_a_job_in_its_context_is_known_by_its_own_id(lab: Lab) -> None:
    lab.ctx.put(FLContextKey.LAUNCH, Launch("job-1"), private=True, sticky=False)
    launcher = lab.launcher()
    handles = [launcher.launch_job({"job_id": job_id}, lab.ctx) for job_id in ("job-1", "beside")]
    assert [handle.identity.job_id for handle in handles] == ["job-1", "beside"]


def test_arguments_are_copied() -> None:
    env = {"A": "1"}
    launcher = TrainLauncher(env=env)
    env["A"] = "2"
    assert launcher.env == {"A": "1"}


# --- a plan that is told ---


class Planned(FLComponent):
    """Does something when it hears what will run."""

    def __init__(self, act: Callable[[FLContext], object]) -> None:
        super().__init__()
        self.act = act

    def handle_event(self, event_type: str, fl_ctx: FLContext) -> None:
        if event_type == EventType.JOB_LAUNCH_PLANNED:
            self.act(fl_ctx)


def refuse(_: FLContext) -> None:
    raise JobRejectedError("nobody has approved it")


def heard_by(lab: Lab, act: Callable[[FLContext], object]) -> None:
    lab.ctx = FakeFLContext(workspace=lab.workspace, components=[Planned(act)])


def test_what_will_run_is_told_before_anything_of_it_is_there(lab: Lab) -> None:
    def look(fl_ctx: FLContext) -> None:
        request = LaunchRequest.of(fl_ctx)
        assert request
        seen.append((request.asks["image"], lab.runtime.list_containers()))

    seen: list[Any] = []
    heard_by(lab, look)
    lab.runtime.image_ids["job:1"] = "sha256:1"
    lab.finish(lab.launch())
    assert seen == [({"name": "job:1", "id": "sha256:1"}, [])]


def test_nothing_stays_of_a_job_that_a_component_refuses_when_it_knows_what_will_run(lab: Lab) -> None:
    heard_by(lab, refuse)
    with pytest.raises(JobRejectedError, match="refused by the component Planned: nobody has approved it"):
        lab.launch()
    assert lab.runtime.list_containers() == []
    assert not (lab.workspace / "job-1").exists()
    assert [path for path in (lab.workspace / ".flcore/jobs").iterdir() if path.is_file()] == []


def test_it_is_the_image_that_was_told_that_runs_whatever_its_name_is_now(lab: Lab) -> None:
    def move_tag(_: FLContext) -> None:
        lab.runtime.image_ids["job:1"] = "sha256:another"

    lab.runtime.image_ids["job:1"] = "sha256:told"
    heard_by(lab, move_tag)
    handle = lab.launch()
    assert lab.runtime.container(NAME).spec.image == "sha256:told"
    lab.finish(handle)
