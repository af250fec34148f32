"""What a runtime is asked to run, as plain data: tests compare it with ``==``."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from flcore.errors import JobLaunchError

__all__ = [
    "LABEL_IMAGE",
    "LABEL_JOB_ID",
    "LABEL_LAUNCHER",
    "LABEL_NONCE",
    "LABEL_PARENT",
    "LABEL_SITE",
    "LABEL_SITE_ID",
    "LABEL_STATE_DIR",
    "LABEL_STUDY",
    "OF_THE_USER",
    "THIS_PROCESS",
    "ContainerSpec",
    "Isolation",
    "Mount",
    "OwnNetwork",
    "Secret",
]

MASK = "***"
"""What is shown in place of a secret."""
SECRET_PREFIX = "FLCORE_SECRET_"  # noqa: S105 - a variable's name
"""What the variables begin with that tell a job where its secrets are."""
THIS_PROCESS = "this-process"
"""Among a container's hosts: the address at which it reaches this very process."""
OF_THE_USER = "uid=job,gid=job"
"""Among a folder's options: it belongs to the job's user, whoever that will be."""
LABEL_SITE = "flcore.site"
"""The site that launched the container."""
LABEL_JOB_ID = "flcore.job_id"
"""The id of the job that runs in it."""
LABEL_STUDY = "flcore.study"
"""The study that the job names; not there for a job of none."""
LABEL_LAUNCHER = "flcore.launcher"
"""The id of the launcher at that site."""
LABEL_SITE_ID = "flcore.site_id"
"""The id of the site's state folder: of sites with one name, which it is."""
LABEL_PARENT = "flcore.parent"
"""The id of the launcher's process."""
LABEL_STATE_DIR = "flcore.state_dir"
"""Where the site has its state folder: for who finds only the container."""
LABEL_IMAGE = "flcore.image"
"""The name of the image; the container itself knows only the id."""
LABEL_NONCE = "flcore.nonce"
"""A random number that stands in the site's record of the job, and on no other container."""


@dataclass(frozen=True, slots=True)
class Mount:
    """A file or folder of the host that the job sees."""

    source: str
    """Its path on the engine's host."""
    target: str
    """Where the job sees it."""
    read_only: bool = True
    """Whether the job may only read it."""


@dataclass(frozen=True, slots=True)
class Secret:
    """Where a secret of a job comes from, and where it goes; never what it is."""

    name: str
    """What the site calls it."""
    file: str = ""
    """Its file on this host; or else"""
    env: str = ""
    """its variable in the site's own environment."""
    to_env: str = ""
    """The job's variable that holds it, beside its file; empty: none does."""
    target: str = ""
    """Where a container sees it; empty: with the others, by its name."""

    @property
    def source(self) -> str:
        """Where it comes from, in words."""
        return f"file {self.file}" if self.file else f"variable {self.env} of the site's process"

    @property
    def path_variable(self) -> str:
        """The variable that tells a job where the secret's file is."""
        return SECRET_PREFIX + re.sub(r"[^A-Z0-9]", "_", self.name.upper())

    def error(self, why: str) -> JobLaunchError:
        """Return the error of a launch that cannot have it."""
        return JobLaunchError(f"the secret {self.name}: {self.source} {why}")


@dataclass(frozen=True, slots=True)
class Isolation:
    """How a container is shut in: securely, where a site does not say otherwise."""

    read_only: bool = True
    """The root file system cannot be written to."""
    tmpfs: Mapping[str, str] = field(default_factory=lambda: {"/tmp": "size=268435456,mode=1777"})  # noqa: S108
    """Folders in memory, with their options; in these, ``OF_THE_USER`` stands for the uid and gid of the job's user."""
    pids_limit: int = 1024
    """Processes and threads."""
    cap_add: tuple[str, ...] = ()
    """Capabilities; all others are dropped."""
    security_opt: tuple[str, ...] = ()
    """Docker's, beside ``no-new-privileges``."""
    privileged: bool = False
    """Docker's ``--privileged``: none of this holds."""
    pid_mode: str = ""
    """``host``, or empty: its own."""
    ipc_mode: str = ""
    """``host``, or empty: its own."""
    cgroup_parent: str = ""
    """The control group in which it is made; empty: the engine's own."""


