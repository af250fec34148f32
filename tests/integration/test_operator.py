"""What an operator does about jobs on a real engine, whose site runs in another process, or was killed."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import uuid
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from launchers.container_spec import LABEL_JOB_ID, LABEL_SITE

from .conftest import IMAGE, NETWORK, until
from .test_command import ROOT

PARENT = """
import sys
from flcore import Site

with Site.from_config(sys.argv[1]) as site:
    handle = site.launch_job({"job_id": sys.argv[2], "name": "counting"})
    handle.enter_states(["running"])
    print("running", flush=True)
    handle.wait()
    result = handle.result
    print(result.return_code.name, result.ended_by, flush=True)
"""
NEXT_START = """
import sys
from flcore import Site

with Site.from_config(sys.argv[1]) as site:
    [handle] = site.jobs().values()
    handle.wait()
    print(handle.result.return_code.name, handle.result.ended_by, flush=True)
"""
COUNTING = "import time\nfor n in range(600): print('count', n, flush=True); time.sleep(0.1)"


class Operator:
    """One site's config, processes of the site, and the commands about it."""

    def __init__(self, client: Any, folder: Path, stack: ExitStack) -> None:
        self.client = client
        self.folder = folder
        self.job_id = f"job-{uuid.uuid4().hex[:8]}"
        self._stack = stack
        self.config = folder / "site-1.json"
        args = {"command": ["python3", "-c", COUNTING], "image": IMAGE, "network": NETWORK, "stop_grace": 1}
        launcher = {"id": "launcher", "path": "tests.integration.conftest.CommandLauncher", "args": args}
        parts = [{"id": "journal", "name": "JobJournal"}, launcher]
        self.config.write_text(json.dumps({"site": "site-1", "workspace": "site-1", "components": parts}))

    def process(self, script: str = PARENT) -> subprocess.Popen[str]:
        """Start a process of the site."""
        command = [sys.executable, "-c", script, str(self.config), self.job_id]
        process = self._stack.enter_context(subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True))
        self._stack.callback(process.kill)
        return process

    def launched(self) -> subprocess.Popen[str]:
        """Return a process of the site whose job runs."""
        process = self.process()
        assert process.stdout
        assert process.stdout.readline() == "running\n"
        return process

    def killed(self) -> None:
        """Launch a job, and kill the site's process while it runs and its journal tells so."""
        process = self.launched()
        journal = self.folder / "site-1/.flcore/journal.jsonl"
        until(lambda: '"running"' in journal.read_text())
        process.kill()
        process.wait()

    def start(self, *words: str) -> subprocess.Popen[str]:
        command = [sys.executable, "-m", "flcore", *words]
        pipes: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
        process = self._stack.enter_context(subprocess.Popen(command, cwd=ROOT, **pipes))
        self._stack.callback(process.kill)
        return process

    def flcore(self, command: str, *words: str) -> tuple[int, str]:
        """Run a command about the site; return its status and what it has printed."""
        process = self.start(command, "--site", str(self.config), *words)
        out, err = process.communicate(timeout=60)
        assert err == ""
        return process.returncode, out

    def job(self) -> dict[str, Any]:
        _, out = self.flcore("ps", "--json", self.job_id)
        [job] = map(json.loads, out.splitlines())
        return dict(job)

    def containers(self) -> list[str]:
        filters = {"label": f"{LABEL_JOB_ID}={self.job_id}"}
        return [entry["Id"] for entry in self.client.api.containers(all=True, filters=filters)]


@pytest.fixture
def operator(docker_client: Any, tmp_path: Path) -> Iterator[Operator]:
    with ExitStack() as stack:
        operator = Operator(docker_client, tmp_path, stack)
        stack.callback(_remove, operator)
        yield operator


def _remove(operator: Operator) -> None:
    for container_id in operator.containers():
        operator.client.api.remove_container(container_id, force=True)


def test_a_job_whose_site_was_killed_is_still_running_and_nobody_follows_it(operator: Operator) -> None:
    operator.killed()
    job = operator.job()
    assert (job["state"], job["has_parent"], job["name"]) == ("running", False, "counting")
    assert "no process of its site follows it" in job["reason"]


def test_a_job_is_found_by_its_container_alone(operator: Operator) -> None:
    operator.killed()
    process = operator.start(
        "ps", "--json", "--workspace", str(operator.folder / "site-1" / ".flcore"), operator.job_id
    )
    out, _ = process.communicate(timeout=60)
    [job] = map(json.loads, out.splitlines())
    assert (job["state"], job["workspace"]) == ("running", str(operator.folder / "site-1"))


def test_the_output_of_a_running_job_is_followed_until_its_end(operator: Operator) -> None:
    operator.launched()
    following = operator.start("logs", "--site", str(operator.config), operator.job_id, "--follow")
    assert following.stdout
    assert [following.stdout.readline() for _ in range(5)] == [f"count {n}\n" for n in range(5)]
    operator.flcore("stop", operator.job_id)
    rest, err = following.communicate(timeout=30)
    assert (following.returncode, err) == (0, "")
    assert [line.split()[0] for line in rest.splitlines()] == ["count"] * len(rest.splitlines())
    until(lambda: not operator.containers())
    _, kept = operator.flcore("logs", operator.job_id, "--tail", "1")
    assert kept == "".join(rest.splitlines(keepends=True)[-1:])


