"""A job's folder is held to its limit by its file system from the job's start to its end, whoever dies meanwhile."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from flcore import FLContext, JobReturnCode, Site
from flcore.disk.project_quota import held
from flcore.observers.job_tally import failure_reason
from flcore.testing import FakeFLContext
from launchers.docker_launcher import ClientDockerJobLauncher
from launchers.process_launcher import ProcessJobLauncher
from launchers.runtime.fake import FakeRuntime
from launchers.testing.patience import until
from launchers.tracking import disk_watch
from tests.quota.conftest import USER, as_job
from tests.quota.test_project_quota import CHANGE, FILL, LIMIT, project_of, told

TIMEOUT = 60.0
FULL = "the site: its folder is full: it holds the 2Mi that it may ('disk')"
FILL_AND_STAY = """
import os, time
try:
    with open("data", "wb", buffering=0) as file:
        while True:
            file.write(bytes(4096))
except OSError as error:
    print(error.strerror, os.stat("data").st_size, flush=True)
    time.sleep(600)
"""
FILL_AND_FAIL = FILL.replace("sys.argv[1]", "'data'")
PARENT = """
import sys
from pathlib import Path
from tests.quota.test_jobs import site_of
site = site_of(Path(sys.argv[1]), "import time; print('ready', flush=True); time.sleep(600)").__enter__()
handle = site.launch_job({"job_id": "job-1"})
handle.enter_states("running", 60)
print("launched", flush=True)
handle.wait()
"""


class ScriptLauncher(ProcessJobLauncher):
    """Runs a script in a job's folder."""

    def __init__(self, script: str, **kwargs: Any) -> None:
        super().__init__(stop_grace=1, **kwargs)
        self._script = script

    def get_command(self, job_meta: dict[str, Any], fl_ctx: FLContext) -> tuple[str, list[str]]:
        return f"{fl_ctx.get_identity_name()}-{job_meta['job_id']}", [sys.executable, "-c", self._script]


def site_of(workspace: Path, script: str, **limits: Any) -> Site:
    launcher = ScriptLauncher(script, limits=limits or {"disk": "2Mi"})
    return Site("site-1", {"launcher": launcher}, workspace)


def test_a_job_that_fills_its_folder_is_refused_more_and_ended_for_it(disk: Path) -> None:
    with site_of(disk, FILL_AND_STAY) as site:
        handle = site.launch_job({"job_id": "job-1"})
        assert handle.wait(TIMEOUT) is JobReturnCode.ABORTED
    assert handle.result
    assert handle.result.ended_by == FULL
    refusal, size = (disk / "job-1" / "site-1.log").read_text().rsplit(maxsplit=1)
    assert refusal in ("Disk quota exceeded", "No space left on device")
    assert LIMIT - (16 << 10) <= int(size) <= LIMIT
    assert held(disk / "job-1") is None


def test_a_job_that_fails_for_it_says_so(disk: Path) -> None:
    with site_of(disk, FILL_AND_FAIL) as site:
        handle = site.launch_job({"job_id": "job-1"})
        assert handle.wait(TIMEOUT) is JobReturnCode.EXECUTION_ERROR
    assert handle.result
    assert handle.result.reason == "exit code 1; its folder was full: it held the 2Mi that it may ('disk')"
    assert failure_reason(handle.result) == "disk"


def test_a_job_runs_again_in_the_folder_of_its_last_run_with_a_new_copy_of_its_app(disk: Path, tmp_path: Path) -> None:
    (tmp_path / "app").mkdir()
    (tmp_path / "app" / "config").write_text("new")
    for _ in range(2):
        with site_of(disk, "open('data', 'wb').write(bytes(1 << 20))") as site:
            handle = site.launch_job({"job_id": "job-1"}, app=tmp_path / "app")
            assert handle.wait(TIMEOUT) is JobReturnCode.SUCCESS


