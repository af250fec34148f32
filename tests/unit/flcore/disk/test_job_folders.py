"""Which folders of a workspace are jobs': those that the site made for jobs."""

from __future__ import annotations

from pathlib import Path

from flcore.disk.job_folders import forget_missing, is_foreign, note_new


def test_what_was_noted_before_it_was_made_is_a_jobs(tmp_path: Path) -> None:
    note_new(tmp_path / "job-1")
    (tmp_path / "job-1").mkdir()
    assert not is_foreign(tmp_path / "job-1")


def test_what_is_there_already_does_not_become_a_jobs(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "link").symlink_to("/nowhere")
    for name in ("data", "link"):
        note_new(tmp_path / name)
        assert is_foreign(tmp_path / name)


def test_what_is_not_there_is_nobodys(tmp_path: Path) -> None:
    assert not is_foreign(tmp_path / "job-1")
    assert list(tmp_path.iterdir()) == []


def test_a_name_whose_folder_is_gone_is_anybodys_again(tmp_path: Path) -> None:
    note_new(tmp_path / "job-1")
    forget_missing(tmp_path / "job-1")
    (tmp_path / "job-1").mkdir()
    assert is_foreign(tmp_path / "job-1")


def test_a_folder_that_is_there_is_not_forgotten(tmp_path: Path) -> None:
    note_new(tmp_path / "job-1")
    (tmp_path / "job-1").mkdir()
    forget_missing(tmp_path / "job-1")
    assert not is_foreign(tmp_path / "job-1")
