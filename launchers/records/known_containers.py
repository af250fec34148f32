"""Which containers are a site's own: those of which it has written down itself how they are called, and by whom made.

::

    <workspace>/.flcore/jobs/<job id>.<nonce>.jsonl         of a job that is not over
    <workspace>/.flcore/unreadable/<job id>.<nonce>.jsonl*  of one whose record could not be read: its name tells
    <workspace>/.flcore/kept/<job id>.<nonce>.jsonl         of one that is over, whose container may be there even so

Labels prove nothing: whoever may run a container can give it those of a job. So one is a job's only if the nonce in its
labels stands here, with its name, and with its id once that is known; or if the site's journal tells of its id.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from flcore.disk.journal_reader import JournalReader
from flcore.disk.safe_files import open_file
from flcore.job_meta import is_identifier
from flcore.observers.job_journal import JOURNAL_NAME

from .job_record import KEPT, MAX_RECORD, SETTLED, UNREADABLE, JobIdentity
from .known_job import told_in
from .record_lines import fields_in

_FOLDERS = ("jobs", UNREADABLE, KEPT)

_LONGEST_WAIT = 7 * 24 * 3600.0
"""Seconds in which a container must have appeared for which an engine was asked."""


class KnownContainers:
    """What one site has written down. Making one touches no disk."""

    def __init__(self, state_dir: Path) -> None:
        self._folder = state_dir

    def note_of(self, who: JobIdentity) -> Path | None:
        """Return the record that knows a container, called as it says itself; None if there is none that agrees."""
        if not (is_identifier(who.job_id) and is_identifier(who.nonce)):
            return None
        return next((path for path in self._notes(who) if agrees(_what_can_be_read(path), who)), None)

    def end_id_of(self, who: JobIdentity) -> str:
        """Return by what id the end of a container's job was told before; empty where it was not, or nobody knows."""
        path = self.note_of(who)
        fields = _what_can_be_read(path) if path else {}
        with suppress(ValueError):
            told = told_in(fields)
            return told.end_id if path and path.parent.name == KEPT else told.told_end_id
        return ""

    def are_told_of(self, who: JobIdentity) -> bool:
        """Whether the site's journal, at the place where it is by default, tells of a container. Reads all of it."""
        told: list[Mapping[str, Any]] = []

        def take_in(line: Mapping[str, Any]) -> None:
            if line.get("container_id") == who.container_id:
                told[:] = [line]

        with suppress(OSError):
            JournalReader(self._folder / JOURNAL_NAME).read(told.clear, take_in)
        return any(_is_told_by(line, who) for line in told)

    def forget_what_was_never_made(self) -> None:
        """Remove records that were put by of containers that have never appeared. Never raises."""
        with suppress(OSError):
            for path in (self._folder / KEPT).iterdir():
                is_old = time.time() - path.lstat().st_mtime > _LONGEST_WAIT
                if is_old and not _what_can_be_read(path).get("container_id"):
                    path.unlink(missing_ok=True)

    def _notes(self, who: JobIdentity) -> Iterator[Path]:
        name = f"{who.job_id}.{who.nonce}.jsonl"
        for folder in _FOLDERS:
            with suppress(OSError):
                for path in sorted((self._folder / folder).glob(f"{name}*")):
                    if path.name == name or (folder == UNREADABLE and path.suffix != SETTLED):
                        yield path


def agrees(fields: Mapping[str, Any], who: JobIdentity) -> bool:
    """Whether nothing that a record says is otherwise with a container; what cannot be read of it says nothing."""
    known = {"nonce": who.nonce, "name": who.container_name, "job_id": who.job_id, "site": who.site}
    same = all(fields.get(key, value) == value for key, value in known.items())
    return same and fields.get("container_id") in (None, "", who.container_id)


def _is_told_by(line: Mapping[str, Any], who: JobIdentity) -> bool:
    told = (line.get("container_name"), line.get("job_id"), line.get("site"))
    return bool(who.container_id) and told == (who.container_name, who.job_id, who.site)


def _what_can_be_read(path: Path) -> dict[str, Any]:
    with suppress(OSError), open_file(path) as file:
        return fields_in(file.read(MAX_RECORD), lambda _: None)
    return {}
