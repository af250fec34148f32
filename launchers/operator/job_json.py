"""Jobs as JSON values, for scripts."""

from __future__ import annotations

from typing import Any

from ..runtime.base import engine_in_words
from .job_table import duration_of, note_of
from .job_view import JobView


def as_dict(view: JobView, now: float) -> dict[str, Any]:
    """Return what ``flcore ps --json`` says of one job at one site. Times are seconds since the epoch."""
    history = view.history
    result, container = history.result, view.container
    return {
        "job_id": history.job_id,
        "site": history.site,
        "name": history.name,
        "study": history.study or None,
        "state": str(view.state),
        "active": view.is_active,
        "began_at": history.began_at or None,
        "duration": duration_of(view, now),
        "reason": note_of(view),
        "result": result and result.as_dict(),
        "federation": history.federation or None,
        "states": [{"state": entry.state, "time": entry.time} for entry in history.states],
        "launcher": view.launcher,
        "has_parent": view.has_parent,
        "container": {
            "name": history.container_name,
            "id": history.container_id,
            "engine": engine_in_words(view.runtime) if view.runtime else history.engine or None,
            "listed": container is not None,
        },
        "workspace": view.workspace and str(view.workspace),
        "log": view.log_path and str(view.log_path),
    }


def as_full_dict(view: JobView, now: float) -> dict[str, Any]:
    """Return what ``flcore inspect --json`` says: beside that, the request, and what the job used."""
    usage = [used.as_dict() for used in view.history.usage]
    request = view.history.request
    recovered = view.history.recovered
    asked = view.record.get("end_request")
    return as_dict(view, now) | {
        "fingerprint": view.history.fingerprint or None,
        "approved_by": [*view.history.approved_by],
        "request": request and dict(request),
        "usage": usage,
        "recovered": recovered,
        "end_request": asked,
    }
