"""JournalReader: a look reads what is new only, and together that is always what the files tell."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flcore.disk.journal_file import MAX_LINE, JournalFile, journal_files, read_journal
from flcore.disk.journal_reader import JournalReader


class Follower:
    """Keeps what a reader gives."""

    def __init__(self, path: Path) -> None:
        self.reader = JournalReader(path)
        self.lines: list[dict[str, Any]] = []
        self.new: list[dict[str, Any]] = []
        self.starts = 0

    def look(self) -> list[int]:
        """Return the numbers of the lines that a look gives."""
        self.new = []
        self.reader.read(self._start_anew, self.new.append)
        self.lines += self.new
        return [line["n"] for line in self.new]

    def _start_anew(self) -> None:
        self.lines, self.starts = [], self.starts + 1


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "j"


@pytest.fixture
def follower(path: Path) -> Follower:
    return Follower(path)


def write(path: Path, *numbers: int, max_size: int = 1 << 20, max_files: int = 5) -> None:
    file = JournalFile(path, max_size, max_files)
    for number in numbers:
        file.write({"n": number})
    file.close()


def test_each_line_is_given_once(path: Path, follower: Follower) -> None:
    assert follower.look() == []
    write(path, 0, 1)
    assert follower.look() == [0, 1]
    assert follower.look() == []
    write(path, 2)
    assert follower.look() == [2]


def test_a_line_is_given_when_it_is_whole(path: Path, follower: Follower) -> None:
    path.write_bytes(b'{"n": 0}\n{"n"')
    assert follower.look() == [0]
    with path.open("ab") as file:
        file.write(b": 1}\n")
    assert follower.look() == [1]


def test_only_what_is_sifted_out_is_parsed(path: Path) -> None:
    write(path, 0, 1, 2)
    found: list[dict[str, Any]] = []
    reader = JournalReader(path, lambda whole: [line for line in whole.split(b"\n") if b"1" in line])
    reader.read(lambda: None, found.append)
    assert found == [{"n": 1}]


def test_a_line_that_is_longer_than_any_of_a_sites_is_passed_over(path: Path, follower: Follower) -> None:
    path.write_bytes(b'{"n": 0}\n"' + b"x" * (5 * MAX_LINE // 2) + b'"\n{"n": 1}\n')
    assert follower.look() == [0, 1]
    write(path, 2)
    assert follower.look() == [2]


def test_a_rotation_between_two_looks_loses_no_line_and_tells_none_twice(path: Path, follower: Follower) -> None:
    write(path, 0, 1)
    follower.look()
    write(path, *range(2, 9), max_size=27)  # three lines each
    assert len(journal_files(path)) > 2
    assert follower.look() == list(range(2, 9))


def test_after_the_oldest_file_has_gone_what_is_left_is_told_anew(path: Path, follower: Follower) -> None:
    write(path, *range(6), max_size=27, max_files=2)
    follower.look()
    write(path, *range(6, 9), max_size=27, max_files=2)
    follower.look()
    assert follower.starts > 1
    assert follower.lines == list(read_journal(path))


@pytest.mark.parametrize(
    "spoil",
    [
        lambda path: os.truncate(path, 9),
        lambda path: os.truncate(path, 0),
        lambda path: path.unlink(),
        lambda path: path.write_bytes(b'{"n": 7}\n' * 9),
        lambda path: path.write_bytes(b'{"n": 7}\n{"n": 8}\n'),
        lambda path: (path.unlink(), path.write_bytes(b'{"n": 0}\n{"n": 1}\n{"n": 2}\n')),
    ],
    ids=["cut", "emptied", "removed", "another and longer", "another of its size", "another file"],
)
def test_a_file_that_another_process_has_spoiled_is_read_anew(
    path: Path, follower: Follower, spoil: Callable[[Path], object]
) -> None:
    write(path, 0, 1)
    follower.look()
    os.utime(path, (0, 0))
    follower.look()
    spoil(path)
    follower.look()
    assert follower.lines == list(read_journal(path))


def test_a_look_that_fails_makes_the_next_one_read_anew(path: Path, follower: Follower) -> None:
    def fail(line: dict[str, Any]) -> None:
        raise OSError(f"line {line}")

    write(path, 0, 1)
    with pytest.raises(OSError, match="line"):
        follower.reader.read(lambda: None, fail)
    assert follower.look() == [0, 1]


_STEPS = st.one_of(
    st.tuples(st.just("write"), st.integers(1, 5)),
    st.tuples(st.just("tear"), st.integers(1, 9)),
    st.tuples(st.just("cut"), st.integers(0, 60)),
    st.tuples(st.just("remove"), st.integers(0, 3)),
    st.tuples(st.just("look"), st.just(0)),
)


@given(st.lists(_STEPS, max_size=25))
def test_whatever_happens_to_the_files_it_tells_what_a_whole_reading_does(steps: list[tuple[str, int]]) -> None:
    with TemporaryDirectory() as folder:
        path, number = Path(folder, "j"), 100
        follower = Follower(path)
        for step, count in [*steps, ("look", 0)]:
            files = journal_files(path)
            if step == "write":
                write(path, *range(number, number + count), max_size=40, max_files=3)
                number += count
            elif step == "tear":
                with path.open("ab") as file:
                    file.write(b'{"n": 1'[:count])
            elif step == "cut" and files:
                os.truncate(files[-1], min(count, files[-1].stat().st_size))
            elif step == "remove" and count < len(files):
                files[count].unlink()
            elif step == "look":
                follower.look()
                assert follower.lines == list(read_journal(path))
