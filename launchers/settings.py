"""What a site's config says of how its jobs are launched, kept and ended: plain data, made once and handed down."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

__all__ = ["ORPHAN_POLICIES", "PULL_POLICIES", "EngineTls", "JobSettings", "PullSettings"]

NEVER, IF_MISSING, ALWAYS = PULL_POLICIES = ("never", "if-missing", "always")
"""Whether an image is pulled before a job is launched."""
ADOPT, STOP, IGNORE = ORPHAN_POLICIES = ("adopt", "stop", "ignore")
"""What becomes of a container that a site made and whose record is lost."""

STOP_GRACE = 10.0
"""Seconds from the request to end to the kill, where a site does not say."""


class EngineTls(NamedTuple):
    """The files by which an engine is asked by TLS: of its authority, and this side's certificate and key, or empty."""

    ca: str = ""
    """Of the authority by which the engine is known."""
    cert: str = ""
    """This side's certificate."""
    key: str = ""
    """The key of that."""


class EngineAddress(NamedTuple):
    """Which engine, in the words of a site's config: enough to ask it from another process. It holds no password."""

    docker_host: str
    docker_tls: EngineTls | None = None

    def as_args(self) -> dict[str, Any]:
        """Return it as JSON values: the arguments of a launcher."""
        if self.docker_tls is None:
            return {"docker_host": self.docker_host}
        files = {key: path for key, path in self.docker_tls._asdict().items() if path}
        return {"docker_host": self.docker_host, "docker_tls": files}

    @classmethod
    def of_args(cls, args: Any) -> EngineAddress | None:
        """Return the address whose :meth:`as_args` this is; None for anything else."""
        if not isinstance(args, Mapping) or not isinstance(host := args.get("docker_host"), str):
            return None
        files = args.get("docker_tls")
        if not isinstance(files, Mapping):
            return cls(host)
        return cls(host, EngineTls(**{key: str(path) for key, path in files.items() if key in EngineTls._fields}))


@dataclass(frozen=True, slots=True)
class PullSettings:
    """How images are pulled. Times are in seconds; None is for ever."""

    policy: str = NEVER
    """One of ``PULL_POLICIES``."""
    timeout: float | None = None
    """A pull may take so long in all."""
    stall_timeout: float | None = None
    """A pull may go on so long without a new byte, and without any layer in a state that it was not in before."""
    registries: tuple[str, ...] | None = None
    """Globs of the registries from which images are pulled; None is any."""
    ahead: tuple[str, ...] = ()
    """Images that are pulled when the site starts, in this order."""


@dataclass(frozen=True, slots=True)
class JobSettings:
    """How the jobs of one launcher are kept. Times are in seconds; None is for ever."""

    start_timeout: float | None = None
    """A container may take so long to run."""
    run_timeout: float | None = None
    """A job may run so long from its start."""
    idle_timeout: float | None = None
    """A job may go on so long without any output."""
    disk: int | None = None
    """Bytes that a job's folder may hold of which nothing is on record; None is no limit."""
    stop_grace: float = STOP_GRACE
    """From the request to end to the kill."""
    keep: bool = False
    """Ended containers are left where they are."""
    orphans: str = ADOPT
    """What becomes of a container that the site made and whose record is lost: one of ``ORPHAN_POLICIES``."""
    pull: PullSettings = field(default_factory=PullSettings)
    """How images are pulled."""
    launch_patience: float = 30.0
    """A launch is tried again for so long while an engine that answered before does not."""
    relist_interval: float = 5.0
    """Between two lists while jobs run: how late a change whose event was lost is seen."""
    creation_grace: float = 20.0
    """A container may still appear for so long whose creation was asked for, and not answered. So one that is younger
    is no orphan: somebody may be about to write it down."""
