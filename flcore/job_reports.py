"""What is told of a job: how it has ended, which state it has entered, what it uses, how far its image has come."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from dataclasses import fields as dataclass_fields
from enum import IntEnum
from typing import Any, Self

from .errors import JobAbortedError, JobRejectedError, RuntimeUnavailableError
from .fl_constant import FLContextKey
from .fl_context import FLContext

LAST_OUTPUT = "; its last output: "
"""What stands in a failed job's error between the reason and the last that the job wrote."""


class JobReturnCode(IntEnum):
    """How a job ended. The values are NVIDIA FLARE's."""

    SUCCESS = 0
    """Its exit code was 0."""
    EXECUTION_ERROR = 1
    """Its exit code was none of the others here, or its process could not be started."""
    ABORTED = 9
    """Somebody asked for its end, and that reached it before it ended by itself."""
    EXCEPTION = 101
    """It ended with this exit code: NVIDIA FLARE's of a process that has raised."""
    UNSAFE_COMPONENT = 102
    """It ended with this exit code: NVIDIA FLARE's of a process that was given a component which it may not load."""
    CONFIG_ERROR = 103
    """It ended with this exit code, or was refused."""
    INFRASTRUCTURE_ERROR = 104
    """It ended with this exit code, was lost, or the engine did not answer its launch."""
    UNKNOWN = 127
    """Not ended yet. No job ends with it."""


@dataclass(frozen=True, slots=True)
class JobResult:
    """Why a job ended the way it did. Times are seconds since the epoch, by the runtime's clock."""

    return_code: JobReturnCode
    """What is told to whoever waits."""
    exit_code: int | None = None
    """The process's exit code as the runtime reports it; None if it never ran or its end was not seen."""
    signal: int | None = None
    """The signal that the exit code stands for (128 + signal)."""
    oom_killed: bool = False
    """The job failed, and the runtime killed one of its processes for want of memory."""
    error: str = ""
    """One line for a human; empty after a success."""
    ended_by: str = ""
    """Who asked for the end, where somebody did and the job had not ended by itself before."""
    started_at: float | None = None
    """When its process was started; None if it never was."""
    finished_at: float | None = None
    """When its process ended; None if it never ran or its end was not seen."""

    @property
    def succeeded(self) -> bool:
        """Whether the return code is SUCCESS."""
        return self.return_code is JobReturnCode.SUCCESS

    @property
    def reason(self) -> str:
        """The error without the last that the job wrote, for who shows its output."""
        return self.error.partition(LAST_OUTPUT)[0]

    @property
    def duration(self) -> float | None:
        """Seconds from start to end; None for a job that never ran."""
        if self.started_at is None or self.finished_at is None:
            return None
        return max(0.0, self.finished_at - self.started_at)

    @classmethod
    def of_failed_launch(cls, error: Exception) -> Self:
        """Return the result of a job whose launch raised."""
        code = JobReturnCode.EXECUTION_ERROR
        if isinstance(error, JobAbortedError):
            return cls(JobReturnCode.ABORTED, error=str(error), ended_by=error.by)
        if isinstance(error, JobRejectedError):
            code = JobReturnCode.CONFIG_ERROR
        elif isinstance(error, RuntimeUnavailableError):
            code = JobReturnCode.INFRASTRUCTURE_ERROR
        return cls(code, error=str(error) or type(error).__name__)

    def as_dict(self) -> dict[str, Any]:
        """Return the fields as JSON values, the return code by its name."""
        return asdict(self) | {"return_code": self.return_code.name}

    @classmethod
    def from_dict(cls, fields: Mapping[str, Any]) -> Self:
        """Return the result whose :meth:`as_dict` this is; fields that it does not have are passed over."""
        known = {field.name: fields[field.name] for field in dataclass_fields(cls) if field.name in fields}
        return cls(**known | {"return_code": JobReturnCode[fields["return_code"]]})


@dataclass(frozen=True, slots=True)
class JobStateChange:
    """A job's container, or a job without one, entered another state.

    A job's changes come in order. The first has no previous state; the last, and only the last, has the result.
    """

    job_id: str
    """Which job."""
    site: str
    """At which site."""
    container_name: str
    """Its name; of a local process, what the launcher calls it; empty where a site tells of a job itself."""
    container_id: str
    """The runtime's id of it, or empty."""
    previous: str | None
    """The state that it has left; None in the first change."""
    state: str
    """The state that it has entered: a ``DOCKER_STATE``, for this package's launchers."""
    time: float
    """When the runtime entered the state where it says so, else when it was seen. Seconds since the epoch."""
    result: JobResult | None = None
    """How the job has ended, in the last change."""
    id: str = ""
    """The same when it is told again, and no other's: see ``flcore.event_ids``."""

    @classmethod
    def of(cls, fl_ctx: FLContext) -> JobStateChange:
        """Return the change that a JOB_STATE_CHANGED event is about."""
        change: JobStateChange = fl_ctx.get_prop(FLContextKey.JOB_STATE_CHANGE)
        return change

    def as_dict(self) -> dict[str, Any]:
        """Return the fields as JSON values."""
        return asdict(self) | {"result": self.result and self.result.as_dict()}


@dataclass(frozen=True, slots=True)
class JobUsage:
    """What a running job had used at one moment."""

    job_id: str
    """Which job."""
    site: str
    """At which site."""
    time: float
    """When; seconds since the epoch."""
    cpu_seconds: float
    """Of all processors, since the job's start."""
    memory: int
    """Bytes in use, without what is only cached."""
    disk: int | None = None
    """Bytes that its folder held when that was looked at last; None where nobody has: without a limit, nobody does."""
    disk_limit: int | None = None
    """Bytes that it may hold; None is no limit."""

    @classmethod
    def of(cls, fl_ctx: FLContext) -> JobUsage:
        """Return the usage that a JOB_USAGE event is about."""
        usage: JobUsage = fl_ctx.get_prop(FLContextKey.JOB_USAGE)
        return usage

    def as_dict(self) -> dict[str, Any]:
        """Return the fields as JSON values."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class ImagePullProgress:
    """How far the pull of an image is that one job or more wait for. Sizes are in bytes."""

    image: str
    """The image's name."""
    seconds: float
    """Since it began."""
    layers: int
    """The layers that are known so far."""
    layers_done: int
    """Those of them that are there."""
    downloaded: int
    """What has come so far."""
    size: int
    """What there is to download, of the layers whose size is known so far."""
    ended: bool = False
    """True in the last report of a pull, and only there."""
    error: str = ""
    """Why it has ended without the image, in one line."""

    @classmethod
    def of(cls, fl_ctx: FLContext) -> ImagePullProgress:
        """Return the progress that an IMAGE_PULL_PROGRESS event is about."""
        progress: ImagePullProgress = fl_ctx.get_prop(FLContextKey.IMAGE_PULL_PROGRESS)
        return progress

    def as_dict(self) -> dict[str, Any]:
        """Return the fields as JSON values."""
        return asdict(self)
