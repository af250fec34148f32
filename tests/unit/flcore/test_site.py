"""Site: its components, its events, and the launching of jobs."""

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from flcore import (
    EventType,
    FLComponent,
    FLContext,
    FLContextKey,
    JobHandleSpec,
    JobResult,
    JobReturnCode,
    Site,
)
from flcore.errors import (
    ConfigError,
    EventError,
    ImageError,
    JobLaunchError,
    JobRejectedError,
    JobStartError,
    NameInUseError,
    NoLauncherError,
)
from flcore.testing import EventRecorder
from launchers.docker_launcher import ClientDockerJobLauncher
from launchers.runtime.fake import FakeRuntime
from tests.conftest import Launcher, PlainHandle, but_for_changes

META = {"job_id": "j1"}
ARGS: dict[str, tuple[str, Any]] = {"exe_module": ("-m", "client")}
CONTAINER = "site-1-j1"


class Raising(FLComponent):
    """Raises an error at an event."""

    def __init__(self, event_type: str, error: BaseException) -> None:
        super().__init__()
        self._event_type = event_type
        self._error = error

    def handle_event(self, event_type: str, fl_ctx: FLContext) -> None:
        if event_type == self._event_type:
            raise self._error


def raising(error: BaseException) -> Callable[[], JobHandleSpec]:
    def launch() -> JobHandleSpec:
        raise error

    return launch


@pytest.fixture
def runtime() -> FakeRuntime:
    return FakeRuntime()


@pytest.fixture
def site(make_site: Callable[..., Site], runtime: FakeRuntime) -> Site:
    """A site that launches jobs in the fake runtime."""
    return make_site(launcher=ClientDockerJobLauncher(image="job:1", runtime=runtime))


def without_changes(recorder: EventRecorder) -> list[str]:
    """Return the types of all events that are no change of a job's state."""
    return [event for event in recorder.event_types if event != EventType.JOB_STATE_CHANGED]


LAUNCHED = [
    EventType.SYSTEM_BOOTSTRAP,
    EventType.SYSTEM_START,
    EventType.BEFORE_JOB_LAUNCH,
    EventType.JOB_LAUNCH_PLANNED,
    EventType.AFTER_JOB_LAUNCH,
]
NOT_LAUNCHED = [*LAUNCHED[:3], EventType.JOB_ABORTED]
LAUNCHED_BY_OTHERS = [event for event in LAUNCHED if event != EventType.JOB_LAUNCH_PLANNED]
NOT_STARTED = [*LAUNCHED[:4], EventType.JOB_ABORTED]

# --- components ---


@pytest.mark.parametrize("name", ["", "site 1", "../x", 5, None])
def test_a_site_needs_a_name_that_is_safe_everywhere(name: Any) -> None:
    with pytest.raises(ConfigError) as raised:
        Site(name)
    assert str(raised.value) == f"a site's name must be letters, digits, '.', '_' or '-', got {name!r}"


def test_making_a_site_touches_no_disk(tmp_path: Path) -> None:
    Site("site-1", workspace=tmp_path / "work")
    assert list(tmp_path.iterdir()) == []


def test_components_get_events_in_the_order_in_which_they_were_given() -> None:
    calls: list[str] = []

    class Noting(FLComponent):
        def handle_event(self, event_type: str, fl_ctx: FLContext) -> None:
            calls.append(self.name)

    names = [f"c{number}" for number in (3, 1, 4, 5, 9, 2, 6)]
    site = Site("site-1")
    for name in names:
        component = Noting()
        component.name = name
        site.add_component(name, component)
    site.fire_event("e", site.new_context())
    assert calls == names == list(site.components())


def test_a_component_is_found_by_its_id(event_recorder: EventRecorder) -> None:
    site = Site("site-1", {"recorder": event_recorder})
    assert site.get_component("recorder") is event_recorder
    assert site.get_component("other") is None


def test_a_component_is_named_by_its_id() -> None:
    recorder = EventRecorder()
    Site("site-1").add_component("audit", recorder)
    assert recorder.name == "audit"


def test_an_id_can_be_taken_once(event_recorder: EventRecorder) -> None:
    site = Site("site-1", {"recorder": event_recorder})
    with pytest.raises(ConfigError, match=r"^site site-1: there is a component 'recorder' already"):
        site.add_component("recorder", EventRecorder())


def test_what_is_no_component_cannot_be_added() -> None:
    component: Any = object()
    with pytest.raises(ConfigError, match="component 'x': object is no FLComponent"):
        Site("site-1").add_component("x", component)


