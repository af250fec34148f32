"""EventBus: order, isolation, nesting and threads."""

import gc
import logging
import random
import threading
from collections.abc import Callable

import pytest

from flcore import EventType, FLContext, FLContextKey
from flcore.errors import EventError, JobRejectedError
from flcore.event_bus import MAX_EVENT_DEPTH, EventBus, EventHandler
from flcore.testing import FakeFLContext
from flcore.threads import OwnThread

ROUNDS = 200


@pytest.fixture
def bus() -> EventBus:
    return EventBus()


def appending(calls: list[str], name: str) -> EventHandler:
    return lambda event_type, fl_ctx: calls.append(name)


def raising(error: BaseException) -> EventHandler:
    def handler(event_type: str, fl_ctx: FLContext) -> None:
        raise error

    return handler


# --- the system's end ---


def test_who_has_heard_of_the_systems_end_hears_nothing_more_until_it_starts_again(bus: EventBus) -> None:
    heard: list[str] = []
    bus.connect("one", lambda event_type, fl_ctx: heard.append(event_type))
    for event_type in (EventType.SYSTEM_END, "late", EventType.SYSTEM_END, EventType.SYSTEM_BOOTSTRAP, "new"):
        bus.fire(event_type, FLContext())
    assert heard == [EventType.SYSTEM_END, EventType.SYSTEM_BOOTSTRAP, "new"]


def test_some_may_be_told_of_the_systems_end_before_the_others(bus: EventBus) -> None:
    heard: list[str] = []
    for name in ("one", "two", "three"):
        bus.connect(name, appending(heard, name))
    bus.fire(EventType.SYSTEM_END, FLContext(), to={"two"})
    bus.fire("e", FLContext())
    bus.fire(EventType.SYSTEM_END, FLContext())
    assert heard == ["two", "one", "three", "one", "three"]


# --- order ---


def test_handlers_are_called_in_the_order_of_their_connection_in_each_of_200_random_rounds() -> None:
    rng = random.Random(7)
    for _ in range(ROUNDS):
        bus, calls = EventBus(), list[str]()
        names = [str(number) for number in range(rng.randint(1, 60))]
        rng.shuffle(names)
        for name in names:
            bus.connect(name, appending(calls, name))
        bus.fire("e", FLContext())
        assert calls == names


def test_the_order_stays_when_some_are_disconnected_and_others_connected() -> None:
    rng = random.Random(8)
    for _ in range(ROUNDS):
        bus, calls = EventBus(), list[str]()
        connected: dict[str, Callable[[], None]] = {}
        for number in range(40):
            if connected and rng.random() < 0.4:
                connected.pop(rng.choice(list(connected)))()
            connected[str(number)] = bus.connect(str(number), appending(calls, str(number)))
        bus.fire("e", FLContext())
        assert calls == list(connected)


def test_an_event_without_handlers_is_no_error(bus: EventBus, fl_ctx: FakeFLContext) -> None:
    bus.fire("e", fl_ctx)


def test_handlers_run_on_the_thread_that_fires(bus: EventBus, fl_ctx: FakeFLContext) -> None:
    threads: list[threading.Thread] = []
    bus.connect("a", lambda event_type, ctx: threads.append(threading.current_thread()))
    bus.fire("e", fl_ctx)
    assert threads == [threading.current_thread()]


def test_a_handler_gets_the_event_type_and_the_context_itself(bus: EventBus, fl_ctx: FakeFLContext) -> None:
    seen: list[tuple[str, FLContext]] = []
    bus.connect("a", lambda event_type, ctx: seen.append((event_type, ctx)))
    bus.fire("my_event", fl_ctx)
    assert seen == [("my_event", fl_ctx)]


def test_the_same_handler_connected_twice_is_called_twice(bus: EventBus, fl_ctx: FakeFLContext) -> None:
    calls: list[str] = []
    handler = appending(calls, "a")
    bus.connect("one", handler)
    bus.connect("two", handler)
    bus.fire("e", fl_ctx)
    assert calls == ["a", "a"]


