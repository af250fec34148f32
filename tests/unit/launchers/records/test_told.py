"""Each change and each end has an id: the same when the next process tells it again, and no other's."""

from __future__ import annotations

import errno
import shutil
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from flcore import EventType, FLComponent, FLContext, FLContextKey, JobReturnCode, JobStateChange, Site
from flcore.event_ids import EventId
from launchers.docker_launcher import ClientDockerJobLauncher
from launchers.docker_state import DOCKER_STATE
from launchers.records.job_record import JobRecord
from launchers.runtime.fake import FakeRuntime

TIMEOUT = 10.0
NAME = "site-1-job-1"
ENDS = (EventType.JOB_COMPLETED, EventType.JOB_ABORTED)
LIFE = ["created", "running", "paused", "running", "exited", EventType.JOB_COMPLETED]
"""What is told of the job of these tests, in order."""


class Heard(NamedTuple):
    """What a component has heard, and by what id."""

    what: str
    id: str
    code: JobReturnCode | None
    time: float


class Ear(FLComponent):
    """Hears all that is told of a job, and keeps what is on the disk while it is told: what a kill would leave."""

    def __init__(self, workspace: Path) -> None:
        super().__init__()
        self.heard: list[Heard] = []
        self.recovered_as: list[str] = []
        self._workspace = workspace
        self._arrived = threading.Condition()

    def handle_event(self, event_type: str, fl_ctx: FLContext) -> None:
        told_as = fl_ctx.get_prop(FLContextKey.JOB_EVENT_ID)
        if event_type == EventType.JOB_RECOVERED:
            self.recovered_as.append(told_as)
        elif event_type == EventType.JOB_STATE_CHANGED:
            change = JobStateChange.of(fl_ctx)
            assert change.id == told_as
            code = change.result.return_code if change.result else None
            self._hear(Heard(change.state, told_as, code, change.time))
        elif event_type in ENDS:
            result = fl_ctx.get_prop(FLContextKey.JOB_RESULT)
            self._hear(Heard(event_type, told_as, result.return_code, result.finished_at))

    def _hear(self, heard: Heard) -> None:
        with self._arrived:
            shutil.copytree(self._workspace / ".flcore", self.left_by(len(self.heard)) / ".flcore")
            self.heard.append(heard)
            self._arrived.notify_all()

    def left_by(self, telling: int) -> Path:
        """Return the workspace as a process leaves it that is killed while it tells this, and has not noted that."""
        return self._workspace.with_name(f"{self._workspace.name}-{telling}")

    def wait_for(self, count: int) -> None:
        with self._arrived:
            assert self._arrived.wait_for(lambda: len(self.heard) >= count, TIMEOUT), self.heard

    def wait_for_end(self) -> None:
        with self._arrived:
            assert self._arrived.wait_for(lambda: self.heard and self.heard[-1].what in ENDS, TIMEOUT), self.heard


class World:
    """A runtime in memory, and the processes of a site, each with its workspace."""

    def __init__(self, folder: Path) -> None:
        self.runtime = FakeRuntime()
        self.workspace = folder / "site-1"
        self.stack = ExitStack()

    def process(self, workspace: Path) -> tuple[Site, Ear]:
        ear = Ear(workspace)
        launcher = ClientDockerJobLauncher(image="job:1", runtime=self.runtime, keep=True)
        launcher.job_settings = replace(launcher.job_settings, relist_interval=0.02, creation_grace=0.0)
        return self.stack.enter_context(Site("site-1", {"ear": ear, "launcher": launcher}, workspace)), ear

    def live_until(self, count: int) -> Ear:
        """Return what was heard of a job in a process that is abandoned while it tells so many things."""
        site, ear = self.process(self.workspace)
        site.launch_job({"job_id": "job-1"}, {"exe_module": ("-m", "client")})
        ear.wait_for(2)
        self.go_on_to(count, ear)
        site.close()
        del ear.heard[count:]
        return ear

    def go_on_to(self, count: int, ear: Ear) -> None:
        for number, act in ((3, self.runtime.pause), (4, self.runtime.unpause), (5, self._exit)):
            if number <= count:
                act(NAME)
                ear.wait_for(number)
        if count >= len(LIFE):
            ear.wait_for_end()

    def next_process(self, ear: Ear) -> Ear:
        """Return what the next process of the site tells, which finds what the one before has left."""
        return self.process(ear.left_by(len(ear.heard) - 1))[1]

    def end(self) -> None:
        if self.runtime.container(NAME).state.state is not DOCKER_STATE.EXITED:
            self._exit(NAME)

    def _exit(self, name: str) -> None:
        self.runtime.exit(name, 0)


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    world = World(tmp_path)
    yield world
    world.stack.close()


