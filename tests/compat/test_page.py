"""The page of NVIDIA FLARE's sites: what its first section says is typed, and ends with the right model."""

from __future__ import annotations

import os
import re
import secrets
import subprocess
import textwrap
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from docker.errors import APIError

from tests.engines.engine import api_of, until
from tests.environments import ROOT

from .environments import NEWEST, Flare, flare
from .image import image
from .kits import free_ports

SECTION = re.compile(r"^## Try it.*?(?=^## )", re.MULTILINE | re.DOTALL)
BLOCK = re.compile(r"^ *```sh\n(.*?)^ *```$", re.MULTILINE | re.DOTALL)
MADE_HERE = ("pip install", "docker build")
"""What stands in blocks that are not typed: the environment is there, and images come from no registry here."""
MODEL = "[[4.0, 5.0, 6.0], [7.0, 8.0, 9.0], [10.0, 11.0, 12.0]]"
ROW = re.compile(r"^[0-9a-f-]{36}  (\S+) +(?:SUCCESS|running) ", re.MULTILINE)
"""Of `flcore ps`: a client's process may end some seconds after the job."""
STOP = "stop_fl.sh"
SUBNET = "10.213.79.0/24"
_TIMEOUT = 300


@pytest.fixture
def version() -> Flare:
    found = flare(os.environ.get("NVFLARE", NEWEST))
    if found.release < (2, 9):
        pytest.skip("the page has a job that the recipes of 2.9 make")
    return found


class Typist:
    """Types the blocks of the page in a folder: on a port, in a network, and with an image, of its own."""

    def __init__(self, version: Flare, folder: Path, engine: str) -> None:
        self._folder = folder
        self._environment = {
            "PATH": f"{version.python.parent}:{os.environ['PATH']}",
            "HOME": str(folder),
            "DOCKER_HOST": engine,
        }
        self.network = f"flcore-page-{secrets.token_hex(4)}"
        (port,) = free_ports(1)
        own = {
            "my-flare-jobs:1": image(version, engine),
            "--network flare": f"--network {self.network}",
            "network rm flare": f"network rm {self.network}",
            "172.30.0.0/24": SUBNET,
            "nvflare provision -p": f"sed -i 's/8002/{port}/' project.yml && nvflare provision -p",
        }
        found = SECTION.search((ROOT / "docs/nvflare.md").read_text())
        assert found
        blocks = [textwrap.dedent(block) for block in BLOCK.findall(found[0])]
        self.blocks = [
            re.sub("|".join(map(re.escape, own)), lambda word: own[word[0]], block)
            for block in blocks
            if not any(words in block for words in MADE_HERE)
        ]

    def type(self, text: str, folder: str = ".") -> str:
        """Type it all in one shell; return what was printed. Raises CalledProcessError if something fails."""
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", text],
            cwd=self._folder / folder,
            env=self._environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=_TIMEOUT,
            check=False,
        )
        assert done.returncode == 0, done.stdout
        return done.stdout

    def parents(self) -> list[Path]:
        """Return the folders of the parents that run."""
        return [path.parent for path in self._folder.glob("workspace/*/prod_00/*/daemon_pid.fl")]


@pytest.fixture
def typist(version: Flare, tmp_path: Path) -> Iterator[Typist]:
    engine = os.environ.get("DOCKER_HOST", "unix:///var/run/docker.sock")
    typist = Typist(version, tmp_path, engine)
    try:
        yield typist
    finally:
        for kit in typist.parents():
            (kit / "shutdown.fl").touch()
        until(lambda: not typist.parents(), 60, "the parents have ended", 0.5)
        with api_of(engine) as api, suppress(APIError):
            api.remove_network(typist.network)


def test_who_types_what_the_page_says_gets_the_right_model(typist: Typist) -> None:
    *before, stop = typist.blocks
    shown = typist.type("\n".join(before))

    assert "MISSING" not in shown
    assert f"\n{MODEL}\n" in shown
    assert sorted(ROW.findall(shown)) == ["server", "site-1", "site-2"]
    assert STOP in stop
    typist.type(stop, "workspace/example_project")
    until(lambda: not typist.parents(), 60, "the parents have ended", 0.5)
