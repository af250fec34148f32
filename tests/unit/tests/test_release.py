"""What ``make release`` says of links, of the changelog and of interpreters, without building anything."""

from __future__ import annotations

import io
import tarfile
from datetime import date
from pathlib import Path

import pytest

from tests.release import __main__ as release
from tests.release.distributions import normalised
from tests.release.long_description import DeadLinkError, long_description
from tests.release.pythons import Python, pythons
from tests.release.sources import ReleaseError, date_of_release, describe, pythons_promised
from tests.release.trial import Trial

URL = "https://code.invalid/flcore/blob/v1"
RAW = "https://code.invalid/flcore/raw/v1"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("docs/a.md", "docs/a.png", "SECURITY.md"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    return tmp_path


@pytest.mark.parametrize(
    ("readme", "there", "nowhere"),
    [
        ("[A page](docs/a.md)", f"[A page]({URL}/docs/a.md)", "A page (`docs/a.md`)"),
        ("[A page](docs/a.md#part)", f"[A page]({URL}/docs/a.md#part)", "A page (`docs/a.md`)"),
        ("[`docs/a.md`](docs/a.md)", f"[`docs/a.md`]({URL}/docs/a.md)", "`docs/a.md`"),
        ("[here](#part)", f"[here]({URL}/README.md#part)", "here"),
        ("![a page](docs/a.png)", f"![a page]({RAW}/docs/a.png)", "a page"),
        ("[other](https://a.invalid/b)", "[other](https://a.invalid/b)", "[other](https://a.invalid/b)"),
        ("[mail](mailto:a@b.invalid)", "[mail](mailto:a@b.invalid)", "[mail](mailto:a@b.invalid)"),
        ("`[no](docs/a.md)`", "`[no](docs/a.md)`", "`[no](docs/a.md)`"),
        ("[x](docs/a.md), [y](SECURITY.md)", f"[x]({URL}/docs/a.md), [y]({URL}/SECURITY.md)", None),
        ("```\n[no](docs/a.md)\n```", "```\n[no](docs/a.md)\n```", "```\n[no](docs/a.md)\n```"),
    ],
)
def test_a_link_leads_somewhere_or_is_none(folder: Path, readme: str, there: str, nowhere: str | None) -> None:
    assert long_description(readme, folder, URL) == f"{there}\n"
    assert long_description(readme, folder, f"{URL}/") == f"{there}\n"
    assert nowhere is None or long_description(readme, folder, "") == f"{nowhere}\n"


@pytest.mark.parametrize("url", ["", URL])
def test_a_link_to_no_file_is_an_error(folder: Path, url: str) -> None:
    with pytest.raises(DeadLinkError, match=r"^README\.md links to docs/b\.md, which is no file of the release$"):
        long_description("[A page](docs/b.md)", folder, url)


def test_an_address_stands_in_the_metadata_too(folder: Path) -> None:
    (folder / "README.md").write_text("[A page](docs/a.md)")
    (folder / "setup.cfg").write_text("[metadata]\nlong_description = file: README.md\n\n[options]\nx = y\n")
    describe(folder, URL)
    assert (folder / "setup.cfg").read_text() == (
        f"[metadata]\nproject_urls =\n    Documentation = {URL}/README.md\n    Changelog = {URL}/CHANGELOG.md\n"
        "long_description = file: LONG_DESCRIPTION.md\n\n[options]\nx = y\n"
    )
    assert (folder / "LONG_DESCRIPTION.md").read_text() == f"[A page]({URL}/docs/a.md)\n"


def test_a_changelog_tells_when_a_version_was_released() -> None:
    changelog = "# Changelog\n\n## 0.2.0 (2026-11-29)\n\n- new\n\n## 0.1.0 (2026-11-01)\n"
    assert date_of_release(changelog, "0.2.0") == date(2026, 11, 29)


@pytest.mark.parametrize(
    ("changelog", "head"),
    [
        ("# Changelog\n", "nothing"),
        ("## 0.2.0 (unreleased)\n", "0.2.0 (unreleased)"),
        ("## 0.2.0 (2026-13-01)\n", "0.2.0 (2026-13-01)"),
        ("## Unreleased\n\n## 0.2.0 (2026-11-29)\n", "Unreleased"),
        ("## 0.1.0 (2026-11-29)\n", "0.1.0 (2026-11-29)"),
        ("## 0.2.0.1 (2026-11-29)\n", "0.2.0.1 (2026-11-29)"),
    ],
)
def test_a_version_without_a_date_is_not_released(changelog: str, head: str) -> None:
    with pytest.raises(ReleaseError) as caught:
        date_of_release(changelog, "0.2.0")
    wanted = "let its newest section be '## 0.2.0 (YYYY-MM-DD)'"
    assert str(caught.value) == f"CHANGELOG.md begins with {head!r}: {wanted}"


def test_the_classifiers_say_which_pythons_are_promised(tmp_path: Path) -> None:
    lines = "Python :: 3", "Python :: 3.11", "Python :: 3.12", "Python :: Free Threading :: 1 - Unstable"
    told = "".join(f"    Programming Language :: {line}\n" for line in lines)
    (tmp_path / "setup.cfg").write_text(f"[metadata]\nclassifiers =\n{told}")
    assert pythons_promised(tmp_path) == ["3.11", "3.12"]


def interpreter(folder: Path, version: str, has_no_gil: str = "false") -> str:
    """Return a program that tells of itself what an interpreter would."""
    program = folder / f"python{version}{has_no_gil}"
    program.write_text(f"#!/bin/sh\necho '[[{version.replace('.', ',')}], \"final\", {has_no_gil}]'\n")
    program.chmod(0o755)
    return str(program)


def test_the_newest_of_each_version_is_tried_and_one_without_a_gil_is_another(tmp_path: Path) -> None:
    told = ["3.14.1", "3.11.7", "3.11.12", "3.10.2"]
    programs = [interpreter(tmp_path, version) for version in told] + [interpreter(tmp_path, "3.14.1", "true")]
    assert [python.title for python in pythons(programs)] == ["3.11.12", "3.14.1", "3.14.1t"]
    assert [python.minor for python in pythons(programs)] == ["3.11", "3.14", "3.14t"]


def test_what_is_no_interpreter_is_passed_over(tmp_path: Path) -> None:
    broken = tmp_path / "broken"
    broken.write_text("#!/bin/sh\nexit 127\n")
    broken.chmod(0o755)
    assert pythons([str(broken), str(tmp_path / "missing")]) == []


def an_archive(mtime: int, mode: int, owner: str, names: tuple[str, ...]) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz") as archive:
        for name in names:
            member = tarfile.TarInfo(name)
            member.mtime, member.mode, member.uname, member.size = mtime, mode, owner, len(name)
            archive.addfile(member, io.BytesIO(name.encode()))
    return out.getvalue()


def test_an_archive_tells_nothing_of_who_has_made_it() -> None:
    mine = normalised(an_archive(1, 0o600, "me", ("a", "b")), 1_700_000_000)
    yours = normalised(an_archive(2, 0o664, "you", ("b", "a")), 1_700_000_000)
    assert mine == yours


def test_an_archive_keeps_its_contents_and_who_may_be_run() -> None:
    with tarfile.open(fileobj=io.BytesIO(normalised(an_archive(1, 0o700, "me", ("a",)), 5))) as archive:
        (member,) = archive.getmembers()
        assert (member.mode, member.mtime) == (0o755, 5)
        assert archive.extractfile(member).read() == b"a"  # type: ignore[union-attr]


def test_the_table_has_a_row_for_each_environment() -> None:
    python = Python((3, 14, 1), True, True, "python")
    trials = [
        Trial(python, (), 2.04, 5_600_000, 21.2, {"passed": 5400, "skipped": 12}),
        Trial(python, ("web",), 4, 20_000_000, 30, {"passed": 1}, "one failed"),
    ]
    assert release.table(trials).splitlines() == [
        "Python  | extras | install | size    | unit tests | skipped | seconds |",
        "3.14.1t | none   | 2.0 s   | 5.6 MB  | 5,400      | 12      | 21      |",
        "3.14.1t | all    | 4.0 s   | 20.0 MB | 1          | 0       | 30      | FAILED",
    ]
    assert list(release.failures(trials)) == ["\nPython 3.14.1t, all extras:\none failed"]
