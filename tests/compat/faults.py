"""Does in real federations what can go wrong, and prints a table of what the operator sees.

Status 1 if a result or a reason was wrong, or anything stayed behind: ``python -m tests.compat.faults --help``.
"""

from __future__ import annotations

import argparse
import json
import re
import signal
import statistics
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from tests.faults.lab import noted

from .environments import Flare, flare
from .federation import Federation
from .launchers import Launcher
from .rows import ROWS, Row
from .stage import Sight, Stage
from .topologies import Topology

COLUMNS = ("what happens", "NVFlare", "launcher", "right", "status", "seconds", "reason that the operator sees", "left")
VERSIONS = ("2.6.2", "2.9.0")
FLCORE, NVFLARE = "flcore", "nvflare"
_LONGEST = 200
_ID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}|(?<=\()[0-9a-f]{12}(?=\))")
"""Of a job, or of a container."""


@dataclass
class Result:
    """What came of all repeats of a row with one version and launcher."""

    row: Row
    flare: Flare
    launcher: str
    sights: list[Sight] = field(default_factory=list)

    @property
    def passed(self) -> bool:
        return all(sight.is_right for sight in self.sights)

    def cells(self) -> tuple[str, ...]:
        sights = self.sights
        return (
            self.row.title,
            self.flare.version,
            self.launcher,
            f"{sum(sight.is_right for sight in sights)} of {len(sights)}",
            ", ".join(sorted({status.removeprefix("FINISHED:") for sight in sights for status in sight.statuses})),
            self._median(),
            next((shortened(sight.reason) for sight in sights if sight.reason), ""),
            ", ".join(sorted({kinds(sight.left) for sight in sights})),
        )

    def problems(self) -> Iterator[str]:
        """Yield each kind of problem, and how often it was there."""
        for problem, count in Counter(problem for sight in self.sights for problem in sight.problems).items():
            yield f"{self.row.name}, {self.flare.version}, {self.launcher}: {shortened(problem)} ({count})"

    def as_dict(self) -> dict[str, Any]:
        return {
            "row": self.row.name,
            "title": self.row.title,
            "nvflare": self.flare.version,
            "launcher": self.launcher,
            "passed": self.passed,
            "repeats": [asdict(sight) for sight in self.sights],
        }

    def _median(self) -> str:
        seconds = [sight.seconds for sight in self.sights if sight.seconds is not None]
        return f"{statistics.median(seconds):.1f}" if seconds else ""


@dataclass(frozen=True)
class Player:
    """Plays rows in federations of one version, by one launcher."""

    flare: Flare
    launcher: str
    topology: Topology

    def play(self, row: Row, repeats: int) -> Result:
        """Play a row several times in one federation; in a new one where something has gone wrong."""
        result = Result(row, self.flare, self.launcher)
        with ExitStack() as stack:
            federation = None
            for _ in range(row.repeats or repeats):
                federation = federation or stack.enter_context(self._federation(row))
                result.sights.append(_play_once(row, federation))
                if not result.sights[-1].is_right:
                    stack.close()
                    federation = None
        return result

    def _federation(self, row: Row) -> Federation:
        launcher = Launcher.flcore(**row.args) if self.launcher == FLCORE else Launcher.nvflare_docker(self.flare)
        return Federation(self.flare, launcher, self.topology, user=row.user, proxied=row.proxied)


def _play_once(row: Row, federation: Federation) -> Sight:
    stage = Stage(federation)
    with noted(stage.sight.problems):
        row.play(stage)
    with noted(stage.sight.problems):
        stage.leaves_nothing()
        stage.next_job_runs()
    if not stage.sight.is_right:
        print(f"{row.name}: {stage.sight}\n{federation.story()}", file=sys.stderr, flush=True)
    return stage.sight


def table(results: Sequence[Result]) -> str:
    """Return the results as a table in Markdown."""
    rule = "|".join(["---"] * len(COLUMNS))
    return "\n".join([_line(COLUMNS), f"|{rule}|", *(_line(result.cells()) for result in results)])


def shortened(text: str) -> str:
    """Return a reason or a problem without the ids of jobs, and no longer than a table bears."""
    short = _ID.sub("…", " ".join(text.split()))
    return short if len(short) <= _LONGEST else f"{short[:_LONGEST]}…"


def kinds(left: Sequence[str]) -> str:
    """Return how many of each kind are left, of ``container name``, ``process number`` and so on."""
    counts = Counter(thing.partition(" ")[0] for thing in left)
    return ", ".join(f"{count} {kind}{'s' if count > 1 else ''}" for kind, count in counts.items()) or "nothing"


def chosen(words: Sequence[str] | None) -> list[Row]:
    """Return the rows whose names contain one of these words; all without any."""
    return [row for row in ROWS if not words or any(word in row.name for word in words)]


def main(arguments: Sequence[str] | None = None) -> int:
    options = _parser().parse_args(arguments)
    rows = chosen(options.only)
    if options.list:
        print(*(f"{row.name}\t{row.title}" for row in rows), sep="\n")
        return 0
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that all is cleaned up
    results = list(_play(rows, options))
    print(table(results), *(problem for result in results for problem in result.problems()), sep="\n")
    if options.json:
        options.json.parent.mkdir(parents=True, exist_ok=True)
        options.json.write_text(json.dumps([result.as_dict() for result in results], indent=2) + "\n")
    return 0 if all(result.passed for result in results) else 1


def _play(rows: Sequence[Row], options: argparse.Namespace) -> Iterator[Result]:
    for version in map(flare, options.nvflare or VERSIONS):
        for launcher in options.launcher or [FLCORE]:
            player = Player(version, launcher, options.topology)
            for row in rows:
                result = player.play(row, options.repeats)
                print(_line(result.cells()), file=sys.stderr, flush=True)
                yield result


def _line(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.compat.faults", description=__doc__)
    parser.add_argument("--only", action="append", metavar="WORD", help="rows whose name contains this; repeatable")
    parser.add_argument("--repeats", type=int, default=3, help="of each row (default: %(default)s)")
    parser.add_argument("--nvflare", action="append", metavar="VERSION", help=f"repeatable (default: {VERSIONS})")
    parser.add_argument("--launcher", action="append", choices=[FLCORE, NVFLARE], help="repeatable (default: flcore)")
    parser.add_argument("--topology", type=Topology, choices=list(Topology), default=Topology.HOST)
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all that was seen to this file too")
    parser.add_argument("--list", action="store_true", help="print the names of all rows")
    return parser


if __name__ == "__main__":
    sys.exit(main())
