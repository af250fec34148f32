"""What engines that answer Docker's API say in other words than Docker: one dialect for each kind of them. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ..docker_state import DOCKER_STATE

BRIDGES = "flj-"
"""What the names of the interfaces on the host begin with that are of jobs' own networks: for rules of a firewall."""
_BRIDGE_LENGTH = 15
"""The kernel's limit."""

Words = re.Pattern[str]

_TOOLKIT = "install the NVIDIA Container Toolkit on its host"
_NO_GPUS_WANTED = "or take 'gpu_ids' out of the site's config"


@dataclass(frozen=True)
class Dialect:
    """How one kind of engine says what flcore asks and is told. The defaults are Docker's own.

    Words of an engine's refusals are matched as a whole, or at their end: what stands in between may be a job's.
    """

    name: str = "Docker Engine"
    command: str = "docker"
    """What an operator types, as for a way out."""
    states: Mapping[str, DOCKER_STATE] = field(default_factory=dict)
    """Its words for states, beside Docker's."""
    events: tuple[str, ...] = ("start", "die", "stop", "restart", "pause", "unpause", "destroy")
    """Its words for what may change a container's state."""
    filters_events_by_label: bool = True
    """Whether it heeds the name of a label in a request for events; else it may tell of none."""
    statuses: Mapping[Words, int] = field(default_factory=dict)
    """The HTTP status with which Docker refuses, by the words with which this one does."""
    no_network: Words = re.compile(r"(?:failed to set up container networking: )?network (\S+) not found")
    """A launch is refused for want of this network. From 28 on, Docker says first what it was at."""
    delivered_words: Words | None = None
    vanishing_words: Words | None = None
    """A list is refused because one of the containers in it is being removed."""
    no_error: Words | None = None
    """What stands as a container's error and is none."""
    removes_at_once: bool = True
    """Whether it kills what runs in a container that is to be removed; else it asks it to end, and waits."""
    signals_wake: bool = True
    """Whether a paused process goes on when it is sent a signal."""
    tmpfs_options: tuple[str, ...] = ()
    """What has to be said of a folder in memory for it to be as Docker makes it by itself."""
    gpu_driver: str = "nvidia"
    gpu_prefix: str = ""
    """What stands before a GPU's id in the request for it."""
    gpus_shown_as: str = "DeviceRequests"
    """Where, in an inspection's HostConfig, something stands if the request was taken; else it was dropped."""
    init_path: str = ""
    """What a container is asked for so that its inspection shows its devices before it is started."""
    no_gpus: Words = re.compile(r"could not select device driver|failed to discover GPU vendor from CDI")
    """It has nothing to give GPUs with. Docker says so until 28, and from 29 on."""
    gpus_way_out: str = f"{_TOOLKIT}, {_NO_GPUS_WANTED}"
    own_network: Mapping[str, str] = field(
        default_factory=lambda: {
            "com.docker.network.bridge.enable_icc": "false",
            "com.docker.network.bridge.name": "{bridge}",
        }
    )
    """The options of a job's own network, whose interface on the host is called so."""
    without_host: Mapping[str, str] | None = field(
        default_factory=lambda: {
            "com.docker.network.bridge.inhibit_ipv4": "true",  # until 27.0; both together do no harm
            "com.docker.network.bridge.gateway_mode_ipv4": "isolated",
        }
    )
    """Those by which the host gets no address in it, either; None: there are none."""
    dropped_gpus_way_out: str = f"{_TOOLKIT}, {_NO_GPUS_WANTED}"
    """Where it says nothing of what it has not understood."""

    def event_filters(self, label: str | None) -> dict[str, list[str]]:
        """Return what to ask for of the events of containers, be it of all or of those with a label."""
        labels = {"label": [label]} if label and self.filters_events_by_label else {}
        return {"type": ["container"], "event": [*self.events], **labels}

    def is_asked_for(self, event: Mapping[str, Any], label: str | None) -> bool:
        """Whether an event is of what was asked for: each names its container's labels among its attributes."""
        if not label or self.filters_events_by_label:
            return True
        return label in ((event.get("Actor") or {}).get("Attributes") or ())

    def status(self, status: int | None, said: object) -> int:
        """Return the HTTP status with which Docker would have refused; 0 if there is none."""
        return next((known for words, known in self.statuses.items() if words.search(str(said))), status or 0)

    def is_vanishing(self, said: object) -> bool:
        """Whether what was asked for is refused for a container that is about to be gone."""
        return bool(self.vanishing_words and self.vanishing_words.search(str(said)))

    def state(self, word: str | None) -> DOCKER_STATE | None:
        """Return what a word for a state means; None if nobody knows."""
        own = {state.value: state for state in DOCKER_STATE}
        return self.states.get(word or "") or own.get(word or "")

    def was_delivered(self, said: object) -> bool:
        """Whether a signal has arrived though it was refused."""
        return bool(self.delivered_words and self.delivered_words.search(str(said)))

    def tmpfs(self, options: str) -> str:
        """Return the options of a folder in memory; what they say themselves counts."""
        given = options.split(",")
        added = (one for one in self.tmpfs_options if one not in given and one.removeprefix("no") not in given)
        return ",".join((*given, *added))

    def error(self, said: str) -> str:
        """Return what an inspection says of a container's failure."""
        return "" if self.no_error and self.no_error.search(said) else said

    def gpu_requests(self, gpu_ids: Sequence[str]) -> list[dict[str, Any]]:
        """Return the request for GPUs: by id, as a count would give every job the first ones."""
        names = [f"{self.gpu_prefix}{gpu_id}" for gpu_id in gpu_ids]
        return [{"Driver": self.gpu_driver, "DeviceIDs": names, "Capabilities": [["gpu"]]}]

    def shows_gpus(self, inspection: Mapping[str, Any]) -> bool:
        """Whether an engine has taken the request for a container's GPUs."""
        return bool((inspection.get("HostConfig") or {}).get(self.gpus_shown_as))


