"""The `flcore` command on a real engine, as a user types it."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from launchers.container_spec import LABEL_JOB_ID
from tests.environments import demo_config

from .conftest import IMAGE, NETWORK

ROOT = Path(__file__).parents[2]
SITES = [part for name in ("server", "site-1", "site-2") for part in ("--site", f"configs/docker/{name}.json")]
FLCORE = [sys.executable, "-m", "flcore"]


@pytest.fixture
def running(docker_client: Any, tmp_path: Path) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """A demo job all of whose containers run, and its id."""
    command = [*FLCORE, "run", "configs/jobs/digits", *SITES, "--workspace", str(tmp_path), "--json"]
    with subprocess.Popen(
        command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    ) as process:
        assert process.stdout
        started: set[str] = set()
        while len(started) < 3:
            change = json.loads(process.stdout.readline())
            if change["state"] == "running":
                started.add(change["site"])
        yield process, change["job_id"]
    listed = docker_client.api.containers(all=True, filters={"label": f"{LABEL_JOB_ID}={change['job_id']}"})
    assert listed == []


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)])
def test_ctrl_c_ends_every_container_and_leaves_nothing(
    running: tuple[subprocess.Popen[str], str], number: signal.Signals, status: int
) -> None:
    process, _ = running
    process.send_signal(number)
    out, _ = process.communicate(timeout=30)
    assert process.returncode == status
    ends = [change for change in map(json.loads, out.splitlines()) if change["state"] == "exited"]
    assert {change["result"]["return_code"] for change in ends} == {"ABORTED"}
    assert {change["site"] for change in ends} == {"server", "site-1", "site-2"}


def test_json_output_is_nothing_but_json(running: tuple[subprocess.Popen[str], str]) -> None:
    process, job_id = running
    out, err = process.communicate(timeout=120)
    lines = [json.loads(line) for line in out.splitlines()]
    assert (process.returncode, err) == (0, "")
    assert {line["event"] for line in lines[:-1]} == {"state_change"}
    assert (lines[-1]["event"], lines[-1]["job_id"], lines[-1]["succeeded"]) == ("results", job_id, True)


def test_check_says_that_all_is_there(tmp_path: Path) -> None:
    done = flcore("check", *(demo_config(name, tmp_path) for name in ("server", "site-1")))
    assert (done.returncode, done.stderr) == (0, "")
    assert f"network: {NETWORK}" in done.stdout
    assert f"image: {IMAGE}" in done.stdout


def test_check_says_what_is_missing_and_how_to_get_it(tmp_path: Path) -> None:
    args = {"image": "no-such-image:1", "network": "no-such-network", "datasets": {"digits": "/no/such/file"}}
    launcher = {"id": "launcher", "path": "launchers.docker_launcher.ClientDockerJobLauncher", "args": args}
    config = tmp_path / "site-1.json"
    config.write_text(json.dumps({"site": "site-1", "components": [launcher]}))
    done = flcore("check", str(config))
    assert done.returncode == 1
    missing = [line.split() for line in done.stdout.splitlines() if "MISSING" in line]
    assert [line[2] for line in missing] == ["network:", "image:", "dataset"]
    assert re.search(r"make it with: (docker|podman) network create no-such-network", done.stdout)


def test_check_says_that_no_engine_answers(tmp_path: Path) -> None:
    args = {"image": IMAGE, "docker_host": f"unix://{tmp_path}/no.sock"}
    launcher = {"id": "launcher", "path": "launchers.docker_launcher.ClientDockerJobLauncher", "args": args}
    config = tmp_path / "site-1.json"
    config.write_text(json.dumps({"site": "site-1", "components": [launcher]}))
    done = flcore("check", str(config))
    assert done.returncode == 1
    assert "MISSING  launcher: engine: Docker Engine unix://" in done.stdout
    assert "does not answer" in done.stdout


def flcore(*args: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*FLCORE, *args], cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)
