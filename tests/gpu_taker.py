"""Processes that lease GPUs and are killed meanwhile: in an interpreter of its own, which has one thread and may fork.

Run as ``python -m tests.gpu_taker contend|with-record|without-record FOLDER``; prints a JSON object.
"""

from __future__ import annotations

import itertools
import json
import os
import random
import signal
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

from flcore.errors import NoGpuError
from launchers.records.gpu_leases import GpuLeases
from launchers.records.job_record import JobIdentity, RecordStore

IDS = ("0", "1", "2", "3")
STEPS = ("open", "fcntl.", "os.mkdir", "os.symlink", "os.remove", "os.listdir", "os.scandir")
"""What Python itself tells of, as an audit event, before it is done."""
SECONDS = 1.0
TAKERS = 4


def die_at_every_step(recorded: bool, folder: Path) -> dict[str, Any]:
    """Take two devices, one of which was leased before; each time be killed one step later."""
    wrong = []
    for step in itertools.count():
        place = folder / str(step)
        leases = GpuLeases(place / "gpus", lambda: IDS)
        died = in_child(partial(take_and_die, place, leases, step, recorded))
        held = leases.holders()
        if not set(held.values()) <= {"job late of site-1"}:
            wrong.append(f"step {step}: {held}")
        if held and not recorded:
            wrong.append(f"step {step}: without a record, {held}")
        if recorded and not died and len(held) != 2:
            wrong.append(f"all steps, but {held}")
        for record in place.glob("state/jobs/*"):
            record.unlink()
        if (taken := leases.take(4, JobIdentity("next", "site-1", "next", nonce="n"), None).names) != IDS:
            wrong.append(f"step {step}: {taken}")
        if not died:
            return {"wrong": wrong, "deaths": step}
    raise AssertionError("unreachable")


def take_and_die(place: Path, leases: GpuLeases, step: int, recorded: bool) -> None:
    store = RecordStore(place / "state")
    store.open()
    early = store.add("launcher", JobIdentity("early", "site-1", "early", nonce="n"))
    leases.take(1, JobIdentity("early", "site-1", "early", nonce="n"), early.path)
    early.forget()
    die_at(step)
    who = JobIdentity("late", "site-1", "late", nonce="n")
    record = store.add("launcher", who) if recorded else None
    leases.take(2, who, record.path if record else None)


def die_at(step: int) -> None:
    """Be killed before the step of this number, counted from here."""
    left = step

    def count(event: str, _: object) -> None:
        nonlocal left
        if event.startswith(STEPS):
            left -= 1
            if left < 0:
                os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(count)


def in_child(action: Callable[[], Any]) -> bool:
    """Run it in a fork of this process; whether that was killed."""
    child = os.fork()
    if child:
        status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        if status not in (0, -signal.SIGKILL):
            sys.exit(f"a child ended with {status}")
        return status != 0
    try:
        action()
        os._exit(0)
    finally:
        os._exit(1)


def contend(folder: Path) -> dict[str, Any]:
    """Have processes take devices without a pause; kill one now and then, and bury it as its next life would."""
    chance = random.Random(4)
    (folder / "marks").mkdir()
    takers = [start_taker(folder) for _ in range(TAKERS)]
    killed, until = 0, time.monotonic() + SECONDS
    while time.monotonic() < until:
        time.sleep(chance.uniform(0.01, 0.1))
        bury(folder, takers.pop(0))
        takers.append(start_taker(folder))
        killed += 1
    for taker in takers:
        bury(folder, taker)
    return {"doubles": read_lines(folder / "doubles"), "taken": len(read_lines(folder / "taken")), "killed": killed}


def start_taker(folder: Path) -> int:
    child = os.fork()
    if not child:
        try:
            take_for_ever(folder)
        finally:
            os._exit(1)
    return child


def take_for_ever(folder: Path) -> None:
    """Take devices, mark them for a moment as a job would use them, and give them back."""
    leases, me = GpuLeases(folder / "gpus", lambda: IDS), str(os.getpid())
    store = RecordStore(folder / me)
    store.open()
    for turn in itertools.count():
        who = JobIdentity(f"job-{turn}", me, me, nonce="n")
        record = store.add("launcher", who)
        with suppress(NoGpuError):
            for gpu_id in leases.take(1 + turn % 2, who, record.path).names:
                use(folder, gpu_id, me)
        record.forget()


def use(folder: Path, gpu_id: str, me: str) -> None:
    mark = folder / "marks" / gpu_id
    try:
        mark.symlink_to(me)
    except FileExistsError:
        add_line(folder / "doubles", f"{me} has {gpu_id}, and so has another")
        return
    add_line(folder / "taken", gpu_id)
    mark.unlink()


def bury(folder: Path, taker: int) -> None:
    """Kill a process; then it uses nothing any more, and then its records go."""
    os.kill(taker, signal.SIGKILL)
    os.waitpid(taker, 0)
    for mark in (folder / "marks").iterdir():
        with suppress(FileNotFoundError):  # another one has just given it back
            if str(mark.readlink()) == str(taker):
                mark.unlink()
    for record in (folder / str(taker) / "jobs").glob("*"):
        record.unlink()


def add_line(path: Path, line: str) -> None:
    with path.open("a") as file:
        file.write(line + "\n")


def read_lines(path: Path) -> list[str]:
    return path.read_text().splitlines() if path.exists() else []


if __name__ == "__main__":
    what, place = sys.argv[1], Path(sys.argv[2])
    print(json.dumps(contend(place) if what == "contend" else die_at_every_step(what == "with-record", place)))
