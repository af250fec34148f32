"""JobFollower: the ends of a site's jobs are told, and before the site's own."""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from flcore import EventType, FLComponent, FLContext, FLContextKey, JobHandleSpec, JobReturnCode, Site, job_follower
from flcore.errors import JobAbortedError, JobLaunchError
from flcore.event_ids import EventId
from flcore.testing import EventRecorder
from tests.conftest import At, Launcher, PlainHandle, but_for_changes, recover
from tests.faulty import until

META = {"job_id": "j1"}
TIMEOUT = 10.0
SUCCESS = JobReturnCode.SUCCESS


class Unhurried(PlainHandle):
    """Tells of its end only when somebody has asked for that after it: as a thread that gets its turn late."""

    def __init__(self) -> None:
        super().__init__()
        self._asked = threading.Event()

    def poll(self) -> JobReturnCode:
        code = super().poll()
        if code is not JobReturnCode.UNKNOWN:
            self._asked.set()
        return code

    def add_done_callback(self, callback: Callable[[JobHandleSpec], None]) -> None:
        def call_when_asked() -> None:
            self._asked.wait()
            callback(self)

        threading.Thread(target=call_when_asked, daemon=True).start()


def test_an_end_that_has_happened_is_told_before_the_site_ends(
    make_site: Callable[..., Site], event_recorder: EventRecorder
) -> None:
    site = make_site(launcher=Launcher(Unhurried))
    handles = [site.launch_job({"job_id": job_id}) for job_id in ("j1", "j2")]
    for handle in handles:
        assert isinstance(handle, Unhurried)
        handle.end(SUCCESS)
    site.close()
    types = event_recorder.event_types
    assert types[-1] == EventType.SYSTEM_END
    assert types.count(EventType.JOB_COMPLETED) == 2


def test_the_end_of_a_job_that_was_found_again_is_told_before_the_site_ends(
    make_site: Callable[..., Site], event_recorder: EventRecorder
) -> None:
    handle = Unhurried()
    site = make_site()
    site.start()
    recover(site, "r1", handle)
    handle.end(SUCCESS)
    site.close()
    assert event_recorder.event_types[-2:] == [EventType.JOB_COMPLETED, EventType.SYSTEM_END]


def test_a_component_that_closes_the_site_when_it_hears_of_an_end_does_not_wait_for_itself(
    make_site: Callable[..., Site], event_recorder: EventRecorder
) -> None:
    site = make_site(launcher=Launcher())
    closing = At(EventType.JOB_COMPLETED, site.close)
    site.add_component("closing", closing)
    handle = site.launch_job(META)
    assert isinstance(handle, PlainHandle)
    handle.end(SUCCESS)
    assert closing.done.wait(job_follower.TELLING_TIMEOUT / 2)


