"""Whether an engine answers: what is news is told once, and only that."""

from __future__ import annotations

from launchers.tracking.reachability import Reachability


class News:
    """Collects what is told, and what may be read at that moment."""

    def __init__(self) -> None:
        self.told: list[tuple[bool, str]] = []
        self.engine = Reachability(self._listen)

    def _listen(self, answers: bool, reason: str) -> None:
        assert (self.engine.answers, self.engine.why_not) == (answers, reason)
        self.told.append((answers, reason))


def test_an_engine_is_presumed_to_answer() -> None:
    news = News()
    assert news.engine.answers
    news.engine.note_answer()
    assert news.told == []


def test_an_engine_that_goes_away_and_comes_back_is_told_once_each() -> None:
    news = News()
    for reason in ("timed out", "connection refused"):
        news.engine.note_silence(reason)
    assert news.engine.why_not == "timed out"
    for _ in range(2):
        news.engine.note_answer()
    assert news.told == [(False, "timed out"), (True, "")]


def test_an_engine_may_be_away_without_a_word() -> None:
    news = News()
    news.engine.note_silence("")
    assert not news.engine.answers
    assert news.engine.why_not == ""
