"""One launch that is under way: how far it has come, and who has asked for its end.

Three parties share it: the site's admission lets it in, the site hands it over to a launcher, and the launcher looks
here whether the job is still wanted. Who wants the job ended asks here, too, so that there is one answer to who was the
first, and whether that was in time.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from enum import Enum, auto
from typing import Self

from .errors import JobAbortedError, JobRejectedError
from .fl_constant import FLContextKey
from .fl_context import FLContext
from .job_launcher_spec import JobHandleSpec, JobLauncherSpec, JobResult, JobReturnCode

logger = logging.getLogger(__name__)

LONGEST_WAIT = 1.0
"""Seconds. Python notices a signal that comes just before it begins to wait only when the wait ends."""


class LaunchState(Enum):
    """How far a launch has come. It goes forward only, and may pass states over; one that is put off begins anew."""

    WAITING = auto()
    """It has begun, or was put off; the site's admission has not let it in yet."""
    ADMITTED = auto()
    """It was let in. The site's components hear of it, and no launcher is at it yet."""
    LAUNCHING = auto()
    """A launcher is at it, and can still call it back: nothing of the job runs."""
    STARTING = auto()
    """The launcher is past the point of no return. Whoever wants the job ended now must wait for its handle."""
    LAUNCHED = auto()
    """There is a handle, to which everybody turns from now on."""
    FAILED = auto()
    """Nothing was launched."""


_CAN_BE_CALLED_BACK = frozenset({LaunchState.WAITING, LaunchState.ADMITTED, LaunchState.LAUNCHING})
_OVER = frozenset({LaunchState.LAUNCHED, LaunchState.FAILED})


