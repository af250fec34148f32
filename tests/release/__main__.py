"""Builds a release, checks it, and tries it on each Python that is here. Status 1 if anything is wrong."""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path

from tests.environments import ROOT

from .checks import problems
from .distributions import build, unpack
from .long_description import DeadLinkError
from .pythons import Python, programs_here, pythons
from .sources import ReleaseError, check_releasable, export, files_of, pythons_promised
from .trial import EXTRAS, Trial, attempt, without_packages

COLUMNS = ("Python", "extras", "install", "size", "unit tests", "skipped", "seconds", "")


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.release", description=__doc__)
    parser.add_argument("programs", nargs="*", metavar="PYTHON", help="interpreters; default: all that are here")
    parser.add_argument("--url", default="", help="below which the files of this version are shown")
    parser.add_argument("--to", type=Path, default=ROOT / "dist", metavar="FOLDER", help="where to put them")
    args = parser.parse_args()
    try:
        return release(args.to, args.url, args.programs)
    except (ReleaseError, DeadLinkError) as error:
        print(f"release: {error}", file=sys.stderr)
        return 1


def release(to: Path, url: str, programs: list[str]) -> int:
    """Return the exit status. Raises ReleaseError, DeadLinkError."""
    check_releasable(ROOT)
    with tempfile.TemporaryDirectory(prefix="flcore-release-") as name:
        folder = Path(name)
        folder.chmod(0o755)  # what is installed is tried as another user, too
        sdist, wheel = build(export(ROOT, folder / "sources", url), to)
        for built in (sdist, wheel):
            print(f"{built}  {built.stat().st_size:,} bytes")
        wrong = list(problems(sdist, wheel, files_of(ROOT)))
        print(*wrong, sep="\n", end="\n" if wrong else "")
        found = pythons(programs or programs_here())
        trials = list(_trials(found, wheel, sdist, folder))
    print(table(trials), *failures(trials), sep="\n")
    not_run = set(pythons_promised(ROOT)) - {python.minor for python in found}
    for minor in sorted(not_run):
        print(f"NOT RUN: Python {minor}, which setup.cfg promises: have it in PATH, or name it")
    return int(bool(wrong or not_run or not all(trial.passed for trial in trials)))


def _trials(found: Iterable[Python], wheel: Path, sdist: Path, folder: Path) -> Iterator[Trial]:
    tests = without_packages(unpack(sdist, folder / "tests"))
    for python in found:
        for extras in ((), EXTRAS):
            print(f"Python {python.title}, {'all' if extras else 'no'} extras: begins", file=sys.stderr, flush=True)
            yield attempt(python, extras, wheel, tests, folder / "environment")


def table(trials: Iterable[Trial]) -> str:
    rows = [COLUMNS, *map(_row, trials)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join(" | ".join(c.ljust(w) for c, w in zip(row, widths, strict=True)).rstrip() for row in rows)


def _row(trial: Trial) -> tuple[str, ...]:
    install = (f"{trial.install:.1f} s", f"{trial.size / 1e6:.1f} MB")
    passed, skipped = (f"{trial.counts.get(what, 0):,}" for what in ("passed", "skipped"))
    tests = (passed, skipped, f"{trial.seconds:.0f}", "" if trial.passed else "FAILED")
    return trial.python.title, "all" if trial.extras else "none", *install, *tests


def failures(trials: Iterable[Trial]) -> Iterator[str]:
    for trial in trials:
        if trial.failure:
            yield f"\nPython {trial.python.title}, {'all' if trial.extras else 'no'} extras:\n{trial.failure}"


if __name__ == "__main__":
    sys.exit(main())
