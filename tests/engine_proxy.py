"""A socket between a launcher and its engine that can misbehave on command, and counts what passes.

Whatever is not asked for passes byte for byte. A thread per connection: this serves tests, not production.
"""

from __future__ import annotations

import json
import os
import random
import re
import select
import socket
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Self

_END_OF_HEAD = b"\r\n\r\n"
_VERSION = re.compile(r"^/v[0-9.]+(?=/)")
_OWN_NAME = re.compile(r"^/(containers|networks|volumes|exec|services|tasks)/(?!json$|create$|prune$)([^/]+)")
_IMAGE_NAME = re.compile(
    r"^/images/(?!json$|create$|prune$|search$|load$|get$)(.+?)(?=/json$|/tag$|/history$|/push$|$)"
)
_GONE_IN_29 = ("id", "status", "from")
_HANG_LOOK = 0.05
"""Seconds between two looks whether the client of a hanging request still waits."""


class _ConnectionEndedError(Exception):
    """One of the two ends has gone."""


@dataclass(frozen=True, slots=True)
class Counts:
    """What passed since the proxy was made or reset; ``open`` and ``most_open`` are connections at one time."""

    requests: Counter[str]
    """By kind, such as ``GET /containers/{id}/json``."""
    connections: int
    open: int
    most_open: int
    events: int
    events_dropped: int


@dataclass(slots=True)
class Rule:
    """Holds up the requests whose ``METHOD /path`` matches, until it is released."""

    pattern: re.Pattern[str]
    seconds: float | None
    """None is until the release."""
    held_up: int = 0
    """How many requests it has held up so far."""
    _released: threading.Event = field(default_factory=threading.Event)

    def release(self) -> None:
        """Let all pass that wait, and all that come. Idempotent."""
        self._released.set()

    def hold(self, client: socket.socket) -> None:
        """Return when the time is up or the rule released. Raises if the client goes away."""
        if self._released.is_set():
            return
        self.held_up += 1
        left = self.seconds
        while (left is None or left > 0) and not self._released.wait(min(_HANG_LOOK, left or _HANG_LOOK)):
            left = None if left is None else left - _HANG_LOOK
            _raise_if_gone(client)


