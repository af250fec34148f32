"""``flcore ps``: what runs and what has ended, whatever jobs are called."""

from __future__ import annotations

import json

import pytest

from flcore import JobReturnCode, Site
from flcore.cli import main
from flcore.observers.job_journal import JobJournal
from tests.conftest import Launcher, PlainHandle
from tests.operator_lab import HOSTILE, OperatorLab, until

NAME = "site-1-job-1"


def test_it_says_what_runs_and_what_has_ended(lab: OperatorLab) -> None:
    site = lab.site()
    handle = lab.launch(site, "job-1")
    lab.runtime.exit(NAME, 3)
    handle.wait()
    lab.launch(site, "job-2")
    until(lambda: lab.view("job-1").history.is_closed)
    done = lab.flcore("ps")
    assert (done.status, done.err) == (0, "")
    assert [line.split()[:4] for line in done.lines] == [
        ["JOB", "SITE", "STATUS", "EXIT"],
        ["job-2", "site-1", "running", "-"],
        ["job-1", "site-1", "EXECUTION_ERROR", "3"],
    ]
    assert done.lines[2].endswith("exit code 3")


def test_a_job_that_nobody_follows_is_still_running_and_that_is_said(lab: OperatorLab) -> None:
    site = lab.site()
    lab.launch(site)
    site.close()
    done = lab.flcore("ps")
    assert "running" in done.lines[1]
    assert done.lines[1].endswith("no process of its site follows it; the site's next start does")


def test_a_job_of_a_third_party_s_launcher_is_known_as_far_as_the_journal_says(lab: OperatorLab) -> None:
    handle = PlainHandle()
    lab.config()
    components = {"journal": JobJournal(), "launcher": Launcher(lambda: handle)}
    with Site("site-1", components, lab.workspace()) as site:
        site.launch_job({"job_id": "job-1"})
        until(lambda: lab.view().history.state == "running")
        assert lab.flcore("ps").lines[1].split()[:4] == ["job-1", "site-1", "running", "-"]
        handle.end(JobReturnCode.EXCEPTION)
        until(lambda: lab.view().history.is_closed)
    [job] = lab.flcore("ps", "--json").objects
    assert (job["state"], job["result"]["return_code"]) == ("exited", "EXCEPTION")
    assert job["duration"] == job["states"][2]["time"] - job["states"][1]["time"]


def test_an_engine_that_does_not_answer_is_told_and_is_no_failure(lab: OperatorLab) -> None:
    lab.launch(lab.site())
    lab.runtime.set_reachable(False)
    done = lab.flcore("ps")
    assert (done.status, done.err) == (0, "flcore: warning: fake runtime does not answer\n")
    assert "running" in done.lines[1]


def test_json_is_an_object_per_line(lab: OperatorLab) -> None:
    lab.launch(lab.site(), name="digits")
    [job] = lab.flcore("ps", "--json").objects
    assert (job["job_id"], job["site"], job["name"], job["state"], job["result"]) == (
        *("job-1", "site-1", "digits", "running", None),
    )
    assert [entry["state"] for entry in job["states"]] == ["created", "running"]
    assert (job["active"], job["has_parent"], job["container"]["listed"]) == (True, True, True)


def test_without_any_job_there_is_a_header_alone(lab: OperatorLab) -> None:
    lab.config()
    done = lab.flcore("ps")
    assert (done.status, len(done.lines)) == (0, 1)


def looked(lab: OperatorLab) -> str:
    """Return what is said of where site-1's jobs were looked for."""
    folder = f"{lab.workspace()}{'' if lab.workspace().exists() else ', which is not there'}"
    return f"looked in {folder}; asked fake runtime; name other sites by --site CONFIG or --workspace DIR"


RUN = "or run one by: flcore run JOB --site CONFIG"


def test_where_there_is_no_job_it_says_where_it_looked_and_what_to_type(lab: OperatorLab) -> None:
    lab.config()
    assert lab.flcore("ps").err == f"flcore: no job here: {looked(lab)}, {RUN}\n"
    lab.site()
    assert lab.flcore("ps").err == f"flcore: no job here: {looked(lab)}, {RUN}\n"
    assert lab.flcore("ps", "--json").err == ""


