"""Where the head of a site's journal is kept, so that a tail that somebody cuts off is missed: a file, or syslog.

It is worth as much as the place is out of reach: see docs/audit.md.
"""

from __future__ import annotations

import logging
import os
import re
import time
from collections.abc import Mapping
from contextlib import closing
from logging.handlers import SysLogHandler
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from ..config.argument_rules import ABSOLUTE_PATH, host_path
from ..config.problems import did_you_mean
from ..config.rules import rule
from ..disk.journal_chain import kept_as
from ..disk.os_errors import in_words

logger = logging.getLogger(__name__)

MOST_SECONDS = 5.0
"""While lines are written, the head is kept as often as this at least."""
_MODE = 0o640
_SYSLOG = "/dev/log"
_HOST_AND_PORT = re.compile(r"\[?([^\s\[\]/]+)\]?:([0-9]{1,5})", re.ASCII)
_KEYS = ("file", "syslog")


class Keeper(Protocol):
    """Where heads are kept."""

    def keep(self, text: str) -> None:
        """Keep one, behind those before. Raises OSError."""


class HeadFile(NamedTuple):
    """A file to which a line is added for each; it is opened anew each time, so it may be rotated."""

    path: Path

    def keep(self, text: str) -> None:
        line = f"{time.strftime('%Y-%m-%dT%H:%M:%SZ', time.gmtime())} {text}\n".encode()
        descriptor = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, _MODE)
        with closing(os.fdopen(descriptor, "wb", buffering=0)) as file:
            if file.write(line) < len(line):
                raise OSError(f"{self.path}: the disk is full")


class HeadSyslog(NamedTuple):
    """The system's log, by its socket or by host and port (UDP), in the facility ``auth``."""

    address: str | tuple[str, int]

    def keep(self, text: str) -> None:
        with closing(_Syslog(self.address, SysLogHandler.LOG_AUTH)) as handler:
            handler.emit(logging.LogRecord("flcore", logging.INFO, "", 0, text, None, None))


class _Syslog(SysLogHandler):
    ident = "flcore: "

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: ARG002, N802 - its base's
        raise  # it is called where an error is dealt with


class AuditHead:
    """Keeps the heads of one journal, at each place that is named. Safe to use from several threads."""

    def __init__(self, keepers: tuple[Keeper, ...]) -> None:
        self._keepers = keepers
        self._kept_at = 0.0
        self._failing: set[Keeper] = set()
        """Those of which it was said that they cannot be written to."""

    @property
    def is_needed(self) -> bool:
        """Whether there is anywhere to keep it."""
        return bool(self._keepers)

    def is_due(self) -> bool:
        """Whether the head is to be kept of the line that is written next, whatever it says."""
        return self.is_needed and time.monotonic() - self._kept_at >= MOST_SECONDS

    def keep(self, head: str, site: str) -> None:
        """Keep a head, of lines that would survive a power cut. Never raises: what fails is logged, once."""
        self._kept_at = time.monotonic()
        for keeper in self._keepers if head else ():
            try:
                keeper.keep(kept_as(site, head))
            except (OSError, ValueError) as error:
                self._tell_once(keeper, in_words(error), site)
            else:
                self._tell_that_it_is_over(keeper, site)

    def _tell_once(self, keeper: Keeper, why: str, site: str) -> None:
        if keeper not in self._failing:
            self._failing.add(keeper)
            logger.error("the head of the journal cannot be kept: %s", why, extra={"site": site})

    def _tell_that_it_is_over(self, keeper: Keeper, site: str) -> None:
        if keeper in self._failing:
            self._failing.discard(keeper)
            logger.warning("the head of the journal can be kept again", extra={"site": site})


@rule(
    {
        "type": ["object", "null"],
        "properties": {"file": ABSOLUTE_PATH, "syslog": {"type": ["boolean", "string"], "minLength": 1}},
        "additionalProperties": False,
    }
)
def head_keepers(key: str, value: Any) -> tuple[Keeper, ...]:
    """Return the keepers of ``{"file": path, "syslog": true | address}``, one of them at least, or of None: none."""
    if value is None:
        return ()
    if not isinstance(value, Mapping):
        raise ValueError(f"{key} must be an object with {' or '.join(_KEYS)}, got {value!r}")  # noqa: TRY004 - as for all wrong arguments
    for name in value:
        if name not in _KEYS:
            raise ValueError(f"{key}.{name} is unknown; there are {', '.join(_KEYS)}{did_you_mean(name, _KEYS)}")
    keepers: list[Keeper] = []
    if "file" in value:
        keepers.append(HeadFile(Path(host_path(f"{key}.file", value["file"]))))
    if value.get("syslog", False) is not False:
        keepers.append(HeadSyslog(_address(f"{key}.syslog", value["syslog"])))
    return tuple(keepers)


def _address(key: str, value: Any) -> str | tuple[str, int]:
    if value is True:
        return _SYSLOG
    if isinstance(value, str) and value.startswith("/"):
        return value
    if isinstance(value, str) and (found := _HOST_AND_PORT.fullmatch(value)) and 0 < int(found[2]) < 1 << 16:
        return found[1], int(found[2])
    raise ValueError(f"{key} must be true, the path of a socket, or HOST:PORT, got {value!r}")
