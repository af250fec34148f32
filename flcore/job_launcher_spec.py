"""What a launcher, a job's handle and a job's result are."""

from __future__ import annotations

import logging
import math
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from dataclasses import fields as dataclass_fields
from enum import IntEnum
from typing import Any, Literal, Self, overload

from .errors import JobAbortedError, JobRejectedError, RuntimeUnavailableError
from .fl_component import FLComponent
from .fl_constant import FLContextKey
from .fl_context import FLContext
from .threads import OwnThread, logged

logger = logging.getLogger(__name__)

JobArgs = Mapping[str, tuple[str, Any]]
"""The arguments of a job's process, ``name -> (flag, value)``: see ``JobProcessArgs``."""


_LOOK_INTERVAL = 0.1
"""Seconds between two looks at a job whose launcher tracks no states."""
LAST_OUTPUT = "; its last output: "
"""What stands in a failed job's error between the reason and the last that the job wrote."""


class JobReturnCode(IntEnum):
    """How a job ended. The values are NVIDIA FLARE's."""

    SUCCESS = 0
    EXECUTION_ERROR = 1
    ABORTED = 9
    EXCEPTION = 101
    UNSAFE_COMPONENT = 102
    CONFIG_ERROR = 103
    INFRASTRUCTURE_ERROR = 104
    UNKNOWN = 127
    """Not ended yet. No job ends with it."""


@dataclass(frozen=True, slots=True)
class JobResult:
    """Why a job ended the way it did. Times are seconds since the epoch, by the runtime's clock."""

    return_code: JobReturnCode
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
    finished_at: float | None = None

    @property
    def succeeded(self) -> bool:
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
    """A job's container entered another state.

    A job's changes come in order. The first has no previous state; the last, and only the last, has the result.
    """

    job_id: str
    site: str
    container_name: str
    container_id: str
    previous: str | None
    state: str
    time: float
    """When the runtime entered the state where it says so, else when it was seen. Seconds since the epoch."""
    result: JobResult | None = None
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
    site: str
    time: float
    """Seconds since the epoch."""
    cpu_seconds: float
    """Of all processors, since the job's start."""
    memory: int
    """Bytes in use, without what is only cached."""

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
    seconds: float
    """Since it began."""
    layers: int
    """The layers that are known so far."""
    layers_done: int
    downloaded: int
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


@dataclass(frozen=True, slots=True)
class LaunchRequest:
    """What a launch would ask a runtime for."""

    host: str
    """The host name by which other jobs would reach the job."""
    request: Mapping[str, Any]
    """In the runtime's own words, as JSON values; secrets are masked."""
    origins: Mapping[str, str]
    """By the path of a setting, such as ``HostConfig.Memory`` or ``Env.PATH``: who has decided it, and by which key."""
    to_read: Mapping[str, Any] = field(default_factory=dict)
    """The request as people read it, who say ``256Mi``; empty where that is the same."""
    passed_over: Mapping[str, str] = field(default_factory=dict)
    """What in the job's metadata is not meant for this launcher, by its path, and why."""
    notes: tuple[str, ...] = ()
    """What else is to be known of it, a line each."""

    @classmethod
    def of(cls, fl_ctx: FLContext) -> LaunchRequest | None:
        """Return what the launch that an AFTER_JOB_LAUNCH event is about asked for; None if the launcher cannot tell.

        May ask the engine. Raises RuntimeUnavailableError.
        """
        asked: Callable[[], LaunchRequest] | None = fl_ctx.get_prop(FLContextKey.LAUNCH_REQUEST)
        return asked() if asked else None


