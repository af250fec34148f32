"""``flcore check KIT``: a kit that is as it should be, and those that operators really have.

Where NVIDIA FLARE is installed is a test of tests/compat.
"""

from __future__ import annotations

import gc
import json
import os
import socket
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest

from flcore.cli import main
from tests.another_user import as_another
from tests.kit_folder import PROCESS_LAUNCHER, give_network, make_kit, write
from tests.shown_files import show_nvflare
from tests.small_engine import SmallEngine

pytestmark = pytest.mark.usefixtures("engine", "parent_python")

OURS = "launchers.nvflare_launcher.ClientDockerJobLauncher"
NVIDIA = "nvflare.app_opt.job_launcher.docker_launcher.ClientDockerJobLauncher"
CONSENT = {"id": "consent", "path": "flcore.observers.JobApproval", "args": {"wait": 600}}
EARLY = "launchers.nvflare_early_deployment.FlareEarlyDeployment"
SCHEDULER = "nvflare.app_common.job_schedulers.job_scheduler.DefaultJobScheduler"
GPU_MANAGER = "nvflare.app_common.resource_managers.gpu_resource_manager.GPUResourceManager"
OWN_FILE, COMM_CONFIG, RESOURCES = "flcore__p_resources.json", "comm_config.json", "resources.json"
PORTS = iter(range(18200, 19000))


class Kit:
    """A kit that is as it should be, in a folder of its own, until something in it is changed."""

    def __init__(self, folder: Path, role: str = "client") -> None:
        self.root = make_kit(folder, role)
        self.port = next(PORTS)
        words = ("--image", "job:1", "--network", "flare", "--port", str(self.port))
        assert main(["nvflare", "install", str(self.root), *words]) == 0

    def read(self, name: str) -> Any:
        return json.loads((self.root / "local" / name).read_text())

    def write(self, name: str, content: Any) -> None:
        write(self.root / "local" / name, content)

    def add(self, name: str, /, **component: Any) -> None:
        """List one more component in a file."""
        config = self.read(name)
        config["components"].append(component)
        self.write(name, config)

    def change(self, **changes: Any) -> None:
        """Change the launcher."""
        config = self.read(OWN_FILE)
        config["components"][0].update(changes)
        self.write(OWN_FILE, config)

    def listen(self, **changes: Any) -> None:
        """Change where the parent listens."""
        config = self.read(COMM_CONFIG)
        config["internal"]["resources"].update(changes)
        self.write(COMM_CONFIG, config)


