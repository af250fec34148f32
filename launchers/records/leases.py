"""Which job has which of the things that are one job's at a time: leases that outlive their parent.

They are in a folder that all parents of a host may share::

    <folder>/<name of a thing>         a link to the record of the job that has it
    <folder>/<job id>.<nonce>.lock     in place of a record: locked while the parent or the job's own process lives

A lease is over when the record is gone that its link names, and a record goes when nothing is left of its job: so a
lease is given back by whatever ends, gives up, or finds again and ends the job, without a step of its own that a crash
could forget. A link is made whole or not at all, only where there is none, and only with the folder locked.
"""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from flcore.disk.locks import FileLock, exclusively, is_locked, locked
from flcore.disk.os_errors import in_words
from flcore.disk.presence import is_folder, is_there
from flcore.errors import JobLaunchError

from .job_record import JobIdentity, aside, read_record

logger = logging.getLogger(__name__)

_LOCK = ".lock"


@dataclass(slots=True)
class JobLock:
    """What stands for the record of a job that has none: a file, locked by this process and the job's own.

    That inherits it by its descriptor; a child by fork is no job's process, and does not.
    """

    path: Path
    file: FileLock

    @property
    def descriptor(self) -> int:
        return self.file.descriptor

    def let_go(self) -> None:
        """Leave it to the job's own process, which may go on. Idempotent."""
        self.file.leave()

    def end(self) -> None:
        """Give back what the job had. Idempotent."""
        try:
            self.path.unlink(missing_ok=True)
        except OSError as error:  # unlocked it is worth nothing, and goes with the next lease
            logger.warning("%s: a lease that is over cannot be removed: %s", self.path, in_words(error))
        self.file.release()


class Lease(NamedTuple):
    """What a job got."""

    names: tuple[str, ...]
    lock: JobLock | None
    """To be kept until the job has ended; None where its record says so."""


class Leases:
    """The leases of things of one kind. Making one touches no disk; safe to use from several threads and processes.

    Args:
        folder: see above; every parent that shares it must see the others' workspaces at their paths.
        is_name: whether a file in the folder is called as a thing of this kind can be.
        kind: what one is, and what several are, for errors, as ``("device", "GPUs")``.
    """

    def __init__(self, folder: Path, is_name: Callable[[str], bool], kind: tuple[str, str]) -> None:
        self.folder = folder
        self._is_name = is_name
        self._thing, self._things = kind

    def take(
        self,
        choose: Callable[[Mapping[str, str]], Sequence[str]],
        who: JobIdentity,
        record: Path | None,
        held: Lease | None = None,
    ) -> Lease:
        """Lease things to a job for as long as its record is there; without one, until its lock is given up.

        ``choose`` returns their names, none of which is in what it gets: who has each that is leased. What it raises is
        raised; then nothing has changed. ``held`` is a lease by a lock of this process's that ends by this one, so that
        its things may be chosen again, and nobody gets one in between. Raises JobLaunchError.
        """
        try:
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            with self._exclusively():
                lease = self._take(choose, who, record, held.lock if held else None)
        except OSError as error:
            what = f"the site cannot write down which {self._things} it has"
            raise JobLaunchError(f"job {who.job_id}: {what}: {in_words(error)}") from error
        if held and held.lock:
            held.lock.end()
        return lease

    def holders(self) -> dict[str, str]:
        """Return who has each thing of the folder that is leased, of whatever site. Changes nothing."""
        if not is_folder(self.folder):
            return {}
        with self._exclusively():
            return self._holders()

    def _take(
        self,
        choose: Callable[[Mapping[str, str]], Sequence[str]],
        who: JobIdentity,
        record: Path | None,
        given_up: JobLock | None,
    ) -> Lease:
        holders = self._holders(given_up)
        chosen = tuple(choose(holders))
        # Only now, when there are enough: what is refused changes nothing.
        self._clear(name for name in self._leased() if name not in holders)
        if record:
            self._link(chosen, record)
            return Lease(chosen, None)
        lock = self._lock(who)
        try:
            self._link(chosen, lock.path)
        except BaseException:
            lock.end()
            raise
        return Lease(chosen, lock)

    def _link(self, names: Iterable[str], record: Path) -> None:
        for name in names:
            (self.folder / name).symlink_to(record.absolute())

    def _lock(self, who: JobIdentity) -> JobLock:
        path = self.folder / f"{who.job_id}.{who.nonce}{_LOCK}"
        lock = JobLock(path, locked(path))
        try:
            os.write(lock.descriptor, json.dumps({"job_id": who.job_id, "site": who.site}).encode())
        except BaseException:
            lock.end()
            raise
        return lock

    def _leased(self) -> list[str]:
        """Return the things for which there is a link, be it of a lease that is over."""
        return [path.name for path in self.folder.iterdir() if self._is_name(path.name)]

    def _holders(self, given_up: JobLock | None = None) -> dict[str, str]:
        links = [self.folder / name for name in self._leased()]
        found = ((link.name, _holder(link, self._thing)) for link in links if not _is_by(given_up, link))
        return {name: holder for name, holder in found if holder}

    def _clear(self, names: Iterable[str]) -> None:
        """Remove what is left of leases that are over."""
        for name in names:
            (self.folder / name).unlink()
        for lock in self.folder.glob(f"*{_LOCK}"):
            if not is_locked(lock):
                lock.unlink()

    def _exclusively(self) -> AbstractContextManager[None]:
        return exclusively(self.folder, os.O_RDONLY | os.O_DIRECTORY)


def _is_by(lock: JobLock | None, link: Path) -> bool:
    return lock is not None and link.is_symlink() and link.readlink() == lock.path.absolute()


def _holder(link: Path, thing: str) -> str:
    """Say who has a thing; empty if nobody does. What cannot be found out does not set it free."""
    if not link.is_symlink():
        return f"whoever made the file {link}"
    record = link.readlink()
    try:
        fields = read_record(record)
        if record.suffix == _LOCK and not is_locked(record):
            return ""
    except FileNotFoundError:
        if is_there(kept := aside(record)):
            return f"a job whose record could not be read; if no job uses the {thing}, remove {kept}"
        if is_folder(record.parent):  # the folder of records is there, so the record was removed: the job is over
            return ""
        return f"a job of {record.parent}, which is not there; if no job uses the {thing}, remove {link}"
    except OSError as error:
        return f"a job whose record cannot be read; if no job uses the {thing}, remove {link}: {in_words(error)}"
    return f"job {fields['job_id']} of {fields['site']}" if {"job_id", "site"} <= set(fields) else f"a job of {record}"
