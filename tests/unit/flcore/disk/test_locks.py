"""Locks that end with the process that took them: what a child gets of them."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from flcore.disk.locks import FileLock, exclusively, is_locked, locked

BEHIND_PYTHONS_BACK = """
import ctypes, os, sys
from pathlib import Path
from flcore.disk.locks import is_locked, locked
path = Path(sys.argv[1])
lock = locked(path)
if ctypes.PyDLL(None).fork() == 0:
    sys.stdin.read()
    os._exit(0)
print(is_locked(path))
lock.release()
print(is_locked(path))
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "lock"


def test_a_lock_is_held_until_it_is_released(path: Path) -> None:
    lock = locked(path)
    assert is_locked(path)
    lock.release()
    assert not is_locked(path)


def test_a_lock_is_taken_once(path: Path) -> None:
    lock = locked(path)
    with pytest.raises(BlockingIOError):
        locked(path)
    lock.release()
    locked(path).release()


def test_releasing_twice_closes_no_file_of_another(path: Path) -> None:
    lock = locked(path)
    descriptor = lock.descriptor
    lock.release()
    with path.open("rb") as file:
        assert file.fileno() == descriptor  # the number is another's now
        lock.release()
        lock.leave()
        assert file.read() == b""


def test_who_opens_and_closes_the_file_takes_no_lock_away(path: Path) -> None:
    lock = locked(path)
    path.read_bytes()
    assert is_locked(path)
    lock.release()


def test_a_program_that_is_started_inherits_no_lock(path: Path) -> None:
    lock = locked(path)
    with subprocess.Popen(["/bin/cat"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, close_fds=False) as program:
        assert program.stdin
        assert program.stdout
        program.stdin.write(b"it runs\n")
        program.stdin.flush()
        program.stdout.readline()
        lock.leave()
        assert not is_locked(path)
        program.kill()


def test_what_is_left_to_a_program_it_keeps(path: Path) -> None:
    lock = locked(path)
    with subprocess.Popen(["/bin/cat"], stdin=subprocess.PIPE, pass_fds=[lock.descriptor]) as program:
        lock.leave()
        assert is_locked(path)
        program.kill()
        program.wait()
    assert not is_locked(path)


def test_what_is_unlocked_is_free_though_a_library_has_forked_behind_pythons_back(path: Path) -> None:
    command = [sys.executable, "-c", BEHIND_PYTHONS_BACK, str(path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        assert [process.stdout.readline(), process.stdout.readline()] == ["True\n", "False\n"]


def test_an_error_leaves_no_file_open(path: Path) -> None:
    before = list(Path("/proc/self/fd").iterdir())
    first = locked(path)
    with pytest.raises(BlockingIOError):
        locked(path)
    with pytest.raises(ZeroDivisionError), exclusively(path.with_name("other"), os.O_RDWR | os.O_CREAT):
        raise ZeroDivisionError
    first.release()
    with pytest.raises(FileNotFoundError):
        FileLock(path.with_name("missing"), os.O_RDONLY)
    assert list(Path("/proc/self/fd").iterdir()) == before


def test_a_pipe_in_a_locks_place_holds_nobody_up(path: Path) -> None:
    os.mkfifo(path)
    assert not is_locked(path)
