"""The code of README and docs: files to save, scripts to run, commands to type."""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[1]
README = ROOT / "README.md"
PAGES = (README, *sorted((ROOT / "docs").rglob("*.md")))
TUTORIALS = sorted((ROOT / "docs/tutorials").glob("*.md"))
"""What is typed there is typed in order, in an environment of its own (``tests/first_hours.py``)."""
FENCE = re.compile(r"^```(\w+)(?: (\S+))?\n(.*?)^```$", re.MULTILINE | re.DOTALL)


class Block(NamedTuple):
    """A fenced block: a file of that name, or without a name, a script to run or commands to type."""

    page: str
    language: str
    name: str
    text: str


def blocks_of(page: Path) -> list[Block]:
    return [Block(page.stem, *match.groups(default="")) for match in FENCE.finditer(page.read_text())]


BLOCKS = [block for page in PAGES for block in blocks_of(page)]


def save_files(folder: Path) -> None:
    """Save all files that the pages say to save."""
    for block in BLOCKS:
        if block.name:
            (folder / block.name).parent.mkdir(parents=True, exist_ok=True)
            (folder / block.name).write_text(block.text)
