"""What a journal says of jobs, and that it says it whatever happens."""

from __future__ import annotations

import getpass
import socket
from pathlib import Path
from typing import Any

import pytest

import flcore
from flcore import EventType, FLContextKey, JobResult, JobReturnCode, Site
from flcore.config.component_config import ComponentBuilder
from flcore.disk.journal_check import check_journal, heads_in
from flcore.disk.journal_file import journal_files, read_journal
from flcore.errors import ConfigError
from flcore.event_ids import EventId
from flcore.observers.job_history import JobHistory, SiteHistory
from flcore.observers.job_journal import JobJournal
from flcore.testing import FakeFLContext
from launchers.docker_launcher import ClientDockerJobLauncher
from launchers.runtime.fake import FakeRuntime
from tests.conftest import Launcher

META = {"job_id": "job-1", "name": "digits"}
ARGS: dict[str, tuple[str, Any]] = {"exe_module": ("-m", "client")}


def make_site(folder: Path, runtime: FakeRuntime | None = None, **args: Any) -> Site:
    launcher = ClientDockerJobLauncher(image="img", runtime=runtime) if runtime else Launcher()
    return Site("site-1", {"journal": JobJournal(**args), "launcher": launcher}, workspace=folder)


def journal_of(folder: Path) -> Path:
    return folder / ".flcore/journal.jsonl"


def lines_of(folder: Path) -> list[dict[str, Any]]:
    return list(read_journal(journal_of(folder)))


def history_of(folder: Path, job_id: str = "job-1") -> JobHistory:
    return SiteHistory(lines_of(folder)).jobs["site-1", job_id]


@pytest.fixture
def runtime() -> FakeRuntime:
    return FakeRuntime()


def test_it_tells_a_job_from_its_launch_to_its_end(tmp_path: Path, runtime: FakeRuntime) -> None:
    with make_site(tmp_path, runtime) as site:
        handle = site.launch_job(META, ARGS)
        runtime.exit("site-1-job-1", 3)
        handle.wait()

    opened, *lines = lines_of(tmp_path)
    assert opened["event"] == "opened"
    assert [line["event"] for line in lines if line["event"] != "launched"] == [
        "launching",
        "state_change",
        "state_change",
        "state_change",
        "completed",
    ]
    assert all(line["site"] == "site-1" and line["job_id"] == "job-1" and line["time"] > 0 for line in lines)
    job = history_of(tmp_path)
    assert (job.name, job.container_name, job.state, job.result) == ("digits", "site-1-job-1", "exited", handle.result)
    assert [entry.state for entry in job.states] == ["created", "running", "exited"]


def test_it_says_of_which_study_a_job_is(tmp_path: Path, runtime: FakeRuntime) -> None:
    with make_site(tmp_path, runtime) as site:
        site.launch_job(META | {"study": "brain"}, ARGS)
        site.launch_job(META | {"job_id": "job-2"}, ARGS)

    assert [history_of(tmp_path, job_id).study for job_id in ("job-1", "job-2")] == ["brain", ""]


@pytest.mark.parametrize("study", ["default", "", None, 7, ["brain"]])
def test_what_is_no_study_to_nvidia_flare_is_none_here(study: object, tmp_path: Path, runtime: FakeRuntime) -> None:
    with make_site(tmp_path, runtime) as site:
        fl_ctx = site.new_context()
        fl_ctx.set_prop(FLContextKey.CURRENT_RUN, "job-1", private=False, sticky=False)
        fl_ctx.set_prop(FLContextKey.JOB_META, META | {"study": study}, private=True, sticky=False)
        site.fire_event(EventType.BEFORE_JOB_LAUNCH, fl_ctx)

    assert history_of(tmp_path).study == ""


def test_of_an_older_journal_no_job_is_of_a_study() -> None:
    line = {"event": "launching", "time": 1.0, "site": "site-1", "job_id": "job-1", "name": "digits", "parent": "p"}

    assert SiteHistory([line]).jobs["site-1", "job-1"].study == ""


