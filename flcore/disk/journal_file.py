"""A file of JSON lines that several processes write, that is rotated, and that no crash leaves torn.

::

    <name>       the newest lines
    <name>.1     older ones; .2 still older
    .<name>.lock held while one process writes, or opens all of them to read
"""

from __future__ import annotations

import json
import logging
import os
import threading
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, nullcontext, suppress
from pathlib import Path
from typing import Any, BinaryIO

from .locks import exclusively
from .presence import is_there
from .safe_files import open_file

logger = logging.getLogger(__name__)

_MODE = 0o640
MAX_LINE = 1 << 20
"""Bytes of a line, at most, that is read: no journal of a site's has as long ones."""
_AT_ONCE = 1 << 18
"""Bytes that are read at once: what the processor keeps near is looked through faster."""
_APPEND = os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC


class JournalFile:
    """Writes the lines. Safe to use from several threads and processes. Making one touches no disk.

    A line is there as a whole or not at all: what a power cut or a full disk left of one is cut off before the next.
    """

    def __init__(self, path: Path, max_size: int, max_files: int) -> None:
        self._path = path
        self._max_size = max_size
        self._max_files = max_files
        self._descriptor: int | None = None
        self._lock = threading.Lock()

    def write(self, fields: Mapping[str, Any], *, durable: bool = False) -> None:
        """Append a line. ``durable``: return when it, and all before it, would survive a power cut. Raises OSError."""
        line = json.dumps(fields, default=str).encode() + b"\n"
        with self._lock, exclusively(_lock_path(self._path), os.O_RDWR | os.O_CREAT):
            descriptor = self._current()
            size = _mended(descriptor)
            if size and size + len(line) > self._max_size:
                self._rotate(descriptor)
                descriptor, size = self._current(), 0
            if os.write(descriptor, line) < len(line):
                os.ftruncate(descriptor, size)
                raise OSError(f"{self._path}: the disk is full")
            if durable:
                os.fdatasync(descriptor)

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

    def _rotate(self, descriptor: int) -> None:
        os.fdatasync(descriptor)
        self._let_go()
        for number in range(self._max_files - 1, 0, -1):
            with suppress(FileNotFoundError):
                _older(self._path, number - 1).replace(_older(self._path, number))
        self._path.unlink(missing_ok=True)

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
    with _unrotated(path):
        return [stack.enter_context(open_file(file, follow=True)) for file in journal_files(path)]


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
    """Return the files of a journal that are there, the oldest first."""
    files = [path] if is_there(path) else []
    while is_there(older := _older(path, len(files) or 1)):
        files.append(older)
    return files[::-1]


def _older(path: Path, times: int) -> Path:
    """Return where a file is that was rotated so many times."""
    return path.with_name(f"{path.name}.{times}") if times else path


def _lock_path(path: Path) -> Path:
    return path.with_name(f".{path.name}.lock")


def _unrotated(path: Path) -> AbstractContextManager[None]:
    """Keep the files where they are, as far as we may."""
    return exclusively(_lock_path(path), os.O_RDONLY) if os.access(_lock_path(path), os.R_OK) else nullcontext()


def _mended(descriptor: int) -> int:
    """Cut off what is behind the last whole line, and return the size."""
    size = os.fstat(descriptor).st_size
    if size and os.pread(descriptor, 1, size - 1) != b"\n":
        logger.warning("the journal's last line is not whole: it is cut off")
        size = _end_of_last_line(descriptor, size)
        os.ftruncate(descriptor, size)
    return size


def _end_of_last_line(descriptor: int, size: int) -> int:
    step = 1 << 16
    for start in range((size - 1) // step * step, -1, -step):
        found = os.pread(descriptor, step, start).rfind(b"\n")
        if found >= 0:
            return start + found + 1
    return 0
