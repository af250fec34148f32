"""What a folder holds is found out bit by bit, whatever a job has put there, and nowhere else."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from flcore.disk.folder_size import LEAST, sizes_so_far
from flcore.disk.safe_files import MAX_FOLDER_DEPTH, remove

MI = 1 << 20


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / "job-1"
    folder.mkdir()
    yield folder
    remove(folder)


def size(folder: Path) -> int:
    *_, whole = sizes_so_far(folder)
    return whole


def _open_files() -> set[str]:
    return {path.name for path in Path("/proc/self/fd").iterdir()}


def test_a_folder_holds_what_its_files_take_on_the_disk_however_deep(folder: Path) -> None:
    (folder / "a" / "b").mkdir(parents=True)
    (folder / "a" / "b" / "model").write_bytes(bytes(3 * MI))
    (folder / "log").write_bytes(bytes(MI))
    assert 4 * MI < size(folder) <= 4 * MI + 8 * LEAST


def test_a_file_with_holes_counts_as_what_is_not_a_hole(folder: Path) -> None:
    with (folder / "sparse").open("wb") as file:
        file.truncate(1 << 40)
    assert size(folder) <= 4 * LEAST


def test_a_file_of_several_names_counts_once(folder: Path) -> None:
    (folder / "model").write_bytes(bytes(2 * MI))
    (folder / "again").hardlink_to(folder / "model")
    assert 2 * MI <= size(folder) <= 2 * MI + 8 * LEAST


def test_even_what_is_empty_takes_its_place(folder: Path) -> None:
    for number in range(300):
        (folder / f"{number}").touch()
    assert size(folder) >= 300 * LEAST


def test_no_link_is_followed(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "theirs").mkdir()
    (tmp_path / "theirs" / "data").write_bytes(bytes(2 * MI))
    (folder / "folder").symlink_to(tmp_path / "theirs")
    (folder / "file").symlink_to(tmp_path / "theirs" / "data")
    (folder / "itself").symlink_to(folder)
    assert size(folder) <= 8 * LEAST


def test_a_folder_that_becomes_a_link_meanwhile_leads_nowhere(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "theirs").mkdir()
    (tmp_path / "theirs" / "data").write_bytes(bytes(2 * MI))
    (folder / "inner" / "more").mkdir(parents=True)
    sizes = sizes_so_far(folder)
    next(sizes)
    (folder / "inner").rename(tmp_path / "aside")
    (folder / "inner").symlink_to(tmp_path / "theirs")
    assert max(sizes) <= 8 * LEAST


def test_what_is_removed_meanwhile_does_no_harm(folder: Path) -> None:
    for number in range(200):
        (folder / f"{number}").mkdir()
    sizes = sizes_so_far(folder)
    next(sizes)
    for number in range(200):
        (folder / f"{number}").rmdir()
    assert max(sizes) <= 202 * LEAST + (folder.stat().st_blocks << 9)


def test_a_sum_comes_often_so_that_who_asks_may_stop_at_any_time(folder: Path) -> None:
    for number in range(1000):
        (folder / f"{number}").touch()
    sums = list(sizes_so_far(folder))
    assert len(sums) > 10
    assert sums == sorted(sums)


def test_who_stops_early_leaves_nothing_open(folder: Path) -> None:
    for number in range(1000):
        (folder / f"{number}").touch()
    before = _open_files()
    sizes = sizes_so_far(folder)
    next(sizes)
    sizes.close()
    assert _open_files() == before


def test_folders_are_followed_as_deep_as_those_of_an_app_may_be_and_no_deeper(folder: Path) -> None:
    within = folder
    for _ in range(MAX_FOLDER_DEPTH):
        within = within / "d"
        within.mkdir()
    assert size(folder) >= MAX_FOLDER_DEPTH * LEAST
    (within / "d").mkdir()
    with pytest.raises(OSError, match="more than 64 folders lie within each other") as caught:
        size(folder)
    assert caught.value.errno == errno.EINVAL


def test_a_thousand_folders_within_each_other_do_no_harm(folder: Path) -> None:
    before = os.getcwd()  # noqa: PTH109 - a path that is longer than any may be
    try:
        os.chdir(folder)
        for _ in range(1_000):
            os.mkdir("d")  # noqa: PTH102
            os.chdir("d")
    finally:
        os.chdir(before)
    with pytest.raises(OSError, match="within each other"):
        size(folder)


def test_a_pipe_and_a_socket_are_waited_for_by_nobody(folder: Path) -> None:
    os.mkfifo(folder / "pipe")
    assert size(folder) <= 4 * LEAST


def test_a_folder_that_is_a_link_is_none(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(folder)
    with pytest.raises(NotADirectoryError):
        size(tmp_path / "link")
