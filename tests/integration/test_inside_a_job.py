"""What a job can do inside the container that a site gives it by default, from an image that is hostile, too."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from flcore import FLContext, JobReturnCode, Site
from flcore.errors import TerminateTimeout
from launchers.docker_launcher import DockerJobHandle, DockerJobLauncher
from launchers.runtime.engine_traits import as_traits

from .conftest import IMAGE, NETWORK, Lab, until
from .engine_traits import Traits
from .hostile_image import VOLUME, hostile_image

APP = Path(__file__).parent / "apps/inside"
REFUSED = {"Operation not permitted", "Permission denied", "Read-only file system"}
NOT_THERE = {"No such file or directory", "Function not implemented"}
DEVICES = {"console", "full", "null", "random", "tty", "urandom", "zero", "ptmx"}
BOMB = "import os\nwhile True:\n    try: os.fork()\n    except OSError: pass"
HOG = "hoard = []\nwhile True: hoard.append(bytearray(1 << 20))"
FLOOD = "import sys\nfor _ in range(1 << 10): sys.stdout.buffer.write((b'x' * 1023 + b'\\n') * 1024)"
HOLD = "import ctypes, time\nctypes.CDLL(None).ptrace(16, 1, 0, 0)\nprint('held')\ntime.sleep(600)"
"""Attaches to its init as a debugger does, which stops it."""
MIB = 1 << 20


class NamedLauncher(DockerJobLauncher):
    """Runs the Python program that has the job's name."""

    def __init__(self, programs: dict[str, str], **kwargs: Any) -> None:
        site_keys: dict[str, Any] = {"image": IMAGE, "network": NETWORK, "stop_grace": 1}
        super().__init__(**site_keys | kwargs)
        self.programs = programs

    def get_command(self, job_meta: dict[str, Any], fl_ctx: FLContext) -> tuple[str, str]:
        return str(job_meta["job_id"]), shlex.join(["python3", "-u", "-c", self.programs[job_meta["name"]]])


@pytest.fixture(scope="module")
def image(docker_client: Any) -> Iterator[str]:
    with hostile_image(docker_client, IMAGE) as name:
        yield name


