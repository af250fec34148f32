"""Which jobs there are, by what is on disk and what the engine says; no process of a site is needed."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import Any

import pytest

from flcore import JobReturnCode
from launchers.container_spec import LABEL_JOB_ID, LABEL_NONCE, LABEL_STATE_DIR, ContainerSpec
from launchers.operator.engines import Engines
from launchers.operator.job_index import JobIndex
from launchers.operator.job_view import LAUNCHING, LOST, UNKNOWN
from launchers.operator.scope import sites_in
from launchers.operator.site_files import SiteFiles
from launchers.runtime.base import ContainerSummary, Runtime
from launchers.runtime.fake import FakeRuntime
from tests.operator_lab import OperatorLab, until

NAME = "site-1-job-1"


def labels_of(lab: OperatorLab, name: str = NAME) -> dict[str, str]:
    return lab.runtime.container(name).spec.labels


def put_container(lab: OperatorLab, name: str, labels: dict[str, str]) -> None:
    """Have a container in the engine that no site of the test has launched."""
    lab.runtime.start(lab.runtime.create(ContainerSpec(name, "job:1", ("sleep",), labels=labels)))


# --- what runs ---


def test_a_running_job_of_a_living_site(lab: OperatorLab) -> None:
    lab.launch(lab.site(), name="digits")
    view = lab.view()
    assert (view.state, view.has_parent, view.is_active, view.history.name) == ("running", True, True, "digits")
    assert view.container is not None
    assert view.container.id == view.history.container_id
    assert view.log_path == lab.workspace() / "job-1/site-1.log"


def test_a_running_job_is_seen_though_its_site_does_not_run(lab: OperatorLab) -> None:
    site = lab.site()
    lab.launch(site)
    site.close()
    view = lab.view()
    assert (view.state, view.has_parent, view.is_active) == ("running", False, True)


def test_a_state_that_nobody_was_told_is_the_engines(lab: OperatorLab) -> None:
    site = lab.site()
    lab.launch(site)
    site.close()
    lab.runtime.pause(NAME)
    assert lab.view().state == "paused"


def test_a_site_without_a_journal_has_its_records(lab: OperatorLab) -> None:
    lab.launch(lab.site(journal=False))
    view = lab.view()
    assert (view.state, view.has_parent, view.launcher) == ("running", True, "launcher")
    assert [entry.state for entry in view.history.states] == ["running"]
    assert view.history.began_at > 0


def test_a_job_without_a_container_is_being_launched(lab: OperatorLab) -> None:
    site = lab.site()
    lab.launch(site)
    [record] = lab.records()
    whole = record.read_bytes().splitlines(keepends=True)
    site.close()
    lab.runtime.remove(lab.runtime.container(NAME).id)
    record.write_bytes(b"".join(whole[:2]))  # the intent, and no more
    assert lab.view().state == LAUNCHING


# --- what has ended ---


def test_an_ended_job_has_its_result(lab: OperatorLab) -> None:
    handle = lab.launch(lab.site())
    lab.runtime.exit(NAME, 3)
    handle.wait()
    until(lambda: not lab.records())
    view = lab.view()
    assert view.history.result is not None
    assert (view.state, view.is_active, view.history.result.exit_code) == ("exited", False, 3)
    assert (view.container, view.record, view.has_parent) == (None, {}, False)


def test_an_end_that_nobody_has_told_is_no_result_yet(lab: OperatorLab) -> None:
    site = lab.site()
    lab.launch(site)
    site.close()
    lab.runtime.exit(NAME, 0)
    view = lab.view()
    assert (view.state, view.is_active, view.history.result) == ("exited", True, None)


def test_a_container_that_the_site_keeps_is_no_running_job(lab: OperatorLab) -> None:
    handle = lab.launch(lab.site(keep=True))
    lab.runtime.exit(NAME, 0)
    handle.wait()
    until(lambda: not lab.records())
    view = lab.view()
    assert view.history.result is not None
    assert (view.state, view.is_active) == ("exited", False)


def test_a_launch_that_was_refused_is_dead(lab: OperatorLab) -> None:
    lab.runtime.start_error = "no such program"
    with pytest.raises(Exception, match="no such program"):
        lab.site().launch_job({"job_id": "job-1"})
    until(lambda: not lab.records())
    view = lab.view()
    assert view.history.result is not None
    assert (view.state, view.history.result.return_code) == ("dead", JobReturnCode.EXECUTION_ERROR)


def test_a_later_run_takes_the_place_of_an_earlier_one(lab: OperatorLab) -> None:
    site = lab.site()
    handle = lab.launch(site)
    lab.runtime.exit(NAME, 3)
    handle.wait()
    until(lambda: not lab.records())
    lab.launch(site)
    [view] = lab.index().jobs()
    assert (view.state, view.history.result) == ("running", None)


def test_a_later_run_that_the_journal_does_not_know_is_the_last_one_too(lab: OperatorLab) -> None:
    site = lab.site()
    handle = lab.launch(site)
    lab.runtime.exit(NAME, 3)
    handle.wait()
    until(lambda: not lab.records())
    site.close()
    lab.launch(lab.site(journal=False))
    [view] = lab.index().jobs()
    assert (view.state, view.history.result) == ("running", None)


# --- what is nowhere ---


def test_what_nobody_follows_and_is_nowhere_is_lost(lab: OperatorLab) -> None:
    site = lab.site()
    lab.launch(site)
    site.close()
    lab.runtime.remove(lab.runtime.container(NAME).id)
    lab.records()[0].unlink()
    view = lab.view()
    assert (view.state, view.is_active) == (LOST, False)


def test_what_is_lost_is_the_same_at_the_next_look_until_there_is_news_of_it(lab: OperatorLab) -> None:
    site = lab.site()
    lab.launch(site)
    site.close()
    lab.runtime.remove(lab.runtime.container(NAME).id)
    lab.records()[0].unlink()
    index = lab.index()
    [lost], [again] = index.jobs(), index.jobs()
    assert lost.state == LOST
    assert again is lost
    with lab.site() as site:
        lab.launch(site)
        assert index.jobs()[0].state == "running"


def test_what_is_on_record_and_in_no_engine_that_answers_may_run(lab: OperatorLab) -> None:
    site = lab.site()
    lab.launch(site)
    site.close()
    lab.runtime.set_reachable(False)
    index = lab.index()
    [view] = index.jobs()
    assert (view.state, view.is_active) == (UNKNOWN, True)
    assert index.problems == ["fake runtime does not answer"]


def test_a_living_site_is_believed_while_the_engine_is_away(lab: OperatorLab) -> None:
    lab.launch(lab.site())
    lab.runtime.set_reachable(False)
    assert lab.view().state == "running"


def test_jobs_are_found_without_the_docker_sdk(lab: OperatorLab) -> None:
    lab.launch(lab.site())

    def make_runtime() -> Runtime:
        raise ImportError("No module named 'docker'")

    index = JobIndex(lambda: [SiteFiles(lab.workspace())], Engines([make_runtime]))
    assert [view.state for view in index.jobs()] == ["running"]
    assert index.problems == ["no engine was asked: No module named 'docker'"]


# --- the whole machine ---


def test_a_container_names_the_site_whose_workspace_nobody_has_named(lab: OperatorLab) -> None:
    site = lab.site()
    lab.launch(site, name="digits")
    index = JobIndex(lambda: [], Engines([lambda: lab.runtime]), whole_machine=True)
    [view] = index.jobs()
    assert (view.history.name, view.has_parent, view.workspace) == ("digits", True, lab.workspace())


def claimed(index: JobIndex) -> list[str]:
    """Return what is said of containers that are no site's; the jobs are only those of sites."""
    views = index.jobs()
    assert {view.history.job_id for view in views} == {"job-1"}
    assert all(view.workspace for view in views)
    assert index.problems == []
    return list(index.claims)


