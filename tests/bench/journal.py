"""A journal whose lines are chained: what a line and a launch cost, and how long it takes to check them."""

from __future__ import annotations

import fcntl
import json
import os
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from functools import partial
from hashlib import sha256
from itertools import count, islice
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from flcore import Site
from flcore.disk.journal_check import check_journal
from flcore.disk.journal_file import JournalFile
from flcore.observers.audit_head import AuditHead, HeadFile
from flcore.observers.job_journal import JobJournal
from launchers.docker_launcher import ClientDockerJobLauncher
from launchers.runtime.fake import FakeRuntime

from .framework import Contest, at_most, bench, over_floor
from .timing import per_call

UNCHAINED = "unchained"
HASHING = "hashing each line"
MIB_10 = 10 << 20
LAUNCHES = 20
_LINE = {
    "event": "usage",
    "time": 1764449438.3575625,
    "site": "site-1",
    "job_id": "digits-8fcaff6a",
    "cpu_seconds": 12.3,
    "memory": 1 << 28,
}
_ARGS: dict[str, tuple[str, Any]] = {"exe_module": ("-m", "client")}


@bench()
def line_of_a_journal() -> Iterator[Contest]:
    """A line that need not survive a power cut, behind others, in files of 10 MiB; the floor is a lock and a write."""
    with TemporaryDirectory(prefix="flcore-bench-") as folder:
        file = JournalFile(Path(folder, "chained"), MIB_10, 5, chained=True)
        plain = JournalFile(Path(folder, "plain"), MIB_10, 5)
        descriptor = os.open(Path(folder, "bare"), os.O_WRONLY | os.O_APPEND | os.O_CREAT)
        measures = {
            "flcore": per_call(file.write, _LINE),
            UNCHAINED: per_call(plain.write, _LINE),
            "a lock and a write": per_call(_write_bare, descriptor),
        }
        yield Contest(measures, floor=UNCHAINED, targets={"µs": over_floor(20)})
        os.close(descriptor)


@bench(rounds=15)
def durable_line_of_a_journal() -> Iterator[Contest]:
    """A job's end, on the disk when the call returns; and with its head kept in a file. By the clock on the wall."""
    with TemporaryDirectory(prefix="flcore-bench-") as folder:
        chained, plain = (JournalFile(Path(folder, str(on)), MIB_10, 5, chained=on) for on in (True, False))
        heads = AuditHead((HeadFile(Path(folder, "heads")),))
        measures = {
            "flcore": partial(_timed, partial(chained.write, _LINE, durable=True)),
            "with heads in a file": partial(_timed, lambda: heads.keep(chained.write(_LINE, durable=True), "site-1")),
            UNCHAINED: partial(_timed, partial(plain.write, _LINE, durable=True)),
        }
        yield Contest(measures, floor=UNCHAINED)


@bench(rounds=15)
def launch_with_a_journal() -> Iterator[Contest]:
    """A job's launch and end in a fake runtime, all of the process's time: with a journal, with heads, with neither."""
    with TemporaryDirectory(prefix="flcore-bench-") as folder:
        kept = JobJournal(audit_head={"file": f"{folder}/heads"})
        journals = {"flcore": JobJournal(), "with heads in a file": kept, "no journal": None}
        runtimes = {name: FakeRuntime() for name in journals}
        with ExitStack() as stack:
            sites = {
                name: stack.enter_context(_site(Path(folder, name), runtimes[name], journal))
                for name, journal in journals.items()
            }
            numbers = count()
            measures = {name: partial(_launch_some, site, runtimes[name], numbers) for name, site in sites.items()}
            yield Contest(measures, floor="no journal")


@bench(cases=(100_000,), rounds=7)
def check_of_a_journal(lines: int) -> Iterator[Contest]:
    """All lines of a journal are checked; the floor reads and hashes them."""
    with TemporaryDirectory(prefix="flcore-bench-") as folder:
        path = Path(folder, "journal.jsonl")
        file = JournalFile(path, 1 << 30, 5, chained=True)
        for _ in range(lines):
            file.write(_LINE)
        file.close()
        measures = {"flcore": partial(_seconds, check_journal, path), HASHING: partial(_seconds, _hash_all, path)}
        yield Contest(measures, floor=HASHING, targets={"s": at_most(2)})


def _write_bare(descriptor: int) -> None:
    line = json.dumps(_LINE).encode() + b"\n"
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    os.write(descriptor, line)
    fcntl.flock(descriptor, fcntl.LOCK_UN)


def _site(folder: Path, runtime: FakeRuntime, journal: JobJournal | None) -> Site:
    launcher = ClientDockerJobLauncher(image="img", runtime=runtime)
    return Site("site-1", {**({"journal": journal} if journal else {}), "launcher": launcher}, workspace=folder)


def _launch_some(site: Site, runtime: FakeRuntime, numbers: Iterator[int]) -> Mapping[str, float]:
    began = time.process_time()
    for number in islice(numbers, LAUNCHES):
        handle = site.launch_job({"name": "digits", "job_id": f"job-{number}"}, _ARGS)
        runtime.exit(f"site-1-job-{number}")
        handle.wait()
    return {"ms": (time.process_time() - began) / LAUNCHES * 1e3}


def _timed(call: Callable[[], object], times: int = 50) -> Mapping[str, float]:
    began = time.perf_counter()
    for _ in range(times):
        call()
    return {"ms": (time.perf_counter() - began) / times * 1e3}


def _seconds(call: Callable[..., object], path: Path) -> Mapping[str, float]:
    began = time.process_time()
    call(path)
    return {"s": time.process_time() - began}


def _hash_all(path: Path) -> None:
    with path.open("rb") as file:
        for line in file:
            sha256(line).hexdigest()
