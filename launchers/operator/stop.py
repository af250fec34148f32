"""``flcore stop``: ends a job, with or without a living process of its site.

The wish is on the disk, in the job's record, before anything is signalled: whoever tells of the job's end, be it the
site's process or its next start, finds there who has asked for it, and whether that has reached the job. If this
command reaches no engine, or is interrupted, a process of the site that lives delivers the wish, or its next start
does: ``launchers.records.end_marks`` tells how.
"""

from __future__ import annotations

import argparse
import getpass
import threading
import time
from collections.abc import Callable
from functools import partial
from typing import NamedTuple

from flcore.cli.command import EXIT_FAILED, EXIT_INTERRUPTED, EXIT_OK
from flcore.disk.os_errors import in_words
from flcore.disk.presence import is_there
from flcore.errors import FLCoreError, RuntimeUnavailableError
from flcore.job_launcher_spec import JobResult
from flcore.plain_text import harmless
from flcore.threads import make_all

from ..docker_state import DOCKER_STATE, TERMINAL_STATES, ContainerState, EndRequest, effective_state, result_of
from ..records.end_marks import EndMarks
from ..records.job_record import JobRecord
from ..runtime.base import Runtime
from ..settings import STOP_GRACE
from ..tracking.end_wish import EndWish
from ..tracking.ending import Ending
from .hints import looked_for
from .job_index import JobIndex
from .job_view import ENDED, LAUNCHING, LOST, JobView
from .scope import index_of
from .selection import the_one_job, wanted_for
from .terminal import Terminal, warn

LOOK_INTERVAL = 0.2
CONFIRM_TIMEOUT = 30.0
"""Seconds, after the first kill, in which the end must be confirmed."""
LAUNCH_TIMEOUT = 10.0
"""Seconds that a job which is being launched is waited for."""
SITE_TIMEOUT = 15.0
"""Seconds, beside the job's grace, in which the site's process, which looks every few seconds, is to end a job."""
TELL_TIMEOUT = 10.0
"""Seconds that the site's process takes at most to tell of an end."""
MOST_AT_ONCE = 16
_LIVING = "its site's process, which lives, ends the job when it reaches the engine"
_NEXT = "its site's next start ends the job, if it has not ended by itself till then"
"""Who delivers a wish that this command could not."""
_CALLED_OFF = "whoever has submitted it can call it off, or flcore deny has it be refused"
_UNSTARTED = (LAUNCHING, DOCKER_STATE.CREATED)


class NotEndedError(FLCoreError):
    """A job's end is not confirmed; the message says why, and what becomes of the wish."""


class Outcome(NamedTuple):
    """What has become of a job that was to end."""

    ok: bool
    text: str


def run(args: argparse.Namespace) -> int:
    """End the job at all sites that are meant; return the exit status."""
    terminal = Terminal()
    with index_of(args, wanted=wanted_for([args.job])) as index:
        views = looked_for(index, partial(the_one_job, name=args.job, to_end=True))
        try:
            outcomes = stop_all(index, views)
        except KeyboardInterrupt:
            warn(
                "interrupted; the wish is written down: who follows the job ends it soon, or its site's next start does"
            )
            return EXIT_INTERRUPTED
    for view, outcome in zip(views, outcomes, strict=True):
        text = terminal.styled(harmless(outcome.text), "" if outcome.ok else "bad")
        terminal.print(f"{view.history.site}/{view.history.job_id}: {text}")
    return EXIT_OK if all(outcome.ok for outcome in outcomes) else EXIT_FAILED


def stop_all(index: JobIndex, views: list[JobView]) -> list[Outcome]:
    """End jobs, all at the same time; return what has become of each."""
    interrupted = threading.Event()
    calls = [partial(_outcome, Stopper(index, view, interrupted)) for view in views]
    return make_all("stop", MOST_AT_ONCE, calls, interrupted.set)


def _outcome(stopper: Stopper) -> Outcome:
    try:
        return Outcome(True, stopper.stop())
    except (OSError, FLCoreError) as error:
        return Outcome(False, in_words(error))


