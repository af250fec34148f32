"""Where the containers of a network find their host."""

from __future__ import annotations

import pytest

from flcore.errors import ConfigError
from launchers.kit_commands.gateways import Gateways
from tests.kit_folder import give_network
from tests.small_engine import SmallEngine


def asked(engine: SmallEngine, what: str) -> int:
    return sum(what in line for line in engine.asked)


def test_a_network_that_is_there_is_asked_for_once(engine: SmallEngine) -> None:
    gateways = Gateways(None, None, is_trial=False)
    assert [gateways.of("flare").gateways for _ in range(2)] == [("127.30.0.1",)] * 2
    assert gateways.made == []
    assert asked(engine, "/networks/flare") == 1


def test_a_network_that_is_not_there_is_made(engine: SmallEngine) -> None:
    give_network(engine, "new", "")
    engine.answers["POST /networks/create"] = (201, {"Id": "1", "Warning": ""})
    gateways = Gateways(engine.address, "10.9.8.0/24", is_trial=False)
    with pytest.raises(ConfigError, match="the network new has no gateway: name by --address where"):
        gateways.of("new")  # this engine does not do what it says
    assert gateways.made == ["new"]
    assert asked(engine, "POST /networks/create") == 1


@pytest.mark.parametrize(("subnet", "gateway"), [("10.9.8.0/24", "10.9.8.1"), (None, "the-gateway-of-new")])
def test_a_trial_makes_none_and_says_where_its_host_would_be(
    subnet: str | None, gateway: str, engine: SmallEngine
) -> None:
    give_network(engine, "new", "")
    gateways = Gateways(None, subnet, is_trial=True)
    assert gateways.of("new").gateways == (gateway,)
    assert gateways.made == ["new"]
    assert asked(engine, "POST") == 0


def test_a_network_without_addresses_is_told(engine: SmallEngine) -> None:
    engine.answers["GET /networks/none"] = (200, {"Name": "none", "IPAM": {"Config": []}})
    with pytest.raises(ConfigError, match="the network none has no gateway: name by --address where jobs find"):
        Gateways(None, None, is_trial=False).of("none")
