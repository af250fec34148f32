"""Launch: how far it has come, who has asked for its end, and that the two never miss each other."""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from typing import Any

import pytest

from flcore import FLContextKey, JobReturnCode
from flcore.errors import ImageError, JobAbortedError, JobRejectedError
from flcore.launch import Launch, LaunchState
from flcore.testing import FakeFLContext
from tests.conftest import Launcher, PlainHandle

TIMEOUT = 10
ROUNDS = 300
"""How often a race is run."""


@pytest.fixture
def launch() -> Launch:
    return Launch("j1")


def starting() -> Launch:
    """Return a launch that is past the point of no return."""
    launch = Launch("j1")
    launch.begin_start()
    return launch


def at_the_same_time(pool: ThreadPoolExecutor, *actions: Callable[[], Any]) -> list[Any]:
    """Return what they return; None for one that raises JobAbortedError."""
    together = threading.Barrier(len(actions))

    def act(action: Callable[[], Any]) -> Any:
        together.wait(TIMEOUT)
        with suppress(JobAbortedError):
            return action()
        return None

    return [future.result(TIMEOUT) for future in [pool.submit(act, action) for action in actions]]


# --- its way ---


def test_it_goes_from_the_queue_to_a_handle(launch: Launch) -> None:
    launcher, states = Launcher(), [launch.state]
    steps: list[Callable[[], Any]] = [
        launch.admit,
        lambda: launch.hand_over(launcher),
        launch.begin_start,
        lambda: launch.succeed(PlainHandle()),
    ]
    for step in steps:
        step()
        states.append(launch.state)
    assert states == [state for state in LaunchState if state is not LaunchState.FAILED]
    assert launch.launcher is launcher


def test_a_launcher_that_knows_nothing_of_it_has_it_pass_states_over(launch: Launch) -> None:
    assert launch.succeed(PlainHandle()) == ""
    assert launch.state is LaunchState.LAUNCHED


def test_who_waits_for_what_comes_of_it_gets_the_handle(launch: Launch, pool: ThreadPoolExecutor) -> None:
    waiting, handle = [pool.submit(launch.wait) for _ in range(4)], PlainHandle()
    launch.succeed(handle)
    assert [future.result(TIMEOUT) for future in waiting] == [handle] * 4


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (ImageError("no image"), JobReturnCode.EXECUTION_ERROR),
        (JobRejectedError("no"), JobReturnCode.CONFIG_ERROR),
        (JobAbortedError("called back", "the operator"), JobReturnCode.ABORTED),
        (KeyboardInterrupt(), JobReturnCode.ABORTED),
    ],
)
def test_who_waits_for_what_comes_of_it_gets_the_code_of_its_failure(
    launch: Launch, error: BaseException, code: JobReturnCode
) -> None:
    launch.fail(error)
    assert (launch.wait(), launch.state) == (code, LaunchState.FAILED)


def test_it_knows_its_own_thread(launch: Launch, pool: ThreadPoolExecutor) -> None:
    assert launch.is_of_this_thread
    assert not pool.submit(lambda: launch.is_of_this_thread).result(TIMEOUT)


# --- who asks for its end ---


def test_the_first_who_asks_for_its_end_counts(launch: Launch) -> None:
    assert launch.ended_by == ""
    assert launch.request_end("the operator")
    assert launch.request_end("somebody else")
    assert launch.ended_by == "the operator"
    with pytest.raises(JobAbortedError) as raised:
        launch.raise_if_ended()
    assert str(raised.value) == "job j1: its launch was ended on the request of the operator"
    assert raised.value.by == "the operator"


def test_nothing_is_raised_while_nobody_asks(launch: Launch) -> None:
    launch.raise_if_ended()
    assert not launch.wait_for_end_request(0)


