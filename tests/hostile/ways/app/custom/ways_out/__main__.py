"""Runs as a job: tries thirty ways out of its container, and writes to ``ways.json`` what came of each.

It knows what an attacker knows who has been here before: who listens where, and what is written in what is not its own
(``targets.json`` beside this package). It needs Python and nothing else, and is told nothing by the site.
"""

from __future__ import annotations

import ctypes
import errno
import json
import mmap
import os
import socket
import stat
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

from .reach import any_of, asks, attempt, gateways, scanned, talk_udp, talk_unix, talks

MEMORY_KEY = 0x666C6F77
REFUSALS = {errno.EPERM, errno.EACCES, errno.ENOSYS}
"""What the kernel says of a call that a job may not make; whatever else it says, the call was looked at."""
CALLS = {
    "kexec_load": 246,
    "init_module": 175,
    "keyctl": 250,
    "perf_event_open": 298,
    "bpf": 321,
    "userfaultfd": 323,
    "open_by_handle_at": 304,
    "io_uring_setup": 425,
}
"""Numbers on x86-64."""
NAMESPACES = {"mount": 0x20000, "network": 0x40000000, "process": 0x20000000, "IPC": 0x8000000, "user": 0x10000000}
MOST_FILES = 20_000
LOG_MIB = 40
SECONDS = 30

MUST = "its parent"
"""Whom it is to reach."""

targets: dict[str, Any] = json.loads(Path(__file__).parents[1].joinpath("targets.json").read_text())
libc = ctypes.CDLL(None, use_errno=True)


# --- what can be seen ---


def files_below(*tops: str) -> Iterator[Path]:
    seen = 0
    for top in tops:
        for parent, _, names in os.walk(top):
            for name in names:
                seen += 1
                if seen > MOST_FILES:
                    return
                yield Path(parent, name)


def holding(word: str, files: Iterable[Path]) -> list[str]:
    """Return the files in which a word stands, but for those of our own folder."""
    found, own = [], Path.cwd()
    for path in files:
        with suppress(OSError):
            if (
                own not in path.parents
                and stat.S_ISREG(path.stat().st_mode)
                and word.encode() in path.open("rb").read(1 << 16)
            ):
                found.append(str(path))
    return found


def not_ours(kind: str) -> list[str]:
    """Return where a word can be read that stands in what is not ours."""
    places = ("/data", "/run", "/dev/shm", "/mnt", "/srv", "/home", "/root", str(Path.cwd().parent), "/var/tmp/nvflare")
    around = files_below(*dict.fromkeys((*places, *targets["folders"])))
    variables = Path("/proc").glob("[0-9]*/environ")
    return holding(targets["words"][kind], (*around, *variables))


def other_processes() -> list[str]:
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            if b"greeter" in (process / "cmdline").read_bytes():
                os.kill(int(process.name), 0)
                found.append(f"process {process.name} can be seen, and gets signals")
    return found


def sockets() -> list[str]:
    usual = ["/var/run/docker.sock", "/run/podman/podman.sock", "/run/containerd/containerd.sock"]
    tops = [str(top) for top in Path("/").iterdir() if top.name not in ("proc", "sys")]
    found = [str(path) for path in files_below(*tops) if is_socket(path)]
    return any_of(partial(talk_unix, path) for path in dict.fromkeys((*usual, *found)))


def is_socket(path: Path) -> bool:
    with suppress(OSError):
        return stat.S_ISSOCK(path.stat().st_mode)
    return False


def shared() -> list[str]:
    """Return what of others' memory and queues is here."""
    word = targets["shared"]
    found = [str(path) for path in (Path("/dev/shm", word), Path("/dev/mqueue", word)) if path.exists()]
    return [*found, *(["a segment of shared memory"] if libc.shmget(MEMORY_KEY, 0, 0) != -1 else [])]


# --- what can be changed ---


