"""Plays the faults, each many times, and prints a table. Status 1 if a result was wrong or anything stayed behind.

Needs root: it has Docker Engines of its own, which share nothing with any other but the machine.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any

from tests.engines.engine import IMAGE, Engine, why_no_engine

from .lab import Fault, Lab, noted, play
from .party import Outcome
from .suite import FAULTS

RESULT = Path("build/faults.json")
IN_OWN_MOUNTS = "FLCORE_FAULTS_IN_OWN_MOUNTS"
COLUMNS = ("fault", "repeats", "right results / all", "left", "note")
MOST_PROBLEMS = 5
"""How many of a fault's problems are printed; all of them are in the JSON file."""


@dataclass
class Row:
    """What came of all repeats of one fault."""

    fault: Fault
    asked: int = 0
    """How many repeats there were to be."""
    repeats: int = 0
    seconds: float = 0.0
    """Of all repeats, though several may be played at once."""
    outcome: Outcome = field(default_factory=Outcome)

    @property
    def passed(self) -> bool:
        return self.outcome.passed and self.repeats == self.asked

    def cells(self) -> tuple[str, ...]:
        outcome = self.outcome
        note = ", ".join(f"{count} {end}" for end, count in outcome.ends.most_common())
        extra = outcome.notes[-1:] if self.repeats > 1 else outcome.notes
        return (
            self.fault.title,
            str(self.repeats),
            f"{outcome.right} / {outcome.jobs}",
            str(len(outcome.left)),
            "; ".join([note, *extra]),
        )

    def as_dict(self) -> dict[str, Any]:
        return {
            "name": self.fault.name,
            "title": self.fault.title,
            "repeats": self.repeats,
            "seconds": round(self.seconds, 1),
            "jobs": self.outcome.jobs,
            "right": self.outcome.right,
            "left": self.outcome.left,
            "passed": self.passed,
            "ends": dict(self.outcome.ends),
            "notes": self.outcome.notes,
            "problems": self.outcome.problems,
        }


@dataclass(frozen=True)
class Batch:
    """Repeats of one fault that are played at the same time on one engine."""

    fault: Fault
    repeats: Sequence[int]


class Run:
    """Plays batches on several engines at once."""

    def __init__(self, folder: Path, seed: int, keep: bool, per_job: bool) -> None:
        self._folder = folder
        self._per_job = per_job
        self._seed = seed
        self._keep = keep
        self._lock = threading.Lock()
        self._engines = 0
        self.rows: dict[str, Row] = {}

    def play_all(self, batches: Sequence[Batch], engines: int) -> None:
        queue: SimpleQueue[Batch] = SimpleQueue()
        for batch in batches:
            self.rows.setdefault(batch.fault.name, Row(batch.fault)).asked += len(batch.repeats)
            queue.put(batch)
        with ThreadPoolExecutor(engines) as pool:
            for worker in [pool.submit(self._work, queue) for _ in range(engines)]:
                worker.result()

    def _work(self, queue: SimpleQueue[Batch]) -> None:
        """Play what is in the queue, with a new engine where a fault needs another, or left it broken."""
        engine: Engine | None = None
        try:
            while True:
                batch = queue.get_nowait()
                if engine and (batch.fault.data_size != engine.data_size or not engine.answers()):
                    engine.close()
                    engine = None
                outcomes = [Outcome() for _ in batch.repeats]
                with noted(outcomes[0].problems):
                    engine = engine or self._new_engine(batch.fault.data_size)
                    self._play(batch, engine, outcomes)
                for repeat, outcome in zip(batch.repeats, outcomes, strict=True):
                    self._note(batch.fault, repeat, outcome)
        except Empty:
            return
        finally:
            if engine:
                engine.close()

    def _new_engine(self, data_size: str | None) -> Engine:
        with self._lock:
            self._engines += 1
            engine = Engine(self._folder / f"e{self._engines}", data_size)
        try:
            engine.start()
            engine.prepare()
        except BaseException:
            engine.close()
            raise
        return engine

    def _play(self, batch: Batch, engine: Engine, outcomes: Sequence[Outcome]) -> None:
        with ThreadPoolExecutor(len(batch.repeats)) as pool:
            played = pool.map(partial(self._play_once, batch.fault, engine), batch.repeats)
            for outcome, of_one in zip(outcomes, played, strict=True):
                outcome.add(of_one)
        outcomes[0].left += [f"volume {name}" for name in engine.volumes()]
        engine.remove_all()

    def _play_once(self, fault: Fault, engine: Engine, repeat: int) -> Outcome:
        began = time.monotonic()
        seed = f"{self._seed}/{fault.name}/{repeat}"
        folder = self._folder / f"{fault.name}-{repeat}"
        lab = Lab(engine.host, folder, IMAGE, engine, seed, per_job=self._per_job)
        outcome = play(fault, lab, self._keep)
        with self._lock:
            self.rows[fault.name].seconds += time.monotonic() - began
        return outcome

    def _note(self, fault: Fault, repeat: int, outcome: Outcome) -> None:
        with self._lock:
            row = self.rows[fault.name]
            row.repeats += 1
            row.outcome.add(outcome)
            verdict = "ok" if outcome.passed else f"WRONG: {'; '.join(outcome.problems + outcome.left)}"
            print(f"{fault.name} {repeat}: {verdict}", file=sys.stderr, flush=True)


