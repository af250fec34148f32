"""Sites to try the rows on, and what may not change when a row is refused."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, NoReturn, Self

from flcore import Site
from launchers.docker_launcher import ClientDockerJobLauncher, ServerDockerJobLauncher
from launchers.runtime.base import Runtime
from launchers.runtime.fake import FakeRuntime

from .folder_rows import FolderRow
from .rows import SITE, SITE_ARGS, Row

_PATIENCE = 5.0
"""Seconds after which a row counts as one that hangs the site."""


class HostileLab:
    """The server's site and a client's, each with keys in its workspace. Use as a context manager."""

    def __init__(self, folder: Path, runtime: Runtime | None = None, **site_args: Any) -> None:
        self.folder = folder
        self._tries = 0
        self._stack = ExitStack()
        args = {**SITE_ARGS, "runtime": runtime, **site_args}
        self.server = self._site("server", ServerDockerJobLauncher(**args))
        self.site = self._site(SITE, ClientDockerJobLauncher(**args))

    def _site(self, name: str, launcher: Any) -> Site:
        workspace = self.folder / name
        for secret in ("startup/client.key", "local/resources.json"):
            path = workspace / secret
            path.parent.mkdir(parents=True)
            path.write_text("secret")
        return Site(name, {"launcher": launcher}, workspace)

    def __enter__(self) -> Self:
        for site in (self.server, self.site):
            self._stack.enter_context(site)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    def refusal(self, row: Row | FolderRow) -> str:
        """Return the error that a row gets. Raises AssertionError if it gets none."""
        self._tries += 1
        with at_most(_PATIENCE):
            return row.try_on([self.server, self.site], self.folder / f"job-{self._tries}")

    def traces(self) -> set[object]:
        """Return what there is of jobs at these sites: files, handles, threads."""
        found: set[object] = {thread.name for thread in threading.enumerate() if thread.name.startswith("flcore")}
        for site in (self.server, self.site):
            found |= {(path, path.lstat().st_mode, path.lstat().st_uid) for path in _all_below(site)}
            found |= set(site.jobs().values())
        return found


class FakeLab(HostileLab):
    """The same without an engine."""

    def __init__(self, folder: Path) -> None:
        self.runtime = FakeRuntime()
        super().__init__(folder, self.runtime)

    def traces(self) -> set[object]:
        return super().traces() | {container.id for container in self.runtime.containers()}


@contextmanager
def at_most(seconds: float) -> Iterator[None]:
    """Raise AssertionError on the main thread if the block takes longer."""

    def ring(*_: object) -> NoReturn:
        raise AssertionError(f"it was not refused within {seconds:g} s")

    before = signal.signal(signal.SIGALRM, ring)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def _all_below(site: Site) -> Iterator[Path]:
    return Path(site.workspace.get_root_dir()).rglob("*")
