"""A site's process may die at any moment: the next one finds its jobs again, and tells what was not told."""

from __future__ import annotations

import errno
import json
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from flcore import EventType, FLComponent, FLContext, JobReturnCode
from flcore.errors import (
    JobAbortedError,
    OutcomeUnknownError,
    RuntimeRefusedError,
    RuntimeUnavailableError,
    TerminateTimeout,
)
from flcore.fl_constant import FLContextKey
from flcore.testing import EventRecorder, FakeFLContext
from launchers.container_spec import LABEL_LAUNCHER, LABEL_NONCE, LABEL_SITE_ID, ContainerSpec
from launchers.docker_launcher import DockerJobLauncher
from launchers.docker_state import ContainerState
from launchers.job_handle import ContainerJobHandle
from launchers.keeping.job_recovery import JobRecovery
from launchers.keeping.launch_steps import LaunchSteps
from launchers.records.job_record import JobRecord, RecordStore, unreadable_records
from launchers.runtime.fake import FakeRuntime

TIMEOUT = 10.0
META = {"job_id": "job-1"}
NAME = "site-1-job-1"
LIFE = ["created", "running", "exited"]


class SleepLauncher(DockerJobLauncher):
    def get_command(self, job_meta: dict[str, Any], fl_ctx: FLContext) -> tuple[str, str]:
        return f"{fl_ctx.get_identity_name()}-{job_meta['job_id']}", "sleep 600"


class Handles(FLComponent):
    """Collects the handles of recovered jobs."""

    def __init__(self) -> None:
        super().__init__()
        self.by_job: dict[str, ContainerJobHandle] = {}
        self._arrived = threading.Condition()

    def handle_event(self, event_type: str, fl_ctx: FLContext) -> None:
        if event_type == EventType.JOB_RECOVERED:
            with self._arrived:
                self.by_job[fl_ctx.get_job_id()] = fl_ctx.get_prop(FLContextKey.JOB_HANDLE)
                self._arrived.notify_all()

    def wait_for(self, job_id: str) -> ContainerJobHandle:
        with self._arrived:
            assert self._arrived.wait_for(lambda: job_id in self.by_job, TIMEOUT), f"{job_id} was not recovered"
            return self.by_job[job_id]


class Life:
    """One process of a site: from its start to its end, or its death."""

    def __init__(self, runtime: FakeRuntime, workspace: Path, **arguments: Any) -> None:
        self.handles = Handles()
        self.ctx = FakeFLContext(workspace=workspace, components=[self.handles])
        given = {"image": "job:1", "runtime": runtime, "stop_grace": 0}
        self.launcher = SleepLauncher(**{**given, **arguments})
        hasty = replace(self.launcher.job_settings, launch_patience=0.05, creation_grace=0.05, relist_interval=0.02)
        self.launcher.job_settings = hasty
        self.launcher.dispatch_event(EventType.SYSTEM_START, self.ctx)

    @property
    def recorder(self) -> EventRecorder:
        return self.ctx.recorder

    def launch(self, job_id: str = "job-1") -> ContainerJobHandle:
        handle = self.launcher.launch_job({"job_id": job_id}, self.ctx)
        self.recorder.wait_for_states(["created", "running"], job_id=job_id)
        return handle

    def end(self) -> None:
        self.launcher.dispatch_event(EventType.SYSTEM_END, self.ctx)


class Lab:
    """A runtime and a workspace that outlive the processes of their site."""

    def __init__(self, workspace: Path) -> None:
        self.runtime = FakeRuntime()
        self.workspace = workspace
        self._lives: list[Life] = []

    def life(self, **arguments: Any) -> Life:
        life = Life(self.runtime, self.workspace, **arguments)
        self._lives.append(life)
        return life

    def records(self) -> list[str]:
        folder = self.workspace / ".flcore" / "jobs"
        return [path.name for path in folder.iterdir()] if folder.is_dir() else []

    def until(self, condition: Callable[[], bool]) -> None:
        deadline = time.monotonic() + TIMEOUT
        pause = threading.Event()
        while not condition():
            assert time.monotonic() < deadline, "not in time"
            pause.wait(0.005)

    def until_nothing_is_left(self) -> None:
        self.until(lambda: not self.records() and not self.runtime.containers())

    def close(self) -> None:
        self.runtime.reachable = True
        for life in self._lives:
            life.end()


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Lab]:
    lab = Lab(tmp_path)
    yield lab
    lab.close()


