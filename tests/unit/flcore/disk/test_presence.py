"""What a disk does not let us look at is not taken for absent, on any Python."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from flcore.disk.presence import is_file, is_folder, is_there
from tests.another_user import as_another

ALL = pytest.mark.parametrize("look", [is_there, is_folder, is_file])
Look = Callable[[Path], bool]


def test_a_file_is_no_folder_and_a_folder_no_file(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.touch()
    assert [look(file) for look in (is_there, is_folder, is_file)] == [True, False, True]
    assert [look(tmp_path) for look in (is_there, is_folder, is_file)] == [True, True, False]


@ALL
@pytest.mark.parametrize("name", ["missing", "file/below", "loop", "a\0b"])
def test_what_cannot_be_is_not_there(name: str, look: Look, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "loop").symlink_to("loop")
    assert not look(tmp_path / name)


@ALL
def test_what_is_behind_a_closed_folder_may_be_there(look: Look, tmp_path: Path) -> None:
    with as_another(tmp_path), pytest.raises(PermissionError):
        look(tmp_path / "file")
