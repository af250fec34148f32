"""What a disk refuses, in words."""

from __future__ import annotations

import os
import pwd
from pathlib import Path

import pytest

from flcore.disk.os_errors import in_words, whose
from tests.another_user import ANOTHER, as_another


@pytest.fixture
def folder(open_folder: Path) -> Path:
    return open_folder


def test_an_error_is_told_without_its_number_and_with_its_path() -> None:
    with pytest.raises(FileNotFoundError) as caught:
        os.listdir("/no/such/folder")  # noqa: PTH208 - its error is what is looked at
    assert in_words(caught.value) == "No such file or directory: /no/such/folder"


def test_both_paths_of_a_move_are_told(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError) as caught:
        (tmp_path / "a").rename(tmp_path / "b")
    assert in_words(caught.value) == f"No such file or directory: {tmp_path}/a, {tmp_path}/b"


@pytest.mark.parametrize("error", [ValueError("no luck"), OSError("no number")])
def test_what_has_no_number_is_told_as_it_is(error: Exception) -> None:
    assert in_words(error) == str(error)


def test_what_is_another_users_is_told_with_whose_it_is_and_who_asks(folder: Path) -> None:
    inner = folder / "site-1"
    inner.mkdir(mode=0o700)
    with as_another(inner), pytest.raises(PermissionError) as caught:
        (inner / ".flcore" / "parents").mkdir()
    with as_another(inner):
        words = in_words(caught.value)
    owner = pwd.getpwuid(os.geteuid()).pw_name
    assert words == (
        f"Permission denied: {inner}/.flcore/parents; {inner} belongs to the user {owner}, "
        f"this process to the user {pwd.getpwuid(ANOTHER).pw_name}"
    )


def test_what_is_ones_own_needs_no_owner(tmp_path: Path) -> None:
    error = PermissionError(13, "Permission denied", str(tmp_path))
    assert in_words(error) == f"Permission denied: {tmp_path}"


def test_a_name_within_an_open_folder_is_nobodys() -> None:
    assert in_words(PermissionError(13, "Permission denied", "data")) == "Permission denied: data"


def test_a_user_without_a_name_is_told_by_its_number() -> None:
    assert whose(4_000_000) == "the user 4000000"