# --- a job that runs ---


def test_a_running_job_becomes_a_handle_again(lab: Lab) -> None:
    first = lab.life()
    first.launch()
    first.end()
    handle = lab.life().handles.wait_for("job-1")
    assert handle.poll() is JobReturnCode.UNKNOWN
    lab.runtime.exit(NAME, 3)
    assert handle.wait() is JobReturnCode.EXECUTION_ERROR
    assert handle.result is not None
    assert handle.result.exit_code == 3
    lab.until_nothing_is_left()


def test_only_the_changes_that_nobody_was_told_are_told(lab: Lab) -> None:
    first = lab.life()
    first.launch()
    first.end()
    second = lab.life()
    lab.runtime.exit(NAME, 3)
    assert second.recorder.wait_for_end("job-1").exit_code == 3
    assert first.recorder.states() == ["created", "running"]
    assert [(change.previous, change.state) for change in second.recorder.changes] == [("running", "exited")]


def test_three_lives_tell_one_life(lab: Lab) -> None:
    first = lab.life()
    first.launch()
    first.end()
    second = lab.life()
    lab.runtime.pause(NAME)
    second.recorder.wait_for_states(["paused"])
    second.end()
    third = lab.life()
    lab.runtime.exit(NAME, 0)
    third.recorder.wait_for_end("job-1")
    told = [life.recorder.states() for life in (first, second, third)]
    assert told == [["created", "running"], ["paused"], ["exited"]]


def test_a_job_that_is_found_again_is_held_to_the_limit_of_its_disk_with_which_it_was_launched(lab: Lab) -> None:
    first = lab.life(limits={"disk": "1Mi"})
    first.launch()
    first.end()
    (lab.workspace / "job-1" / "data").write_bytes(bytes(2 << 20))
    found = lab.life().handles.wait_for("job-1")
    assert found.wait(TIMEOUT) is JobReturnCode.ABORTED
    assert found.result is not None
    assert found.result.ended_by == "the site: its folder holds more than the 1Mi that it may ('disk')"


def test_an_orphan_is_held_to_the_sites_own_limit_of_the_disk(lab: Lab) -> None:
    orphan(lab)
    (lab.workspace / "job-1" / "data").write_bytes(bytes(2 << 20))
    found = lab.life(limits={"disk": "1Mi"}).handles.wait_for("job-1")
    assert found.wait(TIMEOUT) is JobReturnCode.ABORTED
    assert "'disk'" in str(found.result)


def test_the_output_of_all_lives_is_kept(lab: Lab) -> None:
    first = lab.life()
    first.launch()
    lab.runtime.write(NAME, b"before\n")
    first.end()
    lab.runtime.write(NAME, b"meanwhile\n")
    second = lab.life()
    lab.runtime.write(NAME, b"after\n")
    lab.runtime.exit(NAME, 0)
    lab.until_nothing_is_left()
    assert second.handles.wait_for("job-1").logs() == "before\nmeanwhile\nafter\n"


def test_a_handle_is_there_though_the_engine_is_not(lab: Lab) -> None:
    first = lab.life()
    first.launch()
    first.end()
    lab.runtime.set_reachable(False)
    second = lab.life()
    handle = second.handles.by_job["job-1"]
    second.recorder.wait_for(EventType.ENGINE_UNREACHABLE)
    assert handle.poll() is JobReturnCode.UNKNOWN
    lab.runtime.exit(NAME, 7)
    lab.runtime.set_reachable(True)
    assert handle.wait() is JobReturnCode.EXECUTION_ERROR
    assert second.recorder.wait_for_end("job-1").exit_code == 7


