"""The id of a site's state folder, by which its containers are told from those of sites with the same name."""

from __future__ import annotations

import errno
import logging
import secrets
from contextlib import suppress
from pathlib import Path

from flcore.disk.safe_files import open_file
from flcore.job_meta import is_identifier

logger = logging.getLogger(__name__)

_LONGEST = 128
"""Bytes. A container's label may name any folder as its site's, so what is there is not presumed to be a site's."""
_NO_FILE = frozenset({errno.ELOOP, errno.EISDIR, errno.EINVAL, errno.ENXIO})
"""Errors that say that something is a link, a folder, a pipe or a socket."""


def made_site_id(folder: Path) -> str:
    """Return the id; make one if there is none, or none that can be read, which is kept aside. Raises OSError."""
    path = folder / "site-id"
    with suppress(FileNotFoundError):
        known = _what_is_there(path)
        if is_identifier(known):
            return known
        if known:
            path.replace(path.with_suffix(".unreadable"))
            logger.error("%s: the site's id cannot be read; it gets a new one, and has orphans", path)
    site_id = secrets.token_hex(8)
    part = path.with_suffix(".part")  # renamed when it is whole, so that the id is there as a whole or not at all
    part.unlink(missing_ok=True)  # whatever it is
    part.write_text(site_id)
    part.replace(path)
    return site_id


def read_site_id(folder: Path) -> str:
    """Return the id; empty if there is none. Raises OSError for what is no file."""
    with suppress(FileNotFoundError, UnicodeDecodeError), open_file(folder / "site-id") as file:
        return file.read(_LONGEST).decode()
    return ""


def _what_is_there(path: Path) -> str:
    """Return what stands there; of what is no file, something that is no id."""
    try:
        with open_file(path) as file:
            return file.read(_LONGEST + 1).decode(errors="replace")
    except OSError as error:
        if error.errno in _NO_FILE:
            return "-"
        raise
