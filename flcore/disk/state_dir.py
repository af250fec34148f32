"""The folder, in a site's workspace, of what the site must not forget of its jobs: who of its processes lives.

::

    <workspace>/.flcore/lock          held while one process changes what is here
    <workspace>/.flcore/parents/<id>  locked for as long as the process that has this id lives
    <workspace>/.flcore/jobs/         the records of the launchers' jobs
    <workspace>/.flcore/images/       what the launchers' images know of users
    <workspace>/.flcore/output/       what jobs write that are local processes, while they run
    <workspace>/.flcore/journal.jsonl what a JobJournal has written

Several processes may share it. All functions raise OSError.
"""

from __future__ import annotations

import logging
import os
import secrets
from contextlib import AbstractContextManager, suppress
from functools import lru_cache
from pathlib import Path

from .locks import FileLock, exclusively, is_locked, locked
from .os_errors import in_words

logger = logging.getLogger(__name__)


class StateDir:
    """A site's state folder, as one user of it in this process sees it. Making one touches no disk.

    Safe to use from several threads.
    """

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)
        self.parent_id = secrets.token_hex(8)
        """Who uses it: says, on disk, that this process lives."""
        self._parents = self.folder / "parents"
        self._lock: FileLock | None = None

    def open(self) -> None:
        """Make the folder if need be, register as alive, and forget who is not alive any more. Idempotent."""
        for folder in (self.folder.parent, self.folder, self._parents):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        with self.exclusively():
            if self._lock is None:
                self._lock = locked(self._parents / self.parent_id)
                try:
                    self.bury_the_dead()
                except BaseException:  # an interrupt: who opens it does not get to know of it
                    self.close()
                    raise

    def close(self) -> None:
        """Be no longer alive. Idempotent; never raises. In a child by fork the parent goes on to be alive."""
        lock, self._lock = self._lock, None
        if lock is None or not lock.is_ours:
            return
        path = self._parents / self.parent_id
        try:
            path.unlink(missing_ok=True)
        except OSError as error:  # unlocked it says nothing, and is removed by who buries the dead
            logger.warning("%s: cannot be removed: %s", path, in_words(error))
        finally:  # an interrupt, too, lets it go
            lock.release()

    def exclusively(self) -> AbstractContextManager[None]:
        """One process, and one thread, at a time."""
        return exclusively(self.folder / "lock", os.O_RDWR | os.O_CREAT)

    def is_alive(self, parent_id: str) -> bool:
        """Whether the process that has this id still lives. Who cannot be asked about is not taken for dead."""
        if parent_id == self.parent_id and self._lock and self._lock.is_ours:
            return True
        try:
            return is_locked(self._parents / parent_id)
        except FileNotFoundError:
            return False
        except OSError as error:
            _say_once(f"{self._parents / parent_id}: whether it lives cannot be found out: {in_words(error)}")
            return True

    def bury_the_dead(self) -> None:
        """Forget who is not alive. To be called :meth:`exclusively`. Never raises: who stays does no harm."""
        with suppress(OSError):
            for path in self._parents.iterdir():
                if not self.is_alive(path.name):
                    with suppress(OSError):  # it is no file, or the disk refuses
                        path.unlink(missing_ok=True)


@lru_cache(maxsize=256)
def _say_once(message: str) -> None:
    """Log what every look would find again."""
    logger.warning(message)
