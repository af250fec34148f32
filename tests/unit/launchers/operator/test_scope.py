"""Which sites a command is about, also where they are another user's: told in a line, whatever the command."""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path

import pytest

from flcore.cli import main
from launchers.operator.commands import job_ids
from launchers.operator.scope import sites_in
from launchers.runtime import docker
from launchers.runtime.fake import FakeRuntime
from launchers.settings import EngineTls

NOBODY = 65534


@pytest.fixture
def workspace(monkeypatch: pytest.MonkeyPatch, open_folder: Path) -> Path:
    """A folder that others can reach, with a site in it; the engine has no job."""
    folder = open_folder
    (folder / "workspace" / "site-1" / ".flcore" / "jobs").mkdir(parents=True)
    (folder / "workspace" / "site-1" / ".flcore" / "site-id").write_text("c0ffee")
    monkeypatch.chdir(folder)
    monkeypatch.setattr(docker, "DockerRuntime", lambda **_: FakeRuntime())
    return folder / "workspace"


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


NO_OPTIONS = argparse.Namespace(site=None, workspace=None, folder=None)
HIDDEN = ["", "site-1", "site-1/.flcore", "site-1/.flcore/jobs"]
REPORT = pytest.param(
    ["report", "-o", "-"], marks=pytest.mark.skipif(not find_spec("jinja2"), reason="of the extra [web]")
)
COMMANDS = [["ps"], ["ps", "--json"], ["logs", "j1"], ["inspect", "j1"], ["stop", "j1"], ["gc"], REPORT]


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


