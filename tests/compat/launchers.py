"""Launchers as an operator configures them: components for a site's config."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Self

from .environments import Flare

SERVER = "server"
_NVFLARE_DOCKER = "nvflare.app_opt.job_launcher.docker_launcher"
_FLCORE = "launchers.nvflare_launcher"
MANAGER = {"id": "resource_manager", "path": "launchers.nvflare_resource_manager.FlareResourceManager", "args": {}}
"""Ours, in place of a client's own."""
_PRETENDED = Path(__file__).parents[1] / "pretended_gpus.py"
GPU = "GPU-00000000-0000-0000-0000-000000000000"
REQUESTS = "gpu-requests.jsonl"
"""In a client's kit: its requests for GPUs, which no engine has got."""


@dataclass(frozen=True)
class Launcher:
    """A launcher for the jobs of all sites of a federation."""

    name: str
    module: str | None = None
    """Has a ``ServerDockerJobLauncher`` and a ``ClientDockerJobLauncher``; None is what a kit has anyway."""
    args: Mapping[str, Any] = field(default_factory=dict)
    """In texts, ``{image}``, ``{network}`` and ``{workspace}`` stand for what the federation has of these."""
    is_only_one: bool = True
    """Whether the kit's process launcher is taken out."""
    jobs_name_image: bool = False
    """Whether it launches only jobs that name an image."""
    of_clients: Sequence[Mapping[str, Any]] = ()
    """More components of each client, in place of those of the kit that have the same ids."""
    custom: Sequence[Path] = ()
    """Code of the sites' own."""

    @classmethod
    def process(cls) -> Self:
        """Return NVIDIA FLARE's own for processes: what every kit has."""
        return cls("process", is_only_one=False)

    @classmethod
    def nvflare_docker(cls, flare: Flare) -> Self:
        """Return NVIDIA FLARE's own for Docker. Up to 2.7 it takes the jobs that name an image, beside the other."""
        args = {"network": "{network}"}
        old = flare.release < (2, 8)
        if old:
            args["mount_path"] = "{workspace}"
        return cls("nvflare-docker", _NVFLARE_DOCKER, args, is_only_one=not old, jobs_name_image=True)

    @classmethod
    def flcore(cls, **args: Any) -> Self:
        """Return ours, with more arguments than image and network."""
        return cls("flcore", _FLCORE, {"image": "{image}", "network": "{network}", **args})

    @classmethod
    def flcore_with_gpu(cls, **args: Any) -> Self:
        """Return ours, where each client pretends to have one GPU, for which jobs wait by our resource manager."""
        pretended = {"path": "pretended_gpus.PretendedGpus", "args": {"requests": f"{{workspace}}/{REQUESTS}"}}
        more = [MANAGER, {"id": "pretended_gpus", **pretended}]
        return replace(cls.flcore(gpu_ids=[GPU], **args), of_clients=more, custom=[_PRETENDED])

    def components(self, site: str, meanings: Mapping[str, str]) -> list[dict[str, Any]]:
        """Return its components for a site's config."""
        if self.module is None:
            return []
        kind = "Server" if site == SERVER else "Client"
        path = f"{self.module}.{kind}DockerJobLauncher"
        args = _meant(self.args, meanings)
        if self.module == _FLCORE and meanings["network"] == "host":
            args.setdefault("allow_insecure", ["network"])
        more = [] if site == SERVER else [_meant(one, meanings) for one in self.of_clients]
        return [{"id": "job_launcher", "path": path, "args": args}, *more]


def _meant(value: Any, meanings: Mapping[str, str]) -> Any:
    if isinstance(value, str):
        for name, meaning in meanings.items():
            value = value.replace(f"{{{name}}}", meaning)
    elif isinstance(value, Mapping):
        return {name: _meant(one, meanings) for name, one in value.items()}
    elif isinstance(value, list | tuple):
        return [_meant(one, meanings) for one in value]
    return value
