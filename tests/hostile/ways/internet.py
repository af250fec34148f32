"""What plays the internet: a server and a nameserver in a network of their own, to which this machine routes."""

from __future__ import annotations

import os
import random
import shutil
import subprocess
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.engines.engine import until

from .app.custom.ways_out import greeter

PORT = 8099
NAME = "outside.example"
RESOLVER = "127.0.0.1"
"""Where the engine's host has a nameserver of its own, which asks outside."""
METADATA = "169.254.169.254"
"""Where clouds answer with keys of the machine."""


def why_not() -> str | None:
    """Say why it cannot be played here; None if it can."""
    if os.geteuid() != 0:
        return "only root can make a network that plays the internet"
    return None if shutil.which("ip") and shutil.which("nsenter") else "no program 'ip' (apt-get install iproute2)"


class Greeter:
    """A process of ours that greets whoever gets to it (see ``greeter.py``), until :meth:`close`."""

    def __init__(self, log: Path, *words: str, within: tuple[str, ...] = ()) -> None:
        self.log = log
        command = [*within, sys.executable, greeter.__file__, *words]
        with log.open("wb") as output:
            self._process = subprocess.Popen(command, stdout=output, stderr=output)
        until(lambda: "ready" in log.read_text() or self._process.poll() is not None, 30, "who greets")
        if self._process.poll() is not None:
            raise RuntimeError(f"{' '.join(words)}: {log.read_text()}")

    def close(self) -> None:
        self._process.kill()
        self._process.wait()


@dataclass(frozen=True)
class Outside:
    """What a job could reach outside."""

    ipv4: str
    ipv6: str
    logs: Sequence[str]
    """The paths of what nameservers say."""
    has_metadata: bool = False
    has_names: bool = False
    """Whether the engine asks its nameserver."""

    @property
    def asked_for(self) -> str:
        """For which names its nameserver was asked."""
        return "".join(Path(log).read_text() for log in self.logs)


class Internet:
    """A context manager; nothing of it stays.

    Args:
        folder: for its log.
        is_cloud: the metadata address is played, too. For networks that are nobody else's.
        has_names: the engine asks its nameserver for names, or that at :data:`RESOLVER`, as many hosts have one.
    """

    def __init__(self, folder: Path, *, is_cloud: bool = False, has_names: bool = False) -> None:
        one, two = random.randrange(256), random.randrange(63) * 4
        self._near, self.ipv4 = f"198.18.{one}.{two + 1}", f"198.18.{one}.{two + 2}"
        self._near6, self.ipv6 = (f"2001:db8:{one:x}:{two:x}::{last}" for last in (1, 2))
        self.is_cloud, self._has_names = is_cloud, has_names
        self._log, self._log_of_resolver = folder / "internet.log", folder / "resolver.log"
        self._near_it: tuple[str, ...] = ()
        self._link = f"flw{os.getpid()}"
        self._stack = ExitStack()

    def beside(self, pid: int) -> None:
        """Have it be reached from a process's network, in place of our own."""
        self._near_it = ("nsenter", f"--target={pid}", "--net", "--")

    @property
    def outside(self) -> Outside:
        logs = [str(log) for log in (self._log, self._log_of_resolver) if log.exists()]
        return Outside(self.ipv4, self.ipv6, logs, self.is_cloud, self._has_names)

    def __enter__(self) -> Self:
        try:
            self._make()
        except BaseException:
            self._stack.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    def _make(self) -> None:
        holder = subprocess.Popen(["unshare", "--net", "cat"], stdin=subprocess.PIPE)
        self._stack.callback(_end, holder)
        until(lambda: _network_of(holder.pid) != _network_of(os.getpid()), 10, "a network of its own")
        inside = ("nsenter", f"--target={holder.pid}", "--net", "--")
        self._ip(f"link add {self._link} type veth peer name eth0 netns {holder.pid}")
        for command in (
            f"addr add {self._near}/30 dev {self._link}",
            f"-6 addr add {self._near6}/64 dev {self._link} nodad",
            f"link set {self._link} up",
        ):
            self._ip(command)
        metadata = [f"addr add {METADATA}/32 dev eth0"] if self.is_cloud else []
        for command in (
            "link set lo up",
            f"addr add {self.ipv4}/30 dev eth0",
            f"-6 addr add {self.ipv6}/64 dev eth0 nodad",
            "link set eth0 up",
            f"route add default via {self._near}",
            f"-6 route add default via {self._near6}",
            *metadata,
        ):
            run(*inside, "ip", *command.split())
        if self.is_cloud:
            self._ip(f"route add {METADATA}/32 dev {self._link}")
        places = [f"tcp/{self.ipv4}/{PORT}", f"udp/{self.ipv4}/{PORT}", f"tcp/{self.ipv6}/{PORT}"]
        places += [f"dns/{self.ipv4}/53/{self.ipv4}", *([f"tcp/{METADATA}/80"] if self.is_cloud else [])]
        self._stack.callback(Greeter(self._log, "the internet", *places, within=inside).close)
        if self._has_names:
            place = f"dns/{RESOLVER}/53/{self.ipv4}"
            resolver = Greeter(self._log_of_resolver, "the host", place, within=self._near_it)
            self._stack.callback(resolver.close)

    def _ip(self, command: str) -> None:
        run(*self._near_it, "ip", *command.split())


def run(*command: str) -> None:
    """Run a program to its end. Raises RuntimeError with what it says if it fails."""
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)}: {done.stderr.strip()}")


def _end(process: subprocess.Popen[bytes]) -> None:
    process.kill()
    process.communicate()


def _network_of(pid: int) -> str:
    return str(Path(f"/proc/{pid}/ns/net").readlink())
