"""Fires, in the engine of a launcher's own site, what its keeper tells: each event in a fresh context."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from flcore.event_ids import EventId
from flcore.event_type import EventType
from flcore.fl_component import FLComponent
from flcore.fl_constant import FLContextKey
from flcore.fl_context import FLContext
from flcore.job_launcher_spec import ImagePullProgress, JobHandleSpec, JobStateChange

from .tracking.tracked_job import TrackedJob


class JobEvents:
    """Tells a site's components, on the thread that calls. Any FL framework's engine will do.

    Args:
        launcher: who fires.
        job_context: returns a fresh context of a job, by an engine and the job's id.
        handle_of: returns a job's handle; None when the launcher has let go of its jobs.
    """

    def __init__(
        self,
        launcher: FLComponent,
        job_context: Callable[[Any, str], FLContext],
        handle_of: Callable[[TrackedJob], JobHandleSpec | None],
    ) -> None:
        self._launcher = launcher
        self._job_context = job_context
        self._handle_of = handle_of
        self.engine: Any = None
        """Of the site. None: there is nobody to tell."""

    def job_changed(self, change: JobStateChange) -> None:
        self._fire_about(change.job_id, EventType.JOB_STATE_CHANGED, FLContextKey.JOB_STATE_CHANGE, change, change.id)

    def job_recovered(self, job: TrackedJob) -> None:
        if self.engine is not None and (handle := self._handle_of(job)):
            event_id = str(EventId.of_one_event())  # of this process, which finds it once
            self._fire_about(job.identity.job_id, EventType.JOB_RECOVERED, FLContextKey.JOB_HANDLE, handle, event_id)

    def engine_changed(self, reachable: bool, reason: str) -> None:
        event_type = EventType.ENGINE_REACHABLE if reachable else EventType.ENGINE_UNREACHABLE
        self._fire(event_type, FLContextKey.EVENT_DATA, reason)

    def pull_went_on(self, progress: ImagePullProgress) -> None:
        self._fire(EventType.IMAGE_PULL_PROGRESS, FLContextKey.IMAGE_PULL_PROGRESS, progress)

    def _fire_about(self, job_id: str, event_type: str, key: str, value: Any, event_id: str) -> None:
        if self.engine is not None:
            fl_ctx = self._job_context(self.engine, job_id)
            fl_ctx.set_prop(FLContextKey.JOB_EVENT_ID, event_id, private=True, sticky=False)
            self._launcher.fire_event_with_data(event_type, fl_ctx, key, value)

    def _fire(self, event_type: str, key: str, value: Any) -> None:
        if self.engine is not None:
            self._launcher.fire_event_with_data(event_type, self.engine.new_context(), key, value)
