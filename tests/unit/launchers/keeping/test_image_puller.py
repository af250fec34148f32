"""Having images there: pulls that are shared, have deadlines, can be cancelled, and tell how far they are."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from queue import SimpleQueue
from typing import Any

import pytest

from flcore.errors import ImageError, JobAbortedError, PullTimeoutError, RuntimeUnavailableError
from flcore.job_launcher_spec import ImagePullProgress
from launchers.keeping import image_puller
from launchers.keeping.image_puller import PROGRESS_INTERVAL, ImagePuller
from launchers.runtime.base import PullStatus
from launchers.runtime.fake import FakeRuntime
from launchers.settings import PullSettings

IMAGE = "job:1"
TIMEOUT = 5.0
SOON = 0.1
ALWAYS = PullSettings("always")
IF_MISSING = PullSettings("if-missing")


@pytest.fixture
def runtime() -> FakeRuntime:
    """A runtime without an image, whose pulls go on as the test says."""
    runtime = FakeRuntime(images=set(), registry={IMAGE, "other:1"})
    runtime.pulls_wait = True
    return runtime


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(10) as pool:
        yield pool


class Caller:
    """One who waits for an image, in a thread of its own."""

    def __init__(self, pool: ThreadPoolExecutor, puller: ImagePuller, image: str = IMAGE) -> None:
        self._puller = puller
        self._cancelled = threading.Event()
        self._asked = threading.Event()
        self._answer: Future[bool] = pool.submit(puller.ensure, image, self._is_cancelled)

    def cancel(self) -> None:
        self._cancelled.set()
        self._puller.wake()

    def answer(self) -> bool:
        """Return what ``ensure`` returns, or raise what it raises."""
        return self._answer.result(TIMEOUT)

    def is_waiting(self) -> bool:
        return not self._answer.done()

    def until_waiting(self) -> None:
        assert self._asked.wait(TIMEOUT)
        self._puller.wake()  # takes the lock that a caller lets go of only when it waits

    def _is_cancelled(self) -> bool:
        self._asked.set()
        return self._cancelled.is_set()


def callers(pool: ThreadPoolExecutor, puller: ImagePuller, number: int) -> list[Caller]:
    """Return callers of one image that all wait."""
    all_of_them = [Caller(pool, puller) for _ in range(number)]
    for caller in all_of_them:
        caller.until_waiting()
    return all_of_them


def until(condition: Callable[[], object]) -> None:
    """Return when the condition holds, of something that can only be asked."""
    deadline = time.monotonic() + TIMEOUT
    pause = threading.Event()
    while not condition():
        assert time.monotonic() < deadline
        pause.wait(0.005)


def pull_threads() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "flcore-pull"]


# --- policies ---


@pytest.mark.parametrize("images", [set(), {IMAGE}])
def test_where_images_are_never_pulled_the_engine_is_not_asked(images: set[str]) -> None:
    runtime = FakeRuntime(images=images, registry={IMAGE})
    runtime.set_reachable(False)
    assert ImagePuller(runtime).ensure(IMAGE)
    assert runtime.pulls == []


def test_a_missing_image_is_pulled(runtime: FakeRuntime) -> None:
    runtime.pulls_wait = False
    assert ImagePuller(runtime, IF_MISSING).ensure(IMAGE)
    assert runtime.find_image(IMAGE)


def test_an_image_that_is_there_is_not_pulled_again_if_only_missing_ones_are(runtime: FakeRuntime) -> None:
    runtime.images = {IMAGE}
    assert ImagePuller(runtime, IF_MISSING).ensure(IMAGE)
    assert runtime.pulls == []


def test_an_image_that_is_there_is_pulled_again_if_all_are(runtime: FakeRuntime) -> None:
    runtime.images, runtime.pulls_wait = {IMAGE}, False
    puller = ImagePuller(runtime, ALWAYS)
    assert puller.ensure(IMAGE)
    assert puller.ensure(IMAGE)
    assert [pull.image for pull in runtime.pulls] == [IMAGE, IMAGE]


# --- sharing ---


def test_ten_who_want_one_image_share_a_pull(runtime: FakeRuntime, pool: ThreadPoolExecutor) -> None:
    ten = callers(pool, ImagePuller(runtime, IF_MISSING), 10)
    runtime.wait_for_pull().finish()
    assert [caller.answer() for caller in ten] == [True] * 10
    assert len(runtime.pulls) == 1


def test_a_pull_takes_one_thread_however_many_wait_and_none_afterwards(
    runtime: FakeRuntime, pool: ThreadPoolExecutor
) -> None:
    three = callers(pool, ImagePuller(runtime, IF_MISSING), 3)
    pull = runtime.wait_for_pull()
    assert len(pull_threads()) == 1
    pull.finish()
    assert all(caller.answer() for caller in three)
    until(lambda: not pull_threads())


def test_two_images_are_pulled_at_the_same_time(runtime: FakeRuntime, pool: ThreadPoolExecutor) -> None:
    puller = ImagePuller(runtime, IF_MISSING)
    one = Caller(pool, puller)
    first = runtime.wait_for_pull(1)
    other = Caller(pool, puller, "other:1")
    runtime.wait_for_pull(2).finish()
    assert other.answer()
    assert one.is_waiting()
    first.finish()
    assert one.answer()


def test_all_who_wait_get_the_error_of_the_pull(runtime: FakeRuntime, pool: ThreadPoolExecutor) -> None:
    ten = callers(pool, ImagePuller(runtime, IF_MISSING), 10)
    runtime.wait_for_pull().fail(ImageError("the disk is full"))
    for caller in ten:
        with pytest.raises(ImageError, match="the disk is full"):
            caller.answer()


def test_an_image_that_no_registry_has_is_an_error(runtime: FakeRuntime) -> None:
    with pytest.raises(ImageError, match="image nowhere:1 cannot be pulled: manifest unknown"):
        ImagePuller(runtime, IF_MISSING).ensure("nowhere:1")


def test_after_a_failed_pull_the_next_caller_tries_again(runtime: FakeRuntime, pool: ThreadPoolExecutor) -> None:
    puller = ImagePuller(runtime, IF_MISSING)
    first = Caller(pool, puller)
    runtime.wait_for_pull(1).fail(ImageError("the disk is full"))
    with pytest.raises(ImageError):
        first.answer()
    second = Caller(pool, puller)
    runtime.wait_for_pull(2).finish()
    assert second.answer()


# --- engine outages ---


def test_an_engine_that_does_not_answer_is_unavailable(runtime: FakeRuntime) -> None:
    runtime.set_reachable(False)
    for settings in (IF_MISSING, ALWAYS):
        with pytest.raises(RuntimeUnavailableError):
            ImagePuller(runtime, settings).ensure(IMAGE)


def test_an_engine_that_goes_away_during_a_pull_is_unavailable_to_all(
    runtime: FakeRuntime, pool: ThreadPoolExecutor
) -> None:
    puller = ImagePuller(runtime, IF_MISSING)
    two = callers(pool, puller, 2)
    runtime.wait_for_pull()
    runtime.set_reachable(False)
    for caller in two:
        with pytest.raises(RuntimeUnavailableError):
            caller.answer()
    runtime.set_reachable(True)
    again = Caller(pool, puller)
    runtime.wait_for_pull(2).finish()
    assert again.answer()


# --- cancelling ---


def test_who_is_cancelled_before_it_asks_begins_no_pull(runtime: FakeRuntime) -> None:
    assert not ImagePuller(runtime, ALWAYS).ensure(IMAGE, lambda: True)
    assert runtime.pulls == []
    assert not pull_threads()


def test_who_is_cancelled_returns_at_once_and_the_others_get_the_image(
    runtime: FakeRuntime, pool: ThreadPoolExecutor
) -> None:
    first, second = callers(pool, ImagePuller(runtime, IF_MISSING), 2)
    pull = runtime.wait_for_pull()
    first.cancel()
    assert not first.answer()
    assert not pull.closed
    assert second.is_waiting()
    pull.finish()
    assert second.answer()


def test_who_is_cancelled_gets_no_error_of_a_pull_that_goes_on_without_it(
    runtime: FakeRuntime, pool: ThreadPoolExecutor
) -> None:
    first, second = callers(pool, ImagePuller(runtime, IF_MISSING), 2)
    pull = runtime.wait_for_pull()
    first.cancel()
    pull.fail(ImageError("the disk is full"))
    assert not first.answer()
    with pytest.raises(ImageError):
        second.answer()


def test_a_pull_is_ended_when_the_last_who_waits_is_cancelled(runtime: FakeRuntime, pool: ThreadPoolExecutor) -> None:
    two = callers(pool, ImagePuller(runtime, IF_MISSING), 2)
    pull = runtime.wait_for_pull()
    for caller in two:
        assert not pull.closed
        caller.cancel()
        assert not caller.answer()
    assert pull.closed
    assert runtime.images == set()
    until(lambda: not pull_threads())


def test_who_comes_after_a_cancelled_pull_gets_a_new_one(runtime: FakeRuntime, pool: ThreadPoolExecutor) -> None:
    puller = ImagePuller(runtime, IF_MISSING)
    first = Caller(pool, puller)
    runtime.wait_for_pull(1)
    first.cancel()
    assert not first.answer()
    second = Caller(pool, puller)
    runtime.wait_for_pull(2).finish()
    assert second.answer()


def test_cancelling_before_the_engine_has_said_anything_ends_the_pull(
    runtime: FakeRuntime, pool: ThreadPoolExecutor
) -> None:
    caller = Caller(pool, ImagePuller(runtime, IF_MISSING))
    caller.cancel()
    assert not caller.answer()
    until(lambda: not pull_threads())


def test_an_interrupt_of_the_only_caller_ends_the_pull(runtime: FakeRuntime) -> None:
    def interrupt() -> bool:
        if runtime.pulls:
            raise KeyboardInterrupt
        return False

    def wake() -> None:
        runtime.wait_for_pull()
        puller.wake()

    puller = ImagePuller(runtime, ALWAYS)
    waker = threading.Thread(target=wake)
    waker.start()
    with pytest.raises(KeyboardInterrupt):
        puller.ensure(IMAGE, interrupt)
    waker.join(TIMEOUT)
    assert runtime.pulls[0].closed


# --- deadlines ---


def test_a_pull_that_takes_too_long_is_ended(runtime: FakeRuntime, pool: ThreadPoolExecutor) -> None:
    three = callers(pool, ImagePuller(runtime, PullSettings("always", timeout=SOON)), 3)
    for caller in three:
        with pytest.raises(PullTimeoutError, match=r"image job:1 was not pulled within 0\.1 s \('pull_timeout'\)"):
            caller.answer()
    assert runtime.pulls[0].closed
    until(lambda: not pull_threads())


def test_a_pull_without_progress_is_ended(runtime: FakeRuntime, pool: ThreadPoolExecutor) -> None:
    caller = Caller(pool, ImagePuller(runtime, PullSettings("always", stall_timeout=SOON)))
    still = r"image job:1: its pull made no progress for 0\.1 s \('pull_stall_timeout'\)"
    with pytest.raises(PullTimeoutError, match=still):
        caller.answer()
    assert runtime.wait_for_pull().closed


class Clock:
    """The time as the test says. Who waits looks at it after a wake."""

    def __init__(self) -> None:
        self.now = 1000.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(image_puller, "time", clock)
    return clock


class SlowPull:
    """A pull of which something is said every 4 s, and that may go on for 10 s without progress."""

    def __init__(self, runtime: FakeRuntime, pool: ThreadPoolExecutor, clock: Clock, **deadlines: Any) -> None:
        self._clock = clock
        self._read = SimpleQueue[ImagePullProgress]()
        settings = PullSettings("always", **{"stall_timeout": 10, **deadlines})
        self._puller = ImagePuller(runtime, settings, self._read.put)
        self.caller = Caller(pool, self._puller)
        self.pull = runtime.wait_for_pull()

    def say(self, layer: str, status: str, current: int = 0) -> None:
        """Let time pass, say something, and have it read. Every time is time enough for a report."""
        self._clock.now += 4
        self.pull.say(layer, status, current, 1000)
        self._read.get(timeout=TIMEOUT)
        self._puller.wake()

    def pause(self) -> None:
        self._clock.now += 4
        self._puller.wake()


Said = tuple[str, str, int]


@pytest.mark.parametrize(
    "said",
    [
        [("a", PullStatus.DOWNLOADING, n) for n in range(1, 6)],
        [("a", PullStatus.DOWNLOADING, n) for n in (900, 1, 2, 3, 4)],
        [(f"layer {n}", "Pulling fs layer", 0) for n in range(5)],
        [("a", status, 0) for status in ("Waiting", "Downloading", "Download complete", "Extracting", "Pull complete")],
    ],
    ids=["new bytes", "new bytes of what begins again", "new layers", "new states"],
)
def test_a_pull_that_makes_progress_goes_on(
    runtime: FakeRuntime, pool: ThreadPoolExecutor, clock: Clock, said: list[Said]
) -> None:
    slow = SlowPull(runtime, pool, clock)
    for one in said:
        slow.say(*one)
    slow.pull.finish()
    assert slow.caller.answer()


@pytest.mark.parametrize(
    "said",
    [
        [("a", PullStatus.DOWNLOADING, 500)] * 3,
        [("a", "Retrying", 0), ("a", PullStatus.DOWNLOADING, 0)] * 2,
        [("a", "Extracting", 5), ("b", "Waiting", 0)] * 2,
        [("a", PullStatus.DOWNLOADING, n) for n in (900, 1, 1)],
    ],
    ids=["the same bytes", "trying again in vain", "the same states", "beginning again"],
)
def test_what_was_said_before_is_no_progress(
    runtime: FakeRuntime, pool: ThreadPoolExecutor, clock: Clock, said: list[Said]
) -> None:
    slow = SlowPull(runtime, pool, clock)
    for one in said:
        slow.say(*one)
    assert slow.caller.is_waiting()
    slow.pause()
    with pytest.raises(PullTimeoutError, match="made no progress for 10 s"):
        slow.caller.answer()


def test_the_deadline_in_all_counts_in_spite_of_progress(
    runtime: FakeRuntime, pool: ThreadPoolExecutor, clock: Clock
) -> None:
    slow = SlowPull(runtime, pool, clock, timeout=20)
    for n in range(4):
        slow.say("a", PullStatus.DOWNLOADING, n)
    assert slow.caller.is_waiting()
    slow.pause()
    with pytest.raises(PullTimeoutError, match="not pulled within 20 s"):
        slow.caller.answer()


def test_who_comes_late_has_no_more_time_than_the_pull(
    runtime: FakeRuntime, pool: ThreadPoolExecutor, clock: Clock
) -> None:
    puller = ImagePuller(runtime, PullSettings("always", timeout=10))
    first = Caller(pool, puller)
    first.until_waiting()
    clock.now += 9
    second = Caller(pool, puller)
    second.until_waiting()
    clock.now += 2
    puller.wake()
    for caller in (first, second):
        with pytest.raises(PullTimeoutError):
            caller.answer()


# --- the end of the site ---


def test_closing_ends_all_pulls(runtime: FakeRuntime, pool: ThreadPoolExecutor) -> None:
    puller = ImagePuller(runtime, IF_MISSING)
    two = [Caller(pool, puller), Caller(pool, puller, "other:1")]
    pulls = [runtime.wait_for_pull(1), runtime.wait_for_pull(2)]
    puller.close()
    puller.close()
    for caller in two:
        with pytest.raises(JobAbortedError, match="on the request of the site, which closes"):
            caller.answer()
    assert all(pull.closed for pull in pulls)
    until(lambda: not pull_threads())


def test_nothing_is_pulled_after_closing(runtime: FakeRuntime) -> None:
    puller = ImagePuller(runtime, IF_MISSING)
    puller.close()
    with pytest.raises(JobAbortedError, match="image job:1 is not pulled"):
        puller.ensure(IMAGE)
    assert runtime.pulls == []


# --- progress ---


class Listener:
    """Keeps what it is told. The test can wait for a pull's last report."""

    def __init__(self) -> None:
        self.told: list[ImagePullProgress] = []
        self._ended = threading.Event()

    def __call__(self, progress: ImagePullProgress) -> None:
        self.told.append(progress)
        if progress.ended:
            self._ended.set()

    def last(self) -> ImagePullProgress:
        """Return the last report once it is there, but for its time."""
        assert self._ended.wait(TIMEOUT)
        return replace(self.told[-1], seconds=0)


