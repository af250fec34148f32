"""What jobs and parents of NVIDIA FLARE's write where a job has no private key and needs one, taken from real ones."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from launchers.flare.key_trouble import of_job, of_parent, perhaps_of_job

JOB = "04086b3d-47a2-4e7b-82ef-26bfbcd00d2e"
WAY_OUT = "jobs that send each other secure messages need the site's private key at each of their sites"
HEAD = (
    "2026-11-29 13:27:31,839 - CoreCell - ERROR - [ME=site-1.:cd00d2e O=site-2.:cd00d2e D=site-1.:cd00d2e F=site-1 "
    "T=site-1.:cd00d2e CH=sm__STREAM TP=sm__DATA SCH=aux_communication STP=greeting SEQ=0] "
    "Error processing received message: "
)
TRACEBACK = """
2026-11-29 13:27:31,841 - CoreCell - ERROR - Traceback (most recent call last):
  File "/usr/lib/python3/site-packages/nvflare/fuel/f3/cellnet/core_cell.py", line 1800, in process_message
    self._process_received_msg(endpoint, connection, message)
  File "/usr/lib/python3/site-packages/nvflare/fuel/f3/cellnet/cell_cipher.py", line 238, in decrypt
    {call}
{error}
"""
UNSIGNED = f"{HEAD}InvalidSignature: " + TRACEBACK.format(
    call="_verify(public_key, version + nonce + key_enc + encrypted, signature)",
    error="cryptography.exceptions.InvalidSignature",
)
UNREADABLE = f"{HEAD}ValueError: Decryption failed" + TRACEBACK.format(
    call="key = _asym_dec(self._pri_key, key_enc)", error="ValueError: Decryption failed"
)
ANOTHER = f"{HEAD}ValueError: no such thing" + TRACEBACK.format(call="", error="").replace("cell_cipher", "cell")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path


@pytest.mark.parametrize("name", ["error_log.txt", "site-1.log"])
@pytest.mark.parametrize(
    ("written", "reason"),
    [
        (UNSIGNED, "a secure message of site-2's job is not signed by the private key of that site"),
        (UNREADABLE, "a secure message of site-2's job cannot be read without this site's private key"),
        (ANOTHER + UNREADABLE, "a secure message of site-2's job cannot be read without this site's private key"),
        (
            UNSIGNED.replace("O=site-2.:cd00d2e", f"O=relay.site-2.{JOB}"),
            "a secure message of site-2's job is not signed by the private key of that site",
        ),
        (
            UNSIGNED.replace("\n", "\x1b[0m\n\x1b[31m"),
            "a secure message of site-2's job is not signed by the private key of that site",
        ),
    ],
)
def test_a_job_writes_which_key_is_missing(folder: Path, name: str, written: str, reason: str) -> None:
    (folder / name).write_text("2026-11-29 - Trainer - INFO - begins\n" * 9 + written)
    assert of_job(folder, name) == f"{reason}: {WAY_OUT} ('private_key' of the launcher)"


def test_who_only_got_no_answer_to_a_task_may_miss_a_key(folder: Path) -> None:
    line = (
        "SwarmClientController - ERROR - [identity=site-2] - bad response for learn request from client site-1: ERROR"
    )
    (folder / "error_log.txt").write_text(f"{line}\n")
    assert perhaps_of_job(folder, "error_log.txt").startswith("client site-1's part has not taken a task")
    assert WAY_OUT in perhaps_of_job(folder, "error_log.txt")
    assert of_job(folder, "error_log.txt") == ""


def test_an_end_is_enough_of_what_a_job_writes(folder: Path) -> None:
    (folder / "error_log.txt").write_text("x" * (1 << 20) + "\n" + UNSIGNED)
    assert "not signed" in of_job(folder, "error_log.txt")


@pytest.mark.parametrize("written", ["", ANOTHER, "InvalidSignature: \n", "\x00\xff" * 999, None])
def test_what_says_nothing_of_a_key_is_none_of_that(folder: Path, written: str | None) -> None:
    if written is not None:
        (folder / "error_log.txt").write_text(written)
    assert of_job(folder, "error_log.txt") == ""


def test_a_pipe_or_a_link_in_the_place_of_what_it_writes_hangs_and_leads_nowhere(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").write_text(UNSIGNED)
    (folder / "link").symlink_to(tmp_path / "elsewhere")
    os.mkfifo(folder / "pipe")
    assert (of_job(folder, "link"), of_job(folder, "pipe"), of_job(folder / "none", "x")) == ("", "", "")


def test_a_name_that_a_job_makes_up_is_shown_as_one_line_and_cut(folder: Path) -> None:
    (folder / "error_log.txt").write_text(UNSIGNED.replace("site-2.:", "\x07" + "x" * 999 + ".:"))
    reason = of_job(folder, "error_log.txt")
    assert "\x07" not in reason
    assert len(reason) < 400


EXCHANGE = (
    "unauthenticated msg (channel='credential_manager' topic='key_exchange') received from "
    f"site-2.{JOB}: missing client name"
)


LOGGED = HEAD[HEAD.index("[ME=") :]
"""As a parent's logger gets it."""


@pytest.mark.parametrize(
    ("message", "job"),
    [
        (EXCHANGE, JOB),
        (LOGGED + "InvalidSignature: ", "cd00d2e"),
        (LOGGED.replace("ME=site-1.:cd00d2e", "ME=server"), ""),
    ],
)
def test_a_parent_tells_of_which_job_it_has_refused_a_secure_message(message: str, job: str) -> None:
    trouble = of_parent(message)
    assert (trouble.job_id_end if trouble else "") == job
    assert trouble is None or WAY_OUT in trouble.reason


@pytest.mark.parametrize(
    "message",
    [
        "",
        "unauthenticated msg (channel='task' topic='x') received from site-2.a: no",
        f"job 1 says: {EXCHANGE}",
        f"job 1 says: {LOGGED}InvalidSignature: ",
    ],
)
def test_a_parent_tells_of_much_else(message: str) -> None:
    assert of_parent(message) is None
