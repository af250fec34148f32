"""Every command in a workspace that is not the caller's: it says so in words, and shows no traceback."""

from __future__ import annotations

import json
import os
import pwd
import re
from pathlib import Path

import pytest

from flcore.cli import main
from launchers.runtime import docker
from launchers.runtime.fake import FakeRuntime
from tests.another_user import as_another

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="takes another user's place")

SITES = ("server", "site-1")
OWNER = pwd.getpwuid(os.geteuid()).pw_name
HIDDEN = ("work", "work/server", "work/server/.flcore", "work/server/.flcore/jobs", "work/server/.flcore/journal.jsonl")
BY_SITE = ["--site", "server.json", "--site", "site-1.json"]
COMMANDS = [
    ["run", "job", *BY_SITE],
    ["run", "job", *BY_SITE, "--json"],
    ["run", "job", *BY_SITE, "--dry-run"],
    ["check", "server.json", "site-1.json"],
    ["check", "server.json", "site-1.json", "--job", "job"],
    *([*command, *scope] for scope in ([], BY_SITE) for command in (["ps"], ["ps", "--all", "--json"], ["gc"])),
    *([*command, *scope] for scope in ([], BY_SITE) for command in (["logs", "j1"], ["inspect", "j1"], ["stop", "j1"])),
    *(["audit", *command, *scope] for scope in ([], BY_SITE) for command in (["verify"], ["export", "--json"])),
    *(
        [*command, *scope]
        for scope in ([], BY_SITE[:2])
        for command in (["approvals"], ["show", "a"], ["approve", "a"])
    ),
    ["report", "-o", "-"],
    ["report", "-o", "work/server/page.html"],
    ["completion", "bash"],
]


@pytest.fixture
def folder(monkeypatch: pytest.MonkeyPatch, open_folder: Path) -> Path:
    """A folder with a job, and two sites that have run one; others can reach it. The engine has no job."""
    path = open_folder
    monkeypatch.chdir(path)
    monkeypatch.setattr(docker, "DockerRuntime", lambda **_: FakeRuntime())
    (path / "job" / "app" / "custom").mkdir(parents=True)
    (path / "job" / "meta.json").write_text(json.dumps({"name": "job", "deploy_map": {"app": ["@ALL"]}}))
    for name in SITES:
        kind = "Server" if name == "server" else "Client"
        launcher = {"id": "launcher", "name": f"{kind}ProcessJobLauncher"}
        components = [{"id": "journal", "name": "JobJournal"}, launcher]
        config = {"site": name, "workspace": f"work/{name}", "components": components}
        (path / f"{name}.json").write_text(json.dumps(config))
        (path / "work" / name / ".flcore" / "jobs").mkdir(parents=True)
        line = {"event": "launching", "time": 1.0, "site": name, "job_id": "j1", "name": "n", "parent": "p"}
        (path / "work" / name / ".flcore" / "journal.jsonl").write_text(json.dumps(line) + "\n")
    return path


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_no_command_shows_a_traceback_or_an_errors_number_in_another_users_workspace(
    folder: Path, command: list[str], capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    main([*command, "--workspace", "elsewhere"] if command[0] == "run" else command)  # imports what another could not
    for hidden in HIDDEN:
        capfd.readouterr()
        caplog.clear()
        with as_another(folder / hidden):
            status = main(command)
        told = "\n".join([*capfd.readouterr(), caplog.text])
        assert status in (0, 1, 2), hidden
        assert not re.search(r"Traceback|Errno|Error\(", told), (hidden, told)


@pytest.mark.parametrize("options", [[], ["--json"]])
@pytest.mark.parametrize("hidden", HIDDEN[:3])
def test_a_run_in_another_users_workspace_is_one_error_before_anything_is_done(
    folder: Path, hidden: str, options: list[str], capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    command = ["run", "job", *BY_SITE, *options]
    main([*command, "--workspace", "elsewhere"])
    capfd.readouterr()
    caplog.clear()
    with as_another(folder / hidden):
        status = main(command)
    out, err = capfd.readouterr()
    assert (status, out, caplog.text) == (2, "", "")
    first, *others = err.splitlines()
    assert first == (
        f"flcore: error: site server: its workspace cannot be used: {folder / hidden} belongs to the user {OWNER}, "
        "this process to the user nobody; run it as who may, or in another workspace ('workspace' in its config, or "
        "--workspace)"
    )
    assert not others


@pytest.mark.parametrize("hidden", HIDDEN[:3])
def test_a_check_says_whose_a_workspace_is_that_cannot_be_used(
    folder: Path, hidden: str, capfd: pytest.CaptureFixture[str]
) -> None:
    main(["check", "server.json"])
    assert "workspace" not in capfd.readouterr().out
    with as_another(folder / hidden):
        assert main(["check", "server.json"]) == 1
    missing = [line for line in capfd.readouterr().out.splitlines() if "MISSING" in line]
    assert missing == [
        f"  MISSING  workspace: {folder / hidden} belongs to the user {OWNER}, this process to the user nobody; run it "
        "as who may, or in another workspace ('workspace' in its config, or --workspace)"
    ]
