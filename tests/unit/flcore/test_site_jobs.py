"""A site's jobs: handles old and new, jobs that were found again, ended at any phase, and at the site's end."""

import json
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from flcore import EventType, FLComponent, FLContext, FLContextKey, JobHandleSpec, JobResult, JobReturnCode, Site
from flcore import job_registry as job_registry_module
from flcore.errors import (
    ConfigError,
    ImageError,
    JobAbortedError,
    JobLaunchError,
    JobRejectedError,
    NameInUseError,
    TerminateTimeout,
    UnknownJobError,
)
from flcore.launch import Launch
from flcore.testing import EventRecorder
from launchers.docker_launcher import ClientDockerJobLauncher
from launchers.runtime.fake import FakeRuntime
from tests.conftest import At, Launcher, PlainHandle, but_for_changes, recover

TIMEOUT = 10
META = {"job_id": "j1"}
ARGS: dict[str, tuple[str, Any]] = {"exe_module": ("-m", "client")}
ABORTED, SUCCESS, UNKNOWN = JobReturnCode.ABORTED, JobReturnCode.SUCCESS, JobReturnCode.UNKNOWN


def of_job(recorder: EventRecorder, job_id: str) -> list[str]:
    """Return the types of a job's events, but for its state changes."""
    return but_for_changes(event.event_type for event in recorder.events if event.job_id == job_id)


# --- launches that are broken off ---


@pytest.mark.parametrize("error", [KeyboardInterrupt(), SystemExit(143)])
def test_a_job_that_runs_when_its_launch_is_interrupted_is_ended_and_its_end_is_told(
    make_site: Callable[..., Site],
    event_recorder: EventRecorder,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    error: BaseException,
) -> None:
    def interrupted(_: Path) -> None:
        raise error

    (tmp_path / "app").mkdir()
    handle = PlainHandle()
    site = make_site(launcher=Launcher(lambda *_: handle))
    with site:
        monkeypatch.setattr("flcore.disk.staged_files.remove", interrupted)  # called when the job runs
        with pytest.raises(type(error)):
            site.launch_job(META, ARGS, tmp_path / "app")
        assert handle.poll() == ABORTED
        assert list(site.jobs()) == ["j1"]
    assert of_job(event_recorder, "j1") == [EventType.BEFORE_JOB_LAUNCH, EventType.JOB_ABORTED]


# --- jobs that were found again ---


class Finding(FLComponent):
    """A launcher, as far as its start goes: finds the jobs of an earlier process again."""

    def __init__(self, **found: JobHandleSpec) -> None:
        super().__init__()
        self._found = found

    def handle_event(self, event_type: str, fl_ctx: FLContext) -> None:
        if event_type == EventType.SYSTEM_START:
            for job_id, handle in self._found.items():
                recover(fl_ctx.get_engine(), job_id, handle)


def test_a_job_that_was_found_again_is_among_the_jobs_and_its_end_is_told(
    make_site: Callable[..., Site], event_recorder: EventRecorder
) -> None:
    handle = PlainHandle()
    site = make_site(finding=Finding(r1=handle))
    site.start()
    assert site.jobs() == {"r1": handle}
    handle.end(SUCCESS)
    assert event_recorder.wait_for(EventType.JOB_COMPLETED, job_id="r1").result == JobResult(SUCCESS)
    assert of_job(event_recorder, "r1") == [EventType.JOB_RECOVERED, EventType.JOB_COMPLETED]


def test_a_job_that_was_found_again_is_aborted_as_any_other(
    make_site: Callable[..., Site], event_recorder: EventRecorder
) -> None:
    handle = PlainHandle()
    site = make_site(finding=Finding(r1=handle))
    site.start()
    assert site.abort_job("r1", by="the operator") is ABORTED
    assert handle.ended_by == ["the operator"]
    event_recorder.wait_for(EventType.JOB_ABORTED, job_id="r1")


