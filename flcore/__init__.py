"""A minimal, event-driven component framework for federated-learning sites.

What is imported from here is loaded when somebody asks for it: a command that only looks at jobs needs little of it.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from . import import_path  # noqa: F401 - first of all: for `python -m flcore` it sees to where the rest comes from

if TYPE_CHECKING:
    from .errors import (
        ConfigError,
        EventError,
        FLCoreError,
        ForkedError,
        ImageError,
        JobAbortedError,
        JobLaunchError,
        JobNotApprovedError,
        JobRejectedError,
        JobStartError,
        NameInUseError,
        NetworkError,
        NoGpuError,
        NoLauncherError,
        OutcomeUnknownError,
        PullTimeoutError,
        RuntimeRefusedError,
        RuntimeUnavailableError,
        SiteBusyError,
        TerminateTimeout,
        UnknownJobError,
    )
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

    __version__: str

__all__ = [
    "ConfigError",
    "EventError",
    "EventType",
    "FLComponent",
    "FLContext",
    "FLContextKey",
    "FLContextManager",
    "FLCoreError",
    "ForkedError",
    "ImageError",
    "ImagePullProgress",
    "JobAbortedError",
    "JobHandleSpec",
    "JobLaunchError",
    "JobLauncherSpec",
    "JobNotApprovedError",
    "JobRejectedError",
    "JobResult",
    "JobReturnCode",
    "JobStartError",
    "JobStateChange",
    "JobUsage",
    "JobWorkflow",
    "NameInUseError",
    "NetworkError",
    "NoGpuError",
    "NoLauncherError",
    "OutcomeUnknownError",
    "PullTimeoutError",
    "RuntimeRefusedError",
    "RuntimeUnavailableError",
    "Site",
    "SiteBusyError",
    "TerminateTimeout",
    "UnknownJobError",
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
"""Which module has a name. An error is of ``errors``, any other name of ``job_launcher_spec``."""


def __getattr__(name: str) -> Any:
    if name == "__version__":
        return _version()
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    other = "errors" if name.endswith(("Error", "Timeout")) else "job_launcher_spec"
    home = next((module for module, names in _HOMES.items() if name in names), other)
    globals()[name] = found = getattr(import_module(f"{__name__}.{home}"), name)
    return found


def __dir__() -> list[str]:
    return [*globals(), *__all__, "__version__"]


def _version() -> str:
    """Return the version that was installed: what names it is ``setup.cfg``, and nothing else."""
    from importlib.metadata import version

    return version(__name__)