def test_ctrl_c_ends_following_and_nothing_else(operator: Operator) -> None:
    operator.launched()
    following = operator.start("logs", "--site", str(operator.config), operator.job_id, "--follow", "--tail", "1")
    assert following.stdout
    following.stdout.readline()
    following.send_signal(signal.SIGINT)
    _, err = following.communicate(timeout=30)
    assert (following.returncode, err) == (130, "")
    assert operator.job()["state"] == "running"


def test_a_living_site_learns_who_has_ended_its_job(operator: Operator) -> None:
    process = operator.launched()
    status, out = operator.flcore("stop", operator.job_id)
    told, _ = process.communicate(timeout=30)
    assert told.startswith("ABORTED flcore stop (user ")
    assert (status, out.startswith(f"site-1/{operator.job_id}: ABORTED (exit code ")) == (0, True)
    assert operator.containers() == []


def test_the_next_start_of_a_killed_site_learns_it_too(operator: Operator) -> None:
    operator.killed()
    status, out = operator.flcore("stop", operator.job_id)
    assert (status, out.rstrip().endswith("its site's next start tells of it as ABORTED")) == (0, True)
    told, _ = operator.process(NEXT_START).communicate(timeout=60)
    assert told.startswith("ABORTED flcore stop (user ")
    job = operator.job()
    assert (job["state"], job["result"]["return_code"]) == ("exited", "ABORTED")
    assert operator.containers() == []


def test_gc_leaves_what_is_on_record_and_what_is_not_ours(operator: Operator) -> None:
    operator.killed()
    foreign = operator.client.api.create_container(
        IMAGE, ["true"], labels={LABEL_SITE: "x", LABEL_JOB_ID: operator.job_id}
    )
    operator.client.api.start(foreign["Id"])
    operator.client.api.wait(foreign["Id"])
    operator.flcore("stop", operator.job_id)
    status, out = operator.flcore("gc", "--older-than", "0s")
    assert (status, out.splitlines()) == (
        0,
        [line for line in out.splitlines() if line.startswith("left") and "on its site's record" in line],
    )
    assert len(operator.containers()) == 2


def test_gc_removes_what_is_nobodys(operator: Operator) -> None:
    operator.killed()
    operator.flcore("stop", operator.job_id)
    for record in (operator.folder / "site-1/.flcore/jobs").iterdir():
        record.unlink()
    assert operator.flcore("gc", "--dry-run", "--older-than", "0s")[1].startswith("would remove")
    assert len(operator.containers()) == 1
    assert operator.flcore("gc", "--older-than", "0s")[1].startswith("removed")
    assert operator.containers() == []


def test_a_watch_tells_every_state_and_ends_by_ctrl_c(operator: Operator) -> None:
    first = operator.launched()
    watching = operator.start("ps", "--watch", "--json", "--site", str(operator.config))
    assert states_until("running", watching) == ["running"]  # from now on it looks
    operator.flcore("stop", operator.job_id)
    states_until("ABORTED", watching)
    first.wait(timeout=30)
    operator.launched()
    operator.flcore("stop", operator.job_id)
    states = states_until("ABORTED", watching)
    watching.send_signal(signal.SIGINT)
    _, err = watching.communicate(timeout=30)
    assert (watching.returncode, err) == (130, "")
    assert [state for state in states if state != "launching"] == ["created", "running", "ABORTED"]


def states_until(last: str, watching: subprocess.Popen[str]) -> list[str]:
    """Return the states that a watch tells, up to one."""
    assert watching.stdout
    states: list[str] = []
    while last not in states:
        states.append(json.loads(watching.stdout.readline())["state"])
    return states


def test_no_engine_at_all_is_told_and_is_no_failure(operator: Operator) -> None:
    command = [sys.executable, "-m", "flcore", "ps", "--workspace", str(operator.folder)]
    environment = {**os.environ, "DOCKER_HOST": "unix:///no/such/socket"}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, len(done.stdout.splitlines())) == (0, 1)
    warning, looked = done.stderr.splitlines()
    assert warning.startswith("flcore: warning: Docker Engine does not answer")
    assert looked.startswith(
        f"flcore: no job here: looked in {operator.folder}; asked Docker Engine at unix:///no/such"
    )


def test_a_job_is_found_on_the_engine_that_its_site_has_used_by_who_names_none(operator: Operator) -> None:
    operator.killed()
    command = [sys.executable, "-m", "flcore", "ps", "--json", "--workspace", str(operator.folder), operator.job_id]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("DOCKER_")}
    environment["DOCKER_CONFIG"] = str(operator.folder)  # where no context is
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    [job] = map(json.loads, done.stdout.splitlines())
    assert (job["state"], job["container"]["listed"]) == ("running", True)
