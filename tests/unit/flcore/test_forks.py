"""A process that forks: its child has copies of a site and of handles, and none of the threads that make them work."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from flcore.errors import ForkedError
from flcore.forks import OwnProcess
from launchers.runtime.fake import FakeRuntime

from ...forker import leases_of, site_of

TIMEOUT = 60.0


class Forked(NamedTuple):
    """A killed process of a site, whose forked child lives."""

    workspace: Path
    outcomes: dict[str, Any]
    """What the copies in another child of it were good for."""
    parents: list[str]
    """Who had a file that says that it lives, when that child had ended."""


@pytest.fixture(scope="module")
def forked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Forked]:
    workspace = tmp_path_factory.mktemp("workspace")
    command = [sys.executable, "-m", "tests.forker", str(workspace)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        outcomes = json.loads(process.stdout.readline())
        parents = process.stdout.readline().split()[1:]
        assert process.stdout.readline().startswith("forked")
        process.kill()
        process.wait(TIMEOUT)
        yield Forked(workspace, outcomes, parents)  # the child ends with the pipe to its standard input


FORKED = [
    "poll",
    "wait",
    "enter_states",
    "terminate",
    "logs",
    "follow",
    "usage",
    "add_done_callback",
    "site.start",
    "site.launch_job",
    "site.abort_job",
    "site.jobs",
    "launcher.launch_job",
    "launcher.abort_launch",
]


@pytest.mark.parametrize("call", FORKED)
def test_a_copy_in_a_forked_child_says_that_it_is_one_and_does_not_hang(forked: Forked, call: str) -> None:
    assert forked.outcomes[call] == "ForkedError"


@pytest.mark.parametrize("call", ["poll", "wait"])
def test_what_had_ended_before_the_fork_is_told_in_the_child_too(forked: Forked, call: str) -> None:
    told = {name: outcome for name, outcome in forked.outcomes.items() if name.startswith(call)}
    assert "EXECUTION_ERROR" in told[f"{call} {'for' if call == 'wait' else 'of'} what had ended"]


@pytest.mark.parametrize("call", ["launcher.close", "site.close"])
def test_closing_in_a_forked_child_ends_without_an_error(forked: Forked, call: str) -> None:
    assert forked.outcomes[call] == "None"


def test_a_forked_child_that_closes_its_copy_leaves_the_parents_file_alone(forked: Forked) -> None:
    assert len(forked.parents) == 1


def test_a_forked_child_may_have_a_site_of_its_own(forked: Forked) -> None:
    assert "UNKNOWN" in forked.outcomes["a site of its own"]


def test_the_jobs_of_a_killed_process_are_found_though_its_forked_child_lives(forked: Forked) -> None:
    site = site_of(forked.workspace, FakeRuntime())
    site.start()
    try:
        assert "a" in site.jobs()
    finally:
        site.close()


def test_a_lease_of_a_killed_process_is_over_though_its_forked_child_lives(forked: Forked) -> None:
    assert leases_of(forked.workspace).holders() == {}


# --- whose something is ---


def test_what_nobody_has_used_is_nobodys() -> None:
    process = OwnProcess("it")
    process.check()
    assert not process.is_another


def test_an_error_names_both_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    process = OwnProcess("it")
    process.claim()
    monkeypatch.setattr("os.getpid", lambda: 2)
    with pytest.raises(ForkedError, match=r"^it belongs to process \d+, of which this one, 2, is a fork; use it there"):
        process.check()


def test_what_was_let_go_may_be_used_by_another(monkeypatch: pytest.MonkeyPatch) -> None:
    process = OwnProcess("it")
    process.claim()
    process.let_go()
    monkeypatch.setattr("os.getpid", lambda: 2)
    process.claim()


def test_a_fork_cannot_let_go_of_what_is_its_parents(monkeypatch: pytest.MonkeyPatch) -> None:
    process = OwnProcess("it")
    process.claim()
    monkeypatch.setattr("os.getpid", lambda: 2)
    process.let_go()
    assert process.is_another
