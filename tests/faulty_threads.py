"""Threads that cannot be started: one, the next few, or any for as long as a test wants."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

import pytest


class Faulty(Protocol):
    """Decides which calls fail."""

    def hit(self, name: str) -> None:
        """Count a call, and raise if it is to fail."""


class ThreadFaults:
    """Counts the threads that are started, and has some fail. Safe to use from several threads.

    Args:
        first: which is the first to fail, from 1 on.
        how_many: how many fail in a row.
    """

    def __init__(self, first: int, how_many: int = 1) -> None:
        self.failed: list[str] = []
        self._count = 0
        self._fail = range(first, first + how_many)
        self._lock = threading.Lock()

    def hit(self, name: str) -> None:
        with self._lock:
            self._count += 1
            if self._count in self._fail:
                self.failed.append(name)
                raise RuntimeError("can't start new thread")


class AllFail:
    """No thread can be started."""

    def hit(self, name: str) -> None:
        raise RuntimeError("can't start new thread")


@contextmanager
def faulty_threads(faults: Faulty) -> Iterator[None]:
    """Have the starts of threads fail as Python has them fail where the system gives it none."""
    real = threading.Thread.start

    def start(thread: threading.Thread) -> None:
        faults.hit(thread.name)
        real(thread)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(threading.Thread, "start", start)
        yield


@contextmanager
def no_threads() -> Iterator[None]:
    """Have no thread started."""
    with faulty_threads(AllFail()):
        yield
