"""The Compose files: a site whose parent is in a container runs jobs, and comes back with them when it is killed."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import pytest

from launchers.container_spec import LABEL_SITE
from tests.engines.engine import until
from tests.integration.conftest import IMAGE
from tests.tiny_job import write_job

from .images import DEPLOY, build, put_wheels, python_image, remove
from .needed import need

COMPOSE = Path(sys.executable).with_name("docker-compose")
FILES = ("compose.yaml", "compose.kit.yaml")
SITE_IMAGE = "flcore-deploy-site:1"
USER = 61234
TIMEOUT = 60.0
WAIT = "import os, time\nwhile not os.path.exists('go'): time.sleep(0.05)"


@pytest.fixture(scope="module", autouse=True)
def _has_compose() -> None:
    need(None if COMPOSE.exists() else "Docker's Compose is not installed; 'make test-deploy' does it")


def compose(folder: Path, *words: str) -> str:
    done = subprocess.run([COMPOSE, *words], cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def write_settings(folder: Path, site: str) -> None:
    socket = Path(os.environ.get("DOCKER_HOST", "unix:///var/run/docker.sock").removeprefix("unix://"))
    settings = {
        "SITE": site,
        "SITE_USER": f"{USER}:{USER}",
        "DOCKER_GID": socket.stat().st_gid,
        "DOCKER_SOCKET": socket,
    }
    (folder / ".env").write_text("".join(f"{name}={value}\n" for name, value in settings.items()))


@pytest.mark.parametrize("file", FILES)
def test_compose_has_no_complaint_of_a_file(file: str, tmp_path: Path) -> None:
    shutil.copy(DEPLOY / file, tmp_path)
    write_settings(tmp_path, "site-1")
    compose(tmp_path, "-f", file, "config", "--quiet")


@pytest.mark.parametrize("file", FILES)
def test_who_has_not_said_which_site_it_is_is_told(file: str) -> None:
    done = subprocess.run([COMPOSE, "-f", DEPLOY / file, "config"], capture_output=True, text=True, check=False)
    assert done.returncode != 0
    assert "the site's name" in done.stderr


# --- for real ---


@dataclass
class Host:
    site: str
    folder: Path
    client: Any

    def submit(self, name: str, client: str) -> None:
        waiting = self.folder / f"{self.site}/inbox/.{name}"
        write_job(waiting, client=client)
        for path in (waiting, *waiting.rglob("*")):
            os.chown(path, USER, USER)
        waiting.rename(waiting.with_name(name))

    def parent(self) -> int:
        """Return the first process of the parent's container; 0 if it does not run."""
        return int(self.client.api.inspect_container(self.site)["State"]["Pid"])

    def jobs(self) -> list[str]:
        """Return the containers of jobs that run."""
        listed = self.client.api.containers(filters={"label": f"{LABEL_SITE}={self.site}"})
        return [one["Id"] for one in listed]

    def let_end(self) -> None:
        for folder in (self.folder / self.site / "workspace").glob("*/app_*"):
            (folder.parent / "go").touch()

    def return_codes(self, name: str) -> set[str]:
        """Return how a job has ended, as the journal has it, once it does."""
        journal = self.folder / self.site / "workspace/.flcore/journal.jsonl"
        lines = map(json.loads, journal.read_text().splitlines() if journal.exists() else [])
        ends = (line for line in lines if line.get("result") and line["job_id"].startswith(name))
        return {line["result"]["return_code"] for line in ends}


@pytest.fixture(scope="module")
def host(docker_client: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Host]:
    """A site that was started by the file, but for its names, port and paths."""
    build_folder = tmp_path_factory.mktemp("build")
    shutil.copy(DEPLOY / "inbox_site.py", build_folder)
    put_wheels(build_folder)
    base = python_image(docker_client, build_folder)
    build(docker_client, "Dockerfile.site", build_folder, SITE_IMAGE, BASE=base, PIP_NO_INDEX="1")
    folder = Path(tempfile.mkdtemp(prefix="flcore-compose-", dir="/srv"))
    os.chown(folder, USER, USER)
    site = f"site-{folder.name[-8:].strip('_')}"
    ours = {
        "/var/lib/flcore": str(folder),
        "flcore-jobs": f"net-{site}",
        "flcore-site:1": SITE_IMAGE,
        "my-job:1": IMAGE,
    }
    ours |= {
        "127.0.0.1:9400:9400": "127.0.0.1::9400",
        '"port": 9400': '"port": 9400, "host": "0.0.0.0"',
        "site-1": site,
    }
    settings = tmp_path_factory.mktemp("settings")
    for name, here in (("compose.yaml", "compose.yaml"), ("site-1.json", f"{site}.json")):
        text = (DEPLOY / name).read_text()
        for there, meant in ours.items():
            text = text.replace(there, meant)
        (settings / here).write_text(text)
    write_settings(settings, site)
    try:
        compose(settings, "up", "--detach", "--wait", "--no-build")
        yield Host(site, folder, docker_client)
    finally:
        compose(settings, "kill")  # first: nobody else removes containers then
        for listed in docker_client.api.containers(all=True, filters={"label": f"{LABEL_SITE}={site}"}):
            docker_client.api.remove_container(listed["Id"], force=True)
        compose(settings, "down")
        remove(docker_client, SITE_IMAGE)
        shutil.rmtree(folder)


def test_a_job_runs_by_a_parent_in_a_container(host: Host) -> None:
    host.submit("hello", "print('hello')")
    until(lambda: host.return_codes("hello") == {"SUCCESS"}, TIMEOUT, "the job's end")


def test_a_parent_that_is_killed_comes_back_and_finds_its_job(host: Host) -> None:
    host.submit("waits", WAIT)
    until(host.jobs, TIMEOUT, "a job's container")
    jobs, parent = host.jobs(), host.parent()
    os.kill(parent, signal.SIGKILL)
    until(lambda: host.parent() not in (0, parent), TIMEOUT, "the parent is started again")
    assert host.jobs() == jobs
    host.let_end()
    until(lambda: host.return_codes("waits") == {"SUCCESS"}, TIMEOUT, "the job's end is told")


def test_its_figures_can_be_read_from_the_host(host: Host) -> None:
    (port,) = host.client.api.port(host.site, 9400)
    with urlopen(f"http://127.0.0.1:{port['HostPort']}/metrics", timeout=TIMEOUT) as answer:
        assert f'flcore_jobs{{site="{host.site}"'.encode() in answer.read()


def test_nothing_but_the_site_s_own_folder_and_memory_can_be_written_in_there(host: Host) -> None:
    config = host.client.api.inspect_container(host.site)["HostConfig"]
    assert config["ReadonlyRootfs"]
    assert config["CapDrop"] == ["ALL"]
    writable = {bind.split(":")[0] for bind in config["Binds"] or [] if not bind.endswith(":ro")}
    writable |= {mount["Source"] for mount in config.get("Mounts") or [] if not mount.get("ReadOnly")}
    assert {path for path in writable if not path.endswith(".sock")} == {str(host.folder), "/dev/shm"}