@pytest.fixture
def kit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An NVIDIA FLARE site's kit, in whose journal is a job, and which has folders of two."""
    monkeypatch.setattr(docker, "DockerRuntime", lambda **_: FakeRuntime())
    monkeypatch.chdir(tmp_path)
    kit = tmp_path / "kits" / "site-1"
    for name in ("startup", "local", ".flcore", "told-1/app_site-1", "left-2/app_site-1", "transfer"):
        (kit / name).mkdir(parents=True)
    end = {"return_code": "SUCCESS", "exit_code": 0, "signal": None, "oom_killed": False, "error": "", "ended_by": ""}
    lines = [
        {"event": "launching", "time": 1.0, "site": "site-1", "job_id": "told-1", "name": "told", "parent": "p"},
        {
            **{"event": "completed", "time": 3.0, "site": "site-1", "job_id": "told-1", "id": "a.1"},
            "result": {**end, "started_at": 1.0, "finished_at": 2.0},
        },
    ]
    (kit / ".flcore" / "journal.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    for job_id in ("told-1", "left-2"):
        (kit / job_id / "meta.json").write_text(json.dumps({"job_id": job_id, "name": "hello"}))
        (kit / job_id / "site-1.log").write_text(f"the output of {job_id}\n")
    return kit


def flcore(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str, str]:
    status = main(list(words))
    return (status, *capsys.readouterr())


@pytest.mark.parametrize("path", ["kits/site-1", "kits/site-1/", "kits"])
def test_the_path_of_a_kit_means_its_jobs(kit: Path, path: str, capsys: pytest.CaptureFixture[str]) -> None:
    status, out, err = flcore(capsys, "ps", path, "--json", "-a")
    assert (status, err) == (0, "")
    assert {json.loads(line)["job_id"] for line in out.splitlines()} == {"told-1", "left-2"}


def test_a_job_of_which_only_its_folder_tells_has_ended_nobody_knows_how(
    kit: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    _, out, _ = flcore(capsys, "ps", str(kit), "--json", "-a")
    (left,) = (one for one in map(json.loads, out.splitlines()) if one["job_id"] == "left-2")
    assert (left["site"], left["name"], left["state"], left["result"]) == ("site-1", "hello", "ended", None)
    assert "how it ended is not known: no journal tells of it" in flcore(capsys, "ps", str(kit), "-a")[1]
    assert flcore(capsys, "stop", f"{kit}/left-2")[:2] == (0, "site-1/left-2: had ended already\n")
    assert flcore(capsys, "inspect", f"{kit}/left-2")[0] == 0


@pytest.mark.parametrize("job", ["left-2", "left", "told-1"])
def test_the_path_of_a_job_in_a_kit_means_that_job(kit: Path, job: str, capsys: pytest.CaptureFixture[str]) -> None:
    status, out, err = flcore(capsys, "logs", f"kits/site-1/{job}")
    assert (status, err) == (0, "")
    assert out.startswith(f"the output of {job}")


def test_where_a_servers_kit_keeps_no_output_it_is_said_where_nvidia_flare_has_put_it(
    kit: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (kit / "startup" / "fed_server.json").touch()
    shutil.rmtree(kit / "told-1")
    status, _, err = flcore(capsys, "logs", "kits/site-1/told-1")
    assert status == 1
    assert "NVIDIA FLARE's server moves a job's folder into its result: get it by download_job" in err


@pytest.mark.parametrize("name", ["transfer", "no-app", "no-output", "..", "link"])
def test_a_folder_that_is_no_jobs_is_not_shown(kit: Path, name: str, capsys: pytest.CaptureFixture[str]) -> None:
    (kit / "no-app").mkdir()
    (kit / "no-app" / "site-1.log").touch()
    (kit / "no-output" / "app_site-1").mkdir(parents=True)
    (kit / "link").symlink_to("left-2")
    _, out, _ = flcore(capsys, "ps", str(kit), "--json", "-a")
    assert name not in [json.loads(line)["job_id"] for line in out.splitlines()]


def test_a_kit_that_has_run_no_job_has_none(tmp_path: Path, kit: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("startup", "local"):
        (tmp_path / "new" / name).mkdir(parents=True)
    assert flcore(capsys, "ps", "new", "--json") == (0, "", "")


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (["logs", "kits/site-1"], "kits/site-1 is a site's folder: name a job of it, as kits/site-1/JOB"),
        (["ps", "kits/site-1", "told"], "name jobs of one folder only: kits/site-1 and others"),
        (["gc", "kits/site-2"], "kits/site-2 is no kit, and no workspace of a site: there is no .flcore in it"),
        (["gc", "kits/site-1", "--workspace", "kits"], "name a folder, --site or --workspace, one of them"),
    ],
)
def test_a_path_that_means_no_jobs_is_an_error_with_a_way_out(
    kit: Path, words: list[str], why: str, capsys: pytest.CaptureFixture[str]
) -> None:
    status, _, err = flcore(capsys, *words)
    assert (status, err.count("\n")) == (2, 1)
    assert why in err


@pytest.mark.parametrize("command", [["gc"], REPORT, ["ps"]])
def test_all_commands_about_sites_take_the_path_of_a_kit(
    kit: Path, command: list[str], capsysbinary: pytest.CaptureFixture[bytes]
) -> None:
    assert main([*command, "kits/site-1"]) == 0
    assert capsysbinary.readouterr().err == b""


def test_a_kit_whose_launcher_names_an_engine_is_asked_about_there(
    kit: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    asked: list[tuple[object, object]] = []

    def runtime(docker_host: object = None, tls: object = None, **_: object) -> FakeRuntime:
        asked.append((docker_host, tls))
        return FakeRuntime()

    monkeypatch.setattr(docker, "DockerRuntime", runtime)
    args = {"docker_host": "tcp://here:2376", "docker_tls": {"ca": "/ca.pem", "cert": "/cert.pem", "key": "/key.pem"}}
    launcher = {"id": "launcher", "path": "launchers.nvflare_launcher.ClientDockerJobLauncher", "args": args}
    (kit / "local" / "own__p_resources.json").write_text(json.dumps({"components": [launcher]}))
    (kit / "local" / "resources.json").write_text("not JSON")
    assert flcore(capsys, "ps", str(kit))[0] == 0
    assert asked == [("tcp://here:2376", EngineTls("/ca.pem", "/cert.pem", "/key.pem"))]


@pytest.mark.parametrize("path", ["flcore.observers.JobJournal", "flcore.observers.job_journal.JobJournal"])
def test_a_kits_journal_is_read_where_the_kit_says_that_it_is(
    kit: Path, path: str, capsys: pytest.CaptureFixture[str]
) -> None:
    elsewhere = kit.parent / "elsewhere.jsonl"
    (kit / ".flcore" / "journal.jsonl").rename(elsewhere)
    journal = {"id": "journal", "path": path, "args": {"path": str(elsewhere)}}
    (kit / "local" / "own__p_resources.json").write_text(json.dumps({"components": [journal]}))
    _, out, _ = flcore(capsys, "ps", "--json", str(kit / "told-1"))
    assert [json.loads(line)["result"]["return_code"] for line in out.splitlines()] == ["SUCCESS"]
