"""The files that this package has changed in a kit: what they were, and how they get to be that again."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from difflib import unified_diff
from hashlib import sha256
from itertools import count
from pathlib import Path

from flcore.config.strict_json import load_json
from flcore.disk.os_errors import in_words
from flcore.disk.presence import is_file, is_there
from flcore.errors import ConfigError

from .kit_layout import KitLayout
from .wanted_files import WantedFile

FOLDER = "before-flcore"
"""In a kit's ``local``: what was there before. No name in it is one that NVIDIA FLARE looks for."""

_NOTES = "installed.json"
_BEFORE = ".before"
_MODE = 0o644


@dataclass(slots=True)
class _Note:
    """What is known of a file that was changed."""

    was: str | None
    """The hash of what was there before; None if nothing was."""
    written: str
    """The hash of what was written last."""
    edited: bool = False
    """Whether somebody else has changed it between two installations."""


class Installation:
    """Of one kit. Making one touches no disk. All methods raise ConfigError where the disk does not let them."""

    def __init__(self, layout: KitLayout) -> None:
        self._root, self._local = layout.root, layout.local
        self._folder = layout.local / FOLDER

    @property
    def is_there(self) -> bool:
        return is_there(self._folder / _NOTES)

    def changes(self, wanted: Iterable[WantedFile]) -> list[WantedFile]:
        """Return those of the files that are not as they should be yet."""
        return [file for file in wanted if _content(file.path) != file.text.encode()]

    def apply(self, files: Iterable[WantedFile]) -> None:
        """Write files; keep what was there. It is noted first, so that a crash in between is no matter."""
        files = list(files)
        with _in_words(self._folder):
            notes = self._notes()
            for file in files:
                self._note(file, notes)
            self._write_notes(notes)
            for file in files:
                _put(file.path, file.text.encode(), like=file.made_from)

    def edited(self) -> list[Path]:
        """Return what somebody else has changed since."""
        return [self._local / name for name, note in self._notes().items() if self._is_edited(name, note)]

    def undo(self) -> list[str]:
        """Restore all as it was before, byte for byte, and return what was done, a line each.

        What somebody else has changed since is kept beside it.
        """
        with _in_words(self._folder):
            said = [line for name, note in self._notes().items() for line in self._restore(name, note)]
            (self._folder / _NOTES).unlink()
            with suppress(OSError):  # somebody else has put something there
                self._folder.rmdir()
        return said

    def _note(self, file: WantedFile, notes: dict[str, _Note]) -> None:
        before, name = _content(file.path), file.path.name
        if file.path.is_symlink():
            raise ConfigError(f"{file.path}: is a link to {file.path.resolve()}; put a file of its own there")
        known = notes.get(name)
        if known is None:
            self._keep(file.path, before)
            notes[name] = _Note(_hash(before), str(_hash(file.text.encode())))
        else:
            known.edited |= self._is_edited(name, known)
            known.written = str(_hash(file.text.encode()))

    def _keep(self, path: Path, before: bytes | None) -> None:
        self._make_folder()
        if before is not None:
            shutil.copy2(path, self._backup(path.name))
            _give_as(path, self._backup(path.name))

    def _make_folder(self) -> None:
        if not is_there(self._folder):
            self._folder.mkdir()
            _give_as(self._local, self._folder)

    def _is_edited(self, name: str, note: _Note) -> bool:
        now = _hash(_content(self._local / name))
        return now != note.was and (note.edited or now != note.written)

    def _restore(self, name: str, note: _Note) -> Iterator[str]:
        path = self._local / name
        if self._is_edited(name, note) and is_there(path):
            aside = next(one for one in _asides(path) if not is_there(one))
            path.rename(aside)
            yield f"{path}: was edited since; that is kept as {aside.name}"
        if note.was is None:
            path.unlink(missing_ok=True)
            yield f"{path}: is gone, as it was not there before"
        else:
            if is_there(self._backup(name)):  # else it was restored already, before something came in between
                self._backup(name).replace(path)
            yield f"{path}: is as it was before"

    def _backup(self, name: str) -> Path:
        return self._folder / f"{name}{_BEFORE}"

    def _notes(self) -> dict[str, _Note]:
        if not self.is_there:
            return {}
        path = self._folder / _NOTES
        try:
            return {name: _Note(**fields) for name, fields in load_json(path)["files"].items()}
        except (AttributeError, KeyError, TypeError) as error:
            raise ConfigError(f"{path}: is not as flcore wrote it; what was there before lies beside it") from error

    def _write_notes(self, notes: dict[str, _Note]) -> None:
        if notes:
            self._make_folder()
            text = json.dumps({"files": {name: asdict(note) for name, note in notes.items()}}, indent=2)
            _put(self._folder / _NOTES, f"{text}\n".encode(), like=self._folder)


def diff_of(file: WantedFile) -> list[str]:
    """Return how a file is to be changed, as lines of a diff."""
    before = _content(file.made_from)
    old = (before or b"").decode(errors="replace").splitlines()
    source = "/dev/null" if before is None else str(file.made_from)
    return list(unified_diff(old, file.text.splitlines(), source, str(file.path), lineterm=""))


def _asides(path: Path) -> Iterator[Path]:
    yield path.with_name(f"{path.name}.edited")
    yield from (path.with_name(f"{path.name}.edited-{number}") for number in count(2))


def _content(path: Path) -> bytes | None:
    with _in_words(path):
        try:
            return path.read_bytes()
        except FileNotFoundError:
            return None


def _hash(content: bytes | None) -> str | None:
    return None if content is None else sha256(content).hexdigest()


def _put(path: Path, content: bytes, like: Path) -> None:
    """Have a file be this as a whole, or as it was. A new one is as open as another, and belongs to whom that does."""
    model = path if is_there(path) else like if is_there(like) else path.parent
    part = path.with_name(f".{path.name}.part")
    try:
        with part.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        part.chmod(model.stat().st_mode & 0o777 if is_file(model) else _MODE)
        _give_as(model, part)
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def _give_as(model: Path, path: Path) -> None:
    if os.geteuid() == 0:
        info = model.stat()
        os.chown(path, info.st_uid, info.st_gid)


@contextmanager
def _in_words(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise ConfigError(f"{path}: {in_words(error)}") from error
