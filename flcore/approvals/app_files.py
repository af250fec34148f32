"""What an app is made of, so that any changed byte, path or right to be run is seen.

An app has files and folders and nothing else: a link would lead to what nobody has looked at, and what is no file has
no bytes. Both are refused, and so is an app that is too large to be read at each launch. Signatures of what is in the
app are no part of it: an app that NVIDIA FLARE's console submits twice has others each time.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
import stat
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import NamedTuple, Self

from ..config.strict_json import shown
from ..disk.safe_files import MAX_FOLDER_DEPTH, closing, open_file, open_folder
from ..errors import JobRejectedError

MOST_FILES = 10_000
"""Files and folders of an app, at most."""
MOST_BYTES = 1 << 30
"""Bytes of all its files together, at most."""
_AT_ONCE = 1 << 20
"""Bytes that are read at once."""

SIGNATURES = ".__nvfl_sig.json"
"""NVIDIA FLARE's: in a folder, a signature of each file and folder that is there, ``name -> base64``."""
_LONGEST_SIGNATURE = 1024
"""Bytes of one: as an RSA key of 8,192 bits makes it."""

FILE, PROGRAM, FOLDER = "file", "program", "folder"
"""What there is. A program is a file that its owner may run."""


class AppFile(NamedTuple):
    """A file or folder of an app."""

    path: str
    """Below the app, with slashes."""
    kind: str
    """A file, a program or a folder."""
    size: int = 0
    """Bytes of a file."""
    digest: str = ""
    """The SHA-256 of a file."""

    @classmethod
    def of(cls, listed: object) -> Self:
        """Return what a list of JSON values says. Raises ValueError."""
        match listed:
            case [str(path), str(kind), int(size), str(digest)]:
                return cls(path, kind, size, digest)
        raise ValueError(f"{listed!r} is no file of an app")


def files_of(app: Path, most_files: int = MOST_FILES, most_bytes: int = MOST_BYTES) -> list[AppFile]:
    """Return all that is in an app's folder, in the order of their paths.

    Raises JobRejectedError for what may not be in there, or is too much, and OSError.
    """
    found: list[AppFile] = []
    size = 0
    with closing(open_folder(app)) as folder:
        for file in _files_in(folder, "", MAX_FOLDER_DEPTH):
            found.append(file)
            size += file.size
            if len(found) > most_files:
                raise JobRejectedError(f"its app has more than {most_files} files and folders, too many to be approved")
            if size > most_bytes:
                raise JobRejectedError(
                    f"its app has more than {most_bytes >> 20} MiB, too much to be approved: keep data out of it "
                    f"({shown(file.path)} has {file.size >> 20} MiB)"
                )
    return sorted(found)


def _files_in(folder: int, above: str, depth: int) -> Iterator[AppFile]:
    """Yield the files and folders in one that is open. A file is hashed when it is asked for, not before."""
    if not depth:
        raise JobRejectedError(f"its app has more than {MAX_FOLDER_DEPTH} folders within each other")
    names = sorted(os.listdir(folder))
    for name in names:
        path = f"{above}{name}"
        mode = os.stat(name, dir_fd=folder, follow_symlinks=False).st_mode
        if stat.S_ISDIR(mode):
            yield AppFile(path, FOLDER)
            with closing(open_folder(name, folder)) as inner:
                yield from _files_in(inner, f"{path}/", depth - 1)
        elif stat.S_ISREG(mode):
            if name != SIGNATURES or not _are_signatures(name, folder, names):
                yield _hashed(name, folder, path)
        else:
            kind = "a link" if stat.S_ISLNK(mode) else "no file"
            raise JobRejectedError(f"its app cannot be approved: {shown(path)} is {kind}; put a file in its place")


def _hashed(name: str, folder: int, path: str) -> AppFile:
    with open_file(name, folder) as file:
        info = os.fstat(file.fileno())
        if info.st_size > MOST_BYTES:  # not one byte of it is read
            return AppFile(path, FILE, info.st_size)
        kind = PROGRAM if info.st_mode & stat.S_IXUSR else FILE
        hashed = hashlib.sha256()
        while some := file.read(_AT_ONCE):
            hashed.update(some)
        return AppFile(path, kind, info.st_size, hashed.hexdigest())


def _are_signatures(name: str, folder: int, names: Collection[str]) -> bool:
    """Whether a file says signatures of what is in its folder, as NVIDIA FLARE writes them, and not one byte more."""
    with open_file(name, folder) as file:
        info = os.fstat(file.fileno())
        most = (2 * _LONGEST_SIGNATURE + max(map(len, names)) * 6) * len(names)
        if info.st_size > most or info.st_mode & stat.S_IXUSR:
            return False
        content = file.read(most)
    try:
        said = json.loads(content)
        is_exact = isinstance(said, dict) and json.dumps(said).encode() == content
        return is_exact and said.keys() <= set(names) and all(map(_is_signature, said.values()))
    except (ValueError, RecursionError):
        return False


def _is_signature(value: object) -> bool:
    if not isinstance(value, str):
        return False
    signature = base64.b64decode(value, validate=True)
    return len(signature) <= _LONGEST_SIGNATURE and base64.b64encode(signature).decode() == value
