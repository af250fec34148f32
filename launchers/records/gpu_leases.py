"""Which job has which GPU: leases that outlive their parent, in a folder that all parents of a host may share.

::

    <folder>/<device id>               a link to the record of the job that has the device
    <folder>/<job id>.<nonce>.lock     in place of a record: locked while the parent or the job's own process lives

A lease is over when the record is gone that its link names, and a record goes when nothing is left of its job: so a
lease is given back by whatever ends, gives up, or finds again and ends the job, without a step of its own that a crash
could forget. A link is made whole or not at all, only where there is none, and only with the folder locked.

Ids are compared as they are written, so all sites that share a folder must name a device in the same way. A UUID
(``GPU-…``, from ``nvidia-smi -L``) is the better name: an index may change with the next start of the host.
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
from flcore.errors import JobLaunchError, JobRejectedError, NoGpuError
from flcore.job_launcher_spec import Check

from ..policy.gpu_ids import is_gpu_id, is_index, parse_gpu_ids
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
            logger.warning("%s: a lease that is over cannot be removed: %s", self.path, error)
        self.file.release()


class Lease(NamedTuple):
    """The devices that a job got."""

    gpu_ids: tuple[str, ...]
    lock: JobLock | None
    """To be kept until the job has ended; None where its record says so."""


class GpuLeases:
    """The leases of one launcher. Making one touches no disk; safe to use from several threads and processes.

    Args:
        folder: see above; every parent that shares it must see the others' workspaces at their paths.
        find_ids: returns the site's devices; called until it has succeeded once. Raises JobLaunchError or ValueError.
    """

    def __init__(self, folder: Path, find_ids: Callable[[], Sequence[str]]) -> None:
        self.folder = folder
        self._find_ids = find_ids
        self._ids: tuple[str, ...] = ()

    def ids(self) -> tuple[str, ...]:
        """Return the site's devices. Raises JobLaunchError if they are to be found, and cannot be."""
        if not self._ids:
            try:
                self._ids = parse_gpu_ids(self._find_ids())
            except ValueError as error:
                raise JobLaunchError(f"the GPUs that were found for 'gpu_ids' {error}") from error
        return self._ids

    def take(self, count: int, who: JobIdentity, record: Path | None) -> Lease:
        """Lease devices to a job for as long as its record is there; without one, until its lock is given up.

        Raises NoGpuError if too few are free, JobRejectedError if the site has fewer, or JobLaunchError.
        """
        ids = self.ids()
        if count > len(ids):
            raise JobRejectedError(
                f"job {who.job_id}: num_of_gpus: more than the {len(ids)} GPUs of the site, got {count}"
            )
        try:
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            with self._exclusively():
                return self._take(count, ids, who, record)
        except OSError as error:
            raise JobLaunchError(f"job {who.job_id}: the site cannot write down which GPUs it has: {error}") from error

    def holders(self) -> dict[str, str]:
        """Return who has each device of the folder that is leased, of whatever site. Changes nothing."""
        if not self.folder.is_dir():
            return {}
        with self._exclusively():
            return self._holders()

    def check(self) -> Check:
        """Say which devices there are, and who has them."""
        try:
            ids, holders = self.ids(), self.holders()
            _check_names(ids, holders)
        except (JobLaunchError, OSError) as error:
            return Check("GPUs", False, str(error))
        return Check("GPUs", True, _free_and_leased(ids, holders))

    def _take(self, count: int, ids: tuple[str, ...], who: JobIdentity, record: Path | None) -> Lease:
        holders = self._holders()
        _check_names(ids, holders)
        free = [gpu_id for gpu_id in ids if gpu_id not in holders]
        if count > len(free):
            raise NoGpuError(f"job {who.job_id}: num_of_gpus: it asks for {count}; {_free_and_leased(ids, holders)}")
        # Only now, when there are enough: what is refused changes nothing.
        self._clear(gpu_id for gpu_id in self._leased() if gpu_id not in holders)
        chosen = tuple(free[:count])
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

    def _link(self, gpu_ids: Iterable[str], record: Path) -> None:
        for gpu_id in gpu_ids:
            (self.folder / gpu_id).symlink_to(record.absolute())

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
        """Return the devices for which there is a link, be it of a lease that is over."""
        return [path.name for path in self.folder.iterdir() if is_gpu_id(path.name)]

    def _holders(self) -> dict[str, str]:
        found = ((gpu_id, _holder(self.folder / gpu_id)) for gpu_id in self._leased())
        return {gpu_id: holder for gpu_id, holder in found if holder}

    def _clear(self, gpu_ids: Iterable[str]) -> None:
        """Remove what is left of leases that are over."""
        for gpu_id in gpu_ids:
            (self.folder / gpu_id).unlink()
        for lock in self.folder.glob(f"*{_LOCK}"):
            if not is_locked(lock):
                lock.unlink()

    def _exclusively(self) -> AbstractContextManager[None]:
        return exclusively(self.folder, os.O_RDONLY | os.O_DIRECTORY)


def _free_and_leased(ids: Sequence[str], holders: Mapping[str, str]) -> str:
    leased = [f"{gpu_id}: {holders[gpu_id]}" for gpu_id in ids if gpu_id in holders]
    return "; ".join([f"{len(ids) - len(leased)} of {len(ids)} GPUs are free", *leased])


def _check_names(ids: Sequence[str], holders: Iterable[str]) -> None:
    """Raise JobLaunchError where somebody has a device by another kind of name, so that it may be one of ours."""
    for gpu_id in holders:
        if ids and is_index(gpu_id) != is_index(ids[0]):
            other = f"{gpu_id} may be one of {', '.join(ids)}"
            raise JobLaunchError(f"GPUs are leased by index and by UUID: {other}; use UUIDs in every site's 'gpu_ids'")


def _holder(link: Path) -> str:
    """Say who has a device; empty if nobody does. What cannot be found out does not set a device free."""
    if not link.is_symlink():
        return f"whoever made the file {link}"
    record = link.readlink()
    try:
        fields = read_record(record)
        if record.suffix == _LOCK and not is_locked(record):
            return ""
    except FileNotFoundError:
        if (kept := aside(record)).exists():
            return f"a job whose record could not be read; if no job uses the device, remove {kept}"
        if record.parent.is_dir():  # the folder of records is there, so the record was removed: the job is over
            return ""
        return f"a job of {record.parent}, which is not there; if no job uses the device, remove {link}"
    except OSError as error:
        return f"a job whose record cannot be read; if no job uses the device, remove {link}: {error}"
    return f"job {fields['job_id']} of {fields['site']}" if {"job_id", "site"} <= set(fields) else f"a job of {record}"
