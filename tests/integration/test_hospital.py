"""The example of a site that decides about its data, ``configs/hospital``: this very site, on a real engine."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import uuid
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from flcore import JobReturnCode, Site
from flcore.errors import JobNotApprovedError, JobRejectedError
from launchers.docker_launcher import DockerJobHandle
from launchers.runtime.docker_dialect import PODMAN, dialect_of
from launchers.runtime.engine_traits import as_traits
from tests.hostile.ways.internet import Internet, why_not
from tests.hostile.ways.scene import Scene, Surroundings
from tests.hostile.ways.verdict import Network, Place, misses, unnamed

from .conftest import until

ROOT = Path(__file__).parents[2]
HOSPITAL = ROOT / "configs/hospital"
CARDIO, ONCO = "cardio-2026", "onco-2026"
SEEN = {
    CARDIO: [
        "hearts/hearts.csv: means {'age': 60.2, 'ejection_fraction': 51.8}",
        "secrets: registry",
        "variables of the study: none",
    ],
    ONCO: [
        "tumours/tumours.csv: means {'age': 63.7, 'diameter_mm': 21.7}",
        "secrets: registry",
        "variables of the study: UNIT",
    ],
}


class Hospital:
    """The site, in a copy of its folder, beside which are its workspace and the heads of its journal."""

    def __init__(self, folder: Path, client: Any, stack: ExitStack) -> None:
        self.folder = folder / "configs/hospital"
        shutil.copytree(HOSPITAL, self.folder)
        self.config = self.folder / "site.json"
        self.workspace, self.heads = folder / "workspace/hospital", folder / "workspace/hospital.heads"
        self.reaches_host = dialect_of(client.version()) is PODMAN
        if self.reaches_host:  # Podman makes no network without an address of the host's
            self.config.write_text(self.config.read_text().replace(', "parent": "none"', ""))
        self.stack = stack

    def exported(self, study: str) -> list[dict[str, Any]]:
        """Return what an auditor is told of a study's runs."""
        told = self.flcore("audit", "export", "--json", "--study", study, "--site", str(self.config))
        return [json.loads(line) for line in told.stdout.splitlines()]

    def start(self) -> Site:
        return self.stack.enter_context(Site.from_config(self.config))

    def flcore(self, *words: str) -> subprocess.CompletedProcess[str]:
        """Type a command, as the site's officers do."""
        command = [sys.executable, "-m", "flcore", *words]
        return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)

    def approve(self, fingerprint: str) -> None:
        done = self.flcore("approve", fingerprint, "--workspace", str(self.workspace), "--note", "looked at it")
        assert done.returncode == 0, done.stderr

    def launch_approved(self, site: Site, study: str) -> DockerJobHandle:
        """Launch its job for a study; have somebody approve it first, if nobody has."""
        try:
            return self.launch(site, study)
        except JobNotApprovedError as error:
            self.approve(error.fingerprint)
            return self.launch(site, study)

    def launch(self, site: Site, study: str | None, app: Path | None = None, **asked: Any) -> DockerJobHandle:
        """Launch its job for a study, with its own app or another. Raises JobLaunchError."""
        job = self.folder / "jobs/look"
        meta = json.loads((job / "meta.json").read_text())
        meta |= {"job_id": f"look-{uuid.uuid4().hex[:8]}", "study": study}
        meta["resource_spec"]["hospital"] |= asked
        handle = site.launch_job(meta, {"exe_module": ("-m", "client")}, app or job / "app")
        assert isinstance(handle, DockerJobHandle)
        return handle


@pytest.fixture(scope="module")
def hospital(docker_client: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hospital]:
    wanted = json.loads((HOSPITAL / "site.json").read_text())["components"][-1]["args"]["require"]
    if missing := as_traits(docker_client.version(), docker_client.info()).missing(wanted):
        pytest.skip(f"the engine says that it has no {', '.join(missing)}, and the site launches nothing without")
    with ExitStack() as stack:
        yield Hospital(tmp_path_factory.mktemp("site"), docker_client, stack)


@pytest.fixture(scope="module")
def site(hospital: Hospital) -> Site:
    return hospital.start()


