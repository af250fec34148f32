"""What a site must not forget of its jobs: one small file per job, in a folder that no job sees.

::

    <workspace>/.flcore/site-id                        the id that the labels of this site's containers carry
    <workspace>/.flcore/jobs/<job id>.<nonce>.jsonl    one job's record

A record is a JSON object per line, each with some of the fields, later ones in place of earlier ones. A line is one
append that begins with the line's break, so that one which a full disk or a power cut tore spoils no other. The first
line, the intent, is on the disk before an engine is asked for anything. The file goes when nothing is left to be done.

Several processes may share the folder: each takes over only the records of processes that are dead.
"""

from __future__ import annotations

import json
import logging
import os
import secrets
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from flcore.disk.state_dir import StateDir

logger = logging.getLogger(__name__)

_FILE_MODE = 0o600


@dataclass(frozen=True, slots=True)
class JobIdentity:
    """Which job, of which site, in which container."""

    job_id: str
    site: str
    container_name: str
    container_id: str = ""
    """Empty until there is a container."""
    nonce: str = ""
    """What the container's label says too, and no other's; empty for one that no launcher made."""

    def log_fields(self) -> dict[str, str]:
        """Return what a record of the log is about that has this among its arguments (see ``flcore.site_log``)."""
        return {
            "site": self.site,
            "job_id": self.job_id,
            "container_name": self.container_name,
            "container_id": self.container_id,
        }

    def __str__(self) -> str:
        return f"job {self.job_id} in container {self.container_name} ({self.container_id[:12] or 'not made yet'})"


class JobRecord:
    """One job's file. May be written from several threads; raises OSError where the disk refuses."""

    __slots__ = ("fields", "path")

    def __init__(self, path: Path, fields: Mapping[str, Any] | None = None) -> None:
        self.path = path
        self.fields = fields or {}
        """What a record said that was taken over; nothing for one of this process."""

    def note(self, *, durable: bool = False, **fields: Any) -> None:
        """Add fields. ``durable``: return when they would survive a power cut; a killed process they always do.

        Nothing happens once the record was forgotten.
        """
        # Appended, never rewritten: a kill in the midst of it costs this line at most. Without O_CREAT, so that what
        # was forgotten stays so, however late somebody still notes something.
        with suppress(FileNotFoundError):
            _append(self.path, fields, os.O_APPEND, durable)

    def noted(self, field: str) -> Any:
        """Return a field as it is on disk now, by whatever process; None if it is not there, or cannot be read."""
        try:
            return read_record(self.path).get(field)
        except OSError:
            return None

    def forget(self) -> None:
        """Remove the file. Idempotent."""
        self.path.unlink(missing_ok=True)


class RecordStore:
    """The records of one launcher of a site. Making one touches no disk; safe to use from several threads."""

    def __init__(self, state_dir: str | Path) -> None:
        self._state = StateDir(state_dir)
        self.folder = self._state.folder
        self._jobs = self.folder / "jobs"
        self.site_id = ""
        """What the labels of this site's containers carry; empty before :meth:`open`."""

    @property
    def parent_id(self) -> str:
        """The id of this launcher's process."""
        return self._state.parent_id

    @property
    def exists(self) -> bool:
        """Whether some launcher of this site has ever kept a record."""
        return self._jobs.is_dir()

    def open(self) -> None:
        """Make the folder if need be, register this process as alive, and learn the site's id. Idempotent."""
        self._state.open()
        self._jobs.mkdir(mode=0o700, exist_ok=True)
        with self._state.exclusively():
            self.site_id = self._read_site_id()

    def close(self) -> None:
        """Give up what is still on record, for others to take over. Idempotent."""
        self._state.close()

    def add(self, launcher: str, who: JobIdentity, **more: Any) -> JobRecord:
        """Begin a job's record, with more fields; return when it is on the disk."""
        whole = {
            "job_id": who.job_id,
            "site": who.site,
            "launcher": launcher,
            "name": who.container_name,
            "nonce": who.nonce,
            "container_id": who.container_id,
            "parent": self.parent_id,
            "time": time.time(),
        } | more
        record = JobRecord(self._jobs / f"{who.job_id}.{who.nonce}.jsonl")
        try:
            _append(record.path, whole, os.O_CREAT | os.O_EXCL, durable=True)
            _sync_folder(self._jobs)
        except FileExistsError:
            raise
        except OSError:
            record.forget()
            raise
        return record

    def take_over(self, launcher: str) -> list[JobRecord]:
        """Make the records of a launcher's dead processes ours, and return them."""
        with self._state.exclusively():
            records = [record for record in self._read_all() if record.fields.get("launcher") == launcher]
            orphaned = [record for record in records if not self.is_alive(record.fields["parent"])]
            for record in orphaned:  # under the lock, so that of two that start at the same time one gets each
                record.note(parent=self.parent_id)
            self._state.bury_the_dead()
        return orphaned

    def is_alive(self, parent_id: str) -> bool:
        """Whether the process that has this id still lives."""
        return self._state.is_alive(parent_id)

    def _read_all(self) -> Iterator[JobRecord]:
        for path in sorted(self._jobs.glob("*.jsonl")):
            fields = read_record(path)
            if "parent" in fields:
                yield JobRecord(path, fields)
            else:  # cut off before the engine was asked for anything
                path.unlink(missing_ok=True)

    def _read_site_id(self) -> str:
        path = self.folder / "site-id"
        with suppress(FileNotFoundError):
            if known := path.read_text():
                return known
        site_id = secrets.token_hex(8)
        part = path.with_suffix(".part")  # renamed when it is whole, so that the id is there as a whole or not at all
        part.write_text(site_id)
        part.replace(path)
        return site_id


def _append(path: Path, fields: Mapping[str, Any], flags: int, durable: bool) -> None:
    # The line break comes first: behind a line that was torn, this one is whole all the same.
    line = b"\n" + json.dumps(fields).encode()
    descriptor = os.open(path, os.O_WRONLY | os.O_CLOEXEC | flags, _FILE_MODE)
    try:
        if os.write(descriptor, line) < len(line):
            raise OSError(f"{path}: the disk is full")
        if durable:
            os.fdatasync(descriptor)
    finally:
        os.close(descriptor)


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def read_record(path: Path) -> dict[str, Any]:
    """Return a record's fields, whatever was torn; raises OSError."""
    fields: dict[str, Any] = {}
    for line in path.read_bytes().splitlines():
        try:
            fields |= json.loads(line or "{}")
        except (ValueError, TypeError) as error:
            logger.warning("%s: a line that is no JSON object is passed over: %s", path, error)
    return fields
