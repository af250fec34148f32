"""systemd as the first process of namespaces of its own: it starts, kills and confines units as on a host that it runs.

It sees this machine's files, but for units, users, and what is in /run: there it has only what it is given. It ends,
with all that it has started, when whoever made it does. Containers are the engine's, and none of its business.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.engines.engine import child_of, until
from tests.engines.visit import OPENS_FOLDERS, closed_folders
from tests.environments import ROOT

SYSTEMD = Path("/usr/lib/systemd/systemd")
_BOOT_TIMEOUT = 30.0
USER = 61234
"""The number of the user flcore, in there."""
_HIERARCHIES = Path("/sys/fs/cgroup")
_KINDS = ("systemd", "unified", "devices", "pids")
"""Of the hierarchies that a machine with version 1 has, those of which systemd needs its own part."""
_TARGETS = ("sysinit", "basic", "shutdown", "multi-user", "network-online")
_ENTER = """
while [[ $1 != -- ]]; do mkdir "$1"; echo $$ >"$1/cgroup.procs"; shift; done
shift
exec "$@"
"""
# The hierarchies are mounted anew, so that what is on top of them is our own group. What units want to see of a host is
# laid over what this machine has.
_BOOT = (
    OPENS_FOLDERS
    + """
units=$1 users=$2 layers=$3 socket=$4; shift 4
while [[ $1 != -- ]]; do
    layer=$layers/${1//\\//-}
    mkdir "$layer"
    mount -t tmpfs none "$layer"
    mkdir "$layer/over" "$layer/work"
    mount -t overlay -o "lowerdir=$1,upperdir=$layer/over,workdir=$layer/work" none "$1"
    shift
done
shift
while [[ $1 != -- ]]; do open_folders "$1"; shift; done
shift
if [[ -e /sys/fs/cgroup/cgroup.controllers ]]; then
    umount /sys/fs/cgroup; mount -t cgroup2 none /sys/fs/cgroup
else
    mount -t tmpfs -o mode=755 none /sys/fs/cgroup
    for kind; do
        mkdir "/sys/fs/cgroup/$kind"
        case $kind in
        unified) mount -t cgroup2 none /sys/fs/cgroup/unified ;;
        systemd) mount -t cgroup -o none,name=systemd none /sys/fs/cgroup/systemd ;;
        *) mount -t cgroup -o "$kind" none "/sys/fs/cgroup/$kind" ;;
        esac
    done
fi
mount -t tmpfs -o mode=755 none /run
mkdir /run/lock
mount --bind "$units" /usr/lib/systemd/system
mount -t tmpfs -o mode=755 none /etc/systemd/system
if [[ -e $users/passwd ]]; then
    for file in passwd group; do mount --bind "$users/$file" "/etc/$file"; done
fi
if [[ $socket ]]; then
    touch /run/docker.sock
    mount --bind "$socket" /run/docker.sock