@pytest.mark.parametrize("command", ["ps", "logs", "inspect", "stop"])
def test_a_job_that_is_named_where_there_is_none_is_an_error_that_says_where_it_looked(
    lab: OperatorLab, command: str
) -> None:
    lab.config()
    done = lab.flcore(command, "nothing")
    assert (done.status, done.out) == (2, "")
    assert done.err == f"flcore: error: there is no job 'nothing'; no job here: {looked(lab)}, {RUN}\n"


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("nothing", ";"),
        ("digtis", "; did you mean 'digits-0123abcd'?"),
        ("site-1/digist-0123", "; did you mean 'site-1/digits-0123abcd'?"),
        ("helo", "; did you mean 'hello'?"),
        ("site-2/digits", ", but at site-1;"),
        ("digits-0123abce", "; did you mean 'digits-0123abcd'?"),
    ],
)
@pytest.mark.parametrize("command", ["ps", "logs", "inspect", "stop"])
def test_a_job_that_is_not_there_is_an_error_that_says_which_is_called_almost_so(
    lab: OperatorLab, command: str, name: str, hint: str
) -> None:
    site = lab.site()
    for job_id in ("digits-0123abcd", "hello-1", "hello-2"):
        lab.launch(site, job_id)
    done = lab.flcore(command, name)
    assert (done.status, done.out) == (2, "")
    assert done.err == f"flcore: error: there is no job '{name}' here{hint} list them with: flcore ps --all\n"


def test_a_workspace_that_is_not_there_is_an_error(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["ps", "--workspace", "/no/such/folder"]) == 2
    assert capsys.readouterr().err == "flcore: error: --workspace: /no/such/folder is no folder\n"


# --- hostile texts ---


@pytest.mark.parametrize("text", HOSTILE)
def test_a_name_does_nothing_to_the_terminal(lab: OperatorLab, text: str) -> None:
    lab.launch(lab.site(), name=text)
    for command in ("ps", "inspect"):
        done = lab.flcore(command, "job-1")
        assert done.status == 0
        assert all(line.isprintable() for line in done.out.split("\n"))
        assert not any(line.startswith("flcore: error") for line in done.out.split("\n"))


@pytest.mark.parametrize("text", HOSTILE)
def test_a_record_of_a_strange_hand_does_nothing(lab: OperatorLab, text: str) -> None:
    lab.launch(lab.site())
    with lab.records()[0].open("ab") as record:
        record.write(b"\n" + json.dumps({"end_request": {"by": text}, "told": text, "name": text}).encode())
    for command in ("ps", "inspect"):
        done = lab.flcore(command) if command == "ps" else lab.flcore(command, "job-1")
        assert done.status == 0
        assert all(line.isprintable() for line in done.out.split("\n"))


@pytest.mark.parametrize("text", HOSTILE)
def test_json_is_json_whatever_a_job_says(lab: OperatorLab, text: str) -> None:
    lab.launch(lab.site(), name=text)
    done = lab.flcore("ps", "--json")
    assert done.out.count("\n") == 1
    assert done.objects[0]["name"] == text
    assert done.out.isascii()


# --- studies ---


def test_jobs_of_studies_say_of_which_and_where_there_are_none_there_is_no_column(lab: OperatorLab) -> None:
    site = lab.site()
    lab.launch(site, "job-1")
    assert "STUDY" not in lab.flcore("ps").lines[0]
    lab.launch(site, "job-2", study="brain")
    assert [line.split()[:3] for line in lab.flcore("ps").lines] == [
        ["JOB", "SITE", "STUDY"],
        ["job-2", "site-1", "brain"],
        ["job-1", "site-1", "running"],
    ]


def test_the_jobs_of_one_study_are_listed_or_those_of_none(lab: OperatorLab) -> None:
    site = lab.site()
    for job_id, study in {"job-1": "brain", "job-2": "heart", "job-3": "default"}.items():
        lab.launch(site, job_id, study=study)
    found = {
        study: [job["job_id"] for job in lab.flcore("ps", "--study", study, "--json").objects]
        for study in ("brain", "")
    }
    assert found == {"brain": ["job-1"], "": ["job-3"]}


def test_the_last_jobs_of_a_study_are_found_behind_those_of_others(lab: OperatorLab) -> None:
    site = lab.site()
    for job_id, study in {"job-1": "brain", "job-2": "heart"}.items():
        handle = lab.launch(site, job_id, study=study)
        lab.runtime.exit(f"site-1-{job_id}", 0)
        handle.wait()
    until(lambda: all(lab.view(job_id).history.is_closed for job_id in ("job-1", "job-2")))
    done = lab.flcore("ps", "--study", "brain", "-n", "1")
    assert [line.split()[0] for line in done.lines] == ["JOB", "job-1"]


def test_of_a_study_without_jobs_that_is_said(lab: OperatorLab) -> None:
    lab.launch(lab.site(), study="brain")
    assert "flcore: no job of the study heart here: " in lab.flcore("ps", "--study", "heart").err


def test_a_site_without_a_journal_has_the_study_in_its_records(lab: OperatorLab) -> None:
    lab.launch(lab.site(journal=False), study="brain")
    assert lab.flcore("ps", "--study", "brain", "--json").objects[0]["study"] == "brain"
