"""The states of a container, and what they say of its job. Pure: no Docker, thread or clock."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import NamedTuple

from flcore.job_reports import LAST_OUTPUT, JobResult, JobReturnCode

__all__ = ["DOCKER_STATE", "GONE", "TERMINAL_STATES", "ContainerState"]


class DOCKER_STATE(StrEnum):
    """A container's state, as the engine's inspection names it."""

    CREATED = "created"
    """It exists; its process has not started."""
    RUNNING = "running"
    """Its process runs."""
    PAUSED = "paused"
    """Its process is held up."""
    RESTARTING = "restarting"
    """The engine starts its process again, as no launcher here asks it to."""
    REMOVING = "removing"
    """It is being removed, and how its process ended is not known yet."""
    EXITED = "exited"
    """Its process has ended, and the exit code is known. Final."""
    DEAD = "dead"
    """It could not be started, or is gone without its end having been seen. Final."""


TERMINAL_STATES = frozenset({DOCKER_STATE.EXITED, DOCKER_STATE.DEAD})
"""The final ones."""
RUN_OR_OVER = frozenset({DOCKER_STATE.RUNNING, *TERMINAL_STATES})
"""What a start leads to, sooner or later: who waits for it waits for one of these."""

_PASSED_ON = frozenset(
    {
        JobReturnCode.SUCCESS,
        JobReturnCode.EXCEPTION,
        JobReturnCode.UNSAFE_COMPONENT,
        JobReturnCode.CONFIG_ERROR,
        JobReturnCode.INFRASTRUCTURE_ERROR,
    }
)
_EXIT_CODE_HINTS = {
    126: "its command cannot be executed",
    127: "its command was not found",
    135: "signal 7, SIGBUS: its shared memory may have been full, of which 'shm_size' gives it more",
}


@dataclass(frozen=True, slots=True)
class ContainerState:
    """What one inspection says. Times are seconds since the epoch by the engine's clock, None where it has none."""

    state: DOCKER_STATE
    """The engine's word for it."""
    exit_code: int | None = None
    """Of the process; it counts only where that has ended."""
    oom_killed: bool = False
    """Whether the kernel has killed one of its processes for want of memory."""
    error: str = ""
    """The engine's words for why it could not be started; empty without."""
    created_at: float | None = None
    """When it was made."""
    started_at: float | None = None
    """When its process was started."""
    finished_at: float | None = None
    """When its process ended."""


GONE = ContainerState(DOCKER_STATE.DEAD, error="the container is gone: it was removed by somebody else")
"""What is to be said of a container that the engine does not know."""


class Transition(NamedTuple):
    """One state left for another. ``previous`` is None for the first."""

    previous: DOCKER_STATE | None
    state: DOCKER_STATE
    time: float


LONGEST_DOUBT = 600.0
"""Seconds in which an end may be that of a signal of which nobody knows whether it reached the job."""


@dataclass(frozen=True, slots=True)
class EndRequest:
    """Somebody's wish that a job should end, and when it was uttered (seconds since the epoch)."""

    by: str
    time: float
    delivered: bool | None = None
    """Whether it reached the job before the job's own end; None while that is not known."""
    tried_at: float | None = None
    """When somebody began to deliver it of whom is not known yet what came of that; None if nobody has, or it is."""

    def joined(self, other: EndRequest | None) -> EndRequest:
        """Return which of two accounts of a request counts: one of somebody who knows more of its delivery."""
        return other if other is not None and other._knowledge > self._knowledge else self

    @property
    def _knowledge(self) -> int:
        # One who came too late may have come after another whose delivery was the end: who is not answered yet counts.
        if self.delivered:
            return 3
        return 2 if self.tried_at is not None else 1 if self.delivered is False else 0


class Progress(NamedTuple):
    """How far a container's life has been told: enough to go on with it in another process."""

    state: DOCKER_STATE | None = None
    entered: frozenset[DOCKER_STATE] = frozenset()
    """Every state that was ever entered."""
    time: float = 0.0
    """Of the last transition."""

    def then(self, state: DOCKER_STATE, time: float) -> Progress:
        """Return the progress after one more transition. Time never runs backwards."""
        entered = self.entered if state in self.entered else self.entered | {state}
        return Progress(state, entered, max(time, self.time))


class StateMachine:
    """Turns what inspections say, one after the other, into transitions that miss no state that must have been.

    A container seen only when it has exited was created and ran before. After the end nothing changes any more.

    ``begun``: the transition behind ``progress`` that another process may have told, and which comes first.
    """

    def __init__(
        self,
        progress: Progress = Progress(),  # noqa: B008 - it is immutable
        begun: Transition | None = None,
    ) -> None:
        self.progress = progress.then(begun.state, begun.time) if begun else progress
        self._begun = [begun] if begun else []
        self.seen = ContainerState(DOCKER_STATE.CREATED)
        """What was seen last."""
        self.ended = False
        """Whether the end was seen, so that there is a result."""

    @property
    def state(self) -> DOCKER_STATE | None:
        return self.progress.state

    @property
    def entered(self) -> frozenset[DOCKER_STATE]:
        """Every state that was ever entered."""
        return self.progress.entered

    def observe(self, seen: ContainerState, now: float) -> list[Transition]:
        """Return the transitions that lead to what was seen, in order of time; none if nothing is new.

        ``now`` stands in for times that the engine does not tell, in seconds since the epoch.
        """
        if self.ended:
            return []
        has_lost_its_start = seen.started_at is None and self.seen.started_at is not None
        self.seen = replace(seen, started_at=self.seen.started_at) if has_lost_its_start else seen
        begun, self._begun = self._begun, []
        transitions = [self._enter(state, time or now) for state, time in self._path() if state is not self.state]
        self.ended = self.state in TERMINAL_STATES
        return [*begun, *transitions]

    def result(self, end_request: EndRequest | None = None, output: str = "") -> JobResult | None:
        """Return the job's result (see :func:`result_of`); None before the end."""
        return result_of(self.seen, end_request, output) if self.ended else None

    def _path(self) -> Iterator[tuple[DOCKER_STATE, float | None]]:
        """Yield the states, with the engine's times, that must have been entered up to what was seen last."""
        seen = self.seen
        state = effective_state(seen)
        if self.state is None:
            yield DOCKER_STATE.CREATED, seen.created_at
        if seen.started_at is not None and DOCKER_STATE.RUNNING not in self.entered:
            yield DOCKER_STATE.RUNNING, seen.started_at
        yield state, seen.finished_at if state is DOCKER_STATE.EXITED else None

    def _enter(self, state: DOCKER_STATE, time: float) -> Transition:
        previous = self.state
        self.progress = self.progress.then(state, time)  # the engine's own times may be out of order by a millisecond
        return Transition(previous, state, self.progress.time)


