"""``flcore inspect``: all that is known of a job."""

from __future__ import annotations

import io
import re

import pytest

from flcore.job_launcher_spec import JobUsage
from launchers.operator.details import Report
from launchers.operator.terminal import Terminal
from launchers.runtime.docker_request import create_request
from tests.job_views import BEGAN, job_view
from tests.operator_lab import OperatorLab, until

NAME = "site-1-job-1"


def test_inspect_says_all_that_is_known(lab: OperatorLab) -> None:
    handle = lab.launch(lab.site(env={"API_TOKEN": "s3cret"}), name="digits")
    lab.runtime.write(NAME, b"round 1\nround 2\n")
    lab.runtime.exit(NAME, 3)
    handle.wait()
    until(lambda: not lab.records())
    done = lab.flcore("inspect", "job")
    facts = dict(re.findall(r"^  (\S[\w ]*?)  +(.*)$", done.out.replace("\nrequest\n  name", ""), re.MULTILINE))
    assert facts["name"] == "digits"
    assert facts["status"] == "EXECUTION_ERROR, exit code 3"
    assert facts["reason"] == "exit code 3; its last output: round 1 | round 2"
    assert done.lines[-2:] == ["  round 1", "  round 2"]
    assert [state for state in ("launching", "created", "running", "exited") if state in facts] == [
        *("launching", "created", "running", "exited"),
    ]
    assert "s3cret" not in done.out


def test_inspect_says_who_follows_a_job(lab: OperatorLab) -> None:
    site = lab.site()
    lab.launch(site)
    assert "a process of its site" in lab.flcore("inspect", "job-1").out
    site.close()
    assert "nobody; the next start of its site" in lab.flcore("inspect", "job-1").out


def test_inspect_says_of_which_study_a_job_is(lab: OperatorLab) -> None:
    lab.launch(lab.site(), study="brain")
    assert re.search(r"^  study +brain$", lab.flcore("inspect", "job-1").out, re.MULTILINE)
    assert [job["study"] for job in lab.flcore("inspect", "job-1", "--json").objects] == ["brain"]


def test_inspect_gives_json_too(lab: OperatorLab) -> None:
    lab.launch(lab.site())
    lab.runtime.write(NAME, b"\x1b[31mround 1\n")
    [job] = lab.flcore("inspect", "job-1", "--json").objects
    assert job["last_lines"] == ["\x1b[31mround 1"]
    assert job["request"]["name"] == NAME


def test_inspect_tells_sizes_as_a_config_says_them_and_json_in_bytes(
    lab: OperatorLab, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lab.runtime, "describe", create_request)
    lab.launch(lab.site(limits={"memory": "256Mi"}))
    assert re.search(r'HostConfig\.Memory +"256Mi"$', lab.flcore("inspect", "job-1").out, re.MULTILINE)
    [job] = lab.flcore("inspect", "job-1", "--json").objects
    assert job["request"]["HostConfig"]["Memory"] == 256 << 20


def test_inspect_has_a_line_for_each_variable_and_each_path_of_the_host(
    lab: OperatorLab, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lab.runtime, "describe", create_request)
    lab.launch(lab.site(env={"A": "b"}))
    out = lab.flcore("inspect", "job-1").out
    assert re.search(r'^  {3,}"A=b"$|^  Env +"A=b"$', out, re.MULTILINE)
    assert re.search(r'^  HostConfig\.Mounts +"/\S+job-1( -> \S+)?, writable"$', out, re.MULTILINE)


def test_inspect_says_by_whom_what_ran_was_approved() -> None:
    view = job_view()
    view.history.fingerprint, view.history.approved_by = (
        "3f2a9c1b04d7" + "0" * 52,
        ("alice (uid 1001)", "bob (uid 1002)"),
    )
    out = list(Report(Terminal(io.StringIO()), view, BEGAN).lines())
    assert any("by alice (uid 1001), bob (uid 1002): flcore show 3f2a9c1b04d7" in line for line in out)


@pytest.mark.parametrize(("disk", "words"), [((48 << 20, 64 << 20), ", 48 of 64 MiB in its folder"), ((), "")])
def test_what_a_folder_holds_is_told_if_it_is_limited(disk: tuple[int, ...], words: str) -> None:
    used = JobUsage("job-1", "site-1", BEGAN, 1.5, 32 << 20, *disk)
    lines = Report(Terminal(io.StringIO()), job_view(usage=[used]), BEGAN).lines()
    assert f"  used          1.5 s of processor time, 32 MiB of memory at most{words}" in list(lines)
