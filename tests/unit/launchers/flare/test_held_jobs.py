"""HeldJobs: what waits in NVIDIA FLARE's queue, when it is asked about again, and that its end is told."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from flcore.errors import (
    ConfigError,
    Hold,
    ImageError,
    JobAbortedError,
    JobLaunchError,
    JobRejectedError,
    RuntimeUnavailableError,
)
from launchers.flare.held_jobs import GIVEN_UP_AFTER, HeldJobs

TIMEOUT = 10.0
JOB = "j1"
APPROVAL, IMAGE = "waits for approval", "waits for its image"
NEXT = "waits until NVIDIA FLARE schedules it"


class Parent:
    """What a parent has around them: its time, what its components say, and what it tells."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.error: Exception | None = None
        self.is_ours = True
        self.attempts = 0
        self.told: list[tuple[str, str]] = []
        self.ends: list[tuple[str, Exception]] = []
        self.later: list[tuple[float, Callable[[], object]]] = []
        self.forgotten: list[str] = []
        self.jobs = HeldJobs(self, self._ask_later, self.forgotten.append, lambda: self.now)

    def tell_of_hold(self, job_id: str, reason: str) -> None:
        self.told.append((job_id, reason))

    def tell_of_failed_launch(self, job_id: str, error: Exception, end_id: str = "") -> None:
        self.ends.append((job_id, error))

    def _ask_later(self, seconds: float, call: Callable[[], object]) -> None:
        self.later.append((self.now + seconds, call))

    def ask(self, job_id: str = JOB) -> str:
        return self.jobs.why_not_yet(job_id, self.attempt)

    def go_on(self, seconds: float) -> None:
        """Let time go by, and make the calls that are due."""
        self.now += seconds
        due, self.later = self.later, []
        for at, call in due:
            if at <= self.now:
                call()
            else:
                self.later.append((at, call))

    def attempt(self) -> bool:
        self.attempts += 1
        if self.error:
            raise self.error
        return self.is_ours


class SlowLook:
    """A look at a job that goes on until the test lets it end."""

    def __init__(self) -> None:
        self.begun, self.may_end = threading.Event(), threading.Event()

    def __call__(self) -> bool:
        self.begun.set()
        return self.may_end.wait(TIMEOUT)


@pytest.fixture
def parent() -> Parent:
    return Parent()


def put_off(
    reason: str = APPROVAL,
    patience: float = 600,
    may_go_on: Callable[[], bool] = lambda: False,
    kind: type[JobLaunchError] = JobRejectedError,
) -> Exception:
    error = kind("not yet")
    error.hold = Hold(f"{reason}: flcore approve 1234", may_go_on, patience, reason)
    return error


def test_what_nobody_puts_off_may_go_on_and_is_asked_about_once(parent: Parent) -> None:
    assert [parent.ask(), parent.ask()] == ["", ""]
    assert parent.attempts == 1
    assert parent.told == [(JOB, NEXT)]
    assert parent.forgotten == [JOB]


def test_what_is_put_off_waits_and_is_asked_about_when_it_may_go_on(parent: Parent) -> None:
    approved: list[bool] = []
    parent.error = put_off(may_go_on=lambda: bool(approved))
    assert [parent.ask() for _ in range(3)] == [APPROVAL] * 3
    assert parent.attempts == 1
    approved.append(True)
    parent.error = put_off(IMAGE)
    assert [parent.ask(), parent.ask()] == [IMAGE, IMAGE]
    parent.error = None
    assert parent.ask() == IMAGE, "it is asked about again only when it may go on"
    assert parent.told == [(JOB, f"{APPROVAL}: flcore approve 1234"), (JOB, f"{IMAGE}: flcore approve 1234")]
    assert parent.forgotten == []


def test_a_reason_that_stays_is_told_once(parent: Parent) -> None:
    parent.error = put_off(may_go_on=lambda: True)
    assert [parent.ask() for _ in range(3)] == [APPROVAL] * 3
    assert (parent.attempts, len(parent.told)) == (3, 1)


def test_what_is_refused_for_good_may_go_on_to_be_refused_by_its_launch(parent: Parent) -> None:
    parent.error = put_off(may_go_on=lambda: True)
    parent.ask()
    parent.error = JobLaunchError("denied")
    assert parent.ask() == ""
    assert parent.told[-1] == (JOB, NEXT)


def test_when_the_patience_is_over_the_launch_is_to_refuse_it(parent: Parent) -> None:
    parent.error = put_off(patience=60)
    assert parent.ask() == APPROVAL
    parent.now += 59
    assert parent.ask() == APPROVAL
    parent.now += 1
    assert parent.ask() == ""


