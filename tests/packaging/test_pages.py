"""What the pages say to write, far from the checkout: its tests pass where flcore is installed."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests.pages import BLOCKS, save_files

from .conftest import run

PYTEST = ("-m", "pytest", "-q", "-W", "error", "-p", "no:cacheprovider")
TESTS = sorted({block.name for block in BLOCKS if block.name.startswith("test_")})


@pytest.mark.parametrize("name", TESTS)
def test_the_tests_pass_that_pages_say_to_write(installed: Path, tmp_path: Path, name: str) -> None:
    save_files(tmp_path)
    assert " passed" in run(installed / "python", *PYTEST, name, cwd=tmp_path)


def test_a_stranger_s_runtime_that_is_wrong_is_told_what_and_why(installed: Path, tmp_path: Path) -> None:
    save_files(tmp_path)
    runtime = tmp_path / "subprocess_runtime.py"
    right = "128 - code if code < 0 else code"
    assert right in runtime.read_text()
    runtime.write_text(runtime.read_text().replace(right, "code"))
    command = [str(installed / "python"), *PYTEST, "test_subprocess_runtime.py", "-k", "signal_9 or by_a_signal"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 1
    assert "killed by signal 9 is exit code 128 + 9 (subprocess says -9, say)" in done.stdout
    assert "assert -9 == 137" in done.stdout
