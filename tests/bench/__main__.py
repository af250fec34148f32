"""The command: ``python -m tests.bench --help``."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path

from . import peers
from .framework import Bench, Result, discover, run
from .report import as_json, as_table


def main(arguments: Sequence[str] | None = None) -> None:
    options = _parser().parse_args(arguments)
    benches = _chosen(options.names)
    environments = peers.environments() if options.peers else []
    results: list[Result] = []
    try:
        for bench in benches:
            with peers.contestants(environments, bench) as further:
                results.append(run(bench, further))
            print(as_table(results[-1]), flush=True)
    finally:  # what was measured before an interrupt counts too
        if options.json:
            _write(options.json, results)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description="Measure flcore beside its floors.")
    parser.add_argument("names", nargs="*", metavar="NAME", help="a bench, one case of it, or a module; default: all")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures to this file too")
    parser.add_argument("--peers", action="store_true", help="measure NVIDIA FLARE's packages too; installs them once")
    return parser


def _chosen(names: Sequence[str]) -> list[Bench]:
    """Return the benches of these names, or all. Raises SystemExit for a name that is none."""
    benches = discover()
    for name in names:
        if not any(bench.is_called(name) for bench in benches):
            known = ", ".join(dict.fromkeys(bench.function for bench in benches))
            raise SystemExit(f"there is no bench {name!r}; there are {known}")
    return [bench for bench in benches if not names or any(map(bench.is_called, names))]


def _write(path: Path, results: Sequence[Result]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(as_json(results), indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
