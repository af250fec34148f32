"""Of a hostile job: whom it can reach, each try with the time that an answer may take."""

from __future__ import annotations

import errno
import os
import selectors
import socket
import struct
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from itertools import pairwise, product
from pathlib import Path

PATIENCE = 2.0
"""Seconds to wait for an answer from somebody who may not hear us."""
Try = Callable[[], str]


def attempt(one: Try) -> str:
    """Return how a try got out; nothing if it did not."""
    try:
        return one()
    except OSError:
        return ""


def any_of(tries: Iterable[Try]) -> list[str]:
    """Try all at once, for most of those that fail wait for nobody's answer."""
    with ThreadPoolExecutor(32) as pool:
        return sorted(filter(None, pool.map(attempt, tries)))


def talk(address: str, port: int) -> str:
    with socket.create_connection((address, port), PATIENCE) as connection:
        return f"{address} port {port}: {connection.recv(64).decode(errors='replace')}"


def talk_udp(address: str, port: int) -> str:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        sender.settimeout(PATIENCE)
        sender.sendto(b"hello", (address, port))
        return f"{address} port {port} by UDP: {sender.recv(64).decode(errors='replace')}"


def talk_unix(path: str) -> str:
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(PATIENCE)
        connection.connect(path)
        return f"the socket {path}".replace("\0", "@")


def talks(addresses: Iterable[str], ports: Iterable[int]) -> list[Try]:
    return [partial(talk, *where) for where in product(addresses, ports)]


def ask(nameserver: str, name: str, port: int = 53) -> str:
    """Return what a nameserver says of a name."""
    labels = b"".join(bytes([len(label)]) + label.encode() for label in name.split("."))
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        sender.settimeout(2 * PATIENCE)
        question = struct.pack("!HHHHHH", os.getpid() & 0xFFFF, 0x0100, 1, 0, 0, 0) + labels + b"\0\0\1\0\1"
        sender.sendto(question, (nameserver, port))
        answer = sender.recv(512)
    count = int.from_bytes(answer[6:8], "big")
    return f"{nameserver} says that {name} is {socket.inet_ntoa(answer[-4:])}" if count else ""


def asks(name: str) -> list[Try]:
    lines = [line.split() for line in Path("/etc/resolv.conf").read_text().splitlines()]
    servers = [words[1] for words in lines if words[:1] == ["nameserver"] and ":" not in words[1]]
    return [partial(ask, server, name) for server in servers]


def own_addresses() -> set[str]:
    lines = Path("/proc/net/fib_trie").read_text().splitlines()
    found = {before.split()[-1] for before, line in pairwise(lines) if "host LOCAL" in line}
    return {address for address in found if not address.startswith("127.")}


def gateways() -> list[str]:
    """Return by which addresses the host should be reached: those of routes, and the first of each network."""
    found = set()
    for line in Path("/proc/net/route").read_text().splitlines()[1:]:
        _, network, gateway, *_ = line.split()
        at = int.from_bytes(bytes.fromhex(gateway), "little") or int.from_bytes(bytes.fromhex(network), "little") + 1
        found.add(socket.inet_ntoa(at.to_bytes(4, "big")))
    return sorted(found - own_addresses() - {"0.0.0.1"})


def scanned(port: int) -> list[str]:
    """Return who listens at a port, of the 254 addresses around each of our own."""
    own = own_addresses()
    around = {f"{address.rpartition('.')[0]}.{last}" for address in own for last in range(1, 255)} - own
    selector, found = selectors.DefaultSelector(), []
    for address in around:
        connection = socket.socket()
        connection.setblocking(False)
        with suppress(OSError):
            if connection.connect_ex((address, port)) == errno.EINPROGRESS:
                selector.register(connection, selectors.EVENT_WRITE, (connection, address))
    deadline = time.monotonic() + PATIENCE
    while selector.get_map() and (left := deadline - time.monotonic()) > 0:
        for key, _ in selector.select(left):
            connection, address = key.data
            if not connection.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR):
                found.append(address)
            selector.unregister(connection)
            connection.close()
    return any_of(talks(found, [port]))
