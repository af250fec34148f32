"""Who takes part in a run of a job: of the sites that are given, those that its ``deploy_map`` names. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from .errors import ConfigError
from .fl_constant import JobConstants, JobMetaKey
from .job_meta import get_app
from .submitted_job import SubmittedJob


@dataclass(frozen=True, slots=True)
class JobCast:
    """The sites of one run, by their names."""

    has_server: bool
    """Whether the server is among them."""
    clients: tuple[str, ...]
    left_out: tuple[str, ...]
    """Those that the ``deploy_map`` names, and that are not given."""
    min_clients: int
    """How many clients must be able to finish. Where the job does not say: all that are given, for the server waits for
    them; without a server none, for then no process waits for another."""
    mandatory_clients: frozenset[str]

    @classmethod
    def of(cls, job: SubmittedJob, given: Sequence[str]) -> JobCast:
        """Return who of the sites takes part. Raises ConfigError if that is nobody, or not who must."""
        if len(set(given)) < len(given):
            raise ConfigError(f"two of the sites have the same name: {', '.join(given)}")
        named = dict.fromkeys(site for entry in job.deployments for site in entry.sites if site != _ALL)
        cast = [site for site in given if get_app(job.meta, site)]
        if not cast:
            names = f"the deploy_map names {in_words(named)}; given: {in_words(given)}"
            raise ConfigError(f"{job.path}: none of its sites is given: {names}")
        clients, left_out = _clients_of(cast), tuple(site for site in named if site not in cast)
        mandatory = job.mandatory_clients([*clients, *_clients_of(left_out)])
        if missing := sorted(mandatory - set(clients)):
            why = f"{in_words(missing)} must take part, and is not given"
            raise ConfigError(f"{job.meta_file}: mandatory_clients: {why}")
        has_server = _SERVER in cast
        return cls(has_server, clients, left_out, _min_clients(job, clients, left_out, has_server), mandatory)


_ALL, _SERVER = JobConstants.ALL_SITES, JobConstants.SERVER_SITE_NAME


def in_words(sites: Iterable[str]) -> str:
    """Return the names of sites as a message has them."""
    return ", ".join(f"site {site!r}" for site in sites) or "no site"


def _clients_of(sites: Iterable[str]) -> tuple[str, ...]:
    return tuple(site for site in sites if site != _SERVER)


def _min_clients(job: SubmittedJob, clients: Sequence[str], left_out: Sequence[str], has_server: bool) -> int:
    needed = job.min_clients(len(clients) + len(_clients_of(left_out)))
    if job.meta.get(JobMetaKey.MIN_CLIENTS) is None:
        return len(clients) if has_server else 0
    if needed > len(clients):
        names = f"given: {in_words(clients)}; not given: {in_words(_clients_of(left_out))}"
        raise ConfigError(f"{job.meta_file}: min_clients: the job needs {needed} of its clients; {names}")
    return needed