def test_a_folder_of_another_site_is_not_believed(lab: OperatorLab) -> None:
    lab.launch(lab.site())
    other = {**labels_of(lab), "flcore.site_id": "0123456789abcdef", LABEL_JOB_ID: "job-2"}
    put_container(lab, "elsewhere", other)
    [said] = claimed(JobIndex(lambda: [], Engines([lambda: lab.runtime]), whole_machine=True))
    assert "left alone: elsewhere: labels alone say that it is a job's" in said


def test_of_a_container_whose_site_is_not_here_it_is_said_what_it_is(lab: OperatorLab) -> None:
    lab.launch(lab.site())
    elsewhere = {"flcore.site_id": "other", LABEL_STATE_DIR: "/no/such/.flcore", LABEL_JOB_ID: "job-2"}
    put_container(lab, "elsewhere", {**labels_of(lab), **elsewhere})
    [said] = claimed(lab.index(whole_machine=True))
    assert said.endswith("if it is of no use, remove it by: docker rm")


def test_only_who_lists_jobs_or_finds_none_is_told_of_containers_that_are_no_jobs(lab: OperatorLab) -> None:
    lab.launch(lab.site())
    put_container(lab, "copy", {**labels_of(lab), LABEL_JOB_ID: "job-2"})
    for words, is_told in ((("ps",), True), (("inspect", "job-1"), False), (("inspect", "job-2"), True)):
        assert ("left alone: copy: " in lab.flcore(*words).err) == is_told


