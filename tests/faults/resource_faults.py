"""There is no room on a disk, very much output, or a very long row of jobs."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from .lab import Fault, Lab
from .party import Party
from .verdict import NATURAL, REFUSED, Job

SMALL_DISK = "2m"
SMALL_ENGINE = "400m"
PAGE = 4096
BLOCK = 1 << 20
ROOM_IN_ENGINE = 4 << 20
"""Bytes that are free in the small engine when jobs begin to write."""
BIG_LOG = 1 << 30
LOG_BOUND = 3 * (10 << 20)
"""Bytes of output that an engine keeps of one job by default."""
CHURN = 1000
MAYBE = frozenset({NATURAL, REFUSED})
SAMPLE_INTERVAL = 0.2


def workspace_full(lab: Lab) -> None:
    """The site's disk is full when jobs end: results are told all the same, outputs kept when there is room again."""
    disk = lab.small_disk(SMALL_DISK)
    party = lab.party(workspace=disk)
    party.start()
    jobs = [Job(f"job-{code}", code, ticks, noted=False) for code, ticks in ((0, 10), (3, 15), (7, 20))]
    party.launch(*jobs)
    with ballast(disk, lab.rng.randrange(4) * PAGE):
        party.launch(Job("late", 0, 3, noted=False, may_end=MAYBE))
        _until_told(party, jobs)
        lab.sleep(0, 2)


def engine_full(lab: Lab) -> None:
    """The engine's disk is full when jobs write their output: what is lost of it is lost, their results are not."""
    party = lab.party()
    party.start()
    jobs = [Job(f"job-{code}", code, 15, whole_log=False, gapless=False) for code in (0, 3)]
    party.launch(*jobs)
    big = Job("big", 7, body=writes(300_000, 100))
    data = lab.need_engine().data
    with ballast(data, ROOM_IN_ENGINE):
        party.launch(big)
        party.until(lambda: free(data) < PAGE, "a full disk")
        party.launch(Job("late", 0, 3, may_end=MAYBE, whole_log=False, gapless=False))
        _until_told(party, [*jobs, big])


def big_log(lab: Lab) -> None:
    """A job writes a gigabyte; what is kept of it is bounded."""
    party = lab.party()
    party.start()
    big, small = Job("big", 3, body=writes(BIG_LOG // 1000, 1000)), Job("small", 0, 10)
    party.launch(big, small)
    folder = lab.need_engine().data / "containers" / party.containers(big)[0]
    with greatest(lambda: size_of(folder)) as size:
        party.finish(timeout=300)
    kept = size_of(party.folder_of(big))
    lab.notes.append(f"{size() >> 20} MiB in the engine, {kept >> 20} MiB kept")
    lab.expect(0 < size() < LOG_BOUND + (1 << 20), f"the engine had {size()} bytes of output")
    lab.expect(0 < kept < LOG_BOUND, f"the site kept {kept} bytes of output")


def churn(lab: Lab) -> None:
    """A thousand jobs, launched and waited for by four threads, leave nothing behind."""
    party = lab.party()
    party.start()
    figures = party.churn(CHURN, threads=4, timeout=3600)
    before, after = figures["before"], figures["after"]
    for what, count in before.items():
        lab.notes.append(f"{what} {count} -> {after[what]}")
        lab.expect(after[what] <= count, f"{what}: {count} before, {after[what]} after {CHURN} jobs")


def writes(lines: int, length: int) -> str:
    """Return what writes so many lines of that length, with their ends."""
    return f"python3 -c \"line = 'x' * {length - 1}; [print(line) for i in range({lines})]\""


@contextmanager
def ballast(folder: Path, room: int) -> Iterator[None]:
    """Fill the disk of a folder but for some bytes."""
    path = folder / "ballast"
    try:
        with path.open("wb", buffering=0) as file, suppress(OSError):  # others write there, too
            while (left := free(folder) - room) > 0:
                file.write(bytes(min(left, BLOCK)))
        yield
    finally:
        path.unlink(missing_ok=True)


@contextmanager
def greatest(measure: Callable[[], int]) -> Iterator[Callable[[], int]]:
    """Measure all the time; yield what returns the greatest value so far."""
    values = [measure()]
    over = threading.Event()

    def sample() -> None:
        while not over.wait(SAMPLE_INTERVAL):
            values.append(max(values.pop(), measure()))

    thread = threading.Thread(target=sample)
    thread.start()
    try:
        yield lambda: values[-1]
    finally:
        over.set()
        thread.join()


def size_of(folder: Path) -> int:
    """Return how much the files in a folder take, of those that stay long enough to be asked."""
    size = 0
    for path in folder.rglob("*"):
        with suppress(OSError):
            size += path.stat().st_size
    return size


def free(folder: Path) -> int:
    disk = os.statvfs(folder)
    return disk.f_bavail * disk.f_frsize


def _until_told(party: Party, jobs: list[Job]) -> None:
    party.until(lambda: all((job.id, "told") in party.said() for job in jobs), "results on a full disk")


FAULTS = (
    Fault("workspace-full", "disk full while writing logs: the site's", workspace_full, private=True),
    Fault("engine-full", "disk full while writing logs: the engine's", engine_full, alone=True, data_size=SMALL_ENGINE),
    Fault("big-log", "a log of 1 GiB", big_log, private=True),
    Fault("churn", f"{CHURN} launches and ends in a row", churn, private=True, repeats=1),
)