def test_a_disconnected_handler_gets_no_more_events(bus: EventBus, fl_ctx: FakeFLContext) -> None:
    calls: list[str] = []
    disconnect = bus.connect("a", appending(calls, "a"))
    bus.fire("e", fl_ctx)
    disconnect()
    disconnect()
    bus.fire("e", fl_ctx)
    assert calls == ["a"]


def test_a_handler_disconnected_while_an_event_is_handled_still_gets_that_event_but_no_other(
    bus: EventBus, fl_ctx: FakeFLContext
) -> None:
    calls: list[str] = []
    bus.connect("a", lambda event_type, ctx: disconnect())
    disconnect = bus.connect("b", lambda event_type, ctx: calls.append(event_type))
    bus.fire("first", fl_ctx)
    bus.fire("second", fl_ctx)
    assert calls == ["first"]


def test_handlers_are_held_strongly(bus: EventBus, fl_ctx: FakeFLContext) -> None:
    calls: list[str] = []

    class Component:
        def handle_event(self, event_type: str, fl_ctx: FLContext) -> None:
            calls.append("called")

    bus.connect("a", Component().handle_event)
    gc.collect()
    bus.fire("e", fl_ctx)
    assert calls == ["called"]


# --- isolation ---


def test_a_handler_that_raises_stops_nobody_else(bus: EventBus, fl_ctx: FakeFLContext) -> None:
    calls: list[str] = []
    bus.connect("first", appending(calls, "first"))
    bus.connect("bad", raising(OSError("no")))
    bus.connect("last", appending(calls, "last"))
    bus.fire("e", fl_ctx)
    assert calls == ["first", "last"]


def test_what_a_handler_raises_is_logged_with_its_traceback(
    bus: EventBus, fl_ctx: FakeFLContext, caplog: pytest.LogCaptureFixture
) -> None:
    error = OSError("no")
    bus.connect("bad", raising(error))
    bus.fire("my_event", fl_ctx)
    (record,) = caplog.records
    assert record.levelno == logging.ERROR
    assert record.getMessage() == "bad failed to handle the event my_event; the others go on"
    assert record.exc_info
    assert record.exc_info[1] is error


def test_a_refusal_before_a_launch_is_told_by_who_launches(
    bus: EventBus, fl_ctx: FakeFLContext, caplog: pytest.LogCaptureFixture
) -> None:
    bus.connect("gate", raising(JobRejectedError("no")))
    with caplog.at_level(logging.INFO):
        bus.fire(EventType.BEFORE_JOB_LAUNCH, fl_ctx)
    (record,) = caplog.records
    assert record.levelno == logging.INFO
    assert record.getMessage() == f"gate refuses a job at the event {EventType.BEFORE_JOB_LAUNCH}: no"


@pytest.mark.parametrize("event_type", [EventType.AFTER_JOB_LAUNCH, EventType.JOB_COMPLETED, "my_event"])
def test_who_raises_an_error_of_a_launch_at_another_event_refuses_nothing(
    bus: EventBus, fl_ctx: FakeFLContext, caplog: pytest.LogCaptureFixture, event_type: str
) -> None:
    bus.connect("late", raising(JobRejectedError("no")))
    bus.fire(event_type, fl_ctx)
    (record,) = caplog.records
    assert record.levelno == logging.ERROR
    assert record.getMessage() == f"late failed to handle the event {event_type}; the others go on: no"


def test_what_a_handler_raises_is_kept_under_its_name(bus: EventBus, fl_ctx: FakeFLContext) -> None:
    error = OSError("no")
    bus.connect("bad", raising(error))
    bus.fire("e", fl_ctx)
    assert fl_ctx.get_prop(FLContextKey.EXCEPTIONS) == {"bad": error}


def test_a_context_in_which_nobody_raised_has_no_exceptions(bus: EventBus, fl_ctx: FakeFLContext) -> None:
    bus.connect("good", appending([], "good"))
    bus.fire("e", fl_ctx)
    assert fl_ctx.get_prop(FLContextKey.EXCEPTIONS) is None