def test_it_says_what_the_runtime_was_asked_for_without_secrets(tmp_path: Path, runtime: FakeRuntime) -> None:
    with make_site(tmp_path, runtime) as site:
        site.launch_job(META, ARGS | {"auth_token": ("-t", "hush")})

    request = history_of(tmp_path).request
    assert request is not None
    assert (request["name"], request["environment"]["NVFLARE_JOB_AUTH_TOKEN"]) == ("site-1-job-1", "***")
    assert "hush" not in journal_of(tmp_path).read_text()


def test_it_says_why_a_launch_failed(tmp_path: Path) -> None:
    with make_site(tmp_path, FakeRuntime(images=set())) as site, pytest.raises(Exception, match="img is not there"):
        site.launch_job(META, ARGS)

    result = history_of(tmp_path).result
    assert result is not None
    assert result.return_code is JobReturnCode.EXECUTION_ERROR
    assert "image img is not there" in result.error


def test_the_next_process_goes_on_and_what_was_told_twice_counts_once(tmp_path: Path, runtime: FakeRuntime) -> None:
    first = make_site(tmp_path, runtime)
    first.start()
    first.launch_job(META, ARGS)
    first.close()
    with make_site(tmp_path, runtime) as site:
        runtime.exit("site-1-job-1", 0)
        site.jobs()["job-1"].wait()
    lines = lines_of(tmp_path)
    recovered = next(line for line in lines if line["event"] == "recovered")

    job = SiteHistory(lines + lines[-2:]).jobs["site-1", "job-1"]
    assert (job.recovered, [entry.state for entry in job.states]) == (1, ["created", "running", "exited"])
    assert job.result is not None
    assert job.result.succeeded
    assert job.parent == recovered["parent"] != lines[0]["parent"]


def test_an_id_that_is_used_again_begins_a_run_of_its_own(tmp_path: Path, runtime: FakeRuntime) -> None:
    with make_site(tmp_path, runtime) as site:
        for code in (1, 0):
            handle = site.launch_job(META, ARGS)
            runtime.exit("site-1-job-1", code)
            handle.wait()

    job = history_of(tmp_path)
    assert job.result is not None
    assert (job.result.exit_code, len(job.states)) == (0, 3)


def test_the_end_of_a_run_may_be_told_after_the_next_one_has_begun() -> None:
    def result(code: int) -> dict[str, Any]:
        return JobResult(JobReturnCode.EXECUTION_ERROR, code).as_dict()

    def change(container: str, state: str, time: float, code: int | None = None) -> dict[str, Any]:
        fields = {"container_id": container, "container_name": "c", "state": state, "time": time}
        return {"event": "state_change", **fields, "result": code and result(code)}

    launching: dict[str, Any] = {"event": "launching", "time": 1.0, "name": "", "parent": "p"}
    lines = [
        launching,
        change("first", "created", 1.0),
        launching | {"time": 3.0},
        change("first", "exited", 2.0, 1),
        {"event": "completed", "time": 3.1, "result": result(1)},
        change("second", "created", 3.2),
        change("second", "exited", 3.3, 2),
        {"event": "completed", "time": 3.4, "result": result(2)},
    ]
    job = SiteHistory({"site": "s", "job_id": "j"} | line for line in lines).jobs["s", "j"]

    assert job.result is not None
    assert (job.result.exit_code, [entry.state for entry in job.states]) == (2, ["created", "exited"])


@pytest.mark.parametrize("ends_first", ["one", "two"])
def test_runs_without_containers_are_told_apart_whichever_end_comes_first(ends_first: str) -> None:
    def lines_of_run(run: str, code: JobReturnCode) -> tuple[list[dict[str, Any]], dict[str, Any]]:
        result = JobResult(code).as_dict()
        states = (("created", None), ("running", None), ("exited", result))
        changes = [
            {"event": "state_change", "time": 2.0, "container_name": "", "container_id": "", "state": state}
            | {"result": ended, "id": f"{run}.{number}"}
            for number, (state, ended) in enumerate(states, 1)
        ]
        return changes, {"event": "completed", "time": 3.0, "result": result, "id": f"{run}.4"}

    begin = {"event": "launching", "time": 1.0, "name": "", "parent": "p"}
    changes, end = lines_of_run("one", JobReturnCode.SUCCESS)
    next_changes, next_end = lines_of_run("two", JobReturnCode.EXCEPTION)
    ends = [end, next_end] if ends_first == "one" else [next_end, end]
    lines = [begin, changes[0], begin, *changes[1:], *next_changes, *ends]
    job = SiteHistory({"site": "s", "job_id": "j"} | line for line in lines).jobs["s", "j"]
    assert [entry.state for entry in job.states] == ["created", "running", "exited"]
    assert job.result == JobResult(JobReturnCode.EXCEPTION)
    assert job.run == "two"


