"""A job's output as lines, whatever it is: all of it, in time and memory that have a bound."""

from __future__ import annotations

import io
import itertools
import tracemalloc
from collections import deque

import pytest
from hypothesis import given
from hypothesis import strategies as st

from launchers.output_lines import LONGEST_LINE, chunks_of, last_bytes, lines_of, seek_last_lines

OUTPUT = st.lists(st.sampled_from([b"", b"\n", b"one", b"two\n", b"x" * (LONGEST_LINE - 1), b"\n\n", b"\xc3\xa4"]))


@given(st.lists(st.sampled_from([b"", b"\n", b"one", b"two\nthree", b"\n\n", b"\r"])))
def test_lines_are_whole_however_the_output_is_cut(chunks: list[bytes]) -> None:
    whole = b"".join(chunks)
    assert list(lines_of(chunks)) == whole.removesuffix(b"\n").split(b"\n") * bool(whole)


@given(OUTPUT)
def test_nothing_is_lost_and_no_line_is_longer_than_the_longest(chunks: list[bytes]) -> None:
    lines = list(lines_of(chunks))
    assert all(len(line) <= LONGEST_LINE for line in lines)
    assert b"".join(lines) == b"".join(chunks).replace(b"\n", b"")


@pytest.mark.parametrize("more", [-1, 0, 1])
def test_a_line_as_long_as_the_longest_is_one_and_a_longer_one_goes_on_in_the_next(more: int) -> None:
    line = b"x" * (LONGEST_LINE + more)
    pieces = [line[:LONGEST_LINE], *([line[LONGEST_LINE:]] if more > 0 else [])]
    assert list(lines_of([line + b"\nnext\n"])) == [*pieces, b"next"]
    assert list(lines_of([line, b"\nnext\n"])) == [*pieces, b"next"]


@pytest.mark.parametrize("character", ["ä", "€", "😀"])
def test_no_character_is_cut(character: str) -> None:
    lines = [line.decode() for line in lines_of([("x" + character * LONGEST_LINE).encode()])]
    assert "".join(lines) == "x" + character * LONGEST_LINE


def test_a_line_comes_as_soon_as_it_is_whole() -> None:
    lines = lines_of(itertools.chain([b"one\ntw"], (pytest.fail("it was read on") for _ in "x")))
    assert next(lines) == b"one"


def test_a_line_without_an_end_takes_no_more_memory_than_the_longest() -> None:
    """And no more time than the bytes: 256 MiB would take minutes if each piece cost the whole line."""
    tracemalloc.start()
    try:
        pieces = sum(1 for _ in lines_of(itertools.repeat(b"x" * (16 << 10), 16 << 10)))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert pieces == (256 << 20) / LONGEST_LINE
    assert peak < 10 * LONGEST_LINE


@given(st.lists(st.binary(max_size=9)), st.integers(1, 20))
def test_the_last_bytes_are_the_last(chunks: list[bytes], most: int) -> None:
    assert last_bytes(chunks, most) == b"".join(chunks)[-most:]


@given(OUTPUT, st.integers(0, 4))
def test_the_last_lines_of_a_file_are_the_last(chunks: list[bytes], tail: int) -> None:
    file = io.BytesIO(b"".join(chunks))
    lines = list(deque(io.BytesIO(file.getvalue()), tail))
    begin = seek_last_lines(file, tail)
    found = b"".join(chunks_of(file))
    whole = b"".join(lines)
    assert found == whole or (whole.endswith(found) and len(found) == tail * (LONGEST_LINE + 1))
    assert begin == len(file.getvalue()) - len(found)


def test_the_last_lines_of_a_file_without_a_lines_end_have_a_bound() -> None:
    file = io.BytesIO(b"x" * (100 * LONGEST_LINE))
    seek_last_lines(file, 2)
    assert sum(map(len, chunks_of(file))) == 2 * (LONGEST_LINE + 1)
