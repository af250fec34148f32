"""What a job is lent while it lives: a user and GPUs of its own, and the site's secrets."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from flcore.errors import JobLaunchError

from ..container_spec import ContainerSpec
from ..records.gpu_leases import GpuLeases
from ..records.job_record import JobIdentity
from ..runtime.base import Runtime
from ..runtime.engine_traits import EngineTraits
from ..tracking.tracked_job import TrackedJob
from .job_secrets import JobSecrets
from .own_users import OwnUsers


@dataclass(frozen=True, slots=True)
class Loans:
    """Where the jobs of one launcher get what they must give back. Safe to use from several threads."""

    secrets: JobSecrets
    gpus: GpuLeases | None = None
    """None: there is nowhere to write down who has which."""
    users: OwnUsers | None = None
    """None: all jobs have the one user that their specs name."""

    def lend_user(self, job: TrackedJob, spec: ContainerSpec, engine: EngineTraits) -> ContainerSpec:
        """Return a spec with a user of its own, if jobs have such. Raises JobLaunchError."""
        if self.users is None:
            return spec
        if not job.hooks.record:
            where = "a site without a workspace cannot lease users ('user_range')"
            raise JobLaunchError(f"job {job.identity.job_id}: {where}")
        user = self.users.lend(job.identity, job.hooks.record.path)
        return replace(spec, user=user, host_user=engine.on_host(user))

    def take_folder_back(self, folder: Path, runtime: Runtime) -> None:
        """Make an ended job's folder the site's own again, if it was its user's alone. Idempotent.

        Raises OSError, or RuntimeUnavailableError where the engine does not say who that user is on the host.
        """
        if self.users:
            self.users.take_back(folder, runtime.traits())

    def reserve_gpus(self, who: JobIdentity, count: int) -> None:
        """Keep so many GPUs for a job that is to come, in place of what is kept for it. Raises JobLaunchError."""
        if self.gpus is None:
            if count:
                raise _no_leases(who.job_id)
        elif count:
            self.gpus.reserve(count, who)
        else:
            self.gpus.give_back(who.job_id)

    def give_back_gpus(self, job_id: str) -> None:
        """Keep none for a job any more. What it has been lent is its own. Idempotent."""
        if self.gpus:
            self.gpus.give_back(job_id)

    def count_gpus(self) -> tuple[int, int]:
        """Return how many GPUs there are, and how many of them are free. Raises JobLaunchError."""
        return self.gpus.count() if self.gpus else (0, 0)

    def lend_gpus(self, job: TrackedJob, spec: ContainerSpec, count: int, is_found_again: bool) -> ContainerSpec:
        """Return a spec with so many GPUs, which are the job's as long as there is its record.

        ``is_found_again``: the job outlives this process, so that only its record can tell who has them. A job without
        one has them until it gives them back. Those that were reserved for it are the first that it gets. Raises
        JobLaunchError, such as NoGpuError.
        """
        if not count:
            return spec
        record = job.hooks.record
        if self.gpus is None or (is_found_again and not record):
            raise _no_leases(job.identity.job_id)
        lease = self.gpus.take(count, job.identity, record.path if record else None)
        job.hooks = replace(job.hooks, lock=lease.lock)
        # A process that outlives this one keeps the lock by the descriptor that it inherits.
        inherited = (lease.lock.descriptor,) if lease.lock else ()
        return replace(spec, gpu_ids=lease.names, inherited=inherited)

    def lend_secrets(self, job: TrackedJob, spec: ContainerSpec) -> ContainerSpec:
        """Make the files of a job's secrets, and return a spec that shows them to it. Raises JobLaunchError.

        To be called when the job is on record: its nonce stands there, so whatever happens the files are found again.
        """
        try:
            spec = self.secrets.give(spec, job.identity.nonce)
        except JobLaunchError as error:
            raise JobLaunchError(f"job {job.identity.job_id}: {error}") from error
        job.hooks = replace(job.hooks, secrets=spec.secret_values())
        return spec

    def take_secrets_back(self, job: TrackedJob) -> bool:
        """Remove the files of a job's secrets. Idempotent; what goes wrong is logged. False: try again."""
        return self.secrets.take_back(job.identity.nonce)


def _no_leases(job_id: str) -> JobLaunchError:
    return JobLaunchError(f"job {job_id}: a site without a workspace cannot lease GPUs")
