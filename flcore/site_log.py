"""A site's own log: one line per record, as JSON or as text, in a file or on standard error.

In a site's config: ``"logging": {"format": "json", "level": "INFO", "file": "${CONFIG_DIR}/site-1.log"}``. All are
optional: without ``format`` it is text, without ``level`` INFO, without ``file`` standard error.

A line of JSON is an object of these fields; those that a record does not have are left out:

==============  ======================================================================
field           what
==============  ======================================================================
time            ISO 8601, in UTC, to the millisecond: ``2026-01-31T12:00:00.000+00:00``
level           ``DEBUG``, ``INFO``, ``WARNING``, ``ERROR`` or ``CRITICAL``
logger          who says it
message         what is said
site            of which site
job_id          of which job
container_name  of which container
container_id    its whole id
exception       the traceback
==============  ======================================================================

All that other parties have made up (names, errors, output) is escaped, so that no record makes a second line, or does
anything to a terminal: a line is ASCII as JSON, and printable as text, whose tracebacks are indented lines.

What a record is about is known from ``extra={"site": …, "job_id": …}``, and from arguments that have ``log_fields()``.
A record of a site goes to the logs of that site alone. One that is of no site (a library's, say) goes to the logs of
all sites of this process, but once only to each place. While there are logs, the root logger lets pass what the most
talkative one asks for.
"""

from __future__ import annotations

import json
import logging
import os
import sys
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Self

from .config.argument_rules import TEXT
from .config.component_config import check_keys
from .config.rules import Schema, or_null
from .config.strict_json import shown
from .errors import ConfigError
from .plain_text import visible

FORMATS = ("text", "json")
LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")
FIELDS = ("site", "job_id", "container_name", "container_id")
"""What a record may be about."""
STANDARD_ERROR = "standard error"
TELLS_OF_END = {"tells_of_end": True}
"""``extra`` of a record that tells how a job has ended, or why it was not launched."""
TELLS_OF_OUTAGE = {"tells_of_outage": True}
"""``extra`` of a record that tells that a site's engine does not answer."""
_FILE_MODE = 0o640


@dataclass(frozen=True, slots=True)
class LogSettings:
    """What a site's config says of its log."""

    format: str = FORMATS[0]
    level: str = "INFO"
    file: Path | None = None
    """None is standard error."""

    @classmethod
    def read(cls, value: Any, where: str, folder: Path = Path()) -> Self:
        """Return the settings of an object such as ``{"format": "json"}``.

        A relative file is relative to ``folder``. Raises ConfigError, naming ``where`` the object stands, and the key.
        """
        if not isinstance(value, Mapping):
            raise ConfigError(f"{where}: must be an object, got {shown(value)}")
        check_keys(value, cls.schema()["properties"], where)
        for key, known in (("format", FORMATS), ("level", LEVELS)):
            if key in value and value[key] not in known:
                raise ConfigError(f"{where}.{key}: must be one of {', '.join(known)}, got {shown(value[key])}")
        file = value.get("file")
        if file is not None and (not isinstance(file, str) or not file):
            raise ConfigError(f"{where}.file: must be the path of a file, got {shown(file)}")
        given = {key: value[key] for key in ("format", "level") if key in value}
        return cls(**given, file=folder.absolute() / file if file else None)

    @classmethod
    def schema(cls) -> Schema:
        """Return what :meth:`read` takes, as a JSON Schema."""
        file = "The log's file; a relative one is beside the config. By default it is standard error."
        properties = {
            "format": {"enum": list(FORMATS), "default": FORMATS[0]},
            "level": {"enum": list(LEVELS), "default": "INFO"},
            "file": {**or_null(TEXT), "description": file},
        }
        return {"type": "object", "properties": properties, "additionalProperties": False}


class SiteLog:
    """The log of one site, from :meth:`open` to :meth:`close`. Making one touches no disk."""

    def __init__(self, site: str, settings: LogSettings) -> None:
        self._site = site
        self._settings = settings
        self._log: _OpenLog | None = None

    def open(self) -> None:
        """Begin to write. Idempotent. Raises ConfigError if the file cannot be written."""
        if self._log is None:
            handler = self._make_handler()
            handler.setLevel(self._settings.level)
            handler.setFormatter(_JsonFormatter() if self._settings.format == "json" else _TextFormatter())
            destination = str(self._settings.file.resolve()) if self._settings.file else STANDARD_ERROR
            self._log = _OpenLog(self._site, destination, handler)
            _logs.add(self._log)

    def close(self) -> None:
        """Write nothing any more. Idempotent."""
        log, self._log = self._log, None
        if log:
            _logs.remove(log)

    def _make_handler(self) -> logging.Handler:
        file = self._settings.file
        if file is None:
            return logging.StreamHandler(sys.stderr)
        try:
            file.parent.mkdir(parents=True, exist_ok=True)
            return _make_file_handler(file)
        except OSError as error:
            why = f"cannot be written: {error.strerror}"
            raise ConfigError(f"site {self._site}: logging.file: {file} {why}") from error


