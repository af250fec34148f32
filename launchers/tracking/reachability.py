"""Whether a runtime's engine answers: a condition of its own, which ends no job. Pure."""

from __future__ import annotations

from collections.abc import Callable


class Reachability:
    """Whether the engine answers, or why not. The tracker's worker alone takes note; anybody may read.

    ``on_change`` is called when that changes, and at no other time: with whether it answers, and the reason if not.
    """

    __slots__ = ("_on_change", "_silence")

    def __init__(self, on_change: Callable[[bool, str], object]) -> None:
        self._on_change = on_change
        self._silence: str | None = None

    @property
    def answers(self) -> bool:
        return self._silence is None

    @property
    def why_not(self) -> str:
        """What was said when it stopped answering; empty if it answers."""
        return self._silence or ""

    def note_answer(self) -> None:
        """Take note of whatever the engine has answered."""
        if not self.answers:
            self._silence = None
            self._on_change(True, "")

    def note_silence(self, reason: str) -> None:
        """Take note of a list that was not answered; for lists only.

        A single container may well hold up whoever asks for it, on an engine that answers everything else. An engine
        that cannot even list is away.
        """
        if self.answers:
            self._silence = reason
            self._on_change(False, reason)
