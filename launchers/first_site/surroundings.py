"""What a first site has around it: an engine or none, GPUs, an image. It becomes the site's launcher."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from flcore.errors import JobLaunchError

from ..docker_launcher import ClientDockerJobLauncher
from ..policy.docker_args import is_the_host_s_own
from ..policy.gpu_ids import is_gpu_id
from ..runtime.docker import DockerRuntime
from ..runtime.docker_answer import told_address
from ..runtime.docker_clients import default_address
from ..runtime.nvidia import query_gpus
from .files import DATA, SITE
from .images import choose

NETWORK = "flcore"
MEMORY = "1Gi"

_OF_DOCKER, _OF_PROCESSES = "ClientDockerJobLauncher", "ClientProcessJobLauncher"
_BY_TLS = ("DOCKER_TLS_VERIFY", "DOCKER_CERT_PATH")


class Step(NamedTuple):
    """What has to be made on the engine."""

    what: str
    make: Callable[[], object]


class Surroundings(NamedTuple):
    """What was found, and what follows from it."""

    launcher: Mapping[str, Any]
    """The component config of the site's launcher, without its id."""
    steps: Sequence[Step]
    """What is not there yet."""
    told: Sequence[str]
    """What was found, a line each."""


@contextmanager
def look_around(folder: Path, image: str | None) -> Iterator[Surroundings]:
    """Say what a site in a folder has around it. Makes nothing; meanwhile the steps can be taken.

    Raises ConfigError if the image that is named cannot be had, or there is none; JobLaunchError if an engine that has
    answered does so no longer.
    """
    with closing(DockerRuntime(named_address())) as engine:
        try:
            traits = engine.traits()
            ClientDockerJobLauncher(image="any").check_engine(traits)
        except JobLaunchError as error:
            yield _without_engine(image, str(error))
        else:
            yield _of_engine(engine, folder, image, f"engine: {traits.title()}, at {told_address(default_address())}")


def named_address() -> str | None:
    """Return the engine's address as the config is to name it; None where it is Docker's own affair which one is asked.

    That of DOCKER_HOST is: who calls the site next may not have it set. No password gets into a file.
    """
    address = os.environ.get("DOCKER_HOST")
    is_plain = address and told_address(address) == address and not any(map(os.environ.get, _BY_TLS))
    return address if is_plain else None


def _of_engine(engine: DockerRuntime, folder: Path, image: str | None, title: str) -> Surroundings:
    chosen, gpus = choose(engine, image), _plain(engine.find_gpus())
    steps = [Step(f"image {chosen.name}", chosen.make)] if chosen.make else []
    has_network = engine.networks.find(NETWORK) is not None
    if not has_network:
        steps.append(Step(f"network {NETWORK}", lambda: engine.networks.make(NETWORK, None)))
    address = named_address()
    args = {
        "image": chosen.name,
        "network": NETWORK,
        "limits": {"memory": MEMORY},
        **_args(gpus),
        **({"docker_host": address} if address else {}),
    }
    told = [title, _told_gpus(gpus), f"image: {chosen.name}, {chosen.about}"]
    told.append(f"network: {NETWORK}, {'is there' if has_network else 'to be made'}")
    if not default_address().startswith("unix://"):
        told.append(f"if that engine is on another host, {folder} must be there, too, or 'host_paths' say where it is")
    if is_the_host_s_own(str(folder / DATA)):
        args["allow_insecure"] = ["datasets"]
        told.append(f"{folder} is the host's own: only as 'allow_insecure' says so do jobs see {DATA} there")
    return Surroundings({"name": _OF_DOCKER, "args": args}, steps, told)


def _without_engine(image: str | None, why: str) -> Surroundings:
    gpus = _plain(query_gpus())
    told = [
        "engine: none for this site's jobs",
        f"  {why}",
        "  So its jobs run as processes of this host, which nothing isolates: that is for trying things out. Once an",
        f"  engine answers, remove {SITE} and call flcore init again.",
        _told_gpus(gpus),
        *([f"image: {image} is of no use to processes"] if image else []),
    ]
    return Surroundings({"name": _OF_PROCESSES, "args": _args(gpus)}, [], told)


def _args(gpus: Sequence[str]) -> dict[str, Any]:
    """Return the arguments that each kind of launcher gets."""
    return {"datasets": {"measurements": f"${{CONFIG_DIR}}/{DATA}"}, **({"gpu_ids": list(gpus)} if gpus else {})}


def _plain(gpus: Sequence[str]) -> list[str]:
    """Return those of the GPUs that a config can name."""
    return [gpu for gpu in gpus if is_gpu_id(gpu)]


def _told_gpus(gpus: Sequence[str]) -> str:
    return f"GPUs: {', '.join(gpus)}" if gpus else "GPUs: none found"
