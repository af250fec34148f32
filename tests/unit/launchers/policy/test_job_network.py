"""What a site may say of its jobs' network."""

from __future__ import annotations

from typing import Any

import jsonschema
import pytest

from launchers.container_spec import ContainerSpec, OwnNetwork
from launchers.policy.job_network import job_network, joined, own_network_name
from launchers.policy.job_policy import container_name
from tests.unit.launchers.policy.test_studies import ONE, OTHER, launcher, planned

POOLS = ["10.210.0.0/16", "10.220.0.0/24"]


@pytest.mark.parametrize(
    ("said", "meant"),
    [
        ("flare", "flare"),
        ({"per_job": True}, OwnNetwork()),
        ({"per_job": True, "pools": []}, OwnNetwork()),
        ({"per_job": True, "pools": POOLS}, OwnNetwork(tuple(POOLS))),
        ({"per_job": True, "pools": POOLS, "subnet_size": 29}, OwnNetwork(tuple(POOLS), 29)),
        ({"per_job": True, "parent": "host"}, OwnNetwork()),
        ({"per_job": True, "parent": "none"}, OwnNetwork(reaches_host=False)),
    ],
)
def test_it_is_one_that_is_there_or_one_of_each_jobs_own(said: Any, meant: Any) -> None:
    assert job_network("network", said) == meant
    jsonschema.validate(said, job_network.schema())


@pytest.mark.parametrize(
    ("said", "error"),
    [
        (None, "network must be a network's name, got None"),
        ("a b", "network must be a network's name, got 'a b'"),
        ({}, "network.per_job must be true, got None"),
        ({"per_job": 1}, "network.per_job must be true, got 1; of a network that is there, say its name alone"),
        ({"per_job": True, "pool": []}, "network: unknown key 'pool'; did you mean 'pools'"),
        ({"per_job": True, "pools": "10.0.0.0/8"}, "network.pools must be a list"),
        ({"per_job": True, "pools": ["10.0.0.1/8"]}, r"network.pools\[0\] must be a subnet of IPv4, .* has host bits"),
        ({"per_job": True, "pools": ["fd00::/8"]}, r"network.pools\[0\] must be a subnet of IPv4"),
        ({"per_job": True, "pools": ["10.0.0.0/29"]}, r"network.pools\[0\] is smaller than the networks .* /28"),
        (
            {"per_job": True, "pools": ["10.0.0.0/8", "10.1.0.0/16"]},
            r"network.pools\[1\] overlaps with another one: 10.1.0.0/16 and 10.0.0.0/8",
        ),
        ({"per_job": True, "pools": POOLS, "subnet_size": 31}, "network.subnet_size must be .* 8 to 30, got 31"),
        ({"per_job": True, "pools": POOLS, "subnet_size": True}, "network.subnet_size must be"),
        (
            {"per_job": True, "subnet_size": 29},
            "network.subnet_size is of what is cut from 'pools', and there are none",
        ),
        ({"per_job": True, "parent": "here"}, "network.parent must be one of"),
    ],
)
def test_what_is_wrong_is_told_by_its_key(said: Any, error: str) -> None:
    with pytest.raises(ValueError, match=error):
        job_network("network", said)


def test_all_that_is_wrong_is_told_at_once() -> None:
    with pytest.raises(ValueError, match="per_job") as raised:
        job_network("network", {"per_job": 0, "a": 1, "pools": 2, "parent": 3})
    assert len(str(raised.value).splitlines()) == 4


def test_its_name_is_the_containers_and_no_other_containers() -> None:
    names = [container_name(name) for name in ("site-1-job", "site-1-job.net", "Site-1-job", "s" * 500)]
    networks = {own_network_name(name) for name in names}
    assert len(networks) == len(names)
    assert not networks & set(names)
    assert max(map(len, networks)) < 128


def test_a_container_joins_it_by_that_name() -> None:
    spec = ContainerSpec("c", "job:1", ("true",), network="shared")
    own = joined(spec, OwnNetwork())
    assert (own.network, own.own_network) == ("c.net", OwnNetwork())
    assert joined(own, "shared") == spec


def test_jobs_of_one_study_may_have_one_of_their_own_and_others_none() -> None:
    by = launcher(network="site-net", studies={ONE: {"network": {"per_job": True, "parent": "none"}}, OTHER: {}})
    assert planned(by, ONE).own_network == OwnNetwork(reaches_host=False)
    assert planned(by, ONE).network.endswith(".net")
    assert [planned(by, study).network for study in (OTHER, None)] == ["site-net", "site-net"]


def test_jobs_of_one_study_may_share_a_network_where_others_do_not() -> None:
    by = launcher(network={"per_job": True}, studies={ONE: {"network": "cardio-net"}, OTHER: {}})
    assert (planned(by, ONE).network, planned(by, ONE).own_network) == ("cardio-net", None)
    assert planned(by, OTHER).own_network == planned(by).own_network == OwnNetwork()


def test_a_job_may_not_ask_for_another_networks_name() -> None:
    by = launcher(network={"per_job": True})
    with pytest.raises(Exception, match=r"network: no job may ask for it, only a site"):
        planned(by, launcher_spec={"default": {"docker": {"network": "site-net"}}})
