"""``flcore stop``, ``logs`` and ``gc``: with and without a living process of the site."""

from __future__ import annotations

import io
import re
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from flcore import JobReturnCode
from flcore.errors import JobAbortedError
from launchers.container_spec import LABEL_JOB_ID, LABEL_NONCE, LABEL_SITE_ID, LABEL_STATE_DIR, ContainerSpec
from launchers.docker_state import DOCKER_STATE, ContainerState
from launchers.operator import logs, stop
from launchers.operator.leftovers import Rules, clear
from launchers.operator.terminal import Terminal
from launchers.records.job_record import JobRecord
from launchers.tracking import ending
from tests.operator_lab import TIMEOUT, OperatorLab, until

NAME = "site-1-job-1"
HOUR = 3600.0


@pytest.fixture
def lab(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Iterator[OperatorLab]:
    monkeypatch.setenv("LOGNAME", "alice")
    monkeypatch.setattr(stop, "LOOK_INTERVAL", 0.01)
    monkeypatch.setattr(ending, "KILL_INTERVAL", 0.05)
    monkeypatch.setattr(stop, "CONFIRM_TIMEOUT", 0.2)
    monkeypatch.setattr(stop, "LAUNCH_TIMEOUT", 0.2)
    monkeypatch.setattr(logs, "RETRY_INTERVAL", 0.01)
    lab = OperatorLab(tmp_path, capsys)
    yield lab
    lab.close()


# --- stop ---


def test_a_living_site_tells_of_the_job_as_aborted_and_who_asked(lab: OperatorLab) -> None:
    handle = lab.launch(lab.site())
    done = lab.flcore("stop", "job-1")
    assert handle.wait() is JobReturnCode.ABORTED
    assert handle.result is not None
    assert handle.result.ended_by == "flcore stop (user alice)"
    expected = "site-1/job-1: ABORTED (exit code 143): ended on the request of flcore stop (user alice)\n"
    assert (done.status, done.out, done.err) == (0, expected, "")


def test_without_a_living_site_its_next_start_tells_of_it_as_aborted(lab: OperatorLab) -> None:
    site = lab.site()
    lab.launch(site)
    site.close()
    done = lab.flcore("stop", "job-1")
    assert done.out == "site-1/job-1: has ended (exit code 143); its site's next start tells of it as ABORTED\n"
    lab.site()
    until(lambda: lab.view().history.is_closed)
    result = lab.view().history.result
    assert result is not None
    assert (result.return_code, result.ended_by) == (JobReturnCode.ABORTED, "flcore stop (user alice)")


def test_a_process_that_ignores_the_request_is_killed_after_the_sites_grace(lab: OperatorLab) -> None:
    handle = lab.launch(lab.site(stop_grace=0.3))
    lab.runtime.ignores_term = True
    began = time.monotonic()
    done = lab.flcore("stop", "job-1")
    assert time.monotonic() - began >= 0.3
    assert done.status == 0
    assert handle.result is not None
    assert (handle.result.return_code, handle.result.exit_code) == (JobReturnCode.ABORTED, 137)


def test_a_job_that_has_ended_stays_as_it_is(lab: OperatorLab) -> None:
    handle = lab.launch(lab.site())
    lab.runtime.exit(NAME, 3)
    handle.wait()
    until(lambda: lab.view().history.is_closed)
    done = lab.flcore("stop", "job-1")
    assert (done.status, done.out) == (
        0,
        "site-1/job-1: had ended already: EXECUTION_ERROR (exit code 3): exit code 3\n",
    )


def test_an_end_that_nobody_has_told_stays_the_jobs_own(lab: OperatorLab) -> None:
    site = lab.site()
    lab.launch(site)
    site.close()
    lab.runtime.exit(NAME, 0)
    done = lab.flcore("stop", "job-1")
    assert (done.status, done.out) == (0, "site-1/job-1: had ended already; its site's next start tells how\n")
    lab.site()
    until(lambda: lab.view().history.is_closed)
    result = lab.view().history.result
    assert result is not None
    assert result.return_code is JobReturnCode.SUCCESS


def test_a_job_that_ends_by_itself_before_the_signal_keeps_its_result(lab: OperatorLab) -> None:
    handle = lab.launch(lab.site())
    lab.runtime.drop_events = True  # so that its site has not seen it yet, either
    signalled = lab.runtime.send_signal

    def too_late(container_id: str, signal: str) -> bool:
        lab.runtime.exit(NAME, 0)
        return signalled(container_id, signal)

    lab.runtime.send_signal = too_late  # type: ignore[method-assign]  # it loses the race, then asks the real one
    with ThreadPoolExecutor(1) as pool:
        stopping = pool.submit(lab.flcore, "stop", "job-1")
        until(lambda: (JobRecord(lab.records()[0]).noted("end_request") or {}).get("delivered") is False)
        lab.runtime.close_events()  # so that its site lists again
        assert stopping.result(TIMEOUT).status == 0
    assert handle.wait() is JobReturnCode.SUCCESS


def test_the_wish_is_on_the_disk_before_anything_is_signalled(lab: OperatorLab) -> None:
    lab.launch(lab.site())
    seen: list[Any] = []
    signalled = lab.runtime.send_signal

    def look_first(container_id: str, signal: str) -> bool:
        seen.append(JobRecord(lab.records()[0]).noted("end_request"))
        return signalled(container_id, signal)

    lab.runtime.send_signal = look_first  # type: ignore[method-assign]  # it looks, then asks the real one
    lab.flcore("stop", "job-1")
    assert [request["by"] for request in seen] == ["flcore stop (user alice)"]


def test_the_first_wish_counts(lab: OperatorLab) -> None:
    site = lab.site()
    lab.launch(site)
    site.close()
    JobRecord(lab.records()[0]).note(end_request={"by": "somebody else", "time": time.time(), "delivered": None})
    lab.flcore("stop", "job-1")
    lab.flcore("stop", "job-1")
    lab.site()
    until(lambda: lab.view().history.is_closed)
    result = lab.view().history.result
    assert result is not None
    assert result.ended_by == "somebody else"


def test_all_sites_of_a_job_are_ended_or_the_one_that_is_named(lab: OperatorLab) -> None:
    for name in ("site-1", "site-2", "site-3"):
        lab.launch(lab.site(name))
    names = ("site-1", "site-2", "site-3")
    one = lab.flcore("stop", "site-2/job-1", sites=names)
    assert [line.partition(":")[0] for line in one.lines] == ["site-2/job-1"]
    assert lab.view("job-1", "site-1").state == "running"
    rest = lab.flcore("stop", "job-1", sites=names)
    assert [line.partition(":")[0] for line in rest.lines] == ["site-1/job-1", "site-2/job-1", "site-3/job-1"]
    assert rest.status == 0


def test_an_engine_that_does_not_answer_is_a_failure_and_the_wish_stays(lab: OperatorLab) -> None:
    handle = lab.launch(lab.site())
    lab.runtime.set_reachable(False)
    done = lab.flcore("stop", "job-1")
    assert (done.status, "so try again when it does" in done.out) == (1, True)
    lab.runtime.set_reachable(True)
    lab.runtime.exit(NAME, 143)
    assert handle.wait() is JobReturnCode.ABORTED


def test_an_end_that_is_not_confirmed_is_a_failure(lab: OperatorLab) -> None:
    lab.launch(lab.site())
    lab.runtime.ignores_signals = True
    done = lab.flcore("stop", "job-1")
    assert (done.status, "has not confirmed its end" in done.out) == (1, True)
    lab.runtime.ignores_signals = False


def test_a_launch_sees_the_wish_before_it_starts_the_process(lab: OperatorLab) -> None:
    site = lab.site()
    held, go_on = threading.Event(), threading.Event()
    create = lab.runtime.create

    def slow(spec: ContainerSpec) -> str:
        held.set()
        go_on.wait(TIMEOUT)
        return create(spec)

    lab.runtime.create = slow  # type: ignore[method-assign]  # it waits, then asks the real one
    with ThreadPoolExecutor(1) as pool:
        launch = pool.submit(site.launch_job, {"job_id": "job-1"})
        held.wait(TIMEOUT)
        done = lab.flcore("stop", "job-1")
        go_on.set()
        with pytest.raises(JobAbortedError, match=r"flcore stop \(user alice\)"):
            launch.result(TIMEOUT)
    assert (done.status, "is still being launched" in done.out) == (1, True)
    until(lambda: not lab.runtime.containers())


def test_a_container_that_was_never_started_and_is_nobodys_is_removed(lab: OperatorLab) -> None:
    site = lab.site()
    lab.launch(site)
    site.close()
    container = lab.runtime.container(NAME)
    container.state = replace(container.state, state=container.state.state.CREATED, started_at=None)
    done = lab.flcore("stop", "job-1")
    assert (done.status, lab.runtime.containers()) == (0, [])
    assert done.out == "site-1/job-1: has ended; its site's next start tells of it as ABORTED\n"


def test_a_job_without_a_record_is_ended_and_it_is_said_what_that_means(lab: OperatorLab) -> None:
    lab.launch(lab.site())
    labels = lab.runtime.container(NAME).spec.labels | {
        LABEL_SITE_ID: "other",
        LABEL_STATE_DIR: "/no",
        LABEL_JOB_ID: "x",
    }
    lab.runtime.start(lab.runtime.create(ContainerSpec("elsewhere", "job:1", ("sleep",), labels=labels)))
    with lab.index(whole_machine=True) as index:
        [view] = [view for view in index.jobs() if view.history.job_id == "x"]
        [outcome] = stop.stop_all(index, [view])
    assert outcome.ok
    assert outcome.text.startswith("has ended (exit code 143); its site is not here")


# --- logs ---


def test_a_running_jobs_output_is_the_engines(lab: OperatorLab) -> None:
    lab.launch(lab.site())
    lab.runtime.write(NAME, b"one\ntwo\nthree\n")
    assert lab.flcore("logs", "job-1").lines == ["one", "two", "three"]
    assert lab.flcore("logs", "job-1", "--tail", "1").lines == ["three"]


def test_an_ended_jobs_output_is_that_which_is_kept(lab: OperatorLab) -> None:
    handle = lab.launch(lab.site())
    lab.runtime.write(NAME, b"one\ntwo\nthree")
    lab.runtime.exit(NAME, 0)
    handle.wait()
    until(lambda: not lab.records())
    assert lab.flcore("logs", "job-1").lines == ["one", "two", "three"]
    assert lab.flcore("logs", "job-1", "--tail", "2").lines == ["two", "three"]
    assert lab.flcore("logs", "job-1", "--follow").lines == ["one", "two", "three"]


def test_a_jobs_output_is_followed_until_its_end(lab: OperatorLab) -> None:
    lab.launch(lab.site())
    lab.runtime.write(NAME, b"one\ntwo\n")
    with ThreadPoolExecutor(1) as pool:
        following = pool.submit(lab.flcore, "logs", "job-1", "--follow", "--tail", "1")
        until(lambda: lab.runtime.followers)
        lab.runtime.write(NAME, b"three\n")
        lab.runtime.exit(NAME, 0)
        assert following.result(TIMEOUT).lines == ["two", "three"]


def test_where_there_are_several_sites_each_line_begins_with_its_own(lab: OperatorLab) -> None:
    for name in ("server", "site-1"):
        lab.launch(lab.site(name))
        lab.runtime.write(f"{name}-job-1", f"hello from {name}\n".encode())
    done = lab.flcore("logs", "job-1", sites=("server", "site-1"))
    assert done.lines == ["server  | hello from server", "site-1  | hello from site-1"]


def test_an_output_that_is_not_to_be_had_is_told(lab: OperatorLab) -> None:
    lab.launch(lab.site())
    lab.runtime.set_reachable(False)
    done = lab.flcore("logs", "job-1")
    assert (done.status, done.out) == (1, "")
    assert "site-1: its output is not to be had from here; it is kept, when it ends, in " in done.err


def test_a_link_in_place_of_the_output_is_not_followed(lab: OperatorLab) -> None:
    handle = lab.launch(lab.site())
    lab.runtime.exit(NAME, 0)
    handle.wait()
    until(lambda: not lab.records())
    log = lab.workspace() / "job-1/site-1.log"
    secret = lab.folder / "secret"
    secret.write_text("secret\n")
    log.unlink()
    log.symlink_to(secret)
    done = lab.flcore("logs", "job-1")
    assert (done.status, done.out) == (1, "")


OUTPUT = b"\x1b[31mred\x1b[0m\nfake\rflcore: error: no\n\xff\xfe\x9b2J\n\x1b]0;title\x07done\n<script>\n"


def test_what_a_job_writes_does_nothing_to_the_terminal(lab: OperatorLab) -> None:
    lab.launch(lab.site())
    lab.runtime.write(NAME, OUTPUT)
    done = lab.flcore("logs", "job-1")
    assert all(line.isprintable() for line in done.out.split("\n"))
    assert (done.lines[0], done.lines[1], done.lines[3]) == ("red", "fake flcore: error: no", "done")


def test_raw_output_is_the_jobs_own_and_goes_to_no_terminal(lab: OperatorLab, monkeypatch: pytest.MonkeyPatch) -> None:
    lab.launch(lab.site())
    lab.runtime.write(NAME, OUTPUT)
    view = lab.view()
    printer = logs.Printer(Terminal(io.StringIO()), [view], raw=True)
    written = io.BytesIO()
    monkeypatch.setattr("sys.stdout", io.TextIOWrapper(written))
    assert printer.print_all(lambda view: logs.output(view, None), at_once=False)
    assert written.getvalue() == OUTPUT


# --- gc ---


def orphan(lab: OperatorLab, name: str, *, ended_ago: float | None, **labels: str) -> None:
    """Have a container of a site that is not here, or of another one."""
    ours = lab.runtime.container(NAME).spec.labels
    elsewhere = {LABEL_SITE_ID: "other", LABEL_STATE_DIR: "/no/such/.flcore", LABEL_NONCE: name, LABEL_JOB_ID: name}
    lab.runtime.start(
        lab.runtime.create(ContainerSpec(name, "job:1", ("sleep",), labels={**ours, **elsewhere, **labels}))
    )
    container = lab.runtime.container(name)
    if ended_ago is not None:
        lab.runtime.exit(name, 0)
        container.state = replace(container.state, finished_at=time.time() - ended_ago)


def end_long_ago(lab: OperatorLab, name: str) -> None:
    container = lab.runtime.container(name)
    container.state = replace(container.state, started_at=time.time() - 26 * HOUR)
    lab.runtime.exit(name, 0)
    container.state = replace(container.state, finished_at=time.time() - 25 * HOUR)


def gc(lab: OperatorLab, *, dry: bool = False) -> dict[str, str]:
    """Clear the whole machine; return what is said to be done, by container."""
    out = io.StringIO()
    with lab.index(whole_machine=True) as index:
        assert clear(index, Rules(24 * HOUR, time.time()), Terminal(out), dry=dry)
    words = [re.fullmatch(r"(.*)  (\S+) \(\w+\): .*", line) for line in out.getvalue().splitlines()]
    return {match[2]: match[1] for match in words if match}


def names(lab: OperatorLab) -> set[str]:
    return {container.spec.name for container in lab.runtime.containers()}


def test_gc_removes_what_is_nobodys_and_leaves_the_rest(lab: OperatorLab) -> None:
    site = lab.site()
    lab.launch(site)
    orphan(lab, "old", ended_ago=25 * HOUR)
    orphan(lab, "young", ended_ago=HOUR)
    orphan(lab, "running", ended_ago=None)
    lab.runtime.create(ContainerSpec("foreign", "job:1", ("sleep",)))
    assert gc(lab) == {"old": "removed", "young": "left", "running": "left", NAME: "left"}
    assert names(lab) == {NAME, "young", "running", "foreign"}


def test_a_dry_run_removes_nothing(lab: OperatorLab) -> None:
    lab.launch(lab.site())
    orphan(lab, "old", ended_ago=25 * HOUR)
    assert gc(lab, dry=True)["old"] == "would remove"
    assert "old" in names(lab)


def test_gc_leaves_what_is_on_record_to_the_sites_next_start(lab: OperatorLab) -> None:
    site = lab.site()
    lab.launch(site)
    site.close()
    end_long_ago(lab, NAME)
    assert gc(lab) == {NAME: "left"}
    lab.records()[0].unlink()
    assert gc(lab) == {NAME: "removed"}


def test_gc_leaves_what_a_living_site_follows(lab: OperatorLab) -> None:
    handle = lab.launch(lab.site(keep=True))
    end_long_ago(lab, NAME)
    handle.wait()
    until(lambda: not lab.records())
    assert gc(lab) == {NAME: "left"}


def test_gc_removes_what_was_never_started(lab: OperatorLab) -> None:
    lab.launch(lab.site())
    orphan(lab, "unstarted", ended_ago=None)
    container = lab.runtime.container("unstarted")
    long_ago = time.time() - 25 * HOUR
    container.state = ContainerState(DOCKER_STATE.CREATED, created_at=long_ago)
    assert gc(lab)["unstarted"] == "removed"


def test_gc_looks_again_before_it_removes(lab: OperatorLab) -> None:
    lab.launch(lab.site())
    orphan(lab, "old", ended_ago=25 * HOUR)
    container = lab.runtime.container("old")
    with lab.index(whole_machine=True) as index:
        [holding] = [holding for holding in index.holdings() if holding.summary.name == "old"]
        container.state = replace(container.state, state=DOCKER_STATE.RUNNING, finished_at=None)
        assert not Rules(24 * HOUR, time.time()).decide(holding).remove


def test_gc_says_that_an_engine_does_not_answer(lab: OperatorLab) -> None:
    lab.launch(lab.site())
    lab.runtime.set_reachable(False)
    done = lab.flcore("gc")
    assert (done.status, done.out, done.err) == (1, "", "flcore: warning: fake runtime does not answer\n")


def test_gc_is_told_how_old_a_leftover_must_be(lab: OperatorLab, capsys: pytest.CaptureFixture[str]) -> None:
    lab.config()
    assert lab.flcore("gc", "--older-than", "7d").status == 0
    with pytest.raises(SystemExit, match="2"):
        lab.flcore("gc", "--older-than", "soon")
    assert "must be a duration such as 30m, 24h or 7d, got 'soon'" in capsys.readouterr().err
