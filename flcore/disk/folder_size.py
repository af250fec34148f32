"""How much a folder holds that a job may write to: found out bit by bit, and never outside of it.

Each name counts as 4 KiB at least, for even what is empty takes its place: so there is an end to what must be looked
at until a limit is passed. What has several names counts in equal parts at each, so once if all of them are here.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Generator, Iterator
from dataclasses import dataclass
from pathlib import Path

from .safe_files import MAX_FOLDER_DEPTH, closing, open_folder

LEAST = 4096
"""Bytes that a name counts as, whatever it names."""
_BLOCK = 512
"""Of which ``st_blocks`` counts, on any file system."""
_OFTEN = 64
"""Names from one sum to the next."""
_CHANGED = frozenset({errno.ENOENT, errno.ENOTDIR, errno.ELOOP})
"""Errors of a folder that was removed, or replaced, since it was seen."""


@dataclass(frozen=True, slots=True)
class _Place:
    """A folder that is still to be looked at: none is kept open for that, and a name is kept only once."""

    name: str
    above: _Place | None
    depth: int


def sizes_so_far(folder: Path) -> Generator[int]:
    """Yield what has been found so far, in bytes on the disk, again and again; last of all what the whole folder holds.

    No link is followed, and no other file system entered. Of what changes meanwhile, some may count twice, or not at
    all. Closed early, it lets go of what it has open. Raises OSError for a folder that nobody may look into, and for
    more than ``MAX_FOLDER_DEPTH`` of them within each other.
    """
    with closing(open_folder(folder)) as top:
        device = os.fstat(top).st_dev
    total, names, places = LEAST, 1, [_Place("", None, 0)]
    while places:
        place = places.pop()
        for number, (name, info) in enumerate(_seen_in(folder, place), 1):
            if info.st_dev == device:
                total += _size(info)
                names += 1
                if stat.S_ISDIR(info.st_mode):
                    places.append(_below(place, name))
            if number % _OFTEN == 0:
                yield max(total, names * LEAST)
        yield max(total, names * LEAST)


def _seen_in(folder: Path, place: _Place) -> Iterator[tuple[str, os.stat_result]]:
    """Yield what is in one folder; nothing, if it is not there any more."""
    try:
        within = _open(folder, place)
    except OSError as error:
        if error.errno in _CHANGED and place.above:
            return
        raise
    with closing(within), os.scandir(within) as entries:
        for entry in entries:
            try:
                info = entry.stat(follow_symlinks=False)
            except FileNotFoundError:
                continue
            yield entry.name, info


def _size(info: os.stat_result) -> int:
    names = 1 if stat.S_ISDIR(info.st_mode) else max(1, info.st_nlink)
    return info.st_blocks * _BLOCK // names


def _below(place: _Place, name: str) -> _Place:
    if place.depth >= MAX_FOLDER_DEPTH:
        raise OSError(errno.EINVAL, f"more than {MAX_FOLDER_DEPTH} folders lie within each other", name)
    return _Place(name, place, place.depth + 1)


def _open(folder: Path, place: _Place) -> int:
    """Open a place step by step from the top: each step could have become a link."""
    names: list[str] = []
    while place.above:
        names.append(place.name)
        place = place.above
    within = open_folder(folder)
    for name in reversed(names):
        with closing(within):
            within = open_folder(name, within)
    return within
