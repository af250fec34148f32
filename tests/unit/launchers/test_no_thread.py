"""Each start of a thread in a launch, an end, a recovery and a close fails once, and for a while.

Whatever fails, what is raised is one of our errors, the site works when that is over, and then nothing is left.
"""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from queue import SimpleQueue
from typing import Any

import pytest

from flcore import EventType, FLComponent, FLContext, JobReturnCode, Site
from flcore.errors import FLCoreError
from flcore.observers.resource_monitor import ResourceMonitor
from launchers.docker_launcher import DockerJobLauncher
from launchers.docker_state import ContainerState
from launchers.runtime.fake import FakeRuntime

from ...faulty_threads import ThreadFaults, faulty_threads, no_threads

TIMEOUT = 15.0
A_WHILE = 12
"""How many threads cannot be started, one after the other."""


class Train(DockerJobLauncher):
    def get_command(self, job_meta: dict[str, Any], fl_ctx: FLContext) -> tuple[str, str]:
        return f"{fl_ctx.get_identity_name()}-{job_meta['job_id']}", "train"


class Host:
    """A site's folder and engine, which outlive its processes."""

    def __init__(self, workspace: Path) -> None:
        self.runtime = FakeRuntime()
        self.workspace = workspace

    def site(self) -> Site:
        launcher = Train(image="job:1", runtime=self.runtime, stop_grace=0)
        hasty: Any = {"launch_patience": 0.0, "creation_grace": 0.03, "relist_interval": 0.02}
        launcher.job_settings = replace(launcher.job_settings, **hasty)
        return Site("site-1", {"launcher": launcher, "monitor": ResourceMonitor()}, self.workspace)

    def live(self) -> None:
        """Two lives of a site: jobs launched, ended by themselves and by somebody, left to the next, and found."""
        with self.site() as site:
            for job_id in ("ends", "is-ended", "stays"):
                attempt(lambda job_id=job_id: site.launch_job({"job_id": job_id}))  # type: ignore[misc]
            self.see_end(site, "ends")
            attempt(lambda: site.abort_job("is-ended", by="me"))
        with self.site() as site:
            self.see_end(site, "stays")

    def see_end(self, site: Site, job_id: str) -> None:
        with suppress(KeyError):
            self.runtime.exit(f"site-1-{job_id}", 3)
        handle = site.jobs().get(job_id)
        if handle:  # else its launch has failed
            assert handle.enter_states(["exited", "dead"], TIMEOUT), f"the end of {job_id} is not seen"  # type: ignore[attr-defined]

    def check(self) -> None:
        """See that all works again, and that nothing is left then."""
        with self.site() as site:
            site.launch_job({"job_id": "later"})
            self.runtime.exit("site-1-later", 0)
            assert site.jobs()["later"].wait() is JobReturnCode.SUCCESS
            until(lambda: not self.left(), "nothing is left")

    def left(self) -> list[str]:
        records = [path.name for path in (self.workspace / ".flcore" / "jobs").iterdir()]
        return [*(container.spec.name for container in self.runtime.containers()), *records]


def attempt(call: Callable[[], object]) -> None:
    """Do what may fail, by an error of ours."""
    with suppress(FLCoreError):
        call()


def until(condition: Callable[[], object], what: str) -> None:
    deadline, pause = time.monotonic() + TIMEOUT, threading.Event()
    while not condition():
        assert time.monotonic() < deadline, f"not in time: {what}"
        pause.wait(0.002)


