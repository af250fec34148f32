"""Files of a job's folder: what a job has left there leads nowhere else, blocks nobody and goes when it must."""

from __future__ import annotations

import errno
import os
import resource
import socket
import stat
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from flcore.disk import safe_files
from flcore.disk.safe_files import (
    closing,
    copy_tree,
    give,
    make_private,
    open_file,
    open_folder,
    remove,
    take_back,
    write_new,
)

JOB = (1234, 567)
AS_ROOT = pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files to others")


@pytest.fixture
def outside(tmp_path: Path) -> Path:
    """A folder of the site's that no job has anything to do with."""
    folder = tmp_path / "outside"
    folder.mkdir()
    (folder / "precious").write_text("untouched")
    return folder


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "job"


@pytest.fixture
def folder(path: Path) -> Iterator[int]:
    with closing(make_private(path)) as folder:
        yield folder


def _link(place: Path, outside: Path) -> None:
    place.symlink_to(outside)


def _link_to_file(place: Path, outside: Path) -> None:
    place.symlink_to(outside / "precious")


def _dangling_link(place: Path, outside: Path) -> None:
    place.symlink_to(outside / "new")


def _pipe(place: Path, outside: Path) -> None:
    os.mkfifo(place)


def _socket(place: Path, outside: Path) -> None:
    with socket.socket(socket.AF_UNIX) as server, closing(open_folder(place.parent)) as folder:
        server.bind(f"/proc/self/fd/{folder}/{place.name}")


def _hard_link(place: Path, outside: Path) -> None:
    place.hardlink_to(outside / "precious")


def _full_folder(place: Path, outside: Path) -> None:
    (place / "a" / "b").mkdir(parents=True)
    (place / "a" / "link").symlink_to(outside)
    (place / "a" / "b" / "file").write_text("x")


def _shut_folder(place: Path, outside: Path) -> None:
    _full_folder(place, outside)
    for shut in ("a/b", "a", "."):
        (place / shut).chmod(0)


LEFT = [_link, _link_to_file, _dangling_link, _pipe, _socket, _hard_link, _full_folder, _shut_folder]
LeftBehind = Callable[[Path, Path], None]


def untouched(outside: Path) -> bool:
    info = (outside / "precious").stat()
    names = [path.name for path in outside.iterdir()]
    return (outside / "precious").read_text() == "untouched" and names == ["precious"] and info.st_uid == os.geteuid()


# --- making and opening ---


def test_a_jobs_folder_is_nobody_elses(path: Path) -> None:
    os.close(make_private(path))
    assert stat.S_IMODE(path.stat().st_mode) == 0o700


def test_a_new_workspace_is_the_sites_alone(tmp_path: Path) -> None:
    os.close(make_private(tmp_path / "workspace" / "job"))
    assert stat.S_IMODE((tmp_path / "workspace").stat().st_mode) == 0o700


@pytest.mark.parametrize("mode", [0, 0o777, 0o500, 0o4755])
def test_a_folder_that_a_job_has_opened_or_shut_is_its_users_alone_again(path: Path, mode: int) -> None:
    path.mkdir()
    path.chmod(mode)
    os.close(make_private(path))
    assert stat.S_IMODE(path.stat().st_mode) == 0o700


@pytest.mark.parametrize("left", [_link, _link_to_file, _dangling_link, _pipe, _hard_link])
def test_what_is_in_the_way_of_a_folder_is_an_error(path: Path, outside: Path, left: LeftBehind) -> None:
    left(path, outside)
    with pytest.raises(NotADirectoryError):
        make_private(path)
    assert untouched(outside)


# --- reading ---


def test_a_file_is_read(path: Path, folder: int) -> None:
    (path / "result").write_bytes(b"42")
    with open_file("result", folder) as file:
        assert file.read() == b"42"


@pytest.mark.parametrize("left", [_link, _link_to_file, _dangling_link, _pipe, _socket, _full_folder])
def test_nothing_but_a_file_is_read_and_nothing_blocks(
    path: Path, folder: int, outside: Path, left: LeftBehind
) -> None:
    left(path / "result", outside)
    before = len(list(Path("/proc/self/fd").iterdir()))
    with pytest.raises(OSError, match="result"):
        open_file("result", folder)
    assert len(list(Path("/proc/self/fd").iterdir())) == before


# --- writing and removing ---


@pytest.mark.parametrize("place", ["log", ".log.part"])
@pytest.mark.parametrize("left", LEFT)
def test_a_file_is_written_in_place_of(path: Path, folder: int, outside: Path, left: LeftBehind, place: str) -> None:
    left(path / place, outside)
    write_new("log", folder, [b"of the", b" site"], 0o640)
    assert [entry.name for entry in path.iterdir()] == ["log"]
    assert not (path / "log").is_symlink()
    assert (path / "log").read_bytes() == b"of the site"
    assert untouched(outside)


def test_a_file_that_cannot_be_written_wholly_is_not_there(path: Path, folder: int) -> None:
    def chunks() -> Iterator[bytes]:
        yield b"half"
        raise OSError("the source is gone")

    with pytest.raises(OSError, match="gone"):
        write_new("log", folder, chunks(), 0o640)
    assert list(path.iterdir()) == []


