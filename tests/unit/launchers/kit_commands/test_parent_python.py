"""What is said of the interpreter that a kit's start script starts."""

from __future__ import annotations

from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path

import pytest

from flcore.extras import how_to_install
from launchers.flare.kit_layout import KitLayout
from launchers.kit_commands.parent_python import ParentPython
from tests.kit_folder import make_kit, write

Tell = Callable[..., Path]


@pytest.fixture
def layout(tmp_path: Path) -> KitLayout:
    return KitLayout.of(make_kit(tmp_path / "site-1"))


def said(layout: KitLayout) -> list[str]:
    words = {(True, False): "ok", (True, True): "warning", (False, False): "MISSING"}
    return [f"{words[found.ok, found.warning]} {found.detail}" for found in ParentPython.of(layout).findings()]


@pytest.mark.parametrize(
    ("told", "line"),
    [
        ({"python": [3, 10]}, "MISSING {who} is 3.10; flcore needs 3.11 or newer"),
        ({"nvflare": ""}, "MISSING {who} has no NVIDIA FLARE: {install}, or have PATH"),
        ({"nvflare": "2.5.2"}, "MISSING {who} has NVIDIA FLARE 2.5.2; flcore needs 2.6 to 2.9"),
        (
            {"nvflare": "2.10.0"},
            "warning {python}: NVIDIA FLARE 2.10.0, flcore {own}; flcore was tried with 2.6 to 2.9",
        ),
        ({"flcore": "0.0.9"}, "warning {python}: NVIDIA FLARE 2.9.0, flcore 0.0.9; what checks here is flcore {own}"),
        (
            {"file": "", "error": "ModuleNotFoundError: No module named 'launchers'"},
            "MISSING {who} cannot import flcore's launcher (ModuleNotFoundError: No module named 'launchers'): "
            "{install}",
        ),
    ],
)
def test_what_cannot_start_a_parent_is_told(
    told: dict[str, object], line: str, layout: KitLayout, parent_python: Tell
) -> None:
    program = parent_python(**told)
    who = f"{program}, which startup/sub_start.sh starts by PATH,"
    (found,) = said(layout)
    install = how_to_install("nvflare", str(program))
    assert found.startswith(line.format(python=program, who=who, install=install, own=version("flcore")))


def test_one_that_does_not_work_is_told(layout: KitLayout, parent_python: Tell) -> None:
    parent_python().write_text("#!/bin/sh\nexit 1\n")
    (found,) = said(layout)
    assert found.endswith(f"starts by PATH, does not work: does {parent_python()} -c pass run?")


def test_a_path_without_any_is_told(layout: KitLayout, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert said(layout) == ["MISSING there is no python3 in PATH, which startup/sub_start.sh starts"]


def test_a_copy_of_the_launchers_that_is_imported_is_told(layout: KitLayout, parent_python: Tell) -> None:
    copy = layout.local / "custom/launchers/nvflare_launcher.py"
    write(copy, "")
    parent_python(file=str(copy))
    assert said(layout)[1:] == [
        "MISSING it imports the copy in local/custom/launchers, whose version nobody knows: remove it"
    ]


def test_the_interpreter_that_runs_these_tests_tells_that_it_has_no_nvidia_flare(
    layout: KitLayout, parent_python: Tell
) -> None:
    import sys

    program = parent_python()
    program.unlink()
    program.symlink_to(sys.executable)
    (found,) = said(layout)
    assert " has no NVIDIA FLARE: " in found
