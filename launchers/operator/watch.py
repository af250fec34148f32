"""``flcore ps --watch``: a live table on a terminal, elsewhere a line per change.

What changes on disk is seen within a fraction of a second, by a look at the times of a few files; no engine is asked
for that. Engines list all jobs, in one call, when something has changed, and every few seconds. A change that was over
before anybody looked is in the journal, so it is shown, too.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple, Protocol, Self

from flcore.cli.command import EXIT_INTERRUPTED
from flcore.disk.presence import is_folder
from flcore.plain_text import harmless

from .durations import as_time
from .job_index import JobIndex
from .job_json import as_dict
from .job_table import note_of, status_of, table_lines
from .job_view import LAUNCHING, JobView
from .selection import chosen, jobs_to_show
from .terminal import Terminal, cut, warn

FILES_INTERVAL = 0.2
"""Seconds between two looks at the files."""
LIST_INTERVAL = 5.0
"""Seconds after which an engine is asked though no file has changed."""


class Display(Protocol):
    """Shows jobs again and again, within its context."""

    def show(self, views: Sequence[JobView], problems: Sequence[str]) -> None: ...

    def __enter__(self) -> Self: ...

    def __exit__(self, *_: object) -> None: ...


def watch(index: JobIndex, args: argparse.Namespace, terminal: Terminal) -> int:
    """Show jobs until Ctrl-C; return the exit status."""
    live = terminal.is_terminal and not args.json and find_spec("rich") is not None
    display: Display = LiveTable(terminal, args) if live else ChangeLines(terminal, args)
    with suppress(KeyboardInterrupt), display:
        for _ in looks(index):
            display.show(index.jobs(), [*index.problems, *index.claims])
    return EXIT_INTERRUPTED


def looks(index: JobIndex) -> Iterator[None]:
    """Yield whenever it is time to look: at first, when a file has changed, and every few seconds."""
    seen: object = None
    due = 0.0
    while True:
        now = _stamps(index.watched_paths())
        if now != seen or time.monotonic() >= due:
            seen, due = now, time.monotonic() + LIST_INTERVAL
            yield
        time.sleep(FILES_INTERVAL)  # Ctrl-C ends it


class ChangeLines:
    """A line per change. The first time, a line per job that runs, or whatever else the options ask for."""

    def __init__(self, terminal: Terminal, args: argparse.Namespace) -> None:
        self._terminal = terminal
        self._args = args
        self._told: dict[object, _Told] | None = None
        self._problems: Sequence[str] = ()

    def show(self, views: Sequence[JobView], problems: Sequence[str]) -> None:
        for problem in problems:
            if problem not in self._problems:
                warn(problem)
        self._problems = list(problems)
        known, self._told = self._told, {_key(view): _Told.of(view) for view in views}
        if known is None:
            for view in reversed(jobs_to_show(views, self._args)):
                self._print(_Change(view, "", _status_to_tell(view), time.time()))
            return
        for view in chosen(views, self._args):
            for change in _changes(view, known.get(_key(view))):
                self._print(change)

    def _print(self, change: _Change) -> None:
        view, history = change.view, change.view.history
        if self._args.json:
            more = {"time": change.time, "previous": change.previous or None, "state": change.state}
            self._terminal.print(json.dumps(as_dict(view, change.time) | more))
            return
        since = f"{change.previous} -> " if change.previous else ""
        why = f"  {harmless(note_of(view))}" if change.is_last and note_of(view) else ""
        self._terminal.print(f"{as_time(change.time)}  {history.site}/{history.job_id}  {since}{change.state}{why}")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass


class _Change(NamedTuple):
    """A job came from one state, or status, to the next."""

    view: JobView
    previous: str
    state: str
    time: float
    is_last: bool = True
    """Nothing else is known since."""


class _Told(NamedTuple):
    """What was told of a job."""

    run: float
    """When it began, which tells its runs apart."""
    states: int
    """How many of the journal's."""
    status: str

    @classmethod
    def of(cls, view: JobView) -> Self:
        return cls(view.history.began_at, len(view.history.states), _status_to_tell(view))


def _key(view: JobView) -> object:
    return view.workspace or (view.container and view.container.id), view.history.site, view.history.job_id


def _changes(view: JobView, told: _Told | None) -> Iterator[_Change]:
    """Yield what is new since it was told last, however many states that is."""
    history = view.history
    if told is None or told.run != history.began_at:
        told = _Told(history.began_at, 0, "")
    previous, status = told.status, _status_to_tell(view)
    states = history.states[told.states :]
    # Where the status is another word for the last state, or the result that came with it, one line tells of both.
    is_told_by_last = history.result or (states and states[-1].state == status)
    for entry in states[:-1] if is_told_by_last else states:
        if entry.state != previous:
            yield _Change(view, previous, entry.state, entry.time, is_last=False)
            previous = entry.state
    if status != previous:
        yield _Change(view, previous, status, states[-1].time if states else time.time())


def _status_to_tell(view: JobView) -> str:
    """Return the status that the lines have come to.

    Where somebody writes a journal, its states come one after the other; what an engine says may be ahead of it.
    """
    told = view.history.state or LAUNCHING
    return told if view.has_journal and view.has_parent and not view.history.result else status_of(view)[0]


class LiveTable:
    """The table of ``flcore ps``, drawn anew a few times per second."""

    def __init__(self, terminal: Terminal, args: argparse.Namespace) -> None:
        from rich.console import Console
        from rich.live import Live

        self._terminal = terminal
        self._args = args
        self._views: Sequence[JobView] = ()
        self._problems: Sequence[str] = ()
        console = Console(file=terminal.out, highlight=False)
        self._live = Live(console=console, get_renderable=self._render, refresh_per_second=4)

    def show(self, views: Sequence[JobView], problems: Sequence[str]) -> None:
        self._views, self._problems = jobs_to_show(views, self._args), list(problems)

    def _render(self) -> Any:
        from rich.text import Text

        return Text.from_ansi("\n".join(self.lines()), no_wrap=True)

    def lines(self) -> list[str]:
        """Return what fits on the screen."""
        width = self._terminal.width or 0
        lines = table_lines(self._views, self._terminal, time.time())
        below = [self._terminal.styled(cut(harmless(problem), width), "odd") for problem in self._problems]
        room = max(self._terminal.height - len(below) - 2, 2)
        hidden = len(lines) - room
        if hidden > 0:
            below.insert(0, self._terminal.styled(f"and {hidden} more", "dim"))
        return [*lines[:room], *below]

    def __enter__(self) -> Self:
        self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._live.stop()


def _stamps(paths: Iterable[Path]) -> dict[str, tuple[int, int]]:
    """Return when each journal and record was written last, and its size."""
    stamps = {}
    for path in paths:
        with suppress(OSError):  # the index tells of what cannot be read
            files = path.glob("*.jsonl") if is_folder(path) else [path]
            for file in files:
                with suppress(OSError):  # a record whose end has come
                    info = file.stat()
                    stamps[str(file)] = info.st_mtime_ns, info.st_size
    return stamps