class EngineProxy:
    """Listens on a unix socket and passes everything on to an engine's. Use as a context manager.

    Args:
        upstream: the engine's socket, a path or ``unix://`` address.
        listen: the path of the socket to make.
        user: to whom it belongs, where this process may give it away.
    """

    def __init__(self, upstream: str | Path, listen: str | Path, user: int | None = None) -> None:
        self._upstream = str(upstream).removeprefix("unix://")
        self._path = Path(listen)
        self._user = user
        self._rules: list[Rule] = []
        self._callbacks: list[tuple[re.Pattern[str], Callable[[str], None]]] = []
        self._connections: set[_Connection] = set()
        self._lock = threading.Lock()
        self._listener: socket.socket | None = None
        self._drop: tuple[float, random.Random] = (0.0, random.Random(0))
        self.stall_new_events = False
        """Whether event streams that are opened from now on deliver nothing."""
        self.events_as_of_29 = False
        """Whether events are without the fields that Docker 29 leaves out (API 1.52, by the API's change log)."""
        self._most_open = 0
        self._reset()
        self.accept()

    @property
    def host(self) -> str:
        """The address for a launcher's ``docker_host``."""
        return f"unix://{self._path}"

    # What passes

    @property
    def counts(self) -> Counts:
        with self._lock:
            return Counts(
                requests=Counter(self._requests),
                connections=self._accepted,
                open=len(self._connections),
                most_open=self._most_open,
                events=self._events,
                events_dropped=self._events_dropped,
            )

    def reset_counts(self) -> None:
        """Count from zero; connections that are open stay counted as open."""
        with self._lock:
            self._reset()

    # Switches

    def refuse(self) -> None:
        """Refuse new connections, and cut all that are open, as an engine that is not there does."""
        with self._lock:
            listener, self._listener = self._listener, None
        if listener:
            _shut(listener)
        self._cut(lambda connection: True)

    def accept(self) -> None:
        """Accept connections (again)."""
        with self._lock:
            if self._listener:
                return
            self._path.unlink(missing_ok=True)
            self._listener = socket.socket(socket.AF_UNIX)
            self._listener.bind(str(self._path))
            if self._user is not None:
                os.chown(self._path, self._user, self._user)
            self._listener.listen(128)
            listener = self._listener
        threading.Thread(target=self._accept, args=(listener,), name="proxy-accept", daemon=True).start()

    def cut_events(self) -> None:
        """Cut all event streams now, in the middle of a line if it comes so."""
        self._cut(lambda connection: connection.is_event_stream)

    def stall_events(self) -> None:
        """Have the event streams that are open now deliver nothing any more, and never end: half-open connections."""
        with self._lock:
            streams = [connection for connection in self._connections if connection.is_event_stream]
        for stream in streams:
            stream.stalled = True

    def drop_events(self, share: float, seed: int = 0) -> None:
        """Lose this share of all events from now on, drawn from a generator of this seed."""
        with self._lock:
            self._drop = (share, random.Random(seed))

    def hang(self, pattern: str) -> Rule:
        """Hold up the requests whose ``METHOD /path?query`` the pattern is found in; the engine sees them later."""
        return self._add_rule(pattern, None)

    def delay(self, pattern: str, seconds: float) -> Rule:
        """Hold each such request up for some seconds."""
        return self._add_rule(pattern, seconds)

    def before(self, pattern: str, callback: Callable[[str], None]) -> None:
        """Call with ``METHOD /path?query`` before such a request is passed on, on the connection's thread."""
        self._callbacks.append((re.compile(pattern), callback))

    def close(self) -> None:
        """End all connections. Idempotent."""
        for rule in self._rules:
            rule.release()
        self.refuse()
        self._path.unlink(missing_ok=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    # For the connections

    def connect(self) -> socket.socket:
        upstream = socket.socket(socket.AF_UNIX)
        try:
            upstream.connect(self._upstream)
        except OSError:
            upstream.close()
            raise
        return upstream

    def note_request(self, request: str, client: socket.socket) -> None:
        """Count a request, and do to it what the switches say."""
        with self._lock:
            self._requests[kind_of(request)] += 1
            rules = list(self._rules)
        for pattern, callback in self._callbacks:
            if pattern.search(request):
                callback(request)
        for rule in rules:
            if rule.pattern.search(request):
                rule.hold(client)

    def lets_pass(self) -> bool:
        """Whether the next event gets through."""
        with self._lock:
            share, rng = self._drop
            dropped = rng.random() < share
            self._events += 1
            self._events_dropped += dropped
            return not dropped

    def as_told(self, event: bytes) -> bytes:
        """Return an event as the client is to have it."""
        if not self.events_as_of_29:
            return event
        fields = json.loads(event)
        return json.dumps({key: fields[key] for key in fields if key not in _GONE_IN_29}).encode()

    def _accept(self, listener: socket.socket) -> None:
        while True:
            try:
                client, _ = listener.accept()
            except OSError:
                return
            connection = _Connection(self, client)
            with self._lock:
                self._accepted += 1
                self._connections.add(connection)
                self._most_open = max(self._most_open, len(self._connections))
            threading.Thread(target=self._serve, args=(connection,), name="proxy-connection", daemon=True).start()

    def _serve(self, connection: _Connection) -> None:
        try:
            with suppress(_ConnectionEndedError, OSError):
                connection.serve()
        finally:
            with self._lock:
                self._connections.discard(connection)
            connection.close()

    def _cut(self, chosen: Callable[[_Connection], bool]) -> None:
        with self._lock:
            connections = [connection for connection in self._connections if chosen(connection)]
        for connection in connections:
            connection.cut()

    def _add_rule(self, pattern: str, seconds: float | None) -> Rule:
        rule = Rule(re.compile(pattern), seconds)
        with self._lock:
            self._rules.append(rule)
        return rule

    def _reset(self) -> None:
        self._requests: Counter[str] = Counter()
        self._accepted = self._events = self._events_dropped = 0
        self._most_open = len(self._connections)


class _Connection:
    """One client's connection and its counterpart at the engine: requests one after the other."""

    def __init__(self, proxy: EngineProxy, client: socket.socket) -> None:
        self._proxy = proxy
        self._client = client
        self._upstream: socket.socket | None = None
        self.is_event_stream = False
        self.stalled = False

    def serve(self) -> None:
        upstream = self._upstream = self._proxy.connect()
        requests = _Reader(self._client)
        answers = _Reader(upstream, watched=self._client)
        while head := requests.head():
            request = " ".join(head.split(b"\r\n", 1)[0].decode("latin-1").split(" ")[:2])
            self._proxy.note_request(request, self._client)
            upstream.sendall(head)
            for part in requests.body(head, nothing_else=True):
                upstream.sendall(part)
            if not self._answer(request, answers):
                return

    def cut(self) -> None:
        for end in (self._client, self._upstream):
            if end:
                with suppress(OSError):
                    end.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        self._client.close()
        if self._upstream:
            self._upstream.close()

    def _answer(self, request: str, answers: _Reader) -> bool:
        """Pass the answer on; False if the connection has served its time."""
        head = answers.head()
        while head and head.split(b" ", 2)[1] == b"100":
            self._client.sendall(head)
            head = answers.head()
        if not head:
            return False
        if kind_of(request) == "GET /events":
            self.stalled = self._proxy.stall_new_events
            self.is_event_stream = True
        self._client.sendall(head)
        status = head.split(b" ", 2)[1]
        if status == b"101":
            self._tunnel(answers)
            return False
        if not request.startswith("HEAD ") and status not in (b"204", b"304"):
            self._pass_body(head, answers)
        return _header(head, b"connection") != b"close"

    def _pass_body(self, head: bytes, answers: _Reader) -> None:
        if self.is_event_stream and _is_chunked(head):
            self._pass_events(answers)
            return
        for part in answers.body(head):
            self._client.sendall(part)

    def _pass_events(self, answers: _Reader) -> None:
        """Pass on, line by line, what the switches let pass."""
        line = b""
        for chunk in answers.chunks():
            *lines, line = (line + _payload(chunk)).split(b"\n")
            passed = b"".join(self._proxy.as_told(one) + b"\n" for one in lines if self._proxy.lets_pass())
            if passed and not self.stalled:
                self._client.sendall(b"%x\r\n%s\r\n" % (len(passed), passed))
        if self.stalled:
            _wait_for_end(self._client)
        self._client.sendall(b"0\r\n\r\n")

    def _tunnel(self, answers: _Reader) -> None:
        """Pass on whatever comes, both ways, until one end closes."""
        self._client.sendall(answers.rest())
        ends = {self._client: answers.source, answers.source: self._client}
        while True:
            for end in select.select(list(ends), [], [])[0]:
                data = end.recv(65536)
                if not data:
                    return
                ends[end].sendall(data)


class _Reader:
    """Reads HTTP/1.1 messages from a socket, as the bytes that they are.

    ``watched``: whoever waits for what is read; reading ends when it goes away.
    """

    def __init__(self, source: socket.socket, watched: socket.socket | None = None) -> None:
        self.source = source
        self._watched = watched
        self._buffer = b""

    def head(self) -> bytes:
        """Return the first line and the headers; nothing at the end of the connection."""
        while _END_OF_HEAD not in self._buffer:
            data = self._receive()
            if not data:
                return b""
            self._buffer += data
        return self._take(self._buffer.index(_END_OF_HEAD) + len(_END_OF_HEAD))

    def body(self, head: bytes, nothing_else: bool = False) -> Iterator[bytes]:
        """Yield the body in pieces. Without a length it lasts until the end, or is ``nothing_else``."""
        length = _header(head, b"content-length")
        if _is_chunked(head):
            yield from self.chunks()
        elif length is not None:
            yield from self._exactly(int(length))
        elif not nothing_else:
            yield self.rest()
            while data := self._receive():
                yield data

    def chunks(self) -> Iterator[bytes]:
        """Yield each chunk with its frame, the last one, which is empty, too."""
        while True:
            start = self._line()
            size = int(start.split(b";")[0], 16)
            yield start + b"".join(self._exactly(size + 2))
            if size == 0:
                return

    def rest(self) -> bytes:
        """Return what was read too far."""
        return self._take(len(self._buffer))

    def _line(self) -> bytes:
        while b"\r\n" not in self._buffer:
            self._buffer += self._receive() or _raise_ended()
        return self._take(self._buffer.index(b"\r\n") + 2)

    def _exactly(self, size: int) -> Iterator[bytes]:
        while size > 0:
            data = self._take(size) or self._receive() or _raise_ended()
            self._buffer = data[size:] + self._buffer
            yield data[:size]
            size -= len(data[:size])

    def _take(self, size: int) -> bytes:
        taken, self._buffer = self._buffer[:size], self._buffer[size:]
        return taken

    def _receive(self) -> bytes:
        while self._watched:
            ready = select.select([self.source, self._watched], [], [])[0]
            if self.source in ready:
                break
            _raise_if_gone(self._watched)
            self._watched = None  # it sends its next request early, so its end cannot be seen
        return self.source.recv(65536)


def kind_of(request: str) -> str:
    """Return ``METHOD /path`` without version, query, ids and names."""
    method, _, path = request.partition(" ")
    path = _VERSION.sub("", path.partition("?")[0])
    path = _IMAGE_NAME.sub("/images/{name}", _OWN_NAME.sub(r"/\1/{id}", path))
    return f"{method} {path}"


def _header(head: bytes, name: bytes) -> bytes | None:
    for line in head.split(b"\r\n")[1:]:
        key, _, value = line.partition(b":")
        if key.strip().lower() == name:
            return value.strip().lower()
    return None


def _is_chunked(head: bytes) -> bool:
    return _header(head, b"transfer-encoding") == b"chunked"


def _payload(chunk: bytes) -> bytes:
    return chunk.partition(b"\r\n")[2][:-2]


def _raise_ended() -> bytes:
    raise _ConnectionEndedError


def _raise_if_gone(end: socket.socket) -> None:
    if select.select([end], [], [], 0)[0] and not end.recv(1, socket.MSG_PEEK):
        raise _ConnectionEndedError


def _wait_for_end(end: socket.socket) -> None:
    while end.recv(65536):
        pass
    raise _ConnectionEndedError


def _shut(listener: socket.socket) -> None:
    """Close a listening socket under a thread that accepts on it."""
    with suppress(OSError):
        listener.shutdown(socket.SHUT_RDWR)
    listener.close()
