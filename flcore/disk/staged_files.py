"""Files that are made aside, and put into a folder when they are wanted there; what they replace can come back.

::

    <area>/.staged-<random>/new/    what is to be put
    <area>/.staged-<random>/old/    what it has replaced, until it is sure that nobody wants that back

Each is locked as long as it is used: what a killed process has left goes with the next use. Where a disk in trouble
does not let ``old`` come back, it stays, as ``.replaced-<random>/``, for somebody to look at.
"""

from __future__ import annotations

import fcntl
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from .locks import FileLock
from .presence import is_there
from .safe_files import closing, make_private, move, open_folder, remove

_PREFIX = ".staged-"
_KEPT_PREFIX = ".replaced-"
_NEW, _OLD = "new", "old"
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW


class StagedFiles:
    """What is to be put into a folder, all of it or nothing. To be used by one thread. All methods raise OSError.

    Args:
        folder: of this use alone, open; it has the folders ``new`` and ``old``.
        path: its path.
        target: the folder to put it into, made if need be; it is never a link that is followed.
    """

    def __init__(self, folder: int, path: Path, target: Path) -> None:
        self.path = path / _NEW
        self.kept: Path | None = None
        """Where all of it stays in the end, if what was replaced could not come back."""
        self._own = path
        self._folder = folder
        self._target = target
        self._is_new = not os.path.lexists(target)
        self._names: list[str] = []
        self._ours: dict[str, os.stat_result] = {}

    @contextmanager
    def opened(self) -> Iterator[int]:
        """Open the folder in which all is made that is to be put."""
        with closing(open_folder(_NEW, self._folder)) as new:
            yield new

    def put(self) -> None:
        """Put all of it into the target, in place of what is called the same there."""
        with self._all_open() as (new, old, target):
            for name in os.listdir(new):  # noqa: PTH208 - a descriptor
                self._ours[name] = os.stat(name, dir_fd=new, follow_symlinks=False)
                self._names.append(name)  # first: after an interrupt it is to be looked how far this has come
                with suppress(FileNotFoundError):
                    move(name, target, old)
                move(name, new, target)

    def take_back(self) -> None:
        """Have the target be as it was. What somebody else has put there since stays."""
        self.kept = self._own.with_name(self._own.name.replace(_PREFIX, _KEPT_PREFIX))  # until that has come back
        if self._names:
            with self._all_open() as (_, old, target):
                for name in self._names:
                    self._take_back(name, old, target)
        self.kept = None
        if self._is_new:
            with suppress(OSError):  # it is not empty: others use it, too
                self._target.rmdir()

    def _take_back(self, name: str, old: int, target: int) -> None:
        found = _stat(name, target)
        if found and os.path.samestat(found, self._ours[name]):
            remove(name, target)
            found = None
        if found is None and _stat(name, old):
            move(name, old, target)

    @contextmanager
    def _all_open(self) -> Iterator[tuple[int, int, int]]:
        with (
            self.opened() as new,
            closing(open_folder(_OLD, self._folder)) as old,
            closing(make_private(self._target)) as target,
        ):
            yield new, old, target


@contextmanager
def staged(area: Path, target: Path) -> Iterator[StagedFiles]:
    """Have a place, in a folder of the same file system, to make files for a target. Nothing stays of it.

    Raises OSError.
    """
    area.mkdir(0o700, parents=True, exist_ok=True)
    _remove_what_the_dead_left(area)
    path, lock = _make_own(area)
    files: StagedFiles | None = None
    try:
        for name in (_NEW, _OLD):
            os.mkdir(name, 0o700, dir_fd=lock.descriptor)
        yield (files := StagedFiles(lock.descriptor, path, target))
    finally:
        try:
            with suppress(OSError):  # then the next use removes it
                if files and files.kept:
                    path.rename(files.kept)
                else:
                    remove(path)
        finally:  # after an interrupt, too: else the next use could not
            lock.release()


def _make_own(area: Path) -> tuple[Path, FileLock]:
    """Return a new folder, and its lock, which is taken."""
    while True:
        path = area / f"{_PREFIX}{secrets.token_hex(8)}"
        path.mkdir(0o700)
        with suppress(FileNotFoundError):  # who removes what the dead have left may be faster than our lock
            lock = FileLock(path, _FOLDER)
            lock.take(fcntl.LOCK_EX)
            if is_there(path):
                return path, lock
            lock.release()


def _remove_what_the_dead_left(area: Path) -> None:
    for path in area.glob(f"{_PREFIX}*"):
        with suppress(OSError):  # in use, or no folder of ours
            lock = FileLock(path, _FOLDER)
            lock.take(fcntl.LOCK_EX | fcntl.LOCK_NB)
            try:
                remove(path)
            finally:
                lock.release()


def _stat(name: str, within: int) -> os.stat_result | None:
    try:
        return os.stat(name, dir_fd=within, follow_symlinks=False)
    except FileNotFoundError:
        return None
