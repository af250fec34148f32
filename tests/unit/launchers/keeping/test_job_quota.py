"""A job is held to its limit by its file system where that can be; where not, only the log tells of it."""

from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from flcore.disk import project_quota
from flcore.disk.project_quota import Held
from flcore.errors import JobLaunchError, OutcomeUnknownError
from flcore.testing import FakeFLContext
from launchers.docker_launcher import ClientDockerJobLauncher
from launchers.docker_state import DOCKER_STATE, GONE, ContainerState
from launchers.keeping import job_keeper
from launchers.keeping.job_quota import end_in_folder, held_to_limit, lift_quota
from launchers.keeping.loans import Loans
from launchers.records.job_record import JobIdentity
from launchers.runtime.fake import FakeRuntime
from launchers.tracking.job_disk import JobDisk
from launchers.tracking.tracked_job import JobHooks, TrackedJob

TIMEOUT = 10.0
MI = 1 << 20
FAILED = ContainerState(DOCKER_STATE.EXITED, exit_code=1, started_at=1.0, finished_at=2.0)


class Disk:
    """A file system with quotas, of one folder."""

    def __init__(self) -> None:
        self.why_none: str | None = None
        self.error: OSError | None = None
        self.held: Held | None = None

    def hold(self, _: Path, limit: int) -> None:
        self.held = Held(limit, 0)
        if self.error:
            raise self.error

    def let_go(self, _: Path) -> None:
        self.held = None
        if self.error:
            raise self.error

    def asked(self, _: Path) -> Held | None:
        if self.error:
            raise self.error
        return self.held


@pytest.fixture
def disk(monkeypatch: pytest.MonkeyPatch) -> Disk:
    disk = Disk()
    monkeypatch.setattr(project_quota, "why_none", lambda _: disk.why_none)
    monkeypatch.setattr(project_quota, "hold", disk.hold)
    monkeypatch.setattr(project_quota, "held", disk.asked)
    monkeypatch.setattr(project_quota, "let_go", disk.let_go)
    return disk


def job(folder: Path, limit: int | None = MI) -> TrackedJob:
    hooks = JobHooks(disk=JobDisk(folder, limit) if limit else None)
    return TrackedJob(JobIdentity("job-1", "site-1", "site-1-job-1", "c1"), hooks)


def test_it_is_held_from_its_start_on_until_that_is_lifted(disk: Disk, tmp_path: Path) -> None:
    with held_to_limit(job(tmp_path)):
        assert disk.held == Held(MI, 0)
    assert disk.held == Held(MI, 0)
    lift_quota(tmp_path / "site-1.log")
    assert disk.held is None


def test_a_job_without_a_limit_is_not_held(disk: Disk, tmp_path: Path) -> None:
    with held_to_limit(job(tmp_path, limit=None)):
        assert disk.held is None


@pytest.mark.parametrize("limit", [MI, None])
def test_a_start_that_fails_leaves_nothing(disk: Disk, tmp_path: Path, limit: int | None) -> None:
    with pytest.raises(RuntimeError), held_to_limit(job(tmp_path, limit)):
        raise RuntimeError
    assert disk.held is None


def test_where_there_are_no_quotas_nobody_is_told_at_each_launch(
    disk: Disk, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    disk.why_none = "its file system has no project quotas"
    with held_to_limit(job(tmp_path)):
        assert disk.held is None
    assert not caplog.records


def test_a_limit_that_cannot_be_set_is_told_once_and_stops_no_launch(
    disk: Disk, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    disk.error = OSError(5, "Input/output error")
    with held_to_limit(job(tmp_path)):
        assert disk.held is None
    (told,) = caplog.records
    assert told.levelno == logging.WARNING
    assert told.message.endswith(
        "what its folder holds is measured now and then: no project quota can be set: Input/output error"
    )


def test_a_job_whose_output_is_kept_nowhere_has_nothing_to_lift(disk: Disk) -> None:
    disk.held = Held(MI, 0)
    lift_quota(None)
    assert disk.held


def end(seen: ContainerState, folder: Path) -> str:
    return end_in_folder(folder / "site-1.log", lambda seen: seen, seen).error


def test_a_job_that_fails_in_a_full_folder_says_so(disk: Disk, tmp_path: Path) -> None:
    disk.held = Held(MI, MI)
    full = "its folder was full: it held the 1Mi that it may ('disk')"
    assert end(FAILED, tmp_path) == f"exit code 1; {full}"
    assert end(replace(FAILED, error="no"), tmp_path) == f"no; {full}"


@pytest.mark.parametrize("seen", [replace(FAILED, exit_code=0), replace(FAILED, oom_killed=True), GONE])
def test_any_other_end_has_nothing_to_do_with_it(disk: Disk, tmp_path: Path, seen: ContainerState) -> None:
    disk.held = Held(MI, MI)
    assert end(seen, tmp_path) == seen.error


def test_a_job_that_fails_in_a_folder_with_room_or_of_which_nothing_is_known_has_failed_for_another_reason(
    disk: Disk, tmp_path: Path
) -> None:
    disk.held = Held(MI, 0)
    assert end(FAILED, tmp_path) == ""
    disk.held = None
    assert end(FAILED, tmp_path) == ""
    disk.error = OSError(5, "Input/output error")
    assert end(FAILED, tmp_path) == ""
    assert end_in_folder(None, lambda seen: seen, FAILED) == FAILED


def test_of_a_start_whose_outcome_is_unknown_the_limit_stays(disk: Disk, tmp_path: Path) -> None:
    with pytest.raises(OutcomeUnknownError), held_to_limit(job(tmp_path)):
        raise OutcomeUnknownError("it may run")
    assert disk.held == Held(MI, 0)


def test_the_clean_up_of_a_run_lifts_no_limit_of_the_next(
    disk: Disk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(job_keeper, "SAME_NAME_TIMEOUT", 0.05)
    refusals, take_back = iter([JobLaunchError("has active endpoints")]), Loans.take_network_back

    def refuse_at_first(self: Loans, ended: TrackedJob, runtime: Any) -> Any:
        if error := next(refusals, None):
            raise error
        return take_back(self, ended, runtime)

    monkeypatch.setattr(Loans, "take_network_back", refuse_at_first)
    runtime, ctx = FakeRuntime(), FakeFLContext(workspace=tmp_path, job_args={"exe_module": ("-m", "work")})
    launcher = ClientDockerJobLauncher(image="job:1", runtime=runtime, stop_grace=0, limits={"disk": "1Mi"})
    first = launcher.launch_job({"job_id": "job-1"}, ctx)
    runtime.exit("site-1-job-1", 0)
    first.wait(TIMEOUT)
    launcher.launch_job({"job_id": "job-1"}, ctx)
    assert disk.held == Held(MI, 0)
    assert first.wait_for_clean_up(TIMEOUT)
    assert disk.held == Held(MI, 0)
    launcher.close()
