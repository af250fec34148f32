"""What of a site a job sees, and how far it may go: what whoever answers for the data asks, whatever runs the job."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

__all__ = ["JobScope", "SeenDataset"]


_MAY_NAME = ("may name", "and of these")
"""What the lists of a study and its site are, or the site's alone."""
_WORDS = {"num_of_cpus": "processors", "shm_size": "shared memory", "num_of_gpus": "GPUs"}
"""What a resource is called, if not as its key."""


@dataclass(frozen=True, slots=True)
class SeenDataset:
    """A part of the site's data that a job sees."""

    name: str
    """What the site calls it; empty where it has no name."""
    path: str
    """Where the job sees it."""
    source: str
    """Where the site has it."""
    read_only: bool = True
    """Whether it may only read it."""

    def __str__(self) -> str:
        how = "read-only" if self.read_only else "writable"
        where = "" if self.path == self.source else f"; this host's {self.source}"
        name = f"{self.name}: " if self.name else ""
        return f"{name}{self.path}, {how}{where}"


@dataclass(frozen=True, slots=True)
class JobScope:
    """What a job sees of a site, and the most that it may ask for there."""

    study: str = ""
    """The one that it is of; empty for none."""
    is_listed: bool = True
    """Whether the site lists its study; else to the site that is only a word."""
    datasets: tuple[SeenDataset, ...] = ()
    """All that it sees of the site's data."""
    mounts: tuple[SeenDataset, ...] = ()
    """What else of the host it sees, as all jobs of the site do, beside the site's own workspace."""
    secrets: Mapping[str, str] = field(default_factory=dict)
    """All that it sees of them: ``name -> where it comes from, and where the job finds it``, in words."""
    image: str = ""
    """The one that it runs in; empty where jobs run in none."""
    images: Sequence[Sequence[str]] | None = None
    """Which it may name: an image must be on each of these lists of patterns; None where jobs run in none."""
    limits: Mapping[str, str] = field(default_factory=dict)
    """The most of a resource that it may ask for, by the resource's key; what is not here is not limited."""
    network: str = ""
    """The one that it joins; empty where a runtime has none."""

    def as_dict(self) -> dict[str, Any]:
        """Return it as JSON values."""
        return {
            "study": self.study or None,
            "study_is_listed": self.is_listed,
            "datasets": [asdict(one) for one in self.datasets],
            "mounts": [asdict(one) for one in self.mounts],
            "secrets": dict(self.secrets),
            "image": self.image or None,
            "images": None if self.images is None else [list(patterns) for patterns in self.images],
            "limits": dict(self.limits),
            "network": self.network or None,
        }

    def facts(self) -> Iterator[tuple[str, str]]:
        """Yield it in words: what a line is about, and what it says; empty where the same goes on."""
        yield "study", self._study()
        yield from _listed("datasets", map(str, self.datasets))
        if self.mounts:
            yield from _listed("mounts", map(str, self.mounts))
        yield from _listed("secrets", (f"{name}: {told}" for name, told in self.secrets.items()))
        if self.images is not None:
            yield "image", self.image
            yield from zip(_MAY_NAME, (", ".join(patterns) or "no other" for patterns in self.images), strict=False)
        limits = (f"{most} {_WORDS.get(name, name)}" for name, most in self.limits.items())
        yield "at most", ", ".join(limits) or "no limits"
        if self.network:
            yield "network", self.network

    def _study(self) -> str:
        if not self.study:
            return "none"
        return self.study if self.is_listed else f"{self.study}: only a word here, for the site lists no 'studies'"


def _listed(what: str, entries: Iterator[str]) -> Iterator[tuple[str, str]]:
    found = list(entries) or ["none"]
    yield from zip([what, *[""] * (len(found) - 1)], found, strict=True)
