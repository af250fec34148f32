"""``flcore audit verify``: what is printed, and what it returns."""

from __future__ import annotations

from pathlib import Path

import pytest

from flcore.cli import main
from flcore.disk.journal_file import JournalFile


@pytest.fixture
def journal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "workspace/site-1/.flcore/journal.jsonl"
    path.parent.mkdir(parents=True)
    return path


def write(journal: Path, count: int, max_size: int = 1 << 20, *, chained: bool = True) -> list[str]:
    file = JournalFile(journal, max_size, 2, chained=chained)
    heads = [file.write({"event": "n", "n": number}) for number in range(count)]
    file.close()
    return heads


def verify(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, list[str]]:
    status = main(["audit", "verify", *words])
    return status, capsys.readouterr().out.splitlines()


def test_a_journal_that_holds_is_told_with_its_head(journal: Path, capsys: pytest.CaptureFixture[str]) -> None:
    heads = write(journal, 3)
    status, lines = verify(capsys)
    assert (status, lines) == (
        0,
        [
            f"{journal}: holds: 3 lines of chain {heads[0][:8]}",
            "  without --head nobody can tell whether lines are missing at its end",
            f"  its head now: {heads[-1]}",
        ],
    )
    assert verify(capsys, "--head", heads[-1])[1][1] == "  1 head that was kept agrees"


def test_each_thing_that_is_wrong_is_told_with_its_file_and_line(
    journal: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write(journal, 9)
    lines = journal.read_bytes().splitlines(keepends=True)
    lines[3] = lines[3].replace(b"3", b"4", 1)
    del lines[6]
    journal.write_bytes(b"".join(lines))

    status, told = verify(capsys)
    assert status == 1
    assert told[:3] == [
        f"{journal}: BROKEN: 2 problems",
        "  journal.jsonl:4: it was changed: line 5 carries another hash of it",
        "  journal.jsonl:7: line 7 is missing before line 8",
    ]


def test_what_was_rotated_away_and_what_is_older_than_the_chain_is_said(
    journal: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write(journal, 4, chained=False)
    write(journal, 1)
    assert "  4 lines before the chain are an older version's, and prove nothing" in verify(capsys)[1]

    write(journal, 40, max_size=1000)
    status, told = verify(capsys)
    assert status == 0
    assert [line for line in told if "older files were rotated away" in line]


def test_of_many_things_that_are_wrong_the_first_are_shown(journal: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write(journal, 200)
    with journal.open("ab") as file:
        file.write(b'{"event": "mine"}\n' * 2000)
    told = verify(capsys)[1]
    assert told[0] == f"{journal}: BROKEN: 2,000 problems"
    assert "  and 1980 more" in told


def test_without_a_journal_nothing_holds(journal: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert verify(capsys) == (1, [f"{journal}: BROKEN: 1 problem", f"  {journal}: there is no journal"])
