"""What an operator has of NVIDIA FLARE's sites: their journals, figures, what jobs use, and flcore's commands."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from typing import Any

import pytest

from tests.engines.engine import until

from .environments import NEWEST, flare
from .federation import Federation
from .jobs import Job
from .kits import SITES, free_ports
from .launchers import SERVER, Launcher
from .topologies import Topology

PORTS = dict(zip(SITES, free_ports(len(SITES)), strict=True))
GOOD, FAILING, LONG = Job("good"), Job("failing", trainer={"exit_code": 3}), Job("long", trainer={"seconds": 60})
TIMEOUT = 120


def observers(site: str) -> list[dict[str, Any]]:
    """Return what a kit names as its operator would, without a journal: there is one anyway."""
    return [
        {"id": "usage", "path": "flcore.observers.ResourceMonitor", "args": {"interval": 1.0}},
        {"id": "metrics", "path": "flcore.observers.MetricsExporter", "args": {"port": PORTS[site]}},
    ]


@pytest.fixture(scope="module")
def federation() -> Iterator[Federation]:
    version = flare(os.environ.get("NVFLARE", NEWEST))
    with Federation(version, Launcher.flcore(), Topology.BRIDGE, observers=observers) as federation:
        yield federation


@pytest.fixture(scope="module")
def jobs(federation: Federation) -> dict[str, str]:
    """Have three jobs run: to its end, into a failure at site-1, and until somebody aborts it; return their ids."""
    ids = {"good": federation.run(GOOD).job_id, "failing": federation.run(FAILING).job_id}
    ids["long"] = federation.submit(LONG)
    # up to 2.7 the server's process of a job that has failed may outlive it by some seconds
    until(lambda: all(running(federation, site) == [ids["long"]] for site in SITES), TIMEOUT, "the long job runs alone")
    return ids


@pytest.fixture(scope="module")
def ended(federation: Federation, jobs: dict[str, str]) -> dict[str, str]:
    """Have all of them be ended."""
    federation.abort(jobs["long"])
    federation.wait(jobs["long"])
    assert federation.left_over() == []
    return jobs


def flcore(federation: Federation, *words: str) -> str:
    """Return what a command of an operator says, who is where the kits are."""
    environment = {**os.environ, "DOCKER_HOST": federation.engine}
    command = [sys.executable, "-m", "flcore", *words]
    done = subprocess.run(
        command, cwd=federation.folder, env=environment, capture_output=True, text=True, timeout=TIMEOUT, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


def listed(federation: Federation, site: str) -> dict[str, dict[str, Any]]:
    """Return what is said of the jobs of a kit, by their ids."""
    lines = flcore(federation, "ps", "--all", "--json", site).splitlines()
    return {one["job_id"]: one for one in map(json.loads, lines)}


def running(federation: Federation, site: str) -> list[str]:
    return [job_id for job_id, told in listed(federation, site).items() if told["state"] == "running"]


def figures(site: str) -> dict[str, float]:
    """Return a parent's figures, by their names and labels."""
    with urllib.request.urlopen(f"http://127.0.0.1:{PORTS[site]}/metrics", timeout=TIMEOUT) as answer:
        lines = answer.read().decode().splitlines()
    pairs = (line.rpartition(" ") for line in lines if not line.startswith("#"))
    return {name.replace(f'site="{site}"', "").replace("{,", "{").replace(",}", "}"): float(n) for name, _, n in pairs}


def journal(federation: Federation, site: str, job_id: str) -> list[dict[str, Any]]:
    """Return what a kit's journal tells of a job."""
    text = (federation.folder / site / ".flcore/journal.jsonl").read_text()
    return [line for line in map(json.loads, text.splitlines()) if line.get("job_id") == job_id]


@pytest.mark.parametrize("site", SITES)
def test_while_a_job_runs_the_commands_and_figures_of_its_site_say_so(
    federation: Federation, jobs: dict[str, str], site: str
) -> None:
    there = listed(federation, site)
    assert {there[jobs[name]]["name"] for name in jobs} == set(jobs)
    assert there[jobs["long"]]["state"] == "running"
    assert figures(site)['flcore_jobs{state="running"}'] == 1
    until(lambda: figures(site).get("flcore_jobs_memory_bytes{}"), TIMEOUT, "a measure of the running job")


@pytest.mark.parametrize("site", SITES)
def test_afterwards_they_say_how_each_has_ended(federation: Federation, ended: dict[str, str], site: str) -> None:
    there = listed(federation, site)
    results = {name: there[job_id]["result"]["return_code"] for name, job_id in ended.items()}
    assert results["good"] == "SUCCESS"
    if site == SERVER:  # whose process ends well when a job is aborted
        statuses = {name: there[job_id]["federation"] for name, job_id in ended.items()}
        assert (statuses["good"], statuses["long"]) == (None, "FINISHED:ABORTED")
        assert statuses["failing"].startswith("FINISHED:")
    else:
        # NVIDIA FLARE asks a process to end, and has it ended if it does not; on a busy machine either may be first.
        aborted = there[ended["long"]]["result"]
        assert (aborted["return_code"], aborted["ended_by"]) in [("ABORTED", "NVIDIA FLARE"), ("SUCCESS", "")]
        assert results["failing"] == "EXECUTION_ERROR" or site != "site-1"
    assert figures(site)['flcore_launches_total{outcome="launched"}'] == len(ended)


@pytest.mark.parametrize("site", SITES)
def test_a_journal_tells_a_whole_life_and_what_was_used(
    federation: Federation, ended: dict[str, str], site: str
) -> None:
    lines = journal(federation, site, ended["good"])
    states = [line["state"] for line in lines if line["event"] == "state_change"]
    assert (lines[0]["event"], states, lines[-1]["event"]) == (
        "launching",
        ["created", "running", "exited"],
        "completed",
    )
    assert {"launched", "usage"} <= {line["event"] for line in lines}


def test_the_output_of_a_job_is_had_by_the_path_of_its_kit(federation: Federation, ended: dict[str, str]) -> None:
    assert f"run={ended['good']}" in flcore(federation, "logs", f"site-2/{ended['good'][:8]}")


def test_a_report_tells_of_all_kits(federation: Federation, ended: dict[str, str]) -> None:
    page = flcore(federation, "report", ".", "-o", "-")
    assert all(job_id in page for job_id in ended.values())


def test_a_site_whose_parent_was_killed_goes_on_with_its_journal(federation: Federation, ended: dict[str, str]) -> None:
    job_id = federation.submit(LONG)
    until(lambda: all(job_id in running(federation, site) for site in SITES), TIMEOUT, "the job runs everywhere")
    federation.restart_parent("site-2")
    until(lambda: listed(federation, "site-2")[job_id]["result"], TIMEOUT, "the end of it is told")
    events = [line["event"] for line in journal(federation, "site-2", job_id)]
    assert (events[0], "recovered" in events, events[-1]) == ("launching", True, "aborted")
    assert listed(federation, "site-2")[ended["good"]]["result"]["return_code"] == "SUCCESS"
