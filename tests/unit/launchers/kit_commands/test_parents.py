"""The parents of this host, and the ports that their kits name."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from flcore.errors import ConfigError
from launchers.flare.kit_layout import KitLayout
from launchers.kit_commands import parents
from tests.kit_folder import make_kit

WAITS = "print('up', flush=True); input()"


@contextmanager
def process(*words: str, cwd: Path) -> Iterator[None]:
    """Have a process whose command has these words."""
    command = [sys.executable, "-c", WAITS, *words]
    with subprocess.Popen(command, cwd=cwd, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as started:
        assert started.stdout
        started.stdout.readline()
        try:
            yield
        finally:
            started.kill()


@pytest.mark.parametrize("workspace", ["{kit}", "{kit}/startup/..", "{link}"])
def test_a_parent_is_known_by_its_command_however_that_names_the_kit(workspace: str, tmp_path: Path) -> None:
    kit, link = make_kit(tmp_path / "site-1"), tmp_path / "link"
    link.symlink_to(kit)
    words = ("nvflare.private.fed.app.client.client_train", "-m", workspace.format(kit=kit, link=link))
    assert not parents.is_running(kit)
    with process(*words, cwd=tmp_path):
        assert parents.is_running(kit)
        assert not parents.is_running(make_kit(tmp_path / "site-2"))


def test_a_process_of_a_job_is_no_parent(tmp_path: Path) -> None:
    kit = make_kit(tmp_path / "site-1")
    with process("nvflare.private.fed.app.client.worker_process", "-m", str(kit), cwd=tmp_path):
        assert not parents.is_running(kit)


def test_kits_around_one_are_those_beside_it_and_those_that_are_named(tmp_path: Path) -> None:
    kits = [make_kit(tmp_path / name) for name in ("a/server", "a/site-1", "b/site-2")]
    (tmp_path / "a/no-kit").mkdir()
    found = parents.kits_around(kits[1], [kits[2], kits[1], tmp_path / "a/../a/server"])
    assert sorted(layout.root.resolve() for layout in found) == [kits[0], kits[2]]


def test_a_server_names_the_ports_for_its_clients_and_administrators(tmp_path: Path) -> None:
    layout = KitLayout.of(make_kit(tmp_path, "server"))
    assert parents.named_ports(layout) == {8002: "its clients", 8003: "its clients"}


@pytest.mark.parametrize(
    "content", ["{", "[]", "{}", {"servers": []}, {"servers": [{"service": {"target": "server"}}]}]
)
def test_a_server_that_does_not_say_names_none(content: object, tmp_path: Path) -> None:
    kit = make_kit(tmp_path, "server", {"startup/fed_server.json": content})
    assert parents.named_ports(KitLayout.of(kit)) == {}


def test_a_parent_in_a_container_takes_no_port_of_this_host(tmp_path: Path) -> None:
    listens = {"internal": {"scheme": "tcp", "resources": {"host": "0.0.0.0", "port": 8102}}}
    kit = make_kit(tmp_path, extra={"local/comm_config.json": listens, "startup/start_docker.sh": ""})
    assert parents.named_ports(KitLayout.of(kit)) == {8102: "its jobs"}
    (kit / "startup/start.sh").unlink()
    assert parents.named_ports(KitLayout.of(kit)) == {}


def test_where_no_port_is_free_the_way_out_is_told(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"no port of 8102 to 8999 is free: name another by --port"):
        parents.free_port(KitLayout.of(make_kit(tmp_path)), parents.PORTS)


def test_an_address_is_of_this_host_or_not() -> None:
    assert [parents.is_here(address) for address in ("127.0.0.9", "192.0.2.1")] == [True, False]
