"""The interpreters that a release is tried on: of each version that flcore promises to run on, or later, the newest."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

OLDEST = (3, 11)
FETCHED = Path("/var/cache/flcore-pythons")
"""Where `.ci/python` puts those that it has fetched."""

_SOON = 10
"""How many minor versions beyond the oldest are looked for in PATH."""
_TELL = """
import json, sys, sysconfig
print(json.dumps([sys.version_info[:3], sys.version_info[3], bool(sysconfig.get_config_var("Py_GIL_DISABLED"))]))
"""


@dataclass(frozen=True, order=True)
class Python:
    """An interpreter."""

    version: tuple[int, int, int]
    is_final: bool
    has_no_gil: bool
    program: str

    @property
    def minor(self) -> str:
        """What a classifier names, such as ``3.11``; one without a GIL is another, ``3.14t``."""
        return "{}.{}".format(*self.version) + ("t" if self.has_no_gil else "")

    @property
    def title(self) -> str:
        return ".".join(map(str, self.version)) + ("" if self.is_final else " (not final)") + "t" * self.has_no_gil


def pythons(programs: Iterable[str]) -> list[Python]:
    """Return the newest of each minor version among some programs, which need not exist, or be new enough."""
    found = [python for program in programs if (python := _asked(program)) and python.version >= OLDEST]
    newest = {python.minor: python for python in sorted(found)}
    return sorted(newest.values(), key=lambda python: (python.has_no_gil, python.version))


def programs_here() -> Iterator[str]:
    """Yield whatever may be an interpreter of this machine: in PATH, of pyenv and of uv, and those fetched for this."""
    minors = range(OLDEST[1], OLDEST[1] + _SOON)
    yield from (found for minor in minors for end in ("", "t") if (found := shutil.which(f"python3.{minor}{end}")))
    home = Path.home()
    folders = (
        Path(os.environ.get("PYENV_ROOT", home / ".pyenv")) / "versions",
        Path(os.environ.get("UV_PYTHON_INSTALL_DIR", home / ".local/share/uv/python")),
        FETCHED,
    )
    yield from (str(program) for folder in folders for program in sorted(folder.glob("*/bin/python3")))


def _asked(program: str) -> Python | None:
    try:
        done = subprocess.run([program, "-I", "-c", _TELL], capture_output=True, text=True, timeout=60, check=True)
        version, level, has_no_gil = json.loads(done.stdout)
    except (OSError, subprocess.SubprocessError, ValueError):  # as a shim of pyenv's for a version that is not chosen
        return None
    return Python(tuple(version), level == "final", has_no_gil, program)
