"""Whether a journal's lines are those that were written: none removed, changed, inserted or put elsewhere.

What this can tell, and what only a head can that somebody keeps elsewhere, says :func:`check_journal`.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import BinaryIO, NamedTuple

from .journal_chain import KeptHead, Link
from .journal_file import MAX_LINE, open_journal_by_name

_MOST_PROBLEMS = 1000
"""So many are told one by one."""
_OF_A_LINK = 256
"""Bytes at the end of a line that has more than any of a site's."""


class Problem(NamedTuple):
    """Something that is not as it was written."""

    file: str
    """The journal's file; empty for what is of none."""
    line: int
    """Which line of that file; 0 for all of it."""
    what: str

    def __str__(self) -> str:
        place = f"{self.file}:{self.line}" if self.line else self.file
        return f"{place}: {self.what}" if place else self.what


@dataclass
class Verdict:
    """What was found of one journal."""

    problems: list[Problem] = field(default_factory=list)
    unlisted: int = 0
    """How many there are beside these."""
    notes: list[str] = field(default_factory=list)
    """What is to be known, and is no sign that anybody has done anything."""
    before: int = 0
    """Lines of a version that chained none: nothing tells whether they are as they were."""
    first: Link | None = None
    """The link of the first line that is of a chain."""
    head: Link | None = None
    """That of the last one, with its own hash."""
    heads: int = 0
    """How many of the heads that are kept elsewhere were found in the journal."""

    @property
    def holds(self) -> bool:
        """Whether nothing is wrong."""
        return not self.problems

    def add(self, file: str, line: int, what: str) -> None:
        if len(self.problems) < _MOST_PROBLEMS:
            self.problems.append(Problem(file, line, what))
        else:
            self.unlisted += 1


def check_journal(path: Path, heads: Sequence[KeptHead] | str | None = None) -> Verdict:
    """Read all lines of a journal, and return what is wrong. It may be written meanwhile. Raises OSError.

    Without heads it cannot be told that lines are missing, or are others, at the end; nor that all of it was written
    anew by somebody who knows how.

    Args:
        path: the newest file.
        heads: what somebody has kept elsewhere: heads, or the hash of a line.
    """
    with ExitStack() as stack:
        files = open_journal_by_name(path, stack)
        check = _Check(heads)
        for number, (name, file) in enumerate(files.items(), 1):
            check.read(name, file, is_first=number == 1, is_last=number == len(files))
    if not files:
        check.verdict.add(str(path), 0, "there is no journal")
    check.end()
    return check.verdict


