"""The command: ``python -m tests.compat --help``."""

from __future__ import annotations

import argparse
import json
import signal
import statistics
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from .environments import NEWEST, Flare, flare
from .federation import Federation, Outcome
from .jobs import Job
from .launchers import Launcher
from .topologies import Topology

COLUMNS = ("NVFlare", "topology", "launcher", "right", "status", "seconds", "median", "up in", "left")
LAUNCHERS = {"process": lambda _: Launcher.process(), "nvflare": Launcher.nvflare_docker}


@dataclass
class Row:
    """A federation, and what came of its jobs."""

    federation: Federation
    outcomes: list[Outcome] = field(default_factory=list)
    left: list[str] = field(default_factory=list)

    @property
    def passed(self) -> bool:
        return not self.left and all(outcome.is_right for outcome in self.outcomes)

    @property
    def seconds(self) -> list[float]:
        return [round(outcome.seconds, 1) for outcome in self.outcomes]

    def play(self, job: Job) -> None:
        outcome = self.federation.run(job)
        self.outcomes.append(outcome)
        self.left += self.federation.left_over()
        if not outcome.is_right:
            print(f"{outcome}\n{self.federation.story()}", file=sys.stderr, flush=True)

    def cells(self) -> tuple[str, ...]:
        lab, outcomes = self.federation, self.outcomes
        return (
            lab.flare.version,
            lab.topology,
            lab.launcher.name,
            f"{sum(outcome.is_right for outcome in outcomes)} of {len(outcomes)}",
            ", ".join(sorted({outcome.status for outcome in outcomes})),
            " ".join(f"{one:g}" for one in self.seconds),
            f"{statistics.median(self.seconds):.1f} s" if outcomes else "",
            f"{lab.up_seconds:.1f} s",
            ", ".join(sorted(set(self.left))) or "nothing",
        )

    def as_dict(self) -> dict[str, Any]:
        lab = self.federation
        return {
            "nvflare": lab.flare.version,
            "topology": lab.topology,
            "launcher": lab.launcher.name,
            "jobs": [{"status": one.status, "right": one.is_right, "seconds": one.seconds} for one in self.outcomes],
            "up_seconds": lab.up_seconds,
            "left": self.left,
        }


def main(arguments: Sequence[str] | None = None) -> int:
    options = _parser().parse_args(arguments)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that all is cleaned up
    rows = [row for version in options.nvflare or [NEWEST] for row in _play(flare(version), options)]
    if options.json:
        options.json.parent.mkdir(parents=True, exist_ok=True)
        options.json.write_text(json.dumps([row.as_dict() for row in rows], indent=2) + "\n")
    return 0 if all(row.passed for row in rows) else 1


def table(rows: Sequence[Row]) -> str:
    """Return the rows as a table in plain text."""
    lines = [COLUMNS, *(row.cells() for row in rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(COLUMNS))]
    return "\n".join(
        " | ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in lines
    )


def _play(version: Flare, options: argparse.Namespace) -> list[Row]:
    """Run the jobs of one version and topology: one at a time, by one launcher after the other."""
    launchers = [_launcher(name, version, options.args) for name in options.launcher or [*LAUNCHERS, "flcore"]]
    with ExitStack() as stack:
        federations = [Federation(version, one, options.topology, user=options.user) for one in launchers]
        rows = [Row(stack.enter_context(federation)) for federation in federations]
        for _ in range(options.repeats):
            for row in rows:
                row.play(Job())
    print(table(rows), flush=True)
    return rows


def _launcher(name: str, version: Flare, args: dict[str, Any]) -> Launcher:
    return LAUNCHERS[name](version) if name in LAUNCHERS else Launcher.flcore(**args)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.compat", description="Run jobs in real federations.")
    parser.add_argument("--nvflare", action="append", metavar="VERSION", help="repeatable (default: the newest)")
    parser.add_argument("--topology", type=Topology, choices=list(Topology), default=Topology.HOST)
    names = [*LAUNCHERS, "flcore"]
    parser.add_argument("--launcher", action="append", choices=names, help="repeatable (default: all)")
    parser.add_argument("--args", type=json.loads, default={}, metavar="JSON", help="of flcore's launcher")
    parser.add_argument("--repeats", type=int, default=1, help="jobs by each launcher (default: %(default)s)")
    parser.add_argument("--user", type=int, metavar="UID", help="the user that the parents run as")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures to this file too")
    return parser


if __name__ == "__main__":
    sys.exit(main())
