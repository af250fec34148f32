"""What Prometheus reads of a site: right figures, on a port of this machine, without a job's id."""

from __future__ import annotations

import re
import shutil
import socket
import socketserver
import subprocess
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import pytest

pytest.importorskip("prometheus_client", reason="of the extra [metrics]")

import prometheus_client
from prometheus_client import CollectorRegistry, generate_latest

from flcore import EventType, FLComponent, FLContext, FLContextKey, JobReturnCode, Site
from flcore.errors import ConfigError, JobRejectedError, SiteBusyError
from flcore.extras import how_to_install
from flcore.observers import metrics_exporter
from flcore.observers.metrics_exporter import METRICS, MetricsExporter
from flcore.observers.resource_monitor import ResourceMonitor
from flcore.testing import EventRecorder, FakeFLContext
from launchers.docker_launcher import ClientDockerJobLauncher
from launchers.runtime.fake import FakeRuntime
from tests.conftest import Launcher, PlainHandle, recover
from tests.operator_lab import until

ARGS: dict[str, tuple[str, Any]] = {"exe_module": ("-m", "client")}
TIMEOUT = 10.0
MIB = 1 << 20


class QuickLauncher(ClientDockerJobLauncher):
    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.job_settings = replace(self.job_settings, relist_interval=0.05)


class Wall(FLComponent):
    """Handles no state change before the test says so."""

    def __init__(self) -> None:
        super().__init__()
        self.may_go_on = threading.Event()

    def handle_event(self, event_type: str, fl_ctx: FLContext) -> None:
        if event_type == EventType.JOB_STATE_CHANGED:
            assert self.may_go_on.wait(TIMEOUT)


@pytest.fixture(autouse=True)
def _ends_soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have a server look more often whether it is to end: for each of these tests it takes half a second to."""
    monkeypatch.setattr(socketserver.BaseServer.serve_forever, "__defaults__", (0.01,))


@pytest.fixture
def exporter() -> MetricsExporter:
    return MetricsExporter(0)


@pytest.fixture
def runtime() -> FakeRuntime:
    return FakeRuntime()


@pytest.fixture
def site(make_site: Callable[..., Site], runtime: FakeRuntime, exporter: MetricsExporter) -> Site:
    """A site that launches jobs in the fake runtime, and exports its figures."""
    launcher = QuickLauncher(image="job:1", runtime=runtime)
    site = make_site(launcher=launcher, metrics=exporter)
    site.start()
    return site


def text_of(exporter: MetricsExporter) -> str:
    with urlopen(f"http://127.0.0.1:{exporter.port}/metrics", timeout=TIMEOUT) as answer:
        return str(answer.read().decode())


def scraped(exporter: MetricsExporter) -> dict[str, float]:
    """Return what a scrape says that is not 0, without the site's label."""
    return {key: value for key, value in all_scraped(exporter).items() if value}


def all_scraped(exporter: MetricsExporter) -> dict[str, float]:
    lines = (line for line in text_of(exporter).splitlines() if not line.startswith("#"))
    pairs = (line.rsplit(" ", 1) for line in lines)
    return {re.sub(r'site="site-1",?|,?site="site-1"', "", key).replace("{}", ""): float(value) for key, value in pairs}


# --- figures ---


def test_a_running_job_is_shown(site: Site, exporter: MetricsExporter) -> None:
    site.launch_job({"job_id": "j1"}, ARGS)
    until(lambda: scraped(exporter).get('flcore_jobs{state="running"}') == 1)  # it is told soon after the launch
    found = scraped(exporter)
    assert found['flcore_launches_total{outcome="launched"}'] == 1
    assert found["flcore_launch_duration_seconds_count"] == 1


