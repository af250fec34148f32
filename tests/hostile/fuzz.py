"""Tries properties on new inputs until the time is up: ``python -m tests.hostile.fuzz --minutes 10``."""

from __future__ import annotations

import argparse
import time
from collections import Counter
from collections.abc import Callable
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis.strategies import SearchStrategy

from .properties import PROPERTIES

_ROUND = 2000
"""Inputs after which hypothesis begins anew: its runs do not get better by being longer."""


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.hostile.fuzz", description=__doc__)
    parser.add_argument("--minutes", type=float, default=10)
    minutes = parser.parse_args().minutes
    counts: Counter[str] = Counter()
    end = time.monotonic() + 60 * minutes
    while time.monotonic() < end:
        for strategy, check in PROPERTIES:
            play(strategy, check, counts)
    for what, count in sorted(counts.items()):
        print(f"{count:>10,}  {what}")
    print(f"{sum(counts.values()):>10,}  inputs in {minutes:g} minutes, and no other error")


def play(strategy: SearchStrategy[Any], check: Callable[[Any], str], counts: Counter[str]) -> None:
    """Try one property on new inputs. Raises what hypothesis raises, which shows the input."""

    @settings(max_examples=_ROUND, database=None, deadline=None, suppress_health_check=list(HealthCheck))
    @given(strategy)
    def holds(value: Any) -> None:
        counts[f"{check.__name__}: {check(value)}"] += 1

    holds()


if __name__ == "__main__":
    main()
