"""What a site must not forget of its jobs: one small file per job, in a folder that no job sees.

::

    <workspace>/.flcore/site-id                        the id that the labels of this site's containers carry
    <workspace>/.flcore/jobs/<job id>.<nonce>.jsonl    one job's record
    <workspace>/.flcore/jobs/<job id>.<nonce>.passwd   what it is shown as /etc/passwd, if its image lacks its user
    <workspace>/.flcore/unreadable/                    records that could not be read, for somebody to look at
    <workspace>/.flcore/kept/                          records of jobs that are over, whose containers may be there
    <workspace>/.flcore/engines.jsonl                  where the site's containers may be: see ``known_engines``

A record is a JSON object per line, each with some of the fields, later ones in place of earlier ones. A line is one
append that begins with the line's break, so that one which a full disk or a power cut tore spoils no other. The first
line, the intent, is on the disk before an engine is asked for anything. The file goes when nothing is left to be done.
Several processes may share the folder: each takes over only the records of processes that are dead.
"""

from __future__ import annotations

import errno
import json
import logging
import os
import secrets
import time
from collections import deque
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from flcore.disk.os_errors import in_words
from flcore.disk.presence import is_folder
from flcore.disk.safe_files import open_file
from flcore.disk.state_dir import StateDir
from flcore.job_launcher_spec import Check
from flcore.job_meta import is_identifier

from .end_marks import EndMarks
from .record_lines import fields_in, is_cut_off, is_number
from .site_id import made_site_id

__all__ = ["JobIdentity"]

logger = logging.getLogger(__name__)

_FILE_MODE = 0o600
_FOLDER_MODE = 0o700
MAX_RECORD = 16 << 20
"""Bytes of a record. No job of a site's writes as many."""
_OURS = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOMEM})
"""Errors that say nothing of the file that was to be opened."""
UNREADABLE = "unreadable"
"""The folder, beside that of the records, of those that could not be read."""
KEPT = "kept"
"""The folder, beside that of the records, of those that are needed only to know a container by."""
SETTLED = ".settled"
"""Behind the name of such a one whose job has a new record."""


@dataclass(frozen=True, slots=True)
class JobIdentity:
    """Which job, of which site, in which container."""

    job_id: str
    """Which job."""
    site: str
    """At which site."""
    container_name: str
    """The container's name; of a local process, what the launcher calls it."""
    container_id: str = ""
    """The runtime's id of it; empty until there is a container."""
    nonce: str = ""
    """What the container's label says too, and no other's; empty for one that no launcher made."""
    study: str = ""
    """The study that the job has named; empty for none."""

    def log_fields(self) -> dict[str, str]:
        """Return what a record of the log is about that has this among its arguments (see ``flcore.site_log``)."""
        container = {"container_name": self.container_name, "container_id": self.container_id}
        return {"site": self.site, "job_id": self.job_id, **container}

    def __str__(self) -> str:
        return f"job {self.job_id} in container {self.container_name} ({self.container_id[:12] or 'not made yet'})"


@dataclass(slots=True)
class Held:
    """What all records of one process's store have in common."""

    left: deque[JobRecord] = field(default_factory=deque)
    """Records that nobody needs any more, and that could not be removed."""
    given_up: bool = False
    """Any other process may have taken them over."""


class JobRecord:
    """One job's file. May be written from several threads; raises OSError where the disk refuses.

    ``held`` gets it if it cannot be removed when nothing is left to be done: who has that tries again.
    """

    __slots__ = ("_held", "_is_kept", "fields", "path")

    def __init__(self, path: Path, fields: Mapping[str, Any] | None = None, held: Held | None = None) -> None:
        self.path = path
        self._held = held or Held()
        self._is_kept = False
        self.fields = fields or {}
        """What it said when it was begun, or taken over."""

    @property
    def shown_passwd(self) -> Path:
        """Where a file for the job's container is, which goes with the record."""
        return self.path.with_suffix(".passwd")

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

    @property
    def is_given_up(self) -> bool:
        """Whether its store was closed: the next process goes on from what it says."""
        return self._held.given_up

    def keep(self) -> None:
        """Have it put by when it is forgotten: there may be a container even then, and this tells whose that is."""
        self._is_kept = True

    def forget(self) -> bool:
        """Remove the file; where that cannot be, have it tried again later, and return False. Idempotent."""
        try:
            self.shown_passwd.unlink(missing_ok=True)
            if self._is_kept:
                self._put_by()
            else:
                self.path.unlink(missing_ok=True)
        except OSError as error:
            self._held.left.append(self)
            logger.warning("%s: the record of a job that is over cannot be removed yet: %s", self.path, in_words(error))
            return False
        return True

    def _put_by(self) -> None:
        kept = self.path.parent.parent / KEPT
        kept.mkdir(mode=_FOLDER_MODE, exist_ok=True)
        with suppress(FileNotFoundError):
            self.path.rename(kept / self.path.name)