def test_an_ended_job_is_counted_by_its_return_code_and_its_reason(
    site: Site, exporter: MetricsExporter, runtime: FakeRuntime, event_recorder: EventRecorder
) -> None:
    site.launch_job({"job_id": "j1"}, ARGS)
    runtime.exit("site-1-j1", 137, oom_killed=True)
    event_recorder.wait_for(EventType.JOB_COMPLETED)
    found = scraped(exporter)
    assert 'flcore_jobs{state="running"}' not in found
    assert found['flcore_job_ends_total{return_code="EXECUTION_ERROR"}'] == 1
    assert found['flcore_job_failures_total{reason="out_of_memory"}'] == 1
    assert found["flcore_exit_detection_seconds_count"] == 1
    assert found["flcore_exit_detection_seconds_sum"] < TIMEOUT


def test_a_job_that_took_too_long_has_the_reason_timeout(
    make_site: Callable[..., Site], runtime: FakeRuntime, exporter: MetricsExporter, event_recorder: EventRecorder
) -> None:
    launcher = QuickLauncher(image="job:1", runtime=runtime, run_timeout=0.05)
    make_site(launcher=launcher, metrics=exporter).launch_job({"job_id": "j1"}, ARGS)
    event_recorder.wait_for(EventType.JOB_ABORTED)
    assert scraped(exporter)['flcore_job_failures_total{reason="timeout"}'] == 1


def test_a_launch_that_failed_is_counted_by_its_reason(site: Site, exporter: MetricsExporter) -> None:
    with pytest.raises(JobRejectedError):
        site.launch_job({"job_id": "j1", "resource_spec": "all"}, ARGS)
    found = scraped(exporter)
    assert found['flcore_launches_total{outcome="failed"}'] == 1
    assert found['flcore_job_failures_total{reason="refused"}'] == 1
    assert 'flcore_jobs{state="launching"}' not in found


def test_a_launch_that_waits_for_its_turn_is_shown(
    make_site: Callable[..., Site], exporter: MetricsExporter, pool: Any
) -> None:
    site = make_site(launcher=Launcher(), metrics=exporter, admission={"running": 1, "queued": 1})
    first = site.launch_job({"job_id": "j1"})
    second = pool.submit(site.launch_job, {"job_id": "j2"})
    until(lambda: scraped(exporter).get("flcore_launches_waiting") == 1)
    with pytest.raises(SiteBusyError):
        site.launch_job({"job_id": "j3"})
    assert isinstance(first, PlainHandle)
    first.end(JobReturnCode.SUCCESS)
    second.result(TIMEOUT)
    found = scraped(exporter)
    assert "flcore_launches_waiting" not in found
    assert found['flcore_job_failures_total{reason="busy"}'] == 1


def test_a_job_that_was_found_again_is_shown(site: Site, exporter: MetricsExporter) -> None:
    handle = PlainHandle()
    recover(site, "j1", handle)
    assert scraped(exporter)['flcore_jobs{state="running"}'] == 1
    handle.end(JobReturnCode.SUCCESS)


# --- studies ---


STUDIES: dict[str, Any] = {"brain": {}, "heart": {}}
"""What the launcher of some tests lists."""


def with_studies(make_site: Callable[..., Site], exporter: MetricsExporter, runtime: FakeRuntime, **args: Any) -> Site:
    site = make_site(launcher=QuickLauncher(image="job:1", runtime=runtime, **args), metrics=exporter)
    site.start()
    return site


def test_jobs_and_ends_are_counted_by_study(
    make_site: Callable[..., Site],
    exporter: MetricsExporter,
    runtime: FakeRuntime,
    event_recorder: EventRecorder,
) -> None:
    site = with_studies(make_site, exporter, runtime, studies=STUDIES)
    site.launch_job({"job_id": "j1", "study": "brain"}, ARGS)
    site.launch_job({"job_id": "j2"}, ARGS)
    found = scraped(exporter)
    assert (found['flcore_study_jobs{study="brain"}'], found['flcore_study_jobs{study=""}']) == (1, 1)
    runtime.exit("site-1-j1", 3)
    event_recorder.wait_for(EventType.JOB_COMPLETED)
    found = scraped(exporter)
    assert 'flcore_study_jobs{study="brain"}' not in found
    assert {key: value for key, value in found.items() if "study_job_" in key} == {
        'flcore_study_job_ends_total{study="brain"}': 1,
        'flcore_study_job_failures_total{study="brain"}': 1,
    }


