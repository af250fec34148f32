"""What tests of several files share, beside the fixtures that flcore gives its users."""

from __future__ import annotations

import gc
import io
import os
import re
import signal
import tempfile
import threading
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from flcore import (
    EventType,
    FLComponent,
    FLContext,
    FLContextKey,
    JobHandleSpec,
    JobLauncherSpec,
    JobReturnCode,
    Site,
    add_launcher,
)
from flcore.errors import FLCoreError

if TYPE_CHECKING:
    from flcore.testing import EventRecorder  # pytest imports it first, as a plug-in

pytest_plugins = ["flcore.testing"]  # by name for environments that have this checkout, but did not install it
pytest.register_assert_rewrite("launchers.testing")  # as pytest does by itself where flcore is installed


def pytest_sessionstart() -> None:
    """Heed interrupts, which tests send: what a shell has put into the background, or nohup runs, ignores them."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_configure() -> None:
    """Have argparse look for no translations, and keep test folders out of /dev, in which no dataset may be."""
    os.environ["LANGUAGE"] = "C"
    if Path(tempfile.gettempdir()).resolve().is_relative_to("/dev"):
        os.environ.setdefault("PYTEST_DEBUG_TEMPROOT", "/var/tmp")


def pytest_collection() -> None:
    """Look for no garbage while thousands of tests are collected, all of which stay."""
    gc.disable()


def pytest_collection_finish() -> None:
    """Look for garbage again, but not among what stays."""
    gc.freeze()
    gc.enable()


@pytest.hookimpl(wrapper=True)
def pytest_report_to_serializable(report: Any) -> Generator[None, Any, Any]:
    """Escape what no channel between a run's processes can carry: tests log half characters, as hostile jobs do."""
    data = yield
    return data if report.passed and not report.sections else sendable(data)


def sendable(value: Any) -> Any:
    """Return the same with each half character escaped."""
    if isinstance(value, str):
        return value.encode(errors="backslashreplace").decode()
    if isinstance(value, dict):
        return {sendable(key): sendable(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(map(sendable, value))
    return value


class PlainHandle(JobHandleSpec):
    """A third party's handle: nothing but what it must have. The test ends its job by :meth:`end`."""

    def __init__(self) -> None:
        self._code = JobReturnCode.UNKNOWN
        self._ended = threading.Event()
        self.ended_by: list[str] = []

    def end(self, code: JobReturnCode) -> None:
        self._code = code
        self._ended.set()

    def poll(self) -> JobReturnCode:
        return self._code

    def wait(self, timeout: float | None = None) -> JobReturnCode:
        self._ended.wait(timeout)
        return self._code

    def terminate(self, *, by: str = "terminate()") -> JobReturnCode:
        self.ended_by.append(by)
        if not self._ended.is_set():
            self.end(JobReturnCode.ABORTED)
        return self._code


class Launcher(JobLauncherSpec):
    """A third party's launcher: volunteers for every job, and launches it as the test says."""

    def __init__(self, launch: Callable[[], Any] = PlainHandle) -> None:
        super().__init__()
        self._launch = launch
        self.launched: list[tuple[dict[str, Any], FLContext]] = []

    def handle_event(self, event_type: str, fl_ctx: FLContext) -> None:
        if event_type == EventType.BEFORE_JOB_LAUNCH:
            add_launcher(self, fl_ctx)

    def launch_job(self, job_meta: dict[str, Any], fl_ctx: FLContext) -> JobHandleSpec:
        self.launched.append((job_meta, fl_ctx))
        handle: JobHandleSpec = self._launch()
        return handle


class At(FLComponent):
    """Does something at the first event of a type, and keeps what it raises."""

    def __init__(self, event_type: str, action: Callable[[], Any]) -> None:
        super().__init__()
        self._event_type = event_type
        self._action = action
        self.errors: list[FLCoreError] = []
        self.done = threading.Event()

    def handle_event(self, event_type: str, fl_ctx: FLContext) -> None:
        if event_type == self._event_type and not self.done.is_set():
            try:
                self._action()
            except FLCoreError as error:
                self.errors.append(error)
            self.done.set()


class Terminal(io.StringIO):
    """What a command takes for a terminal."""

    def isatty(self) -> bool:
        return True

    def text(self) -> str:
        """Return what was written, without the escape sequences."""
        return re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", self.getvalue()).replace("\r", "\n")


def but_for_changes(event_types: Iterable[str]) -> list[str]:
    """Return types of events without the state changes, which come in between on another thread."""
    return [event_type for event_type in event_types if event_type != EventType.JOB_STATE_CHANGED]


def recover(site: Site, job_id: str, handle: JobHandleSpec | None) -> None:
    """Fire what a launcher fires that has found a job again."""
    fl_ctx = site.new_context()
    fl_ctx.set_prop(FLContextKey.CURRENT_RUN, job_id, private=False, sticky=False)
    FLComponent().fire_event_with_data(EventType.JOB_RECOVERED, fl_ctx, FLContextKey.JOB_HANDLE, handle)


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    pool = ThreadPoolExecutor(16)
    yield pool
    pool.shutdown(wait=False)  # a site's fixture may still have to let a waiting launch go


@pytest.fixture
def make_site(tmp_path: Path, event_recorder: EventRecorder) -> Iterator[Callable[..., Site]]:
    """Return a function that makes site-1 of components, by their ids, and of the recorder behind them."""
    sites: list[Site] = []

    def make(
        strict: bool = False,
        admission: Mapping[str, int] | None = None,
        at_end: str = "leave",
        **components: FLComponent,
    ) -> Site:
        both = {**components, "recorder": event_recorder}
        site = Site("site-1", both, tmp_path, strict, admission=admission, at_end=at_end)
        sites.append(site)
        return site

    yield make
    for site in sites:
        site.close(end_jobs=False)
