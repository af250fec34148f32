"""The program of a probe's container, as any Python runs it."""

from __future__ import annotations

import ast
import json
import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from launchers.probe import inside
from launchers.probe.host_side import Listening, is_interface, listening, own_addresses

ROUTES = [
    {"interface": "eth0", "target": "0.0.0.0", "gateway": "10.210.0.17", "mask": "0.0.0.0"},
    {"interface": "eth0", "target": "10.210.0.16", "gateway": "0.0.0.0", "mask": "255.255.255.240"},
]


@pytest.fixture
def host() -> Any:
    with listening() as found:
        yield found


def run(task: dict[str, Any]) -> dict[str, Any]:
    """Run it as a container does: as a text, without this package."""
    environment = {**os.environ, "FLCORE_PROBE": json.dumps(task)}
    command = [sys.executable, "-I", "-S", "-c", Path(inside.__file__).read_text()]
    done = subprocess.run(command, env=environment, capture_output=True, check=True, timeout=20)
    told: dict[str, Any] = json.loads(done.stdout)
    return told


def test_it_tells_who_was_reached_from_who_has_answered_and_who_has_not(host: Listening) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent, socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        ports = [host.loopback, silent.getsockname()[1], closed.getsockname()[1]]
        said = run({"tcp": [["127.0.0.1", port] for port in ports]})["tcp"]
    assert [said[f"127.0.0.1 {port}"] for port in ports] == ["reached", "answered", "refused"]


def test_it_finds_sockets_in_the_file_system(tmp_path: Path) -> None:
    path = tmp_path / "engine.sock"
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(path))
        server.listen()
        said = run({"files": [str(path), str(tmp_path / "none")]})["files"]
    assert said == {str(path): "reached", str(tmp_path / "none"): "no way"}


def test_it_says_which_names_it_gets_an_answer_of() -> None:
    assert run({"names": ["localhost", "none.invalid"]})["names"] == {"localhost": "reached", "none.invalid": "no way"}


def test_it_knows_nothing_but_pythons_own_library() -> None:
    tree = ast.parse(Path(inside.__file__).read_text(), feature_version=(3, 7))
    names = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    assert names <= sys.stdlib_module_names


def test_the_host_is_at_the_gateway_or_has_the_first_address_of_the_subnet() -> None:
    assert inside.gateway_of(ROUTES) == inside.gateway_of(ROUTES[1:]) == "10.210.0.17"
    assert inside.gateway_of([]) == ""
    assert inside.subnet_of(ROUTES) == "10.210.0.16/255.255.255.240"


def test_this_host_listens_on_all_its_addresses(host: Listening) -> None:
    addresses = [(address, host.everywhere) for address in own_addresses() if ":" not in address]
    said = run({"tcp": addresses})["tcp"]
    assert set(said.values()) <= {"reached"}


def test_interfaces_are_known_by_their_names() -> None:
    assert is_interface("lo")
    assert not is_interface("flj-none")
