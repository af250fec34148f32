"""Which job has which GPU.

Ids are compared as they are written, so all sites that share a folder must name a device in the same way. A UUID
(``GPU-…``, from ``nvidia-smi -L``) is the better name: an index may change with the next start of the host.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

from flcore.disk.os_errors import in_words
from flcore.errors import JobLaunchError, JobRejectedError, NoGpuError
from flcore.job_launcher_spec import Check

from ..policy.gpu_ids import is_gpu_id, is_index, parse_gpu_ids
from .job_record import JobIdentity
from .leases import Lease, Leases


class GpuLeases:
    """The GPUs of one launcher. Making one touches no disk; safe to use from several threads and processes.

    Args:
        folder: of the leases.
        find_ids: returns the site's devices; called until it has succeeded once. Raises JobLaunchError or ValueError.
    """

    def __init__(self, folder: Path, find_ids: Callable[[], Sequence[str]]) -> None:
        self.folder = folder
        self._leases = Leases(folder, is_gpu_id, ("device", "GPUs"))
        self._find_ids = find_ids
        self._ids: tuple[str, ...] = ()
        self._reserved: dict[str, Lease] = {}
        """What is kept for jobs that are to come, by job id."""
        self._lock = threading.Lock()

    def ids(self) -> tuple[str, ...]:
        """Return the site's devices. Raises JobLaunchError if they are to be found, and cannot be."""
        if not self._ids:
            try:
                self._ids = parse_gpu_ids(self._find_ids())
            except ValueError as error:
                raise JobLaunchError(f"the GPUs that were found for 'gpu_ids' {error}") from error
        return self._ids

    def reserve(self, count: int, who: JobIdentity) -> None:
        """Keep devices for a job until it takes them, they are given back, or this process ends.

        Done again for the same job, this counts in place of what was kept for it; if it raises, that is as it was.
        Raises as :meth:`take` does.
        """
        self.ids()  # which may take a while to be found, when it is the first time
        with self._lock:
            self._reserved[who.job_id] = self._take(count, who, None)

    def give_back(self, job_id: str) -> None:
        """Keep nothing for a job any more; what it has taken is its own. Idempotent."""
        with self._lock:
            kept = self._reserved.pop(job_id, None)
        if kept and kept.lock:
            kept.lock.end()

    def take(self, count: int, who: JobIdentity, record: Path | None) -> Lease:
        """Lease devices to a job for as long as its record is there; without one, until its lock is given up.

        First of all those that are kept for it, all of which it gives up by this. Raises NoGpuError if too few are
        free, JobRejectedError if the site has fewer, or JobLaunchError.
        """
        self.ids()
        with self._lock:
            lease = self._take(count, who, record)
            self._reserved.pop(who.job_id, None)
            return lease

    def _take(self, count: int, who: JobIdentity, record: Path | None) -> Lease:
        ids, kept = self.ids(), self._reserved.get(who.job_id)
        if count > len(ids):
            raise JobRejectedError(
                f"job {who.job_id}: num_of_gpus: more than the {len(ids)} GPUs of the site, got {count}"
            )

        def choose(holders: Mapping[str, str]) -> Sequence[str]:
            _check_names(ids, holders)
            free = [gpu_id for gpu_id in ids if gpu_id not in holders]
            if count > len(free):
                asked = f"it asks for {count}; {_free_and_leased(ids, holders)}"
                raise NoGpuError(f"job {who.job_id}: num_of_gpus: {asked}")
            return sorted(free, key=lambda gpu_id: not kept or gpu_id not in kept.names)[:count]

        return self._leases.take(choose, who, record, kept)

    def holders(self) -> dict[str, str]:
        """Return who has each device of the folder that is leased, of whatever site. Changes nothing."""
        return self._leases.holders()

    def count(self) -> tuple[int, int]:
        """Return how many devices the site has, and how many of them are free. Raises JobLaunchError."""
        ids = self.ids()
        try:
            return len(ids), len(set(ids) - set(self.holders()))
        except OSError as error:
            raise JobLaunchError(f"who has which of the site's GPUs cannot be read: {in_words(error)}") from error

    def check(self) -> Check:
        """Say which devices there are, and who has them."""
        try:
            ids, holders = self.ids(), self.holders()
            _check_names(ids, holders)
        except (JobLaunchError, OSError) as error:
            return Check("GPUs", False, in_words(error))
        return Check("GPUs", True, _free_and_leased(ids, holders))


def _free_and_leased(ids: Sequence[str], holders: Mapping[str, str]) -> str:
    leased = [f"{gpu_id}: {holders[gpu_id]}" for gpu_id in ids if gpu_id in holders]
    return "; ".join([f"{len(ids) - len(leased)} of {len(ids)} GPUs are free", *leased])


def _check_names(ids: Sequence[str], holders: Iterable[str]) -> None:
    """Raise JobLaunchError where somebody has a device by another kind of name, so that it may be one of ours."""
    for gpu_id in holders:
        if ids and is_index(gpu_id) != is_index(ids[0]):
            other = f"{gpu_id} may be one of {', '.join(ids)}"
            raise JobLaunchError(f"GPUs are leased by index and by UUID: {other}; use UUIDs in every site's 'gpu_ids'")
