"""Tries flcore on each engine, or the named ones, and prints a table. Status 1 if anything failed on any.

An interrupt ends it with the table of those that were tried till then (status 130), and nothing of an engine stays.

Needs root: the engines are private ones, in namespaces of their own; their programs are kept between runs.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterator, Sequence

from .engine import running, why_no_engine
from .programs import PROGRAMS, Program
from .trial import OUTCOMES, RESTARTS, Trial, attempt

_INTERRUPTED = 130
COLUMNS: dict[str, tuple[str, ...]] = {
    "all tests": (),
    "hostile": ("test_hostile_inputs",),
    "hardening": ("test_hardening", "test_inside_a_job", "test_own_users"),
    "ways out": ("test_ways_out", "test_hospital"),
    "kill -9": ("test_faults",),
    "pull, digests": ("test_image_pull",),
    "GPUs": ("test_gpus",),
    "one container": ("test_one_container", "test_many_containers"),
}


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.engines", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(p.name for p in PROGRAMS)}")
    parser.add_argument("--select", action="append", default=[], metavar="ARG", help="of pytest; default: all")
    args = parser.parse_args()
    known = {program.name: program for program in PROGRAMS}
    if unknown := [name for name in args.names if name not in known]:
        parser.error(f"no such engine: {', '.join(unknown)}; there are {', '.join(known)}")
    if reason := why_no_engine():
        print(f"no engine can be tried: {reason}", file=sys.stderr)
        return 1
    chosen = [known[name] for name in args.names or known]
    trials: dict[str, Trial] = {}
    try:
        for program in chosen:
            trials[program.name] = try_engine(program, tuple(args.select))
    except KeyboardInterrupt:
        left = [program.name for program in chosen if program.name not in trials]
        print(f"interrupted: not tried, or not to the end: {', '.join(left)}", file=sys.stderr)
    print(table(trials), *failures(trials), sep="\n")
    if len(trials) < len(chosen):
        return _INTERRUPTED
    return 0 if all(trial.passed for trial in trials.values()) else 1


def try_engine(program: Program, select: tuple[str, ...]) -> Trial:
    began = time.monotonic()
    print(f"{program.name}: begins", file=sys.stderr, flush=True)
    try:
        with running(program) as engine:
            trial = attempt(engine, select)
    except Exception as error:  # noqa: BLE001 - one engine's trouble is no other's
        trial = Trial(program.name, failures=[f"{type(error).__name__}: {error}"])
    trial.seconds = time.monotonic() - began
    summary = f"{program.name}: {len(trial.failures)} failures, {trial.seconds:.0f} s"
    print(summary, *trial.failures, sep="\n  ", file=sys.stderr, flush=True)
    return trial


def table(trials: dict[str, Trial]) -> str:
    rows = [("name", "engine", "check", "demo", *COLUMNS, *RESTARTS, "seconds"), *_rows(trials)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return "\n".join(" | ".join(c.ljust(w) for c, w in zip(row, widths, strict=True)).rstrip() for row in rows)


def _rows(trials: dict[str, Trial]) -> Iterator[tuple[str, ...]]:
    for name, trial in trials.items():
        counts = (_counts(trial, modules) for modules in COLUMNS.values())
        restarts = (trial.restarts.get(fault, "") for fault in RESTARTS)
        yield name, trial.engine, trial.check, trial.demo, *counts, *restarts, f"{trial.seconds:.0f}"


def _counts(trial: Trial, modules: Sequence[str]) -> str:
    count = trial.count(*modules)
    return " / ".join(str(count[outcome]) for outcome in OUTCOMES)


def failures(trials: dict[str, Trial]) -> Iterator[str]:
    for name, trial in trials.items():
        yield from (f"{name}: {failure}" for failure in trial.failures)
        yield from (f"{name}: {count} left out: {reason}" for reason, count in trial.reasons.items())


if __name__ == "__main__":
    sys.exit(main())
