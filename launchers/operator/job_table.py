"""Jobs as the lines of a table. Pure, but for the terminal that it is made for."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from flcore.job_reports import LAST_OUTPUT
from flcore.plain_text import harmless

from ..docker_state import DOCKER_STATE, TERMINAL_STATES
from ..output_lines import LINE_BREAK
from .durations import as_age, as_duration
from .job_view import ENDED, LAUNCHING, LOST, UNKNOWN, JobView
from .terminal import Terminal, cut, width_of

LEAST_OF_AN_ID = 12
"""Characters of a job's id that a narrow terminal shows at least."""
MOST_OF_A_STUDY = 24
"""Characters of a study's name, which other parties made up."""
LEAST_OF_A_NOTE = 40
"""Where less is left of a line for the reasons, they have lines of their own."""
_GAP = "  "
_INDENT = "    "
_BEFORE_A_MESSAGE = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3} - \S+ - [A-Z]+ - (\[identity=[^\]]*\] - )?")
"""What stands in a log of NVIDIA FLARE's before what is said: when, by whom, how loudly, and about which run."""
_STYLE_OF_STATE = {DOCKER_STATE.RUNNING: "going", DOCKER_STATE.CREATED: "dim", LAUNCHING: "dim", LOST: "bad"}


class Row(NamedTuple):
    """One job at one site. Texts are harmless."""

    job: str
    site: str
    study: str
    status: str
    exit_code: str
    age: str
    duration: str
    note: str
    style: str = ""


HEADER = Row("JOB", "SITE", "STUDY", "STATUS", "EXIT", "AGE", "DURATION", "REASON", "strong")
_STUDY = HEADER._fields.index("study")
_RIGHT = {HEADER._fields.index(name) for name in ("exit_code", "age", "duration")}


def table_lines(views: Iterable[JobView], terminal: Terminal, now: float) -> list[str]:
    """Return a header and a line per job, no longer than the terminal is wide.

    Where it is too narrow for the reasons, each has a line of its own.
    """
    rows = [row_of(view, now) for view in views]
    width = terminal.width
    if width is not None:
        rows = _with_cut_ids(rows, width)
    widths = _widths(rows)
    if width is None:
        return [_line(row, widths, terminal, None) for row in (HEADER, *rows)]
    room = width - sum(widths.values()) - len(_GAP) * len(widths)
    if room >= min(LEAST_OF_A_NOTE, max(map(width_of, (row.note for row in rows)), default=0)):
        return [_line(row, widths, terminal, max(room, 0)) for row in (HEADER, *rows)]
    lines = [_line(HEADER, widths, terminal, 0)]
    for row in rows:
        lines.append(_line(row, widths, terminal, 0))
        lines += [_INDENT + terminal.styled(cut(row.note, width - len(_INDENT)), "dim")] if row.note else []
    return lines


def row_of(view: JobView, now: float) -> Row:
    """Return what the table says of a job."""
    history = view.history
    result = history.result
    status, style = status_of(view)
    return Row(
        job=history.job_id,
        site=history.site,
        study=cut(harmless(history.study), MOST_OF_A_STUDY),
        status=status,
        exit_code="-" if result is None or result.exit_code is None else str(result.exit_code),
        age=as_age(now - history.began_at) if history.began_at else "-",
        duration=as_duration(duration_of(view, now)),
        note=harmless(short_note_of(view)),
        style=style,
    )


def status_of(view: JobView) -> tuple[str, str]:
    """Return a job's result, or else its state, and its style."""
    result = view.history.result
    if result is None:
        return view.state, _STYLE_OF_STATE.get(view.state, "odd")
    if result.succeeded:
        return result.return_code.name, "odd" if view.history.federation else "good"
    return result.return_code.name, "odd" if result.ended_by else "bad"


def duration_of(view: JobView, now: float) -> float | None:
    """Return for how many seconds a job ran, or has run until now; None if it never ran, or that is not known."""
    result = view.history.result
    if result and result.duration is not None:
        return result.duration
    entered = {entry.state: entry.time for entry in reversed(view.history.states)}  # the first time of each
    started_at = entered.get(DOCKER_STATE.RUNNING)
    if result:  # of a launcher that knows no times
        ended_at = entered.get(DOCKER_STATE.EXITED)
    else:
        ended_at = None if view.state in (*TERMINAL_STATES, LOST, ENDED, UNKNOWN) else now
    return None if started_at is None or ended_at is None else max(0.0, ended_at - started_at)


def note_of(view: JobView) -> str:
    """Return why a job ended so, or what is odd about one that has not."""
    result = view.history.result
    if result and result.succeeded and view.history.federation:
        return f"the job of all sites: {view.history.federation}"
    if result:
        return result.error
    if view.waits_for:
        return view.waits_for
    if view.state == LOST:
        return "nobody follows it, and nothing is left of it"
    if view.state == ENDED:
        return "how it ended is not known: no journal tells of it; its folder and its output are there"
    if view.state == UNKNOWN:
        return "nobody follows it, and no engine that was asked has it"
    if view.has_parent is False:
        return "no process of its site follows it; the site's next start does"
    request = view.record.get("end_request")
    return f"asked to end by {request['by']}" if isinstance(request, dict) and "by" in request else ""


def short_note_of(view: JobView) -> str:
    """Return what a short line has room for: where a job failed, the last that it wrote, which most often says why.

    Of a signal it does not, as it came from somebody else.
    """
    result = view.history.result
    if result and result.ended_by:
        return f"ended by {result.ended_by}"
    note = note_of(view)
    last = _BEFORE_A_MESSAGE.sub("", note.rpartition(LAST_OUTPUT)[2].rpartition(LINE_BREAK)[2])
    return f"{result.reason}; last: {last}" if result and result.signal and LAST_OUTPUT in note else last


def _with_cut_ids(rows: Sequence[Row], width: int) -> list[Row]:
    """Return the rows with ids no longer than there is room for, and than is needed to tell them apart."""
    widths = _widths(rows)
    too_much = sum(widths.values()) + len(_GAP) * (len(widths) - 1) - width
    if too_much <= 0:
        return list(rows)
    ids = {row.job for row in rows}
    size = max(LEAST_OF_AN_ID, widths[0] - too_much)
    while len({job[:size] for job in ids}) < len(ids):
        size += 1
    return [row._replace(job=row.job[:size]) for row in rows]


def _widths(rows: Sequence[Row]) -> dict[int, int]:
    """Return how wide each column is that is shown, but for the last one, which has what is left.

    That of studies is shown where a job is of one.
    """
    hidden = () if any(row.study for row in rows) else (_STUDY,)
    columns = zip(*(row[:-2] for row in (HEADER, *rows)), strict=True)
    return {index: max(map(width_of, column)) for index, column in enumerate(columns) if index not in hidden}


def _line(row: Row, widths: Mapping[int, int], terminal: Terminal, room: int | None) -> str:
    """Return a row as a line with so much room for its note; None is any."""
    cells = []
    for index, width in widths.items():
        cell = row[index].rjust(width) if index in _RIGHT else row[index].ljust(width)
        is_styled = row is HEADER or HEADER._fields[index] == "status"
        cells.append(terminal.styled(cell, row.style) if is_styled else cell)
    note = row.note if room is None else cut(row.note, room)
    if note:
        cells.append(terminal.styled(note, row.style if row is HEADER else "dim"))
    return _GAP.join(cells).rstrip()
