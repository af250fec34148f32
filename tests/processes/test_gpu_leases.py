"""Leases of GPUs: never one device twice, and none lost, whoever is killed at whatever moment."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from launchers.records.gpu_leases import GpuLeases
from launchers.records.job_record import JobIdentity

IDS = ("0", "1", "2", "3")
ROOT = Path(__file__).parents[2]


def test_processes_that_are_killed_at_any_moment_never_have_one_device_twice(tmp_path: Path) -> None:
    """Each marks a device that it has by a file of its own making: whoever finds one there has found a device twice."""
    story = run_taker("contend", tmp_path)
    assert story["doubles"] == []
    assert story["taken"] > 20
    assert story["killed"] > 3
    last = GpuLeases(tmp_path / "gpus", lambda: IDS).take(4, JobIdentity("last", "site-9", "site-9-last", "0"), None)
    assert last.names == IDS


@pytest.mark.parametrize("how", ["with-record", "without-record"])
def test_a_parent_that_is_killed_between_any_two_steps_loses_no_device(how: str, tmp_path: Path) -> None:
    """After each death the record is removed, as the next life does: then all devices can be had."""
    story = run_taker(how, tmp_path)
    assert story["wrong"] == []
    assert story["deaths"] > 10


def run_taker(what: str, folder: Path) -> dict[str, Any]:
    command = [sys.executable, "-m", "tests.gpu_taker", what, str(folder)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    story: dict[str, Any] = json.loads(done.stdout)
    return story
