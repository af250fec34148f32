"""Which NVIDIA FLARE the image of a kit's jobs has, and whether it is the parent's. Nothing of it runs."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Protocol

from flcore.job_launcher_spec import Check

from .verdicts import missing, warned, well

DEFAULT_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
"""An engine's, for images that say nothing of it."""

_WHAT = "image"
_PACKAGE = "nvflare"
_SAYS_ITS_VERSION = f"{_PACKAGE}/_version.py"
_VERSION = re.compile(rb'"version": "([\w.+-]+)"')
_PYTHON = re.compile(r"python(3\.\d+)")
_PYTHONS = tuple(f"3.{minor}" for minor in range(8, 20))
"""Where an interpreter's name does not say which one it is."""
_OF_AN_ENVIRONMENT = "pyvenv.cfg"
_WITH_ALL = re.compile(rb"include-system-site-packages *= *true", re.IGNORECASE)
_MOST = 1 << 16
"""Bytes of what is read."""


class Files(Protocol):
    """What an image has."""

    def target(self, path: str) -> str | None:
        """Return where a path leads, by all links: itself, if it is none; None if nothing is there."""

    def read(self, path: str, most: int) -> bytes:
        """Return what a small file says; nothing if there is none."""


@dataclass(frozen=True, slots=True)
class Found:
    """What an image has to run a job's process."""

    interpreter: str = ""
    """Its path; empty if there is none."""
    folders: tuple[str, ...] = ()
    """Where it looks for packages."""
    nvflare: str = ""
    """The version; empty if there is none in them."""


def found_in(files: Files, python: str, search_path: str) -> Found:
    """Return what an image has that a job's process is started with, by a name, or by a path."""
    named = [python] if "/" in python else [f"{folder}/{python}" for folder in search_path.split(":") if folder]
    for path in map(PurePosixPath, named):
        if target := files.target(str(path)):
            folders = tuple(_folders(files, path, PurePosixPath(target)))
            return Found(str(path), folders, next(filter(None, (_version_in(files, one) for one in folders)), ""))
    return Found()


def image_finding(image: str, found: Found, python: str, parent: str) -> Check:
    """Say whether an image has NVIDIA FLARE, of the version that the parent has; empty is one that is not known."""
    mend = f"build it with {_PACKAGE}=={parent}" if parent else f"build it with {_PACKAGE}"
    if not found.interpreter:
        return missing(_WHAT, f"{image} has no {python} in its PATH, by which jobs are started: name it by 'python'")
    if not found.nvflare:
        where = f"where its {found.interpreter} looks ({', '.join(found.folders)})"
        return warned(
            _WHAT, f"no NVIDIA FLARE is to be seen in {image}, {where}, so that its jobs may not start; {mend}"
        )
    told = f"{image} has NVIDIA FLARE {found.nvflare}"
    if not parent or found.nvflare == parent:
        return well(_WHAT, told)
    told = f"{told}, and the parent {parent}"
    if _release(found.nvflare) == _release(parent):
        return warned(_WHAT, f"{told}; {mend}")
    return missing(_WHAT, f"{told}, whose jobs are called otherwise; {mend}")


def _folders(files: Files, path: PurePosixPath, target: PurePosixPath) -> Iterator[str]:
    """Yield where an interpreter looks for packages: in its environment, or where it is itself."""
    own, real = path.parent.parent, target.parent.parent
    settings = files.read(str(own / _OF_AN_ENVIRONMENT), _MOST)
    name = _PYTHON.fullmatch(target.name)
    versions = (name[1],) if name else _PYTHONS
    prefixes = [own, real] if _WITH_ALL.search(settings) else [own] if settings else [real]
    folders = (folder for prefix in prefixes for folder in _of_prefix(prefix, versions))
    yield from (folder for folder in dict.fromkeys(folders) if files.target(folder))


def _of_prefix(prefix: PurePosixPath, versions: tuple[str, ...]) -> Iterator[str]:
    for version in versions:
        for library in ("lib", "lib64"):
            yield f"{prefix}/{library}/python{version}/site-packages"
        for local in (f"{prefix}/local", str(prefix)):  # Debian's own
            yield f"{local}/lib/python{version}/dist-packages"
    yield f"{prefix}/lib/python3/dist-packages"


def _version_in(files: Files, folder: str) -> str:
    said = _VERSION.search(files.read(f"{folder}/{_SAYS_ITS_VERSION}", _MOST))
    return said[1].decode() if said else ""


def _release(version: str) -> list[str]:
    return version.split(".")[:2]
