"""A minimal, event-driven component framework for federated-learning sites."""

from . import import_path  # noqa: F401 - first of all: for `python -m flcore` it sees to where the rest comes from
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
