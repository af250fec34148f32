"""A host that is reached by ssh and has an engine: it runs ``docker system dial-stdio``, as a real one does."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import Event, Thread
from typing import Any

import paramiko

_DIAL = b"docker system dial-stdio"


class SshServer:
    """Lets in who has its key, and gives each session a connection to the engine's socket."""

    def __init__(self, home: Path, engine: Path) -> None:
        self._engine = str(engine)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._key = paramiko.ECDSAKey.generate()
        self._logins: list[Any] = []
        self._sessions: list[_Login] = []
        self.known_hosts = home / ".ssh/known_hosts"
        self.known_hosts.parent.mkdir(parents=True)
        self.known_hosts.write_text(f"[127.0.0.1]:{self.port} ecdsa-sha2-nistp256 {self._key.get_base64()}\n")
        self._key.write_private_key_file(str(home / ".ssh/id_ecdsa"))  # the host's and the user's are one
        Thread(target=self._serve, daemon=True).start()

    @property
    def address(self) -> str:
        return f"ssh://user@127.0.0.1:{self.port}"

    @property
    def logins(self) -> int:
        """How many there were."""
        return len(self._logins)

    @property
    def most_sessions(self) -> int:
        """How many of one login were open at the same time."""
        return max(session.most for session in self._sessions)

    def lose_connections(self) -> None:
        """Drop all who are logged in."""
        for login in self._logins:
            login.close()

    def close(self) -> None:
        with suppress(OSError):  # closed already
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self.lose_connections()

    def _serve(self) -> None:
        with suppress(OSError):  # closed
            while True:
                connection, _ = self._listener.accept()
                login = paramiko.Transport(connection)
                login.add_server_key(self._key)
                self._logins.append(login)
                self._sessions.append(_Login(self._engine))
                with suppress(paramiko.SSHException, EOFError):  # who has gone away again
                    login.start_server(Event(), self._sessions[-1])


class _Login(paramiko.ServerInterface):  # type: ignore[misc]  # its base is of a package that is not installed here
    def __init__(self, engine: str) -> None:
        self._engine = engine
        self._open: set[int] = set()
        self.most = 0

    def check_auth_publickey(self, username: str, key: Any) -> int:
        return int(paramiko.AUTH_SUCCESSFUL)

    def get_allowed_auths(self, username: str) -> str:
        return "publickey"

    def check_channel_request(self, kind: str, chanid: int) -> int:
        return int(paramiko.OPEN_SUCCEEDED)

    def check_channel_exec_request(self, channel: Any, command: bytes) -> bool:
        if command == _DIAL:
            self._open.add(channel.get_id())
            self.most = max(self.most, len(self._open))
            Thread(target=self._serve, args=(channel,), daemon=True).start()
        return command == _DIAL

    def _serve(self, channel: Any) -> None:
        _dial(channel, self._engine)
        self._open.discard(channel.get_id())


def _dial(channel: Any, engine: str) -> None:
    """Pass on what comes from either side, as long as there is another."""
    with socket.socket(socket.AF_UNIX) as there, suppress(OSError, EOFError):
        there.connect(engine)
        asked = Thread(target=_pass_on, args=(channel, there), daemon=True)
        asked.start()
        _pass_on(there, channel)
    with suppress(OSError, EOFError):
        channel.close()


def _pass_on(source: Any, sink: Any) -> None:
    with suppress(OSError, EOFError):
        while data := source.recv(1 << 16):
            sink.sendall(data)
        sink.shutdown(socket.SHUT_WR)


@contextmanager
def ssh_server(home: Path, engine: Path) -> Iterator[SshServer]:
    """Have one answer, until the end of the block."""
    server = SshServer(home, engine)
    try:
        yield server
    finally:
        server.close()
