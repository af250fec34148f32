"""The contract of runtimes: who wants to know what happens is told when there is something to look at."""

from __future__ import annotations

import threading

from ..docker_state import DOCKER_STATE
from .patience import TIMEOUT, in_background
from .runtime_lab import FOR_EVER, RuntimeLab


class EventContract:
    """Of :class:`launchers.testing.runtime_contract.RuntimeContract`."""

    def test_what_happens_after_a_subscription_is_told(self, lab: RuntimeLab) -> None:
        container_id = lab.create("one")
        with lab.runtime.open_events() as events:
            lab.runtime.start(container_id)
            lab.wait_for_event(container_id, events, "a container was started")
            lab.runtime.send_signal(container_id, "SIGKILL")
            lab.wait_for_event(container_id, events, "its process was killed")
            lab.wait_until(container_id, DOCKER_STATE.EXITED)
            lab.runtime.remove(container_id)
            lab.wait_for_event(container_id, events, "it was removed")

    def test_who_looks_at_each_event_sees_the_end(self, lab: RuntimeLab) -> None:
        container_id = lab.create("one", "sh", "-c", "exit 0")
        with lab.runtime.open_events() as events:
            lab.runtime.start(container_id)
            lab.finish(container_id, 0)
            while lab.runtime.inspect(container_id).state is not DOCKER_STATE.EXITED:
                lab.wait_for_event(
                    container_id, events, "inspect() did not say EXITED at the last event, so another must come"
                )

    def test_every_subscriber_is_told(self, lab: RuntimeLab) -> None:
        container_id = lab.create("one")
        with lab.runtime.open_events() as first, lab.runtime.open_events() as second:
            lab.runtime.start(container_id)
            lab.wait_for_event(container_id, first, "a container was started while two streams were open")
            lab.wait_for_event(container_id, second, "a container was started, and told of to another stream")

    def test_a_subscriber_is_told_of_the_end_of_what_ran_before(self, lab: RuntimeLab) -> None:
        container_id = lab.run("one", *FOR_EVER)
        with lab.runtime.open_events() as events:
            lab.runtime.send_signal(container_id, "SIGTERM")
            lab.wait_for_event(container_id, events, "a container has ended that ran before the stream was opened")

    def test_closing_ends_a_stream_that_another_thread_reads(self, lab: RuntimeLab) -> None:
        reading = threading.Event()

        def read() -> list[str]:
            with lab.runtime.open_events() as events:
                reading.set()
                return list(events)

        told = in_background(read)
        assert reading.wait(TIMEOUT), "open_events() must return at once, and not wait for an event"
        lab.runtime.close_events()
        assert isinstance(told.result(), list), "close_events() must end what another thread reads"

    def test_closing_without_a_stream_and_twice_does_nothing(self, lab: RuntimeLab) -> None:
        lab.runtime.close_events()
        with lab.runtime.open_events():
            lab.runtime.close_events()
            lab.runtime.close_events()

    def test_a_new_stream_can_be_opened_after_the_end_of_another(self, lab: RuntimeLab) -> None:
        with lab.runtime.open_events() as events:
            lab.runtime.close_events()
            list(events)
        container_id = lab.create("one")
        with lab.runtime.open_events() as events:
            lab.runtime.start(container_id)
            lab.wait_for_event(container_id, events, "a container was started after another stream was closed")