class RecordStore:
    """The records of one launcher of a site. Making one touches no disk; safe to use from several threads."""

    def __init__(self, state_dir: str | Path) -> None:
        self._state = StateDir(state_dir)
        self.folder = self._state.folder
        self._jobs = self.folder / "jobs"
        self._unreadable = self.folder / UNREADABLE
        self._held = Held()
        self.site_id = ""
        """What the labels of this site's containers carry; empty before :meth:`open`."""

    @property
    def parent_id(self) -> str:
        """The id of this launcher's process."""
        return self._state.parent_id

    @property
    def exists(self) -> bool:
        """Whether some launcher of this site has ever kept a record."""
        return os.path.isdir(self._jobs)  # noqa: PTH112 - where it is not ours to look, there is none of ours

    def open(self) -> None:
        """Make the folder if need be, register this process as alive, and learn the site's id. Idempotent."""
        self._state.open()
        self._jobs.mkdir(mode=_FOLDER_MODE, exist_ok=True)
        EndMarks(self.folder).make_folder()
        with self._state.exclusively():
            self.site_id = made_site_id(self.folder)

    def close(self) -> None:
        """Give up what is still on record, for others to take over. Idempotent; never raises."""
        self._forget_what_is_left()
        self._held.given_up = True
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
            **({"study": who.study} if who.study else {}),
        } | more
        self._forget_what_is_left()
        record = JobRecord(self._jobs / f"{who.job_id}.{who.nonce}.jsonl", whole, self._held)
        try:
            _append(record.path, whole, os.O_CREAT | os.O_EXCL, durable=True)
            _sync_folder(self._jobs)
        except FileExistsError:
            raise
        except OSError:
            record.forget()
            raise
        self._settle(record.path.name)
        return record

    def take_over(self, launcher: str) -> list[JobRecord]:
        """Make the records of a launcher's dead processes ours, and return them."""
        with self._state.exclusively():
            records = [record for record in self._read_all() if record.fields["launcher"] == launcher]
            orphaned = [record for record in records if not self.is_alive(record.fields["parent"])]
            for record in orphaned:  # under the lock, so that of two that start at the same time one gets each
                self._make_ours(record)
            self._state.bury_the_dead()
        return orphaned

    def begin_anew(self, record: JobRecord, why: object) -> JobRecord:
        """Return a record in place of one that says who its job is, and else what cannot be read, which is kept aside.

        If that cannot be written, the old one stays, and what is returned knows no more than who the job is.
        """
        known = {key: record.fields[key] for key in (*_TEXTS, "time")}
        who = JobIdentity(known["job_id"], known["site"], known["name"], known["container_id"], known["nonce"])
        self.set_aside(record.path, why)
        try:
            return self.add(known["launcher"], who, time=known["time"])
        except OSError as error:
            logger.warning("%s: cannot be written anew: %s", record.path, in_words(error), extra=who.log_fields())
            return JobRecord(record.path, known, self._held)

    def set_aside(self, path: Path, why: object) -> None:
        """Move a record that cannot be read to where it is in nobody's way, and nothing of it is lost. Never raises."""
        about = {"job_id": path.name.partition(".")[0]}
        try:
            self._unreadable.mkdir(mode=_FOLDER_MODE, exist_ok=True)
            kept = self._unreadable / path.name
            while os.path.lexists(kept):
                kept = self._unreadable / f"{path.name}.{secrets.token_hex(4)}"
            path.rename(kept)
        except OSError as error:
            what = "the record of a job cannot be read, nor moved out of the way; do that by hand"
            logger.error("%s: %s: %s; %s", path, what, why, in_words(error), extra=about)  # noqa: TRY400 - it is one line
        else:
            what = "the record of a job could not be read; if its container is there, it is an orphan; it is kept as"
            logger.error("%s: %s %s: %s", path, what, kept, why, extra=about)

    def is_alive(self, parent_id: str) -> bool:
        """Whether the process that has this id still lives."""
        return self._state.is_alive(parent_id)

    def _read_all(self) -> Iterator[JobRecord]:
        """Yield all records. One that cannot be read costs itself only, and is said once: it is moved aside.

        Raises OSError for what is wrong with this process, or with the folder.
        """
        for path in sorted(self._jobs.glob("*.jsonl")):
            record = JobRecord(path, held=self._held)
            try:
                content = _content(path)
                if is_cut_off(content):  # before the engine was asked for anything
                    record.forget()
                    continue
                record.fields = {"container_id": "", "parent": _NOBODY} | _fields(path, content)
                _check_identity(record.fields)
                if not is_identifier(record.fields["parent"]):
                    logger.warning("%s: who follows its job cannot be read, so nobody does", path)
                    record.fields["parent"] = _NOBODY
            except FileNotFoundError:  # its process has seen to its end meanwhile
                continue
            except (OSError, ValueError) as error:
                if isinstance(error, OSError) and error.errno in _OURS:
                    raise
                self.set_aside(path, in_words(error))
            else:
                yield record

    def _make_ours(self, record: JobRecord) -> None:
        try:
            record.note(parent=self.parent_id)
        except OSError as error:  # whoever starts next takes it over, too; that is better than that nobody does
            logger.warning("%s: that it is followed cannot be written down: %s", record.path, in_words(error))

    def _settle(self, name: str) -> None:
        """Have a record that is kept aside, or was put by, stand for its job no more, which has another one now."""
        aside = self._unreadable / name
        with suppress(OSError):
            aside.rename(aside.with_name(name + SETTLED))
        with suppress(OSError):
            (self.folder / KEPT / name).unlink()

    def _forget_what_is_left(self) -> None:
        for _ in range(len(self._held.left)):
            self._held.left.popleft().forget()


