"""Whoever asks an engine: a process in the engine's network, as the user to whom it belongs."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.engine_proxy import EngineProxy
from tests.environments import ROOT

from .engine import Engine

_UNTIL_WE_DIE = ("setpriv", "--pdeathsig=KILL", "--")
"""Else tests would go on, of an engine that has gone with us."""
# For a process that has mounts of its own: a folder that only root may look into is opened there; what is in it keeps
# its own mode.
OPENS_FOLDERS = """
open_folders() {
    local closed inside entry
    for closed; do
        inside=$(mktemp -d)
        mount --rbind "$closed" "$inside"
        mount -t tmpfs -o mode=755 opened "$closed"
        for entry in "$inside"/* "$inside"/.[!.]*; do
            [[ -d $entry && ! -L $entry ]] || continue
            mkdir "$closed/${entry##*/}"
            mount --rbind "$entry" "$closed/${entry##*/}"
        done
    done
}
"""
_OPEN = (
    OPENS_FOLDERS
    + """
user=$1
shift
while [[ $1 != -- ]]; do open_folders "$1"; shift; done
mkdir -p workspace  # of the demo's sites, in this checkout, where this user may make nothing
mount -t tmpfs -o mode=1777 own workspace
shift
exec setpriv --reuid="$user" --regid="$user" --clear-groups "$@"
"""
)


class Visitor:
    """Runs commands beside an engine, in this checkout.

    Its home and all that it makes for a time are in the engine's folder, which the engine sees too. A context manager:
    what stands between it and the engine goes at the end.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._folder = engine.folder / "visitor"
        self._folder.mkdir(exist_ok=True)
        os.chown(self._folder, engine.program.user, engine.program.user)
        self._proxy: EngineProxy | None = None
        if engine.program.events_as_of_29:
            self._proxy = EngineProxy(engine.host, engine.folder / "as29.sock")
            self._proxy.events_as_of_29 = True

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._proxy:
            self._proxy.close()

    def run(self, *command: str, timeout: float) -> subprocess.CompletedProcess[str]:
        """Run a program of our environment to its end, and return what came of it. Raises TimeoutExpired."""
        argv = [str(Path(sys.executable).with_name(command[0])), *command[1:]]
        place = ["nsenter", f"--target={self._engine.daemon_pid()}", "--net", "--"]
        return subprocess.run(
            [*place, *run_as(self._engine.program.user, *_UNTIL_WE_DIE, *argv)],
            cwd=ROOT,
            env=os.environ | self._environment(),
            capture_output=True,
            text=True,
            stdin=subprocess.DEVNULL,
            timeout=timeout,
            check=False,
        )

    @property
    def folder(self) -> Path:
        return self._folder

    def _environment(self) -> dict[str, str]:
        return {
            "CI": "true",
            "DOCKER_HOST": self._proxy.host if self._proxy else self._engine.host,
            "FLCORE_TEST_GPU": self._engine.program.gpu,
            "HOME": str(self._folder),
            "PYTHONDONTWRITEBYTECODE": "1",
            "TMPDIR": str(self._folder),
        }


def run_as(user: int, *command: str) -> list[str]:
    """Return the command that runs another one in this checkout as a user, who may read it, and write nothing.

    Only root can become another user.
    """
    if user == os.geteuid():
        return list(command)
    unshare = ["unshare", "--mount", "--propagation=private", "--", "bash", "-ec", _OPEN, "bash"]
    return [*unshare, str(user), *closed_folders(Path(sys.base_prefix), ROOT), "--", *command]


def closed_folders(*paths: Path) -> Sequence[str]:
    """Return the outermost folders on the way to these that not everybody may enter."""
    ways = ([*reversed(path.parents), path] for path in paths)
    closed = (next((folder for folder in way if not folder.stat().st_mode & 0o001), None) for way in ways)
    return sorted({str(folder) for folder in closed if folder})
