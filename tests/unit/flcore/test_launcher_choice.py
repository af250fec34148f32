"""choose_launcher: the first volunteer gets the job; where there is none, the error says why."""

import pytest

from flcore import EventType, FLComponent, FLContext, FLContextKey, JobLauncherSpec, add_launcher
from flcore.errors import JobLaunchError, JobRejectedError, NoGpuError, NoLauncherError
from flcore.job_launcher_spec import LaunchRequest
from flcore.launcher_choice import choose_launcher, tell_plan
from flcore.testing import FakeFLContext
from tests.conftest import Launcher


def named(*names: str) -> dict[str, FLComponent]:
    """Return launchers by their ids."""
    launchers: dict[str, FLComponent] = {}
    for name in names:
        launchers[name] = Launcher()
        launchers[name].name = name
    return launchers


def context_of(*volunteers: FLComponent, **errors: Exception) -> FakeFLContext:
    fl_ctx = FakeFLContext(props={FLContextKey.EXCEPTIONS: errors})
    for volunteer in volunteers:
        assert isinstance(volunteer, JobLauncherSpec)
        add_launcher(volunteer, fl_ctx)
    return fl_ctx


def test_the_first_volunteer_gets_the_job() -> None:
    launchers = named("docker", "process")
    chosen = choose_launcher(context_of(launchers["process"], launchers["docker"]), launchers, strict=False)
    assert chosen is launchers["process"]


def test_a_strict_site_takes_an_only_volunteer_and_no_other() -> None:
    launchers = named("docker", "process")
    only = context_of(launchers["process"])
    assert choose_launcher(only, launchers, strict=True) is launchers["process"]
    with pytest.raises(NoLauncherError) as raised:
        choose_launcher(context_of(*launchers.values()), launchers, strict=True)
    assert str(raised.value) == "job job-1: site site-1 is strict, and docker, process all volunteered for it"


@pytest.mark.parametrize(
    ("components", "errors", "why"),
    [
        ({}, {}, "it has no launcher configured"),
        ({"audit": FLComponent()}, {}, "it has no launcher configured"),
        (named("docker", "process"), {}, "its launchers are docker, process"),
        (named("docker"), {"gpu": OSError("no")}, "its launchers are docker; gpu failed: OSError('no')"),
    ],
)
def test_without_a_volunteer_the_error_names_all_launchers_and_what_failed(
    components: dict[str, FLComponent], errors: dict[str, Exception], why: str
) -> None:
    with pytest.raises(NoLauncherError) as raised:
        choose_launcher(context_of(**errors), components, strict=False)
    assert str(raised.value) == f"job job-1: no launcher of site site-1 volunteered ({why})"


def test_a_refusal_says_more_than_that_nobody_volunteered() -> None:
    refusal = JobRejectedError("image: not on the list")
    with pytest.raises(JobRejectedError) as raised:
        choose_launcher(context_of(gpu=OSError("no"), docker=refusal), named("docker"), strict=False)
    assert raised.value is refusal


@pytest.mark.parametrize("refusal", [JobRejectedError("not today"), NoGpuError("none is free")], ids=repr)
def test_any_component_may_refuse_whoever_volunteered(refusal: JobLaunchError) -> None:
    launchers = named("docker")
    fl_ctx = context_of(launchers["docker"], gate=refusal, later=JobRejectedError("nor tomorrow"))
    with pytest.raises(type(refusal)) as raised:
        choose_launcher(fl_ctx, launchers, strict=False)
    assert str(raised.value).endswith(f"refused by the component gate: {refusal.args[0].rpartition(': ')[2]}")


def test_a_component_may_block_a_job_by_a_reason() -> None:
    launchers = named("docker")
    fl_ctx = context_of(launchers["docker"])
    fl_ctx.put(FLContextKey.JOB_BLOCK_REASON, "the budget is spent", private=True, sticky=False)
    with pytest.raises(JobRejectedError, match="a component has blocked it: the budget is spent"):
        choose_launcher(fl_ctx, launchers, strict=False)


def test_a_component_that_fails_refuses_nothing() -> None:
    launchers = named("docker")
    fl_ctx = context_of(launchers["docker"], monitor=ValueError("a bug"))
    assert choose_launcher(fl_ctx, launchers, strict=False) is launchers["docker"]


# --- a plan that is told ---


class Deciding(FLComponent):
    """Hears what will run, and refuses it as the test says."""

    def __init__(self, error: Exception | None = None, reason: str = "") -> None:
        super().__init__()
        self.error, self.reason = error, reason
        self.heard: list[LaunchRequest | None] = []

    def handle_event(self, event_type: str, fl_ctx: FLContext) -> None:
        if event_type == EventType.JOB_LAUNCH_PLANNED:
            self.heard.append(LaunchRequest.of(fl_ctx))
            fl_ctx.set_prop(FLContextKey.JOB_BLOCK_REASON, self.reason, sticky=False)
            if self.error:
                raise self.error


REQUEST = LaunchRequest("host", {}, {}, asks={"study": "cardio"})


def test_components_hear_what_will_run() -> None:
    component = Deciding()
    tell_plan(Launcher(), "job-1", FakeFLContext(components=[component]), lambda: REQUEST)
    assert component.heard == [REQUEST]


def test_what_will_run_is_described_only_to_who_asks() -> None:
    asked: list[str] = []

    def describe() -> LaunchRequest:
        asked.append("once")
        return REQUEST

    tell_plan(Launcher(), "job-1", FakeFLContext(components=[FLComponent()]), describe)
    assert asked == []


@pytest.mark.parametrize(
    ("component", "words"),
    [
        (Deciding(NoGpuError("none left")), "job job-1: refused by the component Deciding: none left"),
        (Deciding(reason="no consent"), "job job-1: a component has blocked it: no consent"),
    ],
)
def test_a_component_may_refuse_what_will_run(component: Deciding, words: str) -> None:
    with pytest.raises(JobLaunchError) as raised:
        tell_plan(Launcher(), "job-1", FakeFLContext(components=[component]), lambda: REQUEST)
    assert str(raised.value) == words


def test_a_refusal_is_told_as_one(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    fl_ctx = FakeFLContext(components=[Deciding(JobRejectedError("no consent"))])
    with pytest.raises(JobRejectedError):
        tell_plan(Launcher(), "job-1", fl_ctx, lambda: REQUEST)
    assert {record.levelname for record in caplog.records} == {"INFO"}


def test_what_is_no_refusal_stops_nothing() -> None:
    tell_plan(Launcher(), "job-1", FakeFLContext(components=[Deciding(OSError("disk"))]), lambda: REQUEST)


def test_a_refusal_of_an_earlier_try_in_the_same_context_counts_no_more() -> None:
    component = Deciding(JobRejectedError("not now"))
    fl_ctx = FakeFLContext(components=[component])
    with pytest.raises(JobRejectedError):
        tell_plan(Launcher(), "job-1", fl_ctx, lambda: REQUEST)
    component.error = None
    tell_plan(Launcher(), "job-1", fl_ctx, lambda: REQUEST)
