"""No thread can be started, or one of ours meets what would end it: all else goes on."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from queue import SimpleQueue
from typing import Any

import pytest

from flcore import EventType, FLComponent, FLContext, JobReturnCode, Site
from flcore.observers.resource_monitor import ResourceMonitor
from launchers.docker_state import ContainerState
from launchers.runtime.fake import FakeRuntime

from ...faulty import no_threads, until
from ...faulty_lives import TIMEOUT, Engine, Host, Train


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


def test_containers_that_hang_hold_up_no_other_jobs_end(hosts: Callable[[], Host]) -> None:
    go_on, hanging = threading.Event(), 50

    class Hanging(Engine):
        hung: frozenset[str] = frozenset()

        def inspect(self, container_id: str) -> ContainerState:
            if container_id in self.hung:
                go_on.wait(60)
            return super().inspect(container_id)

    host = hosts()
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
