"""``flcore logs``: a job's output, from the engine while its container is there, else from the job's folder."""

from __future__ import annotations

import argparse
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, suppress
from functools import partial
from itertools import cycle
from pathlib import Path
from typing import BinaryIO

from flcore.cli.command import EXIT_FAILED, EXIT_INTERRUPTED, EXIT_OK
from flcore.cli.streams import end_at_once, failure_of_output, write_bytes
from flcore.disk.os_errors import in_words
from flcore.disk.presence import is_there
from flcore.disk.safe_files import closing, open_file, open_folder
from flcore.errors import ConfigError, FLCoreError, RuntimeUnavailableError
from flcore.plain_text import harmless
from flcore.threads import OwnThread

from ..docker_state import DOCKER_STATE, GONE
from ..output_lines import chunks_of, lines_of, seek_last_lines
from ..runtime.base import Runtime
from ..tracking.job_output import follow_chunks
from .hints import looked_for
from .job_index import JobIndex
from .job_view import LAUNCHING, JobView
from .scope import index_of
from .selection import the_one_job, wanted_for
from .terminal import Terminal, warn

RETRY_INTERVAL = 0.5
"""Seconds between two looks for a container that has not started yet."""
LAST_LINE_TIMEOUT = 1.0
"""Seconds for the line that is being written at an interrupt: who should read it may have stopped."""
_SITE_STYLES = ("going", "good", "odd", "strong")

_SERVERS_KIT = "startup/fed_server.json"
_MOVED = "NVIDIA FLARE's server moves a job's folder into its result: get it by download_job, and see its workspace"

Read = Callable[[JobView], Iterator[bytes]]
"""Returns a job's output, line by line, without their ends. May raise FLCoreError or OSError."""


class NoOutputError(FLCoreError):
    """There is no output of a job; the message says why."""


def run(args: argparse.Namespace) -> int:
    """Print the output; return the exit status."""
    terminal = Terminal()
    if args.raw and terminal.is_terminal:
        raise ConfigError("--raw leaves in what makes a terminal do things, so it writes to none: redirect the output")
    with index_of(args, wanted=wanted_for([args.job])) as index:
        views = looked_for(index, partial(the_one_job, name=args.job))
        read = partial(followed, index, tail=args.tail) if args.follow else partial(output, tail=args.tail)
        try:
            found = Printer(terminal, views, raw=args.raw).print_all(read, at_once=args.follow)
        except KeyboardInterrupt:
            return EXIT_INTERRUPTED
    return EXIT_OK if found else EXIT_FAILED


def output(view: JobView, tail: int | None) -> Iterator[bytes]:
    """Yield a job's lines so far, or the last ones."""
    if view.container and view.runtime:
        yield from lines_of(view.runtime.logs(view.container.id, tail))
    else:
        yield from lines_of(_kept(view, tail))


def followed(index: JobIndex, view: JobView, tail: int | None) -> Iterator[bytes]:
    """Yield a job's lines, or the last ones, and then what comes until its end."""
    view = _when_started(index, view)
    now = partial(_as_it_is_now, index, view)
    if not (view.container and view.runtime):
        yield from lines_of(_kept(view, tail, is_over=lambda: not now().is_active))
        return
    failed: list[Exception] = []
    yield from lines_of(_followed_chunks(now, view.runtime, view.container.id, tail, failed.append))
    for error in failed:
        raise error


def _followed_chunks(
    now: Callable[[], JobView],
    runtime: Runtime,
    container_id: str,
    tail: int | None,
    on_error: Callable[[Exception], None],
) -> Iterator[bytes]:
    """Yield the output as it comes, then what is kept of it that the engine may not have sent before the removal."""
    read = 0
    for chunk in follow_chunks(runtime, container_id, tail, _Patience().wait):
        read += len(chunk)
        yield chunk
    if tail is None and runtime.inspect(container_id) == GONE and (view := now()).log_path:
        try:
            yield from _kept(view, skip=read)
        except (OSError, FLCoreError) as error:  # told when the last line, which may have no end, was
            on_error(error)


