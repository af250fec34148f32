"""A minimal, event-driven component framework for federated-learning sites.

What is imported from here is loaded when somebody asks for it: a command that only looks at jobs needs little of it.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from . import import_path  # noqa: F401 - first of all: for `python -m flcore` it sees to where the rest comes from

if TYPE_CHECKING:
    from .event_type import EventType
    from .fl_component import FLComponent
    from .fl_constant import FLContextKey
    from .fl_context import FLContext, FLContextManager
    from .job_launcher_spec import (
        ImagePullProgress,
        JobHandleSpec,
        JobLauncherSpec,
        JobResult,
        JobReturnCode,
        JobStateChange,
        JobUsage,
        add_launcher,
    )
    from .site import Site
    from .workflow import JobWorkflow, Workflow

__all__ = [
    "EventType",
    "FLComponent",
    "FLContext",
    "FLContextKey",
    "FLContextManager",
    "ImagePullProgress",
    "JobHandleSpec",
    "JobLauncherSpec",
    "JobResult",
    "JobReturnCode",
    "JobStateChange",
    "JobUsage",
    "JobWorkflow",
    "Site",
    "Workflow",
    "add_launcher",
]

_HOMES = {
    "event_type": ("EventType",),
    "fl_component": ("FLComponent",),
    "fl_constant": ("FLContextKey",),
    "fl_context": ("FLContext", "FLContextManager"),
    "site": ("Site",),
    "workflow": ("JobWorkflow", "Workflow"),
}
"""Which module has a name; any other is of ``job_launcher_spec``."""


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    home = next((module for module, names in _HOMES.items() if name in names), "job_launcher_spec")
    globals()[name] = found = getattr(import_module(f"{__name__}.{home}"), name)
    return found


def __dir__() -> list[str]:
    return [*globals(), *__all__]