def test_a_removed_component_gets_no_more_events_and_its_id_is_free(event_recorder: EventRecorder) -> None:
    site = Site("site-1", {"recorder": event_recorder})
    site.remove_component("recorder")
    site.remove_component("recorder")
    site.fire_event("e", site.new_context())
    site.add_component("recorder", EventRecorder())
    assert event_recorder.events == []


def test_a_component_fires_events_by_a_context_of_the_site(event_recorder: EventRecorder) -> None:
    site = Site("site-1", {"recorder": event_recorder})
    FLComponent().fire_event("e", site.new_context())
    assert event_recorder.events == [("e", "site-1", "", None, None)]


def test_sticky_properties_are_the_sites(make_site: Callable[..., Site]) -> None:
    site = make_site()
    site.new_context().set_prop("color", "red")
    assert site.new_context().get_prop("color") == "red"


# --- start and end ---


def test_a_site_tells_its_components_that_it_starts_and_ends(event_recorder: EventRecorder) -> None:
    with Site("site-1", {"recorder": event_recorder}):
        assert event_recorder.event_types == [EventType.SYSTEM_BOOTSTRAP, EventType.SYSTEM_START]
    assert event_recorder.event_types[2:] == [EventType.SYSTEM_END]


def test_starting_and_closing_are_idempotent(make_site: Callable[..., Site], event_recorder: EventRecorder) -> None:
    site = make_site()
    for call in (site.start, site.start, site.close, site.close):
        call()
    assert event_recorder.event_types == [EventType.SYSTEM_BOOTSTRAP, EventType.SYSTEM_START, EventType.SYSTEM_END]


def test_closing_a_site_that_never_started_tells_nobody(
    make_site: Callable[..., Site], event_recorder: EventRecorder
) -> None:
    make_site().close()
    assert event_recorder.events == []


def test_a_site_ends_even_if_its_work_raised(event_recorder: EventRecorder) -> None:
    with pytest.raises(KeyError), Site("site-1", {"recorder": event_recorder}):
        raise KeyError
    assert event_recorder.event_types[-1] == EventType.SYSTEM_END


def test_an_event_of_the_site_has_the_site_as_its_origin(make_site: Callable[..., Site]) -> None:
    origins: list[object] = []

    class Noting(FLComponent):
        def handle_event(self, event_type: str, fl_ctx: FLContext) -> None:
            origins.append(fl_ctx.get_prop(FLContextKey.EVENT_ORIGIN))

    make_site(noting=Noting()).start()
    assert origins == ["site-1", "site-1"]


def test_a_closed_site_can_launch_again(site: Site, runtime: FakeRuntime, event_recorder: EventRecorder) -> None:
    site.start()
    site.close()
    handle = site.launch_job(META, ARGS)
    runtime.exit(CONTAINER)
    assert handle.wait() == JobReturnCode.SUCCESS


# --- a launch, from its events ---


def test_the_events_of_a_job_that_runs_to_its_end(
    site: Site, runtime: FakeRuntime, event_recorder: EventRecorder
) -> None:
    site.launch_job(META, ARGS)
    runtime.exit(CONTAINER)
    completed = event_recorder.wait_for(EventType.JOB_COMPLETED)
    assert without_changes(event_recorder) == [*LAUNCHED, EventType.JOB_COMPLETED]
    assert event_recorder.states() == ["created", "running", "exited"]
    assert event_recorder.event_types.index(EventType.JOB_STATE_CHANGED) > 2
    assert event_recorder.event_types[-1] == EventType.JOB_COMPLETED
    assert (completed.site, completed.job_id) == ("site-1", "j1")
    assert completed.result
    assert completed.result.succeeded


def test_all_events_of_a_job_name_it(site: Site, runtime: FakeRuntime, event_recorder: EventRecorder) -> None:
    site.launch_job(META, ARGS)
    runtime.exit(CONTAINER)
    event_recorder.wait_for(EventType.JOB_COMPLETED)
    assert {event.job_id for event in event_recorder.events[2:]} == {"j1"}


def test_a_job_that_failed_is_completed_and_its_result_says_why(
    site: Site, runtime: FakeRuntime, event_recorder: EventRecorder
) -> None:
    site.launch_job(META, ARGS)
    runtime.exit(CONTAINER, 3)
    result = event_recorder.wait_for(EventType.JOB_COMPLETED).result
    assert result
    assert (result.return_code, result.exit_code) == (JobReturnCode.EXECUTION_ERROR, 3)


