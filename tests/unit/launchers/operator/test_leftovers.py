"""``flcore gc``: what is nobody's goes, and nothing else."""

from __future__ import annotations

import io
import json
import re
import time
from dataclasses import replace
from pathlib import Path

import pytest

from launchers.container_spec import LABEL_JOB_ID, LABEL_NONCE, LABEL_PARENT, ContainerSpec
from launchers.docker_state import DOCKER_STATE, ContainerState
from launchers.operator.leftovers import Rules, clear
from launchers.operator.terminal import Terminal
from tests.operator_lab import OperatorLab, until

NAME = "site-1-job-1"
HOUR = 3600.0


def orphan(lab: OperatorLab, name: str, *, ended_ago: float | None, known: bool = True, job: str = "") -> None:
    """Have a container of a dead process of the site, which the site still knows, or which only says so."""
    ours = lab.runtime.container(NAME).spec.labels
    labels = {**ours, LABEL_PARENT: "dead", LABEL_NONCE: job or name, LABEL_JOB_ID: job or name}
    lab.runtime.start(lab.runtime.create(ContainerSpec(name, "job:1", ("sleep",), labels=labels)))
    container = lab.runtime.container(name)
    if known:
        kept(lab).mkdir(exist_ok=True)
        note = {"job_id": name, "site": "site-1", "nonce": name, "name": name, "container_id": container.id}
        (kept(lab) / f"{name}.{name}.jsonl").write_text(json.dumps(note))
    if ended_ago is not None:
        lab.runtime.exit(name, 0)
        container.state = replace(container.state, finished_at=time.time() - ended_ago)


def kept(lab: OperatorLab) -> Path:
    return lab.workspace() / ".flcore" / "kept"


def end_long_ago(lab: OperatorLab, name: str) -> None:
    container = lab.runtime.container(name)
    container.state = replace(container.state, started_at=time.time() - 26 * HOUR)
    lab.runtime.exit(name, 0)
    container.state = replace(container.state, finished_at=time.time() - 25 * HOUR)


def gc(lab: OperatorLab, *, dry: bool = False) -> dict[str, str]:
    """Clear the whole machine; return what is said to be done, by container."""
    out = io.StringIO()
    with lab.index(whole_machine=True) as index:
        assert clear(index.holdings(), Rules(24 * HOUR, time.time()), Terminal(out), dry=dry)
    words = [re.fullmatch(r"(.*)  (\S+) \(\w+\): .*", line) for line in out.getvalue().splitlines()]
    return {match[2]: match[1] for match in words if match}


def test_a_containers_name_does_nothing_to_the_terminal_of_who_clears(lab: OperatorLab) -> None:
    """An engine allows no such name; who has put another in its place does not know that."""
    lab.launch(lab.site())
    orphan(lab, "\x1b[2J\x9bodd\u202e", ended_ago=25 * HOUR, known=False, job="job-2")
    out = io.StringIO()
    with lab.index(whole_machine=True) as index:
        clear(index.holdings(), Rules(24 * HOUR, time.time()), Terminal(out), dry=True)
    assert "odd" in out.getvalue()
    assert all(line.isprintable() for line in out.getvalue().splitlines())


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
    assert {path.name for path in kept(lab).iterdir()} == {"young.young.jsonl", "running.running.jsonl"}


@pytest.mark.parametrize("command", ["docker", "podman"])
def test_gc_leaves_what_only_says_that_it_is_a_jobs_and_says_what_to_do(lab: OperatorLab, command: str) -> None:
    lab.runtime.command = command
    lab.launch(lab.site())
    orphan(lab, "forged", ended_ago=25 * HOUR, known=False)
    lines = lab.flcore("gc").lines
    [line] = [line for line in lines if "forged" in line]
    assert re.match(rf"left  forged \(\w+\): labels alone say that it is a job's, .* remove it by: {command} rm$", line)
    assert "forged" in names(lab)


def test_gc_leaves_a_copy_of_a_container_that_its_site_knows(lab: OperatorLab) -> None:
    lab.launch(lab.site())
    orphan(lab, "old", ended_ago=25 * HOUR)
    labels = lab.runtime.container("old").spec.labels
    lab.runtime.remove(lab.runtime.container("old").id)
    lab.runtime.start(lab.runtime.create(ContainerSpec("old", "job:1", ("sleep",), labels=labels)))
    end_long_ago(lab, "old")
    assert gc(lab)["old"] == "left"


def test_a_site_that_keeps_containers_knows_them_without_a_journal_until_gc_removes_them(lab: OperatorLab) -> None:
    site = lab.site(keep=True, journal=False)
    handle = lab.launch(site)
    end_long_ago(lab, NAME)
    handle.wait()
    until(lambda: not lab.records())
    assert len(list(kept(lab).iterdir())) == 1
    site.close()
    assert gc(lab) == {NAME: "removed"}
    assert list(kept(lab).iterdir()) == []


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


def test_gc_needs_no_journal_for_what_its_site_has_noted(lab: OperatorLab) -> None:
    lab.launch(lab.site())
    orphan(lab, "old", ended_ago=48 * HOUR)
    journal = lab.workspace() / ".flcore" / "journal.jsonl"
    journal.unlink()
    journal.mkdir()  # as good as any that cannot be read
    assert gc(lab)["old"] == "removed"
    orphan(lab, "claims", ended_ago=48 * HOUR, known=False)
    with lab.index() as index:
        index.holdings()
        assert "journal.jsonl" in index.problems[0] or "cannot be read" in index.problems[0]
