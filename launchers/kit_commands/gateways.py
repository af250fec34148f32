"""Where the containers of a network find their host: asked of the engine, which makes the network if need be."""

from __future__ import annotations

from contextlib import closing

from flcore.errors import ConfigError, JobLaunchError

from ..runtime.docker import DockerRuntime
from ..runtime.docker_networks import DockerNetworks, Network, planned

_WAY_OUT = "name by --address where jobs find their parent"


class Gateways:
    """Of one engine; each network is asked for once.

    Args:
        docker_host: the engine; None is the one that Docker's own command uses.
        subnet: of networks that are made.
        is_trial: make none.
    """

    def __init__(self, docker_host: str | None, subnet: str | None, is_trial: bool) -> None:
        self._docker_host, self._subnet, self._is_trial = docker_host, subnet, is_trial
        self._known: dict[str, Network] = {}
        self.made: list[str] = []
        """The networks that were made, or would be."""

    def of(self, name: str) -> Network:
        """Return a network; it has one gateway at least. Raises ConfigError."""
        if name not in self._known:
            self._known[name] = self._find(name)
        return self._known[name]

    def _find(self, name: str) -> Network:
        with closing(DockerRuntime(self._docker_host)) as engine:
            try:
                found = engine.networks.find(name) or self._make(name, engine.networks)
            except JobLaunchError as error:
                raise ConfigError(f"{error}; or {_WAY_OUT}") from error
        if not found.gateways:
            raise ConfigError(f"the network {name} has no gateway: {_WAY_OUT}")
        return found

    def _make(self, name: str, engine: DockerNetworks) -> Network:
        self.made.append(name)
        if self._is_trial:
            return planned(name, self._subnet) if self._subnet else Network(name, (), (f"the-gateway-of-{name}",))
        engine.make(name, self._subnet)
        return engine.find(name) or Network(name)