def test_a_job_is_among_the_jobs_before_any_component_hears_that_it_was_found_again(tmp_path: Any) -> None:
    seen: list[Any] = []
    looking = At(EventType.JOB_RECOVERED, lambda: seen.append(site.jobs()))
    handle = PlainHandle()
    site = Site("site-1", {"looking": looking, "finding": Finding(r1=handle)}, tmp_path)
    site.start()
    assert seen == [{"r1": handle}]


def test_the_end_of_a_job_is_told_after_all_have_heard_that_it_was_found_again(
    make_site: Callable[..., Site], event_recorder: EventRecorder
) -> None:
    class Ended(PlainHandle):
        """Calls back at once, as a handle may whose job has ended."""

        def add_done_callback(self, callback: Callable[[JobHandleSpec], None]) -> None:
            callback(self)

    handle = Ended()
    handle.end(SUCCESS)
    make_site(finding=Finding(r1=handle)).start()
    assert of_job(event_recorder, "r1") == [EventType.JOB_RECOVERED, EventType.JOB_COMPLETED]


def test_a_job_that_runs_already_is_not_overwritten(
    make_site: Callable[..., Site], caplog: pytest.LogCaptureFixture
) -> None:
    site = make_site(launcher=Launcher())
    handle = site.launch_job(META)
    recover(site, "j1", PlainHandle())
    assert site.jobs() == {"j1": handle}
    assert caplog.messages == ["site site-1: job j1 was found again, but is launched or runs already"]


def test_a_job_that_is_being_launched_is_not_overwritten(
    make_site: Callable[..., Site], caplog: pytest.LogCaptureFixture
) -> None:
    site = make_site(launcher=Launcher())
    site.add_component("finding", At(EventType.BEFORE_JOB_LAUNCH, lambda: recover(site, "j1", PlainHandle())))
    handle = site.launch_job(META)
    assert site.jobs() == {"j1": handle}
    assert caplog.messages == ["site site-1: job j1 was found again, but is launched or runs already"]


def test_a_job_that_was_found_again_without_a_handle_is_not_taken_in(
    make_site: Callable[..., Site], event_recorder: EventRecorder, caplog: pytest.LogCaptureFixture
) -> None:
    site = make_site()
    recover(site, "j1", None)
    assert site.jobs() == {}
    assert caplog.messages == ["site site-1: job j1 was found again, but has no handle"]
    assert of_job(event_recorder, "j1") == [EventType.JOB_RECOVERED]


def test_an_ended_job_of_the_same_id_makes_way_for_one_that_was_found_again(make_site: Callable[..., Site]) -> None:
    site, handle = make_site(launcher=Launcher()), PlainHandle()
    site.launch_job(META).terminate()
    recover(site, "j1", handle)
    assert site.jobs() == {"j1": handle}


def test_a_job_that_was_found_again_cannot_be_launched_while_it_runs(make_site: Callable[..., Site]) -> None:
    site = make_site(launcher=Launcher(), finding=Finding(j1=PlainHandle()))
    with pytest.raises(NameInUseError):
        site.launch_job(META)


def test_a_job_that_was_left_running_is_found_again_by_the_same_site(make_site: Callable[..., Site]) -> None:
    again = PlainHandle()
    site = make_site(launcher=Launcher(), admission={"running": 1, "queued": 0})
    site.launch_job(META)
    site.close()
    site.add_component("finding", Finding(j1=again))
    site.start()
    assert site.jobs() == {"j1": again}
    again.end(SUCCESS)


def test_who_launches_while_another_thread_starts_the_site_waits_until_earlier_jobs_are_known(
    make_site: Callable[..., Site], pool: ThreadPoolExecutor
) -> None:
    starting, go_on = threading.Event(), threading.Event()

    def find() -> None:
        starting.set()
        go_on.wait(TIMEOUT)
        recover(site, "j1", PlainHandle())

    site = make_site(launcher=Launcher(), finding=At(EventType.SYSTEM_START, find))
    start = pool.submit(site.start)
    assert starting.wait(TIMEOUT)
    launch = pool.submit(site.launch_job, META)
    go_on.set()
    start.result(TIMEOUT)
    with pytest.raises(NameInUseError):
        launch.result(TIMEOUT)