def test_each_study_that_a_site_lists_has_its_series_before_its_first_job(
    make_site: Callable[..., Site], exporter: MetricsExporter, runtime: FakeRuntime
) -> None:
    with_studies(make_site, exporter, runtime, studies=STUDIES)
    assert studies_in(exporter) == {"", "brain", "heart"}


@pytest.mark.parametrize("studies", [None, STUDIES])
def test_whatever_words_others_make_up_there_is_one_more_series_at_most(
    make_site: Callable[..., Site], exporter: MetricsExporter, runtime: FakeRuntime, studies: Any
) -> None:
    site = with_studies(make_site, exporter, runtime, studies=studies)
    for number in range(20):
        with suppress(JobRejectedError):
            site.launch_job({"job_id": f"j{number}", "study": f"made-up-{number}"}, ARGS)
    assert studies_in(exporter) - {"brain", "heart"} == {"", "other"}


def test_a_job_that_was_found_again_is_of_its_study_still(
    make_site: Callable[..., Site], exporter: MetricsExporter, runtime: FakeRuntime
) -> None:
    with with_studies(make_site, MetricsExporter(0), runtime, studies=STUDIES) as site:
        site.launch_job({"job_id": "j1", "study": "brain"}, ARGS)
    with_studies(make_site, exporter, runtime, studies=STUDIES)
    until(lambda: scraped(exporter).get('flcore_study_jobs{study="brain"}') == 1)


def studies_in(exporter: MetricsExporter) -> set[str]:
    return set(re.findall(r'study="([^"]*)"', text_of(exporter)))


# --- engines ---


def test_an_engine_that_does_not_answer_is_shown(
    site: Site, exporter: MetricsExporter, runtime: FakeRuntime, event_recorder: EventRecorder
) -> None:
    site.launch_job({"job_id": "j1"}, ARGS)
    event_recorder.wait_for_states(["created", "running"])
    assert scraped(exporter)['flcore_engine_reachable{launcher="launcher"}'] == 1
    runtime.set_reachable(False)
    event_recorder.wait_for(EventType.ENGINE_UNREACHABLE)
    found = all_scraped(exporter)
    assert found['flcore_engine_reachable{launcher="launcher"}'] == 0
    assert found['flcore_engine_outages_total{launcher="launcher"}'] == 1
    runtime.set_reachable(True)
    event_recorder.wait_for(EventType.ENGINE_REACHABLE)
    until(lambda: scraped(exporter).get('flcore_event_stream_reconnects_total{launcher="launcher"}'))
    assert scraped(exporter)['flcore_engine_reachable{launcher="launcher"}'] == 1


def test_a_change_that_only_a_list_has_found_is_shown(
    site: Site, exporter: MetricsExporter, runtime: FakeRuntime, event_recorder: EventRecorder
) -> None:
    def missed() -> float:
        return scraped(exporter).get('flcore_missed_changes_total{launcher="launcher"}', 0)

    site.launch_job({"job_id": "j1"}, ARGS)
    states = ["created", "running"]
    event_recorder.wait_for_states(states)
    runtime.drop_events = True
    before, deadline = missed(), time.monotonic() + TIMEOUT
    while missed() == before:  # a look that an earlier event has asked for may still find the next change or two
        assert time.monotonic() < deadline
        change, state = (runtime.unpause, "running") if states[-1] == "paused" else (runtime.pause, "paused")
        change("site-1-j1")
        states.append(state)
        event_recorder.wait_for_states(states)
    assert missed() == before + 1


