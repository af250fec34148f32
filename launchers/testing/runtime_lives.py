"""The contract of runtimes: a container's life from its creation to its end, its name, and what is seen of it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from flcore.errors import JobLaunchError, JobStartError, NameInUseError

from ..docker_state import DOCKER_STATE, GONE
from .patience import in_background
from .runtime_lab import FOR_EVER, LABELS, UNKNOWN_ID, RuntimeLab, must_raise


class LifeContract:
    """Of :class:`launchers.testing.runtime_contract.RuntimeContract`."""

    # --- create, start, end ---

    def test_a_new_container_is_created_and_has_not_started(self, lab: RuntimeLab) -> None:
        seen = lab.runtime.inspect(lab.create("one"))
        assert seen.state is DOCKER_STATE.CREATED, "after create(), inspect() must say CREATED: only start() starts it"
        assert (seen.started_at, seen.finished_at, seen.error) == (None, None, ""), (
            "of a container that was only created, inspect() knows neither a start nor an end nor an error"
        )
        assert seen.created_at is not None, "inspect() must say when a container was created"

    def test_a_started_container_runs(self, lab: RuntimeLab) -> None:
        seen = lab.runtime.inspect(lab.run("one", *FOR_EVER))
        assert seen.state is DOCKER_STATE.RUNNING, "as soon as start() has returned, inspect() must say RUNNING"
        assert (seen.finished_at, seen.error) == (None, ""), "what runs has neither an end nor an error"
        assert seen.created_at is not None, "inspect() must say when a container was created"
        assert seen.started_at is not None, "inspect() must say when a container's process was started"
        assert seen.created_at <= seen.started_at, "no process starts before its container is created"

    def test_starting_a_running_container_changes_nothing(self, lab: RuntimeLab) -> None:
        container_id = lab.run("one", *FOR_EVER)
        before = lab.runtime.inspect(container_id)
        lab.runtime.start(container_id)
        assert lab.runtime.inspect(container_id) == before, "start() of what runs already must change nothing"

    @pytest.mark.parametrize("exit_code", [0, 1, 3, 103, 255])
    def test_an_ended_container_has_its_exit_code(self, lab: RuntimeLab, exit_code: int) -> None:
        seen = lab.runtime.inspect(lab.run_to_end(f"exit {exit_code}", exit_code))
        assert seen.exit_code == exit_code, "inspect() must have the exit code that the process ended with"
        assert (seen.state, seen.oom_killed, seen.error) == (DOCKER_STATE.EXITED, False, ""), (
            "a process that ended by itself is EXITED, was not killed for want of memory, and has no error"
        )

    def test_a_process_killed_by_a_signal_ends_with_128_and_its_number(self, lab: RuntimeLab) -> None:
        seen = lab.runtime.inspect(lab.run_to_end("kill -9 $$", 137))
        assert seen.exit_code == 137, "killed by signal 9 is exit code 128 + 9 (subprocess says -9, say)"

    def test_the_times_of_a_life_are_in_order(self, lab: RuntimeLab) -> None:
        seen = lab.runtime.inspect(lab.run_to_end("exit 0", 0))
        assert seen.created_at is not None, "inspect() must say when a container was created"
        assert seen.started_at is not None, "inspect() must say when its process was started, after the end, too"
        assert seen.finished_at is not None, "inspect() must say when its process ended"
        assert seen.created_at <= seen.started_at <= seen.finished_at, "created, started, finished: in this order"

    def test_an_ended_container_is_seen_the_same_every_time(self, lab: RuntimeLab) -> None:
        container_id = lab.run_to_end("exit 3", 3)
        seen = {lab.runtime.inspect(container_id) for _ in range(5)}
        assert len(seen) == 1, "after the end, inspect() must return the same each time, its times, too"

    def test_a_failed_start_raises_and_stays_created_with_an_error(self, lab: RuntimeLab) -> None:
        container_id = lab.runtime.create(lab.spec_that_cannot_start("one"))
        with must_raise(JobStartError, "no-such-command", "start() of a command that is not there"):
            lab.runtime.start(container_id)
        seen = lab.runtime.inspect(container_id)
        assert (seen.state, seen.started_at) == (DOCKER_STATE.CREATED, None), (
            "a container whose start has failed stays CREATED, and has never started"
        )
        assert seen.exit_code == lab.code_of_a_failed_start, (
            "of a command that is not there, inspect() must say the lab's code_of_a_failed_start: a shell says 127"
        )
        assert "no-such-command" in seen.error, "inspect() must say why the start has failed, and of what"
        assert "\n" not in seen.error, "an error is one line"

    def test_starting_what_is_not_there_raises(self, lab: RuntimeLab) -> None:
        with must_raise(JobLaunchError, UNKNOWN_ID[:12], "start() of an id that it does not know"):
            lab.runtime.start(UNKNOWN_ID)

    # --- names ---

    def test_a_name_is_given_once(self, lab: RuntimeLab) -> None:
        spec = lab.spec("one", *FOR_EVER)
        owner = lab.runtime.create(spec)
        with must_raise(NameInUseError, spec.name, "create() of a second container of one name"):
            lab.runtime.create(replace(spec, command=("true",)))
        named = [summary.id for summary in lab.runtime.list_containers() if summary.name == spec.name]
        assert named == [owner], "who was refused a name has left nothing, and its owner is still there"

    def test_a_name_is_given_again_after_a_removal(self, lab: RuntimeLab) -> None:
        spec = lab.spec("one", *FOR_EVER)
        first = lab.runtime.create(spec)
        lab.runtime.remove(first)
        second = lab.runtime.create(spec)
        assert first != second, "each container must have an id of its own, whatever its name"
        seen = lab.runtime.inspect(second)
        assert seen.state is DOCKER_STATE.CREATED, "what has the name of a removed container knows nothing of that one"

    def test_of_several_threads_one_gets_a_name(self, lab: RuntimeLab) -> None:
        spec = lab.spec("one", *FOR_EVER)

        def create() -> str | None:
            try:
                return lab.runtime.create(spec)
            except NameInUseError:
                return None

        created = [outcome.result() for outcome in [in_background(create) for _ in range(8)]]
        assert sum(one is not None for one in created) == 1, (
            "of several threads that create() one name at the same time, one gets it, and the others NameInUseError"
        )

    # --- what is seen ---

    def test_what_is_not_there_is_gone(self, lab: RuntimeLab) -> None:
        assert lab.runtime.inspect(UNKNOWN_ID) == GONE, "inspect() of an id that it does not know must return GONE"

    def test_the_list_has_every_container_whatever_its_state(self, lab: RuntimeLab) -> None:
        script = lab.run_to_end("exit 3", 3)
        running = lab.run("two", *FOR_EVER)
        created = lab.create("three")
        listed = {summary.id: summary for summary in lab.runtime.list_containers()}
        missing = [one for one in (created, running, script) if one not in listed]
        assert not missing, "list_containers() must have all that were not removed: those that do not run, too"
        states = [listed[one].state for one in (created, running, script)]
        assert states == ["created", "running", "exited"], "list_containers() must say what inspect() says"
        assert listed[running].name == lab.name("two"), "a container in the list has the name of its spec"
        assert listed[running].labels.items() >= LABELS.items(), "a container in the list has the labels of its spec"
