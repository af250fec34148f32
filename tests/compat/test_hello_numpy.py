"""Jobs in a real federation: the right model, and nothing left. `make test-compat` makes all that is needed."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator

import pytest

from tests.engines.engine import until

from .environments import NEWEST, flare
from .federation import Federation
from .jobs import Job
from .kits import CLIENTS, SITES
from .launchers import Launcher
from .topologies import Topology

NO_SESSION = "NA"
"""NVIDIA FLARE's id of a server's session, where it has none: in every name with SIGNATURE in it."""


@pytest.fixture(scope="module")
def federation() -> Iterator[Federation]:
    version = flare(os.environ.get("NVFLARE", NEWEST))
    with Federation(version, Launcher.flcore(), Topology.BRIDGE) as federation:
        yield federation


def test_a_job_of_three_containers_ends_well_and_leaves_nothing(federation: Federation) -> None:
    outcome = federation.run(Job())

    assert (outcome.status, outcome.model) == ("FINISHED:COMPLETED", outcome.job.model), federation.story()
    assert federation.left_over() == []


def test_a_job_brings_code_of_its_own(federation: Federation) -> None:
    outcome = federation.run(Job("custom", rounds=2, trainer={}))

    assert (outcome.status, outcome.model) == ("FINISHED:COMPLETED", outcome.job.model), federation.story()
    assert federation.left_over() == []


def test_no_job_connects_to_the_server_whose_kit_has_them_do_so(federation: Federation) -> None:
    for site in SITES:
        config = json.loads((federation.folder / site / "local/comm_config.json").read_text())
        assert config["backbone_conn_gen"] == 2
    before = federation.connections()
    outcome = federation.run(Job())

    assert outcome.is_right, federation.story()
    assert federation.connections() == before != []
    assert federation.left_over() == []  # a client's process may end some seconds after the job
    outputs = [(federation.folder / site / outcome.job_id / f"{site}.log").read_text() for site in CLIENTS]
    assert not [line for output in outputs for line in output.splitlines() if "external connector" in line]


def test_a_job_is_locked_down_and_has_no_key_where_its_process_starts_without(federation: Federation) -> None:
    job_id = federation.submit(Job("slow", rounds=1, trainer={"seconds": 3}))
    name, kit = f"site-1-{job_id}", federation.folder / "site-1"
    until(lambda: name in federation.containers(job_id), 60, "the client's container")
    inspection = federation.inspected(name)
    host, mounts = inspection["HostConfig"], {mount["Destination"]: mount for mount in inspection["Mounts"]}
    outcome = federation.wait(job_id)

    assert outcome.is_right, federation.story()
    assert inspection["Config"]["User"] == "65534:65534"
    assert (host["CapDrop"], host["ReadonlyRootfs"], host["SecurityOpt"]) == (["ALL"], True, ["no-new-privileges"])
    assert [place for place, mount in mounts.items() if mount["RW"]] == [str(kit / job_id)]
    key = "startup/client.key" if federation.flare.release < (2, 8) else ".flcore/decoy.key"
    assert mounts[str(kit / "startup/client.key")]["Source"] == str(kit / key)
    variables = [word.partition("=") for word in inspection["Config"]["Env"] if word.startswith("NVFLARE_JOB_")]
    secrets = [value for _, _, value in variables if value != NO_SESSION]
    assert secrets
    seen = [*inspection["Config"]["Cmd"], *inspection["Config"]["Labels"].values()]
    assert not [secret for secret in secrets for text in seen if secret in text]
