"""How the ``flcore`` command shows a job: as lines, live, or as JSON; and never what a terminal would obey."""

from __future__ import annotations

import io
import json
import re
from pathlib import Path
from typing import Any, ClassVar

import pytest

from flcore import EventType, FLContextKey, JobHandleSpec, JobResult, JobReturnCode, JobStateChange, JobWorkflow, Site
from flcore.cli.view import JsonView, LiveView, PlainView, View, last_lines, table
from flcore.errors import RuntimeUnavailableError
from flcore.submitted_job import SubmittedJob
from flcore.testing import FakeFLContext
from tests.conftest import PlainHandle, Terminal


class Printing(PlainHandle):
    """A handle whose job has written something."""

    def __init__(self, output: str = "", error: Exception | None = None) -> None:
        super().__init__()
        self._output = output
        self._error = error

    def logs(self, tail: int | None = None, follow: bool = False) -> Any:
        if self._error:
            raise self._error
        return "\n".join(self._output.splitlines()[-(tail or 0) :])


class Shown(JobWorkflow):
    """A workflow whose processes are what the test says."""

    processes: ClassVar[dict[str, JobHandleSpec]] = {}

    @property
    def handles(self) -> dict[str, JobHandleSpec]:
        return self.processes


@pytest.fixture
def workflow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> JobWorkflow:
    """A workflow of the job j1 on server and site-1, to be shown."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "tiny" / "app" / "custom").mkdir(parents=True)
    (tmp_path / "tiny" / "meta.json").write_text(json.dumps({"deploy_map": {"app": ["@ALL"]}}))
    return Shown(SubmittedJob.read("tiny"), [Site("server"), Site("site-1")], "j1")


def change(state: str, site: str = "site-1", result: JobResult | None = None, previous: str | None = None) -> Any:
    return JobStateChange("j1", site, f"{site}-j1", "c0ffee", previous, state, 1000.0, result)


def tell(view: View, job_id: str, one: JobStateChange) -> None:
    fl_ctx = FakeFLContext(job_id=job_id, props={FLContextKey.JOB_STATE_CHANGE: one})
    view.dispatch_event(EventType.JOB_STATE_CHANGED, fl_ctx)


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> Terminal:
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "100")
    return Terminal()


def test_a_view_shows_the_changes_of_its_own_job_only(workflow: JobWorkflow) -> None:
    out = io.StringIO()
    view = JsonView(workflow, out)
    tell(view, "other", change("created"))
    tell(view, "j1", change("running"))
    view.dispatch_event(EventType.JOB_COMPLETED, FakeFLContext(job_id="j1"))
    assert [json.loads(line)["state"] for line in out.getvalue().splitlines()] == ["running"]


def test_a_view_that_shows_nothing_is_a_view_too(workflow: JobWorkflow) -> None:
    view = View(workflow)
    with view:
        tell(view, "j1", change("running"))
    view.show_results({})


def test_a_plain_view_says_on_the_line_of_an_end_what_it_counts_as_and_leaves_the_reason_to_the_table(
    workflow: JobWorkflow,
) -> None:
    out = io.StringIO()
    failed = JobResult(JobReturnCode.EXECUTION_ERROR, error="no luck")
    tell(PlainView(workflow, out), "j1", change("exited", result=failed, previous="running"))
    assert out.getvalue() == "    0.0 s  site-1          running -> exited  EXECUTION_ERROR\n"


def tell_end(view: View, site: str, result: JobResult) -> None:
    fl_ctx = FakeFLContext(site, "j1", props={FLContextKey.JOB_RESULT: result})
    view.dispatch_event(EventType.JOB_COMPLETED, fl_ctx)


HEAD = "site    result           exit code  duration"


def shown(workflow: JobWorkflow, results: dict[str, JobResult], **processes: JobHandleSpec) -> str:
    """Return what is shown at the end of a run, behind a blank line; of sites, with "_" for "-"."""
    Shown.processes = {site.replace("_", "-"): handle for site, handle in processes.items()}
    out = io.StringIO()
    PlainView(workflow, out).show_results(results)
    return out.getvalue().removeprefix("\n")


FAILED = JobResult(JobReturnCode.EXECUTION_ERROR, 3, error="exit code 3; its last output: no data")
GOOD = JobResult(JobReturnCode.SUCCESS, 0)


def test_why_a_site_failed_comes_first_by_its_last_line_and_stands_once(workflow: JobWorkflow) -> None:
    assert shown(
        workflow, {"server": GOOD, "site-1": FAILED}, server=Printing("served"), site_1=Printing("1\n2\nno data\n \n")
    ) == (
        f"{HEAD}\n"
        "site-1  EXECUTION_ERROR          3         -  no data\n"
        "server  SUCCESS                  0         -\n\n"
        "output of site-1, before that:\n  1\n  2\n\n"
        "output of server:\n  served\n"
    )


def test_where_the_output_is_not_to_be_had_the_result_has_its_last_line(workflow: JobWorkflow) -> None:
    away = Printing(error=RuntimeUnavailableError("away"))
    assert shown(workflow, {"site-1": FAILED}, site_1=away) == (
        f"{HEAD}\nsite-1  EXECUTION_ERROR          3         -  exit code 3; its last output: no data\n"
    )


def test_what_says_more_than_an_exit_code_is_no_less_than_the_last_line(workflow: JobWorkflow) -> None:
    signal = JobResult(JobReturnCode.EXECUTION_ERROR, 139, error="exit code 139 (signal 11); its last output: begun")
    assert "  begun (signal 11)\n" in shown(workflow, {"site-1": signal}, site_1=Printing("begun"))
    memory = JobResult(JobReturnCode.EXECUTION_ERROR, 137, error="the job ran out of memory; its last output: begun")
    assert shown(workflow, {"site-1": memory}, site_1=Printing("begun")).endswith(
        "  the job ran out of memory\n\noutput of site-1:\n  begun\n"
    )


def test_a_reason_that_several_sites_have_stands_once_and_behind_what_it_came_of(workflow: JobWorkflow) -> None:
    ended = JobResult(JobReturnCode.ABORTED, 143, error="ended on the request of the workflow", ended_by="the workflow")
    results = {"server": ended, "site-1": FAILED, "site-2": ended}
    assert shown(workflow, results, site_1=Printing("no data")).splitlines()[1:] == [
        "site-1  EXECUTION_ERROR          3         -  no data",
        "server  ABORTED                143         -  ended on the request of the workflow",
        "site-2  ABORTED                143         -  as server",
    ]


def test_a_run_that_went_well_shows_the_servers_output_and_then_the_table(workflow: JobWorkflow) -> None:
    results = {"server": GOOD, "site-1": GOOD}
    assert shown(workflow, results, server=Printing("served"), site_1=Printing("trained")).splitlines() == [
        *("output of server:", "  served", "", "site    result   exit code  duration"),
        *("server  SUCCESS          0         -", "site-1  SUCCESS          0         -"),
    ]


def test_after_an_interrupt_the_table_tells_of_what_has_ended(workflow: JobWorkflow) -> None:
    out = io.StringIO()
    view = PlainView(workflow, out)
    tell_end(view, "server", JobResult(JobReturnCode.ABORTED, error="interrupted"))
    view.show_interrupted()
    assert out.getvalue().splitlines()[1:] == [
        "site    result   exit code  duration",
        "server  ABORTED          -         -  interrupted",
    ]


def test_an_interrupt_before_anything_ran_shows_no_table(workflow: JobWorkflow) -> None:
    out = io.StringIO()
    PlainView(workflow, out).show_interrupted()
    assert out.getvalue() == ""


def test_the_live_lines_leave_room_for_what_a_terminal_echoes(workflow: JobWorkflow, terminal: Terminal) -> None:
    Shown.processes = {"site-1": Printing("x" * 200)}
    pytest.importorskip("rich", reason="of the extra [cli]")
    view = LiveView(workflow, terminal)
    tell(view, "j1", change("running"))
    with view:
        pass
    assert max(map(len, terminal.text().splitlines())) == 97


def test_the_live_lines_are_gone_when_the_table_comes(workflow: JobWorkflow, terminal: Terminal) -> None:
    pytest.importorskip("rich", reason="of the extra [cli]")
    view = LiveView(workflow, terminal)
    with view:
        pass
    assert terminal.getvalue().rstrip("\n").endswith("\x1b[1A\x1b[2K" * 3)


def test_a_live_view_shows_a_line_per_site_with_its_last_line_of_output(
    workflow: JobWorkflow, terminal: Terminal
) -> None:
    Shown.processes = {"site-1": Printing("round 1\nround 2 \x1b[31m[bold]loss")}
    pytest.importorskip("rich", reason="of the extra [cli]")
    view = LiveView(workflow, terminal)
    tell(view, "j1", change("running"))
    with view:
        pass
    assert re.search(r"^server +waiting *$", terminal.text(), re.MULTILINE)
    assert re.search(r"^site-1 +running +\d+\.\d s +round 2 \[bold\]loss *$", terminal.text(), re.MULTILINE)


def test_a_live_view_keeps_the_last_line_if_the_engine_is_away(workflow: JobWorkflow, terminal: Terminal) -> None:
    Shown.processes = {"site-1": Printing(error=RuntimeUnavailableError("away"))}
    pytest.importorskip("rich", reason="of the extra [cli]")
    view = LiveView(workflow, terminal)
    tell(view, "j1", change("running"))
    with view:
        pass
    assert re.search(r"^site-1 +running +\d+\.\d s *$", terminal.text(), re.MULTILINE)


@pytest.mark.parametrize(
    ("result", "line"),
    [
        (JobResult(JobReturnCode.SUCCESS, 0), r"site-1 +exited +0\.0 s"),
        (
            JobResult(JobReturnCode.EXECUTION_ERROR, 3, error="exit\ncode 3"),
            r"site-1 +EXECUTION_ERROR +0\.0 s +exit code 3",
        ),
    ],
)
def test_a_live_view_shows_how_a_site_ended(
    workflow: JobWorkflow, terminal: Terminal, result: JobResult, line: str
) -> None:
    Shown.processes = {}
    pytest.importorskip("rich", reason="of the extra [cli]")
    view = LiveView(workflow, terminal)
    with view:
        tell(view, "j1", change("running"))
        tell(view, "j1", change("exited", result=result))
    assert re.search(rf"^{line} *$", terminal.text(), re.MULTILINE)


def test_the_table_lines_up_whatever_the_names() -> None:
    results = {
        "server": JobResult(JobReturnCode.SUCCESS, 0, started_at=1.0, finished_at=13.5),
        "site-of-the-hospital": JobResult(JobReturnCode.ABORTED, error="not\tstarted"),
    }
    assert table(results) == [
        "site                  result   exit code  duration",
        "server                SUCCESS          0    12.5 s",
        "site-of-the-hospital  ABORTED          -         -  not started",
    ]


def test_a_reason_that_is_too_long_for_the_line_has_lines_below_it() -> None:
    results = {"server": JobResult(JobReturnCode.CONFIG_ERROR, error="memory: too much\x1b[2J\nimage: " + "a b " * 12)}
    assert table(results, width=40) == [
        "site    result        exit code  duration",
        "server  CONFIG_ERROR          -         -",
        "    memory: too much",
        "    image: a b a b a b a b a b a b a b a",
        "    b a b a b a b a b",
    ]


def test_the_last_lines_of_a_job_are_safe_to_print() -> None:
    assert last_lines(Printing("one\ntwo\x1b[2J\nthree"), 2) == ["two", "three"]


@pytest.mark.parametrize("handle", [None, Printing(), Printing(error=RuntimeUnavailableError("away"))])
def test_a_job_without_output_has_no_last_lines(handle: JobHandleSpec | None) -> None:
    assert last_lines(handle, 10) == []


def test_nobody_is_asked_for_no_lines() -> None:
    assert last_lines(Printing(error=AssertionError("asked")), 0) == []


# --- a launch that waits for somebody ---


def hold(view: View) -> None:
    fl_ctx = FakeFLContext(job_id="j1", props={FLContextKey.EVENT_DATA: "waits for \x1b[31mapproval"})
    view.dispatch_event(EventType.JOB_HELD, fl_ctx)


def test_what_a_launch_waits_for_is_a_line(workflow: JobWorkflow) -> None:
    out = io.StringIO()
    hold(PlainView(workflow, out))
    assert re.fullmatch(r" +\d\.\d s  site-1       waits for approval\n", out.getvalue())


def test_what_a_launch_waits_for_is_an_object(workflow: JobWorkflow) -> None:
    out = io.StringIO()
    hold(JsonView(workflow, out))
    assert json.loads(out.getvalue()) == {
        "event": "held",
        "job_id": "j1",
        "site": "site-1",
        "reason": "waits for approval",
    }


def test_what_a_launch_waits_for_stands_in_its_sites_line(workflow: JobWorkflow) -> None:
    pytest.importorskip("rich", reason="of the extra [cli]")
    terminal = Terminal()
    view = LiveView(workflow, terminal)
    with view:
        hold(view)
    assert re.search(r"site-1 +held +waits for approval", terminal.text())