class JobHandleSpec(ABC):
    """A launched job. All methods may be called from any thread, any number of times."""

    host = "localhost"
    """The host name by which other jobs of the same runtime reach this one."""

    @abstractmethod
    def poll(self) -> JobReturnCode:
        """Return UNKNOWN while the job runs, and the same return code every time afterwards. Never blocks."""

    @abstractmethod
    def wait(self, timeout: float | None = None) -> JobReturnCode:
        """Return the job's return code when it is complete; UNKNOWN if it is not after ``timeout`` seconds.

        None is for ever. A site calls it without a timeout.
        """

    @abstractmethod
    def terminate(self, *, by: str = "terminate()") -> JobReturnCode:
        """End the job and return its return code: its own if it had already ended, else ABORTED.

        ``by`` says in the result who asked.
        """

    def usage(self) -> JobUsage | None:
        """Return what the job has used until now; None where it does not run, or a launcher cannot tell.

        May ask the engine. Raises RuntimeUnavailableError.
        """
        return None

    @property
    def state(self) -> str | None:
        """The state that the job was seen in last; None before the first look, and where a launcher cannot tell."""
        return None

    def enter_states(self, job_states_to_enter: str | Iterable[str], timeout: float | None = None) -> bool:
        """Wait until the job has entered one of the states at whatever time, be it before this call.

        Returns False after ``timeout`` seconds (None: never), or as soon as the job has ended without entering any.
        This default looks ten times a second, and sees no state that was left between two looks; launchers that track
        their jobs miss none.
        """
        wanted = {job_states_to_enter} if isinstance(job_states_to_enter, str) else set(job_states_to_enter)
        deadline = math.inf if timeout is None else time.monotonic() + timeout
        while True:
            ended = self.poll() != JobReturnCode.UNKNOWN  # first: a state that is seen after it is the last
            if self.state in wanted or ended or time.monotonic() >= deadline:
                return self.state in wanted
            time.sleep(max(0.0, min(_LOOK_INTERVAL, deadline - time.monotonic())))

    @property
    def result(self) -> JobResult | None:
        """Why the job ended; None while it runs."""
        code = self.poll()
        return None if code == JobReturnCode.UNKNOWN else JobResult(JobReturnCode(code))

    @property
    def end_id(self) -> str:
        """The id of the event of the job's end, to be asked after that; empty for one that nobody tells again.

        A launcher that finds jobs again after a kill of the site's process gives the same id in each process, of which
        several may tell the end (see ``flcore.event_ids``).
        """
        return ""

    @overload
    def logs(self, tail: int | None = None, follow: Literal[False] = False) -> str: ...

    @overload
    def logs(self, tail: int | None = None, *, follow: Literal[True]) -> Iterator[str]: ...

    def logs(self, tail: int | None = None, follow: bool = False) -> str | Iterator[str]:  # noqa: ARG002 - for subclasses
        """Return the job's output so far, or its last ``tail`` lines; empty where a launcher cannot tell.

        With ``follow``, an iterator that gives these line by line, without their ends, and then what comes until the
        job's end.
        """
        return iter(()) if follow else ""

    def add_done_callback(self, callback: Callable[[JobHandleSpec], None]) -> None:
        """Have ``callback(self)`` called once when the job is complete, after its last state change was fired.

        On a thread of the launcher's, so it must not block. This default spends a thread on it; launchers that
        track their jobs need none. Raises RuntimeUnavailableError if no thread can be started.
        """

        def wait_then_call() -> None:
            try:
                self.wait()
            except BaseException:  # whatever it is, who waits for the call gets it
                logger.exception("a job's end cannot be waited for; it counts as lost unless it says otherwise")
            logged(lambda: callback(self))

        OwnThread("job-done", wait_then_call).start()


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that a launcher needs, whether it is there, and what to do if not."""

    what: str
    ok: bool
    detail: str = ""
    warning: bool = False
    """It is there; the detail says what a site should know of it."""


@dataclass(frozen=True, slots=True)
class LauncherFigures:
    """What a launcher tells of its own work. The counts begin with the first job that it launches or finds again."""

    reconnects: int
    """How often it subscribed anew to the runtime's events, for the stream of them had ended."""
    missed_changes: int
    """State changes that a list of all containers found before any event told of them."""
    untold: int
    """How many state changes, ends and reports wait for the site's components to be told of them."""


class JobLauncherSpec(FLComponent, ABC):
    """A component that volunteers at BEFORE_JOB_LAUNCH (:func:`add_launcher`) and can launch a job."""

    deploys = False
    """Whether :meth:`launch_job` calls the context's ``Launch.deploy`` itself, when nothing but the start can fail any
    more. If not, the job's files are in its folder before ``launch_job`` is called; if that raises, they go again."""

    def check_job(self, job_meta: dict[str, Any], fl_ctx: FLContext) -> None:
        """Raise JobRejectedError, or another JobLaunchError, for a job that :meth:`launch_job` would refuse.

        Touches nothing; a site asks before it lets ``launch_job`` do anything, which must look again. One that
        :attr:`deploys` looks in ``launch_job``, before it touches anything, and so only once; there, this is for what a
        subclass refuses beside that.
        """

    @abstractmethod
    def launch_job(self, job_meta: dict[str, Any], fl_ctx: FLContext) -> JobHandleSpec:
        """Launch the job's process and return its handle.

        Raises JobLaunchError if it could not be launched; then nothing of it is left behind.
        """

    def describe_launch(
        self,
        job_meta: dict[str, Any],  # noqa: ARG002 - for subclasses
        fl_ctx: FLContext,  # noqa: ARG002 - for subclasses
    ) -> LaunchRequest | None:
        """Return what :meth:`launch_job` would ask for; None where a launcher cannot tell. Changes nothing.

        May ask the engine. Raises what :meth:`launch_job` would raise for a job that it refuses.
        """
        return None

    def abort_launch(self, job_id: str, by: str) -> bool:  # noqa: ARG002 - for subclasses
        """Call a launch back: have ``launch_job`` raise JobAbortedError, and leave nothing of the job behind.

        ``by`` says who asks. Called from any thread while ``launch_job`` is at work, and does not wait for it. Returns
        False if it is too late for that, or this launcher cannot; then the site ends what ``launch_job`` returns.
        """
        return False

    def figures(self) -> LauncherFigures | None:
        """Return figures of the launcher's own work; None where it has none to tell. Asks nobody, from any thread."""
        return None

    def check(self, fl_ctx: FLContext | None = None) -> Iterable[Check]:  # noqa: ARG002 - for subclasses
        """Say whether what this launcher needs is there. May ask the engine; changes nothing.

        ``fl_ctx`` says for which site, where that matters.
        """
        return ()

    def close(self) -> None:
        """Let go of what was opened, such as the connection of a :meth:`check`; jobs go on. Idempotent.

        For who uses a launcher without a site: in one, a launcher does this by itself at SYSTEM_END.
        """


def add_launcher(launcher: JobLauncherSpec, fl_ctx: FLContext) -> None:
    """Volunteer to launch the job that a BEFORE_JOB_LAUNCH event is about."""
    launchers = [*fl_ctx.get_prop(FLContextKey.JOB_LAUNCHER, []), launcher]
    fl_ctx.set_prop(FLContextKey.JOB_LAUNCHER, launchers, private=True, sticky=False)