def test_the_first_and_the_last_thing_that_an_engine_says_are_told(
    runtime: FakeRuntime, pool: ThreadPoolExecutor
) -> None:
    listener = Listener()
    caller = Caller(pool, ImagePuller(runtime, IF_MISSING, listener))
    pull = runtime.wait_for_pull()
    pull.say("", "Pulling from job")
    pull.say("a", PullStatus.ALREADY_EXISTS)
    pull.say("b", PullStatus.DOWNLOADING, 10, 100)
    pull.say("b", PullStatus.DOWNLOAD_COMPLETE)
    pull.say("b", PullStatus.PULL_COMPLETE)
    pull.say("c", PullStatus.DOWNLOADING, 30, 50)
    pull.finish()
    assert caller.answer()
    end = ImagePullProgress(IMAGE, 0, layers=3, layers_done=3, downloaded=150, size=150, ended=True)
    assert listener.last() == end
    first = listener.told[0]
    assert (first.image, first.layers, first.downloaded, first.ended) == (IMAGE, 0, 0, False)


def test_progress_is_not_told_more_often_than_somebody_can_read(
    runtime: FakeRuntime, pool: ThreadPoolExecutor, clock: Clock
) -> None:
    listener = Listener()
    caller = Caller(pool, ImagePuller(runtime, IF_MISSING, listener))
    pull = runtime.wait_for_pull()
    for number in range(1000):
        pull.say("a", PullStatus.DOWNLOADING, number, 1000)
    clock.now += PROGRESS_INTERVAL
    pull.say("a", PullStatus.DOWNLOADING, 1000, 1000)
    pull.finish()
    assert caller.answer()
    assert listener.last().downloaded == 1000
    assert 2 <= len(listener.told) <= 3


