"""Says its name to whoever gets here: by TCP, UDP, DNS, and what processes of one machine share.

``greeter NAME WHERE...``, where each is ``tcp/ADDRESS/PORT``, ``udp/ADDRESS/PORT``, ``dns/ADDRESS/PORT/ANSWER`` (says
of each name that it is ANSWER, and prints it), ``abstract/WORD``, or ``shared/WORD`` (memory, and a queue of messages).
Prints "ready" when it listens, and lasts until it is killed.
"""

from __future__ import annotations

import ctypes
import selectors
import socket
import struct
import sys
from collections.abc import Callable
from pathlib import Path

IPC_CREAT = 0o1000
MEMORY_KEY = 0x666C6F77
O_CREAT_RDWR = 0o102
Handler = Callable[[], None]


def listener(family: int, address: str | tuple[str, int]) -> socket.socket:
    found = socket.socket(family, socket.SOCK_STREAM)
    found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if family == socket.AF_INET6:
        found.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
    found.bind(address)
    found.listen(64)
    return found


def greet(name: str, listening: socket.socket) -> None:
    connection, _ = listening.accept()
    with connection:
        connection.send(name.encode())


def echo(name: str, bound: socket.socket) -> None:
    _, sender = bound.recvfrom(512)
    bound.sendto(name.encode(), sender)


def answer(address: str, bound: socket.socket) -> None:
    """Answer any question for an address, and print for what it was: a question is all that leaks data."""
    question, sender = bound.recvfrom(512)
    labels, at = [], 12
    while question[at]:
        labels.append(question[at + 1 : at + 1 + question[at]].decode(errors="replace"))
        at += 1 + question[at]
    print("asked for", ".".join(labels), flush=True)
    asked = question[12 : at + 5]
    is_ipv4 = asked[-4:-2] == b"\0\1"
    head = question[:2] + struct.pack("!HHHHH", 0x8180, 1, int(is_ipv4), 0, 0)
    record = struct.pack("!HHHIH", 0xC00C, 1, 1, 1, 4) + socket.inet_aton(address)
    bound.sendto(head + asked + (record if is_ipv4 else b""), sender)


def share(name: str, word: str) -> None:
    """Leave something where processes find it that share memory and queues."""
    libc = ctypes.CDLL(None)
    Path("/dev/shm", word).write_text(name)
    libc.shmget(MEMORY_KEY, 4096, IPC_CREAT | 0o666)
    libc.mq_open(f"/{word}".encode(), O_CREAT_RDWR, 0o666, None)


def handler(name: str, where: str) -> tuple[socket.socket, Handler] | None:
    kind, _, rest = where.partition("/")
    if kind == "shared":
        share(name, rest)
        return None
    if kind == "abstract":
        found = listener(socket.AF_UNIX, f"\0{rest}")
        return found, lambda: greet(name, found)
    address, port, *more = rest.split("/")
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    if kind == "tcp":
        found = listener(family, (address, int(port)))
        return found, lambda: greet(name, found)
    bound = socket.socket(family, socket.SOCK_DGRAM)
    bound.bind((address, int(port)))
    return bound, (lambda: answer(more[0], bound)) if kind == "dns" else (lambda: echo(name, bound))


def main(name: str, *places: str) -> None:
    selector = selectors.DefaultSelector()
    for found in filter(None, (handler(name, where) for where in places)):
        selector.register(found[0], selectors.EVENT_READ, found[1])
    print("ready", flush=True)
    while True:
        for key, _ in selector.select():
            key.data()


if __name__ == "__main__":
    main(*sys.argv[1:])
