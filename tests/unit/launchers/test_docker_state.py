"""The state machine and the results: pure, so every promise is a table or a property."""

from __future__ import annotations

from dataclasses import FrozenInstanceError
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flcore import JobReturnCode
from launchers.docker_state import (
    DOCKER_STATE,
    GONE,
    LONGEST_DOUBT,
    TERMINAL_STATES,
    ContainerState,
    EndRequest,
    StateMachine,
    Transition,
    as_states,
    effective_state,
    result_of,
)
from tests.thoroughness import tries

NOW = 1000.0
CREATED = ContainerState(DOCKER_STATE.CREATED, exit_code=0, created_at=1.0)
RUNNING = ContainerState(DOCKER_STATE.RUNNING, exit_code=0, created_at=1.0, started_at=2.0)
PAUSED = ContainerState(DOCKER_STATE.PAUSED, exit_code=0, created_at=1.0, started_at=2.0)
FAILED_START = ContainerState(DOCKER_STATE.CREATED, exit_code=127, error="no such command", created_at=1.0)

properties = settings(max_examples=tries(25), deadline=None)


def exited(exit_code: int, oom_killed: bool = False) -> ContainerState:
    return ContainerState(DOCKER_STATE.EXITED, exit_code, oom_killed, "", 1.0, 2.0, 3.0)


def ended(*seen: ContainerState) -> StateMachine:
    machine = StateMachine()
    for state in seen:
        machine.observe(state, NOW)
    assert machine.ended
    return machine


times = st.none() | st.floats(0.5, 2000)
container_states = st.just(GONE) | st.builds(
    ContainerState,
    state=st.sampled_from(DOCKER_STATE),
    exit_code=st.none() | st.integers(0, 255),
    oom_killed=st.booleans(),
    error=st.sampled_from(["", "no such command"]),
    created_at=times,
    started_at=times,
    finished_at=times,
)
histories = st.lists(st.tuples(container_states, st.floats(0.5, 2000)), min_size=1, max_size=8)
end_requests = st.none() | st.builds(
    EndRequest,
    st.just("somebody"),
    st.floats(0.5, 2000),
    delivered=st.none() | st.booleans(),
    tried_at=st.none() | st.floats(0.5, 2000),
)


def observe_all(machine: StateMachine, history: list[tuple[ContainerState, float]]) -> list[Transition]:
    return [transition for seen, now in history for transition in machine.observe(seen, now)]


# --- names ---


def test_a_state_equals_its_string() -> None:
    assert [str(state) for state in DOCKER_STATE] == list(DOCKER_STATE)
    assert {"created", "running", "paused", "restarting", "removing", "exited", "dead"} == set(DOCKER_STATE)


def test_two_states_are_terminal() -> None:
    assert {"exited", "dead"} == TERMINAL_STATES


@pytest.mark.parametrize("given_states", ["running", ["running"], (DOCKER_STATE.RUNNING,), iter({"running"})])
def test_states_may_be_given_as_one_or_several(given_states: str | list[str]) -> None:
    assert as_states(given_states) == {DOCKER_STATE.RUNNING}


@pytest.mark.parametrize("wrong", ["runing", ["running", "RUNNING"], [""]])
def test_what_is_no_state_is_a_value_error(wrong: str | list[str]) -> None:
    with pytest.raises(ValueError, match="is not a valid DOCKER_STATE"):
        as_states(wrong)


def test_an_inspection_cannot_be_changed() -> None:
    with pytest.raises(FrozenInstanceError):
        RUNNING.exit_code = 1  # type: ignore[misc]


# --- transitions ---


def test_a_whole_life_is_three_transitions_with_the_engines_times() -> None:
    machine = StateMachine()
    assert machine.observe(CREATED, NOW) == [Transition(None, DOCKER_STATE.CREATED, 1.0)]
    assert machine.observe(RUNNING, NOW) == [Transition(DOCKER_STATE.CREATED, DOCKER_STATE.RUNNING, 2.0)]
    assert machine.observe(exited(0), NOW) == [Transition(DOCKER_STATE.RUNNING, DOCKER_STATE.EXITED, 3.0)]


