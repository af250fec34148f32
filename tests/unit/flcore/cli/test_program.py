"""The ``flcore`` command, with real processes and jobs of one line."""

import json
import logging
import re
import signal
import sys
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from flcore import (
    EventType,
    FLComponent,
    FLContext,
    FLContextKey,
    JobHandleSpec,
    JobReturnCode,
    JobStateChange,
    JobWorkflow,
    Site,
)
from flcore.cli import main
from flcore.cli.program import log_to_stderr
from flcore.cli.view import launches_as_text
from flcore.errors import RuntimeUnavailableError
from flcore.job_launcher_spec import Check
from flcore.submitted_job import SubmittedJob
from flcore.testing import FakeFLContext
from tests.conftest import Launcher, PlainHandle, Terminal, recover
from tests.tiny_job import write_job, write_site


@pytest.fixture(autouse=True)
def _leave_the_process_as_it_was(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    handler = signal.getsignal(signal.SIGTERM)
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.chdir(tmp_path)
    yield
    signal.signal(signal.SIGTERM, handler)


@pytest.fixture
def make_job(tmp_path: Path) -> Callable[..., str]:
    """Return a function that writes a job whose processes run these lines, and returns its folder."""
    return partial(write_job, tmp_path / "tiny")


@pytest.fixture
def sites() -> list[str]:
    """The options of a command that name a server and a client."""
    return ["--site", write_site("server"), "--site", write_site("site-1")]


# --- run ---


def test_a_run_shows_the_changes_the_servers_output_and_a_table(
    make_job: Callable[..., str], sites: list[str], capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    assert main(["run", make_job(), *sites]) == 0
    shown, errors = capsys.readouterr()
    job_id = re.match(r"job (tiny-[0-9a-f]{8}) on server, site-1\n", shown)
    assert job_id
    for site in ("server", "site-1"):
        assert re.search(rf"^ +\d+\.\d s  {site} +new -> created$", shown, re.MULTILINE)
        assert re.search(rf"^ +\d+\.\d s  {site} +running -> exited$", shown, re.MULTILINE)
        assert re.search(rf"^{site} +SUCCESS +0 +\d+\.\d s$", shown, re.MULTILINE)
    assert "\noutput of server:\n  served\n" in shown
    assert "output of site-1" not in shown
    assert shown.endswith(f"\nthe server's files: {tmp_path}/work/server/{job_id[1]}\n")
    assert errors == ""


def test_a_run_as_json_prints_nothing_but_json_and_the_results_last(
    make_job: Callable[..., str], sites: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["run", make_job(), *sites, "--json"]) == 0
    *changes, last = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert {change["event"] for change in changes} == {"state_change"}
    for site in ("server", "site-1"):
        of_site = [change for change in changes if change["site"] == site]
        assert [change["state"] for change in of_site] == ["created", "running", "exited"]
        assert [change["result"] and change["result"]["return_code"] for change in of_site] == [None, None, "SUCCESS"]
    assert (last["event"], last["succeeded"], list(last["sites"])) == ("results", True, ["server", "site-1"])
    assert last["job_id"] == changes[0]["job_id"]
    assert last["sites"]["site-1"]["exit_code"] == 0
    assert last["sites"]["site-1"]["duration"] >= 0


def test_a_run_does_not_care_for_jobs_of_other_runs_that_are_found_again(
    make_job: Callable[..., str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    class Finding(FLComponent):
        def handle_event(self, event_type: str, fl_ctx: FLContext) -> None:
            if event_type == EventType.SYSTEM_START:
                handle = PlainHandle()
                recover(fl_ctx.get_engine(), "j1", handle)
                change = JobStateChange("j1", "site-1", "site-1-j1", "c0ffee", None, "exited", 1000.0, None)
                told = FakeFLContext(job_id="j1", props={FLContextKey.JOB_STATE_CHANGE: change})
                fl_ctx.get_engine().fire_event(EventType.JOB_STATE_CHANGED, told)
                handle.end(JobReturnCode.EXCEPTION)
                ended.append(handle)

    ended: list[JobHandleSpec] = []
    monkeypatch.setitem(sys.modules, "finding", SimpleNamespace(Finding=Finding))
    component = {"id": "finding", "path": "finding.Finding"}
    sites = ["--site", write_site("server", component), "--site", write_site("site-1", component)]
    assert main(["run", make_job(), *sites, "--json"]) == 0
    *changes, last = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert len(ended) == 2
    assert {change["job_id"] for change in changes} == {last["job_id"]}


def test_a_run_in_which_a_site_fails_shows_its_last_line_first_and_exits_with_1(
    make_job: Callable[..., str], sites: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    job = make_job(client="import sys; print('one\\n\\x1b[31mno data'); sys.exit(3)", min_clients=0)
    assert main(["run", job, *sites]) == 1
    shown = capsys.readouterr().out
    assert re.search(r"^site-1 +EXECUTION_ERROR +3 +\d+\.\d s  no data$", shown, re.MULTILINE)
    assert shown.partition("no data")[2].count("\noutput of site-1, before that:\n  one\n") == 1


def test_a_job_that_a_site_refuses_is_shown_in_the_table(
    make_job: Callable[..., str], sites: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["run", make_job(resource_spec={"site-1": {"memory": "lots"}}), *sites]) == 1
    shown = capsys.readouterr().out
    assert re.search(r"^site-1 +CONFIG_ERROR +- +-\n    job tiny-\w+: resource_spec\.site-1", shown, re.MULTILINE)


def test_the_results_of_a_run_that_failed_say_so_in_json(
    make_job: Callable[..., str], sites: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["run", make_job(server="raise SystemExit(103)"), *sites, "--json"]) == 1
    last = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert last["succeeded"] is False
    assert last["sites"]["server"]["return_code"] == "CONFIG_ERROR"


def test_the_workspaces_can_be_kept_elsewhere(make_job: Callable[..., str], sites: list[str], tmp_path: Path) -> None:
    assert main(["run", make_job(), *sites, "--json", "--workspace", "elsewhere"]) == 0
    assert sorted(path.name for path in (tmp_path / "elsewhere").iterdir()) == ["server", "site-1"]
    assert not (tmp_path / "work").exists()


META = {"a map": {"deploy_map": {"app": ["site-1"]}}, "all sites": {"deploy_map": {"app": ["@ALL"]}}, "no map": {}}


@pytest.mark.parametrize("meta", META.values(), ids=META)
def test_a_first_job_runs_on_one_site(meta: dict[str, Any], capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    Path("hello/app/custom").mkdir(parents=True)
    Path("hello/app/custom/client.py").write_text("print('hello')\n")
    Path("hello/meta.json").write_text(json.dumps({"name": "hello", **meta}))
    assert main(["run", "hello", "--site", write_site("site-1")]) == 0
    shown, errors = capsys.readouterr()
    job_id = re.match(r"job (hello-[0-9a-f]{8}) on site-1\n +\d", shown)
    assert job_id
    assert re.search(r"^ +\d+\.\d s  site-1 +running -> exited$", shown, re.MULTILINE)
    assert "\noutput of site-1:\n  hello\n" in shown
    assert re.search(r"^site-1 +SUCCESS +0 +\d+\.\d s$", shown, re.MULTILINE)
    assert shown.endswith(f"\nsite-1's files: {tmp_path}/work/site-1/{job_id[1]}\n")
    assert errors == ""


def test_a_run_on_some_of_a_jobs_sites_says_which_are_left_out(
    make_job: Callable[..., str], capsys: pytest.CaptureFixture[str]
) -> None:
    job = make_job(deploy_map={"app": ["server", "site-1", "site-2"]})
    site = write_site("site-1")
    assert main(["run", job, "--site", site]) == 0
    assert capsys.readouterr().out.splitlines()[1] == "left out: server, site-2 (no config of these is given)"
    assert main(["run", job, "--site", site, "--json"]) == 0
    assert json.loads(capsys.readouterr().out.splitlines()[-1])["left_out"] == ["server", "site-2"]
    assert main(["run", job, "--site", site, "--dry-run"]) == 0
    assert capsys.readouterr().out.splitlines()[0] == "left out: server, site-2 (no config of these is given)"


def test_a_site_that_the_deploy_map_does_not_name_is_one_error_before_the_run(
    make_job: Callable[..., str], sites: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    job = make_job(deploy_map={"app": ["server"]})
    assert main(["run", job, *sites]) == 2
    assert capsys.readouterr() == (
        "",
        f"flcore: error: {job}: the deploy_map does not name site 'site-1': leave out --site site-1.json, or add it to "
        f"{job}/meta.json\n",
    )


@pytest.mark.parametrize("option", [["--json"], []])
def test_an_error_before_the_run_is_one_line_on_standard_error(
    make_job: Callable[..., str], sites: list[str], option: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    job = make_job(min_clients=5)
    assert main(["run", job, *sites, *option]) == 2
    assert capsys.readouterr() == (
        "",
        f"flcore: error: {job}/meta.json: min_clients: must be a number from 0 to 1, its clients, got 5\n",
    )


def test_a_job_folder_that_is_not_there_is_an_error(sites: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", "nothing", *sites]) == 2
    assert capsys.readouterr().err == "flcore: error: nothing: is no job folder; it needs a meta.json and an app\n"


INTERRUPTED_BY = {
    "Ctrl-C": "raise KeyboardInterrupt",
    "SIGTERM": "os.kill(os.getpid(), signal.SIGTERM)",
}


def write_interrupting_site(how: str) -> list[str]:
    """Write a component that interrupts the launch at site-1; return the options that name the sites."""
    Path("interrupting.py").write_text(
        "import os, signal\n"
        "from flcore import FLComponent\n\n\n"
        "class Component(FLComponent):\n"
        "    def handle_event(self, event_type, fl_ctx):\n"
        f"        if event_type == '_before_job_launch':\n            {INTERRUPTED_BY[how]}\n"
    )
    component = {"id": "interrupting", "path": "interrupting.Component"}
    return ["--site", write_site("server"), "--site", write_site("site-1", component)]


@pytest.fixture
def _forget_interrupting() -> Iterator[None]:
    yield
    sys.modules.pop("interrupting", None)


@pytest.mark.usefixtures("_forget_interrupting")
def test_control_c_ends_everything_and_exits_with_130(
    make_job: Callable[..., str], capsys: pytest.CaptureFixture[str]
) -> None:
    job = make_job(server="import signal; signal.pause()")
    assert main(["run", job, *write_interrupting_site("Ctrl-C")]) == 130
    shown, errors = capsys.readouterr()
    assert errors == "flcore: interrupted; everything that ran has been ended\n"
    assert re.search(
        r"^server +ABORTED .*\n? +ended on .* the workflow, because it was interrupted$", shown, re.MULTILINE
    )


@pytest.mark.usefixtures("_forget_interrupting")
def test_a_termination_signal_ends_everything_and_exits_with_143(
    make_job: Callable[..., str], capsys: pytest.CaptureFixture[str]
) -> None:
    job = make_job(server="import signal; signal.pause()")
    with pytest.raises(SystemExit) as raised:
        main(["run", job, *write_interrupting_site("SIGTERM")])
    assert raised.value.code == 143
    shown = capsys.readouterr().out
    assert re.search(
        r"^server +ABORTED .*\n? +ended on .* the workflow, because it was interrupted$", shown, re.MULTILINE
    )


def test_on_a_terminal_the_job_is_shown_live(
    make_job: Callable[..., str], sites: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("rich", reason="of the extra [cli]")
    terminal = Terminal()
    monkeypatch.setattr(sys, "stdout", terminal)
    monkeypatch.setenv("TERM", "xterm")
    assert main(["run", make_job(), *sites]) == 0
    assert re.search(r"^site +state +elapsed +last line", terminal.text(), re.MULTILINE)
    assert re.search(r"^site-1 +SUCCESS +0 +\d+\.\d s", terminal.text(), re.MULTILINE)


# --- check ---


def test_check_says_that_all_is_there(capsys: pytest.CaptureFixture[str]) -> None:
    Path("data.csv").touch()
    config = write_site("site-1", datasets={"digits": "${CONFIG_DIR}/data.csv"})
    assert main(["check", config]) == 0
    assert capsys.readouterr().out == (
        "site-1.json: site site-1, 1 components\n"
        "  ok       launcher: runtime: local processes (needs Linux 5.3 or later)\n"
        f"  ok       launcher: dataset digits: {Path.cwd()}/data.csv\n"
    )


def test_check_says_who_has_which_gpu_of_the_sites_own_folder(capsys: pytest.CaptureFixture[str]) -> None:
    config = write_site("site-1", gpu_ids=["0", "1"])
    leases = Path("work/site-1/.flcore/gpus")
    leases.mkdir(parents=True)
    (leases / "0").touch()
    assert main(["check", config]) == 0
    assert (
        f"  ok       launcher: GPUs: 1 of 2 GPUs are free; 0: whoever made the file {leases.absolute()}/0\n"
        in capsys.readouterr().out
    )


def test_check_starts_no_site_and_lets_go_of_its_launchers(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    class Open(Launcher):
        def handle_event(self, event_type: str, fl_ctx: FLContext) -> None:
            print("event", event_type)

        def check(self, fl_ctx: FLContext | None = None) -> Iterator[Check]:
            yield Check("a door", ok=False)
            raise RuntimeUnavailableError("away")

        def close(self) -> None:
            print("closed")

    monkeypatch.setitem(sys.modules, "opening", SimpleNamespace(Open=Open))
    config = {"site": "site-1", "components": [{"id": "open", "path": "opening.Open"}]}
    Path("site-1.json").write_text(json.dumps(config))
    assert main(["check", "site-1.json"]) == 2
    assert capsys.readouterr().out.splitlines()[1:] == ["  MISSING  open: a door: ", "closed"]


def test_a_warning_is_told_as_such_and_fails_no_check(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    class Lenient(Launcher):
        def check(self, fl_ctx: FLContext | None = None) -> Iterator[Check]:
            yield Check("limits", ok=True, detail="none holds", warning=True)
            yield Check("image", ok=True, detail="job:1")

    monkeypatch.setitem(sys.modules, "lenient", SimpleNamespace(Lenient=Lenient))
    config = {"site": "site-1", "components": [{"id": "launcher", "path": "lenient.Lenient"}]}
    Path("site-1.json").write_text(json.dumps(config))
    assert main(["check", "site-1.json"]) == 0
    assert capsys.readouterr().out.splitlines()[1:] == [
        "  warning  launcher: limits: none holds",
        "  ok       launcher: image: job:1",
    ]


def test_what_jobs_reach_is_tried_only_if_that_is_asked_for(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    class Reaching(Launcher):
        def check_reach(self, fl_ctx: FLContext | None = None) -> Iterator[Check]:
            yield Check("reach", ok=False, detail="jobs see a socket")

    monkeypatch.setitem(sys.modules, "reaching", SimpleNamespace(Reaching=Reaching))
    config = {"site": "site-1", "components": [{"id": "launcher", "path": "reaching.Reaching"}]}
    Path("site-1.json").write_text(json.dumps(config))
    assert (main(["check", "site-1.json"]), main(["check", "--network", "site-1.json"])) == (0, 1)
    assert capsys.readouterr().out.count("MISSING  launcher: reach: jobs see a socket") == 1


def test_check_names_what_is_missing_and_exits_with_1(capsys: pytest.CaptureFixture[str]) -> None:
    good, bad = write_site("server"), write_site("site-1", datasets={"digits": "/nowhere/data.csv"})
    assert main(["check", bad, good]) == 1
    assert "  MISSING  launcher: dataset digits: /nowhere/data.csv\n" in capsys.readouterr().out


def test_check_names_a_missing_secret_by_its_source(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", write_site("site-1", secrets={"db": {"file": "/nowhere/db"}})]) == 1
    missing = "the secret db: file /nowhere/db cannot be read: No such file or directory"
    assert f"  MISSING  launcher: secret db: {missing}\n" in capsys.readouterr().out


def test_check_misses_a_launcher(capsys: pytest.CaptureFixture[str]) -> None:
    Path("site-1.json").write_text('{"site": "site-1", "components": []}')
    assert main(["check", "site-1.json"]) == 1
    assert capsys.readouterr().out == (
        "site-1.json: site site-1, 0 components\n  MISSING  a launcher: the site can run no job\n"
    )


def test_check_exits_with_2_for_a_config_that_is_wrong(capsys: pytest.CaptureFixture[str]) -> None:
    Path("site-1.json").write_text("{")
    assert main(["check", "site-1.json"]) == 2
    assert capsys.readouterr().err == (
        "flcore: error: site-1.json: line 1, column 2: Expecting property name enclosed in double quotes\n"
    )


def test_check_says_what_is_wrong_with_each_config_and_looks_at_all_that_load(
    capsys: pytest.CaptureFixture[str],
) -> None:
    Path("site-2.json").write_text('{"site": "site-2", "components": [], "at_end": "go"}')
    assert main(["check", "nowhere.json", write_site("site-1"), "site-2.json"]) == 2
    told = capsys.readouterr()
    assert told.out.startswith("site-1.json: site site-1, 1 components\n  ok ")
    assert [line.split(": ")[:3] for line in told.err.splitlines()] == [
        ["flcore", "error", "nowhere.json"],
        ["flcore", "error", "site-2.json"],
    ]


@pytest.mark.parametrize("argv", [[], ["run"], ["run", "job"], ["check"], ["fly"]])
def test_a_wrong_command_line_exits_with_2_and_says_how_it_goes(
    argv: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as raised:
        main(argv)
    assert raised.value.code == 2
    assert capsys.readouterr().err.startswith("usage: flcore")


@pytest.mark.parametrize("command", ["run", "check"])
def test_help_has_an_example_and_the_exit_statuses(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main([command, "--help"])
    shown = capsys.readouterr().out
    assert f"example:\n  flcore {command} configs/" in shown
    assert "exit status: 0 if " in shown


# --- run --dry-run, check --job ---


def test_a_dry_run_prints_each_setting_and_where_it_comes_from_and_changes_nothing(
    make_job: Callable[..., str], capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    spec = {"default": {"process": {"env": {"JOB_A": "1"}}}}
    site = write_site("site-1", env={"SITE_PASSWORD": "hunter2", "B": "2"}, job_env_prefixes=["JOB_"])
    options = ["--site", write_site("server", job_env_prefixes=["JOB_"]), "--site", site]
    assert main(["run", make_job(launcher_spec=spec), *options, "--dry-run"]) == 0
    shown, errors = capsys.readouterr()
    assert re.search(r"^server:\n  name +fixed +\"server-tiny-", shown, re.MULTILINE)
    of_client = shown.partition("\nsite-1:\n")[2]
    for setting in (
        r'argv +fixed +\[.*"-m", "client"',
        r'Env.JOB_A +job: launcher_spec.default.process.env +"1"',
        r'Env.B +site: env +"2"',
        r'Env.SITE_PASSWORD +site: env +"\*\*\*"',
        r'Env.NVFLARE_JOB_AUTH_TOKEN +credential +"\*\*\*"',
    ):
        assert re.search(rf"^  {setting}", of_client, re.MULTILINE)
    assert errors == ""
    assert not (tmp_path / "work").exists()


def test_a_dry_run_as_json_has_the_exact_requests(
    make_job: Callable[..., str], sites: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["run", make_job(), *sites, "--dry-run", "--json"]) == 0
    launches = json.loads(capsys.readouterr().out)
    assert list(launches) == ["server", "site-1"]
    assert launches["site-1"]["request"]["argv"][1:4] == ["-u", "-m", "client"]
    assert launches["site-1"]["origins"]["argv"] == "fixed"


def test_a_dry_run_of_a_job_that_a_site_refuses_says_why_and_exits_with_1(
    make_job: Callable[..., str], sites: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    job = make_job(launcher_spec={"site-1": {"process": {"privileged": True}}})
    assert main(["run", job, *sites, "--dry-run"]) == 1
    assert re.search(
        r"^site-1: REFUSED: job .*process.privileged: no job may ask for it", capsys.readouterr().out, re.MULTILINE
    )
    assert main(["run", job, *sites, "--dry-run", "--json"]) == 1
    assert "privileged" in json.loads(capsys.readouterr().out)["site-1"]["error"]


def test_a_launcher_that_cannot_tell_what_it_would_ask_for_is_named_as_such(
    make_job: Callable[..., str], capsys: pytest.CaptureFixture[str]
) -> None:
    workflow = JobWorkflow(
        SubmittedJob.read(make_job()), [Site(name, {"launcher": Launcher()}) for name in ("server", "site-1")]
    )
    assert workflow.describe_launches() == {"server": None, "site-1": None}
    assert "server: its launcher cannot tell" in launches_as_text(workflow.describe_launches())


def test_a_check_with_a_job_prints_what_it_would_be_launched_with(
    make_job: Callable[..., str], capsys: pytest.CaptureFixture[str]
) -> None:
    configs = [write_site("server"), write_site("site-1")]
    assert main(["check", *configs, "--job", make_job()]) == 0
    shown = capsys.readouterr().out
    assert re.search(r"^server:\n  name +fixed", shown, re.MULTILINE)
    assert re.search(r"^  so it sees, and gets:\n    study +none\n    datasets +none\n", shown, re.MULTILINE)


def test_a_check_with_a_job_says_what_of_its_metadata_is_passed_over(
    make_job: Callable[..., str], capsys: pytest.CaptureFixture[str]
) -> None:
    configs = [write_site("server"), write_site("site-1")]
    job = make_job(
        resource_spec={"site-1": {"gpu_type": "a100"}}, launcher_spec={"default": {"docker": {"image": "x"}}}
    )
    assert main(["check", *configs, "--job", job]) == 0
    server, client = capsys.readouterr().out.split("\nsite-1:\n")
    of_docker = "  passed over: launcher_spec.default.docker: for launchers of the kind 'docker'; this is 'process'"
    assert of_docker in server.splitlines()
    assert "gpu_type" not in server
    assert client.splitlines()[-2:] == [
        of_docker,
        "  passed over: resource_spec.site-1.gpu_type: no resource that this launcher gives",
    ]


HOSTILE = "\x9b2J\x9b1;1HEverything is fine\x9d0;owned\x9c \x7f \u202egnp.exe \u2028 next\u200b"


def test_no_variable_of_a_job_does_anything_to_the_terminal_of_who_looks_at_the_job_first(
    make_job: Callable[..., str], capsys: pytest.CaptureFixture[str]
) -> None:
    configs = [write_site(name, job_env_prefixes=["JOB_"]) for name in ("server", "site-1")]
    job = make_job(launcher_spec={"default": {"process": {"env": {"JOB_A": HOSTILE}}}})
    assert main(["run", job, "--site", configs[0], "--site", configs[1], "--dry-run"]) == 0
    assert main(["check", *configs, "--job", job]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line for line in lines if not line.isprintable()] == []
    shown = r'"\x9b2J\x9b1;1HEverything is fine\x9d0;owned\x9c \x7f \u202egnp.exe \u2028 next\u200b"'
    assert sum(line.endswith(shown) for line in lines) == 4


def test_an_error_in_the_words_of_others_does_nothing_to_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", f"{HOSTILE}.json"]) == main(["check", f"{HOSTILE}.json", "--debug"]) == 2
    assert all(line.isprintable() for line in capsys.readouterr().err.splitlines())


def test_what_is_logged_to_standard_error_does_nothing_to_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    root = logging.getLogger()
    before, root.handlers = root.handlers, []
    try:
        log_to_stderr(logging.WARNING)
        logging.getLogger("engine").error("it says: %s", HOSTILE, exc_info=ValueError(HOSTILE))
    finally:
        root.handlers = before
    lines = capsys.readouterr().err.split("\n")
    assert lines[0].startswith("ERROR engine: it says: \\x9b2J")
    assert lines[1].startswith("ValueError: \\x9b2J")
    assert all(line.isprintable() for line in lines)


def test_all_errors_of_a_config_are_printed_a_line_each(
    make_job: Callable[..., str], capsys: pytest.CaptureFixture[str]
) -> None:
    site = write_site("server", keep=1, stop_grace="x")
    assert main(["check", site]) == 2
    lines = capsys.readouterr().err.splitlines()
    assert [line.startswith("flcore: error: server.json: component 'launcher': args: ") for line in lines] == [True] * 2