def batches_of(faults: Sequence[Fault], repeats: int, at_once: int) -> Iterator[Batch]:
    """Yield all repeats of all faults, several of a fault at once where it hits only its own site."""
    for fault in faults:
        numbers = range(fault.repeats or repeats)
        size = 1 if fault.alone else at_once
        yield from (Batch(fault, numbers[i : i + size]) for i in range(0, len(numbers), size))


def table(rows: Sequence[Row]) -> str:
    """Return the rows as a table in plain text."""
    lines = [COLUMNS, *(row.cells() for row in rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(COLUMNS))]
    return "\n".join(
        " | ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in lines
    )


def problems(rows: Sequence[Row]) -> Iterator[str]:
    for row in rows:
        wrong = row.outcome.problems + [f"left behind: {thing}" for thing in row.outcome.left]
        yield from (f"{row.fault.name}: {problem}" for problem in wrong[:MOST_PROBLEMS])
        if len(wrong) > MOST_PROBLEMS:
            yield f"{row.fault.name}: and {len(wrong) - MOST_PROBLEMS} more"


def chosen(names: Sequence[str] | None) -> list[Fault]:
    """Return the faults whose names contain one of these words; all without any."""
    return [fault for fault in FAULTS if not names or any(name in fault.name for name in names)]


def move_to_own_mounts() -> None:
    """Run this program again where what it mounts, for its engines too, is gone when it is."""
    if IN_OWN_MOUNTS not in os.environ:
        command = [sys.executable, "-m", "tests.faults", *sys.argv[1:]]
        shared = 'mount --make-rshared / && exec "$@"'
        unshare = ["unshare", "--mount", "--propagation=private", "sh", "-c", shared, "sh", *command]
        os.execvpe(unshare[0], unshare, os.environ | {IN_OWN_MOUNTS: "1"})


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.faults", description=__doc__)
    parser.add_argument("--only", action="append", metavar="WORD", help="faults whose name contains this; repeatable")
    parser.add_argument("--repeats", type=int, default=10, help="of each fault (default: %(default)s)")
    parser.add_argument("--json", type=Path, default=RESULT, metavar="FILE", help="default: %(default)s")
    parser.add_argument("--engines", type=int, default=2, help="Docker Engines at a time (default: %(default)s)")
    parser.add_argument("--at-once", type=int, default=3, help="repeats at a time on one engine (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=random.randrange(1 << 16), help="of all random times; default: any")
    parser.add_argument("--keep", action="store_true", help="leave the files of the sites for which it went wrong")
    parser.add_argument("--per-job", action="store_true", help="each job has a network of its own")
    parser.add_argument("--list", action="store_true", help="print the names of all faults")
    args = parser.parse_args()
    faults = chosen(args.only)
    if args.list:
        print(*(f"{fault.name}\t{fault.title}" for fault in faults), sep="\n")
        return 0
    if reason := why_no_engine():
        print(f"no faults can be played: {reason}", file=sys.stderr)
        return 1
    move_to_own_mounts()
    return play_and_report(faults, args)


def play_and_report(faults: Sequence[Fault], args: argparse.Namespace) -> int:
    folder = Path(tempfile.mkdtemp(prefix="flf-"))  # short: there are sockets in it
    run = Run(folder, args.seed, args.keep, args.per_job)
    print(f"{len(faults)} faults, seed {args.seed}, files in {folder}", file=sys.stderr)
    try:
        run.play_all(list(batches_of(faults, args.repeats, args.at_once)), args.engines)
    finally:
        if not args.keep:
            shutil.rmtree(folder, ignore_errors=True)
    rows = list(run.rows.values())
    print(table(rows), *problems(rows), sep="\n")
    args.json.parent.mkdir(parents=True, exist_ok=True)
    result = {
        "seed": args.seed,
        "passed": all(row.passed for row in rows),
        "faults": [r.as_dict() for r in rows],
    }
    args.json.write_text(json.dumps(result, indent=2) + "\n")
    return 0 if result["passed"] else 1


if __name__ == "__main__":
    sys.exit(main())
