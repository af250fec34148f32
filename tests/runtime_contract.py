"""What every runtime does, be it in memory, of processes or of an engine: one suite for all.

A test module runs it by a subclass whose name begins with ``Test``, and whose fixture ``lab`` gives the runtime::

    class TestFakeRuntime(RuntimeContract):
        @pytest.fixture
        def lab(self) -> Iterator[RuntimeLab]:
            with FakeLab() as lab:
                yield lab
"""

from __future__ import annotations

import shlex
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from types import TracebackType
from typing import Any, Self

import pytest

from flcore.errors import JobLaunchError, JobStartError, NameInUseError
from launchers.container_spec import LABEL_SITE, ContainerSpec
from launchers.docker_state import DOCKER_STATE, GONE, ContainerState
from launchers.runtime.base import ContainerUsage, Runtime

TIMEOUT = 20.0
FOR_EVER = ("sleep", "600")
UNKNOWN_ID = "0" * 64


class RuntimeLab:
    """A runtime, the specs that fit it, and, for one that runs nothing itself, what its processes do.

    As a context manager, it removes at the end whatever it made a spec for, and closes the runtime.
    """

    image = "job:1"
    code_of_a_failed_start = 127

    def __init__(self, runtime: Runtime) -> None:
        self.runtime = runtime
        self._names: set[str] = set()

    def name(self, name: str) -> str:
        """Return the name to use for a container; a lab on a shared engine makes it unique."""
        return name

    def spec(self, name: str, *argv: str, **more: Any) -> ContainerSpec:
        """Return the spec of a container that runs a command."""
        full_name = self.name(name)
        self._names.add(full_name)
        labels = {LABEL_SITE: "site-1", "test.label": "a value"}
        return ContainerSpec(full_name, self.image, argv, labels=labels, **more)

    def spec_that_cannot_start(self, name: str) -> ContainerSpec:
        return self.spec(name, "no-such-command", init=False)

    def write(self, container_id: str, output: bytes) -> None:
        """Have a container's process write, where it does not do so by its own command."""

    def finish(self, container_id: str, exit_code: int, output: bytes = b"") -> None:
        """Have a container's process write and end, where it does not do so by its own command."""

    def use(self, container_id: str, cpu_seconds: float, memory: int) -> None:
        """Have a container's process use something, where it does not do so by its own command."""

    def run(self, name: str, *argv: str) -> str:
        """Create and start a container, and return its id."""
        container_id = self.runtime.create(self.spec(name, *argv))
        self.runtime.start(container_id)
        return container_id

    def run_ready(self, name: str) -> str:
        """Run a container for ever, and return its id when it is ready for a signal: an earlier one may be lost."""
        container_id = self.run(name, "sh", "-c", f"echo ready; exec {shlex.join(FOR_EVER)}")
        self.write(container_id, b"ready\n")
        with self.runtime.follow(container_id) as output:
            assert next(output).data == b"ready\n"
        return container_id

    def run_to_end(self, script: str, exit_code: int, output: bytes = b"") -> str:
        """Run a shell script that is known to write the output and to end with the exit code; return its id."""
        container_id = self.run("script", "sh", "-c", script)
        self.finish(container_id, exit_code, output)
        self.wait_until(container_id, DOCKER_STATE.EXITED)
        return container_id

    def usage_from(self, container_id: str, cpu_seconds: float) -> ContainerUsage:
        """Return a running container's usage once it has used so much processor time. Raises TimeoutError."""
        deadline, pause = time.monotonic() + TIMEOUT, threading.Event()
        while (used := self.runtime.usage(container_id)) is None or used.cpu_seconds < cpu_seconds:
            if time.monotonic() > deadline:
                raise TimeoutError(f"not {cpu_seconds:g} s in {TIMEOUT:g} s, but {used}")
            pause.wait(0.02)
        return used

    def wait_until(self, container_id: str, state: DOCKER_STATE) -> ContainerState:
        """Return what is seen of a container once it is in a state, as the events tell. Raises TimeoutError."""
        with self.runtime.open_events() as events, self.ending_in_time():
            seen = self.runtime.inspect(container_id)
            while seen.state is not state:
                if next(events, None) is None:
                    raise TimeoutError(f"not {state} in {TIMEOUT:g} s, but {seen}")
                seen = self.runtime.inspect(container_id)
            return seen

    @contextmanager
    def ending_in_time(self) -> Iterator[None]:
        """End the event streams after a while, so that a test fails instead of waiting for ever."""
        timer = threading.Timer(TIMEOUT, self.runtime.close_events)
        timer.start()
        try:
            yield
        finally:
            timer.cancel()
            timer.join()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for summary in self.runtime.list_containers():
            if summary.name in self._names:
                self.runtime.remove(summary.id)
        self.runtime.close()


