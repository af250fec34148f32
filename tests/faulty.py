"""Disks and engines of which one call fails, or all from one on: to see that a site comes through each of them."""

from __future__ import annotations

import errno
import inspect
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from traceback import walk_stack
from typing import Any

import pytest

from flcore.errors import RuntimeRefusedError, RuntimeUnavailableError
from launchers.runtime.fake import FakeRuntime

DISK_CALLS = (
    *("open", "write", "read", "pread", "fsync", "fdatasync", "ftruncate", "mkdir", "rmdir", "unlink", "rename"),
    *("replace", "symlink", "readlink", "scandir", "listdir", "chmod", "fchmod", "chown", "fchown", "utime", "lstat"),
)
ENGINE_CALLS = (
    *("create", "find_image", "start", "inspect", "list_containers", "open_events", "send_signal", "remove", "logs"),
    *("last_output_time", "usage"),  # to let go of a connection asks the engine for nothing
)


Place = tuple[str, ...]
"""A call's name, and the lines of our code that led to it, the nearest first."""
_DEPTH = 3
_ROOT = Path(__file__).parent.parent


def _place_of(name: str) -> Place:
    files = ((frame.f_code.co_filename, line) for frame, line in walk_stack(inspect.currentframe()))
    ours = (f"{Path(file).relative_to(_ROOT)}:{line}" for file, line in files if file.startswith(_OURS))
    return (name, *islice(ours, _DEPTH))


_OURS = (f"{_ROOT}/flcore/", f"{_ROOT}/launchers/")


class Faults:
    """Notes where calls come from, and has some fail. Safe to use from several threads.

    Args:
        first: which call is the first to fail, as :attr:`places` of a good run has it; None is none.
        lasting: how many calls fail from then on, whatever they are.
        error: makes what they raise.
    """

    def __init__(self, first: Place | None, error: Callable[[], Exception], lasting: int = 1) -> None:
        self.places: dict[Place, None] = {}
        """Where calls have come from, in order, each place once."""
        self.failed: list[str] = []
        self._first = first
        self._lasting = lasting
        self._error = error
        self._healed = False
        self._lock = threading.Lock()

    def anew(self) -> Faults:
        """Return what notes places, too, beside those that are known, and has none fail."""
        faults = Faults(None, self._error)
        faults.places = self.places
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
            self.places[place] = None
            fails = (place == self._first or bool(self.failed)) and len(self.failed) < self._lasting
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
def faulty_disk(faults: Faults, *roots: Path) -> Iterator[None]:
    """Have calls of ``os`` on what is in some folders fail."""
    with pytest.MonkeyPatch.context() as disk:
        for name in DISK_CALLS:
            disk.setattr(os, name, _faulty(name, getattr(os, name), faults, tuple(map(str, roots))))
        yield


def _faulty(name: str, real: Callable[..., Any], faults: Faults, roots: tuple[str, ...]) -> Callable[..., Any]:
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
        self.faults = Faults(None, ENGINE_ERRORS["refused"])
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
