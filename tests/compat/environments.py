"""An environment per version of NVIDIA FLARE, with this checkout in it: what a site's parent process runs in."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from tests.environments import ROOT, environment

NEWEST = "2.9.*"
VERSIONS = ("2.6.2", "2.7.3", "2.8.3", "2.9.0")


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


def flare(version: str = NEWEST) -> Flare:
    """Return a version, such as ``2.6.2`` or ``2.9.*``; install it if it is missing, which takes minutes."""
    folder = ROOT / "build/compat" / f"nvflare-{version.removesuffix('.*')}"
    python = environment(folder, f"nvflare=={version}", "pytest", "--editable", ".[metrics]")
    metadata = next(folder.glob("lib/python3*/site-packages/nvflare-*.dist-info"))
    return Flare(metadata.name.removeprefix("nvflare-").removesuffix(".dist-info"), python)


if __name__ == "__main__":  # for `make test-compat`
    print(flare(os.environ.get("NVFLARE", NEWEST)).python)
