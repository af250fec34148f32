"""Has the same hostile job try its ways out in a real federation: by NVIDIA FLARE's launcher for Docker, and by ours.

Prints the table of ``python -m tests.hostile.ways``. The parents are containers on one bridge with the jobs, which is
all that NVIDIA FLARE's own launcher can do, and are root, since as another user's its jobs end as they start.
"""

from __future__ import annotations

import argparse
import json
import shutil
import signal
import sys
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import docker

from tests.engines.engine import api_of, until
from tests.hostile.ways.app.custom.ways_out import greeter
from tests.hostile.ways.internet import Internet, why_not
from tests.hostile.ways.scene import APP, MEMORY, Surroundings, kept_output, neighbour_places
from tests.hostile.ways.verdict import MUST, OUTPUT, Network, Place, table

from ..environments import NEWEST, flare
from ..federation import Federation
from ..jobs import Job
from ..kits import CLIENTS
from ..launchers import Launcher
from ..topologies import Topology

EXECUTOR = Path(__file__).with_name("ways_executor.py")
STUDY, DEFAULT = "onco-2026", "default"
HOSTILE = "site-1"
_TIMEOUT = 180.0
_OTHER_PORT = 7078


@dataclass(frozen=True)
class WaysJob(Job):
    """A job of which one site's part is hostile, or none, which then is there to be got at."""

    name: str = "ways"
    rounds: int = 1
    hostile: str = ""
    files: Mapping[str, Any] = field(default_factory=dict)
    """More files of its app."""

    def write(self, folder: Path, more_meta: Mapping[str, Any]) -> Path:
        wanted = {"resource_spec": {site: {"num_of_cpus": 1, "memory": f"{MEMORY >> 20}Mi"} for site in CLIENTS}}
        job = super().write(folder, {**more_meta, **wanted})
        shutil.copytree(APP / "custom", job / "app/custom", ignore=shutil.ignore_patterns("__pycache__"))
        shutil.copy(EXECUTOR, job / "app/custom")
        for name, content in self.files.items():
            (job / "app/custom" / name).write_text(json.dumps(content))
        return job

    def training(self) -> dict[str, Any]:
        executor = {"path": "ways_executor.WaysOut", "args": {"site": self.hostile}}
        return {"tasks": ["train"], "executor": executor}


class Attack:
    """A federation, and who is around it."""

    def __init__(self, federation: Federation, around: Surroundings) -> None:
        self._federation, self._around = federation, around

    def play(self) -> dict[str, list[str]]:
        """Return by which ways the hostile job got out."""
        self._plant()
        greeting = {"neighbour.json": ["another job", *neighbour_places(self._around.mark)]}
        other = self._federation.submit(WaysJob("other", files=greeting))
        until(lambda: len(self._of_clients(other)) == len(CLIENTS), _TIMEOUT, "another job", 0.5)
        try:
            around = {"same_study": self._addresses(other), "other_study": []}
            targets = self._around.targets(around, [HOSTILE], [self._federation.folder])
            files = {**greeting, "targets.json": {**targets, "parent_other_port": _OTHER_PORT}}
            return self._attack(WaysJob(hostile=HOSTILE, files=files))
        finally:
            self._federation.abort(other)
            self._federation.left_over()

    def _attack(self, job: WaysJob) -> dict[str, list[str]]:
        job_id = self._federation.submit(job)
        ways = self._federation.folder / HOSTILE / job_id / "ways.json"
        until(ways.exists, _TIMEOUT, "the hostile job", 0.2)
        found: dict[str, list[str]] = json.loads(ways.read_text())
        with api_of(self._federation.engine) as api:
            name = next(name for name in self._federation.containers(job_id) if HOSTILE in name)
            found[OUTPUT] += kept_output(api, name)
        del found[MUST]  # it has got to its parent, or it would not run
        (ways.parent / "seen").touch()
        print(self._federation.wait(job_id).status, file=sys.stderr)
        return found

    def _plant(self) -> None:
        """Have there be data of another study, keys of the site, and another port on which its parent listens."""
        words, kit = self._around.words, self._federation.folder / HOSTILE
        data = self._federation.folder / "records"
        data.mkdir()
        (data / "patients.csv").write_text(words.data)
        (data / "key").write_text(words.secret)
        (kit / "startup/word").write_text(words.site)
        dataset = {"type": "mount", "source": str(data), "mode": "ro"}
        studies = {"format_version": 2, "studies": {STUDY: {"datasets": {"records": dataset}}}}
        (kit / "local/study_runtime.yaml").write_text(json.dumps(studies))
        code = Path(greeter.__file__).read_text()
        with api_of(self._federation.engine) as api:
            parent = f"{self._federation.folder.name}-{HOSTILE}"
            words_of_it = ["python3", "-c", code, "the parent", f"tcp/0.0.0.0/{_OTHER_PORT}"]
            api.exec_start(api.exec_create(parent, words_of_it)["Id"], detach=True)

    def _of_clients(self, job_id: str) -> list[str]:
        return [name for name in self._federation.containers(job_id) if any(site in name for site in CLIENTS)]

    def _addresses(self, job_id: str) -> list[str]:
        """Return by what the parts of a job at clients could be reached, once they greet."""
        names = self._of_clients(job_id)
        with api_of(self._federation.engine) as api:
            until(lambda: all(b"ready" in api.logs(name) for name in names), _TIMEOUT, "who greets", 0.5)
            networks = [api.inspect_container(name)["NetworkSettings"]["Networks"].values() for name in names]
        return [*names, *(one["IPAddress"] for found in networks for one in found)]


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.compat.ways", description=__doc__)
    parser.add_argument("--nvflare", default=NEWEST, metavar="VERSION", help="default: the newest")
    parser.add_argument("--launcher", action="append", choices=["nvflare", "flcore"], help="default: both")
    options = parser.parse_args(arguments)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that all is cleaned up
    version = flare(options.nvflare)
    ours = Launcher.flcore(limits={"num_of_cpus": 1, "memory": MEMORY})
    launchers = {"nvflare": Launcher.nvflare_docker(version), "flcore": ours}
    columns = {}
    for launcher in (launchers[name] for name in options.launcher or launchers):
        with ExitStack() as stack:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
            outside = None if why_not() else stack.enter_context(Internet(folder)).outside
            federation = stack.enter_context(Federation(version, launcher, Topology.CONTAINERS))
            try:
                found = Attack(federation, Surroundings(folder, stack, outside)).play()
            except BaseException:
                print(federation.story(), file=sys.stderr)
                raise
            place = Place.of(docker.DockerClient(federation.engine), Network.NAMED, outside)
            place = replace(place, plays_studies=False, is_ours=launcher is ours)
            columns[f"{launcher.name}, NVIDIA FLARE {version.version}"] = place, found
    print(*table(columns), sep="\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
