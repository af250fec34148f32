"""What a release is made of: the files that git has of a checkout, and the long description that an index shows."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from configparser import ConfigParser
from dataclasses import dataclass
from datetime import date
from pathlib import Path

from .long_description import FILE, README, long_description

_CHANGELOG = "CHANGELOG.md"
_SETUP = "setup.cfg"
_SECTION = re.compile(r"^## (.+)$", re.MULTILINE)


class ReleaseError(Exception):
    """What is wrong with a release, and the way out."""


@dataclass(frozen=True)
class Sources:
    """A copy of a checkout's files, ready to be built."""

    folder: Path
    version: str
    committed: int
    """When its last commit was made: seconds since the epoch, the age of all that is built."""


def files_of(checkout: Path) -> list[str]:
    """Return what git has of a checkout, or would have if all that is new were added, as paths from its root."""
    names = _git(checkout, "ls-files", "-z", "--cached", "--others", "--exclude-standard").split("\0")
    return sorted(name for name in names if name and (checkout / name).is_file())


def uncommitted(checkout: Path) -> list[str]:
    return _git(checkout, "status", "--porcelain").splitlines()


def export(checkout: Path, folder: Path, url: str = "") -> Sources:
    """Copy the files of a checkout as any user's copy would be, whatever his umask.

    ``url``: where this version's files are shown, so that the long description can point there.
    """
    for name in files_of(checkout):
        copy = folder / name
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(checkout / name, copy)
        copy.chmod(0o755 if os.access(checkout / name, os.X_OK) else 0o644)
    describe(folder, url)
    return Sources(folder, version_of(folder), int(_git(checkout, "log", "-1", "--format=%ct")))


def describe(folder: Path, url: str) -> None:
    """Have an index show a description without dead links. README.md itself stays: it lies beside what it names."""
    url = url.rstrip("/")
    (folder / FILE).write_text(long_description((folder / README).read_text(), folder, url))
    setup = (folder / _SETUP).read_text()
    told = setup.replace(f"file: {README}", f"file: {FILE}")
    if url:
        told = told.replace("[metadata]\n", "[metadata]\n" + "".join(_project_urls(url)), 1)
    (folder / _SETUP).write_text(told)


def _project_urls(url: str) -> Iterator[str]:
    yield "project_urls =\n"
    for name, path in {"Documentation": README, "Changelog": _CHANGELOG}.items():
        yield f"    {name} = {url}/{path}\n"


def version_of(folder: Path) -> str:
    setup = ConfigParser(interpolation=None)
    setup.read(folder / _SETUP)
    return setup["metadata"]["version"]


def pythons_promised(folder: Path) -> list[str]:
    """Return the versions of Python that the classifiers name, such as ``3.11``."""
    setup = (folder / _SETUP).read_text()
    return re.findall(r"^\s+Programming Language :: Python :: (3\.\d+)$", setup, re.MULTILINE)


def date_of_release(changelog: str, version: str) -> date:
    """Return the date of a changelog's newest section, which must be this version's. Raises ReleaseError."""
    newest = _SECTION.search(changelog)
    head = newest[1] if newest else "nothing"
    dated = re.fullmatch(rf"{re.escape(version)} \((\d{{4}}-\d\d-\d\d)\)", head)
    try:
        return date.fromisoformat(dated[1] if dated else "")
    except ValueError as error:
        wanted = f"## {version} (YYYY-MM-DD)"
        raise ReleaseError(f"{_CHANGELOG} begins with {head!r}: let its newest section be {wanted!r}") from error


def check_releasable(checkout: Path) -> None:
    """Raise ReleaseError for what is not committed, or not in the changelog."""
    if changed := uncommitted(checkout):
        raise ReleaseError(f"commit what is released, or put it away: {', '.join(changed)}")
    date_of_release((checkout / _CHANGELOG).read_text(), version_of(checkout))


def _git(checkout: Path, *words: str) -> str:
    done = subprocess.run(["git", "-C", checkout, *words], capture_output=True, text=True, check=False)
    if done.returncode:
        raise ReleaseError(f"a release is made of what git has: {done.stderr.strip()}")
    return done.stdout