@pytest.fixture
def kit(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Kit:
    kit = Kit(tmp_path / "kits/site-1")
    capsys.readouterr()
    return kit


def check(*kits: Kit) -> int:
    return main(["check", *(str(kit.root) for kit in kits)])


def test_a_kit_that_is_as_it_should_be(kit: Kit, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert check(kit) == 0
    title, *lines = capsys.readouterr().out.splitlines()
    assert title == f"{kit.root}: client site-1, a kit of NVIDIA FLARE"
    ok = [line.removeprefix("  ok       ") for line in lines if not line.startswith("  warning")]
    assert ok == [
        f"python: {tmp_path}/bin/python3: NVIDIA FLARE 2.9.0, flcore {version('flcore')}",
        "launcher: ClientDockerJobLauncher, in local/flcore__p_resources.json",
        *[line for line in ok if line.startswith("socket: ")],
        "docker_launcher: engine: Docker Engine x, API 1.41",
        "docker_launcher: network: flare",
        "docker_launcher: image: job:1",
        "docker_launcher: image: job:1 has NVIDIA FLARE 2.9.0",
        "comm_config.json: local/comm_config.json has jobs find their parent at 127.30.0.1, the gateway of the "
        "network flare",
        f"port: {kit.port}",
        "key: jobs see a decoy in place of the site's private key",
    ]


# --- set-ups that are broken, each with the line that is said of it ---


def metrics(port: int) -> dict[str, Any]:
    return {"id": "metrics", "path": "flcore.observers.MetricsExporter", "args": {"port": port}}


Break = Callable[[Kit, SmallEngine], Any]
MISSING = {
    "no launcher was set up": (
        lambda kit, _: main(["nvflare", "uninstall", str(kit.root)]),
        "launcher: jobs are launched by ClientProcessJobLauncher (process_launcher, in local/resources.json.default), "
        "not by flcore: flcore nvflare install KIT --image IMAGE --network NETWORK",
    ),
    "there is no launcher at all": (
        lambda kit, _: kit.write(OWN_FILE, {}),
        "launcher: jobs are launched by nobody, not by flcore: flcore nvflare install KIT --image IMAGE --network "
        "NETWORK",
    ),
    "the process launcher is still in": (
        lambda kit, _: kit.add(RESOURCES, id="process_launcher", path=PROCESS_LAUNCHER["client"]),
        "process_launcher: ClientProcessJobLauncher is still in local/resources.json: where two would launch a job "
        "NVIDIA FLARE takes the first, or none: flcore nvflare install KIT takes it out",
    ),
    "NVIDIA FLARE's own Docker launcher is still in": (
        lambda kit, _: kit.add(RESOURCES, id="docker", path=NVIDIA),
        f"docker: {NVIDIA} is still in local/resources.json: of two classes of one name only the first hears anything: "
        "flcore nvflare install KIT takes it out",
    ),
    "the launcher is that of flcore's own sites": (
        lambda kit, _: kit.change(path="launchers.docker_launcher.ClientDockerJobLauncher"),
        "docker_launcher: launchers.docker_launcher.ClientDockerJobLauncher (in local/flcore__p_resources.json) is for "
        "flcore's own sites; in a kit it is one of launchers.nvflare_launcher",
    ),
    "the launcher is the server's": (
        lambda kit, _: kit.change(path=OURS.replace("Client", "Server")),
        "docker_launcher: ServerDockerJobLauncher (in local/flcore__p_resources.json) is for a server, and this is a "
        "client's kit: ClientDockerJobLauncher",
    ),
    "the launcher's class is misspelt": (
        lambda kit, _: kit.change(path=OURS.replace("Launcher", "Luncher")),
        "docker_launcher: launchers.nvflare_launcher has no 'ClientDockerJobLuncher' (in "
        "local/flcore__p_resources.json); did you mean 'ClientDockerJobLauncher'?",
    ),
    "the launcher is there twice": (
        lambda kit, _: kit.add(OWN_FILE, id="another", path=OURS),
        "launcher: flcore's is there 2 times: docker_launcher in local/flcore__p_resources.json, another in "
        "local/flcore__p_resources.json; take out all but one",
    ),
    "jobs read of the launcher, too": (
        lambda kit, _: (kit.root / "local" / OWN_FILE).rename(kit.root / "local/flcore__resources.json"),
        "docker_launcher: is in local/flcore__resources.json, which jobs read, too, whose images have no flcore: "
        "flcore nvflare install KIT puts it where only parents look",
    ),
    "two components have one name": (
        lambda kit, _: kit.add(RESOURCES, id="docker_launcher", path="a.B"),
        "docker_launcher: stands 2 times in local/resources.json, local/flcore__p_resources.json: NVIDIA FLARE does "
        "not start so; give each a name of its own",
    ),
    "the image is not on the engine": (
        lambda _, engine: engine.answers.update({"GET /images/job:1/json": (404, {"message": "No such image: job:1"})}),
        "docker_launcher: image: job:1 is not there; make it with: docker pull job:1",
    ),
    "the image has another NVIDIA FLARE": (
        lambda _, engine: show_nvflare(engine, "2.8.3"),
        "docker_launcher: image: job:1 has NVIDIA FLARE 2.8.3, and the parent 2.9.0, whose jobs are called otherwise; "
        "build it with nvflare==2.9.0",
    ),
    "the image has no Python": (
        lambda _, engine: engine.answers.pop("GET /containers/0123/archive?/usr/local/bin/python3"),
        "docker_launcher: image: job:1 has no python3 in its PATH, by which jobs are started: name it by 'python'",
    ),
    "the network is not there": (
        lambda _, engine: give_network(engine, subnet=""),
        "docker_launcher: network: flare is not there; make it with: docker network create flare",
    ),
    "the network was made anew": (
        lambda kit, _: kit.listen(host="172.31.5.1"),
        "comm_config.json: local/comm_config.json has jobs find their parent at 172.31.5.1, which is not in the "
        "network flare (127.30.0.0/24; its gateway is 127.30.0.1): was it made anew? flcore nvflare install KIT mends "
        "it",
    ),
    "the parent listens on localhost": (
        lambda kit, _: kit.listen(host="127.0.0.1"),
        "comm_config.json: local/comm_config.json has jobs find their parent at 127.0.0.1, which no container in the "
        "network flare reaches: its gateway, 127.30.0.1; flcore nvflare install KIT mends it",
    ),
    "there is no comm_config.json": (
        lambda kit, _: (kit.root / "local" / COMM_CONFIG).unlink(),
        "comm_config.json: no file has jobs find their parent at localhost, which no container in the network flare "
        "reaches: its gateway, 127.30.0.1; flcore nvflare install KIT mends it",
    ),
    "another comm_config.json is found first": (
        lambda kit, _: (kit.root / "local" / COMM_CONFIG).rename(kit.root / "startup" / COMM_CONFIG),
        "comm_config.json: the parent finds startup/comm_config.json first, and reads that, not "
        "local/comm_config.json: move it out of the kit",
    ),
    "two kits have one port": (
        lambda kit, _: Kit(kit.root.parent / "site-2").listen(port=kit.port),
        "port: PORT (in local/comm_config.json) is named by KITS/site-2, for its jobs, too: flcore nvflare install KIT "
        "takes a free one",
    ),
    "a server has the port for its clients": (
        lambda kit, _: (make_kit(kit.root.parent / "server", "server"), kit.listen(port=8002)),
        "port: 8002 (in local/comm_config.json) is named by KITS/server, for its clients, too: flcore nvflare install "
        "KIT takes a free one",
    ),
}


MISSING["two kits have one port for their metrics"] = (
    lambda kit, _: [one.add(OWN_FILE, **metrics(9400)) for one in (kit, Kit(kit.root.parent / "site-2"))],
    "metrics: 9400 is named by KITS/site-2, for its metrics, too: give each a 'port' of its own",
)
MISSING["metrics have the port of the jobs"] = (
    lambda kit, _: kit.add(OWN_FILE, **metrics(kit.port)),
    "metrics: PORT is named by KIT, for its jobs, too: give each a 'port' of its own",
)


def start_in_container(kit: Kit, network: str) -> None:
    (kit.root / "startup/start.sh").unlink()
    write(kit.root / "startup/start_docker.sh", f"#!/usr/bin/env bash\nNETWORK_NAME={network}\n")


MISSING["the parent starts in another network than its jobs"] = (
    lambda kit, _: start_in_container(kit, "nvflare-network"),
    "network: startup/start_docker.sh starts the parent in the network nvflare-network, and its jobs are in flare: "
    "flcore nvflare install KIT --network nvflare-network",
)


@pytest.mark.parametrize(("break_it", "line"), MISSING.values(), ids=MISSING)
def test_a_broken_set_up_is_told_with_the_way_out(
    break_it: Break, line: str, kit: Kit, engine: SmallEngine, capsys: pytest.CaptureFixture[str]
) -> None:
    if line.startswith("metrics:"):
        pytest.importorskip("prometheus_client", reason="of the extra [metrics]")
    break_it(kit, engine)
    capsys.readouterr()
    assert check(kit) == 1
    line = line.replace("KITS", str(kit.root.parent)).replace("KIT", str(kit.root)).replace("PORT", str(kit.port))
    assert f"  MISSING  {line}" in capsys.readouterr().out.splitlines()


AUDIT = """
from flcore import FLComponent


class Audit(FLComponent):
    def __init__(self, path):
        super().__init__()
"""


def write_audit(kit: Kit, **args: Any) -> None:
    """Have a kit have a component of its own, whose code is in the folder for that."""
    write(kit.root / "local/custom/kit_audit.py", AUDIT)
    kit.add(OWN_FILE, id="audit", path="kit_audit.Audit", args=args)


WRONG = {
    "an argument is misspelt": (
        lambda kit, _: kit.change(args={"imgae": "job:1", "network": "flare"}),
        "local/flcore__p_resources.json: component 'docker_launcher': args: unknown key 'imgae'; did you mean 'image'?",
    ),
    "a value is insecure and not allowed": (
        lambda kit, _: kit.change(args={"image": "job:1", "network": "host"}),
        "local/flcore__p_resources.json: component 'docker_launcher': args: ClientDockerJobLauncher: network",
    ),
    "an observer's class is misspelt": (
        lambda kit, _: kit.add(OWN_FILE, id="usage", path="flcore.observers.ResourceMoniter"),
        "local/flcore__p_resources.json: component 'usage': path: the module flcore.observers has no ResourceMoniter; "
        "did you mean 'ResourceMonitor'?",
    ),
    "an observer's argument is misspelt": (
        lambda kit, _: kit.add(OWN_FILE, id="m", path="flcore.observers.MetricsExporter", args={"prot": 9400}),
        "local/flcore__p_resources.json: component 'm': args: unknown key 'prot'; did you mean 'port'?",
    ),
    "an observer's argument is missing": (
        lambda kit, _: kit.add(OWN_FILE, id="m", path="flcore.observers.MetricsExporter"),
        "local/flcore__p_resources.json: component 'm': args: MetricsExporter: missing a required argument: 'port'",
    ),
    "an observer's argument is no good": (
        lambda kit, _: kit.add(RESOURCES, id="m", path="flcore.observers.MetricsExporter", args={"port": "9400"}),
        "local/resources.json: component 'm': args: MetricsExporter: port must be a number from 0 to 65535, got '9400'",
    ),
    "an observer is named as in flcore's own sites": (
        lambda kit, _: kit.add(OWN_FILE, id="usage", name="ResourceMonitor"),
        "local/flcore__p_resources.json: component 'usage': name: NVIDIA FLARE knows no 'ResourceMonitor'; say 'path': "
        "'flcore.observers.resource_monitor.ResourceMonitor'",
    ),
    "a folder is named as in flcore's own sites": (
        lambda kit, _: write_audit(kit, path="${CONFIG_DIR}/audit.log"),
        "local/flcore__p_resources.json: component 'audit': args.path: NVIDIA FLARE knows no ${CONFIG_DIR}; write the "
        "folder itself, as KIT/local",
    ),
    "an argument of a component of the site's own is misspelt": (
        lambda kit, _: write_audit(kit, paht="audit.log"),
        "local/flcore__p_resources.json: component 'audit': args: unknown key 'paht'; did you mean 'path'?",
    ),
    "a file is no JSON": (
        lambda kit, _: kit.write(RESOURCES, '{"components": [\n  ,]}'),
        "local/resources.json: line 2, column 3: ",
    ),
    "a study that cannot be had": (
        lambda kit, _: kit.write("study_runtime.yaml", "format_version: 2\nstudies: {s: {slurm: {}}}\n"),
        "local/study_runtime.yaml: studies.s.slurm: jobs of this launcher are none of Slurm's: leave it out",
    ),
    "comm_config.json is no JSON": (
        lambda kit, _: kit.write(COMM_CONFIG, "{'internal': {}}"),
        "local/comm_config.json: line 1, column 2: a single quote; JSON has double quotes only",
    ),
}


STUDIES = """format_version: 2
studies:
  cardio: {datasets: {hearts: {source: /nowhere/hearts, mode: ro}}}
"""


def test_what_the_kits_file_says_of_studies_is_looked_at_too(
    kit: Kit, capsys: pytest.CaptureFixture[str], engine: SmallEngine
) -> None:
    kit.write("study_runtime.yaml", STUDIES)
    assert check(kit) == 1
    shown = capsys.readouterr().out
    told = "local/study_runtime.yaml says what jobs see of cardio; those of other studies are refused"
    assert f"  ok       study: {told}\n" in shown
    assert "  MISSING  docker_launcher: dataset hearts of the study cardio: /nowhere/hearts\n" in shown


def test_a_study_s_network_is_looked_at_as_the_site_s_own_is(
    kit: Kit, capsys: pytest.CaptureFixture[str], engine: SmallEngine
) -> None:
    kit.change(args={"image": "job:1", "network": "flare", "studies": {"cardio": {"network": "nowhere"}}})
    engine.answers["GET /networks/nowhere"] = (404, {"message": "network nowhere not found"})
    assert check(kit) == 1
    assert "  MISSING  docker_launcher: network: nowhere is not there" in capsys.readouterr().out


@pytest.mark.parametrize(("break_it", "line"), WRONG.values(), ids=WRONG)
def test_what_is_wrong_with_a_file_is_told_as_an_error_when_all_else_was_looked_at(
    break_it: Break, line: str, kit: Kit, engine: SmallEngine, capsys: pytest.CaptureFixture[str]
) -> None:
    break_it(kit, engine)
    assert check(kit) == 2
    shown, errors = capsys.readouterr()
    assert errors.startswith(f"flcore: error: {kit.root}/{line.replace('KIT', str(kit.root))}")
    assert "  ok       python: " in shown
    assert "MISSING" not in shown


def have_managers(kit: Kit, num_of_gpus: int, gpu_ids: list[str], more: Sequence[dict[str, Any]] = ()) -> None:
    """Have the kit's own manager, as provisioned, and not ours."""
    kit.add(RESOURCES, id="resource_manager", path=GPU_MANAGER, args={"num_of_gpus": num_of_gpus})
    launcher, _ = kit.read(OWN_FILE)["components"]
    kit.write(OWN_FILE, {"components": [{**launcher, "args": {**launcher["args"], "gpu_ids": gpu_ids}}, *more]})


def listen_elsewhere(kit: Kit, engine: SmallEngine, host: str) -> None:
    """Listen at an address in a network that has none of this host."""
    give_network(engine, subnet="192.0.2.0/24")
    kit.listen(host=host)


WARNED = {
    "a kit that was prepared for containers": (
        lambda kit, _: kit.listen(connection_security="mtls"),
        "key: jobs see the site's own private key, as local/comm_config.json asks for mutual TLS; "
        "'connection_security': 'clear' there spares them that",
    ),
    "a signed kit": (
        lambda kit, _: write(kit.root / "startup/signature.json", {"client.key": "x"}),
        "key: jobs see the site's own private key: the kit is signed, as 2.6 and 2.7 provision it, and a job's process "
        "looks; kits of 2.8 and later spare them that",
    ),
    "the site's own choice of the key": (
        lambda kit, _: kit.change(args={"image": "job:1", "network": "flare", "private_key": True}),
        "key: 'private_key' has jobs see the site's own private key",
    ),
    "the site's own choice of jobs that have the key": (
        lambda kit, _: kit.change(args={"image": "job:1", "network": "flare", "private_key": [{"study": "brain"}]}),
        "key: 'private_key' has the jobs that it names see the site's own private key",
    ),
    "a choice that a kit for containers does not leave": (
        lambda kit, _: (
            kit.change(args={"image": "job:1", "network": "flare", "private_key": [{"study": "brain"}]}),
            kit.listen(connection_security="mtls"),
        ),
        "key: jobs see the site's own private key, as local/comm_config.json asks for mutual TLS; "
        "'connection_security': 'clear' there spares them that",
    ),
    "no image for jobs that name none": (
        lambda kit, _: kit.change(args={"network": "flare"}),
        "docker_launcher: image: 'image' names none, so jobs that name none themselves are refused",
    ),
    "GPUs of which NVIDIA FLARE's manager knows nothing": (
        lambda kit, _: have_managers(kit, num_of_gpus=0, gpu_ids=["0"]),
        "resource_manager: NVIDIA FLARE's own in local/resources.json has 'num_of_gpus': 0: a job that asks for GPUs "
        "is never scheduled here, though the launcher has 'gpu_ids'; flcore nvflare install KIT puts flcore's in its "
        "place",
    ),
    "an approval that nothing waits for": (
        lambda kit, _: have_managers(kit, num_of_gpus=0, gpu_ids=[], more=[CONSENT]),
        "consent: the kit's resource_manager is not flcore's, so that jobs are refused at once, whatever 'wait' says: "
        "flcore nvflare install KIT puts it in",
    ),
    "a server's component in a client's kit": (
        lambda kit, _: have_managers(kit, num_of_gpus=0, gpu_ids=[], more=[{"id": "early", "path": EARLY, "args": {}}]),
        "early: is for the server's kit: here it does nothing",
    ),
    "GPUs of which the launcher knows nothing": (
        lambda kit, _: have_managers(kit, num_of_gpus=2, gpu_ids=[]),
        "resource_manager: NVIDIA FLARE's own in local/resources.json has 'num_of_gpus': 2: jobs that ask for GPUs are "
        "scheduled here and refused, for the launcher has no 'gpu_ids'; flcore nvflare install KIT puts flcore's in "
        "its place",
    ),
    "an image with almost the same NVIDIA FLARE": (
        lambda _, engine: show_nvflare(engine, "2.9.1"),
        "docker_launcher: image: job:1 has NVIDIA FLARE 2.9.1, and the parent 2.9.0; build it with nvflare==2.9.0",
    ),
    "an image in which no NVIDIA FLARE is seen": (
        lambda _, engine: show_nvflare(engine, ""),
        "docker_launcher: image: no NVIDIA FLARE is to be seen in job:1, where its /usr/local/bin/python3 looks "
        "(/usr/local/lib/python3.12/site-packages), so that its jobs may not start; build it with "
        "nvflare==2.9.0",
    ),
    "an engine that shows no image": (
        lambda _, engine: engine.answers.update({"POST /containers/create": (403, {"message": "not for you"})}),
        "docker_launcher: image: which NVIDIA FLARE job:1 has is not told: a look into the image job:1: the engine "
        "says: not for you",
    ),
    "an older file of studies": (
        lambda kit, _: kit.write("study_data.yaml", "cardio: {hearts: {source: /srv/hearts, mode: ro}}\n"),
        "study: local/study_data.yaml is for NVIDIA FLARE's own launchers: its data come to no job; say them in "
        "local/study_runtime.yaml, or by the launcher's 'studies'",
    ),
    "a second comm_config.json": (
        lambda kit, _: write(kit.root / "local/old" / COMM_CONFIG, {}),
        "comm_config.json: there is local/old/comm_config.json, too: which of two a parent takes is chance; move it "
        "out of the kit",
    ),
    "an unused copy of the launchers": (
        lambda kit, _: write(kit.root / "local/custom/launchers/__init__.py", ""),
        "python: there is a copy in local/custom/launchers, which jobs see, and no parent: remove it",
    ),
    "an engine whose host is not this one": (
        partial(listen_elsewhere, host="192.0.2.1"),
        "comm_config.json: local/comm_config.json has jobs find their parent at 192.0.2.1, the gateway of the network "
        "flare, but no interface of this host has it: the engine is rootless, in a virtual machine or on another host, "
        "where jobs do not find a parent that runs here",
    ),
    "an address of a parent in a container": (
        partial(listen_elsewhere, host="192.0.2.9"),
        "comm_config.json: local/comm_config.json has jobs find their parent at 192.0.2.9, in the network flare "
        "(192.0.2.0/24; its gateway is 192.0.2.1): right only for a parent in a container that has this address",
    ),
    "an address of this host that is not the network's": (
        lambda kit, _: kit.listen(host="127.40.0.1"),
        "comm_config.json: local/comm_config.json has jobs find their parent at 127.40.0.1, outside of the network "
        "flare (127.30.0.0/24; its gateway is 127.30.0.1): this host's firewall has a say in that",
    ),
}


@pytest.mark.parametrize(("break_it", "line"), WARNED.values(), ids=WARNED)
def test_what_may_be_meant_is_a_warning(
    break_it: Break, line: str, kit: Kit, engine: SmallEngine, capsys: pytest.CaptureFixture[str]
) -> None:
    break_it(kit, engine)
    assert check(kit) == 0
    assert f"  warning  {line.replace('KIT', str(kit.root))}" in capsys.readouterr().out.splitlines()


def test_two_parents_that_listen_on_every_address_may_each_have_a_container(
    kit: Kit, capsys: pytest.CaptureFixture[str]
) -> None:
    kit.listen(host="0.0.0.0")
    Kit(kit.root.parent / "site-2").listen(host="0.0.0.0", port=kit.port)
    assert check(kit) == 0
    assert "too: right only where each parent has a container of its own; else flcore" in capsys.readouterr().out


@pytest.fixture
def listener() -> Iterator[int]:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        yield other.getsockname()[1]


def test_a_port_on_which_somebody_listens_is_told(kit: Kit, listener: int, capsys: pytest.CaptureFixture[str]) -> None:
    kit.listen(port=listener)
    assert check(kit) == 1
    assert (
        f"  MISSING  port: somebody listens on {listener} already (in local/comm_config.json): "
        in capsys.readouterr().out
    )


@pytest.mark.filterwarnings("ignore::ResourceWarning")  # what does not connect, the SDK leaves to the collector
def test_an_engine_that_does_not_answer_is_told_and_the_rest_is_looked_at(
    kit: Kit, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/nobody")
    kit.listen(host="127.0.0.1")
    assert check(kit) == 1
    gc.collect()
    shown = capsys.readouterr().out
    assert "  MISSING  docker_launcher: engine: Docker Engine does not answer (what it is): " in shown
    assert "which no container in the network flare reaches: its gateway; flcore nvflare" in shown
    assert f"  ok       port: {kit.port}\n" in shown


def test_an_engine_that_stops_answering_is_told_and_the_rest_is_looked_at(
    kit: Kit, engine: SmallEngine, capsys: pytest.CaptureFixture[str]
) -> None:
    engine.answers["GET /networks/flare"] = (500, {"message": "database is locked"})
    assert check(kit) == 1
    shown = capsys.readouterr().out
    assert "  MISSING  docker_launcher: engine: network flare: the engine says: database is locked\n" in shown
    assert f"  ok       port: {kit.port}\n" in shown


def test_several_kits_are_checked_whatever_is_wrong_with_one(
    kit: Kit, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    broken, good = Kit(tmp_path / "broken"), Kit(tmp_path / "good/server", "server")
    broken.write(OWN_FILE, "{")
    capsys.readouterr()
    assert check(broken, good, kit) == 2
    shown, errors = capsys.readouterr()
    assert f"{good.root}: server server, a kit of NVIDIA FLARE\n" in shown
    assert f"{kit.root}: client site-1, a kit of NVIDIA FLARE\n" in shown
    assert errors.startswith(f"flcore: error: {broken.root}/local/flcore__p_resources.json: line 1, column 2")


def test_kits_that_are_checked_together_may_not_have_one_port_wherever_they_are(
    kit: Kit, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    elsewhere = Kit(tmp_path / "elsewhere/site-9")
    elsewhere.listen(port=kit.port)
    assert check(kit) == 0
    assert check(kit, elsewhere) == 1
    assert f"is named by {elsewhere.root}, for its jobs, too" in capsys.readouterr().out


def test_a_kit_whose_parent_starts_in_a_container_is_not_judged_by_this_hosts_python(
    kit: Kit, capsys: pytest.CaptureFixture[str]
) -> None:
    start_in_container(kit, "flare")
    assert check(kit) == 0
    assert "  warning  python: the parent starts in a container (startup/start_docker.sh)" in capsys.readouterr().out


def test_jobs_on_the_hosts_network_need_no_address(
    kit: Kit, engine: SmallEngine, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["nvflare", "install", str(kit.root), "--network", "host"]) == 0
    (kit.root / "local" / COMM_CONFIG).unlink()
    give_network(engine, "host")
    assert check(kit) == 0
    assert "  ok       comm_config.json: jobs share this host's network with the parent\n" in capsys.readouterr().out


def test_on_the_hosts_network_an_address_of_another_is_told_and_mended(
    kit: Kit, engine: SmallEngine, capsys: pytest.CaptureFixture[str]
) -> None:
    give_network(engine, "host")
    assert main(["nvflare", "install", str(kit.root), "--network", "host"]) == 0
    kit.listen(host="192.0.2.1")  # the gateway of a network that is gone
    capsys.readouterr()
    assert check(kit) == 1
    assert "at 192.0.2.1, which is no address of this host, whose network they share; flcore" in capsys.readouterr().out
    assert main(["nvflare", "install", str(kit.root)]) == 0
    assert kit.read(COMM_CONFIG)["internal"]["resources"]["host"] == "localhost"
    assert check(kit) == 0


@pytest.mark.skipif(os.geteuid() != 0, reason="only root checks for another user")
def test_a_socket_that_is_not_for_the_user_of_the_kit_is_told(
    kit: Kit, engine: SmallEngine, capsys: pytest.CaptureFixture[str]
) -> None:
    Path(engine.address.removeprefix("unix://")).chmod(0o660)
    os.chown(kit.root, 1, 1)
    assert check(kit) == 1
    path = engine.address.removeprefix("unix://")
    way_out = "usermod -aG root daemon, and a new login"
    line = f"  MISSING  socket: {path} is for the group root, in which the user daemon is not: {way_out}\n"
    assert line in capsys.readouterr().out


@pytest.mark.parametrize("folder", ["", "startup", "local"])
@pytest.mark.parametrize("command", [["check"], ["nvflare", "install"], ["nvflare", "uninstall"]], ids=" ".join)
def test_a_kit_that_is_closed_to_who_asks_is_told_in_words(
    command: list[str], folder: str, open_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    kit = Kit(open_folder / "site-1")
    with as_another(kit.root / folder):
        assert main([*command, str(kit.root)]) == 2
    errors = capsys.readouterr().err
    assert errors.startswith("flcore: error: ")
    assert "Permission denied" in errors


def test_a_folder_that_is_no_kit_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", str(tmp_path)]) == 2
    assert f"flcore: error: {tmp_path}: is no kit of NVIDIA FLARE: it needs a folder local" in capsys.readouterr().err


def test_what_a_job_would_get_is_told_where_nvidia_flare_is(
    kit: Kit, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write(tmp_path / "job/meta.json", {"name": "one", "deploy_map": {"app": ["@ALL"]}})
    (tmp_path / "job/app").mkdir()
    assert main(["check", str(kit.root), "--job", str(tmp_path / "job")]) == 2
    errors = capsys.readouterr().err
    assert errors.startswith(f"flcore: error: {kit.root}: --job: NVIDIA FLARE says how a kit's jobs are started: ")
    assert ": call the flcore of the site's environment, or: " in errors


def test_of_the_look_into_an_image_nothing_is_left(kit: Kit, engine: SmallEngine) -> None:
    engine.asked.clear()
    assert check(kit) == 0
    asked = [request.partition(" ")[2] for request in engine.asked if "/containers/" in request]
    assert (asked[0], asked[-1]) == ("POST /containers/create", "DELETE /containers/0123")
    assert "POST /containers/0123/start" not in asked


# --- networks of jobs' own ---


def own_network(kit: Kit, host: str = "0.0.0.0", **how: Any) -> None:
    kit.change(args={**kit.read(OWN_FILE)["components"][0]["args"], "network": {"per_job": True, **how}})
    config = kit.read(COMM_CONFIG)
    config["internal"]["resources"]["host"] = host
    kit.write(COMM_CONFIG, config)


def test_jobs_find_a_parent_that_listens_everywhere_each_at_its_own_networks_gateway(
    kit: Kit, capsys: pytest.CaptureFixture[str]
) -> None:
    own_network(kit)
    main(["check", str(kit.root)])
    out = capsys.readouterr().out
    assert "has jobs find their parent at 0.0.0.0: each finds it at the gateway of its own network" in out
    assert "docker network create" not in out


@pytest.mark.parametrize(
    ("host", "how", "said"),
    [
        ("172.30.0.1", {}, "at 172.30.0.1, where no network of a job's own leads: 0.0.0.0; flcore nvflare install"),
        ("0.0.0.0", {"parent": "none"}, "at 0.0.0.0, and 'network.parent' is 'none': leave that out"),
    ],
)
def test_a_parent_where_no_network_of_a_jobs_own_leads_is_told(
    kit: Kit, host: str, how: dict[str, str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    own_network(kit, host, **how)
    assert main(["check", str(kit.root)]) == 1
    assert said in capsys.readouterr().out


def test_install_has_such_a_parent_listen_everywhere(kit: Kit, capsys: pytest.CaptureFixture[str]) -> None:
    own_network(kit, "172.30.0.1")
    assert main(["nvflare", "install", str(kit.root)]) == 0
    assert "the network" not in capsys.readouterr().out
    assert kit.read(COMM_CONFIG)["internal"]["resources"]["host"] == "0.0.0.0"
    assert kit.read(OWN_FILE)["components"][0]["args"]["network"] == {"per_job": True}


def test_what_a_kits_jobs_reach_is_tried_if_that_is_asked_for(kit: Kit, capsys: pytest.CaptureFixture[str]) -> None:
    """The small engine makes no container, and says so: what is found of real ones is tried on a real engine."""
    main(["check", "--network", str(kit.root)])
    assert "reach: what jobs reach cannot be tried" in capsys.readouterr().out


@pytest.mark.parametrize(("tries", "given_up_after"), [(None, 10), (3, 3), (1000, None)])
def test_a_server_that_soon_gives_up_what_waits_for_an_approval_is_told(
    tries: int | None, given_up_after: int | None, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    server = Kit(tmp_path / "kits/server", "server")
    server.add(OWN_FILE, id="early", path=EARLY, args={})
    args = {"max_jobs": 4} if tries is None else {"max_schedule_count": tries}
    server.add(RESOURCES, id="job_scheduler", path=SCHEDULER, args=args)
    server.add(OWN_FILE, **CONSENT)
    check(server)
    told = capsys.readouterr().out
    line = (
        f"job_scheduler: jobs that wait for an approval are given up after {given_up_after} tries: have "
        "'max_schedule_count' of local/resources.json say more"
    )
    assert (line in told) is (given_up_after is not None)
    assert "  ok       early: clients get a job's app before they are asked for room" in told
    assert "consent: 'wait' is of clients: a server's own part of a job is refused at once" in told
