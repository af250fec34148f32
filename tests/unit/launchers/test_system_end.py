"""The end of a site, and what its launchers may still tell: all of it before, or a next process tells it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from flcore import EventType, FLComponent, FLContext, JobReturnCode, Site, job_follower
from flcore.errors import JobAbortedError, RuntimeUnavailableError
from flcore.fl_constant import FLContextKey
from flcore.testing import EventRecorder
from launchers.docker_launcher import DockerJobLauncher
from launchers.runtime.fake import FakeRuntime
from launchers.tracking import state_tracker

TIMEOUT = 10.0
NAME = "site-1-j1"
META = {"job_id": "j1"}
ENDS = (EventType.JOB_COMPLETED, EventType.JOB_ABORTED)


class Train(DockerJobLauncher):
    def get_command(self, job_meta: dict[str, Any], fl_ctx: FLContext) -> tuple[str, str]:
        return f"{fl_ctx.get_identity_name()}-{job_meta['job_id']}", "train"


class Held(FLComponent):
    """Takes as long as the test says to handle the first event of a type."""

    def __init__(self, event_type: str) -> None:
        super().__init__()
        self._event_type = event_type
        self.hears, self.may_go_on = threading.Event(), threading.Event()

    def handle_event(self, event_type: str, fl_ctx: FLContext) -> None:
        if event_type == self._event_type and not self.hears.is_set():
            self.hears.set()
            self.may_go_on.wait(TIMEOUT)


class Ends(FLComponent):
    """Collects the ids by which ends are told."""

    def __init__(self) -> None:
        super().__init__()
        self.ids: list[str] = []

    def handle_event(self, event_type: str, fl_ctx: FLContext) -> None:
        if event_type in ENDS:
            self.ids.append(fl_ctx.get_prop(FLContextKey.JOB_EVENT_ID))


@pytest.fixture
def runtime() -> FakeRuntime:
    return FakeRuntime()


Make = Callable[..., Site]


@pytest.fixture
def make(tmp_path: Path, runtime: FakeRuntime, monkeypatch: pytest.MonkeyPatch) -> Iterator[Make]:
    """Return what makes sites of one workspace and engine, of components and a launcher behind them."""
    monkeypatch.setattr(state_tracker, "THREAD_TIMEOUT", 0.1)
    monkeypatch.setattr(job_follower, "TELLING_TIMEOUT", 0.1)
    sites: list[Site] = []

    def make(**components: FLComponent) -> Site:
        launcher = Train(image="job:1", runtime=runtime, stop_grace=0)
        sites.append(Site("site-1", {**components, "launcher": launcher}, tmp_path / "workspace"))
        return sites[-1]

    yield make
    for site in sites:
        site.close()


def test_an_end_that_is_seen_at_the_last_look_is_told_before_the_systems(
    make: Make, runtime: FakeRuntime, event_recorder: EventRecorder
) -> None:
    site = make(recorder=event_recorder)
    runtime.drop_events = True
    site.launch_job(META)
    runtime.exit(NAME, 0)
    site.close()
    assert event_recorder.event_types[-2:] == [EventType.JOB_COMPLETED, EventType.SYSTEM_END]


@pytest.mark.parametrize("held_at", [EventType.JOB_STATE_CHANGED, EventType.JOB_COMPLETED])
def test_what_a_slow_component_holds_up_until_the_sites_end_is_told_by_the_next_process(
    make: Make, runtime: FakeRuntime, event_recorder: EventRecorder, held_at: str
) -> None:
    held, ends = Held(held_at), Ends()
    site = make(held=held, recorder=event_recorder, ends=ends)
    site.launch_job(META)
    runtime.exit(NAME, 0)
    assert held.hears.wait(TIMEOUT)
    site.close()
    notifier = next(thread for thread in threading.enumerate() if thread.name == "flcore-notifier")
    held.may_go_on.set()
    notifier.join(TIMEOUT)
    assert event_recorder.event_types[-1] == EventType.SYSTEM_END
    assert ends.ids == []
    ids = Ends()
    with make(ends=ids) as site:
        assert site.jobs()["j1"].wait() is JobReturnCode.SUCCESS
    assert len(ids.ids) == 1


def test_a_component_that_closes_the_site_at_a_change_is_the_last_that_hears_of_the_job(
    make: Make, runtime: FakeRuntime, event_recorder: EventRecorder
) -> None:
    class Closing(FLComponent):
        def __init__(self) -> None:
            super().__init__()
            self.closed = threading.Event()

        def handle_event(self, event_type: str, fl_ctx: FLContext) -> None:
            if event_type == EventType.JOB_STATE_CHANGED and not self.closed.is_set():
                site.close()
                self.closed.set()

    closing = Closing()
    site = make(closing=closing, recorder=event_recorder)
    with suppress(JobAbortedError):  # if the change is told before the launch is over
        site.launch_job(META)
    assert closing.closed.wait(TIMEOUT)
    assert event_recorder.event_types[-1] == EventType.SYSTEM_END


def test_a_launch_that_comes_to_its_launcher_after_the_sites_end_leaves_no_thread_and_no_container(
    make: Make, runtime: FakeRuntime
) -> None:
    class Slow(Train):
        def plan(self, job_meta: Any, fl_ctx: FLContext) -> Any:
            site.close()
            return super().plan(job_meta, fl_ctx)

    site = make()
    site.remove_component("launcher")
    site.add_component("slow", Slow(image="job:1", runtime=runtime, stop_grace=0))
    before = threading.active_count()
    with pytest.raises(RuntimeUnavailableError, match="the site is closed"):
        site.launch_job(META)
    assert threading.active_count() == before
    assert runtime.containers() == []