@pytest.mark.parametrize("study", [CARDIO, ONCO])
def test_a_job_sees_the_data_and_secrets_of_its_own_study_and_no_others(
    hospital: Hospital, site: Site, study: str
) -> None:
    handle = hospital.launch_approved(site, study)
    assert handle.wait() is JobReturnCode.SUCCESS
    assert handle.logs().splitlines() == SEEN[study]


def test_a_job_of_a_study_that_the_site_does_not_list_is_refused_by_its_name(hospital: Hospital, site: Site) -> None:
    with pytest.raises(JobRejectedError, match=r"no study of site hospital .*'brain-2026'"):
        hospital.launch(site, "brain-2026")


def test_a_job_of_no_study_is_refused(hospital: Hospital, site: Site) -> None:
    with pytest.raises(JobRejectedError, match="study_required"):
        hospital.launch(site, None)


@pytest.mark.parametrize(("asked", "limit"), [({"memory": "2Gi"}, "1Gi"), ({"disk": "11Gi"}, "10Gi")])
def test_a_job_gets_no_more_than_its_study_or_site_allows(
    hospital: Hospital, site: Site, asked: dict[str, Any], limit: str
) -> None:
    with pytest.raises(JobRejectedError, match=limit):
        hospital.launch(site, CARDIO, **asked)


def test_a_job_runs_when_somebody_has_approved_it_and_one_changed_byte_asks_again(
    hospital: Hospital, site: Site, tmp_path: Path
) -> None:
    app = tmp_path / "app"
    shutil.copytree(hospital.folder / "jobs/look/app", app)
    code = app / "custom/client.py"
    code.write_text(f"{code.read_text()}# ours\n")
    with pytest.raises(JobNotApprovedError, match=r"flcore show .*flcore approve") as refused:
        hospital.launch(site, CARDIO, app)
    hospital.approve(refused.value.fingerprint)
    assert hospital.launch(site, CARDIO, app).wait() is JobReturnCode.SUCCESS
    code.write_text(code.read_text().replace("# ours", "# yours"))
    with pytest.raises(JobNotApprovedError):
        hospital.launch(site, CARDIO, app)


def test_an_auditor_is_told_which_code_ran_on_which_study_s_data(hospital: Hospital, site: Site) -> None:
    for study in (CARDIO, ONCO):
        hospital.launch_approved(site, study).wait()
    until(lambda: any(run["result"] == "SUCCESS" for run in hospital.exported(CARDIO)))
    runs = hospital.exported(CARDIO)
    assert {run["study"] for run in runs} == {CARDIO}
    assert [run["datasets"] for run in runs if run["result"] == "SUCCESS"][-1] == ["hearts"]
    assert all(run["chain_holds"] for run in runs)
    assert all(run["fingerprint"] and run["approved_by"] for run in runs if run["result"] == "SUCCESS")


def test_what_is_cut_off_the_journal_is_missed(hospital: Hospital, site: Site) -> None:
    hospital.launch_approved(site, CARDIO).wait()
    journal = hospital.workspace / ".flcore/journal.jsonl"
    verify = ("audit", "verify", "--head", str(hospital.heads))
    until(lambda: hospital.flcore(*verify, "--site", str(hospital.config)).returncode == 0)
    cut = hospital.workspace.parent / "copied.jsonl"
    cut.write_text("".join(journal.read_text().splitlines(keepends=True)[:-3]))
    assert "the end is missing" in hospital.flcore(*verify, str(cut)).stdout


def test_a_hostile_job_of_one_study_gets_nowhere_but_where_we_have_said(
    docker_client: Any, hospital: Hospital, site: Site, tmp_path: Path
) -> None:
    with ExitStack() as stack:
        outside = None if why_not() else stack.enter_context(Internet(tmp_path)).outside
        around = Surroundings(tmp_path, stack, outside)
        (hospital.folder / "data/onco/patients.csv").write_text(around.words.data)
        (hospital.folder / "secrets/onco-registry").write_text(around.words.secret)
        (hospital.workspace / "keys").write_text(around.words.site)
        found = Scene(docker_client, site, around, tmp_path, hospital.approve).play(CARDIO, ONCO)
    network = Network.PER_JOB if hospital.reaches_host else Network.SEALED
    place = Place.of(docker_client, network, outside)
    assert unnamed(found, place) == []
    assert not misses(found, place)