def _append(path: Path, fields: Mapping[str, Any], flags: int, durable: bool) -> None:
    # The line break comes first: behind a line that was torn, this one is whole all the same.
    line = b"\n" + json.dumps(fields).encode()
    # Nothing else than a file of ours is written to: no link is followed, and no pipe waited for.
    safe = os.O_WRONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
    descriptor = os.open(path, safe | flags, _FILE_MODE)
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
    """Return a record's fields, whatever was torn; raises OSError, also for what is no file, or too large."""
    return _fields(path, _content(path))


def unreadable_records(state_dir: Path) -> list[Path]:
    """Return what a site keeps of records that could not be read. Raises OSError."""
    return sorted(folder.iterdir()) if is_folder(folder := state_dir / UNREADABLE) else []


def check_records(state_dir: Path) -> Iterator[Check]:
    """Say which records could not be read; nothing if there are none."""
    try:
        kept = unreadable_records(state_dir)
    except PermissionError:  # whose the workspace is, is said of that
        return
    except OSError as error:
        yield Check("records", False, f"what could not be read cannot be listed: {in_words(error)}")
        return
    if kept:
        what = "could not be read: look at what is there, and remove what is of jobs that are over"
        yield Check("records", False, f"{len(kept)} in {kept[0].parent} {what}")


def aside(record: Path) -> Path:
    """Return where a record is kept while it cannot be read, and its job has no other."""
    return record.parent.parent / UNREADABLE / record.name


def _content(path: Path) -> bytes:
    with open_file(path) as file:
        content = file.read(MAX_RECORD + 1)
    if len(content) > MAX_RECORD:
        raise OSError(errno.EFBIG, f"more than {MAX_RECORD >> 20} MiB are no record", str(path))
    return content


def _fields(path: Path, content: bytes) -> dict[str, Any]:
    errors: list[Exception] = []
    fields = fields_in(content, errors.append)
    if errors:
        logger.warning("%s: what is no JSON object is passed over (%d lines): %s", path, len(errors), errors[0])
    return fields


_NOBODY = "nobody"
"""In place of a process's id; no process has it."""
_TEXTS = ("job_id", "site", "launcher", "name", "nonce", "container_id")


def _check_identity(fields: Mapping[str, Any]) -> None:
    """Raise ValueError unless a record says whose job it is, in which container."""
    for key in _TEXTS:
        if not isinstance(fields.get(key), str):
            raise ValueError(f"{key!r} is {fields.get(key)!r:.80}, which is no text")  # noqa: TRY004 - of a file
    for key in ("job_id", "site", "nonce"):
        if not is_identifier(fields[key] or (key == "nonce" and "none")):  # an image's container may have no nonce
            raise ValueError(f"{key!r} is {fields[key]!r:.80}, which cannot be in a path")
    if not is_number(fields.get("time")):
        raise ValueError(f"'time' is {fields.get('time')!r:.80}, which is no number")
