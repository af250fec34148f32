"""A pull of an image by Docker Engine, which any thread can end at any time."""

from __future__ import annotations

import re
import socket
import threading
from collections.abc import Callable, Generator, Iterator
from contextlib import closing, suppress
from typing import Any

from flcore.errors import ImageError

from .base import PullProgress

Entry = dict[str, Any]
"""What the engine says at a time."""
Ask = Callable[[Callable[[Any], None]], Generator[Entry]]
"""Asks the engine over a connection of its own, after it has told of its socket."""

_COUNTDOWN = re.compile(r"Retrying in \d+ seconds?")


class DockerPull:
    """One pull. Closing its connection is what ends it in the engine.

    Until the registry has answered for the first time, an engine does not notice that; it does with the answer.
    """

    def __init__(self, image: str, ask: Ask, command: Callable[[], str] = lambda: "docker") -> None:
        self._image = image
        self._ask = ask
        self._command = command
        """Returns what an operator types, once the engine was asked."""
        self._socket: Any = None
        self._closed = False
        self._lock = threading.Lock()

    def __iter__(self) -> Iterator[PullProgress]:
        if self._closed:
            return
        try:
            with closing(self._ask(self._use)) as entries:
                for entry in entries:
                    if self._closed:
                        return
                    yield self._progress(entry)
        except Exception:
            if not self._closed:  # what the SDK raises over a connection that was shut down is no error
                raise
        finally:
            self._let_go()

    def close(self) -> None:
        with self._lock:
            self._closed = True
            if self._socket:
                with suppress(OSError):
                    self._socket.shutdown(socket.SHUT_RDWR)  # wakes its reader, which a mere close does not

    def _let_go(self) -> None:
        """Close the socket. Only its reader may: another thread's descriptor could have the same number by now."""
        self.close()
        with self._lock:
            used, self._socket = self._socket, None
            if used:
                used.close()

    def _use(self, used: Any) -> None:
        """Take note of the socket, before anything is sent over it."""
        with self._lock:
            self._socket = used
            if self._closed:
                raise ConnectionAbortedError("the pull was closed")

    def _progress(self, entry: Entry) -> PullProgress:
        if "errorDetail" in entry or "error" in entry:  # "error" alone may go, says the API's change log of 1.48
            said = (entry.get("errorDetail") or {}).get("message") or entry.get("error")
            raise pull_error(self._image, said, self._command())
        detail = entry.get("progressDetail")
        layer = "" if detail is None else entry.get("id", "")  # the id of what is said of the image is its tag
        status = _COUNTDOWN.sub("Retrying", entry.get("status", ""))
        return PullProgress(layer, status, (detail or {}).get("current", 0), (detail or {}).get("total", 0))


def pull_error(image: str, said: object, command: str) -> ImageError:
    """Return the error of a pull that the engine or the registry has refused."""
    words = " ".join(str(said).split())
    return ImageError(f"image {image} cannot be pulled: the engine says: {words}; try: {command} pull {image}")


class Hangup:
    """Ends what is asked over one socket, from any thread, be it before the engine has answered."""

    def __init__(self) -> None:
        self._socket: Any = None

    def use(self, used: Any) -> None:
        """Take note of the socket, before anything is sent over it."""
        self._socket = used

    def close(self) -> None:
        if self._socket:
            self._socket.shutdown(socket.SHUT_RDWR)


def tell_of_sockets(client: Any, tell: Callable[[Any], None]) -> None:
    """Have ``tell`` called with each socket that a ``DockerClient`` uses from now on, before it sends a request.

    The SDK shows no socket before the engine has answered, and to a pull it answers only after the registry has.
    """
    adapter = client.api.get_adapter(client.api.base_url)
    for name in ("get_connection", "get_connection_with_tls_context"):  # by the version of requests
        if hasattr(adapter, name):
            setattr(adapter, name, _telling_pools(getattr(adapter, name), tell))


def _telling_pools(find_pool: Callable[..., Any], tell: Callable[[Any], None]) -> Callable[..., Any]:
    def find_telling_pool(*args: Any, **kwargs: Any) -> Any:
        pool = find_pool(*args, **kwargs)
        # urllib3 and the SDK's own pools have no public name for what hands out a connection.
        pool._get_conn = _telling_connections(pool._get_conn, tell)
        return pool

    return find_telling_pool


def _telling_connections(get_connection: Callable[..., Any], tell: Callable[[Any], None]) -> Callable[..., Any]:
    def get_telling_connection(*args: Any, **kwargs: Any) -> Any:
        connection = get_connection(*args, **kwargs)
        connect = connection.connect

        def connect_and_tell() -> None:
            connect()
            _tell_of(connection, tell)

        connection.connect = connect_and_tell
        if connection.sock:  # it was used before, and stayed open
            _tell_of(connection, tell)
        return connection

    return get_telling_connection


def _tell_of(connection: Any, tell: Callable[[Any], None]) -> None:
    try:
        tell(connection.sock)
    except OSError:
        connection.close()
        raise