def test_a_site_closes_though_an_end_is_not_told_in_time_and_says_so(
    make_site: Callable[..., Site], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(job_follower, "TELLING_TIMEOUT", 0.01)

    class Silent(PlainHandle):
        def add_done_callback(self, callback: Callable[[JobHandleSpec], None]) -> None:
            """Never call it."""

    site = make_site(launcher=Launcher(Silent))
    handle = site.launch_job(META)
    assert isinstance(handle, Silent)
    handle.end(SUCCESS)
    site.close()
    assert "site site-1 closes, but not all heard of the ends of these jobs: j1" in caplog.text


def test_a_handle_that_cannot_say_whether_its_job_has_ended_keeps_no_site_from_closing(
    make_site: Callable[..., Site], event_recorder: EventRecorder
) -> None:
    class Broken(PlainHandle):
        def poll(self) -> JobReturnCode:
            raise ValueError("broken")

    site = make_site(launcher=Launcher(Broken))
    site.launch_job(META)
    site.close()
    assert event_recorder.event_types[-1] == EventType.SYSTEM_END


class Known(PlainHandle):
    """A handle of a launcher that finds its jobs again: it knows by what id the end is told."""

    end_id = "their-run.7"


class Confused(PlainHandle):
    @property
    def end_id(self) -> str:
        raise RuntimeError("what id?")


class Ids(FLComponent):
    """Collects by what ids ends are told."""

    def __init__(self) -> None:
        super().__init__()
        self.heard: list[str] = []

    def handle_event(self, event_type: str, fl_ctx: FLContext) -> None:
        if event_type in (EventType.JOB_COMPLETED, EventType.JOB_ABORTED):
            self.heard.append(fl_ctx.get_prop(FLContextKey.JOB_EVENT_ID))


def ids_of_ends(make_site: Callable[..., Site], handle: type[PlainHandle], count: int) -> list[str]:
    ids = Ids()
    site = make_site(launcher=Launcher(handle), ids=ids)
    for number in range(count):
        launched = site.launch_job({"job_id": f"j{number}"})
        assert isinstance(launched, PlainHandle)
        launched.end(SUCCESS)
    site.close()
    return ids.heard


def test_an_end_of_a_handle_that_knows_its_id_is_told_by_that(make_site: Callable[..., Site]) -> None:
    assert ids_of_ends(make_site, Known, 1) == ["their-run.7"]


@pytest.mark.parametrize("handle", [PlainHandle, Confused])
def test_an_end_of_a_handle_that_knows_no_id_has_one_that_no_other_has(
    make_site: Callable[..., Site], handle: type[PlainHandle]
) -> None:
    assert len({EventId.of(text) for text in ids_of_ends(make_site, handle, 2)} - {None}) == 2


def test_a_launch_that_failed_is_told_by_an_id_of_its_own(make_site: Callable[..., Site]) -> None:
    ids = Ids()
    site = make_site(ids=ids)
    for _ in range(2):
        with pytest.raises(JobLaunchError):
            site.launch_job(META)
    assert len({EventId.of(text) for text in ids.heard} - {None}) == 2


class Called(PlainHandle):
    """Its end is told when the test says so, on the test's thread."""

    def __init__(self) -> None:
        super().__init__()
        self._callbacks: list[Callable[[JobHandleSpec], None]] = []

    def add_done_callback(self, callback: Callable[[JobHandleSpec], None]) -> None:
        self._callbacks.append(callback)

    def tell(self) -> None:
        self.end(SUCCESS)
        for callback in self._callbacks:
            callback(self)


class CalledAndKnown(Called):
    """One whose launcher finds it again, and tells its end then."""

    end_id = "their-run.7"


def end_behind_the_sites(make_site: Callable[..., Site], handle: type[Called]) -> Site:
    site = make_site(launcher=Launcher(handle))
    launched = site.launch_job(META)
    assert isinstance(launched, Called)
    site.close()
    launched.tell()
    return site


def test_nothing_is_told_behind_the_sites_end(make_site: Callable[..., Site], event_recorder: EventRecorder) -> None:
    site = end_behind_the_sites(make_site, Called)
    assert event_recorder.event_types[-1] == EventType.SYSTEM_END
    assert site.jobs()["j1"].poll() is SUCCESS


def test_an_end_behind_the_sites_is_told_when_the_same_site_starts_again(
    make_site: Callable[..., Site], event_recorder: EventRecorder
) -> None:
    site = end_behind_the_sites(make_site, Called)
    for _ in range(2):
        site.start()
        site.close()
    told = but_for_changes(event_recorder.event_types)
    behind = told[told.index(EventType.SYSTEM_END) :]
    start, end = [EventType.SYSTEM_BOOTSTRAP, EventType.SYSTEM_START], EventType.SYSTEM_END
    assert behind == [end, *start, EventType.JOB_COMPLETED, end, *start, end]


def test_an_end_behind_the_sites_is_left_to_the_launcher_that_finds_its_job_again(
    make_site: Callable[..., Site], event_recorder: EventRecorder
) -> None:
    end_behind_the_sites(make_site, CalledAndKnown).start()
    assert EventType.JOB_COMPLETED not in event_recorder.event_types


def is_closing(site: Site) -> bool:
    try:
        site.start()
    except JobLaunchError:
        return True
    return False


@pytest.mark.parametrize("event_type", [EventType.BEFORE_JOB_LAUNCH, EventType.AFTER_JOB_LAUNCH])
def test_a_launch_under_way_is_over_and_told_before_the_site_ends(
    make_site: Callable[..., Site], event_recorder: EventRecorder, pool: ThreadPoolExecutor, event_type: str
) -> None:
    hears, closes = threading.Event(), threading.Event()

    def hear_slowly() -> None:
        hears.set()
        closes.wait(TIMEOUT)

    site = make_site(launcher=Launcher(), slow=At(event_type, hear_slowly))
    site.start()
    launch = pool.submit(site.launch_job, META)
    assert hears.wait(TIMEOUT)
    closing = pool.submit(site.close)
    until(lambda: is_closing(site), "the site closes")
    closes.set()
    closing.result(TIMEOUT)
    ended = isinstance(launch.exception(TIMEOUT), JobAbortedError)
    assert ended is (event_type == EventType.BEFORE_JOB_LAUNCH)
    last = EventType.JOB_ABORTED if ended else EventType.AFTER_JOB_LAUNCH
    assert but_for_changes(event_recorder.event_types)[-2:] == [last, EventType.SYSTEM_END]