@pytest.mark.parametrize(
    "step",
    [lambda launch: launch.hand_over(Launcher()), Launch.begin_start, Launch.wait_for_turn],
    ids=["hand_over", "begin_start", "wait_for_turn"],
)
def test_a_launch_that_is_not_wanted_does_not_go_on(launch: Launch, step: Callable[[Launch], None]) -> None:
    launch.request_end("the operator")
    with pytest.raises(JobAbortedError):
        step(launch)
    assert (launch.state, launch.launcher) == (LaunchState.WAITING, None)


def test_a_launch_that_is_not_wanted_is_not_let_in(launch: Launch) -> None:
    launch.request_end("the operator")
    assert not launch.admit()
    assert launch.state is LaunchState.WAITING


def test_asking_wakes_who_waits_for_its_turn(launch: Launch, pool: ThreadPoolExecutor) -> None:
    waiting = pool.submit(launch.wait_for_turn)
    launch.request_end("the operator")
    with pytest.raises(JobAbortedError):
        waiting.result(TIMEOUT)


def test_asking_wakes_a_launcher_that_waits_to_try_again(launch: Launch, pool: ThreadPoolExecutor) -> None:
    waiting = pool.submit(launch.wait_for_end_request, TIMEOUT)
    launch.request_end("the operator")
    assert waiting.result(TIMEOUT)


def test_who_asked_comes_out_of_a_launch_that_could_not_be_called_back(launch: Launch) -> None:
    launch.hand_over(Launcher())
    launch.request_end("the operator")
    assert launch.succeed(PlainHandle()) == "the operator"


# --- too late ---


def test_after_the_point_of_no_return_a_request_is_for_what_is_launched() -> None:
    launch = starting()
    assert not launch.request_end("the operator")
    assert not launch.request_end("somebody else")
    launch.raise_if_ended()
    assert (launch.ended_by, launch.wait_for_end_request(0)) == ("", False)
    assert launch.succeed(PlainHandle()) == "the operator"


def test_when_it_is_over_a_request_is_not_noted_any_more(launch: Launch) -> None:
    launch.succeed(PlainHandle())
    assert not launch.request_end("the operator")
    assert launch.ended_by == ""


# --- callbacks ---


def test_a_callback_comes_once_on_the_thread_of_who_asks_first(launch: Launch, pool: ThreadPoolExecutor) -> None:
    called: list[int] = []
    launch.on_end_request(lambda: called.append(threading.get_ident()))
    asker = pool.submit(lambda: (launch.request_end("the operator"), threading.get_ident())).result(TIMEOUT)
    launch.request_end("somebody else")
    assert (called, asker[0]) == ([asker[1]], True)


def test_a_callback_comes_at_once_if_somebody_has_asked(launch: Launch) -> None:
    called: list[str] = []
    launch.request_end("the operator")
    launch.on_end_request(lambda: called.append(launch.ended_by))
    assert called == ["the operator"]


def test_a_callback_may_do_with_the_launch_what_it_likes(launch: Launch, pool: ThreadPoolExecutor) -> None:
    done: list[bool] = []

    def callback() -> None:
        launch.on_end_request(lambda: done.append(launch.request_end("the callback")))
        done.append(pool.submit(launch.wait_for_end_request, 0).result(TIMEOUT))

    launch.on_end_request(callback)
    launch.request_end("the operator")
    assert done == [True, True]


def test_a_callback_that_fails_keeps_nobody_from_asking(launch: Launch, caplog: pytest.LogCaptureFixture) -> None:
    called: list[int] = []

    def fail() -> None:
        raise OSError("no")

    launch.on_end_request(fail)
    launch.on_end_request(lambda: called.append(1))
    assert launch.request_end("the operator")
    assert (called, caplog.messages) == ([1], ["job j1: a callback failed when its end was asked for"])


def test_no_callback_comes_too_late(launch: Launch) -> None:
    called: list[int] = []
    launch.on_end_request(lambda: called.append(1))
    launch.begin_start()
    launch.on_end_request(lambda: called.append(2))
    launch.request_end("the operator")
    assert called == []


