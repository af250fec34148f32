"""Metrics: what it costs to count what happens to a hundred jobs, to be asked for it, and to measure what jobs use."""

from __future__ import annotations

import gc
import time
import tracemalloc
from collections.abc import Iterator
from functools import partial
from tempfile import TemporaryDirectory
from typing import Any
from urllib.request import urlopen

from flcore import EventType, FLComponent, FLContextKey, JobStateChange, Site
from flcore.observers.metrics_exporter import MetricsExporter
from flcore.observers.resource_monitor import ResourceMonitor
from launchers.docker_launcher import ClientDockerJobLauncher
from launchers.runtime.fake import FakeRuntime

from ..engine_proxy import EngineProxy
from .engine_lab import EngineLab
from .framework import Contest, bench
from .timing import per_call
from .waiting import counted_engine, watch_and_end
from .workload import FOR_EVER

JOBS = 100
ARGS: dict[str, tuple[str, Any]] = {"exe_module": ("-m", "client")}
SCRAPES = 20
WITHOUT = "without it"


@bench(rounds=5)
def exporter() -> Iterator[Contest]:
    """A site with a hundred running jobs in memory: a state change, a scrape, and all that it holds."""
    with TemporaryDirectory(prefix="flcore-bench-") as folder:
        measures = {"flcore": partial(_export, folder, exports=True), WITHOUT: partial(_export, folder, exports=False)}
        yield Contest(measures, floor=WITHOUT)


@bench(cases=(10, 100), rounds=1, warm_up=0)
def measuring_usage(jobs: int) -> Iterator[Contest]:
    """Half a minute with so many running jobs on a real engine, and a monitor of what they use."""
    with counted_engine() as (proxy, engine):
        measures = {
            "flcore": partial(_run, jobs, proxy, engine, measures=True),
            WITHOUT: partial(_run, jobs, proxy, engine, measures=False),
        }
        yield Contest(measures, floor=WITHOUT)


def _export(folder: str, exports: bool) -> dict[str, float]:
    from prometheus_client import CollectorRegistry, generate_latest  # so that its own memory does not count below

    metrics = MetricsExporter(0)
    parts = {"metrics": metrics} if exports else {}
    gc.collect()
    tracemalloc.start()
    runtime = FakeRuntime()
    launcher = ClientDockerJobLauncher(image="job:1", runtime=runtime)
    with Site("site-1", {"launcher": launcher, **parts}, folder) as site:
        for number in range(JOBS):
            site.launch_job({"job_id": f"job-{number}"}, ARGS)
        registry = CollectorRegistry()
        if exports:
            registry.register(metrics.collector("site-1", site))
            _scrape(metrics)
        gc.collect()
        held, _ = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        figures = {"µs a state change": _of_an_event(site), "KiB": held / 1024}
        if exports:
            figures["ms a scrape, processor"] = per_call(generate_latest, registry)()["µs"] / 1e3
            figures["ms a scrape"] = _scrape(metrics) * 1e3
        for container in runtime.containers():
            runtime.exit(container.spec.name)
    return figures


def _of_an_event(site: Site) -> float:
    change = JobStateChange("job-1", "site-1", "site-1-job-1", "c0ffee", "running", "paused", 1.0)
    teller, fl_ctx = FLComponent(), site.new_context()
    fl_ctx.set_prop(FLContextKey.JOB_STATE_CHANGE, change, private=True, sticky=False)
    return per_call(teller.fire_event, EventType.JOB_STATE_CHANGED, fl_ctx)()["µs"]


def _scrape(metrics: MetricsExporter) -> float:
    """Return how many seconds a scrape takes who asks over HTTP."""
    began = time.perf_counter()
    for _ in range(SCRAPES):
        with urlopen(f"http://127.0.0.1:{metrics.port}/metrics") as answer:
            answer.read()
    return (time.perf_counter() - began) / SCRAPES


def _run(jobs: int, proxy: EngineProxy, engine: str, measures: bool) -> dict[str, float]:
    with EngineLab(docker_host=proxy.host) as lab:
        if measures:
            lab.site.add_component("monitor", ResourceMonitor())
        handles = [lab.launch(FOR_EVER) for _ in range(jobs)]
        return watch_and_end(lab, handles, proxy, engine)