COPIES = [{}, {LABEL_JOB_ID: "job-2"}, {LABEL_NONCE: "0123456789abcdef"}]


@pytest.mark.parametrize("changed", COPIES, ids=["all", "another-job", "another-nonce"])
@pytest.mark.parametrize("journal", [True, False])
def test_a_container_with_the_labels_of_a_job_is_no_job(
    lab: OperatorLab, journal: bool, changed: dict[str, str]
) -> None:
    lab.launch(lab.site(journal=journal))
    put_container(lab, "copy", labels_of(lab) | changed)
    index = lab.index()
    [said] = claimed(index)
    assert "left alone: copy: " in said
    [view] = index.jobs()
    assert view.container is not None
    assert view.container.name == NAME


def test_a_container_that_has_gone_since_it_was_listed_is_nothing_to_be_told(lab: OperatorLab) -> None:
    class Slow(FakeRuntime):
        def list_containers(self) -> list[ContainerSummary]:
            listed = super().list_containers()
            for one in listed:
                if one.name == "copy":
                    self.remove(one.id)
            return listed

    lab.launch(lab.site())
    put_container(lab, "copy", labels_of(lab))
    lab.runtime.__class__ = Slow
    assert claimed(lab.index()) == []


def test_a_folder_of_a_site_that_a_container_names_is_roots_or_ours(
    lab: OperatorLab, monkeypatch: pytest.MonkeyPatch
) -> None:
    lab.launch(lab.site())
    owner = (lab.workspace() / ".flcore").stat().st_uid
    if owner == 0:
        os.chown(lab.workspace() / ".flcore", 4242, 4242)
    monkeypatch.setattr(os, "geteuid", lambda: 4243)
    index = JobIndex(lambda: [], Engines([lambda: lab.runtime]), whole_machine=True)
    assert index.jobs() == []
    assert "left alone: site-1-job-1: " in index.claims[0]


def test_a_link_in_place_of_a_folder_that_a_container_names_is_not_followed(lab: OperatorLab) -> None:
    lab.launch(lab.site())
    (lab.folder / "link").mkdir()
    (lab.folder / "link/.flcore").symlink_to(lab.workspace() / ".flcore")
    lab.runtime.container(NAME).spec.labels[LABEL_STATE_DIR] = str(lab.folder / "link/.flcore")
    assert JobIndex(lambda: [], Engines([lambda: lab.runtime]), whole_machine=True).jobs() == []


def test_other_sites_jobs_are_not_a_sites(lab: OperatorLab) -> None:
    lab.launch(lab.site("site-1"))
    lab.launch(lab.site("site-2"))
    assert [view.history.site for view in lab.index("site-2").jobs()] == ["site-2"]


@pytest.mark.parametrize("job_id", ["../../etc", "a b", "", "\x1b[31m", "x" * 200])
def test_a_container_whose_labels_no_launcher_gives_is_not_ours(lab: OperatorLab, job_id: str) -> None:
    lab.launch(lab.site())
    put_container(lab, "foreign", {**labels_of(lab), LABEL_JOB_ID: job_id})
    assert [view.history.job_id for view in lab.index(whole_machine=True).jobs()] == ["job-1"]


