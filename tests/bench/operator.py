"""An operator's look: what it costs to know of all jobs, by a journal that is as long as it gets."""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from resource import RUSAGE_CHILDREN, getrusage
from subprocess import DEVNULL, run
from tempfile import TemporaryDirectory
from typing import Any

from flcore.disk.journal_file import JournalFile, read_journal
from launchers.operator.commands import job_ids
from launchers.operator.job_index import JobIndex
from launchers.operator.selection import sort
from launchers.operator.site_files import SiteFiles
from launchers.report.live import LivePage

from .framework import Contest, at_most, bench
from .timing import ROOT

PARSING = "parsing each line"
USAGES = 60
"""Lines of a job's that say what it has used: it ran for about an hour."""
_RESULT = {"return_code": "SUCCESS", "exit_code": 0, "signal": None, "oom_killed": False, "error": "", "ended_by": ""}
_REQUEST = {"Image": "x", "Env": ["A=B"] * 20, "HostConfig": {"Mounts": [{"Source": "/a", "Target": "/b"}] * 3}}


@bench(cases=(100, 1000, 5000), rounds=3, warm_up=0)
def looks_of_an_operator(jobs: int) -> Iterator[Contest]:
    """A journal of so many ended jobs: looks by one process, at a page too, and by processes of their own."""
    with TemporaryDirectory(prefix="flcore-bench-") as folder:
        site = SiteFiles(Path(folder, "workspace"))
        _write_journal(site, jobs)
        measures = {"flcore": partial(_look, site, jobs), PARSING: partial(_parse, site)}
        targets = {unit: at_most(20) for unit in ("ms again", "ms page again")} | {"ms after a line": at_most(50)}
        yield Contest(measures, floor=PARSING, targets=targets)


def _look(site: SiteFiles, jobs: int) -> dict[str, float]:
    index = JobIndex(lambda: [site])

    def look() -> None:
        sort(index.jobs())

    figures = {"ms first": _ms(look), "ms again": _ms(look)}
    page = LivePage(index)
    figures |= {"ms page": _ms(page.refresh), "ms page again": _ms(page.refresh)}
    file = JournalFile(site.journal, 1 << 30, 5)
    file.write(_of(jobs - 1, "usage", cpu_seconds=1.0, memory=1 << 28))
    file.close()
    return {
        **figures,
        "ms after a line": _ms(look),
        "ms ps, a process": _ms_of_process(site, "from flcore.cli import main; main(['ps'])"),
        "ms ps -a": _ms_of_process(site, "from flcore.cli import main; main(['ps', '-a'])"),
        "ms gc": _ms_of_process(site, "from flcore.cli import main; main(['gc', '--dry-run'])"),
        "ms stop, a process": _ms_of_process(site, "from flcore.cli import main; main(['stop', 'job-77'])"),
        "ms completion": _ms_of_process(site, _COMPLETION),
    }


_COMPLETION = f"""
from argparse import Namespace
from {job_ids.__module__} import {job_ids.__name__}
{job_ids.__name__}("job-1", Namespace(site=[], workspace=None))
"""


def _parse(site: SiteFiles) -> dict[str, float]:
    return {"ms first": _ms(lambda: sum(1 for _ in read_journal(site.journal)))}


def _ms(call: Callable[[], object]) -> float:
    began = time.process_time()
    call()
    return (time.process_time() - began) * 1e3


def _ms_of_process(site: SiteFiles, code: str) -> float:
    before = getrusage(RUSAGE_CHILDREN)
    run(
        [sys.executable, "-c", code],
        cwd=site.workspace.parent,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=DEVNULL,
        stderr=DEVNULL,
        check=True,
    )
    after = getrusage(RUSAGE_CHILDREN)
    return (after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime) * 1e3


def _write_journal(site: SiteFiles, jobs: int) -> None:
    (site.folder / "jobs").mkdir(parents=True)
    with site.journal.open("w") as file:
        for number in range(jobs):
            file.writelines(json.dumps(line) + "\n" for line in _lines_of(number))


def _lines_of(number: int) -> Iterator[dict[str, Any]]:
    yield _of(number, "launching", name="digits", parent="p")
    yield _of(number, "launched", request=_REQUEST)
    previous = None
    for state in ("created", "running", "exited"):
        names = {"container_name": f"c-{number}", "container_id": f"{number:064x}"}
        yield _of(number, "state_change", **names, previous=previous, state=state, result=None)
        previous = state
    for minute in range(USAGES):
        yield _of(number, "usage", cpu_seconds=float(minute), memory=1 << 28)
    yield _of(number, "completed", result={**_RESULT, "started_at": 1.7e9, "finished_at": 1.7e9 + 60})


def _of(number: int, event: str, **fields: Any) -> dict[str, Any]:
    return {"event": event, "time": 1.7e9 + 60 * number, "site": "site-1", "job_id": f"job-{number}", **fields}
