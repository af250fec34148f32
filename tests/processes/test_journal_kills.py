"""A journal whose writers are killed: no line that was told to be written is missing, and nothing looks like a deed."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize(("how", "kills"), [("each", 150), ("many", 100)])
def test_a_writer_that_is_killed_at_any_moment_raises_no_alarm(how: str, kills: int, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "tests.journal_writers", how, str(tmp_path / "j"), str(kills)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60)

    wrong = list(map(json.loads, done.stdout.splitlines()))
    assert (len(wrong), done.returncode) == (kills, 0), done.stderr
    assert [each for each in wrong if each] == []