# --- ended jobs are not kept for ever ---


def test_of_ended_jobs_the_newest_are_kept_and_of_running_ones_all(
    make_site: Callable[..., Site], event_recorder: EventRecorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(job_registry_module, "KEPT_HANDLES", 2)
    site = make_site(launcher=Launcher())
    handles = [site.launch_job({"job_id": f"j{number}"}) for number in range(6)]
    for number in (4, 0, 3, 1):
        handles[number].terminate()
        event_recorder.wait_for(EventType.JOB_ABORTED, job_id=f"j{number}")
    assert list(site.jobs()) == ["j1", "j2", "j3", "j5"]
    with pytest.raises(UnknownJobError) as raised:
        site.abort_job("j4")
    assert str(raised.value) == "site site-1 knows no job 'j4'; it may have ended long ago"


def test_a_job_that_was_launched_again_is_as_new_as_its_last_end(
    make_site: Callable[..., Site], event_recorder: EventRecorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(job_registry_module, "KEPT_HANDLES", 1)
    site = make_site(launcher=Launcher())
    site.launch_job(META).terminate()
    event_recorder.wait_for(EventType.JOB_ABORTED)
    again = site.launch_job(META)
    site.launch_job({"job_id": "j2"}).terminate()
    event_recorder.wait_for(EventType.JOB_ABORTED, job_id="j2")
    assert site.jobs()["j1"] is again
    assert list(site.jobs()) == ["j1", "j2"]


# --- ending a job, whatever it is at ---


class Recalling(Launcher):
    """A launcher that is at work until it is called back: then its launch raises ``error``, or returns a handle."""

    def __init__(self, error: Exception | None = None) -> None:
        super().__init__(self._work)
        self.launching = threading.Event()
        self.handle = PlainHandle()
        self._error = error
        self._called_back = threading.Event()

    def _work(self) -> JobHandleSpec:
        self.launching.set()
        self._called_back.wait(TIMEOUT)
        if self._error:
            raise self._error
        return self.handle

    def abort_launch(self, job_id: str, by: str) -> bool:
        self._called_back.set()
        return self._error is not None


class Failing(Recalling):
    def abort_launch(self, job_id: str, by: str) -> bool:
        super().abort_launch(job_id, by)
        raise OSError("no")


BACK = JobAbortedError("called back", "the operator")


def test_a_launch_that_is_under_way_is_called_back(
    make_site: Callable[..., Site], pool: ThreadPoolExecutor, event_recorder: EventRecorder
) -> None:
    launcher = Recalling(BACK)
    site = make_site(launcher=launcher)
    launch = pool.submit(site.launch_job, META)
    assert launcher.launching.wait(TIMEOUT)
    assert site.abort_job("j1", by="the operator") is ABORTED
    with pytest.raises(JobAbortedError, match="called back"):
        launch.result(TIMEOUT)
    assert event_recorder.wait_for(EventType.JOB_ABORTED).result == JobResult(
        ABORTED, error="called back", ended_by="the operator"
    )
    assert of_job(event_recorder, "j1") == [EventType.BEFORE_JOB_LAUNCH, EventType.JOB_ABORTED]
    assert site.jobs() == {}


@pytest.mark.parametrize("kind", [Recalling, Failing])
def test_a_job_whose_launch_cannot_be_called_back_is_ended_as_soon_as_it_is_launched(
    make_site: Callable[..., Site], pool: ThreadPoolExecutor, event_recorder: EventRecorder, kind: type[Recalling]
) -> None:
    launcher = kind()
    site = make_site(launcher=launcher)
    launch = pool.submit(site.launch_job, META)
    assert launcher.launching.wait(TIMEOUT)
    assert site.abort_job("j1", by="the operator") is ABORTED
    assert launch.result(TIMEOUT) is launcher.handle
    assert set(launcher.handle.ended_by) == {"the operator"}
    event_recorder.wait_for(EventType.JOB_ABORTED)
    assert of_job(event_recorder, "j1") == [
        EventType.BEFORE_JOB_LAUNCH,
        EventType.AFTER_JOB_LAUNCH,
        EventType.JOB_ABORTED,
    ]


class Looking(Launcher):
    """A launcher that looks at the launch in its context, and waits for somebody to ask for its end."""

    def __init__(self, *, passes_the_point_of_no_return: bool) -> None:
        super().__init__()
        self.launching, self.asked = threading.Event(), threading.Event()
        self.handle = PlainHandle()
        self._starts = passes_the_point_of_no_return

    def launch_job(self, job_meta: dict[str, Any], fl_ctx: FLContext) -> JobHandleSpec:
        launch = Launch.of(fl_ctx, job_meta["job_id"])
        if self._starts:
            launch.begin_start()
        self.launching.set()
        if self._starts:
            self.asked.wait(TIMEOUT)
        else:
            launch.wait_for_end_request(TIMEOUT)
        launch.raise_if_ended()
        return self.handle


def test_a_launcher_that_looks_at_its_launch_needs_no_other_call(
    make_site: Callable[..., Site], pool: ThreadPoolExecutor
) -> None:
    launcher = Looking(passes_the_point_of_no_return=False)
    site = make_site(launcher=launcher)
    launch = pool.submit(site.launch_job, META)
    assert launcher.launching.wait(TIMEOUT)
    assert site.abort_job("j1", by="the operator") is ABORTED
    with pytest.raises(JobAbortedError, match=r"^job j1: its launch was ended on the request of the operator$"):
        launch.result(TIMEOUT)
    assert launcher.handle.ended_by == []


def test_a_launch_past_the_point_of_no_return_is_ended_by_its_handle(
    make_site: Callable[..., Site], pool: ThreadPoolExecutor
) -> None:
    launcher = Looking(passes_the_point_of_no_return=True)
    site = make_site(launcher=launcher)
    launch = pool.submit(site.launch_job, META)
    assert launcher.launching.wait(TIMEOUT)
    abort = pool.submit(site.abort_job, "j1", by="the operator")
    launcher.asked.set()
    assert abort.result(TIMEOUT) is ABORTED
    assert launch.result(TIMEOUT) is launcher.handle
    assert set(launcher.handle.ended_by) == {"the operator"}


def test_a_launch_that_a_site_only_describes_is_none(make_site: Callable[..., Site]) -> None:
    seen: list[Any] = []

    class Describing(Launcher):
        def describe_launch(self, job_meta: dict[str, Any], fl_ctx: FLContext) -> None:
            seen.append(fl_ctx.get_prop(FLContextKey.LAUNCH))

    make_site(launcher=Describing()).describe_launch(META)
    assert seen == [None]


def test_a_launch_that_fails_while_it_is_ended_keeps_its_reason(
    make_site: Callable[..., Site], pool: ThreadPoolExecutor
) -> None:
    launcher = Recalling(ImageError("no image"))
    site = make_site(launcher=launcher)
    launch = pool.submit(site.launch_job, META)
    assert launcher.launching.wait(TIMEOUT)
    assert site.abort_job("j1") is JobReturnCode.EXECUTION_ERROR
    with pytest.raises(ImageError):
        launch.result(TIMEOUT)


def test_a_component_can_end_a_launch_before_the_launcher_is_at_it(
    make_site: Callable[..., Site], event_recorder: EventRecorder
) -> None:
    codes: list[JobReturnCode] = []
    launcher = Launcher()
    site = make_site(launcher=launcher)
    objecting = At(EventType.BEFORE_JOB_LAUNCH, lambda: codes.append(site.abort_job("j1", by="the policy")))
    site.add_component("objecting", objecting)
    with pytest.raises(JobAbortedError, match="its launch was ended on the request of the policy"):
        site.launch_job(META)
    assert (codes, launcher.launched) == ([UNKNOWN], [])
    assert of_job(event_recorder, "j1") == [EventType.BEFORE_JOB_LAUNCH, EventType.JOB_ABORTED]


def test_a_running_job_is_ended_and_a_second_time_changes_nothing(
    make_site: Callable[..., Site], event_recorder: EventRecorder
) -> None:
    runtime = FakeRuntime()
    site = make_site(launcher=ClientDockerJobLauncher(image="job:1", runtime=runtime))
    handle = site.launch_job(META, ARGS)
    assert site.abort_job("j1", by="the operator") is ABORTED
    assert site.abort_job("j1", by="somebody else") is ABORTED
    assert handle.result
    assert handle.result.ended_by == "the operator"


def test_a_job_that_has_ended_by_itself_keeps_its_return_code(make_site: Callable[..., Site]) -> None:
    handle = PlainHandle()
    site = make_site(launcher=Launcher(lambda: handle))
    site.launch_job(META)
    handle.end(SUCCESS)
    assert site.abort_job("j1") is SUCCESS


def test_a_job_that_cannot_be_ended_says_so(make_site: Callable[..., Site]) -> None:
    site = make_site(launcher=Launcher(StubbornHandle))
    site.launch_job(META)
    with pytest.raises(TerminateTimeout, match="not confirmed"):
        site.abort_job("j1")


class StubbornHandle(PlainHandle):
    error: Exception = TerminateTimeout("not confirmed")

    def terminate(self, *, by: str = "terminate()") -> JobReturnCode:
        raise self.error


def test_a_job_that_the_site_does_not_know_cannot_be_ended(make_site: Callable[..., Site]) -> None:
    with pytest.raises(UnknownJobError) as raised:
        make_site().abort_job("j1")
    assert str(raised.value) == "site site-1 knows no job 'j1'; it may have ended long ago"


def test_many_threads_can_end_one_job(make_site: Callable[..., Site], pool: ThreadPoolExecutor) -> None:
    launcher = Recalling()
    site = make_site(launcher=launcher)
    launch = pool.submit(site.launch_job, META)
    assert launcher.launching.wait(TIMEOUT)
    aborts = [pool.submit(site.abort_job, "j1", by=f"thread {number}") for number in range(8)]
    assert {abort.result(TIMEOUT) for abort in aborts} == {ABORTED}
    launch.result(TIMEOUT)
    assert launcher.handle.ended_by


# --- the site's end ---


class Together(PlainHandle):
    """A job that ends when all of them are asked to."""

    all: threading.Barrier

    def terminate(self, *, by: str = "terminate()") -> JobReturnCode:
        self.all.wait(TIMEOUT)
        return super().terminate(by=by)


def test_a_site_that_says_so_ends_all_its_jobs_at_the_same_time_before_it_ends(
    make_site: Callable[..., Site], event_recorder: EventRecorder
) -> None:
    Together.all = threading.Barrier(20)
    handles: list[PlainHandle] = []
    site = make_site(launcher=Launcher(Together), at_end="end")
    site.add_component("looking", At(EventType.SYSTEM_END, lambda: handles.extend(running_of(site))))
    jobs = [site.launch_job({"job_id": f"j{number}"}) for number in range(20)]
    site.close()
    assert handles == []
    assert {handle.ended_by[0] for handle in jobs if isinstance(handle, PlainHandle)} == {"site site-1, which closes"}


def running_of(site: Site) -> list[Any]:
    return [handle for handle in site.jobs().values() if handle.poll() is UNKNOWN]


@pytest.mark.parametrize(
    ("at_end", "end_jobs", "code"),
    [
        ("leave", None, UNKNOWN),
        ("leave", True, ABORTED),
        ("end", None, ABORTED),
        ("end", False, UNKNOWN),
    ],
)
def test_jobs_go_on_or_are_ended_as_the_site_or_who_closes_it_says(
    make_site: Callable[..., Site], at_end: str, end_jobs: bool | None, code: JobReturnCode
) -> None:
    site = make_site(launcher=Launcher(), at_end=at_end)
    handle = site.launch_job(META)
    site.close(end_jobs)
    assert handle.poll() is code


def test_jobs_that_were_found_again_are_ended_too(make_site: Callable[..., Site]) -> None:
    handle = PlainHandle()
    site = make_site(finding=Finding(r1=handle), at_end="end")
    site.start()
    site.close()
    assert handle.poll() is ABORTED


def test_a_launch_that_is_under_way_is_called_back_when_the_site_ends_its_jobs(
    make_site: Callable[..., Site], pool: ThreadPoolExecutor
) -> None:
    launcher = Recalling(BACK)
    site = make_site(launcher=launcher, at_end="end")
    launch = pool.submit(site.launch_job, META)
    assert launcher.launching.wait(TIMEOUT)
    site.close()
    with pytest.raises(JobAbortedError, match="called back"):
        launch.result(TIMEOUT)


def test_a_launch_that_is_under_way_and_cannot_be_called_back_is_ended_before_the_site_ends(
    make_site: Callable[..., Site], pool: ThreadPoolExecutor
) -> None:
    launcher = Recalling()
    site = make_site(launcher=launcher, at_end="end")
    launch = pool.submit(site.launch_job, META)
    assert launcher.launching.wait(TIMEOUT)
    site.close()
    assert launcher.handle.poll() is ABORTED
    assert launch.result(TIMEOUT) is launcher.handle


def test_a_component_that_closes_the_site_in_the_midst_of_a_launch_ends_that_too(
    make_site: Callable[..., Site],
) -> None:
    site = make_site(launcher=Launcher(), at_end="end")
    site.add_component("panic", At(EventType.BEFORE_JOB_LAUNCH, site.close))
    with pytest.raises(JobAbortedError, match="on the request of site site-1, which closes"):
        site.launch_job(META)


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (TerminateTimeout("job j1: not confirmed"), "site site-1 closes, but job j1: not confirmed"),
        (OSError("no"), "site site-1 closes, but a job could not be ended"),
    ],
)
def test_a_job_that_cannot_be_ended_does_not_keep_the_site_from_closing(
    make_site: Callable[..., Site],
    event_recorder: EventRecorder,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
    error: Exception,
    message: str,
) -> None:
    monkeypatch.setattr(StubbornHandle, "error", error)
    handles = iter([StubbornHandle(), PlainHandle()])
    site = make_site(launcher=Launcher(lambda: next(handles)), at_end="end")
    site.launch_job(META)
    other = site.launch_job({"job_id": "j2"})
    site.close()
    assert caplog.messages == [message]
    assert other.poll() is ABORTED
    assert event_recorder.event_types.count(EventType.SYSTEM_END) == 1


