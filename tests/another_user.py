"""Another user's workspace, for tests: root takes another user's place, any other user shuts itself out."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

ANOTHER = 65534


@contextmanager
def as_another(folder: Path) -> Iterator[None]:
    """Have a folder be closed to who asks, and (as root) be another's."""
    mode = folder.stat().st_mode
    folder.chmod(0)
    user = os.geteuid()
    if user == 0:
        os.seteuid(ANOTHER)
    try:
        yield
    finally:
        os.seteuid(user)
        folder.chmod(mode)
