"""What the runtime in memory offers to tests, beside the contract of all runtimes."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from flcore.errors import ImageError, JobStartError, NetworkError, RuntimeUnavailableError
from launchers.container_spec import ContainerSpec
from launchers.docker_state import DOCKER_STATE, GONE
from launchers.runtime.fake import FakeRuntime

SPEC = ContainerSpec("one", "job:1", ("run",), network="net")


@pytest.fixture
def runtime() -> FakeRuntime:
    return FakeRuntime()


def running(runtime: FakeRuntime) -> str:
    container_id = runtime.create(SPEC)
    runtime.start(container_id)
    return container_id


def test_a_test_finds_a_container_by_its_name(runtime: FakeRuntime) -> None:
    container_id = runtime.create(SPEC)
    assert runtime.container("one").id == container_id
    assert runtime.container("one").spec == SPEC
    assert [container.id for container in runtime.containers()] == [container_id]


def test_a_name_that_is_not_there_is_an_error_with_those_that_are(runtime: FakeRuntime) -> None:
    runtime.create(SPEC)
    with pytest.raises(KeyError, match=r"no container two; there are \['one'\]"):
        runtime.container("two")


def test_a_test_ends_a_container(runtime: FakeRuntime) -> None:
    container_id = running(runtime)
    runtime.exit("one", 137, oom_killed=True)
    seen = runtime.inspect(container_id)
    assert (seen.state, seen.exit_code, seen.oom_killed) == (DOCKER_STATE.EXITED, 137, True)


def test_a_kill_is_exit_code_137(runtime: FakeRuntime) -> None:
    container_id = running(runtime)
    runtime.kill("one")
    assert runtime.inspect(container_id).exit_code == 137


def test_pause_and_unpause(runtime: FakeRuntime) -> None:
    container_id = running(runtime)
    runtime.pause("one")
    assert runtime.inspect(container_id).state is DOCKER_STATE.PAUSED
    runtime.unpause("one")
    assert runtime.inspect(container_id).state is DOCKER_STATE.RUNNING


@pytest.mark.parametrize("act", [FakeRuntime.kill, FakeRuntime.pause, FakeRuntime.unpause])
def test_nothing_happens_to_a_container_without_a_process(
    runtime: FakeRuntime, act: Callable[[FakeRuntime, str], None]
) -> None:
    container_id = runtime.create(SPEC)
    act(runtime, "one")
    assert runtime.inspect(container_id).state is DOCKER_STATE.CREATED


def test_a_signal_ends_a_paused_container(runtime: FakeRuntime) -> None:
    container_id = running(runtime)
    runtime.pause("one")
    assert runtime.send_signal(container_id, "SIGTERM")
    assert runtime.inspect(container_id).state is DOCKER_STATE.EXITED


def test_a_signal_can_have_no_effect(runtime: FakeRuntime) -> None:
    container_id = running(runtime)
    runtime.ignores_signals = True
    assert runtime.send_signal(container_id, "SIGKILL")
    assert runtime.inspect(container_id).state is DOCKER_STATE.RUNNING


def test_a_process_can_ignore_the_request_to_end(runtime: FakeRuntime) -> None:
    container_id = running(runtime)
    runtime.ignores_term = True
    assert runtime.send_signal(container_id, "SIGTERM")
    assert runtime.inspect(container_id).state is DOCKER_STATE.RUNNING
    assert runtime.send_signal(container_id, "SIGKILL")
    assert runtime.inspect(container_id).exit_code == 137


def test_an_image_can_be_missing() -> None:
    runtime = FakeRuntime(images={"other"})
    with pytest.raises(ImageError, match="No such image: job:1"):
        runtime.create(SPEC)
    assert runtime.containers() == []


def test_an_image_that_its_registry_has_can_be_pulled() -> None:
    runtime = FakeRuntime(images={"other"}, registry={"job:1"})
    assert not runtime.find_image("job:1")
    assert [said.status for said in runtime.pull("job:1")] == ["Downloading", "Pull complete"]
    assert runtime.find_image("job:1")
    runtime.create(SPEC)


def test_an_image_that_its_registry_has_not_cannot_be_pulled(runtime: FakeRuntime) -> None:
    with pytest.raises(ImageError, match="image nowhere:1 cannot be pulled: manifest unknown"):
        list(runtime.pull("nowhere:1"))


def test_a_pull_goes_on_as_a_test_says() -> None:
    runtime = FakeRuntime(images=set(), registry={"job:1"})
    runtime.pulls_wait = True
    saying = iter(runtime.pull("job:1"))
    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(next, saying)
        pull = runtime.wait_for_pull()
        pull.say("layer", "Downloading", 1, 2)
        assert first.result(5) == ("layer", "Downloading", 1, 2)
    assert runtime.images == set()
    pull.finish()
    assert list(saying) == []
    assert runtime.images == {"job:1"}


def test_a_pull_can_fail_in_a_way_that_a_test_says() -> None:
    runtime = FakeRuntime(registry={"job:1"})
    runtime.pulls_wait = True
    pull = runtime.pull("job:1")
    pull.fail(ImageError("the disk is full"))
    with pytest.raises(ImageError, match="the disk is full"):
        list(pull)


def test_a_pull_that_does_not_begin_is_waited_for_in_vain(runtime: FakeRuntime) -> None:
    with pytest.raises(TimeoutError, match="pull 1 has not begun in 0 s, but 0 others"):
        runtime.wait_for_pull(timeout=0)


def test_a_network_can_be_missing_and_is_missed_at_the_start() -> None:
    runtime = FakeRuntime(networks={"other"})
    container_id = runtime.create(SPEC)
    with pytest.raises(NetworkError, match="net not found"):
        runtime.start(container_id)
    assert "net not found" in runtime.inspect(container_id).error


def test_a_start_fails_once(runtime: FakeRuntime) -> None:
    container_id = runtime.create(SPEC)
    runtime.start_error = "no such command"
    with pytest.raises(JobStartError, match="no such command"):
        runtime.start(container_id)
    assert runtime.start_error == ""


CALLS: list[Callable[[FakeRuntime, str], object]] = [
    lambda runtime, _: runtime.create(SPEC),
    lambda runtime, one: runtime.start(one),
    lambda runtime, _: runtime.find_image("job:1"),
    lambda runtime, _: list(runtime.pull("job:1")),
    lambda runtime, one: runtime.inspect(one),
    lambda runtime, _: runtime.list_containers(),
    lambda runtime, _: runtime.open_events().__enter__(),
    lambda runtime, one: runtime.send_signal(one, "SIGTERM"),
    lambda runtime, one: runtime.remove(one),
    lambda runtime, one: list(runtime.logs(one)),
]


@pytest.mark.parametrize("call", CALLS)
def test_every_call_fails_while_the_engine_is_away(
    runtime: FakeRuntime, call: Callable[[FakeRuntime, str], object]
) -> None:
    container_id = running(runtime)
    runtime.set_reachable(False)
    with pytest.raises(RuntimeUnavailableError, match="fake runtime does not answer"):
        call(runtime, container_id)
    runtime.set_reachable(True)
    assert runtime.inspect(container_id).state is DOCKER_STATE.RUNNING


def test_streams_end_when_the_engine_goes_away(runtime: FakeRuntime) -> None:
    container_id = runtime.create(SPEC)
    with runtime.open_events() as events:
        runtime.start(container_id)
        runtime.set_reachable(False)
        assert list(events) == [container_id]


def test_events_can_be_dropped(runtime: FakeRuntime) -> None:
    with runtime.open_events() as events:
        runtime.drop_events = True
        container_id = running(runtime)
        runtime.remove(container_id)
        runtime.close_events()
        assert list(events) == []
    assert runtime.inspect(container_id) == GONE


def test_the_events_of_a_life_are_those_of_an_engine(runtime: FakeRuntime) -> None:
    with runtime.open_events() as events:
        container_id = running(runtime)
        runtime.pause("one")
        runtime.unpause("one")
        runtime.exit("one", 3)
        runtime.remove(container_id)
        runtime.close_events()
        assert list(events) == [container_id] * 5


def test_a_failed_start_is_no_event(runtime: FakeRuntime) -> None:
    container_id = runtime.create(SPEC)
    with runtime.open_events() as events:
        runtime.start_error = "no such command"
        with pytest.raises(JobStartError):
            runtime.start(container_id)
        runtime.close_events()
        assert list(events) == []


def test_it_says_what_is_missing() -> None:
    runtime = FakeRuntime(images={"job:1"}, networks=set())
    runtime.set_reachable(False)
    checks = {check.what: check.ok for check in runtime.check("job:1", "net")}
    assert checks == {"engine": False, "network": False, "image": True}


def test_it_says_nothing_of_what_is_not_needed(runtime: FakeRuntime) -> None:
    assert [check.what for check in runtime.check(None, None)] == ["engine"]
