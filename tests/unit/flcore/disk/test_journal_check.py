"""check_journal: whatever is done to a journal is found, and what a site does itself, or dies of, is not told."""

from __future__ import annotations

import os
import random
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from flcore.disk.journal_chain import KeptHead, Link
from flcore.disk.journal_check import Verdict, check_journal, heads_in
from flcore.disk.journal_file import MAX_LINE, JournalFile, journal_files

MUTATIONS = 1000


def write(path: Path, *numbers: int, max_size: int = 1500, max_files: int = 5) -> list[KeptHead]:
    file = JournalFile(path, max_size, max_files, chained=True)
    texts = [file.write({"event": "n", "n": number}) for number in numbers]
    file.close()
    return heads_in(texts)


def write_unchained(path: Path, *numbers: int, max_size: int = 1500) -> None:
    file = JournalFile(path, max_size, 5)
    for number in numbers:
        file.write({"event": "old", "n": number})
    file.close()


def lines_of(path: Path) -> list[bytes]:
    return path.read_bytes().splitlines(keepends=True)


def told(verdict: Verdict) -> str:
    return "\n".join(map(str, verdict.problems))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "j"


# --- what a site does itself ---


def test_a_journal_is_as_it_was_written(path: Path) -> None:
    heads = write(path, *range(7))

    verdict = check_journal(path, heads)

    assert (verdict.holds, verdict.notes, verdict.heads) == (True, [], 7)
    assert verdict.head == heads[-1].head


def test_the_chain_goes_on_in_the_next_file_and_the_next_process(path: Path) -> None:
    for number in range(40):
        write(path, number)

    assert len(journal_files(path)) > 3
    assert check_journal(path).holds


def test_what_was_rotated_away_is_told_from_what_was_removed(path: Path) -> None:
    write(path, *range(100), max_files=3)

    verdict = check_journal(path)
    assert verdict.holds
    assert verdict.first
    assert verdict.notes == [f"begins at line {verdict.first.line} of its chain; older files were rotated away"]

    journal_files(path)[0].unlink()
    assert "the site would have kept their files" in told(check_journal(path))


@pytest.mark.parametrize("counts", [(2, 5), (5, 2), (1, 3), (3, 1)])
def test_a_site_may_keep_more_or_fewer_files_than_before(path: Path, counts: tuple[int, int]) -> None:
    for number in range(120):
        write(path, number, max_files=counts[number >= 60])
        assert check_journal(path).holds
    assert len(journal_files(path)) == counts[1]


def test_lines_of_an_older_version_are_before_the_chain(path: Path) -> None:
    write_unchained(path, *range(80))
    write(path, *range(40), max_files=9)

    verdict = check_journal(path)

    assert (verdict.holds, verdict.before) == (True, 80)
    assert verdict.first
    assert verdict.first.line == 1


@pytest.mark.parametrize("torn", [b'{"event": "n", "n"', b"\0\0\0", b"x" * 100_000, b"\0\0\0 and the end of it}\n"])
def test_what_a_power_cut_left_is_no_alarm_and_the_chain_goes_on(path: Path, torn: bytes) -> None:
    heads = write(path, 0, 1)
    with path.open("ab") as file:
        file.write(torn)
    if not torn.endswith(b"\n"):
        before = check_journal(path, heads)
        assert (before.holds, before.notes) == (True, ["j:3: a line that is not whole is passed over"])

    heads += write(path, 2)

    assert check_journal(path, heads).holds
    assert len(lines_of(path)) == 3


def test_a_line_that_is_longer_than_any_of_a_sites_is_checked_too(path: Path) -> None:
    write(path, 0, max_size=1 << 30)
    file = JournalFile(path, 1 << 30, 5, chained=True)
    file.write({"event": "x" * (2 * MAX_LINE + 7)})
    file.close()
    write(path, 1, max_size=1 << 30)
    assert check_journal(path).holds

    with path.open("r+b") as file_of_it:
        file_of_it.seek(MAX_LINE)
        file_of_it.write(b"y")
    assert told(check_journal(path)) == "j:2: it was changed: line 3 carries another hash of it"


def test_an_empty_journal_has_nothing_wrong(path: Path) -> None:
    path.touch()
    assert check_journal(path).holds


