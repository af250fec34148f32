"""When all containers are listed, for how long, and how long one that is in no list may still come. Pure.

Times are in seconds by a monotonic clock.
"""

from __future__ import annotations

from .tracked_job import TrackedJob


class OneAtATime:
    """At most one list at a time, or one dealing with what was listed: idle, or at it, or at it and asked again."""

    __slots__ = ("_again", "_under_way", "began")

    def __init__(self) -> None:
        self._under_way = False
        self.began = 0.0
        """When that began which is under way, or was last."""
        self._again = False
        """Another follows: what it was asked for may have happened behind this one's back."""

    def begin(self, now: float) -> bool:
        """Say whether to do it now; else it is under way, and is to be done again behind that."""
        if self._under_way:
            self._again = True
            return False
        self._under_way, self.began = True, now
        return True

    def end(self) -> bool:
        """End what is under way, be it answered or not; return whether it is to be done again."""
        again, self._again = self._again, False
        self._under_way = False
        return again


class Sweep:
    """Lists that go on until no container can appear any more that nobody knows of.

    A process that died may have asked for a container and not written down which. The engine may make it as late as
    ``grace`` seconds after it has begun to answer; and a younger one is left alone, for somebody may be about to write
    it down. So a sweep that ended sooner would leave behind what nobody looks for again. Only a list that *begins*
    after the grace is sure to have all that came within.
    """

    __slots__ = ("_ends", "_grace", "under_way")

    def __init__(self, grace: float) -> None:
        self._grace = grace
        self._ends: float | None = None
        """A list that begins then, or later, is the last; None before the first is answered."""
        self.under_way = False

    def begin(self) -> None:
        """Begin, or begin anew."""
        self.under_way, self._ends = True, None

    def listed(self, began: float, now: float) -> None:
        """Take note of a list that was answered. Nothing happens without a sweep."""
        if not self.under_way:
            return
        if self._ends is None:
            self._ends = now + self._grace
        elif began >= self._ends:
            self.under_way = False


class Expectation:
    """A job whose container may still appear, for so many seconds.

    They count from the first list that is answered: an engine that hangs may do later what it was asked for.
    """

    __slots__ = ("_patience", "_until", "job")

    def __init__(self, job: TrackedJob, patience: float) -> None:
        self.job = job
        self._patience = patience
        self._until: float | None = None

    def is_in_vain(self, now: float) -> bool:
        """Whether it has not come in time. Call with each list that it is not in."""
        if self._until is None:
            self._until = now + self._patience
        return now >= self._until
