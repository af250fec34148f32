"""Consent: what it costs a launch that its app is hashed, and compared with what was approved. Without an engine."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from itertools import count
from pathlib import Path

from flcore import EventType, FLComponent, FLContext, Site
from flcore.job_launcher_spec import LaunchRequest
from flcore.observers import JobApproval
from launchers.docker_launcher import ClientDockerJobLauncher
from launchers.runtime.fake import FakeRuntime

from .framework import Contest, bench, over_floor

ARGS = {"exe_module": ("-m", "client")}
FLOOR = "the same site without JobApproval"
BYTES = 4000
"""Of each file of an app, about as a module of Python has."""
JOBS = count()


class Heard(FLComponent):
    """Asks what is about to run, and lets it."""

    def handle_event(self, event_type: str, fl_ctx: FLContext) -> None:
        if event_type == EventType.JOB_LAUNCH_PLANNED:
            LaunchRequest.of(fl_ctx)


@bench(cases=(10, 1000), rounds=15)
def approved_launch(files: int) -> Iterator[Contest]:
    """One launch of an app with so many files of 4 kB, that a rule approves, until its process runs."""
    with _app(files) as app, _launches(app) as bare, _launches(app, JobApproval(rules=[{"study": "x"}])) as asked:
        yield Contest(
            {"flcore": asked, FLOOR: bare}, floor=FLOOR, targets={"ms of processor": over_floor(2 + files / 20)}
        )


@bench(rounds=15)
def planned_launch() -> Iterator[Contest]:
    """One launch at a site of which a component asks what is about to run."""
    with _app(1) as app, _launches(app) as bare, _launches(app, Heard()) as asked:
        yield Contest({"flcore": asked, "a site that does not ask": bare}, floor="a site that does not ask")


@contextmanager
def _app(files: int) -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as folder:
        app = Path(folder, "app/custom")
        app.mkdir(parents=True)
        for number in range(files):
            (app / f"module_{number}.py").write_bytes(f"# {number}\n".encode() * (BYTES // 6))
        yield app.parent


@contextmanager
def _launches(app: Path, *components: FLComponent) -> Iterator[Callable[[], dict[str, float]]]:
    runtime = FakeRuntime()
    with tempfile.TemporaryDirectory() as folder:
        launcher = ClientDockerJobLauncher(image="job:1", runtime=runtime)
        site = Site("site-1", {**dict(zip("abc", components, strict=False)), "launcher": launcher}, folder)
        with site:
            yield partial(_launch, site, runtime, app)


def _launch(site: Site, runtime: FakeRuntime, app: Path) -> dict[str, float]:
    job_id = f"j{next(JOBS)}"
    began, worked = time.perf_counter(), time.thread_time()
    handle = site.launch_job({"job_id": job_id, "name": "bench", "study": "x"}, ARGS, app)
    took, worked = time.perf_counter() - began, time.thread_time() - worked
    runtime.exit(f"site-1-{job_id}")
    handle.wait()
    return {"ms": took * 1e3, "ms of processor": worked * 1e3}
