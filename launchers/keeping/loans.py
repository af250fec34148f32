"""What a job is lent while it lives: a user, GPUs and a network of its own, and the site's secrets."""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace
from pathlib import Path

from flcore.errors import JobLaunchError, RuntimeRefusedError, RuntimeUnavailableError

from ..container_spec import ContainerSpec
from ..policy.job_network import own_network_name
from ..records.gpu_leases import GpuLeases
from ..records.job_record import JobIdentity
from ..runtime.base import Runtime, job_networks_of
from ..runtime.engine_traits import EngineTraits
from ..tracking.tracked_job import TrackedJob
from .job_secrets import JobSecrets
from .own_users import OwnUsers

logger = logging.getLogger(__name__)

OWN_NETWORK = "own_network"
"""In a job's record: whether it has a network of its own."""


@dataclass(frozen=True, slots=True)
class Loans:
    """Where the jobs of one launcher get what they must give back. Safe to use from several threads."""

    secrets: JobSecrets
    gpus: GpuLeases | None = None
    """None: there is nowhere to write down who has which."""
    users: OwnUsers | None = None
    """None: all jobs have the one user that their specs name."""

    def lend(
        self, job: TrackedJob, spec: ContainerSpec, engine: EngineTraits, gpus: int, runtime: Runtime
    ) -> ContainerSpec:
        """Return a spec with all that a job is lent on this host. Raises JobLaunchError.

        To be called when the job is on record: so all of it is found again, whatever happens.
        """
        spec = self._lend_user(job, spec, engine)
        spec = self._lend_gpus(job, spec, gpus, runtime.remembers)
        return self._lend_secrets(job, spec)

    def take_back(self, job: TrackedJob, runtime: Runtime) -> bool:
        """Take back what a job was lent whose launch failed. Idempotent; what goes wrong is logged. False: try again.

        The network of one that has a container goes after that.
        """
        taken = self.take_secrets_back(job)
        try:
            if not job.identity.container_id:
                self.take_network_back(job, runtime)
        except JobLaunchError as error:
            logger.warning("%s: its network will be removed when that can be: %s", job.identity, error)
            return False
        return taken

    def _lend_user(self, job: TrackedJob, spec: ContainerSpec, engine: EngineTraits) -> ContainerSpec:
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

    def _lend_gpus(self, job: TrackedJob, spec: ContainerSpec, count: int, is_found_again: bool) -> ContainerSpec:
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

    def _lend_secrets(self, job: TrackedJob, spec: ContainerSpec) -> ContainerSpec:
        """Make the files of a job's secrets, and return a spec that shows them to it. Raises JobLaunchError."""
        try:
            spec = self.secrets.give(spec, job.identity.nonce)
        except JobLaunchError as error:
            raise JobLaunchError(f"job {job.identity.job_id}: {error}") from error
        job.hooks = replace(job.hooks, secrets=spec.secret_values())
        return spec

    def lend_network(self, job: TrackedJob, spec: ContainerSpec, runtime: Runtime) -> ContainerSpec:
        """Make a job's own network, if it is to have one, and return a spec that has it. Raises JobLaunchError.

        To be called when the job is on record, by whose nonce the network is found again. May be done twice.
        """
        if not spec.own_network:
            return spec
        networks = job_networks_of(runtime)
        if networks is None:
            why = f"{runtime.name} makes no networks of jobs' own ('network.per_job')"
            raise JobLaunchError(f"job {job.identity.job_id}: {why}")
        job.hooks = replace(job.hooks, has_own_network=True)
        try:
            return networks.make(spec)
        except RuntimeUnavailableError:
            raise
        except JobLaunchError as error:
            error.args = (f"job {job.identity.job_id}: {error}",)
            raise

    def take_network_back(self, job: TrackedJob, runtime: Runtime) -> None:
        """Remove a job's own network, when its container has gone. Idempotent. Raises JobLaunchError: try again."""
        networks, has_own = job_networks_of(runtime), job.hooks.has_own_network
        if networks is None or has_own is False:
            return
        try:
            networks.remove(job.identity.nonce, own_network_name(job.identity.container_name))
        except RuntimeRefusedError as error:
            if has_own:
                raise
            logger.debug("%s: whether it has a network of its own cannot be asked: %s", job.identity, error)

    def take_secrets_back(self, job: TrackedJob) -> bool:
        """Remove the files of a job's secrets. Idempotent; what goes wrong is logged. False: try again."""
        return self.secrets.take_back(job.identity.nonce)


def _no_leases(job_id: str) -> JobLaunchError:
    return JobLaunchError(f"job {job_id}: a site without a workspace cannot lease GPUs")
