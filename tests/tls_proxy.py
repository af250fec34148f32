"""An engine behind TLS, as at ``tcp://…:2376``: a proxy before its socket, and certificates for both sides."""

from __future__ import annotations

import socket
import ssl
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from socketserver import BaseRequestHandler, ThreadingTCPServer
from threading import Thread
from typing import Any


def make_certificates(folder: Path) -> Path:
    """Make ``ca.pem``, and both sides' ``cert.pem`` and ``key.pem``, named as Docker does; return the folder.

    They say what each may be used for, and by whose key the second is signed: Python takes no others from 3.13 on.
    """
    folder.mkdir()
    (folder / "ext").write_text("subjectAltName=DNS:localhost,IP:127.0.0.1\nauthorityKeyIdentifier=keyid\n")
    new = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    authority = ["-days", "2", "-subj", "/CN=ca", "-addext", "keyUsage=critical,keyCertSign"]
    _openssl(folder, "req", "-x509", *new, "-keyout", "ca-key.pem", "-out", "ca.pem", *authority)
    _openssl(folder, "req", *new, "-keyout", "key.pem", "-out", "request", "-subj", "/CN=localhost")
    sign = ["-CA", "ca.pem", "-CAkey", "ca-key.pem", "-CAcreateserial", "-extfile", "ext"]
    _openssl(folder, "x509", "-req", "-in", "request", *sign, "-out", "cert.pem", "-days", "2")
    return folder


def _openssl(folder: Path, *args: str) -> None:
    subprocess.run(["openssl", *args], cwd=folder, capture_output=True, check=True)


class _TlsProxy(ThreadingTCPServer):
    daemon_threads = True

    def __init__(self, engine: str, certificates: Path, *, clients_verified: bool) -> None:
        super().__init__(("127.0.0.1", 0), _Pump)
        self.engine = engine
        self.tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=certificates / "ca.pem")
        self.tls.load_cert_chain(certificates / "cert.pem", certificates / "key.pem")
        if clients_verified:
            self.tls.verify_mode = ssl.CERT_REQUIRED

    def get_request(self) -> tuple[socket.socket, Any]:
        connection, address = super().get_request()
        connection.settimeout(10)
        return connection, address


class _Pump(BaseRequestHandler):
    server: _TlsProxy

    def handle(self) -> None:
        with suppress(OSError), self.server.tls.wrap_socket(self.request, server_side=True) as outer:
            inner = socket.socket(socket.AF_UNIX)
            with inner:
                inner.connect(self.server.engine)
                back = Thread(target=_copy, args=(inner, outer), daemon=True)
                back.start()
                _copy(outer, inner)
                back.join()


def _copy(source: socket.socket, target: socket.socket) -> None:
    with suppress(OSError):
        while data := source.recv(1 << 16):
            target.sendall(data)
    with suppress(OSError):
        target.shutdown(socket.SHUT_WR)


@contextmanager
def behind_tls(engine: str, certificates: Path, *, clients_verified: bool = True) -> Iterator[str]:
    """Yield the ``tcp://`` address at which the engine behind a socket answers by TLS."""
    with _TlsProxy(engine.removeprefix("unix://"), certificates, clients_verified=clients_verified) as server:
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        thread.start()
        yield f"tcp://localhost:{server.server_address[1]}"
        server.shutdown()
        thread.join()
