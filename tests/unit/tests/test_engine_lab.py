"""What the lab of private engines keeps between runs, and what it leaves behind: nothing that nobody uses."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.engines import roots
from tests.engines.folders import own_folder
from tests.engines.roots import Root
from tests.environments import ROOT

HOLDER = """
import os, signal
from tests.engines.folders import own_folder
with own_folder() as folder:
    print(folder, flush=True)
    signal.pause()
"""
LONG_AGO = 1_600_000_000


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where folders of runs are made, and the cache is."""
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)
    monkeypatch.setattr(roots, "CACHE", tmp_path / "cache")
    return tmp_path


def holder() -> tuple[subprocess.Popen[str], Path]:
    """Return another run, and its folder."""
    run = subprocess.Popen([sys.executable, "-c", HOLDER], cwd=ROOT, stdout=subprocess.PIPE, text=True)
    assert run.stdout is not None
    return run, Path(run.stdout.readline().strip())


def test_a_run_leaves_no_folder(place: Path) -> None:
    with own_folder() as folder:
        assert folder.parent == place
    assert not folder.exists()


def test_the_folder_of_a_killed_run_is_removed_by_the_next_one_and_that_of_one_that_lives_is_not() -> None:
    (dead, left), (alive, used) = holder(), holder()
    with dead, alive:
        dead.kill()
        dead.wait()
        with own_folder():
            assert (left.exists(), used.exists()) == (False, True)
        alive.kill()


def test_a_folder_that_is_nobodys_lab_stays(place: Path) -> None:
    (place / "fle-other").mkdir()
    with own_folder():
        assert (place / "fle-other").exists()


def test_roots_that_no_run_has_used_for_long_are_removed_and_so_are_unfinished_ones(place: Path) -> None:
    used, of_a_branch = Root("sid", ("one",)), Root("sid", ("two",))
    old, unfinished = Root("sid", ("three",)).path, used.path.with_suffix(".unfinished")
    for path in (used.path, of_a_branch.path, old, unfinished):
        path.mkdir(parents=True)
    for path in (used.path, old):
        os.utime(path, (LONG_AGO, LONG_AGO))
    used.make()
    assert [path.exists() for path in (used.path, of_a_branch.path, old, unfinished)] == [True, True, False, False]
