"""Where the containers of a network find their host: asked of the engine, which makes the network if need be."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import closing
from typing import Any

from flcore.errors import ConfigError, JobLaunchError, RuntimeUnavailableError

from ..policy.docker_args import engine_tls
from ..runtime.docker import DockerRuntime
from ..runtime.docker_networks import DockerNetworks, Network, planned

_WAY_OUT = "name by --address where jobs find their parent"


class Gateways:
    """Of the engines of kits; each is asked for a network once.

    Args:
        subnet: of networks that are made.
        is_trial: make none.
    """

    def __init__(self, subnet: str | None, is_trial: bool) -> None:
        self._subnet, self._is_trial = subnet, is_trial
        self._known: dict[tuple[str, str], Network] = {}
        self.made: list[str] = []
        """The networks that were made, or would be."""

    def of(self, launcher: Mapping[str, Any]) -> Network:
        """Return the network of a launcher with these arguments; it has one gateway at least. Raises ConfigError."""
        key = str(launcher.get("network")), str(launcher.get("docker_host"))
        if key not in self._known:
            self._known[key] = self._find(key[0], launcher)
        return self._known[key]

    def ensure(self, launcher: Mapping[str, Any]) -> None:
        """Have its network be there, whose gateway does not matter. Raises ConfigError.

        Where no engine answers, and no subnet was named, that is left to who starts the parent.
        """
        try:
            self._there(str(launcher.get("network")), launcher)
        except RuntimeUnavailableError as error:
            if self._subnet:
                raise ConfigError(f"--subnet: {error}") from error
        except JobLaunchError as error:
            raise ConfigError(str(error)) from error

    def _find(self, name: str, launcher: Mapping[str, Any]) -> Network:
        try:
            found = self._there(name, launcher)
        except JobLaunchError as error:
            raise ConfigError(f"{error}; or {_WAY_OUT}") from error
        if not found.gateways:
            raise ConfigError(f"the network {name} has no gateway: {_WAY_OUT}")
        return found

    def _there(self, name: str, launcher: Mapping[str, Any]) -> Network:
        """Return a network, made if it is not there. Raises JobLaunchError, and ConfigError for another subnet."""
        with closing(_engine(launcher)) as engine:
            found = engine.networks.find(name)
            if found:
                self._check_subnet(found)
            return found or self._make(name, engine.networks)

    def _check_subnet(self, found: Network) -> None:
        if self._subnet and self._subnet not in found.subnets:
            there = f"the network {found.name} is there already, in {', '.join(found.subnets) or 'none'}"
            raise ConfigError(f"--subnet: {there}: leave --subnet out, or remove the network first")

    def _make(self, name: str, engine: DockerNetworks) -> Network:
        if name not in self.made:  # else this is a trial
            self.made.append(name)
        if self._is_trial:
            return planned(name, self._subnet) if self._subnet else Network(name, (), (f"the-gateway-of-{name}",))
        engine.make(name, self._subnet)
        return engine.find(name) or Network(name)


def _engine(launcher: Mapping[str, Any]) -> DockerRuntime:
    address = launcher.get("docker_host")
    try:
        return DockerRuntime(address, tls=engine_tls("docker_tls", launcher.get("docker_tls"), address))
    except ValueError as error:
        raise ConfigError(str(error)) from error
