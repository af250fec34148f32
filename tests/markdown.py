"""The pages of this repository, as a plain viewer of it sees them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from itertools import count
from pathlib import Path

from markdown_it import MarkdownIt
from markdown_it.token import Token

from tests.environments import ROOT

_NOT_IN_AN_ANCHOR = re.compile(r"[^\w\- ]")


def pages() -> list[Path]:
    """Return the files of all pages, the reference's among them, as paths from the root of this checkout."""
    found = [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *(ROOT / "configs").rglob("*.md")]
    return sorted(path.relative_to(ROOT) for path in found)


@dataclass(frozen=True)
class Link:
    """Where a page leads to."""

    page: Path
    target: str

    @property
    def is_elsewhere(self) -> bool:
        """Whether it leads out of the repository."""
        return ":" in self.target

    @property
    def path(self) -> Path:
        """The file, or folder, to which it leads."""
        beside, name = (ROOT / self.page).parent, self.target.partition("#")[0]
        return (beside / name).resolve() if name else ROOT / self.page

    @property
    def anchor(self) -> str:
        return self.target.partition("#")[2]


def links(page: Path) -> Iterator[Link]:
    """Yield the links of a page, of its pictures too."""
    for token in _words(page):
        target = token.attrGet("href") or token.attrGet("src")
        if target:
            yield Link(page, str(target))


@cache
def anchors(page: Path) -> frozenset[str]:
    """Return the anchors of a page's headings; a second one of the same words has a number behind it."""
    found: set[str] = set()
    tokens = _tokens(page)
    for number, token in enumerate(tokens):
        if token.type == "heading_open":
            words = "".join(child.content for child in tokens[number + 1].children or ())
            name = _NOT_IN_AN_ANCHOR.sub("", words.lower()).replace(" ", "-")
            numbered = (f"{name}-{more}" if more else name for more in count())
            found.add(next(each for each in numbered if each not in found))
    return frozenset(found)


def _words(page: Path) -> Iterator[Token]:
    for token in _tokens(page):
        yield from token.children or ()


@cache
def _tokens(page: Path) -> list[Token]:
    return MarkdownIt("commonmark").enable("table").parse((ROOT / page).read_text())
