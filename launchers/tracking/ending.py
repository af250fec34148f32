"""What is to be done next to end a job, and when. Pure: who uses it says what time it is.

Its process is asked to end; after the job's grace it is killed, and killed again until somebody sees its end: that a
signal was delivered is no proof, for an engine that restarts may lose it.
"""

from __future__ import annotations

SIGTERM, SIGKILL = "SIGTERM", "SIGKILL"
KILL_INTERVAL = 5.0
"""Seconds between two kills of a process whose end is not seen."""
SIGNAL_RETRY = 1.0
"""Seconds after which a signal is sent again that could not be sent."""


class Ending:
    """How far the end of one job has been pursued. ``now`` is in seconds by a monotonic clock."""

    __slots__ = ("_due", "_stop_grace", "signal", "under_way")

    def __init__(self, stop_grace: float) -> None:
        self._stop_grace = stop_grace
        self._due = 0.0
        self.signal = SIGTERM
        """What is sent next, or is being sent."""
        self.under_way = False
        """It is being sent: whether it or the job's own end came first is not known yet."""

    def begin(self, now: float) -> bool:
        """Say whether the signal is to be sent now. If so, nothing else is until it was, or could not be."""
        if self.under_way or now < self._due:
            return False
        self.under_way = True
        return True

    def sent(self, now: float) -> float:
        """Go on to the next signal, whether or not this one met a process; return in how many seconds that is due."""
        seconds = self._stop_grace if self.signal == SIGTERM else KILL_INTERVAL
        self.signal = SIGKILL
        return self._wait(now, seconds)

    def not_sent(self, now: float) -> float:
        """Stay with the signal, which may have got there or not; return in how many seconds it is due again."""
        return self._wait(now, SIGNAL_RETRY)

    def _wait(self, now: float, seconds: float) -> float:
        self.under_way = False
        self._due = now + seconds
        return seconds
