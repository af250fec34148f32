"""What cannot be cleaned up is tried again, in one chain of retries for each job."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from queue import SimpleQueue

import pytest

from launchers.records.job_record import JobIdentity
from launchers.tracking.job_cleaner import JobCleaner
from launchers.tracking.tracked_job import CleanUpDelayedError, JobHooks, TrackedJob
from launchers.tracking.worker_loop import WorkerLoop

TIMEOUT = 10.0


class TimersByHand(WorkerLoop):
    """A loop whose timers come when the test says so."""

    def __init__(self) -> None:
        super().__init__("test")
        self.timers: SimpleQueue[Callable[[], object]] = SimpleQueue()

    def later(self, seconds: float, call: Callable[[], object]) -> None:
        self.timers.put(call)


@pytest.fixture
def loop() -> Iterator[TimersByHand]:
    loop = TimersByHand()
    loop.start()
    yield loop
    loop.finish(TIMEOUT)


def test_an_engine_that_answers_again_and_again_adds_no_chain_of_retries(loop: TimersByHand) -> None:
    tries: SimpleQueue[int] = SimpleQueue()

    def clean_up(_: TrackedJob) -> None:
        tries.put(1)
        raise CleanUpDelayedError("not now")

    cleaner = JobCleaner(loop)
    cleaner.clean_up(TrackedJob(JobIdentity("job", "site-1", "one", "id"), JobHooks(clean_up=clean_up)))
    timers = []
    for _ in range(5):
        tries.get(timeout=TIMEOUT)
        timers.append(loop.timers.get(timeout=TIMEOUT))
        cleaner.retry_all()
    tries.get(timeout=TIMEOUT)
    timers.append(loop.timers.get(timeout=TIMEOUT))
    for timer in timers:
        timer()
    cleaner.close(TIMEOUT)
    assert tries.qsize() == 1  # of the last timer: those before have been overtaken


@pytest.mark.parametrize("error", [SystemExit(1), KeyboardInterrupt()])
def test_a_clean_up_that_lets_an_interrupt_out_is_tried_again(loop: TimersByHand, error: BaseException) -> None:
    errors, done = [error], SimpleQueue[bool]()

    def clean_up(_: TrackedJob) -> None:
        if errors:
            raise errors.pop()
        done.put(True)

    cleaner = JobCleaner(loop)
    cleaner.clean_up(TrackedJob(JobIdentity("job", "site-1", "one", "id"), JobHooks(clean_up=clean_up)))
    loop.timers.get(timeout=TIMEOUT)()
    assert done.get(timeout=TIMEOUT)
    cleaner.close(TIMEOUT)
