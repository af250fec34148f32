"""The example job `digits`, as the processes that a launcher would start."""

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

CONFIGS = Path(__file__).parents[2] / "configs"
JOB = CONFIGS / "jobs" / "digits"
DATA = CONFIGS / "data" / "digits"
TOKEN = "a-secret-of-the-job"
SITES = ["site-1", "site-2"]


class Processes:
    """Starts the job's processes as a launcher would."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.started: list[subprocess.Popen[str]] = []

    def start(self, site: str, *args: str, **environment: str) -> subprocess.Popen[str]:
        job_dir = self.root / site / "job-1"
        app = job_dir / f"app_{site}"
        shutil.copytree(JOB / "app", app)
        meta = json.loads((JOB / "meta.json").read_text()) | {"job_id": "job-1", "job_clients": SITES}
        (job_dir / "meta.json").write_text(json.dumps(meta))
        data = DATA / ("heldout.csv" if site == "server" else f"{site}.csv")
        ours = {"PYTHONPATH": str(app / "custom"), "NVFLARE_JOB_AUTH_TOKEN": TOKEN}
        process = subprocess.Popen(
            [sys.executable, "-u", "-m", *args, "-m", str(self.root / site), "-n", "job-1", "-ts", "other"],
            env={**os.environ, **ours, "FLCORE_DATASET_DIGITS": str(data), **environment},
            cwd=job_dir,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self.started.append(process)
        return process

    def server(self, *options: str, **environment: str) -> subprocess.Popen[str]:
        app = self.root / "server" / "job-1" / "app_server"
        config = ["-s", "config/config_fed_server.json", "--set", *options]
        return self.start(
            "server", "server", "-r", str(app), "--host", "127.0.0.1", "--port", "0", *config, **environment
        )

    def client(self, site: str, port: str, *options: str, **environment: str) -> subprocess.Popen[str]:
        config = ["-s", "config/config_fed_client.json", "--set", *options]
        target = ["-g", f"localhost:{port}", "-scheme", "http"]
        return self.start(site, "client", "-c", site, *target, *config, **environment)


@pytest.fixture
def processes(tmp_path: Path) -> Iterator[Processes]:
    processes = Processes(tmp_path)
    yield processes
    for process in processes.started:
        process.kill()
        process.communicate()


def listening_port(server: subprocess.Popen[str]) -> str:
    """Read the server's output until it says where it listens."""
    assert server.stdout is not None
    return next(found[1] for line in server.stdout if (found := re.match(r"listening on .*:(\d+) ", line)))


def test_a_server_and_two_clients_learn_to_read(processes: Processes) -> None:
    server = processes.server("rounds=2")
    port = listening_port(server)
    clients = [processes.client(site, port, "local_epochs=1", "secure_train=true") for site in SITES]
    outputs = [process.communicate(timeout=30)[0] for process in (server, *clients)]
    assert [process.returncode for process in (server, *clients)] == [0, 0, 0], outputs
    assert re.search(r"^round 2/2: accuracy \d\d\.\d % on 360 held-out images, 2 clients, ", outputs[0], re.M)
    job_dir = processes.root / "server" / "job-1"
    metrics = json.loads((job_dir / "metrics.json").read_text())
    assert [(done["round"], done["clients"], done["samples"]) for done in metrics["rounds"]] == [
        (number, SITES, 1797 - 360) for number in (1, 2)
    ]
    assert metrics["final_accuracy"] == metrics["rounds"][1]["accuracy"] > 0.7
    assert len(json.loads((job_dir / "global_model.json").read_text())["weights"]) == 10


def test_a_missing_variable_is_one_line_and_a_config_error(processes: Processes) -> None:
    started = {
        "NVFLARE_JOB_AUTH_TOKEN": processes.server(NVFLARE_JOB_AUTH_TOKEN=""),
        "FLCORE_DATASET_DIGITS": processes.client("site-1", "1", FLCORE_DATASET_DIGITS=""),
    }
    for variable, process in started.items():
        output, _ = process.communicate(timeout=30)
        assert output == f"error: the environment variable {variable} is missing or empty\n"
        assert process.returncode == 103


def test_sigterm_ends_a_waiting_server_with_143(processes: Processes) -> None:
    server = processes.server()
    listening_port(server)
    server.terminate()
    assert server.wait(timeout=30) == 143
