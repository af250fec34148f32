"""Results as a table for a human and as JSON for a machine."""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Sequence
from typing import Any

from .framework import OURS, Result

_WIDTH = 34


def as_table(result: Result) -> str:
    """Return a table: a row for each unit and contestant."""
    head = f"{'':{_WIDTH}}{'median':>10} {'p95':>9} {'x floor':>9}"
    return "\n".join([f"{result.bench.name}: {result.bench.about}", head, *_rows(result), ""])


def as_json(results: Sequence[Result]) -> dict[str, Any]:
    """Return all figures, and on what they were measured."""
    return {
        "at": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
        "python": platform.python_version(),
        "machine": f"{platform.machine()}, {os.cpu_count()} cores",
        "load": os.getloadavg()[0],
        "benches": {result.bench.name: _entry(result) for result in results},
    }


def _rows(result: Result) -> list[str]:
    return [_row(result, unit, name) for unit, figures in result.figures.items() for name in figures]


def _row(result: Result, unit: str, name: str) -> str:
    figure = result.figures[unit][name]
    columns = f"{_number(figure.median):>10} {_number(figure.p95):>9} {_ratio(result, unit, name):>9} {unit}"
    return f"  {name:{_WIDTH - 2}}{columns}{_verdict(result, unit) if name == OURS else ''}"


def _number(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def _ratio(result: Result, unit: str, contestant: str) -> str:
    ratio = result.ratio(unit, contestant)
    return "" if ratio is None else f"{ratio:.2f}"


def _verdict(result: Result, unit: str) -> str:
    target = result.contest.targets.get(unit)
    return f"  (target {target.text}: {'met' if result.is_met(unit) else 'MISSED'})" if target else ""


def _entry(result: Result) -> dict[str, Any]:
    return {
        "about": result.bench.about,
        "floor": result.contest.floor,
        "targets": {
            unit: {"target": target.text, "met": result.is_met(unit)} for unit, target in result.contest.targets.items()
        },
        "figures": {
            unit: {
                name: {
                    "median": figure.median,
                    "p95": figure.p95,
                    "lowest": min(figure.values),
                    "highest": max(figure.values),
                    "runs": len(figure.values),
                    "ratio": result.ratio(unit, name),
                }
                for name, figure in figures.items()
            }
            for unit, figures in result.figures.items()
        },
    }
