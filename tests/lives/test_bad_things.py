"""Each file that a site reads of its own state, and in its place what cannot be read: it costs itself only."""

from __future__ import annotations

import logging
import os
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from flcore import JobReturnCode
from flcore.errors import JobLaunchError
from launchers.operator.engines import Engines
from launchers.operator.job_index import JobIndex
from launchers.operator.site_files import SiteFiles

from ..faulty import until
from ..faulty_lives import TIMEOUT, Host
from ..thoroughness import LITTLE

PLACES = (
    *("jobs/bad.0123456789abcdef.jsonl", "parents/bad", "ends/bad", "folders/bad", "site-id", "gpus/0"),
    *("journal.jsonl", "journal.jsonl.1", "unreadable/bad"),
)
MORE_PLACES = (
    *("kept/bad.0123456789abcdef.jsonl", "users/200000", "../stays/site-1.log", "../stays/meta.json"),
    "../.staged-0123456789abcdef",
)


NOT_OURS = "what is not ours to read"


def _make_large(path: Path) -> None:
    path.touch()
    os.truncate(path, 100 << 20)


def _take_rights_away(path: Path) -> None:
    path.write_text("null\n")
    path.chmod(0)


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
    NOT_OURS: _take_rights_away,
}
LOOKS = 3
NOBODY = 65534


@pytest.fixture
def host(hosts: Callable[[], Host], tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Host]:
    """Return a host; for what is not ours to read, one of a user who may not read all."""
    if request.getfixturevalue("bad") != NOT_OURS or os.geteuid() != 0:
        yield hosts()
        return
    with TemporaryDirectory(prefix="flcore-test-") as folder:
        os.chown(folder, NOBODY, NOBODY)
        os.seteuid(NOBODY)
        try:
            yield Host(Path(folder, "host"))
        finally:
            os.seteuid(0)


ALL_PLACES = PLACES + MORE_PLACES
PAIRS = [(place, bad) for place in ALL_PLACES for bad in BAD_THINGS]
SOME = [
    (place, bad) for at, place in enumerate(ALL_PLACES) for turn, bad in enumerate(BAD_THINGS) if (at + turn) % 4 == 0
]
"""For each file two or three bad things, and each of these in place of three or four files."""
CASES = [pair for pair in (SOME if LITTLE else PAIRS) if pair != ("site-id", NOT_OURS)]


@pytest.mark.parametrize(("place", "bad"), CASES)
def test_what_cannot_be_read_costs_no_other_job_a_start_nor_an_operators_look_and_is_said_once(
    host: Host, place: str, bad: str, caplog: pytest.LogCaptureFixture
) -> None:
    with host.site() as site:
        site.launch_job({"job_id": "stays"}, app=host.app)
    path = host.workspace / ".flcore" / place
    path.parent.mkdir(parents=True, exist_ok=True)
    path.unlink(missing_ok=True)
    BAD_THINGS[bad](path)
    caplog.clear()
    with host.site() as site:
        site.launch_job({"job_id": "later"}, app=host.app)
        with JobIndex(lambda: [SiteFiles(host.workspace)], Engines([lambda: host.runtime])) as index:
            for _ in range(LOOKS):
                index.jobs()
                index.holdings()
        until(lambda: "stays" in site.jobs(), "the earlier job is found", TIMEOUT)
        for job_id in ("stays", "later"):
            host.runtime.exit(f"site-1-{job_id}", 0)
            assert site.jobs()[job_id].wait() is JobReturnCode.SUCCESS
    said = Counter(record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING)
    assert [message for message, count in said.items() if count > 1] == []


@pytest.mark.parametrize("bad", [NOT_OURS])
def test_a_site_whose_id_is_not_its_own_to_read_launches_nothing_and_says_why(host: Host, bad: str) -> None:
    path = host.workspace / ".flcore" / "site-id"
    path.parent.mkdir()
    BAD_THINGS[bad](path)
    with host.site() as site, pytest.raises(JobLaunchError, match=f"Permission denied: {path}"):
        site.launch_job({"job_id": "j1"}, app=host.app)
