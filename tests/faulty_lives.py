"""A site's lives in which something fails, to be played for each place of our code that may: with what is seen of them.

Whatever fails, what is raised is one of our errors, the site works when that is over, and then nothing is left but the
records that could not be read.
"""

from __future__ import annotations

import os
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from flcore import FLContext, JobReturnCode, Site
from flcore.errors import FLCoreError, OutcomeUnknownError
from flcore.observers.job_journal import JobJournal
from flcore.observers.resource_monitor import ResourceMonitor
from launchers.container_spec import ContainerSpec
from launchers.docker_launcher import DockerJobLauncher
from launchers.records.gpu_leases import GpuLeases
from launchers.records.leases import Leases

from .faulty import Fault, Faults, FaultyRuntime, Place, faulty_disk, faulty_threads, until
from .thoroughness import ALL, LITTLE

TIMEOUT = 15.0
GOOD_LIVES = 2
USERS = "200000-200099"
ONCE, A_WHILE = 1, 12
TURNS = (1, 2, 3) if ALL else (1,)
HASTY: dict[str, Any] = {"launch_patience": 0.0, "creation_grace": 0.03, "relist_interval": 0.02}
HASTY_MODULES: Mapping[str, float] = {
    "keeping.launch_steps.LAST_LOOK_TIMEOUT": 0.05,
    "tracking.ending.SIGNAL_RETRY": 0.01,
    "tracking.ending.KILL_INTERVAL": 0.02,
    "tracking.lister.AWAY_INTERVAL": 0.01,
    "tracking.state_tracker.AWAY_INTERVAL": 0.01,
    "tracking.worker_pool.THREAD_RETRY": 0.005,
    "tracking.worker_pool.IDLE_TIMEOUT": 0.01,
    "tracking.state_tracker.THREAD_RETRY": 0.005,
    "tracking.state_tracker.THREAD_TIMEOUT": 0.5,
}
"""So that what is tried again is so at once, and threads end as soon as they may, so that more are started."""
RETRIES = ("tracking.looking", "tracking.job_cleaner", "keeping.job_recovery")


class Train(DockerJobLauncher):
    def get_command(self, job_meta: dict[str, Any], fl_ctx: FLContext) -> tuple[str, str]:
        return f"{fl_ctx.get_identity_name()}-{job_meta['job_id']}", "train"


class Engine(FaultyRuntime):
    """One that has something be done while it makes a container."""

    def __init__(self) -> None:
        super().__init__()
        self.meanwhile: Callable[[], object] = lambda: None
        self.image_ids["job:1"] = image = f"sha256:{'0a' * 32}"
        self.passwd[image] = b"root:x:0:0::/:/bin/sh\n"  # and no user of a job's

    def create(self, spec: ContainerSpec) -> str:
        if spec.name.endswith("called-back"):
            self.meanwhile()
        return super().create(spec)


class Host:
    """A site's folders and engine, which outlive its processes."""

    def __init__(self, folder: Path) -> None:
        self.runtime = Engine()
        self.workspace, self.secrets, self.app = folder / "workspace", folder / "secrets", folder / "app"
        for path in (self.workspace, self.secrets, self.app):
            path.mkdir(parents=True)
        (self.app / "code.py").write_text("pass")
        leases = str(self.workspace / ".flcore" / "users")
        self.users: dict[str, Any] = {}
        if os.geteuid() == 0:
            self.users = {"user_range": USERS, "user_lease_dir": leases}
        self.failed: set[str] = set()
        """The jobs whose launch has failed, so that nothing runs of them, nor will."""

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
        components = {"launcher": launcher, "journal": JobJournal(), "monitor": ResourceMonitor()}
        return Site("site-1", components, self.workspace)

    def live(self) -> None:
        """Two lives of a site: jobs launched, called back, ended by themselves and by somebody, left, and found."""
        with self.site() as site:
            for job_id in ("ends", "is-ended", "stays"):
                self.launch(site, job_id)
            self.runtime.meanwhile = lambda: attempt(lambda: site.abort_job("called-back", by="me"))
            self.launch(site, "called-back")
            self.see_end(site, "ends")
            attempt(lambda: site.abort_job("is-ended", by="me"))
        with self.site() as site:
            self.see_end(site, "stays")

    def launch(self, site: Site, job_id: str) -> None:
        gpus = {"site-1": {"num_of_gpus": 1}} if job_id == "stays" else {}
        try:
            site.launch_job({"job_id": job_id, "resource_spec": gpus}, app=self.app)
        except OutcomeUnknownError:
            pass
        except FLCoreError:
            self.failed.add(job_id)

    def see_end(self, site: Site, job_id: str) -> None:
        """End a job's process, and see that the site sees it; or that nothing runs, if its launch has failed."""
        with suppress(KeyError):
            self.runtime.exit(f"site-1-{job_id}", 3)
        if job_id in self.failed:
            until(lambda: not self.runs(job_id), f"nothing runs of {job_id}", TIMEOUT)
        elif handle := site.jobs().get(job_id):  # else nothing was launched, or the disk does not say of it
            assert handle.enter_states(["exited", "dead"], TIMEOUT), f"the end of {job_id} is not seen"

    def runs(self, job_id: str) -> bool:
        found = (each for each in self.runtime.containers() if each.spec.name == f"site-1-{job_id}")
        return any(each.has_process for each in found)

    def check(self) -> None:
        """See that all works again, and that nothing is left then."""
        with self.site() as site:
            site.launch_job({"job_id": "later"}, app=self.app)
            self.runtime.exit("site-1-later", 0)
            assert site.jobs()["later"].wait() is JobReturnCode.SUCCESS
            until(lambda: not self.left(), "nothing is left", TIMEOUT)
        assert not list((self.workspace / ".flcore" / "parents").iterdir())

    def left(self) -> list[str]:
        """Return what there is that no job has any more, but for records that could not be read, which are kept."""
        state = self.workspace / ".flcore"
        containers = [container.spec.name for container in self.runtime.containers()]
        records = [path.name for path in (state / "jobs").iterdir()]
        secrets = [path.name for path in self.secrets.iterdir()]
        staged = [path.name for path in self.workspace.glob(".staged-*")]
        leases = [*GpuLeases(state / "gpus", list).holders(), *Leases(state / "users", bool, ("", "")).holders()]
        folders = [path.name for path in self.workspace.iterdir() if path.lstat().st_uid != os.geteuid()]
        return [*containers, *records, *secrets, *staged, *leases, *folders]


