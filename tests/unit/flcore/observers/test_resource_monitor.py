"""What running jobs use: measured soon and seldom, by one thread that is there only while a job runs."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from flcore import EventType, FLComponent, FLContext, FLContextKey, JobHandleSpec, JobReturnCode, JobUsage, Site
from flcore.errors import ConfigError, RuntimeUnavailableError
from flcore.observers import resource_monitor
from flcore.observers.resource_monitor import ResourceMonitor, seconds_to_next
from launchers.docker_launcher import ClientDockerJobLauncher
from launchers.runtime.fake import FakeRuntime
from tests.conftest import PlainHandle, recover

ARGS: dict[str, tuple[str, Any]] = {"exe_module": ("-m", "client")}
TIMEOUT = 10.0
MIB = 1 << 20


class Meter(FLComponent):
    """Keeps what JOB_USAGE events tell."""

    def __init__(self) -> None:
        super().__init__()
        self._told: list[JobUsage] = []
        self._arrived = threading.Condition()

    def handle_event(self, event_type: str, fl_ctx: FLContext) -> None:
        if event_type == EventType.JOB_USAGE:
            assert fl_ctx.get_job_id() == JobUsage.of(fl_ctx).job_id
            with self._arrived:
                self._told.append(JobUsage.of(fl_ctx))
                self._arrived.notify_all()

    def wait_for(self, condition: Callable[[JobUsage], bool]) -> JobUsage:
        """Return the first usage of which something is so, waiting for it."""
        with self._arrived:
            found = self._arrived.wait_for(lambda: next(filter(condition, self._told), None), TIMEOUT)
            assert found, self._told
            return found

    def wait_for_next(self) -> JobUsage:
        with self._arrived:
            known = len(self._told)
            assert self._arrived.wait_for(lambda: len(self._told) > known, TIMEOUT)
            return self._told[-1]


class MeasuredHandle(PlainHandle):
    """A third party's handle that tells what its job uses, or raises."""

    def __init__(self, job_id: str, error: Exception | None = None) -> None:
        super().__init__()
        self.job_id = job_id
        self.error = error
        self.asked = threading.Semaphore(0)
        self.askers: set[int] = set()

    def usage(self) -> JobUsage:
        self.askers.add(threading.get_ident())
        self.asked.release()
        if self.error:
            raise self.error
        return JobUsage(self.job_id, "site-1", 1.0, 2.0, 3)

    def wait_until_asked(self) -> None:
        assert self.asked.acquire(timeout=TIMEOUT)


@pytest.fixture(autouse=True)
def _soon_and_often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resource_monitor, "FIRST_AFTER", 0.01)
    monkeypatch.setattr(resource_monitor, "REST", 0.001)


@pytest.fixture
def meter() -> Meter:
    return Meter()


@pytest.fixture
def monitor() -> ResourceMonitor:
    return ResourceMonitor(interval=0.02)


@pytest.fixture
def runtime() -> FakeRuntime:
    return FakeRuntime()


@pytest.fixture
def site(make_site: Callable[..., Site], runtime: FakeRuntime, monitor: ResourceMonitor, meter: Meter) -> Site:
    """A site that launches jobs in the fake runtime, and measures them."""
    launcher = ClientDockerJobLauncher(image="job:1", runtime=runtime)
    return make_site(launcher=launcher, monitor=monitor, meter=meter)


@pytest.fixture
def plain_site(make_site: Callable[..., Site], monitor: ResourceMonitor, meter: Meter) -> Iterator[Site]:
    """A site of a third party's launcher; its jobs are told by the test."""
    site = make_site(monitor=monitor, meter=meter)
    site.start()
    yield site
    monitor.close()


def launched(site: Site, job_id: str, handle: JobHandleSpec) -> None:
    fl_ctx = site.new_context()
    fl_ctx.set_prop(FLContextKey.CURRENT_RUN, job_id, private=False, sticky=False)
    FLComponent().fire_event_with_data(EventType.AFTER_JOB_LAUNCH, fl_ctx, FLContextKey.JOB_HANDLE, handle)


def monitor_threads() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "flcore-monitor"]


def wait_for_end_of(threads: list[threading.Thread]) -> None:
    for thread in threads:
        thread.join(TIMEOUT)
        assert not thread.is_alive()


def test_a_running_job_is_measured_again_and_again(site: Site, runtime: FakeRuntime, meter: Meter) -> None:
    site.launch_job({"job_id": "j1"}, ARGS)
    runtime.use("site-1-j1", 1.5, MIB)
    usage = meter.wait_for(lambda usage: usage.memory == MIB)
    assert (usage.job_id, usage.site, usage.cpu_seconds) == ("j1", "site-1", 1.5)
    assert usage.time > 0
    runtime.use("site-1-j1", 1.0, 2 * MIB)
    assert meter.wait_for(lambda usage: usage.memory == 2 * MIB).cpu_seconds == 2.5


