"""When one container is looked at, and looked at again. Pure: who looks is somebody else."""

from __future__ import annotations

from enum import Enum

from .worker_loop import retry_delay


class Cause(Enum):
    """Why a container is looked at."""

    TOLD = "somebody said that there is something to see: an event, or who has just done something to it"
    LISTED = "nothing but a list has said so: what there is to see was told by no event"


class Looking:
    """At most one look at a container at a time: the answers of two could come in the wrong order.

    It is idle, or looking, or looking and asked again. An answer and a failure both end a look.
    """

    __slots__ = ("_again", "cause", "failures", "under_way")

    def __init__(self) -> None:
        self.under_way = False
        self.cause = Cause.TOLD
        """Of the look that is under way, or was last."""
        self._again: Cause | None = None
        """Why another follows, if one does: what was asked for meanwhile may have happened behind this one's back."""
        self.failures = 0
        """How many looks have failed since the last that was answered."""

    def begin(self, cause: Cause) -> bool:
        """Say whether to look now; else a look is under way, and another follows it."""
        if not self.under_way:
            self.under_way, self.cause = True, cause
            return True
        # An event that comes while a list's look is under way tells of what that look is about to find: not missed.
        self.cause = _cause_of_both(self.cause, cause)
        self._again = cause if self._again is None else _cause_of_both(self._again, cause)
        return False

    def answered(self) -> Cause | None:
        """End the look by its answer; return why another is to follow, None if none is."""
        again = self._end()
        self.failures = 0
        return again

    def failed(self) -> float:
        """End the look by its failure; return in how many seconds to look again.

        It is not sooner for who has asked meanwhile: a container that cannot be inspected is not asked for on and on.
        """
        self._end()
        self.failures += 1
        return retry_delay(self.failures - 1)

    def _end(self) -> Cause | None:
        again, self._again = self._again, None
        self.under_way = False
        return again


def _cause_of_both(one: Cause, other: Cause) -> Cause:
    return Cause.LISTED if one is other is Cause.LISTED else Cause.TOLD
