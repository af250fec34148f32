"""What `make` would install, and when: the demo needs no developers' tools, and nothing is installed twice."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FLCORE, TOOLS = "pip install -q -e '.[cli]'", "pip install -q -e '.[cli,dev]'"


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """What of a checkout says what is to be installed; nothing is."""
    folder = tmp_path / "checkout"
    folder.mkdir()
    for name in ("Makefile", "setup.cfg", "pyproject.toml"):
        shutil.copy2(ROOT / name, folder)
    return folder


def would(checkout: Path, target: str) -> list[str]:
    """Return what would be done to have an environment: made, flcore installed, the tools."""
    command = ["make", "--dry-run", "-C", str(checkout), target]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("MAKE")}
    said = subprocess.run(command, capture_output=True, text=True, check=True, env=environment).stdout
    return [
        name for name, words in (("made", "-m venv --clear"), ("flcore", FLCORE), ("tools", TOOLS)) if words in said
    ]


def install(checkout: Path, *names: str) -> None:
    """Have the stamps of what was installed."""
    stamps = checkout / ".venv"
    stamps.mkdir(exist_ok=True)
    for name in names:
        (stamps / f"{name}-in{str(checkout).replace('/', '-')}").touch()


def test_the_demo_installs_no_developers_tools(checkout: Path) -> None:
    assert would(checkout, "demo") == ["made", "flcore"]


@pytest.mark.parametrize("target", ["check", "unit", "test", "docs", "bench"])
def test_whatever_checks_or_tests_installs_them(checkout: Path, target: str) -> None:
    assert would(checkout, target) == ["made", "flcore", "tools"]


def test_after_the_demo_only_the_tools_are_missing(checkout: Path) -> None:
    install(checkout, "made")
    assert would(checkout, "demo") == []
    assert "flcore" not in would(checkout, "check")
    assert "tools" in would(checkout, "check")


def test_the_second_time_nothing_is_installed(checkout: Path) -> None:
    install(checkout, "made", "tools")
    assert would(checkout, "demo") == would(checkout, "check") == []


def test_an_environment_of_another_folder_is_made_again(checkout: Path) -> None:
    install(checkout, "made", "tools")
    moved = checkout.rename(checkout.with_name("moved"))
    assert would(moved, "demo") == ["made", "flcore"]
    assert would(moved, "check") == ["made", "flcore", "tools"]


def test_what_is_needed_anew_is_installed_anew(checkout: Path) -> None:
    install(checkout, "made", "tools")
    os.utime(checkout / "setup.cfg")
    later = (checkout / "setup.cfg").stat().st_mtime + 5
    os.utime(checkout / "setup.cfg", (later, later))
    assert "flcore" in would(checkout, "demo")
    assert "tools" in would(checkout, "check")