def test_many_jobs_are_found_again(lab: Lab) -> None:
    first = lab.life()
    for number in range(20):
        first.launch(f"job-{number}")
    first.end()
    second = lab.life()
    for number in range(20):
        lab.runtime.exit(f"site-1-job-{number}", number)
    codes = [second.recorder.wait_for_end(f"job-{number}").exit_code for number in range(20)]
    assert codes == list(range(20))
    lab.until_nothing_is_left()


# --- a job that ended meanwhile ---


@pytest.mark.parametrize("exit_code", [0, 3])
def test_a_job_that_ended_meanwhile_has_its_own_result(lab: Lab, exit_code: int) -> None:
    first = lab.life()
    first.launch()
    first.end()
    lab.runtime.exit(NAME, exit_code)
    second = lab.life()
    assert second.recorder.wait_for_end("job-1").exit_code == exit_code
    lab.until_nothing_is_left()


def test_a_job_whose_container_is_gone_is_lost_and_no_success(lab: Lab) -> None:
    first = lab.life()
    first.launch()
    first.end()
    lab.runtime.remove(lab.runtime.container(NAME).id)
    result = lab.life().recorder.wait_for_end("job-1")
    assert result.return_code is JobReturnCode.INFRASTRUCTURE_ERROR
    lab.until_nothing_is_left()


class StubbornRuntime(FakeRuntime):
    """Does not remove containers until it is told to."""

    def __init__(self) -> None:
        super().__init__()
        self.removes = False

    def remove(self, container_id: str) -> None:
        if not self.removes:
            raise RuntimeUnavailableError("not now")
        super().remove(container_id)


@pytest.mark.parametrize("gone", [False, True])
def test_a_result_that_was_written_down_outlives_its_container(lab: Lab, gone: bool) -> None:
    lab.runtime = runtime = StubbornRuntime()
    first = lab.life()
    first.launch()
    lab.runtime.write(NAME, b"output\n")
    lab.runtime.exit(NAME, 3)
    lab.until(lambda: b'"kept"' in (lab.workspace / ".flcore" / "jobs" / lab.records()[0]).read_bytes())
    first.end()
    runtime.removes = True
    if gone:
        runtime.remove(lab.runtime.container(NAME).id)
    second = lab.life()
    handle = second.handles.wait_for("job-1")
    assert handle.wait() is JobReturnCode.EXECUTION_ERROR
    assert handle.result is not None
    assert (handle.result.exit_code, handle.result.error) == (3, "exit code 3; its last output: output")
    assert handle.logs() == "output\n"
    assert second.recorder.states() == []  # all was told
    lab.until_nothing_is_left()


# --- a launch that was cut off ---


class DyingRuntime(FakeRuntime):
    """Dies with the site's process, at a moment of the test's choice."""

    def __init__(self, at: str) -> None:
        super().__init__()
        self.at = at

    def create(self, spec: ContainerSpec) -> str:
        self._die("before create")
        container_id = super().create(spec)
        self._die("after create")
        return container_id

    def start(self, container_id: str) -> None:
        self._die("before start")
        super().start(container_id)
        self._die("after start")

    def _die(self, at: str) -> None:
        if self.at == at:
            raise DeadError


class DeadError(BaseException):
    """The process is no more: nothing that it would have done is done."""


