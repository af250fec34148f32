"""What a probe's answers mean."""

from __future__ import annotations

import re
from typing import Any

import pytest

from flcore.job_launcher_spec import Check
from launchers.container_spec import JobNetwork, OwnNetwork
from launchers.probe.findings import Answers, Tried, findings
from launchers.probe.targets import INTERNET, METADATA, Asked, told
from launchers.runtime.engine_traits import EngineTraits

OLD, NEW = EngineTraits("Docker Engine", "20.10.24"), EngineTraits("Docker Engine", "28.5.2")
OWN = OwnNetwork()
PARENT = ("flare-parent", 8102)
HOST, GATEWAY = ("192.0.2.2", 5000), ("10.210.0.17", 5000)
BEGINNINGS = {
    "parent": "jobs (do not )?reach (where )?their parent",
    "internet": "jobs (do not )?reach the internet",
    "metadata": "jobs (do not )?reach the metadata",
    "loopback": "jobs reach what listens on this host's loopback",
    "host": "jobs (do not )?reach (what listens on all addresses of )?(this|the engine's) host",
    "engine": "jobs (see|reach) (a|no|what may be an) (socket of an )?engine",
    "each other": "jobs (do not )?reach each other",
    "name servers": "jobs get (no )?answers of name servers",
}
CLOSED = Answers(subnet="10.210.0.16/28", gateway="10.210.0.17")


def tried(answers: Answers, network: JobNetwork = OWN, engine: EngineTraits = NEW, **more: Any) -> dict[str, Check]:
    """Return what is said, by the words that tell what it is about."""
    asked = Asked((HOST, GATEWAY), ("127.0.0.1", 5001), (22, 2375), others=(("10.210.0.34", 40000),), parent=PARENT)
    online = Answers(tcp={told(INTERNET[0]): "reached"}, names={"example.com": "reached"})
    said = list(findings(Tried(asked, answers, network, engine, **{"of_host": online, **more})))
    found: dict[str, Check] = {}
    for check in said:
        found.setdefault(next(word for word, begins in BEGINNINGS.items() if re.match(begins, check.detail)), check)
    return {**found, "all": Check("all", all(check.ok and not check.warning for check in said))}


def answering(**tcp: str) -> Answers:
    return Answers({key.replace("_", " "): word for key, word in tcp.items()}, {}, {}, CLOSED.subnet, CLOSED.gateway)


def of(address: tuple[str, int], word: str) -> Answers:
    return Answers({told(address): word}, {}, {}, CLOSED.subnet, CLOSED.gateway)


def test_who_reaches_the_parent_and_nothing_else_is_well() -> None:
    said = tried(of(PARENT, "answered"))
    assert said["all"].ok
    assert said["parent"].detail == "jobs reach their parent at flare-parent:8102"


def test_a_parent_that_is_not_reached_is_missing() -> None:
    said = tried(CLOSED)["parent"]
    assert not said.ok
    assert said.detail.endswith("iptables -I INPUT -i flj-+ -p tcp --dport 8102 -j ACCEPT")


def test_a_parent_that_does_not_run_yet_is_no_trouble() -> None:
    said = tried(of(PARENT, "refused"))["parent"]
    assert (said.ok, said.warning, "nobody listens there now" in said.detail) == (True, False, True)


@pytest.mark.parametrize("word", ["answered", "refused"])
def test_a_way_to_the_internet_is_told_with_the_rule_that_closes_it(word: str) -> None:
    said = tried(of(INTERNET[0], word), "shared")["internet"]
    assert said.warning
    assert '"network": {"per_job": true}' in said.detail
    assert said.detail.endswith("iptables -I DOCKER-USER -s 10.210.0.16/28 ! -d 10.210.0.16/28 -j DROP")


def test_of_a_host_that_is_offline_itself_little_is_said() -> None:
    assert "nor does this host" not in tried(CLOSED)["internet"].detail
    assert "nor does this host, so that says little" in tried(CLOSED, of_host=Answers())["internet"].detail


def test_the_metadata_of_a_cloud_is_told() -> None:
    assert tried(of(METADATA[0], "answered"))["metadata"].warning
    assert not tried(CLOSED)["metadata"].warning


def test_the_hosts_addresses_are_closed_by_a_rule_that_lets_the_parent_through() -> None:
    said = tried(Answers({told(HOST): "reached", told(PARENT): "reached"}), engine=OLD)["host"]
    assert said.warning
    assert "by 192.0.2.2, for Docker Engine 20.10.24 closes none of it" in said.detail
    rules = "iptables -I INPUT -i flj-+ -j DROP; then, for the parent: iptables -I INPUT -i flj-+ -p tcp --dport 8102"
    assert rules in said.detail


@pytest.mark.parametrize("word", ["refused", "answered", "silent", "no way"])
def test_only_who_says_that_it_is_this_host_is_it(word: str) -> None:
    assert not tried(of(HOST, word))["host"].warning


@pytest.mark.parametrize(("word", "is_reached"), [("refused", True), ("answered", True), ("silent", False)])
def test_a_host_elsewhere_is_reached_if_it_answers_at_all(word: str, is_reached: bool) -> None:
    answers = Answers({"10.210.0.17 22": word}, {}, {}, CLOSED.subnet, CLOSED.gateway)
    assert tried(answers, is_of_this_host=False)["host"].warning is is_reached


def test_who_shares_the_hosts_network_reaches_its_loopback() -> None:
    assert tried(Answers({"127.0.0.1 5001": "reached"}), "host")["loopback"].warning


def test_a_socket_of_the_engine_is_never_right() -> None:
    said = tried(Answers(files={"/var/run/docker.sock": "reached"}))["engine"]
    assert (said.ok, "take it out of 'mounts'" in said.detail) == (False, True)
    assert not tried(Answers({"10.210.0.17 2375": "answered"}, gateway="10.210.0.17"))["engine"].ok


def test_jobs_that_share_a_network_are_told_what_for() -> None:
    said = tried(of(("10.210.0.34", 40000), "reached"), "shared")["each other"]
    assert said.warning
    assert "they share the network shared: those of one federation may need to" in said.detail


def test_a_leak_of_names_is_told_with_the_version_that_has_none() -> None:
    resolved = Answers(names={"example.com": "reached"})
    assert "CVE-2024-29018" in tried(resolved, engine=OLD)["name servers"].detail
    assert "make the network internal" in tried(resolved, "shared")["name servers"].detail
    assert not tried(CLOSED)["name servers"].warning


def test_a_leak_that_cannot_be_tried_is_told_all_the_same() -> None:
    assert "nor does this host; but" in tried(CLOSED, engine=OLD, of_host=Answers())["name servers"].detail
    assert not tried(CLOSED, engine=NEW, of_host=Answers())["name servers"].warning
