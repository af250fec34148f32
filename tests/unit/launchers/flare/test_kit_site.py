"""What a kit's components of flcore's kind ask of their site, where it is a parent of another framework's.

What that framework tells them is tried with NVIDIA FLARE itself, in ``tests/compat/adapter``.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

pytest.importorskip("prometheus_client", reason="of the extra [metrics]")

from flcore import EventType, FLComponent, FLContext, FLContextKey, FLContextManager
from flcore.errors import JobRejectedError
from flcore.event_bus import EventBus
from flcore.job_launcher_spec import JobHandleSpec, JobResult, JobReturnCode, LaunchRequest
from flcore.launcher_choice import tell_plan
from flcore.observers import JobJournal, MetricsExporter
from flcore.testing import EventRecorder
from flcore.workspace import Workspace
from launchers.flare.kit_site import KitSite, components_of, heard_by_kit
from launchers.process_launcher import ClientProcessJobLauncher

JOB = "job-1"


class Parent:
    """A framework's engine. Its contexts have what is asked of NVIDIA FLARE's."""

    def __init__(self, folder: Path, components: Mapping[str, Any]) -> None:
        self.launcher = ClientProcessJobLauncher()
        self.kit_site: KitSite | None = None
        self.journal = False
        self.client = SimpleNamespace(components=components)
        self.bus = EventBus()
        self.bus.connect("teller", self.react)
        self.contexts = FLContextManager(self, "site-1")
        self.workspace = Workspace(folder, "site-1")

    def react(self, event_type: str, fl_ctx: FLContext) -> None:
        with heard_by_kit(self, event_type, fl_ctx):
            pass

    def new_context(self) -> FLContext:
        fl_ctx = self.contexts.new_context()
        fl_ctx.set_prop(FLContextKey.WORKSPACE_OBJECT, self.workspace)
        return fl_ctx

    def fire_event(self, event_type: str, fl_ctx: FLContext) -> None:
        self.bus.fire(event_type, fl_ctx)

    def get_component(self, name: str) -> str:
        return f"{name} of another kind"

    def fire(self, event_type: str) -> None:
        self.fire_event(event_type, self.new_context())

    @property
    def site(self) -> KitSite:
        assert self.kit_site
        return self.kit_site


class Handle(JobHandleSpec):
    """Of a job that ends when a test says so."""

    result: JobResult | None = None

    def __init__(self) -> None:
        self.callbacks: list[Any] = []

    def add_done_callback(self, callback: Any) -> None:
        self.callbacks.append(callback)

    def poll(self) -> JobReturnCode:
        return self.result.return_code if self.result else JobReturnCode.UNKNOWN

    def wait(self, timeout: float | None = None) -> JobReturnCode:
        return self.poll()

    def terminate(self, *, by: str = "") -> JobReturnCode:
        return self.poll()

    def end(self) -> None:
        self.result = JobResult(JobReturnCode.SUCCESS, exit_code=0)
        for callback in self.callbacks:
            callback(self)


@pytest.fixture
def recorder() -> EventRecorder:
    return EventRecorder()


@pytest.fixture
def parent(tmp_path: Path, recorder: EventRecorder) -> Iterator[Parent]:
    parent = Parent(tmp_path, {"metrics": MetricsExporter(0), "recorder": recorder, "other": object()})
    parent.fire(EventType.SYSTEM_BOOTSTRAP)
    parent.fire(EventType.SYSTEM_START)
    yield parent
    parent.fire(EventType.SYSTEM_END)


def launched(parent: Parent) -> Handle:
    handle = Handle()
    return parent.site.launch(lambda *_: handle, {"job_id": JOB}, parent.new_context())


def test_the_figures_of_a_kit_are_those_of_a_site(parent: Parent) -> None:
    exporter = parent.site.components()["metrics"]
    assert isinstance(exporter, MetricsExporter)
    handle = launched(parent)
    families = {family.name: family for family in exporter.collector("site-1", parent.site).collect()}
    assert [sample.value for sample in families["flcore_launches_waiting"].samples] == [0]
    assert {s.labels["outcome"]: s.value for s in families["flcore_launches"].samples}["launched"] == 1
    handle.end()
    families = {family.name: family for family in exporter.collector("site-1", parent.site).collect()}
    assert {s.labels["return_code"]: s.value for s in families["flcore_job_ends"].samples}["SUCCESS"] == 1


def test_a_site_knows_how_much_it_is_at(parent: Parent) -> None:
    handle = launched(parent)
    assert (parent.site.load.running, parent.site.jobs()) == (1, {JOB: handle})
    handle.end()
    assert (parent.site.load.running, parent.site.jobs()) == (0, {})


def test_a_component_finds_others_of_either_kind(parent: Parent, recorder: EventRecorder) -> None:
    assert parent.site.get_component("recorder") is recorder
    assert parent.site.get_component("reader") == "reader of another kind"
    assert list(parent.site.components()) == ["metrics", "recorder", "ClientProcessJobLauncher"]


def test_what_a_component_fires_is_heard_by_all_once_and_in_its_own_context(
    parent: Parent, recorder: EventRecorder
) -> None:
    fl_ctx = parent.site.new_context()
    recorder.fire_event_with_data("greeting", fl_ctx, "text", "hello")
    assert recorder.event_types.count("greeting") == 1
    assert fl_ctx.get_prop(FLContextKey.EVENT_ORIGIN) == "recorder"


def test_a_launch_that_fails_is_told_with_its_reason(parent: Parent, recorder: EventRecorder) -> None:
    def fail(*_: Any) -> Handle:
        raise JobRejectedError("no image is allowed")

    with pytest.raises(JobRejectedError, match="no image is allowed"):
        parent.site.launch(fail, {"job_id": JOB}, parent.new_context())
    assert recorder.event_types[-2:] == [EventType.BEFORE_JOB_LAUNCH, EventType.JOB_ABORTED]
    result = recorder.events[-1].result
    assert result
    assert result.error == "no image is allowed"
    assert parent.site.load.launching == 0


def test_a_component_that_comes_to_hear_at_the_start_alone_hears_of_all_of_it(tmp_path: Path) -> None:
    recorder = EventRecorder()
    Parent(tmp_path, {"recorder": recorder}).fire(EventType.SYSTEM_START)
    assert recorder.event_types == [EventType.SYSTEM_BOOTSTRAP, EventType.SYSTEM_START]


def test_a_journal_that_nobody_named_is_called_otherwise_than_what_is_there(tmp_path: Path) -> None:
    parent = Parent(tmp_path, {"journal": object()})
    parent.journal = True
    parent.fire(EventType.SYSTEM_BOOTSTRAP)
    parent.fire(EventType.SYSTEM_END)
    assert isinstance(parent.site.components()["journal-of-jobs"], JobJournal)


def test_a_framework_that_does_not_say_what_it_has_built_is_told_of(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING)
    assert components_of(SimpleNamespace(client=SimpleNamespace())) == {}
    assert "components of flcore's kind hear nothing" in caplog.text


def test_a_component_in_a_file_that_jobs_read_is_told_of(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "local").mkdir()
    (tmp_path / "local/resources.json").write_text('{"components": [{"id": "mine"}, {"id": "theirs"}, 3]}')
    Parent(tmp_path, {"mine": FLComponent(), "theirs": object()}).fire(EventType.SYSTEM_BOOTSTRAP)
    assert "component 'mine' is in local/resources.json" in caplog.text
    assert "theirs" not in caplog.text


def test_what_others_have_raised_in_a_launchs_context_refuses_nothing_here(parent: Parent) -> None:
    fl_ctx = parent.new_context()
    fl_ctx.put(FLContextKey.EXCEPTIONS, {"other": JobRejectedError("of another job")}, private=True, sticky=False)
    handle = Handle()
    assert parent.site.launch(lambda *_: handle, {"job_id": JOB}, fl_ctx) is handle


def test_a_component_of_a_kit_may_refuse_what_it_hears_will_run(tmp_path: Path) -> None:
    class Refusing(FLComponent):
        def handle_event(self, event_type: str, fl_ctx: FLContext) -> None:
            if event_type == EventType.JOB_LAUNCH_PLANNED:
                request = LaunchRequest.of(fl_ctx)
                raise JobRejectedError(f"no consent for {request and request.asks['study']}")

    parent = Parent(tmp_path, {"consent": Refusing()})
    parent.fire(EventType.SYSTEM_BOOTSTRAP)
    request = LaunchRequest("host", {}, {}, asks={"study": "cardio"})

    def launch(_: Any, fl_ctx: FLContext) -> Handle:
        tell_plan(parent.launcher, JOB, fl_ctx, lambda: request)
        return Handle()

    with pytest.raises(JobRejectedError, match="job job-1: refused by the component consent: no consent for cardio"):
        parent.site.launch(launch, {"job_id": JOB}, parent.new_context())
