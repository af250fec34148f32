"""Which sites a command is about, also where they are another user's: told in a line, whatever the command."""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from flcore.cli import main
from launchers.operator.commands import job_ids
from launchers.operator.scope import sites_in
from launchers.runtime import docker
from launchers.runtime.fake import FakeRuntime

NOBODY = 65534


@pytest.fixture
def workspace(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder that others can reach, with a site in it; the engine has no job."""
    folder = Path(tempfile.mkdtemp(dir="/tmp"))  # pytest's own is its user's alone
    folder.chmod(0o755)
    (folder / "workspace" / "site-1" / ".flcore" / "jobs").mkdir(parents=True)
    (folder / "workspace" / "site-1" / ".flcore" / "site-id").write_text("c0ffee")
    monkeypatch.chdir(folder)
    monkeypatch.setattr(docker, "DockerRuntime", lambda **_: FakeRuntime())
    yield folder / "workspace"
    shutil.rmtree(folder)


@contextmanager
def another_users(folder: Path) -> Iterator[None]:
    """Have a folder be closed to who asks."""
    folder.chmod(0)
    user = os.geteuid()
    if user == 0:
        os.seteuid(NOBODY)
    try:
        yield
    finally:
        os.seteuid(user)
        folder.chmod(0o700)


NO_OPTIONS = argparse.Namespace(site=None, workspace=None)
HIDDEN = ["", "site-1", "site-1/.flcore", "site-1/.flcore/jobs"]
COMMANDS = [["ps"], ["ps", "--json"], ["logs", "j1"], ["inspect", "j1"], ["stop", "j1"], ["gc"], ["report", "-o", "-"]]


@pytest.mark.parametrize("hidden", HIDDEN)
@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_a_command_says_in_a_line_that_another_users_workspace_is_not_its_to_read(
    workspace: Path, hidden: str, command: list[str], capfd: pytest.CaptureFixture[str]
) -> None:
    main(command)  # imports what another user could not
    capfd.readouterr()
    with another_users(workspace / hidden):
        status = main(command)
    out, err = capfd.readouterr()
    told = out if command[0] == "report" else err
    assert status in (0, 1, 2)
    assert told.count(".flcore cannot be read: Permission denied; its jobs are shown to the user of its site") == 1


@pytest.mark.parametrize("hidden", HIDDEN)
@pytest.mark.parametrize(
    "look",
    [
        lambda: job_ids("j", NO_OPTIONS),
        lambda: [path for site in sites_in(Path("workspace")) for path in site.watched_paths()],
    ],
    ids=["completion", "watching"],
)
def test_what_asks_without_a_word_finds_nothing_in_another_users_workspace(
    workspace: Path, hidden: str, look: Callable[[], object]
) -> None:
    look()
    with another_users(workspace / hidden):
        found = look()
    assert not found or hidden == "site-1/.flcore/jobs"


def test_a_workspace_whose_folder_is_another_users_is_no_typing_error(
    workspace: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    command = ["ps", "--workspace", "workspace/site-1"]
    main(command)
    with another_users(workspace):
        assert main(command) == 0
    assert "cannot be read: Permission denied" in capfd.readouterr().err


@pytest.mark.parametrize("there", ["file", "nothing"])
def test_what_is_no_folder_has_no_sites(tmp_path: Path, there: str) -> None:
    (tmp_path / "file").touch()
    assert list(sites_in(tmp_path / there)) == []


def test_a_look_at_a_site_builds_nothing_of_it_but_its_journal_and_its_launchers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "opens_a_port.py").write_text(
        "from flcore import FLComponent\n\n\n"
        "class Component(FLComponent):\n"
        "    def __init__(self):\n        raise OSError('the port is in use')\n"
    )
    monkeypatch.setattr(sys, "path", list(sys.path))
    components = [
        {"id": "port", "path": "opens_a_port.Component"},
        {"id": "journal", "name": "JobJournal", "args": {"path": "${CONFIG_DIR}/journal.jsonl"}},
        {"id": "launcher", "name": "ClientProcessJobLauncher"},
    ]
    (tmp_path / "site-1.json").write_text(json.dumps({"site": "site-1", "components": components}))
    line = {"event": "launching", "time": 1.0, "site": "site-1", "job_id": "j1", "name": "n", "parent": "p"}
    (tmp_path / "journal.jsonl").write_text(json.dumps(line) + "\n")
    assert main(["ps", "--site", str(tmp_path / "site-1.json"), "--all"]) == 0
    assert "j1" in capsys.readouterr().out