def test_a_launch_that_is_refused_before_it_begins_is_a_run_of_its_own(tmp_path: Path, runtime: FakeRuntime) -> None:
    with make_site(tmp_path, runtime) as site:
        handle = site.launch_job(META, ARGS)
        runtime.exit("site-1-job-1", 0)
        handle.wait()
    refused: dict[str, Any] = {"event": "aborted", "time": 2.0, "site": "site-1", "job_id": "job-1"}
    refused["result"] = JobResult(JobReturnCode.CONFIG_ERROR, error="no").as_dict()

    job = SiteHistory([*lines_of(tmp_path), refused]).jobs["site-1", "job-1"]

    assert (job.states, job.result) == ([], JobResult(JobReturnCode.CONFIG_ERROR, error="no"))


def test_it_tells_when_the_engine_did_not_answer(tmp_path: Path, runtime: FakeRuntime) -> None:
    with make_site(tmp_path, runtime) as site:
        fl_ctx = site.new_context()
        fl_ctx.put(FLContextKey.EVENT_DATA, "gone", private=True, sticky=False)
        site.fire_event(EventType.ENGINE_UNREACHABLE, fl_ctx)
        site.fire_event(EventType.ENGINE_REACHABLE, site.new_context())

    (outage,) = SiteHistory(lines_of(tmp_path)).outages
    assert (outage.site, outage.reason) == ("site-1", "gone")
    assert outage.until is not None
    assert outage.until >= outage.since


def test_an_outage_ends_with_the_process_that_saw_it_and_paints_over_no_later_job(tmp_path: Path) -> None:
    with make_site(tmp_path) as site:
        site.fire_event(EventType.ENGINE_UNREACHABLE, site.new_context())  # and is not told to be over
    with make_site(tmp_path) as site:
        site.fire_event(EventType.ENGINE_UNREACHABLE, site.new_context())
        site.fire_event(EventType.ENGINE_REACHABLE, site.new_context())
    before, after = SiteHistory(lines_of(tmp_path)).settled_outages(lambda _: False)
    assert (before.until, before.outlived) == (before.since, True)
    assert (after.until is not None, after.outlived) == (True, False)


def test_an_outage_ends_with_what_was_heard_last_of_its_process() -> None:
    lines: list[dict[str, Any]] = [
        {"event": "engine_unreachable", "time": 1.0, "parent": "p"},
        {"event": "launching", "time": 3.0, "parent": "p", "job_id": "j", "name": ""},
        {"event": "launching", "time": 9.0, "parent": "another", "job_id": "k", "name": ""},
    ]
    history = SiteHistory({"site": "s"} | line for line in lines)
    [outage] = history.settled_outages(lambda _: False)
    assert (outage.since, outage.until, outage.outlived) == (1.0, 3.0, True)
    assert history.settled_outages({"p"}.__contains__) == history.outages


def test_the_outages_of_two_launchers_engines_are_two() -> None:
    lines: list[dict[str, Any]] = [
        {"event": "engine_unreachable", "time": 1.0, "launcher": "one"},
        {"event": "engine_unreachable", "time": 2.0, "launcher": "other"},
        {"event": "engine_reachable", "time": 3.0, "launcher": "other"},
    ]
    history = SiteHistory({"site": "s", "parent": "p"} | line for line in lines)
    assert [(each.launcher, each.until) for each in history.outages] == [("one", None), ("other", 3.0)]


def test_no_launch_of_a_dead_process_has_waited_for_a_later_ones_pull() -> None:
    lines: list[dict[str, Any]] = [
        {"event": "launching", "time": 1.0, "parent": "dead", "job_id": "j", "name": ""},
        {"event": "launching", "time": 8.0, "parent": "p", "job_id": "k", "name": ""},
        {"event": "image_pulled", "time": 9.0, "parent": "p", "image": "job:1", "seconds": 0.5, "error": ""},
    ]
    jobs = SiteHistory({"site": "s"} | line for line in lines).jobs
    assert [len(job.pulls) for job in jobs.values()] == [0, 1]


