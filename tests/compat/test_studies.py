"""Studies in a real federation: each job sees the data and secrets of its own study only, at each site."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from launchers.flare.study_file import STUDY_FILE

from .environments import NEWEST, flare
from .features import run
from .federation import Federation
from .jobs import Job
from .kits import CLIENTS
from .launchers import Launcher
from .topologies import Topology

NUMBERS = {"cardio": 1, "onco": 3, "none": 7}
"""What stands in the data of each study, and in that of jobs of none."""
SECRETS = {"cardio": 2, "onco": 5, "none": 11}
ADDED = {study: number + 10 * SECRETS[study] for study, number in NUMBERS.items()}
"""What a job adds that sees all that is its study's, and nothing else."""
UNLISTED = "neuro"
"""A study that the server knows, and no site lists."""


@dataclass(frozen=True)
class StudyJob(Job):
    """A job that adds, in each round, what it sees."""

    rounds: int = 1
    study: str = "none"
    trainer: Mapping[str, Any] | None = field(default_factory=lambda: {"by_data": True})

    @property
    def steps(self) -> int:
        return self.rounds * ADDED.get(self.study, 1)


def written(folder: Path, number: int) -> str:
    """Return a new folder with a number, which a job of whatever user may read."""
    folder.mkdir(mode=0o755)
    (folder / "number").write_text(f"{number}")
    return str(folder)


@pytest.fixture(scope="module")
def federation(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Federation]:
    version = flare(os.environ.get("NVFLARE", NEWEST))
    if version.release < (2, 9):
        pytest.skip("NVIDIA FLARE's server has no studies before 2.9")
    folder = tmp_path_factory.mktemp("studies")
    data = {study: written(folder / study, number) for study, number in NUMBERS.items()}
    secrets = {study: folder / f"{study}-secret" for study in SECRETS}
    for study, path in secrets.items():
        path.write_text(f"{SECRETS[study]}")
    cardio = {"datasets": {"numbers": data["cardio"]}, "secrets": {"number": {"file": str(secrets["cardio"])}}}
    onco = {
        "datasets": {"numbers": {"source": data["onco"], "mode": "ro"}},
        "secret_mounts": {"number": {"source": str(secrets["onco"]), "mount_path": "/run/secrets/onco"}},
    }
    launcher = Launcher.flcore(
        studies={"cardio": cardio},
        datasets={"numbers": data["none"]},
        secrets={"number": {"file": str(secrets["none"])}},
    )
    files = {STUDY_FILE: json.dumps({"format_version": 2, "studies": {"onco": onco}})}
    studies = ("cardio", "onco", UNLISTED)
    with Federation(version, launcher, Topology.BRIDGE, studies=studies, files=files) as federation:
        yield federation


def studies_at(federation: Federation, study: str) -> set[tuple[str, str]]:
    """Return the jobs that an operator finds by a study, and where."""
    listed = federation.flcore("ps", "-a", "--json", "--study", study, str(federation.folder)).splitlines()
    return {(job["job_id"], job["site"]) for job in map(json.loads, listed)}


def test_data_of_nvidia_flare_s_file_are_where_nvidia_flare_would_show_them(federation: Federation) -> None:
    kit = federation.folder / "site-1"
    job = StudyJob("sums-checked", study="onco", meta={"study": "onco"}).write(federation.folder, {})
    [path] = run(federation.flare, "study_mounts.py", str(kit / STUDY_FILE)).split()

    told = federation.flcore("check", str(kit), "--job", str(job))
    assert f"  ok       study: {STUDY_FILE} says what jobs see of onco; those of other studies are refused\n" in told
    seen = told.partition("so it sees, and gets:\n")[2].splitlines()
    assert [" ".join(line.split()[:3]) for line in seen[:3]] == [
        "study onco",
        f"datasets numbers: {path},",
        "secrets number: file",
    ]


def test_jobs_of_two_studies_and_of_none_run_at_the_same_time_and_each_sees_its_own(federation: Federation) -> None:
    jobs = {study: StudyJob(f"sums-{study}", study=study) for study in NUMBERS}
    ids = {study: federation.submit(job, "" if study == "none" else study) for study, job in jobs.items()}
    outcomes = {study: federation.wait(job_id) for study, job_id in ids.items()}

    assert {study: outcome.model for study, outcome in outcomes.items()} == {
        study: job.model for study, job in jobs.items()
    }, federation.story()
    assert all(outcome.is_right for outcome in outcomes.values())
    assert federation.left_over() == []
    sites = {"server", *CLIENTS}
    for study, name in {"cardio": "cardio", "onco": "onco", "none": ""}.items():
        assert studies_at(federation, name) == {(ids[study], site) for site in sites}


def test_a_job_of_a_study_that_no_site_lists_ends_with_that_reason(federation: Federation) -> None:
    job_id = federation.submit(StudyJob("sums-unlisted", study=UNLISTED), UNLISTED)
    outcome = federation.wait(job_id, 60)

    assert outcome.status.startswith("FINISHED:"), federation.story()
    assert not outcome.is_right
    of_job = [line for line in federation.log("server").splitlines() if job_id in line]
    assert [line for line in of_job if "study: is no study of site server ('studies'), got 'neuro'" in line]
    assert federation.left_over() == []
