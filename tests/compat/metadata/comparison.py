"""Many made-up metadata, submitted to both, and what of that differs."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path

from .differences import ALL, DIFFERENCES, Difference, explaining
from .made_up import MadeUp, made_up
from .ours import Ours
from .outcome import Fact, Taken, differing
from .theirs import Theirs

SEED, COUNT = 17, 10_000


@dataclass
class Comparison:
    """What has come of all of them."""

    version: str
    """Of NVIDIA FLARE: one of those that the table knows; a newer one should be like the newest of them."""
    count: int = 0
    taken_by_both: int = 0
    hits: Counter[Difference] = field(default_factory=Counter)
    unexplained: list[tuple[Fact, MadeUp]] = field(default_factory=list)

    def rows(self) -> Iterator[Difference]:
        """Yield the differences that this version should have."""
        yield from (row for row in DIFFERENCES if self.version in row.versions)

    def add(self, fact: Fact, of: MadeUp) -> None:
        row = explaining(fact, self.version)
        if row:
            self.hits[row] += 1
        else:
            self.unexplained.append((fact, of))


def compare(folder: Path, count: int = COUNT, seed: int = SEED) -> Comparison:
    """Submit made-up metadata to both."""
    installed = ".".join(version("nvflare").split(".")[:2])
    comparison = Comparison(installed if installed in ALL else ALL[-1])
    with _quiet():
        _compare(comparison, folder, made_up(seed, count))
    return comparison


def _compare(comparison: Comparison, folder: Path, all_metadata: Iterable[MadeUp]) -> None:
    ours, theirs = Ours(folder), Theirs()
    for metadata in all_metadata:
        our, their = ours.outcome(metadata), theirs.outcome(metadata)
        comparison.count += 1
        comparison.taken_by_both += isinstance(our, Taken) and isinstance(their, Taken)
        for fact in differing(their, our):
            comparison.add(fact, metadata)


@contextmanager
def _quiet() -> Iterator[None]:
    """Have nobody log what is wrong with each of them."""
    before = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        yield
    finally:
        logging.disable(before)
