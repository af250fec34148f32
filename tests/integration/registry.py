"""A registry of images on the loopback interface, as much of one as an engine needs for a pull.

An engine trusts what listens there without TLS. The images are made here, of random bytes, so that no two have a layer
in common. A test says what goes wrong::

    with Registry() as registry:
        image = registry.add_image()
        registry.stall_after = 50_000
        ...
"""

from __future__ import annotations

import base64
import gzip
import hashlib
import io
import json
import os
import re
import select
import socket
import tarfile
import threading
import uuid
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self

_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
_CONFIG = "application/vnd.docker.container.image.v1+json"
_LAYER = "application/vnd.docker.image.rootfs.diff.tar.gzip"
_RANGE = re.compile(r"bytes=(\d+)-")
_PIECE = 4096
_TLS_HELLO = b"\x16"
"""How a client of TLS begins. Some engines ask in plain HTTP only who answers that with a line of HTTP."""


@dataclass(frozen=True)
class _Content:
    """Something that can be asked for."""

    kind: str
    media_type: str
    data: bytes

    @property
    def digest(self) -> str:
        return "sha256:" + hashlib.sha256(self.data).hexdigest()

    @property
    def entry(self) -> dict[str, Any]:
        """What a manifest says of it."""
        return {"mediaType": self.media_type, "size": len(self.data), "digest": self.digest}


_PING = _Content("ping", "application/json", b"{}")


class Registry:
    """Serves its images as long as its context lasts. Its attributes are the test's to set, at any time.

    What is asked for is of a kind: ``ping`` (with which some engines begin), ``manifest``, ``config``, ``layer``, or
    ``missing``.
    """

    def __init__(self) -> None:
        self.silent = False
        """True: nothing is answered before :meth:`release`."""
        self.failures: dict[str, int] = {}
        """``kind -> HTTP status`` of what is not given."""
        self.login = ""
        """``user:password``, without which nothing is given; empty is for everybody."""
        self.bytes_per_second: float | None = None
        """How fast each layer comes; None is as fast as can be."""
        self.stall_after: int | None = None
        """After so many bytes of a layer nothing more of it comes before :meth:`release`."""
        self.cut_after: int | None = None
        """After so many bytes of a layer its connection is closed."""
        self.requests: Counter[str] = Counter()
        """How often something of a kind was asked for."""
        self.layer_bytes = 0
        """How many bytes of layers were sent."""
        self.released = threading.Event()
        self._contents = {"/v2/": _PING}
        self._sending = 0
        self._changed = threading.Condition()
        self._server = _Server(self)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,))

    def add_image(self, layers: int = 3, layer_size: int = 200_000) -> str:
        """Make an image and return its name. Each of its layers is one file of so many bytes."""
        tars = [_tar(f"file-{number}", os.urandom(layer_size)) for number in range(layers)]
        blobs = [_Content("layer", _LAYER, gzip.compress(tar, 1)) for tar in tars]
        config = _Content("config", _CONFIG, _json(_image_config(tars)))
        parts = {"config": config.entry, "layers": [blob.entry for blob in blobs]}
        manifest = _json({"schemaVersion": 2, "mediaType": _MANIFEST, **parts})
        return self._publish(_Content("manifest", _MANIFEST, manifest), [config, *blobs])

    def release(self) -> None:
        """Go on wherever it is silent or stalls."""
        self.released.set()

    def wait_until_sending(self, timeout: float = 5.0) -> bool:
        """Wait until something of a layer was sent; False after ``timeout`` seconds."""
        with self._changed:
            return self._changed.wait_for(lambda: self.layer_bytes, timeout) > 0

    def wait_until_asked(self, timeout: float = 5.0) -> bool:
        """Wait until anything was asked for; False after ``timeout`` seconds."""
        with self._changed:
            return self._changed.wait_for(self.requests.total, timeout) > 0

    def wait_until_idle(self, timeout: float = 5.0) -> bool:
        """Wait until no layer is under way; False after ``timeout`` seconds."""
        with self._changed:
            return self._changed.wait_for(lambda: not self._sending, timeout)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()
        self._server.shutdown()
        self._server.hang_up()
        self._server.server_close()
        self._thread.join()

    # For the handlers, each in a thread of its own

    def find(self, path: str) -> _Content | None:
        """Return what is asked for, and count that."""
        content = self._contents.get(path)
        with self._changed:
            self.requests[content.kind if content else "missing"] += 1
            self._changed.notify_all()
        return content

    @contextmanager
    def sending(self) -> Iterator[None]:
        """A layer is under way."""
        with self._changed:
            self._sending += 1
        try:
            yield
        finally:
            with self._changed:
                self._sending -= 1
                self._changed.notify_all()

    def count(self, size: int) -> None:
        """Count bytes of a layer."""
        with self._changed:
            self.layer_bytes += size
            self._changed.notify_all()

    def _publish(self, manifest: _Content, blobs: list[_Content]) -> str:
        name = f"image-{uuid.uuid4().hex[:8]}"
        self._contents |= {f"/v2/{name}/manifests/{reference}": manifest for reference in ("1", manifest.digest)}
        self._contents |= {f"/v2/{name}/blobs/{blob.digest}": blob for blob in blobs}
        return f"127.0.0.1:{self._server.server_port}/{name}:1"