def test_what_slow_components_keep_waiting_is_shown(
    make_site: Callable[..., Site], runtime: FakeRuntime, exporter: MetricsExporter
) -> None:
    wall = Wall()
    site = make_site(launcher=QuickLauncher(image="job:1", runtime=runtime), metrics=exporter, wall=wall)
    site.launch_job({"job_id": "j1"}, ARGS)
    until(lambda: scraped(exporter).get('flcore_untold_events{launcher="launcher"}', 0) >= 1)
    wall.may_go_on.set()
    until(lambda: 'flcore_untold_events{launcher="launcher"}' not in scraped(exporter))


def test_what_jobs_use_is_shown_where_it_is_measured(
    make_site: Callable[..., Site], runtime: FakeRuntime, exporter: MetricsExporter, event_recorder: EventRecorder
) -> None:
    launcher = QuickLauncher(image="job:1", runtime=runtime)
    site = make_site(launcher=launcher, metrics=exporter, monitor=ResourceMonitor(0.2))
    site.launch_job({"job_id": "j1"}, ARGS)
    assert "flcore_jobs_memory_bytes" not in all_scraped(exporter)
    runtime.use("site-1-j1", 1.5, MIB)
    until(lambda: scraped(exporter).get("flcore_jobs_memory_bytes") == MIB)
    assert scraped(exporter)["flcore_jobs_cpu_seconds_total"] == 1.5


def test_no_job_is_named_whatever_it_is_called(site: Site, exporter: MetricsExporter, runtime: FakeRuntime) -> None:
    for number in range(5):
        site.launch_job({"job_id": f"job-{number}", "name": f"name-{number}"}, ARGS)
        runtime.exit(f"site-1-job-{number}", number)
    assert not re.search(r"(job|name)-\d", text_of(exporter))


def test_the_documented_table_is_what_is_exported(exporter: MetricsExporter) -> None:
    table = (metrics_exporter.__doc__ or "").split("=\n")[2]
    rows = [re.split(r"  +", line.strip()) for line in table.splitlines() if line.startswith("flcore_")]
    documented = {(row[0], row[1], *(row[2:3] if len(row) == 4 else [""]), row[-1]) for row in rows}
    registry = CollectorRegistry()
    registry.register(exporter.collector("site-1"))
    exported = {
        (f"{family.name}_total" if family.type == "counter" else family.name, family.type, family.documentation)
        for family in registry.collect()
    }
    assert {(name, kind, what) for name, kind, _, what in documented} == exported
    assert {(name, labels) for name, _, labels, _ in documented} == {
        (metric.name, " ".join(metric.labels)) for metric in METRICS.values()
    }


def test_the_documented_values_of_labels_are_those_that_there_are(site: Site, exporter: MetricsExporter) -> None:
    documented = metrics_exporter.__doc__ or ""
    for label in ("state", "outcome", "reason"):
        (said,) = re.findall(rf"``{label}``: ([\w, \n]+)\.", documented)
        shown = re.findall(rf'{label}="(\w+)"', text_of(exporter))
        assert set(said.replace("\n", " ").split(", ")) == set(shown)


def test_promtool_has_no_complaint(site: Site, exporter: MetricsExporter, runtime: FakeRuntime) -> None:
    promtool = shutil.which("promtool")
    if promtool is None:
        pytest.skip("promtool is not installed (it is in Debian's package prometheus)")
    site.launch_job({"job_id": "j1"}, ARGS)
    checked = subprocess.run(
        [promtool, "check", "metrics"], input=text_of(exporter), capture_output=True, text=True, check=False
    )
    assert (checked.returncode, checked.stdout + checked.stderr) == (0, "")


# --- serving ---


def test_nothing_is_registered_for_all_of_the_process(site: Site) -> None:
    assert b"flcore" not in generate_latest(prometheus_client.REGISTRY)