@contextmanager
def on_disk(host: Host, fault: Fault) -> Iterator[None]:
    with faulty_disk(fault, host.workspace, host.secrets):
        yield


@contextmanager
def of_engine(host: Host, fault: Fault) -> Iterator[None]:
    host.runtime.faults = fault
    yield


@contextmanager
def of_answers(host: Host, fault: Fault) -> Iterator[None]:
    """Have an engine do what it is asked for, and its answer be lost."""
    host.runtime.faults, host.runtime.does_it_first = fault, True
    yield


@contextmanager
def of_threads(host: Host, fault: Fault) -> Iterator[None]:
    with faulty_threads(fault):
        yield


Spoil = Callable[[Host, Fault], AbstractContextManager[None]]
_good_places: dict[Spoil, list[Place]] = {}
"""From where good lives call what may be spoilt so: it is the same whatever fails, and for how long."""


@dataclass(frozen=True, slots=True)
class Sweep:
    """What is played for each place.

    Args:
        make: makes a host.
        spoil: has calls fail.
        error: makes what they raise.
        fewest: places that there are at least.
        few: for how many of them a run plays that tries little; one that tries more, for ten times as many.
    """

    make: Callable[[], Host]
    spoil: Spoil
    error: Callable[[], Exception]
    fewest: int
    few: int = 1

    def wrong(self, lasting: int) -> list[str]:
        """Have good lives say where they call from, then play for these places; return what went wrong."""
        places = _good_places.get(self.spoil) or _good_places.setdefault(self.spoil, self._places())
        assert len(places) > self.fewest, "what makes calls fail has not seen them"
        plays = [(place, turn) for place in self._played(places, lasting) for turn in TURNS]
        return [problem for place, turn in plays if (problem := self._try(place, turn, lasting))]

    def _places(self) -> list[Place]:
        good = Faults(None, self.error)
        for _ in range(GOOD_LIVES):  # threads go on in one order or another
            self.play(good := good.anew())
        return list(good.places)

    def play(self, faults: Faults) -> None:
        """Have a site live lives in which something fails, and see that it has come through."""
        host = self.make()
        with self.spoil(host, faults):
            try:
                host.live()
            finally:
                faults.heal()
        host.check()

    def _played(self, places: list[Place], lasting: int) -> list[Place]:
        """Return all places, or some: always the same of the same code, but for each error others."""
        if ALL:
            return places
        salt = f"{self.error()!r} {lasting}"
        mixed = sorted(places, key=lambda place: zlib.crc32(f"{salt} {place}".encode()))
        return mixed[: self.few if LITTLE else 10 * self.few]

    def _try(self, place: Place, turn: int, lasting: int) -> str:
        try:
            self.play(Faults(place, self.error, lasting, turn))
        except Exception as problem:  # noqa: BLE001 - all are told of
            return f"{place}, turn {turn}: {problem!r}"
        return ""


def attempt(call: Callable[[], object]) -> None:
    """Do what may fail, by an error of ours."""
    with suppress(FLCoreError):
        call()
