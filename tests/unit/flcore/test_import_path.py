"""Where Python may import from: the current folder only if somebody names it; a config's folder, behind all else."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

import flcore
from flcore.import_path import import_from, leave_current_folder

ROOT = Path(__file__).parents[3]
OURS = Path(flcore.__file__).parents[1]


def test_an_empty_entry_of_pythonpath_names_no_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", f":{ROOT}:")
    monkeypatch.setattr(sys, "path", ["", str(tmp_path), "/other", str(ROOT)])
    leave_current_folder()
    assert sys.path == ["/other", str(ROOT)]


def test_a_folder_that_pythonpath_names_stays_though_it_is_the_current_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", f"{ROOT}:.")
    monkeypatch.setattr(sys, "path", [str(ROOT), str(tmp_path)])
    leave_current_folder()
    assert sys.path == [str(ROOT), str(tmp_path)]


def test_the_folder_that_flcore_itself_comes_from_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(OURS)
    monkeypatch.delenv("PYTHONPATH", raising=False)
    monkeypatch.setattr(sys, "path", [str(OURS), "/other"])
    leave_current_folder()
    assert sys.path == [str(OURS), "/other"]


def test_a_configs_folder_comes_last_and_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "path", ["/first"])
    import_from("/kit")
    import_from("/kit")
    assert sys.path == ["/first", "/kit"]