DOCKER = Dialect()
PODMAN = Dialect(
    name="Podman",
    command="podman",
    states={
        "configured": DOCKER_STATE.CREATED,
        "initialized": DOCKER_STATE.CREATED,
        "stopping": DOCKER_STATE.RUNNING,
        "stopped": DOCKER_STATE.EXITED,
    },
    events=(*DOCKER.events, "remove", "died"),  # it tells of a "die", for which one before 5 is asked by "died"
    filters_events_by_label=False,  # before 5 it knows only a name with its value
    statuses={
        re.compile(r": that name is already in use(?: by an external entity)?(?:, or use --replace.*)?$"): 409,
        re.compile(r"^can only kill running containers\. .*: container state improper$"): 409,  # before 5
        re.compile(r": network not found$"): 404,
        re.compile(r": no such container$"): 404,
        re.compile(r"^normalizing image: "): 400,
    },
    no_network=re.compile(r"(?:container create: )?unable to find network with name or ID (\S+): network not found"),
    # Of a process that was frozen when it was killed it waits five seconds for the exit code, and has none then.
    delivered_words=re.compile(r"^timed out waiting for file \S+/exits/[0-9a-f]{64}(?:: internal libpod error)?$"),
    vanishing_words=re.compile(r": (?:layer|container) not known$"),
    no_error=re.compile(r"^container [0-9a-f]{64}: container is running$"),  # it was asked to start it once more
    removes_at_once=False,
    signals_wake=False,
    tmpfs_options=("noexec", "nosuid", "nodev"),
    gpu_driver="cdi",
    gpu_prefix="nvidia.com/gpu=",
    gpus_shown_as="Devices",
    own_network={"com.docker.network.bridge.name": "{bridge}", "isolate": "true"},
    without_host=None,
    init_path="/v4.0.0/libpod/containers/{id}/init",
    no_gpus=re.compile(r"setting up CDI devices: unresolvable CDI devices"),
    gpus_way_out=f"{_TOOLKIT} and have it name them: nvidia-ctk cdi generate --output=/etc/cdi/nvidia.yaml; "
    f"{_NO_GPUS_WANTED}",
    dropped_gpus_way_out=f"take a Podman that heeds them, as 5.8 does and 4 does not, {_NO_GPUS_WANTED}",
)
_BY_COMPONENT = {"Podman Engine": PODMAN}
"""By the name of the first of the components that an engine's version names."""


def dialect_of(version: Mapping[str, Any]) -> Dialect:
    """Return the dialect of an engine that says this of its version; Docker's if it is none that is known."""
    components = version.get("Components") or [{}]
    return _BY_COMPONENT.get(components[0].get("Name", ""), DOCKER)


def bridge_of(nonce: str) -> str:
    """Return the name of the interface, on the host, of a job's own network."""
    return (BRIDGES + nonce)[:_BRIDGE_LENGTH]