def test_it_makes_one_line_of_whatever_a_job_is_called(tmp_path: Path, runtime: FakeRuntime) -> None:
    evil = '\x1b[31m<script>alert(1)</script>\n{"event": "completed"}\u2028' + "x" * 1000
    with make_site(tmp_path, runtime) as site:
        site.launch_job(META | {"name": evil}, ARGS)

    text = journal_of(tmp_path).read_bytes()
    assert len(text.splitlines()) == len(lines_of(tmp_path))
    assert not [byte for byte in text if byte != 10 and not 32 <= byte < 127]
    assert history_of(tmp_path).name == evil[:200]


def test_a_journal_that_cannot_be_written_stops_no_job(
    tmp_path: Path, runtime: FakeRuntime, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "folder").mkdir()
    with make_site(tmp_path, runtime, path=str(tmp_path / "folder")) as site:
        handle = site.launch_job(META, ARGS)
        runtime.exit("site-1-job-1", 0)
        assert handle.wait() is JobReturnCode.SUCCESS

    assert "the journal cannot be written" in caplog.text


# --- its config ---


@pytest.mark.parametrize(
    ("args", "wrong"),
    [
        ({"max_size": "much"}, "max_size must be a number of bytes"),
        ({"max_files": 0}, "max_files must be a whole number"),
        ({"path": 1}, "path must be an absolute path, got 1"),
        ({"path": "."}, "path must be an absolute path, got"),
        ({"audit_head": "syslog"}, "audit_head must be an object with file or syslog, got 'syslog'"),
        ({"audit_head": {"fiel": "/a"}}, "audit_head.fiel is unknown; there are file, syslog; did you mean 'file'"),
        ({"audit_head": {"file": "heads"}}, "audit_head.file must be an absolute path, got 'heads'"),
        ({"audit_head": {"syslog": "loghost"}}, "audit_head.syslog must be true, the path of a socket, or HOST:PORT"),
        ({"audit_head": {"syslog": "loghost:0"}}, "audit_head.syslog must be true, the path of a socket, or HOST:PORT"),
    ],
)
def test_a_wrong_argument_is_named(args: dict[str, Any], wrong: str) -> None:
    config = {"id": "journal", "path": "flcore.observers.job_journal.JobJournal", "args": args}
    with pytest.raises(ConfigError, match=wrong):
        ComponentBuilder("site.json").build_all([config])


def test_without_a_workspace_it_says_that_it_needs_one(caplog: pytest.LogCaptureFixture) -> None:
    fl_ctx = FakeFLContext("site-1", components=[JobJournal()])
    fl_ctx.get_engine().fire_event(EventType.SYSTEM_BOOTSTRAP, fl_ctx)

    assert "needs a site with a workspace" in caplog.text


def test_what_a_journal_has_twice_by_one_id_counts_once() -> None:
    change = {"event": "state_change", "site": "site-1", "job_id": "job-1", "container_name": "c", "container_id": "c1"}
    paused = {**change, "state": "paused", "time": 3.0, "result": None, "id": "run.3"}
    running = {**change, "state": "running", "time": 4.0, "result": None, "id": "run.4"}
    again = {**paused, "time": 4.5}
    history = SiteHistory([paused, running, again]).jobs["site-1", "job-1"]
    assert [state.state for state in history.states] == ["paused", "running"]


def test_an_end_that_is_told_again_begins_no_other_run_of_the_job() -> None:
    def end(number: int, run: str, *, seconds: float) -> dict[str, Any]:
        result = JobResult(JobReturnCode.SUCCESS, exit_code=0, finished_at=seconds).as_dict()
        about = {"event": "completed", "site": "site-1", "job_id": "job-1", "time": seconds}
        return {**about, "result": result, "id": f"{run}.{number}"}

    history = SiteHistory([end(6, "run", seconds=10.0), end(2, "next-run", seconds=20.0), end(6, "run", seconds=10.0)])
    assert history.jobs["site-1", "job-1"].closed_at == 20.0


