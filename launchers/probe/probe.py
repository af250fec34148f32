"""Runs a container like a job's, which tries what it can reach, beside another that it should not."""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from threading import Event
from typing import Any

from flcore.disk.os_errors import in_words
from flcore.errors import FLCoreError, JobLaunchError, RuntimeUnavailableError
from flcore.job_launcher_spec import Check

from ..container_spec import LABEL_NONCE, LABEL_SITE, ContainerSpec, JobNetwork
from ..docker_state import TERMINAL_STATES
from ..policy.job_network import joined, own_network_name
from ..runtime.base import Runtime, job_networks_of
from ..runtime.docker_dialect import bridge_of
from ..runtime.engine_traits import ROOTLESS_USER, EngineTraits
from . import inside
from .findings import WHAT, Answers, Tried, findings
from .host_side import Listening, is_interface, listening, own_addresses
from .targets import ENGINE_PORTS, USUAL_PORTS, Address, Asked, Called, outside

LABEL_PROBE = "flcore.probe"
"""On what is made here; its value is when that was, so that the next probe removes what a killed one has left."""
_STALE = 60.0
_PATIENCE = 10.0
"""Seconds for a container to say what it has to say; it ends by itself before."""
_POLL_INTERVAL = 0.05
_MEMORY = 256 << 20


@dataclass(frozen=True, slots=True)
class Probe:
    """Tries what jobs reach.

    Args:
        runtime: where they run.
        spec: a job's container, but for its name, its command and its own folder.
        engine: what the runtime is.
        python: the interpreter in the image.
        parent: the address of the parent of its jobs, as they would call it; None if they call none.
    """

    runtime: Runtime
    spec: ContainerSpec
    engine: EngineTraits
    python: str
    parent: Address | None = None

    def checks(self) -> Iterator[Check]:
        """Yield what was found; that it cannot be tried is a finding, too."""
        try:
            self._remove_stale()
            with ExitStack() as stack:
                tried = self._try(stack)
        except (FLCoreError, OSError) as error:
            yield Check(WHAT, False, f"what jobs reach cannot be tried: {in_words(error)}")
            return
        yield from findings(tried)

    def _try(self, stack: ExitStack) -> Tried:
        listener = stack.enter_context(self._in_network({"listen": True}))
        other = self._heard(stack.enter_context(self._running(listener)))
        spec = stack.enter_context(self._in_network({}))
        host, addresses = stack.enter_context(listening()), own_addresses()  # that in the network, too
        asked = self._asked(host, addresses, other)
        container_id = stack.enter_context(self._running(_told(spec, asked.as_json())))
        is_here = is_interface(bridge_of(spec.labels[LABEL_NONCE]))  # of some engines, it goes when the container ends
        of_host = Answers.of(inside.try_all(outside()))
        answers = Answers.of(self._heard(container_id))
        is_here |= answers.gateway in addresses
        return Tried(asked, answers, self.spec.own_network or self.spec.network, self.engine, is_here, of_host)

    def _asked(self, host: Listening, addresses: list[str], other: Mapping[str, Any]) -> Asked:
        return Asked(
            host=tuple((address, host.everywhere) for address in addresses),
            loopback=("127.0.0.1", host.loopback),
            others=((other["address"], other["port"]),) if other.get("address") else (),
            parent=self.parent,
            gateway_ports=(*USUAL_PORTS, *ENGINE_PORTS, host.everywhere),
        )

    @contextmanager
    def _in_network(self, task: Mapping[str, Any]) -> Iterator[ContainerSpec]:
        """Yield the spec of a container whose network is there, until the end of the block."""
        nonce, now = secrets.token_hex(8), str(int(time.time()))
        name = f"flcore-probe-{nonce[:8]}"
        site = self.spec.labels.get(LABEL_SITE, "")
        spec = replace(
            self.spec,
            name=name,
            command=(self.python, "-c", Path(inside.__file__).read_text()),
            labels={LABEL_SITE: site, LABEL_PROBE: now, LABEL_NONCE: nonce},
            memory=_MEMORY,
            network=own_network_name(name) if self.spec.own_network else self.spec.network,
        )
        networks = job_networks_of(self.runtime) if spec.own_network else None
        if spec.own_network and not networks:
            raise JobLaunchError(f"{self.runtime.name} makes no networks of jobs' own ('network.per_job')")
        try:
            yield _told(networks.make(spec) if networks else spec, task)
        finally:
            if networks:
                networks.remove(nonce, spec.network)

    @contextmanager
    def _running(self, spec: ContainerSpec) -> Iterator[str]:
        container_id = self.runtime.create(spec)
        try:
            self.runtime.start(container_id)
            yield container_id
        finally:
            self.runtime.remove(container_id)

    def _heard(self, container_id: str) -> dict[str, Any]:
        """Return what a container says in its first line."""
        end, pause = time.monotonic() + _PATIENCE, Event()
        while True:
            is_over = self.runtime.inspect(container_id).state in TERMINAL_STATES
            said = b"".join(self.runtime.logs(container_id))
            if b"\n" in said:
                with suppress(ValueError):
                    answer: dict[str, Any] = json.loads(said.partition(b"\n")[0])
                    return answer
            if is_over or time.monotonic() > end:
                words = said.decode(errors="replace").strip()[-200:]
                raise JobLaunchError(
                    f"the probe's container said {words or 'nothing'!r}; has the image a {self.python}?"
                )
            pause.wait(_POLL_INTERVAL)

    def _remove_stale(self) -> None:
        """Remove what a probe has left that was killed."""
        oldest = time.time() - _STALE
        for found in self.runtime.list_containers():
            if _made_at(found.labels) < oldest:
                self.runtime.remove(found.id)
        if networks := job_networks_of(self.runtime):
            for network in networks.all_of(LABEL_PROBE):
                if _made_at(network.labels) < oldest:
                    networks.remove(network.labels.get(LABEL_NONCE, ""), network.name)


def probed(
    runtime: Runtime, spec: ContainerSpec, networks: Iterable[JobNetwork], python: str, called: Called | None
) -> Iterator[Check]:
    """Yield what jobs like this reach, by each network that they may join."""
    called = called or Called()
    if not spec.image:
        yield Check(WHAT, False, "what jobs reach is tried in the image of jobs that name none: name it in 'image'")
        return
    try:
        engine = runtime.traits()
    except RuntimeUnavailableError as error:
        yield Check(WHAT, False, str(error))
        return
    spec = replace(spec, hosts=called.hosts, user=ROOTLESS_USER if engine.is_rootless else spec.user)
    names = dict.fromkeys(networks)
    for network in names:
        for found in Probe(runtime, joined(spec, network), engine, python, called.parent).checks():
            yield found if len(names) == 1 else replace(found, what=f"{found.what} by the network {network}")


def _told(spec: ContainerSpec, task: Mapping[str, Any]) -> ContainerSpec:
    return replace(spec, environment={**spec.environment, "FLCORE_PROBE": json.dumps(task)})


def _made_at(labels: Mapping[str, str]) -> float:
    """Return when a probe has made something; never, of what no probe has made."""
    try:
        return float(labels[LABEL_PROBE])
    except (KeyError, ValueError):
        return float("inf")
