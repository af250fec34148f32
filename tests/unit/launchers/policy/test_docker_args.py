"""What of a site's config is insecure, and works only if the site says that it is meant."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from flcore import Site
from flcore.errors import JobLaunchError
from flcore.testing import FakeFLContext
from launchers.container_spec import Mount
from launchers.docker_launcher import ClientDockerJobLauncher
from launchers.policy.docker_args import INSECURE_KEYS, is_the_host_s_own
from launchers.runtime.docker_request import create_request
from launchers.runtime.fake import FakeRuntime

INSECURE: list[dict[str, Any]] = [
    {"images": ["*"]},
    {"images": ["job:1", "*"]},
    {"images": ["*.*/*"]},
    {"user": "0:0"},
    {"user": "00:1000"},
    {"network": "host"},
    {"network": "container:other"},
    {"cap_add": ["SYS_ADMIN"]},
    {"cap_add": ["CHOWN", "CAP_NET_ADMIN"]},
    {"cap_add": ["ALL"]},
    {"security_opt": ["seccomp=unconfined"]},
    {"security_opt": ["apparmor:unconfined"]},
    {"security_opt": ["label=disable"]},
    {"security_opt": ["no-new-privileges=false"]},
    {"security_opt": ["systempaths=unconfined"]},
    {"privileged": True},
    {"pid_mode": "host"},
    {"ipc_mode": "host"},
    {"cgroup_parent": "/"},
    {"cgroup_parent": "../x"},
    {"datasets": {"all": "/"}},
    {"datasets": {"etc": "/data/../etc"}},
    {"mounts": [{"source": "/var/run/docker.sock", "target": "/var/run/docker.sock"}]},
    {"mounts": [{"source": "/proc/1", "target": "/p"}]},
]


@pytest.mark.parametrize("arguments", INSECURE, ids=str)
def test_what_is_insecure_is_refused_unless_the_site_says_that_it_is_meant(arguments: dict[str, Any]) -> None:
    (key,) = arguments
    with pytest.raises(
        ValueError, match=rf"^{key} is insecure: .*; if that is meant, add '{key}' to 'allow_insecure'$"
    ):
        ClientDockerJobLauncher(**arguments)
    assert set(ClientDockerJobLauncher(**arguments, allow_insecure=[key]).insecure) == {key}


def test_every_key_that_can_be_insecure_has_its_example() -> None:
    assert {key for arguments in INSECURE for key in arguments} == set(INSECURE_KEYS)


def test_all_that_is_insecure_is_said_at_once() -> None:
    with pytest.raises(ValueError, match=r"^user is .*\nnetwork is .*\nprivileged is insecure: "):
        ClientDockerJobLauncher(user="0:0", network="host", privileged=True)


def test_what_a_site_loosens_is_in_the_request_and_the_rest_stays_as_it_is(
    make_launcher: Callable[..., ClientDockerJobLauncher],
) -> None:
    launcher = make_launcher(
        entrypoint=["/init", "--"],
        read_only=False,
        tmpfs={"/tmp": "1Gi,exec", "/scratch": 1 << 20},
        mounts=[{"source": "/models", "target": "/models"}],
        pids_limit=50,
        cap_add=["CAP_CHOWN"],
        security_opt=["apparmor=jobs"],
        ipc_mode="host",
        allow_insecure=["ipc_mode"],
    )
    spec = launcher.plan({"job_id": "j1"}, FakeFLContext(job_args={"exe_module": ("-m", "client")})).spec
    request = create_request(spec)
    host = request["HostConfig"]
    assert (request["Entrypoint"], request["Cmd"][:2]) == (["/init"], ["--", "python3"])
    assert Mount("/models", "/models") in spec.mounts
    assert (host["ReadonlyRootfs"], host["PidsLimit"], host["IpcMode"]) == (False, 50, "host")
    assert host["Tmpfs"] == {"/tmp": "size=1073741824,mode=1777,exec", "/scratch": "size=1048576,mode=1777"}
    assert (host["CapDrop"], host["CapAdd"]) == (["ALL"], ["CHOWN"])
    assert host["SecurityOpt"] == ["no-new-privileges", "apparmor=jobs"]
    assert not {"Privileged", "PidMode", "CgroupParent"} & set(host)


@pytest.fixture
def make_launcher() -> Callable[..., ClientDockerJobLauncher]:
    return lambda **arguments: ClientDockerJobLauncher(image="job:1", **arguments)


@pytest.mark.parametrize("path", ["/data", "/home/site/data", "/etc/ssl/certs", "/var/lib/site", "/mnt", "/srv/data"])
def test_folders_of_data_are_nothing_that_is_the_host_s_own(path: str) -> None:
    assert not is_the_host_s_own(path)


@pytest.mark.parametrize("key", ["datasets", "mounts"])
@pytest.mark.parametrize(("leads_to", "why"), [("/etc", "the host's own"), ("sites", "holds the site's own folder")])
def test_what_leads_by_links_to_what_no_job_may_see_is_refused_at_the_launch(
    tmp_path: Path, key: str, leads_to: str, why: str
) -> None:
    (tmp_path / "sites").mkdir()
    link = tmp_path / "link"
    link.symlink_to(tmp_path / leads_to)  # an absolute path stays as it is
    value: Any = {"data": str(link)} if key == "datasets" else [{"source": str(link), "target": "/data"}]
    job = {"job_id": "j1"}, {"exe_module": ("-m", "client")}

    def site(**allowed: Any) -> Site:
        launcher = ClientDockerJobLauncher(image="job:1", runtime=FakeRuntime(), **{key: value}, **allowed)
        return Site("site-1", {"launcher": launcher}, tmp_path / "sites" / "site-1")

    with site() as strict, pytest.raises(JobLaunchError, match=rf"{key}: .* leads to .*{why}; .* to 'allow_insecure'"):
        strict.launch_job(*job)
    with site(allow_insecure=[key]) as loose:
        loose.launch_job(*job).terminate()
