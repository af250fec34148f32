"""A job's container as the body of the Engine API's create request. Pure.

Written out here, not left to the SDK: what is sent is what is shown, and nothing comes in from the site's Docker
configuration, whose proxy settings the SDK would hand to every container.
"""

from __future__ import annotations

from typing import Any

from ..container_spec import OF_THE_USER, ContainerSpec, Isolation
from .docker_dialect import DOCKER, Dialect

VISIBLE_GPUS, NO_GPUS = "NVIDIA_VISIBLE_DEVICES", "void"
"""Which variable names a container's GPUs, and its value where it has none."""


def create_request(spec: ContainerSpec, dialect: Dialect = DOCKER) -> dict[str, Any]:
    """Return the body of ``POST /containers/create``: secure defaults, and what the spec says."""
    return {
        "Image": spec.image,
        "Entrypoint": list(spec.command[:1]),
        "Cmd": list(spec.command[1:]),
        "Env": [f"{name}={value}" for name, value in _environment(spec).items()],
        "WorkingDir": spec.working_dir,
        "User": spec.user,
        "Labels": spec.labels,
        "StopSignal": "SIGTERM",
        "Healthcheck": {"Test": ["NONE"]},
        "HostConfig": _host_config(spec, dialect),
    }


def _host_config(spec: ContainerSpec, dialect: Dialect) -> dict[str, Any]:
    return {
        "NetworkMode": spec.network or "none",
        "Mounts": [_mount(mount.source, mount.target, mount.read_only) for mount in spec.mounts],
        "Init": spec.init,
        "RestartPolicy": {"Name": "no"},
        "LogConfig": {"Type": "json-file", "Config": _log_options(spec)},
        **({"ExtraHosts": [f"{name}:{address}" for name, address in spec.hosts.items()]} if spec.hosts else {}),
        **_isolation(spec.isolation, spec.user, dialect),
        **_resources(spec),
        **_device_requests(spec, dialect),
    }


def _isolation(isolation: Isolation, user: str, dialect: Dialect) -> dict[str, Any]:
    """Return how the container is shut in. What is only ever opened on a site's wish is not said where it is shut."""
    uid, _, gid = user.partition(":")
    owner = f"uid={uid},gid={gid or uid}"
    opened = {
        "CapAdd": list(isolation.cap_add),
        "Privileged": isolation.privileged,
        "PidMode": isolation.pid_mode,
        "IpcMode": isolation.ipc_mode,
        "CgroupParent": isolation.cgroup_parent,
    }
    return {
        "CapDrop": ["ALL"],
        "SecurityOpt": _security_options(isolation),
        "ReadonlyRootfs": isolation.read_only,
        "Tmpfs": {
            path: dialect.tmpfs(options.replace(OF_THE_USER, owner)) for path, options in isolation.tmpfs.items()
        },
        "PidsLimit": isolation.pids_limit,
        **{key: value for key, value in opened.items() if value},
    }


def _security_options(isolation: Isolation) -> list[str]:
    """Return Docker's options; of several that say the same, the last one counts."""
    return ["no-new-privileges", *isolation.security_opt]


def _mount(source: str, target: str, read_only: bool) -> dict[str, Any]:
    return {"Type": "bind", "Source": source, "Target": target, "ReadOnly": read_only}


def _log_options(spec: ContainerSpec) -> dict[str, str]:
    return {"max-size": str(spec.log_max_size), "max-file": str(spec.log_max_files)}


def _resources(spec: ContainerSpec) -> dict[str, Any]:
    """Return the limits that the spec names. Memory and swap together may be no more than the memory."""
    limits = {
        "NanoCpus": spec.cpus and int(spec.cpus * 1e9),
        "Memory": spec.memory,
        "MemorySwap": spec.memory,
        "ShmSize": spec.shm_size,
    }
    return {key: value for key, value in limits.items() if value is not None}


def _device_requests(spec: ContainerSpec, dialect: Dialect) -> dict[str, Any]:
    return {"DeviceRequests": dialect.gpu_requests(spec.gpu_ids)} if spec.gpu_ids else {}


def _environment(spec: ContainerSpec) -> dict[str, str]:
    """Return the spec's variables, between what is for the site to allow, and what nobody has a say in.

    The NVIDIA runtime obeys this variable where it is the engine's default; images set it to ``all``.
    """
    nvidia = {VISIBLE_GPUS: ",".join(spec.gpu_ids) or NO_GPUS}
    return (OF_HOOKS if spec.gpu_ids else {}) | spec.environment | nvidia


OF_HOOKS = {
    **dict.fromkeys(
        (
            # The dynamic linker's and the C library's, all that name a file to be loaded or written.
            "LD_PRELOAD",
            "LD_AUDIT",
            "LD_LIBRARY_PATH",
            "LD_ORIGIN_PATH",
            "LD_DEBUG",
            "LD_DEBUG_OUTPUT",
            "LD_PROFILE",
            "LD_PROFILE_OUTPUT",
            "GCONV_PATH",
            "LOCPATH",
            "GLIBC_TUNABLES",
            # NVIDIA's: more than the devices that were leased, and no look whether the driver is fit for the image.
            "NVIDIA_DISABLE_REQUIRE",
            "NVIDIA_IMEX_CHANNELS",
            "NVIDIA_MIG_CONFIG_DEVICES",
            "NVIDIA_MIG_MONITOR_DEVICES",
            "NVIDIA_GDRCOPY",
            "NVIDIA_GDS",
            "NVIDIA_MOFED",
            "NVIDIA_NVSWITCH",
        ),
        "",
    ),
    "NVIDIA_DRIVER_CAPABILITIES": "compute,utility",
}
"""What an image could say to the hooks that give a container its GPUs: these run on the host, as root, old ones with
the container's environment (CVE-2025-23266). An empty value is as none; a site's ``env`` may say otherwise."""
