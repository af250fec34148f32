"""What a unit test of a component needs: a fake context, and a component that records events.

Both work with any test framework. For pytest there are the fixtures ``fl_ctx`` and ``event_recorder``, too, which it
finds by itself (see :mod:`flcore.pytest_plugin`). Containers in memory are of :mod:`launchers.runtime.fake`, and what a
runtime of one's own is tested by is :mod:`launchers.testing`: this package knows nothing of launchers.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

from .event_bus import EventBus
from .fl_component import FLComponent
from .fl_constant import FLContextKey, ReservedKey
from .fl_context import FLContext
from .job_launcher_spec import JobResult, JobStateChange
from .threads import bounded
from .workspace import Workspace

__all__ = ["DEFAULT_TIMEOUT", "EventRecorder", "FakeEngine", "FakeFLContext", "RecordedEvent"]

pytest_plugins = ["flcore.pytest_plugin"]
"""For who names this module as a plug-in of pytest's, which was needed once, or has pytest look for none by itself."""
DEFAULT_TIMEOUT = 10.0
"""Seconds that a recorder waits for an event."""


class RecordedEvent(NamedTuple):
    """One event, with what its context said at that time."""

    event_type: str
    """An ``EventType``, or a component's own."""
    site: str
    """At which site."""
    job_id: str | None
    """About which job; None where the context is about none."""
    change: JobStateChange | None
    """Of a JOB_STATE_CHANGED event."""
    result: JobResult | None
    """Of a JOB_COMPLETED or JOB_ABORTED event."""


class EventRecorder(FLComponent):
    """Records every event. Safe to read while other threads fire."""

    def __init__(self) -> None:
        super().__init__()
        self._events: list[RecordedEvent] = []
        self._arrived = threading.Condition()

    def handle_event(self, event_type: str, fl_ctx: FLContext) -> None:
        event = RecordedEvent(
            event_type,
            fl_ctx.get_identity_name(),
            fl_ctx.get_job_id(),
            fl_ctx.get_prop(FLContextKey.JOB_STATE_CHANGE),
            fl_ctx.get_prop(FLContextKey.JOB_RESULT),
        )
        with self._arrived:
            self._events.append(event)
            self._arrived.notify_all()

    @property
    def events(self) -> list[RecordedEvent]:
        """All events so far, in order."""
        with self._arrived:
            return list(self._events)

    @property
    def event_types(self) -> list[str]:
        """The types of all events so far, in order."""
        return [event.event_type for event in self.events]

    @property
    def changes(self) -> list[JobStateChange]:
        """The state changes so far, in order."""
        return [event.change for event in self.events if event.change]

    def states(self, job_id: str | None = None) -> list[str]:
        """Return the states that a job entered so far (None: any job), in order."""
        return [change.state for change in self.changes if job_id in (None, change.job_id)]

    def wait_for(self, event_type: str, timeout: float = DEFAULT_TIMEOUT, job_id: str | None = None) -> RecordedEvent:
        """Return the first event of a type (and job), waiting for it. Raises TimeoutError with what came instead."""

        def found() -> RecordedEvent | None:
            matching = (e for e in self._events if e.event_type == event_type and job_id in (None, e.job_id))
            return next(matching, None)

        with self._arrived:
            event = self._arrived.wait_for(found, bounded(timeout))
            if event is None:
                seen = [recorded.event_type for recorded in self._events]
                raise TimeoutError(f"no event {event_type} in {timeout:g} s; there were {seen}")
            return event

    def wait_for_states(self, states: list[str], timeout: float = DEFAULT_TIMEOUT, job_id: str | None = None) -> None:
        """Return when a job has entered these states, in this order. Raises TimeoutError with those it did enter."""
        with self._arrived:
            if not self._arrived.wait_for(lambda: self.states(job_id)[: len(states)] == states, bounded(timeout)):
                raise TimeoutError(f"not the states {states} in {timeout:g} s, but {self.states(job_id)}")

    def wait_for_end(self, job_id: str | None = None, timeout: float = DEFAULT_TIMEOUT) -> JobResult:
        """Return the result in the last state change of a job, waiting for it. Raises TimeoutError."""

        def found() -> JobResult | None:
            changes = (e.change for e in self._events if e.change and job_id in (None, e.change.job_id))
            return next((change.result for change in changes if change.result), None)

        with self._arrived:
            result = self._arrived.wait_for(found, bounded(timeout))
            if result is None:
                raise TimeoutError(f"the job did not end in {timeout:g} s; its states were {self.states(job_id)}")
            return result


class FakeEngine:
    """What a context's engine must have, and no more. Fires to its recorder first, then to components, in order.

    Args:
        identity: the site's name.
        components: who else gets the events.
    """

    def __init__(self, identity: str, components: Iterable[FLComponent] = ()) -> None:
        self.identity = identity
        self.recorder = EventRecorder()
        self._bus = EventBus()
        for component in (self.recorder, *components):
            self._bus.connect(component.name, component.dispatch_event)

    def new_context(self) -> FLContext:
        """Return a fresh context of the site, about no job."""
        return FakeFLContext(self.identity, job_id=None, engine=self)

    def fire_event(self, event_type: str, fl_ctx: FLContext) -> None:
        """Have the recorder, then the components, handle an event, on this thread."""
        self._bus.fire(event_type, fl_ctx)


class FakeFLContext(FLContext):
    """A real context with a fake engine, for calling a component's methods in a unit test.

    Args:
        identity: the site's name.
        job_id: the job that the context is about.
        job_meta: its metadata; by default just its id.
        job_args: its JOB_PROCESS_ARGS.
        workspace: the site's folder, such as pytest's ``tmp_path``; None is a site without one.
        components: who else gets the events that are fired.
        props: further properties, private and of this context only.
        engine: another context's, to share its recorder and components; then ``components`` count for nothing.
    """

    def __init__(
        self,
        identity: str = "site-1",
        job_id: str | None = "job-1",
        job_meta: dict[str, Any] | None = None,
        job_args: dict[str, tuple[str, Any]] | None = None,
        workspace: str | Path | None = None,
        components: Iterable[FLComponent] = (),
        props: dict[str, Any] | None = None,
        engine: FakeEngine | None = None,
    ) -> None:
        super().__init__()
        self.engine = engine or FakeEngine(identity, components)
        self.put(ReservedKey.ENGINE, self.engine, private=True, sticky=False)
        self.put(ReservedKey.IDENTITY_NAME, identity, private=False, sticky=False)
        self.put(ReservedKey.RUN_NUM, job_id, private=False, sticky=False)
        given = {
            FLContextKey.JOB_META: job_meta or (job_id and {"job_id": job_id}),
            FLContextKey.JOB_PROCESS_ARGS: job_args,
            FLContextKey.WORKSPACE_OBJECT: workspace and Workspace(workspace, identity),
            **(props or {}),
        }
        for key, value in given.items():
            if value is not None:
                self.put(key, value, private=True, sticky=False)

    @property
    def recorder(self) -> EventRecorder:
        """Everything that was fired in this context, or in one that its engine made."""
        return self.engine.recorder

    @property
    def launchers(self) -> list[Any]:
        """Who has volunteered."""
        return list(self.get_prop(FLContextKey.JOB_LAUNCHER, []))
