"""The folder, in a site's workspace, of what the site must not forget of its jobs: who of its processes lives.

::

    <workspace>/.flcore/lock          held while one process changes what is here
    <workspace>/.flcore/parents/<id>  locked for as long as the process that has this id lives
    <workspace>/.flcore/jobs/         the records of the launchers' jobs
    <workspace>/.flcore/journal.jsonl what a JobJournal has written

Several processes may share it. All functions raise OSError.
"""

from __future__ import annotations

import fcntl
import os
import secrets
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

_FILE_MODE = 0o600


class StateDir:
    """A site's state folder, as one user of it in this process sees it. Making one touches no disk.

    Safe to use from several threads.
    """

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)
        self.parent_id = secrets.token_hex(8)
        """Who uses it: says, on disk, that this process lives."""
        self._parents = self.folder / "parents"
        self._lock_file: int | None = None

    def open(self) -> None:
        """Make the folder if need be, and register as alive. Idempotent."""
        for folder in (self.folder.parent, self.folder, self._parents):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        with self.exclusively():
            if self._lock_file is None:
                self._lock_file = locked(self._parents / self.parent_id)

    def close(self) -> None:
        """Be no longer alive. Idempotent."""
        lock_file, self._lock_file = self._lock_file, None
        if lock_file is not None:
            (self._parents / self.parent_id).unlink(missing_ok=True)
            os.close(lock_file)

    def exclusively(self) -> AbstractContextManager[None]:
        """One process, and one thread, at a time."""
        return exclusively(self.folder / "lock", os.O_RDWR | os.O_CREAT)

    def is_alive(self, parent_id: str) -> bool:
        """Whether the process that has this id still lives."""
        if parent_id == self.parent_id:
            return self._lock_file is not None
        try:
            return is_locked(self._parents / parent_id)
        except OSError:
            return False

    def bury_the_dead(self) -> None:
        """Forget who is not alive. To be called :meth:`exclusively`."""
        for path in self._parents.iterdir():
            if not self.is_alive(path.name):
                path.unlink(missing_ok=True)


@contextmanager
def exclusively(path: Path, flags: int) -> Iterator[None]:
    """One process, and one thread, at a time, by a lock on a file or folder that is opened with these flags."""
    descriptor = os.open(path, flags | os.O_CLOEXEC, _FILE_MODE)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def locked(path: Path) -> int:
    """Make a file, and lock it until it is closed, or the process ends. Raises BlockingIOError if another holds it."""
    descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC | os.O_CREAT, _FILE_MODE)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(descriptor)
        raise
    return descriptor


def is_locked(path: Path) -> bool:
    """Whether somebody holds a lock on a file that is there. Who asks is never taken for one who does."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False