@pytest.fixture
def sudden_death(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have a launch that is cut off do nothing any more, as that of a process which was killed."""
    monkeypatch.setattr(LaunchSteps, "give_up", lambda *_: False)


@pytest.mark.usefixtures("sudden_death")
@pytest.mark.parametrize("at", ["before create", "after create", "before start"])
def test_of_a_launch_that_was_cut_off_nothing_is_left(lab: Lab, at: str) -> None:
    lab.runtime = DyingRuntime(at)
    first = lab.life()
    with pytest.raises(DeadError):
        first.launcher.launch_job(META, first.ctx)
    first.end()
    second = lab.life()
    result = second.recorder.wait_for_end("job-1")
    assert result.return_code in (JobReturnCode.ABORTED, JobReturnCode.INFRASTRUCTURE_ERROR)
    assert "died before the job was started" in result.error or "never made" in result.error
    lab.until_nothing_is_left()


@pytest.mark.usefixtures("sudden_death")
def test_a_job_that_was_started_just_before_the_death_goes_on(lab: Lab) -> None:
    lab.runtime = DyingRuntime("after start")
    first = lab.life()
    with pytest.raises(DeadError):
        first.launcher.launch_job(META, first.ctx)
    first.end()
    second = lab.life()
    handle = second.handles.wait_for("job-1")
    assert handle.enter_states("running", TIMEOUT)
    lab.runtime.exit(NAME, 0)
    assert handle.wait() is JobReturnCode.SUCCESS
    second.recorder.wait_for_end("job-1")
    assert first.recorder.states() + second.recorder.states() == LIFE


# --- a request to end that was cut off ---


def test_a_request_to_end_is_carried_out_by_the_next_process(lab: Lab) -> None:
    first = lab.life()
    handle = first.launch()
    lab.runtime.set_reachable(False)
    handle.confirm_timeout = 0
    with pytest.raises(TerminateTimeout):
        handle.terminate(by="the operator")
    first.end()
    lab.runtime.set_reachable(True)
    result = lab.life().recorder.wait_for_end("job-1")
    assert (result.return_code, result.ended_by) == (JobReturnCode.ABORTED, "the operator")
    lab.until_nothing_is_left()


# --- containers that no record tells of ---


def orphan(lab: Lab) -> None:
    """Have a job run whose record nobody can read."""
    first = lab.life()
    first.launch()
    first.end()
    spoil_all(lab)


def spoil_all(lab: Lab) -> None:
    for path in (lab.workspace / ".flcore" / "jobs").iterdir():
        path.write_bytes(b"\n{}\n")


def test_an_orphan_is_adopted(lab: Lab) -> None:
    orphan(lab)
    second = lab.life()
    handle = second.handles.wait_for("job-1")
    lab.runtime.exit(NAME, 3)
    assert handle.wait() is JobReturnCode.EXECUTION_ERROR
    second.recorder.wait_for_end("job-1")
    assert second.recorder.states() == LIFE
    lab.until_nothing_is_left()


def test_an_orphan_may_be_stopped(lab: Lab) -> None:
    orphan(lab)
    result = lab.life(orphans="stop").recorder.wait_for_end("job-1")
    assert (result.return_code, result.exit_code) == (JobReturnCode.ABORTED, 143)
    assert "orphans" in result.ended_by
    lab.until_nothing_is_left()


def test_an_orphan_may_be_ignored(lab: Lab, caplog: pytest.LogCaptureFixture) -> None:
    orphan(lab)
    second = lab.life(orphans="ignore")
    lab.until(lambda: "is no known job's; it is left alone" in caplog.text)
    assert second.handles.by_job == {}
    assert lab.runtime.container(NAME).state.state == "running"


@pytest.mark.parametrize("name", [NAME, "copy"])
@pytest.mark.parametrize("orphans", ["adopt", "stop"])
def test_a_container_that_the_site_has_not_written_down_is_left_alone_whatever_its_labels_say(
    lab: Lab, orphans: str, name: str, caplog: pytest.LogCaptureFixture
) -> None:
    first = lab.life()
    first.launch()
    labels = lab.runtime.container(NAME).spec.labels
    lab.runtime.exit(NAME, 0)
    lab.until_nothing_is_left()
    first.end()
    lab.runtime.start(lab.runtime.create(ContainerSpec(name, "job:1", ("sleep",), labels=labels)))
    second = lab.life(orphans=orphans)
    lab.until(lambda: "which knows nothing of it; it is left alone" in caplog.text)
    assert second.handles.by_job == {}
    assert lab.runtime.container(name).state.state == "running"


def test_a_copy_of_a_container_whose_record_cannot_be_read_is_left_alone(lab: Lab) -> None:
    orphan(lab)
    (path,) = (lab.workspace / ".flcore" / "jobs").iterdir()
    path.write_text('{"name": "site-1-job-1", "parent": null, "job_id": "job-1"}\n')
    labels = lab.runtime.container(NAME).spec.labels
    lab.runtime.start(lab.runtime.create(ContainerSpec("copy", "job:1", ("sleep",), labels=labels)))
    lab.life().handles.wait_for("job-1")
    lab.runtime.exit(NAME, 0)
    lab.until(lambda: not lab.records())
    assert lab.runtime.container("copy").state.state == "running"


def test_a_container_without_a_record_is_adopted_if_the_journal_tells_of_it(lab: Lab) -> None:
    first = lab.life()
    first.launch()
    first.end()
    for path in (lab.workspace / ".flcore" / "jobs").iterdir():
        path.unlink()
    told = {"container_id": lab.runtime.container(NAME).id, "container_name": NAME, "site": "site-1", "job_id": "job-1"}
    line = {"event": "state_change", "time": 1.0, "state": "running", "result": None, **told}
    (lab.workspace / ".flcore" / "journal.jsonl").write_text(json.dumps(line) + "\n")
    lab.life().handles.wait_for("job-1")


def test_an_orphan_that_never_started_is_removed(lab: Lab) -> None:
    orphan(lab)
    labels = lab.runtime.container(NAME).spec.labels
    lab.runtime.remove(lab.runtime.container(NAME).id)
    lab.runtime.create(ContainerSpec(NAME, "job:1", ("sleep",), labels=labels))
    lab.life().recorder.wait_for_end("job-1")
    lab.until_nothing_is_left()


@pytest.mark.parametrize("label", [LABEL_SITE_ID, LABEL_LAUNCHER])
def test_what_is_not_ours_is_left_alone(lab: Lab, label: str) -> None:
    orphan(lab)
    container = lab.runtime.container(NAME)
    container.spec = replace(container.spec, labels=container.spec.labels | {label: "another's"})
    second = lab.life()
    second.launch("job-2")
    lab.runtime.exit("site-1-job-2", 0)
    second.recorder.wait_for_end("job-2")
    second.end()
    assert list(second.handles.by_job) == []
    assert lab.runtime.container(NAME).state.state == "running"


def test_the_jobs_of_a_living_process_are_left_alone(lab: Lab) -> None:
    first, second = lab.life(), lab.life()
    handle = first.launch()
    second.launch("job-2")
    third = lab.life()
    lab.runtime.exit(NAME, 3)
    assert handle.wait() is JobReturnCode.EXECUTION_ERROR
    assert second.handles.by_job == third.handles.by_job == {}


def test_an_ended_container_that_a_site_keeps_is_left_alone(lab: Lab) -> None:
    first = lab.life(keep=True)
    handle = first.launch()
    lab.runtime.exit(NAME, 0)
    handle.wait()
    lab.until(lambda: not lab.records())
    first.end()
    second = lab.life(keep=True)
    second.launch("job-2")
    lab.runtime.exit("site-1-job-2", 0)
    second.recorder.wait_for_end("job-2")
    assert second.handles.by_job == {}
    assert lab.runtime.container(NAME).state.state == "exited"


# --- what costs nothing ---


def test_a_site_that_has_launched_nothing_asks_no_engine_and_writes_nothing(lab: Lab) -> None:
    lab.runtime.reachable = False
    life = lab.life()
    life.end()
    assert life.recorder.events == []
    assert list(lab.workspace.iterdir()) == []


def test_a_finished_job_leaves_no_record(lab: Lab) -> None:
    life = lab.life()
    handle = life.launch()
    lab.runtime.exit(NAME, 0)
    handle.wait()
    lab.until_nothing_is_left()


# --- records and disks that are no good ---


def full_disk(*_: object, **__: object) -> None:
    raise OSError(errno.ENOSPC, "No space left on device")


def spoil(lab: Lab, job_id: str, **fields: Any) -> None:
    """Have a job's record say something, as another version would."""
    (path,) = (lab.workspace / ".flcore" / "jobs").glob(f"{job_id}.*")
    JobRecord(path).note(**fields)


FROM_ANOTHER_VERSION = {
    "how far it was told": {"told": {"state": "running"}},
    "a state": {"told": ["hibernating", ["created"], 1.0]},
    "when it was told": {"told": ["running", ["created", "running"], "at noon"]},
    "a wish": {"end_request": "please"},
    "when a wish was uttered": {"end_request": {"by": "x", "time": "at noon"}},
    "an end": {"seen": ["exited", 0]},
    "an exit code": {"seen": {"state": "exited", "exit_code": "nought"}},
    "what was kept": {"kept": "yes"},
}


@pytest.mark.parametrize("fields", FROM_ANOTHER_VERSION.values(), ids=FROM_ANOTHER_VERSION)
def test_what_another_version_has_written_costs_that_and_neither_its_job_nor_another(
    lab: Lab, fields: dict[str, Any]
) -> None:
    first = lab.life()
    for job_id in ("job-0", "job-1", "job-2"):
        first.launch(job_id)
    first.end()
    spoil(lab, "job-1", **fields)
    second = lab.life()
    for job_id in ("job-0", "job-1", "job-2"):
        handle = second.handles.wait_for(job_id)
        lab.runtime.exit(f"site-1-{job_id}", 3)
        assert handle.wait() is JobReturnCode.EXECUTION_ERROR
    lab.until_nothing_is_left()
    assert [path.name.partition(".")[0] for path in unreadable_records(lab.workspace / ".flcore")] == ["job-1"]


def test_a_wish_of_a_newer_version_counts_as_far_as_it_is_understood(lab: Lab) -> None:
    first = lab.life()
    first.launch()
    first.end()
    spoil(lab, "job-1", end_request={"by": "me", "time": 1.0, "delivered": None, "why": "not known yet"})
    handle = lab.life().handles.wait_for("job-1")
    assert handle.wait() is JobReturnCode.ABORTED
    assert unreadable_records(lab.workspace / ".flcore") == []


def test_a_job_whose_record_cannot_be_read_at_all_is_found_by_its_container(lab: Lab) -> None:
    first = lab.life()
    first.launch()
    first.end()
    (path,) = (lab.workspace / ".flcore" / "jobs").iterdir()
    path.unlink()
    path.mkdir()
    handle = lab.life().handles.wait_for("job-1")
    lab.runtime.exit(NAME, 3)
    assert handle.wait() is JobReturnCode.EXECUTION_ERROR
    lab.until_nothing_is_left()


def test_jobs_are_found_when_the_disk_is_well_again_that_was_full_at_the_start(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = lab.life()
    first.launch()
    first.end()
    monkeypatch.setattr("launchers.keeping.job_recovery.retry_delay", lambda _: 0.01)
    attempts = []
    real = RecordStore.open

    def open_later(store: RecordStore) -> None:
        attempts.append(store)
        if len(attempts) < 3:
            raise OSError(errno.ENOSPC, "No space left on device")
        real(store)

    monkeypatch.setattr(RecordStore, "open", open_later)
    handle = lab.life().handles.wait_for("job-1")
    lab.runtime.exit(NAME, 0)
    assert handle.wait() is JobReturnCode.SUCCESS


def test_an_orphan_that_cannot_be_dealt_with_keeps_no_other_from_being_adopted(lab: Lab) -> None:
    class Particular(FakeRuntime):
        def inspect(self, container_id: str) -> ContainerState:
            if self.native(container_id) is self.container("site-1-job-1"):
                raise RuntimeRefusedError("RWLayer is unexpectedly nil")
            return super().inspect(container_id)

    first = lab.life()
    for job_id in ("job-1", "job-2"):
        first.launch(job_id)
    first.end()
    spoil_all(lab)
    lab.runtime.__class__ = Particular
    lab.life().handles.wait_for("job-2")


def test_an_orphan_that_is_listed_while_its_record_is_being_read_is_adopted(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = lab.life()
    first.launch("job-1")
    first.end()
    spoil_all(lab)
    container = lab.runtime.container(NAME)
    container.state = replace(container.state, created_at=0.0)  # so that nobody takes it for too young
    dealt = threading.Event()
    set_aside, deal_with = RecordStore.set_aside, JobRecovery.deal_with

    def when_listed(store: RecordStore, path: Path, why: object) -> None:
        assert dealt.wait(TIMEOUT)
        set_aside(store, path, why)

    def deal(recovery: JobRecovery, *unknown: Any) -> bool:
        again = deal_with(recovery, *unknown)
        dealt.set()
        return again

    monkeypatch.setattr(RecordStore, "set_aside", when_listed)
    monkeypatch.setattr(JobRecovery, "deal_with", deal)
    lab.life().handles.wait_for("job-1")


def test_an_orphan_is_adopted_though_that_cannot_be_written_down(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    first = lab.life()
    first.launch()
    first.end()
    spoil_all(lab)

    monkeypatch.setattr(RecordStore, "add", full_disk)
    handle = lab.life().handles.wait_for("job-1")
    lab.runtime.exit(NAME, 3)
    assert handle.wait() is JobReturnCode.EXECUTION_ERROR


# --- launches without an answer ---


class SilentRuntime(FakeRuntime):
    """Does what it is asked for, but does not say so: the first time, or every time."""

    def __init__(self, answers_later: bool, does_it: bool = True) -> None:
        super().__init__()
        self.creations = 0
        self._answers_later = answers_later
        self._does_it = does_it

    def create(self, spec: ContainerSpec) -> str:
        self.creations += 1
        if self._does_it or self.creations > 1:
            made = super().create(spec)
        if self.creations > 1 and self._answers_later:
            return made
        raise RuntimeUnavailableError("timed out")


def has_answered(life: Life) -> None:
    """Have it known that the engine answers in general."""
    life.launcher.open_keeper(life.ctx).launchpad.has_answered = True


@pytest.mark.parametrize("does_it", [True, False])
def test_an_unanswered_creation_is_repeated_and_makes_one_container(lab: Lab, does_it: bool) -> None:
    lab.runtime = SilentRuntime(answers_later=True, does_it=does_it)
    life = lab.life()
    life.launcher.job_settings = replace(life.launcher.job_settings, launch_patience=TIMEOUT)
    has_answered(life)
    handle = life.launch()
    assert [container.id for container in lab.runtime.containers()] == [handle.identity.container_id]
    lab.runtime.exit(NAME, 0)
    assert handle.wait() is JobReturnCode.SUCCESS


def test_a_creation_that_is_never_answered_is_unknown_and_what_it_made_is_removed(lab: Lab) -> None:
    lab.runtime = SilentRuntime(answers_later=False)
    life = lab.life()
    with pytest.raises(OutcomeUnknownError, match="if its container appears, it is removed"):
        life.launcher.launch_job(META, life.ctx)
    lab.until_nothing_is_left()


class LateRuntime(FakeRuntime):
    """Makes a container only long after it was asked for one."""

    def create(self, spec: ContainerSpec) -> str:
        self.late_spec = spec
        raise RuntimeUnavailableError("timed out")


def test_a_container_that_appears_when_nobody_waits_for_it_any_more_is_removed(lab: Lab) -> None:
    lab.runtime = runtime = LateRuntime()
    life = lab.life()
    with pytest.raises(OutcomeUnknownError):
        life.launcher.launch_job(META, life.ctx)
    lab.until(lambda: not lab.records())
    FakeRuntime.create(runtime, runtime.late_spec)
    life.launcher.open_keeper(life.ctx).tracker.sweep()
    lab.until_nothing_is_left()


def test_a_creation_that_is_refused_after_an_unanswered_one_leaves_nothing_of_either(lab: Lab) -> None:
    class Contrary(SilentRuntime):
        def create(self, spec: ContainerSpec) -> str:
            if self.creations:
                raise RuntimeRefusedError("an error of the engine's own")
            return super().create(spec)

    lab.runtime = Contrary(answers_later=False)
    life = lab.life()
    life.launcher.job_settings = replace(life.launcher.job_settings, launch_patience=TIMEOUT)
    has_answered(life)
    with pytest.raises(RuntimeRefusedError):
        life.launcher.launch_job(META, life.ctx)
    lab.until_nothing_is_left()


def test_what_an_unanswered_creation_made_is_removed_though_the_record_cannot_be_written(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    class FillsTheDisk(SilentRuntime):
        def create(self, spec: ContainerSpec) -> str:
            monkeypatch.setattr(JobRecord, "note", full_disk)
            return super().create(spec)

    lab.runtime = FillsTheDisk(answers_later=False)
    life = lab.life()
    with pytest.raises(OutcomeUnknownError, match="if its container appears, it is removed"):
        life.launcher.launch_job(META, life.ctx)
    lab.until(lambda: not lab.runtime.containers())
    monkeypatch.undo()


def test_a_creation_that_never_got_there_is_known_to_have_made_nothing(lab: Lab) -> None:
    class ClosedRuntime(FakeRuntime):
        def create(self, spec: ContainerSpec) -> str:
            raise RuntimeUnavailableError("connection refused", reached=False)

    lab.runtime = ClosedRuntime()
    life = lab.life()
    with pytest.raises(RuntimeUnavailableError) as caught:
        life.launcher.launch_job(META, life.ctx)
    assert not isinstance(caught.value, OutcomeUnknownError)
    assert lab.records() == []


class HalfDeafRuntime(FakeRuntime):
    """Starts a container, or not, and does not say which."""

    def __init__(self, starts: bool) -> None:
        super().__init__()
        self._starts = starts

    def start(self, container_id: str) -> None:
        if self._starts:
            super().start(container_id)
        raise RuntimeUnavailableError("timed out")


def test_an_unanswered_start_that_worked_is_a_launch(lab: Lab) -> None:
    lab.runtime = HalfDeafRuntime(starts=True)
    life = lab.life()
    life.launcher.job_settings = replace(life.launcher.job_settings, launch_patience=TIMEOUT)
    handle = life.launch()
    lab.runtime.exit(NAME, 3)
    assert handle.wait() is JobReturnCode.EXECUTION_ERROR


def test_an_unanswered_start_that_did_not_work_leaves_nothing(lab: Lab) -> None:
    lab.runtime = HalfDeafRuntime(starts=False)
    life = lab.life()
    with pytest.raises(OutcomeUnknownError):
        life.launcher.launch_job(META, life.ctx)
    lab.until_nothing_is_left()


# --- launches that somebody calls back ---


class SlowRuntime(FakeRuntime):
    """Creates a container when it is allowed to."""

    def __init__(self) -> None:
        super().__init__()
        self.creating, self.may_go_on = threading.Event(), threading.Event()

    def create(self, spec: ContainerSpec) -> str:
        self.creating.set()
        assert self.may_go_on.wait(TIMEOUT)
        return super().create(spec)


def test_a_launch_that_is_called_back_raises_and_leaves_nothing(lab: Lab) -> None:
    lab.runtime = runtime = SlowRuntime()
    life = lab.life()
    errors: list[BaseException] = []

    def launch() -> None:
        try:
            life.launcher.launch_job(META, life.ctx)
        except JobAbortedError as error:
            errors.append(error)

    thread = threading.Thread(target=launch)
    thread.start()
    assert runtime.creating.wait(TIMEOUT)
    assert life.launcher.abort_launch("job-1", "the operator")
    runtime.may_go_on.set()
    thread.join(TIMEOUT)
    assert [str(error) for error in errors] == ["job job-1: its launch was ended on the request of the operator"]
    lab.until_nothing_is_left()


def test_only_a_launch_that_is_under_way_can_be_called_back(lab: Lab) -> None:
    life = lab.life()
    assert not life.launcher.abort_launch("job-1", "the operator")
    life.launch()
    assert not life.launcher.abort_launch("job-1", "the operator")


# --- labels ---


def test_every_container_has_a_nonce_of_its_own(lab: Lab) -> None:
    life = lab.life()
    for number in range(3):
        life.launch(f"job-{number}")
    nonces = {container.spec.labels[LABEL_NONCE] for container in lab.runtime.containers()}
    assert len(nonces) == 3
