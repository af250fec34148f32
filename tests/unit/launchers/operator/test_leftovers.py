"""``flcore gc``: what is nobody's goes, and nothing else."""

from __future__ import annotations

import io
import re
import time
from dataclasses import replace

import pytest

from launchers.container_spec import LABEL_JOB_ID, LABEL_NONCE, LABEL_SITE_ID, LABEL_STATE_DIR, ContainerSpec
from launchers.docker_state import DOCKER_STATE, ContainerState
from launchers.operator.leftovers import Rules, clear
from launchers.operator.terminal import Terminal
from tests.operator_lab import OperatorLab, until

NAME = "site-1-job-1"
HOUR = 3600.0


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
