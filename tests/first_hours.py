"""The tutorials, typed in their order by somebody who has the wheel, an engine, and nothing of the checkout.

``python -m tests.first_hours [PAGE…]`` prints every command, what it printed, and how long it took, in an empty folder
and a new environment for each page; the status is 1 where a command failed: a dead end.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.environments import ROOT
from tests.pages import TUTORIALS, Block, blocks_of
from tests.release.distributions import build
from tests.release.sources import export

PROMPT = "$ "
"""Stands before what is typed, in a block that shows what it prints, too."""
_ENVIRONMENT = ("python3 -m venv .venv", ".venv/bin/pip install -q 'flcore[cli,web]' pytest")
_INSTALLED = re.compile(r"(pip install .*?)'?\bflcore(\[[\w,]+\])?'?(?=\s|$)")
"""What comes from an index elsewhere is the wheel's file here."""
_MAKES_ENVIRONMENT = re.compile(r"-m venv|pip install")
_TIMEOUT = 300
"""Seconds that a command may take."""


@dataclass(frozen=True)
class Typed:
    """A command, and what came of it."""

    command: str
    seconds: float
    status: int
    output: str


class Newcomer:
    """Somebody in a folder, whose shell finds the programs of his environment."""

    def __init__(self, folder: Path, programs: Path) -> None:
        self.folder = folder
        self._programs = programs

    def follow(self, page: Path) -> Iterator[Typed]:
        """Do what a page says, in its order, and yield each command; until one fails.

        An environment is there already.
        """
        for block in blocks_of(page):
            if block.name:
                self._save(block)
            for command in _commands(block):
                if _MAKES_ENVIRONMENT.search(command):
                    continue
                typed = self.type(command.removeprefix(".venv/bin/"))
                yield typed
                if typed.status:
                    return

    def type(self, command: str) -> Typed:
        """Type a command, which may change the folder for the next, and go on in the background."""
        path = f"{self._programs}{os.pathsep}{os.environ['PATH']}"
        with tempfile.TemporaryFile("w+") as output, tempfile.NamedTemporaryFile("r") as place:
            script = f'{command}\nstatus=$?; pwd > "{place.name}"; exit $status'
            began = time.monotonic()
            done = subprocess.run(  # into a file: what goes on in the background holds a pipe open
                ["bash", "-c", script], cwd=self.folder, env={**os.environ, "PATH": path}, check=False,
                stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT, timeout=_TIMEOUT,
            )  # fmt: skip
            seconds = time.monotonic() - began
            self.folder = Path(place.read().strip() or self.folder)
            output.seek(0)
            return Typed(command, seconds, done.returncode, output.read())

    def _save(self, block: Block) -> None:
        file = self.folder / block.name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(block.text)


def _commands(block: Block) -> Iterator[str]:
    """Yield what is typed of a block."""
    if block.language == "console":
        shows = block.text.startswith(PROMPT)
        for line in block.text.splitlines():
            if line.startswith(PROMPT) or not shows:
                yield line.removeprefix(PROMPT)


def main(names: Sequence[str]) -> int:
    pages = [page for page in TUTORIALS if not names or page.stem in names]
    with tempfile.TemporaryDirectory(prefix="first-hours-") as folder:
        _, wheel = build(export(ROOT, Path(folder, "checkout")), Path(folder, "dist"))
        return max([_show(page, Path(folder, page.stem), wheel) for page in pages])


def _show(page: Path, folder: Path, wheel: Path) -> int:
    """Print what happens to who follows a page; return 1 if he cannot."""
    print(f"# {page.relative_to(ROOT)}")
    folder.mkdir()
    newcomer, began, typed = Newcomer(folder, folder / ".venv/bin"), time.monotonic(), 0
    for command in _ENVIRONMENT:
        made = newcomer.type(_INSTALLED.sub(rf"\1'{wheel}\2'", command))
        if made.status:
            raise RuntimeError(f"{made.command}: {made.output}")
    for one in newcomer.follow(page):
        typed += 1
        print(f"\n$ {one.command}\n{one.output.rstrip()}\n[{one.seconds:.1f} s]", flush=True)
        if one.status:
            print(f"\nA DEAD END: status {one.status}")
            return 1
    minutes = (time.monotonic() - began) / 60
    print(f"\n{page.stem}: {typed} commands, no dead end, {minutes:.1f} min with the installation\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
