"""The ids by which a component tells an event that it hears again from a new one."""

from __future__ import annotations

import secrets
from typing import NamedTuple, Self


class EventId(NamedTuple):
    """Of one thing that a site tells of a job. As a text it is in the event's context and in what that is about.

    What is told of one run of a job has one ``run``, and numbers that count up. A site's process that is killed while
    it tells something leaves it to the next, which tells it again by the same id; no two things have the same one. So
    a component that remembers the highest number of each run knows a repeat. A run may get another ``run`` in between,
    where it is not sure what the process before has told: then what is told again looks new, and nothing is missed.
    """

    run: str
    number: int

    @classmethod
    def of_one_event(cls) -> Self:
        """Return the id of what nobody will ever tell again."""
        return cls(secrets.token_hex(8), 1)

    @classmethod
    def of(cls, text: str) -> Self | None:
        """Return the id that a text is; None for any other text."""
        run, _, number = text.rpartition(".")
        return cls(run, int(number)) if run and number.isascii() and number.isdigit() else None

    def __str__(self) -> str:
        return f"{self.run}.{self.number}"
