"""Whether something is on a disk: no only if the disk says so, not if it does not let us look.

``Path.exists`` and its like say no, from Python 3.14 on, also where a folder is closed to us or the disk is broken:
what is on record would be taken for gone.
"""

from __future__ import annotations

import errno
import stat
from pathlib import Path

_ABSENT = {errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.EBADF}


def is_there(path: Path) -> bool:
    """Return whether it is there, whatever it is. Raises OSError."""
    return _mode(path) is not None


def is_folder(path: Path) -> bool:
    """Return whether it is a folder, or a link to one. Raises OSError."""
    mode = _mode(path)
    return mode is not None and stat.S_ISDIR(mode)


def is_file(path: Path) -> bool:
    """Return whether it is a file, or a link to one. Raises OSError."""
    mode = _mode(path)
    return mode is not None and stat.S_ISREG(mode)


def _mode(path: Path) -> int | None:
    try:
        return path.stat().st_mode
    except ValueError:  # no path may have a NUL in it
        return None
    except OSError as error:
        if error.errno in _ABSENT:
            return None
        raise
