"""FLComponent: handling, registering, firing and logging."""

import logging
from typing import Any

import pytest

from flcore import FLComponent, FLContext, FLContextKey
from flcore.testing import FakeFLContext

LOGGER = f"{__name__}.Recorder"


class Recorder(FLComponent):
    def __init__(self) -> None:
        super().__init__()
        self.calls: list[Any] = []

    def handle_event(self, event_type: str, fl_ctx: FLContext) -> None:
        self.calls.append(event_type)

    def one(self, event_type: str, fl_ctx: FLContext, **kwargs: Any) -> None:
        self.calls.append(("one", event_type, kwargs))

    def two(self, event_type: str, fl_ctx: FLContext) -> None:
        self.calls.append(("two", event_type))


@pytest.fixture
def component() -> Recorder:
    return Recorder()


# --- handling ---


def test_a_component_does_nothing_with_events_unless_it_says_otherwise(fl_ctx: FakeFLContext) -> None:
    FLComponent().dispatch_event("e", fl_ctx)


def test_an_event_goes_to_handle_event(component: Recorder, fl_ctx: FakeFLContext) -> None:
    component.dispatch_event("e", fl_ctx)
    assert component.calls == ["e"]


def test_a_registered_handler_takes_the_place_of_handle_event_for_its_events_only(
    component: Recorder, fl_ctx: FakeFLContext
) -> None:
    component.register_event_handler("mine", component.two)
    component.dispatch_event("mine", fl_ctx)
    component.dispatch_event("other", fl_ctx)
    assert component.calls == [("two", "mine"), "other"]


@pytest.mark.parametrize("event_types", [["a", "b"], ("a", "b")])
def test_a_handler_may_be_registered_for_several_events(
    component: Recorder, fl_ctx: FakeFLContext, event_types: list[str] | tuple[str, ...]
) -> None:
    component.register_event_handler(event_types, component.two)
    component.dispatch_event("a", fl_ctx)
    component.dispatch_event("b", fl_ctx)
    assert component.calls == [("two", "a"), ("two", "b")]


def test_a_handler_gets_the_arguments_it_was_registered_with(component: Recorder, fl_ctx: FakeFLContext) -> None:
    component.register_event_handler("e", component.one, color="red", size=3)
    component.dispatch_event("e", fl_ctx)
    assert component.calls == [("one", "e", {"color": "red", "size": 3})]


def test_handlers_are_called_in_the_order_of_registration(component: Recorder, fl_ctx: FakeFLContext) -> None:
    component.register_event_handler("e", component.two)
    component.register_event_handler("e", component.one)
    component.dispatch_event("e", fl_ctx)
    assert component.calls == [("two", "e"), ("one", "e", {})]


def test_a_handler_registered_twice_is_called_once(component: Recorder, fl_ctx: FakeFLContext) -> None:
    component.register_event_handler("e", component.two)
    component.register_event_handler(["e", "e"], component.two)
    component.dispatch_event("e", fl_ctx)
    assert component.calls == [("two", "e")]


def test_a_handler_registered_with_other_arguments_is_another_one(component: Recorder, fl_ctx: FakeFLContext) -> None:
    component.register_event_handler("e", component.one, number=1)
    component.register_event_handler("e", component.one, number=2)
    component.dispatch_event("e", fl_ctx)
    assert component.calls == [("one", "e", {"number": 1}), ("one", "e", {"number": 2})]


def test_a_handler_may_register_another_one_which_gets_the_next_event(
    component: Recorder, fl_ctx: FakeFLContext
) -> None:
    component.register_event_handler(
        "e", lambda event_type, ctx: component.register_event_handler("e", component.one, number=len(component.calls))
    )
    component.dispatch_event("e", fl_ctx)
    assert component.calls == []
    component.dispatch_event("e", fl_ctx)
    assert component.calls == [("one", "e", {"number": 0})]


def test_a_handler_must_be_callable(component: Recorder) -> None:
    handler: Any = "two"
    with pytest.raises(TypeError, match="the handler must be callable, not str"):
        component.register_event_handler("e", handler)


@pytest.mark.parametrize(("event_type", "error"), [(5, TypeError), (None, TypeError), ("", ValueError)])
def test_a_handler_cannot_be_registered_for_what_is_no_event_type(
    component: Recorder, event_type: Any, error: type[Exception]
) -> None:
    with pytest.raises(error, match="an event type must "):
        component.register_event_handler(["e", event_type], component.two)
    component.dispatch_event("e", FLContext())
    assert component.calls == ["e"]


# --- firing ---


