"""Metadata made up by a seed: mostly good ones, in every way to say a thing that is known, and odd values now and then.

The generator is a plain one, for it runs in NVIDIA FLARE's environments, which have pytest and nothing else of ours.
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

SITES = ("site-1", "site-2", "site-3")
SITE = SITES[0]
"""Whose launcher is asked."""
APPS = ("app", "app_server", "app.2")

_ODD = 0.025
"""How often a value is an odd one, where there are good ones."""
_IMAGES: Sequence[Any] = ("nvflare-job:latest", "registry.example.com/team/job:1", None)
_ODD_IMAGES: Sequence[Any] = ("", 7, "JOB:1", "0123456789ab", ["nvflare-job:latest"], "-job")
_GPUS: Sequence[Any] = (0, 1, 2)
_ODD_GPUS: Sequence[Any] = (None, "1", 1.0, True, -1, 99, [], {})
_CPUS: Sequence[Any] = (1, 2, 8)
_ODD_CPUS: Sequence[Any] = (None, 0, 0.5, 1.5, "2", True, 5000, -1)
_MEMORY: Sequence[Any] = ("512Mi", "8Gi", "64Mi", "1Ti")
_ODD_MEMORY: Sequence[Any] = (
    None,
    0,
    1 << 30,
    "512Ki",
    "1Mi",
    "8G",
    "8gb",
    "1.5Gi",
    "0Mi",
    "08Gi",
    "999999Ti",
    True,
    "900Ti",
)
_GPU_MEMORY: Sequence[Any] = (0, 8, 16.5)
_ODD_GPU_MEMORY: Sequence[Any] = (None, "8", -1, True, 200)
_SHM: Sequence[Any] = ("8g", "8G", "8gb", "512MB", "1.5g", "1024b", "64m", 1 << 26)
_ODD_SHM: Sequence[Any] = (None, 0, "0", "64Mi", "2t", "1024", "", "g", "1,5g", -1, True, 1.5, "9" * 20, "1g\n", [])
_PYTHON: Sequence[Any] = ("/opt/venv/bin/python3",)
_ODD_PYTHON: Sequence[Any] = (None, "/usr/bin/python3", "", " ", 7, ["python3"])
_ENTRY: Sequence[Any] = (["/opt/entry.sh"], "/opt/entry.sh")
_ODD_ENTRY: Sequence[Any] = (None, ["/bin/sh", "-c"], "", [], [" "], 7, {}, "'/opt/entry.sh")
_OPTIONS: Mapping[str, Any] = {
    "ipc_mode": "host",
    "mem_limit": "8g",
    "nano_cpus": 1,
    "device_requests": [],
    "env": {"NCCL_DEBUG": "INFO"},
    "network": "host",
    "user": "0:0",
    "volumes": ["/:/host"],
    "IMAGE": "x",
    "privileged": True,
}
_CUSTOM: Mapping[str, Any] = {"gpu": 1, "gpu_type": "a100", "licences": {"x": 2}, "num_gpus": 1, "study_disk": None}
_OF_LAUNCHERS: Mapping[str, Any] = {"image": "job:1", "shm_size": "8g", "privileged": True}
_MIN_CLIENTS: Sequence[Any] = (1, 1, 2, 3)
_ODD_MIN_CLIENTS: Sequence[Any] = (
    "1",
    "2",
    1.0,
    2.0,
    None,
    1.9,
    " 1",
    "1.0",
    "one",
    True,
    False,
    0,
    -1,
    4,
    1 << 21,
    [],
    {},
    "",
)
_MANDATORY: Sequence[Any] = ([], [SITE], list(SITES[:2]))
_ODD_MANDATORY: Sequence[Any] = (None, ["site-9"], ["server"], SITE, "", {}, {SITE: 1}, [5], [["site-1"]], 0, False)
_ODD_SITES: Sequence[Any] = ("site 1", "_site", "site-9", "site.example.org", "@all", 5, None, ["site-1"])
_ODD_APPS: Sequence[Any] = ("../app", "my app", "a" * 140, "_app", "")
_NOTHINGS: Sequence[Any] = (None, [], "", 0, False, "x", [1])


@dataclass(frozen=True)
class MadeUp:
    """Metadata as they are submitted."""

    file: str
    """``meta.json`` or ``meta.conf``."""
    text: str


def made_up(seed: int, count: int) -> Iterator[MadeUp]:
    """Yield metadata, one in sixty as HOCON, which takes long to be read; the same ones for the same seed."""
    maker = Maker(random.Random(seed))
    for number in range(count):
        yield maker.as_hocon() if number % 60 == 0 else maker.as_json()


class Maker:
    """Makes metadata up."""

    def __init__(self, chance: random.Random) -> None:
        self._chance = chance

    def as_json(self) -> MadeUp:
        text = json.dumps(self.meta())
        return MadeUp("meta.json", self._spoilt_json(text) if self._now_and_then(0.01) else text)

    def as_hocon(self) -> MadeUp:
        text = "\n".join(f"{_bare(key)} {self._pick('=:')} {self._hocon(value)}" for key, value in self.meta().items())
        return MadeUp("meta.conf", self._spoilt_hocon(text) if self._now_and_then(0.5) else text)

    def meta(self) -> dict[str, Any]:
        meta: dict[str, Any] = {"name": "made-up", "deploy_map": self._deploy_map()}
        self._maybe(meta, 0.8, "min_clients", self._one(_MIN_CLIENTS, _ODD_MIN_CLIENTS, 0.1))
        self._maybe(meta, 0.3, "mandatory_clients", self._one(_MANDATORY, _ODD_MANDATORY, 0.12))
        self._maybe(meta, 0.7, "resource_spec", self._resource_spec())
        self._maybe(meta, 0.6, "launcher_spec", self._launcher_spec())
        self._maybe(meta, 0.1, "custom_props", {"any": ["thing"]})
        return meta

    # --- deploy_map ---

    def _deploy_map(self) -> Any:
        if self._now_and_then(_ODD / 2):
            return self._pick(({}, *_NOTHINGS))
        if self._now_and_then(0.4):
            return {self._app("app"): self._sites(["@ALL"])}
        if self._now_and_then(0.5):
            return {self._app("app"): self._sites(["server", *self._some_sites()])}
        beside = [SITE] if self._now_and_then(0.03) else []
        return {
            self._app("app_server"): self._sites(["server", *beside]),
            self._app("app.2"): self._sites(self._some_sites()),
        }

    def _app(self, name: str) -> str:
        return str(self._pick(_ODD_APPS)) if self._now_and_then(0.02) else name

    def _some_sites(self) -> list[Any]:
        sites: list[Any] = list(SITES[: self._chance.randint(1, 3)])
        if self._now_and_then(0.05):
            sites.append(self._pick((*_ODD_SITES, "@ALL", SITE)))
        return sites

    def _sites(self, names: list[Any]) -> Any:
        """Return an app's sites, in one of the ways in which they may be said."""
        if self._now_and_then(0.02):
            return self._pick((None, 5, "site-1", {}, {"site": names}, [[SITE]], [{}], {"sites": [{"sites": names}]}))
        if self._now_and_then(0.1):
            return self._entry(names)
        cut = self._chance.randint(0, len(names))
        return [*names[:cut], *([self._entry(names[cut:])] if cut < len(names) else [])]

    def _entry(self, names: list[Any]) -> dict[str, Any]:
        entry: dict[str, Any] = {self._pick(("sites", "targets")): names}
        self._maybe(entry, 0.12, "image", self._one(_IMAGES, _ODD_IMAGES))
        self._maybe(entry, 0.05, "sites", self._pick((names, None, SITE, [SITE])))
        self._maybe(entry, 0.02, "apps", ["app"])
        return entry

    # --- resource_spec ---

    def _resource_spec(self) -> Any:
        if self._now_and_then(0.05):
            return self._pick(_NOTHINGS)
        spec: dict[str, Any] = {}
        self._maybe(spec, 0.3, "@default", self._portable())
        self._maybe(spec, 0.8, SITE, self._sites_resources())
        self._maybe(spec, 0.3, SITES[1], self._sites_resources())
        self._maybe(spec, 0.03, self._pick(("default", "@ALL")), self._portable())
        return spec

    def _sites_resources(self) -> Any:
        if self._now_and_then(_ODD):
            return self._pick(_NOTHINGS)
        spec: dict[str, Any] = self._resources() if self._now_and_then(0.7) else {}
        if self._now_and_then(0.35):
            self._maybe(spec, 0.5, "docker", self._docker())
            self._maybe(spec, 0.5, "process", self._resources())
            self._maybe(spec, 0.2, "k8s", self._others())
            self._maybe(spec, 0.2, "slurm", self._others())
        self._maybe(spec, 0.02, "Docker", self._docker())
        return spec

    def _portable(self) -> Any:
        if self._now_and_then(_ODD):
            return self._pick((*_NOTHINGS, {"num_gpus": 1}, {"mem_per_gpu_in_GiB": 8}, {"shm_size": "8g"}))
        spec: dict[str, Any] = {}
        self._maybe(spec, 0.5, "num_of_gpus", self._one(_GPUS, _ODD_GPUS))
        self._maybe(spec, 0.5, "num_of_cpus", self._one(_CPUS, _ODD_CPUS))
        self._maybe(spec, 0.5, "memory", self._one(_MEMORY, _ODD_MEMORY))
        return spec

    def _resources(self) -> dict[str, Any]:
        spec: dict[str, Any] = {}
        self._maybe(spec, 0.4, "num_of_gpus", self._one(_GPUS, _ODD_GPUS))
        self._maybe(spec, 0.3, "num_of_cpus", self._one(_CPUS, _ODD_CPUS))
        self._maybe(spec, 0.3, "memory", self._one(_MEMORY, _ODD_MEMORY))
        self._maybe(spec, 0.2, "mem_per_gpu_in_GiB", self._one(_GPU_MEMORY, _ODD_GPU_MEMORY))
        for keys, often in ((_CUSTOM, 0.1), (_OF_LAUNCHERS, 0.01)):
            key = self._pick(tuple(keys))
            self._maybe(spec, often, key, keys[key])
        return spec

    # --- launcher_spec ---

    def _launcher_spec(self) -> Any:
        if self._now_and_then(_ODD):
            return self._pick(_NOTHINGS)
        spec: dict[str, Any] = {}
        self._maybe(spec, 0.5, "default", self._kinds())
        self._maybe(spec, 0.6, SITE, self._kinds())
        self._maybe(spec, 0.2, SITES[1], self._kinds())
        self._maybe(spec, 0.03, self._pick(("@default", "defaults", "@ALL")), self._kinds())
        return spec

    def _kinds(self) -> Any:
        if self._now_and_then(0.03):
            return self._pick(_NOTHINGS)
        spec: dict[str, Any] = {}
        self._maybe(spec, 0.8, "docker", self._docker())
        self._maybe(spec, 0.1, self._pick(("process", "k8s", "slurm")), self._others())
        self._maybe(spec, 0.02, self._pick(("Docker", "podman")), self._docker())
        return spec

    def _docker(self) -> Any:
        if self._now_and_then(0.02):
            return self._pick(_NOTHINGS)
        spec: dict[str, Any] = {}
        self._maybe(spec, 0.6, "image", self._one(_IMAGES, _ODD_IMAGES))
        self._maybe(spec, 0.2, "num_of_gpus", self._one(_GPUS, _ODD_GPUS))
        self._maybe(spec, 0.4, "shm_size", self._one(_SHM, _ODD_SHM, 0.1))
        self._maybe(spec, 0.2, "python_path", self._one(_PYTHON, _ODD_PYTHON, 0.12))
        self._maybe(spec, 0.2, "entrypoint", self._one(_ENTRY, _ODD_ENTRY, 0.12))
        key = self._pick(tuple(_OPTIONS))
        self._maybe(spec, 0.04, key, self._pick((_OPTIONS[key], None)) if self._now_and_then(0.2) else _OPTIONS[key])
        return spec

    def _others(self) -> Any:
        known = {"num_of_gpus": self._pick(_GPUS), "memory": "4Gi", "cpu": "2", "nodes": 1, "gpus_per_node": 1}
        return self._pick((None, {}, known, {"image": "other:1"}, {"num_of_gpus": self._pick(_GPUS)}, {"cpu": 2}))

    # --- texts ---

    def _spoilt_json(self, text: str) -> str:
        return str(
            self._pick(
                (
                    text[:-1] + ', "name": "twice"}',
                    text[:-1] + ', "custom_props": NaN}',
                    text[:-1] + ",}",
                    "// a comment\n" + text,
                    f"[{text}]",
                    "\ufeff" + text,
                    text[:-1] + ', "custom_props": "a\\u0000b"}',
                )
            )
        )

    def _spoilt_hocon(self, text: str) -> str:
        return text + str(
            self._pick(
                (
                    "\n# a comment\n// another",
                    "\nname = again",
                    '\ninclude "other.conf"',
                    "\ncustom_props = ${name}",
                    "\ncustom_props = ${?NO_SUCH_VARIABLE}",
                    "\ncustom_props = 10 seconds",
                    '\ncustom_props = """three\nlines"""',
                    "\nlauncher_spec.default.docker.image = nvflare-job:latest",
                    '\nresource_spec."@default".num_of_cpus = 2',
                    "\nresource_spec { site-1 { num_of_cpus = 4 } }",
                    "\nname = [",
                    "\nmandatory_clients += site-1",
                )
            )
        )

    def _hocon(self, value: Any) -> str:
        """Return a value as people write it in HOCON, or as JSON, which HOCON is, too."""
        if isinstance(value, dict) and self._now_and_then(0.7):
            return "{" + "\n".join(f"{_bare(key)} = {self._hocon(item)}" for key, item in value.items()) + "}"
        if isinstance(value, list) and self._now_and_then(0.7):
            return "[" + ", ".join(map(self._hocon, value)) + "]"
        if isinstance(value, str) and value.replace("-", "").isalnum() and self._now_and_then(0.5):
            return value
        return json.dumps(value)

    # --- chances ---

    def _maybe(self, spec: dict[str, Any], often: float, key: str, value: Any) -> None:
        if self._now_and_then(often):
            spec[key] = value

    def _one(self, good: Sequence[Any], odd: Sequence[Any], often: float = _ODD) -> Any:
        return self._pick(odd if self._now_and_then(often) else good)

    def _now_and_then(self, often: float) -> bool:
        return self._chance.random() < often

    @property
    def _pick(self) -> Callable[[Sequence[Any]], Any]:
        return self._chance.choice


def _bare(key: str) -> str:
    return key if key.replace("-", "").replace("_", "").isalnum() else json.dumps(key)