@pytest.fixture(scope="module")
def facts(docker_client: Any, image: str, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What a job found out that tried everything, at a site that has keys and had another job."""
    lab = Lab(docker_client, tmp_path_factory.mktemp("site"))
    for folder in ("startup", "local", "another-job"):
        (lab.folder / folder).mkdir()
        (lab.folder / folder / "client.key").write_text("secret")
    site = lab.site("python3", "-m", "inside", image=image, limits={"memory": "1Gi"})
    handle = site.launch_job({"job_id": lab.job_id}, app=APP)
    code = handle.wait()
    lab.close()
    assert code is JobReturnCode.SUCCESS, (lab.folder / lab.job_id / "site-1.log").read_text()
    found: dict[str, Any] = json.loads((lab.folder / lab.job_id / "facts.json").read_text())
    return found


# --- who it is ---


def on_host(number: int, id_map: str) -> int:
    """Return a uid or gid as the host counts it, which is as it stands but for engines with users of their own."""
    for line in id_map.splitlines():
        inside, outside, count = map(int, line.split())
        if inside <= number < inside + count:
            return outside + number - inside
    raise AssertionError(f"{number} is nobody: {id_map}")


@pytest.mark.parametrize("kind", ["CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"])
def test_it_has_no_capability(facts: dict[str, Any], kind: str) -> None:
    assert int(facts["status"][kind], 16) == 0


def test_it_is_not_root_in_any_way(facts: dict[str, Any]) -> None:
    uids, gids = (set(map(int, facts["status"][kind].split())) for kind in ("Uid", "Gid"))
    assert 0 not in {on_host(uid, facts["on the host"]["uid"]) for uid in uids}
    assert 0 not in {on_host(gid, facts["on the host"]["gid"]) for gid in {*gids, *facts["groups"]}}


def is_user_0(facts: dict[str, Any]) -> bool:
    """Whether it is user 0 of a rootless engine: nobody else on the host, but the owner of an image's files."""
    return bool(facts["status"]["Uid"].split()[0] == "0")


def test_it_cannot_gain_privileges(facts: dict[str, Any]) -> None:
    assert facts["status"]["NoNewPrivs"] == "1"


def test_its_system_calls_are_filtered(facts: dict[str, Any]) -> None:
    assert facts["status"]["Seccomp"] == "2"


def test_a_program_that_root_made_to_be_run_as_root_gains_it_nothing(facts: dict[str, Any]) -> None:
    said = facts["read as root"].strip()
    assert said == "the secret" if is_user_0(facts) else said.endswith("Permission denied")


def test_it_cannot_do_what_takes_a_privilege(facts: dict[str, Any], traits: Traits) -> None:
    done = {name for name, said in facts["attempts"].items() if said not in REFUSED | NOT_THERE}
    assert done - traits.lets_jobs_do <= ({"become root", "own a file of root"} if is_user_0(facts) else set())


# --- files ---


@pytest.mark.parametrize("folder", ["/", "/etc", "/usr/bin", "/var", "/dev", "/sys"])
def test_it_cannot_write_to(facts: dict[str, Any], folder: str) -> None:
    if folder == "/dev" and is_user_0(facts):
        pytest.skip("it is user 0 of its container, to whom that folder in memory belongs")
    assert facts["written"][folder] in REFUSED


@pytest.mark.parametrize("folder", ["/tmp", "."])
def test_it_can_write_to(facts: dict[str, Any], folder: str) -> None:
    assert facts["written"][folder] == "done"


def test_its_root_file_system_is_read_only(facts: dict[str, Any]) -> None:
    assert "ro" in facts["mounts"]["/"]


def test_of_all_that_is_mounted_it_can_write_to_its_own_folder_and_to_memory(
    facts: dict[str, Any], traits: Traits
) -> None:
    own = [path for path in facts["writable"] if path.startswith("/workspace/job-")]
    assert len(own) == 1
    devices = {f"/dev/{name}" for name in DEVICES}  # each of them is a mount where an engine shifts users
    ours = {VOLUME, "/dev", "/dev/pts", "/sys/fs/cgroup"} if is_user_0(facts) else set()
    theirs = traits.gives_in_memory | ({VOLUME} if traits.gives_volumes_to_the_user else set())
    assert set(facts["writable"]) - set(own) - devices - ours - theirs == {"/tmp", "/dev/shm", "/dev/mqueue"}


def test_its_tmp_has_a_size_and_honours_no_privileges(facts: dict[str, Any]) -> None:
    assert facts["/tmp"] <= 256 * MIB
    assert {"nosuid", "nodev"} <= set(facts["mounts"]["/tmp"])


def test_it_cannot_run_what_it_wrote_to_tmp(facts: dict[str, Any]) -> None:
    assert facts["run"] in REFUSED


def test_its_shared_memory_has_a_size(facts: dict[str, Any]) -> None:
    assert facts["/dev/shm"] <= 64 * MIB


def test_it_sees_no_socket_of_an_engine_or_of_anybody(facts: dict[str, Any]) -> None:
    assert facts["sockets"] == []


def test_it_sees_no_device_of_the_host(facts: dict[str, Any]) -> None:
    seen = {path.removeprefix("/dev/") for path in facts["devices"]}
    assert {name for name in seen if not name.startswith("pts/")} <= DEVICES


def test_of_the_sites_workspace_it_sees_nothing_but_its_own_folder(facts: dict[str, Any]) -> None:
    (own,) = facts["workspace"]
    assert own.startswith("/workspace/job-")


# --- the kernel, other processes, the network ---


def test_it_cannot_change_the_kernels_settings(facts: dict[str, Any]) -> None:
    assert {path: said for path, said in facts["settings"].items() if said not in REFUSED | NOT_THERE} == {}


def test_it_reads_nothing_of_what_the_kernel_keeps_from_containers(facts: dict[str, Any]) -> None:
    assert {path: size for path, size in facts["kernel"].items() if size} == {}


def test_it_sees_no_process_but_its_own(facts: dict[str, Any]) -> None:
    assert len(facts["processes"]) <= 2  # an init and itself


def test_it_has_one_network(facts: dict[str, Any]) -> None:
    assert sorted(facts["interfaces"]) == ["eth0", "lo"]


def test_at_a_site_without_a_network_it_has_none(lab: Lab) -> None:
    handle = lab.launch("ls", "/sys/class/net", network="none")
    assert handle.wait() is JobReturnCode.SUCCESS
    assert handle.logs().split() == ["lo"]


# --- what it is told ---


def test_its_variables_are_not_the_sites_process_s(facts: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    site_s = {"DOCKER_HOST", "DOCKER_CONFIG", "VIRTUAL_ENV", "SHELL", "PYTEST_CURRENT_TEST"}
    assert site_s & set(facts["environment"]) == set()


def test_its_home_and_its_name_are_its_own(facts: dict[str, Any]) -> None:
    home, user, logname = (facts["environment"][name] for name in ("HOME", "USER", "LOGNAME"))
    assert (home, user) == ("/tmp", logname)
    assert user in ("nobody", "job", "root")  # of root's site, of another, of a rootless engine's


def test_where_its_code_is_says_the_site_not_the_image(facts: dict[str, Any]) -> None:
    assert facts["environment"]["PYTHONPATH"].startswith("/workspace/job-")


# --- what its image says ---


def test_nothing_of_a_container_comes_from_a_hostile_image(lab: Lab, image: str) -> None:
    handle = lab.launch("sleep", "60", image=image)
    inspection = lab.client.api.inspect_container(handle.container.id)
    config, state = inspection["Config"], inspection["State"]
    assert (config["Entrypoint"], config["Cmd"]) == (["sleep"], ["60"])
    is_rootless = as_traits(lab.client.version(), lab.client.info()).is_rootless
    assert config["User"] == ("0:0" if is_rootless else "65534:65534")
    assert config["WorkingDir"] == f"/workspace/{lab.job_id}"
    assert config["StopSignal"] in ("SIGTERM", "15")
    assert config["Healthcheck"]["Test"] == ["NONE"]
    assert not (state.get("Health") or {}).get("Status")  # Podman 4 has it without a check, too, and empty
    assert "of-the-image" not in [value for key, value in config["Labels"].items() if key.startswith("flcore.")]
    assert inspection["NetworkSettings"]["Ports"] in ({}, {"22/tcp": None})  # exposed is not published
    assert handle.terminate() is JobReturnCode.ABORTED


@pytest.mark.parametrize("exit_code", [0, 3, 255])
def test_an_image_has_no_say_in_how_its_job_ended(lab: Lab, image: str, exit_code: int) -> None:
    handle = lab.launch("sh", "-c", f"sleep 0.2; exit {exit_code}", image=image)
    handle.wait()
    result = handle.result
    assert result is not None
    assert result.exit_code == exit_code


def test_a_volume_that_an_image_declares_goes_with_the_container(lab: Lab, image: str) -> None:
    handle = lab.launch("sleep", "60", image=image)
    mounts = lab.client.api.inspect_container(handle.container.id)["Mounts"]
    (volume,) = (mount["Name"] for mount in mounts if mount["Type"] == "volume")
    handle.terminate()
    assert lab.left_over() == []
    names = {entry["Name"] for entry in lab.client.api.volumes()["Volumes"] or []}
    assert volume not in names


# --- what it takes ---


@pytest.fixture
def site(lab: Lab) -> Iterator[Site]:
    """A site whose jobs run what their name says, and are given a processor and 256 MiB, or what they ask for."""
    programs = {"bomb": BOMB, "hog": HOG, "flood": FLOOD, "hold": HOLD, "good": "print('done')"}
    limits = {"num_of_cpus": 1, "memory": "2Gi"}
    launcher = NamedLauncher(programs, limits=limits, defaults={"memory": "256Mi"})
    with Site("site-1", {"launcher": launcher}, lab.folder) as site:
        yield site


def good_job_ends_well(site: Site, lab: Lab) -> None:
    handle = site.launch_job({"job_id": f"{lab.job_id}-good", "name": "good"})
    assert handle.wait() is JobReturnCode.SUCCESS


def test_a_fork_bomb_is_contained_and_the_site_goes_on(site: Site, lab: Lab) -> None:
    lab.needs("pids_limit")
    memory = {"site-1": {"memory": "2Gi"}}  # enough for a thousand processes: this is not about memory
    bomb = site.launch_job({"job_id": lab.job_id, "name": "bomb", "resource_spec": memory})
    container = lab.client.api.containers(filters={"name": lab.job_id})[0]["Id"]

    def processes() -> int:
        return int(lab.client.api.stats(container, stream=False, one_shot=True)["pids_stats"]["current"])

    until(lambda: processes() > 1000)
    good_job_ends_well(site, lab)
    assert processes() <= 1024
    with suppress(TerminateTimeout):  # a thousand processes with one processor need time to die; the wish stays
        bomb.terminate()
    assert bomb.wait() is JobReturnCode.ABORTED


def test_a_memory_hog_is_ended_with_the_reason_and_the_site_goes_on(site: Site, lab: Lab, traits: Traits) -> None:
    lab.needs("memory_limit")
    hog = site.launch_job({"job_id": lab.job_id, "name": "hog"})
    good_job_ends_well(site, lab)
    assert hog.wait() is JobReturnCode.EXECUTION_ERROR
    assert hog.result is not None
    assert hog.result.oom_killed is traits.tells_want_of_memory
    assert ("out of memory" if traits.tells_want_of_memory else "signal 9") in hog.result.error


def test_a_job_that_holds_its_own_init_is_ended_all_the_same(site: Site, lab: Lab) -> None:
    holder = site.launch_job({"job_id": lab.job_id, "name": "hold"})
    assert isinstance(holder, DockerJobHandle)
    until(lambda: "held" in holder.logs())
    assert holder.terminate() is JobReturnCode.ABORTED


def test_a_gigabyte_of_output_is_bounded_on_disk(site: Site, lab: Lab) -> None:
    flood = site.launch_job({"job_id": lab.job_id, "name": "flood"})
    container = lab.client.api.containers(filters={"name": lab.job_id})[0]["Id"]
    folder = Path(lab.client.info()["DockerRootDir"], "containers", container)
    if not folder.is_dir():
        pytest.skip(f"the engine's files cannot be seen: {folder}")
    sizes = [0]

    def ended() -> bool:
        sizes.append(size_of(folder))
        return flood.poll() is not JobReturnCode.UNKNOWN

    until(ended, timeout=120)
    site.close()
    assert flood.poll() is JobReturnCode.SUCCESS
    assert 10 * MIB < max(sizes) < 35 * MIB
    assert (lab.folder / lab.job_id / "site-1.log").stat().st_size < 31 * MIB


def size_of(folder: Path) -> int:
    """Return the bytes that a folder takes on disk."""
    total = 0
    for path in folder.rglob("*"):
        try:
            total += path.lstat().st_blocks * 512
        except FileNotFoundError:  # the engine has begun a new file meanwhile
            continue
    return total
