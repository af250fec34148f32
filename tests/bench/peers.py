"""Other frameworks as contestants: each in an environment and an interpreter of its own, never in ours.

A peer's interpreter runs ``nvflare_peer`` for one bench, and takes a measurement for each line that it reads.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import IO, Any

from tests.environments import ROOT, environment

from .framework import Bench
from .timing import Measure

REQUIREMENTS = ("nvflare==2.6.2", "nvflare==2.9.*")


def environments() -> list[Path]:
    """Return the interpreters of all peers; make what environments are missing, which takes minutes."""
    peers = ROOT / "build" / "peers"
    return [environment(peers / name.replace("==", "-").removesuffix(".*"), name) for name in REQUIREMENTS]


@contextmanager
def contestants(pythons: Sequence[Path], bench: Bench) -> Iterator[Mapping[str, Measure]]:
    """Start the peers that know a bench, and end them afterwards."""
    with ExitStack() as stack:
        started = [stack.enter_context(_peer(python, bench)) for python in pythons]
        yield {name: measure for peer in started for name, measure in peer.items()}


@contextmanager
def _peer(python: Path, bench: Bench) -> Iterator[dict[str, Measure]]:
    """Yield the peer's measure by its name; nothing if it does not know the bench."""
    command = [str(python), "-m", f"{__package__}.nvflare_peer", bench.function, *map(json.dumps, bench.args)]
    with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin  # for mypy
        assert process.stdout
        name = _read(process.stdout, command)
        yield {name: partial(_ask, process.stdin, process.stdout, command)} if name else {}
        # its input ends: the peer cleans up and ends too


def _ask(requests: IO[str], answers: IO[str], command: Sequence[str]) -> Mapping[str, float]:
    print(file=requests, flush=True)
    measured: Mapping[str, float] = _read(answers, command)
    return measured


def _read(answers: IO[str], command: Sequence[str]) -> Any:
    line = answers.readline()
    if not line:
        raise RuntimeError(f"a peer ended: {' '.join(command)}; see its output above")
    return json.loads(line)
