"""Where a job's home is, and what its user is called: libraries ask for both, and few images know either. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import PurePosixPath
from typing import Any

from flcore.config.argument_rules import ABSOLUTE_PATH
from flcore.config.rules import Schema, rule

from ..container_spec import Isolation, Mount

IN_MEMORY = "/tmp"  # noqa: S108 - of the container
OWN_FOLDER = "."
"""A job's working directory, which is on the site's disk, and stays."""
HOME, USER, LOGNAME = VARIABLES = ("HOME", "USER", "LOGNAME")

_PATH = re.compile(r"/[^:\x00-\x1f\x7f]*")
_HOME: Schema = {"anyOf": [{"const": OWN_FOLDER}, ABSOLUTE_PATH, {"type": "null"}]}
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_-]{0,31}", re.ASCII)
_WELL_KNOWN = {0: "root", 65534: "nobody"}
"""By uid, what most images call a user."""
_NAMELESS = "job"
_MOST_DIGITS = 16
"""Of a uid; an image may have more, and nobody is to count them."""


@rule(_HOME)
def home(key: str, value: Any, env: Mapping[str, str], isolation: Isolation, mounts: Sequence[Mount]) -> str:
    """Return where jobs have their home: a path in their containers, or ``OWN_FOLDER``; None is the better of these.

    Raises ValueError naming the key and the value.
    """
    if value is None:
        return IN_MEMORY if _can_be_written(IN_MEMORY, isolation, mounts) else OWN_FOLDER
    if value != OWN_FOLDER and not (isinstance(value, str) and _PATH.fullmatch(value)):
        raise ValueError(
            f"{key} must be an absolute path in a job's container, or '.', the job's own folder, got {value!r}"
        )
    if value != OWN_FOLDER and not _can_be_written(value, isolation, mounts):
        ways = (
            f"""add it to 'tmpfs', as {{"{value}": "1Gi"}}, mount a folder there, or take '.', the job's own folder"""
        )
        raise ValueError(f"{key}: no job can write to {value!r}: {ways}")
    if HOME in env:
        raise ValueError(f"{key}: 'env' sets {HOME}, too")
    return str(value)


def _can_be_written(path: str, isolation: Isolation, mounts: Sequence[Mount]) -> bool:
    """Whether a job can write to a path, as far as a site's config tells."""
    place = PurePosixPath(path)
    in_memory = map(PurePosixPath, isolation.tmpfs)  # what is below these is not there
    mounted = any(place.is_relative_to(mount.target) for mount in mounts if not mount.read_only)
    return not isolation.read_only or place in in_memory or mounted


def variables(user: str, home: str, folder: str) -> dict[str, str]:
    """Return what a job is told of its home and its user (``uid:gid``); ``folder``: its own."""
    name = _name_of(user)
    return {HOME: folder if home == OWN_FOLDER else home, USER: name, LOGNAME: name}


def _name_of(user: str) -> str:
    uid = user.partition(":")[0]
    return _WELL_KNOWN.get(int(uid), _NAMELESS) if uid.isdecimal() else _NAMELESS


def knows(passwd: bytes, user: str) -> bool:
    """Whether an image's ``/etc/passwd`` has an entry of a user's uid."""
    uid = int(user.partition(":")[0])
    numbers = (b"".join(line.split(b":")[2:3]) for line in passwd.splitlines())
    return any(number.isdigit() and len(number) < _MOST_DIGITS and int(number) == uid for number in numbers)


def passwd_with(passwd: bytes, user: str, environment: Mapping[str, str]) -> bytes:
    """Return an ``/etc/passwd`` with an entry of a user, too, who is called as its variables say."""
    uid, _, gid = user.partition(":")
    name, home = environment.get(USER, ""), environment.get(HOME, "")
    name = name if _NAME.fullmatch(name) else _name_of(user)
    home = home if _PATH.fullmatch(home) else "/"
    between = b"" if passwd.endswith(b"\n") or not passwd else b"\n"
    return passwd + between + f"{name}:x:{int(uid)}:{int(gid or uid)}::{home}:/bin/sh\n".encode()
