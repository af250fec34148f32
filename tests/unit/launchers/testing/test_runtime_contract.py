"""The contract of runtimes, as a stranger sees it: it says in words what his runtime does wrong, and never hangs."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from typing import Any

import pytest

from flcore.errors import JobStartError, NameInUseError
from launchers.container_spec import ContainerSpec
from launchers.docker_state import DOCKER_STATE, ContainerState
from launchers.runtime.base import ContainerSummary, ContainerUsage
from launchers.runtime.process import ProcessRuntime
from launchers.testing import patience
from launchers.testing.runtime_contract import RuntimeContract, RuntimeLab


class WaitsForTheEnd(ProcessRuntime):
    def start(self, container_id: str) -> None:
        super().start(container_id)
        threading.Event().wait()


class StartsAnything(ProcessRuntime):
    def start(self, container_id: str) -> None:
        with suppress(JobStartError):
            super().start(container_id)


class RaisesWhatItGets(ProcessRuntime):
    def start(self, container_id: str) -> None:
        try:
            super().start(container_id)
        except JobStartError as error:
            raise FileNotFoundError("no-such-command") from error


class SaysLittle(ProcessRuntime):
    def start(self, container_id: str) -> None:
        try:
            super().start(container_id)
        except JobStartError as error:
            raise JobStartError("sorry") from error


class CountsAsPopen(ProcessRuntime):
    def inspect(self, container_id: str) -> ContainerState:
        seen = super().inspect(container_id)
        code = seen.exit_code or 0
        return replace(seen, exit_code=128 - code) if code > 128 else seen


class NeverSeesTheEnd(ProcessRuntime):
    def inspect(self, container_id: str) -> ContainerState:
        return replace(super().inspect(container_id), state=DOCKER_STATE.RUNNING)


class KnowsNoNames(ProcessRuntime):
    def create(self, spec: ContainerSpec) -> str:
        try:
            return super().create(spec)
        except NameInUseError:
            return super().create(replace(spec, name=f"{spec.name}-2"))


class ListsWhatRuns(ProcessRuntime):
    def list_containers(self) -> list[ContainerSummary]:
        return [one for one in super().list_containers() if one.state is DOCKER_STATE.RUNNING]


class SignalsAnything(ProcessRuntime):
    def send_signal(self, container_id: str, signal: str) -> bool:
        super().send_signal(container_id, signal)
        return True


class NeverTells(ProcessRuntime):
    def close_events(self) -> None:
        """Let them wait."""


class ForgetsTheEvents(ProcessRuntime):
    def start(self, container_id: str) -> None:
        events, self._events = self._events, set()
        super().start(container_id)
        self._events = events


class WritesNothingDown(ProcessRuntime):
    def logs(self, container_id: str, tail: int | None = None) -> Iterator[bytes]:
        return iter(())


class MeasuresNothing(ProcessRuntime):
    def usage(self, container_id: str) -> ContainerUsage | None:
        return None


CASES: list[tuple[type[ProcessRuntime], Callable[..., None], tuple[Any, ...], str]] = [
    (
        WaitsForTheEnd,
        RuntimeContract.test_a_started_container_runs,
        (),
        "start() has not returned after 0.5 s",
    ),
    (
        StartsAnything,
        RuntimeContract.test_a_failed_start_raises_and_stays_created_with_an_error,
        (),
        "start() of a command that is not there must raise JobStartError, but it raised nothing",
    ),
    (
        RaisesWhatItGets,
        RuntimeContract.test_a_failed_start_raises_and_stays_created_with_an_error,
        (),
        "must raise JobStartError, but it raised FileNotFoundError('no-such-command')",
    ),
    (
        SaysLittle,
        RuntimeContract.test_a_failed_start_raises_and_stays_created_with_an_error,
        (),
        "must raise JobStartError with a message that has 'no-such-command' in it, but it says: sorry",
    ),
    (
        CountsAsPopen,
        RuntimeContract.test_a_process_killed_by_a_signal_ends_with_128_and_its_number,
        (),
        "killed by signal 9 is exit code 128 + 9",
    ),
    (
        NeverSeesTheEnd,
        RuntimeContract.test_an_ended_container_has_its_exit_code,
        (3,),
        "inspect() must say exited in the end, but it said after 0.5 s: ContainerState(state=<DOCKER_STATE.RUNNING",
    ),
    (
        KnowsNoNames,
        RuntimeContract.test_a_name_is_given_once,
        (),
        "create() of a second container of one name must raise NameInUseError, but it raised nothing",
    ),
    (
        ListsWhatRuns,
        RuntimeContract.test_the_list_has_every_container_whatever_its_state,
        (),
        "list_containers() must have all that were not removed: those that do not run, too",
    ),
    (
        SignalsAnything,
        RuntimeContract.test_a_signal_to_an_ended_container_changes_nothing,
        (),
        "send_signal() must return False where there is no process: it has ended",
    ),
    (
        NeverTells,
        RuntimeContract.test_closing_ends_a_stream_that_another_thread_reads,
        (),
        "open_events() has neither gone on nor ended after 0.5 s",
    ),
    (
        ForgetsTheEvents,
        RuntimeContract.test_every_subscriber_is_told,
        (),
        "a container was started while two streams were open, but open_events() has not told of it after 0.5 s",
    ),
    (
        WritesNothingDown,
        RuntimeContract.test_the_output_holds_both_streams_whole,
        (),
        "logs() must give all that was written",
    ),
    (
        MeasuresNothing,
        RuntimeContract.test_what_a_running_container_has_used_is_known_and_only_grows,
        (),
        "(if this runtime cannot measure, say 'measures = False' in the test's class)",
    ),
]


@pytest.mark.parametrize(("kind", "test", "arguments", "words"), CASES, ids=lambda case: getattr(case, "__name__", ""))
def test_a_runtime_that_does_something_wrong_is_told_what(
    kind: type[ProcessRuntime],
    test: Callable[..., None],
    arguments: tuple[Any, ...],
    words: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with RuntimeLab(kind()) as lab:
        monkeypatch.setattr(patience, "TIMEOUT", 0.5)
        with pytest.raises(AssertionError) as raised:
            test(RuntimeContract(), lab, *arguments)
        monkeypatch.undo()
        for summary in ProcessRuntime.list_containers(lab.tried):  # type: ignore[arg-type]  # all that it has, too
            lab.runtime.remove(summary.id)
    assert words in str(raised.value)


def test_a_runtime_that_hangs_altogether_is_told_so_once(monkeypatch: pytest.MonkeyPatch) -> None:
    class Hangs(WaitsForTheEnd):
        def list_containers(self) -> list[ContainerSummary]:
            return [one for one in super().list_containers() if threading.Event().wait()]

    runtime = Hangs()
    monkeypatch.setattr(patience, "TIMEOUT", 0.2)
    with RuntimeLab(runtime) as lab, pytest.raises(AssertionError, match=r"^start\(\) has not returned after 0.2 s$"):
        RuntimeContract().test_a_started_container_runs(lab)
    for summary in ProcessRuntime.list_containers(runtime):
        runtime.remove(summary.id)


def test_what_a_runtime_lacks_is_told_at_once() -> None:
    class Sketch:
        name = "a sketch"

        def create(self, spec: ContainerSpec) -> str:
            return spec.name

    with pytest.raises(AssertionError) as raised:
        RuntimeContract().test_it_has_all_that_a_runtime_has(RuntimeLab(Sketch()))  # type: ignore[arg-type]
    told = str(raised.value)
    assert told.startswith(
        "Sketch lacks address, check, close, close_events, command, describe, find_gpus, find_image,"
    )
    assert "subclass launchers.runtime.plain.PlainRuntime" in told


def test_who_names_no_runtime_is_told_where() -> None:
    class TestNothing(RuntimeContract):
        pass

    with pytest.raises(NotImplementedError, match=r"TestNothing needs a method make_runtime\(\)"):
        TestNothing().make_lab()


def test_a_runtime_that_cannot_measure_says_so_and_is_not_blamed() -> None:
    class Contract(RuntimeContract):
        measures = False

        def make_runtime(self) -> ProcessRuntime:
            return MeasuresNothing()

    with Contract().make_lab() as lab, pytest.raises(pytest.skip.Exception, match="measures = False"):
        Contract().test_what_a_running_container_has_used_is_known_and_only_grows(lab)