# --- what somebody does to it ---


def change(path: Path, of: Callable[[list[bytes]], Sequence[bytes]]) -> None:
    path.write_bytes(b"".join(of(lines_of(path))))


@pytest.mark.parametrize(
    ("do", "words"),
    [
        (lambda lines: lines[:2] + lines[3:], "j:3: line 3 is missing before line 4"),
        (lambda lines: lines[:1] + lines[4:], "j:2: lines 2 to 4 are missing before line 5"),
        (
            lambda lines: [*lines[:2], lines[2].replace(b"n", b"m", 1), *lines[3:]],
            "j:3: it was changed: line 4 carries",
        ),
        (
            lambda lines: [*lines[:2], lines[3], lines[2], *lines[4:]],
            "j:3: line 3 is missing before line 4\nj:4: line 3 stands behind",
        ),
        (lambda lines: [*lines[:3], lines[2], *lines[3:]], "j:4: line 3 stands behind line 3: it was put there"),
        (lambda lines: [*lines[:3], b'{"event": "n"}\n', *lines[3:]], "j:4: it is of no chain"),
        (lambda lines: lines[1:], "j:1: it is line 2, which began no file: the lines before it were removed"),
        (lambda lines: [b'{"event": "old"}\n', *lines], "j:2: the line before the chain's first one was changed"),
        (lambda lines: [b'{"event": "n"}\n' * 2, *lines[2:]], "j:3: the lines before it are of no chain, and it is"),
        (lambda lines: [b'{"event": "n"}\n' for _ in lines], "no line is of a chain"),
    ],
    ids=["removed", "some", "changed", "swapped", "copied", "inserted", "begin", "before", "stripped", "all-stripped"],
)
def test_it_says_where_and_what_is_wrong(path: Path, do: Callable[[list[bytes]], list[bytes]], words: str) -> None:
    write(path, *range(7))
    change(path, do)
    assert told(check_journal(path)).startswith(words)


def test_a_file_that_was_taken_out_of_the_middle_is_missing(path: Path) -> None:
    write(path, *range(40))
    journal_files(path)[2].unlink()
    assert "are missing before line" in told(check_journal(path))


def test_an_older_file_that_was_cut_off_is_told(path: Path) -> None:
    write(path, *range(40))
    oldest = journal_files(path)[0]
    os.truncate(oldest, oldest.stat().st_size - 5)
    assert "the file ends within a line: it was cut off" in told(check_journal(path))


def test_lines_of_an_older_version_behind_those_of_a_chain_are_told(path: Path) -> None:
    write(path, *range(3))
    write_unchained(path, 9)
    write(path, *range(3))
    words = told(check_journal(path))
    assert "j:4: it is of no chain" in words
    assert "j:5: another chain" in words


def test_no_journal_is_no_journal_that_holds(path: Path) -> None:
    assert told(check_journal(path)) == f"{path}: there is no journal"


# --- with a head that is kept elsewhere ---


def test_a_tail_that_was_cut_off_is_told_by_the_head_only(path: Path) -> None:
    heads = write(path, *range(7))
    change(path, lambda lines: lines[:4])

    assert check_journal(path).holds
    assert told(check_journal(path, heads)) == "the end is missing: lines 5 to 7, whose head was kept"
    assert "no line has this hash" in told(check_journal(path, heads[-1].head.hash))


def test_what_was_written_in_place_of_a_tail_is_told_by_the_head(path: Path) -> None:
    heads = write(path, *range(7))
    change(path, lambda lines: lines[:4])
    write(path, *range(14, 17))

    assert check_journal(path).holds
    assert "line 7 is another than the one whose head was kept" in told(check_journal(path, heads))


def test_a_journal_that_was_begun_anew_is_told_by_the_heads_of_its_site(path: Path) -> None:
    old = [kept._replace(site="site-1") for kept in write(path, 0, 1)]
    path.unlink()
    new = [kept._replace(site="site-1") for kept in write(path, 0, 1)]
    other = [KeptHead("site-2", Link("ffffffff", 1, 9, "0" * 64))]

    assert "no head that was kept is of a line that is there" in told(check_journal(path, old))
    assert f"another chain of site-1, {old[0].head.chain}" in told(check_journal(path, old + new))
    assert check_journal(path, other + new).holds