def test_nothing_is_launched_while_the_site_closes(make_site: Callable[..., Site]) -> None:
    site = make_site(launcher=Launcher())
    late = At(EventType.SYSTEM_END, lambda: site.launch_job(META))
    site.add_component("late", late)
    site.start()
    site.close()
    assert [str(error) for error in late.errors] == ["site site-1 is closing; launch when it has closed"]
    assert isinstance(late.errors[0], JobLaunchError)
    site.launch_job(META).terminate()


def test_a_wrong_word_for_the_end_is_named() -> None:
    with pytest.raises(ConfigError) as raised:
        Site("site-1", at_end="stop")
    assert str(raised.value) == "site site-1: at_end: must be 'leave' or 'end' (the running jobs), got 'stop'"


def test_what_a_component_refuses_is_not_launched_and_leaves_nothing(
    make_site: Callable[..., Site], event_recorder: EventRecorder, tmp_path: Path
) -> None:
    class Gate(FLComponent):
        def handle_event(self, event_type: str, fl_ctx: FLContext) -> None:
            if event_type == EventType.BEFORE_JOB_LAUNCH:
                raise JobRejectedError("not on my watch")

    app, launcher = tmp_path / "apps" / "app", Launcher()
    app.mkdir(parents=True)
    site = make_site(launcher=launcher, gate=Gate())
    with site, pytest.raises(JobRejectedError, match="job j1: refused by the component gate: not on my watch"):
        site.launch_job({"job_id": "j1"}, app=app)
    assert launcher.launched == []
    assert event_recorder.event_types.count(EventType.JOB_ABORTED) == 1
    assert not (tmp_path / "j1").exists()
    assert site.load == (0, 0, 0)


