"""Consent in a real federation: what nobody has approved at a client waits in the server's queue, and then runs.

The kits are set up as ``docs/approvals.md`` says.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from markdown_it import MarkdownIt

from tests.engines.engine import until
from tests.environments import ROOT

from .environments import NEWEST, flare
from .federation import Federation
from .jobs import Job
from .launchers import MANAGER, SERVER, Launcher
from .topologies import Topology

JOB = Job("asked", rounds=1, trainer={}, meta={"min_clients": 2, "mandatory_clients": ["site-1"]})
TIMEOUT = 60


def to_be_written() -> tuple[Any, Any, Any]:
    """Return what the page has the server's operator write, what it has him change, and what a client's writes."""
    _, _, section = (ROOT / "docs/approvals.md").read_text().partition("### In NVIDIA FLARE's queue")
    tokens = MarkdownIt("commonmark").parse(section.partition("\n## ")[0])
    early, scheduler, consent = (json.loads(token.content) for token in tokens if token.type == "fence")
    return early, scheduler, consent


EARLY, SCHEDULER, CONSENT = to_be_written()


def components(site: str) -> list[dict[str, Any]]:
    """Return what the server and one client's operator add to their kits."""
    written: list[dict[str, Any]] = {SERVER: EARLY, "site-1": CONSENT}.get(site, {}).get("components", [])
    return written


@pytest.fixture(scope="module")
def federation() -> Iterator[Federation]:
    version = flare(os.environ.get("NVFLARE", NEWEST))
    launcher = replace(Launcher.flcore(), of_clients=[MANAGER])
    with Federation(version, launcher, Topology.BRIDGE, observers=components) as federation:
        yield federation


@pytest.fixture(scope="module")
def kit(federation: Federation) -> Path:
    return federation.folder / "site-1"


def listed(federation: Federation, kit: Path, job_id: str) -> dict[str, Any]:
    """Return what an operator is told of a job at a site; nothing while it is not known."""
    lines = federation.flcore("ps", "-a", "--json", str(kit)).splitlines()
    return next((job for job in map(json.loads, lines) if job["job_id"] == job_id), {})


def waiting(federation: Federation, kit: Path) -> list[dict[str, Any]]:
    """Return what an approver is told that waits."""
    return [json.loads(line) for line in federation.flcore("approvals", "--json", "--workspace", str(kit)).splitlines()]


def until_asked(federation: Federation, kit: Path, job_id: str) -> str:
    """Return the fingerprint of what a job would run, when the site waits for its approval."""
    until(lambda: "waits for approval" in listed(federation, kit, job_id).get("reason", ""), TIMEOUT, "it is asked for")
    return str(next(one["fingerprint"] for one in waiting(federation, kit) if one["job_id"] == job_id))


def history(federation: Federation, job_id: str) -> str:
    return "\n".join(federation.ask("meta", job_id).get("schedule_history") or [])


def test_the_kits_are_as_the_page_says(federation: Federation) -> None:
    server = federation.folder / SERVER
    listed = json.loads((server / "local/resources.json.default").read_text())["components"]
    own = next(component for component in listed if component["id"] == SCHEDULER["id"])
    assert own["path"] == SCHEDULER["path"]
    assert own["args"].items() <= SCHEDULER["args"].items()
    said = federation.flcore("check", str(server))
    assert "  ok       early_deployment: clients get a job's app before they are asked for room" in said
    assert "job_scheduler" not in said


def test_a_job_waits_in_the_server_s_queue_and_runs_when_somebody_has_approved_it(
    federation: Federation, kit: Path
) -> None:
    job_id = federation.submit(JOB)
    fingerprint = until_asked(federation, kit, job_id)
    assert federation.status(job_id) == "SUBMITTED"
    assert federation.containers(job_id) == []
    until(lambda: history(federation, job_id).count("enough resources") > 2, TIMEOUT, "it was put off again")
    assert len([one for one in waiting(federation, kit) if one["job_id"] == job_id]) == 1
    shown = federation.flcore("show", fingerprint, "--workspace", str(kit))
    assert "custom/compat_trainer.py" in shown

    federation.flcore("approve", fingerprint, "--workspace", str(kit), "--note", "looked at")
    outcome = federation.wait(job_id)
    assert outcome.is_right, federation.story()
    assert federation.left_over() == []
    audit = federation.flcore("audit", "export", "--json", str(kit))
    assert fingerprint in audit


def test_what_was_approved_runs_again_without_being_asked_for(federation: Federation, kit: Path) -> None:
    outcome = federation.run(JOB)
    assert outcome.is_right, federation.story()
    assert waiting(federation, kit) == []
    assert history(federation, outcome.job_id).count("enough resources") == 0


def test_a_job_that_waits_outlives_the_client_s_parent(federation: Federation, kit: Path) -> None:
    job_id = federation.submit(replace(JOB, name="outlived", trainer={"seconds": 0.02}))
    fingerprint = until_asked(federation, kit, job_id)
    federation.restart_parent("site-1")
    federation.flcore("approve", fingerprint, "--workspace", str(kit))
    outcome = federation.wait(job_id)
    assert outcome.is_right, federation.story()
    assert federation.left_over() == []


def test_one_changed_argument_asks_again_and_a_denial_ends_the_job(federation: Federation, kit: Path) -> None:
    job_id = federation.submit(replace(JOB, name="denied", trainer={"seconds": 0.01}))
    fingerprint = until_asked(federation, kit, job_id)
    federation.flcore("deny", fingerprint, "--workspace", str(kit), "--note", "not here")
    outcome = federation.wait(job_id, TIMEOUT)
    assert outcome.status.startswith("FINISHED:"), federation.story()
    assert not outcome.is_right
    assert "was denied by" in federation.log("site-1")
    assert "not here" in listed(federation, kit, job_id)["reason"]
    assert federation.left_over() == []
