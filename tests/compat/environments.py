"""An environment per version of NVIDIA FLARE, with this checkout in it: what a site's parent process runs in."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from tests.environments import ROOT, environment

NEWEST = "2.9.*"
RELEASE, PRE_RELEASE = "release", "pre-release"
"""The newest that the package index has; a pre-release may be older than a release."""
VERSIONS = ("2.6.2", "2.7.3", "2.8.3", "2.9.0", RELEASE, PRE_RELEASE)
ALL = "all"
"""Stands for these."""
_INDEX = ("pip", "index", "versions", "nvflare")
_OPTIONS = {RELEASE: (), PRE_RELEASE: ("--pre",)}


@dataclass(frozen=True)
class Flare:
    """One version of NVIDIA FLARE that is installed."""

    version: str
    python: Path

    @property
    def release(self) -> tuple[int, int]:
        """Major and minor version, to be compared."""
        major, minor = self.version.split(".")[:2]
        return int(major), int(minor)

    @property
    def packages(self) -> Path:
        """The folder with all packages of its environment."""
        return next(self.python.parents[1].glob("lib/python3*/site-packages"))

    def command(self, name: str) -> str:
        """Return a program of its environment."""
        return str(self.python.with_name(name))


def wanted(names: str) -> list[str]:
    """Return the versions of a list such as ``2.6.2 release``, each once; ``all`` stands for :data:`VERSIONS`."""
    each = [one for name in names.split() for one in (VERSIONS if name == ALL else [name])]
    return list(dict.fromkeys(map(version_of, each)))


def version_of(name: str) -> str:
    """Return the version that the package index has by a name such as ``release``; any other name as it is."""
    if name not in _OPTIONS:
        return name
    command = [sys.executable, "-m", *_INDEX, *_OPTIONS[name]]
    answer = subprocess.run(command, capture_output=True, text=True, check=False)
    if answer.returncode:
        raise RuntimeError(f"{' '.join(_INDEX)}: {answer.stderr.strip()}; name a version, such as NVFLARE=2.9.0")
    return newest_of(answer.stdout)


def newest_of(answer: str) -> str:
    """Return the newest version in an answer of ``pip index versions``, whose first line is ``nvflare (2.9.0)``."""
    return answer.partition("(")[2].partition(")")[0]


def flare(name: str = NEWEST) -> Flare:
    """Return a version, such as ``2.6.2``, ``2.9.*`` or ``release``; install it if missing, which takes minutes."""
    version = version_of(name)
    folder = ROOT / "build/compat" / f"nvflare-{version.removesuffix('.*')}"
    python = environment(folder, f"nvflare=={version}", "pytest", "--editable", ".[metrics]")
    metadata = next(folder.glob("lib/python3*/site-packages/nvflare-*.dist-info"))
    return Flare(metadata.name.removeprefix("nvflare-").removesuffix(".dist-info"), python)


if __name__ == "__main__":  # for `make test-compat`: a line for each, for a shell
    for version in wanted(os.environ.get("NVFLARE", NEWEST)):
        print(version, flare(version).python)