def test_a_container_seen_only_after_its_end_was_created_and_ran() -> None:
    assert StateMachine().observe(exited(3), NOW) == [
        Transition(None, DOCKER_STATE.CREATED, 1.0),
        Transition(DOCKER_STATE.CREATED, DOCKER_STATE.RUNNING, 2.0),
        Transition(DOCKER_STATE.RUNNING, DOCKER_STATE.EXITED, 3.0),
    ]


def test_a_container_seen_first_when_paused_ran_before() -> None:
    states = [transition.state for transition in StateMachine().observe(PAUSED, NOW)]
    assert states == ["created", "running", "paused"]


def test_the_clock_stands_in_where_the_engine_has_no_time() -> None:
    machine = StateMachine()
    machine.observe(RUNNING, NOW)
    assert machine.observe(PAUSED, NOW) == [Transition(DOCKER_STATE.RUNNING, DOCKER_STATE.PAUSED, NOW)]


def test_the_same_seen_again_is_nothing_new() -> None:
    machine = StateMachine()
    machine.observe(RUNNING, NOW)
    assert machine.observe(RUNNING, NOW) == []


def test_after_the_end_nothing_changes() -> None:
    machine = ended(exited(3))
    assert machine.observe(RUNNING, NOW) == []
    assert machine.observe(GONE, NOW) == []
    result = machine.result()
    assert result is not None
    assert result.exit_code == 3


def test_a_failed_start_goes_from_created_to_dead_and_never_ran() -> None:
    machine = StateMachine()
    machine.observe(CREATED, NOW)
    assert [transition.state for transition in machine.observe(FAILED_START, NOW)] == ["dead"]
    assert machine.entered == {"created", "dead"}


def test_a_container_that_vanished_is_dead() -> None:
    assert ended(RUNNING, GONE).state is DOCKER_STATE.DEAD


def test_a_container_that_vanished_keeps_the_time_of_its_start() -> None:
    result = ended(RUNNING, GONE).result()
    assert result is not None
    assert (result.started_at, result.finished_at) == (2.0, None)


@pytest.mark.parametrize("state", [DOCKER_STATE.REMOVING, DOCKER_STATE.DEAD])
def test_one_that_is_being_removed_after_its_end_has_exited(state: DOCKER_STATE) -> None:
    assert effective_state(ContainerState(state, 0, started_at=2.0, finished_at=3.0)) is DOCKER_STATE.EXITED


def test_one_that_is_being_removed_before_its_end_has_not_ended() -> None:
    machine = StateMachine()
    machine.observe(ContainerState(DOCKER_STATE.REMOVING, 0, started_at=2.0), NOW)
    assert not machine.ended


def test_a_restart_is_not_an_end() -> None:
    machine = StateMachine()
    restarting = ContainerState(DOCKER_STATE.RESTARTING, 3, started_at=2.0, finished_at=3.0)
    states = [t.state for seen in (RUNNING, restarting, RUNNING) for t in machine.observe(seen, NOW)]
    assert states == ["created", "running", "restarting", "running"]


def test_there_is_no_result_before_the_end() -> None:
    machine = StateMachine()
    machine.observe(RUNNING, NOW)
    assert machine.result() is None
    assert machine.result(EndRequest("somebody", NOW)) is None


@properties
@given(histories)
def test_transitions_chain_from_nothing_to_the_present(history: list[tuple[ContainerState, float]]) -> None:
    machine = StateMachine()
    transitions = observe_all(machine, history)
    assert [t.previous for t in transitions] == [None, *(t.state for t in transitions[:-1])]
    assert transitions[-1].state is machine.state


@properties
@given(histories)
def test_created_comes_first(
    history: list[tuple[ContainerState, float]],
) -> None:
    assert observe_all(StateMachine(), history)[0].state is DOCKER_STATE.CREATED


@properties
@given(histories)
def test_times_never_go_back(history: list[tuple[ContainerState, float]]) -> None:
    assert all(a.time <= b.time for a, b in pairwise(observe_all(StateMachine(), history)))


@properties
@given(histories)
def test_nothing_follows_the_end(history: list[tuple[ContainerState, float]]) -> None:
    transitions = observe_all(StateMachine(), history)
    assert not any(t.state in TERMINAL_STATES for t in transitions[:-1])


