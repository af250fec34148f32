"""What is built of this checkout, and an environment that has it, and nothing of the checkout."""

from __future__ import annotations

import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

from tests.environments import ROOT
from tests.release.distributions import build
from tests.release.sources import Sources, export


def run(*command: str | Path, cwd: Path, text: str = "") -> str:
    done = subprocess.run(command, cwd=cwd, input=text, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="session")
def sources(tmp_path_factory: pytest.TempPathFactory) -> Sources:
    """A copy, which has nothing of earlier builds; and this one leaves nothing in the checkout."""
    return export(ROOT, tmp_path_factory.mktemp("checkout"))


@pytest.fixture(scope="session")
def built(sources: Sources, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    return build(sources, tmp_path_factory.mktemp("built"))


@pytest.fixture(scope="session")
def sdist(built: tuple[Path, Path]) -> Path:
    return built[0]


@pytest.fixture(scope="session")
def wheel(built: tuple[Path, Path]) -> Path:
    return built[1]


@pytest.fixture(scope="session")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The `bin` of an environment with the wheel, which takes other packages from where the tests' own are."""
    others = tmp_path_factory.mktemp("others")
    for path in Path(sysconfig.get_path("purelib")).iterdir():
        if "flcore" not in path.name:
            (others / path.name).symlink_to(path)
    environment = tmp_path_factory.mktemp("environment")
    run(sys.executable, "-m", "venv", "--without-pip", environment, cwd=environment)
    (packages,) = environment.glob("lib/python*/site-packages")
    (packages / "others.pth").write_text(f"{others}\n")
    pip = (sys.executable, "-m", "pip", "--python", environment / "bin/python")
    run(*pip, "install", "--no-index", f"{wheel}[cli,metrics,web]", cwd=environment)
    return environment / "bin"
