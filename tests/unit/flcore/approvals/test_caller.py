"""Who approves is said by the operating system."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from flcore.approvals import caller as module
from flcore.approvals.caller import Caller, caller, caller_of


def test_a_user_without_a_name_has_a_number() -> None:
    assert caller_of(0) == Caller(0, "root")
    assert caller_of(3_999_999_999) == Caller(3_999_999_999, "3999999999")


@pytest.mark.parametrize(("noted", "uid"), [("1234\n", 1234), ("4294967295", os.getuid()), ("odd", os.getuid())])
def test_who_has_logged_in_counts_whoever_they_are_now(
    noted: str, uid: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "loginuid").write_text(noted)
    monkeypatch.setattr(module, "_LOGIN", tmp_path / "loginuid")
    assert caller().uid == uid


def test_where_nobody_notes_that_it_is_who_runs_the_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_LOGIN", tmp_path / "not-there")
    monkeypatch.setenv("USER", "somebody-else")
    monkeypatch.setenv("SUDO_UID", "12")
    assert caller().uid == os.getuid()