@properties
@given(histories)
def test_running_is_never_skipped_if_the_container_ever_started(history: list[tuple[ContainerState, float]]) -> None:
    machine = StateMachine()
    for seen, now in history:
        was_going_on = not machine.ended
        machine.observe(seen, now)
        if was_going_on and seen.started_at is not None:
            assert DOCKER_STATE.RUNNING in machine.entered


@properties
@given(histories)
def test_no_transition_leads_from_a_state_to_itself(history: list[tuple[ContainerState, float]]) -> None:
    assert all(t.previous is not t.state for t in observe_all(StateMachine(), history))


@properties
@given(histories, end_requests)
def test_there_is_a_result_exactly_after_the_end(
    history: list[tuple[ContainerState, float]], request_: EndRequest | None
) -> None:
    machine = StateMachine()
    observe_all(machine, history)
    assert (machine.result(request_) is not None) is machine.ended


@properties
@given(container_states, end_requests)
def test_no_job_ends_as_unknown_and_success_means_exit_code_0(
    seen: ContainerState, request_: EndRequest | None
) -> None:
    result = result_of(seen, request_)
    assert result.return_code is not JobReturnCode.UNKNOWN
    assert not result.succeeded or result.exit_code == 0


@properties
@given(container_states, end_requests)
def test_a_failure_always_says_why(seen: ContainerState, request_: EndRequest | None) -> None:
    result = result_of(seen, request_)
    assert result.error or result.exit_code == 0


# --- results ---


@pytest.mark.parametrize(
    ("exit_code", "return_code", "signal", "error"),
    [
        (0, JobReturnCode.SUCCESS, None, ""),
        (1, JobReturnCode.EXECUTION_ERROR, None, "exit code 1"),
        (3, JobReturnCode.EXECUTION_ERROR, None, "exit code 3"),
        (9, JobReturnCode.EXECUTION_ERROR, None, "exit code 9"),
        (101, JobReturnCode.EXCEPTION, None, "exit code 101"),
        (102, JobReturnCode.UNSAFE_COMPONENT, None, "exit code 102"),
        (103, JobReturnCode.CONFIG_ERROR, None, "exit code 103"),
        (104, JobReturnCode.INFRASTRUCTURE_ERROR, None, "exit code 104"),
        (126, JobReturnCode.EXECUTION_ERROR, None, "exit code 126 (its command cannot be executed)"),
        (127, JobReturnCode.EXECUTION_ERROR, None, "exit code 127 (its command was not found)"),
        (128, JobReturnCode.EXECUTION_ERROR, None, "exit code 128"),
        (137, JobReturnCode.EXECUTION_ERROR, 9, "exit code 137 (signal 9)"),
        (
            135,
            JobReturnCode.EXECUTION_ERROR,
            7,
            "exit code 135 (signal 7, SIGBUS: its shared memory may have been full, of which 'shm_size' gives it more)",
        ),
        (143, JobReturnCode.EXECUTION_ERROR, 15, "exit code 143 (signal 15)"),
        (255, JobReturnCode.EXECUTION_ERROR, None, "exit code 255"),
    ],
)
def test_an_exit_code_says_how_the_job_ended(
    exit_code: int, return_code: JobReturnCode, signal: int | None, error: str
) -> None:
    result = result_of(exited(exit_code))
    assert (result.return_code, result.exit_code, result.signal) == (return_code, exit_code, signal)
    assert (result.error, result.ended_by, result.oom_killed) == (error, "", False)
    assert (result.started_at, result.finished_at, result.duration) == (2.0, 3.0, 1.0)


def test_a_job_that_ran_out_of_memory_says_so() -> None:
    result = result_of(exited(137, oom_killed=True))
    assert (result.return_code, result.oom_killed) == (JobReturnCode.EXECUTION_ERROR, True)
    assert result.error == "the job ran out of memory and was killed (exit code 137)"


def test_a_job_that_survived_the_oom_kill_of_a_child_succeeded() -> None:
    result = result_of(exited(0, oom_killed=True))
    assert (result.return_code, result.oom_killed, result.error) == (JobReturnCode.SUCCESS, False, "")


