"""What was asked for, kept for whoever approves it: the request, and the files of the app as far as they are small.

::

    <workspace>/.flcore/approvals/lock                    held while one process changes what is here
    <workspace>/.flcore/approvals/<fingerprint>/request.json
    <workspace>/.flcore/approvals/<fingerprint>/<digest>  the bytes of a file of the app

Other parties decide how much is asked for, so there are bounds; where there is no room, whoever has asked for most
different things loses the oldest. What is kept decides nothing: a launch is compared with the approvals alone.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import secrets
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Self

from ..disk.locks import exclusively
from ..disk.safe_files import open_file, remove
from .app_files import FOLDER, AppFile
from .fingerprint import WHOLE

FOLDER_NAME = "approvals"
"""The folder's name in a site's state folder."""
MOST_REQUESTS = 200
"""How many are kept."""
LARGEST_FILE = 1 << 20
"""Bytes of a file of which the bytes are kept."""
MOST_BYTES = 8 << 20
"""Bytes of all files of one app that are kept."""
TEXT_LENGTH = 200
"""Characters that are kept of what other parties made up: a job's name, and who has submitted it."""
_REQUEST = "request.json"
_NEW = ".new-"
_LARGEST_REQUEST = 16 << 20


@dataclass(frozen=True, slots=True)
class KeptRequest:
    """What was asked for."""

    fingerprint: str
    app: str
    """The digest of the app."""
    asks: Mapping[str, Any]
    """What the job asks for and gets."""
    files: tuple[AppFile, ...]
    """What the app is made of."""
    name: str = ""
    """Of the job: anything that its author liked."""
    submitter: str = ""
    """Who has submitted it."""
    site: str = ""
    job_id: str = ""
    """Of the run that asked first."""
    time: float = 0.0
    """When that was."""
    approvers: int = 1
    """How many users must approve."""

    @property
    def study(self) -> str:
        return str(self.asks.get("study", ""))

    @property
    def image(self) -> str:
        """The id of the image; empty where there is none."""
        image = self.asks.get("image")
        return str(image.get("id", "")) if isinstance(image, Mapping) else ""

    @classmethod
    def of(cls, fields: Mapping[str, Any]) -> Self:
        """Return what JSON values say. Raises ValueError, TypeError or KeyError."""
        known = {name: fields[name] for name in cls.__slots__ if name in fields}
        return cls(**{**known, "files": tuple(AppFile.of(listed) for listed in fields["files"])})


@dataclass(slots=True)
class _Room:
    """How much of an app may still be kept."""

    left: int = MOST_BYTES
    kept: set[str] = field(default_factory=set)


class KeptRequests:
    """Those of one site. Making one touches no disk. Safe to use from several threads and processes."""

    def __init__(self, state_dir: Path, most: int = MOST_REQUESTS) -> None:
        self._folder = state_dir / FOLDER_NAME
        self._most = most

    def keep(self, request: KeptRequest, app: Path | None) -> None:
        """Keep what is asked for, and the files of its app, unless it is there. Raises OSError."""
        if (self._folder / request.fingerprint).is_dir():
            return
        self._folder.mkdir(0o700, parents=True, exist_ok=True)
        with exclusively(self._folder / "lock", os.O_RDWR | os.O_CREAT):
            self._remove_what_the_dead_left()
            self._make_room()
            said = json.dumps(asdict(request)).encode()
            if len(said) > _LARGEST_REQUEST:
                raise OSError(errno.EFBIG, f"what it says has more than {_LARGEST_REQUEST >> 20} MiB")
            new = self._folder / f"{_NEW}{secrets.token_hex(8)}"
            new.mkdir(0o700)
            try:
                if app:
                    _keep_files(app, request.files, new)
                _write(new / _REQUEST, said)
                with suppress(FileExistsError):  # another process was faster
                    new.rename(self._folder / request.fingerprint)
            finally:
                remove(new)

    def all(self) -> list[KeptRequest]:
        """Return all, the oldest first. What cannot be read is as if it were not there. Raises OSError."""
        found = [self.find(path.name) for path in self._folders()]
        return sorted((request for request in found if request), key=lambda request: request.time)

    def fingerprints(self) -> list[str]:
        """Return the fingerprints of all. Raises OSError."""
        return [path.name for path in self._folders()]

    def find(self, fingerprint: str) -> KeptRequest | None:
        """Return the one that has a fingerprint. Raises OSError."""
        try:
            with open_file(self._folder / fingerprint / _REQUEST) as file:
                return KeptRequest.of(json.loads(file.read(_LARGEST_REQUEST)))
        except (FileNotFoundError, NotADirectoryError, ValueError, TypeError, KeyError, AttributeError, RecursionError):
            return None

    def bytes_of(self, request: KeptRequest, file: AppFile) -> bytes | None:
        """Return the bytes of a file; None if they are not kept. Raises OSError."""
        try:
            with open_file(self._folder / request.fingerprint / file.digest) as kept:
                return kept.read(LARGEST_FILE)
        except (FileNotFoundError, IsADirectoryError):
            return None

    def _folders(self) -> list[Path]:
        try:
            return [path for path in self._folder.iterdir() if WHOLE.fullmatch(path.name)]
        except (FileNotFoundError, NotADirectoryError):
            return []

    def _remove_what_the_dead_left(self) -> None:
        for path in self._folder.glob(f"{_NEW}*"):
            remove(path)

    def _make_room(self) -> None:
        """Have room for one more; what cannot be read goes first, for nobody could look at it."""
        kept = self.all()
        for unread in set(self.fingerprints()).difference(request.fingerprint for request in kept):
            remove(self._folder / unread)
        while len(kept) >= self._most:
            goes = _first_to_go(kept)
            kept.remove(goes)
            remove(self._folder / goes.fingerprint)


def _first_to_go(kept: Collection[KeptRequest]) -> KeptRequest:
    """Return the oldest of who has asked for most, so that nobody pushes out what others ask for."""
    of_each = Counter(request.submitter or request.name for request in kept)
    (who, _), *_ = of_each.most_common(1)
    return min((one for one in kept if (one.submitter or one.name) == who), key=lambda one: one.time)


def _keep_files(app: Path, files: Sequence[AppFile], folder: Path) -> None:
    room = _Room()
    for file in files:
        if file.kind == FOLDER or file.size > min(LARGEST_FILE, room.left) or file.digest in room.kept:
            continue
        with open_file(app / file.path) as source:
            content = source.read(file.size + 1)
        if hashlib.sha256(content).hexdigest() == file.digest:  # else it is not what was asked for
            _write(folder / file.digest, content)
            room.left -= file.size
            room.kept.add(file.digest)


def _write(path: Path, content: bytes) -> None:
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600), "wb") as file:
        file.write(content)