class _Check:
    """One reading of all files, in order."""

    def __init__(self, heads: Sequence[KeptHead] | str | None) -> None:
        self.verdict = Verdict()
        self._kept: dict[int, list[KeptHead]] = defaultdict(list)
        """What somebody has kept elsewhere and is not found yet, by line."""
        self._others: list[KeptHead] = []
        """Those of these that are of other chains."""
        self._hash = heads if isinstance(heads, str) else ""
        for kept in () if heads is None or isinstance(heads, str) else heads:
            self._kept[kept.head.line].append(kept)
        self._sites: set[str] = set()
        """Whose heads were found."""
        self._has_heads = heads is not None
        self._head: Link | None = None
        """That of the last line that is of a chain: what the next one has to carry."""
        self._last_before = sha256().hexdigest()
        """The hash of the last line that is of none."""
        self._begins: list[Link] = []
        """The links of the first lines of the files."""
        self._file = ""
        self._found_hash = False

    def read(self, name: str, file: BinaryIO, *, is_first: bool, is_last: bool) -> None:
        """Check the lines of one file."""
        self._file = name
        for number, (end, digest) in enumerate(_lines(file), 1):
            if not end.endswith(b"\n"):
                self._take_torn(number, is_last)
            elif link := Link.of(end):
                self._take(link, digest, number, is_first)
            else:
                self._take_unchained(digest, number)

    def _take(self, link: Link, digest: str, number: int, is_first_file: bool) -> None:
        head, at_start = self._head, number == 1
        if at_start:
            self._begins.append(link)
        if head is None:
            self.verdict.first = link
            self._check_start(link, number, is_first_file)
        elif (link.chain, link.line, link.hash) != (head.chain, head.line + 1, head.hash):
            self._tell_break(link, head, number)
        elif link.file != head.file + at_start or bool(link.keeps) != at_start:
            self.verdict.add(self._file, number, "it was the beginning, or the middle, of another file")
        now = link._replace(hash=digest, keeps=0)
        if not (head and link.chain == head.chain and link.line <= head.line):  # else it counts as put there
            self._head = now
        self._look_for_heads(now, number)

    def _check_start(self, link: Link, number: int, is_first_file: bool) -> None:
        """Check the first line that is of a chain: the chain's first one, or that of a file whose elders are gone."""
        if link.line == 1:
            if link.hash != self._last_before:
                self.verdict.add(self._file, number, "the line before the chain's first one was changed, or is another")
        elif self.verdict.before:
            what = f"the lines before it are of no chain, and it is line {link.line} of one: its beginning was removed"
            self.verdict.add(self._file, number, what)
        elif not (is_first_file and number == 1 and link.keeps):
            what = f"it is line {link.line}, which began no file: the lines before it were removed"
            self.verdict.add(self._file, number, what)

    def _tell_break(self, link: Link, head: Link, number: int) -> None:
        add = self.verdict.add
        if link.chain != head.chain:
            add(self._file, number, f"another chain, {link.chain}, begins at its line {link.line}; it was {head.chain}")
        elif link.line > head.line + 1:
            missing = link.line - head.line - 1
            words = f"line {head.line + 1} is" if missing == 1 else f"lines {head.line + 1} to {link.line - 1} are"
            add(self._file, number, f"{words} missing before line {link.line}")
        elif link.line <= head.line:
            add(self._file, number, f"line {link.line} stands behind line {head.line}: it was put there, or copied")
        elif number > 1:
            add(self._file, number - 1, f"it was changed: line {link.line} carries another hash of it")
        else:
            add(self._file, number, f"the last line of the file before was changed: line {link.line} says so")

    def _take_unchained(self, digest: str, number: int) -> None:
        if self._head is None:
            self.verdict.before += 1
            self._last_before = digest
        else:
            what = "it is of no chain: it was put there, or its end was changed, or an older version wrote it"
            self.verdict.add(self._file, number, what)

    def _take_torn(self, number: int, is_last_file: bool) -> None:
        if is_last_file:
            self.verdict.notes.append(f"{self._file}:{number}: a line that is not whole is passed over")
        else:
            self.verdict.add(self._file, number, "the file ends within a line: it was cut off")

    def _look_for_heads(self, head: Link, number: int) -> None:
        self._found_hash |= head.hash == self._hash
        for kept in self._kept.pop(head.line, ()) if self._kept else ():
            if kept.head.chain != head.chain:
                self._others.append(kept)
            elif kept.head.hash != head.hash:
                self.verdict.add(self._file, number, f"line {head.line} is another than the one whose head was kept")
            else:
                self.verdict.heads += 1
                self._sites.add(kept.site)

    def end(self) -> None:
        """Check what only all of it can tell."""
        verdict, head, first = self.verdict, self._head, self.verdict.first
        verdict.head = head
        if head is None or first is None:
            if verdict.before:
                verdict.add(
                    "", 0, "no line is of a chain: an older version wrote them, and nothing can be told of them"
                )
        elif first.line > 1:
            self._check_older(first)
        if self._has_heads:
            self._check_heads(head)

    def _check_older(self, first: Link) -> None:
        """Check that the oldest files had to go: the site kept no more when it began one of those that are there."""
        if any(link.file - link.keeps >= first.file - 1 for link in self._begins if link.keeps):
            self.verdict.notes.append(f"begins at line {first.line} of its chain; older files were rotated away")
        elif first.keeps:
            what = f"{first.line - 1} lines are missing before it: the site would have kept their files"
            self.verdict.add("", 0, f"line {first.line} is the first that is there; {what}")

    def _check_heads(self, head: Link | None) -> None:
        verdict = self.verdict
        if self._hash:
            verdict.heads = int(self._found_hash)
            if not self._found_hash:
                verdict.add("", 0, "no line has this hash: the end was cut off, or is another")
            return
        left = [*self._others, *(kept for of_line in self._kept.values() for kept in of_line)]
        own = [kept.head.line for kept in left if head and kept.head.chain == head.chain]
        if head and own and max(own) > head.line:
            verdict.add("", 0, f"the end is missing: lines {head.line + 1} to {max(own)}, whose head was kept")
        elif not verdict.heads:
            verdict.add("", 0, "no head that was kept is of a line that is there")
        others = {kept.head.chain: kept for kept in left if head and kept.head.chain != head.chain}
        for chain, kept in others.items():
            if kept.site and kept.site in self._sites:
                what = f"a head was kept of another chain of {kept.site}, {chain}, which is not here: it was begun anew"
                verdict.add("", 0, what)


def _lines(file: BinaryIO) -> Iterator[tuple[bytes, str]]:
    """Yield the end of each line, all of it unless it is longer than any of a site's, and its hash."""
    while line := file.readline(MAX_LINE):
        if line.endswith(b"\n"):
            yield line, sha256(line).hexdigest()
        else:
            yield _rest_of(line, file)


def _rest_of(line: bytes, file: BinaryIO) -> tuple[bytes, str]:
    digest = sha256(line)
    end = line[-_OF_A_LINK:]
    while not end.endswith(b"\n") and (more := file.readline(MAX_LINE)):
        digest.update(more)
        end = (end + more)[-_OF_A_LINK:]
    return end, digest.hexdigest()


def heads_in(lines: Iterable[str]) -> list[KeptHead]:
    """Return the heads that lines of text have, such as those of a log; one a line."""
    return [kept for line in lines if (kept := KeptHead.of(line))]
