"""A job's output as lines, whatever it is: nobody says that a job ends its lines, or that it ever stops. Pure.

A line that is longer than :data:`LONGEST_LINE` is taken for several: it goes on in the next one, and nothing is lost.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Iterable, Iterator
from typing import BinaryIO

LONGEST_LINE = 1 << 16
"""Bytes."""
LINE_BREAK = " | "
"""What stands for the end of a line where all stands in one."""
_CHUNK = 1 << 16


def lines_of(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """Yield the lines, without their ends, as soon as each is whole, or too long; what is behind the last, at the end.

    Takes time in proportion to the output, however it is cut, and memory for the longest chunk and line.
    """
    rest = bytearray()
    for chunk in chunks:
        searched = len(rest)
        rest += chunk
        begin = 0
        while (end := _end_of_line(rest, begin, searched)) >= 0:
            yield bytes(rest[begin:end])
            begin = end + (rest[end : end + 1] == b"\n")
            searched = begin
        del rest[:begin]
    if rest:
        yield bytes(rest)


def _end_of_line(data: bytearray, begin: int, searched: int) -> int:
    """Return where the line ends that begins there; -1 if that is not known yet. Up to ``searched`` there is no end."""
    longest = begin + LONGEST_LINE
    found = data.find(b"\n", searched, longest + 1)
    if found >= 0 or len(data) <= longest:
        return found
    # Not within a character of UTF-8, whose further bytes begin with 10.
    return next((place for place in range(longest, longest - 4, -1) if data[place] & 0xC0 != 0x80), longest)


def last_bytes(chunks: Iterable[bytes], most: int) -> bytes:
    """Return what comes last of an output. Takes memory for that, and for the longest chunk."""
    kept: deque[bytes] = deque()
    size = 0
    for chunk in chunks:
        kept.append(chunk)
        size += len(chunk)
        while size - len(kept[0]) >= most:
            size -= len(kept.popleft())
    return b"".join(kept)[-most:]


def chunks_of(file: BinaryIO) -> Iterator[bytes]:
    """Yield what is in a file from its place on."""
    while chunk := file.read(_CHUNK):
        yield chunk


def seek_last_lines(file: BinaryIO, tail: int) -> int:
    """Go to where a file's last lines begin, none of them longer than the longest, and return where that is.

    Reads no more than these.
    """
    size = file.seek(0, os.SEEK_END)
    return file.seek(max(_begin_of_last_lines(file, size, tail), size - tail * (LONGEST_LINE + 1)))


def _begin_of_last_lines(file: BinaryIO, size: int, tail: int) -> int:
    if not tail:
        return size
    ends, place = 0, size
    earliest = max(0, size - tail * (LONGEST_LINE + 1))
    while place > earliest:
        begin = max(earliest, place - _CHUNK)
        file.seek(begin)
        data = file.read(place - begin)
        place = begin
        found = len(data) - (begin + len(data) == size)  # the last line's own end says nothing
        while (found := data.rfind(b"\n", 0, found)) >= 0:
            ends += 1
            if ends == tail:
                return begin + found + 1
    return earliest
