"""The chain of a journal's lines: each carries what the line before it was, so that none can be changed unseen.

A line ends with its link, ``"chain": "ID:FILE:LINE:HASH"``, that of a file's first line with ``:KEEPS`` behind it:

=====  ===============================================================================================================
ID     which chain it is: made up when it began
FILE   which of the journal's files it stands in, counted from the chain's first one
LINE   which line it is, likewise
HASH   the SHA-256 of the line before, with its newline; of no bytes if there is none
KEEPS  how many files the site kept when this one began: what is older may be gone
=====  ===============================================================================================================

The *head* is the same of the last line, with that line's own hash: whoever keeps it elsewhere can tell of each line up
to there whether it is as it was. No key is in it, for who may write the journal could read that, too.
"""

from __future__ import annotations

import re
import secrets
from hashlib import sha256
from typing import NamedTuple, Self

_FIELDS = r"([0-9a-f]{8}):([0-9]{1,18}):([0-9]{1,18}):([0-9a-f]{64})"
_KEPT = re.compile(rf"\bflcore audit head of ([\w.-]+): {_FIELDS}\b(?!:)|^()\s*{_FIELDS}\s*$", re.ASCII)
LINK = rf'(?:, "chain": "{_FIELDS.replace("(", "(?:")}(?::[0-9]{{1,18}})?")?'
"""What a line may end with, before its last brace; a pattern without groups."""
_LINK = re.compile(rf', "chain": "{_FIELDS}(?::([0-9]{{1,18}}))?"\}}\n'.encode())
_LONGEST = 160
"""Characters of a link, at most."""


class Link(NamedTuple):
    """A place in a chain: which line, and a hash: in a line that of the one before, in a head its own."""

    chain: str
    file: int
    line: int
    hash: str
    keeps: int = 0
    """Of the first line of a file: how many files are kept; else 0."""

    def __str__(self) -> str:
        """Return it as it stands in a line."""
        return ":".join(map(str, self if self.keeps else self[:-1]))

    @classmethod
    def of(cls, line: bytes) -> Self | None:
        """Return the link that a line, or the end of one, carries; None if it is of no chain."""
        found = _LINK.search(line, max(0, len(line) - _LONGEST))
        if not found or found.end() != len(line):
            return None
        chain, file, number, before, keeps = (part.decode() for part in found.groups(b"0"))
        return cls(chain, int(file), int(number), before, int(keeps))


class KeptHead(NamedTuple):
    """A head that is kept elsewhere."""

    site: str
    """Whose journal it is; empty if that is not said."""
    head: Link

    def __str__(self) -> str:
        """Return the text by which it is kept."""
        return kept_as(self.site, str(self.head))

    @classmethod
    def of(cls, text: str) -> Self | None:
        """Return the first one that stands in a text, such as a line of a log, or is all of it; else None."""
        if found := _KEPT.search(text):
            site, chain, file, line, own = (part for part in found.groups() if part is not None)
            return cls(site, Link(chain, int(file), int(line), own))
        return None


def kept_as(site: str, head: str) -> str:
    """Return the text by which the head of a site's journal is kept elsewhere, which :meth:`KeptHead.of` reads."""
    return f"flcore audit head of {site}: {head}"


def head_of(line: bytes) -> Link:
    """Return the head of a journal whose last line it is; of one that is of no chain, or empty, a new chain's start."""
    link = Link.of(line) or Link(secrets.token_hex(4), 1, 0, "")
    return link._replace(hash=sha256(line).hexdigest(), keeps=0)


def next_line(body: bytes, head: Link, keeps: int = 0) -> tuple[bytes, Link]:
    """Return the line that a JSON object is behind the last one, and the head that is the journal's then.

    ``keeps``: if it begins another file, how many are kept.
    """
    file = head.file + 1 if keeps and head.line else head.file
    link = Link(head.chain, file, head.line + 1, head.hash, keeps)
    line = b'%b, "chain": "%b"}\n' % (body[:-1], str(link).encode())
    return line, link._replace(hash=sha256(line).hexdigest(), keeps=0)
