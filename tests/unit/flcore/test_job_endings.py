"""JobEndings: a job is ended whatever it is at, and nobody waits for himself."""

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from flcore import JobReturnCode
from flcore.errors import TerminateTimeout
from flcore.job_endings import JobEndings
from flcore.launch import Launch
from tests.conftest import Launcher, PlainHandle

TIMEOUT = 10
ABORTED, UNKNOWN = JobReturnCode.ABORTED, JobReturnCode.UNKNOWN


class CalledBack(Launcher):
    """Keeps who calls a launch back."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[tuple[str, str]] = []

    def abort_launch(self, job_id: str, by: str) -> bool:
        self.calls.append((job_id, by))
        return True


class StubbornHandle(PlainHandle):
    def __init__(self, error: Exception) -> None:
        super().__init__()
        self._error = error

    def terminate(self, *, by: str = "terminate()") -> JobReturnCode:
        raise self._error


@pytest.fixture
def endings() -> JobEndings:
    return JobEndings("site-1")


def test_a_running_job_is_ended_by_its_handle(endings: JobEndings) -> None:
    handle = PlainHandle()
    assert endings.end(handle, "the operator") is ABORTED
    assert handle.ended_by == ["the operator"]


def test_the_launcher_that_is_at_a_launch_is_asked_to_call_it_back(
    endings: JobEndings, pool: ThreadPoolExecutor
) -> None:
    launch, launcher = Launch("j1"), CalledBack()
    launch.hand_over(launcher)
    ending = pool.submit(endings.end, launch, "the operator")
    assert launch.wait_for_end_request(TIMEOUT)
    launch.fail(KeyboardInterrupt())
    assert ending.result(TIMEOUT) is ABORTED
    assert launcher.calls == [("j1", "the operator")]


def test_past_the_point_of_no_return_a_launcher_is_asked_all_the_same_and_what_was_launched_is_ended(
    endings: JobEndings, pool: ThreadPoolExecutor
) -> None:
    launch, launcher, handle = Launch("j1"), CalledBack(), PlainHandle()
    launch.hand_over(launcher)
    launch.begin_start()
    ending = pool.submit(endings.end, launch, "the operator")
    launch.succeed(handle)
    assert ending.result(TIMEOUT) is ABORTED
    assert (handle.ended_by, launcher.calls) == (["the operator"], [("j1", "the operator")])


def test_who_is_called_by_the_launch_itself_does_not_wait_for_it(endings: JobEndings) -> None:
    launch = Launch("j1")
    assert endings.end(launch, "a handler") is UNKNOWN
    endings.end_all([launch], "the site")
    assert launch.ended_by == "a handler"


def test_all_are_ended_at_the_same_time(endings: JobEndings) -> None:
    together = threading.Barrier(8)

    class Together(PlainHandle):
        def terminate(self, *, by: str = "terminate()") -> JobReturnCode:
            together.wait(TIMEOUT)
            return super().terminate(by=by)

    handles = [Together() for _ in range(8)]
    endings.end_all(handles, "the site")
    assert {handle.poll() for handle in handles} == {ABORTED}


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (TerminateTimeout("job j1: not confirmed"), "site site-1 closes, but job j1: not confirmed"),
        (OSError("no"), "site site-1 closes, but a job could not be ended"),
    ],
)
def test_one_that_cannot_be_ended_is_logged_and_the_others_are_ended(
    endings: JobEndings, caplog: pytest.LogCaptureFixture, error: Exception, message: str
) -> None:
    other = PlainHandle()
    endings.end_all([StubbornHandle(error), other], "the site")
    assert (caplog.messages, other.poll()) == ([message], ABORTED)


def test_without_jobs_there_is_nothing_to_end(endings: JobEndings) -> None:
    endings.end_all([], "the site")


def test_what_cannot_be_ended_after_its_launch_is_logged_with_its_job(
    endings: JobEndings, caplog: pytest.LogCaptureFixture
) -> None:
    endings.end_launched("j1", StubbornHandle(OSError("no")), "the site")
    assert caplog.messages == ["job j1: could not be ended after its launch"]
    assert vars(caplog.records[0])["job_id"] == "j1"
