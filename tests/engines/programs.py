"""The engines that flcore is tried on: whose programs they are, and how each is started."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from .roots import USER, Root

_BASE = ("base-files", "iptables", "ca-certificates", "nftables", "procps", "util-linux", "mount")
_DOCKER = ("docker.io", *_BASE)
_ROOTLESS = (
    "rootlesskit",
    "iproute2",
    "slirp4netns",
    "uidmap",
    "fuse-overlayfs",
    "dbus-user-session",
    "coreutils",
    "dash",
    "grep",
)
_PODMAN = ("podman", "crun", "netavark", "aardvark-dns", "catatonit", "golang-github-containers-common", "passt")
OLDER = Root("bookworm", (*_BASE, *_PODMAN, *_ROOTLESS))
STABLE = Root("trixie", _DOCKER)
NEWEST = Root("sid", (*_DOCKER, *_ROOTLESS, *_PODMAN))


@dataclass(frozen=True)
class Program:
    """An engine that can be started."""

    name: str
    command: Callable[[Path], list[str]]
    """From the folder that has its socket and all else of it, to how it is called."""
    daemon: str = "dockerd"
    """The name of the process whose network its containers are in."""
    root: Root | None = None
    """Where its programs are; None: on this machine."""
    user: int = 0
    """The uid that runs it, and whoever asks it."""
    environment: Mapping[str, str] = field(default_factory=dict)
    settings: Mapping[str, object] = field(default_factory=dict)
    """What stands in its daemon.json."""
    files: Mapping[str, str] = field(default_factory=dict)
    """What it reads beside that, by the names of the files."""
    gpu: str = ""
    """The UUID of a GPU that it is told it has, by a CDI spec; in truth, a device of networks that does no harm."""
    outlived_by_jobs: bool = True
    """Whether ``live-restore`` holds. Of a rootless Docker it does not, whatever its ``info()`` says.

    The sockets by which containerd holds containers are in mounts that end with the daemon's namespaces: the next one
    cannot reach what has outlived the last, and kills it.
    """
    events_as_of_29: bool = False
    """Whether a proxy strips its events of what Docker 29 leaves out, as long as no 29 can be had."""

    @property
    def cdi_spec(self) -> str:
        device = {"name": self.gpu, "containerEdits": {"deviceNodes": [{"path": "/dev/net/tun"}]}}
        return json.dumps({"cdiVersion": "0.6.0", "kind": "nvidia.com/gpu", "devices": [device]})

    @property
    def forgets_while_away(self) -> bool:
        """Whether, once killed, it does not ask how what outlived it has ended meanwhile: then it says 255 of each.

        26.1 and 28.5 do so, of 4 ends in 20; 20.10 asks.
        """
        return self.root is not None and not self.is_podman

    @property
    def is_podman(self) -> bool:
        return self.daemon == "podman"

    def write_settings(self, folder: Path) -> None:
        for name, text in {"daemon.json": json.dumps(dict(self.settings)), **self.files}.items():
            (folder / name).write_text(text)


def _dockerd(folder: Path) -> list[str]:
    files = [f"--data-root={folder}/data", f"--exec-root={folder}/exec", f"--pidfile={folder}/docker.pid"]
    config = f"--config-file={folder}/daemon.json"
    return ["dockerd", f"--host=unix://{folder}/docker.sock", config, *files, "--log-level=warn"]


def _without_bridge(folder: Path) -> list[str]:
    return [*_dockerd(folder), "--bridge=none"]


def _rootless(folder: Path) -> list[str]:
    script = "/usr/share/docker.io/contrib/dockerd-rootless.sh"
    return [*_as_user(folder), script, *_dockerd(folder)[1:]]


def _podman(folder: Path) -> list[str]:
    places = [f"--root={folder}/data", f"--runroot={folder}/run"]
    ways = ["--cgroup-manager=cgroupfs", "--events-backend=file"]
    names = {"CONTAINERS_CONF": "containers.conf", "CONTAINERS_REGISTRIES_CONF": "registries.conf"}
    files = [f"{variable}={folder}/{name}" for variable, name in names.items()]
    return ["env", *files, "podman", *places, *ways, "system", "service", "--time=0", f"unix://{folder}/docker.sock"]


def _rootless_podman(folder: Path) -> list[str]:
    return [*_as_user(folder), *_podman(folder)]


def _as_user(folder: Path) -> list[str]:
    identity = ["setpriv", f"--reuid={USER}", f"--regid={USER}", "--clear-groups"]
    return [*identity, "env", f"HOME={folder}/home", f"XDG_RUNTIME_DIR={folder}/run", "USER=flcore"]


_CONTAINERD_STORE: Mapping[str, object] = {"features": {"containerd-snapshotter": True}}
# Unlike Docker, it asks registries of this host by TLS only; and a build is given more files than this user may open.
_PODMANS_FILES = {
    "registries.conf": '[[registry]]\nlocation = "127.0.0.1"\ninsecure = true\n',
    "containers.conf": '[containers]\ndefault_ulimits = ["nofile=1024:1024", "nproc=4096:4096"]\n',
}
_GPU = "GPU-00000000-0000-0000-0000-000000000000"
_OLD_CGROUPS = {"PODMAN_IGNORE_CGROUPSV1_WARNING": "1"}

MACHINE = Program("machine", _without_bridge)
PROGRAMS = (
    MACHINE,
    Program("26.1", _dockerd, root=STABLE),
    Program("28.5", _dockerd, root=NEWEST),
    Program(
        "28.5-containerd",
        _dockerd,
        root=NEWEST,
        settings=_CONTAINERD_STORE,
        environment={"DOCKER_MIN_API_VERSION": "1.44"},
    ),
    Program(
        "as-29",
        _dockerd,
        root=NEWEST,
        settings=_CONTAINERD_STORE,
        environment={"DOCKER_MIN_API_VERSION": "1.44"},
        events_as_of_29=True,
    ),
    Program("rootless", _rootless, root=NEWEST, user=USER, outlived_by_jobs=False),
    Program("userns-remap", _dockerd, root=NEWEST, settings={"userns-remap": "default"}),
    Program("podman", _podman, "podman", root=NEWEST, environment=_OLD_CGROUPS, files=_PODMANS_FILES, gpu=_GPU),
    Program(
        "podman-rootless",
        _rootless_podman,
        "podman",
        root=NEWEST,
        user=USER,
        environment=_OLD_CGROUPS,
        files=_PODMANS_FILES,
        gpu=_GPU,
    ),
    Program("podman-4", _podman, "podman", root=OLDER, environment=_OLD_CGROUPS, files=_PODMANS_FILES, gpu=_GPU),
    Program(
        "podman-4-rootless",
        _rootless_podman,
        "podman",
        root=OLDER,
        user=USER,
        environment=_OLD_CGROUPS,
        files=_PODMANS_FILES,
        gpu=_GPU,
    ),
)