# --- what a component changes ---


def changing(change: Callable[[FLContext], None]) -> FLComponent:
    """Return a component that changes something in the context of a launch."""

    class Changing(FLComponent):
        def handle_event(self, event_type: str, fl_ctx: FLContext) -> None:
            if event_type == EventType.BEFORE_JOB_LAUNCH:
                change(fl_ctx)

    return Changing()


def change_in_place(fl_ctx: FLContext) -> None:
    fl_ctx.get_prop(FLContextKey.JOB_META)["name"] = "changed"


def change_for_another(fl_ctx: FLContext) -> None:
    meta = fl_ctx.get_prop(FLContextKey.JOB_META) | {"name": "changed"}
    fl_ctx.set_prop(FLContextKey.JOB_META, meta, private=True, sticky=False)


@pytest.mark.parametrize("change", [change_in_place, change_for_another])
def test_a_job_is_launched_by_the_metadata_that_the_components_behind_the_launcher_leave(
    make_site: Callable[..., Site], tmp_path: Path, change: Callable[[FLContext], None]
) -> None:
    app, launcher = tmp_path / "apps" / "app", Launcher()
    app.mkdir(parents=True)
    site = make_site(launcher=launcher, changing=changing(change))
    site.launch_job({"job_id": "j1", "name": "first"}, app=app)
    ((meta, _),) = launcher.launched
    assert meta["name"] == "changed"
    assert json.loads(Path(site.workspace.get_run_dir("j1"), "meta.json").read_text())["name"] == "changed"