def test_a_job_that_somebody_ended_is_aborted(site: Site, event_recorder: EventRecorder) -> None:
    site.launch_job(META, ARGS).terminate(by="the operator")
    result = event_recorder.wait_for(EventType.JOB_ABORTED).result
    assert result
    assert (result.return_code, result.ended_by) == (JobReturnCode.ABORTED, "the operator")
    assert EventType.JOB_COMPLETED not in event_recorder.event_types


def test_a_container_that_vanished_is_lost_and_neither_aborted_nor_succeeded(
    site: Site, runtime: FakeRuntime, event_recorder: EventRecorder
) -> None:
    site.launch_job(META, ARGS)
    runtime.remove(runtime.container(CONTAINER).id)
    result = event_recorder.wait_for(EventType.JOB_COMPLETED).result
    assert result
    assert result.return_code == JobReturnCode.INFRASTRUCTURE_ERROR


def test_the_launcher_gets_metadata_arguments_and_workspace(make_site: Callable[..., Site]) -> None:
    launcher = Launcher()
    site = make_site(launcher=launcher)
    site.launch_job({**META, "x": 1}, ARGS).terminate()
    ((job_meta, fl_ctx),) = launcher.launched
    assert job_meta == {**META, "x": 1} == fl_ctx.get_prop(FLContextKey.JOB_META)
    assert fl_ctx.get_prop(FLContextKey.JOB_PROCESS_ARGS) == ARGS
    assert fl_ctx.get_prop(FLContextKey.WORKSPACE_OBJECT) is site.workspace
    assert (fl_ctx.get_job_id(), fl_ctx.get_engine()) == ("j1", site)


def test_all_who_hear_of_a_job_can_look_at_the_copy_of_its_app_that_runs(
    make_site: Callable[..., Site], tmp_path: Path
) -> None:
    seen: dict[str, tuple[str, int]] = {}

    class Looking(FLComponent):
        def handle_event(self, event_type: str, fl_ctx: FLContext) -> None:
            if event_type in (EventType.BEFORE_JOB_LAUNCH, EventType.AFTER_JOB_LAUNCH):
                app_dir = fl_ctx.get_prop(FLContextKey.APP_ROOT)
                seen[event_type] = app_dir, Path(app_dir, "code.py").stat().st_ino

    (tmp_path / "app").mkdir()
    (tmp_path / "app" / "code.py").touch()
    site = make_site(looking=Looking(), launcher=Launcher())
    site.launch_job(META, app=tmp_path / "app").terminate()
    (before, looked_at), (after, runs) = seen.values()
    assert looked_at == runs
    assert after == site.workspace.get_app_dir("j1")
    assert not Path(before).exists()


def test_the_handles_of_all_jobs_are_known_by_their_ids(site: Site, runtime: FakeRuntime) -> None:
    handles = {job_id: site.launch_job({"job_id": job_id}, ARGS) for job_id in ("j1", "j2")}
    assert site.jobs() == handles


# --- who launches ---


def test_without_a_launcher_the_site_says_so(make_site: Callable[..., Site], event_recorder: EventRecorder) -> None:
    with pytest.raises(NoLauncherError) as raised:
        make_site().launch_job(META)
    assert str(raised.value) == "job j1: no launcher of site site-1 volunteered (it has no launcher configured)"
    assert event_recorder.event_types == NOT_LAUNCHED


def test_if_no_launcher_volunteers_the_error_names_all_and_what_failed(make_site: Callable[..., Site]) -> None:
    site = make_site(
        docker=ClientDockerJobLauncher(runtime=FakeRuntime()),
        other=ClientDockerJobLauncher(runtime=FakeRuntime()),
        gpu_check=Raising(EventType.BEFORE_JOB_LAUNCH, OSError("no driver")),
    )
    with pytest.raises(NoLauncherError) as raised:
        site.launch_job(META, ARGS)
    assert str(raised.value) == (
        "job j1: no launcher of site site-1 volunteered (its launchers are docker, other; gpu_check failed:"
        " OSError('no driver'))"
    )


def test_a_launcher_that_refuses_a_job_is_heard(make_site: Callable[..., Site], runtime: FakeRuntime) -> None:
    site = make_site(launcher=ClientDockerJobLauncher(runtime=runtime))
    with pytest.raises(JobRejectedError, match=r"^job j1: launcher_spec: must be an object, got 5"):
        site.launch_job(META | {"launcher_spec": 5}, ARGS)


def test_the_first_launcher_that_volunteered_gets_the_job(make_site: Callable[..., Site]) -> None:
    first, second = Launcher(), Launcher()
    make_site(first=first, second=second).launch_job(META).terminate()
    assert (len(first.launched), len(second.launched)) == (1, 0)