def encoded(login: str) -> str:
    """Return a login as HTTP, and Docker's configuration, have it."""
    return base64.b64encode(login.encode()).decode()


class _Server(ThreadingHTTPServer):
    daemon_threads = False

    def __init__(self, registry: Registry) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.registry = registry
        self.connections: set[socket.socket] = set()

    def hang_up(self) -> None:
        """Close what the engine keeps open, so that the handlers end."""
        for connection in list(self.connections):
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server
    connection: socket.socket

    def setup(self) -> None:
        super().setup()
        self.server.connections.add(self.connection)

    def finish(self) -> None:
        self.server.connections.discard(self.connection)
        with suppress(OSError):
            super().finish()

    def handle(self) -> None:
        with suppress(OSError):  # the engine may leave at any time
            if self.connection.recv(1, socket.MSG_PEEK) == _TLS_HELLO:
                self.connection.sendall(b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n")
            else:
                super().handle()

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        registry = self.server.registry
        content = registry.find(self.path)
        if registry.silent and self._leaves_before_release():
            return
        status = registry.failures.get(content.kind) if content else 404
        if registry.login and self.headers.get("Authorization") != f"Basic {encoded(registry.login)}":
            status = 401
        if content is None or status:
            refusal = _json({"errors": [{"code": "DENIED", "message": "the registry says no"}]})
            content = _Content("refusal", "application/json", refusal)
        self._answer(status or 200, content)

    def _answer(self, status: int, content: _Content) -> None:
        first, size = self._first_byte(), len(content.data)
        self.send_response(206 if first else status)
        self.send_header("Content-Type", content.media_type)
        self.send_header("Content-Length", str(size - first))
        self.send_header("Docker-Content-Digest", content.digest)
        if status == 401:
            self.send_header("WWW-Authenticate", 'Basic realm="registry"')
        if first:
            self.send_header("Content-Range", f"bytes {first}-{size - 1}/{size}")
        self.end_headers()
        if self.command == "HEAD":
            return
        if content.kind != "layer":
            self.wfile.write(content.data[first:])
            return
        with self.server.registry.sending():
            self._send_layer(content.data, first)

    def _first_byte(self) -> int:
        """Return where an engine wants to go on that has a part already."""
        asked = _RANGE.match(self.headers.get("Range", ""))
        return int(asked[1]) if asked else 0

    def _send_layer(self, data: bytes, first: int) -> None:
        registry = self.server.registry
        for at in range(first, len(data), _PIECE):
            if self._ends_at(at):
                self.close_connection = True
                return
            piece = data[at : at + _PIECE]
            self.wfile.write(piece)
            registry.count(len(piece))

    def _ends_at(self, at: int) -> bool:
        """Wait as long as it should take to get there; return whether there is no going on."""
        registry = self.server.registry
        if registry.cut_after is not None and at >= registry.cut_after:
            return True
        if registry.stall_after is not None and at >= registry.stall_after and self._leaves_before_release():
            return True
        return bool(registry.bytes_per_second) and self._leaves_within(_PIECE / (registry.bytes_per_second or 1))

    def _leaves_before_release(self) -> bool:
        while not self.server.registry.released.is_set():
            if self._leaves_within(0.02):
                return True
        return False

    def _leaves_within(self, seconds: float) -> bool:
        """Wait; return at once if the engine closes the connection. It sends nothing before it has its answer."""
        return bool(select.select([self.connection], [], [], seconds)[0])

    def log_message(self, *args: object) -> None:
        """Say nothing."""


def _tar(name: str, data: bytes) -> bytes:
    """Return an archive of one file."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        entry = tarfile.TarInfo(name)
        entry.size, entry.mode = len(data), 0o755
        archive.addfile(entry, io.BytesIO(data))
    return buffer.getvalue()


def _image_config(tars: list[bytes]) -> dict[str, Any]:
    diff_ids = [f"sha256:{hashlib.sha256(tar).hexdigest()}" for tar in tars]
    return {
        "architecture": "amd64",
        "os": "linux",
        "config": {"Cmd": ["/file-0"]},
        "rootfs": {"type": "layers", "diff_ids": diff_ids},
    }


def _json(value: dict[str, Any]) -> bytes:
    return json.dumps(value).encode()
