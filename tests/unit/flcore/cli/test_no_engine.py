"""Every command where no engine answers that this user may ask: it says at which address, why, and the cure."""

from __future__ import annotations

import gc
import json
import os
import shutil
import socket
import sys
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest

from flcore.cli import main
from tests.another_user import ANOTHER
from tests.tiny_job import write_job

pytestmark = pytest.mark.filterwarnings(
    "ignore::ResourceWarning"
)  # what does not connect, the SDK leaves to be collected

ADDRESSES = {
    "unix:///nowhere/docker.sock": "No such file or directory at {}; start it (sudo systemctl start docker), or name",
    "tcp://127.0.0.1:1": "Connection refused at {}; start it there, or name another by DOCKER_HOST or docker_host",
    "tcp://no-such-host.invalid:2375": "{}; correct its host's name, or name another by DOCKER_HOST or docker_host",
    "ssh://alice@no-such-host.invalid": "Install paramiko package to enable ssh:// support at {}; by 'ssh://' it is",
}
DENIED = "Permission denied at {}; join the group docker (sudo usermod -aG docker $USER, and log in anew), or be root"
COMMANDS = [
    *(["check", "site-1.json"], ["run", "job", "--site", "site-1.json"], ["ps"], ["ps", "--site", "site-1.json"]),
    *(["logs", "j1"], ["stop", "j1"], ["inspect", "j1"], ["gc"], ["report", "-o", "report.html"]),
]


@pytest.fixture(autouse=True)
def collected() -> Iterator[None]:
    """What a test leaves to be collected is collected where nobody minds the warnings."""
    gc.freeze()  # what was there before is not looked through for it
    yield
    gc.collect()


@pytest.fixture(autouse=True)
def folder(monkeypatch: pytest.MonkeyPatch, open_folder: Path) -> Path:
    """A folder with a job and a site, which others can reach."""
    path = open_folder
    monkeypatch.chdir(path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    write_job(path / "job")
    launcher = {"id": "launcher", "name": "ClientDockerJobLauncher", "args": {"image": "job:1"}}
    Path("site-1.json").write_text(json.dumps({"site": "site-1", "workspace": "workspace", "components": [launcher]}))
    for name in ("DOCKER_TLS_VERIFY", "DOCKER_CERT_PATH"):
        monkeypatch.delenv(name, raising=False)
    return path


def told(command: list[str], capfd: pytest.CaptureFixture[str]) -> str:
    """Run a command, and return all that it says, on one line, as a terminal's width breaks some."""
    if command[0] == "report":
        pytest.importorskip("jinja2", reason="of the extra [web]")
    capfd.readouterr()
    assert main(command) in (0, 1, 2)
    return " ".join(" ".join(capfd.readouterr()).split())


@pytest.mark.parametrize(("address", "cure"), ADDRESSES.items(), ids=ADDRESSES)
@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_it_says_the_address_the_cause_and_the_cure(
    command: list[str], address: str, cure: str, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    if address.startswith("ssh:") and find_spec("paramiko"):
        pytest.skip("the extra [ssh] is installed")
    monkeypatch.setenv("DOCKER_HOST", address)
    said = told(command, capfd)
    assert said.count(cure.format(address)) == 1
    assert "Traceback" not in said


@pytest.mark.skipif(os.geteuid() != 0, reason="takes another user's place")
@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_of_a_socket_that_is_others_it_says_how_to_be_one_of_them(
    folder: Path, command: list[str], monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(folder / "docker.sock"))
        os.chmod(folder / "docker.sock", 0)  # noqa: PTH101
        monkeypatch.setenv("DOCKER_HOST", f"unix://{folder}/docker.sock")
        told(["ps"], capfd)  # imports what another user could not
        told(command, capfd)
        shutil.rmtree(folder / "workspace", ignore_errors=True)
        os.chown(folder, ANOTHER, ANOTHER)
        os.seteuid(ANOTHER)
        try:
            said = told(command, capfd)
        finally:
            os.seteuid(0)
    assert said.count(DENIED.format(f"unix://{folder}/docker.sock")) == 1
