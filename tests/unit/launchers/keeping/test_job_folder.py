"""A job's own folder during its launch: made for its user, and still itself when the job is started."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from flcore.disk.job_folders import note_new
from flcore.errors import JobLaunchError, JobRejectedError
from flcore.testing import FakeFLContext
from launchers.container_spec import ContainerSpec
from launchers.docker_launcher import ClientDockerJobLauncher
from launchers.keeping.job_folder import JobFolder, no_gift
from launchers.runtime.fake import FakeRuntime

META = {"job_id": "job-1"}
AS_ROOT = pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files to others")


class SwappingRuntime(FakeRuntime):
    """A host where somebody replaces the job's folder while its container is created."""

    def __init__(self, folder: Path, target: Path | None) -> None:
        super().__init__()
        self._folder = folder
        self._target = target

    def create(self, spec: ContainerSpec) -> str:
        self.swap()
        return super().create(spec)

    def swap(self) -> None:
        self._folder.rename(self._folder.with_name("moved"))
        if self._target:
            self._folder.symlink_to(self._target)
        else:
            self._folder.mkdir()


class LateRuntime(SwappingRuntime):
    """Has somebody do so as late as can be: when the engine is asked for the start."""

    def create(self, spec: ContainerSpec) -> str:
        return FakeRuntime.create(self, spec)

    def start(self, container_id: str) -> None:
        self.swap()
        super().start(container_id)


def launch(runtime: FakeRuntime, workspace: Path) -> None:
    launcher = ClientDockerJobLauncher(image="job:1", runtime=runtime, stop_grace=0)
    try:
        launcher.launch_job(META, FakeFLContext(workspace=workspace, job_args={"exe_module": ("-m", "client")}))
    finally:
        launcher.close()


@pytest.mark.parametrize("when", [SwappingRuntime, LateRuntime])
@pytest.mark.parametrize("kind", ["a link to what was made", "a link elsewhere", "another folder"])
def test_a_job_that_would_see_a_folder_that_was_replaced_does_not_run(
    tmp_path: Path, kind: str, when: type[SwappingRuntime]
) -> None:
    targets = {"a link to what was made": tmp_path / "moved", "a link elsewhere": Path("/etc"), "another folder": None}
    runtime = when(tmp_path / "job-1", targets[kind])
    with pytest.raises(JobLaunchError, match=r"job job-1: its folder was replaced during the launch: .*/job-1"):
        launch(runtime, tmp_path)
    assert runtime.containers() == []


def test_a_folder_that_is_gone_is_not_shown_either(tmp_path: Path) -> None:
    folder = JobFolder("job-1", tmp_path / "job-1")
    folder.make("")
    (tmp_path / "job-1").rmdir()
    with pytest.raises(JobLaunchError, match="its folder was replaced"):
        folder.confirm()
    folder.close()


@pytest.mark.parametrize("there", ["folder", "file", "link"])
def test_a_launcher_that_is_called_by_no_site_gives_a_job_no_folder_that_was_made_for_none(
    tmp_path: Path, there: str
) -> None:
    place = tmp_path / "job-1"
    make: dict[str, Callable[[], object]] = {"folder": place.mkdir, "file": place.touch}
    make.get(there, partial(place.symlink_to, "/etc"))()
    mode, runtime = place.lstat().st_mode, FakeRuntime()
    with pytest.raises(JobRejectedError, match=r"^job job-1: job_id: names .*, which the site did not make for a job"):
        launch(runtime, tmp_path)
    assert (runtime.containers(), place.lstat().st_mode) == ([], mode)


def test_the_folder_of_an_earlier_run_is_the_jobs_whoever_calls_the_launcher(tmp_path: Path) -> None:
    runtime = FakeRuntime()
    launch(runtime, tmp_path)
    runtime.exit("site-1-job-1")
    runtime.remove(runtime.container("site-1-job-1").id)
    launch(runtime, tmp_path)


def test_a_link_in_place_of_a_jobs_folder_is_refused_and_not_followed(tmp_path: Path) -> None:
    (tmp_path / "secret").mkdir(mode=0o755)
    note_new(tmp_path / "job-1")
    (tmp_path / "job-1").symlink_to(tmp_path / "secret")
    runtime = FakeRuntime()
    with pytest.raises(JobLaunchError, match=r"job job-1: its folder cannot be made: .*Not a directory"):
        launch(runtime, tmp_path)
    assert runtime.containers() == []
    assert stat.S_IMODE((tmp_path / "secret").stat().st_mode) == 0o755


def test_a_folder_is_closed_to_others_and_let_go_of(tmp_path: Path) -> None:
    before = len(list(Path("/proc/self/fd").iterdir()))
    (tmp_path / "job-1").mkdir(mode=0o777)
    folder = JobFolder("job-1", tmp_path / "job-1")
    folder.make("")
    folder.confirm()
    folder.close()
    folder.close()
    assert stat.S_IMODE((tmp_path / "job-1").stat().st_mode) == 0o700
    assert len(list(Path("/proc/self/fd").iterdir())) == before


@AS_ROOT
def test_a_site_that_is_not_root_says_that_it_cannot_give_a_folder_away(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: int) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr("os.fchown", refuse)
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    folder = JobFolder("job-1", tmp_path / "job-1")
    with pytest.raises(JobLaunchError, match="only root can give files to the jobs' user 1234:567; run the site as"):
        folder.make("1234:567")
    folder.close()


def test_a_site_that_runs_jobs_as_itself_gives_nothing_away(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: int) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr("os.fchown", refuse)
    folder = JobFolder("job-1", tmp_path / "job-1")
    folder.make(f"{os.geteuid()}:{os.getegid()}")
    folder.close()


@pytest.mark.parametrize("name", ["startup", "local", "local/keys", "transfer", ".flcore", ".flcore/jobs"])
def test_no_dataset_shows_what_is_the_sites_own(tmp_path: Path, name: str) -> None:
    (tmp_path / "ws" / name).mkdir(parents=True)
    (tmp_path / "data").symlink_to(tmp_path / "ws" / name)
    launcher = ClientDockerJobLauncher(image="job:1", runtime=FakeRuntime(), datasets={"data": str(tmp_path / "data")})
    ctx = FakeFLContext(workspace=tmp_path / "ws", job_args={"exe_module": ("-m", "client")})
    with pytest.raises(JobLaunchError, match="which is the site's own; if that is meant, add 'datasets'"):
        launcher.launch_job(META, ctx)
    launcher.close()


@AS_ROOT
def test_root_that_may_give_nothing_is_not_told_to_be_root() -> None:
    assert "this root may not" in no_gift("1234:567")
    assert "run the site as root" not in no_gift("1234:567")


@AS_ROOT
def test_a_real_refusal_of_root_says_what_refuses_it(tmp_path: Path) -> None:
    (tmp_path / "job").mkdir()
    program = (
        "import sys; from pathlib import Path; from launchers.keeping.job_folder import JobFolder\n"
        "JobFolder('j', Path(sys.argv[1])).make('1234:567')"
    )
    caps = ["setpriv", "--bounding-set", "-chown", "--inh-caps", "-chown"]
    command = [*caps, sys.executable, "-c", program, str(tmp_path / "job")]
    ran = subprocess.run(command, capture_output=True, text=True, check=False)
    assert "and this root may not: CAP_CHOWN is missing" in ran.stderr.splitlines()[-1]
