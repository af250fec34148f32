"""Locks on files: they end with the process that took them, however it dies, and no child of it keeps them.

They are those of flock(2). Such a lock holds between containers that share a folder, and over NFS, where Linux makes it
one of the server's; nobody need know anybody's process number, which says nothing in another container. It is lost by
nothing that another part of this process does: a record lock of fcntl(2) would be lost as soon as anything, such as a
backup of the workspace, has opened and closed the file.

It belongs to the open file, though, and a child has that, too. So none is left to a child: one that becomes another
program (``subprocess``) has no file of ours any more, and one that goes on as a copy of this process (``os.fork``,
``multiprocessing``, ``ProcessPoolExecutor``) closes them first of all. Only a child that a library forks behind
Python's back, and that becomes no other program, keeps what is locked just then, until it ends; what this process
unlocks itself is free even so.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

_FILE_MODE = 0o600
_open: set[int] = set()
"""The descriptors of this process's locks. What is in here when the process forks is closed in its child."""
_forks = 0
"""How often this process has begun to fork."""


class FileLock:
    """A file, opened to be locked. Raises OSError, also if it is not there and the ``flags`` do not say to make it."""

    __slots__ = ("descriptor",)

    def __init__(self, path: Path, flags: int) -> None:
        self.descriptor = _opened(path, flags | os.O_CLOEXEC | os.O_NONBLOCK)  # to open a pipe would wait for another

    @property
    def is_ours(self) -> bool:
        """Whether it was neither given up, nor is that of the process of which this one is a fork."""
        return self.descriptor in _open

    def take(self, operation: int) -> None:
        """Lock the file. Raises BlockingIOError if another holds it, and the operation says not to wait."""
        try:
            fcntl.flock(self.descriptor, operation)
        except BaseException:
            self.release()
            raise

    def release(self) -> None:
        """Unlock it, whoever has inherited it. Idempotent."""
        if self.is_ours:
            with suppress(OSError):
                fcntl.flock(self.descriptor, fcntl.LOCK_UN)
            self.leave()

    def leave(self) -> None:
        """Leave it to who has inherited it; without such a one it is released. Idempotent."""
        descriptor, self.descriptor = self.descriptor, -1
        if descriptor in _open:
            _open.discard(descriptor)  # first: another thread may get the number for another file
            os.close(descriptor)


@contextmanager
def exclusively(path: Path, flags: int) -> Iterator[None]:
    """One process, and one thread, at a time, by a lock on a file or folder that is opened with these flags."""
    lock = FileLock(path, flags)
    lock.take(fcntl.LOCK_EX)
    try:
        yield
    finally:
        lock.release()


def locked(path: Path) -> FileLock:
    """Make a file, and lock it until that is released. Raises BlockingIOError if another holds it, or OSError."""
    lock = FileLock(path, os.O_RDWR | os.O_CREAT)
    lock.take(fcntl.LOCK_EX | fcntl.LOCK_NB)
    return lock


def is_locked(path: Path) -> bool:
    """Whether somebody holds a lock on a file that is there. Who asks is never taken for one who does."""
    lock = FileLock(path, os.O_RDONLY)
    try:
        lock.take(fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    lock.release()
    return False


def _opened(path: Path, flags: int) -> int:
    while True:
        forks = _forks
        descriptor = os.open(path, flags, _FILE_MODE)
        _open.add(descriptor)
        if forks == _forks:
            return descriptor
        # A child was made meanwhile, and may have the file without knowing it. It gets no lock, for it was none yet.
        _open.discard(descriptor)
        os.close(descriptor)


def _note_fork() -> None:
    global _forks
    _forks += 1


def _close_in_child() -> None:
    for descriptor in _open:
        with suppress(OSError):
            os.close(descriptor)
    _open.clear()


os.register_at_fork(before=_note_fork, after_in_child=_close_in_child)