def test_a_strict_site_refuses_a_job_for_which_several_volunteered(
    make_site: Callable[..., Site], event_recorder: EventRecorder
) -> None:
    first, second = Launcher(), Launcher()
    with pytest.raises(NoLauncherError) as raised:
        make_site(strict=True, first=first, second=second).launch_job(META)
    assert str(raised.value) == "job j1: site site-1 is strict, and first, second all volunteered for it"
    assert (first.launched, second.launched) == ([], [])
    assert event_recorder.event_types == NOT_LAUNCHED


def test_a_strict_site_lets_the_only_volunteer_launch(make_site: Callable[..., Site]) -> None:
    launcher = Launcher()
    make_site(strict=True, launcher=launcher).launch_job(META).terminate()
    assert len(launcher.launched) == 1


# --- launches that fail ---


@pytest.mark.parametrize("launched", [None, 5, "site-1-j1"])
def test_a_launcher_that_returns_no_handle_is_an_error(make_site: Callable[..., Site], launched: Any) -> None:
    site = make_site(docker=Launcher(lambda: launched))
    with pytest.raises(JobLaunchError) as raised:
        site.launch_job(META)
    assert str(raised.value) == f"job j1: the launcher docker returned {launched!r}, no JobHandleSpec"


def test_a_foreign_error_of_a_launcher_is_a_launch_error_with_its_cause(make_site: Callable[..., Site]) -> None:
    error = OSError("no route")
    with pytest.raises(JobLaunchError) as raised:
        make_site(docker=Launcher(raising(error))).launch_job(META)
    assert str(raised.value) == "job j1: the launcher docker failed: OSError('no route')"
    assert raised.value.__cause__ is error


def test_an_error_of_ours_is_raised_as_it_is(make_site: Callable[..., Site]) -> None:
    error = ImageError("no image")
    with pytest.raises(ImageError) as raised:
        make_site(docker=Launcher(raising(error))).launch_job(META)
    assert raised.value is error


def test_a_launch_that_fails_is_aborted_once_with_its_reason(
    site: Site, runtime: FakeRuntime, event_recorder: EventRecorder
) -> None:
    runtime.start_error = "exec format error"
    with pytest.raises(JobStartError):
        site.launch_job(META, ARGS)
    assert without_changes(event_recorder) == NOT_STARTED
    result = event_recorder.wait_for(EventType.JOB_ABORTED).result
    assert result
    assert (result.return_code, result.error) == (JobReturnCode.EXECUTION_ERROR, "exec format error")


def test_a_launch_that_fails_leaves_nothing(site: Site, runtime: FakeRuntime) -> None:
    runtime.start_error = "exec format error"
    with pytest.raises(JobStartError):
        site.launch_job(META, ARGS)
    assert site.jobs() == {}
    assert runtime.containers() == []


def test_a_job_whose_launch_failed_can_be_launched_again(make_site: Callable[..., Site]) -> None:
    launches = iter([raising(ImageError("no image")), PlainHandle])
    site = make_site(launcher=Launcher(lambda: next(launches)()))
    with pytest.raises(ImageError):
        site.launch_job(META)
    site.launch_job(META).terminate()


def test_an_app_that_cannot_be_copied_is_an_error_of_the_config(
    site: Site, tmp_path: Path, event_recorder: EventRecorder
) -> None:
    with pytest.raises(ConfigError, match=r"its app .*/nothing cannot be copied"):
        site.launch_job(META, ARGS, app=tmp_path / "nothing")
    result = event_recorder.wait_for(EventType.JOB_ABORTED).result
    assert result
    assert not result.succeeded


def test_a_job_without_a_usable_id_is_rejected_before_anybody_hears_of_it(
    site: Site, event_recorder: EventRecorder
) -> None:
    with pytest.raises(JobRejectedError, match="job_id: must be 1 to 128 letters"):
        site.launch_job({"job_id": "../x"}, ARGS)
    assert EventType.BEFORE_JOB_LAUNCH not in event_recorder.event_types


# --- the same job again ---


def test_a_job_that_already_runs_is_not_launched_again(site: Site, event_recorder: EventRecorder) -> None:
    handle = site.launch_job(META, ARGS)
    with pytest.raises(NameInUseError, match=r"^job j1 already runs at site site-1"):
        site.launch_job(META, ARGS)
    assert site.jobs() == {"j1": handle}
    assert event_recorder.event_types.count(EventType.BEFORE_JOB_LAUNCH) == 1
    assert EventType.JOB_ABORTED not in event_recorder.event_types


