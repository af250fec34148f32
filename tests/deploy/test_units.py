"""The units: systemd has no complaint, jobs outlive the site's process, and a site is shut in, but can do its work."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from launchers.container_spec import LABEL_SITE
from tests.engine_proxy import EngineProxy
from tests.engines.engine import until
from tests.integration.conftest import IMAGE, NETWORK
from tests.tiny_job import write_job

from .machine import USER, Machine, why_none
from .needed import need

DEPLOY = Path(__file__).resolve().parents[2] / "configs/deploy"
UNITS = ("flcore-site@.service", "flcore-kit@.service")
TIMEOUT = 30.0
MOST_EXPOSED = 2.5
"""Of 10, by `systemd-analyze security`, which calls up to 4 "OK"."""
WAIT = "import os, time\nwhile not os.path.exists('go'): time.sleep(0.05)"
TELL_SECRET = "import os; print('the secret is', open(os.environ['FLCORE_SECRET_DB']).read())"
A_SERVICE = "[Service]\nType=oneshot\nRemainAfterExit=yes\nExecStart=/bin/true\n"


def analyzed(*words: str) -> str:
    done = subprocess.run(["systemd-analyze", *words], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


@pytest.fixture
def unit(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A unit as it is installed, where its programs are those of this machine."""
    copy = tmp_path / request.param.replace("@", "@site-1")
    text = (DEPLOY / request.param).read_text()
    text = re.sub(r"^ExecStart=\S+", "ExecStart=/bin/true", text, flags=re.MULTILINE)
    copy.write_text(text)
    return str(copy)


@pytest.mark.parametrize("unit", UNITS, indirect=True)
def test_systemd_has_no_complaint_of_a_unit(unit: str) -> None:
    assert analyzed("verify", "--man=no", unit) == ""


@pytest.mark.parametrize("unit", UNITS, indirect=True)
def test_a_unit_is_shut_in(unit: str) -> None:
    analyzed("security", "--offline=true", f"--threshold={MOST_EXPOSED * 10:.0f}", unit)


# --- for real ---


@dataclass
class Host:
    """A host with a unit for a site, and the engine that it asks."""

    machine: Machine
    site: str
    folder: Path
    engine: Any

    @property
    def unit(self) -> str:
        return f"flcore-site@{self.site}.service"

    @property
    def state(self) -> Path:
        return Path("/var/lib/flcore", self.site)

    def submit(self, name: str, client: str) -> None:
        """Put a job into the inbox, and have it look there at once whole."""
        waiting = self.state / f"inbox/.{name}"
        write_job(waiting, client=client)
        for path in (waiting, *waiting.rglob("*")):
            os.chown(path, USER, USER)
        waiting.rename(self.state / f"inbox/{name}")

    def container(self) -> str:
        """Return the id of the site's only container, once it runs."""
        found: list[Any] = []

        def runs() -> bool:
            found[:] = self.engine.api.containers(filters={"label": f"{LABEL_SITE}={self.site}"})
            return bool(found)

        until(runs, TIMEOUT, f"a container of {self.site}; {self.log()[-2000:]}")
        (one,) = found
        return str(one["Id"])

    def finish(self) -> None:
        """Let the jobs end that wait for it."""
        for folder in (self.state / "workspace").glob("*/app_*"):
            (folder.parent / "go").touch()

    def end_of(self, name: str) -> str:
        """Return how a job has ended, once the site has told of it."""
        found: list[str] = []

        def is_told() -> bool:
            found[:] = [line["result"]["return_code"] for line in self._ends() if line["job_id"].startswith(name)]
            return bool(found)

        until(is_told, TIMEOUT, f"the end of {name} is told; {self.log()[-2000:]}")
        return found[0]

    def output(self, name: str) -> str:
        """Return what a job has written, as far as that is kept already."""
        return "".join(path.read_text() for path in (self.state / "workspace").glob(f"{name}-*/{self.site}.log"))

    def _ends(self) -> list[dict[str, Any]]:
        journal = self.state / "workspace/.flcore/journal.jsonl"
        lines = journal.read_text().splitlines() if journal.exists() else []
        return [line for line in map(json.loads, lines) if line.get("result")]

    def log(self) -> str:
        return (self.folder / "unit.log").read_text()


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    """Where a unit's own files are; not in /tmp, for each unit has its own."""
    folder = Path(tempfile.mkdtemp(prefix="flcore-unit-", dir="/srv"))
    folder.chmod(0o755)
    (folder / "etc").mkdir()
    shutil.copy(DEPLOY / "inbox_site.py", folder / "etc")
    yield folder
    shutil.rmtree(folder)


