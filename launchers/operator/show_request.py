"""``flcore show``: what has a fingerprint, and what of it is other than in the last version that was approved."""

from __future__ import annotations

import argparse
import difflib
import json
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from flcore.approvals.app_files import FOLDER, PROGRAM, AppFile
from flcore.approvals.fingerprint import SHORT
from flcore.approvals.kept_requests import KeptRequest
from flcore.cli.command import EXIT_OK, disk_in_words
from flcore.config.problems import did_you_mean
from flcore.config.sizes import size_to_read
from flcore.errors import ConfigError
from flcore.plain_text import harmless, visible

from .approvals import as_dict
from .asked_for import Asked, approvals_of, the_one_asked
from .durations import as_age, as_time
from .terminal import Terminal

MOST_LINES = 2000
"""Lines of differences that are shown; of one file all are shown."""
_MARKS = {"+": "good", "-": "bad", "~": "odd", "@": "going"}
_COMPILED = (".pyc", ".pyo", ".so")
_SIZES = ("resources.memory", "resources.shm_size", "resources.disk")


def run(args: argparse.Namespace) -> int:
    """Show it; return the exit status."""
    asked = the_one_asked(approvals_of(args), args.job)
    terminal = Terminal()
    with disk_in_words():
        view = RequestView(asked, asked.site.last_approved(asked), terminal)
        if args.json:
            terminal.print(json.dumps(view.as_dict()))
        elif args.file:
            terminal.print(*view.file(args.file))
        else:
            terminal.print(*view.lines(time.time()))
    return EXIT_OK