def test_the_limit_of_a_job_whose_parent_was_killed_stands_and_is_in_no_way_of_the_next(
    disk: Path, tmp_path: Path
) -> None:
    (tmp_path / "app").mkdir()
    (tmp_path / "app" / "config").write_text("new")
    command = [sys.executable, "-c", PARENT, str(disk)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout
        assert parent.stdout.readline() == "launched\n"
        assert told(disk / "job-1").limit == LIMIT
        parent.send_signal(signal.SIGKILL)
    assert told(disk / "job-1").limit == LIMIT
    with site_of(disk, "pass", memory="1Gi") as site:
        handle = site.launch_job({"job_id": "job-1"}, app=tmp_path / "app")
        assert handle.wait(TIMEOUT) is JobReturnCode.SUCCESS
    assert held(disk / "job-1") is None


def give_away(folder: Path) -> None:
    """Have a job's folder be its user's, as the one process that all tests have is not."""
    os.chown(folder, USER, USER)


class Life:
    """A process of a site whose jobs outlive it, in containers that are not there; what they do, a test does."""

    def __init__(self, runtime: FakeRuntime, workspace: Path) -> None:
        self.ctx = FakeFLContext(workspace=workspace, job_args={"exe_module": ("-m", "work")})
        self.launcher = ClientDockerJobLauncher(image="job:1", runtime=runtime, stop_grace=0, limits={"disk": "2Mi"})
        self.launcher.dispatch_event("_system_start", self.ctx)

    def launch(self) -> Any:
        return self.launcher.launch_job({"job_id": "job-1"}, self.ctx)


@pytest.fixture
def runtime() -> FakeRuntime:
    return FakeRuntime()


@pytest.fixture
def life(runtime: FakeRuntime, disk: Path) -> Iterator[Life]:
    life = Life(runtime, disk)
    yield life
    life.launcher.close()


def test_what_a_job_holds_is_asked_and_nobody_looks_into_its_folder(
    life: Life, disk: Path, runtime: FakeRuntime, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(disk_watch, "sizes_so_far", None)  # whoever looked would fail
    handle = life.launch()
    runtime.use("site-1-job-1", 1.0, 1)
    (disk / "job-1" / "data").write_bytes(bytes(1 << 20))
    until(handle.usage, lambda usage: usage and usage.disk and usage.disk >= 1 << 20, "what it holds must be known")


def test_a_job_that_takes_its_files_out_of_what_is_counted_is_found_out(
    life: Life, disk: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    handle = life.launch()
    give_away(disk / "job-1")
    for name in ("one", "two"):
        assert as_job(FILL.replace("16 * 1024", "300"), disk / "job-1" / name) == ""
        assert as_job(CHANGE, disk / "job-1" / name, 0) == ""
    assert not told(disk / "job-1").is_full
    monkeypatch.setattr(disk_watch, "COUNTED", 0.0)  # no sooner: what was not seen yet is asserted first
    assert handle.wait(TIMEOUT) is JobReturnCode.ABORTED
    assert handle.result.ended_by == "the site: its folder holds more than the 2Mi that it may ('disk')"


def test_a_job_that_outlives_its_parent_is_held_to_the_end(life: Life, disk: Path, runtime: FakeRuntime) -> None:
    life.launch()
    life.launcher.close()
    assert told(disk / "job-1").limit == LIMIT
    give_away(disk / "job-1")
    as_job(FILL, disk / "job-1" / "data")
    runtime.write("site-1-job-1", b"its output\n")
    next_life = Life(runtime, disk)
    assert next_life.ctx.recorder.wait_for_end("job-1").ended_by == FULL
    next_life.launcher.close()
    assert held(disk / "job-1") is None
    assert (disk / "job-1" / "site-1.log").read_text() == "its output\n"


def test_a_launch_that_fails_leaves_no_limit(life: Life, disk: Path, runtime: FakeRuntime) -> None:
    (disk / "job-1").mkdir()
    runtime.start_error = "no"
    with pytest.raises(Exception, match="no"):
        life.launch()
    assert not (disk / "job-1").exists() or held(disk / "job-1") is None


def test_a_site_is_told_how_the_disk_is_limited(life: Life) -> None:
    said = [check.detail for check in life.launcher.check(life.ctx) if check.what == "disk"]
    assert said[0].startswith("by project quota, ")


def test_a_job_runs_again_whatever_its_last_run_has_made_of_its_folders_project(disk: Path, tmp_path: Path) -> None:
    (tmp_path / "app").mkdir()
    (tmp_path / "app" / "config").write_text("new")
    change = CHANGE.replace("sys.argv[1]", "'.'").replace("int(sys.argv[2])", "7")
    for _ in range(2):
        with site_of(disk, change) as site:
            handle = site.launch_job({"job_id": "job-1"}, app=tmp_path / "app")
            assert handle.wait(TIMEOUT) is JobReturnCode.SUCCESS
    assert not list(disk.glob(".replaced-*"))


def test_two_jobs_that_play_with_projects_hang_no_clean_up(life: Life, disk: Path, runtime: FakeRuntime) -> None:
    life.launch()
    give_away(disk / "job-1")
    as_job("import os, sys; os.mkdir(sys.argv[1])", disk / "job-1" / "sub")
    as_job(FILL, disk / "job-1" / "sub" / "data")
    project = project_of(disk / "job-1" / "sub")
    assert as_job(CHANGE, disk / "job-1", 0) == ""
    with suppress(KeyError):  # the watch was faster
        runtime.exit("site-1-job-1", 0)
    life.ctx.recorder.wait_for_end("job-1")
    life.launcher.launch_job({"job_id": "job-2"}, life.ctx)
    give_away(disk / "job-2")
    assert as_job(CHANGE, disk / "job-2", project) == ""
    runtime.write("site-1-job-2", b"its output\n")
    runtime.exit("site-1-job-2", 0)
    until(runtime.containers, lambda left: left == [], "nothing must be left")
