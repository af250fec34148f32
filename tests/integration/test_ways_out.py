"""A hostile job tries thirty ways out of its container; ``python -m tests.hostile.ways`` does so on every engine."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import pytest

from tests.hostile.ways.internet import Internet, why_not
from tests.hostile.ways.site import try_ways
from tests.hostile.ways.verdict import MUST, Network, Place, misses, unnamed

THIRTY = 30
OF_OTHERS = (
    "abstract sockets",
    "other jobs' memory and queues",
    "other jobs' processes",
    "another study's data",
    "another study's secrets",
    "the site's keys, and other jobs' folders",
)
OF_JOBS = ("a job of the same study", "a job of another study", "whoever is on its network")


@dataclass(frozen=True)
class Tried:
    """What came of it on one kind of network."""

    place: Place
    found: dict[str, list[str]]


NETWORKS = (Network.NAMED, Network.PER_JOB)


@pytest.fixture(scope="module")
def tries(docker_client: Any, tmp_path_factory: pytest.TempPathFactory) -> dict[Network, Tried]:
    """What came of it on both, at the same time: most of it is waiting for nobody's answer."""
    folder = tmp_path_factory.mktemp("ways")
    with ExitStack() as stack, ThreadPoolExecutor(len(NETWORKS)) as pool:
        outside = None if why_not() else stack.enter_context(Internet(folder)).outside

        def tried_on(network: Network) -> Tried:
            found = try_ways(docker_client, network, outside, folder / network.name)
            return Tried(Place.of(docker_client, network, outside), found)

        return dict(zip(NETWORKS, pool.map(tried_on, NETWORKS), strict=True))


@pytest.fixture(params=NETWORKS, ids=lambda network: network.name.lower())
def tried(request: pytest.FixtureRequest, tries: dict[Network, Tried]) -> Tried:
    return tries[request.param]


def test_it_tries_thirty_ways(tried: Tried) -> None:
    assert len(tried.found.keys() - {MUST}) == THIRTY


def test_each_that_is_open_is_one_that_we_have_named(tried: Tried) -> None:
    assert unnamed(tried.found, tried.place) == []


def test_it_reaches_its_parent(tried: Tried) -> None:
    assert not misses(tried.found, tried.place)


@pytest.mark.parametrize("way", OF_OTHERS)
def test_whatever_the_network_it_gets_at_nothing_that_is_of_others(tried: Tried, way: str) -> None:
    assert tried.found[way] == []


@pytest.mark.parametrize("way", OF_JOBS)
def test_in_a_network_of_its_own_it_reaches_no_other_job(tried: Tried, way: str) -> None:
    if tried.place.network is Network.NAMED:
        assert tried.found[way]  # so there was somebody to be reached
    else:
        assert tried.found[way] == []