def test_two_sites_of_one_process_have_a_port_each(tmp_path: Path) -> None:
    exporters = {name: MetricsExporter(0) for name in ("site-1", "site-2")}
    sites = [Site(name, {"metrics": it, "launcher": Launcher()}, tmp_path / name) for name, it in exporters.items()]
    handle = PlainHandle()
    for site in sites:
        site.start()
    recover(sites[1], "j1", handle)
    try:
        assert 'flcore_jobs{site="site-1",state="running"} 0.0' in text_of(exporters["site-1"])
        assert 'flcore_jobs{site="site-2",state="running"} 1.0' in text_of(exporters["site-2"])
        assert "site-1" not in text_of(exporters["site-2"])
    finally:
        handle.end(JobReturnCode.SUCCESS)
        for site in sites:
            site.close()


def test_a_port_in_use_is_one_line_in_the_log_and_no_job_suffers(
    make_site: Callable[..., Site], runtime: FakeRuntime, caplog: pytest.LogCaptureFixture
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        exporter = MetricsExporter(port)
        site = make_site(launcher=QuickLauncher(image="job:1", runtime=runtime), metrics=exporter)
        handle = site.launch_job({"job_id": "j1"}, ARGS)
        runtime.exit("site-1-j1", 0)
        assert handle.wait() is JobReturnCode.SUCCESS
    (said,) = [record.getMessage() for record in caplog.records if record.levelname == "ERROR"]
    assert f"127.0.0.1:{port}: Address already in use; set another 'port' (or 'host') of metrics" in said
    assert exporter.port is None


def test_nobody_is_served_after_the_systems_end(site: Site, exporter: MetricsExporter) -> None:
    port = exporter.port
    assert port
    site.close()
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port), TIMEOUT)
    assert not [thread for thread in threading.enumerate() if "serve_forever" in thread.name]


def test_it_serves_again_when_the_site_starts_again(site: Site, exporter: MetricsExporter) -> None:
    site.close()
    site.start()
    assert "flcore_jobs" in text_of(exporter)


def test_that_others_than_this_machine_may_read_is_said(caplog: pytest.LogCaptureFixture) -> None:
    exporter = MetricsExporter(0, "0.0.0.0")
    exporter.handle_event(EventType.SYSTEM_START, FakeFLContext())
    exporter.close()
    assert re.search(r"whoever can reach 0\.0\.0\.0:\d+ can read the metrics of site-1", caplog.text)


def test_an_engine_that_only_fires_events_is_enough(exporter: MetricsExporter) -> None:
    fl_ctx = FakeFLContext("site-1", job_id="j1", props={FLContextKey.JOB_HANDLE: PlainHandle()})
    for event_type in (EventType.SYSTEM_START, EventType.BEFORE_JOB_LAUNCH, EventType.AFTER_JOB_LAUNCH):
        exporter.handle_event(event_type, fl_ctx)
    found = scraped(exporter)
    exporter.close()
    assert found['flcore_jobs{state="running"}'] == 1
    assert not any("waiting" in name for name in found)


# --- arguments ---


@pytest.mark.parametrize("port", ["9464", -1, 1 << 16, True, None])
def test_a_port_that_is_none_is_refused(port: Any) -> None:
    with pytest.raises(ValueError, match=r"^port must be a number from 0 to 65535, got"):
        MetricsExporter(port)


@pytest.mark.parametrize("host", ["", " ", None, 5])
def test_a_host_must_be_written_out(host: Any) -> None:
    with pytest.raises(ValueError, match=r"^host must be an address of this machine, such as '127\.0\.0\.1', got"):
        MetricsExporter(0, host)


def test_without_its_extra_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(metrics_exporter, "find_spec", lambda name: None)
    with pytest.raises(ConfigError, match=re.escape(f"prometheus-client; install it: {how_to_install('metrics')}")):
        MetricsExporter(0)
