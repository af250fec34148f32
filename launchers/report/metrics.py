"""The ``metrics.json`` that a job may leave in its folder: its curves. Other parties' code wrote it.

Understood are a list of objects, ``[{"round": 1, "accuracy": 0.9}, …]``; an object of lists, ``{"epoch": [1, 2],
"loss": [0.5, 0.4]}``; and an object that has such lists of objects by a key each, beside single numbers, as
``{"rounds": [{…}, …], "final_accuracy": 0.95}``. A ``time`` beside them, in seconds since the epoch, says when each
was: without, nobody knows.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from flcore.config.strict_json import MAX_BYTES, parse_json
from flcore.disk.safe_files import closing, open_file, open_folder
from flcore.errors import ConfigError

from .charts import is_drawable
from .words import plain

METRICS_FILE = "metrics.json"
STEP_KEYS = ("round", "epoch", "step", "iteration", "batch")
"""What a curve is drawn over: the first of these that there is, else a count from 1."""
TIME_KEY = "time"
MAX_CURVES = 8
MAX_POINTS = 10_000
"""What is beyond them is not shown."""
_LONGEST_NAME = 60
_EARLIEST = 1e9
"""Seconds since the epoch: a number below is no time of any job's."""


class Curve(NamedTuple):
    """A number that changed."""

    name: str
    step: str
    """What it was measured at."""
    points: Sequence[tuple[float, float]]
    """``(step, value)``, in order of the steps."""
    times: Sequence[float] = ()
    """When each of these was, in seconds since the epoch; empty where that is not known."""


@dataclass(slots=True)
class Metrics:
    """What is to be shown of a file."""

    curves: list[Curve] = field(default_factory=list)
    numbers: list[tuple[str, float]] = field(default_factory=list)
    """What stands there once, or never changed."""
    skipped: list[str] = field(default_factory=list)
    """The names of what holds no numbers."""
    notes: list[str] = field(default_factory=list)
    """What else is not shown, and why, a line each."""


def read_metrics(folder: Path) -> Metrics | None:
    """Return what a job has left in its folder; None if it left nothing. Follows no link, and raises nothing."""
    try:
        with closing(open_folder(folder)) as within, open_file(METRICS_FILE, within) as file:
            data = file.read(MAX_BYTES + 1)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        return Metrics(notes=[f"it cannot be read: {error.strerror}"])
    return parse_metrics(data)


def parse_metrics(data: bytes) -> Metrics:
    """Return what is to be shown of a file's content, whatever it is."""
    if len(data) > MAX_BYTES:
        return Metrics(notes=[f"it is longer than {MAX_BYTES} bytes"])
    try:
        value = parse_json(data.decode("utf-8-sig"), METRICS_FILE)
    except (UnicodeDecodeError, ConfigError) as error:
        return Metrics(notes=[plain(str(error), 200)])
    return _understood(value)


def _understood(value: Any) -> Metrics:
    metrics = Metrics()
    if _is_table(value):
        _take_in(metrics, _columns(value))
    elif isinstance(value, dict):
        _take_in_object(metrics, value)
    if not metrics.curves and not metrics.numbers:
        metrics.notes.append("it is neither a list of objects with numbers, nor an object of such lists or of numbers")
    if len(metrics.curves) > MAX_CURVES:
        metrics.notes.append(f"its first {MAX_CURVES} curves of {len(metrics.curves)} are shown")
    del metrics.curves[MAX_CURVES:], metrics.numbers[MAX_CURVES:], metrics.skipped[MAX_CURVES:]
    return metrics


def _take_in_object(metrics: Metrics, value: Mapping[str, Any]) -> None:
    lists = {key: item for key, item in value.items() if isinstance(item, list) and not _is_table(item)}
    _take_in(metrics, lists)
    for key, item in value.items():
        if _is_table(item):
            _take_in(metrics, _columns(item))
        elif key not in lists:
            _take_in_number(metrics, key, item)


def _take_in_number(metrics: Metrics, key: str, item: Any) -> None:
    single = _number(item)
    if single is None:
        metrics.skipped.append(_name(key))
    else:
        metrics.numbers.append((_name(key), single))


def _take_in(metrics: Metrics, columns: Mapping[str, Sequence[Any]]) -> None:
    """Take in a table of columns of the same length."""
    step = next((key for key in STEP_KEYS if key in columns), "")
    times = _times(columns.get(TIME_KEY, ()))
    for key, column in columns.items():
        if key == step or (times and key == TIME_KEY):
            continue
        rows = list(_rows(columns.get(step, ()), column)) or list(_rows(range(1, len(column) + 1), column))
        _take_in_points(metrics, _curve(_name(key), step or "step", rows[:MAX_POINTS], times))


def _times(column: Sequence[Any]) -> Sequence[float]:
    """Return when the rows of a table were; nothing unless all of them say so: a ``time`` may be anything else, too."""
    times = [time for time in map(_number, column) if time is not None and time > _EARLIEST]
    return times if len(times) == len(column) and times == sorted(times) else ()


def _curve(name: str, step: str, rows: Sequence[tuple[int, float, float]], times: Sequence[float]) -> Curve:
    in_order = sorted(rows, key=lambda row: row[1:])
    points = [(x, y) for _, x, y in in_order]
    are_told = len(times) > max((index for index, _, _ in in_order), default=0)
    return Curve(name, step, points, [times[index] for index, _, _ in in_order] if are_told else ())


def _take_in_points(metrics: Metrics, curve: Curve) -> None:
    if not curve.points:
        metrics.skipped.append(curve.name)
    elif all(map(is_drawable, zip(*curve.points, strict=True))):
        metrics.curves.append(curve)
    else:
        metrics.numbers.append((curve.name, curve.points[-1][1]))


def _is_table(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(row, dict) for row in value)


def _columns(rows: Sequence[Mapping[str, Any]]) -> dict[str, list[Any]]:
    keys = dict.fromkeys(key for row in rows for key in row)
    # Each row may have keys of its own: without a limit, the table would be as large as their square.
    return {key: [row.get(key) for row in rows] for key in list(keys)[:100]}


def _rows(steps: Sequence[Any], column: Sequence[Any]) -> Iterator[tuple[int, float, float]]:
    """Yield which row it is, its step and its value, for those that have both."""
    for index, (step, value) in enumerate(zip(map(_number, steps), map(_number, column), strict=False)):
        if step is not None and value is not None:
            yield index, step, value


def _number(value: Any) -> float | None:
    if type(value) not in (int, float):  # true and false are of a type of their own, which is an int, too
        return None
    try:
        number = float(value)
    except OverflowError:
        return None
    return number if math.isfinite(number) else None


def _name(key: str) -> str:
    return plain(key, _LONGEST_NAME) or "(no name)"
