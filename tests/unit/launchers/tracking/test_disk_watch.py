"""A job whose folder holds more than it may is ended by the site, which says why."""

from __future__ import annotations

import errno
import itertools
import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from flcore import JobReturnCode
from flcore.disk import project_quota
from flcore.disk.project_quota import Held
from flcore.disk.safe_files import remove
from launchers.container_spec import ContainerSpec
from launchers.docker_state import DOCKER_STATE
from launchers.records.job_record import JobIdentity
from launchers.runtime.fake import FakeRuntime
from launchers.settings import JobSettings
from launchers.tracking import disk_watch
from launchers.tracking.job_disk import JobDisk
from launchers.tracking.state_tracker import StateTracker
from launchers.tracking.tracked_job import JobHooks, TrackedJob

TIMEOUT = 10.0
MI = 1 << 20


class Bench:
    def __init__(self, tmp_path: Path) -> None:
        self.workspace = tmp_path
        self.runtime = FakeRuntime()
        self.tracker = StateTracker(self.runtime, settings=JobSettings(relist_interval=0.02))

    def folder(self, name: str = "one") -> Path:
        folder = self.workspace / name
        folder.mkdir(exist_ok=True)
        return folder

    def running(self, limit: int | None = MI, name: str = "one") -> TrackedJob:
        container_id = self.runtime.create(ContainerSpec(name, "job:1", ("run",)))
        disk = JobDisk(self.folder(name), limit) if limit else None
        hooks = JobHooks(settings=JobSettings(stop_grace=0), disk=disk)
        job = TrackedJob(JobIdentity(f"job-{name}", "site-1", name, container_id), hooks)
        self.runtime.start(container_id)
        self.tracker.watch(job)
        assert job.enter_states({DOCKER_STATE.RUNNING}, TIMEOUT)
        return job


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Bench]:
    monkeypatch.setattr(disk_watch, "SOONEST", 0.02)
    monkeypatch.setattr(disk_watch, "SHARE", 0.5)
    bench = Bench(tmp_path)
    yield bench
    bench.tracker.close()
    remove(tmp_path)


def reason(job: TrackedJob) -> str:
    result = job.wait(TIMEOUT)
    assert result is not None
    assert result.return_code is JobReturnCode.ABORTED
    return result.ended_by


def test_a_job_that_fills_its_folder_is_ended(bench: Bench) -> None:
    (bench.folder() / "data").write_bytes(bytes(2 * MI))
    assert reason(bench.running()) == "the site: its folder holds more than the 1Mi that it may ('disk')"


def test_a_folder_that_is_filled_later_is_found_out_as_well(bench: Bench) -> None:
    job = bench.running()
    assert job.wait(0.1) is None
    (bench.folder() / "data").write_bytes(bytes(2 * MI))
    assert "('disk')" in reason(job)