def test_each_line_of_a_change_and_an_end_has_the_id_that_was_told(tmp_path: Path, runtime: FakeRuntime) -> None:
    with make_site(tmp_path, runtime) as site:
        handle = site.launch_job(META, ARGS)
        runtime.exit("site-1-job-1", 3)
        handle.wait()
    ids = [EventId.of(line["id"]) for line in lines_of(tmp_path) if "id" in line]
    assert [event_id and event_id.number for event_id in ids] == [1, 2, 3, 4]


def test_a_journal_that_cannot_be_opened_is_one_error_without_a_traceback(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / ".flcore").touch()  # no folder can be made there
    with make_site(tmp_path) as site:
        site.launch_job(META, ARGS).terminate()
    [record] = [record for record in caplog.records if record.levelname == "ERROR"]
    assert not record.exc_info
    assert record.getMessage() == (
        "[identity=site-1, run=?]: the journal cannot be opened, so it misses all of this site: "
        f"File exists: {tmp_path}/.flcore"
    )


def test_a_job_of_all_sites_that_has_not_ended_well_is_told_behind_the_end_of_its_process_here(tmp_path: Path) -> None:
    runtime = FakeRuntime()
    with make_site(tmp_path, runtime) as site:
        handle = site.launch_job(META, ARGS)
        runtime.exit("site-1-job-1")
        handle.wait()
        fl_ctx = site.new_context()
        fl_ctx.put(FLContextKey.CURRENT_RUN, "job-1", private=False, sticky=False)
        fl_ctx.put(FLContextKey.EVENT_DATA, "FINISHED:ABORTED", private=True, sticky=False)
        site.fire_event(EventType.FEDERATED_JOB_FAILED, fl_ctx)
    job = history_of(tmp_path)
    assert (job.result and job.result.succeeded, job.federation) == (True, "FINISHED:ABORTED")


# --- a launch that waits for somebody ---


def line(event: str, time: float, **fields: Any) -> dict[str, Any]:
    return {"event": event, "time": time, "site": "site-1", "job_id": "job-1", "parent": "p1", **fields}


LAUNCHING = {"name": "digits", "study": ""}
HELD = [line("launching", 1.0, **LAUNCHING), line("held", 2.0, reason="waits for approval")]
ENDED = JobResult(JobReturnCode.CONFIG_ERROR, error="denied").as_dict()


def told(*lines: dict[str, Any]) -> JobHistory:
    return SiteHistory(lines).jobs["site-1", "job-1"]


def test_what_a_launch_waits_for_is_told_until_it_goes_on() -> None:
    assert told(*HELD).held == "waits for approval"
    again = told(*HELD, line("launching", 9.0, **LAUNCHING))
    assert (again.held, again.launching_at, again.result) == ("", 1.0, None)


def test_a_launch_that_was_put_off_ends_once() -> None:
    history = SiteHistory([*HELD, line("launching", 9.0, **LAUNCHING), line("aborted", 10.0, result=ENDED, id="a.1")])
    assert [job.is_closed for job in history.jobs.values()] == [True]


def test_a_launch_that_another_process_begins_is_another_run() -> None:
    assert told(*HELD, line("launching", 9.0, **LAUNCHING) | {"parent": "p2"}).launching_at == 9.0


def test_a_held_launch_is_written_down(tmp_path: Path, runtime: FakeRuntime) -> None:
    with make_site(tmp_path, runtime) as site:
        fl_ctx = FakeFLContext(props={FLContextKey.EVENT_DATA: "waits for approval"})
        site.fire_event(EventType.JOB_HELD, fl_ctx)
    held = [line["reason"] for line in lines_of(tmp_path) if line["event"] == "held"]
    assert held == ["waits for approval"]


def test_who_has_approved_it_is_written_down(tmp_path: Path) -> None:
    approval = {"fingerprint": "f" * 64, "app": "a", "approved_by": ["alice (uid 1001)"]}
    with make_site(tmp_path) as site:
        fl_ctx = FakeFLContext(props={FLContextKey.LAUNCH_APPROVAL: approval})
        site.fire_event(EventType.AFTER_JOB_LAUNCH, fl_ctx)
    job = history_of(tmp_path)
    assert (job.fingerprint, job.approved_by) == ("f" * 64, ("alice (uid 1001)",))


# --- its chain ---


