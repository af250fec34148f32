"""The contract of runtimes: signals and removal."""

from __future__ import annotations

import pytest

from flcore.errors import JobStartError

from ..docker_state import DOCKER_STATE, GONE
from .patience import in_background
from .runtime_lab import FOR_EVER, UNKNOWN_ID, RuntimeLab, must_raise

_NO_PROCESS = "send_signal() must return False where there is no process"


class EndContract:
    """Of :class:`launchers.testing.runtime_contract.RuntimeContract`."""

    @pytest.mark.parametrize(("signal", "exit_code"), [("SIGTERM", 143), ("SIGKILL", 137)])
    def test_a_signal_ends_a_container(self, lab: RuntimeLab, signal: str, exit_code: int) -> None:
        container_id = lab.run_ready("one")
        assert lab.runtime.send_signal(container_id, signal), "send_signal() must return True where there is a process"
        seen = lab.wait_until(container_id, DOCKER_STATE.EXITED)
        assert seen.exit_code == exit_code, f"ended by {signal} is exit code {exit_code}: 128 and the signal's number"

    def test_a_signal_to_an_ended_container_changes_nothing(self, lab: RuntimeLab) -> None:
        container_id = lab.run_to_end("exit 3", 3)
        before = lab.runtime.inspect(container_id)
        for signal in ("SIGTERM", "SIGKILL"):
            assert not lab.runtime.send_signal(container_id, signal), f"{_NO_PROCESS}: it has ended"
        assert lab.runtime.inspect(container_id) == before, "a signal that comes after the end must change nothing"

    def test_a_signal_to_a_container_that_never_started_changes_nothing(self, lab: RuntimeLab) -> None:
        container_id = lab.create("one")
        before = lab.runtime.inspect(container_id)
        assert not lab.runtime.send_signal(container_id, "SIGTERM"), f"{_NO_PROCESS}: it was not started yet"
        assert lab.runtime.inspect(container_id) == before, "a signal that comes before the start must change nothing"

    def test_a_signal_to_what_is_not_there_does_nothing(self, lab: RuntimeLab) -> None:
        assert not lab.runtime.send_signal(UNKNOWN_ID, "SIGTERM"), f"{_NO_PROCESS}: there is no such container"

    @pytest.mark.parametrize("times", [1, 2])
    def test_a_removed_container_is_gone(self, lab: RuntimeLab, times: int) -> None:
        container_id = lab.run_to_end("exit 3", 3)
        for _ in range(times):
            lab.runtime.remove(container_id)
        self._check_is_gone(lab, container_id)

    def test_a_running_container_can_be_removed(self, lab: RuntimeLab) -> None:
        container_id = lab.run("one", *FOR_EVER)
        lab.runtime.remove(container_id)
        self._check_is_gone(lab, container_id)

    def test_a_container_whose_start_failed_can_be_removed(self, lab: RuntimeLab) -> None:
        container_id = lab.runtime.create(lab.spec_that_cannot_start("one"))
        with must_raise(JobStartError, "", "start() of a command that is not there"):
            lab.runtime.start(container_id)
        lab.runtime.remove(container_id)
        self._check_is_gone(lab, container_id)

    def test_several_threads_may_remove_one_container(self, lab: RuntimeLab) -> None:
        container_id = lab.run("one", *FOR_EVER)
        removals = [in_background(lambda: lab.runtime.remove(container_id)) for _ in range(4)]
        raised = [error for removal in removals if (error := removal.exception())]
        assert not raised, "of several threads that remove() one container none must fail"
        self._check_is_gone(lab, container_id)

    def test_removal_of_what_is_not_there_does_nothing(self, lab: RuntimeLab) -> None:
        lab.runtime.remove(UNKNOWN_ID)

    def _check_is_gone(self, lab: RuntimeLab, container_id: str) -> None:
        assert lab.runtime.inspect(container_id) == GONE, "after remove(), inspect() must return GONE"
        listed = {summary.id for summary in lab.runtime.list_containers()}
        assert container_id not in listed, "what was removed must not be in list_containers() any more"