@dataclass(frozen=True, slots=True)
class OwnNetwork:
    """How the network is made that a job has for itself: none of its addresses is another job's, and no way leads out.

    What is left is the engine's host, by the network's gateway: where a job's parent is.
    """

    pools: tuple[str, ...] = ()
    """Subnets, each of which is cut into networks; none: the engine has its own."""
    subnet_size: int = 28
    """The length of a network's prefix that is cut from a pool."""
    reaches_host: bool = True
    """Whether the engine's host has an address in it."""

    def __str__(self) -> str:
        return "one of each job's own" + ("" if self.reaches_host else ", without the engine's host")


JobNetwork = str | OwnNetwork
"""Which network a job joins: its name, or how one of its own is made."""


@dataclass(frozen=True, slots=True)
class ContainerSpec:
    """One job's container. What is not named here is the same, and safe, for every job."""

    name: str
    """The container's name."""
    image: str
    """By its name; the container is made from what this is when it is launched."""
    command: tuple[str, ...]
    """The program and its arguments. No shell reads it, and the image's entry point is not used."""
    environment: dict[str, str] = field(default_factory=dict, repr=False)
    """Holds secrets, so it is never shown."""
    secret_variables: frozenset[str] = frozenset()
    """Those of the variables that are secrets."""
    working_dir: str = "/"
    """Where the program starts: the job's own folder, as the job sees it."""
    mounts: tuple[Mount, ...] = ()
    """What of the host the job sees; nothing else."""
    network: str = ""
    """The network that it joins; empty where a runtime has none."""
    own_network: OwnNetwork | None = None
    """How that network is made for it, before it, and goes with it; None: it is there already, and stays."""
    hosts: Mapping[str, str] = field(default_factory=dict)
    """Names that resolve in the container, beside those that the engine knows: ``name -> address``."""
    labels: dict[str, str] = field(default_factory=dict)
    """By which it is found again: the ``LABEL_…`` of this module."""
    user: str = ""
    """``uid:gid``."""
    host_user: str = ""
    """The same as the host counts them: to whom files are given. Empty is the site's own."""
    init: bool = True
    """Run an init as PID 1, so that signals arrive and zombies are reaped."""
    cpus: float | None = None
    """Processors, or parts of one; None is no limit."""
    memory: int | None = None
    """Bytes, of memory and swap together; None is no limit."""
    shm_size: int | None = None
    """Bytes of /dev/shm; None is the engine's default."""
    disk: int | None = None
    """Bytes that the job's folder may hold; None is no limit. No runtime holds it to that, but the tracker."""
    gpu_ids: tuple[str, ...] = ()
    """Indices or UUIDs of the GPUs that the job sees; it sees no other."""
    inherited: tuple[int, ...] = ()
    """File descriptors that a local process inherits: locks that are to last as long as it. A container gets none."""
    output: str = ""
    """The file of this host to which a local process writes its output; empty: one that only its runtime knows."""
    log_max_size: int = 10 << 20
    """Bytes of output after which the engine begins a new log file."""
    log_max_files: int = 3
    """How many of them it keeps."""
    image_digests: tuple[str, ...] = ()
    """What the image is must have one of these digests; without any, it may be whatever it is."""
    secrets: tuple[Secret, ...] = ()
    """What of the site's secrets it is shown, as files in memory."""
    private_files: Mapping[str, str] = field(default_factory=dict)
    """Files of the site that the job is shown as its secrets: ``path in the container -> path here``."""
    isolation: Isolation = field(default_factory=Isolation)
    """How it is shut in."""

    def secret_values(self) -> tuple[str, ...]:
        """Return what no text that is shown may hold, longer ones first."""
        values = {self.environment.get(name, "") for name in self.secret_variables} - {""}
        return tuple(sorted(values, key=len, reverse=True))


def hidden(text: str, secrets: Iterable[str]) -> str:
    """Return a text without the secrets in it."""
    for secret in secrets:
        text = text.replace(secret, MASK)
    return text