def test_each_start_writes_who_begins_to_write(tmp_path: Path) -> None:
    for _ in range(2):
        with make_site(tmp_path):
            pass
    first, second = lines_of(tmp_path)
    assert (first["event"], first["site"], first["version"]) == ("opened", "site-1", flcore.__version__)
    assert first["user"] == getpass.getuser()
    assert first["parent"] != second["parent"]


def test_its_lines_are_chained_over_files_and_processes(tmp_path: Path) -> None:
    for number in range(3):
        runtime = FakeRuntime()
        with make_site(tmp_path, runtime, max_size=4000, max_files=20) as site:
            handle = site.launch_job(META | {"job_id": f"job-{number}"}, ARGS)
            runtime.exit(f"site-1-job-{number}")
            handle.wait()
    assert len(journal_files(journal_of(tmp_path))) > 2
    verdict = check_journal(journal_of(tmp_path))
    assert (verdict.holds, verdict.before) == (True, 0)
    assert verdict.head
    assert verdict.head.line == len(lines_of(tmp_path)) > 20


def test_it_says_who_submitted_a_job_what_it_is_made_from_and_which_data_it_sees(tmp_path: Path) -> None:
    runtime = FakeRuntime()
    runtime.image_ids["img"] = "sha256:1234"
    (tmp_path / "ecg").mkdir()
    launcher = ClientDockerJobLauncher(image="img", datasets={"ecg": str(tmp_path / "ecg")}, runtime=runtime)
    with Site("site-1", {"journal": JobJournal(), "launcher": launcher}, workspace=tmp_path / "site") as site:
        site.launch_job(META | {"submitter_name": "ana@hospital.org"}, ARGS)

    job = history_of(tmp_path / "site")
    assert (job.submitter, job.image_id, job.datasets) == ("ana@hospital.org", "sha256:1234", ("ecg",))
    assert job.request
    assert job.request["image"] == "img"


def run_a_job(folder: Path, **args: Any) -> None:
    runtime = FakeRuntime()
    with make_site(folder, runtime, **args) as site:
        handle = site.launch_job(META, ARGS)
        runtime.exit("site-1-job-1")
        assert handle.wait() is JobReturnCode.SUCCESS


def test_the_head_of_what_is_on_the_disk_for_good_is_kept_in_a_file(tmp_path: Path) -> None:
    heads = tmp_path / "heads"
    run_a_job(tmp_path / "site", audit_head={"file": str(heads)})

    kept = heads_in(heads.read_text().splitlines())
    assert {each.site for each in kept} == {"site-1"}
    verdict = check_journal(journal_of(tmp_path / "site"), kept)
    assert (verdict.holds, verdict.heads) == (True, len(kept))
    assert verdict.head == kept[-1].head

    journal = journal_of(tmp_path / "site")
    journal.write_bytes(b"".join(journal.read_bytes().splitlines(keepends=True)[:-1]))
    assert not check_journal(journal, kept).holds


@pytest.mark.parametrize("family", [socket.AF_UNIX, socket.AF_INET])
def test_the_head_goes_to_syslog_by_its_socket_or_to_another_host(tmp_path: Path, family: int) -> None:
    with socket.socket(family, socket.SOCK_DGRAM) as log:
        log.settimeout(10)
        log.bind(str(tmp_path / "log") if family == socket.AF_UNIX else ("127.0.0.1", 0))
        name = log.getsockname()
        address = name if isinstance(name, str) else ":".join(map(str, name))
        with make_site(tmp_path / "site", audit_head={"syslog": address}):
            text = log.recv(1000).decode()

    assert text.startswith("<38>flcore: flcore audit head of site-1: ")
    [line] = heads_in([text])
    assert check_journal(journal_of(tmp_path / "site"), [line]).holds


def test_a_place_for_heads_that_takes_none_is_told_once_and_stops_no_job(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    nowhere = tmp_path / "nowhere"
    run_a_job(tmp_path / "site", audit_head={"file": str(nowhere / "heads"), "syslog": str(nowhere / "log")})

    told = [record.getMessage() for record in caplog.records if "head of the journal" in record.getMessage()]
    assert told == [
        f"the head of the journal cannot be kept: No such file or directory: {nowhere}/heads",
        "the head of the journal cannot be kept: No such file or directory",
    ]
