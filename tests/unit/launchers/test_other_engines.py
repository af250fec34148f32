"""Jobs on engines that are not as a site might take for granted: whose files they get, and where none may run."""

from __future__ import annotations

import logging
import os
import pwd
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from flcore import EventType, Site
from flcore.errors import JobLaunchError, RuntimeUnavailableError
from flcore.job_launcher_spec import Check
from flcore.testing import FakeFLContext
from launchers.docker_launcher import ClientDockerJobLauncher
from launchers.runtime.engine_traits import TRAITS, EngineTraits, Shift
from launchers.runtime.fake import FakeRuntime

from ...faulty import until

AS_ROOT = pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files to others")
OWN = (os.geteuid(), os.getegid())
META = {"job_id": "job-1"}
NAME = "site-1-job-1"
ROOTLESS = EngineTraits("Docker Engine", "28.5.2", frozenset({"seccomp", "rootless"}))
REMAPPED = EngineTraits("Docker Engine", "28.5.2", frozenset({"seccomp", "userns"}), Shift(300000, 400000))
OF_UNKNOWN_SHIFT = replace(REMAPPED, shift=None)


class Parent:
    """A site's launcher on one engine."""

    def __init__(self, folder: Path) -> None:
        self.runtime = FakeRuntime()
        self.workspace = folder / "site-1"
        self.ctx = FakeFLContext(workspace=self.workspace, job_args={"exe_module": ("-m", "work")})
        self._folder = folder
        self._launchers: list[ClientDockerJobLauncher] = []

    def launcher(self, **kwargs: Any) -> ClientDockerJobLauncher:
        given: dict[str, Any] = {"image": "job:1", "runtime": self.runtime, "stop_grace": 0}
        launcher = ClientDockerJobLauncher(**given | kwargs)
        hasty = replace(launcher.job_settings, launch_patience=10.0, relist_interval=0.02)
        launcher.job_settings = hasty
        self._launchers.append(launcher)
        return launcher

    def with_range(self, uids: str, **kwargs: Any) -> ClientDockerJobLauncher:
        return self.launcher(user_range=uids, user_lease_dir=str(self._folder / "users"), **kwargs)

    def owners(self) -> set[tuple[int, int]]:
        folder = self.workspace / "job-1"
        return {(path.lstat().st_uid, path.lstat().st_gid) for path in (folder, *folder.rglob("*"))}

    def left(self) -> list[Any]:
        records = self.workspace.glob(".flcore/jobs/*")
        return [*self.runtime.containers(), *self.workspace.glob("job-*"), *records]

    def close(self) -> None:
        for launcher in self._launchers:
            launcher.close()


@pytest.fixture
def parent(tmp_path: Path) -> Iterator[Parent]:
    parent = Parent(tmp_path)
    yield parent
    parent.close()


