"""Users who approve are killed at any moment, several at once: no approval may be lost, none invented.

``python -m tests.approval_kills 300`` kills so many, each while two others go on. A user is a process of its own that
adds one approval after the other, and says so when it is told that it was added. Where this process is root, each has
a user of the host of its own.
"""

from __future__ import annotations

import os
import random
import select
import signal
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from flcore.approvals.approvals_file import APPROVE, Approval, ApprovalsFile
from flcore.approvals.caller import caller

USERS = (1001, 1002, 1003)
LONGEST_LIFE = 0.02
"""Seconds until a user is killed, at most."""


@dataclass(frozen=True)
class User:
    """A process that approves."""

    uid: int
    pid: int
    says: int
    """The end of a pipe from which what it has added can be read."""


def begin(uid: int, run: int, folder: Path) -> User:
    """Have a user approve in a process of its own, until that is killed."""
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            if os.getuid() == 0:
                os.setresuid(uid, 0, 0)  # the real user is what counts; the effective one may write the site's files
            approve_for_ever(run, folder, writing)
        finally:
            os._exit(1)
    os.close(writing)
    return User(uid, pid, reading)


def approve_for_ever(run: int, folder: Path, writing: int) -> None:
    file, who = ApprovalsFile(folder), caller()
    for number in range(10**9):
        name = f"{run}-{number}"
        note = "x" * (number * 37 % 300)
        file.add(Approval(APPROVE, f"{run:064x}", who.uid, who.name, time.time(), note=note, name=name))
        os.write(writing, f"{name}\n".encode())


def end(user: User) -> list[str]:
    """Kill a user; return what it said that it has added."""
    os.kill(user.pid, signal.SIGKILL)
    os.waitpid(user.pid, 0)
    said = b""
    while select.select([user.says], [], [], 0)[0] and (some := os.read(user.says, 1 << 16)):
        said += some
    os.close(user.says)
    return said.decode().split()


def problems(folder: Path, said: dict[int, list[str]]) -> list[str]:
    """Return what is wrong, by what each run has said: what was lost, invented, twice, or of another user."""
    found: dict[int, list[str]] = {run: [] for run in said}
    wrong = []
    for approval in ApprovalsFile(folder).read():
        run = int(approval.fingerprint, 16)
        found[run].append(approval.name)
        if os.getuid() == 0 and approval.uid != USERS[run % len(USERS)]:
            wrong.append(f"{approval.name} is of uid {approval.uid}")
    for run, names in said.items():
        more = found[run][len(names) :]
        if found[run][: len(names)] != names or len(more) > 1 or (more and more != [f"{run}-{len(names)}"]):
            wrong.append(f"run {run}: said {names[-3:]}, found {found[run][-3:]}")
    return wrong


def kill_users(times: int, folder: Path) -> tuple[int, list[str]]:
    """Kill users so often; return how many approvals there are, and what is wrong."""
    chance = random.Random(19)
    users = {run: begin(USERS[run % len(USERS)], run, folder) for run in range(len(USERS))}
    said: dict[int, list[str]] = {}
    for run in range(len(USERS), times + len(USERS)):
        time.sleep(chance.uniform(0, LONGEST_LIFE))  # so that a kill comes at any moment of a life
        victim = run - len(USERS)
        said[victim] = end(users.pop(victim))
        users[run] = begin(USERS[run % len(USERS)], run, folder)
    said |= {run: end(user) for run, user in users.items()}
    return len(ApprovalsFile(folder).read()), problems(folder, said)


def main(args: Sequence[str]) -> int:
    times = int(args[0]) if args else 300
    with tempfile.TemporaryDirectory() as folder:
        count, wrong = kill_users(times, Path(folder))
    print(f"{times} users killed, three at once; {count} approvals; lost or invented: {len(wrong)}", *wrong, sep="\n")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