def test_a_job_that_is_being_launched_is_not_launched_by_another_thread(make_site: Callable[..., Site]) -> None:
    launching, go_on = threading.Event(), threading.Event()

    def launch() -> JobHandleSpec:
        launching.set()
        go_on.wait(10)
        return PlainHandle()

    site = make_site(launcher=Launcher(launch))
    thread = threading.Thread(target=site.launch_job, args=(META,))
    thread.start()
    assert launching.wait(10)
    with pytest.raises(NameInUseError):
        site.launch_job(META)
    assert site.jobs() == {}
    go_on.set()
    thread.join()
    site.jobs()["j1"].terminate()


def test_a_job_can_be_launched_again_when_it_has_completed(make_site: Callable[..., Site]) -> None:
    site = make_site(launcher=Launcher())
    first = site.launch_job(META)
    first.terminate()
    second = site.launch_job(META)
    assert site.jobs() == {"j1": second}
    second.terminate()


# --- third parties ---


class LosingHandle(PlainHandle):
    def wait(self, timeout: float | None = None) -> JobReturnCode:
        raise ConnectionError


@pytest.mark.parametrize("code", [JobReturnCode.SUCCESS, JobReturnCode.EXCEPTION])
def test_a_job_with_a_plain_handle_is_completed_too(
    make_site: Callable[..., Site], event_recorder: EventRecorder, code: JobReturnCode
) -> None:
    handle = PlainHandle()
    make_site(launcher=Launcher(lambda: handle)).launch_job(META)
    handle.end(code)
    assert event_recorder.wait_for(EventType.JOB_COMPLETED).result == JobResult(code)
    assert but_for_changes(event_recorder.event_types) == [*LAUNCHED_BY_OTHERS, EventType.JOB_COMPLETED]


def test_a_job_with_a_plain_handle_is_aborted_too(
    make_site: Callable[..., Site], event_recorder: EventRecorder
) -> None:
    make_site(launcher=Launcher()).launch_job(META).terminate()
    assert event_recorder.wait_for(EventType.JOB_ABORTED).result == JobResult(JobReturnCode.ABORTED)


def test_a_job_whose_handle_fails_to_wait_is_lost(
    make_site: Callable[..., Site], event_recorder: EventRecorder
) -> None:
    make_site(launcher=Launcher(LosingHandle)).launch_job(META)
    result = event_recorder.wait_for(EventType.JOB_COMPLETED).result
    assert result == JobResult(
        JobReturnCode.INFRASTRUCTURE_ERROR, error="the end of the job was not seen: its handle has no result"
    )


def test_a_component_that_fails_after_a_launch_stops_nothing(
    make_site: Callable[..., Site], event_recorder: EventRecorder
) -> None:
    site = make_site(bad=Raising(EventType.AFTER_JOB_LAUNCH, ValueError()), launcher=Launcher())
    site.launch_job(META).terminate()
    event_recorder.wait_for(EventType.JOB_ABORTED)


# --- interrupts ---


def test_an_interrupt_in_a_launch_is_raised_and_the_job_can_be_launched_again(make_site: Callable[..., Site]) -> None:
    launches = iter([raising(KeyboardInterrupt()), PlainHandle])
    site = make_site(launcher=Launcher(lambda: next(launches)()))
    with pytest.raises(KeyboardInterrupt):
        site.launch_job(META)
    site.launch_job(META).terminate()


@pytest.mark.parametrize("error", [KeyboardInterrupt(), EventError("no end")])
def test_if_launch_job_raises_after_the_launch_the_job_is_ended(
    make_site: Callable[..., Site], runtime: FakeRuntime, event_recorder: EventRecorder, error: BaseException
) -> None:
    site = make_site(
        launcher=ClientDockerJobLauncher(image="job:1", runtime=runtime),
        bad=Raising(EventType.AFTER_JOB_LAUNCH, error),
    )
    with pytest.raises(type(error)):
        site.launch_job(META, ARGS)
    result = event_recorder.wait_for(EventType.JOB_ABORTED).result
    assert result
    assert result.ended_by == f"site site-1, on {type(error).__name__}"


class StubbornHandle(PlainHandle):
    def terminate(self, *, by: str = "terminate()") -> JobReturnCode:
        super().terminate(by=by)
        raise OSError("no")


def test_an_interrupt_is_raised_even_if_the_job_cannot_be_ended(
    make_site: Callable[..., Site], caplog: pytest.LogCaptureFixture
) -> None:
    site = make_site(launcher=Launcher(StubbornHandle), bad=Raising(EventType.AFTER_JOB_LAUNCH, KeyboardInterrupt()))
    with pytest.raises(KeyboardInterrupt):
        site.launch_job(META)
    assert caplog.messages == ["job j1: could not be ended after its launch"]
