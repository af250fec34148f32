"""From nothing to a job that runs, by what `flcore init` says to type: in an environment that has the wheel only."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from docker.errors import APIError

from launchers.first_site.python_image import why_not_ours
from launchers.first_site.surroundings import NETWORK
from launchers.runtime.docker import DockerRuntime
from tests import bare_environment
from tests.environments import ROOT
from tests.pages import BLOCKS
from tests.release.distributions import build
from tests.release.sources import export

SAID = "40 measurements, mean 128.4, standard deviation 14.5"
STATES = ["created", "running", "exited"]


@pytest.fixture(scope="module")
def programs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where a newcomer has `flcore`, `python` and `pytest`, and nothing else of ours."""
    folder = tmp_path_factory.mktemp("bare")
    _, wheel = build(export(ROOT, folder / "checkout"), folder / "built")
    return bare_environment.make(wheel, folder)


@pytest.fixture(scope="module", autouse=True)
def _no_network_stays(docker_client: Any) -> Iterator[None]:
    was_there = docker_client.networks.list(names=[NETWORK])
    yield
    for network in () if was_there else docker_client.networks.list(names=[NETWORK]):
        with suppress(APIError):  # others are in it
            network.remove()


def typed(line: str, folder: Path, programs: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run a line as a newcomer's shell does, who has activated the environment."""
    kept = {name: os.environ[name] for name in ("DOCKER_HOST", "HOME") if name in os.environ}
    shell = {**kept, "PATH": f"{programs}:/usr/local/bin:/usr/bin:/bin", **environment}
    return subprocess.run(["bash", "-c", line], cwd=folder, env=shell, capture_output=True, text=True, timeout=180)


def try_all(folder: Path, programs: Path, **environment: str) -> str:
    """Begin in a new folder, and type all that is said to be next; return what all of it printed."""
    begun = typed("flcore init 'my first site'", folder, programs, **environment)
    assert begun.returncode == 0, begun.stdout + begun.stderr
    _, _, commands = begun.stdout.partition("next:\n")
    assert commands.splitlines() == [
        "  cd 'my first site'",
        "  flcore check site-1.json",
        "  flcore run hello --site site-1.json",
        "  pytest test_audit_log.py",
    ]
    tried = typed(f"set -e\n{commands}", folder, programs, **environment)
    assert tried.returncode == 0, tried.stdout + tried.stderr
    assert SAID in tried.stdout
    assert "1 passed" in tried.stdout
    audited = (folder / "my first site/audit.log").read_text().splitlines()
    assert [line.rpartition(" ")[2] for line in audited] == STATES
    return begun.stdout + tried.stdout


def test_with_an_engine_the_job_runs_in_a_container(docker_client: Any, programs: Path, tmp_path: Path) -> None:
    told = try_all(tmp_path, programs)
    assert re.search(r"^engine: \S.* API ", told, re.M)
    assert "MISSING" not in told
    assert re.search(r"ok +launcher: image: ", told)


def test_without_one_it_runs_as_a_process(programs: Path, tmp_path: Path) -> None:
    told = try_all(tmp_path, programs, DOCKER_HOST=f"unix://{tmp_path}/nothing.sock")
    assert f"{tmp_path}/nothing.sock does not answer" in told
    assert "runtime: local processes" in told


MAKE = """
import sys
from launchers.first_site.python_image import make_image
from launchers.runtime.docker import DockerRuntime
make_image(DockerRuntime().images, sys.argv[1])
"""


def test_the_tutorial_can_be_followed(docker_client: Any, programs: Path, tmp_path: Path) -> None:
    blocks = [block for block in BLOCKS if block.page == "first-job"]
    lines = "".join(block.text for block in blocks if block.language == "console")
    done = typed(f"set -e\n{lines}", tmp_path, programs)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "flcore" not in done.stderr
    assert done.stdout.count(SAID) == 2
    assert "  median 129.0\n" in done.stdout
    assert SAID in next(block.text for block in blocks if block.text.startswith("job hello"))


def test_the_image_that_is_made_runs_the_job(docker_client: Any, programs: Path, tmp_path: Path) -> None:
    if reason := why_not_ours(DockerRuntime(client=docker_client).images):
        pytest.skip(reason)
    name = f"flcore-try-{os.getpid()}:1"
    (tmp_path / "make.py").write_text(MAKE)
    begin = f"python make.py {name} && flcore init --image {name} && flcore run hello --site site-1.json"
    try:
        begun = typed(begin, tmp_path, programs)
        assert begun.returncode == 0, begun.stdout + begun.stderr
        assert SAID in begun.stdout
    finally:
        for image in docker_client.images.list(name.partition(":")[0]):
            docker_client.images.remove(image.id, force=True)


def test_the_files_are_as_the_checkers_want_them(programs: Path, tmp_path: Path) -> None:
    typed("flcore init .", tmp_path, programs, DOCKER_HOST=f"unix://{tmp_path}/nothing.sock")
    tools = Path(sys.executable).parent
    for command in (
        f"{tools}/ruff check --isolated --line-length 120 --select E,F,I,B,UP .",
        f"{tools}/ruff format --isolated --check --line-length 120 .",
        f"{tools}/mypy --strict --python-executable {programs}/python *.py hello/app/custom/client.py",
    ):
        done = typed(command, tmp_path, programs)
        assert done.returncode == 0, done.stdout + done.stderr