def test_a_job_that_was_found_again_is_measured(plain_site: Site, meter: Meter) -> None:
    recover(plain_site, "j1", MeasuredHandle("j1"))
    assert meter.wait_for_next().job_id == "j1"


def test_there_is_no_thread_while_no_job_runs(site: Site, runtime: FakeRuntime, meter: Meter) -> None:
    site.start()
    assert monitor_threads() == []
    handle = site.launch_job({"job_id": "j1"}, ARGS)
    meter.wait_for_next()
    threads = monitor_threads()
    assert len(threads) == 1
    runtime.exit("site-1-j1", 0)
    handle.wait()
    wait_for_end_of(threads)


def test_all_jobs_are_measured_by_one_thread(plain_site: Site) -> None:
    handles = [MeasuredHandle(f"j{number}") for number in range(5)]
    for handle in handles:
        launched(plain_site, handle.job_id, handle)
    for handle in handles:
        handle.wait_until_asked()
    assert len(set.union(*(handle.askers for handle in handles))) == 1


def test_an_engine_that_does_not_answer_skips_samples_and_ends_nothing(
    site: Site, runtime: FakeRuntime, meter: Meter
) -> None:
    handle = site.launch_job({"job_id": "j1"}, ARGS)
    meter.wait_for_next()
    runtime.set_reachable(False)
    runtime.use("site-1-j1", 1.0, MIB)
    runtime.set_reachable(True)
    assert meter.wait_for(lambda usage: usage.memory == MIB)
    assert handle.poll() is JobReturnCode.UNKNOWN


def test_a_job_that_cannot_be_measured_now_is_asked_again(plain_site: Site) -> None:
    away = MeasuredHandle("j1", RuntimeUnavailableError("away"))
    launched(plain_site, "j1", away)
    for _ in range(3):
        away.wait_until_asked()


def test_a_handle_that_fails_is_given_up_and_the_others_are_not(
    plain_site: Site, meter: Meter, caplog: pytest.LogCaptureFixture
) -> None:
    broken = MeasuredHandle("broken", KeyError("oops"))
    launched(plain_site, "broken", broken)
    launched(plain_site, "good", MeasuredHandle("good"))
    broken.wait_until_asked()
    for _ in range(3):
        assert meter.wait_for_next().job_id == "good"
    assert not broken.asked.acquire(blocking=False)
    assert "job broken: cannot be measured, and will not be any more" in caplog.text


def test_of_a_handle_that_cannot_tell_nothing_is_told(plain_site: Site, meter: Meter) -> None:
    silent = PlainHandle()
    launched(plain_site, "silent", silent)
    launched(plain_site, "good", MeasuredHandle("good"))
    assert {meter.wait_for_next().job_id for _ in range(3)} == {"good"}
    silent.end(JobReturnCode.SUCCESS)


def test_it_lets_go_of_running_jobs_at_the_systems_end_and_begins_anew(
    site: Site, meter: Meter, runtime: FakeRuntime
) -> None:
    site.launch_job({"job_id": "j1"}, ARGS)
    meter.wait_for_next()
    site.close()
    assert monitor_threads() == []
    site.start()  # finds the job again
    meter.wait_for_next()


@pytest.mark.parametrize(("seconds", "most"), [(5, 10), (600, 80), (86_400, 400), (30 * 86_400, 600)])
def test_the_number_of_samples_grows_with_the_logarithm_of_the_time(
    seconds: int, most: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(resource_monitor, "FIRST_AFTER", 0.2)
    samples, age = 0, 0.2
    while age < seconds:
        samples, age = samples + 1, age + seconds_to_next(age, 10)
    assert most / 3 < samples < most


def test_a_job_of_half_a_second_has_a_sample(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resource_monitor, "FIRST_AFTER", 0.2)
    assert seconds_to_next(0, 10) < 0.5


@pytest.mark.parametrize("interval", [0, -1, True, "10", float("nan"), -float("inf")])
def test_an_interval_that_is_none_is_refused(interval: Any) -> None:
    with pytest.raises(ValueError, match=r"^interval must be a number of seconds, 0\.01 at least, got"):
        ResourceMonitor(interval)


def test_a_config_may_name_it(tmp_path: Path) -> None:
    config = tmp_path / "site.json"
    component = {"id": "monitor", "name": "ResourceMonitor", "args": {"interval": 30}}
    config.write_text(json.dumps({"site": "site-1", "components": [component]}))
    assert isinstance(Site.from_config(config).components()["monitor"], ResourceMonitor)
    component["args"] = {"interval": "often"}
    config.write_text(json.dumps({"site": "site-1", "components": [component]}))
    with pytest.raises(ConfigError, match=r"component 'monitor'.*interval must be a number of seconds"):
        Site.from_config(config)
