"""A small machine with Debian's kernel, for this machine's own may know no project quotas.

It sees this machine's files, and keeps to itself what it changes; its disks are files that go with it. It is emulated,
whatever this machine's processors could do: that works everywhere, if not fast.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.environments import ROOT

KERNEL = ROOT / "build/machine"
"""The kernel, its modules and a busybox, as ``.ci/machine`` has put them there."""
_OWN = Path(__file__).parent
_DISK_SIZES = (512 << 20, 512 << 20, 512 << 20, 12 << 40)
"""Bytes, of which little is written: ext4 and XFS, a file system without limits, and an XFS that is large."""
_TIMEOUT = 600
"""Seconds."""
_EXIT = re.compile(r"machine: exit (\d+)")
_HARDWARE = "-machine q35,accel=tcg -cpu max -smp 2 -m 1024 -nodefaults -display none -serial stdio -no-reboot"
_FILES = (
    "-fsdev local,id=host,path=/,security_model=none,readonly=on,multidevs=remap "
    "-device virtio-9p-pci,fsdev=host,mount_tag=host"
)


def run(words: Sequence[str]) -> int:
    """Have pytest run in it, with these words, and return its exit status; what it prints is printed.

    Raises RuntimeError if the machine ends without one, or is not done in time.
    """
    with TemporaryDirectory(prefix="flcore-machine-") as name:
        folder = Path(name)
        (folder / "initrd").write_bytes(_archive(folder / "first", words))
        process = subprocess.Popen(
            ["timeout", str(_TIMEOUT), "nice", *_command(folder)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
        )
        with process:
            try:
                status = _followed(process)
            finally:
                process.terminate()
    if status is None:
        raise RuntimeError(f"the machine has ended, or was ended after {_TIMEOUT} s, before its tests had (see above)")
    return status


def _followed(process: subprocess.Popen[str]) -> int | None:
    """Print what the machine prints, and return the status that it ends with."""
    assert process.stdout
    for line in process.stdout:
        if found := _EXIT.match(line):
            return int(found[1])
        print(line, end="", flush=True)
    return None


def _archive(first: Path, words: Sequence[str]) -> bytes:
    """Return the files that the machine begins with."""
    shutil.copytree(KERNEL, first, ignore=shutil.ignore_patterns("vmlinuz"))
    shutil.copy(_OWN / "init", first)
    settings = f"cd {shlex.quote(str(ROOT))}\npytest=({shlex.join([sys.executable, '-m', 'pytest', *words])})\n"
    (first / "script").write_text(settings + (_OWN / "script").read_text())
    names = "\n".join(str(path.relative_to(first)) for path in sorted(first.rglob("*")))
    command = [str(KERNEL / "bin/busybox"), "cpio", "-o", "-H", "newc"]
    return subprocess.run(command, cwd=first, input=names.encode(), capture_output=True, check=True).stdout


def _command(folder: Path) -> list[str]:
    disks = [folder / f"disk-{number}" for number in range(len(_DISK_SIZES))]
    for disk, size in zip(disks, _DISK_SIZES, strict=True):
        disk.touch()
        os.truncate(disk, size)
    drives = [f"-drive file={disk},if=virtio,format=raw,cache=unsafe" for disk in disks]
    kernel = ["-kernel", str(KERNEL / "vmlinuz"), "-initrd", str(folder / "initrd")]
    words = [word for part in (_HARDWARE, _FILES, *drives) for word in part.split()]
    return ["qemu-system-x86_64", *words, *kernel, "-append", "console=ttyS0 quiet panic=-1"]
