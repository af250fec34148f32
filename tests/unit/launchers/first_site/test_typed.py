"""What is printed can be typed: by bash it means what it should."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from launchers.first_site.typed import as_typed, as_word, next_commands


@pytest.mark.parametrize(
    "name", ["plain", "a b", "it's", "$HOME", "-dash", "x[1]", "ünï", "new\nline", "a\\b", "\x1b[31m"]
)
def test_a_path_is_one_word_to_a_shell_and_printed_as_it_is(name: str, tmp_path: Path) -> None:
    (tmp_path / name).mkdir()
    word = as_word(Path(name))
    assert word.isprintable()
    done = subprocess.run(["bash", "-c", f"cd {word} && pwd -P"], cwd=tmp_path, capture_output=True, check=True)
    assert done.stdout == os.fsencode(tmp_path / name) + b"\n"


def test_from_another_folder_the_first_command_goes_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert next_commands(Path("new"), "s.json", "job", "test_it.py")[0] == "cd new"
    assert len(next_commands(Path(), "s.json", "job", "test_it.py")) == 3


def test_a_program_that_the_shell_finds_is_called_by_its_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(Path(sys.executable).parent))
    assert [as_typed("flcore"), as_typed("pytest")] == ["flcore", "pytest"]


def test_else_by_its_path_or_by_the_interpreter(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    assert as_typed("flcore") == str(Path(sys.executable).parent / "flcore")
    assert as_typed("no_such_module") == f"{sys.executable} -m no_such_module"


def test_where_pytest_is_missing_it_is_got_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("launchers.first_site.typed.find_spec", lambda _: None)
    last = next_commands(Path(), "s.json", "job", "test_it.py")[-1]
    assert re.fullmatch(r".*pip install pytest && .*pytest test_it\.py", last)
