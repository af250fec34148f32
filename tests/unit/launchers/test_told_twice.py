"""Ends that one process tells and another finds again: told twice, they have one id."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import pytest

from flcore import EventType, FLComponent, FLContext, Site
from flcore.errors import JobLaunchError, RuntimeRefusedError, RuntimeUnavailableError
from flcore.fl_constant import FLContextKey
from launchers.container_spec import ContainerSpec

from ...faulty import until
from ...faulty_lives import TIMEOUT, Engine, Host

LATE = "late"


class Ends(FLComponent):
    """Collects the events and ids by which ends are told."""

    def __init__(self) -> None:
        super().__init__()
        self.heard: list[tuple[str, str]] = []

    def handle_event(self, event_type: str, fl_ctx: FLContext) -> None:
        if event_type in (EventType.JOB_COMPLETED, EventType.JOB_ABORTED):
            self.heard.append((event_type, fl_ctx.get_prop(FLContextKey.JOB_EVENT_ID)))


class Failing(Engine):
    """An engine on which a launch fails in such a way that it cannot be undone at once."""

    def __init__(self) -> None:
        super().__init__()
        self.fails = ""
        self.asked: ContainerSpec | None = None

    def create(self, spec: ContainerSpec) -> str:
        self.asked = spec
        if self.fails == LATE:
            raise RuntimeUnavailableError("no answer")
        container_id = super().create(spec)
        if self.fails == "create":
            self.set_reachable(False)
            raise RuntimeUnavailableError("no answer")
        return container_id

    def start(self, container_id: str) -> None:
        if self.fails == "start":
            self.set_reachable(False)
            raise RuntimeRefusedError("no")
        super().start(container_id)

    def make_late(self) -> None:
        """Make the container for which it was asked before."""
        assert self.asked
        super().create(self.asked)


class Life:
    """A process of a site, and what is told in it."""

    def __init__(self, host: Host) -> None:
        self.site: Site = host.site()
        self.ends = Ends()
        self.site.add_component("ends", self.ends)


def fail_to_launch(host: Host, fails: str) -> list[tuple[str, str]]:
    """Have a launch fail, and its process end, without anything that is left being seen to."""
    engine = host.runtime
    assert isinstance(engine, Failing)
    life = Life(host)
    engine.fails = fails
    with life.site, pytest.raises(JobLaunchError):
        life.site.launch_job({"job_id": "j1"}, app=host.app)
    engine.fails = ""
    engine.set_reachable(True)
    return life.ends.heard


@pytest.fixture
def host(hosts: Callable[[], Host]) -> Host:
    host = hosts()
    host.runtime = Failing()
    return host


@pytest.mark.parametrize("fails", ["create", "start"])
def test_the_end_of_a_failed_launch_that_the_next_process_finds_is_told_by_the_same_id(host: Host, fails: str) -> None:
    told = fail_to_launch(host, fails)
    life = Life(host)
    with life.site:
        until(lambda: life.ends.heard, "the end is told again", TIMEOUT)
    assert len(told) == 1
    assert life.ends.heard == told
    host.check()


def test_a_failed_launch_whose_record_cannot_be_removed_is_told_again_by_the_same_id(
    host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    host.runtime.images = set()
    unlink = os.unlink

    def refuse(path: Any, *args: Any, **kwargs: Any) -> None:
        if str(path).endswith(".jsonl"):
            raise OSError("no")
        unlink(path, *args, **kwargs)

    with monkeypatch.context() as patch:
        patch.setattr(os, "unlink", refuse)
        told = fail_to_launch(host, "image")
    host.runtime.images = None
    life = Life(host)
    with life.site:
        until(lambda: life.ends.heard, "the end is told again", TIMEOUT)
    assert life.ends.heard == told
    host.check()


@pytest.mark.parametrize("in_vain_in", ["the same process", "the next"])
def test_a_container_that_comes_after_its_job_was_given_up_is_told_of_by_the_same_id(
    host: Host, in_vain_in: str
) -> None:
    engine: Any = host.runtime
    if in_vain_in == "the next":
        told = fail_to_launch(host, LATE)
        life = Life(host)
        life.site.start()
    else:
        engine.fails = LATE
        life = Life(host)
        with pytest.raises(JobLaunchError):
            life.site.launch_job({"job_id": "j1"}, app=host.app)
        told = list(life.ends.heard)
    state = host.workspace / ".flcore"
    until(lambda: not list((state / "jobs").iterdir()), "the job is given up", TIMEOUT)
    engine.fails = ""
    life.site.close()
    assert life.ends.heard in ([], told)
    engine.make_late()
    life = Life(host)
    with life.site:
        until(lambda: life.ends.heard, "the container is found", TIMEOUT)
        until(lambda: not engine.containers(), "it is removed", TIMEOUT)
    assert life.ends.heard == told


def test_what_was_told_of_a_container_that_comes_late_is_on_record_as_soon_as_it_is_found(host: Host) -> None:
    engine: Any = host.runtime
    records = host.workspace / ".flcore" / "jobs"
    told = fail_to_launch(host, LATE)
    with Life(host).site:
        until(lambda: not list(records.iterdir()), "the job is given up", TIMEOUT)
    engine.make_late()
    first_lines: list[str] = []

    class Reading(FLComponent):
        def handle_event(self, event_type: str, fl_ctx: FLContext) -> None:
            if event_type == EventType.JOB_RECOVERED:
                first_lines.extend(path.read_text().split("\n")[1] for path in records.iterdir())

    life = Life(host)
    life.site.add_component("reading", Reading())
    with life.site:
        until(lambda: first_lines, "the container is found", TIMEOUT)
    assert told[0][1] in first_lines[0]
