"""How another process says that it has written a wish into a job's record: by a mark, so that nobody need read records.

::

    <workspace>/.flcore/ends/<name of a record>    somebody wants that record's job ended

``flcore stop`` makes an empty file here, then writes the wish into the record. The site's process looks here with each
list, reads the records that are named here, and where there is a wish takes the mark away and delivers it. A mark by
itself says nothing of how a job ended: ``launchers.tracking.end_wish`` tells when a wish counts. The folder is empty
but while somebody wants something: to look there costs the same, however many jobs run.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Collection
from contextlib import suppress
from pathlib import Path

from flcore.disk.os_errors import in_words
from flcore.disk.presence import is_there

logger = logging.getLogger(__name__)

_MODE = 0o600


class EndMarks:
    """The marks of one site. Making one touches no disk; all methods may be called from any thread and process."""

    def __init__(self, state_dir: Path) -> None:
        self._folder = state_dir / "ends"
        self._records = state_dir / "jobs"

    @classmethod
    def beside(cls, record: Path) -> EndMarks:
        """Return the marks of the site that has this record."""
        return cls(record.parent.parent)

    def make_folder(self) -> None:
        """Make the folder if need be: only the site does, for whom it must be readable. Raises OSError."""
        self._folder.mkdir(mode=0o700, exist_ok=True)

    def put(self, record: Path) -> None:
        """Say that a wish stands in a record. Idempotent. Nothing happens where no process would look for it."""
        with suppress(FileNotFoundError):
            os.close(os.open(self._folder / record.name, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, _MODE))

    def find(self) -> Collection[str]:
        """Return the names of the records in which wishes stand. Takes away the marks of records that are gone."""
        try:
            names = {path.name for path in self._folder.iterdir()}
        except OSError as error:
            logger.debug("%s cannot be read: %s", self._folder, in_words(error))
            return ()
        gone = [name for name in names if not is_there(self._records / name)]
        for name in gone:
            self.take_away(name)
        return names.difference(gone)

    def take_away(self, name: str) -> None:
        """Say that the wish in a record is heeded. Idempotent."""
        with suppress(OSError):  # it is found again, and again does no harm
            (self._folder / name).unlink()