def test_a_hash_of_some_line_is_a_head(path: Path) -> None:
    heads = write(path, *range(7))
    assert check_journal(path, heads[3].head.hash).holds


def test_heads_of_lines_that_were_rotated_away_say_nothing(path: Path) -> None:
    heads = write(path, *range(100), max_files=2)
    assert check_journal(path, heads).holds
    assert not check_journal(path, heads[:5]).holds


def test_an_empty_file_of_heads_proves_nothing(path: Path) -> None:
    write(path, 0)
    assert not check_journal(path, []).holds


# --- a thousand mutations ---


def delete(files: list[Path], rng: random.Random) -> None:
    file = rng.choice(files)
    lines = lines_of(file)
    del lines[rng.randrange(len(lines))]
    file.write_bytes(b"".join(lines))


def change_a_byte(files: list[Path], rng: random.Random) -> None:
    file = rng.choice(files)
    data = bytearray(file.read_bytes())
    data[rng.randrange(len(data))] ^= rng.randrange(1, 256)
    file.write_bytes(data)


def swap(files: list[Path], rng: random.Random) -> None:
    lines = {file: lines_of(file) for file in files}
    (a, i), (b, j) = rng.sample([(file, i) for file in files for i in range(len(lines[file]))], 2)
    lines[a][i], lines[b][j] = lines[b][j], lines[a][i]
    for file in files:
        file.write_bytes(b"".join(lines[file]))


def insert(files: list[Path], rng: random.Random) -> None:
    file = rng.choice(files)
    lines = lines_of(file)
    chosen = rng.choice(lines)
    new = rng.choice([b'{"event": "n"}\n', b"\n", chosen.replace(b'"n"', b'"m"')])
    lines.insert(rng.randrange(len(lines) + 1), new)
    file.write_bytes(b"".join(lines))


def duplicate(files: list[Path], rng: random.Random) -> None:
    file = rng.choice(files)
    lines = lines_of(file)
    lines.insert(rng.randrange(len(lines) + 1), rng.choice(lines))
    file.write_bytes(b"".join(lines))


def truncate(files: list[Path], rng: random.Random) -> None:
    file = rng.choice(files)
    os.truncate(file, rng.randrange(file.stat().st_size))


def remove_a_file(files: list[Path], rng: random.Random) -> None:
    rng.choice(files).unlink()


def swap_two_files(files: list[Path], rng: random.Random) -> None:
    a, b = rng.sample(files, 2)
    a_data = a.read_bytes()
    a.write_bytes(b.read_bytes())
    b.write_bytes(a_data)


_DEEDS = [delete, change_a_byte, swap, insert, duplicate, truncate, remove_a_file, swap_two_files]


def kept_in(folder: Path) -> dict[Path, bytes]:
    return {file: file.read_bytes() for file in journal_files(folder / "j")}


def put_back(kept: dict[Path, bytes]) -> list[Path]:
    for file, data in kept.items():
        file.write_bytes(data)
    return list(kept)


def test_a_thousand_mutations_are_all_found(path: Path) -> None:
    heads = write(path, *range(80), max_files=4)
    assert check_journal(path, heads).holds
    kept, rng = kept_in(path.parent), random.Random(19)
    for number in range(MUTATIONS):
        deed = _DEEDS[number % len(_DEEDS)]
        deed(put_back(kept), rng)
        assert not check_journal(path, heads).holds, f"{deed.__name__}, number {number}"


def test_without_a_head_only_what_was_done_to_the_end_is_not_found(path: Path) -> None:
    write(path, *range(80), max_files=4)
    kept, rng = kept_in(path.parent), random.Random(20)
    for number in range(MUTATIONS):
        deed = _DEEDS[number % len(_DEEDS)]
        deed(put_back(kept), rng)
        *all_but_one, _ = b"".join(kept_in(path.parent).values()).splitlines(keepends=True)
        is_of_the_end = b"".join(kept.values()).startswith(b"".join(all_but_one))
        assert not check_journal(path).holds or is_of_the_end, f"{deed.__name__}, number {number}"