class RuntimeContract:
    """The contract. A subclass has the fixture ``lab``."""

    # --- create, start, end ---

    def test_a_new_container_is_created_and_has_not_started(self, lab: RuntimeLab) -> None:
        seen = lab.runtime.inspect(lab.runtime.create(lab.spec("one", *FOR_EVER)))
        assert (seen.state, seen.started_at, seen.finished_at, seen.error) == (DOCKER_STATE.CREATED, None, None, "")
        assert seen.created_at is not None

    def test_a_started_container_runs(self, lab: RuntimeLab) -> None:
        seen = lab.runtime.inspect(lab.run("one", *FOR_EVER))
        assert (seen.state, seen.finished_at, seen.error) == (DOCKER_STATE.RUNNING, None, "")
        assert seen.created_at is not None
        assert seen.started_at is not None
        assert seen.created_at <= seen.started_at

    def test_starting_a_running_container_changes_nothing(self, lab: RuntimeLab) -> None:
        container_id = lab.run("one", *FOR_EVER)
        before = lab.runtime.inspect(container_id)
        lab.runtime.start(container_id)
        assert lab.runtime.inspect(container_id) == before

    @pytest.mark.parametrize("exit_code", [0, 1, 3, 103, 255])
    def test_an_ended_container_has_its_exit_code(self, lab: RuntimeLab, exit_code: int) -> None:
        seen = lab.runtime.inspect(lab.run_to_end(f"exit {exit_code}", exit_code))
        assert (seen.state, seen.exit_code, seen.oom_killed, seen.error) == ("exited", exit_code, False, "")

    def test_a_process_killed_by_a_signal_ends_with_128_and_its_number(self, lab: RuntimeLab) -> None:
        assert lab.runtime.inspect(lab.run_to_end("kill -9 $$", 137)).exit_code == 137

    def test_the_times_of_a_life_are_in_order(self, lab: RuntimeLab) -> None:
        seen = lab.runtime.inspect(lab.run_to_end("exit 0", 0))
        assert seen.created_at is not None
        assert seen.started_at is not None
        assert seen.finished_at is not None
        assert seen.created_at <= seen.started_at <= seen.finished_at

    def test_an_ended_container_is_seen_the_same_every_time(self, lab: RuntimeLab) -> None:
        container_id = lab.run_to_end("exit 3", 3)
        assert len({lab.runtime.inspect(container_id) for _ in range(5)}) == 1

    def test_a_failed_start_raises_and_stays_created_with_an_error(self, lab: RuntimeLab) -> None:
        container_id = lab.runtime.create(lab.spec_that_cannot_start("one"))
        with pytest.raises(JobStartError, match="no-such-command"):
            lab.runtime.start(container_id)
        seen = lab.runtime.inspect(container_id)
        assert (seen.state, seen.started_at) == (DOCKER_STATE.CREATED, None)
        assert seen.exit_code == lab.code_of_a_failed_start
        assert "no-such-command" in seen.error
        assert "\n" not in seen.error

    def test_starting_what_is_not_there_raises(self, lab: RuntimeLab) -> None:
        with pytest.raises(JobLaunchError, match=UNKNOWN_ID[:12]):
            lab.runtime.start(UNKNOWN_ID)

    # --- images ---

    def test_the_image_of_a_container_is_there(self, lab: RuntimeLab) -> None:
        assert lab.runtime.find_image(lab.image)

    def test_a_pull_that_was_closed_before_it_began_says_nothing(self, lab: RuntimeLab) -> None:
        pull = lab.runtime.pull("no-such-image:1")
        pull.close()
        pull.close()
        assert list(pull) == []

    # --- names ---

    def test_a_name_is_given_once(self, lab: RuntimeLab) -> None:
        spec = lab.spec("one", *FOR_EVER)
        owner = lab.runtime.create(spec)
        with pytest.raises(NameInUseError, match=spec.name):
            lab.runtime.create(replace(spec, command=("true",)))
        assert [summary.id for summary in lab.runtime.list_containers() if summary.name == spec.name] == [owner]

    def test_a_name_is_given_again_after_a_removal(self, lab: RuntimeLab) -> None:
        spec = lab.spec("one", *FOR_EVER)
        first = lab.runtime.create(spec)
        lab.runtime.remove(first)
        second = lab.runtime.create(spec)
        assert first != second
        assert lab.runtime.inspect(second).state is DOCKER_STATE.CREATED

    def test_of_several_threads_one_gets_a_name(self, lab: RuntimeLab) -> None:
        spec = lab.spec("one", *FOR_EVER)

        def create(_: int) -> str | None:
            try:
                return lab.runtime.create(spec)
            except NameInUseError:
                return None

        with ThreadPoolExecutor(8) as pool:
            created = [container_id for container_id in pool.map(create, range(8)) if container_id]
        assert len(created) == 1

    # --- signals and removal ---

    @pytest.mark.parametrize(("signal", "exit_code"), [("SIGTERM", 143), ("SIGKILL", 137)])
    def test_a_signal_ends_a_container(self, lab: RuntimeLab, signal: str, exit_code: int) -> None:
        container_id = lab.run_ready("one")
        assert lab.runtime.send_signal(container_id, signal)
        assert lab.wait_until(container_id, DOCKER_STATE.EXITED).exit_code == exit_code

    def test_a_signal_to_an_ended_container_changes_nothing(self, lab: RuntimeLab) -> None:
        container_id = lab.run_to_end("exit 3", 3)
        before = lab.runtime.inspect(container_id)
        assert not lab.runtime.send_signal(container_id, "SIGTERM")
        assert not lab.runtime.send_signal(container_id, "SIGKILL")
        assert lab.runtime.inspect(container_id) == before

    def test_a_signal_to_a_container_that_never_started_changes_nothing(self, lab: RuntimeLab) -> None:
        container_id = lab.runtime.create(lab.spec("one", *FOR_EVER))
        before = lab.runtime.inspect(container_id)
        assert not lab.runtime.send_signal(container_id, "SIGTERM")
        assert lab.runtime.inspect(container_id) == before

    def test_a_signal_to_what_is_not_there_does_nothing(self, lab: RuntimeLab) -> None:
        assert not lab.runtime.send_signal(UNKNOWN_ID, "SIGTERM")

    @pytest.mark.parametrize("times", [1, 2])
    def test_a_removed_container_is_gone(self, lab: RuntimeLab, times: int) -> None:
        container_id = lab.run_to_end("exit 3", 3)
        for _ in range(times):
            lab.runtime.remove(container_id)
        assert lab.runtime.inspect(container_id) == GONE
        assert container_id not in {summary.id for summary in lab.runtime.list_containers()}

    def test_a_running_container_can_be_removed(self, lab: RuntimeLab) -> None:
        container_id = lab.run("one", *FOR_EVER)
        lab.runtime.remove(container_id)
        assert lab.runtime.inspect(container_id) == GONE

    def test_a_container_whose_start_failed_can_be_removed(self, lab: RuntimeLab) -> None:
        container_id = lab.runtime.create(lab.spec_that_cannot_start("one"))
        with pytest.raises(JobStartError):
            lab.runtime.start(container_id)
        lab.runtime.remove(container_id)
        assert lab.runtime.inspect(container_id) == GONE

    def test_several_threads_may_remove_one_container(self, lab: RuntimeLab) -> None:
        container_id = lab.run("one", *FOR_EVER)
        with ThreadPoolExecutor(4) as pool:
            assert list(pool.map(lab.runtime.remove, [container_id] * 4)) == [None] * 4
        assert lab.runtime.inspect(container_id) == GONE

    def test_removal_of_what_is_not_there_does_nothing(self, lab: RuntimeLab) -> None:
        lab.runtime.remove(UNKNOWN_ID)

    # --- what is seen ---

    def test_what_is_not_there_is_gone(self, lab: RuntimeLab) -> None:
        assert lab.runtime.inspect(UNKNOWN_ID) == GONE

    def test_the_list_has_every_container_whatever_its_state(self, lab: RuntimeLab) -> None:
        script = lab.run_to_end("exit 3", 3)
        running = lab.run("two", *FOR_EVER)
        created = lab.runtime.create(lab.spec("three", *FOR_EVER))
        listed = {summary.id: summary for summary in lab.runtime.list_containers()}
        assert [listed[one].state for one in (created, running, script)] == ["created", "running", "exited"]
        assert listed[running].name == lab.name("two")
        assert listed[running].labels.items() >= {LABEL_SITE: "site-1", "test.label": "a value"}.items()

    # --- events ---

    def test_what_happens_after_a_subscription_is_told(self, lab: RuntimeLab) -> None:
        container_id = lab.runtime.create(lab.spec("one", "sh", "-c", "exit 0"))
        with lab.runtime.open_events() as events, lab.ending_in_time():
            for act in (lab.runtime.start, lambda it: lab.finish(it, 0), lab.runtime.remove):
                act(container_id)
                assert container_id in events

    def test_every_subscriber_is_told(self, lab: RuntimeLab) -> None:
        container_id = lab.runtime.create(lab.spec("one", *FOR_EVER))
        with lab.runtime.open_events() as first, lab.runtime.open_events() as second, lab.ending_in_time():
            lab.runtime.start(container_id)
            assert container_id in first
            assert container_id in second

    def test_a_subscriber_is_told_of_the_end_of_what_ran_before(self, lab: RuntimeLab) -> None:
        container_id = lab.run("one", *FOR_EVER)
        with lab.runtime.open_events() as events, lab.ending_in_time():
            lab.runtime.send_signal(container_id, "SIGTERM")
            assert container_id in events

    def test_closing_ends_a_stream_that_another_thread_reads(self, lab: RuntimeLab) -> None:
        reading = threading.Event()

        def read() -> list[str]:
            with lab.runtime.open_events() as events:
                reading.set()
                return list(events)

        with ThreadPoolExecutor(1) as pool:
            told = pool.submit(read)
            assert reading.wait(TIMEOUT)
            lab.runtime.close_events()
            assert isinstance(told.result(TIMEOUT), list)

    def test_closing_without_a_stream_and_twice_does_nothing(self, lab: RuntimeLab) -> None:
        lab.runtime.close_events()
        with lab.runtime.open_events():
            lab.runtime.close_events()
            lab.runtime.close_events()

    def test_a_new_stream_can_be_opened_after_the_end_of_another(self, lab: RuntimeLab) -> None:
        with lab.runtime.open_events() as events:
            lab.runtime.close_events()
            assert isinstance(list(events), list)
        container_id = lab.runtime.create(lab.spec("one", *FOR_EVER))
        with lab.runtime.open_events() as events, lab.ending_in_time():
            lab.runtime.start(container_id)
            assert container_id in events

    # --- output ---

    def test_the_output_holds_both_streams_whole(self, lab: RuntimeLab) -> None:
        container_id = lab.run_to_end("echo out; echo error >&2; printf end", 0, b"out\nerror\nend")
        output = b"".join(lab.runtime.logs(container_id))
        assert sorted(output) == sorted(b"out\nerror\nend")  # the streams are read one by one: any order will do

    @pytest.mark.parametrize(
        ("tail", "output"),
        [(0, b""), (1, b"3\n"), (2, b"2\n3\n"), (3, b"1\n2\n3\n"), (4, b"1\n2\n3\n"), (9, b"1\n2\n3\n")],
    )
    def test_the_tail_of_an_output_is_its_last_lines(self, lab: RuntimeLab, tail: int, output: bytes) -> None:
        container_id = lab.run_to_end("echo 1; echo 2; echo 3", 0, b"1\n2\n3\n")
        assert b"".join(lab.runtime.logs(container_id, tail)) == output

    def test_a_silent_container_has_no_output(self, lab: RuntimeLab) -> None:
        container_id = lab.runtime.create(lab.spec("one", *FOR_EVER))
        assert b"".join(lab.runtime.logs(container_id)) == b""
        assert b"".join(lab.runtime.logs(container_id, 5)) == b""

    def test_what_is_not_there_has_no_output(self, lab: RuntimeLab) -> None:
        assert list(lab.runtime.logs(UNKNOWN_ID)) == []

    def test_an_output_can_be_followed_from_its_beginning_until_the_end(self, lab: RuntimeLab) -> None:
        container_id = lab.run("one", "sh", "-c", "echo 1; echo 2; sleep 0.3; echo 3")
        with ThreadPoolExecutor(1) as pool, lab.runtime.follow(container_id) as chunks:
            followed = pool.submit(lambda: b"".join(chunk.data for chunk in chunks))
            lab.finish(container_id, 0, b"1\n2\n3\n")
            assert followed.result(TIMEOUT) == b"1\n2\n3\n"

    @pytest.mark.parametrize(("tail", "output"), [(0, b""), (2, b"2\n3\n"), (9, b"1\n2\n3\n")])
    def test_following_may_begin_with_the_last_lines(self, lab: RuntimeLab, tail: int, output: bytes) -> None:
        container_id = lab.run_to_end("echo 1; echo 2; echo 3", 0, b"1\n2\n3\n")
        with lab.runtime.follow(container_id, tail=tail) as chunks:
            assert b"".join(chunk.data for chunk in chunks) == output

    def test_following_can_be_resumed_at_a_position(self, lab: RuntimeLab) -> None:
        container_id = lab.run_to_end("echo 1; sleep 0.1; echo 2; sleep 0.1; echo 3", 0, b"1\n2\n3\n")
        with lab.runtime.follow(container_id) as chunks:
            whole = list(chunks)
        assert [chunk.position for chunk in whole] == sorted(chunk.position for chunk in whole)
        with lab.runtime.follow(container_id, whole[-1].position) as chunks:
            assert list(chunks)[-1] == whole[-1]

    def test_of_what_is_not_there_nothing_is_followed(self, lab: RuntimeLab) -> None:
        with lab.runtime.follow(UNKNOWN_ID) as chunks:
            assert list(chunks) == []

    def test_whether_a_container_has_written_since_can_be_told(self, lab: RuntimeLab) -> None:
        silent = lab.runtime.create(lab.spec("one", *FOR_EVER))
        before = lab.runtime.last_output_time(silent)
        assert lab.runtime.last_output_time(silent) == before
        written = lab.run_to_end("echo 1", 0, b"1\n")
        assert lab.runtime.last_output_time(written) not in ("", before)
        assert lab.runtime.last_output_time(UNKNOWN_ID) == ""

    # --- usage ---

    def test_what_a_running_container_has_used_is_known_and_only_grows(self, lab: RuntimeLab) -> None:
        container_id = lab.run("one", "sh", "-c", "while :; do :; done")
        lab.use(container_id, 0.2, 1 << 20)
        first = lab.usage_from(container_id, 0.1)
        lab.use(container_id, 0.2, 1 << 20)
        second = lab.usage_from(container_id, first.cpu_seconds + 0.1)
        assert second.cpu_seconds >= first.cpu_seconds + 0.1
        assert 0 < second.memory < 1 << 30

    def test_what_does_not_run_uses_nothing(self, lab: RuntimeLab) -> None:
        created = lab.runtime.create(lab.spec("one", *FOR_EVER))
        ended = lab.run_to_end("exit 3", 3)
        assert [lab.runtime.usage(one) for one in (created, ended, UNKNOWN_ID)] == [None, None, None]

    # --- the rest ---

    def test_closing_lets_containers_go_on(self, lab: RuntimeLab) -> None:
        container_id = lab.run("one", *FOR_EVER)
        lab.runtime.close()
        lab.runtime.close()
        assert lab.runtime.inspect(container_id).state is DOCKER_STATE.RUNNING

    def test_it_says_that_all_is_there(self, lab: RuntimeLab) -> None:
        checks = list(lab.runtime.check(None, None))
        assert checks
        assert all(check.ok for check in checks)

    def test_a_container_is_something_to_the_engine_itself(self, lab: RuntimeLab) -> None:
        assert lab.runtime.native(lab.run("one", *FOR_EVER)) is not None

    def test_a_container_has_a_host_name(self, lab: RuntimeLab) -> None:
        assert lab.runtime.address(lab.name("one"))

    # --- what it is ---

    def test_it_says_what_it_is_the_same_each_time(self, lab: RuntimeLab) -> None:
        said = lab.runtime.traits()
        assert said.name
        assert lab.runtime.traits() == said
