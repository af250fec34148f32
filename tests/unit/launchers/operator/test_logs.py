"""``flcore logs``: the output of a job, wherever it is."""

from __future__ import annotations

import io
import os
from concurrent.futures import ThreadPoolExecutor

import pytest

from flcore.errors import JobRejectedError
from launchers.operator import logs
from launchers.operator.terminal import Terminal
from launchers.output_lines import LONGEST_LINE
from tests.operator_lab import TIMEOUT, OperatorLab, until

NAME = "site-1-job-1"


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


def test_what_the_engine_no_longer_sends_is_what_was_kept_since_it_was_asked(lab: OperatorLab) -> None:
    handle = lab.launch(lab.site())
    index = lab.index()
    (view,) = index.jobs()
    lab.runtime.write(NAME, b"one\ntwo\n")
    lab.runtime.exit(NAME, 0)
    handle.wait()
    until(lambda: not lab.records())
    assert list(logs.followed(index, view, None)) == [b"one", b"two"]


def test_a_line_that_never_ends_is_shown_in_pieces_and_so_is_a_kept_one(lab: OperatorLab) -> None:
    handle = lab.launch(lab.site())
    lab.runtime.write(NAME, b"x" * (LONGEST_LINE + 1))
    pieces = ["x" * LONGEST_LINE, "x"]
    assert lab.flcore("logs", "job-1").lines == pieces
    lab.runtime.exit(NAME, 0)
    handle.wait()
    until(lambda: not lab.records())
    assert lab.flcore("logs", "job-1").lines == pieces
    assert lab.flcore("logs", "job-1", "--follow").lines == pieces
    assert list(handle.logs(follow=True)) == pieces


def test_where_there_are_several_sites_each_line_begins_with_its_own(lab: OperatorLab) -> None:
    for name in ("server", "site-1"):
        lab.launch(lab.site(name))
        lab.runtime.write(f"{name}-job-1", f"hello from {name}\n".encode())
    done = lab.flcore("logs", "job-1", sites=("server", "site-1"))
    assert done.lines == ["server  | hello from server", "site-1  | hello from site-1"]


def test_what_an_earlier_run_has_written_is_not_taken_for_what_the_running_one_writes(lab: OperatorLab) -> None:
    site = lab.site()
    first = lab.launch(site)
    lab.runtime.write(NAME, b"of the first\n")
    lab.runtime.exit(NAME, 0)
    first.wait()
    until(lambda: not lab.records())
    kept = lab.workspace() / "job-1/site-1.log"
    os.utime(kept, (time := kept.stat().st_mtime - 60, time))
    lab.launch(site)
    lab.runtime.set_reachable(False)
    done = lab.flcore("logs", "job-1")
    assert (done.status, done.out) == (1, "")


def test_an_output_that_is_not_to_be_had_is_told(lab: OperatorLab) -> None:
    lab.launch(lab.site())
    lab.runtime.set_reachable(False)
    done = lab.flcore("logs", "job-1")
    assert (done.status, done.out) == (1, "")
    assert "site-1: its output is not to be had from here; it is kept, when it ends, in " in done.err


def test_a_job_that_was_refused_has_never_run_and_written_nothing(lab: OperatorLab) -> None:
    with pytest.raises(JobRejectedError):
        lab.launch(lab.site(), resource_spec={"site-1": {"memory": "900Ti"}})
    done = lab.flcore("logs", "job-1")
    assert (done.status, done.out) == (1, "")
    assert "site-1: it has never run, so it has written nothing\n" in done.err


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
