"""What an engine says of its networks."""

from __future__ import annotations

from contextlib import closing
from typing import Any

import pytest

from flcore.errors import RuntimeRefusedError
from launchers.runtime.docker import DockerRuntime
from launchers.runtime.docker_networks import Network, as_network, planned
from tests.small_engine import SmallEngine


def network(*configs: dict[str, str]) -> dict[str, Any]:
    return {"Name": "flare", "IPAM": {"Config": list(configs)}}


@pytest.mark.parametrize(
    ("configs", "subnets", "gateways"),
    [
        ([{"Subnet": "172.18.0.0/16", "Gateway": "172.18.0.1"}], ("172.18.0.0/16",), ("172.18.0.1",)),
        (
            [{"Subnet": "172.30.0.0/24"}],
            ("172.30.0.0/24",),
            ("172.30.0.1",),
        ),  # as old engines tell of one that was named
        ([{"Subnet": "fd00::/64"}, {"Subnet": "10.0.0.0/8"}], ("fd00::/64", "10.0.0.0/8"), ("10.0.0.1", "fd00::1")),
        ([{"Subnet": "10.9.0.0/16", "Gateway": "10.9.0.1/16"}], ("10.9.0.0/16",), ("10.9.0.1",)),
        ([], (), ()),
    ],
)
def test_a_network_has_subnets_and_gateways(
    configs: list[dict[str, str]], subnets: tuple[str, ...], gateways: tuple[str, ...]
) -> None:
    assert as_network(network(*configs)) == Network("flare", subnets, gateways)


@pytest.mark.parametrize("inspection", [{"Name": "host", "IPAM": {"Config": None}}, {"Name": "host"}])
def test_one_without_addresses_has_none(inspection: dict[str, Any]) -> None:
    assert as_network(inspection) == Network("host")


def test_an_address_is_in_it_or_not() -> None:
    found = Network("flare", ("172.30.0.0/24", "fd00::/64"))
    assert [found.has(address) for address in ("172.30.0.9", "172.30.1.9", "fd00::7")] == [True, False, True]


def test_one_that_is_planned_has_its_first_address_as_the_gateway() -> None:
    assert planned("flare", "172.30.0.0/24") == Network("flare", ("172.30.0.0/24",), ("172.30.0.1",))


def test_an_engine_has_a_network_or_not(engine: SmallEngine) -> None:
    engine.answers["GET /networks/flare"] = (200, network({"Subnet": "172.30.0.0/24"}))
    engine.answers["GET /networks/none"] = (404, {"message": "network none not found"})
    with closing(DockerRuntime(engine.address)) as runtime:
        assert runtime.networks.find("flare") == planned("flare", "172.30.0.0/24")
        assert runtime.networks.find("none") is None


def test_a_network_that_cannot_be_made_is_an_error_that_names_it(engine: SmallEngine) -> None:
    engine.answers["POST /networks/create"] = (403, {"message": "Pool overlaps with other one on this address space"})
    with (
        closing(DockerRuntime(engine.address)) as runtime,
        pytest.raises(RuntimeRefusedError, match=r"flare: .* overlaps"),
    ):
        runtime.networks.make("flare", "172.30.0.0/24")
