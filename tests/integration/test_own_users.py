"""Jobs with users of their own on a real engine: what the kernel counts and keeps by user is each job's own."""

from __future__ import annotations

import os
import re
import uuid
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from flcore import JobHandleSpec, JobReturnCode, Site
from launchers.container_spec import LABEL_JOB_ID
from launchers.runtime.engine_traits import NO_SHIFT, EngineTraits, as_traits

from .conftest import CommandLauncher, until

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root can run jobs as other users")

USERS = range(40000, 60000)
"""Those of an engine that shifts users may end at 65535."""
TAKE_ALL = """
import ctypes, itertools, pathlib, time
libc = ctypes.CDLL(None)
taken = next(n for n in itertools.count() if libc.inotify_init() < 0)
pathlib.Path("taken").write_text(str(taken))
time.sleep(600)
"""
TAKE_ONE = """
import ctypes, pathlib, time
libc = ctypes.CDLL(None)
pathlib.Path("taken").write_text(str(int(libc.inotify_init() >= 0)))
time.sleep(600)
"""
LEAVE = """
import os, pathlib
pathlib.Path("model").write_text("weights")
os.link("model", "best")
os.mkdir("deep")
os.chmod("deep", 0)
os.symlink("/etc/passwd", "link")
"""
SEE = """
import os, pathlib
pathlib.Path("model").write_text(pathlib.Path("model").read_text() + " more")
assert all(os.stat(name).st_uid == os.getuid() for name in (".", "model", "best", "deep")), "not mine"
"""


class Host:
    """Two sites of one host, each with its own workspace; they share a range of users."""

    def __init__(self, client: Any, folder: Path) -> None:
        self._client = client
        self._folder = folder
        self._stack = ExitStack()
        self._sites = 0
        self._job_id = f"job-{uuid.uuid4().hex[:8]}"
        self.args: dict[str, Any] = {"user_range": f"{USERS[0]}-{USERS[-1]}", "user_lease_dir": str(folder / "users")}

    def site(self, program: str, name: str = "") -> Site:
        self._sites += 1
        name = name or f"site-{self._sites}"
        launcher = CommandLauncher(["python3", "-c", program], **self.args)
        return self._stack.enter_context(Site(name, {"launcher": launcher}, self._folder / name))

    def launch(self, site: Site) -> JobHandleSpec:
        return site.launch_job({"job_id": self._job_id})

    def folder_of(self, site: Site) -> Path:
        return self._folder / site.name / self._job_id

    def taken(self, site: Site) -> int:
        """Return how many instances the job of a site got, when it has tried."""
        note = self.folder_of(site) / "taken"
        until(lambda: note.exists() and note.read_text())
        return int(note.read_text())

    def user(self, handle: Any) -> str:
        """Return as whom a job runs, by the engine."""
        user: str = self._client.api.inspect_container(handle.identity.container_id)["Config"]["User"]
        return user

    def uids(self, handle: Any) -> set[int]:
        """Return as whom all processes of a job run, by the kernel."""
        container_id = handle.identity.container_id  # stands in the names of its groups, whoever counts its processes
        pids = [path for path in Path("/proc").iterdir() if path.name.isdecimal() and container_id in _groups(path)]
        assert pids
        return {int(uid) for path in pids for uid in _uids(path)}

    @property
    def engine(self) -> EngineTraits:
        return as_traits(self._client.version(), self._client.info())

    def close(self) -> None:
        self._stack.close()
        for entry in self._client.api.containers(all=True, filters={"label": f"{LABEL_JOB_ID}={self._job_id}"}):
            self._client.api.remove_container(entry["Id"], force=True)


def _groups(process: Path) -> str:
    try:
        return (process / "cgroup").read_text()
    except OSError:  # it has ended meanwhile
        return ""


def _uids(process: Path) -> list[str]:
    status = (process / "status").read_text()
    (line,) = re.findall(r"^Uid:\t(.*)$", status, re.MULTILINE)
    return str(line).split("\t")


@pytest.fixture
def host(docker_client: Any, tmp_path: Path) -> Iterator[Host]:
    (tmp_path / "host").mkdir()
    host = Host(docker_client, tmp_path / "host")
    yield host
    host.close()


def test_a_job_that_takes_all_that_its_user_may_have_takes_nothing_of_another_sites_job(host: Host) -> None:
    if host.engine.shift != NO_SHIFT:
        pytest.skip(
            "the engine says that it shifts users: the kernel counts what jobs take by who made their namespaces"
        )
    greedy, modest = host.site(TAKE_ALL), host.site(TAKE_ONE)
    first = host.launch(greedy)
    try:
        assert host.taken(greedy) > 1
        second = host.launch(modest)
        try:
            assert host.taken(modest) == 1
            assert host.user(first) != host.user(second)
            assert host.uids(first).isdisjoint(host.uids(second))
            assert host.uids(first) | host.uids(second) <= set(USERS)
        finally:
            second.terminate()
    finally:
        first.terminate()


def test_what_a_job_leaves_is_its_sites_and_then_the_next_runs_whose_user_is_another(host: Host) -> None:
    site = host.site(LEAVE)
    handle: Any = host.launch(site)
    assert handle.wait() is JobReturnCode.SUCCESS
    assert handle.wait_for_clean_up(30)
    left = host.folder_of(site)
    assert {path.lstat().st_uid for path in (left, *left.rglob("*"))} == {0}
    assert (left / "model").read_text() == "weights"
    site.close()

    again: Any = host.launch(host.site(SEE, site.name))
    assert again.wait() is JobReturnCode.SUCCESS, again.result
