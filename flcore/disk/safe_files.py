"""Files and folders that a job has owned, or owns: whatever it left there, nothing outside of its folder is touched.

Every step is taken from the open folder above (``dir_fd``) and follows no link, so that nothing that is put in the way
meanwhile leads elsewhere. Nothing blocks, be it on a pipe. All functions raise OSError.
"""

from __future__ import annotations

import errno
import os
import secrets
import stat
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from .projects import take_in_all

MAX_FOLDER_DEPTH = 64
"""Levels of folders in an app. What lies deeper in a job's folder keeps its owner."""
PASSING = frozenset(
    {errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EROFS, errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ESTALE}
)
"""Errors of a disk or of this process that no job can have brought about in its folder, and that may pass."""

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_NEW_FILE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_ANYTHING = os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC
_PRIVATE = 0o700


@contextmanager
def closing(descriptor: int) -> Iterator[int]:
    """Close a descriptor at the end."""
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def open_folder(name: str | Path, within: int | None = None) -> int:
    """Return a descriptor of a folder that is no link."""
    return os.open(name, _FOLDER, dir_fd=within)


def open_private(path: Path) -> int:
    """Return a descriptor of a job's folder, to which nobody but its owner has access from now on."""
    # opened twice: one that shuts us out can be opened as a mere place only, which is enough to change its mode
    with closing(os.open(path, _ANYTHING | os.O_DIRECTORY)) as folder:
        if stat.S_IMODE(os.fstat(folder).st_mode) != _PRIVATE:
            _itself(folder).chmod(_PRIVATE)
        return os.open(_itself(folder), os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)


def make_private(path: Path) -> int:
    """Make a job's folder if it is not there, and return a descriptor as :func:`open_private` does."""
    path.parent.mkdir(_PRIVATE, parents=True, exist_ok=True)
    with suppress(FileExistsError):
        path.mkdir(_PRIVATE)
    return open_private(path)


def open_file(name: str | Path, within: int | None = None, *, follow: bool = False) -> BinaryIO:
    """Open a regular file for reading; anything else is an error: EISDIR, ELOOP (a link), or EINVAL.

    ``follow`` links for a file that is the site's own.
    """
    # O_NONBLOCK: to open a pipe would wait for who writes to it
    flags = os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | (0 if follow else os.O_NOFOLLOW)
    descriptor = os.open(name, flags, dir_fd=within)
    try:
        _check_regular(descriptor, name)
        return os.fdopen(descriptor, "rb")
    except BaseException:
        os.close(descriptor)
        raise


def _check_regular(descriptor: int, name: str | Path) -> None:
    mode = os.fstat(descriptor).st_mode
    if stat.S_ISDIR(mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(name))
    if not stat.S_ISREG(mode):
        raise OSError(errno.EINVAL, "it is no file", str(name))


def create_file(name: str, within: int, mode: int) -> BinaryIO:
    """Open a file for writing that was not there before."""
    return os.fdopen(os.open(name, _NEW_FILE, mode, dir_fd=within), "wb")


def write_new(name: str, within: int, chunks: Iterable[bytes], mode: int) -> None:
    """Write a file, all of it or none, in place of whatever is there."""
    part = f".{name}.part"
    remove(part, within)
    try:
        with create_file(part, within, mode) as file:
            file.writelines(chunks)
        remove(name, within)  # a job may have made a folder there, which no file can replace
        os.rename(part, name, src_dir_fd=within, dst_dir_fd=within)
    finally:
        with suppress(FileNotFoundError):
            os.unlink(part, dir_fd=within)