def test_a_fired_event_reaches_all_components_before_fire_event_returns(component: Recorder) -> None:
    fl_ctx = FakeFLContext(components=[component])
    FLComponent().fire_event("e", fl_ctx)
    assert component.calls == ["e"]


def test_a_fired_event_names_its_origin_and_its_scope() -> None:
    seen: list[object] = []

    class Listener(FLComponent):
        def handle_event(self, event_type: str, fl_ctx: FLContext) -> None:
            seen.extend(fl_ctx.get_prop(key) for key in (FLContextKey.EVENT_ORIGIN, FLContextKey.EVENT_SCOPE))

    component = FLComponent()
    component.name = "my-monitor"
    component.fire_event("e", FakeFLContext(components=[Listener()]))
    assert seen == ["my-monitor", "local"]


def test_an_event_can_be_fired_with_data(component: Recorder) -> None:
    fl_ctx = FakeFLContext(components=[component])
    FLComponent().fire_event_with_data("e", fl_ctx, FLContextKey.EVENT_DATA, {"loss": 0.1})
    assert fl_ctx.get_prop_detail(FLContextKey.EVENT_DATA) == {"value": {"loss": 0.1}, "private": True, "sticky": False}
    assert component.calls == ["e"]


def test_the_name_of_a_component_is_its_class_until_a_site_gives_it_an_id() -> None:
    assert Recorder().name == "Recorder"


@pytest.mark.parametrize(
    ("event_type", "error", "message"),
    [
        (5, TypeError, "an event type must be a str, not int"),
        (None, TypeError, "an event type must be a str, not NoneType"),
        (["e"], TypeError, "an event type must be a str, not list"),
        ("", ValueError, "an event type must not be empty"),
    ],
)
def test_what_is_no_event_type_cannot_be_fired(
    fl_ctx: FakeFLContext, event_type: Any, error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=f"^{message}$"):
        FLComponent().fire_event(event_type, fl_ctx)


@pytest.mark.parametrize("no_context", [None, {}, "context"])
def test_an_event_cannot_be_fired_in_what_is_no_context(no_context: Any) -> None:
    with pytest.raises(TypeError, match=r"^fl_ctx must be an FLContext, not "):
        FLComponent().fire_event("e", no_context)


def test_without_an_engine_nothing_is_fired_and_an_error_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    FLComponent().fire_event("my_event", FLContext())
    (record,) = caplog.records
    assert record.levelno == logging.ERROR
    assert record.getMessage() == ("[identity=, run=?]: no engine in the context: the event my_event was not fired")


# --- logging ---


@pytest.mark.parametrize("level", ["debug", "info", "warning", "error"])
def test_a_message_is_logged_with_site_and_job_in_front(
    component: Recorder, fl_ctx: FakeFLContext, level: str, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.DEBUG, LOGGER):
        getattr(component, f"log_{level}")(fl_ctx, "50 % done")
    assert caplog.record_tuples == [
        (LOGGER, getattr(logging, level.upper()), "[identity=site-1, run=job-1]: 50 % done")
    ]


def test_a_message_below_the_loggers_level_is_not_logged(
    component: Recorder, fl_ctx: FakeFLContext, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING, LOGGER):
        component.log_info(fl_ctx, "not shown")
    assert caplog.messages == []


def test_without_a_job_the_run_is_a_question_mark(component: Recorder, caplog: pytest.LogCaptureFixture) -> None:
    component.log_error(FakeFLContext(job_id=None), "no")
    assert caplog.messages == ["[identity=site-1, run=?]: no"]


def test_what_else_the_context_knows_stands_in_front_of_a_message(
    component: Recorder, fl_ctx: FakeFLContext, caplog: pytest.LogCaptureFixture
) -> None:
    for key, value in (
        (FLContextKey.TASK_ID, "t-1"),
        (FLContextKey.TASK_NAME, "train"),
        (FLContextKey.WORKFLOW, "sag"),
    ):
        fl_ctx.set_prop(key, value)
    fl_ctx.set_peer_context(FakeFLContext("server"))
    component.log_error(fl_ctx, "no")
    assert caplog.messages == ["[identity=site-1, run=job-1, wf=sag, peer=server, task_name=train, task_id=t-1]: no"]


def test_an_exception_is_logged_with_its_traceback(
    component: Recorder, fl_ctx: FakeFLContext, caplog: pytest.LogCaptureFixture
) -> None:
    error = OSError("no")
    try:
        raise error
    except OSError:
        component.log_exception(fl_ctx, "it failed")
    (record,) = caplog.records
    assert record.exc_info
    assert record.exc_info[1] is error
    assert record.getMessage() == "[identity=site-1, run=job-1]: it failed"
