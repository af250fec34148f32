"""choose_launcher: the first volunteer gets the job; where there is none, the error says why."""

import pytest

from flcore import FLComponent, FLContextKey, JobLauncherSpec, add_launcher
from flcore.errors import JobLaunchError, JobRejectedError, NoGpuError, NoLauncherError
from flcore.launcher_choice import choose_launcher
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
