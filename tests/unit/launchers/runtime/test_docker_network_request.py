"""What an engine is asked for by a job's own network."""

from __future__ import annotations

from ipaddress import ip_network

import pytest

from flcore.errors import NetworkError
from launchers.container_spec import OwnNetwork
from launchers.runtime.docker_dialect import DOCKER, PODMAN
from launchers.runtime.docker_network_request import free_subnet, own_network_options

POOLS = OwnNetwork(("10.210.0.0/24",))

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


# --- with which options ---


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
