"""A site in a container of the engine that it uses: where that engine has its files, and how jobs reach it."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from docker.errors import NotFound

from flcore.errors import JobLaunchError
from launchers.container_spec import THIS_PROCESS, ContainerSpec, Mount
from launchers.runtime import docker as docker_runtime
from launchers.runtime.docker import DockerRuntime
from launchers.runtime.docker_parent import Parent, as_parent, own_container_id

ID = "0123456789abcdef" * 4
MOUNTINFO = f"""\
612 611 0:52 / / rw,relatime - overlay overlay rw
620 612 8:1 /var/lib/docker/containers/{ID}/resolv.conf /etc/resolv.conf rw,relatime - ext4 /dev/sda1 rw
621 612 8:1 /var/lib/docker/containers/{ID}/hostname /etc/hostname rw,relatime - ext4 /dev/sda1 rw
"""
INSPECTION: dict[str, Any] = {
    "Mounts": [
        {"Type": "bind", "Source": "/srv/kits/site-1", "Destination": "/flare"},
        {"Type": "volume", "Source": "/var/lib/docker/volumes/data/_data", "Destination": "/flare/data"},
        {"Type": "tmpfs", "Source": "", "Destination": "/tmp"},
    ],
    "NetworkSettings": {"Networks": {"flare": {"IPAddress": "172.20.0.5"}, "other": {"IPAddress": ""}}},
}
IN_CONTAINER = as_parent(INSPECTION, {})


def spec(*sources: str, network: str = "flare", **hosts: str) -> ContainerSpec:
    mounts = tuple(Mount(source, f"/target/{number}") for number, source in enumerate(sources))
    return ContainerSpec("one", "job:1", ("run",), mounts=mounts, network=network, hosts=hosts)


def sources(spec: ContainerSpec) -> list[str]:
    return [mount.source for mount in spec.mounts]


# --- on the engine's host itself ---


def test_on_the_engines_host_paths_are_what_they_are() -> None:
    assert Parent().located(spec("/flare/job-1")) == spec("/flare/job-1")


def test_on_the_engines_host_jobs_reach_the_site_by_the_hosts_address() -> None:
    assert Parent().located(spec(parent=THIS_PROCESS, server="10.0.0.1")).hosts == {
        "parent": "host-gateway",
        "server": "10.0.0.1",
    }


def test_a_site_may_say_where_another_host_has_its_files() -> None:
    parent = Parent(paths={"/flare": "/mnt/flare"})
    assert sources(parent.located(spec("/flare", "/flare/job-1", "/flares", "/data"))) == [
        *("/mnt/flare", "/mnt/flare/job-1", "/flares", "/data")
    ]


# --- in a container ---


def test_in_a_container_paths_are_those_of_its_mounts_the_innermost_first() -> None:
    located = IN_CONTAINER.located(spec("/flare/job-1", "/flare", "/flare/data/x"))
    assert sources(located) == ["/srv/kits/site-1/job-1", "/srv/kits/site-1", "/var/lib/docker/volumes/data/_data/x"]


@pytest.mark.parametrize("path", ["/dev/shm/flcore-1", "/tmp/x", "/flarex"])
def test_what_is_on_no_mount_cannot_be_shown_to_a_job(path: str) -> None:
    with pytest.raises(JobLaunchError, match=rf"{path} is in the container of the site itself.*'host_paths'"):
        IN_CONTAINER.located(spec(path))


def test_a_site_has_the_last_word_on_where_its_files_are() -> None:
    parent = as_parent(INSPECTION, {"/flare": "/real", "/tmp": "/real-tmp"})
    assert sources(parent.located(spec("/flare/job-1", "/tmp/x"))) == ["/real/job-1", "/real-tmp/x"]


def test_jobs_reach_a_site_in_a_container_by_its_address_in_their_network() -> None:
    assert IN_CONTAINER.located(spec(parent=THIS_PROCESS)).hosts == {"parent": "172.20.0.5"}


@pytest.mark.parametrize("network", ["other", "third"])
def test_a_site_that_is_not_in_the_network_of_its_jobs_is_told(network: str) -> None:
    with pytest.raises(JobLaunchError, match=f"not in the network {network} of its jobs, but in flare"):
        IN_CONTAINER.located(spec(network=network, parent=THIS_PROCESS))


def test_a_network_without_jobs_that_ask_for_the_site_does_not_matter() -> None:
    assert IN_CONTAINER.located(spec(network="third")).network == "third"


# --- which container ---


def test_a_container_is_found_by_what_the_engine_mounts_into_it() -> None:
    assert own_container_id(MOUNTINFO) == ID


def test_a_container_of_podmans_is_found_by_what_that_mounts_into_it() -> None:
    folder = f"/run/containers/storage/overlay-containers/{ID}/userdata"
    mounted = f"{folder}/hostname /etc/hostname rw,relatime - ext4 /dev/sda1 rw\n"
    assert own_container_id(f"612 611 0:52 / / rw - overlay overlay rw\n715 612 8:1 {mounted}") == ID


def test_another_process_is_in_no_container() -> None:
    assert own_container_id("22 1 8:1 / / rw - ext4 /dev/sda1 rw\n") == ""


class Engine:
    """What docker-py's low-level client says of the site's container; None: it knows of none."""

    base_url = "http://engine"

    def __init__(self, inspection: Any) -> None:
        self.inspection = inspection
        self.requests: list[Any] = []

    def version(self) -> dict[str, Any]:
        return {"ApiVersion": "1.41"}

    def inspect_container(self, container_id: str) -> Any:
        assert container_id == ID
        if self.inspection is None:
            raise NotFound("no such container")
        return self.inspection

    def create_container_from_config(self, request: Any, name: str) -> Any:
        self.requests.append((name, request["HostConfig"]))
        return {"Id": "c1"}


@pytest.fixture
def in_a_container(monkeypatch: pytest.MonkeyPatch) -> None:
    path = SimpleNamespace(read_text=lambda: MOUNTINFO)
    monkeypatch.setattr(docker_runtime, "Path", lambda _: path)


@pytest.mark.usefixtures("in_a_container")
def test_a_container_is_made_with_what_its_engine_says_of_the_site() -> None:
    engine = Engine(INSPECTION)
    runtime = DockerRuntime(client=SimpleNamespace(api=engine))
    runtime.create(spec("/flare/job-1", parent=THIS_PROCESS))
    ((name, host),) = engine.requests
    assert name == "one"
    assert [mount["Source"] for mount in host["Mounts"]] == ["/srv/kits/site-1/job-1"]
    assert host["ExtraHosts"] == ["parent:172.20.0.5"]


@pytest.mark.usefixtures("in_a_container")
def test_a_site_in_a_container_of_another_engine_is_taken_at_its_word() -> None:
    engine = Engine(None)
    DockerRuntime(client=SimpleNamespace(api=engine), host_paths={"/flare": "/there"}).create(spec("/flare/x", "/y"))
    ((_, host),) = engine.requests
    assert [mount["Source"] for mount in host["Mounts"]] == ["/there/x", "/y"]
    assert "ExtraHosts" not in host