def effective_state(seen: ContainerState) -> DOCKER_STATE:
    """Return the state that counts for the job.

    The engine leaves a container whose process could not be started as "created", with an error: that is DEAD. A
    container that is being removed, or could not be, has EXITED if its process is known to have ended.
    """
    if seen.state is DOCKER_STATE.CREATED and seen.error:
        return DOCKER_STATE.DEAD
    if seen.state in (DOCKER_STATE.REMOVING, DOCKER_STATE.DEAD) and _has_ended(seen):
        return DOCKER_STATE.EXITED
    return seen.state


def result_of(seen: ContainerState, end_request: EndRequest | None = None, output: str = "") -> JobResult:
    """Return the result of a job whose container was last seen in a terminal state, having said ``output`` last.

    ABORTED if somebody's wish for the end was delivered before it came; then the container's own exit code, by
    inspection: 0 is SUCCESS, NVIDIA FLARE's codes 101 to 104 are passed on, any other is EXECUTION_ERROR. A container
    that could not be started is an EXECUTION_ERROR, and one that vanished an INFRASTRUCTURE_ERROR: "lost" is not
    "succeeded".
    """
    code = _exit_code(seen)
    asked = end_request if end_request and _came_after(seen, end_request) else None
    return JobResult(
        return_code=JobReturnCode.ABORTED if asked else _return_code(seen, code),
        exit_code=code,
        signal=_signal(code),
        oom_killed=seen.oom_killed and code != 0,
        error=_error(seen, code, asked, output),
        ended_by=asked.by if asked else "",
        started_at=seen.started_at,
        finished_at=seen.finished_at,
    )


def as_states(states: str | Iterable[str]) -> frozenset[DOCKER_STATE]:
    """Return one state or several as a set. Raises ValueError for what is no state."""
    return frozenset(DOCKER_STATE(state) for state in ([states] if isinstance(states, str) else states))


def _has_ended(seen: ContainerState) -> bool:
    return seen.started_at is not None and seen.finished_at is not None


def _came_after(seen: ContainerState, request: EndRequest) -> bool:
    """Whether the request was there before the end: a wish that nobody has delivered has ended nothing.

    Whether it was delivered is certain; only where that is not known do the clocks decide, which may jump, or differ.
    A job that has gone on for long after somebody tried was not reached.
    """
    if request.delivered is not None:
        return request.delivered
    if request.tried_at is None:
        return False
    return seen.finished_at is None or 0 <= seen.finished_at - request.tried_at <= LONGEST_DOUBT


def _exit_code(seen: ContainerState) -> int | None:
    """Return the code of a process that has ended, or what the engine says of one that it could not start.

    Some engines (Podman 5) have a 0 where no process has ever run: that is nobody's code.
    """
    never_started = seen.started_at is None and seen.state is DOCKER_STATE.CREATED
    ended = effective_state(seen) is DOCKER_STATE.EXITED
    if not ended and not never_started:
        return None
    return None if seen.started_at is None and seen.exit_code == 0 else seen.exit_code


def _return_code(seen: ContainerState, exit_code: int | None) -> JobReturnCode:
    if exit_code is None:
        could_not_start = seen.started_at is None and seen.exit_code == 0 and seen.error
        return JobReturnCode.EXECUTION_ERROR if could_not_start else JobReturnCode.INFRASTRUCTURE_ERROR
    return JobReturnCode(exit_code) if exit_code in _PASSED_ON else JobReturnCode.EXECUTION_ERROR


def _signal(exit_code: int | None) -> int | None:
    return exit_code - 128 if exit_code is not None and 128 < exit_code <= 128 + 64 else None


def _error(seen: ContainerState, exit_code: int | None, asked: EndRequest | None, output: str) -> str:
    if asked:
        return f"ended on the request of {asked.by}"
    if exit_code == 0:
        return seen.error
    return (seen.error or _reason(seen, exit_code)) + (f"{LAST_OUTPUT}{output}" if output else "")


def _reason(seen: ContainerState, exit_code: int | None) -> str:
    if exit_code is None:
        return "the engine has not seen how it ended, and knows no exit code"
    if seen.oom_killed:
        return f"the job ran out of memory and was killed (exit code {exit_code})"
    signal = _signal(exit_code)
    hint = _EXIT_CODE_HINTS.get(exit_code, f"signal {signal}" if signal else "")
    return f"exit code {exit_code}" + (f" ({hint})" if hint else "")
