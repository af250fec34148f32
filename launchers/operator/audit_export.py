"""``flcore audit export``: the jobs of a study, or of a time, as an auditor asks for them."""

from __future__ import annotations

import argparse
import csv
import io
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from flcore.cli.command import EXIT_FAILED, EXIT_OK
from flcore.cli.streams import tell
from flcore.errors import ConfigError
from flcore.observers.job_history import JobHistory
from flcore.plain_text import harmless

from .audit import counted, lines_of, verdicts_of
from .terminal import Terminal

_FIELDS = (
    *("site", "job_id", "study", "submitter", "site_user", "image", "image_id", "fingerprint", "datasets"),
    *("approved_by", "began", "ended", "result", "chain_holds"),
)
_FORMULA = ("=", "+", "-", "@", "\t", "\r")
"""What spreadsheets take a cell for that begins so."""
_COLUMN = 13


def run(args: argparse.Namespace) -> int:
    """Print the jobs, and whether the chains hold; return the exit status."""
    if None not in (args.since, args.until) and args.since >= args.until:
        raise ConfigError("--from: must be before what --to says: no job is of both times")
    verdicts = verdicts_of(args)
    found: list[tuple[float, dict[str, Any]]] = []
    for site, verdict in verdicts:
        runs, users = site.all_runs()
        found += (
            (job.began_at, _entry(job, users.get(job.parent, "")) | {"chain_holds": verdict.holds})
            for job in runs
            if _is_meant(job, args)
        )
    entries = [entry for _, entry in sorted(found, key=lambda each: each[0])]
    told = [line for site, verdict in verdicts for line in lines_of(site, verdict, has_heads=args.head is not None)]
    _print(entries, told, args)
    return EXIT_OK if all(verdict.holds for _, verdict in verdicts) else EXIT_FAILED


def _is_meant(job: JobHistory, args: argparse.Namespace) -> bool:
    """Whether a run is of the study, and was under way in the time."""
    if args.study is not None and job.study != args.study:
        return False
    ended = _ended_at(job)
    is_before = args.until is not None and job.began_at >= args.until
    return not is_before and (args.since is None or (math.inf if ended is None else ended) >= args.since)


def _ended_at(job: JobHistory) -> float | None:
    return (job.result.finished_at if job.result else None) or job.closed_at


def _entry(job: JobHistory, user: str) -> dict[str, Any]:
    """Return what an auditor asks of a run."""
    request = job.request or {}
    return {
        "site": job.site,
        "job_id": job.job_id,
        "study": job.study,
        "submitter": job.submitter,
        "site_user": user,
        "image": str(request.get("Image") or request.get("image") or ""),
        "image_id": job.image_id,
        "fingerprint": job.fingerprint,
        "datasets": list(job.datasets),
        "approved_by": list(job.approved_by),
        "began": _as_time(job.began_at or None),
        "ended": _as_time(_ended_at(job)),
        "result": job.result.return_code.name if job.result else None,
    }


def _as_time(moment: float | None) -> str | None:
    return None if moment is None else datetime.fromtimestamp(moment, UTC).isoformat(timespec="seconds")


def _print(entries: Sequence[Mapping[str, Any]], told: Sequence[str], args: argparse.Namespace) -> None:
    terminal = Terminal()
    if args.json or args.csv:
        lines = [json.dumps(entry) for entry in entries] if args.json else _as_csv(entries)
        if lines:
            terminal.print(*lines)
        tell(*told)
        return
    for entry in entries:
        terminal.print(*_as_text(terminal, entry), "")
    terminal.print(counted(len(entries), "run"), *told)


def _as_csv(entries: Sequence[Mapping[str, Any]]) -> list[str]:
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow(_FIELDS)
    table.writerows([_cell(entry[name]) for name in _FIELDS] for entry in entries)
    return text.getvalue().splitlines()


def _cell(value: Any) -> str:
    """Return a value as a cell that no spreadsheet takes for a formula: others may have made it up."""
    if isinstance(value, list):
        value = "; ".join(value)
    elif not isinstance(value, str):
        value = "" if value is None else json.dumps(value)
    text = harmless(value)
    return f"'{text}" if text.startswith(_FORMULA) else text


def _as_text(terminal: Terminal, entry: Mapping[str, Any]) -> Iterator[str]:
    yield terminal.styled(f"{entry['job_id']} at {entry['site']}", "strong")
    image = f"{entry['image']} ({entry['image_id']})" if entry["image_id"] else entry["image"]
    user = f"the site's user {entry['site_user']}" if entry["site_user"] else ""
    facts = {
        "study": entry["study"],
        "code": image,
        "fingerprint": entry["fingerprint"],
        "whose": entry["submitter"] or user,
        "data": ", ".join(entry["datasets"]),
        "approved by": ", ".join(entry["approved_by"]),
        "began": entry["began"],
        "ended": entry["ended"],
        "result": entry["result"] or "its end is not told",
    }
    yield from (
        f"  {terminal.styled(f'{key:<{_COLUMN}}', 'dim')}{harmless(value)}" for key, value in facts.items() if value
    )
