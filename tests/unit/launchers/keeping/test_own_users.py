"""Jobs with users of their own: who gets which, who has what such a one leaves, and what a site is told that cannot."""

from __future__ import annotations

import errno
import os
import pwd
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from flcore import EventType
from flcore.errors import ImageError, JobLaunchError, JobStartError, SiteBusyError
from flcore.job_launcher_spec import Check
from flcore.testing import FakeFLContext
from launchers.docker_launcher import ClientDockerJobLauncher
from launchers.runtime.fake import FakeRuntime

AS_ROOT = pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files to others")
JOB_ARGS = {"exe_module": ("-m", "work")}
USERS = "200000-200002"
TIMEOUT = 10.0


def until(condition: Callable[[], object]) -> None:
    """Return when it holds, of what can only be asked."""
    deadline, pause = time.monotonic() + TIMEOUT, threading.Event()
    while not condition():
        assert time.monotonic() < deadline, "not in time"
        pause.wait(0.01)


class Host:
    """One host: its engine, and the parents of its sites, which share a range of users."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.runtime = FakeRuntime()
        self._launchers: list[ClientDockerJobLauncher] = []

    def parent(self, site: str = "site-1", **kwargs: Any) -> Parent:
        leases = {"user_range": USERS, "user_lease_dir": str(self.folder / "users")}
        given: dict[str, Any] = {"image": "job:1", "runtime": self.runtime, "stop_grace": 0} | leases | kwargs
        launcher = ClientDockerJobLauncher(**given)
        quick = replace(launcher.job_settings, launch_patience=0.05, creation_grace=0.05, relist_interval=0.02)
        launcher.job_settings = quick
        self._launchers.append(launcher)
        return Parent(self, site, launcher)

    def close(self) -> None:
        for launcher in self._launchers:
            launcher.close()


class Parent:
    def __init__(self, host: Host, site: str, launcher: ClientDockerJobLauncher) -> None:
        self.launcher = launcher
        self.workspace = host.folder / site
        self.ctx = FakeFLContext(site, workspace=self.workspace, job_args=JOB_ARGS)
        self._site, self._host = site, host

    def launch(self, job_id: str = "job-1") -> str:
        """Launch a job, and return as whom it runs."""
        self.launcher.launch_job({"job_id": job_id}, self.ctx)
        return self._host.runtime.container(f"{self._site}-{job_id}").spec.user

    def end(self, job_id: str = "job-1") -> None:
        """Have a job end by itself; return when nothing of it is left to be done."""
        self._host.runtime.exit(f"{self._site}-{job_id}")
        until(lambda: not list((self.workspace / ".flcore/jobs").glob(f"{job_id}.*")))

    def holders(self) -> str:
        return self.check().detail

    def owners(self, job_id: str = "job-1") -> set[int]:
        folder = self.workspace / job_id
        return {path.lstat().st_uid for path in (folder, *folder.rglob("*"))}

    def check(self) -> Check:
        (check,) = (check for check in self.launcher.check(self.ctx) if check.what == "users")
        return check


@pytest.fixture
def host(tmp_path: Path) -> Iterator[Host]:
    host = Host(tmp_path)
    yield host
    host.close()


def refuse(number: int) -> Callable[..., None]:
    """Return what refuses to give a file away, as a kernel does."""

    def fchown(*_: int) -> None:
        raise OSError(number, os.strerror(number))

    return fchown


@AS_ROOT
def test_no_two_living_jobs_of_sites_that_share_a_range_have_one_user(host: Host) -> None:
    one, two = host.parent("site-1"), host.parent("site-2")
    users = {one.launch("job-1"), one.launch("job-2"), two.launch("job-1")}
    assert users == {"200000:200000", "200001:200001", "200002:200002"}


@AS_ROOT
def test_who_finds_all_users_taken_is_told_by_whom_and_leaves_nothing(host: Host) -> None:
    one, two = host.parent("site-1", user_range="200000-200001"), host.parent("site-2", user_range="200000-200001")
    one.launch("job-1")
    one.launch("job-2")
    with pytest.raises(
        SiteBusyError,
        match=r"job job-3: 0 of the 2 users of 'user_range' are free; 200000: job job-. of site-1; 200001",
    ):
        two.launch("job-3")
    assert len(host.runtime.containers()) == 2
    assert not (two.workspace / "job-3").exists()


@AS_ROOT
def test_an_ended_jobs_folder_is_the_sites_again_before_its_user_is_free(host: Host) -> None:
    parent = host.parent(user_range="200000-200000")
    parent.launch()
    folder = parent.workspace / "job-1"
    assert parent.owners() == {200000}
    (folder / "model").touch()
    (folder / "best").hardlink_to(folder / "model")
    for path in folder.iterdir():
        os.chown(path, 200000, 200000)
    parent.end()
    assert parent.owners() == {0}
    assert {path.name for path in folder.iterdir()} >= {"model", "best", "site-1.log"}
    assert parent.launch("job-2") == "200000:200000"


@AS_ROOT
def test_the_next_run_of_a_job_gets_what_an_earlier_one_has_left_whoever_it_runs_as(host: Host) -> None:
    parent = host.parent(user_range="200000-200000")
    parent.launch()
    (parent.workspace / "job-1" / "model").touch()
    (parent.workspace / "job-1" / "best").hardlink_to(parent.workspace / "job-1" / "model")
    parent.end()
    parent.launcher.close()
    again = host.parent(user_range="300000-300000")
    assert again.launch() == "300000:300000"
    assert again.owners() == {300000}


@AS_ROOT
def test_a_folder_that_cannot_be_taken_back_now_keeps_its_user_until_it_can(
    host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    parent = host.parent(user_range="200000-200000")
    parent.launch()
    tried = threading.Event()

    def no_disk(*_: int) -> None:
        tried.set()
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    with monkeypatch.context() as patched:
        patched.setattr("launchers.keeping.own_users.take_back", no_disk)
        host.runtime.exit("site-1-job-1")
        assert tried.wait(TIMEOUT)
        with pytest.raises(SiteBusyError):
            host.parent("site-2", user_range="200000-200000").launch("job-2")
    until(lambda: "1 of the 1 users" in parent.holders())
    assert parent.owners() == {0}


@AS_ROOT
def test_a_jobs_user_outlives_its_parent_and_comes_back_by_the_next_one(host: Host) -> None:
    first = host.parent()
    user = first.launch()
    first.launcher.close()
    assert f"{user.partition(':')[0]}: job job-1 of site-1" in host.parent("site-2").holders()

    second = host.parent()
    second.launcher.dispatch_event(EventType.SYSTEM_START, second.ctx)
    second.end()
    assert second.owners() == {0}
    assert second.holders() == "3 of the 3 users of 'user_range' are free"


def no_image(host: Host) -> None:
    host.runtime.images = set()


def no_start(host: Host) -> None:
    host.runtime.start_error = "no such program"


@AS_ROOT
@pytest.mark.parametrize(("prevent", "kind"), [(no_image, ImageError), (no_start, JobStartError)])
def test_a_launch_that_fails_gives_its_user_and_an_earlier_runs_folder_back(
    host: Host, prevent: Callable[[Host], None], kind: type[JobLaunchError]
) -> None:
    parent = host.parent()
    parent.launch()
    parent.end()
    prevent(host)
    with pytest.raises(kind):
        parent.launch()
    until(lambda: parent.holders() == "3 of the 3 users of 'user_range' are free")
    assert parent.owners() == {0}


@AS_ROOT
def test_a_jobs_secrets_are_its_own_users_alone(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SITE_TOKEN", "opensesame")
    parent = host.parent(secrets={"token": {"env": "SITE_TOKEN"}})
    uid, gid = map(int, parent.launch().split(":"))
    (mount,) = (m for m in host.runtime.container("site-1-job-1").spec.mounts if m.target == "/run/secrets/token")
    info = Path(mount.source).stat()
    assert (info.st_uid, info.st_gid, info.st_mode & 0o777) == (uid, gid, 0o400)


@pytest.mark.parametrize("number", [errno.EPERM, errno.EINVAL], ids=["not root", "another user namespace"])
def test_a_site_that_cannot_give_files_away_is_told_by_the_key_before_anything_is_done(
    host: Host, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    parent = host.parent()
    monkeypatch.setattr("os.fchown", refuse(number))
    words = f"'user_range': the site cannot give a file to the user 200000: {os.strerror(number)}; run the site as root"
    with pytest.raises(JobLaunchError, match=words):
        parent.launch()
    assert host.runtime.containers() == []
    assert not (parent.workspace / "job-1").exists()
    assert (parent.check().ok, words in parent.check().detail) == (False, True)


def test_a_range_with_a_user_of_the_host_is_told_by_that_users_name(host: Host) -> None:
    nobody = pwd.getpwnam("nobody")
    check = host.parent(user_range=f"{nobody.pw_uid}-{nobody.pw_uid}").check()
    words = f"'user_range' has users of this host: {nobody.pw_uid} is nobody; take uids that nobody has"
    assert (check.ok, check.detail) == (False, words)


@AS_ROOT
def test_a_site_without_a_workspace_is_told_that_it_can_lease_no_users(host: Host) -> None:
    with pytest.raises(JobLaunchError, match="job job-1: a site without a workspace cannot lease users"):
        host.parent().launcher.launch_job({"job_id": "job-1"}, FakeFLContext(job_args=JOB_ARGS))
    assert host.runtime.containers() == []


def test_looking_at_a_launch_takes_no_user(host: Host) -> None:
    parent = host.parent()
    request = parent.launcher.describe_launch({"job_id": "job-1"}, parent.ctx).request
    assert request["user"] == "(at launch)"
    assert not (host.folder / "users").exists()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"user_range": "200000"}, "user_range must be the first and the last uid of jobs, as in '200000-265535'"),
        ({"user_range": 200000}, "user_range must be the first and the last uid"),
        ({"user_range": "0-65535"}, "user_range must be the first and the last uid"),
        ({"user_range": "300000-200000"}, "user_range must be the first and the last uid"),
        ({"user_range": "200000-4294967295"}, "user_range must be the first and the last uid"),
        ({"user": "1000:1000"}, "user_range: 'user' is set, too; leave one of them out"),
        ({"user_lease_dir": None}, "user_range needs 'user_lease_dir': a folder that all sites of this host share"),
        ({"user_lease_dir": "users"}, "user_lease_dir must be an absolute path, got 'users'"),
        ({"user_range": None}, "user_lease_dir is for the users of 'user_range', which is not set"),
    ],
)
def test_a_range_that_cannot_be_meant_is_a_value_error_by_its_key(arguments: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        ClientDockerJobLauncher(**{"user_range": USERS, "user_lease_dir": "/var/lib/users"} | arguments)
