"""This host, as a probe tries to reach it: its addresses, and somebody who listens on all of them."""

from __future__ import annotations

import re
import socket
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from functools import partial
from ipaddress import IPv6Address, ip_address
from pathlib import Path
from typing import NamedTuple

from flcore.threads import OwnThread

from .inside import TOKEN

_LOCAL = re.compile(r"\|-- ([0-9.]+)\n\s+/32 host LOCAL")
"""What the kernel's table of routes says of an address that is this host's own."""
_MOST = 48
"""Addresses that are tried."""


class Listening(NamedTuple):
    """Where somebody listens on this host."""

    everywhere: int
    """The port, on every address."""
    loopback: int
    """The port on 127.0.0.1 alone."""


def own_addresses() -> list[str]:
    """Return this host's addresses, those of its loopback and of single links left out."""
    with suppress(OSError):
        found = _LOCAL.findall(Path("/proc/net/fib_trie").read_text())
        return [address for address in dict.fromkeys(found) if not ip_address(address).is_loopback][:_MOST] + _v6()
    return []


def _v6() -> list[str]:
    with suppress(OSError):
        lines = Path("/proc/net/if_inet6").read_text().splitlines()
        addresses = [IPv6Address(bytes.fromhex(line.split()[0])) for line in lines]
        return [str(one) for one in addresses if not (one.is_loopback or one.is_link_local)][:_MOST]
    return []


def is_interface(name: str) -> bool:
    """Whether this host has an interface of this name."""
    return name in {found for _, found in socket.if_nameindex()}


@contextmanager
def listening() -> Iterator[Listening]:
    """Have somebody listen on this host, who says that it is him, until the end of the block."""
    with _greeting(_everywhere()) as everywhere, _greeting(socket.create_server(("127.0.0.1", 0))) as loopback:
        yield Listening(everywhere, loopback)


@contextmanager
def _greeting(server: socket.socket) -> Iterator[int]:
    """Have who connects be greeted until the end of the block; the port."""
    with closing(server):
        OwnThread("probe", partial(_greet, server)).start()
        try:
            yield server.getsockname()[1]
        finally:
            with suppress(OSError):
                server.shutdown(socket.SHUT_RDWR)  # which ends who accepts


def _everywhere() -> socket.socket:
    if socket.has_dualstack_ipv6():
        with suppress(OSError):
            return socket.create_server(("", 0), family=socket.AF_INET6, dualstack_ipv6=True)
    return socket.create_server(("", 0))


def _greet(server: socket.socket) -> None:
    with suppress(OSError):
        while True:
            connected, _ = server.accept()
            with connected, suppress(OSError):
                connected.sendall(TOKEN)