def test_a_folder_that_was_moved_away_meanwhile_is_the_one_that_is_written_to(
    path: Path, folder: int, outside: Path
) -> None:
    path.rename(path.with_name("moved"))
    path.symlink_to(outside)
    write_new("log", folder, [b"x"], 0o640)
    assert (path.with_name("moved") / "log").exists()
    assert untouched(outside)


@pytest.mark.parametrize("left", LEFT)
def test_it_is_removed_and_nothing_else(path: Path, folder: int, outside: Path, left: LeftBehind) -> None:
    left(path / "thing", outside)
    remove("thing", folder)
    assert list(path.iterdir()) == []
    assert untouched(outside)


def test_removing_what_is_not_there_is_no_error(folder: int) -> None:
    remove("nothing", folder)


@pytest.fixture
def few_descriptors() -> Iterator[int]:
    """The number of files that this process may keep open meanwhile."""
    few, (soft, hard) = 200, resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (few, hard))
    yield few
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.fixture
def few_calls() -> Iterator[int]:
    """The number of calls that may be under way within each other meanwhile."""
    few, most = 300, sys.getrecursionlimit()
    sys.setrecursionlimit(few)
    yield few
    sys.setrecursionlimit(most)


def test_a_tree_that_is_deeper_than_can_be_kept_open_is_removed(
    path: Path, folder: int, few_descriptors: int, few_calls: int
) -> None:
    here = os.dup(folder)
    for _ in range(max(few_descriptors, few_calls) + 1):
        os.mkdir("deeper", dir_fd=here)
        os.close(os.open("file", os.O_CREAT | os.O_WRONLY, dir_fd=here))
        below = open_folder("deeper", here)
        os.close(here)
        here = below
    os.close(here)
    remove(path)
    assert not path.exists()


# --- copying ---


def test_a_copy_has_files_folders_and_links(tmp_path: Path, path: Path, folder: int) -> None:
    app = tmp_path / "app"
    (app / "custom").mkdir(parents=True)
    (app / "custom" / "run.py").write_text("print(1)")
    (app / "link").symlink_to("/nowhere")
    copy_tree(app, "copy", folder)
    copy = path / "copy"
    assert (copy / "custom" / "run.py").read_text() == "print(1)"
    assert (copy / "link").readlink() == Path("/nowhere")
    assert (copy / "custom" / "run.py").stat().st_mtime_ns == (app / "custom" / "run.py").stat().st_mtime_ns


@pytest.mark.parametrize(("mode", "copied"), [(0o644, 0o600), (0o6755, 0o700), (0o7777, 0o700), (0o400, 0o600)])
def test_a_copy_is_for_its_owner_and_never_setuid(
    tmp_path: Path, path: Path, folder: int, mode: int, copied: int
) -> None:
    (tmp_path / "app").mkdir()
    (tmp_path / "app" / "tool").touch()
    (tmp_path / "app" / "tool").chmod(mode)
    copy_tree(tmp_path / "app", "copy", folder)
    assert stat.S_IMODE((path / "copy" / "tool").stat().st_mode) == copied
    assert stat.S_IMODE((path / "copy").stat().st_mode) == 0o700


@pytest.mark.parametrize("left", [_pipe, _socket])
def test_what_is_neither_file_folder_nor_link_is_not_copied(
    tmp_path: Path, folder: int, outside: Path, left: LeftBehind
) -> None:
    (tmp_path / "app").mkdir()
    left(tmp_path / "app" / "odd", outside)
    with pytest.raises(OSError, match="odd"):
        copy_tree(tmp_path / "app", "copy", folder)


def test_an_app_that_is_too_deep_is_an_error(tmp_path: Path, folder: int) -> None:
    (tmp_path / "app" / "/".join(["d"] * safe_files.MAX_FOLDER_DEPTH)).mkdir(parents=True)
    with pytest.raises(OSError, match="more than 64 folders lie within each other"):
        copy_tree(tmp_path / "app", "copy", folder)


# --- giving ---


@AS_ROOT
def test_all_in_a_folder_is_given(path: Path, folder: int, outside: Path) -> None:
    _full_folder(path / "app", outside)
    give(folder, *JOB)
    owners = {(entry.lstat().st_uid, entry.lstat().st_gid) for entry in [path, *path.rglob("*")]}
    assert owners == {JOB}
    assert untouched(outside)


@AS_ROOT
@pytest.mark.parametrize("left", [_link, _link_to_file, _dangling_link, _pipe, _socket, _shut_folder])
def test_nothing_outside_is_given(path: Path, folder: int, outside: Path, left: LeftBehind) -> None:
    left(path / "thing", outside)
    give(folder, *JOB)
    assert (path / "thing").lstat().st_uid == JOB[0]
    assert untouched(outside)


@AS_ROOT
def test_a_file_with_another_name_is_not_given_away(path: Path, folder: int, outside: Path) -> None:
    _hard_link(path / "mine", outside)
    with pytest.raises(OSError, match=r"it is a hard link, .*: 'mine'"):
        give(folder, *JOB)
    assert untouched(outside)