@pytest.mark.parametrize(
    ("meta", "words"),
    [
        ({"job_id": "j2"}, "job j1: a component has given it the id j2; an id stays"),
        (None, "a job's metadata must be an object, not NoneType"),
        ({"job_id": "j1", "name": "\ud800"}, "job j1: its metadata cannot be read: "),
    ],
)
def test_what_a_component_leaves_is_checked_as_any_other_metadata(
    make_site: Callable[..., Site], meta: Any, words: str
) -> None:
    launcher = Launcher()

    def change(fl_ctx: FLContext) -> None:
        fl_ctx.set_prop(FLContextKey.JOB_META, meta, private=True, sticky=False)

    site = make_site(launcher=launcher, changing=changing(change))
    with pytest.raises(JobRejectedError, match=words):
        site.launch_job({"job_id": "j1"})
    assert launcher.launched == []


def test_a_command_is_asked_for_once_with_the_metadata_that_components_leave(make_site: Callable[..., Site]) -> None:
    asked: list[Any] = []

    class Own(ClientDockerJobLauncher):
        def get_command(self, job_meta: dict[str, Any], fl_ctx: FLContext) -> tuple[str, str]:
            asked.append(job_meta["name"])
            return "own", "true"

    launcher = Own(image="job:1", runtime=FakeRuntime())
    site = make_site(launcher=launcher, changing=changing(change_for_another))
    site.launch_job({"job_id": "j1", "name": "first"})
    assert asked == ["changed"]


def test_a_component_that_must_know_what_will_run_has_jobs_refused_of_a_launcher_that_does_not_tell(
    make_site: Callable[..., Site],
) -> None:
    class Wanting(FLComponent):
        def handle_event(self, event_type: str, fl_ctx: FLContext) -> None:
            if event_type == EventType.BEFORE_JOB_LAUNCH:
                fl_ctx.get_prop(FLContextKey.LAUNCH).plan_wanted_by = self.name

    launcher = Launcher()
    with pytest.raises(JobRejectedError) as raised:
        make_site(consent=Wanting(), launcher=launcher).launch_job(META)
    assert "the component consent must know what will run, which launcher does not tell" in str(raised.value)
    assert launcher.launched == []
