"""A site's id is a small file; whatever else stands in its place is no id, and is not waited for."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from flcore.job_meta import is_identifier
from launchers.records.site_id import made_site_id, read_site_id


def link(path: Path) -> None:
    path.symlink_to(path.with_name("elsewhere"))
    path.with_name("elsewhere").write_text("0123456789abcdef")


def huge(path: Path) -> None:
    with path.open("wb") as file:
        file.truncate(1 << 40)


NO_IDS: list[Callable[[Path], object]] = [link, huge, os.mkfifo, Path.mkdir, lambda path: path.write_bytes(b"\x1b[2J")]
NAMES = ["a-link", "a-terabyte", "a-pipe", "a-folder", "control-characters"]


def test_an_id_stays_what_it_is(tmp_path: Path) -> None:
    assert made_site_id(tmp_path) == made_site_id(tmp_path) == read_site_id(tmp_path)


def test_a_site_that_has_none_has_no_id(tmp_path: Path) -> None:
    assert read_site_id(tmp_path) == ""


@pytest.mark.parametrize("put", NO_IDS, ids=NAMES)
def test_what_is_none_is_kept_aside(tmp_path: Path, put: Callable[[Path], object]) -> None:
    put(tmp_path / "site-id")
    assert is_identifier(made_site_id(tmp_path))
    assert os.path.lexists(tmp_path / "site-id.unreadable")
    assert not (tmp_path / "site-id").is_symlink()


def test_a_link_in_the_way_of_a_new_one_is_not_written_through(tmp_path: Path) -> None:
    (tmp_path / "victim").write_text("mine")
    (tmp_path / "site-id.part").symlink_to(tmp_path / "victim")
    made_site_id(tmp_path)
    assert (tmp_path / "victim").read_text() == "mine"
