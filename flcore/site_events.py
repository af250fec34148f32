"""The events that a site fires itself: of its own life, and of its jobs from their launch to their end."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from .event_ids import EventId
from .event_type import EventType
from .fl_constant import EventScope, FLContextKey
from .fl_context import FLContext
from .job_launcher_spec import JobArgs, JobHandleSpec, JobResult, JobReturnCode, JobStateChange
from .launch import Launch
from .workspace import Workspace


class Firing(Protocol):
    """What is asked of the site."""

    name: str
    workspace: Workspace

    def new_context(self) -> FLContext: ...

    def fire_event(self, event_type: str, fl_ctx: FLContext) -> None: ...


class SiteEvents:
    """Fires a site's own events, and makes their contexts. All methods may be called from any thread."""

    def __init__(self, site: Firing) -> None:
        self._site = site

    def fire(self, event_type: str) -> None:
        """Fire an event of the site's life."""
        fl_ctx = self._site.new_context()
        fl_ctx.put(FLContextKey.WORKSPACE_OBJECT, self._site.workspace, private=True, sticky=False)
        self.fire_in(fl_ctx, event_type)

    def fire_in(self, fl_ctx: FLContext, event_type: str, origin: str = "") -> None:
        """Fire an event in a context that is there already, with the site as its origin if none is named."""
        fl_ctx.put(FLContextKey.EVENT_ORIGIN, origin or self._site.name, private=True, sticky=False)
        fl_ctx.put(FLContextKey.EVENT_SCOPE, EventScope.LOCAL, private=True, sticky=False)
        self._site.fire_event(event_type, fl_ctx)

    def launch_context(
        self, job_id: str, job_meta: Mapping[str, Any], job_args: JobArgs | None, launch: Launch | None = None
    ) -> FLContext:
        """Return the context of a launch, or (without a ``launch``) of what is only described."""
        fl_ctx, private_not_sticky = self._context_of(job_id), (True, False)
        fl_ctx.put_all(
            {
                FLContextKey.LAUNCH: (launch, private_not_sticky),
                FLContextKey.JOB_META: (dict(job_meta), private_not_sticky),
                FLContextKey.WORKSPACE_OBJECT: (self._site.workspace, private_not_sticky),
                FLContextKey.JOB_PROCESS_ARGS: (dict(job_args or {}), private_not_sticky),
            }
        )
        return fl_ctx

    def tell_of_hold(self, job_id: str, reason: str) -> None:
        """Fire JOB_HELD: a launch waits for what the reason says."""
        fl_ctx = self._context_of(job_id)
        fl_ctx.put(FLContextKey.EVENT_DATA, reason, private=True, sticky=False)
        self.fire_in(fl_ctx, EventType.JOB_HELD)

    def tell_of_launch(self, handle: JobHandleSpec, fl_ctx: FLContext) -> None:
        """Fire AFTER_JOB_LAUNCH in the context of the launch."""
        fl_ctx.put(FLContextKey.JOB_HANDLE, handle, private=True, sticky=False)
        self.fire_in(fl_ctx, EventType.AFTER_JOB_LAUNCH)

    def tell_of_change(self, launch: Launch, change: JobStateChange) -> None:
        """Fire JOB_STATE_CHANGED, as the launcher would that has launched the job."""
        fl_ctx = self._context_of(change.job_id)
        fl_ctx.put(FLContextKey.JOB_EVENT_ID, change.id, private=True, sticky=False)
        fl_ctx.put(FLContextKey.JOB_STATE_CHANGE, change, private=True, sticky=False)
        self.fire_in(fl_ctx, EventType.JOB_STATE_CHANGED, launch.launcher.name if launch.launcher else self._site.name)

    def tell_of_failed_launch(self, job_id: str, error: Exception, end_id: str = "") -> None:
        """Fire JOB_ABORTED, with what the launch raised. ``end_id``: see ``Launch``."""
        fl_ctx = self._context_of(job_id)
        fl_ctx.put(FLContextKey.LAUNCH_ERROR, error, private=True, sticky=False)
        self._tell_of_end(fl_ctx, JobResult.of_failed_launch(error), EventType.JOB_ABORTED, end_id)

    def tell_of_end(self, job_id: str, result: JobResult, end_id: str = "") -> None:
        """Fire JOB_ABORTED if somebody has ended the job, else JOB_COMPLETED. ``end_id``: see ``JobHandleSpec``."""
        aborted = result.return_code is JobReturnCode.ABORTED
        event_type = EventType.JOB_ABORTED if aborted else EventType.JOB_COMPLETED
        self._tell_of_end(self._context_of(job_id), result, event_type, end_id)

    def _tell_of_end(self, fl_ctx: FLContext, result: JobResult, event_type: str, end_id: str) -> None:
        event_id = end_id or str(EventId.of_one_event())
        fl_ctx.put(FLContextKey.JOB_EVENT_ID, event_id, private=True, sticky=False)
        fl_ctx.put(FLContextKey.JOB_RESULT, result, private=True, sticky=False)
        self.fire_in(fl_ctx, event_type)

    def _context_of(self, job_id: str) -> FLContext:
        fl_ctx = self._site.new_context()
        fl_ctx.put(FLContextKey.CURRENT_RUN, job_id, private=False, sticky=False)
        return fl_ctx
