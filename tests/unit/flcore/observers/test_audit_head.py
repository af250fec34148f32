"""Where heads are kept: how often, in which form, and what is said of a place that takes none."""

from __future__ import annotations

import re
import socket
from pathlib import Path
from typing import Any

import pytest

from flcore.observers import audit_head
from flcore.observers.audit_head import AuditHead, HeadFile, HeadSyslog, head_keepers


def test_a_file_gets_a_line_for_each_with_its_time_and_may_be_rotated(tmp_path: Path) -> None:
    path = tmp_path / "heads"
    heads = AuditHead((HeadFile(path),))
    heads.keep("one", "site-1")
    heads.keep("two", "site-1")
    path.rename(tmp_path / "heads.1")
    heads.keep("three", "site-1")

    moment = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ"
    about = "flcore audit head of site-1:"
    assert re.fullmatch(f"{moment} {about} one\n{moment} {about} two\n", (tmp_path / "heads.1").read_text())
    assert re.fullmatch(f"{moment} {about} three\n", path.read_text())
    assert path.stat().st_mode & 0o777 == 0o640


def test_syslog_gets_it_by_a_name_of_ours(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as log:
        log.settimeout(10)
        log.bind(str(tmp_path / "log"))
        HeadSyslog(str(tmp_path / "log")).keep("flcore audit head of site-1: one")
        assert log.recv(100) == b"<38>flcore: flcore audit head of site-1: one\0"


def test_a_head_is_due_some_seconds_behind_the_last_one_and_never_without_a_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    heads = AuditHead((HeadFile(tmp_path / "heads"),))
    heads.keep("one", "site-1")
    assert not heads.is_due()
    monkeypatch.setattr(audit_head, "MOST_SECONDS", 0.0)
    assert heads.is_due()
    assert not AuditHead(()).is_due()


def test_a_place_that_takes_none_is_told_once_and_told_to_be_well_again(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = tmp_path / "away"
    heads = AuditHead((HeadFile(folder / "heads"),))
    for head in ("one", "two"):
        heads.keep(head, "site-1")
    folder.mkdir()
    for head in ("three", "four"):
        heads.keep(head, "site-1")

    assert caplog.messages == [
        f"the head of the journal cannot be kept: No such file or directory: {folder}/heads",
        "the head of the journal can be kept again",
    ]
    assert len((folder / "heads").read_text().splitlines()) == 2


def test_a_host_whose_name_nobody_knows_is_told(caplog: pytest.LogCaptureFixture) -> None:
    AuditHead((HeadSyslog(("no-such-host.invalid", 514)),)).keep("one", "site-1")
    [said] = caplog.messages
    assert said.startswith("the head of the journal cannot be kept: ")


@pytest.mark.parametrize(
    ("value", "keepers"),
    [
        (None, ()),
        ({}, ()),
        ({"file": "/a/heads"}, (HeadFile(Path("/a/heads")),)),
        ({"syslog": True}, (HeadSyslog("/dev/log"),)),
        ({"syslog": False}, ()),
        ({"syslog": "/run/log"}, (HeadSyslog("/run/log"),)),
        ({"syslog": "loghost:514"}, (HeadSyslog(("loghost", 514)),)),
        ({"syslog": "[fe80::1]:514"}, (HeadSyslog(("fe80::1", 514)),)),
        ({"file": "/a", "syslog": True}, (HeadFile(Path("/a")), HeadSyslog("/dev/log"))),
    ],
)
def test_a_config_names_the_places(value: Any, keepers: tuple[Any, ...]) -> None:
    assert head_keepers("audit_head", value) == keepers