class Printer:
    """Prints the output of a job at one site, or of several: then each line begins with its site."""

    def __init__(self, terminal: Terminal, views: Sequence[JobView], *, raw: bool = False) -> None:
        self._terminal = terminal
        self._views = views
        self._raw = raw
        self._width = max(len(view.history.site) for view in views)
        self._lock = threading.Lock()
        self._failed = 0

    def print_all(self, read: Read, *, at_once: bool) -> bool:
        """Print all outputs, one after the other or as they come; return whether there is any."""
        tasks = [partial(self._print, view, style, read) for view, style in zip(self._views, cycle(_SITE_STYLES))]
        if not at_once:
            return sum(task() for task in tasks) > 0
        found: list[bool] = []
        # Daemons, for Ctrl-C must not wait for one that waits for an engine.
        threads = [OwnThread("logs", partial(_call, task, found.append)) for task in tasks]
        try:
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
        except KeyboardInterrupt:
            if not self._lock.acquire(timeout=LAST_LINE_TIMEOUT):
                end_at_once(EXIT_INTERRUPTED)
            raise  # with the lock, for good: the line that was begun is the last
        return any(found)

    def _print(self, view: JobView, style: str, read: Read) -> bool:
        site = view.history.site
        prefix = f"{site:<{self._width}}  | " if len(self._views) > 1 else ""
        try:
            for line in read(view):
                self._print_line(prefix, style, line)
        except (OSError, FLCoreError) as error:
            if failure_of_output() is None:  # else the command tells of that
                warn(f"{site}: {in_words(error)}")
            return False
        return True

    def _print_line(self, prefix: str, style: str, line: bytes) -> None:
        with self._lock:
            if self._raw:
                write_bytes(prefix.encode() + line + b"\n")
            else:
                self._terminal.print(self._terminal.styled(prefix, style) + harmless(line.decode(errors="replace")))


class _Patience:
    """Waits for an engine that does not answer, and says so once."""

    def __init__(self) -> None:
        self._said = False

    def wait(self, seconds: float, error: RuntimeUnavailableError) -> bool:
        if not self._said:
            self._said = True
            warn(f"{error}; its output is followed again as soon as it does")
        time.sleep(seconds)
        return False


def _when_started(index: JobIndex, view: JobView) -> JobView:
    """Return what there is of a job when its container has started, or it has ended."""
    while view.is_active and view.state in (LAUNCHING, DOCKER_STATE.CREATED):
        time.sleep(RETRY_INTERVAL)
        view = _as_it_is_now(index, view)
    return view


def _as_it_is_now(index: JobIndex, view: JobView) -> JobView:
    return next((found for found in index.jobs() if found.is_same_job(view)), view)


def _call(task: Callable[[], bool], then: Callable[[bool], object]) -> None:
    then(task())


def _kept(
    view: JobView, tail: int | None = None, skip: int = 0, is_over: Callable[[], bool] = lambda: True
) -> Iterator[bytes]:
    """Yield what a file holds of a job's output, from a byte or its last lines on, and what comes until it is over."""
    with ExitStack() as stack:
        file = _opened(view, stack)
        file.seek(skip if tail is None else seek_last_lines(file, tail))
        while True:
            was_over = is_over()
            yield from chunks_of(file)
            if was_over:
                return
            time.sleep(RETRY_INTERVAL)  # nobody tells that a file has grown


def _is_of_this_run(view: JobView, path: Path) -> bool:
    """Whether a file of output is of the run that was looked at, which may have ended since, and of none before it."""
    try:
        return bool(view.record.get("kept")) or path.lstat().st_mtime >= view.history.began_at
    except OSError:
        return False


def _opened(view: JobView, stack: ExitStack) -> BinaryIO:
    """Open the file that a job writes to, or that in its folder, where that goes when it ends."""
    path = view.log_path
    if view.running_output:
        with suppress(FileNotFoundError):  # it has just been kept
            return stack.enter_context(open_file(view.running_output))
    if path and view.is_active and not _is_of_this_run(view, path):
        if view.waits_for:
            raise NoOutputError(f"it has written nothing yet: it {view.waits_for}")
        raise NoOutputError(f"its output is not to be had from here; it is kept, when it ends, in {path}")
    if path is None:
        raise NoOutputError("its container is gone, and its site's folder is not here")
    try:
        folder = stack.enter_context(closing(open_folder(path.parent)))
        return stack.enter_context(open_file(path.name, folder))
    except FileNotFoundError as error:
        if view.history.result and view.history.result.started_at is None:
            raise NoOutputError("it has never run, so it has written nothing") from error
        moved = f"; {_MOVED}" if is_there(path.parents[1] / _SERVERS_KIT) else ""
        raise NoOutputError(f"no output of it is kept in {path}{moved}") from error