def test_each_kind_of_waiting_has_its_own_patience(parent: Parent) -> None:
    parent.error = put_off(IMAGE, 600, lambda: True, ImageError)
    assert parent.ask() == IMAGE
    parent.now += 590
    parent.error = put_off(APPROVAL, 60, lambda: True)
    assert parent.ask() == APPROVAL
    parent.now += 50
    assert parent.ask() == APPROVAL
    parent.error = put_off(IMAGE, 600, lambda: True, ImageError)
    assert parent.ask() == ""


def test_an_engine_that_does_not_answer_is_waited_for(parent: Parent) -> None:
    parent.error = RuntimeUnavailableError("Docker Engine unix:///secret does not answer")
    assert parent.ask() == "its engine does not answer"
    parent.now += 1e6
    assert parent.ask() == "its engine does not answer"
    assert parent.told == [(JOB, "Docker Engine unix:///secret does not answer")]
    parent.error = None
    assert parent.ask() == ""


def test_who_puts_off_without_a_summary_is_told_of_at_the_site_alone(parent: Parent) -> None:
    error = JobRejectedError("not yet")
    error.hold = Hold("waits for the secret study", lambda: False, 60)
    parent.error = error
    assert parent.ask() == parent.ask() == "the site has put it off, and says there why"
    assert parent.told == [(JOB, "waits for the secret study")]


def test_who_asks_again_while_a_job_is_looked_at_waits(parent: Parent, pool: ThreadPoolExecutor) -> None:
    look = SlowLook()
    first = pool.submit(parent.jobs.why_not_yet, JOB, look)
    assert look.begun.wait(TIMEOUT)
    assert parent.ask() == "the site is looking at it"
    assert (parent.attempts, parent.forgotten) == (0, [])
    look.may_end.set()
    assert first.result(TIMEOUT) == ""
    assert parent.ask() == ""


def test_an_answer_that_comes_after_the_launch_says_and_removes_nothing(
    parent: Parent, pool: ThreadPoolExecutor
) -> None:
    look = SlowLook()
    late = pool.submit(parent.jobs.why_not_yet, JOB, look)
    assert look.begun.wait(TIMEOUT)
    parent.jobs.taken(JOB)
    look.may_end.set()
    assert late.result(TIMEOUT) == ""
    assert (parent.told, parent.forgotten) == ([], [])


def test_an_error_that_is_no_refusal_leaves_a_job_that_is_given_up_in_time(parent: Parent) -> None:
    parent.error = ConfigError("broken")
    for _ in range(2):
        with pytest.raises(ConfigError):
            parent.ask()
    assert (parent.attempts, len(parent.later)) == (2, 1)


def test_of_another_launcher_s_job_nothing_is_told(parent: Parent) -> None:
    parent.is_ours = False
    assert parent.ask() == ""
    parent.jobs.close()
    assert (parent.told, parent.ends, parent.later) == ([], [], [])


def test_what_is_launched_is_told_by_its_launch_alone(parent: Parent) -> None:
    parent.ask()
    parent.jobs.taken(JOB)
    parent.jobs.taken(JOB)
    parent.go_on(GIVEN_UP_AFTER)
    parent.jobs.close()
    assert parent.ends == []


def test_what_nvidia_flare_asks_for_no_more_has_ended(parent: Parent) -> None:
    parent.error = put_off(patience=1e6)
    parent.ask()
    parent.go_on(GIVEN_UP_AFTER - 1)
    parent.ask()
    parent.go_on(GIVEN_UP_AFTER - 1)
    assert parent.ends == []
    parent.go_on(1)
    [(job_id, error)] = parent.ends
    assert job_id == JOB
    assert isinstance(error, JobAbortedError)
    assert str(error) == "job j1: it was not launched: NVIDIA FLARE, which has not asked for it for 30 minutes"
    assert parent.later == []
    assert parent.forgotten == [JOB]


def test_what_waits_when_the_site_ends_has_ended(parent: Parent) -> None:
    parent.error = put_off()
    for job_id in (JOB, "j2"):
        parent.ask(job_id)
    parent.jobs.close()
    parent.jobs.close()
    assert [(job_id, str(error)) for job_id, error in parent.ends] == [
        (job_id, f"job {job_id}: it was not launched: the site, which ends") for job_id in (JOB, "j2")
    ]


def test_without_anybody_who_looks_later_it_is_held_all_the_same(parent: Parent) -> None:
    def refuse(_: float, __: Callable[[], object]) -> None:
        raise RuntimeUnavailableError("closed", reached=False)

    parent.error = put_off()
    jobs = HeldJobs(parent, refuse, parent.forgotten.append)
    assert jobs.why_not_yet(JOB, parent.attempt) == APPROVAL
