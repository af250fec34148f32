"""A kit of NVIDIA FLARE's and a real engine: its network is made, looked at, and followed when it was made anew."""

from __future__ import annotations

import io
import secrets
import sys
import tarfile
from collections.abc import Iterator
from pathlib import Path

import docker
import pytest
from docker.errors import NotFound

from flcore.cli import main
from tests.kit_folder import make_kit


@pytest.fixture
def network(docker_client: docker.DockerClient) -> Iterator[str]:
    """The name of a network that is not there; at the end it is not there again."""
    name = f"flcore-kit-{secrets.token_hex(4)}"
    yield name
    remove(docker_client, name)


def remove(docker_client: docker.DockerClient, name: str) -> None:
    try:
        docker_client.api.remove_network(name)
    except NotFound:
        return


def test_a_network_is_made_and_followed_when_it_was_made_anew_elsewhere(
    docker_client: docker.DockerClient, network: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    kit = make_kit(tmp_path / "site-1")
    wanted = ["--image", "flcore-demo:latest", "--network", network]
    assert main(["nvflare", "install", str(kit), *wanted, "--subnet", "10.213.77.0/24"]) == 0
    assert capsys.readouterr().out.startswith(f"the network {network} was made\n")
    main(["check", str(kit)])
    found = f"has jobs find their parent at 10.213.77.1, the gateway of the network {network}"
    assert found in capsys.readouterr().out

    remove(docker_client, network)
    main(["check", str(kit)])
    assert f"network: {network} is not there; make it with: " in capsys.readouterr().out

    docker_client.networks.create(network, driver="bridge")
    main(["check", str(kit)])
    gone = "has jobs find their parent at 10.213.77.1, which is not in the network"
    assert f"  MISSING  comm_config.json: local/comm_config.json {gone} {network} (" in capsys.readouterr().out

    assert main(["nvflare", "install", str(kit)]) == 0
    capsys.readouterr()
    main(["check", str(kit)])
    shown = capsys.readouterr().out
    assert f", the gateway of the network {network}" in shown
    assert "10.213.77" not in shown


def test_which_nvidia_flare_an_image_has_is_seen_and_nothing_is_left(
    docker_client: docker.DockerClient, network: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    kit, name = make_kit(tmp_path / "site-1"), f"{network}:1"
    packages = f"/usr/local/lib/python{sys.version_info[0]}.{sys.version_info[1]}/site-packages"
    source = docker_client.api.create_container("flcore-demo:latest", ["true"])
    try:
        docker_client.api.put_archive(source, "/", archive(f"{packages}/nvflare/_version.py", b'"version": "2.9.0"'))
        docker_client.api.commit(source, network, "1")
    finally:
        docker_client.api.remove_container(source)
    before = containers(docker_client)
    try:
        main(["nvflare", "install", str(kit), "--image", name, "--network", network])
        main(["check", str(kit)])
        assert f" image: {name} has NVIDIA FLARE 2.9.0" in capsys.readouterr().out
        main(["nvflare", "install", str(kit), "--image", "flcore-demo:latest"])
        main(["check", str(kit)])
        shown = capsys.readouterr().out
        assert "image: no NVIDIA FLARE is to be seen in flcore-demo:latest, where its /usr/local/bin/python3" in shown
    finally:
        docker_client.api.remove_image(name)
    assert [one for one in containers(docker_client) - before if "flcore-demo" in one] == []


def containers(client: docker.DockerClient) -> set[str]:
    """Return those that were made and never started, by id and image."""
    listed = client.api.containers(all=True, filters={"status": "created"})
    return {f"{one['Id']} {one['Image']}" for one in listed if one["Command"] == "true"}


def archive(path: str, content: bytes) -> bytes:
    member = tarfile.TarInfo(path.lstrip("/"))
    member.size = len(content)
    with io.BytesIO() as file:
        with tarfile.open(fileobj=file, mode="w") as tar:
            tar.addfile(member, io.BytesIO(content))
        return file.getvalue()
