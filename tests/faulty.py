"""Disks, engines and starts of threads that fail, once or for a while: to see that a site comes through each."""

from __future__ import annotations

import errno
import inspect
import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from traceback import walk_stack
from typing import Any, Protocol

import pytest

import flcore
import launchers
from flcore.errors import RuntimeRefusedError, RuntimeUnavailableError
from launchers.runtime.fake import FakeRuntime

DISK_CALLS = (
    *("open", "write", "read", "pread", "fsync", "fdatasync", "ftruncate", "mkdir", "rmdir", "unlink", "rename"),
    *("replace", "symlink", "readlink", "scandir", "listdir", "chmod", "fchmod", "chown", "fchown", "utime", "lstat"),
)
ENGINE_CALLS = (
    *(
        "traits",
        "create",
        "passwd_of",
        "find_image",
        "start",
        "inspect",
        "list_containers",
        "open_events",
        "send_signal",
        "remove",
        "logs",
    ),
    *("last_output_time", "usage", "close", "close_events"),
)


Place = tuple[str, ...]
"""A call's name, and the lines of our code that led to it, the nearest first."""
_DEPTH = 3


def _place_of(name: str) -> Place:
    files = ((frame.f_code.co_filename, line) for frame, line in walk_stack(inspect.currentframe()))
    ours = (f"{file[len(_OURS[0]) - len('flcore/') :]}:{line}" for file, line in files if file.startswith(_OURS))
    return (name, *islice(ours, _DEPTH))


_OURS = tuple(f"{Path(package.__file__).parent}/" for package in (flcore, launchers) if package.__file__)
"""The folders of what is tried: this checkout's, or where a wheel is installed."""


class Fault(Protocol):
    """Decides which calls fail."""

    def hit(self, name: str) -> None:
        """Take note of a call, and raise if it is to fail."""


class Faults:
    """Notes where calls come from, and has some fail. Safe to use from several threads.

    Args:
        first: from where the first call comes that fails, as :attr:`places` of a good run has it; None is none.
        lasting: how many calls fail from then on, whatever they are.
        error: makes what they raise.
        turn: the how many-th call from there it is.
    """

    def __init__(self, first: Place | None, error: Callable[[], Exception], lasting: int = 1, turn: int = 1) -> None:
        self.places: dict[Place, int] = {}
        """From where calls have come, in order, and how often from each."""
        self.failed: list[str] = []
        self._first = first
        self._turn = turn
        self._lasting = lasting
        self._error = error
        self._healed = False
        self._lock = threading.Lock()

    def anew(self) -> Faults:
        """Return what notes places, too, beside those that are known, and has none fail."""
        faults = Faults(None, self._error)
        faults.places = dict.fromkeys(self.places, 0)
        return faults

    def heal(self) -> None:
        """Have no call fail any more, nor be counted."""
        self._healed = True

    def hit(self, name: str) -> None:
        """Count a call, and raise if it is to fail."""
        if self._healed:
            return
        place = _place_of(name)
        with self._lock:
            self.places[place] = self.places.get(place, 0) + 1
            begins = place == self._first and self.places[place] >= self._turn
            fails = (begins or bool(self.failed)) and len(self.failed) < self._lasting
            if fails:
                self.failed.append(name)
        if fails:
            raise self._error()


def disk_error(number: int) -> Callable[[], Exception]:
    return lambda: OSError(number, os.strerror(number))


ENGINE_ERRORS: dict[str, Callable[[], Exception]] = {
    "not reached": lambda: RuntimeUnavailableError("the engine does not answer", reached=False),
    "no answer": lambda: RuntimeUnavailableError("the engine does not answer", reached=True),
    "refused": lambda: RuntimeRefusedError("the engine says: an error of its own"),
}
DISK_ERRORS = {"broken": disk_error(errno.EIO), "full": disk_error(errno.ENOSPC)}


@contextmanager
def faulty_disk(faults: Fault, *roots: Path) -> Iterator[None]:
    """Have calls of ``os`` on what is in some folders fail."""
    with pytest.MonkeyPatch.context() as disk:
        for name in DISK_CALLS:
            disk.setattr(os, name, _faulty(name, getattr(os, name), faults, tuple(map(str, roots))))
        yield


def _faulty(name: str, real: Callable[..., Any], faults: Fault, roots: tuple[str, ...]) -> Callable[..., Any]:
    def call(*args: Any, **kwargs: Any) -> Any:
        if args and _place(args[0], kwargs).startswith(roots):
            faults.hit(name)
        return real(*args, **kwargs)

    return call


_readlink = os.readlink


def _place(what: Any, kwargs: dict[str, Any]) -> str:
    """Return the path of what a call is about: a path, an open file, or a name in an open folder."""
    within = kwargs.get("dir_fd", kwargs.get("src_dir_fd"))
    try:
        if isinstance(what, int) or within is not None:
            return _readlink(f"/proc/self/fd/{what if isinstance(what, int) else within}")
        return os.fspath(what) if isinstance(what, str | os.PathLike) else ""
    except OSError:
        return ""


class FaultyRuntime(FakeRuntime):
    """An engine of which some calls fail: before it has done what it was asked for, or only its answer is lost."""

    def __init__(self) -> None:
        super().__init__()
        self.faults: Fault = Faults(None, ENGINE_ERRORS["refused"])
        self.does_it_first = False

    def __getattribute__(self, name: str) -> Any:
        found = super().__getattribute__(name)
        return self._faulty(name, found) if name in ENGINE_CALLS else found

    def _faulty(self, name: str, real: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **kwargs: Any) -> Any:
            answer = real(*args, **kwargs) if self.does_it_first else None
            self.faults.hit(name)
            return answer if self.does_it_first else real(*args, **kwargs)

        return call


def no_thread() -> Exception:
    """Return what Python raises where the system gives it no thread."""
    return RuntimeError("can't start new thread")


class AllFail:
    """No thread can be started."""

    def hit(self, name: str) -> None:
        raise no_thread()


@contextmanager
def faulty_threads(faults: Fault) -> Iterator[None]:
    """Have starts of threads fail."""
    real = threading.Thread.start

    def start(thread: threading.Thread) -> None:
        faults.hit(thread.name.rstrip("0123456789"))
        real(thread)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(threading.Thread, "start", start)
        yield


@contextmanager
def no_threads() -> Iterator[None]:
    """Have no thread started."""
    with faulty_threads(AllFail()):
        yield


def until(condition: Callable[[], object], what: str = "it", timeout: float = 5.0) -> None:
    """Return when something is so. Raises AssertionError if it is not in time."""
    deadline, pause = time.monotonic() + timeout, threading.Event()
    while not condition():
        assert time.monotonic() < deadline, f"not in time: {what}"
        pause.wait(0.002)