fi
mount --make-rshared /
export container=flcore-test
exec /usr/lib/systemd/systemd --system --unit=multi-user.target --log-level=notice --log-target=console
"""
)


def why_none() -> str | None:
    """Say why there can be none here; None if there can."""
    if os.geteuid() != 0:
        return "only root can start a systemd in namespaces of its own"
    return None if SYSTEMD.exists() else "systemd is not installed; 'make test-deploy' does it"


class Machine:
    """A systemd that runs these units, from ``__enter__`` to ``__exit__``.

    Args:
        folder: for its own files.
        units: ``name -> text``.
        own: folders of this machine that are its own as far as it changes them. Where none is, it has the users root,
            nobody and ``flcore``, and no others.
        socket: of an engine, for the place where that of a host is.
    """

    def __init__(
        self, folder: Path, units: Mapping[str, str], own: Sequence[str] = (), socket: Path | None = None
    ) -> None:
        self._folder = folder
        self._own = own
        self._socket = socket
        self._groups = _own_groups(f"flcore-{os.getpid()}-{folder.name}")
        self._log = folder / "systemd.log"
        self._process: subprocess.Popen[bytes] | None = None
        for name in ("units", "users", "layers"):
            (folder / name).mkdir()
        bare = "[Unit]\nDefaultDependencies=no\n"
        for name, text in {**{f"{target}.target": bare for target in _TARGETS}, **units}.items():
            (folder / "units" / name).write_text(text)
        if not own:
            self._write_users()

    def run(self, script: str, **environment: str) -> str:
        """Return what a shell in there prints for a script. Raises AssertionError if it fails."""
        command = self._inside("bash", "-euxc", script)
        done = subprocess.run(command, env=environment, cwd=self._folder, capture_output=True, text=True, check=False)
        assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
        return done.stdout

    def systemctl(self, *words: str) -> str:
        """Return what it prints. Raises AssertionError if it fails."""
        done = subprocess.run(self._inside("systemctl", *words), capture_output=True, text=True, check=False)
        assert done.returncode == 0, f"{done.stderr}\n{self._log.read_text(errors='replace')[-3000:]}"
        return done.stdout

    def show(self, unit: str, what: str) -> str:
        """Return a property of a unit, which systemd knows of any."""
        return self.systemctl("show", "--value", f"--property={what}", unit).strip()

    def __enter__(self) -> Self:
        spaces = ["--pid", "--mount", "--uts", "--ipc", "--cgroup", "--fork", "--kill-child", "--mount-proc"]
        places = [*(str(self._folder / name) for name in ("units", "users", "layers")), str(self._socket or "")]
        closed = closed_folders(Path(sys.base_prefix), ROOT)
        kinds = [group.parent.name for group in self._groups]
        boot = [
            "unshare",
            *spaces,
            "--propagation=slave",
            "--",
            "bash",
            "-ec",
            _BOOT,
            "bash",
            *places,
            *self._own,
            "--",
            *closed,
            "--",
            *kinds,
        ]
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                ["bash", "-ec", _ENTER, "bash", *map(str, self._groups), "--", *boot],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        try:
            until(self._is_up, _BOOT_TIMEOUT, "systemd")
        except TimeoutError as error:
            self.close()
            raise AssertionError(f"{error}: {self._log.read_text(errors='replace')[-3000:]}") from error
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """End it, with all that it has started. Idempotent."""
        if self._process:
            self._process.kill()  # its child, the first process in there, is killed with it
            self._process.wait()
        for group in self._groups:
            with suppress(FileNotFoundError, TimeoutError):
                until(lambda group=group: _removed(group), _BOOT_TIMEOUT, f"{group} is empty")  # type: ignore[misc]

    def _inside(self, *command: str) -> list[str]:
        assert self._process
        kinds = ("--pid", "--mount", "--uts", "--ipc", "--cgroup")
        return ["nsenter", f"--target={child_of(self._process)}", *kinds, "--", *command]

    def _is_up(self) -> bool:
        assert self._process
        if self._process.poll() is not None or not child_of(self._process):
            return False
        command = self._inside("systemctl", "is-system-running")
        said = subprocess.run(command, capture_output=True, text=True, check=False).stdout
        return said.strip() in ("running", "degraded")

    def _write_users(self) -> None:
        home = f"{self._folder}:/bin/sh"
        passwd = f"root:x:0:0:root:/root:/bin/sh\nflcore:x:{USER}:{USER}::{home}\nnobody:x:65534:65534::/:/bin/sh\n"
        (self._folder / "users/passwd").write_text(passwd)
        (self._folder / "users/group").write_text(f"root:x:0:\nflcore:x:{USER}:\n")


def _own_groups(name: str) -> list[Path]:
    """Return a control group for it in each hierarchy that there is."""
    if (_HIERARCHIES / "cgroup.controllers").exists():
        return [_HIERARCHIES / name]
    return [_HIERARCHIES / kind / name for kind in _KINDS]


def _removed(group: Path) -> bool:
    """Remove a control group and those below it; False while there is a process in one."""
    for folder, _, _ in os.walk(group, topdown=False):
        try:
            Path(folder).rmdir()
        except OSError:
            return False
    return True