def mounts() -> dict[str, tuple[str, str]]:
    """Return what is mounted where: the kind of file system and its source."""
    lines = [line.split() for line in Path("/proc/self/mounts").read_text().splitlines()]
    return {where: (kind, source) for source, where, kind, *_ in lines}


def written_outside() -> list[str]:
    """Return the folders that we can write to, but for our own and those in memory, which go with the container."""
    known, own = mounts(), Path.cwd()
    found = []
    for top in (path for path in Path("/").iterdir() if path.name not in ("proc", "sys")):
        for parent, folders, _ in os.walk(top):
            place = Path(parent)
            mount = next(str(way) for way in (place, *place.parents) if str(way) in known)
            if place == own or known[mount][0] in ("tmpfs", "ramfs", "mqueue", "devpts"):
                folders.clear() if place == own else None
                continue
            if wrote_to(place):
                found.append(str(place))
                folders.clear()
    return ["/"] if wrote_to(Path("/")) else found


def wrote_to(folder: Path) -> bool:
    path = folder / f"written-by-a-job-{os.getpid()}"
    with suppress(OSError):
        path.touch(exist_ok=False)
        path.unlink()
        return True
    return False


def opened(paths: Iterable[str], flags: int) -> list[str]:
    """Return which of these can be opened; to read, which have anything to say."""

    def open_one(path: str) -> str:
        descriptor = os.open(path, flags)
        try:
            if flags & (os.O_WRONLY | os.O_RDWR):
                return f"{path} can be written"
            return f"{path} can be read" if os.read(descriptor, 16) else ""
        finally:
            os.close(descriptor)

    return [said for path in paths if (said := attempt(partial(open_one, path)))]


def kernel_files() -> list[str]:
    to_write = (
        "/proc/sysrq-trigger",
        "/proc/sys/kernel/core_pattern",
        "/proc/sys/vm/drop_caches",
        "/proc/sys/net/ipv4/ip_forward",
    )
    to_read = ("/proc/kcore", "/proc/keys", "/proc/timer_list", "/proc/sched_debug", "/proc/kmsg", "/proc/1/mem")
    return [*opened(to_write, os.O_WRONLY), *opened(to_read, os.O_RDONLY)]


def devices() -> list[str]:
    names = ("mem", "kmem", "port", "kmsg", "sda", "vda", "nvme0n1", "kvm", "fuse", "net/tun", "loop-control")
    agents = [str(path) for path in Path("/sys/fs/cgroup").glob("**/release_agent")]
    to_write = ("/sys/kernel/uevent_helper", "/sys/power/state", "/sys/kernel/mm/ksm/run", *agents[:20])
    found = [*opened([f"/dev/{name}" for name in names], os.O_RDWR | os.O_NONBLOCK), *opened(to_write, os.O_WRONLY)]
    return [*calls({"mknod": make_device}), *found, *opened(["/sys/firmware/acpi/tables/DSDT"], os.O_RDONLY)]


def make_device() -> int:
    return int(libc.mknod(b"/tmp/disk", stat.S_IFBLK | 0o600, ctypes.c_ulong(os.makedev(8, 0))))


def calls(named: dict[str, Callable[[], int]]) -> list[str]:
    """Return which calls the kernel has not refused, each in a child that it may change for good."""
    return [name for name, call in named.items() if errno_in_child(call) not in REFUSALS]


def namespaces() -> list[str]:
    made = {f"a {name} namespace": partial(libc.unshare, flag) for name, flag in NAMESPACES.items()}
    moved = {
        "mount": lambda: libc.mount(b"none", b"/tmp", b"tmpfs", 0, None),
        "unmount": lambda: libc.umount2(b"/proc", 0),
        "chroot": lambda: libc.chroot(b"/tmp"),
        "pivot_root": lambda: libc.syscall(155, b"/tmp", b"/tmp"),
    }
    return calls({**made, **moved})


