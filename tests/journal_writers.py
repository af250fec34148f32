"""Processes that write one journal, and are killed: ``python -m tests.journal_writers each|many JOURNAL KILLS``.

``each``: one after the other, the next one at the next call of the disk, in the middle of a write too; ``many``: some
at the same time, each at any moment. Prints, for each kill, what is wrong with the journal then, as a JSON list.
"""

from __future__ import annotations

import json
import os
import random
import signal
import sys
from collections.abc import Callable, Iterator
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any

from flcore.disk.journal_chain import KeptHead
from flcore.disk.journal_check import check_journal
from flcore.disk.journal_file import JournalFile

WRITERS = 3
_CALLS = ("open", "close", "pread", "fstat", "ftruncate", "fdatasync", "replace", "unlink", "write")


def main(how: str, journal: str, kills: str) -> None:
    killed = {"each": each, "many": many}[how]
    for found in killed(Path(journal), int(kills)):
        print(json.dumps(found), flush=True)


def each(path: Path, kills: int) -> Iterator[list[str]]:
    heads: list[KeptHead] = []
    for number in range(1, kills + 1):
        reader, writer = os.pipe()
        child = _forked(partial(_write_until_killed, path, writer, number))
        os.close(writer)
        with os.fdopen(reader) as told:
            heads += filter(None, map(KeptHead.of, told))
        os.waitpid(child, 0)
        yield _wrong_with(path, heads)


def many(path: Path, kills: int) -> Iterator[list[str]]:
    reader, writer = os.pipe()
    heads: list[KeptHead] = []
    rng = random.Random(19)
    write = partial(_write, path, writer, keeps=1000)  # more than is written: what is told is told late
    children = [_forked(write) for _ in range(WRITERS)]
    with os.fdopen(reader) as told:
        for _ in range(kills):
            for _ in range(rng.randrange(1, 20)):  # as long as it takes to write so many lines
                heads += filter(None, [KeptHead.of(told.readline())])
            one = rng.randrange(WRITERS)
            os.kill(children[one], signal.SIGKILL)
            os.waitpid(children[one], 0)
            yield _wrong_with(path, heads)
            children[one] = _forked(write)
        for child in children:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)


def _wrong_with(path: Path, heads: list[KeptHead]) -> list[str]:
    return list(map(str, check_journal(path, heads or None).problems)) if path.exists() or heads else []


def _forked(do: Callable[[], object]) -> int:
    child = os.fork()
    if not child:
        do()
        os._exit(1)
    return child


def _write(path: Path, tell: int, keeps: int) -> None:
    """Write lines, some of them longer, and tell each head when its line is written."""
    file = JournalFile(path, 900, keeps, chained=True)
    write = os.write
    for number in count():
        head = file.write({"event": "n", "n": number, "text": "x" * (number % 7)}, durable=number % 10 == 0)
        write(tell, f"{head}\n".encode())


def _write_until_killed(path: Path, tell: int, at: int) -> None:
    """Be killed at some call, or in the middle of it."""
    calls = count(1)

    def watched(call: Callable[..., Any], name: str) -> Callable[..., Any]:
        def do(*args: Any, **kwargs: Any) -> Any:
            if next(calls) == at:
                if name == "write":
                    call(args[0], args[1][: len(args[1]) // 2])
                os.kill(os.getpid(), signal.SIGKILL)
            return call(*args, **kwargs)

        return do

    for name in _CALLS:
        setattr(os, name, watched(getattr(os, name), name))
    _write(path, tell, keeps=4)


if __name__ == "__main__":
    main(*sys.argv[1:])
