"""What becomes of metadata, at whomever they are submitted, and in what that differs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields
from typing import Any


@dataclass(frozen=True)
class Refused:
    """It is not taken, be it at the submission or by the site's launcher."""

    why: str


@dataclass(frozen=True)
class Taken:
    """It is taken, and this is what the site's job gets. None is what the site gives to who does not ask."""

    app: str | None = None
    """None where the site has no part in the job; then there is nothing else."""
    image: str | None = None
    gpus: int | None = None
    cpus: float | None = None
    memory: int | None = None
    shm_size: int | None = None
    python: str | None = None
    entrypoint: tuple[str, ...] = ()
    meta: Mapping[str, Any] = field(default_factory=dict, compare=False, repr=False)
    """The metadata, as they were read."""


Outcome = Refused | Taken


@dataclass(frozen=True)
class Fact:
    """One thing in which two outcomes differ."""

    what: str
    """``they refuse``, ``we refuse``, or the name of what a job gets."""
    how: str
    """Why it is refused; or what the job gets, by them and by us."""
    meta: Mapping[str, Any] = field(default_factory=dict, compare=False, repr=False)
    """The metadata, as who takes them has read them."""


def differing(theirs: Outcome, ours: Outcome) -> Iterator[Fact]:
    """Yield the facts. Two refusals are the same, whatever they say."""
    if isinstance(theirs, Refused):
        if not isinstance(ours, Refused):
            yield Fact("they refuse", theirs.why, ours.meta)
    elif isinstance(ours, Refused):
        yield Fact("we refuse", ours.why, theirs.meta)
    else:
        yield from _gifts(theirs, ours)


def _gifts(theirs: Taken, ours: Taken) -> Iterator[Fact]:
    for name in (given.name for given in fields(Taken) if given.compare):
        their, our = (_known(getattr(taken, name)) for taken in (theirs, ours))
        if their != our:
            yield Fact(name, f"they {their!r}, we {our!r}", ours.meta)


def _known(value: Any) -> Any:
    """Return a value to be compared: to get nothing of what nobody gives unasked is not to get it."""
    return value or None
