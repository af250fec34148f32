"""``flcore approvals``: what waits to be approved, and since when; with ``--all`` what was decided, too."""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Sequence
from typing import Any

from flcore.approvals.verdict import State
from flcore.cli.command import EXIT_OK, disk_in_words
from flcore.plain_text import harmless

from .asked_for import Asked, approvals_of
from .durations import as_age
from .terminal import Terminal, cut, width_of

_HEADER = ("FINGERPRINT", "JOB", "SITE", "STUDY", "SUBMITTER", "ASKED", "STATUS")
_STYLES = {State.APPROVED: "good", State.DENIED: "bad", State.WAITING: "odd"}
_LONGEST_CELL = 32


def run(args: argparse.Namespace) -> int:
    """List, the newest last; return the exit status."""
    sites = approvals_of(args)
    with disk_in_words():
        asked = [one for site in sites for one in site.asked() if args.all or one.waits]
    terminal = Terminal()
    if args.json:
        for one in asked:
            terminal.print(json.dumps(as_dict(one)))
    elif asked:
        terminal.print(*_lines(asked, terminal, time.time()))
        if terminal.is_terminal and any(one.waits for one in asked):
            terminal.print("", terminal.styled("look at one by: flcore show FINGERPRINT", "dim"))
    else:
        what = "nothing was asked for" if args.all else "nothing waits for approval"
        places = " and ".join(str(site.workspace) for site in sites) or "no site: name one by --site or --workspace"
        terminal.print(f"{what}: looked in {harmless(places)}")
    return EXIT_OK


def as_dict(asked: Asked) -> dict[str, Any]:
    """Return what ``--json`` says of one. Times are seconds since the epoch."""
    request, verdict = asked.request, asked.verdict
    return {
        "fingerprint": asked.fingerprint,
        "site": asked.where,
        "workspace": str(asked.site.workspace),
        "name": asked.name,
        "job_id": request and request.job_id,
        "study": request and request.study,
        "submitter": request and request.submitter,
        "asked_at": request and request.time,
        "state": str(verdict.state),
        "approvers": verdict.wanted,
        "by": [{"uid": one.uid, "user": one.user, "time": one.time, "until": one.until} for one in verdict.by],
    }


def _lines(asked: Sequence[Asked], terminal: Terminal, now: float) -> list[str]:
    rows = [_HEADER, *(_row(one, now) for one in asked)]
    widths = [max(map(width_of, column)) for column in zip(*(row[:-1] for row in rows), strict=True)]
    styles = ["strong", *(_STYLES[one.verdict.state] for one in asked)]
    return [_line(row, widths, style, terminal) for row, style in zip(rows, styles, strict=True)]


def _row(asked: Asked, now: float) -> tuple[str, ...]:
    request = asked.request
    said = (asked.name, asked.where, request.study if request else "", request.submitter if request else "")
    cells = (cut(harmless(text), _LONGEST_CELL) or "-" for text in said)
    return (asked.short, *cells, as_age(now - request.time) if request else "-", harmless(asked.status()))


def _line(row: tuple[str, ...], widths: Sequence[int], style: str, terminal: Terminal) -> str:
    cells = [cell + " " * (width - width_of(cell)) for cell, width in zip(row[:-1], widths, strict=True)]
    return "  ".join([*cells, terminal.styled(row[-1], style)])
