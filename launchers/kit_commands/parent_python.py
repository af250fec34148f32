"""The interpreter that a kit's start script starts: what it has of NVIDIA FLARE, and of this package."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Self

from flcore.disk.presence import is_there
from flcore.extras import how_to_install
from flcore.job_launcher_spec import Check

from ..flare.kit_layout import KitLayout
from ..flare.parent_config import KIT_ARGUMENTS
from .verdicts import missing, warned, well

OLDEST, NEWEST = (2, 6), (2, 9)
"""The versions of NVIDIA FLARE with which this package was tried."""

_TIMEOUT = 60
_OLDEST_PYTHON = [3, 11]
_SCRIPT = "startup/sub_start.sh"
_WHAT = "python"
_PROBE = """
import json, sys
sys.path.append(sys.argv[1])  # as NVIDIA FLARE does, last
told = {"python": sys.version_info[:2], "file": "", "error": ""}
from importlib.metadata import PackageNotFoundError, version
for name in ("nvflare", "flcore"):
    try:
        told[name] = version(name)
    except PackageNotFoundError:
        told[name] = ""
try:
    import nvflare
    told["nvflare"] = told["nvflare"] or str(nvflare.__version__)
    import launchers.nvflare_launcher
    told["file"] = launchers.nvflare_launcher.__file__
except Exception as error:
    told["error"] = f"{type(error).__name__}: {error}"
print(json.dumps(told))
"""


@dataclass(frozen=True, slots=True)
class ParentPython:
    """The interpreter, as far as it could be asked."""

    layout: KitLayout
    program: str | None = None
    """Its path; None if there is none, or the parent starts elsewhere."""
    told: Mapping[str, Any] = field(default_factory=dict)
    """What it tells of itself; nothing if it does not work."""

    @classmethod
    def of(cls, layout: KitLayout) -> Self:
        """Ask it, which takes a second or two."""
        program = None if layout.starts_in_container else shutil.which("python3")
        return cls(layout, program, _ask(program, layout.local / "custom") if program else {})

    @property
    def nvflare(self) -> str:
        """The version of its NVIDIA FLARE; empty if it is not known."""
        return str(self.told.get("nvflare", ""))

    def findings(self) -> Iterator[Check]:
        """Say whether it can run this package's launcher."""
        if self.layout.starts_in_container:
            told = "the parent starts in a container (startup/start_docker.sh): that its image has flcore is not"
            yield warned(_WHAT, f"{told} looked at")
        elif self.program is None:
            yield missing(_WHAT, f"there is no python3 in PATH, which {_SCRIPT} starts")
        else:
            yield from judged(self.program, self.told, self.layout)


def judged(program: str, told: Mapping[str, Any], layout: KitLayout) -> Iterator[Check]:
    """Say what is to be said of what an interpreter has told of itself."""
    who = f"{program}, which {_SCRIPT} starts by PATH,"
    if not told:
        yield missing(_WHAT, f"{who} does not work: does {program} -c pass run?")
    elif list(told["python"]) < _OLDEST_PYTHON:
        yield missing(_WHAT, f"{who} is {_dotted(told['python'])}; flcore needs {_dotted(_OLDEST_PYTHON)} or newer")
    elif not told["nvflare"]:
        yield missing(_WHAT, f"{who} has no NVIDIA FLARE: {_right_path(program)}")
    elif _release(told["nvflare"]) < OLDEST:
        tried = f"flcore needs {_dotted(OLDEST)} to {_dotted(NEWEST)}"
        yield missing(_WHAT, f"{who} has NVIDIA FLARE {told['nvflare']}; {tried}")
    elif not told["file"]:
        install = how_to_install("nvflare", program)
        yield missing(_WHAT, f"{who} cannot import flcore's launcher ({told['error']}): {install}")
    else:
        yield _able(program, told)
    yield from _copies(layout, str(told.get("file", "")))


def without_nvflare() -> Iterator[Check]:
    """Say what cannot be checked where this process has no NVIDIA FLARE."""
    if find_spec("nvflare") is None:
        told = f"is not installed where this flcore is ({sys.executable}), so {', '.join(KIT_ARGUMENTS)}"
        way_out = f"call the flcore of the site's environment, or: {how_to_install('nvflare')}"
        yield warned("NVIDIA FLARE", f"{told} of the launcher are not looked at; {way_out}")


def _able(program: str, told: Mapping[str, Any]) -> Check:
    has = f"{program}: NVIDIA FLARE {told['nvflare']}, flcore {told['flcore'] or 'of a folder'}"
    if _release(told["nvflare"]) > NEWEST:
        return warned(_WHAT, f"{has}; flcore was tried with {_dotted(OLDEST)} to {_dotted(NEWEST)}")
    if told["flcore"] not in ("", version("flcore")):
        return warned(_WHAT, f"{has}; what checks here is flcore {version('flcore')}")
    return well(_WHAT, has)


def _copies(layout: KitLayout, imported: str) -> Iterator[Check]:
    """Say which copies of this package are in the site's own code, where older set-ups have put them."""
    custom = layout.local / "custom"
    for name in ("launchers", "flcore"):
        copy = custom / name
        if is_there(copy) and imported and Path(imported).resolve().is_relative_to(custom.resolve()):
            yield missing(_WHAT, f"it imports the copy in local/custom/{name}, whose version nobody knows: remove it")
        elif is_there(copy):
            yield warned(_WHAT, f"there is a copy in local/custom/{name}, which jobs see, and no parent: remove it")


def _ask(program: str, custom: Path) -> Mapping[str, Any]:
    """Return what an interpreter tells of itself, started as the script does it; nothing if it does not work."""
    paths = ["/local/custom", *filter(None, [os.environ.get("PYTHONPATH")])]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(paths)}
    try:
        done = subprocess.run(  # noqa: S603 - what the operator starts
            [program, "-c", _PROBE, str(custom)],
            capture_output=True, cwd="/", env=environment, timeout=_TIMEOUT, check=True, text=True,
        )  # fmt: skip
        told: Mapping[str, Any] = json.loads(done.stdout.splitlines()[-1])
    except (OSError, subprocess.SubprocessError, ValueError, IndexError):
        return {}
    return told


def _right_path(program: str) -> str:
    here = Path(sys.executable).parent
    if find_spec("nvflare") and here != Path(program).parent:
        return f"start it as PATH={here}:$PATH startup/start.sh"
    install = how_to_install("nvflare", program)
    return f"{install}, or have PATH begin with the bin of the site's environment"


def _release(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in text.split(".")[:2] if part.isdecimal())


def _dotted(release: Any) -> str:
    return ".".join(map(str, release))