def test_the_last_report_says_why_there_is_no_image(runtime: FakeRuntime, pool: ThreadPoolExecutor) -> None:
    listener = Listener()
    caller = Caller(pool, ImagePuller(runtime, IF_MISSING, listener))
    runtime.wait_for_pull().fail(ImageError("the disk is full"))
    with pytest.raises(ImageError):
        caller.answer()
    assert (listener.last().ended, listener.last().error) == (True, "the disk is full")


def test_the_last_report_of_a_cancelled_pull_says_so(runtime: FakeRuntime, pool: ThreadPoolExecutor) -> None:
    listener = Listener()
    caller = Caller(pool, ImagePuller(runtime, IF_MISSING, listener))
    runtime.wait_for_pull()
    caller.cancel()
    assert not caller.answer()
    assert listener.last().error == "image job:1: its pull was ended, for nobody waits for it any more"


def test_where_nothing_is_pulled_nothing_is_told(runtime: FakeRuntime) -> None:
    listener = Listener()
    runtime.images = {IMAGE}
    assert ImagePuller(runtime, IF_MISSING, listener).ensure(IMAGE)
    until(lambda: not pull_threads())
    assert listener.told == []


def test_who_waits_is_served_before_a_listener_that_blocks(runtime: FakeRuntime, pool: ThreadPoolExecutor) -> None:
    blocked, go_on = threading.Event(), threading.Event()

    def block_at_the_end(progress: ImagePullProgress) -> None:
        if progress.ended:
            blocked.set()
            assert go_on.wait(TIMEOUT)

    caller = Caller(pool, ImagePuller(runtime, IF_MISSING, block_at_the_end))
    runtime.wait_for_pull().finish()
    assert blocked.wait(TIMEOUT)
    assert caller.answer()
    go_on.set()
    until(lambda: not pull_threads())


def test_a_listener_that_raises_ends_no_pull(
    runtime: FakeRuntime, pool: ThreadPoolExecutor, caplog: pytest.LogCaptureFixture
) -> None:
    def complain(progress: ImagePullProgress) -> None:
        raise ValueError("no")

    caller = Caller(pool, ImagePuller(runtime, IF_MISSING, complain))
    pull = runtime.wait_for_pull()
    pull.say("a", PullStatus.DOWNLOADING, 10, 100)
    pull.finish()
    assert caller.answer()
    until(lambda: not pull_threads())
    assert "ValueError: no" in caplog.text
