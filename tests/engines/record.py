"""Writes down what an engine answers, for the table tests: ``python -m tests.engines.record NAME``, as root.

A container is brought into each state, and each kind of request is refused once. What is kept are the fields that
flcore reads, and those beside them that tell one engine from another; ids and times are left as they were.
"""

from __future__ import annotations

import argparse
import json
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any

import docker
from docker.errors import APIError

from tests.environments import ROOT

from .engine import PLAIN_IMAGE, running, why_no_engine
from .programs import PROGRAMS, Program

ANSWERS = ROOT / "tests/unit/launchers/runtime/answers"
_OF_A_LIST = ("Id", "Names", "State", "Status", "Created", "Labels")
_OF_AN_INSPECTION = ("Id", "Name", "Created", "State")
_OF_INFO = (
    *("MemoryLimit", "PidsLimit", "CpuCfsQuota", "SwapLimit", "OomKillDisable", "SecurityOptions", "CgroupDriver"),
    *("CgroupVersion", "Warnings", "Driver", "DriverStatus", "DefaultRuntime", "DiscoveredDevices", "Rootless"),
)
_OF_A_VERSION = ("Version", "ApiVersion", "MinAPIVersion")
_OF_STATISTICS = ("pids_stats", "cpu_stats", "memory_stats")
_WORK = """
import time
kept = bytearray(32 << 20)
while time.process_time() < 0.3:
    pass
print(flush=True)
time.sleep(60)
"""
_SETTLED = 0.5
"""Seconds after which an engine has told all that it will of what was done."""


class Recorder:
    """Does things to an engine, and notes what it says."""

    def __init__(self, api: Any) -> None:
        self._api = api
        self.containers: dict[str, Any] = {}
        self.refusals: dict[str, Any] = {}

    def record(self) -> None:
        with self._life("created"):
            pass
        with self._life("running", "sleep", "60") as one:
            self._api.start(one)
        with self._life("paused", "sleep", "60") as one, self._noted("pause"):
            self._api.start(one)
            self._api.pause(one)
        with self._life("exited with 3", "sh", "-c", "exit 3") as one:
            self._api.start(one)
            self._api.wait(one)
        with self._life("killed", "sleep", "60") as one:
            self._api.start(one)
            self._api.kill(one, "SIGKILL")
            self._api.wait(one)
        with self._life("out of memory", "python3", "-c", "bytearray(10**9)", memory=64 << 20) as one:
            self._api.start(one)
            self._api.wait(one)
        with self._life("killed while paused", "sleep", "60") as one, self._noted("kill of a paused one"):
            self._api.start(one)
            self._api.pause(one)
            self._api.kill(one, "SIGKILL")
        with self._life("not startable", "no-such-command") as one, self._noted("start of no command"):
            self._api.start(one)
        with self._life("exited, and refused", "true") as one:
            self._api.start(one)
            self._api.wait(one)
            with self._noted("kill of an ended one"):
                self._api.kill(one, "SIGTERM")
            with self._noted("name in use"):
                self._create("true", name=self._api.inspect_container(one)["Name"].lstrip("/"))
        self._refuse_requests()

    def statistics(self) -> dict[str, Any]:
        """Return what is said of the usage of a container that has 32 MiB, and has worked for 0.3 seconds."""
        one = self._create("python3", "-c", _WORK)
        self._api.start(one)
        next(self._api.logs(one, stream=True, follow=True))
        time.sleep(_SETTLED)
        statistics = _fields(self._api.stats(one, stream=False, one_shot=True), _OF_STATISTICS)
        self._api.remove_container(one, force=True)
        return statistics

    def _refuse_requests(self) -> None:
        with self._noted("start without its network"):
            one = self._create("true", network="no-such-network")
            self._api.start(one)
        with self._noted("create without its image"):
            self._create("true", image="no-such-image:latest")
        with self._noted("malformed name of an image"):
            self._api.inspect_image("NO//name")
        with self._noted("image that is not there"):
            self._api.inspect_image("no-such-image:latest")
        with self._noted("network that is not there"):
            self._api.inspect_network("no-such-network")
        for name in ("inspect_container", "remove_container", "kill"):
            with self._noted(f"{name} of none"):
                getattr(self._api, name)("no-such-container")

    @contextmanager
    def _life(self, name: str, *command: str, **how: Any) -> Iterator[str]:
        """Yield a container; then note what is said of it, and of its removal."""
        one = self._create(*(command or ("true",)), **how)
        with self._events(one) as events:
            yield one
            time.sleep(_SETTLED)
            listed = self._api.containers(all=True, filters={"id": one})
            inspected = self._api.inspect_container(one)
            self._api.remove_container(one, force=True)
            time.sleep(_SETTLED)
        self.containers[name] = {
            "listed": [_fields(entry, _OF_A_LIST) for entry in listed],
            "inspected": _fields(inspected, _OF_AN_INSPECTION) | {"Config": {"Labels": inspected["Config"]["Labels"]}},
            "events": events,
        }

    @contextmanager
    def _events(self, one: str) -> Iterator[list[Any]]:
        events: list[Any] = []
        client = docker.APIClient(self._api.base_url.replace("http+docker://localhost", self._api.engine_host))
        stream = client.events(since=int(time.time()) - 1, filters={"container": [one]}, decode=True)
        reader = threading.Thread(target=lambda: events.extend(stream), daemon=True)
        reader.start()
        yield events
        with suppress(OSError):
            stream.close()
        reader.join(5)
        client.close()

    @contextmanager
    def _noted(self, what: str) -> Iterator[None]:
        try:
            yield
            self.refusals[what] = None
        except APIError as error:
            self.refusals[what] = {"status": error.status_code, "said": str(error.explanation)}

    def _create(
        self, *command: str, image: str = PLAIN_IMAGE, network: str = "none", memory: int = 0, name: str | None = None
    ) -> str:
        host = {"NetworkMode": network, "Memory": memory, "MemorySwap": memory}
        labels = {"flcore.recorded": "1"}
        body = {"Image": image, "Entrypoint": [], "Cmd": list(command), "Labels": labels, "HostConfig": host}
        return str(self._api.create_container_from_config(body, name)["Id"])


