"""How an engine is asked for the networks of jobs' own."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from ipaddress import ip_network
from typing import Any

import pytest

from flcore.errors import NameInUseError, NetworkError, RuntimeRefusedError
from launchers.container_spec import LABEL_NONCE, THIS_PROCESS, ContainerSpec, OwnNetwork
from launchers.runtime.base import NetworkSummary, job_networks_of
from launchers.runtime.docker import DockerRuntime
from launchers.runtime.docker_dialect import DOCKER, PODMAN
from launchers.runtime.docker_job_networks import DockerJobNetworks, free_subnet, own_network_options
from launchers.runtime.process import ProcessRuntime
from tests.small_engine import SmallEngine

OWN = OwnNetwork()
POOLS = OwnNetwork(("10.210.0.0/24",))
NAME = "site-1-job.net"
MADE = {"Id": "abc", "Name": NAME, "Labels": {LABEL_NONCE: "n" * 16}}
OVERLAPS = {"message": "Pool overlaps with other one on this address space"}


def spec(how: OwnNetwork = OWN, **more: Any) -> ContainerSpec:
    labels = {LABEL_NONCE: "n" * 16}
    return ContainerSpec("site-1-job", "job:1", ("true",), network=NAME, own_network=how, labels=labels, **more)


@pytest.fixture
def networks(engine: SmallEngine) -> Iterator[DockerJobNetworks]:
    engine.answers["GET /networks"] = (200, [])
    engine.answers["POST /networks/create"] = (201, {"Id": "abc"})
    engine.answers["DELETE /networks/abc"] = (204, None)
    engine.answers["GET /containers/0123/json"] = (200, {"Mounts": [], "NetworkSettings": {"Networks": {}}})
    with closing(DockerRuntime(engine.address)) as runtime:
        yield runtime.job_networks


def asked(engine: SmallEngine) -> list[str]:
    return [line.partition(" ")[2] for line in engine.asked if "/networks" in line]


# --- which subnet ---


def first(_: int) -> int:
    return 0


@pytest.mark.parametrize(
    ("taken", "free"),
    [
        ([], "10.210.0.0/28"),
        (["10.210.0.0/28", "fd00::/64", "192.168.0.0/16"], "10.210.0.16/28"),
        (["10.210.0.4/30", "10.210.0.16/30"], "10.210.0.32/28"),
        (["10.210.0.0/25"], "10.210.0.128/28"),
        (["10.0.0.0/8"], None),
        (["10.210.0.0/25", "10.210.0.128/25"], None),
    ],
)
def test_a_subnet_is_one_that_overlaps_with_none(taken: list[str], free: str | None) -> None:
    assert free_subnet(POOLS, taken, first) == free


def test_a_second_pool_comes_when_the_first_is_full() -> None:
    how = OwnNetwork(("10.210.0.0/28", "10.220.0.0/28"))
    assert free_subnet(how, ["10.210.0.0/24"], first) == "10.220.0.0/28"


def test_all_subnets_of_a_pool_are_used_wherever_the_search_begins() -> None:
    taken: list[str] = []
    while subnet := free_subnet(POOLS, taken, lambda count: count // 2):
        taken.append(subnet)
    assert sorted(taken, key=ip_network) == [str(part) for part in ip_network("10.210.0.0/24").subnets(new_prefix=28)]


# --- making one ---


def test_a_runtime_without_networks_makes_none() -> None:
    assert job_networks_of(ProcessRuntime()) is None


def test_it_is_told_apart_by_its_interface_on_the_host() -> None:
    options = own_network_options(DOCKER, OwnNetwork(), "0123456789abcdef")
    assert options["com.docker.network.bridge.name"] == "flj-0123456789a"
    assert options["com.docker.network.bridge.enable_icc"] == "false"
    assert not any("gateway_mode" in name for name in options)


def test_without_a_parent_the_host_has_no_address_in_it() -> None:
    options = own_network_options(DOCKER, OwnNetwork(reaches_host=False), "0" * 16)
    assert options["com.docker.network.bridge.gateway_mode_ipv4"] == "isolated"
    assert options["com.docker.network.bridge.inhibit_ipv4"] == "true"


def test_podman_makes_none_without_an_address_of_the_hosts() -> None:
    assert own_network_options(PODMAN, OwnNetwork(), "0" * 16)["isolate"] == "true"
    with pytest.raises(NetworkError, match=r"Podman makes no network without .*'network\.parent'"):
        own_network_options(PODMAN, OwnNetwork(reaches_host=False), "0" * 16)


def test_the_parent_is_at_its_gateway(engine: SmallEngine, networks: DockerJobNetworks) -> None:
    engine.answers["GET /networks/abc"] = (200, {**MADE, "IPAM": {"Config": [{"Subnet": "10.210.0.16/28"}]}})
    made = networks.make(spec(hosts={"flare-parent": THIS_PROCESS, "other": "10.0.0.1"}))
    assert made.hosts == {"flare-parent": "10.210.0.17", "other": "10.0.0.1"}


def test_a_parent_in_a_container_is_in_none_of_them(networks: DockerJobNetworks, monkeypatch: Any) -> None:
    monkeypatch.setattr("launchers.runtime.docker.own_container_id", lambda _: "0123")  # which the small engine knows
    with pytest.raises(
        NetworkError, match=r"the site is itself in a container, .* run it on the host itself, or name a"
    ):
        networks.make(spec(hosts={"flare-parent": THIS_PROCESS}))


def test_a_job_without_a_parent_to_reach_cannot_look_for_one(networks: DockerJobNetworks) -> None:
    with pytest.raises(NetworkError, match=r"has a parent to reach, and 'network\.parent' is 'none'"):
        networks.make(spec(OwnNetwork(reaches_host=False), hosts={"flare-parent": THIS_PROCESS}))


def test_one_that_an_unanswered_request_has_made_is_taken_over(
    engine: SmallEngine, networks: DockerJobNetworks
) -> None:
    engine.answers["GET /networks"] = (200, [MADE])
    assert networks.make(spec()) == spec()
    assert "POST /networks/create" not in asked(engine)


def test_a_name_that_is_in_use_is_told(engine: SmallEngine, networks: DockerJobNetworks) -> None:
    engine.answers["POST /networks/create"] = (409, {"message": f"network with name {NAME} already exists"})
    with pytest.raises(NameInUseError, match="already exists; what a job has left goes with: flcore gc"):
        networks.make(spec())


def test_a_subnet_that_somebody_else_has_taken_meanwhile_is_not_the_last(
    engine: SmallEngine, networks: DockerJobNetworks
) -> None:
    engine.answers["POST /networks/create"] = (403, OVERLAPS)
    with pytest.raises(NetworkError, match=r"no /28 of 10\.210\.0\.0/27 is free on this engine.*'network\.pools'"):
        networks.make(spec(OwnNetwork(("10.210.0.0/27",))))
    assert asked(engine).count("POST /networks/create") == 2


@pytest.mark.parametrize(
    ("status", "said"),
    [
        (500, "could not find an available, non-overlapping IPv4 address pool among the defaults to assign to the net"),
        (400, "all predefined address pools have been fully subnetted"),
        (500, "could not find free subnet from subnet pools"),
    ],
)
def test_an_engine_without_subnets_of_its_own_is_told_with_the_key(
    engine: SmallEngine, networks: DockerJobNetworks, status: int, said: str
) -> None:
    engine.answers["POST /networks/create"] = (status, {"message": said})
    with pytest.raises(NetworkError, match=r"no subnet left of its own pools: name more, as \"pools\""):
        networks.make(spec())


def test_what_else_an_engine_refuses_is_told_in_its_words(engine: SmallEngine, networks: DockerJobNetworks) -> None:
    engine.answers["POST /networks/create"] = (400, {"message": "no such driver"})
    with pytest.raises(RuntimeRefusedError, match="no such driver"):
        networks.make(spec())


# --- removing one ---


def test_it_is_removed_by_its_label_and_its_name(engine: SmallEngine, networks: DockerJobNetworks) -> None:
    engine.answers["GET /networks"] = (200, [{**MADE, "Id": "other", "Name": "somebody's"}, MADE])
    networks.remove("n" * 16, NAME)
    assert asked(engine) == ["GET /networks", "DELETE /networks/abc"]


def test_one_that_is_not_there_is_as_good_as_removed(engine: SmallEngine, networks: DockerJobNetworks) -> None:
    networks.remove("n" * 16, NAME)
    engine.answers["GET /networks"] = (200, [MADE])
    engine.answers["DELETE /networks/abc"] = (404, {"message": "network abc not found"})
    networks.remove("n" * 16, NAME)


def test_what_a_killed_engine_has_left_in_it_is_put_out_of_it(engine: SmallEngine, networks: DockerJobNetworks) -> None:
    engine.answers["GET /networks"] = (200, [MADE])
    engine.answers["DELETE /networks/abc"] = (403, {"message": f"network {NAME} has active endpoints"})
    engine.answers["GET /networks/abc"] = (200, {**MADE, "Containers": {"ep-1": {"Name": "site-1-job"}}})
    engine.answers["POST /networks/abc/disconnect"] = (200, None)
    with pytest.raises(RuntimeRefusedError, match="has active endpoints"):
        networks.remove("n" * 16, NAME)
    assert asked(engine).count("POST /networks/abc/disconnect") == 1
    assert asked(engine).count("DELETE /networks/abc") == 2


def test_those_with_a_label_are_listed(engine: SmallEngine, networks: DockerJobNetworks) -> None:
    created = "2026-11-29T20:00:00.5Z"
    engine.answers["GET /networks"] = (200, [{**MADE, "Created": created}])
    assert networks.all_of(LABEL_NONCE) == [NetworkSummary(NAME, {LABEL_NONCE: "n" * 16}, 1795982400.5)]
