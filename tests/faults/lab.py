"""What a fault is played with: an engine, and sites whose parents are processes of their own and can be killed."""

from __future__ import annotations

import os
import random
import shutil
import subprocess
import time
import traceback
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from docker.errors import APIError

from tests.engines.engine import NETWORK, Engine, EngineError, api_of

from .party import Outcome, Party
from .verdict import Job


class Lab:
    """What one repeat of a fault has at hand; at the end it says what came of it.

    Args:
        engine: a private one; None where ``host`` names one that is others', too.
        per_job: each job has a network of its own.
    """

    def __init__(
        self,
        host: str,
        folder: Path,
        image: str,
        engine: Engine | None = None,
        seed: str = "",
        *,
        per_job: bool = False,
    ) -> None:
        self.host = host
        self._network: Any = {"per_job": True, "pools": ["10.210.0.0/16"]} if per_job else NETWORK
        self.engine = engine
        self.rng = random.Random(seed)
        self.image = image
        self.folder = folder
        self.problems: list[str] = []
        self.notes: list[str] = []
        self._parties: list[Party] = []
        self._disks: list[Path] = []
        self._on_close: list[Callable[[Any], object]] = []
        folder.mkdir(parents=True)

    def party(self, direct: bool = False, workspace: Path | None = None, **launcher_args: Any) -> Party:
        """Make a site; its parent is started by whoever wants it. ``direct``: no proxy before the engine's socket."""
        args = {"image": self.image, "network": self._network, "stop_grace": 2, **launcher_args}
        engine = (self.engine.blind, self.engine.program.user) if self.engine else ((), os.geteuid())
        party = Party(self.folder, self.host, direct, args, workspace, *engine)
        self._parties.append(party)
        return party

    def jobs(self, **fields: Any) -> list[Job]:
        """Return jobs that end in different ways, at different times."""
        codes = self.rng.sample([0, 3, 7, 103], 3)
        mix = [Job(f"job-{i}", code, ticks=self.rng.randint(1, 20), **fields) for i, code in enumerate(codes)]
        return [*mix, Job("long", self.rng.choice([0, 7]), ticks=30, **fields)]

    def sleep(self, shortest: float, longest: float) -> None:
        """Let a random time go by."""
        time.sleep(self.rng.uniform(shortest, longest))

    def expect(self, condition: object, problem: str) -> None:
        """Note a problem if a condition does not hold."""
        if not condition:
            self.problems.append(problem)

    def own_image(self) -> str:
        """Give the image another name, until the lab is closed or somebody takes it."""
        name = f"faults-{uuid.uuid4().hex[:10]}:latest"
        with api_of(self.host) as api:
            api.tag(self.image, *name.split(":"))
        self._on_close.append(lambda api: api.remove_image(name))
        return name

    def own_network(self) -> str:
        """Make a network, until the lab is closed or somebody removes it."""
        name = f"faults-{uuid.uuid4().hex[:10]}"
        with api_of(self.host) as api:
            api.create_network(name, driver="bridge")
        self._on_close.append(lambda api: api.remove_network(name))
        return name

    def small_disk(self, size: str) -> Path:
        """Mount a small disk, in memory, until the lab is closed. Its folder is open to all."""
        disk = self.folder / f"disk-{len(self._disks)}"
        disk.mkdir()
        subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size},mode=755", "none", disk], check=True)
        self._disks.append(disk)
        return disk

    def outcome(self) -> Outcome:
        """Have all sites finish, and return what came of their jobs."""
        outcome = Outcome(problems=self.problems, notes=self.notes)
        for party in self._parties:
            with noted(outcome.problems):
                party.finish()
            with noted(outcome.problems):
                outcome.add(party.outcome())
        return outcome

    def close(self, keep: bool = False) -> None:
        """End what still runs, and remove all; ``keep`` leaves the files of the sites."""
        for party in self._parties:
            party.close()
            for container in party.containers():
                self._on_close.insert(0, partial(_remove, container))
        with api_of(self.host) as api:
            for remove in self._on_close:
                with suppress(APIError):
                    remove(api)
        for disk in self._disks:
            subprocess.run(["umount", "--lazy", disk], check=False)
        if not keep:
            shutil.rmtree(self.folder, ignore_errors=True)

    def need_engine(self) -> Engine:
        if self.engine is None:
            raise EngineError("this fault needs a private engine")
        return self.engine


@dataclass(frozen=True)
class Fault:
    """One way to make things go wrong."""

    name: str
    title: str
    play: Callable[[Lab], None]
    """Does it to a lab. What came of it is the lab's to say."""
    private: bool = False
    """Needs what only the suite's own process and engine have: :meth:`Lab.need_engine`, :meth:`Lab.small_disk`."""
    alone: bool = False
    """Hits everybody on the engine, so it must be alone with a private one."""
    repeats: int | None = None
    """How often, where not as often as all others."""
    data_size: str | None = None
    """Needs an engine of its own whose data has only this size."""

    @property
    def fits_any_engine(self) -> bool:
        return not (self.private or self.alone or self.data_size)


def play(fault: Fault, lab: Lab, keep: bool = False) -> Outcome:
    """Play a fault once, and return what came of it. ``keep``: leave the sites' files where it went wrong."""
    outcome = Outcome()
    try:
        with noted(outcome.problems):
            fault.play(lab)
        outcome.add(lab.outcome())
    finally:
        with noted(outcome.problems):
            lab.close(keep=keep and not outcome.passed)
    return outcome


@contextmanager
def noted(problems: list[str]) -> Iterator[None]:
    """Take what goes wrong in the suite itself down as a problem, and go on: it may lose no other's verdict."""
    try:
        yield
    except Exception as error:  # noqa: BLE001 - whatever it is
        where = traceback.extract_tb(error.__traceback__)[-1]
        problems.append(f"{type(error).__name__} in {where.name}, line {where.lineno}: {error}")


def _remove(container: str, api: Any) -> None:
    api.remove_container(container, force=True, v=True)
