"""The networks of jobs' own that a fake runtime makes."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace

from flcore.errors import JobLaunchError

from ..container_spec import LABEL_NONCE, THIS_PROCESS, ContainerSpec
from .base import NetworkSummary

GATEWAY = "192.0.2.1"
"""The address of a job's parent in each of them."""


class FakeJobNetworks:
    """A ``JobNetworks`` in memory. ``answer`` is called first by each of its methods, and may raise."""

    def __init__(self, answer: Callable[[], None]) -> None:
        self._answer = answer
        self._made: dict[str, NetworkSummary] = {}
        """By nonce."""
        self.make_error: JobLaunchError | None = None
        """What is raised in place of a network."""

    def names(self) -> list[str]:
        """Return those that are there."""
        return [network.name for network in list(self._made.values())]

    def make(self, spec: ContainerSpec) -> ContainerSpec:
        self._answer()
        if self.make_error:
            raise self.make_error
        nonce = spec.labels[LABEL_NONCE]
        self._made.setdefault(nonce, NetworkSummary(spec.network, spec.labels, time.time()))
        hosts = {name: GATEWAY if host == THIS_PROCESS else host for name, host in spec.hosts.items()}
        return replace(spec, hosts=hosts)

    def remove(self, nonce: str, name: str) -> None:
        self._answer()
        if (found := self._made.get(nonce)) and found.name == name:
            del self._made[nonce]

    def all_of(self, label: str) -> list[NetworkSummary]:
        self._answer()
        key, is_exact, value = label.partition("=")
        return [
            network
            for network in list(self._made.values())
            if key in network.labels and (not is_exact or network.labels[key] == value)
        ]
