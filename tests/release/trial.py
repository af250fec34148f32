"""What an installed wheel is on one Python: how long it takes, how large it is, and whether its unit tests pass."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import time
from dataclasses import dataclass, field
from pathlib import Path

from .checks import PACKAGES, tools
from .pythons import Python

EXTRAS = ("cli", "hocon", "metrics", "ssh", "web")
"""All that a site or an operator may want, but NVIDIA FLARE, which is no package of ours: make test-compat has it."""
_TEST_TOOLS = ("hypothesis", "jsonschema", "pytest", "pytest-xdist", "pyyaml")
_OF_THE_CHECKOUT = ("tests/unit/docs", "tests/unit/tests", "tests/unit/configs/deploy")
"""What tries pages, dashboards, and what tests are made with: nothing that is imported."""
_OF_THE_WEB = ("httpx2",)
"""By which starlette tests itself."""
_WHENCE = "import json, flcore, launchers; print(json.dumps([flcore.__file__, launchers.__file__]))"
_COUNTED = re.compile(r"(\d+) (passed|failed|errors?|skipped)")


@dataclass
class Trial:
    """What came of one environment."""

    python: Python
    extras: tuple[str, ...]
    install: float = 0.0
    """Seconds, of which an index has some."""
    size: int = 0
    """Bytes of flcore and what it needs, compiled as pip does it."""
    seconds: float = 0.0
    """Of the unit tests."""
    counts: dict[str, int] = field(default_factory=dict)
    failure: str = ""

    @property
    def passed(self) -> bool:
        return not self.failure


def attempt(python: Python, extras: tuple[str, ...], wheel: Path, tests: Path, folder: Path) -> Trial:
    """Install a wheel in a new environment, and have the tests of some sources try what is installed."""
    trial = Trial(python, extras)
    try:
        interpreter = _install(trial, wheel, folder)
        _test(trial, interpreter, tests)
    except subprocess.CalledProcessError as error:
        trial.failure = f"{error.stdout}\n{error.stderr}".strip()
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return trial


def without_packages(sources: Path) -> Path:
    """Take the packages out of unpacked sources, so that their tests can try only what is installed."""
    for name in PACKAGES:
        shutil.rmtree(sources / name)
    return sources


def _install(trial: Trial, wheel: Path, folder: Path) -> Path:
    _run(trial.python.program, "-m", "venv", "--without-pip", folder)
    interpreter = folder / "bin/python"
    pip = (tools(), "-m", "pip", "-q", "--python", interpreter, "install")
    (packages,) = folder.glob("lib/python*/site-packages")
    began = time.monotonic()
    named = f"{wheel}[{','.join(trial.extras)}]" if trial.extras else str(wheel)
    _run(*pip, named)
    trial.install, trial.size = time.monotonic() - began, _size(packages)
    _run(*pip, *_TEST_TOOLS, *(_OF_THE_WEB if "web" in trial.extras else ()))
    return interpreter


def _test(trial: Trial, interpreter: Path, tests: Path) -> None:
    whence = json.loads(_run(interpreter, "-c", _WHENCE, cwd=tests))
    if any(not Path(file).is_relative_to(interpreter.parents[1]) for file in whence):
        trial.failure = f"what is tested is not what was installed: {whence}"
        return
    processes = (os.cpu_count() or 1) + 1
    began = time.monotonic()
    shared = ("-q", "-n", str(processes), "--dist", "worksteal")
    others = [f"--ignore={folder}" for folder in _OF_THE_CHECKOUT]
    command: list[str | Path] = [interpreter, "-m", "pytest", *shared, *others, "tests/unit", "tests/lives"]
    done = subprocess.run(command, cwd=tests, capture_output=True, text=True, check=False)
    trial.seconds = time.monotonic() - began
    last = done.stdout.splitlines()[-1:]
    trial.counts = {what.rstrip("s"): int(number) for number, what in _COUNTED.findall("".join(last))}
    if done.returncode:
        trial.failure = f"{done.stdout[-20_000:]}\n{done.stderr[-2_000:]}".strip()


def _run(*command: str | Path, cwd: Path | None = None) -> str:
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=True).stdout


def _size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