def test_two_handlers_of_one_name_do_not_overwrite_one_another(bus: EventBus, fl_ctx: FakeFLContext) -> None:
    errors = [OSError("one"), OSError("two"), OSError("three")]
    for name, error in zip(("a", "a", "a#2"), errors, strict=True):
        bus.connect(name, raising(error))
    bus.fire("e", fl_ctx)
    assert list(fl_ctx.get_prop(FLContextKey.EXCEPTIONS).items()) == [
        ("a", errors[0]),
        ("a#2", errors[1]),
        ("a#2#2", errors[2]),
    ]


@pytest.mark.parametrize("error", [KeyboardInterrupt(), SystemExit(3)])
def test_what_is_more_than_an_exception_propagates_when_all_were_called(
    bus: EventBus, fl_ctx: FakeFLContext, error: BaseException
) -> None:
    calls: list[str] = []
    bus.connect("bad", raising(error))
    bus.connect("last", appending(calls, "last"))
    with pytest.raises(type(error)):
        bus.fire("e", fl_ctx)
    assert calls == ["last"]


@pytest.mark.parametrize("error", [KeyboardInterrupt(), SystemExit(3), GeneratorExit()])
def test_whatever_a_handler_raises_on_a_thread_of_ours_is_kept_and_stops_nobody(
    bus: EventBus, fl_ctx: FakeFLContext, error: BaseException
) -> None:
    calls: list[str] = []
    bus.connect("bad", raising(error))
    bus.connect("last", appending(calls, "last"))
    fired = threading.Event()

    def fire() -> None:
        bus.fire("e", fl_ctx)
        fired.set()

    thread = OwnThread("test", fire)
    thread.start()
    thread.join(10.0)
    assert calls == ["last"]
    assert fired.is_set()
    assert repr(error) in str(fl_ctx.get_prop(FLContextKey.EXCEPTIONS)["bad"])


# --- what a handler sees ---

EVENT_KEYS = (FLContextKey.EVENT_ID, FLContextKey.EVENT_DATA, FLContextKey.EVENT_ORIGIN, FLContextKey.EVENT_SCOPE)


def test_a_nested_event_leaks_nothing_into_the_next_handler(bus: EventBus, fl_ctx: FakeFLContext) -> None:
    seen: list[list[object]] = []

    def record(event_type: str, ctx: FLContext) -> None:
        if event_type == "outer":
            seen.append([ctx.get_prop(key) for key in EVENT_KEYS])

    def nest(event_type: str, ctx: FLContext) -> None:
        if event_type == "outer":
            for key in EVENT_KEYS[1:]:
                ctx.put(key, "of the inner event", private=True, sticky=False)
            bus.fire("inner", ctx)

    for key in EVENT_KEYS[1:]:
        fl_ctx.put(key, f"outer {key}", private=True, sticky=False)
    for name, handler in (("a", record), ("b", nest), ("c", record)):
        bus.connect(name, handler)
    bus.fire("outer", fl_ctx)
    assert seen[0] == seen[1]
    assert seen[0][1:] == [f"outer {key}" for key in EVENT_KEYS[1:]]


def test_each_event_has_an_id_of_its_own(bus: EventBus, fl_ctx: FakeFLContext) -> None:
    ids: list[str] = []
    bus.connect("a", lambda event_type, ctx: ids.append(ctx.get_prop(FLContextKey.EVENT_ID)))
    bus.fire("e", fl_ctx)
    bus.fire("e", fl_ctx)
    assert len(set(ids)) == 2
    assert all(isinstance(event_id, str) and event_id for event_id in ids)


# --- nesting ---


def nesting(bus: EventBus, levels: int, calls: list[str]) -> EventHandler:
    """Return a handler that fires another event until there are as many levels."""

    def handler(event_type: str, fl_ctx: FLContext) -> None:
        calls.append(event_type)
        if len(calls) < levels:
            bus.fire(f"e{len(calls) + 1}", fl_ctx)

    return handler


