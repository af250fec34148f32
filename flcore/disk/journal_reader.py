"""Reading a journal again and again: a look reads what is new, and no more.

What is remembered lives as long as its reader, and nothing of it is written anywhere: a cache on the disk could be
stale, forged, or another user's, and somebody would believe it.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack
from itertools import zip_longest
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple, Self

from .journal_file import as_object, open_journal, whole_lines_of

_TAIL = 256
"""Bytes before the place that was reached, by which it is known again. A line of a site's has its time in there."""


Sift = Callable[[bytes], Iterable[bytes]]


class _Place(NamedTuple):
    """How far a file was read, and what tells that it is still that file, and still says the same."""

    file: tuple[int, int]
    size: int
    changed: int
    reached: int = 0
    """Behind the last whole line that was read."""
    tail: bytes = b""

    @classmethod
    def at_start_of(cls, file: BinaryIO) -> Self:
        info = os.fstat(file.fileno())
        return cls((info.st_dev, info.st_ino), info.st_size, info.st_mtime_ns)

    def is_continued_by(self, now: _Place, file: BinaryIO) -> bool:
        """Whether nothing but lines behind the last one has come, as far as size, time and the last bytes tell."""
        if self.file != now.file or now.size < self.reached:
            return False
        if now.size == self.size and now.changed != self.changed:
            return False  # written over
        return os.pread(file.fileno(), len(self.tail), self.reached - len(self.tail)) == self.tail


class JournalReader:
    """Gives each line of a journal once. For one thread at a time; making one touches no disk, nothing is kept open.

    Where the files are not those that were read, with more behind them, all is read anew: the oldest one has gone by a
    rotation, somebody has cut one off, or put another in its place. So what was told is always what the files tell.

    Args:
        path: the journal's newest file.
        sift: picks, of many lines, those that are to be parsed; by default all.
    """

    def __init__(self, path: Path, sift: Sift = lambda whole: whole.split(b"\n")[:-1]) -> None:
        self._path = path
        self._sift = sift
        self._places: list[_Place] = []

    def read(self, start_anew: Callable[[], None], take_in: Callable[[dict[str, Any]], None]) -> None:
        """Give the lines that are new, those of older files first; before all of them again, call ``start_anew``.

        A line that is not whole yet is not there. Raises OSError, after which the next look reads all anew.
        """
        with ExitStack() as stack:
            known, self._places = self._places, []
            files = open_journal(self._path, stack)
            now = [_Place.at_start_of(file) for file in files]
            if not _are_continued(known, now, files):
                known = []
            if not known:
                start_anew()
            self._places = [
                _read(file, place, there, lambda whole: self._give(whole, take_in))
                for file, place, there in zip_longest(files, known, now)
            ]

    def _give(self, whole: bytes, take_in: Callable[[dict[str, Any]], None]) -> None:
        for line in self._sift(whole):
            if (fields := as_object(line)) is not None:
                take_in(fields)


def _are_continued(known: Sequence[_Place], now: Sequence[_Place], files: Sequence[BinaryIO]) -> bool:
    """Whether the files are those that are known, of which only the last one has grown, and newer ones."""
    if len(now) < len(known):
        return False
    older = all(place.size == there.size for place, there in zip(known[:-1], now, strict=False))
    return older and all(
        place.is_continued_by(*there) for place, there in zip(known, zip(now, files, strict=True), strict=False)
    )


def _read(file: BinaryIO, known: _Place | None, now: _Place, give: Callable[[bytes], None]) -> _Place:
    """Give what is behind a place, all without one, and return how far that was."""
    if known and known.size == now.size:
        return known
    reached, last = (known.reached, known.tail) if known else (0, b"")
    file.seek(reached)
    for place, whole in whole_lines_of(file):
        reached, last = place, whole
        give(whole)
    return now._replace(reached=reached, tail=last[-_TAIL:])