@pytest.fixture
def not_root(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have the site take itself for a user: a rootless engine is never root's."""
    monkeypatch.setattr("os.geteuid", lambda: 1000)


def about(checks: Any, what: str) -> list[Check]:
    return [check for check in checks if check.what == what]


# --- a rootless engine ---


@pytest.mark.usefixtures("not_root")
def test_on_a_rootless_engine_a_job_is_user_0_and_all_files_stay_the_sites_own(
    parent: Parent, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SITE_TOKEN", "opensesame")
    monkeypatch.setattr("launchers.keeping.job_secrets.file_system_of", lambda _: "tmpfs")
    parent.runtime.engine = ROOTLESS
    secrets = {"secrets": {"token": {"env": "SITE_TOKEN"}}, "secrets_dir": str(parent.workspace.parent)}
    parent.launcher(**secrets).launch_job(META, parent.ctx)
    spec = parent.runtime.container(NAME).spec
    (secret,) = (Path(mount.source).stat() for mount in spec.mounts if mount.target == "/run/secrets/token")
    assert spec.user == "0:0"
    assert parent.owners() == {OWN}
    assert (secret.st_uid, secret.st_gid) == OWN


@pytest.mark.usefixtures("not_root")
@pytest.mark.parametrize("given", [{}, {"user": "0:0", "allow_insecure": ["user"]}], ids=["by default", "as 0:0"])
def test_user_0_of_a_rootless_engine_is_not_called_insecure(
    parent: Parent, given: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    parent.runtime.engine = ROOTLESS
    launcher = parent.launcher(**given)
    launcher.launch_job(META, parent.ctx)
    assert "insecure" not in caplog.text
    assert not [check for check in launcher.check(parent.ctx) if not check.ok]


def test_user_0_of_any_other_engine_is(parent: Parent, caplog: pytest.LogCaptureFixture) -> None:
    with suppress(JobLaunchError):  # who is not root has no files to give
        parent.launcher(user="0:0", allow_insecure=["user"]).launch_job(META, parent.ctx)
    if os.geteuid() == 0:
        assert "user is insecure, and allowed: jobs run as root (0:0)" in caplog.text


@pytest.mark.usefixtures("not_root")
@pytest.mark.parametrize("key", ["user", "user_range"])
def test_a_user_that_a_rootless_engine_can_give_nothing_to_is_refused_by_the_key(parent: Parent, key: str) -> None:
    parent.runtime.engine = ROOTLESS
    launcher = parent.launcher(user="1000:1000") if key == "user" else parent.with_range("1000-2000")
    words = (
        f"'{key}' cannot be had of Docker Engine 28.5.2, which is rootless: no user but its 0, who is the site's own "
        f"on the host, can have the site's files; leave '{key}' out"
    )
    with pytest.raises(JobLaunchError, match=rf"^job job-1: {words}$"):
        launcher.launch_job(META, parent.ctx)
    assert parent.left() == []
    assert [check.detail for check in launcher.check(parent.ctx) if not check.ok and check.what == "engine"] == [words]


@pytest.mark.usefixtures("not_root")
def test_a_dry_run_shows_the_user_that_the_engine_will_be_asked_for(parent: Parent) -> None:
    parent.runtime.engine = ROOTLESS
    launcher = parent.launcher()
    assert launcher.describe_launch(META, parent.ctx).request["user"] == "0:0"
    parent.runtime.set_reachable(False)
    assert launcher.describe_launch(META, parent.ctx).request["user"] == launcher.user


def test_a_dry_run_raises_what_a_launch_would_raise_of_the_engine(parent: Parent) -> None:
    with pytest.raises(JobLaunchError, match="job job-1: fake runtime has no userns"):
        parent.launcher(require=["userns"]).describe_launch(META, parent.ctx)


@AS_ROOT
def test_a_site_that_is_root_is_told_that_a_rootless_engine_can_give_its_jobs_nothing(parent: Parent) -> None:
    parent.runtime.engine = ROOTLESS
    launcher = parent.launcher()
    with pytest.raises(JobLaunchError, match="can give its jobs nothing that is root's: run the site as the user who"):
        launcher.launch_job(META, parent.ctx)
    assert parent.left() == []
    assert not all(check.ok for check in about(launcher.check(parent.ctx), "engine"))


# --- an engine that shifts users ---


@AS_ROOT
def test_an_engine_that_shifts_users_is_asked_for_one_and_another_on_the_host_gets_the_files(
    parent: Parent, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SITE_TOKEN", "opensesame")
    parent.runtime.engine = REMAPPED
    parent.launcher(secrets={"token": {"env": "SITE_TOKEN"}}).launch_job(META, parent.ctx)
    spec = parent.runtime.container(NAME).spec
    (secret,) = (Path(mount.source).stat() for mount in spec.mounts if mount.target == "/run/secrets/token")
    assert spec.user == "65534:65534"
    assert parent.owners() == {(365534, 465534)}
    assert (secret.st_uid, secret.st_gid) == (365534, 465534)


@AS_ROOT
def test_what_comes_into_a_jobs_folder_right_before_the_start_is_its_users_on_the_host_too(
    parent: Parent, tmp_path: Path
) -> None:
    (tmp_path / "app").mkdir()
    (tmp_path / "app" / "model").touch()
    parent.runtime.engine = REMAPPED
    with Site("site-1", {"launcher": parent.launcher()}, parent.workspace) as site:
        site.launch_job(META, {"exe_module": ("-m", "work")}, app=tmp_path / "app")
        assert parent.owners() == {(365534, 465534)}
        assert (parent.workspace / "job-1" / "app_site-1" / "model").exists()


@AS_ROOT
def test_a_user_of_a_range_is_shifted_too_and_its_folder_is_the_sites_again_at_the_end(parent: Parent) -> None:
    parent.runtime.engine = REMAPPED
    parent.with_range("1000-1000").launch_job(META, parent.ctx)
    assert parent.runtime.container(NAME).spec.user == "1000:1000"
    assert parent.owners() == {(301000, 401000)}
    parent.runtime.exit(NAME)
    until(lambda: not parent.runtime.containers(), "the container is removed")
    until(lambda: parent.owners() == {OWN}, "the folder is the site's again")


@AS_ROOT
def test_whether_a_range_has_users_of_the_host_is_judged_as_the_host_counts_them(parent: Parent) -> None:
    nobody = pwd.getpwnam("nobody").pw_uid
    parent.runtime.engine = replace(REMAPPED, shift=Shift(nobody - 1000, nobody - 1000))
    (check,) = about(parent.with_range("1000-1000").check(parent.ctx), "users")[-1:]
    assert (check.ok, f"{nobody} is nobody" in check.detail) == (False, True)
    (check,) = about(parent.with_range(f"{nobody}-{nobody}").check(parent.ctx), "users")[-1:]
    assert check.ok


def test_an_engine_that_does_not_say_by_how_much_it_shifts_users_gets_no_job(parent: Parent) -> None:
    parent.runtime.engine = OF_UNKNOWN_SHIFT
    with pytest.raises(JobLaunchError, match=r"Docker Engine 28\.5\.2 shifts users, and does not say by how much"):
        parent.launcher().launch_job(META, parent.ctx)
    assert parent.left() == []


def test_a_site_that_is_not_root_is_told_why_it_can_have_no_job_on_an_engine_that_shifts_users(
    parent: Parent, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    parent.runtime.engine = REMAPPED
    launcher = parent.launcher()
    with pytest.raises(
        JobLaunchError, match="shifts users: only root can give files to those of jobs; run the site as"
    ):
        launcher.launch_job(META, parent.ctx)
    assert parent.left() == []
    assert not all(check.ok for check in about(launcher.check(parent.ctx), "engine"))


@pytest.mark.usefixtures("not_root")
def test_an_engine_that_has_become_another_gives_files_by_what_it_is_now(parent: Parent) -> None:
    launcher = parent.launcher()
    launcher.launch_job(META, parent.ctx)
    parent.runtime.engine = ROOTLESS
    launcher.launch_job({"job_id": "job-2"}, parent.ctx)
    users = [parent.runtime.container(f"site-1-{job_id}").spec.user for job_id in ("job-1", "job-2")]
    assert users == [launcher.user, "0:0"]


# --- what a site insists on ---


@pytest.mark.parametrize("trait", TRAITS)
def test_a_site_that_insists_on_what_the_engine_lacks_launches_nothing_and_leaves_nothing(
    parent: Parent, trait: str
) -> None:
    parent.runtime.engine = EngineTraits("Docker Engine", "28.5.2", frozenset(TRAITS) - {trait, "rootless", "userns"})
    with pytest.raises(
        JobLaunchError,
        match=rf"^job job-1: Docker Engine 28.5.2 has no {trait}, on which this site insists \('require'\): have its",
    ):
        parent.launcher(require=[trait]).launch_job(META, parent.ctx)
    assert parent.left() == []


def test_a_site_that_insists_on_what_the_engine_has_launches(parent: Parent) -> None:
    launcher = parent.launcher(require=["memory_limit", "pids_limit", "cpu_limit", "swap_limit", "seccomp"])
    launcher.launch_job(META, parent.ctx)
    assert parent.runtime.container(NAME).has_process


def test_a_site_is_told_at_its_start_what_its_engine_lacks(parent: Parent, caplog: pytest.LogCaptureFixture) -> None:
    parent.runtime.engine = ROOTLESS
    with Site("site-1", {"launcher": parent.launcher(require=["pids_limit", "memory_limit"])}, parent.workspace):
        (record,) = (record for record in caplog.records if record.levelno >= logging.ERROR)
    assert record.getMessage().startswith(
        "[identity=site-1, run=?]: launcher launches no job: Docker Engine 28.5.2 has no memory_limit, "
        "pids_limit, on which this site insists ('require'): "
    )
    assert not record.exc_info


def test_a_site_that_insists_on_nothing_asks_no_engine_at_its_start(parent: Parent) -> None:
    parent.runtime.set_reachable(False)
    parent.launcher().handle_event(EventType.SYSTEM_START, parent.ctx)
    parent.launcher(require=["memory_limit"]).handle_event(EventType.SYSTEM_START, parent.ctx)


def test_an_engine_that_is_another_at_a_launch_is_looked_at_anew(parent: Parent) -> None:
    launcher = parent.launcher(require=["memory_limit"])
    launcher.launch_job(META, parent.ctx)
    parent.runtime.engine = ROOTLESS
    with pytest.raises(JobLaunchError, match="has no memory_limit"):
        launcher.launch_job({"job_id": "job-2"}, parent.ctx)


def test_a_check_says_what_is_missing_that_a_site_insists_on(parent: Parent) -> None:
    (told, missing) = about(parent.launcher(require=["userns"]).check(parent.ctx), "engine")
    assert (told.ok, missing.ok) == (True, False)
    assert missing.detail.startswith("fake runtime has no userns, on which this site insists ('require')")


def test_all_that_no_engine_could_have_is_told_at_once_with_what_may_be_meant() -> None:
    with pytest.raises(ValueError, match=r"^require must be a list of some of memory_limit, ") as raised:
        ClientDockerJobLauncher(image="job:1", require=["memory_limits", "seccomp", "sekcomp"])
    told = "'memory_limits'; did you mean 'memory_limit'?, 'sekcomp'; did you mean 'seccomp'?"
    assert str(raised.value).endswith(f", got {told}")


@pytest.mark.parametrize("wrong", [["memory"], ["memory_limit", "seccomp "], "memory_limit", [1], [""]])
def test_what_no_engine_could_have_is_a_value_error_with_the_list_of_names(wrong: Any) -> None:
    with pytest.raises(ValueError, match=r"^require must be a list of") as raised:
        ClientDockerJobLauncher(image="job:1", require=wrong)
    assert ", ".join(TRAITS) in str(raised.value)


# --- an engine that is away ---


def test_a_launch_waits_for_an_engine_that_answered_before_to_say_what_it_is(parent: Parent) -> None:
    class Blinking(FakeRuntime):
        silences = 0

        def traits(self) -> EngineTraits:
            if self.silences:
                self.silences -= 1
                raise RuntimeUnavailableError("the engine does not answer")
            return super().traits()

    parent.runtime = runtime = Blinking()
    launcher = parent.launcher()
    launcher.launch_job(META, parent.ctx)
    runtime.silences = 1
    launcher.launch_job({"job_id": "job-2"}, parent.ctx)
    assert runtime.container("site-1-job-2").has_process


def test_a_launch_on_an_engine_that_has_never_answered_fails_at_once_and_leaves_nothing(parent: Parent) -> None:
    parent.runtime.set_reachable(False)
    with pytest.raises(RuntimeUnavailableError, match="fake runtime does not answer"):
        parent.launcher().launch_job(META, parent.ctx)
    parent.runtime.set_reachable(True)
    assert parent.left() == []