def errno_in_child(call: Callable[[], int]) -> int:
    """Return with what error a call ends in a child; 0 for none."""
    if child := os.fork():
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    ctypes.set_errno(0)
    os._exit(ctypes.get_errno() if call() == -1 else 0)


def privileges() -> list[str]:
    status = dict(line.split(":\t", 1) for line in Path("/proc/self/status").read_text().splitlines() if ":\t" in line)
    sets = [name for name in ("CapPrm", "CapEff", "CapBnd") if int(status[name], 16)]
    to_root = {} if os.getuid() == 0 else {"setuid": lambda: libc.setuid(0), "setgid": lambda: libc.setgid(0)}
    refused = {
        "setgroups": lambda: libc.setgroups(1, ctypes.byref(ctypes.c_uint(0))),
        "sethostname": lambda: libc.sethostname(b"server", 6),
        "reboot": lambda: libc.syscall(169, 0, 0, 0, 0),
        "nice": lambda: libc.setpriority(0, 0, -5),
        **to_root,
    }
    gains = [] if status["NoNewPrivs"].strip() == "1" else ["a program of the image may gain privileges"]
    root = ["it is the host's root"] if is_root_on_host() else []
    return [*root, *gains, *(f"it has capabilities ({name})" for name in sets), *calls(refused)]


def is_root_on_host() -> bool:
    inside, outside, _ = map(int, Path("/proc/self/uid_map").read_text().splitlines()[0].split())
    return os.getuid() == inside and outside == 0


def more_of_the_kernel() -> list[str]:
    return calls({name: partial(libc.syscall, number, 0, 0, 0, 0, 0) for name, number in CALLS.items()})


# --- how much can be had ---


def processes() -> list[str]:
    """Count threads, which the kernel counts as it does processes."""
    limit, over = targets["limits"]["processes"], threading.Event()
    started: list[threading.Thread] = []
    threading.stack_size(1 << 16)
    with suppress(RuntimeError):
        while len(started) <= limit:
            thread = threading.Thread(target=over.wait)
            thread.start()
            started.append(thread)
    over.set()
    for thread in started:
        thread.join()
    threading.stack_size(0)
    return [f"{len(started)} processes and threads"] if len(started) > limit else []


def memory() -> list[str]:
    """Have a child take more than it may. Who wants more, and to be spared when there is none left, may not either."""
    limit = targets["limits"]["memory"]
    wanted = limit + (limit >> 2)
    taken = in_child_alive(lambda: touch(wanted))
    spared = opened_with("/proc/self/oom_score_adj", "-1000")
    return [
        *([f"{wanted >> 20} MiB of memory"] if taken else []),
        *(["it is spared when memory is short"] if spared else []),
    ]


def touch(size: int) -> None:
    with suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text("1000")  # that it is this one who dies
    pages = mmap.mmap(-1, size)
    for at in range(0, size, mmap.PAGESIZE):
        pages[at] = 1


def in_child_alive(work: Callable[[], None]) -> bool:
    """Whether a child lives through some work."""
    if child := os.fork():
        return os.waitpid(child, 0)[1] == 0
    try:
        work()
        os._exit(0)
    finally:
        os._exit(1)


def opened_with(path: str, text: str) -> bool:
    with suppress(OSError):
        Path(path).write_text(text)
        return Path(path).read_text().strip() == text
    return False


def output() -> list[str]:
    """Fill the engine's log; how much of it is kept is seen from outside."""
    for _ in range(LOG_MIB):
        sys.stdout.write(("x" * 1023 + "\n") * 1024)
    sys.stdout.flush()
    return []


# --- the ways ---


def outside() -> list[str]:
    addresses, port = targets["outside"]["ipv4"], targets["outside"]["port"]
    return any_of([*talks(addresses, [port]), *(partial(talk_udp, address, port) for address in addresses)])


def names() -> list[str]:
    """Ask for a name outside, and for one that says something: whether that arrived is seen there."""
    name = targets["outside"]["name"]
    return any_of([*asks(name), *asks(f"{targets['words']['data']}.{name}")])


