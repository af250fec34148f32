"""The file of approvals: whole lines, that nobody but their writer made, and all of them."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from flcore.approvals.approvals_file import APPROVE, DENY, Approval, ApprovalsFile
from flcore.errors import ConfigError
from tests.environments import ROOT
from tests.thoroughness import tries

FINGERPRINT = "a" * 64


def approval(number: int = 0, verdict: str = APPROVE) -> Approval:
    return Approval(verdict, FINGERPRINT, 1000 + number, "alice", 1.5, until=9.0, study="cardio", note=f"nr. {number}")


@pytest.fixture
def file(tmp_path: Path) -> ApprovalsFile:
    return ApprovalsFile(tmp_path / ".flcore")


def test_there_is_none_before_somebody_approves(file: ApprovalsFile) -> None:
    assert (file.read(), file.stamp()) == ([], None)


def test_what_was_added_is_there_in_its_order(file: ApprovalsFile) -> None:
    for number, verdict in enumerate((APPROVE, DENY, APPROVE)):
        file.add(approval(number, verdict))
    assert file.read() == [approval(0), approval(1, DENY), approval(2)]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root approves for other users' sites")
def test_what_root_approves_the_sites_user_can_read_and_add_to(file: ApprovalsFile) -> None:
    file.path.parent.mkdir()
    os.chown(file.path.parent, 4242, 4243)
    file.add(approval())
    owners = {path.name: (path.stat().st_uid, path.stat().st_gid) for path in file.path.parent.iterdir()}
    assert owners == {"approvals.jsonl": (4242, 4243), ".approvals.jsonl.lock": (4242, 4243)}


def test_it_is_closed_to_others(file: ApprovalsFile) -> None:
    before = os.umask(0)
    try:
        file.add(approval())
    finally:
        os.umask(before)
    assert file.path.stat().st_mode & 0o777 == 0o600


def test_each_line_more_is_seen_by_its_stamp(file: ApprovalsFile) -> None:
    file.add(approval())
    before = file.stamp()
    file.add(approval())
    assert file.stamp() != before


def test_half_a_line_is_no_approval_and_no_obstacle(file: ApprovalsFile) -> None:
    file.add(approval(0))
    with file.path.open("ab") as torn:
        torn.write(b'{"verdict": "approve", "fingerprint": "')
    assert file.read() == [approval(0)]
    file.add(approval(1))
    assert file.read() == [approval(0), approval(1)]


@pytest.mark.parametrize(
    "line",
    [
        b"{}",
        b"[]",
        b"no JSON",
        b'{"verdict": "maybe", "fingerprint": "a", "uid": 1, "user": "a", "time": 1}',
        b'{"verdict": "deny", "fingerprint": "a", "uid": "1", "user": "a", "time": 1}',
        b'{"verdict": "deny", "fingerprint": 7, "uid": 1, "user": "a", "time": 1}',
        b'{"verdict": "deny", "fingerprint": "a", "uid": 1, "user": "a", "time": 1, "until": "tomorrow"}',
    ],
)
def test_a_line_that_is_none_approves_nothing_and_is_told_by_its_number(file: ApprovalsFile, line: bytes) -> None:
    file.add(approval())
    with file.path.open("ab") as odd:
        odd.write(line + b"\n")
    with pytest.raises(ConfigError, match=r"line 2 is no approval .*nothing is approved while it stands there"):
        file.read()


def test_what_a_later_version_has_added_to_a_line_is_passed_over(file: ApprovalsFile) -> None:
    file.path.parent.mkdir()
    file.path.write_bytes(
        b'{"verdict": "deny", "fingerprint": "a", "uid": 1, "user": "b", "time": 1, "by_phone": true}\n'
    )
    assert file.read() == [Approval(DENY, "a", 1, "b", 1)]


def test_three_users_at_once_lose_nothing(file: ApprovalsFile) -> None:
    def approve(user: int) -> None:
        for _ in range(20):
            ApprovalsFile(file.path.parent).add(approval(user))

    users = [threading.Thread(target=approve, args=(user,)) for user in range(3)]
    for user in users:
        user.start()
    for user in users:
        user.join()
    assert sorted(one.uid for one in file.read()) == [1000] * 20 + [1001] * 20 + [1002] * 20


def test_users_who_are_killed_at_any_moment_lose_and_invent_nothing() -> None:
    command = [sys.executable, "-m", "tests.approval_kills", str(tries(200))]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stdout
    assert done.stdout.endswith("lost or invented: 0\n")
    # One who dies within a write may leave a part of a line, which the next one cuts off.
    assert set(done.stderr.splitlines()) <= {"the journal's last line is not whole: it is cut off"}
