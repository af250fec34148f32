"""The plug-in of pytest's, where flcore is installed: its fixtures are there, whatever a project says of them."""

from __future__ import annotations

from pathlib import Path

import pytest

from .conftest import run

ASKS_FOR_THE_FIXTURES = """
from flcore import EventType, FLComponent

def test_the_fixtures_are_there(fl_ctx, event_recorder, tmp_path):
    assert fl_ctx.get_prop("__workspace_object__").get_root_dir() == str(tmp_path)
    event_recorder.handle_event("e", fl_ctx)
    assert event_recorder.event_types == ["e"]
"""
ASKS_FOR_NOTHING = """
import sys

def test_nothing_of_flcore_is_loaded_but_the_plug_in():
    loaded = {name for name in sys.modules if name.partition(".")[0] in ("flcore", "launchers", "blinker", "docker")}
    assert loaded == {"flcore", "flcore.import_path", "flcore.pytest_plugin"}
"""
AS_A_PLUG_IN = 'pytest_plugins = ["flcore.testing"]'
"""What a project had to say once."""


def run_pytest(python: Path, folder: Path, test: str, conftest: str = "", *options: str) -> str:
    (folder / "test_it.py").write_text(test)
    (folder / "conftest.py").write_text(conftest)
    return run(python, "-m", "pytest", "-q", "-W", "error", "-p", "no:cacheprovider", *options, cwd=folder)


@pytest.mark.parametrize("conftest", ["", AS_A_PLUG_IN, "import flcore.testing", "from flcore.testing import *"])
def test_its_fixtures_are_there_in_any_project(installed: Path, tmp_path: Path, conftest: str) -> None:
    assert "1 passed" in run_pytest(installed / "python", tmp_path, ASKS_FOR_THE_FIXTURES, conftest)


@pytest.mark.parametrize("name", ["flcore.testing", "flcore.pytest_plugin"])
def test_its_fixtures_can_be_had_by_name_where_pytest_looks_for_no_plug_ins(
    installed: Path, tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
    assert "1 passed" in run_pytest(installed / "python", tmp_path, ASKS_FOR_THE_FIXTURES, "", "-p", name)
    assert "1 passed" in run_pytest(
        installed / "python", tmp_path, ASKS_FOR_THE_FIXTURES, f"pytest_plugins = [{name!r}]"
    )


def test_in_a_run_that_is_not_about_flcore_it_loads_nothing_else(installed: Path, tmp_path: Path) -> None:
    assert "1 passed" in run_pytest(installed / "python", tmp_path, ASKS_FOR_NOTHING)
