"""Folders on file systems that keep limits, in the machine of `make test-quota`: nowhere else are there any."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from flcore.disk.safe_files import remove

_PLACE = Path("/mnt")
USER = 1000
"""Of a job; it may do nothing that not everybody may."""


@pytest.fixture(params=["ext4", "xfs"])
def disk(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Path]:
    """Return a folder on a file system that keeps limits."""
    if not os.path.ismount(_PLACE / request.param):
        pytest.fail("there is no such file system here: 'make test-quota' brings its own")
    folder = _PLACE / request.param / tmp_path.name
    folder.mkdir()
    yield folder
    remove(folder)


@pytest.fixture
def folder(disk: Path) -> Path:
    """Return a job's folder on it."""
    return made(disk / "one")


def made(folder: Path) -> Path:
    folder.mkdir()
    os.chown(folder, USER, USER)
    return folder


def as_job(code: str, *args: object) -> str:
    """Return what a program prints that a job runs, and of its errors the last line."""
    identity = [f"--reuid={USER}", f"--regid={USER}", "--clear-groups", "--bounding-set=-all", "--no-new-privs"]
    command = ["setpriv", *identity, sys.executable, "-c", code, *map(str, args)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return done.stdout + "".join(done.stderr.splitlines(keepends=True)[-1:])
