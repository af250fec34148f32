"""What a disk has refused, in words: without a number that only programmers know, and with whose it is."""

from __future__ import annotations

import os
import pwd
from pathlib import Path


def in_words(error: BaseException) -> str:
    """Return what is to be told of an error: ``Permission denied: /a/b; /a belongs to the user root, …``."""
    if not isinstance(error, OSError) or error.strerror is None:
        return str(error)
    paths = [os.fsdecode(path) for path in (error.filename, error.filename2) if isinstance(path, str | bytes)]
    words = f"{error.strerror}: {', '.join(paths)}" if paths else error.strerror
    owner = foreign_owner(Path(paths[0])) if paths and isinstance(error, PermissionError) else ""
    return f"{words}; {owner}" if owner else words


def foreign_owner(path: Path) -> str:
    """Return whose a path is, or what of it can be looked at, and who asks; empty where that is the same, or root."""
    if not path.is_absolute() or os.geteuid() == 0:
        return ""
    for place in (path, *path.parents):
        try:
            owner = place.lstat().st_uid
        except OSError:
            continue
        belongs = f"{place} belongs to {whose(owner)}, this process to {whose(os.geteuid())}"
        return "" if owner == os.geteuid() else belongs
    return ""


def whose(uid: int) -> str:
    """Return a user by its name, or by its number where it has none."""
    return f"the user {user_name(uid)}"


def user_name(uid: int) -> str:
    """Return what a user is called; its number where it has no name."""
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)
