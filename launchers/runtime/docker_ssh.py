"""An engine that is asked through ssh, by paramiko, which is an extra: what fails there, and when a login is lost.

The SDK logs in when it makes a client, and never again: a client whose connection is lost says so of all that follows.
"""

from __future__ import annotations

import socket
import weakref
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from threading import Semaphore
from typing import Any

try:
    from paramiko.ssh_exception import SSHException
except ImportError:  # then the SDK, too, refuses such an address
    SSHException = EOFError

SSH_ERRORS: tuple[type[Exception], ...] = (SSHException, EOFError)
"""What paramiko raises beside an OSError."""
_SSH = "http+docker://ssh"
"""What the SDK calls an engine behind ssh."""
_SESSIONS = 4
"""The most that are open of one login at a time: each is a process of the host's, which grants ten or so."""
LOGINS = Semaphore(4)
"""Who logs in at this moment. OpenSSH drops some of more than ten, unless its MaxStartups says otherwise."""
_KEEP_ALIVE = 30
"""Seconds after which something is sent, so that a connection that nobody uses is known to be lost."""
_UNANSWERED = 60_000
"""Milliseconds after which a connection is lost, whose other end confirms nothing."""


def is_by_ssh(client: Any) -> bool:
    return getattr(client.api, "base_url", "") == _SSH  # somebody's own client may have none


def prepare(client: Any, timeout: float) -> None:
    """Have a client of ssh keep no session open between two calls, and fail in time where nobody answers."""
    adapter = client.api.get_adapter(_SSH)
    adapter.pools.clear()  # with the session in which it asked for the version
    adapter.get_connection = _Sessions(adapter.get_connection, timeout).find_pool
    if transport := _transport(client):
        transport.channel_timeout = timeout
        transport.set_keepalive(_KEEP_ALIVE)
        with suppress(OSError, AttributeError):  # it goes through a command that the user has named
            transport.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, _UNANSWERED)


class _Sessions:
    """The sessions of one login, each for one call, and no more at a time than a host grants.

    By ``Connection: close`` one would end when its answer begins, and the rest be lost: what reads a session keeps it
    open no longer than its owner does.
    """

    def __init__(self, find_pool: Callable[..., Any], timeout: float) -> None:
        self._find_pool = find_pool
        self._timeout = timeout
        self._free = Semaphore(_SESSIONS)

    def find_pool(self, *args: Any, **kwargs: Any) -> Any:
        pool = self._find_pool(*args, **kwargs)
        # urllib3 has no public names for what hands out a connection, and takes it back.
        hand_out = partial(type(pool)._get_conn, pool)  # not the pool's own: it may have been here before
        pool._get_conn, pool._put_conn = partial(self._begin, hand_out), _end
        return pool

    def _begin(self, new_connection: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        if not self._free.acquire(timeout=self._timeout):
            raise SSHException(f"{_SESSIONS} sessions are open, and none has ended in {self._timeout:g} s")
        connection = new_connection(*args, **kwargs)
        give_back = weakref.finalize(connection, self._free.release)  # once, however often it is closed, or never
        connection.connect = partial(_connect, connection.connect)
        connection.close = partial(_close, connection.close, give_back)
        return connection


def _connect(connect: Callable[[], None]) -> None:
    try:
        connect()
    except (OSError, EOFError) as error:  # urllib3 would wait for an answer to what was not sent
        raise SSHException("the connection is lost") from error


def _close(close: Callable[[], None], give_back: Callable[[], object]) -> None:
    try:
        close()
    finally:
        give_back()


def _end(connection: Any) -> None:
    if connection:
        connection.close()


def has_lost_connection(client: Any) -> bool:
    """Whether a client was logged in by ssh, and is no more."""
    if not is_by_ssh(client) or client.api.get_adapter(_SSH).ssh_client is None:  # somebody's own, by the ssh command
        return False
    transport = _transport(client)
    return transport is None or not transport.is_active()


def _transport(client: Any) -> Any:
    return client.api.get_adapter(_SSH).ssh_client.get_transport()
