"""The last lines of a run's output, from its file or from the engine. Other parties' code wrote them."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from flcore.disk.safe_files import closing, open_file, open_folder
from flcore.errors import FLCoreError

from ..operator.job_view import JobView
from ..output_lines import last_bytes
from .words import plain

LINES = 40
_LINE_LENGTH = 500
_BYTES = LINES * _LINE_LENGTH * 2
_MOST = 8 << 20
"""Bytes that are asked of an engine, which knows how long its lines are no better than we do."""


@dataclass(frozen=True, slots=True)
class LogTail:
    """What a run wrote last."""

    lines: tuple[str, ...] = ()
    """Harmless, whatever they were."""
    note: str = ""
    """Why there are none, or what is missing."""


def log_tail(view: JobView) -> LogTail:
    """Return the last lines of a run's output. May ask its engine. Raises nothing."""
    # while it runs, the file in its folder would be that of an earlier run
    path = view.running_output or (None if view.is_active else view.log_path)
    try:
        return _from_file(path) if path else _from_engine(view)
    except FileNotFoundError:
        return _from_engine(view)
    except OSError as error:
        return LogTail(note=f"its output cannot be read: {error.strerror}")


def _from_file(path: Path) -> LogTail:
    with closing(open_folder(path.parent)) as folder, open_file(path.name, folder) as file:
        length = file.seek(0, os.SEEK_END)
        file.seek(max(0, length - _BYTES))
        return _tail(file.read(_BYTES), is_cut=length > _BYTES)


def _from_engine(view: JobView) -> LogTail:
    if view.runtime is None or view.container is None:
        return LogTail(note="no output is kept" if not view.is_active else "no output can be read yet")
    try:
        return _tail(last_bytes(_first(view.runtime.logs(view.container.id, LINES)), _BYTES), is_cut=False)
    except FLCoreError as error:
        return LogTail(note=f"its output cannot be read: {plain(str(error), 200)}")


def _first(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """Yield no more than what is asked of an engine."""
    count = 0
    for chunk in chunks:
        yield chunk
        count += len(chunk)
        if count > _MOST:
            break


def _tail(data: bytes, is_cut: bool) -> LogTail:
    lines = data.decode(errors="replace").split("\n")
    if not lines[-1]:
        lines.pop()
    if is_cut or len(data) == _BYTES:
        lines = lines[1:] or lines  # the first one's beginning is missing
    shown = tuple(plain(line.rstrip("\r"), _LINE_LENGTH) for line in lines[-LINES:])
    return LogTail(shown, "" if shown else "it has written nothing")