def is_on_standard_error(record: logging.LogRecord) -> bool:
    """Whether the log of a site writes a record to standard error, so that nobody else needs to."""
    return any(log.destination == STANDARD_ERROR and log.takes(record) for log in _logs.all)


def tells_of_end(record: logging.LogRecord, job_id: str) -> bool:
    """Whether a record tells how this job has ended, so that nobody who is told of that otherwise needs it."""
    return TELLS_OF_END.items() <= vars(record).items() and fields_of(record).get("job_id") == job_id


def site_of_outage(record: logging.LogRecord) -> str:
    """Return the site whose engine does not answer, if that is what a record tells; else nothing."""
    return fields_of(record).get("site", "") if TELLS_OF_OUTAGE.items() <= vars(record).items() else ""


def fields_of(record: logging.LogRecord) -> dict[str, str]:
    """Return what a record is about: some of ``FIELDS``."""
    known: dict[str, Any] = {}
    for arg in record.args if isinstance(record.args, tuple) else ():
        if tell := getattr(type(arg), "log_fields", None):
            known |= tell(arg)
    known |= {key: value for key in FIELDS if (value := getattr(record, key, None))}
    return {key: str(known[key]) for key in FIELDS if known.get(key)}


class _OpenLog:
    """A log that is written."""

    def __init__(self, site: str, destination: str, handler: logging.Handler) -> None:
        self.site = site
        self.destination = destination
        self.handler = handler
        handler.addFilter(self.takes)  # each handler decides by itself: the root logger hands a record to all of them

    def takes(self, record: logging.LogRecord) -> bool:
        """Whether a record is for this log, and for none before it that writes to the same place."""
        site = fields_of(record).get("site")
        same_place = (log for log in _logs.all if log.destination == self.destination)
        return next((log for log in same_place if log._may_take(record, site)), None) is self

    def _may_take(self, record: logging.LogRecord, site: str | None) -> bool:
        return record.levelno >= self.handler.level and site in (None, self.site)


class _Logs:
    """The open logs of this process, as handlers of the root logger."""

    def __init__(self) -> None:
        self.all: tuple[_OpenLog, ...] = ()
        """In the order in which they were opened."""
        self._level = logging.NOTSET
        """The root logger's own."""
        self._lock = threading.Lock()

    def add(self, log: _OpenLog) -> None:
        root = logging.getLogger()
        with self._lock:
            if not self.all:  # while there are logs, the level is ours
                self._level = root.level
            self.all += (log,)
            root.addHandler(log.handler)
            self._set_level(root)

    def remove(self, log: _OpenLog) -> None:
        root = logging.getLogger()
        with self._lock:
            self.all = tuple(other for other in self.all if other is not log)
            root.removeHandler(log.handler)
            self._set_level(root)
        log.handler.close()

    def _set_level(self, root: logging.Logger) -> None:
        # never above its own level: other handlers of the root logger get what they got without us
        root.setLevel(min([self._level, *(log.handler.level for log in self.all)]))


_logs = _Logs()


class _JsonFormatter(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        line = {
            "time": _time_of(record),
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
            **fields_of(record),
        }
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line)


class _TextFormatter(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        fields = fields_of(record)
        about = " ".join(fields[key] for key in ("site", "job_id") if key in fields)
        head = f"{_time_of(record)} {record.levelname} {record.name}" + (f" [{about}]" if about else "")
        lines = [f"{head}: {record.getMessage()}"]
        if record.exc_info:
            lines += [f"    {line}" for line in self.formatException(record.exc_info).split("\n")]
        return "\n".join(map(visible, lines))


def _make_file_handler(file: Path) -> logging.Handler:
    """Return a handler that goes on in a new file when somebody has moved the one that it writes to."""
    from logging.handlers import WatchedFileHandler  # here: it takes longer to import than all of flcore's logging

    class LogFile(WatchedFileHandler):
        def _open(self) -> Any:
            return open(self.baseFilename, "a", encoding="utf-8", opener=_opened)

    return LogFile(file)


def _opened(path: str, flags: int) -> int:
    descriptor = os.open(path, flags | os.O_NONBLOCK, _FILE_MODE)  # to open a pipe would wait for who reads it
    os.set_blocking(descriptor, True)
    return descriptor


def _time_of(record: logging.LogRecord) -> str:
    return datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
