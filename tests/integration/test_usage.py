"""What a real engine says of what jobs use, and what Prometheus reads of a site while its job runs."""

from __future__ import annotations

import re
from urllib.request import urlopen

from flcore import EventType, FLComponent, FLContext, JobUsage
from flcore.observers.metrics_exporter import MetricsExporter
from flcore.observers.resource_monitor import ResourceMonitor

from .conftest import Lab, until

MIB = 1 << 20
BUSY = "held = bytearray(40 << 20)\nwhile True: pass"


class Meter(FLComponent):
    """Keeps what JOB_USAGE events tell."""

    def __init__(self) -> None:
        super().__init__()
        self.told: list[JobUsage] = []

    def handle_event(self, event_type: str, fl_ctx: FLContext) -> None:
        if event_type == EventType.JOB_USAGE:
            self.told.append(JobUsage.of(fl_ctx))


def scraped(exporter: MetricsExporter) -> dict[str, float]:
    """Return what a scrape says that is not 0."""
    with urlopen(f"http://127.0.0.1:{exporter.port}/metrics", timeout=30) as answer:
        lines = (line for line in answer.read().decode().splitlines() if not line.startswith("#"))
        pairs = (re.sub(r'site="site-1",?|,site="site-1"', "", line).rsplit(" ", 1) for line in lines)
        return {key: float(value) for key, value in pairs if float(value)}


def test_a_busy_job_is_measured(lab: Lab) -> None:
    lab.needs_control_groups()
    meter = Meter()
    lab.launch("python3", "-c", BUSY, components=(ResourceMonitor(interval=0.5), meter))
    until(lambda: sum(usage.memory > 40 * MIB for usage in meter.told) >= 2)
    earlier, later = meter.told[-2:]
    assert (later.job_id, later.site) == (lab.job_id, "site-1")
    assert later.memory < 120 * MIB
    assert 0 < later.cpu_seconds - earlier.cpu_seconds <= 1.2 * (later.time - earlier.time) + 0.2


def test_a_scrape_shows_a_job_from_its_start_to_its_end(lab: Lab) -> None:
    lab.needs_control_groups()
    exporter = MetricsExporter(0)
    handle = lab.launch("sleep", "600", components=(exporter, ResourceMonitor(interval=0.5)))
    until(lambda: scraped(exporter).get('flcore_jobs{state="running"}') == 1)  # its event comes after the launch
    assert 0 < scraped(exporter)["flcore_launch_duration_seconds_sum{}"] < 30
    until(lambda: 0 < scraped(exporter).get("flcore_jobs_memory_bytes{}", 0) < 50 * MIB)
    assert scraped(exporter)['flcore_engine_reachable{launcher="launcher"}'] == 1

    handle.terminate()
    until(lambda: scraped(exporter).get('flcore_job_ends_total{return_code="ABORTED"}'))
    found = scraped(exporter)
    assert found['flcore_job_failures_total{reason="aborted"}'] == 1
    assert 0 < found["flcore_exit_detection_seconds_sum{}"] < 5
    assert 'flcore_jobs{state="running"}' not in found
    assert "flcore_jobs_memory_bytes{}" not in found
