"""JournalFile and read_journal: no line is lost, torn or told twice, whoever writes and whatever breaks off."""

from __future__ import annotations

import json
import os
import threading
from pathlib import Path

import pytest

from flcore.disk.journal_file import JournalFile, journal_files, read_journal


def write_all(file: JournalFile, numbers: range) -> None:
    for number in numbers:
        file.write({"event": "n", "n": number})


def test_it_is_rotated_and_the_oldest_lines_go(tmp_path: Path) -> None:
    path = tmp_path / "j"
    write_all(JournalFile(path, 100, 3), range(40))

    assert [file.name for file in journal_files(path)] == ["j.2", "j.1", "j"]
    assert max(file.stat().st_size for file in journal_files(path)) <= 100
    numbers = [line["n"] for line in read_journal(path)]
    assert numbers == list(range(numbers[0], 40))


def test_several_writers_share_it_while_it_is_rotated(tmp_path: Path) -> None:
    path = tmp_path / "j"
    writers = [JournalFile(path, 2000, 1000) for _ in range(4)]
    threads = [
        threading.Thread(target=write_all, args=(file, range(i * 1000, i * 1000 + 200)))
        for i, file in enumerate(writers)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    numbers = [line["n"] for line in read_journal(path)]
    assert len(numbers) == len(set(numbers)) == 800


@pytest.mark.parametrize("torn", [b'{"event": "n", "n"', b"\0\0\0", b"x" * 100_000])
def test_what_a_power_cut_left_of_a_line_is_cut_off_before_the_next(tmp_path: Path, torn: bytes) -> None:
    path = tmp_path / "j"
    write_all(JournalFile(path, 1 << 20, 2), range(2))
    with path.open("ab") as file:
        file.write(torn)
    assert [line["n"] for line in read_journal(path)] == [0, 1]

    write_all(JournalFile(path, 1 << 20, 2), range(2, 3))

    assert [json.loads(line)["n"] for line in path.read_bytes().splitlines()] == [0, 1, 2]


def test_a_full_disk_leaves_no_half_line_and_stops_nobody(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write = os.write
    monkeypatch.setattr(os, "write", lambda fd, data: write(fd, data[:10]))
    file = JournalFile(tmp_path / "j", 1 << 20, 2)
    with pytest.raises(OSError, match="the disk is full"):
        file.write({"event": "n"})
    monkeypatch.undo()
    write_all(file, range(1))

    assert [line["n"] for line in read_journal(tmp_path / "j")] == [0]


def test_a_line_that_is_no_json_object_is_passed_over(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "j").write_text('{"n": 1}\nnonsense\n[1]\n{"n": 2}\n')

    assert [line["n"] for line in read_journal(tmp_path / "j")] == [1, 2]
    assert caplog.text.count("passed over") == 2


def test_it_is_nothing_where_there_is_none(tmp_path: Path) -> None:
    assert list(read_journal(tmp_path / "j")) == []


def test_what_a_process_left_that_was_killed_while_it_rotated_is_read_and_mended(tmp_path: Path) -> None:
    path = tmp_path / "j"
    write_all(JournalFile(path, 100, 9), range(20))
    kept = [line["n"] for line in read_journal(path)]
    for number in (4, 3, 2):  # and it would have gone on with 1
        (tmp_path / f"j.{number}").rename(tmp_path / f"j.{number + 1}")
    assert [line["n"] for line in read_journal(path)] == kept

    write_all(JournalFile(path, 100, 9), range(20, 26))
    assert [file.name for file in journal_files(path)] == [f"j.{number}" for number in range(6, 0, -1)] + ["j"]
    assert [line["n"] for line in read_journal(path)] == [*kept, *range(20, 26)]


def test_where_fewer_files_are_kept_than_before_the_oldest_are_removed_and_nothing_of_others(tmp_path: Path) -> None:
    path = tmp_path / "j"
    (tmp_path / "j.20261129").touch()
    (tmp_path / "j.gz").touch()
    write_all(JournalFile(path, 100, 6), range(40))
    write_all(JournalFile(path, 100, 2), range(40, 46))

    assert [file.name for file in journal_files(path)] == ["j.1", "j"]
    assert sorted(file.name for file in tmp_path.iterdir()) == [".j.lock", "j", "j.1", "j.20261129", "j.gz"]


def test_the_head_of_a_chained_file_is_that_of_its_last_line_whoever_wrote_it(tmp_path: Path) -> None:
    path = tmp_path / "j"
    one, other = (JournalFile(path, 1000, 3, chained=True) for _ in range(2))
    assert one.settle() == ""
    for number in range(30):
        write_all(one, range(number, number + 1))
        assert other.write({"n": number}) == one.settle()
    assert len(journal_files(path)) == 3
    path.unlink()
    assert one.settle().split(":")[1:3] == ["6", "54"]  # that of the file before