def write_output(path: Path, data: bytes) -> None:
    """Write a file that somebody has asked for, which is no link: the folder may be one where a job has put some."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    with os.fdopen(os.open(path, flags, 0o666), "wb") as file:
        file.write(data)


def remove(name: str | Path, within: int | None = None) -> None:
    """Remove what is there, if anything is: a folder with all that is in it, however deep, or whatever else."""
    if not _unlink(name, within):
        with closing(_open_up(name, within)) as folder:
            _empty(folder)
        os.rmdir(name, dir_fd=within)


def copy_tree(source: Path, name: str, within: int) -> None:
    """Copy a folder to a new one: its files, folders, and links as links; anything else is an error.

    Only the owner has access to the copy, and nothing in it is setuid.
    """
    with closing(os.open(source, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)) as old:
        _copy_folder(old, name, within, MAX_FOLDER_DEPTH)


def give(folder: int, uid: int, gid: int) -> None:
    """Make somebody the owner of a folder and of what is in it, on its own file system, devices excepted.

    A file that has another name outside of the folder, which may be anywhere, is an error unless it is theirs already.
    """
    names = _Names(folder)
    for place in _all_within(folder):
        info = os.fstat(place)
        if (info.st_uid, info.st_gid) == (uid, gid) or stat.S_ISBLK(info.st_mode) or stat.S_ISCHR(info.st_mode):
            continue
        if info.st_nlink > 1 and not stat.S_ISDIR(info.st_mode) and not names.are_all_of(info):
            name = _itself(place).readlink().name
            raise OSError(errno.EMLINK, "it is a hard link, and what it links to would be given away; copy it", name)
        os.chown(_itself(place), uid, gid)
    os.fchown(folder, uid, gid)  # last: until then a new owner can put nothing in the way


def take_back(folder: int, uid: int, gid: int) -> None:
    """Make somebody the owner of a folder, and of what is its owner's in it: of that other names do not matter.

    What is anybody else's stays so. Nothing is setuid any more. Idempotent, also after it has failed.
    """
    owner = os.fstat(folder).st_uid
    for place in _all_within(folder):
        if os.fstat(place).st_uid == owner:
            os.chown(_itself(place), uid, gid)
    os.fchown(folder, uid, gid)  # last: it says whose the rest is


def move(name: str, within: int, to: int, new_name: str | None = None) -> None:
    """Move what is there, a folder, or whatever else, to another folder of the same file system."""
    with suppress(NotADirectoryError):
        os.close(_open_up(name, within))  # who moves a folder must be allowed to write to it
    os.rename(name, new_name or name, src_dir_fd=within, dst_dir_fd=to)


def _unlink(name: str | Path, within: int | None) -> bool:
    """Remove what is no folder; False if it is one."""
    try:
        os.unlink(name, dir_fd=within)
    except FileNotFoundError:
        pass
    except IsADirectoryError:
        return False
    return True


def _empty(folder: int) -> None:
    """Remove all that is in a folder. Deeper ones are moved up first: more may be nested than can be kept open."""
    names = os.listdir(folder)
    while names:
        name = names.pop()
        if _unlink(name, folder):
            continue
        with closing(_open_up(name, folder)) as inner:
            take_in_all(folder)
            nested = [below for below in os.listdir(inner) if not _unlink(below, inner)]  # noqa: PTH208 - a descriptor
            names += [_move_up(below, inner, folder) for below in nested]
        os.rmdir(name, dir_fd=folder)


def _move_up(name: str, within: int, up: int) -> str:
    new_name = secrets.token_hex(16)
    move(name, within, up, new_name)
    return new_name


def _open_up(name: str | Path, within: int | None) -> int:
    """Open a folder that its owner, be it ourselves, may have shut."""
    with closing(os.open(name, _ANYTHING | os.O_DIRECTORY, dir_fd=within)) as folder:
        with suppress(PermissionError):
            _itself(folder).chmod(_PRIVATE)
        return os.open(_itself(folder), os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)


def _itself(descriptor: int) -> Path:
    """Return a path of what is open, for calls that take no descriptor of what was not opened for reading."""
    return Path(f"/proc/self/fd/{descriptor}")


def _copy_folder(old: int, name: str, within: int, depth: int) -> None:
    if not depth:
        raise OSError(errno.EINVAL, f"more than {MAX_FOLDER_DEPTH} folders lie within each other", name)
    os.mkdir(name, _PRIVATE, dir_fd=within)
    with closing(open_folder(name, within)) as new, os.scandir(old) as entries:
        for entry in entries:
            if entry.is_symlink():
                os.symlink(os.readlink(entry.name, dir_fd=old), entry.name, dir_fd=new)
            elif entry.is_dir():
                with closing(open_folder(entry.name, old)) as inner:
                    _copy_folder(inner, entry.name, new, depth - 1)
            else:
                _copy_file(entry.name, old, new)


def _copy_file(name: str, old: int, new: int) -> None:
    import shutil  # which brings every compression with it, and few who import flcore copy an app

    with open_file(name, old) as source:
        info = os.fstat(source.fileno())
        with create_file(name, new, 0o700 if info.st_mode & stat.S_IXUSR else 0o600) as copy:
            shutil.copyfileobj(source, copy)
            copy.flush()
            os.utime(copy.fileno(), ns=(info.st_atime_ns, info.st_mtime_ns))  # compiled Python is as old as its source


def _all_within(folder: int, depth: int = MAX_FOLDER_DEPTH) -> Iterator[int]:
    """Yield a descriptor of each thing in a folder, on its own file system: of a folder after what is in that."""
    with os.scandir(folder) as entries:
        for entry in entries:
            if not entry.is_dir(follow_symlinks=False):
                with closing(os.open(entry.name, _ANYTHING, dir_fd=folder)) as place:
                    yield place
            elif depth:
                with closing(open_folder(entry.name, folder)) as inner:
                    if os.fstat(inner).st_dev == os.fstat(folder).st_dev:
                        yield from _all_within(inner, depth - 1)
                        yield inner


class _Names:
    """How many names the files in a folder have there; looked for when somebody asks, for few have more than one."""

    def __init__(self, folder: int) -> None:
        self._folder = folder
        self._counted: Counter[tuple[int, int]] | None = None

    def are_all_of(self, info: os.stat_result) -> bool:
        """Whether a file has no other name."""
        if self._counted is None:
            # opened anew: two who list what is open once would each see a part
            with closing(open_folder(".", self._folder)) as folder:
                found = map(os.fstat, _all_within(folder))
                self._counted = Counter((file.st_dev, file.st_ino) for file in found)
        return self._counted[info.st_dev, info.st_ino] == info.st_nlink
