"""What is said of a hostile job's ways out: that nothing is open unnamed, and nothing that nobody tried is closed."""

from __future__ import annotations

import ast
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from tests.hostile.ways.internet import Greeter
from tests.hostile.ways.scene import APP, free_ports
from tests.hostile.ways.verdict import MUST, NAMES, Network, Place, misses, table, unnamed

NEW, OLD = Place(Network.PER_JOB, (28, 5, 2)), Place(Network.PER_JOB, (20, 10, 24), leaks_names=True)
CALLS = "rare system calls"
GATEWAY = "the host, by its network's gateway"


def lines(place: Place, **found: list[str]) -> str:
    return "\n".join(table({"here": (place, {name.replace("_", " "): said for name, said in found.items()})}))


def test_what_gets_out_where_nobody_has_said_so_is_unnamed() -> None:
    assert unnamed({"privileges": ["setuid"], CALLS: []}, NEW) == ["privileges: setuid"]


def test_what_is_named_of_an_old_engine_is_unnamed_of_a_new_one() -> None:
    found = {CALLS: ["io_uring_setup"], NAMES: ["127.0.0.11 says"]}
    assert unnamed(found, OLD) == []
    assert unnamed(found, NEW) == [f"{CALLS}: io_uring_setup", f"{NAMES}: 127.0.0.11 says"]


def test_names_of_podman_4_are_named_but_behind_a_firewall() -> None:
    podman, found = replace(NEW, version=(4, 3, 1), is_podman=True), {NAMES: ["10.89.0.1 says"]}
    assert unnamed(found, podman) == []
    assert unnamed(found, replace(podman, version=(5, 8, 6))) != []
    assert unnamed(found, replace(podman, network=Network.FIREWALLED)) != []


def test_what_is_named_is_so_by_what_is_said_of_it() -> None:
    assert unnamed({CALLS: ["bpf"]}, OLD) == [f"{CALLS}: bpf"]


def test_without_a_parent_there_the_host_is_closed() -> None:
    found = {GATEWAY: ["10.0.0.1 port 1: the host"]}
    assert unnamed(found, NEW) == []
    assert unnamed(found, replace(NEW, network=Network.SEALED)) != []


@pytest.mark.parametrize(("network", "reached"), [(Network.PER_JOB, False), (Network.SEALED, True)])
def test_a_job_misses_its_parent_or_reaches_one_that_it_should_not(network: Network, reached: bool) -> None:
    assert misses({MUST: ["10.0.0.1"] if reached else []}, replace(NEW, network=network))
    assert not misses({MUST: [] if reached else ["10.0.0.1"]}, replace(NEW, network=network))


def test_the_table_says_what_was_not_tried_and_counts_it_not_as_closed() -> None:
    said = "\n".join(table({"here": (replace(NEW, plays_names=False), {NAMES: [], CALLS: []})}))
    assert f"| {NAMES} | not tried |" in said
    assert "here: 1 of 1 closed" in said


def test_the_table_says_why_a_way_is_open() -> None:
    said = lines(NEW, privileges=["setuid"])
    assert "| privileges | OPEN, UNNAMED |" in said
    assert "privileges: setuid: NOBODY HAS NAMED THIS" in said


def test_of_others_nobody_names_what_is_open() -> None:
    assert lines(replace(NEW, is_ours=False), privileges=["setuid"]).endswith("  privileges: setuid")


def test_who_greets_says_its_name_by_each_way_and_prints_what_it_is_asked_for(tmp_path: Path) -> None:
    tcp, dns = free_ports(2)
    log = tmp_path / "log"
    greeting = Greeter(log, "somebody", f"tcp/127.0.0.1/{tcp}", f"dns/127.0.0.1/{dns}/192.0.2.1")
    script = (
        "from tests.hostile.ways.app.custom.ways_out import reach\n"
        f"print(reach.talk('127.0.0.1', {tcp}))\n"
        f"print(reach.ask('127.0.0.1', 'patient-1.outside.example', {dns}))\n"
    )
    try:
        said = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout
    finally:
        greeting.close()
    assert said.splitlines() == [
        f"127.0.0.1 port {tcp}: somebody",
        "127.0.0.1 says that patient-1.outside.example is 192.0.2.1",
    ]
    assert "asked for patient-1.outside.example" in log.read_text()


def test_the_hostile_job_needs_nothing_but_python() -> None:
    """So it runs in any image, as code of any framework."""
    nodes = [node for file in (APP / "custom").rglob("*.py") for node in ast.walk(ast.parse(file.read_text()))]
    names = {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}
    names |= {str(node.module) for node in nodes if isinstance(node, ast.ImportFrom) and not node.level}
    assert {name.partition(".")[0] for name in names} <= sys.stdlib_module_names