class Stopper:
    """Ends one job at one site. ``interrupted`` ends the waiting."""

    def __init__(self, index: JobIndex, view: JobView, interrupted: threading.Event) -> None:
        self._index = index
        self._view = view
        self._interrupted = interrupted
        self._record = JobRecord(view.record_path) if view.record_path else None
        self._wish = EndWish(lambda: self._record)

    def stop(self) -> str:
        """Return what has become of the job, in one line, when its end is confirmed.

        Raises NotEndedError, RuntimeUnavailableError or OSError. The wish stays once it is written down. Idempotent.
        """
        if self._has_ended():
            told = self._view.history.result
            return f"had ended already{': ' + _in_words(told) if told else self._what_is_next()}"
        if waits_for := self._view.waits_for:
            raise NotEndedError(f"nothing of it runs yet: it {waits_for}; {_CALLED_OFF}")
        self._write_down()
        if self._view.state in _UNSTARTED:
            self._wait_for(lambda: self._look_again().state not in _UNSTARTED, LAUNCH_TIMEOUT)
            if self._has_ended():
                return self._told("has ended")
        container, runtime = self._view.container, self._view.runtime
        if container is None or runtime is None:
            return self._without_container()
        try:
            return self._say(self._end(runtime, container.id))
        except RuntimeUnavailableError as error:
            return self._left_to_the_site(str(error))

    def _has_ended(self) -> bool:
        view = self._view
        return not view.is_active or view.state in TERMINAL_STATES

    def _what_is_next(self) -> str:
        """Say who tells of an end that is not told yet."""
        if self._view.history.result or self._view.has_parent or self._view.state in (LOST, ENDED):
            return ""
        return "; its site's next start tells how" if self._record else ""

    def _write_down(self) -> None:
        """Have the wish on the disk, unless there is an earlier one, which counts then; and have it heeded."""
        if self._record:  # first: a mark without a wish says nothing, and nobody looks for a wish without a mark
            EndMarks.beside(self._record.path).put(self._record.path)
        if self._wish.heed() is None:
            self._wish.utter(EndRequest(f"flcore stop (user {_user()})", time.time()))
            self._wish.write_down(durable=True)

    def _without_container(self) -> str:
        """Return what has become of a job that no engine has. Raises NotEndedError where that is not the end."""
        if self._view.state == LAUNCHING and self._view.has_parent:
            raise NotEndedError("is still being launched; that is called off when it comes to the start of its process")
        if self._view.state == LAUNCHING:
            return "was never started; its site's next start tells of it as ABORTED"
        if self._record is None:
            raise NotEndedError("runs in its site's own process, and nobody else can end it: end that process")
        return self._left_to_the_site("no engine that answers has it")

    def _left_to_the_site(self, why: str) -> str:
        """Return what the site's process has made of a wish that this one cannot deliver. Raises NotEndedError."""
        if self._record is None:
            raise NotEndedError(why)
        if self._view.has_parent and self._wait_for(self._is_told, SITE_TIMEOUT + self._stop_grace):
            return self._told("has ended; its site has no journal to say how")
        who = _LIVING if self._view.has_parent else _NEXT
        raise NotEndedError(f"{why}; the wish is written down, and {who}")

    def _is_told(self) -> bool:
        """Whether the site has told of the end, in its journal, or by that nothing is left to be done."""
        return self._look_again().history.result is not None or not (self._record and is_there(self._record.path))

    def _end(self, runtime: Runtime, container_id: str) -> ContainerState:
        """Ask a process to end, kill it after its site's grace, and return what is seen of its end."""
        seen = runtime.inspect(container_id)
        if seen.state is DOCKER_STATE.CREATED and not seen.error:
            self._wish.deliver_by_removal(partial(runtime.remove, container_id))
            return runtime.inspect(container_id)
        if effective_state(seen) in TERMINAL_STATES:
            return seen
        ending, give_up_at = Ending(self._stop_grace), None
        self._wish.deliver(partial(runtime.send_signal, container_id, ending.signal))
        while (ended := self._wait_for_end(runtime, container_id, ending.sent(time.monotonic()))) is None:
            give_up_at = give_up_at or time.monotonic() + CONFIRM_TIMEOUT  # from the first kill on
            if time.monotonic() > give_up_at or self._interrupted.is_set():
                raise NotEndedError(f"the engine has not confirmed its end; {self._who_goes_on()}")
            runtime.send_signal(container_id, ending.signal)
        return ended

    @property
    def _stop_grace(self) -> float:
        return float(self._view.record.get("stop_grace", STOP_GRACE))

    def _who_goes_on(self) -> str:
        if self._record is None:
            return "try again"
        return (
            f"the wish is written down, and its site's {'process' if self._view.has_parent else 'next start'} goes on"
        )

    def _wait_for_end(self, runtime: Runtime, container_id: str, timeout: float) -> ContainerState | None:
        """Return how a container has ended; None if it has not in time, in which an engine may be away."""
        seen: list[ContainerState] = []

        def has_ended() -> bool:
            try:
                seen[:] = [runtime.inspect(container_id)]
            except RuntimeUnavailableError:
                return False
            return effective_state(seen[0]) in TERMINAL_STATES

        return seen[0] if self._wait_for(has_ended, timeout) else None

    def _say(self, seen: ContainerState) -> str:
        """Say how a job has ended: what its site's process tells of it, or what its next start will."""
        if self._view.has_parent:
            self._wait_for(self._is_told, TELL_TIMEOUT)
            return self._told("has ended; its site has not told how yet")
        code = "" if seen.exit_code is None or seen.started_at is None else f" (exit code {seen.exit_code})"
        if self._record is None:
            return f"has ended{code}; its site is not here, so that learns of the end, but not of who has asked for it"
        expected = result_of(seen, self._wish.request).return_code.name
        return f"has ended{code}; its site's next start tells of it as {expected}"

    def _told(self, otherwise: str) -> str:
        return _in_words(self._view.history.result) if self._view.history.result else otherwise

    def _look_again(self) -> JobView:
        """Return what there is of the job now; what there was, if nothing is."""
        found = next((view for view in self._index.jobs() if view.is_same_job(self._view)), None)
        self._view = found or self._view
        return self._view

    def _wait_for(self, condition: Callable[[], bool], timeout: float) -> bool:
        give_up_at = time.monotonic() + timeout
        while not condition():
            if time.monotonic() >= give_up_at or self._interrupted.wait(LOOK_INTERVAL):
                return False
        return True


def _in_words(result: JobResult) -> str:
    code = "" if result.exit_code is None else f" (exit code {result.exit_code})"
    return f"{result.return_code.name}{code}" + (f": {result.error}" if result.error else "")


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a uid without a name
        import os

        return str(os.getuid())