@AS_ROOT
def test_a_hard_link_that_is_the_jobs_already_stays(path: Path, folder: int) -> None:
    (path / "one").touch()
    os.chown(path / "one", *JOB)
    (path / "two").hardlink_to(path / "one")
    give(folder, *JOB)
    assert path.stat().st_uid == JOB[0]


@AS_ROOT
def test_a_setuid_bit_is_gone_when_a_file_is_given(path: Path, folder: int) -> None:
    (path / "tool").touch()
    (path / "tool").chmod(0o6755)
    give(folder, *JOB)
    assert stat.S_IMODE((path / "tool").stat().st_mode) == 0o755


@AS_ROOT
def test_a_device_is_not_given(path: Path, folder: int) -> None:
    os.mknod(path / "null", 0o666 | stat.S_IFCHR, os.makedev(1, 3))
    give(folder, *JOB)
    assert (path / "null").stat().st_uid == 0


@AS_ROOT
def test_what_lies_deeper_than_any_app_keeps_its_owner(path: Path, folder: int) -> None:
    deep = path / "/".join(["d"] * (safe_files.MAX_FOLDER_DEPTH + 1))
    deep.mkdir(parents=True)
    give(folder, *JOB)
    assert (deep.stat().st_uid, deep.parent.stat().st_uid) == (0, JOB[0])


@pytest.mark.parametrize("put", [lambda path, victim: path.symlink_to(victim), lambda path, _: os.mkfifo(path)])
def test_an_output_goes_through_no_link_and_waits_for_no_reader_of_a_pipe(
    put: Callable[[Path, Path], None], tmp_path: Path
) -> None:
    victim, path = tmp_path / "victim", tmp_path / "report.html"
    victim.write_text("precious")
    put(path, victim)
    with pytest.raises(OSError):  # noqa: PT011 - which one differs
        safe_files.write_output(path, b"page")
    assert victim.read_text() == "precious"


def test_an_output_takes_the_place_of_an_earlier_one(tmp_path: Path) -> None:
    (tmp_path / "report.html").write_text("a longer one")
    safe_files.write_output(tmp_path / "report.html", b"page")
    assert (tmp_path / "report.html").read_text() == "page"


@AS_ROOT
def test_a_file_all_of_whose_names_are_in_the_folder_is_given(path: Path, folder: int) -> None:
    (path / "deep").mkdir()
    (path / "one").touch()
    (path / "deep" / "two").hardlink_to(path / "one")
    for number in range(300):  # more than are listed at once
        (path / f"file-{number}").touch()
    give(folder, *JOB)
    assert {(file.stat().st_uid, file.stat().st_gid) for file in path.rglob("*")} == {JOB}


@AS_ROOT
@pytest.mark.parametrize("left", [_link, _link_to_file, _dangling_link, _pipe, _socket, _full_folder, _shut_folder])
def test_what_a_job_has_left_is_taken_back_and_nothing_outside(
    path: Path, folder: int, outside: Path, left: LeftBehind
) -> None:
    os.chown(outside, *JOB)
    os.chown(outside / "precious", *JOB)
    left(path / "left", outside)
    give(folder, *JOB)
    take_back(folder, 0, 0)
    assert {file.lstat().st_uid for file in (path, *path.rglob("*"))} == {0}
    assert {file.stat().st_uid for file in (outside, outside / "precious")} == {JOB[0]}


@AS_ROOT
def test_what_is_taken_back_is_not_setuid_any_more(path: Path, folder: int) -> None:
    program = path / "shell"
    program.touch()
    give(folder, *JOB)
    program.chmod(0o6755)
    take_back(folder, 0, 0)
    assert (program.stat().st_uid, program.stat().st_mode & 0o7777) == (0, 0o755)


@AS_ROOT
def test_a_jobs_file_is_taken_back_whatever_other_names_it_has(path: Path, folder: int) -> None:
    deep = path / "/".join(["d"] * (safe_files.MAX_FOLDER_DEPTH + 2))
    deep.mkdir(parents=True)
    (path / "model").touch()
    give(folder, *JOB)
    (deep / "hidden").hardlink_to(path / "model")
    take_back(folder, 0, 0)
    assert ((path / "model").stat().st_uid, path.stat().st_uid) == (0, 0)


@AS_ROOT
def test_what_somebody_else_has_put_into_a_jobs_folder_stays_theirs(path: Path, folder: int) -> None:
    give(folder, *JOB)
    (path / "note").touch()
    os.chown(path / "note", 77, 77)
    take_back(folder, 0, 0)
    assert (path / "note").stat().st_uid == 77


@AS_ROOT
def test_what_was_not_taken_back_whole_is_by_doing_it_again(
    path: Path, folder: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("one", "two"):
        (path / name).touch()
    give(folder, *JOB)
    with monkeypatch.context() as patched:
        patched.setattr("os.fchown", _no_space)
        with pytest.raises(OSError, match="No space"):
            take_back(folder, 0, 0)
    take_back(folder, 0, 0)
    assert {file.stat().st_uid for file in (path, *path.iterdir())} == {0}


def _no_space(*_: int) -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
