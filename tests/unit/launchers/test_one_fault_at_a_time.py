"""Each place of our code that calls a disk, or asks an engine, in a site's lives: its call fails.

Whatever fails, what is raised is one of our errors, the site works when that is over, and then nothing is left but the
records that could not be read. A disk fails once, an engine once and for a while. Not played: a disk that fails for a
while, and a client that cannot let go of its connection.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import nullcontext, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from flcore import FLContext, JobReturnCode, Site
from flcore.errors import FLCoreError
from flcore.observers.job_journal import JobJournal
from launchers.docker_launcher import DockerJobLauncher
from launchers.records.gpu_leases import GpuLeases
from launchers.records.leases import Leases

from ...faulty import DISK_ERRORS, ENGINE_ERRORS, Faults, FaultyRuntime, faulty_disk

TIMEOUT = 5.0
GOOD_LIVES = 2
USERS = "200000-200009"
ONCE, A_WHILE = 1, 12
FEWEST_PLACES = {True: 60, False: 6}
HASTY: dict[str, Any] = {"launch_patience": 0.0, "creation_grace": 0.03, "relist_interval": 0.02}


class Train(DockerJobLauncher):
    def get_command(self, job_meta: dict[str, Any], fl_ctx: FLContext) -> tuple[str, str]:
        return f"{fl_ctx.get_identity_name()}-{job_meta['job_id']}", "train"


class Host:
    """A site's folders and engine, which outlive its processes."""

    def __init__(self, folder: Path) -> None:
        self.runtime = FaultyRuntime()
        self.workspace, self.secrets, self.app = folder / "workspace", folder / "secrets", folder / "app"
        for path in (self.workspace, self.secrets, self.app):
            path.mkdir(parents=True)
        (self.app / "code.py").write_text("pass")
        leases = str(self.workspace / ".flcore" / "users")
        self.users: dict[str, Any] = {}
        if os.geteuid() == 0:
            self.users = {"user_range": USERS, "user_lease_dir": leases}

    def site(self) -> Site:
        launcher = Train(
            image="job:1",
            runtime=self.runtime,
            stop_grace=0,
            gpu_ids=["0", "1"],
            secrets={"key": {"file": str(self.app / "code.py")}},
            secrets_dir=str(self.secrets),
            **self.users,
        )
        launcher.job_settings = replace(launcher.job_settings, **HASTY)
        return Site("site-1", {"launcher": launcher, "journal": JobJournal()}, self.workspace)

    def live(self) -> None:
        """Two lives of a site: jobs launched, ended by themselves and by somebody, left to the next, and found."""
        with self.site() as site:
            attempt(lambda: self.launch(site, "ends"))
            attempt(lambda: self.launch(site, "is-ended"))
            attempt(lambda: self.launch(site, "stays"))
            self.end_process("ends")
            self.see_end(site, "ends")
            attempt(lambda: site.abort_job("is-ended", by="me"))
        with self.site() as site:
            self.end_process("stays")
            self.see_end(site, "stays")

    def launch(self, site: Site, job_id: str) -> None:
        gpus = {"site-1": {"num_of_gpus": 1}} if job_id == "stays" else {}
        site.launch_job({"job_id": job_id, "resource_spec": gpus}, app=self.app)

    def end_process(self, job_id: str) -> None:
        with suppress(KeyError):
            self.runtime.exit(f"site-1-{job_id}", 3)

    def see_end(self, site: Site, job_id: str) -> None:
        handle = site.jobs().get(job_id)
        if handle:  # else its launch has failed, or the disk that says of it does not answer
            assert handle.enter_states(["exited", "dead"], TIMEOUT), f"the end of {job_id} is not seen"  # type: ignore[attr-defined]

    def check(self) -> None:
        """See that all works again, and that nothing is left then."""
        with self.site() as site:
            self.launch(site, "later")
            self.runtime.exit("site-1-later", 0)
            assert site.jobs()["later"].wait() is JobReturnCode.SUCCESS
            until(lambda: not self.left())
        assert not list((self.workspace / ".flcore" / "parents").iterdir())

    def left(self) -> list[str]:
        """Return what there is that no job has any more, but for records that could not be read, which are kept."""
        state = self.workspace / ".flcore"
        containers = [container.spec.name for container in self.runtime.containers()]
        records = [path.name for path in (state / "jobs").iterdir()]
        secrets = [path.name for path in self.secrets.iterdir()]
        leases = [*GpuLeases(state / "gpus", list).holders(), *Leases(state / "users", bool, ("", "")).holders()]
        folders = [path.name for path in self.workspace.iterdir() if path.lstat().st_uid != os.geteuid()]
        return [*containers, *records, *secrets, *leases, *folders]