def raw_packets() -> list[str]:
    """Open what sends packets as anybody: of ARP, by which a network's traffic is led astray, or of IP."""
    return any_of(partial(open_raw, family) for family in (socket.AF_PACKET, socket.AF_INET))


def open_raw(family: int) -> str:
    with socket.socket(family, socket.SOCK_RAW, socket.IPPROTO_ICMP) as raw:
        return f"a raw socket ({raw.family.name})"


def parent() -> list[str]:
    return targets["parent"] or gateways()


def to_jobs(which: str) -> list[str]:
    return any_of(talks(targets[which], [targets["job_port"]]))


def to_host(which: str) -> list[str]:
    return any_of(talks(set(targets[which]) - set(gateways()), [targets["host_port"]]))


REACH: dict[str, Callable[[], list[str]]] = {
    "a server outside, by IPv4": outside,
    "a server outside, by IPv6": lambda: any_of(talks(targets["outside"]["ipv6"], [targets["outside"]["port"]])),
    "names outside, by the engine's DNS": names,
    "the cloud's metadata address": lambda: any_of(talks(["169.254.169.254"], [80])),
    "the host, by its network's gateway": lambda: any_of(talks(gateways(), [targets["host_port"]])),
    "the host, by its other addresses": lambda: to_host("host_ipv4"),
    "the host, by IPv6": lambda: to_host("host_ipv6"),
    "the host, by a name": lambda: to_host("host_names"),
    "the host's loopback": lambda: any_of(talks(["127.0.0.1", "::1", *gateways()], [targets["loopback_port"]])),
    "other ports of the parent": lambda: any_of(talks(parent(), [targets["parent_other_port"]])),
    "the engine, by TCP": lambda: any_of(talks({*gateways(), *targets["host_ipv4"]}, targets["engine_ports"])),
    "the engine's socket, or any": sockets,
    "abstract sockets": lambda: any_of(partial(talk_unix, f"\0{word}") for word in targets["abstract"]),
    "a job of the same study": lambda: to_jobs("same_study"),
    "a job of another study": lambda: to_jobs("other_study"),
    "whoever is on its network": lambda: scanned(targets["job_port"]),
}
TAKE: dict[str, Callable[[], list[str]]] = {
    "raw packets": raw_packets,
    "other jobs' memory and queues": shared,
    "other jobs' processes": other_processes,
    "another study's data": lambda: not_ours("data"),
    "another study's secrets": lambda: not_ours("secret"),
    "the site's keys, and other jobs' folders": lambda: not_ours("site"),
    "files outside its folder": written_outside,
    "the kernel's files, and devices": lambda: [*kernel_files(), *devices()],
    "mounts and name spaces": namespaces,
    "privileges": privileges,
    "rare system calls": more_of_the_kernel,
    "more processes than it may have": processes,
    "more memory than it may have": memory,
    "the host's disk, by its output": output,
}


def main() -> None:
    """Try them all, and last until somebody has looked at what that has left, or nobody comes."""
    os.environ["RES_OPTIONS"] = "timeout:1 attempts:2"  # of the C library: who asks for a name waits no longer
    with ThreadPoolExecutor(len(REACH)) as pool:  # they wait for answers that will not come
        found = dict(zip(REACH, pool.map(lambda way: way(), REACH.values()), strict=True))
    found |= {name: way() for name, way in TAKE.items()}
    found[MUST] = any_of(talks(parent(), [targets["parent_port"]]))
    for name, how in found.items():
        print(f"{'OUT' if how else 'no'}: {name}{': ' if how else ''}{'; '.join(how)[:500]}", flush=True)
    Path("ways.part").write_text(json.dumps(found))
    Path("ways.part").rename("ways.json")
    for _ in range(SECONDS * 10):
        if Path("seen").exists():
            return
        time.sleep(0.1)  # who has seen the answers can tell it only by a file


if __name__ == "__main__":
    main()
