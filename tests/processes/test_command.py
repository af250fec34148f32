"""The ``flcore`` command as a process of its own: what it says where, and its exit status."""

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.tiny_job import write_job, write_site


@pytest.fixture(autouse=True)
def _in_a_folder_of_its_own(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)


def command(*words: str) -> list[str]:
    return [sys.executable, "-m", "flcore", *words]


def a_run(**job: Any) -> list[str]:
    """Write a job, a server and a client, and return the command that runs it."""
    return command(
        "run", write_job(Path("tiny"), **job), "--site", write_site("server"), "--site", write_site("site-1")
    )


@pytest.mark.parametrize(
    ("broken", "told"),
    [
        ({"client": "raise ValueError('no column 7')", "min_clients": 0}, "ValueError: no column 7"),
        ({"resource_spec": {"site-1": {"memory": "lots"}}}, "resource_spec.site-1.memory"),
    ],
)
@pytest.mark.parametrize("option", [[], ["--verbose"]])
def test_a_run_tells_a_failure_once_and_again_only_to_who_asks_for_the_log(
    broken: dict[str, Any], told: str, option: list[str]
) -> None:
    done = subprocess.run([*a_run(**broken), *option], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout.count(told)) == (1, 1)
    assert done.stderr.count(told) == (1 if option else 0)


def test_an_engine_that_is_away_is_told_once() -> None:
    args = {"image": "job:1", "docker_host": "unix:///nowhere/docker.sock"}
    launcher = {"id": "launcher", "name": "ClientDockerJobLauncher", "args": args}
    config = {"site": "site-1", "workspace": "work/site-1", "components": [launcher]}
    Path("site-1.json").write_text(json.dumps(config))
    words = command("run", write_job(Path("tiny")), "--site", "site-1.json")
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout.count("does not answer"), done.stderr) == (1, 1, "")


def test_as_a_command_it_logs_to_standard_error_only() -> None:
    done = subprocess.run([*a_run(), "--json", "-vv"], capture_output=True, text=True, check=True)
    assert all(json.loads(line) for line in done.stdout.splitlines())
    logged = r"^INFO launchers\.tracking\.job_watcher: job tiny-\w+ .*: running -> exited$"
    assert re.search(logged, done.stderr, re.MULTILINE)


def test_who_reads_no_further_gets_no_traceback() -> None:
    words = command("check", *[write_site("server"), write_site("site-1")] * 200)
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout
        assert process.stderr
        process.stdout.readline()
        process.stdout.close()
        assert process.stderr.read() == b""
        assert process.wait(60) == 141


def test_an_error_class_is_had_without_all_the_rest() -> None:
    asked = "import sys; from flcore import JobRejectedError; print('flcore.site' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", asked], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"
