"""The connections to one Docker Engine, as clients of its SDK."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext, suppress
from pathlib import Path
from typing import Any

from docker.context import ContextAPI
from docker.errors import APIError

from ..settings import EngineAddress, EngineTls
from .base import Whereabouts
from .docker_answer import FORBIDDEN, without_password
from .docker_api import EngineClient
from .docker_dialect import DOCKER, Dialect, dialect_of
from .docker_parent import shares_users
from .docker_pull import tell_of_sockets
from .docker_ssh import LOGINS, has_lost_connection, is_by_ssh, prepare
from .docker_tls import tls_files, tls_of
from .docker_version import ApiVersion
from .engine_traits import EngineTraits, as_traits

CALL_TIMEOUT = 60
"""Seconds for a call that changes something. A create of a loaded engine takes many."""
LOOK_TIMEOUT = 10
"""Seconds for a call that only looks: an engine that takes longer counts as unreachable."""


_DEFAULT_ADDRESS = "unix:///var/run/docker.sock"
"""What the SDK asks where nothing says otherwise."""


def default_address() -> str:
    """Return which engine is asked where no config names one, as the SDK finds it: 7.2 follows Docker's contexts."""
    address = os.environ.get("DOCKER_HOST")
    follow = getattr(ContextAPI, "kwargs_from_context", None)
    if not address and follow:
        with suppress(Exception):  # whatever is wrong with a context, another error is being told
            address = follow(environment=os.environ).get("base_url")
    return address or _DEFAULT_ADDRESS


def ask_what_it_is(api: Any) -> EngineTraits:
    """Return what an engine says that it is; who stands in front of it may forbid the question. Raises the SDK's."""
    try:
        info = api.info()
    except APIError as error:
        if error.status_code not in FORBIDDEN:
            raise
        info = {}
    mounts, users = (Path("/proc/self", name).read_text() for name in ("mountinfo", "uid_map"))
    return as_traits(api.version(), info, shares_users(mounts, users))


class DockerClients:
    """The clients of one engine, made when they are first needed: the first asks the engine for its version.

    A client has one timeout for all that it asks, so there is one for calls and one for looks, shared by all threads.

    Args:
        docker_host: the engine's address; None is what Docker's own command uses.
        tls: the files for it, if it is asked by TLS; None: as the environment says.
        given: the ``DockerClient`` to use for everything, and not to close; None is none.
    """

    def __init__(self, docker_host: str | None, tls: EngineTls | None, given: Any) -> None:
        self._docker_host = docker_host
        self._tls = tls
        self._given = given
        self._shared: dict[int, Any] = {}
        """By timeout."""
        self._outdated: list[Any] = []
        self._dialect: Dialect | None = None
        self._version = ApiVersion(self._begin_anew)
        """The API's, once an engine was asked for it: later clients need not ask again."""
        self._undo: Callable[[], None] | None = None
        """Has the given client be as it was."""
        self._lock = threading.Lock()

    @property
    def whereabouts(self) -> Whereabouts:
        """Where another process finds the engine; nobody knows where somebody's own client does."""
        if self._given:
            return Whereabouts()
        address = self._docker_host or default_address()
        files = tls_files(address, self._tls)
        is_verified = files and (self._tls or files.ca)  # else only the environment can say that it is not
        engine = EngineAddress(without_password(address), files if is_verified else None)
        return Whereabouts(engine, is_guessed=not self._docker_host and address == _DEFAULT_ADDRESS)

    @property
    def dialect(self) -> Dialect:
        """Return how the engine speaks; as Docker's does, as long as it was asked for nothing."""
        return self._dialect or DOCKER

    @property
    def calls(self) -> Any:
        return self._for_all(CALL_TIMEOUT)

    @property
    def looks(self) -> Any:
        return self._for_all(LOOK_TIMEOUT)

    @contextmanager
    def private(self, tell: Callable[[Any], None] | None = None) -> Iterator[Any]:
        """A client for one stream: closing it must not disturb a call. ``tell`` is called with each of its sockets."""
        client = self._connect(LOOK_TIMEOUT)
        if tell and client is not self._given:
            tell_of_sockets(client, tell)
        try:
            yield client
        finally:
            self._disconnect(client)

    def close(self) -> None:
        """Close what is shared. Idempotent; who asks afterwards gets a new client."""
        with self._lock:
            clients = [*self._shared.values(), *self._outdated]
            self._shared, self._outdated = {}, []
            undo, self._undo = self._undo, None
        for client in clients:
            self._disconnect(client)
        if undo:
            undo()

    def _begin_anew(self) -> None:
        """Have new clients be made. Others may still be asking with the old ones, which therefore stay open."""
        with self._lock:
            self._outdated += self._shared.values()
            self._shared = {}

    def _for_all(self, timeout: int) -> Any:
        known = self._shared.get(timeout)
        if known and not has_lost_connection(known):
            return known
        if known:
            self._forget(timeout, known)
        client = self._connect(timeout)  # not under the lock: an engine that hangs must hold up nobody else
        with self._lock:
            kept = self._shared.setdefault(timeout, client)
        if kept is not client:  # another thread was faster
            self._disconnect(client)
        return kept

    def _forget(self, timeout: int, client: Any) -> None:
        with self._lock:
            if self._shared.get(timeout) is client:  # else another thread was faster
                del self._shared[timeout]
        self._disconnect(client)

    def _connect(self, timeout: int) -> Any:
        if self._given:
            with self._lock:
                self._undo = self._undo or self._version.heed(self._given.api)
            self._dialect = self._dialect or dialect_of(self._given.api.version())
            return self._given
        client = self._new_client(version=self._version.agreed, timeout=timeout)
        self._dialect = self._dialect or dialect_of(client.api.engine)
        self._version.note(client.api.api_version)
        self._version.heed(client.api)
        if client.api.base_url.startswith("http+docker://"):
            # No proxy stands before a socket of this host, and no login for one: to read all variables for that, at
            # each call, is a third of what a call costs.
            client.api.trust_env = False
            if is_by_ssh(client):
                prepare(client, timeout)
            else:
                _keep_no_connections(client)
        return client

    def _new_client(self, **how: Any) -> Any:
        if address := self._docker_host or os.environ.get("DOCKER_HOST"):
            with LOGINS if address.startswith("ssh://") else nullcontext():
                return EngineClient(base_url=address, tls=tls_of(address, self._tls), **how)
        return EngineClient.from_env(**how)  # of the current context, which says by itself how it is asked

    def _disconnect(self, client: Any) -> None:
        if client is not self._given:
            client.close()


def _keep_no_connections(client: Any) -> None:
    """Have each call to a local socket make a connection of its own.

    The SDK would keep one open for each of the last 25 URLs, and use none again: every container has URLs of its own,
    so these would only take up descriptors here and in the engine.
    """
    client.api.headers["Connection"] = "close"
    client.api.close()  # the one on which it asked for the version; it makes others when it needs them
