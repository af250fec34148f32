"""Durations and times, as an operator writes and reads them."""

from __future__ import annotations

import re
import time
from datetime import datetime

_SECONDS_OF = {"s": 1, "m": 60, "h": 3600, "d": 86400}
_DURATION = re.compile(r"(?:\d{1,6}[smhd])+", re.ASCII)
_PART = re.compile(r"(\d+)([smhd])", re.ASCII)


def parse_duration(text: str) -> float:
    """Return seconds from a text such as ``24h``, ``90s`` or ``1h30m``. Raises ValueError."""
    if not _DURATION.fullmatch(text):
        raise ValueError(f"must be a duration such as 30m, 24h or 7d, got {text!r}")
    return float(sum(int(number) * _SECONDS_OF[unit] for number, unit in _PART.findall(text)))


def parse_date(text: str) -> tuple[datetime, bool]:
    """Return a moment, and whether it stands for its whole day, from a text as ISO 8601 has it. Raises ValueError.

    Such as ``2026-01-31``, which is a day, or ``2026-01-31T18:00+01:00``.
    """
    return datetime.fromisoformat(text), len(text) <= len("2026-01-31")


def as_duration(seconds: float | None) -> str:
    """Return how long something took, such as ``5.3 s`` or ``2 h 05 min``; ``-`` for what is not known."""
    if seconds is None:
        return "-"
    if seconds < 1:
        return f"{seconds * 1000:.0f} ms"
    if seconds < 60:
        return f"{seconds:.1f} s"
    whole = int(seconds)
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02} s"
    if whole < 86400:
        return f"{whole // 3600} h {whole % 3600 // 60:02} min"
    return f"{whole // 86400} d {whole % 86400 // 3600:02} h"


def as_age(seconds: float) -> str:
    """Return how long ago something was, in few characters, such as ``3 min``."""
    whole = max(0, int(seconds))
    for unit, name in ((86400, "d"), (3600, "h"), (60, "min")):
        if whole >= 2 * unit:
            return f"{whole // unit} {name}"
    return f"{whole} s"


def as_time(moment: float) -> str:
    """Return a time of day, with its date, as the clock on the wall says."""
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(moment))
