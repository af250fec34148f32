"""What a launcher, a job's handle and a job's result are."""

from __future__ import annotations

import logging
from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, overload

from .fl_component import FLComponent
from .fl_constant import FLContextKey
from .fl_context import FLContext
from .job_reports import ImagePullProgress, JobResult, JobReturnCode, JobStateChange, JobUsage
from .job_scope import JobScope
from .job_states import EXITED, RUNNING, wait_to_enter
from .threads import OwnThread, logged

__all__ = [
    "Check",
    "ImagePullProgress",
    "JobArgs",
    "JobHandleSpec",
    "JobLauncherSpec",
    "JobResult",
    "JobReturnCode",
    "JobStateChange",
    "JobUsage",
    "LaunchRequest",
    "LauncherFigures",
    "add_launcher",
]

logger = logging.getLogger(__name__)

JobArgs = Mapping[str, tuple[str, Any]]
"""The arguments of a job's process, ``name -> (flag, value)``: see ``JobProcessArgs``."""


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
    engine: str = ""
    """The address of the engine that is asked, without a password; empty where there is none."""
    scope: JobScope | None = None
    """What the job would see of the site, and may ask for; None where a launcher cannot tell."""
    notes: tuple[str, ...] = ()
    """What else is to be known of it, a line each."""
    image_id: str = ""
    """What the job is made from, as the engine knows it; empty where that is not known, or no image."""
    asks: Mapping[str, Any] = field(default_factory=dict)
    """What the job asks for and gets, as JSON values: the study, image and its id, datasets, secrets by their names and
    sources, resources, variables, and the command. Of two runs of the same job it is the same. Empty where a launcher
    does not say it."""

    @property
    def datasets(self) -> tuple[str, ...]:
        """The names of those that the job sees."""
        return tuple(sorted(one.name for one in self.scope.datasets)) if self.scope else ()

    @classmethod
    def of(cls, fl_ctx: FLContext) -> LaunchRequest | None:
        """Return what the launch asks for that a JOB_LAUNCH_PLANNED or AFTER_JOB_LAUNCH event is about.

        None if the launcher cannot tell. May ask the engine. Raises RuntimeUnavailableError.
        """
        asked: Callable[[], LaunchRequest] | None = fl_ctx.get_prop(FLContextKey.LAUNCH_REQUEST)
        return asked() if asked else None


class JobHandleSpec(ABC):
    """A launched job. All methods may be called from any thread, any number of times.

    A subclass says how to poll, wait and terminate; what else it can tell, it may.
    """

    host = "localhost"
    """The host name by which other jobs of the same runtime reach this one."""
    tells_changes = False
    """Whether its launcher fires JOB_STATE_CHANGED. If not, the site that has launched it does, by looking at
    :meth:`poll` and :attr:`state` now and then: neither may wait for anything."""

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
        """The state that the job was seen in last; None before the first look.

        This default knows "running" and, when :meth:`poll` says that the job has ended, "exited".
        """
        return RUNNING if self.poll() == JobReturnCode.UNKNOWN else EXITED

    def enter_states(self, job_states_to_enter: str | Iterable[str], timeout: float | None = None) -> bool:
        """Wait until the job has entered one of the states at whatever time, be it before this call.

        Returns False after ``timeout`` seconds (None: never), or as soon as the job has ended without entering any.
        This default looks ten times a second. It knows what must have been before what it sees, but no other state that
        was left between two looks; launchers that track their jobs miss none.
        """

        def look() -> tuple[bool, str | None]:
            return self.poll() != JobReturnCode.UNKNOWN, self.state  # a state that is seen after the end is the last

        return wait_to_enter(job_states_to_enter, look, timeout)

    @property
    def result(self) -> JobResult | None:
        """Why the job ended; None while it runs."""
        code = self.poll()
        return None if code == JobReturnCode.UNKNOWN else JobResult(JobReturnCode(code))

    @property
    def study(self) -> str:
        """The study that the job has named; empty for none, and where a launcher cannot tell."""
        return ""

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
    """What is looked at, in a word or two, such as ``image``."""
    ok: bool
    """Whether it is there."""
    detail: str = ""
    """Which one it is, or what to do."""
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

    tells_plan = False
    """Whether :meth:`launch_job` has the site's components hear JOB_LAUNCH_PLANNED, by
    ``flcore.launcher_choice.tell_plan``, when it knows what will run. If not, a component that must know (see
    ``Launch.plan_wanted_by``) has the job refused."""

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

    def known_studies(self) -> Collection[str] | None:
        """Return the studies whose jobs it launches, by their names; None where a study is only a word to it."""
        return None

    def check(self, fl_ctx: FLContext | None = None) -> Iterable[Check]:  # noqa: ARG002 - for subclasses
        """Say whether what this launcher needs is there. May ask the engine; changes nothing.

        ``fl_ctx`` says for which site, where that matters.
        """
        return ()

    def check_reach(self, fl_ctx: FLContext | None = None) -> Iterable[Check]:  # noqa: ARG002 - for subclasses
        """Say what its jobs reach of the network: tried by something like a job, of which nothing stays."""
        return ()

    def close(self) -> None:
        """Let go of what was opened, such as the connection of a :meth:`check`; jobs go on. Idempotent.

        For who uses a launcher without a site: in one, a launcher does this by itself at SYSTEM_END.
        """


def add_launcher(launcher: JobLauncherSpec, fl_ctx: FLContext) -> None:
    """Volunteer to launch the job that a BEFORE_JOB_LAUNCH event is about."""
    launchers = [*fl_ctx.get_prop(FLContextKey.JOB_LAUNCHER, []), launcher]
    fl_ctx.set_prop(FLContextKey.JOB_LAUNCHER, launchers, private=True, sticky=False)
