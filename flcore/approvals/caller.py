"""Who calls, by the operating system: what somebody says of themselves does not count."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from ..disk.os_errors import user_name

_LOGIN = Path("/proc/self/loginuid")
_NOBODY_LOGGED_IN = 2**32 - 1


class Caller(NamedTuple):
    """A user of this host."""

    uid: int
    name: str
    """Its number, where it has no name."""


def caller() -> Caller:
    """Return the user who has logged in, whoever they are by now (``sudo``, ``su``); else that of this process.

    Linux notes who has logged in where PAM has it do so (``pam_loginuid``), and lets no user but root change it.
    """
    uid = _login_uid()
    return caller_of(os.getuid() if uid is None else uid)


def caller_of(uid: int) -> Caller:
    """Return a user by its number."""
    return Caller(uid, user_name(uid))


def _login_uid() -> int | None:
    with suppress(OSError, ValueError):
        uid = int(_LOGIN.read_text())
        return None if uid == _NOBODY_LOGGED_IN else uid
    return None