@pytest.fixture(scope="module")
def machine(folder: Path) -> Iterator[Machine]:
    need(why_none())
    engine = os.environ.get("DOCKER_HOST", "unix:///var/run/docker.sock")
    units = {"flcore-site@.service": for_a_test(folder), "docker.service": A_SERVICE}
    with EngineProxy(engine, folder / "docker.sock", USER), Machine(folder, units) as machine:
        yield machine


@pytest.fixture(scope="module")
def host(machine: Machine, folder: Path, docker_client: Any) -> Iterator[Host]:
    """A host with a site whose jobs are in containers, and have a secret."""
    password = folder / "etc/db-password"
    password.write_text("s3cret")
    password.chmod(0o600)
    site = f"site-{folder.name[-8:].strip('_')}"
    secrets = {"db": {"file": f"/run/credentials/flcore-site@{site}.service/db-password"}}
    args = {"image": IMAGE, "network": NETWORK, "secrets": secrets, "stop_grace": 1}
    with running(Host(machine, site, folder, docker_client), "ClientDockerJobLauncher", args) as host:
        yield host
    for listed in docker_client.api.containers(all=True, filters={"label": f"{LABEL_SITE}={site}"}):
        docker_client.api.remove_container(listed["Id"], force=True)


@contextmanager
def running(host: Host, launcher: str, args: dict[str, Any]) -> Iterator[Host]:
    components = [{"id": "journal", "name": "JobJournal"}, {"id": "launcher", "name": launcher, "args": args}]
    config = {"site": host.site, "workspace": str(host.state / "workspace"), "components": components}
    (host.folder / f"etc/{host.site}.json").write_text(json.dumps(config))
    host.machine.systemctl("start", host.unit)
    try:
        until((host.state / "inbox").is_dir, TIMEOUT, f"the site has its inbox; {host.log()[-2000:]}")
        yield host
        host.machine.systemctl("stop", host.unit)
    finally:
        shutil.rmtree(host.state)


def for_a_test(folder: Path) -> str:
    """Return the unit with paths of a test, and what it prints in a file."""
    text = (DEPLOY / UNITS[0]).read_text()
    text = text.replace("/opt/flcore/bin/python", sys.executable).replace("/etc/flcore/", f"{folder}/etc/")
    text = text.replace("#LoadCredential", "LoadCredential").replace("RestartSec=5", "RestartSec=100ms")
    output = f"StandardOutput=append:{folder}/unit.log\nStandardError=append:{folder}/unit.log\n"
    return text.replace("[Install]", f"{output}Environment=DOCKER_HOST=unix://{folder}/docker.sock\n\n[Install]")


def test_a_site_that_is_killed_comes_back_and_its_job_goes_on(host: Host) -> None:
    host.submit("outlives", WAIT)
    container = host.container()
    host.machine.systemctl("kill", "--signal=KILL", host.unit)
    until(lambda: host.machine.show(host.unit, "NRestarts") == "1", TIMEOUT, "systemd starts it again")
    assert host.container() == container
    host.finish()
    assert host.end_of("outlives") == "SUCCESS"


def test_a_site_that_is_stopped_leaves_its_job_running_and_finds_it_again(host: Host) -> None:
    host.submit("waits", WAIT)
    container = host.container()
    host.machine.systemctl("stop", host.unit)
    assert host.machine.show(host.unit, "Result") == "success"
    assert host.container() == container
    host.machine.systemctl("start", host.unit)
    host.finish()
    assert host.end_of("waits") == "SUCCESS"


def test_a_job_has_a_secret_that_only_root_and_the_unit_can_read(host: Host) -> None:
    host.submit("tells", TELL_SECRET)
    assert host.end_of("tells") == "SUCCESS"
    until(lambda: "the secret is s3cret" in host.output("tells"), TIMEOUT, "its output is kept")


def test_an_engine_s_service_that_starts_again_ends_no_site(host: Host) -> None:
    process = host.machine.show(host.unit, "MainPID")
    host.machine.systemctl("restart", "docker.service")
    assert host.machine.show("docker.service", "ActiveState") == "active"
    assert host.machine.show(host.unit, "MainPID") == process


def test_jobs_that_are_local_processes_end_with_their_site_s_unit(machine: Machine, folder: Path) -> None:
    """No later process of the site would find them."""
    host = Host(machine, f"procs-{folder.name[-8:].strip('_')}", folder, None)
    with running(host, "ClientProcessJobLauncher", {}):
        host.submit("waits", WAIT)
        until(lambda: jobs_of(host), TIMEOUT, "a job runs")
        machine.systemctl("stop", host.unit)
        assert jobs_of(host) == []


def jobs_of(host: Host) -> list[int]:
    """Return the processes of this machine that run in a folder of the site's jobs."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            if (process / "cwd").readlink().is_relative_to(host.state / "workspace"):
                found.append(int(process.name))
    return found
