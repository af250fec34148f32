"""How times, sizes, results and texts of jobs are said on a page. Pure."""

from __future__ import annotations

import signal
import time
from typing import NamedTuple

from flcore.job_launcher_spec import JobResult, JobReturnCode
from flcore.observers.job_history import Outage
from flcore.observers.job_tally import failure_reason
from flcore.plain_text import harmless

from ..docker_state import TERMINAL_STATES
from ..operator.job_view import ENDED as ENDED_STATE
from ..operator.job_view import LOST as LOST_STATE
from ..operator.job_view import UNKNOWN as UNKNOWN_STATE
from ..operator.job_view import JobView

_BYTE_UNITS = ("B", "KiB", "MiB", "GiB", "TiB", "PiB")
_SECOND_UNITS = ((86_400, "d", 3_600, "h"), (3_600, "h", 60, "min"), (60, "min", 1, "s"))


class Verdict(NamedTuple):
    """How it is with a job, or with one of its runs."""

    kind: str
    """One of ``KINDS``."""
    word: str
    reason: str = ""
    """Why, in a few words; empty where there is nothing to say."""


ACTIVE, FAILED, LOST, ENDED, ABORTED, OK = KINDS = ("active", "failed", "lost", "ended", "aborted", "ok")
"""Of a job's runs, that of the job is the first one here."""
URGENT = (FAILED, LOST, ENDED)
"""Which of a job's runs are to be looked at first; the others keep their order, however they end."""
_LOST_REASONS = {
    LOST_STATE: "nobody follows it, and it is nowhere to be found",
    UNKNOWN_STATE: "nobody follows it, and no engine that answers has it",
}
SYMBOLS = {ACTIVE: "▶", FAILED: "✗", ENDED: "□", ABORTED: "■", LOST: "?", OK: "✓"}
SHAPES = {
    ACTIVE: "M-3-4 4 0-3 4Z",
    FAILED: "M-4-4 4 4M4-4-4 4",
    LOST: "M0-5 5 0 0 5-5 0Z",
    ENDED: "M-3-3H3V3H-3Z",
    ABORTED: "M-3-3H3V3H-3Z",
    OK: "M0-5V5",
}
"""Of the marks of jobs in a drawing, around the place where each is; none is told by its colour alone."""


def verdict(view: JobView) -> Verdict:
    """Return how it is with one run."""
    result = view.history.result
    if result is not None:
        return _verdict_of(result, view.history.federation)
    if view.state in _LOST_REASONS:
        return Verdict(LOST, view.state, _LOST_REASONS[view.state])
    if view.state == ENDED_STATE:
        return Verdict(ENDED, view.state, "no journal tells how it ended; its folder and its output are there")
    if view.state in TERMINAL_STATES:
        return Verdict(ENDED, view.state, "it has ended, and nobody has told how yet" + _who_tells(view))
    return Verdict(ACTIVE, view.state)


def _who_tells(view: JobView) -> str:
    return "" if view.has_parent else ": its site's next start does"


def worst(verdicts: list[Verdict]) -> Verdict:
    """Return the verdict of a job from those of its runs: it is active while one is, and has failed if one has."""
    found = min(verdicts, key=lambda each: KINDS.index(each.kind))
    if found.kind == ACTIVE:
        return Verdict(ACTIVE, "running" if any(each.word == "running" for each in verdicts) else found.word)
    return found


def duration(seconds: float) -> str:
    """Return a length of time, in the two units that matter."""
    if seconds < 59.95:
        return f"{seconds:.1f} s"
    for size, unit, rest_size, rest_unit in _SECOND_UNITS:
        if seconds >= size or size == 60:
            whole, rest = divmod(round(seconds), size)
            return f"{whole} {unit} {rest // rest_size} {rest_unit}" if rest // rest_size else f"{whole} {unit}"
    raise AssertionError("60 is the last")


def byte_size(count: float) -> str:
    """Return a number of bytes."""
    for unit in _BYTE_UNITS:
        if abs(count) < 1024 or unit == _BYTE_UNITS[-1]:
            return f"{count:.1f}".removesuffix(".0") + f" {unit}"
        count /= 1024
    raise AssertionError("the last unit returns")


def number(value: float) -> str:
    """Return a number that is to be read, not computed with: six digits at most."""
    return f"{value:,.6g}" if abs(value) < 1e6 else f"{value:,.0f}" if abs(value) < 1e15 else f"{value:.5g}"


def moment(seconds: float) -> str:
    """Return a time since the epoch as this machine's clock shows it."""
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(seconds))


def outage(found: Outage, now: float) -> str:
    """Return when and for how long a site's engine did not answer, and why."""
    length = duration((found.until or now) - found.since)
    how = f"did not answer for {length}" if found.until else f"has not answered for {length}"
    if found.outlived:
        how = f"did not answer for {length} at least, and its site's process has ended"
    reason = plain(found.reason, 200)
    return f"{moment(found.since)}: the engine of {plain(found.site, 80)} {how}: {reason}".rstrip(": ")


def clock(seconds: float) -> str:
    """Return a time of the day as this machine's clock shows it."""
    return time.strftime("%H:%M", time.localtime(seconds))


def time_zone() -> str:
    """Return what this machine's clock shows."""
    now = time.localtime()
    offset = time.strftime("%z", now)
    return "UTC" if offset == "+0000" else f"{now.tm_zone}, UTC{offset[:3]}:{offset[3:]}"


def plain(text: str, longest: int = 1000) -> str:
    """Return an untrusted text as one line of characters that can be seen, and do nothing."""
    shown = harmless(text[: 4 * longest])
    return shown if len(shown) <= longest and len(text) <= 4 * longest else f"{shown[: longest - 1]}…"


_ENDED_BY_THE_SITE = {"timeout": "timed out", "disk": "too large"}
"""Verdicts on what nobody wished for, so that it is looked for among what failed."""


def _verdict_of(result: JobResult, federation: str) -> Verdict:
    if result.succeeded and federation:
        kind = ABORTED if "ABORTED" in federation else FAILED
        return Verdict(kind, kind, f"the job of all sites: {plain(federation, 120)}")
    if result.succeeded:
        return Verdict(OK, "succeeded")
    if verdict := _ENDED_BY_THE_SITE.get(failure_reason(result)):
        return Verdict(FAILED, verdict, plain(result.ended_by.removeprefix("the site: "), 200))
    if result.return_code is JobReturnCode.ABORTED:
        return Verdict(ABORTED, "aborted", f"by {plain(result.ended_by, 200)}" if result.ended_by else "")
    return Verdict(FAILED, "failed", _why(result))


def _why(result: JobResult) -> str:
    if result.oom_killed:
        return "out of memory"
    if result.signal is not None:
        return f"killed by signal {result.signal}{_name_of(result.signal)}"
    if result.exit_code:
        return f"exit code {result.exit_code}"
    return plain(result.error.partition(" | ")[0], 120) or result.return_code.name


def _name_of(number: int) -> str:
    try:
        return f" ({signal.Signals(number).name})"
    except ValueError:
        return ""
