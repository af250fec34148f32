"""``flcore inspect``: all that is known of one job."""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterator, Mapping
from functools import partial
from itertools import pairwise
from typing import Any

from flcore.approvals.fingerprint import SHORT
from flcore.cli.command import EXIT_OK
from flcore.disk.os_errors import in_words
from flcore.errors import FLCoreError
from flcore.observers.job_history import JobHistory
from flcore.plain_text import harmless

from ..policy.request_sizes import with_sizes_in_words
from ..runtime.base import engine_in_words
from .durations import as_age, as_duration, as_time
from .hints import looked_for
from .job_json import as_full_dict
from .job_table import duration_of, note_of, status_of
from .job_view import JobView
from .logs import output
from .scope import index_of
from .selection import the_one_job, wanted_for
from .terminal import Terminal, wrapped

LINES_SHOWN = 10
"""Lines of output that are shown."""
_KEY = 12
_LISTED = ("Env", "HostConfig.Mounts")


def run(args: argparse.Namespace) -> int:
    """Print what is known; return the exit status."""
    terminal = Terminal()
    with index_of(args, wanted=wanted_for([args.job], usage=True)) as index:
        views = looked_for(index, partial(the_one_job, name=args.job))
        for number, view in enumerate(views):
            last, no_output = _last_lines(view)
            if args.json:
                terminal.print(json.dumps(as_full_dict(view, time.time()) | {"last_lines": last}))
                continue
            terminal.print(*([""] if number else []), *Report(terminal, view, time.time()).lines())
            terminal.print(*_output_lines(terminal, last, no_output))
    return EXIT_OK


class Report:
    """What is said of one job at one site, line by line."""

    def __init__(self, terminal: Terminal, view: JobView, now: float) -> None:
        self._terminal = terminal
        self._view = view
        self._now = now

    def lines(self) -> Iterator[str]:
        history = self._view.history
        yield self._terminal.styled(f"{history.job_id} at {history.site}", "strong")
        for key, value in self._facts():
            yield from self._fact(key, harmless(value))
        if history.request:
            yield from ("", "request", *self._request(history.request))
        if history.states or history.launching_at:
            yield from ("", "states", *self._states())

    def _facts(self) -> Iterator[tuple[str, str]]:
        view, history = self._view, self._view.history
        yield "name", history.name
        yield "study", history.study
        yield "approved", _approval(history)
        yield "status", self._status()
        yield "reason", note_of(view)
        yield "began", self._moment(history.began_at)
        duration = duration_of(view, self._now)
        yield "ran for", "" if duration is None else as_duration(duration)
        yield "recovered", f"{history.recovered} times, by other processes of its site" if history.recovered else ""
        yield "followed by", _follower(view)
        yield "container", self._container()
        yield "launcher", view.launcher
        yield "folder", str(view.workspace / history.job_id) if view.workspace else ""
        yield "used", self._usage()

    def _fact(self, key: str, value: str, column: int = _KEY) -> Iterator[str]:
        if not value:
            return
        width = self._terminal.width
        first, *rest = [value] if width is None else list(wrapped(value, width - column - 4))
        style = status_of(self._view)[1] if key == "status" else ""
        yield f"  {self._terminal.styled(f'{key:<{column}}', 'dim')}  {self._terminal.styled(first, style)}"
        for line in rest:
            yield " " * (column + 4) + self._terminal.styled(line, style)

    def _status(self) -> str:
        result = self._view.history.result
        if result is None:
            return str(self._view.state)
        code = "" if result.exit_code is None else f", exit code {result.exit_code}"
        signal = f", signal {result.signal}" if result.signal else ""
        return f"{result.return_code.name}{code}{signal}" + (", out of memory" if result.oom_killed else "")

    def _container(self) -> str:
        history, runtime = self._view.history, self._view.runtime
        if not history.container_name:
            return ""
        where = f" in {engine_in_words(runtime)}" if runtime else ""
        if not runtime and history.result:
            where = f", not there any more; it was on {history.engine}" if history.engine else ", not there any more"
        return f"{history.container_name} ({history.container_id[:12] or 'not made yet'}){where}"

    def _usage(self) -> str:
        if not self._view.history.usage:
            return ""
        last = self._view.history.usage[-1]
        most = max(used.memory for used in self._view.history.usage)
        used = f"{last.cpu_seconds:.1f} s of processor time, {_in_mib(most)} MiB of memory at most"
        if last.disk is None or last.disk_limit is None:
            return used
        return f"{used}, {_in_mib(last.disk)} of {_in_mib(last.disk_limit)} MiB in its folder"

    def _moment(self, moment: float) -> str:
        return f"{as_time(moment)}, {as_age(self._now - moment)} ago" if moment else ""

    def _states(self) -> Iterator[str]:
        """Yield each state, when it was entered, and how long it lasted."""
        history = self._view.history
        entries = [(str(entry.state), entry.time) for entry in history.states]
        if history.launching_at:
            entries.insert(0, ("launching", history.launching_at))
        ends = [after for (_, _), (_, after) in pairwise(entries)]
        ends += [] if history.result else [self._now]
        for index, (state, since) in enumerate(entries):
            lasted = as_duration(max(0.0, ends[index] - since)) if index < len(ends) else ""
            yield f"  {state:<{_KEY}}  {_clock(since)}  {lasted:>12}".rstrip()

    def _request(self, request: Mapping[str, Any]) -> Iterator[str]:
        """Yield the settings, which were masked when they were written down."""
        all_settings = _settings_of(with_sizes_in_words(request))
        settings = [(path, value) for path, value in all_settings if not path.startswith("Labels.")]
        column = max(len(path) for path, _ in settings)
        for path, value in settings:
            yield from self._fact(path, harmless(value), column)


def _settings_of(request: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for key, value in request.items():
        if isinstance(value, dict):
            for name, inner in value.items():
                yield from _lines_of(f"{key}.{name}", inner)
        else:
            yield from _lines_of(key, value)


def _lines_of(path: str, value: Any) -> Iterator[tuple[str, str]]:
    """Yield a setting; of a list that is read one by one, each value has a line."""
    first, *others = value if path in _LISTED and isinstance(value, list) and value else [value]
    yield path, json.dumps(first, ensure_ascii=False)
    yield from (("", json.dumps(other, ensure_ascii=False)) for other in others)


def _approval(history: JobHistory) -> str:
    """Return by whom what ran was approved; empty where nobody asked."""
    by = ", ".join(history.approved_by)
    return f"by {by}: flcore show {history.fingerprint[:SHORT]}" if by else ""


def _follower(view: JobView) -> str:
    if view.history.result and not view.record:
        return ""
    if view.has_parent is None:
        return "unknown: its site is not here"
    return f"a process of its site ({view.history.parent})" if view.has_parent else "nobody; the next start of its site"


def _clock(moment: float) -> str:
    return time.strftime("%H:%M:%S", time.localtime(moment)) + f".{int(moment % 1 * 1000):03}"


def _last_lines(view: JobView) -> tuple[list[str], str]:
    """Return the last lines of a job's output, or why there are none."""
    try:
        lines = list(output(view, LINES_SHOWN))
    except (OSError, FLCoreError) as error:
        return [], in_words(error)
    return [line.decode(errors="replace") for line in lines], "it has written nothing"


def _output_lines(terminal: Terminal, last: list[str], why_none: str) -> Iterator[str]:
    yield from ("", "last output")
    for line in last or [why_none]:
        yield f"  {harmless(line)}" if last else terminal.styled(f"  {harmless(line)}", "dim")


def _in_mib(size: int) -> str:
    return f"{size / (1 << 20):.0f}"
