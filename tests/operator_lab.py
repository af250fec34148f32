"""A site whose jobs run in memory, and the commands of an operator, as a shell would call them."""

from __future__ import annotations

import argparse
import io
import json
import re
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

import pytest

from flcore import FLContext, JobHandleSpec, JobResult, JobReturnCode, Site
from flcore.cli import main
from flcore.observers.job_history import JobHistory, StateEntry
from launchers.docker_launcher import DockerJobLauncher
from launchers.operator.engines import Engines
from launchers.operator.job_index import JobIndex
from launchers.operator.job_view import JobView
from launchers.operator.site_files import SiteFiles
from launchers.runtime.base import Runtime
from launchers.runtime.fake import FakeRuntime

TIMEOUT = 10.0
OFTEN, SELDOM = 0.02, 3600.0
HOSTILE = [
    "<script>alert(1)</script>",
    "\x1b[31mred\x1b[0m\x1b]0;title\x07\x1b[2J",
    "line\nflcore: error: a fake line\r\x1b[1A",
    "\x9b31m\u202eevil\u2028next\x7f",
    "\x1bP+q544e\x1b\\\x1bc",
]
"""What a job may say or be called."""


class FakeLauncher(DockerJobLauncher):
    """Runs jobs in memory. A config can name it."""

    engine: ClassVar[FakeRuntime]
    """Of all of them; a test's own."""

    def __init__(self, **kwargs: Any) -> None:
        site_keys: dict[str, Any] = {"image": "job:1", "stop_grace": 0.2}
        super().__init__(**site_keys | kwargs)

    def get_command(self, job_meta: dict[str, Any], fl_ctx: FLContext) -> tuple[str, str]:
        return f"{fl_ctx.get_identity_name()}-{job_meta['job_id']}", "sleep 600"

    def make_runtime(self) -> Runtime:
        return self.engine


class Done(NamedTuple):
    """What a command did."""

    status: int
    out: str
    err: str

    @property
    def lines(self) -> list[str]:
        return self.out.splitlines()

    @property
    def objects(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.lines]


class OperatorLab:
    """Sites in one folder, their engine in memory, and commands about them."""

    def __init__(self, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.folder = folder
        self.runtime = FakeLauncher.engine = FakeRuntime()
        self._capsys = capsys
        self._stack = ExitStack()

    def config(self, name: str = "site-1", *, journal: bool = True, **args: Any) -> str:
        """Write a site's config, and return its path."""
        parts = [{"id": "journal", "name": "JobJournal"}] if journal else []
        launcher = {"id": "launcher", "path": "tests.operator_lab.FakeLauncher", "args": args}
        path = self.folder / f"{name}.json"
        config = {"site": name, "workspace": f"workspace/{name}", "components": [*parts, launcher]}
        path.write_text(json.dumps(config))
        return str(path)

    def site(self, name: str = "site-1", *, often: bool = False, **args: Any) -> Site:
        """Start a site; one that lists ``often`` soon finds what no event tells of."""
        site = Site.from_config(self.config(name, **args))
        launcher = site.components()["launcher"]
        assert isinstance(launcher, FakeLauncher)
        launcher.job_settings = replace(launcher.job_settings, relist_interval=OFTEN if often else SELDOM)
        return self._stack.enter_context(site)

    def lose_engine(self) -> None:
        """Have the commands, and who starts from now on, ask another engine, which does not answer."""
        FakeLauncher.engine = FakeRuntime()
        FakeLauncher.engine.name = "another engine"
        FakeLauncher.engine.set_reachable(False)

    def find_engine(self) -> None:
        """Have them ask the right one again."""
        FakeLauncher.engine = self.runtime

    def launch(self, site: Site, job_id: str = "job-1", **meta: Any) -> JobHandleSpec:
        """Launch a job, and return when its site has told that it runs."""
        handle = site.launch_job({"job_id": job_id, **meta})
        assert handle.enter_states(["running"], TIMEOUT)  # of a container's handle
        until(lambda: self.view(job_id, site.name).record.get("told", [""])[0] == "running")
        return handle

    def workspace(self, name: str = "site-1") -> Path:
        return self.folder / "workspace" / name

    def records(self, name: str = "site-1") -> list[Path]:
        return list((self.workspace(name) / ".flcore" / "jobs").glob("*.jsonl"))

    def index(self, *names: str, whole_machine: bool = False) -> JobIndex:
        """Return the index of some sites, by default of site-1."""
        sites = [SiteFiles(self.workspace(name)) for name in names or ("site-1",)]
        return JobIndex(lambda: sites, Engines([lambda: self.runtime]), whole_machine=whole_machine)

    def view(self, job_id: str = "job-1", name: str = "site-1") -> JobView:
        return next(view for view in self.index(name).jobs() if view.history.job_id == job_id)

    def flcore(self, command: str, *words: str, sites: tuple[str, ...] = ("site-1",)) -> Done:
        """Run a command about sites, whose configs were written."""
        self._capsys.readouterr()
        options = [word for name in sites for word in ("--site", str(self.folder / f"{name}.json"))]
        status = main([command, *options, *words])
        return Done(status, *self._capsys.readouterr())

    def close(self) -> None:
        self.runtime.set_reachable(True)
        self._stack.close()


def until(condition: Callable[[], object], timeout: float = TIMEOUT) -> None:
    """Return when the condition holds, of something that can only be asked. Raises TimeoutError."""
    deadline = time.monotonic() + timeout
    pause = threading.Event()
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(f"not so within {timeout:g} s")
        pause.wait(0.01)


class Screen(io.StringIO):
    """A terminal."""

    def isatty(self) -> bool:
        return True


def view_of(job_id: str, site: str = "site-1", began_at: float = 1000.0, error: str | None = None) -> JobView:
    """A job that runs, or one that has failed."""
    states = [StateEntry("created", began_at), StateEntry("running", began_at + 1)]
    result = None
    if error is not None:
        states.append(StateEntry("exited", began_at + 11))
        result = JobResult(
            JobReturnCode.EXECUTION_ERROR, 3, error=error, started_at=began_at + 1, finished_at=began_at + 11
        )
    history = JobHistory(job_id, site, launching_at=began_at, states=states, result=result)
    return JobView(history, states[-1].state, has_parent=result is None)


def options(**given: Any) -> argparse.Namespace:
    return argparse.Namespace(**{"job": [], "all": False, "last": 10, "study": None, "json": False} | given)


def plain(line: str) -> str:
    return re.sub(r"\x1b\[[0-9;]*m", "", line)
