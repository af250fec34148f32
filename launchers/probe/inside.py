"""The program of a probe's container: tries to reach what it is told, all at once, and prints what came of it.

It is handed over as a text, and knows nothing but Python's own library; any Python from 3.7 on runs it. Its environment
says what to do: ``FLCORE_PROBE`` is a JSON object, with ``"listen": true`` for the one that is to be reached, else with
``"tcp"``, ``"files"``, ``"names"`` and ``"gateway_ports"``. It prints one line, a JSON object.
"""

from __future__ import annotations

import errno
import json
import os
import socket
import struct
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

CONNECT_TIMEOUT = 2.0
DEADLINE = 4.0
"""Seconds after which it prints what it knows, and ends."""
LISTENS_FOR = 30.0
"""Seconds after which the one that listens ends by itself, if nobody has ended it before."""
TOKEN = b"flcore-probe"
"""What is said to whoever connects: so it is known who was reached."""
REACHED, ANSWERED, REFUSED, SILENT, NO_WAY = "reached", "answered", "refused", "silent", "no way"
"""Who was meant; somebody who listens; a host that says that nobody does; nothing at all; there is no route."""
_NONE = "0.0.0.0"  # noqa: S104 - as the kernel says that there is none
_NO_ROUTE = (errno.ENETUNREACH, errno.EHOSTUNREACH, errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT, errno.EACCES, errno.EPERM)


def try_tcp(host: str, port: int) -> str:
    """Return what comes of a connection."""
    try:
        with socket.create_connection((host, port), CONNECT_TIMEOUT) as connected:
            connected.settimeout(CONNECT_TIMEOUT / 4)
            try:
                return REACHED if connected.recv(len(TOKEN)) == TOKEN else ANSWERED
            except OSError:
                return ANSWERED
    except ConnectionRefusedError:
        return REFUSED
    except socket.gaierror:
        return NO_WAY
    except OSError as error:
        return NO_WAY if error.errno in _NO_ROUTE else SILENT


def try_file(path: str) -> str:
    """Return what comes of a connection to a socket in the file system."""
    try:
        with socket.socket(socket.AF_UNIX) as sock:
            sock.settimeout(CONNECT_TIMEOUT)
            sock.connect(path)
    except OSError as error:
        return REFUSED if error.errno in (errno.ECONNREFUSED, errno.EACCES) else NO_WAY
    return REACHED


def try_name(name: str) -> str:
    """Return what comes of asking for a name."""
    try:
        socket.getaddrinfo(name, None)
    except OSError:
        return NO_WAY
    return REACHED


def routes() -> list[dict[str, str]]:
    """Return the routes of this container, of IPv4: from where, to where, by which gateway."""
    found = []
    try:
        with open("/proc/net/route") as file:  # noqa: PTH123 - as short as it can be
            lines = file.read().splitlines()[1:]
    except OSError:
        return []
    for line in lines:
        fields = line.split()
        target, gateway, mask = (_dotted(fields[number]) for number in (1, 2, 7))
        found.append({"interface": fields[0], "target": target, "gateway": gateway, "mask": mask})
    return found


def _dotted(number: str) -> str:
    return socket.inet_ntoa(struct.pack("<L", int(number, 16)))


def subnet_of(found: list[dict[str, str]]) -> str:
    """Return the subnet of this container, as an address and a mask; empty without one."""
    own = [route for route in found if route["gateway"] == _NONE and route["target"] != _NONE]
    return "{target}/{mask}".format(**own[0]) if own else ""


def gateway_of(found: list[dict[str, str]]) -> str:
    """Return the address by which the host would be reached, if it has one in this container's network: the first.

    An internal network has no way by it.
    """
    named = [route["gateway"] for route in found if route["gateway"] != _NONE]
    target, _, mask = subnet_of(found).partition("/")
    if named or not mask:
        return named[0] if named else ""
    first = socket.inet_ntoa(struct.pack("!L", struct.unpack("!L", socket.inet_aton(target))[0] + 1))
    return "" if first == own_address() else first


def own_address() -> str:
    """Return the address of this container by which others would reach it; empty without one."""
    try:
        return socket.gethostbyname(socket.gethostname())
    except OSError:
        return ""


def listen() -> None:
    """Say where this is, and greet whoever connects, for a while."""
    server = socket.socket()
    server.bind(("", 0))
    server.listen(16)
    server.settimeout(LISTENS_FOR)
    print(json.dumps({"address": own_address(), "port": server.getsockname()[1]}), flush=True)
    end = time.monotonic() + LISTENS_FOR
    while time.monotonic() < end:
        try:
            connected, _ = server.accept()
        except OSError:
            return
        with connected:
            connected.sendall(TOKEN)


def try_all(told: dict[str, Any]) -> dict[str, Any]:
    """Return what came of each, by its own words."""
    results: dict[str, Any] = {"tcp": {}, "files": {}, "names": {}}
    threads = []

    def begin(kind: str, key: str, attempt: Callable[..., str], *args: Any) -> None:
        def run() -> None:
            results[kind][key] = attempt(*args)

        thread = threading.Thread(target=run, daemon=True)
        thread.start()
        threads.append(thread)

    for host, port in told.get("tcp", ()):
        begin("tcp", f"{host} {port}", try_tcp, host, port)
    gateway = gateway_of(routes())
    for port in told.get("gateway_ports", ()) if gateway else ():
        begin("tcp", f"{gateway} {port}", try_tcp, gateway, port)
    for path in told.get("files", ()):
        begin("files", path, try_file, path)
    for name in told.get("names", ()):
        begin("names", name, try_name, name)
    end = time.monotonic() + DEADLINE
    for thread in threads:
        thread.join(max(0.0, end - time.monotonic()))
    return {"subnet": subnet_of(routes()), "gateway": gateway, **{kind: dict(found) for kind, found in results.items()}}


def main() -> None:
    told = json.loads(os.environ["FLCORE_PROBE"])
    if told.get("listen"):
        listen()
    else:
        print(json.dumps(try_all(told)), flush=True)
    sys.stdout.flush()
    os._exit(0)  # whatever thread still waits for a name server


if __name__ == "__main__":
    main()