class RequestView:
    """What there is to say of one request, beside that which was approved last."""

    def __init__(self, asked: Asked, before: KeptRequest | None, terminal: Terminal) -> None:
        self._asked = asked
        self._request = asked.request
        self._before = before
        self._terminal = terminal
        self._files = {file.path: file for file in asked.request.files} if asked.request else {}
        self._old = {file.path: file for file in before.files} if before else {}

    def as_dict(self) -> dict[str, Any]:
        """Return all of it as JSON values."""
        request = self._request
        more = {
            "asks": request and dict(request.asks),
            "files": [file._asdict() for file in self._files.values()],
            "compared_to": self._before and self._before.fingerprint,
        }
        said = [asdict(one) for one in self._asked.site.approvals if one.fingerprint == self._asked.fingerprint]
        return as_dict(self._asked) | more | {"decisions": said}

    def lines(self, now: float) -> Iterator[str]:
        """Yield what it is, what it asks for, its files, and the differences."""
        yield self._terminal.styled(harmless(f"{self._asked.name or 'a job'} at {self._asked.where}"), "strong")
        for key, value in self._facts(now):
            yield f"  {self._terminal.styled(f'{key:<12}', 'dim')}  {harmless(value)}"
        if self._request is None:
            return
        yield from ("", f"asks for{self._compared()}", *self._asks(self._request))
        yield from ("", f"files{self._compared()}", *self._listed())
        yield from self._differences()

    def file(self, path: str) -> Iterator[str]:
        """Yield the lines of one file. Raises ConfigError."""
        file = self._files.get(path)
        if file is None or file.kind == FOLDER:
            names = [name for name, other in self._files.items() if other.kind != FOLDER]
            raise ConfigError(f"--file: {self._asked.short} has no file {path!r}{did_you_mean(path, names)}")
        text, why = self._text(self._request, file)
        if why:
            raise ConfigError(f"--file: {path} {why}")
        yield from text

    def _facts(self, now: float) -> Iterator[tuple[str, str]]:
        request, verdict = self._request, self._asked.verdict
        yield "fingerprint", self._asked.fingerprint
        yield "status", self._asked.status()
        if request:
            yield "study", request.study or "none"
            yield "submitter", request.submitter or "not said"
            yield "asked first", f"{as_time(request.time)}, {as_age(now - request.time)} ago, as {request.job_id}"
        else:
            yield "kept", "nothing: nobody has asked for it here yet, or that was long ago"
        for one in self._asked.site.approvals:
            if one.fingerprint == self._asked.fingerprint:
                ends = f", until {as_time(one.until)}" if one.until else ""
                note = f": {one.note}" if one.note else ""
                yield one.verdict, f"by {one.user} (uid {one.uid}), {as_time(one.time)}{ends}{note}"
        if verdict.wanted > 1:
            yield "approvers", f"{verdict.wanted} different users"

    def _compared(self) -> str:
        if self._before is None:
            return "" if self._request is None else " (no version of this job was approved before)"
        return f" (beside {self._before.fingerprint[:SHORT]}, the last version of this job that was approved)"

    def _asks(self, request: KeptRequest) -> Iterator[str]:
        now, old = _flat(request.asks), _flat(self._before.asks) if self._before else {}
        for key in [*now, *(gone for gone in old if gone not in now)]:
            if key not in now:
                yield self._marked("-", f"{key:<24}  {visible(old[key])}")
            elif not self._before or now[key] == old.get(key):
                yield f"  {key:<24}  {visible(now[key])}"
            elif key in old:
                yield self._marked("~", f"{key:<24}  {visible(now[key])}  (was {visible(old[key])})")
            else:
                yield self._marked("+", f"{key:<24}  {visible(now[key])}")

    def _listed(self) -> Iterator[str]:
        for path in sorted({*self._files, *self._old}):
            file = self._files.get(path) or self._old[path]
            size = "folder" if file.kind == FOLDER else f"{file.size} B"
            what = f"{size:>12}  {visible(path)}{'  (may be run)' if file.kind == PROGRAM else ''}{_warning(path)}"
            mark = self._mark(path)
            yield self._marked(mark, what) if mark else f"  {what}"
        if not self._files:
            yield "  none: what runs is in the image, or in the job's folder"

    def _mark(self, path: str) -> str:
        if self._before is None or self._files.get(path) == self._old.get(path):
            return ""
        return "+" if path not in self._old else "-" if path not in self._files else "~"

    def _differences(self) -> Iterator[str]:
        """Yield what is in the files that is new: all of it, where nothing was approved before."""
        left = MOST_LINES
        for path in sorted({*self._files, *self._old}):
            new, old = self._files.get(path), self._old.get(path)
            if new == old or FOLDER in (new and new.kind, old and old.kind):
                continue
            lines = list(self._difference(path, old, new))
            if lines:
                yield ""
                yield from lines[:left]
            if len(lines) > left:
                command = f"flcore show {self._asked.short} --file {visible(path)}"
                yield f"… and more: look at each file by --file, as in: {command}"
                return
            left -= len(lines)

    def _difference(self, path: str, old: AppFile | None, new: AppFile | None) -> Iterator[str]:
        before, why_not_before = self._text(self._before, old) if old else ([], "")
        after, why_not = self._text(self._request, new) if new else ([], "")
        if why := (why_not and f"the new one {why_not}") or (why_not_before and f"the old one {why_not_before}"):
            yield self._terminal.styled(f"{visible(path)}: {why}", "odd")
            return
        if before == after and old and new:
            same = "may be run" if new.kind != old.kind and new.kind == PROGRAM else "may not be run any more"
            what = same if new.digest == old.digest else "is other at its end, or in its blanks, only"
            yield self._terminal.styled(f"{visible(path)}: it {what}", "odd")
            return
        there = path if old else "/dev/null"
        for line in difflib.unified_diff(before, after, there, path if new else "/dev/null", lineterm=""):
            yield self._terminal.styled(visible(line), _MARKS.get(line[:1], ""))

    def _text(self, request: KeptRequest | None, file: AppFile) -> tuple[Sequence[str], str]:
        """Return a file's lines, in which nothing is hidden; or none, and why not."""
        content = self._asked.site.kept.bytes_of(request, file) if request else None
        if content is None:
            return (), f"is not kept, as it is large ({file.size} bytes); its SHA-256 is {file.digest}"
        try:
            text = content.decode()
        except ValueError:
            return (), f"is no text ({file.size} bytes); its SHA-256 is {file.digest}"
        lines = text.removesuffix("\n").split("\n") if text else []
        return [visible(line.expandtabs(4)) for line in lines], ""

    def _marked(self, mark: str, text: str) -> str:
        return self._terminal.styled(f"{mark} {text}", _MARKS[mark])


def _warning(path: str) -> str:
    """Return what to heed of a file that Python prefers to a source that is called the same, or may."""
    return "  (compiled Python: it may run in place of its source)" if path.endswith(_COMPILED) else ""


def _flat(asks: Mapping[str, Any], above: str = "") -> dict[str, str]:
    """Return what is asked for as texts, by its path."""
    flat: dict[str, str] = {}
    for key, value in asks.items():
        path = f"{above}{key}"
        if isinstance(value, Mapping):
            flat |= _flat(value, f"{path}.")
        elif isinstance(value, list):
            flat[path] = " ".join(map(str, value))
        elif path in _SIZES and isinstance(value, int):
            flat[path] = str(size_to_read(value))
        else:
            flat[path] = str(value) or "none"
    return flat
