"""Runs as a job: tries what no job may do, and writes what came of it to ``facts.json`` in its working directory."""

from __future__ import annotations

import ctypes
import json
import os
import socket
import stat
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

CLONE_NEWUSER, CLONE_NEWNS = 0x10000000, 0x00020000
SYSCALLS = {"keyctl": 250, "perf_event_open": 298, "bpf": 321, "kexec_load": 246, "init_module": 175, "reboot": 169}
"""Numbers on x86-64."""

libc = ctypes.CDLL(None, use_errno=True)


def attempt(action: Callable[[], Any]) -> str:
    """Return "done", or the reason why it was not: the name of the error."""
    try:
        action()
    except OSError as error:
        return type(error).__name__ if error.errno is None else os.strerror(error.errno)
    return "done"


def call(function: str, *args: Any) -> Callable[[], None]:
    """Return a call of the C library that raises OSError where it fails."""

    def run() -> None:
        if getattr(libc, function)(*args) == -1:
            raise OSError(ctypes.get_errno(), function)

    return run


def attempts() -> dict[str, str]:
    tries: dict[str, Callable[[], Any]] = {
        "become root": lambda: os.setuid(0),
        "take another group": lambda: os.setgroups([0]),
        "change the root": lambda: os.chroot("/tmp"),
        "mount": call("mount", b"none", b"/tmp", b"tmpfs", 0, None),
        "unmount /proc": call("umount2", b"/proc", 0),
        "make a namespace": call("unshare", CLONE_NEWNS),
        "make a user namespace": call("unshare", CLONE_NEWUSER),
        "set the host name": lambda: socket.sethostname("server"),
        "make a device": lambda: os.mknod("/tmp/disk", stat.S_IFBLK | 0o600, os.makedev(8, 0)),
        "open a raw socket": lambda: socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP),
        "open a packet socket": lambda: socket.socket(socket.AF_PACKET, socket.SOCK_RAW),
        "be nicer to itself": lambda: os.nice(-5),
        "own a file of root": lambda: os.chown("/tmp", 0, 0),
        **{f"call {name}": call("syscall", number, 0, 0, 0, 0, 0) for name, number in SYSCALLS.items()},
    }
    return {name: attempt(action) for name, action in tries.items()}


def write_to(folder: str) -> str:
    return attempt(lambda: Path(folder, "written-by-a-job").write_text("x"))


def written_settings() -> dict[str, str]:
    """Return what came of changing the kernel's settings, to what they are."""
    paths = (
        "/proc/sys/kernel/core_pattern",
        "/proc/sys/vm/overcommit_memory",
        "/proc/sysrq-trigger",
        "/sys/power/state",
    )
    return {path: attempt(lambda path=path: Path(path).open("w").close()) for path in paths}  # type: ignore[misc]


def secrets_of_the_kernel() -> dict[str, int]:
    """Return how many bytes can be read of what an engine masks."""
    paths = ("/proc/kcore", "/proc/keys", "/proc/timer_list", "/proc/sched_debug", "/sys/firmware/acpi/tables/DSDT")
    return {path: readable_bytes(path) for path in paths}


def readable_bytes(path: str) -> int:
    try:
        with Path(path).open("rb") as file:
            return len(file.read(64))
    except OSError:
        return 0


def run_from(folder: str) -> str:
    """Return what came of running a program that was written there."""
    program = Path(folder, "program")
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    return attempt(lambda: subprocess.run([str(program)], check=True))


def read_as_root() -> str:
    """Return what a program that root made to be run as root says when it is to show a file of root's."""
    done = subprocess.run(["cat-as-root", "/secret-of-root"], capture_output=True, text=True, check=False)
    return done.stdout + done.stderr


def all_files() -> list[Path]:
    tops = [top for top in Path("/").iterdir() if top.name not in ("proc", "sys")]
    return [
        Path(parent, name) for top in tops for parent, folders, files in os.walk(top) for name in (*folders, *files)
    ]


def kinds(kind: Callable[[int], bool]) -> list[str]:
    return [str(path) for path in all_files() if kind(path.lstat().st_mode)]


def fill(folder: str, most: int) -> int:
    """Return how many bytes could be written there before the disk was full, ``most`` at most."""
    path, chunk, written = Path(folder, "filled"), bytes(1 << 20), 0
    try:
        with path.open("wb", buffering=0) as file:
            while written < most:
                written += file.write(chunk)
    except OSError:
        pass
    path.unlink()
    return written


def status() -> dict[str, str]:
    lines = Path("/proc/self/status").read_text().splitlines()
    return {key: value.strip() for key, _, value in (line.partition(":") for line in lines)}


def mounts() -> dict[str, list[str]]:
    lines = [line.split() for line in Path("/proc/self/mounts").read_text().splitlines()]
    return {target: options.split(",") for _, target, _, options, *_ in lines}


def facts() -> dict[str, Any]:
    return {
        "status": status(),
        "groups": os.getgroups(),
        "on the host": {kind: Path(f"/proc/self/{kind}_map").read_text() for kind in ("uid", "gid")},
        "mounts": mounts(),
        "writable": [path for path in mounts() if os.access(path, os.W_OK) and not path.startswith("/proc/")],
        "attempts": attempts(),
        "written": {
            folder: write_to(folder) for folder in ("/", "/etc", "/usr/bin", "/var", "/dev", "/sys", "/tmp", ".")
        },
        "settings": written_settings(),
        "kernel": secrets_of_the_kernel(),
        "run": run_from("/tmp"),
        "read as root": read_as_root(),
        "sockets": kinds(stat.S_ISSOCK),
        "devices": kinds(lambda mode: stat.S_ISCHR(mode) or stat.S_ISBLK(mode)),
        "processes": [path.name for path in Path("/proc").iterdir() if path.name.isdecimal()],
        "workspace": [str(path) for path in Path.cwd().parent.iterdir()],
        "environment": dict(os.environ),
        "interfaces": [name for _, name in socket.if_nameindex()],
        "/tmp": fill("/tmp", 1 << 30),
        "/dev/shm": fill("/dev/shm", 1 << 30),
    }


if __name__ == "__main__":
    Path("facts.json").write_text(json.dumps(facts()))
