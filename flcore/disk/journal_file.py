"""A file of JSON lines that several processes write, that is rotated, and that no crash leaves torn.

::

    <name>       the newest lines
    <name>.1     older ones; .2 still older
    .<name>.lock held while one process writes, or opens all of them to read

The lines may be chained: see :mod:`flcore.disk.journal_chain`.
"""

from __future__ import annotations

import json
import logging
import os
import re
import threading
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext, suppress
from itertools import count
from pathlib import Path
from typing import Any, BinaryIO

from .journal_chain import head_of, next_line
from .locks import exclusively
from .presence import is_there
from .safe_files import open_file

logger = logging.getLogger(__name__)

_MODE = 0o640
MAX_LINE = 1 << 20
"""Bytes of a line, at most, that is read: no journal of a site's has as long ones."""
_AT_ONCE = 1 << 18
"""Bytes that are read at once: what the processor keeps near is looked through faster."""
_MOST_LINES = 1 << 11
"""Bytes in which most lines have room."""
_NUMBER = re.compile(r"[1-9][0-9]{0,5}", re.ASCII)
"""How often a file was rotated, as its name says. A date, as others put it there, is longer."""
_APPEND = os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC


class JournalFile:
    """Writes the lines. Safe to use from several threads and processes. Making one touches no disk.

    A line is there as a whole or not at all: what a power cut or a full disk left of one is cut off before the next.

    Args:
        path: the newest file.
        max_size: bytes of a file, at most, before the next one begins.
        max_files: how many there are; what is older is removed.
        chained: whether each line carries the hash of the one before: that which is on disk then, whoever wrote it.
    """

    def __init__(self, path: Path, max_size: int, max_files: int, *, chained: bool = False) -> None:
        self._path = path
        self._max_size = max_size
        self._max_files = max_files
        self._chained = chained
        self._descriptor: int | None = None
        self._lock = threading.Lock()

    def write(self, fields: Mapping[str, Any], *, durable: bool = False) -> str:
        """Append a line, and return the journal's head, which is empty without a chain. Raises OSError.

        ``durable``: return when it, and all before it, would survive a power cut.
        """
        body = json.dumps(fields, default=str).encode()
        with self._exclusively():
            descriptor = self._current()
            size, last = _mended(descriptor)
            line, head = self._next_line(body, last, is_first=not size)
            if size and size + len(line) > self._max_size:
                descriptor, size = self._rotate(descriptor), 0
                line, head = self._next_line(body, last, is_first=True)
            try:
                _append(descriptor, line, size, durable, self._path)
            finally:
                if not size:
                    self._remove_oldest()
        return head

    def settle(self) -> str:
        """Have all lines survive a power cut, and return the head; empty without a chain, or a line. Raises OSError."""
        with self._exclusively():
            descriptor = self._current()
            os.fdatasync(descriptor)
            last = _mended(descriptor)[1] or self._last_of_older()
        return str(head_of(last)) if last and self._chained else ""

    def close(self) -> None:
        """Close the file. Idempotent."""
        with self._lock:
            self._let_go()

    def _current(self) -> int:
        """Return the descriptor of the file that has the path now: another process may have rotated it."""
        if self._descriptor is not None:
            with suppress(FileNotFoundError):
                if os.path.samestat(os.fstat(self._descriptor), self._path.stat()):
                    return self._descriptor
            self._let_go()
        self._descriptor = os.open(self._path, _APPEND, _MODE)
        return self._descriptor

    def _next_line(self, body: bytes, last: bytes, *, is_first: bool) -> tuple[bytes, str]:
        """Return a line behind the last one of this file, and the head. ``is_first``: it begins a file."""
        if not self._chained:
            return body + b"\n", ""
        line, head = next_line(body, head_of(last or self._last_of_older()), self._max_files if is_first else 0)
        return line, str(head)

    def _last_of_older(self) -> bytes:
        """Return the last line before this file; empty if there is none."""
        for path in reversed(journal_files(self._path)):
            with open_file(path, follow=True) as file:
                if line := _last_line(file.fileno(), os.fstat(file.fileno()).st_size)[1]:
                    return line
        return b""

    def _rotate(self, descriptor: int) -> int:
        """Begin another file. Whatever breaks it off, each line is still in one of the files, and they are in order."""
        os.fdatasync(descriptor)
        self._let_go()
        taken = set(_numbers(self._path))
        free = next(number for number in count(1) if number not in taken)  # one may be left by who was killed here
        for number in range(free, 0, -1):
            with suppress(FileNotFoundError):
                _older(self._path, number - 1).replace(_older(self._path, number))
        return self._current()

    def _remove_oldest(self) -> None:
        """Remove the files that are too many. Only when the newest has its first line, which says why they are gone."""
        for number in _numbers(self._path):
            if number >= self._max_files:
                _older(self._path, number).unlink(missing_ok=True)

    @contextmanager
    def _exclusively(self) -> Iterator[None]:
        with self._lock, exclusively(_lock_path(self._path), os.O_RDWR | os.O_CREAT):
            yield

    def _let_go(self) -> None:
        descriptor, self._descriptor = self._descriptor, None
        if descriptor is not None:
            os.close(descriptor)


