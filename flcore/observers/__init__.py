"""Components that watch a site's jobs: its journal, its figures, what its jobs use.

What is imported from here is loaded when somebody asks for it: who only reads a journal needs no more.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .job_approval import JobApproval
    from .job_journal import JobJournal
    from .metrics_exporter import MetricsExporter
    from .resource_monitor import ResourceMonitor

__all__ = ["JobApproval", "JobJournal", "MetricsExporter", "ResourceMonitor"]

_HOMES = {
    "JobApproval": "job_approval",
    "JobJournal": "job_journal",
    "MetricsExporter": "metrics_exporter",
    "ResourceMonitor": "resource_monitor",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    globals()[name] = found = getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
    return found


def __dir__() -> list[str]:
    return [*globals(), *__all__]
