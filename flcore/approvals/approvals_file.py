"""The approvals of a site: lines that are only ever added to one file, which outlives all processes.

::

    <workspace>/.flcore/approvals.jsonl       a line for each time that somebody approved or denied
    <workspace>/.flcore/.approvals.jsonl.lock held while a line is added

Several processes and users may add lines at the same time. A line is there as a whole, and durable, or not at all. What
cannot be read as one approves nothing, nor does anything else while it stands there: it may have been a denial.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from types import NoneType
from typing import Any, Self

from ..disk.journal_file import JournalFile, whole_lines_of
from ..disk.safe_files import closing, open_file, open_folder
from ..errors import ConfigError

FILE_NAME = "approvals.jsonl"
"""The file's name in a site's state folder."""
APPROVE, DENY = "approve", "deny"
_LOCK_NAME = f".{FILE_NAME}.lock"
_MODE = 0o600


@dataclass(frozen=True, slots=True)
class Approval:
    """What one user has decided about one fingerprint."""

    verdict: str
    """``approve`` or ``deny``."""
    fingerprint: str
    uid: int
    """Of the user who has decided, and"""
    user: str
    """the name."""
    time: float
    """When (seconds since the epoch)."""
    until: float | None = None
    """Until when an approval holds; None: for ever."""
    study: str = ""
    """For which study it holds; empty: for that which the fingerprint is of."""
    note: str = ""
    """What the user has to say of it."""
    app: str = ""
    """The digest of the app that was looked at, and"""
    image: str = ""
    """the id of its image; empty where nothing of it was kept here."""
    name: str = ""
    """Of the job."""

    @classmethod
    def of(cls, line: Mapping[str, Any]) -> Self:
        """Return what a line says; what a later version has added is passed over. Raises ValueError."""
        known = {name: line[name] for name in cls.__slots__ if name in line}
        try:
            approval = cls(**known)
        except TypeError as error:
            raise ValueError(str(error)) from error
        texts = (approval.fingerprint, approval.user, approval.study, approval.note, approval.app, approval.image)
        is_one = (
            approval.verdict in (APPROVE, DENY)
            and type(approval.uid) is int  # not isinstance: true is an int
            and type(approval.time) in (int, float)
            and type(approval.until) in (int, float, NoneType)
            and all(isinstance(text, str) for text in texts)
        )
        if not is_one:
            raise ValueError("it has no verdict, fingerprint, user and time as an approval has")
        return approval


class ApprovalsFile:
    """The file in a site's state folder. Making one touches no disk. Safe to use from several threads and processes."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / FILE_NAME

    def add(self, approval: Approval) -> None:
        """Add a line, and return when it would survive a power cut. Raises OSError."""
        self.path.parent.mkdir(0o700, parents=True, exist_ok=True)
        with closing(open_folder(self.path.parent)) as folder:
            for name in (FILE_NAME, _LOCK_NAME):
                _make(name, folder)
            os.fsync(folder)  # a new file's name is to survive, too
        file = JournalFile(self.path, sys.maxsize, 1)
        try:
            file.write(asdict(approval), durable=True)
        finally:
            file.close()

    def read(self) -> list[Approval]:
        """Return all, the oldest first; none if there is no file. Raises OSError, and ConfigError for a bad line."""
        try:
            return list(self._lines())
        except FileNotFoundError:
            return []

    def stamp(self) -> tuple[int, int, int] | None:
        """Return what is another when the file has changed; None while it is not there. Raises OSError."""
        try:
            info = self.path.stat()
        except FileNotFoundError:
            return None
        return info.st_ino, info.st_size, info.st_mtime_ns

    def _lines(self) -> Iterator[Approval]:
        number = 0
        with open_file(self.path, follow=True) as file:
            for _, whole in whole_lines_of(file):
                for line in whole.split(b"\n")[:-1]:
                    number += 1
                    yield self._read(line, number)

    def _read(self, line: bytes, number: int) -> Approval:
        try:
            return Approval.of(json.loads(line))
        except (AttributeError, TypeError, ValueError, RecursionError) as error:
            nothing = "nothing is approved while it stands there: look at it, and take it out"
            raise ConfigError(f"{self.path}: line {number} is no approval ({error}); {nothing}") from error


def _make(name: str, folder: int) -> None:
    """Make a file unless it is there: the folder's owner's, for a site must be able to read what root has approved."""
    with suppress(FileExistsError):
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
        with closing(os.open(name, flags, _MODE, dir_fd=folder)) as file:
            owner = os.fstat(folder)
            if owner.st_uid != os.geteuid():
                with suppress(PermissionError):  # who is no root keeps it
                    os.fchown(file, owner.st_uid, owner.st_gid)
