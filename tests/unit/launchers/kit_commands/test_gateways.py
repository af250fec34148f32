"""Where the containers of a network find their host."""

from __future__ import annotations

import gc
from pathlib import Path

import pytest

from flcore.errors import ConfigError
from launchers.kit_commands.gateways import Gateways
from tests.kit_folder import give_network
from tests.small_engine import SmallEngine


def asked(engine: SmallEngine, what: str) -> int:
    return sum(what in line for line in engine.asked)


def test_a_network_that_is_there_is_asked_for_once(engine: SmallEngine) -> None:
    gateways = Gateways(None, is_trial=False)
    assert [gateways.of({"network": "flare"}).gateways for _ in range(2)] == [("127.30.0.1",)] * 2
    assert gateways.made == []
    assert asked(engine, "/networks/flare") == 1


def test_a_network_that_is_not_there_is_made(engine: SmallEngine) -> None:
    give_network(engine, "new", "")
    engine.answers["POST /networks/create"] = (201, {"Id": "1", "Warning": ""})
    gateways = Gateways("10.9.8.0/24", is_trial=False)
    with pytest.raises(ConfigError, match="the network new has no gateway: name by --address where"):
        gateways.of({"network": "new", "docker_host": engine.address})  # this engine does not do what it says
    assert gateways.made == ["new"]
    assert asked(engine, "POST /networks/create") == 1


@pytest.mark.parametrize(("subnet", "gateway"), [("10.9.8.0/24", "10.9.8.1"), (None, "the-gateway-of-new")])
def test_a_trial_makes_none_and_says_where_its_host_would_be(
    subnet: str | None, gateway: str, engine: SmallEngine
) -> None:
    give_network(engine, "new", "")
    gateways = Gateways(subnet, is_trial=True)
    assert gateways.of({"network": "new"}).gateways == (gateway,)
    assert gateways.made == ["new"]
    assert asked(engine, "POST") == 0


def test_a_network_without_addresses_is_told(engine: SmallEngine) -> None:
    engine.answers["GET /networks/none"] = (200, {"Name": "none", "IPAM": {"Config": []}})
    with pytest.raises(ConfigError, match="the network none has no gateway: name by --address where jobs find"):
        Gateways(None, is_trial=False).of({"network": "none"})


def test_a_network_that_is_there_in_another_subnet_is_told(engine: SmallEngine) -> None:
    assert Gateways("127.30.0.0/24", is_trial=False).of({"network": "flare"}).gateways == ("127.30.0.1",)
    with pytest.raises(ConfigError, match=r"--subnet: the network flare is there already, in 127.30.0.0/24: leave"):
        Gateways("10.0.0.0/24", is_trial=False).of({"network": "flare"})


def test_files_for_tls_that_are_none_are_told(engine: SmallEngine) -> None:
    with pytest.raises(ConfigError, match="docker_tls"):
        Gateways(None, is_trial=False).of({"network": "flare", "docker_tls": {"ca": "ca.pem"}})


def test_of_a_network_whose_gateway_does_not_matter_only_that_it_is_there_counts(engine: SmallEngine) -> None:
    give_network(engine, "new", "")
    engine.answers["POST /networks/create"] = (201, {"Id": "1", "Warning": ""})
    gateways = Gateways("10.9.8.0/24", is_trial=False)
    gateways.ensure({"network": "new"})
    assert gateways.made == ["new"]
    assert asked(engine, "POST /networks/create") == 1


@pytest.mark.filterwarnings("ignore::ResourceWarning")  # what does not connect, the SDK leaves to the collector
def test_it_is_left_to_others_where_no_engine_answers_and_no_subnet_was_named(tmp_path: Path) -> None:
    launcher = {"network": "new", "docker_host": f"unix://{tmp_path}/nobody"}
    Gateways(None, is_trial=False).ensure(launcher)
    with pytest.raises(ConfigError, match=r"--subnet: Docker Engine .*does not answer"):
        Gateways("10.9.8.0/24", is_trial=False).ensure(launcher)
    gc.collect()


def test_a_trial_tells_of_it_once(engine: SmallEngine) -> None:
    give_network(engine, "new", "")
    gateways = Gateways(None, is_trial=True)
    for _ in range(2):
        gateways.ensure({"network": "new"})
    assert gateways.made == ["new"]
    assert asked(engine, "POST") == 0
