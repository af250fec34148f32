"""What of a host and of a kit an operator may not expect: who may ask the engine, and what jobs see, or do not."""

from __future__ import annotations

import grp
import os
import pwd
import stat
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath

from flcore.disk.os_errors import whose
from flcore.disk.presence import is_folder, is_there
from flcore.errors import JobLaunchError
from flcore.job_launcher_spec import Check

from ..container_spec import Mount
from ..flare.kit import FlareKit
from ..flare.parent_config import MTLS, RESOURCE_MANAGER, ParentConfig
from .verdicts import missing, warned, well

_SOCKET = "unix://"
_COUNTS_GPUS = "GPUResourceManager"
_OF_SERVERS = {"jobs-storage", "snapshot-storage"}


def socket_findings(address: str, kit: Path) -> Iterator[Check]:
    """Say whether the user whose the kit is may ask the engine; root checks for another, anyone else for himself."""
    path = Path(address.removeprefix(_SOCKET))
    if not address.startswith(_SOCKET) or not is_there(path):
        return
    owner = kit.stat().st_uid
    user = owner if os.geteuid() == 0 else os.geteuid()
    found = path.stat()
    if user == 0 or _may_write(found, user, _groups(user)):
        yield well("socket", f"{path} is for {whose(user)}")
    else:
        group = _group(found.st_gid)
        way_out = f"usermod -aG {group} {whose(user).removeprefix('the user ')}, and a new login"
        yield missing("socket", f"{path} is for the group {group}, in which {whose(user)} is not: {way_out}")


def key_finding(config: ParentConfig, private_key: object) -> Check:
    """Say which private key jobs will see; ``private_key`` is the launcher's argument."""
    real = "jobs see the site's own private key"
    if private_key is True:
        return warned("key", "'private_key' has jobs see the site's own private key")
    if config.listener.security == MTLS:
        way_out = "'connection_security': 'clear' there spares them that"
        return warned("key", f"{real}, as {config.listener.where} asks for mutual TLS; {way_out}")
    try:
        is_signed = FlareKit(config.layout.root).signs_its_key()
    except JobLaunchError as error:
        return missing("key", str(error))
    if is_signed:
        why = "the kit is signed, as 2.6 and 2.7 provision it, and a job's process looks"
        return warned("key", f"{real}: {why}; kits of 2.8 and later spare them that")
    if private_key:
        return warned("key", "'private_key' has the jobs that it names see the site's own private key")
    return well("key", "jobs see a decoy in place of the site's private key")


def gpu_findings(config: ParentConfig, gpu_ids: Sequence[str] | str) -> Iterator[Check]:
    """Say where the launcher has GPUs and NVIDIA FLARE's own resource manager does not, or the other way round."""
    for manager in config.components:
        if manager.id != RESOURCE_MANAGER or not manager.path.endswith(_COUNTS_GPUS):
            continue
        count, told = manager.args.get("num_of_gpus", 0), f"NVIDIA FLARE's own in {manager.where} has 'num_of_gpus': "
        way_out = f"flcore nvflare install {config.layout.root} puts flcore's in its place"
        if gpu_ids and not count:
            why = "a job that asks for GPUs is never scheduled here, though the launcher has 'gpu_ids'"
            yield warned(RESOURCE_MANAGER, f"{told}0: {why}; {way_out}")
        elif count and not gpu_ids:
            why = "jobs that ask for GPUs are scheduled here and refused, for the launcher has no 'gpu_ids'"
            yield warned(RESOURCE_MANAGER, f"{told}{count}: {why}; {way_out}")


def memory_findings(tmpfs: Mapping[str, str], mounts: Sequence[Mount], kit: Path) -> Iterator[Check]:
    """Say which data of this host jobs look for in vain, for they have a folder in memory at that path."""
    for folder in tmpfs:
        hidden = [path for path in _data_below(Path(folder)) if not _is_seen(path, mounts, kit)]
        if hidden:
            told = f"jobs have a {folder} of their own, in memory, and do not see this host's {', '.join(hidden)}"
            yield warned("data", f"{told}; what they are to see, name in 'datasets' or 'mounts'")


def _data_below(folder: Path) -> list[str]:
    """Return where NVIDIA FLARE's examples put their data."""
    try:
        below = sorted((folder / "nvflare").iterdir())
    except OSError:
        return []
    return [str(path) for path in below if is_folder(path) and path.name not in _OF_SERVERS]


def _is_seen(path: str, mounts: Sequence[Mount], kit: Path) -> bool:
    seen = [PurePosixPath(mount.target) for mount in mounts]
    is_mounted = any(PurePosixPath(path).is_relative_to(one) or one.is_relative_to(path) for one in seen)
    return is_mounted or kit.resolve().is_relative_to(path)


def _may_write(found: os.stat_result, user: int, groups: Sequence[int]) -> bool:
    if found.st_uid == user:
        return bool(found.st_mode & stat.S_IWUSR)
    return bool(found.st_mode & (stat.S_IWGRP if found.st_gid in groups else stat.S_IWOTH))


def _groups(user: int) -> Sequence[int]:
    """Return a user's groups: those that this process has, if it is its own; else those that the next login has."""
    if user == os.geteuid():
        return [os.getegid(), *os.getgroups()]
    try:
        known = pwd.getpwuid(user)
    except KeyError:
        return []
    return os.getgrouplist(known.pw_name, known.pw_gid)


def _group(gid: int) -> str:
    try:
        return grp.getgrgid(gid).gr_name
    except KeyError:
        return str(gid)