# --- races ---


def test_a_request_comes_before_the_start_or_is_told_that_it_did_not(pool: ThreadPoolExecutor) -> None:
    for _ in range(ROUNDS):
        launch = Launch("j1")

        def start(launch: Launch = launch) -> bool:
            launch.begin_start()
            return True

        started, in_time = at_the_same_time(pool, start, partial(launch.request_end, "the operator"))
        assert bool(started) is not in_time
        assert launch.succeed(PlainHandle()) == "the operator"


def test_a_request_finds_the_launcher_or_keeps_it_from_beginning(pool: ThreadPoolExecutor) -> None:
    for _ in range(ROUNDS):
        launch = Launch("j1")

        def hand_over(launch: Launch = launch) -> bool:
            launch.hand_over(Launcher())
            return True

        def ask(launch: Launch = launch) -> bool:
            return launch.request_end("the operator") and launch.launcher is not None

        handed_over, found = at_the_same_time(pool, hand_over, ask)
        assert bool(handed_over) is found


def test_a_callback_comes_once_however_close_the_request_is(pool: ThreadPoolExecutor) -> None:
    for _ in range(ROUNDS):
        launch, called = Launch("j1"), list[int]()

        def register(launch: Launch = launch, called: list[int] = called) -> None:
            launch.on_end_request(lambda: called.append(1))

        at_the_same_time(pool, register, *[partial(launch.request_end, by) for by in ("one", "two")])
        assert called == [1]


def test_a_launch_is_let_in_or_ended_and_always_wakes(pool: ThreadPoolExecutor) -> None:
    for _ in range(ROUNDS):
        launch = Launch("j1")

        def wait(launch: Launch = launch) -> bool:
            launch.wait_for_turn()
            return True

        ask = partial(launch.request_end, "the operator")
        _, admitted, in_time = at_the_same_time(pool, wait, launch.admit, ask)
        assert in_time
        assert admitted is (launch.state is LaunchState.ADMITTED)


# --- in a context ---


def test_a_launcher_finds_the_launch_in_its_context(launch: Launch) -> None:
    fl_ctx = FakeFLContext(props={FLContextKey.LAUNCH: launch})
    assert Launch.of(fl_ctx, "j1") is launch


def test_where_the_framework_has_none_a_launcher_gets_one_of_its_own() -> None:
    launch = Launch.of(FakeFLContext(), "j2")
    assert (launch.job_id, launch.ended_by, launch.is_of_this_thread) == ("j2", "", True)
    launch.begin_start()


def test_what_is_launched_beside_a_contexts_job_is_a_launch_of_its_own() -> None:
    fl_ctx = FakeFLContext()
    fl_ctx.put(FLContextKey.LAUNCH, Launch("j1"), private=True, sticky=False)
    assert Launch.of(fl_ctx, "beside").job_id == "beside"


def test_who_launches_once_more_after_a_start_that_failed_can_be_called_back_again() -> None:
    fl_ctx, first = FakeFLContext(), Launch("j1")
    fl_ctx.put(FLContextKey.LAUNCH, first, private=True, sticky=False)
    first.begin_start()
    again = Launch.of(fl_ctx, "j1")
    assert again.request_end("the operator")
    assert not again.is_wanted


def test_what_somebody_must_hear_of_first_does_not_start_untold() -> None:
    launch = Launch("j1")
    launch.plan_wanted_by = "approval"
    with pytest.raises(JobRejectedError, match="the component approval must know what will run"):
        launch.begin_start()
    launch.plan_was_told = True
    launch.begin_start()
    assert launch.state is LaunchState.STARTING


def test_what_is_put_off_must_be_told_anew() -> None:
    launch = Launch("j1")
    launch.plan_wanted_by, launch.plan_was_told = "approval", True
    launch.put_off()
    with pytest.raises(JobRejectedError, match="the component approval must know what will run"):
        launch.begin_start()