def test_a_failed_start_is_an_execution_error_in_the_engines_words() -> None:
    result = result_of(FAILED_START)
    assert (result.return_code, result.exit_code, result.error) == (
        JobReturnCode.EXECUTION_ERROR,
        127,
        "no such command",
    )


@pytest.mark.parametrize("oom_killed", [False, True])
def test_an_end_that_the_engine_has_not_seen_is_no_success_and_no_signal(oom_killed: bool) -> None:
    result = result_of(ContainerState(DOCKER_STATE.EXITED, None, oom_killed, "", 1.0, 2.0, 3.0))
    assert (result.return_code, result.exit_code, result.signal) == (JobReturnCode.INFRASTRUCTURE_ERROR, None, None)
    assert result.error == "the engine has not seen how it ended, and knows no exit code"


def test_lost_is_not_succeeded() -> None:
    result = result_of(GONE)
    assert (result.return_code, result.exit_code) == (JobReturnCode.INFRASTRUCTURE_ERROR, None)
    assert "gone" in result.error


def test_a_dead_container_whose_end_was_not_seen_is_lost_whatever_its_exit_code() -> None:
    result = result_of(ContainerState(DOCKER_STATE.DEAD, exit_code=0, started_at=2.0))
    assert (result.return_code, result.exit_code) == (JobReturnCode.INFRASTRUCTURE_ERROR, None)


def test_a_job_that_somebody_asked_to_end_is_aborted_and_keeps_its_exit_code() -> None:
    result = result_of(exited(143), EndRequest("the test", 2.5, delivered=True))
    assert (result.return_code, result.exit_code, result.signal) == (JobReturnCode.ABORTED, 143, 15)
    assert (result.ended_by, result.error) == ("the test", "ended on the request of the test")


def test_a_job_that_ends_well_after_it_was_asked_to_is_aborted_too() -> None:
    assert result_of(exited(0), EndRequest("the test", 2.5, delivered=True)).return_code is JobReturnCode.ABORTED


@pytest.mark.parametrize(
    ("delivered", "tried_at", "is_aborted"),
    [
        *((True, None, True), (False, None, False), (None, None, False), (None, 2.5, True), (None, 3.5, False)),
        (None, 2.5 - LONGEST_DOUBT, False),
    ],
    ids=["delivered", "too-late", "by-nobody", "not-answered", "not-answered-and-after-the-end", "long-before"],
)
def test_a_wish_is_an_abort_if_it_was_delivered_before_the_end(
    delivered: bool | None, tried_at: float | None, is_aborted: bool
) -> None:
    result = result_of(exited(0), EndRequest("the test", 2.5, delivered, tried_at))
    assert (result.return_code is JobReturnCode.ABORTED, result.ended_by) == (is_aborted, "the test" * is_aborted)


def test_a_container_that_vanished_after_somebody_asked_is_aborted() -> None:
    assert result_of(GONE, EndRequest("the test", 2.5, tried_at=2.6)).return_code is JobReturnCode.ABORTED


@pytest.mark.parametrize("state", [DOCKER_STATE.CREATED, DOCKER_STATE.EXITED])
@pytest.mark.parametrize("error", ["crun: executable file `no-such` not found", ""])
def test_what_never_started_never_succeeded_whatever_code_stands_there(state: DOCKER_STATE, error: str) -> None:
    result = result_of(ContainerState(state, exit_code=0, error=error))
    assert not result.succeeded
    assert (result.return_code, result.exit_code) != (JobReturnCode.SUCCESS, 0)
    assert result.exit_code is None
    assert error in result.error


def test_of_two_accounts_of_a_wish_that_counts_which_knows_more_of_its_delivery() -> None:
    accounts = [
        EndRequest("the test", 1.0),
        EndRequest("the test", 1.0, delivered=False),
        EndRequest("the test", 1.0, tried_at=2.0),
        EndRequest("the test", 1.0, delivered=True),
    ]
    for less, more in pairwise(accounts):
        assert less.joined(more) is more.joined(less) is more
    assert accounts[0].joined(None) is accounts[0]
