"""Root file systems of other Debian releases, for engines that this machine does not have. Kept between runs.

One that no run has asked for in a month, as of a list of packages that has changed since, is removed by the next run.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

CACHE = Path("/var/cache/flcore-engines")
USER = 20000
"""The uid of the user ``flcore`` in each of them, to whom a rootless engine belongs."""
SUB_IDS = 65536

_UNFINISHED = ".unfinished"
_MOST_UNUSED = 30 * 86400.0
"""Seconds."""
_MIRROR = "http://deb.debian.org/debian"
_USERS = {"root": 0, "nobody": 65534, "flcore": USER, "dockremap": USER + 1}
"""The package's scripts, which would make some of these, do not run."""
_FIRST_SUB_ID = {"flcore": 200_000, "dockremap": 300_000}
_APT = ("apt-get", "-qq", "-y", "-o", "DPkg::Lock::Timeout=120")


class RootError(Exception):
    """A root file system cannot be made, and why."""


@dataclass(frozen=True)
class Root:
    """The packages of one release."""

    suite: str
    packages: tuple[str, ...]

    @property
    def path(self) -> Path:
        digest = hashlib.sha256(" ".join((self.suite, *self.packages)).encode()).hexdigest()
        return CACHE / f"{self.suite}-{digest[:8]}"

    def make(self) -> None:
        """Make it where it is missing: seconds, as root, from a mirror of packages. Raises RootError."""
        CACHE.mkdir(parents=True, exist_ok=True)
        with (CACHE / "lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)  # another run may be making it
            if not self.path.exists():
                self._make()
            os.utime(self.path)
            remove_unused()

    def _make(self) -> None:
        began = time.monotonic()
        if not shutil.which("mmdebstrap"):
            _install("mmdebstrap")
        unfinished = self.path.with_suffix(_UNFINISHED)
        shutil.rmtree(unfinished, ignore_errors=True)
        self._unpack(unfinished)
        _complete(unfinished)
        unfinished.rename(self.path)
        size = _output("du", "-sm", str(self.path)).split()[0]
        print(f"made {self.path}: {size} MB in {time.monotonic() - began:.0f} s", file=sys.stderr, flush=True)

    def _unpack(self, path: Path) -> None:
        options = ("APT::Install-Recommends=false", "Acquire::Check-Valid-Until=false")
        apt = [f'--aptopt={name} "{value}"' for name, _, value in (option.partition("=") for option in options)]
        source = f"deb {mirror()} {self.suite} main"
        packages = f"--include={','.join(self.packages)}"
        _output("mmdebstrap", "--quiet", "--variant=extract", packages, *apt, self.suite, str(path), source)


def remove_unused() -> None:
    """Remove what no run has asked for in a long time, and what one that was killed has begun to make.

    Other checkouts may have other recipes and the same cache, so that a root without a recipe is not yet a useless one.
    """
    for root in CACHE.glob("*-*"):
        if root.suffix == _UNFINISHED or time.time() - root.stat().st_mtime > _MOST_UNUSED:
            shutil.rmtree(root, ignore_errors=True)
            print(f"removed {root}, which no run has used for long, or made to its end", file=sys.stderr)


def _complete(path: Path) -> None:
    """Add what the packages' own scripts would."""
    for name in ("bin", "sbin", "lib", "lib64"):
        if not (path / name).exists():
            (path / name).symlink_to(f"usr/{name}")
    for kind in ("", "-save", "-restore"):
        for family in ("iptables", "ip6tables"):
            link = path / f"usr/sbin/{family}{kind}"
            link.unlink(missing_ok=True)
            link.symlink_to(f"{family}-nft{kind}")
    for name in ("proc", "sys", "dev", "tmp", "run", "var/tmp", "etc"):
        (path / name).mkdir(parents=True, exist_ok=True)
    lines = [f"{name}:x:{uid}:{uid}::/tmp:/bin/sh\n" for name, uid in _USERS.items()]
    (path / "etc/passwd").write_text("".join(lines))
    (path / "etc/group").write_text("".join(f"{name}:x:{uid}:\n" for name, uid in _USERS.items()))
    (path / "etc/hosts").write_text("127.0.0.1 localhost\n")
    (path / "etc/resolv.conf").touch()
    for name in ("subuid", "subgid"):
        (path / "etc" / name).write_text("".join(f"{who}:{first}:{SUB_IDS}\n" for who, first in _FIRST_SUB_ID.items()))


def mirror() -> str:
    """Return what this machine has its own packages of Debian from, if it is one."""
    listed = _output("apt-get", "indextargets", "--format", "$(ORIGIN) $(LABEL) $(SITE)", "Created-By: Packages")
    sites = [line.split() for line in listed.splitlines()]
    return next((words[2] for words in sites if words[:2] == ["Debian", "Debian"]), _MIRROR)


def _install(package: str) -> None:
    try:
        _output(*_APT, "install", "--no-install-recommends", package)
    except RootError:
        _output(*_APT, "update")
        _output(*_APT, "install", "--no-install-recommends", package)


def _output(*command: str) -> str:
    done = subprocess.run(command, capture_output=True, text=True, stdin=subprocess.DEVNULL, check=False)
    if done.returncode:
        raise RootError(f"{' '.join(command)}: {' | '.join(done.stderr.splitlines()[-5:])}")
    return done.stdout
