"""How ``flcore run`` shows a job: live on a terminal, in plain lines elsewhere, or as JSON. Each is a component."""

from __future__ import annotations

import json
import os
import shutil
import sys
import textwrap
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from typing import Any, NamedTuple, Self, TextIO

from ..errors import FLCoreError
from ..event_type import EventType
from ..fl_component import FLComponent
from ..fl_constant import FLContextKey
from ..fl_context import FLContext
from ..job_launcher_spec import JobHandleSpec, JobResult, JobStateChange, LaunchRequest
from ..plain_text import harmless, visible
from ..site import Site
from ..workflow import JobWorkflow

LOG_INTERVAL = 1.0
"""Seconds between two looks at a job's last line of output, on a terminal."""
TAIL = 20
TAIL_OF_FAILED = 10
"""Lines of output that are shown at the end: of the server, or of each client where there is none; of the others."""
WIDTH = 120
"""Cells of a line where there is no terminal."""
_ECHO = 3
"""Cells left free at a live line's end: there a terminal writes the ^C, which must not begin another line."""
_INDENT = "    "
_FACT = len("and of these")
_LISTED = "Mounts"
"""What of a request has a line for each of its values."""
_MOST_SHOWN = 1 << 16
"""Characters of an output's last lines: a job may never end one."""