def test_a_job_within_its_limit_is_left_alone_and_what_it_holds_is_known(bench: Bench) -> None:
    (bench.folder() / "data").write_bytes(bytes(MI // 2))
    job = bench.running()
    assert job.wait(0.2) is None
    assert job.hooks.disk is not None
    assert job.hooks.disk.used is not None
    assert MI // 2 < job.hooks.disk.used < MI


def test_a_job_without_a_limit_is_not_looked_at(bench: Bench) -> None:
    (bench.folder() / "data").write_bytes(bytes(2 * MI))
    job = bench.running(limit=None)
    assert job.wait(0.2) is None
    assert job.hooks.disk is None


def test_each_job_is_held_to_its_own_limit(bench: Bench) -> None:
    (bench.folder("one") / "data").write_bytes(bytes(2 * MI))
    (bench.folder("two") / "data").write_bytes(bytes(2 * MI))
    one, two = bench.running(MI, "one"), bench.running(3 * MI, "two")
    assert "1Mi" in reason(one)
    assert two.wait(0.2) is None


def test_a_folder_that_takes_many_turns_holds_up_no_other(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(disk_watch, "TURN", 0.0)
    for number in range(5000):
        os.mknod(bench.folder("one") / f"{number}")
    (bench.folder("two") / "data").write_bytes(bytes(2 * MI))
    one, two = bench.running(1 << 30, "one"), bench.running(MI, "two")
    assert "1Mi" in reason(two)
    assert one.result is None


def test_what_a_folder_holds_is_known_however_many_turns_that_takes(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(disk_watch, "TURN", 0.0)
    for number in range(500):
        os.mknod(bench.folder() / f"{number}")
    job = bench.running(1 << 30)
    deadline = time.monotonic() + TIMEOUT
    while not (job.hooks.disk and job.hooks.disk.used):
        assert time.monotonic() < deadline
        job.wait(0.01)
    assert job.hooks.disk.used >= 500 * 4096
    assert not caplog.records


def test_many_empty_files_fill_a_folder_too(bench: Bench) -> None:
    for number in range(300):
        os.mknod(bench.folder() / f"{number}")
    assert "('disk')" in reason(bench.running())


def test_a_file_that_is_renamed_while_it_is_counted_ends_no_job(bench: Bench) -> None:
    data = bench.folder() / "data"
    data.write_bytes(bytes(MI * 3 // 4))
    job = bench.running()
    for number in range(300):
        data = data.rename(bench.folder() / f"{number}")
        job.wait(0.001)
    assert job.result is None


def test_a_job_ends_in_whose_folder_nobody_can_count(bench: Bench) -> None:
    within = bench.folder()
    for _ in range(70):
        within /= "d"
        within.mkdir()
    why = "nobody can find out how much its folder holds: more than 64 folders lie within each other: d ('disk')"
    assert reason(bench.running()) == f"the site: {why}"


def test_where_a_file_system_keeps_the_limit_it_is_asked_and_nobody_looks(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(project_quota, "held", lambda _: Held(MI, MI // 2))
    (bench.folder() / "data").write_bytes(bytes(2 * MI))
    job = bench.running()
    assert job.wait(0.2) is None
    assert job.hooks.disk
    assert job.hooks.disk.used == MI // 2


def test_a_job_ends_whose_file_system_says_twice_that_its_folder_is_full(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(project_quota, "held", lambda _: Held(MI, MI))
    (bench.folder() / "data").write_bytes(bytes(MI - (8 << 10)))
    assert reason(bench.running()) == "the site: its folder is full: it holds the 1Mi that it may ('disk')"


def test_what_fills_a_folder_and_is_not_seen_in_it_is_told_so(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(project_quota, "held", lambda _: Held(MI, MI))
    (bench.folder() / "data").write_bytes(bytes(MI // 4 - (4 << 10)))
    why = (
        "its file system counts the 1Mi that its folder may hold, of which 25% are seen: "
        "the rest has no name any more, or another job has made it count here"
    )
    assert reason(bench.running()) == f"the site: {why} ('disk')"


@pytest.mark.parametrize("number", [errno.EPERM, errno.ESRCH, errno.ENOSYS])
def test_where_the_file_system_cannot_be_asked_any_more_somebody_looks(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    def held(_: Path) -> Held:
        raise OSError(number, "no more")

    monkeypatch.setattr(project_quota, "held", held)
    job = bench.running()
    assert job.wait(0.2) is None
    (bench.folder() / "data").write_bytes(bytes(2 * MI))
    assert reason(job) == "the site: its folder holds more than the 1Mi that it may ('disk')"


def test_a_job_that_makes_room_while_somebody_looks_is_not_ended(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    used = itertools.chain([MI, MI], itertools.repeat(0))
    monkeypatch.setattr(project_quota, "held", lambda _: Held(MI, next(used)))
    assert bench.running().wait(0.2) is None


def test_a_folder_that_is_full_for_a_moment_only_ends_no_job(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    used = itertools.cycle([MI, 0])
    monkeypatch.setattr(project_quota, "held", lambda _: Held(MI, next(used)))
    assert bench.running().wait(0.2) is None


def test_somebody_looks_now_and_then_even_so(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(project_quota, "held", lambda _: Held(MI, 0))
    monkeypatch.setattr(disk_watch, "COUNTED", 0.1)
    (bench.folder() / "data").write_bytes(bytes(2 * MI))
    assert reason(bench.running()) == "the site: its folder holds more than the 1Mi that it may ('disk')"


def test_a_disk_that_does_not_answer_well_ends_no_job(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(_: Path) -> Iterator[int]:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(disk_watch, "LATEST", 0.02)
    with monkeypatch.context() as patch:
        patch.setattr(disk_watch, "sizes_so_far", broken)
        job = bench.running()
        assert job.wait(0.2) is None
    (bench.folder() / "data").write_bytes(bytes(2 * MI))
    assert "1Mi" in reason(job)


def test_a_job_that_ends_is_looked_at_no_more(bench: Bench) -> None:
    job = bench.running()
    bench.runtime.exit("one", 0)
    result = job.wait(TIMEOUT)
    (bench.folder() / "data").write_bytes(bytes(2 * MI))
    bench.running(name="two")
    assert result is not None
    assert result.succeeded
    assert job.end_request is None
