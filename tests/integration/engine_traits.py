"""In what engines differ where nobody is wrong: what a test would assume of one of them, it takes from here."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from launchers.runtime.docker_dialect import PODMAN, dialect_of
from launchers.runtime.engine_traits import as_traits


@dataclass(frozen=True)
class Traits:
    """What an engine does; Docker does what stands here."""

    shows_restarting: bool = True
    """A container between two runs of it is "restarting"."""
    makes_what_cannot_be_connected: bool = True
    """A network that is missing is missed at the start, and not when the container is made."""
    code_of_a_failed_start: int | None = 127
    """What the result of a job says whose program is not there; None where its engine has no code for that."""
    code_of_a_failed_init: int = 127
    """With which its init ends that finds no program."""
    words_of_a_failed_init: str = "[FATAL tini"
    shows_asked_image: bool = True
    """An inspection has the image as it was asked for, and not by its name."""
    bounds_the_number_of_logs: bool = True
    """It heeds ``max-file``, beside ``max-size``."""
    lets_jobs_do: frozenset[str] = frozenset()
    """What its seccomp profile forbids nobody: of a new user namespace they are the root, who owns nothing else."""
    gives_in_memory: frozenset[str] = frozenset()
    """Folders of a read-only container that are in memory, and can be written to, unasked."""
    gives_volumes_to_the_user: bool = False
    """A volume that an image declares belongs to whoever the container runs as."""
    pauses: bool = True
    """It can freeze processes."""
    has_control_groups: bool = True
    """It can hold a container to limits, and measure what it uses."""
    tells_want_of_memory: bool = True
    """It says of a process that the kernel killed it for want of memory."""
    heeds_requests_for_gpus: bool = True
    """Else it drops them, and says nothing."""
    top_arguments: str | None = None
    """For a list of processes that needs no program of the container's."""


_PODMANS = Traits(
    shows_restarting=False,
    makes_what_cannot_be_connected=False,
    code_of_a_failed_start=None,
    code_of_a_failed_init=1,
    words_of_a_failed_init="ERROR (catatonit",
    shows_asked_image=False,
    bounds_the_number_of_logs=False,
    lets_jobs_do=frozenset({"make a user namespace", "own a file of root", "call keyctl"}),
    gives_in_memory=frozenset({"/run", "/var/tmp", "/sys/fs/cgroup"}),
    gives_volumes_to_the_user=True,
    top_arguments="args",
)


_OF_PODMAN_4 = replace(_PODMANS, tells_want_of_memory=False, heeds_requests_for_gpus=False)


def traits_of(client: Any) -> Traits:
    version, info = client.version(), client.info()
    is_podman = dialect_of(version) is PODMAN
    has_no_groups = "rootless" in as_traits(version, info).has and info.get("CgroupVersion") == "1"
    podmans = _OF_PODMAN_4 if version["Version"].startswith("4.") else _PODMANS
    return replace(
        podmans if is_podman else Traits(),
        pauses=not (is_podman and has_no_groups),  # there is no group to freeze
        has_control_groups=not has_no_groups,  # whatever it says of limits
    )
