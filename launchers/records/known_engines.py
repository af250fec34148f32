"""On which engines a site has launched jobs: for who asks later, and is told of no engine.

::

    <workspace>/.flcore/engines.jsonl    a JSON object for each, the one used first in the first line

An engine stands there before it is asked for anything. What a site's config says of it is enough to ask it again; no
password is written down, and files for TLS by their paths only.
"""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from flcore.disk.os_errors import in_words
from flcore.disk.safe_files import open_file

from ..settings import EngineAddress

logger = logging.getLogger(__name__)

_NAME = "engines.jsonl"
_MODE = 0o600
_MOST_READ = 64 << 10
"""Bytes. A folder that somebody calls a site's may hold anything."""
_MOST = 8
"""Engines that are asked: the last ones."""


class EngineNote:
    """One process's note of the engine on which a site launches jobs."""

    def __init__(self, site: str, state_dir: Path) -> None:
        self._site, self._state_dir = site, state_dir
        self._is_made = False

    def make(self, engine: EngineAddress) -> None:
        """Note it, once. Where that cannot be, it is a line in the log: commands must be told of it, and jobs run."""
        if self._is_made:
            return
        self._is_made = True
        try:
            note_engine(self._state_dir, engine)
        except OSError as error:
            why = f"commands ask {engine.docker_host} only where they are told to: {in_words(error)}"
            logger.warning("site %s: %s", self._site, why, extra={"site": self._site})


def note_engine(state_dir: Path, engine: EngineAddress) -> None:
    """Write down that a site uses an engine, unless that was done. Raises OSError."""
    if engine in known_engines(state_dir):
        return
    flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
    descriptor = os.open(state_dir / _NAME, flags, _MODE)
    try:
        os.write(descriptor, b"\n" + json.dumps(engine.as_args()).encode())
    finally:
        os.close(descriptor)


def known_engines(state_dir: Path) -> list[EngineAddress]:
    """Return the engines that a site has used. Raises OSError; what cannot be read of the file says nothing."""
    with suppress(FileNotFoundError), open_file(state_dir / _NAME) as file:
        return list(dict.fromkeys(_engines_in(file.read(_MOST_READ))))[-_MOST:]
    return []


def engine_of(fields: Mapping[str, Any]) -> EngineAddress | None:
    """Return the engine that a job's record names; None if it names none."""
    return EngineAddress.of_args(fields.get("engine"))


def _engines_in(content: bytes) -> Iterator[EngineAddress]:
    for line in content.splitlines():
        with suppress(ValueError, RecursionError):
            if engine := EngineAddress.of_args(json.loads(line or b"null")):
                yield engine