def attempt(call: Callable[[], object]) -> None:
    """Do what may fail, by an error of ours."""
    with suppress(FLCoreError):
        call()


def until(condition: Callable[[], object]) -> None:
    deadline, pause = time.monotonic() + TIMEOUT, threading.Event()
    while not condition():
        assert time.monotonic() < deadline, "not in time"
        pause.wait(0.002)


@pytest.fixture(autouse=True)
def _hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have what is tried again be so at once, and any folder pass for one in memory."""
    monkeypatch.setattr("launchers.keeping.job_secrets.file_system_of", lambda _: "tmpfs")
    monkeypatch.setattr("launchers.keeping.launch_steps.LAST_LOOK_TIMEOUT", 0.05)
    monkeypatch.setattr("launchers.tracking.ending.SIGNAL_RETRY", 0.01)
    monkeypatch.setattr("launchers.tracking.ending.KILL_INTERVAL", 0.02)
    for module in ("lister", "state_tracker"):
        monkeypatch.setattr(f"launchers.tracking.{module}.AWAY_INTERVAL", 0.01)
    for module in ("tracking.looking", "tracking.job_cleaner", "keeping.job_recovery"):
        monkeypatch.setattr(f"launchers.{module}.retry_delay", lambda _: 0.01)


@pytest.fixture
def hosts(tmp_path: Path) -> Iterator[Callable[[], Host]]:
    """Return what makes hosts, and see that none leaves a thread."""
    before = threading.active_count()
    made: list[Host] = []

    def make() -> Host:
        made.append(Host(tmp_path / str(len(made))))
        return made[-1]

    yield make
    until(lambda: threading.active_count() <= before)


def play(host: Host, faults: Faults, on_disk: bool) -> None:
    """Have a site live two lives in which something fails, and see that it has come through."""
    with faulty_disk(faults, host.workspace, host.secrets) if on_disk else nullcontext():
        host.runtime.faults = host.runtime.faults if on_disk else faults
        try:
            host.live()
        finally:
            faults.heal()
    host.check()


def sweep(make: Callable[[], Host], error: Callable[[], Exception], lasting: int, on_disk: bool) -> list[str]:
    """Have good lives say where they call from, then play once for each of these places; return what went wrong."""
    good = Faults(None, error)
    for _ in range(GOOD_LIVES):  # threads go on in one order or another
        play(make(), good := good.anew(), on_disk)
    wrong = []
    for place in good.places:
        try:
            play(make(), Faults(place, error, lasting), on_disk)
        except Exception as problem:  # noqa: BLE001 - all are told of
            wrong.append(f"{place}: {problem!r}")
    assert len(good.places) > FEWEST_PLACES[on_disk], "what makes calls fail has not seen them"
    return wrong


@pytest.mark.parametrize("error", DISK_ERRORS)
def test_a_site_comes_through_whatever_call_of_its_disk_fails_once(hosts: Callable[[], Host], error: str) -> None:
    wrong = sweep(hosts, DISK_ERRORS[error], ONCE, on_disk=True)
    assert not wrong, "\n".join(["", *wrong])


@pytest.mark.parametrize("does_it_first", [False, True], ids=["not done", "done"])
@pytest.mark.parametrize("lasting", [ONCE, A_WHILE])
@pytest.mark.parametrize("error", ENGINE_ERRORS)
def test_a_site_comes_through_whatever_call_of_its_engine_fails(
    hosts: Callable[[], Host], error: str, lasting: int, does_it_first: bool
) -> None:
    def make() -> Host:
        host = hosts()
        host.runtime.does_it_first = does_it_first
        return host

    wrong = sweep(make, ENGINE_ERRORS[error], lasting, on_disk=False)
    assert not wrong, "\n".join(["", *wrong])
