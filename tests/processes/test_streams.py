"""The command's standard streams: any text in any encoding, and what takes no more, with real processes."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

WORDS = "Übertragung ✓ 研究"


@pytest.fixture(autouse=True)
def _in_a_folder_of_its_own(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def job() -> list[str]:
    """A job that prints what is not ASCII, and the options that name its sites."""
    Path("job/app/custom").mkdir(parents=True)
    Path("job/meta.json").write_text('{"name": "tiny", "deploy_map": {"app": ["@ALL"]}}')
    for module in ("server", "client"):
        Path(f"job/app/custom/{module}.py").write_text(f"print({WORDS!r})\n", encoding="utf-8")
    options = ["job"]
    for site, kind in (("server", "Server"), ("site-1", "Client")):
        launcher = {"id": "launcher", "name": f"{kind}ProcessJobLauncher"}
        journal = {"id": "journal", "name": "JobJournal"}
        config = {"site": site, "workspace": f"workspace/{site}", "components": [journal, launcher]}
        Path(f"{site}.json").write_text(json.dumps(config))
        options += ["--site", f"{site}.json"]
    return options


def flcore(*args: str, **options: Any) -> subprocess.CompletedProcess[bytes]:
    """Run the command in a process of its own, whose output is none that Python knows UTF-8 of."""
    environment = os.environ | {"PYTHONIOENCODING": options.pop("encoding", "utf-8")}
    command = [sys.executable, "-m", "flcore", *args]
    stdout = options.pop("stdout", subprocess.PIPE)
    return subprocess.run(command, stdout=stdout, stderr=subprocess.PIPE, env=environment, check=False)


@pytest.mark.parametrize("encoding", ["ascii", "latin-1"])
def test_a_run_whose_jobs_print_what_the_terminal_cannot_show_succeeds(job: list[str], encoding: str) -> None:
    done = flcore("run", *job, encoding=encoding)

    assert (done.returncode, done.stderr) == (0, b"")
    assert WORDS.encode(encoding, errors="backslashreplace") in done.stdout


@pytest.mark.parametrize("command", [["logs", "tiny"], ["inspect", "server/tiny"], ["ps"], ["report", "-o", "-"]])
def test_every_command_escapes_what_the_terminal_cannot_show(job: list[str], command: list[str]) -> None:
    flcore("run", *job)
    done = flcore(*command, *job[1:], encoding="ascii")

    assert (done.returncode, done.stderr) == (0, b"")


def test_a_report_on_standard_output_is_in_the_encoding_that_it_says_itself(job: list[str]) -> None:
    Path("job/meta.json").write_text(json.dumps({"name": WORDS, "deploy_map": {"app": ["@ALL"]}}))
    flcore("run", *job)
    done = flcore("report", *job[1:], "-o", "-", encoding="ascii")

    assert b'<meta charset="utf-8">' in done.stdout
    assert done.stdout.decode()


@pytest.mark.parametrize(
    "command",
    [
        *(["check", "server.json"], ["--help"], ["run", "--help"], ["ps", "--site", "server.json"]),
        *(["report", "-o", "-", "--site", "server.json"], ["serve", "--port", "0", "--site", "server.json"]),
    ],
)
def test_a_standard_output_that_takes_no_more_is_told_in_one_line(job: list[str], command: list[str]) -> None:
    with Path("/dev/full").open("w") as full:
        done = flcore(*command, stdout=full)

    told = [line for line in done.stderr.splitlines() if not line.startswith(b"flcore: no job here: ")]
    assert told == [b"flcore: error: standard output takes no more: No space left on device"]
    assert done.returncode == 74


def test_a_job_is_run_to_its_end_on_a_standard_output_that_takes_no_more(job: list[str]) -> None:
    with Path("/dev/full").open("w") as full:
        done = flcore("run", *job, "--json", stdout=full)

    assert done.stderr == b"flcore: error: standard output takes no more: No space left on device\n"
    assert done.returncode == 74
    for site in ("server", "site-1"):
        (log,) = Path("workspace", site).glob(f"tiny-*/{site}.log")
        assert log.read_text(encoding="utf-8") == f"{WORDS}\n"


@pytest.mark.parametrize("options", [[], ["--raw"], ["--follow"]])
def test_the_logs_of_a_job_on_a_standard_output_that_takes_no_more_are_one_line(
    job: list[str], options: list[str]
) -> None:
    flcore("run", *job)
    with Path("/dev/full").open("w") as full:
        done = flcore("logs", "tiny", *job[1:], *options, stdout=full)

    assert done.stderr == b"flcore: error: standard output takes no more: No space left on device\n"
    assert done.returncode == 74


def test_streams_that_are_closed_take_everything(job: list[str]) -> None:
    command = [sys.executable, "-m", "flcore", "run", *job]
    done = subprocess.run(["sh", "-c", '"$@" >&- 2>&-', "sh", *command], check=False)

    assert done.returncode == 0


def test_a_standard_error_that_takes_no_more_changes_no_exit_status(job: list[str]) -> None:
    with Path("/dev/full").open("w") as full:
        command = [sys.executable, "-m", "flcore", "check", "nothing.json"]
        done = subprocess.run(command, stderr=full, check=False)

    assert done.returncode == 2


FOLLOWS = """
import sys
from flcore.cli import streams
from launchers.operator.logs import Printer
from launchers.operator.terminal import Terminal
from tests.job_views import running

def read(_):
    print("begins", file=sys.stderr, flush=True)
    yield b"x" * (1 << 20)

streams.prepare()
try:
    Printer(Terminal(), [running()], raw=True).print_all(read, at_once=True)
except KeyboardInterrupt:
    sys.exit(130)
"""


def test_an_interrupt_ends_who_follows_though_nobody_reads_what_it_writes() -> None:
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])}
    command = [sys.executable, "-c", FOLLOWS]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment) as process:
        assert process.stderr is not None
        assert process.stderr.readline() == b"begins\n"
        process.send_signal(signal.SIGINT)
        status = process.wait(30)
        told = process.stderr.read()

    assert (status, told) == (130, b"")
