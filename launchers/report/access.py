"""Who may see the live page: which names it is asked for by, and who has the token."""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
import secrets
import socket
from collections.abc import Iterable
from pathlib import Path

from flcore.disk.os_errors import in_words
from flcore.disk.safe_files import open_file
from flcore.errors import ConfigError

SHORTEST_TOKEN = 16
"""Characters. One that is made up here has 43."""
_LONGEST_TOKEN = 4096


class Access:
    """What the live page asks of a request.

    Args:
        token: what a reader must know; None where everybody on this host may read.
        names: names, beside addresses and this host's own, by which the page may be asked for. A page of another name
            is one of somebody else, whose name server says that it is here.
    """

    def __init__(self, token: str | None = None, names: Iterable[str] = ()) -> None:
        self._token = token
        self._names = {"localhost", *(name.lower().rstrip(".") for name in names)}
        self.session = secrets.token_urlsafe(32)
        """What a browser that has shown the token carries from then on, until this process ends."""

    @property
    def needs_token(self) -> bool:
        return self._token is not None

    def is_known_host(self, header: str) -> bool:
        """Whether a request's Host header names us: by an address, which no name server has a say in, or a name."""
        host = _without_port(header)
        return _is_address(host) or host.lower().rstrip(".") in self._names

    def is_token(self, text: str) -> bool:
        """Whether somebody knows the token. Takes as long whatever is wrong."""
        return self._token is not None and _is_same(text, self._token)

    def is_session(self, text: str) -> bool:
        """Whether a browser has shown the token before. Takes as long whatever is wrong."""
        return _is_same(text, self.session)


def is_loopback(host: str) -> bool:
    """Whether only this host can reach an address or name to listen at."""
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host == "localhost"


def own_names() -> list[str]:
    """Return the names that this host knows of itself."""
    return [socket.gethostname(), socket.getfqdn()]


def new_token() -> str:
    """Return a token that nobody guesses."""
    return secrets.token_urlsafe(32)


def read_token(path: Path) -> str:
    """Return the token in a file: all of it but white space around it. Raises ConfigError."""
    try:
        with open_file(path, follow=True) as file:
            text = file.read(_LONGEST_TOKEN + 1).decode("ascii").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"--token-file: {path} cannot be read: {in_words(error)}") from error
    if not SHORTEST_TOKEN <= len(text) <= _LONGEST_TOKEN or not text.isprintable() or " " in text:
        raise ConfigError(
            f"--token-file: {path} must hold one word of {SHORTEST_TOKEN} characters at least; make one: "
            f"python3 -c 'import secrets; print(secrets.token_urlsafe())' > {path}"
        )
    return text


def _is_same(text: str, wanted: str) -> bool:
    # Digests are of one length, whatever was sent: else the time would tell how long the token is.
    both = (hashlib.sha256(each.encode(errors="surrogatepass")).digest() for each in (text, wanted))
    return hmac.compare_digest(*both)


def _without_port(header: str) -> str:
    if header.startswith("["):
        return header.partition("]")[0].removeprefix("[")
    return header.partition(":")[0]


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True
