"""What is counted of a site's jobs: each end once, whoever tells it first, and each failure by one of a few reasons."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from flcore import JobResult, JobReturnCode, JobStateChange, JobUsage, errors
from flcore.observers.job_tally import KEPT_ENDED, REASONS, Distribution, JobTally, failure_reason
from tests.conftest import PlainHandle

CODES = JobReturnCode
FAILED = JobResult(CODES.EXECUTION_ERROR, 3, error="exit code 3", started_at=1.0, finished_at=2.0)
SUCCEEDED = JobResult(CODES.SUCCESS, 0, started_at=1.0, finished_at=2.0)
REFUSED = errors.JobRejectedError("no")


class SeenHandle(PlainHandle):
    """A handle of a job that was seen in a state before."""

    def __init__(self, state: str) -> None:
        super().__init__()
        self._state = state

    @property
    def state(self) -> str:
        return self._state


def change(state: str, result: JobResult | None = None, job_id: str = "j1") -> JobStateChange:
    return JobStateChange(job_id, "site-1", "site-1-j1", "c0ffee", None, state, 1.0, result)


def usage(cpu_seconds: float, memory: int = 5, job_id: str = "j1") -> JobUsage:
    return JobUsage(job_id, "site-1", 1.0, cpu_seconds, memory)


def counted(tally: JobTally, what: str) -> dict[str, float]:
    """Return what is not 0 of a count by one label."""
    values = tally.values()[what].items()
    return {labels[0]: value for labels, value in values if not isinstance(value, Distribution) and value}


def observed(tally: JobTally, what: str) -> float:
    """Return how many durations were counted."""
    (distribution,) = tally.values()[what].values()
    assert isinstance(distribution, Distribution)
    return distribution.buckets[-1][1]


@pytest.fixture
def tally() -> JobTally:
    return JobTally()


def test_a_job_is_in_one_state_at_a_time(tally: JobTally) -> None:
    tally.launching("j1")
    assert counted(tally, "jobs") == {"launching": 1}
    tally.changed(change("created"), "launcher")
    assert counted(tally, "jobs") == {"created": 1}
    tally.changed(change("running"), "launcher")
    tally.launched("j1")
    assert counted(tally, "jobs") == {"running": 1}
    tally.changed(change("exited", SUCCEEDED), "launcher")
    assert counted(tally, "jobs") == {}


def test_a_job_whose_launcher_tells_no_states_runs_until_its_end_is_told(tally: JobTally) -> None:
    tally.launching("j1")
    tally.launched("j1")
    assert counted(tally, "jobs") == {"running": 1}
    tally.ended("j1", SUCCEEDED, None)
    assert counted(tally, "jobs") == {}
    assert counted(tally, "ends") == {"SUCCESS": 1}


def test_a_job_that_was_found_again_is_in_the_state_that_it_was_seen_in(tally: JobTally) -> None:
    tally.recovered("j1", SeenHandle("paused"))
    tally.recovered("j2", PlainHandle())
    assert counted(tally, "jobs") == {"paused": 1, "running": 1}


def test_a_state_that_nobody_knows_is_another(tally: JobTally) -> None:
    tally.changed(change("j1-is-fine"), "launcher")
    assert counted(tally, "jobs") == {"other": 1}


def test_an_end_that_is_told_by_the_container_and_by_the_site_counts_once(tally: JobTally) -> None:
    tally.launching("j1")
    tally.changed(change("exited", FAILED), "launcher")
    tally.launched("j1")  # the job was shorter than its launch
    tally.ended("j1", FAILED, None)
    assert counted(tally, "jobs") == {}
    assert counted(tally, "launches") == {"launched": 1}
    assert counted(tally, "ends") == {"EXECUTION_ERROR": 1}
    assert counted(tally, "failures") == {"exit_code": 1}


def test_what_a_launch_that_failed_has_left_counts_no_more(tally: JobTally) -> None:
    tally.launching("j1")
    tally.ended("j1", FAILED, errors.JobStartError("no"))
    tally.changed(change("created"), "launcher")
    tally.changed(change("dead", FAILED), "launcher")
    assert counted(tally, "jobs") == {}
    assert counted(tally, "launches") == {"failed": 1}
    assert counted(tally, "failures") == {"not_started": 1}


def test_a_job_that_is_refused_again_and_again_counts_each_time(tally: JobTally) -> None:
    for _ in range(3):
        tally.ended("j1", FAILED, REFUSED)
    assert counted(tally, "launches") == {"failed": 3}
    assert counted(tally, "failures") == {"refused": 3}


def test_an_id_that_is_used_again_is_another_job(tally: JobTally) -> None:
    for _ in range(2):
        tally.launching("j1")
        tally.launched("j1")
        tally.changed(change("exited", SUCCEEDED), "launcher")
        tally.ended("j1", SUCCEEDED, None)
    assert counted(tally, "launches") == {"launched": 2}
    assert counted(tally, "ends") == {"SUCCESS": 2}


def test_what_is_kept_in_mind_of_ended_jobs_is_bounded(tally: JobTally) -> None:
    for number in range(2 * KEPT_ENDED):
        tally.changed(change("exited", SUCCEEDED, f"j{number}"), "launcher")
    assert counted(tally, "ends") == {"SUCCESS": 2 * KEPT_ENDED}
    tally.ended(f"j{KEPT_ENDED}", SUCCEEDED, None)
    assert counted(tally, "ends") == {"SUCCESS": 2 * KEPT_ENDED}
    tally.ended(f"j{KEPT_ENDED - 1}", SUCCEEDED, None)
    assert counted(tally, "ends") == {"SUCCESS": 2 * KEPT_ENDED + 1}  # it is forgotten, so this passes for another


def test_the_time_of_a_launch_is_counted_when_it_has_succeeded(tally: JobTally) -> None:
    for job_id in ("j1", "j2"):
        tally.launching(job_id)
    tally.launched("j1")
    tally.ended("j2", FAILED, REFUSED)
    assert observed(tally, "launch_seconds") == 1


def test_an_end_that_nobody_was_there_to_hear_says_nothing_about_its_detection(tally: JobTally) -> None:
    tally.changed(change("exited", FAILED), "launcher")
    assert observed(tally, "exit_seconds") == 0
    now = JobResult(CODES.SUCCESS, 0, started_at=1.0, finished_at=time.time())
    tally.changed(change("exited", now, "j2"), "launcher")
    assert observed(tally, "exit_seconds") == 1


def test_each_distribution_counts_up_to_its_bounds() -> None:
    tally = JobTally(clock=iter([10.0, 13.0]).__next__)
    tally.launching("j1")
    tally.launched("j1")
    (distribution,) = tally.values()["launch_seconds"].values()
    assert isinstance(distribution, Distribution)
    assert dict(distribution.buckets) | {"2.5": 0, "5.0": 1, "+Inf": 1} == dict(distribution.buckets)
    assert 3 <= distribution.total < 4


def test_usage_is_summed_and_never_runs_backwards(tally: JobTally) -> None:
    assert "cpu_seconds" not in tally.values()
    for job_id in ("j1", "j2"):
        tally.launched(job_id)
    tally.measured(usage(1.0, 100))
    tally.measured(usage(2.5, 150))
    tally.measured(usage(2.0, 50, "j2"))
    values = tally.values()
    assert (values["cpu_seconds"], values["memory"]) == ({(): 4.5}, {(): 200})
    tally.ended("j1", SUCCEEDED, None)
    tally.measured(usage(99.0))  # a sample that comes late
    values = tally.values()
    assert (values["cpu_seconds"], values["memory"]) == ({(): 4.5}, {(): 50})


def test_what_a_job_had_used_before_it_was_found_again_is_another_process_to_count(tally: JobTally) -> None:
    tally.recovered("j1", None)
    tally.measured(usage(1000.0))
    tally.measured(usage(1001.0))
    assert tally.values()["cpu_seconds"] == {(): 1.0}


def test_an_engine_answers_until_it_is_said_that_it_does_not(tally: JobTally) -> None:
    tally.changed(change("running"), "launcher")
    assert tally.values()["reachable"] == {("launcher",): True}
    tally.engine("launcher", reachable=False)
    assert tally.values()["reachable"] == {("launcher",): False}
    tally.engine("launcher", reachable=True)
    tally.engine("launcher", reachable=False)
    assert tally.values()["outages"] == {("launcher",): 2}


def launch_errors(kind: type[errors.FLCoreError] = errors.JobLaunchError) -> Iterator[type[errors.FLCoreError]]:
    for error in kind.__subclasses__():
        if error.__module__ == errors.__name__:
            yield error
            yield from launch_errors(error)


@pytest.mark.parametrize("kind", [errors.ConfigError, *launch_errors()])
def test_each_error_of_a_launch_has_a_reason(kind: type[errors.FLCoreError]) -> None:
    error = errors.JobAbortedError("no", "me") if kind is errors.JobAbortedError else kind("no")
    assert failure_reason(FAILED, error) in set(REASONS) - {"other"}


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (errors.JobRejectedError("no"), "refused"),
        (errors.SiteBusyError("no"), "busy"),
        (errors.ImageError("no"), "image"),
        (errors.PullTimeoutError("image x was not pulled within 5 s ('pull_timeout')"), "timeout"),
        (errors.NetworkError("no"), "not_started"),
        (errors.JobStartError("job did not run within 5 s ('timeout')"), "timeout"),
        (errors.JobAbortedError("no", "me"), "aborted"),
        (errors.OutcomeUnknownError("no"), "engine"),
        (errors.JobLaunchError("no"), "other"),
        (KeyError("no"), "other"),
    ],
)
def test_a_launch_that_failed_has_the_reason_of_its_error(error: Exception, reason: str) -> None:
    assert failure_reason(FAILED, error) == reason


@pytest.mark.parametrize(
    ("result", "reason"),
    [
        (SUCCEEDED, ""),
        (FAILED, "exit_code"),
        (JobResult(CODES.CONFIG_ERROR, 103, started_at=1.0), "exit_code"),
        (JobResult(CODES.EXECUTION_ERROR), "exit_code"),
        (JobResult(CODES.EXECUTION_ERROR, 139, 11, started_at=1.0), "signal"),
        (JobResult(CODES.EXECUTION_ERROR, 137, 9, True, started_at=1.0), "out_of_memory"),
        (JobResult(CODES.EXECUTION_ERROR, 127, error="no such command"), "not_started"),
        (JobResult(CODES.INFRASTRUCTURE_ERROR), "lost"),
        (JobResult(CODES.ABORTED, 143, ended_by="the operator"), "aborted"),
        (JobResult(CODES.ABORTED, 143, ended_by="the site: it ran for more than 5 s ('run_timeout')"), "timeout"),
        (JobResult(CODES.EXECUTION_ERROR, 1, error="its output: ('run_timeout')", started_at=1.0), "exit_code"),
    ],
)
def test_a_job_has_the_reason_of_its_result(result: JobResult, reason: str) -> None:
    assert failure_reason(result) == reason


def test_no_reason_stands_twice() -> None:
    assert len(set(REASONS)) == len(REASONS)


def test_a_job_that_the_site_has_ended_for_its_disk_is_counted_as_that() -> None:
    ended = JobResult(JobReturnCode.ABORTED, ended_by="the site: its folder holds more than 1Gi ('disk')")
    assert failure_reason(ended) == "disk"


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        ("exit code 1; its folder was full: it held the 1Gi that it may ('disk'); its last output: no", "disk"),
        ("exit code 1; its last output: ('disk')", "exit_code"),
    ],
)
def test_a_job_that_has_failed_for_a_full_folder_is_counted_as_that(error: str, reason: str) -> None:
    assert failure_reason(JobResult(JobReturnCode.EXECUTION_ERROR, 1, error=error, started_at=1.0)) == reason