def test_a_container_without_all_labels_is_not_ours(lab: OperatorLab) -> None:
    lab.launch(lab.site())
    put_container(lab, "foreign", {"flcore.site": "site-1", LABEL_JOB_ID: "job-2"})
    assert [view.history.job_id for view in lab.index(whole_machine=True).jobs()] == ["job-1"]


def test_a_folder_of_sites_is_all_of_them_and_a_sites_folder_is_that_one(lab: OperatorLab) -> None:
    lab.launch(lab.site("site-1"))
    lab.launch(lab.site("site-2"))
    both = [site.workspace.name for site in sites_in(lab.folder / "workspace")]
    assert both == ["site-1", "site-2"]
    assert [site.workspace.name for site in sites_in(lab.workspace("site-2"))] == ["site-2"]
    assert list(sites_in(lab.folder / "nothing")) == []


# --- reading ---


def test_who_reads_changes_nothing(lab: OperatorLab) -> None:
    site = lab.site()
    lab.launch(site)
    site.close()

    def snapshot() -> dict[str, Any]:
        paths = sorted(lab.folder.rglob("*"))
        return {str(path): (path.lstat().st_mtime_ns, path.is_file() and path.read_bytes()) for path in paths}

    before = snapshot()
    with lab.index(whole_machine=True) as index:
        index.jobs()
        index.outages()
        index.watched_paths()
        index.holdings()
    assert snapshot() == before


def test_who_asks_whether_a_process_lives_is_not_taken_for_it(lab: OperatorLab) -> None:
    site = lab.site()
    lab.launch(site)
    parent = lab.view().record["parent"]
    site.close()
    locked = lab.workspace() / ".flcore/parents" / parent
    locked.touch()  # as a killed process leaves it
    asking = "import fcntl, sys; fcntl.flock(open(sys.argv[1]), fcntl.LOCK_SH); print(flush=True); input()"
    with subprocess.Popen(
        [sys.executable, "-c", asking, locked], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as other:
        assert other.stdout
        other.stdout.readline()
        assert lab.view().has_parent is False
        other.communicate(b"\n")


@pytest.mark.parametrize(
    "line",
    [
        b"no json\n",
        b'{"event": "state_change", "site": "site-1", "job_id": "job-2"}\n',
        b'{"event": "completed", "time": 1, "site": "site-1", "job_id": "job-2", "result": {"return_code": "WELL"}}\n',
        b'{"event": "launching", "time": "x", "site": "site-1", "job_id": "../job-2", "name": "", "parent": ""}\n',
        b"[1, 2]\n",
        b"\xff\xfe\n",
    ],
)
def test_a_line_that_cannot_be_read_hides_no_other(lab: OperatorLab, line: bytes) -> None:
    lab.launch(lab.site())
    journal = lab.workspace() / ".flcore/journal.jsonl"
    journal.write_bytes(line + journal.read_bytes())
    assert lab.view().state == "running"
    assert all(view.history.job_id != "../job-2" for view in lab.index().jobs())


def test_an_outage_of_the_engine_is_told(lab: OperatorLab) -> None:
    lab.launch(lab.site())
    lab.runtime.set_reachable(False)
    index = lab.index()
    until(lambda: index.jobs() and index.outages())
    [outage] = index.outages()
    assert (outage.site, outage.until) == ("site-1", None)


def test_an_outage_ends_with_the_process_that_saw_it(lab: OperatorLab) -> None:
    site = lab.site()
    lab.launch(site)
    lab.runtime.set_reachable(False)
    index = lab.index()
    until(lambda: index.jobs() and index.outages())
    site.close()
    index.jobs()
    [outage] = index.outages()
    assert (outage.until, outage.outlived) == (outage.since, True)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_site_that_is_not_ours_to_read_is_told(lab: OperatorLab) -> None:
    lab.launch(lab.site())
    (lab.workspace() / ".flcore").chmod(0)
    index = lab.index()
    assert index.jobs() == []
    assert "cannot be read" in index.problems[0]
    (lab.workspace() / ".flcore").chmod(0o700)
