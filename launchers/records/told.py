"""How far a job's changes have been told, and by what ids. Pure but for a look at when the host has started.

A process may be killed between telling a change and noting that. The change itself need not be there any more for the
next process to see: a container that was paused then may run again, or have ended, and the engine says nothing of when
it was paused. So no id can be made of what the change is, nor may a number be noted after the telling only: the next
process would give it to another change. Therefore a change is written down before it is told, with its number and all
that is told of it; the next process tells just that once more before it looks what else has changed. It costs one line
of a file a change.

A launch that has failed is told of at once, though its container may be there for a while yet. That end has an id of
its own, which is written down before it is told: whoever sees to the rest, and tells the end again, tells it by that.

A run that cannot be written down, because the disk is full, goes on under another ``run``, which nobody knows and so
nobody uses again. So does one whose host has started anew since: a power cut may have taken the last lines.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import Any

from flcore.event_ids import EventId

from ..docker_state import DOCKER_STATE, Progress, Transition

TOLD_END_ID = "told_end_id"
"""The field of a record."""
BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


def new_run() -> str:
    """Return what begins the ids of a count that begins now."""
    return boot() + secrets.token_hex(6)


@cache
def boot() -> str:
    """Return what every run begins with that was begun since the host has started; empty where it does not say."""
    try:
        return BOOT_ID.read_text()[:8]
    except OSError:
        return ""


@dataclass(frozen=True, slots=True)
class Told:
    """What was told of a job's changes."""

    progress: Progress = Progress()  # noqa: RUF009 - it is immutable
    run: str = field(default_factory=new_run)
    number: int = 0
    """Of what was told last."""
    begun: Transition | None = None
    """What somebody began to tell next: it has been told to all, to some, or to nobody."""
    told_end_id: str = ""
    """The id by which the end was told before the changes that led to it: that of a launch which failed."""

    @property
    def next_id(self) -> str:
        """The id of what is told next."""
        return str(EventId(self.run, self.number + 1))

    @property
    def end_id(self) -> str:
        """The id of the end, if no change is told before it."""
        return self.told_end_id or self.next_id

    def then(self, state: DOCKER_STATE, time: float) -> Told:
        """Return what is told when one more change is."""
        return replace(self, progress=self.progress.then(state, time), number=self.number + 1, begun=None)

    def anew(self) -> Told:
        """Return the same, with a count that begins anew."""
        return replace(self, run=new_run(), number=0)

    def fields(self) -> Mapping[str, Any]:
        """Return what a record says of it."""
        state, entered, time = self.progress
        told = {"told": [state, sorted(entered), time]} if state else {}
        return {"run": self.run, "number": self.number, "telling": None} | told

    def fields_before(self, state: DOCKER_STATE, time: float) -> Mapping[str, Any]:
        """Return what a record says before the next change is told."""
        return {**self.fields(), "telling": [state, time]}