@pytest.mark.parametrize("count", range(1, len(LIFE) + 1))
def test_what_is_told_again_after_a_kill_has_the_id_that_it_had(world: World, count: int) -> None:
    first = world.live_until(count)
    world.end()
    second = world.next_process(first)
    second.wait_for_end()
    assert second.heard[0] == first.heard[-1]
    assert [heard.what for heard in first.heard] == LIFE[:count]


@pytest.mark.parametrize("count", range(1, len(LIFE) + 1))
def test_two_things_that_are_told_in_two_lives_never_have_the_same_id(world: World, count: int) -> None:
    first = world.live_until(count)
    world.end()
    second = world.next_process(first)
    second.wait_for_end()
    told = {heard.id: heard for heard in first.heard + second.heard}
    numbers = [event_id(told_as) for told_as in told]
    assert len(set(first.heard + second.heard)) == len(told)
    assert len({number.run for number in numbers}) == 1
    assert [number.number for number in numbers] == list(range(1, len(told) + 1))


def test_a_change_that_was_told_and_not_noted_is_no_other_though_the_job_has_ended_since(world: World) -> None:
    first = world.live_until(3)
    world.end()
    second = world.next_process(first)
    second.wait_for_end()
    assert [heard.what for heard in second.heard] == ["paused", "exited", EventType.JOB_COMPLETED]
    assert second.heard[0] == first.heard[-1]
    assert second.heard[1].id not in {heard.id for heard in first.heard}


@pytest.mark.parametrize("count", [5, 6])
def test_a_result_that_was_told_and_not_noted_stays_though_its_container_is_gone(world: World, count: int) -> None:
    first = world.live_until(count)
    world.runtime.remove(world.runtime.container(NAME).id)
    second = world.next_process(first)
    second.wait_for_end()
    assert second.heard[0] == first.heard[-1]


def test_a_repeat_that_is_killed_too_is_still_the_same(world: World) -> None:
    first = world.live_until(3)
    second = world.next_process(first)
    second.wait_for(1)
    del second.heard[1:]
    third = world.next_process(second)
    third.wait_for(1)
    assert first.heard[-1] == second.heard[0] == third.heard[0]


def test_each_recovery_is_another_event(world: World) -> None:
    first = world.live_until(3)
    second = world.next_process(first)
    second.wait_for(1)
    del second.heard[1:]
    third = world.next_process(second)
    assert len({*second.recovered_as, *third.recovered_as} - {None, ""}) == 2


def test_a_change_whose_telling_cannot_be_written_down_has_an_id_that_nobody_gives_again(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    site, first = world.process(world.workspace)
    site.launch_job({"job_id": "job-1"}, {"exe_module": ("-m", "client")})
    first.wait_for(2)
    with monkeypatch.context() as patch:
        patch.setattr(JobRecord, "note", _refuse)
        world.runtime.pause(NAME)
        first.wait_for(3)
    site.close()
    world.end()
    second = world.process(first.left_by(2))[1]
    second.wait_for_end()
    known = {heard.id for heard in first.heard}
    assert "paused" not in [heard.what for heard in second.heard]
    assert known.isdisjoint(heard.id for heard in second.heard if heard.what not in ("created", "running"))


def test_an_orphan_is_counted_anew_for_nobody_knows_what_was_told_of_it(world: World) -> None:
    first = world.live_until(3)
    left = first.left_by(2)
    next(left.glob(".flcore/jobs/*.jsonl")).write_bytes(b"\n{}\n")  # its name tells whose it is, and nothing more
    _, second = world.process(left)
    second.wait_for(1)
    assert {event_id(heard.id).run for heard in first.heard}.isdisjoint(
        event_id(heard.id).run for heard in second.heard
    )


def event_id(text: str) -> EventId:
    found = EventId.of(text)
    assert found, text
    return found


def _refuse(*_: Any, **__: Any) -> None:
    raise OSError(errno.ENOSPC, "no space left on device")
