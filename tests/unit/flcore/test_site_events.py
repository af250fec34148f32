"""SiteEvents: what the components of a site are told of its life and of its jobs."""

from pathlib import Path
from typing import Any

import pytest

from flcore import EventType, FLContext, FLContextKey, JobResult, JobReturnCode
from flcore.errors import ImageError, JobAbortedError
from flcore.event_bus import EventBus
from flcore.fl_context import FLContextManager
from flcore.site_events import SiteEvents
from flcore.workspace import Workspace
from tests.conftest import PlainHandle


class Engine:
    """The least that a site's events need; keeps what is fired."""

    def __init__(self, folder: Path) -> None:
        self.name = "site-1"
        self.workspace = Workspace(folder, self.name)
        self.fired: list[tuple[str, FLContext]] = []
        self.new_context = FLContextManager(self, self.name).new_context

    def fire_event(self, event_type: str, fl_ctx: FLContext) -> None:
        EventBus().fire(event_type, fl_ctx)
        self.fired.append((event_type, fl_ctx))

    @property
    def last(self) -> tuple[str, FLContext]:
        return self.fired[-1]


@pytest.fixture
def engine(tmp_path: Path) -> Engine:
    return Engine(tmp_path)


@pytest.fixture
def events(engine: Engine) -> SiteEvents:
    return SiteEvents(engine)


def test_an_event_of_its_life_names_the_site_and_has_its_workspace(engine: Engine, events: SiteEvents) -> None:
    events.fire(EventType.SYSTEM_START)
    event_type, fl_ctx = engine.last
    assert (event_type, fl_ctx.get_prop(FLContextKey.EVENT_ORIGIN)) == (EventType.SYSTEM_START, "site-1")
    assert fl_ctx.get_prop(FLContextKey.WORKSPACE_OBJECT) is engine.workspace


def test_the_context_of_a_launch_has_copies_of_what_the_job_brings(engine: Engine, events: SiteEvents) -> None:
    job_meta: dict[str, Any] = {"job_id": "j1"}
    fl_ctx = events.launch_context("j1", job_meta, None)
    job_meta["job_id"] = "changed"
    assert (fl_ctx.get_job_id(), fl_ctx.get_engine()) == ("j1", engine)
    assert fl_ctx.get_prop(FLContextKey.JOB_META) == {"job_id": "j1"}
    assert fl_ctx.get_prop(FLContextKey.JOB_PROCESS_ARGS) == {}


def test_a_launch_is_told_of_in_its_own_context_with_the_handle(engine: Engine, events: SiteEvents) -> None:
    handle, fl_ctx = PlainHandle(), events.launch_context("j1", {"job_id": "j1"}, None)
    events.tell_of_launch(handle, fl_ctx)
    assert engine.last == (EventType.AFTER_JOB_LAUNCH, fl_ctx)
    assert fl_ctx.get_prop(FLContextKey.JOB_HANDLE) is handle


@pytest.mark.parametrize("error", [ImageError("no image"), JobAbortedError("called back", "the operator")])
def test_a_failed_launch_is_aborted_and_says_what_was_raised(
    engine: Engine, events: SiteEvents, error: Exception
) -> None:
    events.tell_of_failed_launch("j1", error)
    event_type, fl_ctx = engine.last
    assert (event_type, fl_ctx.get_job_id()) == (EventType.JOB_ABORTED, "j1")
    assert fl_ctx.get_prop(FLContextKey.LAUNCH_ERROR) is error
    assert fl_ctx.get_prop(FLContextKey.JOB_RESULT) == JobResult.of_failed_launch(error)


@pytest.mark.parametrize(
    ("code", "told"),
    [(code, EventType.JOB_COMPLETED) for code in JobReturnCode if code is not JobReturnCode.ABORTED]
    + [(JobReturnCode.ABORTED, EventType.JOB_ABORTED)],
)
def test_an_end_is_told_as_aborted_only_if_somebody_asked_for_it(
    engine: Engine, events: SiteEvents, code: JobReturnCode, told: str
) -> None:
    result = JobResult(code)
    events.tell_of_end("j1", result)
    event_type, fl_ctx = engine.last
    assert (event_type, fl_ctx.get_job_id()) == (told, "j1")
    assert fl_ctx.get_prop(FLContextKey.JOB_RESULT) is result
    assert fl_ctx.get_prop(FLContextKey.LAUNCH_ERROR) is None