def test_events_may_be_nested_20_deep(bus: EventBus, fl_ctx: FakeFLContext) -> None:
    calls: list[str] = []
    bus.connect("a", nesting(bus, MAX_EVENT_DEPTH, calls))
    bus.fire("e1", fl_ctx)
    assert (len(calls), MAX_EVENT_DEPTH) == (20, 20)


def test_the_21st_level_raises_and_unwinds_all_of_them(
    bus: EventBus, fl_ctx: FakeFLContext, caplog: pytest.LogCaptureFixture
) -> None:
    calls: list[str] = []
    bus.connect("a", nesting(bus, 1000, calls))
    with pytest.raises(EventError, match=r"^event e21: more than 20 events fire one another$"):
        bus.fire("e1", fl_ctx)
    assert len(calls) == 20
    assert caplog.messages == []


def test_the_depth_does_not_leak_when_events_nest_too_deep(bus: EventBus, fl_ctx: FakeFLContext) -> None:
    disconnect = bus.connect("endless", nesting(bus, 1000, []))
    for _ in range(3):
        with pytest.raises(EventError):
            bus.fire("e1", fl_ctx)
    disconnect()
    calls: list[str] = []
    bus.connect("a", nesting(bus, MAX_EVENT_DEPTH, calls))
    bus.fire("e1", fl_ctx)
    assert len(calls) == 20


@pytest.mark.parametrize("error", [ValueError(), KeyboardInterrupt()])
def test_the_depth_does_not_leak_when_a_handler_raises(
    bus: EventBus, fl_ctx: FakeFLContext, error: BaseException
) -> None:
    disconnect = bus.connect("bad", raising(error))
    for _ in range(MAX_EVENT_DEPTH + 5):
        try:
            bus.fire("e", fl_ctx)
        except KeyboardInterrupt:
            continue
    disconnect()
    calls: list[str] = []
    bus.connect("a", nesting(bus, MAX_EVENT_DEPTH, calls))
    bus.fire("e1", fl_ctx)
    assert len(calls) == 20


def test_the_depth_of_one_thread_is_none_of_another_threads_business(bus: EventBus, fl_ctx: FakeFLContext) -> None:
    calls: list[str] = []

    def fire_from_another_thread(event_type: str, ctx: FLContext) -> None:
        thread = threading.Thread(target=other.fire, args=("e1", FLContext()))
        thread.start()
        thread.join()

    other = EventBus()
    other.connect("a", nesting(other, MAX_EVENT_DEPTH, calls))
    bus.connect("a", fire_from_another_thread)
    bus.fire("e1", fl_ctx)
    assert len(calls) == 20


# --- threads ---


def test_connecting_while_other_threads_fire_loses_nobody_and_raises_nothing(bus: EventBus) -> None:
    stop, errors, fired = threading.Event(), list[BaseException](), threading.Semaphore(0)

    def fire_on() -> None:
        try:
            while not stop.is_set():
                bus.fire("e", FLContext())
                fired.release()
        except BaseException as error:  # noqa: BLE001 - shown by the assertion
            errors.append(error)

    threads = [threading.Thread(target=fire_on) for _ in range(4)]
    for thread in threads:
        thread.start()
    calls: list[str] = []
    names = [str(number) for number in range(150)]
    for name in names:
        bus.connect(name, appending(calls, name))
        bus.connect("passing", appending([], "passing"))()
    fired.acquire()
    stop.set()
    for thread in threads:
        thread.join()
    calls.clear()
    bus.fire("e", FLContext())
    assert errors == []
    assert calls == names


def test_a_handler_connected_by_a_handler_gets_the_next_event_but_not_this_one(
    bus: EventBus, fl_ctx: FakeFLContext
) -> None:
    calls: list[str] = []

    def connect_another(event_type: str, ctx: FLContext) -> None:
        bus.connect("b", appending(calls, event_type))

    bus.connect("a", connect_another)
    bus.fire("first", fl_ctx)
    assert calls == []
    bus.fire("second", fl_ctx)
    assert calls == ["first"]