@pytest.fixture(autouse=True)
def _hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have what is tried again be so at once, and threads end as soon as they may, so that more are started."""
    monkeypatch.setattr("launchers.tracking.ending.SIGNAL_RETRY", 0.01)
    monkeypatch.setattr("launchers.tracking.ending.KILL_INTERVAL", 0.02)
    monkeypatch.setattr("launchers.tracking.worker_pool.THREAD_RETRY", 0.005)
    monkeypatch.setattr("launchers.tracking.worker_pool.IDLE_TIMEOUT", 0.01)
    monkeypatch.setattr("launchers.tracking.state_tracker.THREAD_TIMEOUT", 0.5)
    for module in ("lister", "state_tracker"):
        monkeypatch.setattr(f"launchers.tracking.{module}.AWAY_INTERVAL", 0.01)
    for module in ("tracking.looking", "tracking.job_cleaner", "keeping.job_recovery"):
        monkeypatch.setattr(f"launchers.{module}.retry_delay", lambda _: 0.01)


@pytest.fixture
def hosts(tmp_path: Path) -> Iterator[Callable[[], Host]]:
    """Return what makes hosts, and see that none leaves a thread."""
    before, made = threading.active_count(), list[Host]()

    def make() -> Host:
        made.append(Host(tmp_path / str(len(made))))
        return made[-1]

    yield make
    until(lambda: threading.active_count() <= before, "all threads have ended")


@pytest.mark.parametrize("how_many", [1, A_WHILE], ids=["once", "for a while"])
def test_a_site_comes_through_whatever_thread_cannot_be_started(hosts: Callable[[], Host], how_many: int) -> None:
    wrong, first = [], 0
    while True:
        first += 1
        host, faults = hosts(), ThreadFaults(first, how_many)
        try:
            with faulty_threads(faults):
                host.live()
            host.check()
        except Exception as error:  # noqa: BLE001 - all are told of
            wrong.append(f"thread {first} ({faults.failed[:1]}): {error!r}")
        if not faults.failed:
            break
    assert not wrong, "\n".join(["", *wrong])
    assert first > 10  # else it looked at less than it says


def test_an_end_is_seen_when_threads_can_be_started_again(hosts: Callable[[], Host]) -> None:
    host = hosts()
    with host.site() as site:
        handle: Any = site.launch_job({"job_id": "a"})
        assert handle.enter_states("running", TIMEOUT)
        until(lambda: not [t for t in threading.enumerate() if t.name.endswith(("asker", "lister"))], "idle ones end")
        with no_threads():
            host.runtime.exit("site-1-a", 3)
            assert not handle.enter_states("exited", 0.1)
        assert handle.enter_states("exited", TIMEOUT)


def test_jobs_of_an_earlier_process_are_found_before_the_next_launch_if_no_thread_could_be_started(
    hosts: Callable[[], Host], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("launchers.keeping.job_recovery.START_PATIENCE", 0.0)
    host = hosts()
    with host.site() as site:
        site.launch_job({"job_id": "stays"})
    with host.site() as site:
        pass
    site = host.site()
    with no_threads():
        site.start()
    with site:
        assert "stays" not in site.jobs()
        site.launch_job({"job_id": "next"})
        host.see_end(site, "stays")
        host.see_end(site, "next")


@pytest.mark.parametrize("error", [SystemExit(1), KeyboardInterrupt(), GeneratorExit()])
def test_whatever_a_component_lets_out_the_site_hears_of_every_later_end(
    hosts: Callable[[], Host], error: BaseException
) -> None:
    heard: SimpleQueue[str] = SimpleQueue()

    class Bad(FLComponent):
        def handle_event(self, event_type: str, fl_ctx: FLContext) -> None:
            if event_type == EventType.JOB_STATE_CHANGED:
                raise error

    class Good(FLComponent):
        def handle_event(self, event_type: str, fl_ctx: FLContext) -> None:
            if event_type == EventType.JOB_COMPLETED:
                heard.put(fl_ctx.get_job_id())

    host = hosts()
    with host.site() as site:
        site.add_component("bad", Bad())
        site.add_component("good", Good())
        for job_id in ("a", "b"):
            site.launch_job({"job_id": job_id}).add_done_callback(lambda _: sys.exit(2))
            host.see_end(site, job_id)
        assert [heard.get(timeout=TIMEOUT) for _ in range(2)] == ["a", "b"]


@pytest.mark.parametrize("seconds", [1e10, 1e300, float("inf"), 10**400], ids=str)
def test_any_number_of_seconds_is_taken_as_the_largest_that_works(tmp_path: Path, seconds: float) -> None:
    runtime = FakeRuntime()
    times: Any = dict.fromkeys(("timeout", "run_timeout", "idle_timeout", "stop_grace", "pull_timeout"), seconds)
    launcher = Train(image="job:1", runtime=runtime, **times, pull_stall_timeout=seconds)
    with Site("site-1", {"launcher": launcher, "monitor": ResourceMonitor(seconds)}, tmp_path) as site:
        for job_id in ("a", "b"):
            handle: Any = site.launch_job({"job_id": job_id})
            assert handle.enter_states("running")
            runtime.exit(f"site-1-{job_id}", 0)
            assert handle.enter_states("exited", seconds)
            assert handle.wait() is JobReturnCode.SUCCESS
            assert handle.wait_for_clean_up(seconds)


def test_containers_that_hang_hold_up_no_other_jobs_end(tmp_path: Path) -> None:
    go_on, hanging = threading.Event(), 50

    class Hanging(FakeRuntime):
        hung: frozenset[str] = frozenset()

        def inspect(self, container_id: str) -> ContainerState:
            if container_id in self.hung:
                go_on.wait(60)
            return super().inspect(container_id)

    host = Host(tmp_path)
    host.runtime = runtime = Hanging()
    with host.site() as site:
        handles: list[Any] = [site.launch_job({"job_id": f"job-{number}"}) for number in range(hanging + 1)]
        assert all(handle.enter_states("running", TIMEOUT) for handle in handles)
        runtime.hung = frozenset(handle.identity.container_id for handle in handles[:-1])
        for number in range(hanging):
            runtime.exit(f"site-1-job-{number}", 3)
        began = time.monotonic()
        runtime.exit(f"site-1-job-{hanging}", 0)
        try:
            assert handles[-1].enter_states("exited", TIMEOUT)
            assert time.monotonic() - began < 4.0  # about one; more only for a busy machine
        finally:
            go_on.set()
        assert all(handle.enter_states("exited", TIMEOUT) for handle in handles)