def _fields(answer: Mapping[str, Any], names: tuple[str, ...]) -> dict[str, Any]:
    return {name: answer[name] for name in names if name in answer}


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.engines.record", description=__doc__)
    parser.add_argument("name", metavar="NAME", choices=[program.name for program in PROGRAMS], help="of %(choices)s")
    name = parser.parse_args().name
    if reason := why_no_engine():
        print(f"no engine can be recorded: {reason}", file=sys.stderr)
        return 1
    program = next(program for program in PROGRAMS if program.name == name)
    with running(program) as engine, engine.api() as api:
        api.engine_host = engine.host
        recorder = Recorder(api)
        if not program.settings and not program.user:  # else it answers as its plain kin, but for what it is
            recorder.record()
        version, info, statistics = api.version(), api.info(), recorder.statistics()
    components = [component["Name"] for component in version.get("Components") or []]
    answers = {
        "version": _fields(version, _OF_A_VERSION) | {"Components": [{"Name": name} for name in components]},
        "info": _fields(info, _OF_INFO),
        "statistics": statistics,
        "containers": recorder.containers,
        "refusals": recorder.refusals,
    }
    ANSWERS.mkdir(exist_ok=True)
    text = json.dumps(answers, indent=1).replace(str(engine.folder), "/engine")
    (ANSWERS / f"{_file_name(program, version['Version'])}.json").write_text(text + "\n")
    return 0


def _file_name(program: Program, version: str) -> str:
    """Return what the engine is, and in which way it is set up."""
    kind = "podman" if program.is_podman else "docker"
    way = next((way for way in ("containerd", "rootless", "userns-remap") if way in program.name), "")
    return "-".join(filter(None, (kind, ".".join(version.split(".")[:2]), way)))


if __name__ == "__main__":
    sys.exit(main())