class Launch:
    """One launch, on the thread that makes this. All methods may be called from any thread."""

    def __init__(self, job_id: str) -> None:
        self.job_id = job_id
        self.end_id = ""
        """By what id its failure is told, if a launcher, or its next process, may have to tell of that end again."""
        self.plan_wanted_by = ""
        """The component that must hear what will run (JOB_LAUNCH_PLANNED), or nothing may; empty where none must."""
        self.plan_was_told = False
        """Whether all components have heard that, and none has refused."""
        self._thread = threading.get_ident()
        self._state = LaunchState.WAITING
        self._ended_by: str | None = None
        self._ended_late_by: str | None = None
        """Who was the first to ask for the end when it was too late to call the launch back."""
        self._callbacks: list[Callable[[], None]] = []
        self._launcher: JobLauncherSpec | None = None
        self._handle: JobHandleSpec | None = None
        self._deploy: Callable[[], None] | None = None
        self._code = JobReturnCode.ABORTED
        self._changed = threading.Condition(threading.Lock())

    @classmethod
    def of(cls, fl_ctx: FLContext, job_id: str) -> Self:
        """Return the launch of a job that a context is about; a new one where none can still be called back.

        So a framework that puts none there has one, and a launcher that launches something beside the job, or once more
        after a start that failed, too.
        """
        launch = fl_ctx.get_prop(FLContextKey.LAUNCH)
        if isinstance(launch, cls) and launch.job_id == job_id and launch.state in _CAN_BE_CALLED_BACK:
            return launch
        return cls(job_id)

    @property
    def state(self) -> LaunchState:
        return self._state

    @property
    def is_of_this_thread(self) -> bool:
        """Whether who asks is called by the launch itself, which therefore cannot go on before the caller returns."""
        return self._thread == threading.get_ident()

    @property
    def launcher(self) -> JobLauncherSpec | None:
        """Who is at it. Never changes after a :meth:`request_end`, for nobody takes over what is not wanted."""
        return self._launcher

    @property
    def handle(self) -> JobHandleSpec | None:
        """What was launched; from :meth:`note_handle` on, though the launch may still fail."""
        return self._handle

    # Its end

    @property
    def is_wanted(self) -> bool:
        """Whether nobody has asked for the end before the point of no return."""
        return self._ended_by is None

    @property
    def ended_by(self) -> str:
        """Who was the first to ask for the end, before the point of no return; empty if nobody did."""
        return self._ended_by or ""

    def request_end(self, by: str) -> bool:
        """Note that ``by`` asks for the end, and wake whoever waits for that. The first who asks counts.

        Returns False if it is too late: the launch goes on. While it does, :meth:`succeed` will tell of the wish.
        """
        with self._changed:
            if self._state in _OVER:
                return False
            if self._state is LaunchState.STARTING:
                self._ended_late_by = by if self._ended_late_by is None else self._ended_late_by
                return False
            if self._ended_by is not None:
                return True
            self._ended_by = by
            callbacks, self._callbacks = self._callbacks, []
            self._changed.notify_all()
        for callback in callbacks:  # not under the lock: a callback may take locks under which others come here
            self._call(callback)
        return True

    def raise_if_ended(self) -> None:
        """Raise JobAbortedError if somebody has asked for the end in time."""
        if self._ended_by is not None:
            raise launch_aborted(self.job_id, self._ended_by)

    def wait_for_end_request(self, timeout: float) -> bool:
        """Wait until somebody asks for the end; False after ``timeout`` seconds."""
        with self._changed:
            return self._changed.wait_for(lambda: self._ended_by is not None, timeout)

    def on_end_request(self, callback: Callable[[], None]) -> None:
        """Have ``callback()`` called once when somebody asks for the end, on that thread; at once if somebody did.

        Never, if nobody asks in time. It must not block. What it raises is logged.
        """
        with self._changed:
            if self._ended_by is None:
                self._callbacks.append(callback)
                return
        self._call(callback)

    # Its way

    def admit(self) -> bool:
        """Let it in; False if somebody has asked for its end, so that nobody need make room for it."""
        with self._changed:
            if self._ended_by is not None:
                return False
            self._go_on_to(LaunchState.ADMITTED)
            return True

    def wait_for_turn(self) -> None:
        """Return when it was let in. Raises JobAbortedError as soon as somebody asks for the end instead."""
        with self._changed:
            while not self._changed.wait_for(self._is_decided, LONGEST_WAIT):
                pass
        self.raise_if_ended()

    def put_off(self) -> None:
        """Have it be as at its beginning: what has launched it has failed, and left nothing.

        Raises JobAbortedError if somebody has asked for the end.
        """
        with self._changed:
            self.raise_if_ended()
            self._launcher = self._deploy = None
            self.plan_was_told = False
            self._callbacks = []
            self._go_on_to(LaunchState.WAITING)

    def hand_over(self, launcher: JobLauncherSpec) -> None:
        """Note who launches from now on. Raises JobAbortedError if somebody has asked for the end."""
        with self._changed:
            self.raise_if_ended()
            self._launcher = launcher
            self._go_on_to(LaunchState.LAUNCHING)

    def deploy_by(self, deploy: Callable[[], None]) -> None:
        """Note what puts the job's files into its folder, in place of those of an earlier run."""
        self._deploy = deploy

    def deploy(self) -> bool:
        """Have the job's files put into its folder, if that is not done; return whether it was done now.

        To be called by the launching thread. Raises JobLaunchError.
        """
        deploy, self._deploy = self._deploy, None
        if deploy:
            deploy()
        return deploy is not None

    def raise_if_untold(self) -> None:
        """Raise JobRejectedError if a component must hear what will run, and nobody has told."""
        if self.plan_wanted_by and not self.plan_was_told:
            launcher = getattr(self._launcher, "name", "its launcher")
            why = f"the component {self.plan_wanted_by} must know what will run, which {launcher} does not tell"
            raise JobRejectedError(f"job {self.job_id}: {why}: have another launcher volunteer")

    def begin_start(self) -> None:
        """Pass the point of no return. Raises JobAbortedError if somebody has asked for the end.

        Raises JobRejectedError as :meth:`raise_if_untold` does.

        A request comes either before this, which then raises, or after it, and returns False.
        """
        self.raise_if_untold()
        with self._changed:
            self.raise_if_ended()
            self._go_on_to(LaunchState.STARTING)
            self._callbacks = []

    def note_handle(self, handle: JobHandleSpec) -> None:
        """Note that something was launched: whatever the launch raises from here on, even an interrupt, has it ended.

        To be called by a launcher as soon as there is a handle. Without it, what is raised between a job's start and
        the return of the launcher leaves a job that runs, and that nobody knows.
        """
        self._handle = handle

    def succeed(self, handle: JobHandleSpec) -> str:
        """Note the handle. Returns who has asked for the end of what was launched; empty if nobody did."""
        with self._changed:
            self._handle = handle
            self._go_on_to(LaunchState.LAUNCHED)
            return self._ended_by or self._ended_late_by or ""

    def fail(self, error: BaseException) -> None:
        """Note that nothing was launched."""
        with self._changed:
            if isinstance(error, Exception):
                self._code = JobResult.of_failed_launch(error).return_code
            self._go_on_to(LaunchState.FAILED)

    def wait(self) -> JobHandleSpec | JobReturnCode:
        """Return the handle when there is one, or the return code of the launch when it has failed."""
        with self._changed:
            self._changed.wait_for(lambda: self._state in _OVER)
            return self._code if self._handle is None else self._handle

    def _is_decided(self) -> bool:
        return self._state is not LaunchState.WAITING or self._ended_by is not None

    def _go_on_to(self, state: LaunchState) -> None:
        self._state = state
        self._changed.notify_all()

    def _call(self, callback: Callable[[], None]) -> None:
        try:
            callback()
        except Exception:  # whoever asks for the end has asked for it, and the other callbacks wait
            about = {"job_id": self.job_id}
            logger.exception("job %s: a callback failed when its end was asked for", self.job_id, extra=about)


def launch_aborted(job_id: str, by: str) -> JobAbortedError:
    """Return the error of a launch that somebody ended."""
    return JobAbortedError(f"job {job_id}: its launch was ended on the request of {by}", by)
