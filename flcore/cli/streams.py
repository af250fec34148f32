"""The command's standard streams: text of any language goes to any, and one that takes no more costs no result."""

from __future__ import annotations

import io
import os
import sys
from contextlib import suppress
from typing import Any, NoReturn, TextIO


def prepare() -> None:
    """Have what a stream's encoding does not know escaped, and what goes to a stream that is closed dropped."""
    sys.stdout = _prepared(sys.stdout)
    sys.stderr = _prepared(sys.stderr)


def tell(*lines: str) -> None:
    """Write lines to standard error. One that takes none must not change what a command comes to."""
    with suppress(OSError):
        print(*lines, sep="\n", file=sys.stderr, flush=True)


def write_bytes(data: bytes) -> None:
    """Write to standard output what has an encoding of its own."""
    sys.stdout.buffer.write(data)
    sys.stdout.buffer.flush()


def failure_of_output() -> OSError | None:
    """Write what standard output has not taken yet; return why it has not taken all, None if it has."""
    with suppress(OSError):
        sys.stdout.flush()
    raw = getattr(getattr(sys.stdout, "buffer", None), "raw", None)
    return raw.failure if isinstance(raw, _Watched) else None


def end_at_once(status: int) -> NoReturn:
    """End this process, whoever holds standard output: Python, as it ends, would want it to itself, and abort."""
    sys.stderr.flush()
    os._exit(status)


class _Watched(io.FileIO):
    """A stream that remembers why it has failed, for who is told by nobody: argparse drops such an error.

    It raises once, which ends what writes without end. Afterwards it takes, and loses, all: what still wants to be
    written at the end of a run, or by Python as it ends, brings no second complaint.
    """

    failure: OSError | None = None

    def write(self, data: Any, /) -> Any:
        if self.failure:
            return memoryview(data).nbytes
        try:
            return super().write(data)
        except OSError as error:
            self.failure = error
            raise


def _prepared(stream: TextIO | None) -> TextIO:
    if stream is None:  # closed before this process began
        return open(os.devnull, "w", encoding="utf-8")  # noqa: PTH123 - as long as the process
    if not isinstance(stream, io.TextIOWrapper):
        return stream
    if type(getattr(stream.buffer, "raw", stream.buffer)) is not io.FileIO:  # itself where Python does not buffer
        stream.reconfigure(errors="backslashreplace")
        return stream
    stream.flush()
    raw = _Watched(stream.fileno(), "w", closefd=False)
    by_line = stream.line_buffering or stream.write_through
    return io.TextIOWrapper(io.BufferedWriter(raw), stream.encoding, "backslashreplace", line_buffering=by_line)