def read_journal(path: Path) -> Iterator[dict[str, Any]]:
    """Yield the lines of a journal, those of older files first; none if there is no file.

    It may be written meanwhile: a line that is not whole yet is not there. Raises OSError.
    """
    with ExitStack() as stack:
        for file in open_journal(path, stack):
            for _, whole in whole_lines_of(file):
                for line in whole.split(b"\n")[:-1]:
                    if (fields := as_object(line)) is not None:
                        yield fields


def open_journal(path: Path, stack: ExitStack) -> list[BinaryIO]:
    """Open the files of a journal, the oldest first, as they are at one moment. Raises OSError."""
    return list(open_journal_by_name(path, stack).values())


def open_journal_by_name(path: Path, stack: ExitStack) -> dict[str, BinaryIO]:
    """Do the same, and say how each file is called."""
    with _unrotated(path):
        return {file.name: stack.enter_context(open_file(file, follow=True)) for file in journal_files(path)}


def whole_lines_of(file: BinaryIO) -> Iterator[tuple[int, bytes]]:
    """Yield the lines from where a file stands, many at once, and the place behind them; none that is not whole yet.

    Of one that is longer than any of a site's, its end is there at most, which is no JSON object.
    """
    place = file.tell()
    while some := file.read(_AT_ONCE) + file.readline(MAX_LINE):
        end = some.rfind(b"\n") + 1
        if end:
            yield place + end, some[:end]
        if 0 < len(some) - end < MAX_LINE:
            return
        place += len(some)


def as_written(name: str, value: Any) -> bytes:
    """Return how a field stands in a line."""
    return json.dumps({name: value}).encode()[1:-1]


def as_object(line: bytes) -> dict[str, Any] | None:
    """Return what a line says; None, and a warning, if it is no JSON object."""
    try:
        # As text it need not be found out anew, line by line, how it is encoded.
        return dict(json.loads(line.decode(errors="surrogatepass") if line.startswith(b"{") else line))
    except (TypeError, ValueError, RecursionError) as error:
        logger.warning("a line of the journal is no JSON object, and is passed over: %s", error)
        return None


def journal_files(path: Path) -> list[Path]:
    """Return the files of a journal that are there, the oldest first. Raises OSError."""
    newest = [path] if is_there(path) else []
    return [*(_older(path, number) for number in _numbers(path)), *newest]


def _numbers(path: Path) -> list[int]:
    """Return how often each of the older files was rotated, that of the oldest first."""
    try:
        names = [found.name for found in path.parent.iterdir()]
    except (FileNotFoundError, NotADirectoryError):
        return []
    ends = (name.removeprefix(f"{path.name}.") for name in names if name.startswith(f"{path.name}."))
    return sorted((int(end) for end in ends if _NUMBER.fullmatch(end)), reverse=True)


def _older(path: Path, times: int) -> Path:
    """Return where a file is that was rotated so many times."""
    return path.with_name(f"{path.name}.{times}") if times else path


def _lock_path(path: Path) -> Path:
    return path.with_name(f".{path.name}.lock")


def _unrotated(path: Path) -> AbstractContextManager[None]:
    """Keep the files where they are, as far as we may."""
    return exclusively(_lock_path(path), os.O_RDONLY) if os.access(_lock_path(path), os.R_OK) else nullcontext()


def _append(descriptor: int, line: bytes, size: int, durable: bool, path: Path) -> None:
    """Write a line behind so many bytes, all of it or nothing."""
    if os.write(descriptor, line) < len(line):
        os.ftruncate(descriptor, size)
        raise OSError(f"{path}: the disk is full")
    if durable:
        os.fdatasync(descriptor)


def _mended(descriptor: int) -> tuple[int, bytes]:
    """Cut off what is behind the last whole line, and return the size and that line, which is empty if there is none.

    A power cut may leave NULs where a line would be, which no line has in it.
    """
    size = os.fstat(descriptor).st_size
    end, line = _last_line(descriptor, size)
    while b"\0" in line:
        end, line = _last_line(descriptor, end - len(line))
    if end < size:
        logger.warning("the journal's last line is not whole: it is cut off")
        os.ftruncate(descriptor, end)
    return end, line


def _last_line(descriptor: int, size: int) -> tuple[int, bytes]:
    """Return where the last whole line ends in so many bytes, and that line, with its newline."""
    start, step = size, _MOST_LINES
    while True:
        start, step = max(0, start - step), step * 4
        some = os.pread(descriptor, size - start, start)
        end = some.rfind(b"\n") + 1
        begin = some.rfind(b"\n", 0, max(0, end - 1)) + 1
        if begin or not start:
            return start + end, some[begin:end]
