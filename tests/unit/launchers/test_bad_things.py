"""Each file that a site reads of its own state, and in its place what cannot be read: it costs itself only."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from flcore import JobReturnCode
from launchers.operator.job_index import JobIndex
from launchers.operator.site_files import SiteFiles

from ...faulty import until
from ...faulty_lives import TIMEOUT, Host
from ...thoroughness import LITTLE

PLACES = (
    *("jobs/bad.0123456789abcdef.jsonl", "parents/bad", "ends/bad", "folders/bad", "site-id", "gpus/0"),
    *("journal.jsonl", "journal.jsonl.1", "unreadable/bad"),
)


def _make_large(path: Path) -> None:
    path.touch()
    os.truncate(path, 100 << 20)


BAD_THINGS: Mapping[str, Callable[[Path], object]] = {
    "a pipe": lambda path: os.mkfifo(path),
    "a folder": lambda path: path.mkdir(),
    "a link to itself": lambda path: path.symlink_to(path),
    "half a line": lambda path: path.write_text('{"job_id": "ba'),
    "null": lambda path: path.write_text("null\n"),
    "a newer version's": lambda path: path.write_text('{"version": 9, "job_id": ["bad"], "parent": null}\n'),
    "no text": lambda path: path.write_bytes(bytes(range(256))),
    "nothing": lambda path: path.touch(),
    "too much": _make_large,
}


CASES = [(place, bad) for place in PLACES for bad in BAD_THINGS]
SOME = [(place, bad) for at, place in enumerate(PLACES) for turn, bad in enumerate(BAD_THINGS) if (at + turn) % 3 == 0]
"""For each file three bad things, and each of these in place of three files."""


@pytest.mark.parametrize(("place", "bad"), SOME if LITTLE else CASES)
def test_what_cannot_be_read_costs_no_other_job_a_start_nor_an_operators_look(
    hosts: Callable[[], Host], place: str, bad: str
) -> None:
    host = hosts()
    with host.site() as site:
        site.launch_job({"job_id": "stays"}, app=host.app)
    path = host.workspace / ".flcore" / place
    path.parent.mkdir(exist_ok=True)
    path.unlink(missing_ok=True)
    BAD_THINGS[bad](path)
    with host.site() as site:
        site.launch_job({"job_id": "later"}, app=host.app)
        with JobIndex(lambda: [SiteFiles(host.workspace)], [lambda: host.runtime]) as index:
            index.jobs()
            index.holdings()
        until(lambda: "stays" in site.jobs(), "the earlier job is found", TIMEOUT)
        for job_id in ("stays", "later"):
            host.runtime.exit(f"site-1-{job_id}", 0)
            assert site.jobs()[job_id].wait() is JobReturnCode.SUCCESS