class View(FLComponent):
    """Base of the views: gets all state changes of all sites, and the results at the end.

    Used as a context manager around the run; :meth:`show_results` comes after it, when all logs are complete.
    """

    def __init__(self, workflow: JobWorkflow, out: TextIO | None = None) -> None:
        super().__init__()
        self.workflow = workflow
        self.out = out or sys.stdout
        self._lock = threading.Lock()
        self._ended: dict[str, JobResult] = {}

    def handle_event(self, event_type: str, fl_ctx: FLContext) -> None:
        if fl_ctx.get_job_id() != self.workflow.job_id:
            return
        if event_type == EventType.JOB_STATE_CHANGED:
            with self._lock:
                self.show_change(JobStateChange.of(fl_ctx))
        elif event_type == EventType.JOB_HELD:
            with self._lock:
                self.show_hold(fl_ctx.get_identity_name(), harmless(fl_ctx.get_prop(FLContextKey.EVENT_DATA)))
        elif event_type in (EventType.JOB_COMPLETED, EventType.JOB_ABORTED):
            self._ended[fl_ctx.get_identity_name()] = fl_ctx.get_prop(FLContextKey.JOB_RESULT)

    @property
    def ended(self) -> dict[str, JobResult]:
        """The results that were told so far, by site, in the order of the sites."""
        return {site.name: self._ended[site.name] for site in self.workflow.sites if site.name in self._ended}

    def show_change(self, change: JobStateChange) -> None:
        """Show one state change. Calls come one after the other, from any thread."""

    def show_hold(self, site: str, reason: str) -> None:
        """Show what a site's launch waits for, in the same way."""

    def show_results(self, results: Mapping[str, JobResult]) -> None:
        """Show how it all ended."""

    def show_interrupted(self) -> None:
        """Show how everything ended that ran when the run was interrupted."""

    def print(self, line: str) -> None:
        with suppress(OSError):  # an output that takes no more ends no job; the command tells of it
            print(line, file=self.out, flush=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass


class JsonView(View):
    """One JSON object per line: each state change, then the results."""

    def show_change(self, change: JobStateChange) -> None:
        self.print(json.dumps({"event": "state_change", **change.as_dict()}))

    def show_hold(self, site: str, reason: str) -> None:
        self.print(json.dumps({"event": "held", "job_id": self.workflow.job_id, "site": site, "reason": reason}))

    def show_results(self, results: Mapping[str, JobResult]) -> None:
        sites = {site: result.as_dict() | {"duration": result.duration} for site, result in results.items()}
        succeeded = all(result.succeeded for result in results.values())
        about = {"job_id": self.workflow.job_id, "left_out": [*self.workflow.left_out]}
        self.print(json.dumps({"event": "results", **about, "succeeded": succeeded, "sites": sites}))


class PlainView(View):
    """A line per state change, a closing table, and the last lines of output where they say something."""

    def __init__(self, workflow: JobWorkflow, out: TextIO | None = None) -> None:
        super().__init__(workflow, out)
        self._started = time.time()

    def __enter__(self) -> Self:
        sites = ", ".join(site.name for site in self.workflow.sites)
        self.print(f"job {self.workflow.job_id} on {sites}")
        if self.workflow.left_out:
            self.print(left_out_in_words(self.workflow))
        return self

    def show_change(self, change: JobStateChange) -> None:
        failed = change.result and not change.result.succeeded
        code = f"  {change.result.return_code.name}" if change.result and failed else ""  # the table says why
        elapsed = max(0.0, change.time - self._started)
        self.print(f"{elapsed:7.1f} s  {change.site:<12} {change.previous or 'new':>10} -> {change.state}{code}")

    def show_hold(self, site: str, reason: str) -> None:
        self.print(f"{max(0.0, time.time() - self._started):7.1f} s  {site:<12} {reason}")

    def show_results(self, results: Mapping[str, JobResult]) -> None:
        """Show the output and the table; of a run that has failed the table first, and in it why.

        There the last line that a site has written stands, which most often says it, and so not below once more.
        """
        told = {site: self._told(site, result) for site, result in results.items()}
        failed = [site for site, result in results.items() if not result.succeeded]
        if failed:
            first = sorted(results, key=lambda site: bool(results[site].succeeded or results[site].ended_by))
            self._show_table({site: results[site] for site in first}, {site: told[site].why for site in failed})
        for site in sorted(results, key=lambda site: results[site].succeeded):
            self._show_output(site, told[site])
        if not failed:
            self._show_table(results)
        self._show_files()

    def show_interrupted(self) -> None:
        if self.ended:
            self._show_table(self.ended)

    @property
    def _main_sites(self) -> Sequence[Site]:
        """Whose output and files are shown, however the job ended."""
        return [self.workflow.server] if self.workflow.server else self.workflow.sites

    def _told(self, site: str, result: JobResult) -> _Told:
        lines = 0 if site in self.workflow.handles and result.succeeded else TAIL_OF_FAILED
        if site in [main.name for main in self._main_sites]:
            lines = TAIL
        return _Told.of(result, last_lines(self.workflow.handles.get(site), lines))

    def _show_table(self, results: Mapping[str, JobResult], reasons: Mapping[str, str] | None = None) -> None:
        self.print("")
        width = shutil.get_terminal_size().columns if self.out.isatty() else WIDTH
        for line in table(results, reasons, width):
            self.print(line)

    def _show_output(self, site: str, told: _Told) -> None:
        if told.output:
            self.print(f"\noutput of {site}{', before that' if told.is_last_line_told else ''}:")
        for line in told.output:
            self.print(f"  {line}")

    def _show_files(self) -> None:
        folders = {site: site.workspace.get_run_dir(self.workflow.job_id) for site in self._main_sites}
        there = {site: folder for site, folder in folders.items() if os.access(folder, os.F_OK)}  # it was launched
        if there:
            self.print("")
        for site, folder in there.items():
            self.print(f"{'the server' if site is self.workflow.server else site.name}'s files: {folder}")


class _Told(NamedTuple):
    """What is told of a site's end: why, and which lines of output beside that."""

    why: str
    output: Sequence[str]
    is_last_line_told: bool = False
    """The last line stands in the reason."""

    @classmethod
    def of(cls, result: JobResult, output: Sequence[str]) -> _Told:
        """Divide what is known of an end. An exit code alone says less than the last line, and the table has it."""
        while output and not output[-1].strip():
            output = output[:-1]
        if not output:
            return cls(result.error, output)
        exit_code = f"exit code {result.exit_code}"
        if result.succeeded or result.ended_by or not result.reason.startswith(exit_code):
            return cls(result.reason, output)
        return cls(output[-1].strip() + result.reason.removeprefix(exit_code), output[:-1], is_last_line_told=True)


class LiveView(PlainView):
    """On a terminal: one line per site with its state, elapsed time and last line of output; then as PlainView.

    The lines go as the table comes, which tells how it has ended, too where that was after an interrupt.
    """

    def __init__(self, workflow: JobWorkflow, out: TextIO | None = None) -> None:
        from rich.console import Console
        from rich.live import Live

        super().__init__(workflow, out)
        self._rows = {site.name: _Row() for site in workflow.sites}
        self._console = Console(file=self.out)
        self._live = Live(console=self._console, get_renderable=self._render, refresh_per_second=4, transient=True)

    def __enter__(self) -> Self:
        super().__enter__()
        self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._live.stop()

    def show_change(self, change: JobStateChange) -> None:
        self._rows[change.site].take_in(change)

    def show_hold(self, site: str, reason: str) -> None:
        self._rows[site].hold(reason)

    def _render(self) -> Any:
        from rich.table import Table
        from rich.text import Text

        grid = Table(box=None, pad_edge=False, width=self._console.width - _ECHO)
        for title in ("site", "state", "elapsed"):
            grid.add_column(title, no_wrap=True, justify="right" if title == "elapsed" else "left")
        grid.add_column("last line", no_wrap=True, ratio=1)  # the only one that a narrow terminal cuts
        handles = self.workflow.handles
        for site, row in self._rows.items():
            line = row.last_line(handles.get(site))
            grid.add_row(site, Text(row.state, row.style), row.elapsed(), Text(line, overflow="ellipsis"))
        return grid


class _Row:
    """What the live view knows of one site."""

    def __init__(self) -> None:
        self.state = "waiting"
        self.style = "dim"
        self._started: float | None = None
        self._ended: float | None = None
        self._line = ""
        self._next_look = 0.0

    def take_in(self, change: JobStateChange) -> None:
        self._started = self._started or change.time
        self.state, self.style = change.state, "cyan"
        if change.result:
            self._ended = change.time
            self.style = "green" if change.result.succeeded else "red"
            if not change.result.succeeded:
                self.state, self._line = change.result.return_code.name, harmless(change.result.error)

    def hold(self, reason: str) -> None:
        self.state, self.style, self._line = "held", "yellow", reason

    def elapsed(self) -> str:
        if self._started is None:
            return ""
        return f"{max(0.0, (self._ended or time.time()) - self._started):.1f} s"

    def last_line(self, handle: JobHandleSpec | None) -> str:
        """Return the last line of output, looked up now and then while the job runs."""
        if self._started and not self._ended and time.monotonic() >= self._next_look:
            self._next_look = time.monotonic() + LOG_INTERVAL
            self._line = next(iter(last_lines(handle, 1)), self._line)
        return self._line


def left_out_in_words(workflow: JobWorkflow) -> str:
    """Return a line that says which sites of the job take no part; empty if all do."""
    return f"left out: {', '.join(workflow.left_out)} (no config of these is given)" if workflow.left_out else ""


def table(results: Mapping[str, JobResult], reasons: Mapping[str, str] | None = None, width: int = WIDTH) -> list[str]:
    """Return the closing table: a line per site, and the reason of a failure behind it, or in lines below.

    A reason that several have stands there once. ``reasons``: of those that are not the results' own.
    """
    rows = [("site", "result", "exit code", "duration")]
    rows += [(site, *_cells(result)) for site, result in results.items()]
    widths = [max(len(row[i]) for row in rows) for i in range(4)]
    head, *lines = (
        f"{site:<{widths[0]}}  {name:<{widths[1]}}  {code:>{widths[2]}}  {duration:>{widths[3]}}"
        for site, name, code, duration in rows
    )
    whys = list(_each_once({site: result.error for site, result in results.items()} | dict(reasons or {})))
    return [head, *(row for line, why in zip(lines, whys, strict=True) for row in _with_reason(line, why, width))]


def _each_once(reasons: Mapping[str, str]) -> Iterator[str]:
    """Yield the reasons of sites; in place of one that another site has, too, that site's name."""
    told: dict[str, str] = {}
    for site, why in reasons.items():
        yield f"as {told[why]}" if why and why in told else why
        told.setdefault(why, site)


def _with_reason(line: str, reason: str, width: int) -> list[str]:
    said = [harmless(one) for one in reason.splitlines()]
    if len(said) <= 1 and len(whole := "  ".join([line, *said])) <= width:
        return [whole]
    room = max(width - len(_INDENT), 20)
    return [line, *(_INDENT + part for one in said for part in textwrap.wrap(one, room, break_on_hyphens=False))]


def last_lines(handle: JobHandleSpec | None, count: int) -> list[str]:
    """Return the last lines of a job's output, safe to print; none if it has no output or the engine is away."""
    if handle is None or count == 0:
        return []
    try:
        output = handle.logs(tail=count)[-_MOST_SHOWN:]
    except FLCoreError:
        return []
    return [harmless(line) for line in output.splitlines()]


def _cells(result: JobResult) -> tuple[str, str, str]:
    code = "-" if result.exit_code is None else str(result.exit_code)
    duration = "-" if result.duration is None else f"{result.duration:.1f} s"
    return result.return_code.name, code, duration


def launches_as_json(launches: Mapping[str, LaunchRequest | FLCoreError | str | None]) -> str:
    """Return one JSON object: by site, what would be asked for and where each setting comes from, or the error."""
    return json.dumps({site: _launch_as_dict(launch) for site, launch in launches.items()}, indent=2)


def launches_as_text(launches: Mapping[str, LaunchRequest | FLCoreError | str | None]) -> str:
    """Return a line per setting: what would be asked for, and where it comes from."""
    return "\n\n".join("\n".join(_launch_lines(site, launch)) for site, launch in launches.items())


def _launch_as_dict(launch: LaunchRequest | FLCoreError | str | None) -> Any:
    if isinstance(launch, LaunchRequest):
        told = {"passed_over": dict(launch.passed_over)} if launch.passed_over else {}
        scope = {"scope": launch.scope.as_dict()} if launch.scope else {}
        return {"host": launch.host, **scope, "request": launch.request, "origins": launch.origins, **told}
    return {"error": str(launch)} if launch else None


def _launch_lines(site: str, launch: LaunchRequest | FLCoreError | str | None) -> Iterator[str]:
    if launch is None:
        yield f"{site}: its launcher cannot tell what it would ask for"
        return
    if isinstance(launch, str):
        yield visible(f"{site}: is not launched there: {launch}")
        return
    if isinstance(launch, FLCoreError):
        yield f"{site}: REFUSED: {visible(str(launch))}"
        return
    yield f"{site}:"
    settings = list(_settings(launch))
    width = max(len(path) for path, _ in settings)
    origins = max(len(origin) for origin in launch.origins.values())
    for path, value in settings:
        yield visible(f"  {path:{width}}  {launch.origins.get(path, ''):{origins}}  {value}")
    if launch.scope:  # behind them, where a terminal that has scrolled shows it
        yield "  so it sees, and gets:"
        yield from (visible(f"    {what:{_FACT}}  {told}") for what, told in launch.scope.facts())
    yield from (visible(f"  {note}") for note in launch.notes)
    yield from (visible(f"  passed over: {path}: {why}") for path, why in launch.passed_over.items())


def _settings(launch: LaunchRequest) -> Iterator[tuple[str, str]]:
    """Yield every setting of a request by its path, as ``origins`` names it, with its value; it may take lines."""
    request = launch.to_read or launch.request
    variables = dict(variable.split("=", 1) for variable in request.get("Env", ()))
    for path in launch.origins:
        key, _, name = path.partition(".")
        value = request[key]
        if name:
            value = variables[name] if key == "Env" else value[name]
        first, *others = value if name == _LISTED and value else [value]
        yield path, json.dumps(first, ensure_ascii=False)
        yield from (("", json.dumps(other, ensure_ascii=False)) for other in others)
