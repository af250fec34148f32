"""The links of a journal's lines, as they stand there, and its head, as somebody keeps it elsewhere."""

from __future__ import annotations

from hashlib import sha256

import pytest

from flcore.disk.journal_chain import KeptHead, Link, head_of, next_line


def test_a_chain_begins_behind_no_line_with_the_hash_of_nothing() -> None:
    line, head = next_line(b'{"n": 0}', head_of(b""), keeps=5)

    link = Link.of(line)
    assert link == Link(head.chain, 1, 1, sha256().hexdigest(), keeps=5)
    assert head == Link(head.chain, 1, 1, sha256(line).hexdigest()) == head_of(line)


def test_a_line_carries_the_hash_of_the_one_before_and_stands_behind_it() -> None:
    first, head = next_line(b'{"n": 0}', head_of(b""), keeps=5)
    second, _ = next_line(b'{"n": 1}', head)

    assert Link.of(second) == Link(head.chain, 1, 2, sha256(first).hexdigest())


def test_the_first_line_of_the_next_file_is_of_the_same_chain() -> None:
    first, head = next_line(b'{"n": 0}', head_of(b""), keeps=5)
    second, _ = next_line(b'{"n": 1}', head, keeps=3)

    assert Link.of(second) == Link(head.chain, 2, 2, sha256(first).hexdigest(), keeps=3)


def test_behind_a_line_of_an_older_version_a_chain_begins_that_holds_that_line() -> None:
    old = b'{"n": 0}\n'
    line, head = next_line(b'{"n": 1}', head_of(old))

    assert Link.of(line) == Link(head.chain, 1, 1, sha256(old).hexdigest())


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b'{"n": 0}\n',
        b'{"n": 0, "chain": 1}\n',
        b'{"n": ", \\"chain\\": \\"00000000:1:1:' + b"0" * 64 + b'\\"}"}\n',
        b'{"n": 0, "chain": "00000000:1:1:' + b"0" * 64 + b'"}',
        b'{"n": 0, "chain": "00000000:1:1:' + b"0" * 64 + b'", "m": 1}\n',
    ],
    ids=["none", "of an older version", "a number", "within a text", "not whole", "not at the end"],
)
def test_another_line_has_no_link(line: bytes) -> None:
    assert Link.of(line) is None


def test_a_head_is_found_in_the_line_of_a_log_that_has_it() -> None:
    kept = KeptHead("site-1", Link("0a1b2c3d", 2, 17, "e" * 64))

    assert KeptHead.of(f"Nov 29 21:00:00 host flcore[1]: {kept}\n") == kept
    assert KeptHead.of(str(kept.head)) == KeptHead("", kept.head)
    assert KeptHead.of("Nov 29 21:00:00 host sshd[1]: something else") is None


def test_the_link_of_a_line_which_has_the_hash_of_another_is_no_head() -> None:
    assert KeptHead.of(next_line(b'{"n": 0}', head_of(b""))[0].decode()) is None
